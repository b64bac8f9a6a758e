"""Accounts by hand: literal sums for spot, linear and inverse, turns through zero, funding, marks and refusals."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from tercel.jit import address_of, records
from tercel.model.instrument import INSTRUMENT, Instrument
from tercel.orders.lifecycle import ILLEGAL, OVERFLOW
from tercel.orders.money import MONEY_MAX, MONEY_OVERFLOW, fee_of, mul_div, notional_of
from tercel.orders.positions import (
    POSITION,
    funding_of,
    position_apply_fill,
    position_apply_funding,
    position_equity,
    position_equity_float,
    position_unrealized,
    position_value,
)

BTCUSDT = Instrument(symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), money_decimals=4)
# One contract is 100 USD, settled in BTC.
BTCUSD = Instrument(
    symbol="BTCUSD",
    kind="inverse",
    tick_size=Decimal("0.1"),
    lot_size=Decimal(1),
    contract_value=Decimal(100),
    base="BTC",
)


@pytest.fixture
def desk():
    """A maker of (position, instrument) pairs in raw memory."""
    keep = []

    def make(instrument: Instrument):
        position, row = np.zeros(1, POSITION), np.zeros(1, INSTRUMENT)
        row[0] = instrument.row()
        keep.extend((position, row))
        return records(address_of(position), 1, POSITION)[0], records(address_of(row), 1, INSTRUMENT)[0]

    return make


def test_linear_buys_then_sells_a_part_at_average_cost(desk):
    row, inst = desk(BTCUSDT)
    assert inst.value == 1
    assert position_apply_fill(row, inst, 1, 600_000, 2, 50) == 0
    assert position_apply_fill(row, inst, 1, 600_003, 1, -10) == 0
    assert (row.position, row.cash, row.cost, row.fee) == (3, -1_800_003, 1_800_003, 40)
    assert position_apply_fill(row, inst, -1, 600_100, 1, 50) == 0
    # Basis of one of three: 600,001. Realized 600,100 - 600,001.
    assert (row.position, row.cost, row.realized, row.cash) == (2, 1_200_002, 99, -1_199_903)
    assert (row.n_fills, row.volume, row.turnover, row.max_position) == (3, 4, 2_400_103, 3)
    # Mid 600,050.5: worth 1,200,101; equity is cash + worth - fee.
    assert position_value(row, inst, 1_200_101) == 1_200_101
    assert position_equity(row, inst, 1_200_101) == 198 - 90
    assert position_unrealized(row, inst, 1_200_101) == 99
    assert position_equity_float(row, inst, 60_005.05) == pytest.approx(0.0108, abs=1e-9)


def test_the_share_of_the_basis_rounds_and_the_rest_stays(desk):
    row, inst = desk(BTCUSDT)
    position_apply_fill(row, inst, 1, 100, 2, 0)
    position_apply_fill(row, inst, 1, 101, 1, 0)
    # 301 / 3 = 100.33: 100 leaves, 201 stays, and flat is exactly nothing.
    position_apply_fill(row, inst, -1, 100, 1, 0)
    assert (row.cost, row.realized) == (201, 0)
    position_apply_fill(row, inst, -1, 100, 2, 0)
    assert (row.position, row.cost, row.realized, row.cash) == (0, 0, -1, -1)


def test_a_fill_through_zero_closes_the_old_and_opens_the_new(desk):
    row, inst = desk(BTCUSDT)
    position_apply_fill(row, inst, 1, 100, 3, 0)
    position_apply_fill(row, inst, -1, 110, 5, 0)
    assert (row.position, row.cost, row.realized, row.cash, row.max_position) == (-2, -220, 30, 250, 3)
    assert position_equity(row, inst, 2 * 105) == 40
    position_apply_fill(row, inst, 1, 100, 2, 0)
    assert (row.position, row.cost, row.realized) == (0, 0, 50)


def test_inverse_profit_is_in_the_base_currency(desk):
    row, inst = desk(BTCUSD)
    # 100 contracts of 100 USD at 50,000.0 are 0.2 BTC; at 62,500.0 they are 0.16 BTC.
    assert notional_of(inst, 500_000, 100) == 20_000_000
    assert position_apply_fill(row, inst, 1, 500_000, 100, 10_000) == 0
    assert (row.cash, row.cost, row.position) == (20_000_000, -20_000_000, 100)
    assert position_equity(row, inst, 2 * 625_000) == 20_000_000 - 16_000_000 - 10_000
    assert position_apply_fill(row, inst, -1, 625_000, 100, 8_000) == 0
    assert (row.position, row.cost, row.realized) == (0, 0, 4_000_000)
    assert position_equity(row, inst, 0) == 3_982_000
    assert position_equity_float(row, inst, 0.0) == pytest.approx(0.03982)


def test_inverse_short_gains_when_the_price_falls(desk):
    row, inst = desk(BTCUSD)
    position_apply_fill(row, inst, -1, 500_000, 100, 0)
    assert position_equity(row, inst, 2 * 400_000) == 5_000_000
    assert position_equity_float(row, inst, 40_000.0) == pytest.approx(0.05)


def test_inverse_rounds_each_fill_to_the_nearest_quantum(desk):
    _, inst = desk(BTCUSD)
    # 1e11 / 300,000 = 333,333.33 and 1e11 * 2 / 300,000 = 666,666.67.
    assert notional_of(inst, 300_000, 1) == 333_333
    assert notional_of(inst, 300_000, 2) == 666_667


def test_longs_pay_funding_when_the_rate_is_positive(desk):
    row, inst = desk(BTCUSDT)
    position_apply_fill(row, inst, 1, 600_000, 10, 0)
    assert funding_of(row, inst, 600_000, 10_000) == -600
    assert funding_of(row, inst, 600_000, -10_000) == 600
    assert position_apply_funding(row, inst, 600_000, 10_000) == 0
    assert row.funding == -600
    position_apply_fill(row, inst, -1, 600_000, 20, 0)
    assert funding_of(row, inst, 600_000, 10_000) == 600
    position_apply_fill(row, inst, 1, 600_000, 10, 0)
    assert funding_of(row, inst, 600_000, 10_000) == 0


def test_without_a_mark_a_position_is_worth_its_basis(desk):
    row, inst = desk(BTCUSDT)
    position_apply_fill(row, inst, 1, 100, 3, 5)
    assert position_value(row, inst, 0) == 300
    assert position_equity(row, inst, 0) == -5
    assert position_equity_float(row, inst, 0.0) == pytest.approx(-0.0005)


def test_half_a_quantum_rounds_away_from_zero(desk):
    row, inst = desk(BTCUSDT)
    position_apply_fill(row, inst, 1, 100, 1, 0)
    assert position_value(row, inst, 201) == 101
    position_apply_fill(row, inst, -1, 100, 2, 0)
    assert position_value(row, inst, 201) == -101


@pytest.mark.parametrize(("side", "px", "qty"), [(0, 1, 1), (2, 1, 1), (1, 0, 1), (1, -1, 1), (1, 1, 0), (-1, 1, -3)])
def test_a_fill_that_cannot_be_changes_nothing(desk, side, px, qty):
    row, inst = desk(BTCUSDT)
    assert position_apply_fill(row, inst, side, px, qty, 0) == ILLEGAL
    assert not any(row.tobytes())


@pytest.mark.parametrize(
    ("px", "qty", "fee"),
    [(1 << 40, 1 << 40, 0), (1, MONEY_MAX + 1, 0), (1, 1, MONEY_OVERFLOW), (1, 1, -MONEY_OVERFLOW)],
)
def test_what_does_not_fit_changes_nothing(desk, px, qty, fee):
    row, inst = desk(BTCUSDT)
    assert position_apply_fill(row, inst, 1, px, qty, fee) == OVERFLOW
    assert not any(row.tobytes())


def test_an_equity_that_does_not_fit_says_so(desk):
    row, inst = desk(BTCUSDT)
    position_apply_fill(row, inst, 1, 1, 1 << 60, 0)
    assert position_equity(row, inst, 1 << 40) == MONEY_OVERFLOW
    row.position = -(1 << 60)
    assert position_equity(row, inst, 1 << 40) == -MONEY_OVERFLOW
    row.position, row.cash, row.funding = 0, MONEY_MAX, MONEY_MAX
    assert position_equity(row, inst, 2) == MONEY_OVERFLOW
    row.cash, row.funding = -MONEY_MAX, -MONEY_MAX
    assert position_equity(row, inst, 2) == -MONEY_OVERFLOW


@pytest.mark.parametrize(
    ("notional", "rate", "fee"),
    [
        (1_000_000, 50_000, 500),
        (1_000_000, -10_000, -100),
        (-1_000_000, 50_000, -500),
        (1_000, 50_000, 1),
        (999, 50_000, 0),
        (1_000, -50_000, -1),
        (0, 50_000, 0),
        (MONEY_MAX, 100_000_000, MONEY_MAX),
        (MONEY_MAX, 100_000_001, MONEY_OVERFLOW),
        (MONEY_MAX + 1, 1, MONEY_OVERFLOW),
        (1_234_567_890_123_456_789, 12_345, 152_407_406_035_741),
    ],
)
def test_fees_round_to_the_nearest_halves_away_from_zero(notional, rate, fee):
    assert fee_of(notional, rate) == fee


@pytest.mark.parametrize(
    ("a", "b", "c", "result"),
    [
        (7, 1, 2, 4),
        (7, 1, 3, 2),
        (1 << 62, 1 << 62, 1 << 62, MONEY_OVERFLOW),
        (1 << 61, 1 << 61, 1 << 61, 1 << 61),
        (1 << 62, 3, 1 << 62, 3),
        (1 << 62, 1 << 62, 1, MONEY_OVERFLOW),
        (0, 1 << 62, 3, 0),
    ],
)
def test_multiply_divide_by_hand(a, b, c, result):
    assert mul_div(a, b, c) == result
