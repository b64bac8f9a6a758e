"""Reconciliation case by case: which rows, in which order, and what is only said."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tercel.model.account import AccountReport, VenueExecution, VenueOrder
from tercel.model.commands import AMEND, CANCEL, COMMAND, LINK, NEW
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    EXPIRED,
    FILL,
    HALT,
    LOCAL,
    MAKER,
    REJECT,
    TAKER,
)
from tercel.model.reasons import (
    ENDED_UNHEARD,
    FILLED_UNHEARD,
    FILLS_UNEXPLAINED,
    FOREIGN_FILL,
    NEVER_ARRIVED,
    NEVER_SENT,
    POSITION_ADOPTED,
    POSITION_UNEXPLAINED,
    REQUEST_LOST,
    VENUE_FORGOT,
)
from tercel.orders.executions import EXECUTION
from tercel.orders.lifecycle import ORDER, ST_OPEN, ST_PARTIALLY_FILLED, ST_PENDING_NEW, ST_UNKNOWN
from tercel.orders.reconcile import (
    Books,
    Reconciliation,
    adopt_positions,
    cancel_commands,
    halt_row,
    reconcile,
    unsent_rows,
)

ID = 7 << 32 | 1
GRACE = 1_000
ASKED = 50_000
NOW = 60_000


def books(
    *orders: dict[str, int], position: int = 0, counted: tuple[tuple[int, ...], ...] = (), full: bool = False
) -> Books:
    table = np.zeros(len(orders), ORDER)
    for row, fields in zip(table, orders):
        for name, value in {
            "id": ID,
            "side": 1,
            "px": 100,
            "qty": 10,
            "state": ST_OPEN,
            "ts_sent": 100,
            **fields,
        }.items():
            row[name] = value
    executions = np.zeros(len(counted), EXECUTION)
    for entry, (id, ts, lots) in zip(executions, counted):
        entry["id"], entry["ts"], entry["lots"] = id, ts, lots
    return Books(
        orders=table, positions=np.array([position, 0]), executions=executions, is_full=full, symbols=["BTC", "ETH"]
    )


def venue(**fields: int) -> VenueOrder:
    made: dict[str, Any] = {
        "id": ID, "venue_id": 5, "side": 1, "px": 100, "qty": 10, "status": ACK, "ts_ns": 9_000, **fields,
    }  # fmt: skip
    return VenueOrder(**made)


def execution(number: int, qty: int, ts_ns: int = 9_000, **fields: Any) -> VenueExecution:
    made = {
        "id": ID, "venue_id": 5, "execution_id": number, "instrument": 0, "side": 1, "px": 100, "qty": qty, "fee": 3,
        "is_maker": True, "ts_ns": ts_ns, **fields,
    }  # fmt: skip
    return VenueExecution(**made)


def judged(ours: Books, since_ns: int = 0, asked_ns: int = ASKED, **fields: Any) -> Reconciliation:
    report = AccountReport(**{"instruments": (0,), "ts_ns": 10_000, **fields})
    return reconcile(ours, report, now_ns=NOW, asked_ns=asked_ns, grace_ns=GRACE, since_ns=since_ns)


def told(found: Reconciliation) -> list[tuple[int, int, int]]:
    return [(int(row["kind"]), int(row["qty"]), int(row["reason"])) for row in found.rows]


def test_an_unknown_order_is_confirmed_filled_and_goes_on():
    found = judged(
        books({"state": ST_UNKNOWN}), open_orders=(venue(filled=4),), executions=(execution(2, 3), execution(1, 1)),
        positions={0: 4},
    )  # fmt: skip
    assert told(found) == [(ACK, 10, 0), (FILL, 1, FILLED_UNHEARD), (FILL, 3, FILLED_UNHEARD)]
    assert found.is_settled
    ack, first, _ = found.rows
    assert (int(ack["arg0"]), int(first["arg0"]), int(first["arg1"]), int(first["ts_recv"])) == (5, 3, 1, NOW)
    assert int(first["flags"]) == LOCAL | MAKER
    assert found.since_ns == 9_000


@pytest.mark.parametrize("kind", [CANCELED, EXPIRED, REJECT])
def test_an_end_nobody_heard(kind):
    found = judged(books({"state": ST_UNKNOWN}), orders=(venue(status=kind),))
    assert told(found) == [(kind, 10, ENDED_UNHEARD)]


def test_the_end_comes_after_its_fills_and_waits_for_them():
    ours = books({"state": ST_PARTIALLY_FILLED, "filled": 2}, position=2, counted=((1, 8_000, 2),))
    ended = venue(status=CANCELED, filled=5)
    found = judged(
        ours, orders=(ended,), executions=(execution(1, 2), execution(2, 3, is_maker=False)), positions={0: 5}
    )
    assert told(found) == [(FILL, 3, FILLED_UNHEARD), (CANCELED, 5, ENDED_UNHEARD)]
    assert int(found.rows[0]["flags"]) == LOCAL | TAKER
    short = judged(ours, orders=(ended,), executions=(execution(1, 2),))
    assert told(short) == []
    assert short.unexplained == (f"BTC: the venue counts 5 lots or more filled of order {ID}, its executions make 2",)
    assert (short.reason, short.since_ns) == (FILLS_UNEXPLAINED, 0)


def test_a_rejected_order_that_has_fills_is_canceled():
    ours = books({"state": ST_PARTIALLY_FILLED, "filled": 2}, position=2, counted=((1, 8_000, 2),))
    assert told(judged(ours, orders=(venue(status=REJECT, filled=2),))) == [(CANCELED, 8, ENDED_UNHEARD)]


def test_an_order_the_venue_never_saw_is_rejected_only_when_it_can_no_longer_arrive():
    absent = VenueOrder(id=ID)
    late = judged(books({"state": ST_UNKNOWN}), orders=(absent,))
    assert told(late) == [(REJECT, 10, NEVER_ARRIVED)]
    young = judged(books({"state": ST_UNKNOWN, "ts_sent": 9_000}), orders=(absent,))
    assert told(young) == []
    assert young.unanswered == (ID,)
    assert told(judged(books({"state": ST_UNKNOWN, "ts_sent": 8_999}), orders=(absent,))) == [
        (REJECT, 10, NEVER_ARRIVED)
    ]


def test_one_that_had_arrived_and_is_forgotten_ended():
    assert told(judged(books({"ts_ack": 200}), orders=(VenueOrder(id=ID),))) == [(CANCELED, 10, VENUE_FORGOT)]
    found = judged(books({"state": ST_UNKNOWN}), orders=(VenueOrder(id=ID),), executions=(execution(1, 10),))
    assert told(found) == [(FILL, 10, FILLED_UNHEARD)]


def test_an_order_nobody_answered_for_stays_as_it_is():
    found = judged(books({"state": ST_UNKNOWN}), executions=(execution(1, 2),))
    assert told(found) == [(FILL, 2, FILLED_UNHEARD)]
    assert found.unanswered == (ID,)
    elsewhere = judged(books({"state": ST_UNKNOWN, "instrument": 1}))
    assert (told(elsewhere), elsewhere.unanswered) == ([], ())


def test_an_amend_that_took_effect_unheard():
    ours = books({"filled": 2, "state": ST_PARTIALLY_FILLED, "pending": AMEND}, position=2, counted=((1, 8_000, 2),))
    found = judged(ours, open_orders=(venue(px=105, qty=7, filled=3),), executions=(execution(2, 1, px=105),))
    assert told(found) == [(AMENDED, 5, 0), (FILL, 1, FILLED_UNHEARD)]
    assert int(found.rows[0]["px"]) == 105
    # Cut down to what had filled already: it is over, and nothing is left to amend.
    cut = judged(ours, orders=(venue(qty=2, filled=2, status=FILL),))
    assert told(cut) == [(CANCELED, 0, ENDED_UNHEARD)]


@pytest.mark.parametrize(("pending", "kind"), [(CANCEL, CANCEL_REJECT), (AMEND, AMEND_REJECT)])
def test_a_request_without_effect_is_lost_only_when_it_can_no_longer_arrive(pending, kind):
    assert told(judged(books({"pending": pending, "pending_ts": 8_999}), open_orders=(venue(),))) == [
        (kind, 10, REQUEST_LOST)
    ]
    young = judged(books({"pending": pending, "pending_ts": 9_000}), open_orders=(venue(),))
    assert (told(young), young.unanswered) == ([], (ID,))


def test_an_amend_that_a_halt_canceled_on_top_of_is_lost_with_the_cancel():
    both = books({"pending": CANCEL, "pending_ts": 8_999, "pending_most": 14})
    assert told(judged(both, open_orders=(venue(),))) == [
        (CANCEL_REJECT, 10, REQUEST_LOST), (AMEND_REJECT, 10, REQUEST_LOST)
    ]  # fmt: skip
    amended = judged(both, open_orders=(venue(px=105, qty=14),))
    assert [kind for kind, _, _ in told(amended)] == [AMENDED, CANCEL_REJECT]


def test_a_report_older_than_what_we_heard_changes_nothing_back():
    changed = books({"px": 120, "ts_last": ASKED + 1})
    assert told(judged(changed, open_orders=(venue(),))) == []
    assert told(judged(books({"px": 120, "ts_last": ASKED - 1}), open_orders=(venue(),))) == [(AMENDED, 10, 0)]
    # An end is an end, and a fill is money, however old.
    assert told(judged(changed, orders=(venue(status=CANCELED),))) == [(CANCELED, 10, ENDED_UNHEARD)]
    sent_since = judged(books({"state": ST_PENDING_NEW, "ts_sent": ASKED + 1}), orders=(VenueOrder(id=ID),))
    assert (told(sent_since), sent_since.unanswered) == ([], (ID,))


def test_fills_heard_after_the_report_was_true_do_not_disagree_with_it():
    ours = books(position=7, counted=((1, 8_000, 4), (2, 10_001, 3)))
    assert judged(ours, executions=(execution(1, 4),), positions={0: 4}).unexplained == ()
    assert judged(ours, executions=(execution(1, 4), execution(2, 3)), positions={0: 7}).unexplained == ()


def test_a_position_that_fills_do_not_make_is_said_and_halts():
    found = judged(books(position=3), positions={0: 5, 1: 9})
    assert found.unexplained == ("BTC: the venue holds 5 lots for us, the fills make 3",)
    assert (found.reason, found.is_settled) == (POSITION_UNEXPLAINED, False)
    row = halt_row(found.reason, NOW)[0]
    assert (int(row["kind"]), int(row["reason"]), int(row["ts_recv"])) == (HALT, POSITION_UNEXPLAINED, NOW)
    (taken,) = adopt_positions(books(position=3), {0: 5, 1: 0}, {0: 250}, NOW)
    assert [int(taken[n]) for n in ("kind", "side", "qty", "px", "reason")] == [FILL, 1, 2, 250, POSITION_ADOPTED]
    (sold,) = adopt_positions(books(position=3), {0: -1}, {0: 250}, NOW)
    assert [int(sold[n]) for n in ("side", "qty")] == [-1, 4]


def test_orders_that_are_not_in_our_books_are_listed():
    mine, theirs = venue(id=ID + 5), venue(id=0, client_id="web_1")
    found = judged(books({}), open_orders=(venue(), mine, theirs))
    assert (found.lost, found.foreign) == ((mine,), (theirs,))
    (command,) = cancel_commands(found.lost, NOW)
    assert [int(command[n]) for n in ("kind", "id", "side", "instrument")] == [CANCEL, ID + 5, 1, 0]


def test_a_fill_of_a_stranger_moves_our_position_and_is_noted():
    found = judged(books(position=5), executions=(execution(9, 5, id=0, side=-1),), positions={0: 0})
    assert told(found) == [(FILL, 5, FOREIGN_FILL)]
    assert found.unexplained == ()
    assert found.notes == ("BTC: execution 9 is of an order that is not ours; it counts",)


def test_no_fill_counts_twice():
    seen = ((1, 8_000, 4),)
    assert told(judged(books(position=4, counted=seen), executions=(execution(1, 4), execution(1, 4)))) == []
    twice = judged(books(), executions=(execution(3, 4), execution(3, 4)))
    assert told(twice) == [(FILL, 4, FILLED_UNHEARD)]
    # The same number on another instrument is another fill.
    both = judged(books(), instruments=(0, 1), executions=(execution(3, 4), execution(3, 4, instrument=1)))
    assert len(both.rows) == 2
    # Known to be counted, or older than all that is remembered.
    assert told(judged(books(), since_ns=9_000, executions=(execution(4, 4),))) == []
    full = books(position=4, counted=((1, 9_500, 4),), full=True)
    assert told(judged(full, executions=(execution(4, 1), execution(5, 2, 9_501)))) == [(FILL, 2, FILLED_UNHEARD)]


def test_commands_that_never_left_are_answered():
    commands = np.zeros(4, COMMAND)
    commands["kind"], commands["id"], commands["qty"] = [NEW, CANCEL, AMEND, LINK], [1, 2, 3, 4], 5
    rows = unsent_rows(commands, NOW)
    assert [(int(r["kind"]), int(r["id"]), int(r["reason"])) for r in rows] == [
        (REJECT, 1, NEVER_SENT), (CANCEL_REJECT, 2, NEVER_SENT), (AMEND_REJECT, 3, NEVER_SENT),
    ]  # fmt: skip


def test_what_was_filled_before_an_order_was_replaced_belongs_to_it():
    # 30 lots, 3 filled, replaced by 24 long ago: the venue counts the new number alone.
    ours = books({"qty": 27, "filled": 3, "state": ST_PARTIALLY_FILLED}, position=3, full=True)
    assert told(judged(ours, open_orders=(venue(qty=24, filled=0),))) == []
    found = judged(ours, open_orders=(venue(qty=20, filled=0, px=101),))
    assert told(found) == [(AMENDED, 20, 0)]
    found = judged(ours, orders=(venue(qty=24, filled=24, status=FILL),), executions=(execution(9, 24),))
    assert told(found) == [(FILL, 24, FILLED_UNHEARD)]
    found = judged(ours, orders=(venue(qty=24, filled=0, status=CANCELED),))
    assert told(found) == [(CANCELED, 24, ENDED_UNHEARD)]


@pytest.mark.parametrize("filled", [0, 3])
def test_a_fill_while_the_venue_answers_is_not_taken_for_one_of_a_replaced_number(filled):
    # It may have traded after the answer about its order: the fill counts, the order is asked about again.
    ours = books({"qty": 24 + filled, "filled": filled, "state": ST_PARTIALLY_FILLED}, position=filled)
    crossing = execution(9, 4, 10_001)
    found = judged(ours, ts_ns=10_000, open_orders=(venue(qty=24),), executions=(crossing,))
    assert told(found) == [(FILL, 4, FILLED_UNHEARD)]
    assert found.unanswered == (ID,)
