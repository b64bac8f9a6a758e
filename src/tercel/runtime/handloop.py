"""An event loop whose time is a hand clock: when nothing is ready, it jumps to the next deadline.

For tests and for deterministic simulation of whole sessions: hours pass in milliseconds, the same way each time.
Code under it uses asyncio's own sleeps, timeouts and timers unchanged. Never used in a live session.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tercel.clock import HandClock

__all__ = ["HandLoop", "run_by_hand"]

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: time moves instead."""

    def __init__(self, clock: HandClock, is_alone: bool) -> None:
        super().__init__()
        self._clock = clock
        self._is_alone = is_alone

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None:
            if self._is_alone:
                raise RuntimeError("every task waits and no timer is set: nothing will ever happen in this loop")
            return super().select(None)
        # Up to the next nanosecond, so that the timer is due afterwards.
        self._clock.advance(int(timeout * 1e9) + 1)
        return super().select(0)


class HandLoop(asyncio.SelectorEventLoop):
    """asyncio's loop over `clock`. is_alone: no thread and no peer outside this loop will wake it, so that waiting
    without a timer is an error rather than a hang.
    """

    def __init__(self, clock: HandClock | None = None, *, is_alone: bool = True) -> None:
        self.clock = clock or HandClock()
        self._start_ns = self.clock.monotonic_ns()
        super().__init__(_JumpingSelector(self.clock, is_alone))
        # Two times that a float of some months in seconds cannot tell apart are one.
        self._clock_resolution = 1e-8

    def time(self) -> float:
        """Seconds on the hand clock since the loop was made: since the epoch, a float would not tell nanoseconds."""
        return (self.clock.monotonic_ns() - self._start_ns) / 1e9


def run_by_hand(main: Callable[[HandClock], Coroutine[Any, Any, T]], *, start_ns: int = 0, is_alone: bool = True) -> T:
    """Run `main(clock)` to its end in a new HandLoop; the clock starts at `start_ns` and jumps to each deadline."""
    clock = HandClock(start_ns)
    with asyncio.Runner(loop_factory=lambda: HandLoop(clock, is_alone=is_alone)) as runner:
        return runner.run(main(clock))
