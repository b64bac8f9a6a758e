"""Accounts against a naive list of fills; money is neither made nor lost."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.naive_account import NaiveAccount, nearest
from tercel.jit import address_of, records
from tercel.model.instrument import INSTRUMENT, INVERSE, LINEAR
from tercel.orders.money import MONEY_MAX, MONEY_OVERFLOW, fee_of, mul_div
from tercel.orders.positions import (
    POSITION,
    notional_of,
    position_apply_fill,
    position_apply_funding,
    position_equity,
    position_unrealized,
    position_value,
)

FILLS = st.lists(
    st.tuples(
        st.sampled_from((1, -1)), st.integers(1, 700_000), st.integers(1, 50_000), st.integers(-10_000, 10_000_000)
    ),
    max_size=25,
)
MARKS = st.integers(1, 1_500_000)
KINDS = st.sampled_from((LINEAR, INVERSE))
RUNS = settings(max_examples=150, deadline=None, derandomize=True)


class Desk:
    """One account and its instrument in raw memory, as the engine holds them."""

    def __init__(self, kind: int, value: int) -> None:
        self._position = np.zeros(1, POSITION)
        self._instrument = np.zeros(1, INSTRUMENT)
        self._instrument["kind"] = kind
        self._instrument["value"] = value
        self.position = records(address_of(self._position), 1, POSITION)[0]
        self.instrument = records(address_of(self._instrument), 1, INSTRUMENT)[0]

    def fill(self, side: int, px: int, qty: int, fee: int) -> int:
        return int(position_apply_fill(self.position, self.instrument, side, px, qty, fee))


def value_of(kind: int) -> int:
    return 100_000_000_003 if kind == INVERSE else 10_001


@RUNS
@given(kind=KINDS, fills=FILLS, mark_x2=MARKS, rate=st.integers(-75_000, 75_000))
def test_every_sum_equals_the_list_of_fills(kind, fills, mark_x2, rate):
    desk = Desk(kind, value_of(kind))
    naive = NaiveAccount(value_of(kind), kind == INVERSE)
    for fill in fills:
        assert desk.fill(*fill) == 0
        naive.fills.append(fill)
    position_apply_funding(desk.position, desk.instrument, (mark_x2 + 1) // 2, rate)
    naive.fund((mark_x2 + 1) // 2, rate)
    row = desk.position
    assert row.position == naive.position
    assert row.cash == naive.cash
    assert row.fee == naive.fee
    assert row.funding == sum(naive.received)
    assert row.n_fills == len(fills)
    assert row.volume == naive.volume
    assert row.turnover == naive.turnover
    assert row.max_position == naive.max_position
    assert position_equity(row, desk.instrument, mark_x2) == naive.equity(mark_x2)


@RUNS
@given(kind=KINDS, fills=FILLS, mark_x2=MARKS)
def test_realized_and_unrealized_are_the_equity_to_the_quantum(kind, fills, mark_x2):
    desk = Desk(kind, value_of(kind))
    naive = NaiveAccount(value_of(kind), kind == INVERSE)
    for fill in fills:
        desk.fill(*fill)
        naive.fills.append(fill)
        row = desk.position
        assert row.realized == row.cash + row.cost
        # Each closing fill rounds its share of the basis by half a quantum at most.
        assert abs(abs(int(row.cost)) - naive.exact_basis) <= Fraction(len(naive.fills), 2)
        if row.position == 0:
            assert row.cost == 0
            assert row.realized == row.cash
        worth = position_value(row, desk.instrument, mark_x2)
        unrealized = position_unrealized(row, desk.instrument, mark_x2)
        assert row.realized + unrealized == row.cash + worth


@RUNS
@given(kind=KINDS, fills=FILLS, mark_x2=MARKS)
def test_buyer_and_seller_together_lose_only_the_fees(kind, fills, mark_x2):
    ours, theirs = Desk(kind, value_of(kind)), Desk(kind, value_of(kind))
    for side, px, qty, fee in fills:
        ours.fill(side, px, qty, fee)
        theirs.fill(-side, px, qty, 7)
    assert ours.position.position + theirs.position.position == 0
    assert ours.position.cash + theirs.position.cash == 0
    assert ours.position.realized + theirs.position.realized == 0
    together = position_equity(ours.position, ours.instrument, mark_x2)
    together += position_equity(theirs.position, theirs.instrument, mark_x2)
    assert together == -sum(fee for _, _, _, fee in fills) - 7 * len(fills)


@RUNS
@given(
    kind=KINDS,
    fills=st.lists(
        st.tuples(
            st.sampled_from((1, -1)),
            st.integers(-5, 1 << 62),
            st.integers(-5, 1 << 62),
            st.integers(-(1 << 62), 1 << 62),
        ),
        max_size=12,
    ),
)
def test_a_refused_fill_changes_nothing_and_no_sum_wraps(kind, fills):
    desk = Desk(kind, value_of(kind))
    naive = NaiveAccount(value_of(kind), kind == INVERSE)
    for fill in fills:
        before = desk._position.tobytes()
        if desk.fill(*fill) == 0:
            naive.fills.append(fill)
        else:
            assert desk._position.tobytes() == before
    assert desk.position.cash == naive.cash
    assert desk.position.position == naive.position
    assert desk.position.turnover == naive.turnover
    assert abs(naive.turnover) <= MONEY_MAX


SIZES = st.one_of(st.integers(0, 1 << 62), st.integers(0, 1 << 31), st.integers(0, 100))


@settings(max_examples=1500, deadline=None, derandomize=True)
@given(a=SIZES, b=SIZES, c=SIZES.filter(bool))
def test_multiply_divide_is_exact_at_any_size(a, b, c):
    expected = nearest(Fraction(a * b, c))
    found = mul_div(a, b, c)
    assert found == expected if expected <= MONEY_MAX else found == MONEY_OVERFLOW


@settings(max_examples=500, deadline=None, derandomize=True)
@given(notional=st.integers(-MONEY_MAX, MONEY_MAX), rate=st.integers(-(10**8), 10**8))
def test_fee_is_the_nearest_quantum(notional, rate):
    assert fee_of(notional, rate) == nearest(Fraction(notional * rate, 10**8))


@RUNS
@given(kind=KINDS, px=st.integers(1, 1 << 62), qty=st.integers(1, 1 << 62), value=st.integers(1, 1 << 50))
def test_notional_is_exact_or_says_it_does_not_fit(kind, px, qty, value):
    desk = Desk(kind, value)
    expected = NaiveAccount(value, kind == INVERSE).notional(px, qty)
    found = notional_of(desk.instrument, px, qty)
    # The edge is judged by a float product: within a part in 1e15 of MONEY_MAX either answer is right.
    if found == MONEY_OVERFLOW:
        assert expected > MONEY_MAX * (1 - 1e-15)
    else:
        assert found == expected
