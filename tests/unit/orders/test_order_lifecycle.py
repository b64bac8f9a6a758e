"""The transition table, every state times every message, and what each does to the record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tercel.jit import address_of, records
from tercel.model.commands import AMEND, CANCEL
from tercel.model.events import (
    ACCOUNT_KINDS,
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    EVENT,
    FILL,
    TIMER,
    TRADE,
)
from tercel.orders.lifecycle import ORDER, STATE_NAMES, TERMINAL_STATES, TRANSITIONS, TRIGGER_NAMES, mermaid
from tercel.orders.table import (
    ILLEGAL,
    LATE,
    LOST,
    OVERFILL,
    OVERFLOW,
    ST_CANCELED,
    ST_FILLED,
    ST_FREE,
    ST_OPEN,
    ST_PARTIALLY_FILLED,
    ST_PENDING_NEW,
    ST_UNKNOWN,
    order_apply,
    order_average_price,
    order_is_open,
    order_is_terminal,
    order_leaves,
    order_lost,
)

# Columns: ack reject fill canceled expired amended cancel_reject amend_reject refused fill_last lost.
# A letter is the next state, "=" the same state, "L" the same state and late, "!" illegal.
EXPECTED = {
    "free": "! ! ! ! ! ! ! ! ! ! !",
    "pending_new": "O J P C E O = = X F U",
    "open": "L J P C E = = = = F U",
    "partially_filled": "= ! = C E = = = = F U",
    "filled": "L L L L L L = = = L =",
    "canceled": "L L L L L L = = = L =",
    "rejected": "L L L L L L = = = L =",
    "expired": "L L L L L L = = = L =",
    "refused": "! ! L ! ! ! = = = L =",
    "unknown": "O J P C E O = = = F =",
}
LETTERS = {
    "O": "open", "J": "rejected", "P": "partially_filled", "C": "canceled", "E": "expired", "X": "refused",
    "F": "filled", "U": "unknown",
}  # fmt: skip
CASES = [
    (state, trigger, EXPECTED[STATE_NAMES[state]].split()[i])
    for state in STATE_NAMES
    for i, trigger in enumerate(TRIGGER_NAMES)
]
FILL_LAST = 29


def make(state: int, qty: int = 10, filled: int = 0):
    """An order in raw memory and its event, both zeroed but for what matters."""
    order = np.zeros(1, ORDER)
    event = np.zeros(1, EVENT)
    order["state"], order["qty"], order["filled"], order["id"], order["px"] = state, qty, filled, 7, 100
    event["id"], event["ts_recv"] = 7, 55
    made = records(address_of(order), 1, ORDER)[0], records(address_of(event), 1, EVENT)[0]
    _KEEP.append((order, event))
    return made


_KEEP: list = []


def test_the_triggers_are_in_the_order_of_the_columns():
    assert list(TRIGGER_NAMES.values()) == [
        "ack", "reject", "fill", "canceled", "expired", "amended", "cancel_reject", "amend_reject", "refused",
        "fill_last", "lost",
    ]  # fmt: skip


@pytest.mark.parametrize(("state", "trigger", "letter"), CASES)
def test_every_state_times_every_message(state, trigger, letter):
    order, event = make(state)
    if trigger == LOST:
        status = order_lost(order)
    else:
        event.kind = FILL if trigger == FILL_LAST else trigger
        event.px, event.qty = 100, 10 if trigger == FILL_LAST else 3
        status = order_apply(order, event)
    expected_status = {"!": ILLEGAL, "L": LATE}.get(letter, 0)
    expected_state = STATE_NAMES[state] if letter in "!L=" else LETTERS[letter]
    assert status == expected_status
    assert STATE_NAMES[int(order.state)] == expected_state
    is_fill = trigger in (FILL, FILL_LAST) and letter != "!"
    assert order.filled == ((10 if trigger == FILL_LAST else 3) if is_fill else 0)
    assert order.notional == 100 * order.filled


def test_the_data_table_holds_every_pair_once():
    assert len(TRANSITIONS) == 110
    assert set(TRANSITIONS) == {(s, t) for s in STATE_NAMES for t in TRIGGER_NAMES}


@pytest.mark.parametrize("kind", [0, TRADE, TIMER, LOST, FILL_LAST, 99])
def test_a_kind_that_is_no_account_message_is_illegal(kind):
    order, event = make(ST_OPEN)
    event.kind, event.qty, event.px = kind, 1, 1
    before = order.tobytes()
    assert order_apply(order, event) == ILLEGAL
    assert order.tobytes() == before


def test_a_fill_after_the_cancel_counts_its_money_and_is_late():
    order, event = make(ST_CANCELED, filled=4)
    order.notional = 400
    event.kind, event.px, event.qty = FILL, 101, 6
    assert order_apply(order, event) == LATE
    assert (order.state, order.filled, order.notional) == (ST_CANCELED, 10, 1006)
    assert order_average_price(order) == 100.6


def test_an_overfill_counts_its_money_and_says_so():
    order, event = make(ST_OPEN, filled=0)
    event.kind, event.px, event.qty = FILL, 100, 11
    assert order_apply(order, event) == OVERFILL
    assert (order.state, order.filled, order_leaves(order)) == (ST_FILLED, 11, 0)
    assert order_apply(order, event) == OVERFILL | LATE
    assert order.filled == 22


@pytest.mark.parametrize(("px", "qty"), [(0, 1), (-1, 1), (1, 0), (1, -1)])
def test_a_fill_without_price_or_size_is_illegal(px, qty):
    order, event = make(ST_OPEN)
    event.kind, event.px, event.qty = FILL, px, qty
    before = order.tobytes()
    assert order_apply(order, event) == ILLEGAL
    assert order.tobytes() == before


def test_a_fill_whose_sum_would_wrap_changes_nothing():
    order, event = make(ST_OPEN, qty=1 << 61)
    event.kind, event.px, event.qty = FILL, 1 << 40, 1 << 40
    before = order.tobytes()
    assert order_apply(order, event) == OVERFLOW
    assert order.tobytes() == before


def test_the_ack_may_come_after_the_first_fill():
    order, event = make(ST_PENDING_NEW)
    event.kind, event.px, event.qty = FILL, 100, 3
    assert order_apply(order, event) == 0
    event.kind, event.arg0, event.ts_recv = ACK, 987, 60
    assert order_apply(order, event) == 0
    assert (order.state, order.filled, order.venue_id, order.ts_ack) == (ST_PARTIALLY_FILLED, 3, 987, 60)


@pytest.mark.parametrize("kind", [ACK, AMENDED])
def test_an_unknown_order_the_venue_confirms_keeps_its_fills(kind):
    order, event = make(ST_PARTIALLY_FILLED, filled=4)
    assert order_lost(order) == 0
    assert order.state == ST_UNKNOWN
    event.kind, event.px, event.qty = kind, 100, 6
    assert order_apply(order, event) == 0
    assert (order.state, order.filled, order.qty) == (ST_PARTIALLY_FILLED, 4, 10)


def test_an_amend_sets_price_and_whole_size_from_what_is_left():
    order, event = make(ST_PARTIALLY_FILLED, filled=4)
    order.pending = AMEND
    event.kind, event.px, event.qty = AMENDED, 105, 20
    assert order_apply(order, event) == 0
    assert (order.px, order.qty, order.pending, order_leaves(order)) == (105, 24, 0, 20)


def test_an_amend_after_the_end_changes_neither_price_nor_size():
    order, event = make(ST_FILLED, filled=10)
    event.kind, event.px, event.qty = AMENDED, 105, 20
    assert order_apply(order, event) == LATE
    assert (order.px, order.qty, order.state) == (100, 10, ST_FILLED)


def test_an_amend_to_nothing_is_illegal():
    order, event = make(ST_OPEN)
    event.kind, event.px, event.qty = AMENDED, 105, 0
    assert order_apply(order, event) == ILLEGAL
    assert order.px == 100


@pytest.mark.parametrize(
    ("pending", "kind", "after"),
    [
        (CANCEL, CANCEL_REJECT, 0),
        (CANCEL, AMEND_REJECT, CANCEL),
        (CANCEL, AMENDED, CANCEL),
        (AMEND, AMEND_REJECT, 0),
        (AMEND, CANCEL_REJECT, AMEND),
        (AMEND, CANCELED, 0),
        (CANCEL, ACK, CANCEL),
    ],
)
def test_only_its_own_answer_or_the_end_clears_a_request(pending, kind, after):
    order, event = make(ST_OPEN)
    order.pending = pending
    event.kind, event.px, event.qty = kind, 100, 10
    order_apply(order, event)
    assert order.pending == after


def test_open_and_ended_are_told_apart():
    opened = {STATE_NAMES[s] for s in STATE_NAMES if order_is_open(make(s)[0])}
    ended = {STATE_NAMES[s] for s in STATE_NAMES if order_is_terminal(make(s)[0])}
    assert opened == {"pending_new", "open", "partially_filled", "unknown"}
    assert ended == {"filled", "canceled", "rejected", "expired", "refused"}
    assert ended == {STATE_NAMES[s] for s in TERMINAL_STATES}
    assert STATE_NAMES[ST_FREE] == "free"
    assert len(ACCOUNT_KINDS) == 9


def test_the_average_price_of_an_unfilled_order_is_zero():
    assert order_average_price(make(ST_OPEN)[0]) == 0.0


def test_the_diagram_in_the_docs_is_the_table():
    page = (Path(__file__).parents[3] / "docs" / "orders.md").read_text()
    drawn = page.split("```mermaid\n")[1].split("\n```")[0]
    assert drawn == mermaid()
