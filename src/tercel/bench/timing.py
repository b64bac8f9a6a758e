"""The stopwatch of the benchmark: warm-up, repetitions in turn, medians.

Both sides of a question run alternately in one process, so that a noisy neighbour or a slower clock meets both alike.
The garbage collector rests while an engine is timed, on both sides.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence

import msgspec

from tercel.bench.results import Contestant

__all__ = ["Timing", "race"]


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Repetitions of one contestant. seconds: one entry a repetition, warm-ups left out."""

    name: str
    n_events: int
    seconds: list[float]

    @property
    def median_s(self) -> float:
        """Median seconds of a repetition."""
        return statistics.median(self.seconds)

    @property
    def ns_per_event(self) -> float:
        """Median nanoseconds for one row of input."""
        return self.median_s * 1e9 / self.n_events


def _timed(contestant: Contestant) -> float:
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        return contestant.once()
    finally:
        if was_on:
            gc.enable()


def race(
    contestants: Sequence[Contestant], n: int = 7, n_warm: int = 2, tick: Callable[[], None] = lambda: None
) -> list[Timing]:
    """Time each contestant `n` times, taking turns, after `n_warm` unmeasured runs each; `tick` follows each run."""
    for contestant in contestants:
        for _ in range(n_warm):
            _timed(contestant)
            tick()
    seconds: list[list[float]] = [[] for _ in contestants]
    for _ in range(n):
        for runs, contestant in zip(seconds, contestants, strict=True):
            runs.append(_timed(contestant))
            tick()
    return [
        Timing(name=contestant.name, n_events=contestant.n_events, seconds=runs)
        for contestant, runs in zip(contestants, seconds, strict=True)
    ]
