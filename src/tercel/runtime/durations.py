"""A summary of durations in constant memory: count, total, longest, and a histogram in powers of two.

Used by the runtime for garbage-collector pauses and offload overhead; `live` shows it. Not a metrics library.
"""

from __future__ import annotations

import msgspec

__all__ = ["Durations", "DurationsReport"]

_N_BUCKETS = 64


class DurationsReport(msgspec.Struct, frozen=True):
    """n: how many. total_ns, max_ns, mean_ns: int64 nanoseconds, 0 when there are none. p50_ns, p99_ns: upper ends of
    the histogram's bucket that holds the quantile, so true values are at most that and more than half of it.
    """

    n: int
    total_ns: int
    max_ns: int
    mean_ns: int
    p50_ns: int
    p99_ns: int


class Durations:
    """Durations, added one by one. buckets[i] counts those below 2**i ns and not below half of that."""

    __slots__ = ("buckets", "max_ns", "n", "total_ns")

    def __init__(self) -> None:
        self.n = 0
        self.total_ns = 0
        self.max_ns = 0
        self.buckets = [0] * _N_BUCKETS

    def add(self, duration_ns: int) -> None:
        """Count one duration; a negative one, from a clock that was moved, counts as 0."""
        duration_ns = max(duration_ns, 0)
        self.n += 1
        self.total_ns += duration_ns
        if duration_ns > self.max_ns:
            self.max_ns = duration_ns
        self.buckets[min(duration_ns.bit_length(), _N_BUCKETS - 1)] += 1

    def quantile_ns(self, share: float) -> int:
        """An upper bound of the quantile `share` in (0, 1]; 0 without durations."""
        left = share * self.n
        for i, n in enumerate(self.buckets):
            left -= n
            if n and left <= 0:
                return min((1 << i) - 1, self.max_ns)
        return self.max_ns

    def report(self) -> DurationsReport:
        """What was counted so far."""
        mean_ns = self.total_ns // self.n if self.n else 0
        return DurationsReport(
            self.n, self.total_ns, self.max_ns, mean_ns, self.quantile_ns(0.5), self.quantile_ns(0.99)
        )
