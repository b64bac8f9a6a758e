"""Latencies of one peer or path: the last samples, their percentiles, and the two alarms on them.

The tracker and the check are pure; `monitor_performance` runs the check at intervals. Called by `live` and
`net.endpoints`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from tercel.errors import ConfigError

__all__ = ["Alarm", "LatencyTracker", "Percentiles", "check_latency", "monitor_performance"]

_MS = 1_000_000
AVERAGE_MAX_NS = 10 * _MS
P99_MAX_NS = 50 * _MS


class Percentiles(msgspec.Struct, frozen=True):
    """In nanoseconds."""

    p50_ns: int
    p95_ns: int
    p99_ns: int


class LatencyTracker:
    """The newest `n_max` samples; the oldest is dropped (S1-50)."""

    def __init__(self, n_max: int = 1000) -> None:
        if n_max < 1:
            raise ConfigError(f"a latency tracker keeps at least one sample, not {n_max}")
        self._samples: deque[int] = deque(maxlen=n_max)

    def __len__(self) -> int:
        return len(self._samples)

    def add(self, latency_ns: int) -> None:
        """One more sample."""
        self._samples.append(latency_ns)

    def percentiles(self) -> Percentiles | None:
        """The sample at index n*p//100 of the sorted ones; None without a sample. Sorts: O(n log n)."""
        if not self._samples:
            return None
        ordered = sorted(self._samples)
        n = len(ordered)
        return Percentiles(ordered[n * 50 // 100], ordered[n * 95 // 100], ordered[n * 99 // 100])

    def average_ns(self) -> float | None:
        """The mean; None without a sample."""
        return sum(self._samples) / len(self._samples) if self._samples else None


class Alarm(msgspec.Struct, frozen=True):
    """level: of `logging`. text: with values in ms, two decimals."""

    level: int
    text: str


def check_latency(tracker: LatencyTracker) -> list[Alarm]:
    """The alarms of S1-51: mean above 10 ms warns, p99 above 50 ms alarms; nothing without a sample."""
    alarms = []
    average_ns, percentiles = tracker.average_ns(), tracker.percentiles()
    if average_ns is not None and average_ns > AVERAGE_MAX_NS:
        alarms.append(Alarm(logging.WARNING, f"high average latency: {average_ns / _MS:.2f} ms"))
    if percentiles is not None and percentiles.p99_ns > P99_MAX_NS:
        alarms.append(Alarm(logging.ERROR, f"P99 latency spike: {percentiles.p99_ns / _MS:.2f} ms"))
    return alarms


def _log(alarm: Alarm) -> None:
    logging.getLogger("tercel.net").log(alarm.level, alarm.text)


async def monitor_performance(
    tracker: LatencyTracker,
    interval_s: float,
    *,
    report: Callable[[Alarm], None] = _log,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Check every `interval_s` until cancelled."""
    while True:
        await sleep(interval_s)
        for alarm in check_latency(tracker):
            report(alarm)
