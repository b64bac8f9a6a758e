"""Backpressure by watermarks: a sender slows down before its channel is full, and gets its item back when it is.

Before each send the channel's use is looked at: above the high watermark the rate is multiplied by the slow-down
factor, below the low one it recovers. A rate below 1 delays the send. The rate has no floor; the delay is bounded by
`DELAY_MAX_S`. Time is the event loop's, so a `HandLoop` steps it. Called by `live` and whoever feeds a channel.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Generic, TypeVar

from tercel.errors import ConfigError, SendTimeoutError
from tercel.runtime.mpsc import Sender

__all__ = [
    "DELAY_MAX_S",
    "HIGH_WATERMARK",
    "LOW_WATERMARK",
    "RECOVERY_FACTOR",
    "SEND_TIMEOUT_S",
    "SLOW_DOWN_FACTOR",
    "Backpressure",
    "PacedSender",
]

T = TypeVar("T")
_log = logging.getLogger(__name__)

HIGH_WATERMARK = 0.8
LOW_WATERMARK = 0.3
SLOW_DOWN_FACTOR = 0.5
RECOVERY_FACTOR = 1.5
DELAY_MAX_S = 0.1
SEND_TIMEOUT_S = 5.0


class Backpressure:
    """The rate of one sender, in [0, 1], from 1; a value without a loop or a clock."""

    def __init__(
        self,
        *,
        high: float = HIGH_WATERMARK,
        low: float = LOW_WATERMARK,
        slow_down: float = SLOW_DOWN_FACTOR,
        recovery: float = RECOVERY_FACTOR,
        delay_max_s: float = DELAY_MAX_S,
    ) -> None:
        if not 0.0 <= low < high <= 1.0:
            raise ConfigError(f"watermarks must satisfy 0 <= low < high <= 1, found low {low}, high {high}")
        if not 0.0 < slow_down < 1.0 or recovery <= 1.0:
            raise ConfigError(
                f"slow_down must lie between 0 and 1 and recovery above 1, found {slow_down} and {recovery}"
            )
        self._high = high
        self._low = low
        self._slow_down = slow_down
        self._recovery = recovery
        self._delay_max_s = delay_max_s
        self._rate = 1.0

    def current_rate(self) -> float:
        """The rate now."""
        return self._rate

    def observe(self, used: int, capacity: int) -> float:
        """Take the channel's use before a send into account; returns the delay in seconds that the send must wait."""
        use = used / capacity
        if use > self._high:
            self._rate *= self._slow_down
        elif use < self._low:
            self._rate = min(self._rate * self._recovery, 1.0)
        return (1.0 - self._rate) * self._delay_max_s


class PacedSender(Generic[T]):
    """A sender of an mpsc channel that applies backpressure to itself. A channel without limit never presses."""

    def __init__(
        self, sender: Sender[T], pressure: Backpressure | None = None, *, timeout_s: float = SEND_TIMEOUT_S
    ) -> None:
        self._sender = sender
        self._pressure = pressure or Backpressure()
        self._timeout_s = timeout_s

    def current_rate(self) -> float:
        """The sender's rate now, in [0, 1]."""
        return self._pressure.current_rate()

    async def send(self, item: T) -> None:
        """Send after the delay the rate asks for, waiting for room at most the timeout.

        Raises SendTimeoutError or ChannelClosedError, each with the item. Cancelled means not sent.
        """
        capacity = self._sender.capacity
        if capacity is not None:
            delay_s = self._pressure.observe(self._sender.depth, capacity)
            if delay_s > 0.0:
                await asyncio.sleep(delay_s)
        try:
            await self._sender.send(item, self._timeout_s)
        except SendTimeoutError as error:
            _log.warning("channel blocked: %s", error)
            raise
