"""The actor tier: market rows in, signals out, and one actor's trouble is its own."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal

import numpy as np
import pytest

import tercel as tc
from reference.driver_bench import T0, Bench
from reference.plain_connection import message
from tercel.errors import ConfigError, UnknownInstrumentError
from tercel.live.actors import Actor, Portfolio, portfolio_of
from tercel.live.actors_pipeline import SIGNALS_PER_S, Pipeline
from tercel.model.commands import NEW
from tercel.model.events import ACK, FILL, LEVEL, QUOTE, REFUSED, SIGNAL, TRADE, event_rows
from tercel.model.reasons import DEADLINE
from tercel.model.signals import Signal, bits_to_float
from tercel.runtime.actor import ActorReport, RestartPolicy
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.supervisor import Supervisor

BTC = tc.Instrument(symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
ETH = tc.Instrument(symbol="ETHUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.01"))
MS = 1_000_000


def trades(*prices, instrument=0, ts_ns=0):
    rows = event_rows(len(prices))
    rows["kind"], rows["instrument"], rows["px"], rows["qty"] = TRADE, instrument, prices, 1
    rows["ts_recv"] = ts_ns
    return rows


async def pass_time(seconds=0.0):
    """Time on the hand clock; everything that can run before does."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds + 1e-6)


class Session:
    """A supervisor, a pipeline and the list its sink writes to."""

    def __init__(self, clock, **options):
        self.rows: list[np.void] = []
        self.supervisor = Supervisor(clock=clock)
        self.clock = clock
        self.options = options

    async def __aenter__(self):
        await self.supervisor.__aenter__()
        self.pipeline = Pipeline(self.supervisor, [BTC, ETH], self.rows.extend, clock=self.clock, **self.options)
        self.pipeline.start()
        return self

    async def __aexit__(self, kind, error, trace):
        if kind is None:
            await self.pipeline.stop(5.0)
        await self.supervisor.__aexit__(kind, error, trace)

    def signals_of(self, name):
        return self.pipeline.report().signals[name]


class Echo(Actor):
    """A signal for each trade, its price the value."""

    def __init__(self):
        self.seen = []
        self.configs = []
        self.missed = 0

    async def on_market(self, event):
        self.seen.append(event)
        assert self.emit(event.instrument, event.price, 0.5)

    async def on_config(self, config):
        self.configs.append(config)

    async def on_missed(self, n_messages):
        self.missed += n_messages


def test_a_market_row_becomes_an_event_and_a_signal_becomes_a_row():
    async def main(clock):
        async with Session(clock) as session:
            managed = session.pipeline.add("echo", Echo)
            await pass_time()
            session.pipeline.publish(trades(1005, instrument=0, ts_ns=7), 7)
            session.pipeline.publish(trades(25, instrument=1), 8)
            await pass_time()
            first, second = managed.actor.seen
            assert (first.price, first.size, first.symbol, first.ts_recv_ns) == (100.5, 0.001, "BTCUSDT", 7)
            assert (second.price, second.symbol) == (0.25, "ETHUSDT")
            a, b = session.rows
            assert (a["kind"], a["instrument"], b["instrument"]) == (SIGNAL, 0, 1)
            assert (bits_to_float(int(a["arg0"])), bits_to_float(int(a["arg1"]))) == (100.5, 0.5)
            assert T0 < a["ts_exch"] <= a["ts_recv"] < clock.wall_ns()
            assert (a["id"], b["id"]) == (1, 2)
            assert a["qty"] == 0, "the engine's own deadline"

    run_by_hand(main, start_ns=T0)


def test_quotes_have_two_sides():
    async def main(clock):
        async with Session(clock) as session:
            managed = session.pipeline.add("echo", Echo)
            await pass_time()
            row = event_rows(1)
            row["kind"], row["px"], row["qty"], row["arg0"], row["arg1"] = QUOTE, 1000, 3, 1004, 5
            session.pipeline.publish(row)
            await pass_time()
            (quote,) = managed.actor.seen
            assert (quote.bid, quote.ask, quote.mid, quote.size, quote.ask_size) == (100.0, 100.4, 100.2, 0.003, 0.005)

    run_by_hand(main)


def test_an_actor_gets_what_it_asks_for_and_no_more():
    class Levels(Echo):
        kinds = (LEVEL,)
        instruments = (1,)

    async def main(clock):
        async with Session(clock) as session:
            levels = session.pipeline.add("levels", Levels)
            echo = session.pipeline.add("echo", Echo, instruments=[0])
            await pass_time()
            rows = np.concatenate([trades(1), trades(2, instrument=1), trades(3, instrument=1), trades(4)])
            rows["kind"][2] = LEVEL
            rows["kind"][3] = ACK
            session.pipeline.publish(rows)
            await pass_time()
            assert [e.px for e in levels.actor.seen] == [3]
            assert [e.px for e in echo.actor.seen] == [1]
            with pytest.raises(ConfigError, match="only market kinds"):
                session.pipeline.add("orders", Echo, kinds=[ACK])

    run_by_hand(main)


def test_signals_may_be_returned_and_carry_deadlines():
    class Returns(Actor):
        async def on_start(self):
            assert self.emit("ETHUSDT", -1.0, 1.0, deadline_ms=2.5, id=77)
            assert self.emit(0, 1.0, 0.0, deadline_ms=None)

        async def on_market(self, event):
            return [Signal(instrument=0, value=float(i), confidence=0.9, ts_ns=self.now_ns) for i in range(3)]

    async def main(clock):
        async with Session(clock) as session:
            session.pipeline.add("returns", Returns)
            await pass_time()
            session.pipeline.publish(trades(1))
            await pass_time()
            assert [int(r["qty"]) for r in session.rows] == [2_500_000, -1, 0, 0, 0]
            assert [int(r["id"]) for r in session.rows] == [77, 2, 3, 4, 5]
            assert [bits_to_float(int(r["arg0"])) for r in session.rows[2:]] == [0.0, 1.0, 2.0]

    run_by_hand(main)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((2, 1.0, 0.5), UnknownInstrumentError, "instrument 2; this session has 0 sim:BTCUSDT, 1 sim:ETHUSDT"),
        (("XRP", 1.0, 0.5), UnknownInstrumentError, "instrument 'XRP'"),
        ((0, float("nan"), 0.5), ValueError, "finite value"),
        ((0, 1.0, 1.01), ValueError, r"confidence in \[0, 1\]"),
    ],
)
def test_a_signal_that_makes_no_sense_is_an_error_of_its_actor(arguments, error, text):
    class Wrong(Actor):
        async def on_market(self, event):
            with pytest.raises(error, match=text):
                self.emit(*arguments)
            self.emit(*arguments)

    async def main(clock):
        async with Session(clock) as session:
            wrong = session.pipeline.add("wrong", Wrong)
            await pass_time()
            session.pipeline.publish(trades(1))
            await pass_time()
            assert (wrong.report().n_errors, wrong.report().state) == (1, "running")
            assert wrong.report().last_error.startswith(error.__name__)
            assert session.rows == []

    run_by_hand(main)


def test_one_symbol_at_two_venues_is_named_with_its_venue():
    there = tc.Instrument(symbol="BTCUSDT", venue="other", tick_size="0.1", lot_size="0.001")

    class Both(Actor):
        async def on_start(self):
            self.emit("other:BTCUSDT", 1.0, 1.0)
            self.emit("BTCUSDT", 1.0, 1.0)

    async def main(clock):
        rows: list = []
        async with Supervisor(clock=clock) as supervisor:
            pipeline = Pipeline(supervisor, [BTC, there], rows.extend, clock=clock)
            pipeline.start()
            both = pipeline.add("both", Both)
            await pass_time()
            await pipeline.stop(1.0)
        assert [int(r["instrument"]) for r in rows] == [1]
        assert "0 sim:BTCUSDT, 1 other:BTCUSDT" in both.report().last_error

    run_by_hand(main)


def test_an_actor_outside_a_session_says_so():
    with pytest.raises(ConfigError, match="use it from on_start on"):
        Actor().emit(0, 1.0, 1.0)


def test_configuration_comes_before_what_waits_and_the_portfolio_is_seen():
    async def main(clock):
        async with Session(clock) as session:

            class Looks(Echo):
                async def on_market(self, event):
                    self.seen.append((event.px, self.portfolio.positions, list(self.configs)))

            looks = session.pipeline.add("looks", Looks)
            await pass_time()
            assert looks.actor.portfolio == Portfolio()
            session.pipeline.publish(trades(1))
            session.pipeline.portfolio.set(Portfolio(ts_ns=1, positions={0: 5}))
            session.pipeline.configure("looks", {"threshold": 2})
            await pass_time()
            assert looks.actor.seen == [(1, {0: 5}, [{"threshold": 2}])]

    run_by_hand(main)


# --- trouble ---------------------------------------------------------------------------------------------------------


def test_a_stuck_actor_harms_nobody():
    class Stuck(Echo):
        async def on_market(self, event):
            await asyncio.Event().wait()

    async def main(clock):
        async with Session(clock) as session:
            stuck = session.pipeline.add("stuck", Stuck, mailbox_max=10)
            echo = session.pipeline.add("echo", Echo)
            await pass_time()
            for i in range(100):
                session.pipeline.publish(trades(i + 1))
                await pass_time(0.01)
            assert [e.px for e in echo.actor.seen] == list(range(1, 101))
            assert len(session.rows) == 100
            report = stuck.report()
            assert (report.mailbox_depth, report.n_dropped) == (10, 89)
            assert report.busy_ns > 0.9e9
            begun_ns = clock.wall_ns()
            assert await session.pipeline.stop(5.0) is False
            assert clock.wall_ns() - begun_ns == pytest.approx(5e9, abs=0.2e9)
            assert (stuck.report().state, echo.report().state) == ("killed", "stopped")

    run_by_hand(main)


def test_a_crashing_actor_starts_again_and_harms_nobody():
    lives = []

    class Crashing(Echo):
        def __init__(self):
            super().__init__()
            lives.append(self)

        async def on_market(self, event):
            if event.px % 2:
                raise RuntimeError("odd price")
            await super().on_market(event)

    async def main(clock):
        async with Session(clock) as session:
            heard: list[ActorReport] = []
            told = session.pipeline.bus.subscribe(ActorReport)

            async def listen():
                while True:
                    heard.append(await told.next())

            listener = asyncio.create_task(listen())
            policy = RestartPolicy(errors_in_a_row_max=3)
            session.pipeline.add("crashing", Crashing, policy=policy)
            echo = session.pipeline.add("echo", Echo)
            await pass_time()
            session.pipeline.publish(trades(1, 3, 5, 7, 9))
            await pass_time(1)
            old = lives[0]
            # A life that is over sends nothing more, even from a task it left behind.
            assert old.emit(0, 1.0, 1.0) is False
            await pass_time(5)
            assert len(lives) == 2
            assert old.emit(0, 1.0, 1.0) is False
            session.pipeline.publish(trades(2))
            await pass_time()
            assert [e.px for e in lives[1].seen] == [2]
            assert [e.px for e in echo.actor.seen] == [1, 3, 5, 7, 9, 2]
            states = [r.state for r in heard if r.name == "crashing"]
            assert states == ["starting", "running", "waiting", "starting", "running"]
            assert next(r for r in heard if r.state == "waiting").last_error == "RuntimeError: odd price"
            listener.cancel()

    run_by_hand(main)


def test_a_flooding_actor_gets_its_share_and_harms_nobody():
    class Flood(Actor):
        async def on_market(self, event):
            taken = sum(self.emit(0, float(i), 0.1) for i in range(5000))
            assert taken == 100

    async def main(clock):
        async with Session(clock) as session:
            flood = session.pipeline.add("flood", Flood)
            echo = session.pipeline.add("echo", Echo)
            await pass_time()
            for i in range(5):
                session.pipeline.publish(trades(i + 1))
                await pass_time(1.0)
            assert flood.report().n_errors == 0
            counts = session.signals_of("flood")
            assert (counts.n_sent, counts.n_crowded) == (500, 5 * 4900)
            assert session.signals_of("echo").n_sent == 5
            assert [e.px for e in echo.actor.seen] == [1, 2, 3, 4, 5]
            mine = [r for r in session.rows if bits_to_float(int(r["arg1"])) == 0.5]
            assert len(mine) == 5
            assert session.pipeline.report().signals_waiting_max <= 200

    run_by_hand(main)


def test_an_actor_that_never_stops_sending_is_held_to_its_rate():
    class Endless(Actor):
        async def on_market(self, event):
            while True:
                self.emit(0, 1.0, 0.1)
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=0.0001)

    async def main(clock):
        async with Session(clock) as session:
            session.pipeline.add("endless", Endless)
            echo = session.pipeline.add("echo", Echo)
            await pass_time()
            session.pipeline.publish(trades(1))
            await pass_time(3.0)
            counts = session.signals_of("endless")
            # A second's worth at once, then the rate.
            assert counts.n_sent == pytest.approx(4 * SIGNALS_PER_S, rel=0.01)
            assert counts.n_hasty > 20_000
            session.pipeline.publish(trades(2))
            await pass_time()
            assert [e.px for e in echo.actor.seen] == [1, 2]
            await session.pipeline.stop_actor("endless", 0.1)

    run_by_hand(main)


def test_rows_lost_before_the_mailboxes_are_told():
    class Counts(Actor):
        n_seen = n_missed = last_px = 0

        async def on_market(self, event):
            self.n_seen += 1
            self.last_px = event.px

        async def on_missed(self, n_messages):
            self.n_missed += n_messages

    async def main(clock):
        async with Session(clock) as session:
            counts = session.pipeline.add("counts", Counts)
            await pass_time()
            for first in range(0, 15_000, 1000):
                session.pipeline.publish(trades(*range(first + 1, first + 1001)))
            await pass_time(0.1)
            report = session.pipeline.report()
            assert (report.n_rows, report.n_rows_missed) == (15_000, 5_000)
            actor = counts.actor
            assert (actor.n_seen + actor.n_missed, actor.last_px) == (15_000, 15_000)
            assert counts.report().n_dropped == actor.n_missed >= 5_000

    run_by_hand(main)


def test_blocking_work_goes_to_a_thread():
    async def main(clock):
        class Reads(Actor):
            async def on_start(self):
                self.thread = await self.offload(threading.current_thread)

        async with Session(clock) as session:
            reads = session.pipeline.add("reads", Reads)
            while reads.report().state != "running":
                await pass_time()
            assert reads.actor.thread is not threading.current_thread()

    run_by_hand(main, is_alone=False)


# --- with the engine --------------------------------------------------------------------------------------------------


class Follower(tc.Strategy):
    """Buys a lot at a signal's value when it is sure enough."""

    heard: int = 0
    refused: int = 0  # sum of the reasons

    def on_order(self, ctx, order):
        if order.kind == REFUSED:
            self.refused += order.reason

    def on_signal(self, ctx, signal):
        self.heard += 1
        if signal.confidence >= 0.7:
            ctx.buy(signal.instrument, 1.0, limit=signal.value)


class BenchClock:
    """The driver's time."""

    def __init__(self, bench):
        self.bench = bench

    def wall_ns(self):
        return self.bench.now_ns

    monotonic_ns = wall_ns


class Momentum(Actor):
    """Sure of a rise, unsure of a fall."""

    last = 0.0

    async def on_market(self, event):
        if self.last:
            self.emit(event.instrument, event.price, 0.9 if event.price > self.last else 0.1)
        self.last = event.price


@pytest.mark.parametrize("late_ms", [1, 26])
def test_a_signal_is_journaled_stepped_and_becomes_an_order(late_ms):
    """A real driver: its tap feeds the actors, their signals go in by `inject`; replay gives the same commands.

    Handed over later than the 25 ms an order has from signal to wire, the order is refused.
    """
    bench = Bench(Follower())
    bench.begin()

    def sink(rows):
        bench.core.inject(rows, bench.tick(late_ms))

    async def main(clock):
        async with Supervisor(clock=clock) as supervisor:
            pipeline = Pipeline(
                supervisor,
                bench.engine.instruments,
                sink,
                clock=BenchClock(bench),
                standing=lambda: portfolio_of(bench.engine),
            )
            pipeline.start()
            bench.core.flow.taps.append(pipeline.publish)
            pipeline.add("momentum", Momentum)
            await pass_time()
            for px in (10, 11, 9, 12):
                bench.say(message({"kind": TRADE, "px": px, "qty": 1, "side": 1}))
                await pass_time()
            portfolio = pipeline.portfolio.value
            sent = bench.venues[0].take_sent()
            if late_ms == 1:
                assert [(s["kind"], s["px"]) for s in sent] == [(NEW, 11), (NEW, 12)]
                assert (portfolio.positions, portfolio.open_buy) == ({}, {0: 2})
                first = sent[0]
                fill = {"kind": FILL, "id": first["id"], "side": 1, "qty": 1, "px": 11, "arg1": 501}
                bench.say(message(fill), channel="orders")
                await pass_time()
                portfolio = pipeline.portfolio.value
                assert (portfolio.positions, portfolio.open_buy, portfolio.n_fills) == ({0: 1}, {0: 1}, 1)
            else:
                assert (sent, portfolio.open_buy) == ([], {})
            await pipeline.stop(1.0)

    run_by_hand(main)
    assert bench.engine.state(0)["heard"] == 3
    refused = bench.engine.state(0)["refused"]
    assert refused == (0 if late_ms == 1 else 2 * DEADLINE)
    bench.check_replay()
