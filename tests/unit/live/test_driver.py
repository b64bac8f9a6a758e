"""The driver: from messages to commands, arming, losing and finding a venue again, halting, ending, breaking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tercel as tc
from reference.driver_bench import MS, SMALL, T0, Bench, ListJournal, ToldStanding, sorted_times, unit
from reference.plain_connection import PlainConnection, message, top_of_book
from tercel.errors import ConfigError, StorageError
from tercel.live.driver import LiveCore, LiveOptions
from tercel.live.lifecycle import CANCEL_ALL, CONNECT, FLUSH, RECONCILE, STATES, STOPPED, TRADING, TRANSITIONS, mermaid
from tercel.live.standing import Verdict
from tercel.model.account import AccountReport
from tercel.model.commands import CANCEL, COMMAND, NEW
from tercel.model.events import ACK, BUY, CANCELED, DISCONNECT, FILL, LEVEL, LOCAL, REJECT, SIGNAL, TRADE, event_rows
from tercel.model.reasons import (
    ENDLESS_ANSWERS,
    KILL_SWITCH,
    NOT_ARMED,
    NOT_RECONCILED,
    POSITION_LIMIT,
)
from tercel.orders.lifecycle import ST_OPEN, ST_UNKNOWN
from tercel.venues.contract import Connect, Disconnect, Send


class Taker(tc.Strategy):
    """Buys one lot at the ask whenever a trade says so; remembers what it heard."""

    n_starts: int = 0
    n_books: int = 0
    n_rejects: int = 0
    last_reason: int = 0

    def on_start(self, ctx):
        self.n_starts += 1

    def on_book(self, ctx, book):
        self.n_books += 1

    def on_trade(self, ctx, trade):
        ctx.buy(trade.instrument, 1.0, limit=trade.price)

    def on_order(self, ctx, order):
        if order.kind == REJECT:
            self.n_rejects += 1
            self.last_reason = order.reason


class Stubborn(tc.Strategy):
    """Sends another order for every answer."""

    def on_start(self, ctx):
        ctx.buy(0, 1.0, limit=10.0)

    def on_order(self, ctx, order):
        if order.kind == REJECT:
            ctx.buy(0, 1.0, limit=10.0)


class Ticker(tc.Strategy):
    """Sends an order every 10 ms."""

    def on_start(self, ctx):
        ctx.set_timer(10_000_000, 0, 10_000_000)

    def on_timer(self, ctx, timer):
        ctx.buy(0, 1.0, limit=10.0)


class Faulty(tc.Strategy):
    """Divides by zero at the second trade."""

    left: int = 1

    def on_trade(self, ctx, trade):
        ctx.buy(0, 1.0, limit=trade.price)
        print(1 // self.left)
        self.left -= 1


TRADE_AT_10 = message({"kind": TRADE, "side": 1, "px": 10, "qty": 1})


def answer(kind: int, sent: dict[str, int], **more: int) -> bytes:
    row = {"kind": kind, "id": sent["id"], "side": sent["side"], "qty": sent["qty"], "px": sent["px"], **more}
    row["instrument"] = sent["instrument"]
    return message(row)


def test_a_message_becomes_a_command_in_one_call_and_the_journal_replays_to_it():
    bench = Bench(Taker())
    bench.begin()
    assert bench.core.state == TRADING
    bench.say(top_of_book(9, 11))
    bench.say(TRADE_AT_10)
    (sent,) = bench.venues[0].take_sent()
    assert (sent["kind"], sent["side"], sent["px"], sent["qty"]) == (NEW, BUY, 10, 1)
    bench.say(answer(ACK, sent, arg0=77), channel="orders")
    bench.say(answer(FILL, sent, arg0=0, arg1=501), channel="orders")
    assert bench.engine.view("positions")[0]["position"] == 1
    assert sorted_times(bench.journal.all_rows())
    bench.check_replay()


def test_before_arming_books_fill_but_no_strategy_hears():
    bench = Bench(Taker())
    bench.core.open(bench.tick())
    assert [e.channel for e in bench.venues[0].effects if isinstance(e, Connect)] == ["market", "orders"]
    bench.core.on_connected(0, "market", bench.tick())
    bench.say(top_of_book(9, 11))
    bench.say(TRADE_AT_10)
    assert (bench.engine.state(0)["n_books"], bench.engine.state(0)["n_starts"]) == (0, 0)
    assert bench.core.state == CONNECT
    bench.core.on_connected(0, "orders", bench.tick())
    assert bench.core.state == RECONCILE
    bench.report()
    assert bench.core.state == TRADING
    assert bench.engine.state(0)["n_starts"] == 1
    bench.say(top_of_book(9, 12))
    assert bench.engine.state(0)["n_books"] == 2
    bench.check_replay()


def test_a_session_that_waits_for_the_word_arms_when_told():
    bench = Bench(Taker(), is_arming=False)
    bench.begin()
    assert bench.core.state == RECONCILE
    bench.core.arm(bench.tick())
    assert bench.core.state == TRADING
    assert bench.core.is_trading


def test_what_a_lost_venue_owes_is_asked_before_orders_leave_again():
    bench = Bench(Taker())
    bench.begin()
    bench.say(TRADE_AT_10)
    (resting,) = bench.venues[0].take_sent()
    bench.say(answer(ACK, resting), channel="orders")
    bench.core.on_disconnected(0, "orders", bench.tick(), "cut")
    order = bench.engine.view("orders")[bench.engine.view("open")[0]]
    assert order["state"] == ST_UNKNOWN
    bench.say(TRADE_AT_10)
    assert bench.venues[0].take_sent() == []
    assert bench.engine.state(0)["last_reason"] == NOT_RECONCILED
    bench.core.on_connected(0, "orders", bench.tick())
    ((instruments, asked, _),) = bench.venues[0].asked
    assert (instruments, asked) == ((0,), (resting["id"],))
    bench.say(TRADE_AT_10)
    assert bench.venues[0].take_sent() == []
    row = event_rows(1)
    row["kind"], row["id"], row["qty"], row["px"], row["side"] = ACK, resting["id"], 1, 10, BUY
    row["flags"], row["ts_recv"] = LOCAL, bench.now_ns + MS
    bench.standing.verdicts.append(Verdict(rows=row, commands=np.zeros(0, COMMAND), since_ns=T0 + 100_000 * MS))
    bench.report()
    assert bench.engine.view("orders")[bench.engine.view("open")[0]]["state"] == ST_OPEN
    assert bench.core.links[0].since_ns == T0 + 40_000 * MS
    bench.say(TRADE_AT_10)
    assert [s["kind"] for s in bench.venues[0].take_sent()] == [NEW]
    bench.check_replay()


def test_a_report_asked_before_the_loss_does_not_open_the_connection():
    bench = Bench(Taker())
    bench.core.open(bench.tick())
    bench.connect()
    bench.core.on_disconnected(0, "orders", bench.tick(), "cut")
    bench.core.on_connected(0, "orders", bench.tick())
    bench.report()
    assert bench.core.state == RECONCILE
    bench.report()
    assert bench.core.state == TRADING


def test_an_order_without_an_answer_is_asked_about():
    bench = Bench(Taker())
    bench.begin()
    bench.say(TRADE_AT_10)
    (sent,) = bench.venues[0].take_sent()
    bench.tick(4_900)
    assert bench.venues[0].asked == []
    bench.tick(1_000)
    assert [asked for _, asked, _ in bench.venues[0].asked] == [(sent["id"],)]


def test_an_order_in_doubt_is_asked_about_soon():
    bench = Bench(Taker())
    bench.begin()
    bench.venues[0].in_doubt.add(99)
    bench.tick(300)
    assert [asked for _, asked, _ in bench.venues[0].asked] == [(99,)]


def test_timers_fire_without_rows_and_replay():
    bench = Bench(Ticker())
    bench.begin()
    bench.tick(35)
    assert len(bench.venues[0].take_sent()) == 3
    bench.say(top_of_book(9, 11), ms=10)
    bench.tick(5)
    assert len(bench.venues[0].take_sent()) == 1
    bench.check_replay()


def test_two_venues_each_get_their_own_commands():
    bench = Bench(Taker(), n_venues=2)
    bench.begin()
    bench.say(message({"kind": TRADE, "side": 1, "px": 10, "qty": 1, "instrument": 1}), venue=0)
    assert bench.venues[0].take_sent() == []
    assert [s["instrument"] for s in bench.venues[1].take_sent()] == [1]
    # One venue lost does not stop the other, and its rejects reach the engine within the call.
    bench.core.on_disconnected(1, "orders", bench.tick(), "cut")
    both = ({"kind": TRADE, "side": 1, "px": 10, "qty": 1, "instrument": i} for i in (1, 0))
    bench.say(message(*both), venue=0)
    assert [s["instrument"] for s in bench.venues[0].take_sent()] == [0]
    assert bench.engine.state(0)["n_rejects"] == 1
    bench.check_replay()


def test_answers_across_venues_do_not_go_on_forever():
    bench = Bench(Stubborn(), n_venues=2)
    bench.core.open(bench.tick())
    bench.connect(0)
    bench.connect(1)
    bench.venues[0].is_refusing = True
    bench.report(0)
    bench.report(1)
    assert bench.engine.head["halted"] == ENDLESS_ANSWERS
    assert any("halted" in text for text in bench.core.notes)


def test_a_clock_that_jumps_back_is_held():
    bench = Bench(Taker())
    bench.begin()
    bench.say(top_of_book(9, 11))
    held_ns = bench.now_ns
    bench.core.on_message(0, "market", top_of_book(9, 12), held_ns - 5_000 * MS)
    bench.core.on_message(0, "market", top_of_book(9, 13), held_ns + MS)
    rows = bench.journal.all_rows()
    assert sorted_times(rows)
    assert rows["ts_recv"][-4:].tolist() == [held_ns, held_ns, held_ns + MS, held_ns + MS]
    assert bench.core.n_clock_back == 1


def test_the_kill_switch_cancels_until_nothing_is_open_and_refuses_what_follows():
    bench = Bench(Taker())
    bench.begin()
    for _ in range(2):
        bench.say(TRADE_AT_10)
    first, second = bench.venues[0].take_sent()
    bench.say(answer(ACK, first), channel="orders")
    bench.say(answer(ACK, second), channel="orders")
    bench.core.halt(bench.tick())
    sent = bench.venues[0].take_sent()
    assert {(s["kind"], s["id"]) for s in sent} == {(CANCEL, first["id"]), (CANCEL, second["id"])}
    assert bench.engine.head["halted"] == KILL_SWITCH
    bench.say(answer(CANCELED, first), channel="orders")
    bench.tick(1_500)
    assert {(s["kind"], s["id"]) for s in bench.venues[0].take_sent()} == {(CANCEL, second["id"])}
    bench.say(answer(CANCELED, second), channel="orders")
    bench.say(TRADE_AT_10)
    bench.tick(5_000)
    assert bench.venues[0].take_sent() == []
    assert bench.core.flow.n_refused == 1
    bench.core.resume(bench.tick())
    bench.say(TRADE_AT_10)
    assert [s["kind"] for s in bench.venues[0].take_sent()] == [NEW]
    bench.check_replay()


def test_a_position_that_stays_unexplained_halts():
    bench = Bench(Taker())
    wrong = Verdict(
        rows=event_rows(0), commands=np.zeros(0, COMMAND), unexplained="the venue has 3 lots", reason=POSITION_LIMIT
    )  # fmt: skip
    bench.standing.verdicts += [wrong] * 3
    bench.core.open(bench.tick())
    bench.connect()
    for _ in range(2):
        bench.report()
        assert bench.core.state == RECONCILE
        bench.tick(2_300)
    bench.report()
    assert bench.engine.head["halted"] == POSITION_LIMIT
    assert any("3 lots" in text for text in bench.core.notes)


def test_a_position_that_agrees_at_the_second_look_does_not_halt():
    bench = Bench(Taker())
    wrong = Verdict(rows=event_rows(0), commands=np.zeros(0, COMMAND), unexplained="crossed on the way", reason=1)
    bench.standing.verdicts.append(wrong)
    bench.core.open(bench.tick())
    bench.connect()
    bench.report()
    bench.tick(1_300)
    bench.report()
    assert (bench.core.state, int(bench.engine.head["halted"])) == (TRADING, 0)


def test_the_end_cancels_closes_and_leaves_a_journal_that_replays():
    bench = Bench(Taker())
    bench.begin()
    bench.say(TRADE_AT_10)
    (sent,) = bench.venues[0].take_sent()
    bench.say(answer(ACK, sent), channel="orders")
    bench.core.stop(bench.tick(), "asked")
    assert bench.core.state == CANCEL_ALL
    assert [(s["kind"], s["id"]) for s in bench.venues[0].take_sent()] == [(CANCEL, sent["id"])]
    bench.say(TRADE_AT_10)
    assert bench.engine.state(0)["last_reason"] == NOT_ARMED
    bench.say(answer(CANCELED, sent), channel="orders")
    assert bench.core.state == FLUSH
    assert {e.channel for e in bench.venues[0].effects if isinstance(e, Disconnect)} == {"market", "orders"}
    bench.core.closed()
    assert (bench.core.state, bench.core.why) == (STOPPED, "asked")
    assert bench.core.next_wake_ns > T0 + (1 << 61)
    bench.check_replay()


def test_the_end_does_not_wait_forever_for_a_venue_that_is_silent():
    bench = Bench(Taker(), options=LiveOptions(cancel_all_ns=3_000 * MS))
    bench.begin()
    bench.say(TRADE_AT_10)
    bench.core.stop(bench.tick(), "asked")
    bench.tick(2_900)
    assert bench.core.state == CANCEL_ALL
    bench.tick(400)
    assert bench.core.state == FLUSH
    assert any("not confirmed" in text for text in bench.core.notes)


def test_a_strategy_that_raises_ends_the_session_with_its_orders_canceled():
    bench = Bench(Faulty())
    bench.begin()
    bench.say(TRADE_AT_10)
    (sent,) = bench.venues[0].take_sent()
    bench.say(answer(ACK, sent), channel="orders")
    bench.say(TRADE_AT_10)
    assert "division" in str(bench.core.error)
    assert [(s["kind"], s["id"]) for s in bench.venues[0].take_sent()] == [(CANCEL, sent["id"])]
    bench.tick(5_000)
    assert bench.core.state == FLUSH


def test_a_full_disk_ends_the_session_and_lets_no_command_out():
    bench = Bench(Taker())
    bench.begin()
    bench.say(TRADE_AT_10)
    (sent,) = bench.venues[0].take_sent()
    bench.say(answer(ACK, sent), channel="orders")
    bench.journal.error = StorageError("disk full")
    bench.say(TRADE_AT_10)
    assert [(s["kind"], s["id"]) for s in bench.venues[0].take_sent()] == [(CANCEL, sent["id"])]
    assert bench.core.state == CANCEL_ALL


def test_a_message_that_cannot_be_read_closes_its_channel():
    bench = Bench(Taker())
    bench.begin()
    bench.say(b"{nonsense")
    (effect,) = bench.venues[0].effects
    assert isinstance(effect, Disconnect)
    assert effect.channel == "market"
    assert bench.core.links[0].n_bad_messages == 1
    assert bench.core.state == TRADING


def test_signals_are_rows_like_any():
    class Follower(tc.Strategy):
        def on_signal(self, ctx, signal):
            ctx.buy(0, 1.0, limit=10.0)

    bench = Bench(Follower())
    bench.begin()
    row = event_rows(1)
    row["kind"] = SIGNAL
    bench.core.inject(row, bench.tick())
    assert [s["kind"] for s in bench.venues[0].take_sent()] == [NEW]
    bench.check_replay()


def test_taps_see_the_rows():
    bench = Bench(Taker())
    seen: list[int] = []
    bench.core.flow.taps.append(lambda rows, now_ns: seen.extend(rows["kind"].tolist()))
    bench.begin()
    seen.clear()
    bench.say(top_of_book(9, 11))
    assert seen == [LEVEL, LEVEL]


def test_a_session_that_ended_starts_its_strategies_again():
    bench = Bench(Taker())
    bench.begin()
    bench.core.stop(bench.tick(), "asked")
    again = Bench(Taker())
    again.engine.restore(bench.engine.snapshot())
    again.now_ns = again.core.now_ns = bench.now_ns
    again.begin()
    assert again.engine.state(0)["n_starts"] == 2


def test_a_session_that_was_cut_off_goes_on_without_starting():
    bench = Bench(Taker())
    bench.begin()
    again = Bench(Taker())
    again.engine.restore(bench.engine.snapshot())
    again.now_ns = again.core.now_ns = bench.now_ns
    again.begin()
    assert again.engine.state(0)["n_starts"] == 1


def test_an_instrument_of_two_connections_is_refused():
    engine = Bench(Taker()).engine
    twice = [PlainConnection(f"p{i}", {0: unit()}) for i in range(2)]
    with pytest.raises(ConfigError, match="belongs to the connections p0 and p1"):
        LiveCore(engine, twice, ListJournal(), ToldStanding())
    with pytest.raises(ConfigError, match="instrument number 1"):
        LiveCore(engine, [PlainConnection("p", {1: unit()})], ListJournal(), ToldStanding())


def test_disconnect_rows_are_told_by_the_connection_alone():
    bench = Bench(Taker(), n_venues=2)
    bench.begin()
    bench.core.on_disconnected(0, "orders", bench.tick(), "cut")
    rows = bench.journal.all_rows()
    assert rows["instrument"][rows["kind"] == DISCONNECT].tolist() == [0]
    assert [link.is_open for link in bench.core.links] == [False, True]


def test_the_table_of_states_is_whole():
    assert set(TRANSITIONS) == set(STATES)
    assert all(after in STATES for afters in TRANSITIONS.values() for after in afters)
    assert "trading --> disarm" in mermaid()
    page = (Path(__file__).parents[3] / "docs" / "live.md").read_text(encoding="utf-8")
    assert mermaid() in page
    assert all(f"| {state} | {text} |" in page for state, text in STATES.items())


def test_reports_of_one_question_come_once():
    bench = Bench(Taker())
    bench.begin()
    bench.venues[0].in_doubt.add(7)
    bench.tick(2_000)
    assert len(bench.venues[0].asked) == 1
    bench.venues[0].answer_report(AccountReport(instruments=(0,), ts_ns=bench.now_ns))
    bench.venues[0].in_doubt.clear()
    bench.tick(2_000)
    assert len(bench.venues[0].asked) == 1
    assert isinstance(bench.venues[0].effects, list)
    assert not any(isinstance(e, Send) for e in bench.venues[0].effects)
    assert SMALL.orders == 64
