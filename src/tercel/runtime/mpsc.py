"""Channel of many senders and one receiver, bounded or unbounded, inside one event loop.

What asyncio's queue lacks: an end (either side can close), first come first served without overtaking, a send that
either happened or did not (cancelled and timed-out items are never half sent), and the item back in every error. The
receiver gives way to the loop now and then, so that a full channel cannot starve the rest. Not for use between
threads: another thread goes through `loop.call_soon_threadsafe`. Used by `live`, `localvenue` and the runtime itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import Enum
from typing import Generic, TypeVar

from tercel.errors import ChannelClosedError, ChannelFullError, ConfigError, SendTimeoutError

__all__ = ["GIVE_WAY_AFTER", "Receiver", "Sender", "channel"]

T = TypeVar("T")

#: Items a receiver takes without waiting before it lets the loop do other work once.
GIVE_WAY_AFTER = 128


class _Answer(Enum):
    """What a waiting sender is told."""

    SLOT = 1
    EXPIRED = 2
    CLOSED = 3


class _Channel(Generic[T]):
    """The shared part: a buffer, the senders that wait for a slot in order of arrival, the receiver that waits.

    reserved: slots promised to senders that have not run since. A slot is promised rather than filled for them, so
    that a sender cancelled at that moment has sent nothing.
    """

    __slots__ = (
        "buffer", "capacity", "depth_max", "is_receiver_open", "n_senders", "n_sent", "name", "receiver", "reserved",
        "waiting",
    )  # fmt: skip

    def __init__(self, capacity: int | None, name: str) -> None:
        self.capacity = capacity
        self.name = name
        self.buffer: deque[T] = deque()
        self.waiting: dict[asyncio.Future[_Answer], None] = {}
        self.receiver: asyncio.Future[None] | None = None
        self.reserved = 0
        self.n_senders = 1
        self.is_receiver_open = True
        self.n_sent = 0
        self.depth_max = 0

    def has_room(self) -> bool:
        return self.capacity is None or len(self.buffer) + self.reserved < self.capacity

    def is_over(self) -> bool:
        """No sender is left that could send, nothing is on its way."""
        return self.n_senders == 0 and not self.waiting and not self.reserved

    def put(self, item: T) -> None:
        self.buffer.append(item)
        self.n_sent += 1
        if len(self.buffer) > self.depth_max:
            self.depth_max = len(self.buffer)
        self.wake_receiver()

    def wake_receiver(self) -> None:
        if self.receiver is not None and not self.receiver.done():
            self.receiver.set_result(None)

    def promise_slots(self) -> None:
        while self.waiting and self.has_room():
            first = next(iter(self.waiting))
            del self.waiting[first]
            if not first.done():
                first.set_result(_Answer.SLOT)
                self.reserved += 1


class Sender(Generic[T]):
    """One end of a channel; `clone` makes another sender. The channel ends when all senders are closed."""

    def __init__(self, shared: _Channel[T]) -> None:
        self._channel = shared
        self._is_open = True

    @property
    def capacity(self) -> int | None:
        """How many items may wait; None without a limit."""
        return self._channel.capacity

    @property
    def depth(self) -> int:
        """Items waiting now, slots promised to waiting senders included."""
        return len(self._channel.buffer) + self._channel.reserved

    @property
    def depth_max(self) -> int:
        """The most items that ever waited."""
        return self._channel.depth_max

    @property
    def n_sent(self) -> int:
        """Items sent since the channel was made, by all senders."""
        return self._channel.n_sent

    def clone(self) -> Sender[T]:
        """Another sender of the same channel."""
        self._check(None)
        self._channel.n_senders += 1
        return Sender(self._channel)

    def try_send(self, item: T) -> bool:
        """Send if there is room. Returns False when there is none; raises ChannelClosedError."""
        self._check(item)
        if not self._channel.has_room():
            return False
        self._channel.put(item)
        return True

    def send_nowait(self, item: T) -> None:
        """Send at once. Raises ChannelFullError or ChannelClosedError, each with the item."""
        if not self.try_send(item):
            raise ChannelFullError(
                f"channel {self._channel.name!r} is full with {self._channel.capacity} items; take some or wait", item
            )

    async def send(self, item: T, timeout_s: float | None = None) -> None:
        """Send, waiting for room, at most `timeout_s` seconds.

        Waiting senders are served in order of arrival. Cancelled or timed out means not sent, always. Raises
        SendTimeoutError or ChannelClosedError, each with the item.
        """
        if self.try_send(item):
            return
        shared = self._channel
        loop = asyncio.get_running_loop()
        slot: asyncio.Future[_Answer] = loop.create_future()
        shared.waiting[slot] = None
        timer = None if timeout_s is None else loop.call_later(timeout_s, _expire, slot)
        try:
            answer = await slot
        except asyncio.CancelledError:
            # The slot may have been promised in the same turn of the loop: the next sender gets it.
            if slot.done() and not slot.cancelled() and slot.result() is _Answer.SLOT:
                shared.reserved -= 1
                shared.promise_slots()
            raise
        finally:
            shared.waiting.pop(slot, None)
            if timer is not None:
                timer.cancel()
            if shared.n_senders == 0:
                shared.wake_receiver()
        if answer is _Answer.EXPIRED:
            raise SendTimeoutError(
                f"channel {shared.name!r} stayed full with {shared.capacity} items for {timeout_s} s", item
            )
        if answer is _Answer.SLOT:
            shared.reserved -= 1
        if not shared.is_receiver_open:
            raise self._closed(item)
        shared.put(item)

    def close(self) -> None:
        """This sender is done. The receiver gets what was sent, then the end once every sender is closed."""
        if self._is_open:
            self._is_open = False
            self._channel.n_senders -= 1
            if self._channel.n_senders == 0:
                self._channel.wake_receiver()

    def _check(self, item: object) -> None:
        if not self._is_open:
            raise ChannelClosedError(f"this sender of channel {self._channel.name!r} is closed", item)
        if not self._channel.is_receiver_open:
            raise self._closed(item)

    def _closed(self, item: object) -> ChannelClosedError:
        return ChannelClosedError(f"the receiver of channel {self._channel.name!r} is closed", item)


def _expire(slot: asyncio.Future[_Answer]) -> None:
    if not slot.done():
        slot.set_result(_Answer.EXPIRED)


class Receiver(Generic[T]):
    """The one reading end. `async for item in receiver` ends when every sender is closed and all is read."""

    def __init__(self, shared: _Channel[T]) -> None:
        self._channel = shared
        self._n_at_once = 0

    def __len__(self) -> int:
        return len(self._channel.buffer)

    def recv_nowait(self) -> T | None:
        """The next item, None when none waits."""
        if not self._channel.buffer:
            return None
        return self._take()

    async def recv(self) -> T:
        """The next item. Raises ChannelClosedError at the end of the channel. Cancelling loses nothing."""
        shared = self._channel
        if shared.buffer:
            self._n_at_once += 1
            if self._n_at_once >= GIVE_WAY_AFTER:
                self._n_at_once = 0
                await asyncio.sleep(0)
        while not shared.buffer:
            if not shared.is_receiver_open or shared.is_over():
                raise ChannelClosedError(f"channel {shared.name!r} has ended")
            if shared.receiver is not None:
                raise RuntimeError(f"channel {shared.name!r} has one receiver, and it is waiting already")
            self._n_at_once = 0
            shared.receiver = asyncio.get_running_loop().create_future()
            try:
                await shared.receiver
            finally:
                shared.receiver = None
        return self._take()

    async def recv_many(self, n_max: int) -> list[T]:
        """At least one item, waiting for it, and at most `n_max`. Raises ChannelClosedError at the end."""
        items = [await self.recv()]
        while len(items) < n_max and self._channel.buffer:
            items.append(self._take())
        return items

    def close(self) -> list[T]:
        """Receive no more. Senders get ChannelClosedError from now on; returns what was sent and not read."""
        shared = self._channel
        shared.is_receiver_open = False
        left = list(shared.buffer)
        shared.buffer.clear()
        for slot in shared.waiting:
            if not slot.done():
                slot.set_result(_Answer.CLOSED)
        shared.wake_receiver()
        return left

    def __aiter__(self) -> Receiver[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.recv()
        except ChannelClosedError:
            raise StopAsyncIteration from None

    def _take(self) -> T:
        item = self._channel.buffer.popleft()
        if self._channel.waiting:
            self._channel.promise_slots()
        return item


def channel(capacity: int | None, name: str = "channel") -> tuple[Sender[T], Receiver[T]]:
    """A new channel: its first sender and its receiver.

    capacity: items that may wait, at least 1; None for no limit, for senders that must never wait and are slow by
    nature (`Sender.depth_max` shows whether they are). name: for messages.
    """
    if capacity is not None and capacity < 1:
        raise ConfigError(f"channel {name!r}: the capacity must be at least 1, found {capacity}")
    shared: _Channel[T] = _Channel(capacity, name)
    return Sender(shared), Receiver(shared)
