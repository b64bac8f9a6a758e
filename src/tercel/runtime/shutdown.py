"""An ordered end within a deadline, whatever asks for it: SIGINT, SIGTERM, the operator, a broken invariant.

Stages run one after another in the order they were added (stop intake, cancel orders, flush, disconnect). Each has a
reserve of time that earlier stages cannot use up; a stage that fails or takes too long is recorded, and the next one
runs. If the process still stands some seconds after the deadline (a handler that never gives the loop back), it ends
itself; by then nothing can be lost, because the journal is the truth. Called by `live`, `localvenue` and `cli`.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType, TracebackType
from typing import Any

import msgspec

from tercel.clock import Clock, SystemClock
from tercel.errors import ConfigError

__all__ = ["DEADLINE_S", "EXIT_CODE_FORCED", "Shutdown", "StageReport"]

_log = logging.getLogger(__name__)

DEADLINE_S = 30.0
#: What a process ends with that could not end in order.
EXIT_CODE_FORCED = 70
#: How long after the deadline the process is ended by force.
_GRACE_S = 2.0
#: How long a stage that was cancelled may take to clean up.
_CLEANUP_S = 0.5


class StageReport(msgspec.Struct, frozen=True):
    """What became of a stage: "done", "failed" or "late", how long it took, and the error's text."""

    name: str
    outcome: str
    took_ns: int
    error: str = ""


class _Stage(msgspec.Struct, frozen=True):
    name: str
    action: Callable[[], Awaitable[Any]]
    reserve_s: float


class Shutdown:
    """Collects stages, waits to be asked, runs them once. A context manager that takes and returns the signals.

    deadline_s: for all stages together. is_forced: end the process when it does not end by itself.
    """

    def __init__(self, deadline_s: float = DEADLINE_S, *, is_forced: bool = False, clock: Clock | None = None) -> None:
        self.deadline_s = deadline_s
        self.reason = ""
        self._is_forced = is_forced
        self._clock = clock or SystemClock()
        self._stages: list[_Stage] = []
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}
        self._guard: threading.Timer | None = None

    def add(self, name: str, action: Callable[[], Awaitable[Any]], *, reserve_s: float = 1.0) -> None:
        """Add a stage behind those there are. reserve_s: time kept for it whatever the earlier ones take.

        Raises ConfigError when the reserves together exceed the deadline.
        """
        reserved_s = sum(stage.reserve_s for stage in self._stages) + reserve_s
        if reserved_s > self.deadline_s:
            raise ConfigError(
                f"shutdown stage {name!r}: the stages reserve {reserved_s} s, the deadline is {self.deadline_s} s"
            )
        self._stages.append(_Stage(name, action, reserve_s))

    @property
    def is_asked(self) -> bool:
        """Whether the session is to end."""
        return self._asked.is_set()

    def ask(self, reason: str) -> None:
        """Ask for the end; the first reason counts. From the loop's own thread."""
        if not self._asked.is_set():
            self.reason = reason
            _log.info("shutdown: %s", reason)
            self._arm_guard()
            self._asked.set()

    async def wait(self) -> str:
        """Wait until somebody asks for the end; returns the reason."""
        await self._asked.wait()
        return self.reason

    async def run(self) -> list[StageReport]:
        """Run the stages in order. Returns what became of each; never raises for a stage."""
        end_ns = self._clock.monotonic_ns() + round(self.deadline_s * 1e9)
        reports = []
        for i, stage in enumerate(self._stages):
            kept_s = sum(later.reserve_s for later in self._stages[i + 1 :])
            left_s = (end_ns - self._clock.monotonic_ns()) / 1e9 - kept_s
            report = await self._run_stage(stage, max(left_s, 0.0))
            level = logging.INFO if report.outcome == "done" else logging.ERROR
            _log.log(level, "shutdown stage %s: %s %s", stage.name, report.outcome, report.error)
            reports.append(report)
        return reports

    async def _run_stage(self, stage: _Stage, timeout_s: float) -> StageReport:
        begun_ns = self._clock.monotonic_ns()

        async def act() -> None:
            await stage.action()

        # Not asyncio.timeout: a stage that swallows its cancellation must not hold up the next one.
        task = asyncio.get_running_loop().create_task(act(), name=f"shutdown {stage.name}")
        try:
            await asyncio.wait([task], timeout=timeout_s)
            is_late = not task.done()
            if is_late:
                task.cancel()
                await asyncio.wait([task], timeout=min(_CLEANUP_S, stage.reserve_s / 2))
        except asyncio.CancelledError:
            task.cancel()
            raise
        took_ns = self._clock.monotonic_ns() - begun_ns
        if is_late:
            return StageReport(stage.name, "late", took_ns, f"not done after {timeout_s:.1f} s")
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            _log.error("shutdown stage %s failed", stage.name, exc_info=error)
            return StageReport(
                stage.name, "failed", took_ns, f"{type(error).__name__}: {error}" if error else "cancelled"
            )
        return StageReport(stage.name, "done", took_ns)

    def __enter__(self) -> Shutdown:
        self.take_signals()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.return_signals()

    def take_signals(self) -> None:
        """From now on SIGINT and SIGTERM ask for the end. From the main thread, inside the running loop."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not the loop's own handler: this one runs even while a handler keeps the loop to itself.
            self._before[number] = signal.signal(number, self._on_signal)

    def return_signals(self) -> None:
        """The signals' former handlers again, and no more force."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()
        if self._guard is not None:
            self._guard.cancel()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        assert self._loop is not None
        self._arm_guard()
        self._loop.call_soon_threadsafe(self.ask, signal.Signals(number).name)

    def _arm_guard(self) -> None:
        if self._is_forced and self._guard is None:
            self._guard = threading.Timer(self.deadline_s + _GRACE_S, _end_by_force)
            self._guard.daemon = True
            self._guard.start()


def _end_by_force() -> None:
    faulthandler.dump_traceback()
    os._exit(EXIT_CODE_FORCED)
