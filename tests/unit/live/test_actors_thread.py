"""Actors in their own thread: signals come home, and one that blocks its thread does not block the driver."""

from __future__ import annotations

import asyncio
import sys
import threading

import pytest

import tercel as tc
from tercel.live.actors import Actor, Portfolio
from tercel.live.actors_thread import ActorThread
from tercel.model.events import SIGNAL, TRADE, event_rows
from tercel.model.signals import bits_to_float
from tercel.runtime.capacities import MARKET_DATA_MAX
from tercel.runtime.loop import run

UNIT = tc.Instrument(symbol="UNIT", tick_size="1", lot_size="1")


def trades(*prices):
    rows = event_rows(len(prices))
    rows["kind"], rows["px"], rows["qty"] = TRADE, prices, 1
    return rows


class Echo(Actor):
    async def on_market(self, event):
        self.emit(0, event.price * (1 + len(self.portfolio.positions)), 0.5)


def test_signals_come_home_in_order():
    async def main():
        home = threading.current_thread()
        got, arrived = [], asyncio.Event()

        def sink(rows):
            assert threading.current_thread() is home
            got.extend((int(r["kind"]), bits_to_float(int(r["arg0"]))) for r in rows)
            if len(got) % 3 == 0:
                arrived.set()

        before = sys.getswitchinterval()
        actors = ActorThread([UNIT], sink)
        await actors.start()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        await actors.call(lambda pipeline: pipeline.add("echo", Echo))
        actors.publish(trades(1, 2), 0)
        actors.publish(trades(3), 0)
        await arrived.wait()
        assert got == [(SIGNAL, 1.0), (SIGNAL, 2.0), (SIGNAL, 3.0)]
        arrived.clear()
        actors.set_portfolio(Portfolio(positions={0: 1}))
        actors.publish(trades(4, 5, 6))
        await arrived.wait()
        assert got[3:] == [(SIGNAL, 8.0), (SIGNAL, 10.0), (SIGNAL, 12.0)]
        report = await actors.call(lambda pipeline: pipeline.report())
        assert (report.n_rows, report.signals["echo"].n_sent) == (6, 6)
        assert await actors.stop(5.0)
        assert not actors.is_alive
        assert sys.getswitchinterval() == before
        actors.publish(trades(7))

    run(main())


def test_an_actor_that_blocks_its_thread_does_not_block_the_driver():
    blocked, release = threading.Event(), threading.Event()

    class Blocks(Actor):
        async def on_market(self, event):
            blocked.set()
            release.wait()

    async def main():
        actors = ActorThread([UNIT], lambda rows: None)
        await actors.start()
        await actors.call(lambda pipeline: pipeline.add("blocks", Blocks))
        actors.publish(trades(1))
        await asyncio.get_running_loop().run_in_executor(None, blocked.wait)
        for i in range(MARKET_DATA_MAX + 500):
            actors.publish(trades(i + 1))
        assert actors.n_rows_dropped == 500
        assert await actors.stop(0.0) is False
        assert actors.is_alive
        release.set()
        actors._thread.join()

    run(main())


def test_rows_lost_on_the_way_are_told_and_the_portfolio_is_never_older_than_the_rows():
    blocked, release, done = threading.Event(), threading.Event(), threading.Event()
    heard: list[tuple[float, int]] = []

    class Hears(Actor):
        async def on_market(self, event):
            heard.append((event.price, self.portfolio.n_fills))
            if len(heard) == 2:
                done.set()
            blocked.set()
            release.wait()

    async def main():
        actors = ActorThread([UNIT], lambda rows: None)
        await actors.start()
        await actors.call(lambda pipeline: pipeline.add("hears", Hears))
        actors.publish(trades(1))
        await asyncio.get_running_loop().run_in_executor(None, blocked.wait)
        actors.set_portfolio(Portfolio(n_fills=1))
        actors.set_portfolio(Portfolio(n_fills=2))
        actors.publish_bytes(trades(2).tobytes())
        actors.publish(trades(*range(1, MARKET_DATA_MAX + 1)))
        report = actors.report()
        assert report is not None
        assert (report.n_rows, report.n_rows_missed) == (1 + MARKET_DATA_MAX, MARKET_DATA_MAX)
        release.set()
        await asyncio.get_running_loop().run_in_executor(None, done.wait)
        assert await actors.stop(5.0)
        assert actors.report().actors[0].n_dropped == MARKET_DATA_MAX
        assert heard == [(1.0, 0), (2.0, 2)]

    run(main())


def test_a_pipeline_that_breaks_later_is_told_at_home():
    async def main():
        home = threading.current_thread()
        told, broke = [], asyncio.Event()

        def fail(error):
            assert threading.current_thread() is home
            told.append(error)
            broke.set()

        actors = ActorThread([UNIT], lambda rows: None, fail=fail)
        await actors.start()
        await actors.call(lambda pipeline: pipeline.add("echo", Echo))
        unknown = trades(1)
        unknown["instrument"] = 7
        actors.publish(unknown)
        await broke.wait()
        assert [type(error) for error in told] == [IndexError]
        actors.publish(trades(1))
        await actors.stop(1.0)
        assert not actors.is_alive

    run(main())


def test_what_breaks_the_pipeline_is_raised_at_the_driver():
    async def main():
        with pytest.raises(tc.TercelError, match="one venue and symbol"):
            await ActorThread([UNIT, UNIT], lambda rows: None).start()

    run(main())
