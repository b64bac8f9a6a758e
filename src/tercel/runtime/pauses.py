"""Pauses of the garbage collector: frozen and switched off while a session is armed, and measured always.

What was made before arming (the compiler, the modules, the books) never dies: `gc.freeze` takes it out of every later
collection. While armed no collection starts by itself; the driver calls `collect` when nothing is due, and sees in the
report what that costs. One watch a process, made by `live`.
"""

from __future__ import annotations

import gc
from types import TracebackType

import msgspec

from tercel.clock import Clock, SystemClock
from tercel.runtime.durations import Durations, DurationsReport

__all__ = ["WHOLE_EVERY", "PauseReport", "PauseWatch"]

_N_GENERATIONS = 3
#: Every so many calls of `collect` look at everything that was made since arming.
WHOLE_EVERY = 60


class PauseReport(msgspec.Struct, frozen=True):
    """pauses: every collection since `start`. armed: those since `arm`. n_collected: objects freed. n_frozen: objects
    taken out of collection. generations: collections by generation, youngest first.
    """

    pauses: DurationsReport
    armed: DurationsReport
    n_collected: int
    n_uncollectable: int
    n_frozen: int
    generations: tuple[int, ...]
    is_armed: bool


class PauseWatch:
    """Measures every collection through `gc.callbacks`; `arm` freezes and switches collection off.

    A context manager: leaving it disarms and takes the callback out again.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._started_ns = 0
        self._all = Durations()
        self._armed = Durations()
        self._generations = [0] * _N_GENERATIONS
        self._n_collected = 0
        self._n_uncollectable = 0
        self._n_looks = 0
        self.is_armed = False

    def start(self) -> None:
        """Begin to measure; twice is once."""
        if self._on_collection not in gc.callbacks:
            gc.callbacks.append(self._on_collection)

    def arm(self) -> None:
        """Collect everything once, freeze what is left, switch automatic collection off."""
        self.start()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._armed = Durations()
        self.is_armed = True

    def collect(self) -> int:
        """Collect garbage now, at a moment the caller chose. Returns how many objects were freed.

        Of the young generations; every `WHOLE_EVERY`th call of all but what `arm` froze. What lived through one call is
        old, and a circle of such objects would otherwise stay for as long as the process is armed.
        """
        self._n_looks += 1
        return gc.collect(_N_GENERATIONS - 1 if self._n_looks % WHOLE_EVERY == 0 else 1)

    def disarm(self) -> None:
        """Automatic collection again, over everything; twice is once."""
        if self.is_armed:
            self.is_armed = False
            gc.unfreeze()
            gc.enable()

    def stop(self) -> None:
        """Disarm, measure no more."""
        self.disarm()
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    def report(self) -> PauseReport:
        """What was measured so far."""
        return PauseReport(
            pauses=self._all.report(),
            armed=self._armed.report(),
            n_collected=self._n_collected,
            n_uncollectable=self._n_uncollectable,
            n_frozen=gc.get_freeze_count(),
            generations=tuple(self._generations),
            is_armed=self.is_armed,
        )

    def __enter__(self) -> PauseWatch:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        now_ns = self._clock.monotonic_ns()
        if phase == "start":
            self._started_ns = now_ns
            return
        pause_ns = now_ns - self._started_ns
        self._all.add(pause_ns)
        if self.is_armed:
            self._armed.add(pause_ns)
        self._generations[min(info["generation"], _N_GENERATIONS - 1)] += 1
        self._n_collected += info["collected"]
        self._n_uncollectable += info["uncollectable"]
