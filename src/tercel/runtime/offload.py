"""Blocking work out of the event loop, and what that costs: one way for all of tercel.

Which way for which work:

- Work that blocks (files, databases, blocking libraries, long computation that releases the interpreter's lock):
  `await offload.run(function, ...)`.
- Work that already is async: a task of a TaskGroup, no thread.
- Several independent pieces at once, such as a file and a configuration: `await offload.join(...)`.
- Simple work (joining strings, arithmetic), and what happens thousands of times a second: neither; the hand-over costs
  more than the work.

The overhead of a call is its whole time less the time its function ran. A call whose overhead passes 5 ms is logged;
overheads are graded and summed up in `report()`. Measure first, and keep the overhead under 10 ms. Called by `live`,
`localvenue` and `cli`.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from enum import Enum
from typing import Any, ParamSpec, TypeVar

import msgspec

from tercel.clock import Clock, SystemClock
from tercel.errors import CapacityError
from tercel.runtime.durations import Durations, DurationsReport
from tercel.runtime.threads import ThreadPool

__all__ = [
    "EXCELLENT_BELOW_NS", "GOOD_UP_TO_NS", "WARN_ABOVE_NS", "Grade", "Offload", "OffloadReport", "grade", "overhead_ns",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")
_log = logging.getLogger(__name__)

EXCELLENT_BELOW_NS = 10_000_000
GOOD_UP_TO_NS = 20_000_000
WARN_ABOVE_NS = 5_000_000


class Grade(Enum):
    """What an overhead is worth."""

    EXCELLENT = "excellent"
    GOOD = "good"
    CONSIDER = "consider optimisation"


def grade(overhead_ns: int) -> Grade:
    """Below 10 ms excellent, up to 20 ms good, above that worth looking at."""
    if overhead_ns < EXCELLENT_BELOW_NS:
        return Grade.EXCELLENT
    return Grade.GOOD if overhead_ns <= GOOD_UP_TO_NS else Grade.CONSIDER


def overhead_ns(total_ns: int, *parts_ns: int) -> int:
    """What a whole took beyond its measured parts, never below 0."""
    return max(total_ns - sum(parts_ns), 0)


class OffloadReport(msgspec.Struct, frozen=True):
    """n_calls: finished and awaited. n_failed: of those, raised. n_abandoned: nobody waited any more. work, overhead:
    durations of the functions and of what came on top. grades: calls by grade. n_slow: calls that were logged.
    """

    n_calls: int
    n_failed: int
    n_abandoned: int
    n_slow: int
    work: DurationsReport
    overhead: DurationsReport
    grades: dict[str, int]
    n_threads: int
    n_threads_max: int
    n_waiting: int


class _Call:
    """One call on its way: filled in by the thread, read by the loop after it."""

    __slots__ = ("error", "has_begun", "is_unwanted", "result", "work_ns")

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.work_ns = 0
        self.has_begun = False
        self.is_unwanted = False


class Offload:
    """Runs blocking functions in threads for one event loop. One an application; `close` at its end."""

    def __init__(self, pool: ThreadPool | None = None, *, clock: Clock | None = None) -> None:
        self.pool = pool or ThreadPool()
        self._clock = clock or SystemClock()
        self._work = Durations()
        self._overhead = Durations()
        self._grades = dict.fromkeys(Grade, 0)
        self._n_failed = 0
        self._n_abandoned = 0
        self._n_slow = 0
        self._pending: dict[asyncio.Future[None], _Call] = {}

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in a thread and return what it returns, raise what it raises.

        The thread sees the caller's context variables. Cancelling stops the waiting; a function that has begun runs
        to its end, one that has not is skipped. Raises CapacityError when too many calls wait.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        call = _Call()
        context = contextvars.copy_context()
        clock = self._clock

        def job() -> None:
            if call.is_unwanted:
                return
            call.has_begun = True
            begun_ns = clock.monotonic_ns()
            try:
                call.result = context.run(function, *args, **kwargs)
            except BaseException as error:
                call.error = error
            call.work_ns = clock.monotonic_ns() - begun_ns
            try:
                loop.call_soon_threadsafe(_finish, done)
            except RuntimeError:
                # The loop was closed meanwhile: nobody is left to tell.
                _log.debug("a blocking call ended after its loop")

        submitted_ns = clock.monotonic_ns()
        self.pool.submit(job)
        self._pending[done] = call
        try:
            await done
        except asyncio.CancelledError:
            call.is_unwanted = True
            self._n_abandoned += 1
            raise
        finally:
            del self._pending[done]
        self._account(function, call, clock.monotonic_ns() - submitted_ns)
        if call.error is not None:
            self._n_failed += 1
            try:
                raise call.error
            finally:
                # The traceback holds this frame; without this the frame would hold the error in turn.
                del call
        return call.result  # type: ignore[no-any-return]

    async def join(self, *functions: Callable[[], Any]) -> list[Any]:
        """Call functions without argument at once, each in a thread; results in their order.

        When one raises, the others are abandoned and an ExceptionGroup with what was raised comes out.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.run(function)) for function in functions]
        return [task.result() for task in tasks]

    def report(self) -> OffloadReport:
        """What was measured so far."""
        return OffloadReport(
            n_calls=self._overhead.n,
            n_failed=self._n_failed,
            n_abandoned=self._n_abandoned,
            n_slow=self._n_slow,
            work=self._work.report(),
            overhead=self._overhead.report(),
            grades={g.value: n for g, n in self._grades.items()},
            n_threads=self.pool.n_threads,
            n_threads_max=self.pool.n_threads_max,
            n_waiting=self.pool.n_waiting,
        )

    def close(self, timeout_s: float | None = 0.0) -> bool:
        """End the threads, waiting for busy ones at most `timeout_s`. Returns whether all have ended.

        Called in the loop's thread, and blocks it. Calls that have not begun raise CapacityError where they are
        awaited; threads that stay are daemons and end with the process.
        """
        have_ended = self.pool.close(timeout_s)
        for done, call in self._pending.items():
            if not call.has_begun:
                call.is_unwanted = True
                call.error = CapacityError("the threads for blocking calls were closed before this call began")
                _finish(done)
        return have_ended

    def _account(self, function: Callable[..., Any], call: _Call, total_ns: int) -> None:
        over_ns = overhead_ns(total_ns, call.work_ns)
        self._work.add(call.work_ns)
        self._overhead.add(over_ns)
        self._grades[grade(over_ns)] += 1
        if over_ns > WARN_ABOVE_NS:
            self._n_slow += 1
            name = getattr(function, "__qualname__", type(function).__qualname__)
            _log.warning("High threading overhead: %.1f ms for %s (%s)", over_ns / 1e6, name, grade(over_ns).value)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
