"""The only place that reads the wall clock or a monotonic clock.

The engine never asks for the time: time arrives on rows. Drivers, reports and the command line come here. `HandClock`
is the clock of tests: it moves only when told to.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "HandClock", "SteadyClock", "SystemClock", "cpu_ns", "monotonic_ns", "pause_s", "wall_ns"]


class Clock(Protocol):
    """What a driver needs from a clock."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary origin; never runs backwards."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC."""
        return time.time_ns()

    #: Nanoseconds from an arbitrary origin; never runs backwards. The function itself, as `monotonic_ns` below.
    monotonic_ns = staticmethod(time.perf_counter_ns)


class SteadyClock:
    """The time of day for a session: it follows the machine's, never runs backwards and never jumps.

    `adjust`, called now and then, moves it towards the machine's time by at most 0.5 ms. n_jumps: how often the
    machine's time was found more than a second away.
    """

    _STEP_NS = 500_000
    _JUMP_NS = 1_000_000_000

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or SystemClock()
        self._ticks = self._clock.monotonic_ns
        self._offset_ns = self._clock.wall_ns() - self._clock.monotonic_ns()
        self._last_ns = 0
        self._is_away = False
        self.n_jumps = 0

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, UTC, never less than before."""
        now_ns = self._offset_ns + self._ticks()
        if now_ns < self._last_ns:
            return self._last_ns
        self._last_ns = now_ns
        return now_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds from an arbitrary origin; never runs backwards."""
        return self._clock.monotonic_ns()

    def adjust(self) -> int:
        """Move towards the machine's time. Returns how far that is away, ns, positive when it is ahead."""
        away_ns = self._clock.wall_ns() - self._offset_ns - self._clock.monotonic_ns()
        is_away = abs(away_ns) > self._JUMP_NS
        self.n_jumps += is_away and not self._is_away
        self._is_away = is_away
        self._offset_ns += max(-self._STEP_NS, min(away_ns, self._STEP_NS))
        return away_ns


class HandClock:
    """A clock that moves only when `advance` is called."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch, as set by hand."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """The same hand-set value; never runs backwards."""
        return self._now_ns

    def advance(self, by_ns: int) -> None:
        """Move forward by `by_ns` nanoseconds; a negative step is refused."""
        if by_ns < 0:
            raise ValueError(f"a clock cannot run backwards: asked to advance by {by_ns} ns")
        self._now_ns += by_ns


# The functions themselves and not wrappers: they are called for every message that arrives.
wall_ns = time.time_ns
"""Nanoseconds since the Unix epoch, UTC, from the machine's clock."""

monotonic_ns = time.perf_counter_ns
"""Nanoseconds from an arbitrary origin, from the machine's high-resolution monotonic clock."""


def pause_s(seconds: float) -> None:
    """Let the thread rest. For commands that wait for a person's time alone; nothing on the way of a row comes here."""
    time.sleep(max(seconds, 0.0))


def cpu_ns() -> int:
    """Nanoseconds of processor time this process has used."""
    return time.process_time_ns()
