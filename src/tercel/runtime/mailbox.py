"""Mailbox of one actor: data that may be dropped when it is late, and control messages that may not.

Putting never waits, so whoever sends to many actors is stalled by none. Control messages are taken first. One event
loop, one thread. Called by the supervisor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Any

from tercel.errors import ChannelClosedError, ChannelFullError, ConfigError
from tercel.runtime.capacities import MAILBOX_CONTROL_MAX, MAILBOX_MAX

__all__ = ["Mailbox", "Overflow"]


class Overflow(Enum):
    """Which message is lost when a mailbox is full."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


class Mailbox:
    """capacity: data messages that may wait. n_dropped: data messages lost since it was made."""

    def __init__(self, capacity: int = MAILBOX_MAX, overflow: Overflow = Overflow.DROP_OLDEST) -> None:
        if capacity < 1:
            raise ConfigError(f"a mailbox holds at least 1 message, found capacity {capacity}")
        self.capacity = capacity
        self.overflow = overflow
        self.n_dropped = 0
        self.is_open = True
        self._n_told = 0
        self._data: deque[Any] = deque()
        self._control: deque[Any] = deque()
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._data) + len(self._control)

    def put(self, message: Any) -> bool:
        """Add a data message; never waits. Returns False when a message, this or the oldest, was dropped for it.

        A closed mailbox takes nothing and counts nothing.
        """
        if not self.is_open:
            return False
        fits = len(self._data) < self.capacity
        if not fits:
            self.n_dropped += 1
            if self.overflow is Overflow.DROP_NEWEST:
                return False
            self._data.popleft()
        self._data.append(message)
        self._wake()
        return fits

    def put_control(self, message: Any) -> None:
        """Add a control message, to be taken before all data. Raises ChannelFullError with it at the maximum,
        ChannelClosedError after `close`.
        """
        if not self.is_open:
            raise ChannelClosedError("this actor has been stopped", message)
        if len(self._control) >= MAILBOX_CONTROL_MAX:
            raise ChannelFullError(f"{MAILBOX_CONTROL_MAX} control messages wait for this actor already", message)
        self._control.append(message)
        self._wake()

    async def take(self) -> Any:
        """The next message, waiting for it. Cancelling loses nothing. One reader at a time.

        Raises ChannelClosedError after `close`, whatever still waits.
        """
        while self.is_open and not self._control and not self._data:
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        if not self.is_open:
            raise ChannelClosedError("this actor has been stopped")
        return self._control.popleft() if self._control else self._data.popleft()

    def note_lost(self, n: int) -> None:
        """Count `n` data messages that were lost before they could be put here."""
        self.n_dropped += n

    def newly_dropped(self) -> int:
        """Data messages dropped since this was asked last."""
        n = self.n_dropped - self._n_told
        self._n_told = self.n_dropped
        return n

    def forget_data(self) -> int:
        """Drop all data messages; they count as dropped. Returns how many."""
        n = len(self._data)
        self._data.clear()
        self.n_dropped += n
        return n

    def close(self) -> None:
        """Take no more messages; whoever reads is told. What waits is forgotten, and is not counted as dropped."""
        self.is_open = False
        self._data.clear()
        self._control.clear()
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
