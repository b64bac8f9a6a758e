"""The stages between a message and an order, each against the target of the requirements (S3-01 to S3-14).

No socket here: what crosses one is in the questions beside. Every stage is timed one call at a time, from Python, so
the crossing into the engine is part of each figure. Called by `questions`.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tercel.bench.live.decode import decoded_rows, feed_in_step
from tercel.bench.live.messages import Recorded
from tercel.bench.quiet import Watch
from tercel.bench.table import Reach, Row, make_row
from tercel.clock import monotonic_ns
from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.errors import DataError
from tercel.features.extremes import RollingMinMax
from tercel.features.microstructure import SmoothedImbalance, SmoothedMicroprice
from tercel.features.moving import Ema, RollingStd, Sma, Zscore
from tercel.features.vwap import RollingVwap
from tercel.features.wilder import Rsi
from tercel.model.commands import GTX
from tercel.model.events import EVENT, LAST
from tercel.strategy.contract import Strategy

__all__ = ["frames", "stages"]


class Nothing(Strategy):
    """Looks at every book and decides nothing."""

    n: int = 0

    def on_book(self, ctx: Any, book: Any) -> None:
        self.n += 1


class TwentyIndicators(Strategy):
    """Twenty indicators of one book, all updated by each message."""

    ema1: Ema = Ema(span=10)
    ema2: Ema = Ema(span=50)
    ema3: Ema = Ema(span=200)
    ema4: Ema = Ema(span=1000)
    sma1: Sma = Sma(window=16)
    sma2: Sma = Sma(window=64)
    sma3: Sma = Sma(window=256)
    std1: RollingStd = RollingStd(window=16)
    std2: RollingStd = RollingStd(window=64)
    std3: RollingStd = RollingStd(window=256)
    z1: Zscore = Zscore(window=64)
    z2: Zscore = Zscore(window=256)
    top1: RollingMinMax = RollingMinMax(window=64)
    top2: RollingMinMax = RollingMinMax(window=256)
    rsi1: Rsi = Rsi(period=14)
    rsi2: Rsi = Rsi(period=28)
    vwap1: RollingVwap = RollingVwap(window=64)
    vwap2: RollingVwap = RollingVwap(window=256)
    flow: SmoothedImbalance = SmoothedImbalance(span=20)
    fair: SmoothedMicroprice = SmoothedMicroprice(span=20)

    def on_book(self, ctx: Any, book: Any) -> None:
        mid = book.mid
        self.ema1.update(mid)
        self.ema2.update(mid)
        self.ema3.update(mid)
        self.ema4.update(mid)
        self.sma1.update(mid)
        self.sma2.update(mid)
        self.sma3.update(mid)
        self.std1.update(mid)
        self.std2.update(mid)
        self.std3.update(mid)
        self.z1.update(mid)
        self.z2.update(mid)
        self.top1.update(mid)
        self.top2.update(mid)
        self.rsi1.update(mid)
        self.rsi2.update(mid)
        self.vwap1.update(mid, book.bid_qty)
        self.vwap2.update(mid, book.ask_qty)
        self.flow.update(book.bid_qty, book.ask_qty)
        self.fair.update(book.best_bid, book.bid_qty, book.best_ask, book.ask_qty)


class AlwaysOrders(Strategy):
    """Sends one post-only order for each message: every one goes through the whole risk gate."""

    n: int = 0

    def on_book(self, ctx: Any, book: Any) -> None:
        if book.bid_px > 0 and book.ask_px > 0:
            self.n += 1
            ctx.order_lots(0, 1, 1, book.bid_px - 1_000, GTX)


def _steps(recorded: Recorded, rows: np.ndarray, strategy: Strategy, n_max: int) -> np.ndarray:
    """(n,) int64 ns of one step for each message; commands are taken, and the order ends at once, outside the time."""
    engine = Engine([recorded.instrument], [strategy])
    engine.start(0)
    engine.take()
    door = EngineFeed(engine)
    address, size = int(rows.__array_interface__["data"][0]), EVENT.itemsize
    ends = np.flatnonzero(rows["flags"] & LAST)[:n_max].tolist()
    times = np.zeros(len(ends), np.int64)
    begin = 0
    for k, end in enumerate(ends):
        before_ns = monotonic_ns()
        door.step(address + begin * size, 0, end + 1 - begin)
        times[k] = monotonic_ns() - before_ns
        begin = end + 1
        if door.has_emitted:
            commands, _ = engine.take()
            _reject(engine, commands)
    engine.check()
    return times


def _reject(engine: Engine, commands: np.ndarray) -> None:
    """Answer every order with a rejection, as a venue that takes none, so that the table never fills."""
    from tercel.model.events import EXCH, LOCAL, REJECT

    rows = np.zeros(len(commands), EVENT)
    rows["kind"], rows["flags"], rows["id"] = REJECT, EXCH | LOCAL, commands["id"]
    rows["ts_exch"] = rows["ts_recv"] = engine.now_ns
    engine.run(rows)


def _row(words: str, times_ns: np.ndarray, p99_ms: float, p50_ms: float | None = None) -> list[Row]:
    note = f"{len(times_ns):,} times"
    rows = [
        make_row(f"{words}, p99", unit="us", ours=float(np.percentile(times_ns, 99)) / 1e3, note=note,
                 reach=Reach(ours_max=1e3 * p99_ms))
    ]  # fmt: skip
    if p50_ms is not None:
        rows.append(
            make_row(f"{words}, p50", unit="us", ours=float(np.percentile(times_ns, 50)) / 1e3, note=note,
                     reach=Reach(ours_max=1e3 * p50_ms))
        )  # fmt: skip
    return rows


def _rate(words: str, each_ns: float, per_second: float, more: str = "") -> Row:
    """A throughput as the time one thing takes; the target is its scaling target."""
    return make_row(
        words,
        unit="us each",
        ours=each_ns / 1e3,
        reach=Reach(ours_max=1e6 / per_second),
        note=f"{1e9 / each_ns:,.0f} a second, to reach {per_second:,.0f}{more}",
    )


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """As in a live session, where everything that lives at arm time is frozen."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def stages(recorded: Recorded, *, quick: bool = False) -> list[Row]:
    """Ingestion, features, signal and risk: latency one by one, throughput from the mean."""
    messages = recorded.depth()[: 500 if quick else 6_000]
    rows = decoded_rows(recorded, messages, uses_scanner=False)
    n = len(messages)
    with _collector_at_rest():
        bare = _ingest(recorded, messages)
        twenty = _steps(recorded, rows, TwentyIndicators(), n)
        risk = _steps(recorded, rows, AlwaysOrders(), n)
    found = _row("S3-01, S3-09 message to engine", bare, 1.0, 0.5)
    found += _row("S3-03, S3-09 twenty indicators", twenty, 10.0, 5.0)
    found += _row("S3-05 book, order and every risk check", risk, 10.0)
    found.append(_rate("S3-10 market data events", float(bare.sum()) / len(rows), 1_000_000))
    found.append(_rate("S3-12 feature calculations", float(twenty.mean()) / 20, 100_000))
    return found


def _ingest(recorded: Recorded, messages: list[bytes]) -> np.ndarray:
    """(n,) int64 ns from the bytes of a message to the engine's book and a handler."""
    engine = Engine([recorded.instrument], [Nothing()])
    engine.start(0)
    door = EngineFeed(engine)
    feed, rows = feed_in_step(recorded, messages)
    times = np.zeros(len(messages), np.int64)
    for k, message in enumerate(messages):
        before_ns = monotonic_ns()
        feed.message(message, recorded.times_ns[k])
        door.step(rows.address, 0, rows.n)
        rows.n = 0
        times[k] = monotonic_ns() - before_ns
    engine.check()
    return times


def frames(recorded: Recorded, *, quick: bool = False) -> list[Row]:
    """A polars frame of a thousand rows, one after the other."""
    from tercel.observe.market import market_frame

    rows = decoded_rows(recorded, recorded.depth()[:2_000], uses_scanner=False)
    make: Callable[[np.ndarray], Any] = lambda part: market_frame(part, [recorded.instrument])  # noqa: E731
    starts = itertools.cycle(range(0, max(1_000, len(rows) - 1_000), 1_000))

    def some() -> list[int]:
        times = []
        for start in itertools.islice(starts, 5 if quick else 100):
            part = rows[start : start + 1_000]
            before_ns = monotonic_ns()
            frame = make(part)
            times.append(monotonic_ns() - before_ns)
            if len(frame) != len(part):
                raise DataError(f"a frame of {len(part)} rows has {len(frame)}")
        return times

    with _collector_at_rest():
        # Ten milliseconds at a time, so that those in which the core was shared can be told and set aside.
        found, n_aside = Watch().quiet(some, 4 if quick else 10)
    each = np.array(found).ravel()
    words = f"; {n_aside} of {len(found) + n_aside} runs set aside, the core was shared" if n_aside else ""
    return [
        *_row("S3-02, S3-09 frame of 1,000 rows", each, 5.0, 2.0),
        _rate("S3-11 frames of 1,000 rows", float(np.median(each)), 10_000, words),
    ]
