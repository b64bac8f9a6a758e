"""Watch: one value, one writer, any number of readers that see the newest and may miss what came between.

It starts from a default, so a reader never finds nothing. One event loop, one thread. Called by `live`.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from tercel.errors import ChannelClosedError

__all__ = ["Watch", "WatchReader"]

T = TypeVar("T")


class Watch(Generic[T]):
    """The value and its version, which counts the changes since the default."""

    def __init__(self, default: T, name: str = "watch") -> None:
        self._value = default
        self.name = name
        self.version = 0
        self.is_open = True
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def value(self) -> T:
        """The newest value."""
        return self._value

    def set(self, value: T) -> None:
        """Replace the value; never waits. Raises ChannelClosedError with the value after `close`."""
        if not self.is_open:
            raise ChannelClosedError(f"watch {self.name!r} is closed", value)
        self._value = value
        self.version += 1
        self._wake()

    def close(self) -> None:
        """No more changes: whoever waits for one gets ChannelClosedError. The value stays."""
        self.is_open = False
        self._wake()

    def reader(self) -> WatchReader[T]:
        """A new reader that has seen the present value."""
        return WatchReader(self)

    def _wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for reader in waiting:
                if not reader.done():
                    reader.set_result(None)


class WatchReader(Generic[T]):
    """One reader of a Watch."""

    def __init__(self, watch: Watch[T]) -> None:
        self._watch = watch
        self._seen = watch.version

    @property
    def has_changed(self) -> bool:
        """Whether there is a value this reader has not seen."""
        return self._seen != self._watch.version

    def get(self) -> T:
        """The newest value; it counts as seen."""
        self._seen = self._watch.version
        return self._watch.value

    async def changed(self) -> T:
        """Wait for a value not seen yet and return the newest. Raises ChannelClosedError when none will come."""
        while not self.has_changed:
            if not self._watch.is_open:
                raise ChannelClosedError(f"watch {self._watch.name!r} is closed")
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._watch._waiting.append(change)
            try:
                await change
            except asyncio.CancelledError:
                if change in self._watch._waiting:
                    self._watch._waiting.remove(change)
                raise
        return self.get()
