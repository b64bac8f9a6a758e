"""The stopwatch of the benchmark: warm-up, repetitions in turn, medians.

Both sides of a question run alternately in one process, so that a slower clock meets both alike. A repetition during
which the core was shared is set aside and run again, on both sides by the same rule (`quiet`). The garbage collector
rests while an engine is timed, on both sides.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence

import msgspec

from tercel.bench.quiet import Judged, Watch, chosen, wants_more
from tercel.bench.results import Contestant

__all__ = ["Timing", "race"]


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Repetitions of one contestant. seconds: one entry a repetition that counts, warm-ups left out.

    n_disturbed: how many were set aside because the core was shared.
    """

    name: str
    n_events: int
    seconds: list[float]
    n_disturbed: int = 0

    @property
    def aside(self) -> str:
        """Words for a note: how many repetitions were set aside, "" when none."""
        if self.n_disturbed == 0:
            return ""
        return f"; {self.n_disturbed} of {self.n_disturbed + len(self.seconds)} runs set aside: the core was shared"

    @property
    def median_s(self) -> float:
        """Median seconds of a repetition."""
        return statistics.median(self.seconds)

    @property
    def ns_per_event(self) -> float:
        """Median nanoseconds for one row of input."""
        return self.median_s * 1e9 / self.n_events


def race(
    contestants: Sequence[Contestant], n: int = 7, n_warm: int = 2, tick: Callable[[], None] = lambda: None
) -> list[Timing]:
    """Time each contestant, taking turns, until `n` repetitions of each were quiet or time is up (`wants_more`).

    `n_warm` unmeasured runs of each go before; `tick` follows each run.
    """
    for contestant in contestants:
        for _ in range(n_warm):
            contestant.once()
            tick()
    watch = Watch()
    runs: list[list[Judged[float]]] = [[] for _ in contestants]
    was_on = gc.isenabled()
    gc.disable()
    try:
        while any(wants_more(found, n) for found in runs):
            for found, contestant in zip(runs, contestants, strict=True):
                if wants_more(found, n):
                    gc.collect()
                    found.append(watch.judged(contestant.once))
                    tick()
    finally:
        if was_on:
            gc.enable()
    return [_timing(contestant, found, n) for contestant, found in zip(contestants, runs, strict=True)]


def _timing(contestant: Contestant, runs: list[Judged[float]], n: int) -> Timing:
    seconds, n_disturbed = chosen(runs, n)
    return Timing(name=contestant.name, n_events=contestant.n_events, seconds=seconds, n_disturbed=n_disturbed)
