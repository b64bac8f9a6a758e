"""A ring of the newest ticks, and a producer of made-up ticks for demonstrations and tests.

The ring is for views and actors that look back; the engine keeps no ticks. Called by the actor tier and tests.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random

import msgspec
import numpy as np

from tercel.clock import Clock, SystemClock
from tercel.errors import ChannelClosedError, ConfigError
from tercel.model.events import TRADE
from tercel.runtime.capacities import TICKS_MAX
from tercel.runtime.mpsc import Sender

__all__ = ["TICK", "TICK_INTERVAL_S", "PriceTick", "TickRing", "TickSummary", "produce_ticks"]

_log = logging.getLogger(__name__)

#: A tick: time in ns, price in ticks of the instrument, size in lots, instrument by the engine's index.
TICK = np.dtype([("ts_ns", "i8"), ("px", "i8"), ("qty", "i8"), ("instrument", "i8")])


class TickSummary(msgspec.Struct, frozen=True):
    """n: ticks. total_lots: sum of sizes. mean_px: mean price in ticks, each tick counting once; None without ticks."""

    n: int
    total_lots: int
    mean_px: float | None


class TickRing:
    """The newest `capacity` ticks in memory allocated once; a full ring drops its oldest.

    n_seen: ticks ever pushed.
    """

    def __init__(self, capacity: int = TICKS_MAX) -> None:
        if capacity < 1:
            raise ConfigError(f"a tick ring holds at least 1 tick, found capacity {capacity}")
        self.capacity = capacity
        self.n_seen = 0
        self._ticks = np.zeros(capacity, TICK)

    def __len__(self) -> int:
        return min(self.n_seen, self.capacity)

    def push(self, ts_ns: int, px_ticks: int, qty_lots: int, instrument: int = 0) -> None:
        """Add one tick."""
        self._ticks[self.n_seen % self.capacity] = (ts_ns, px_ticks, qty_lots, instrument)
        self.n_seen += 1

    def extend(self, rows: np.ndarray) -> None:
        """Add the trades among (n,) EVENT rows, in order."""
        trades = rows[rows["kind"] == TRADE]
        kept = trades[-self.capacity :]
        n = len(kept)
        at = (self.n_seen + len(trades) - n) % self.capacity
        head = min(n, self.capacity - at)
        for part, where in ((kept[:head], slice(at, at + head)), (kept[head:], slice(0, n - head))):
            target = self._ticks[where]
            target["ts_ns"] = part["ts_recv"]
            target["px"] = part["px"]
            target["qty"] = part["qty"]
            target["instrument"] = part["instrument"]
        self.n_seen += len(trades)

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """The ticks kept, oldest first, as two views of TICK without a copy; good until the next push."""
        at = self.n_seen % self.capacity
        if self.n_seen <= self.capacity:
            return self._ticks[: self.n_seen], self._ticks[:0]
        return self._ticks[at:], self._ticks[:at]

    def summary(self) -> TickSummary:
        """Total size and mean price over the ticks kept, without a copy."""
        n = len(self)
        if n == 0:
            return TickSummary(0, 0, None)
        kept = self._ticks[:n]
        return TickSummary(n, int(kept["qty"].sum()), float(kept["px"].sum()) / n)


class PriceTick(msgspec.Struct, frozen=True):
    """A made-up price. timestamp_ns: UTC, since the epoch."""

    symbol: str
    price: float
    timestamp_ns: int


#: Time between two made-up ticks.
TICK_INTERVAL_S = 0.1


async def produce_ticks(
    sender: Sender[PriceTick],
    *,
    symbol: str = "SOL/USDC",
    seed: int = 0,
    interval_s: float = TICK_INTERVAL_S,
    clock: Clock | None = None,
) -> int:
    """Send a tick every `interval_s` until the receiver is closed: 100 plus a uniform number in [0, 1) of `seed`.

    sender: of an unbounded channel, so that sending never waits. A closed receiver is logged as an error and ends the
    production normally. Returns how many ticks were sent.
    """
    clock = clock or SystemClock()
    random = Random(seed)
    n = 0
    while True:
        tick = PriceTick(symbol, 100.0 + random.random(), clock.wall_ns())
        try:
            sender.send_nowait(tick)
        except ChannelClosedError as error:
            _log.error("ticks of %s end: %s", symbol, error)
            return n
        n += 1
        _log.debug("tick %s %.6f", symbol, tick.price)
        await asyncio.sleep(interval_s)
