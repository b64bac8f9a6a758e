"""Broadcast: one ring, any number of readers, each at its own place. A slow reader loses items, never the sender.

The sender never waits and its cost does not depend on how far behind anybody is. A reader that falls more than the
capacity behind is told how many items it missed and goes on with the oldest kept. `Broadcast` carries Python objects,
`RowBroadcast` EVENT rows without an object per row. One event loop, one thread. Called by `live` and the event bus.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from tercel.errors import ChannelClosedError, ConfigError, LaggedError
from tercel.model.events import EVENT

__all__ = ["Batch", "Broadcast", "BroadcastReader", "RowBatch", "RowBroadcast", "RowReader"]

T = TypeVar("T")

#: A row as bytes: NumPy copies records field by field, four times as slow as what they are in memory.
_WHOLE = np.dtype((np.void, EVENT.itemsize))


class _Ring:
    """What both broadcasts share: how much was sent, who waits."""

    def __init__(self, capacity: int, name: str) -> None:
        if capacity < 1:
            raise ConfigError(f"broadcast {name!r}: the capacity must be at least 1, found {capacity}")
        self.capacity = capacity
        self.name = name
        self.n_sent = 0
        self.is_open = True
        self._waiting: list[asyncio.Future[None]] = []

    def close(self) -> None:
        """Send no more. Readers read what is kept, then get ChannelClosedError."""
        self.is_open = False
        self._wake()

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for reader in waiting:
                if not reader.done():
                    reader.set_result(None)

    def _check(self, item: object) -> None:
        if not self.is_open:
            raise ChannelClosedError(f"broadcast {self.name!r} is closed", item)


class _Place:
    """A reader's place in a ring. n_missed: items lost to slowness since it began, reported or not."""

    def __init__(self, ring: _Ring) -> None:
        self._at = ring
        self._next = ring.n_sent
        self.n_missed = 0

    @property
    def lag(self) -> int:
        """Items sent and not yet read by this reader."""
        return self._at.n_sent - self._next

    def _skip_lost(self) -> int:
        """Move past what the ring no longer holds; returns how many items that were."""
        lost = self.lag - self._at.capacity
        if lost <= 0:
            return 0
        self._next += lost
        self.n_missed += lost
        return lost

    async def _wait(self) -> None:
        """Wait until something is there. Raises ChannelClosedError when nothing will come."""
        ring = self._at
        while self._next == ring.n_sent:
            if not ring.is_open:
                raise ChannelClosedError(f"broadcast {ring.name!r} has ended")
            arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            ring._waiting.append(arrival)
            try:
                await arrival
            except asyncio.CancelledError:
                if arrival in ring._waiting:
                    ring._waiting.remove(arrival)
                raise


class Batch(NamedTuple, Generic[T]):
    """items: in order. n_missed: items lost just before them."""

    items: list[T]
    n_missed: int


class Broadcast(_Ring, Generic[T]):
    """Objects to every reader."""

    def __init__(self, capacity: int, name: str = "broadcast") -> None:
        super().__init__(capacity, name)
        self._ring: list[Any] = [None] * capacity

    def send(self, item: T) -> None:
        """Send to all readers; never waits. Raises ChannelClosedError with the item after `close`."""
        self._check(item)
        self._ring[self.n_sent % self.capacity] = item
        self.n_sent += 1
        self._wake()

    def reader(self) -> BroadcastReader[T]:
        """A new reader; it gets what is sent from now on."""
        return BroadcastReader(self)


class BroadcastReader(_Place, Generic[T]):
    """One reader of a Broadcast."""

    def __init__(self, ring: Broadcast[T]) -> None:
        super().__init__(ring)
        self._items = ring._ring

    async def recv(self) -> T:
        """The next item. Raises LaggedError once after items were lost, ChannelClosedError at the end."""
        await self._wait()
        lost = self._skip_lost()
        if lost:
            raise LaggedError(
                f"a reader of broadcast {self._at.name!r} fell behind by more than {self._at.capacity} items and "
                f"missed {lost}",
                lost,
            )
        item: T = self._items[self._next % self._at.capacity]
        self._next += 1
        return item

    async def recv_batch(self, n_max: int) -> Batch[T]:
        """Up to `n_max` items, waiting for the first, and how many were lost before them."""
        await self._wait()
        return self.take(n_max)

    def take(self, n_max: int) -> Batch[T]:
        """The same without waiting: `items` may be empty."""
        lost = self._skip_lost()
        end = min(self._at.n_sent, self._next + n_max)
        items = [self._items[i % self._at.capacity] for i in range(self._next, end)]
        self._next = end
        return Batch(items, lost)


class RowBatch(NamedTuple):
    """rows: (n,) EVENT, a copy. n_missed: rows lost just before them."""

    rows: np.ndarray
    n_missed: int


class RowBroadcast(_Ring):
    """EVENT rows to every reader: two slice copies a call, whatever the number of rows and readers."""

    def __init__(self, capacity: int, name: str = "rows") -> None:
        super().__init__(capacity, name)
        self._rows = np.zeros(capacity, EVENT).view(_WHOLE)

    def send(self, rows: np.ndarray) -> None:
        """Send (n,) EVENT rows; never waits, keeps no reference. Raises ChannelClosedError after `close`."""
        self._check(None)
        n = len(rows)
        if n == 0:
            return
        kept = rows.view(_WHOLE)
        if n > self.capacity:
            kept = kept[-self.capacity :]
        at = (self.n_sent + n - len(kept)) % self.capacity
        head = min(len(kept), self.capacity - at)
        self._rows[at : at + head] = kept[:head]
        if head < len(kept):
            self._rows[: len(kept) - head] = kept[head:]
        self.n_sent += n
        self._wake()

    def reader(self) -> RowReader:
        """A new reader; it gets what is sent from now on."""
        return RowReader(self)


class RowReader(_Place):
    """One reader of a RowBroadcast."""

    def __init__(self, ring: RowBroadcast) -> None:
        super().__init__(ring)
        self._rows = ring._rows

    async def recv_batch(self, n_max: int) -> RowBatch:
        """Up to `n_max` rows, waiting for the first, and how many were lost before them."""
        await self._wait()
        return self.take(n_max)

    def take(self, n_max: int) -> RowBatch:
        """The same without waiting: `rows` may be empty."""
        lost = self._skip_lost()
        capacity = self._at.capacity
        n = min(self.lag, n_max)
        at = self._next % capacity
        head = min(n, capacity - at)
        rows = np.concatenate((self._rows[at : at + head], self._rows[: n - head]))
        self._next += n
        return RowBatch(rows.view(EVENT), lost)
