"""What every venue connection must do, whatever its protocol: the suite that a new venue joins with a case."""

from __future__ import annotations

import numpy as np
import pytest
from venue_cases import KEY, SECRET, T0_MS, T0_NS, VENUES, Hands, command, opened

from tercel.errors import DataError
from tercel.model.commands import AMEND, CANCEL, LINK
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    BUY,
    CANCEL_REJECT,
    CANCELED,
    CLEAR,
    CONNECT,
    DISCONNECT,
    EXPIRED,
    FILL,
    LAST,
    LEVEL,
    LOCAL,
    MAKER,
    QUOTE,
    REJECT,
    SELL,
    SNAPSHOT,
    TRADE,
)  # fmt: skip
from tercel.model.reasons import REASONS, VENUE_DOWN
from tercel.venues.contract import Disconnect, client_id, order_id

pytestmark = pytest.mark.parametrize("case", VENUES.values(), ids=VENUES.keys())

BIDS, ASKS = [["60000.0", "3.000"], ["59998.0", "0.000"]], [["60000.1", "4.000"]]


def book_of(rows, i=0):
    """The book that rows make, as a naive reader would keep it."""
    book: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
    for row in rows:
        if row["kind"] == LEVEL:
            side = book[row["side"]]
            side.pop(row["px"], None) if row["qty"] == 0 else side.__setitem__(row["px"], row["qty"])
        elif row["kind"] == CLEAR:
            for side in (row["side"],) if row["side"] else (BUY, SELL):
                edge = row["px"]
                book[side] = {
                    px: q for px, q in book[side].items() if edge and (px < edge if side == BUY else px > edge)
                }
    return book


def stream(case, hands):
    """Ten depth events that join, after the snapshot."""
    made = []
    for k in range(10):
        bids = [["60000.0", f"{k + 1}.000"], [f"{59990 + k}.0", "0.500"]]
        asks = [["60000.1", f"{k + 2}.000"]] + ([["60000.2", "0.000"]] if k == 5 else [])
        made.append(case.depth(102 + k, 102 + k, 101 + k, bids, asks))
    return made


def test_opens_in_step_and_live(case):
    hands = Hands(case, case.connection())
    hands.connection.open(hands.now_ns)
    assert not hands.connection.is_live
    hands.step()
    assert not hands.connection.is_live, "no book before the snapshot"
    hands.market(case.depth(99, 101, 98, [["60000.0", "7.000"]], []))
    hands.step()
    assert hands.connection.is_live
    rows = hands.rows()
    assert [r["kind"] for r in rows if r["kind"] in (CONNECT, DISCONNECT)] == [CONNECT]
    assert book_of(rows) == {BUY: {600_000: 7000, 599_999: 2000}, SELL: {600_001: 1500, 600_002: 2500}}


def test_every_row_is_stamped_and_every_message_ends(case):
    hands = opened(case)
    for data in stream(case, hands):
        hands.market(data)
        rows = hands.rows()
        assert all(r["ts_recv"] == hands.now_ns and r["flags"] & LOCAL for r in rows)
        assert [bool(r["flags"] & LAST) for r in rows] == [False] * (len(rows) - 1) + [True]
        assert all(abs(r["ts_exch"] - T0_NS) < 10_000_000 for r in rows)


def test_same_rows_from_bytes_bytearray_and_memoryview(case):
    made = []
    for kind in (bytes, bytearray, memoryview):
        hands = opened(case)
        for data in stream(case, hands):
            hands.market(kind(data))
        made.append(hands.connection.rows.filled().tobytes())
    assert made[0] == made[1] == made[2]
    assert len(made[0]) > 20 * 64


def test_the_buffer_of_a_message_may_be_reused(case):
    hands, other = opened(case), opened(case)
    shared = bytearray(4096)
    for data in stream(case, hands):
        hands.market(data)
        shared[: len(data)] = data
        other.market(memoryview(shared)[: len(data)])
        shared[:] = bytes(len(shared))
    assert hands.connection.rows.filled().tobytes() == other.connection.rows.filled().tobytes()


def test_the_same_inputs_give_the_same_outputs(case):
    made = []
    for _ in range(2):
        hands = opened(case)
        for data in stream(case, hands):
            hands.market(data)
        hands.send(command(3))
        hands.connection.on_disconnected("orders", hands.now_ns, "gone")
        hands.step(60_000_000_000)
        made.append((hands.connection.rows.filled().tobytes(), repr(hands.sent), hands.connection.next_wake_ns))
    assert made[0] == made[1]


@pytest.mark.parametrize("missing", [0, 4, 8])
def test_a_gap_clears_the_book_and_asks_anew(case, missing):
    hands, whole = opened(case), opened(case)
    events = stream(case, hands)
    for data in events:
        whole.market(data)
    n_asked = sum(r.endpoint == "snapshot" for r in hands.requests)
    # The snapshot that will be fetched is the venue's book after the last event.
    hands.last, hands.bids, hands.asks = 111, [["60000.0", "10.000"]], [["60000.1", "11.000"]]
    hands.holds = {"snapshot"}
    for k, data in enumerate(events):
        if k == missing:
            continue
        hands.market(data)
        hands.step()
        if k > missing:
            assert not hands.connection.is_live
            assert not any(book_of(hands.rows()).values()), "nothing of a book with a hole in it is shown"
    assert sum(r.endpoint == "snapshot" for r in hands.requests) == n_asked + 1
    hands.holds = set()
    hands.respond(hands.held[-1])
    hands.market(case.depth(112, 112, 111, [["60000.0", "12.000"]], []))
    assert hands.connection.is_live
    assert book_of(hands.rows()) == {BUY: {600_000: 12_000}, SELL: {600_001: 11_000}}


def test_events_while_the_snapshot_travels_are_not_lost(case):
    hands = Hands(case, case.connection(), holds={"snapshot"})
    hands.connection.open(hands.now_ns)
    hands.step()
    hands.market(case.depth(99, 101, 98, [["60000.0", "1.000"]], []))
    hands.step()
    hands.market(case.depth(102, 102, 101, [["60000.0", "9.000"], ["59999.9", "0.000"]], [["60000.1", "6.000"]]))
    assert not hands.connection.is_live
    hands.respond(hands.held[0])
    rows = hands.rows()
    assert book_of(rows) == {BUY: {600_000: 9000}, SELL: {600_001: 6000, 600_002: 2500}}
    again = [r for r in rows if r["flags"] & SNAPSHOT and r["id"] == 102]
    assert len(again) == 3
    assert again[-1]["flags"] & LAST
    assert hands.connection.is_live


def test_a_snapshot_older_than_the_stream_is_not_used(case):
    hands = Hands(case, case.connection(), last=50)
    hands.connection.open(hands.now_ns)
    hands.step()
    hands.market(case.depth(99, 101, 98, [["60000.0", "1.000"]], []))
    hands.step()
    assert not hands.connection.is_live
    hands.last = 101
    hands.step(60_000_000_000)
    hands.market(case.depth(102, 102, 101, [["60000.0", "9.000"]], []))
    assert hands.connection.is_live
    assert book_of(hands.rows())[BUY][600_000] == 9000


@pytest.mark.parametrize("times", [1, 3])
def test_duplicates_change_nothing(case, times):
    hands, other = opened(case), opened(case)
    for data in stream(case, hands):
        hands.market(data)
        for _ in range(1 + times):
            other.market(data)
    assert hands.connection.rows.filled().tobytes() == other.connection.rows.filled().tobytes()
    assert other.connection.is_live


def test_an_old_event_that_comes_late_changes_nothing(case):
    hands = opened(case)
    events = stream(case, hands)
    for data in events:
        hands.market(data)
    before = hands.connection.rows.n
    for data in events[:9]:
        hands.market(data)
    assert hands.connection.rows.n == before
    assert hands.connection.is_live


def test_reordered_events_resync(case):
    hands = opened(case)
    events = stream(case, hands)
    hands.holds = {"snapshot"}
    for k in (0, 2, 1, 3):
        hands.market(events[k])
    hands.step()
    assert not hands.connection.is_live
    hands.last, hands.bids, hands.asks = 105, [["60000.0", "4.000"]], [["60000.1", "5.000"]]
    hands.respond(hands.held[-1])
    hands.market(events[4])
    assert hands.connection.is_live
    assert book_of(hands.rows())[BUY] == {600_000: 5000, 599_940: 500}


def test_trades_and_quotes(case):
    hands = opened(case)
    hands.market(case.trade(77, "60000.1", "0.015", buyer_rests=False))
    hands.market(case.trade(78, "60000.0", "0.005", buyer_rests=True))
    hands.market(case.quote(103, "60000.0", "1.000", "60000.1", "1.500"))
    a, b, q = hands.rows()
    assert (a["kind"], a["px"], a["qty"], a["id"], a["side"]) == (TRADE, 600_001, 15, 77, BUY)
    assert (b["kind"], b["px"], b["qty"], b["id"], b["side"]) == (TRADE, 600_000, 5, 78, SELL)
    assert (q["kind"], q["px"], q["qty"], q["arg0"], q["arg1"], q["id"]) == (QUOTE, 600_000, 1000, 600_001, 1500, 103)


def test_unknown_fields_and_messages_are_ignored(case):
    hands, plain = opened(case), opened(case)
    more = {"zz": {"deep": [1, {"a": None}]}, "Q9": 1.5e300, "text": 'a"\\u00e9'}
    for h, extra in ((hands, more), (plain, {})):
        h.market(case.depth(102, 102, 101, BIDS, ASKS, **extra))
        h.market(case.trade(77, "60000.1", "0.015", False, **extra))
        h.market(case.quote(103, "60000.0", "1.000", "60000.1", "1.500", **extra))
        h.user(case.order_event(client_id(9), "NEW", "NEW", **extra))
    assert hands.connection.rows.filled().tobytes() == plain.connection.rows.filled().tobytes()
    n = hands.connection.rows.n
    hands.market(b'{"stream":"btcusdt@somethingNew","data":{"e":"somethingNew","s":"BTCUSDT","b":[["1","2"]]}}')
    hands.market(b'{"result":null,"id":3}')
    hands.user(b'{"e":"SOMETHING_NEW","E":1}')
    assert hands.connection.rows.n == n


BROKEN = [
    b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"stream":3}', b'{"stream":"a@depth","data":{"e":"depthUpdate"}}', b"12",
    b'{"e":"trade","s":7}',
]  # fmt: skip


@pytest.mark.parametrize("data", BROKEN)
def test_malformed_is_a_data_error_and_does_no_damage(case, data):
    hands, plain = opened(case), opened(case)
    events = stream(case, hands)
    for h in (hands, plain):
        h.market(events[0])
    with pytest.raises(DataError):
        hands.market(data)
    for h in (hands, plain):
        h.market(events[1])
    assert hands.connection.rows.filled().tobytes() == plain.connection.rows.filled().tobytes()


def test_numbers_that_cannot_be_are_a_data_error(case):
    hands = opened(case)
    n = hands.connection.rows.n
    for bids in ([["60000.05", "1.000"]], [["-1.0", "1.000"]], [["60000.0", "nan"]], [["1e400", "1"]], [["0.0", "1"]]):
        with pytest.raises(DataError):
            hands.market(case.depth(102, 102, 101, bids, []))
    with pytest.raises(DataError):
        hands.market(case.trade(1, "60000.0", "0.000", True))
    with pytest.raises(DataError):
        hands.market(case.quote(1, "60000.1", "1", "60000.1", "1"))
    assert hands.connection.rows.n == n
    hands.market(case.depth(102, 102, 101, BIDS, ASKS))
    assert hands.connection.is_live


def test_an_order_from_birth_to_fill(case):
    hands = opened(case)
    mine = client_id(7)
    assert len(hands.send(command(7))) == 1
    hands.user(case.order_event(mine, "NEW", "NEW"))
    more = {"l": "0.005", "L": "60000.0", "z": "0.005", "t": 501, "n": "0.1200", "N": "USDT", "m": True}
    hands.user(case.order_event(mine, "TRADE", "PARTIALLY_FILLED", **more))
    more = {"l": "0.015", "L": "59999.9", "z": "0.020", "t": 502, "n": "0.36", "N": "USDT", "m": False}
    hands.user(case.order_event(mine, "TRADE", "FILLED", **more))
    ack, first, second = hands.rows()
    assert (ack["kind"], ack["id"], ack["px"], ack["qty"], ack["arg0"]) == (ACK, 7, 600_000, 20, 4293153)
    assert (first["kind"], first["px"], first["qty"], first["arg1"]) == (FILL, 600_000, 5, 501)
    quantum = case.instrument().quanta
    assert first["flags"] & MAKER
    assert not second["flags"] & MAKER
    assert (first["arg0"], second["arg0"]) == (quantum("0.12"), quantum("0.36"))
    assert hands.connection.desk.open == {}


def test_answer_and_stream_acknowledge_once(case):
    for answer_first in (True, False):
        hands = opened(case)
        frame = hands.send(command(7))[0]
        if not answer_first:
            hands.user(case.order_event(client_id(7), "NEW", "NEW"))
        hands.answer(frame["id"], {"symbol": "BTCUSDT", "orderId": 4293153, "clientOrderId": client_id(7)})
        if answer_first:
            hands.user(case.order_event(client_id(7), "NEW", "NEW"))
        assert [r["kind"] for r in hands.rows()] == [ACK]


def test_a_fill_is_told_once(case):
    hands = opened(case)
    hands.send(command(7))
    more = {"l": "0.005", "L": "60000.0", "z": "0.005", "t": 501, "n": "0", "N": "USDT"}
    for _ in range(3):
        hands.user(case.order_event(client_id(7), "TRADE", "PARTIALLY_FILLED", **more))
    assert [r["kind"] for r in hands.rows()] == [FILL]


def test_a_fill_that_is_not_ours_still_moves_the_position(case):
    hands = opened(case)
    more = {"l": "0.005", "L": "60000.0", "z": "0.005", "t": 501, "n": "0", "N": "USDT"}
    hands.user(case.order_event("web_3f2a", "TRADE", "PARTIALLY_FILLED", **more))
    hands.user(case.order_event("web_3f2a", "CANCELED", "CANCELED"))
    (row,) = hands.rows()
    assert (row["kind"], row["id"], row["qty"]) == (FILL, 0, 5)


def test_cancel_and_its_refusal(case):
    hands = opened(case)
    hands.send(command(7))
    hands.user(case.order_event(client_id(7), "NEW", "NEW"))
    frame = hands.send(command(7, CANCEL))[0]
    hands.user(case.canceled(client_id(7)))
    hands.answer(frame["id"], {"status": "CANCELED"})
    late = hands.send(command(7, CANCEL))[0]
    hands.answer(late["id"], status=400, error={"code": -2011, "msg": "Unknown order sent."})
    kinds = [(r["kind"], r["id"]) for r in hands.rows()]
    assert kinds == [(ACK, 7), (CANCELED, 7), (CANCEL_REJECT, 7)]


def test_a_refused_order(case):
    hands = opened(case)
    frame = hands.send(command(7))[0]
    hands.answer(frame["id"], status=400, error={"code": -2019, "msg": "Margin is insufficient."})
    (row,) = hands.rows()
    assert (row["kind"], row["id"], REASONS[row["reason"]][0]) == (REJECT, 7, "venue_balance")
    assert hands.connection.desk.open == {}
    assert not hands.connection.in_doubt


def test_what_cannot_be_sent_is_answered(case):
    hands = opened(case)
    hands.connection.on_disconnected("orders", hands.now_ns, "gone")
    assert not hands.connection.is_live
    hands.rows()
    for row in (command(7), command(8, AMEND), command(9, LINK)):
        hands.connection.send_commands(row, hands.now_ns)
    rows = hands.rows()
    assert [(r["kind"], r["id"]) for r in rows] == [(REJECT, 7), (AMEND_REJECT, 8), (AMEND_REJECT, 9)]
    assert rows[0]["reason"] == VENUE_DOWN


def test_lost_and_regained(case):
    hands = opened(case)
    hands.send(command(7))
    hands.connection.on_disconnected("orders", hands.now_ns, "gone")
    assert hands.connection.in_doubt == {7}, "its answer never came"
    assert hands.connection.next_wake_ns > hands.now_ns
    hands.step(60_000_000_000)
    assert [r["kind"] for r in hands.rows()] == [DISCONNECT, CONNECT]
    assert hands.connection.is_live


def test_reconnects_wait_longer_and_longer(case):
    connection = case.connection()
    connection.open(T0_NS)
    connection.effects.clear()
    now, waits = T0_NS, []
    for _ in range(14):
        connection.on_disconnected("market", now, "refused")
        due = connection._due[("connect", "market")]
        waits.append(due - now)
        now = due
        connection.on_wake(now)
    assert all(wait > 0 for wait in waits)
    assert waits[0] <= 100_000_000
    assert 15_000_000_000 <= max(waits) <= 30_000_000_000
    assert max(waits[:5]) < min(waits[9:])


def test_the_market_channel_lost_means_no_book(case):
    hands = opened(case)
    hands.connection.on_disconnected("market", hands.now_ns, "gone")
    (clear,) = hands.rows()
    assert (clear["kind"], clear["px"], clear["side"]) == (CLEAR, 0, 0)
    assert not hands.connection.is_live
    hands.step(60_000_000_000)
    hands.last = 400
    hands.market(case.depth(399, 401, 398, [["60000.0", "1.000"]], []))
    hands.step()
    assert hands.connection.is_live
    assert book_of(hands.rows())[BUY] == {600_000: 1000, 599_999: 2000}


def test_an_unanswered_order_is_in_doubt_and_not_refused(case):
    hands = opened(case)
    hands.send(command(7))
    hands.step(20_000_000_000)
    assert hands.connection.in_doubt == {7}
    assert [r for r in hands.rows() if r["kind"] == REJECT] == []
    hands.user(case.order_event(client_id(7), "NEW", "NEW"))
    assert hands.connection.in_doubt == set()
    assert [r["kind"] for r in hands.rows()] == [ACK]


def test_an_outcome_the_venue_does_not_know_is_no_refusal(case):
    hands = opened(case)
    frame = hands.send(command(7))[0]
    hands.answer(frame["id"], status=503, error={"code": -1007, "msg": "Timeout waiting for response."})
    assert hands.rows() == []
    assert hands.connection.in_doubt == {7}


def test_expired_orders_say_why(case):
    said = []
    for more in ({"f": "IOC"}, {"f": "FOK"}, {"o": "MARKET"}, {"f": "GTX"}, {"X": "EXPIRED_IN_MATCH"}, {}):
        hands = opened(case)
        hands.send(command(7))
        hands.user(case.order_event(client_id(7), "EXPIRED", more.pop("X", "EXPIRED"), **more))
        (row,) = hands.rows()
        assert row["kind"] == EXPIRED
        said.append(REASONS[row["reason"]][0])
    assert said == ["ioc_remainder", "fok_unfillable", "no_liquidity", "would_take", "venue_self_trade", "venue_ended"]


def test_closing_ends_everything(case):
    hands = opened(case)
    hands.connection.close(hands.now_ns)
    closed = {e.channel for e in hands.connection.effects if isinstance(e, Disconnect)}
    assert closed == set(hands.urls)
    hands.step()
    assert hands.connection.next_wake_ns == (1 << 63) - 1
    assert hands.connection.effects == []


def test_market_data_alone_needs_no_account(case):
    hands = opened(case, with_account=False)
    assert hands.connection.is_live
    assert "orders" not in hands.urls
    assert {r.endpoint for r in hands.requests} == {"time", "info", "snapshot"}


def test_secrets_show_nowhere(case):
    hands = opened(case)
    hands.connection.on_failure(hands.requests[0].id, "refused", True, hands.now_ns)
    hands.answer(-1, status=401, error={"code": -2015, "msg": "Invalid API-key"})
    hands.step()
    shown = repr(hands.connection) + repr(hands.connection.signer) + " ".join(hands.connection.notes)
    shown += repr(vars(hands.connection).get("settings"))
    assert SECRET not in shown
    assert KEY not in shown
    assert SECRET not in repr(hands.sent) + repr(hands.requests)


def test_client_ids_come_back(case):
    for number in (1, 255, (1 << 62) + 5):
        assert order_id(client_id(number)) == number


def test_row_times_are_whole(case):
    hands = opened(case)
    hands.market(case.depth(102, 102, 101, BIDS, ASKS))
    (first, *_) = hands.rows()
    expected = T0_MS + (2 if case.is_spot else 1)
    assert first["ts_exch"] == expected * 1_000_000
    assert np.iinfo(np.int64).max > first["ts_exch"]
