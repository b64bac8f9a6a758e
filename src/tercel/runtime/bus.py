"""Event bus: what happened in a session, told to whoever wants to know, by type; nobody is waited for.

For logs, views, alerts: orders, halts, connections, actors that failed. Market data has its own broadcast. Called by
`live`.
"""

from __future__ import annotations

from typing import Any

from tercel.errors import LaggedError
from tercel.runtime.broadcast import Broadcast, BroadcastReader
from tercel.runtime.capacities import EVENT_BUS_MAX

__all__ = ["EventBus", "Subscription"]


class EventBus:
    """One ring for all subscribers: its memory does not depend on how many there are or how slow."""

    def __init__(self, capacity: int = EVENT_BUS_MAX) -> None:
        self._ring: Broadcast[Any] = Broadcast(capacity, "event bus")

    @property
    def n_published(self) -> int:
        """Events published so far."""
        return self._ring.n_sent

    @property
    def is_open(self) -> bool:
        """Whether events can be published."""
        return self._ring.is_open

    def publish(self, event: Any) -> None:
        """Tell every subscriber; never waits. Raises ChannelClosedError with the event after `close`."""
        self._ring.send(event)

    def subscribe(self, *kinds: type) -> Subscription:
        """A subscription to events of these classes and their subclasses, to all when none is named."""
        return Subscription(self._ring.reader(), kinds)

    def close(self) -> None:
        """Publish no more; subscribers read what is kept, then their loops end."""
        self._ring.close()


class Subscription:
    """One subscriber. n_missed: events lost to slowness, of any class, since it began."""

    def __init__(self, reader: BroadcastReader[Any], kinds: tuple[type, ...]) -> None:
        self._reader = reader
        self._kinds = kinds

    @property
    def n_missed(self) -> int:
        """Events lost because this subscriber was slow."""
        return self._reader.n_missed

    async def next(self) -> Any:
        """The next event. Raises LaggedError once after events were lost, ChannelClosedError at the end."""
        while True:
            event = await self._reader.recv()
            if not self._kinds or isinstance(event, self._kinds):
                return event

    async def next_or_lag(self) -> Any:
        """The same, with the LaggedError returned in its place in the order instead of raised."""
        try:
            return await self.next()
        except LaggedError as lag:
            return lag
