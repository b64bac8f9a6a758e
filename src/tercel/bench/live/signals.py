"""Signals of the actor tier: from a market row to the signal at the engine's door. Called by `questions`."""

from __future__ import annotations

import asyncio

import numpy as np

from tercel.bench.questions import PERP
from tercel.bench.table import Reach, Row, make_row
from tercel.clock import monotonic_ns
from tercel.errors import DataError
from tercel.live.actors import Actor, MarketEvent
from tercel.live.actors_pipeline import Pipeline
from tercel.model.events import TRADE, event_rows
from tercel.runtime.loop import run
from tercel.runtime.supervisor import Supervisor

__all__ = ["generation"]


class _Momentum(Actor):
    """A signal for each trade: how far it was above the mean of the last ones."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = 0.0

    async def on_market(self, event: MarketEvent) -> None:
        self.mean += 0.1 * (event.price - self.mean)
        self.emit(PERP.symbol, event.price - self.mean, 0.9)


async def _times(n: int) -> np.ndarray:
    """(n,) int64 ns from publishing a row to its signal at the sink, one at a time."""
    arrived = asyncio.Event()

    def sink(rows: np.ndarray) -> None:
        arrived.set()

    times = np.zeros(n, np.int64)
    async with Supervisor() as supervisor:
        pipeline = Pipeline(supervisor, [PERP], sink)
        pipeline.start()
        pipeline.add("momentum", _Momentum)
        row = event_rows(1)
        row["kind"], row["px"], row["qty"] = TRADE, 600_000, 5
        for k in range(n):
            arrived.clear()
            row["ts_recv"] = before_ns = monotonic_ns()
            pipeline.publish(row, before_ns)
            async with asyncio.timeout(5.0):
                await arrived.wait()
            times[k] = monotonic_ns() - before_ns
            # An actor may emit so many signals a second and no more.
            await asyncio.sleep(0.002)
        await pipeline.stop(5.0)
    return times


class _Counting(_Momentum):
    """Evaluates each trade and emits nothing: how many evaluations a second, not how many signals."""

    n = 0
    n_wanted = 0
    done: asyncio.Event

    async def on_market(self, event: MarketEvent) -> None:
        self.mean += 0.1 * (event.price - self.mean)
        self.n += 1
        if self.n == self.n_wanted:
            self.done.set()


async def _evaluations(n_batches: int, n_rows: int) -> float:
    """Microseconds for each row of batches that an actor evaluates one by one."""
    actor = _Counting()
    actor.done = asyncio.Event()
    async with Supervisor() as supervisor:
        pipeline = Pipeline(supervisor, [PERP], lambda rows: None)
        pipeline.start()
        pipeline.add("counting", lambda: actor)
        rows = event_rows(n_rows)
        rows["kind"], rows["px"], rows["qty"] = TRADE, 600_000, 5
        begin_ns = monotonic_ns()
        for _ in range(n_batches):
            actor.done.clear()
            actor.n_wanted = actor.n + n_rows
            pipeline.publish(rows, monotonic_ns())
            async with asyncio.timeout(10.0):
                await actor.done.wait()
        each_us = (monotonic_ns() - begin_ns) / 1e3 / (n_batches * n_rows)
        await pipeline.stop(5.0)
    return each_us


def generation(*, quick: bool = False) -> list[Row]:
    """Signal generation for one symbol, in a Python actor; signal evaluations a second from the median."""
    n = 200 if quick else 3_000
    times_us = run(_times(n))[n // 10 :] / 1e3
    if (times_us <= 0).any():
        raise DataError("a signal arrived before its cause")
    note = f"{len(times_us):,} signals of one actor"
    p50 = float(np.median(times_us))
    each_us = run(_evaluations(10 if quick else 100, 500))
    return [
        make_row("S3-04 signal generation, p99", unit="us", ours=float(np.percentile(times_us, 99)), note=note,
                 reach=Reach(ours_max=50_000)),
        make_row("S3-09 signal generation, p50", unit="us", ours=p50, note=note, reach=Reach(ours_max=20_000)),
        make_row("S3-13 signal evaluations", unit="us each", ours=each_us, reach=Reach(ours_max=100),
                 note=f"{1e6 / each_us:,.0f} a second by one actor, to reach 10,000"),
    ]  # fmt: skip
