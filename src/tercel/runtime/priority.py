"""Five priorities that order what the event loop runs next.

asyncio resumes tasks in the order they became ready. Tasks spawned here take one more step: when such a task could go
on, it takes its place in the queue of its priority, and one task at a time is let go, from the most urgent queue that
is not empty, first come first served within it. Between two steps the loop does everything else it has to do, so that
a message that arrives meanwhile can make an urgent task ready, and that task is next.

The rule against starvation: a queue that was passed over `starvation_steps` times while somebody waited in it gets the
next step. A step itself is never interrupted; a long one belongs into `offload`.

Tasks stay ordinary asyncio tasks in the TaskGroup they were given: cancelling, timeouts and errors are asyncio's own.
Called by the supervisor, `live` and `localvenue`.
"""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from enum import IntEnum
from typing import Any, Generic, TypeVar

from tercel.errors import ConfigError

__all__ = ["STARVATION_STEPS", "Priority", "PriorityScheduler", "PriorityTask", "current_priority"]

T = TypeVar("T")

#: How often a waiting queue is passed over before it gets a step.
STARVATION_STEPS = 1_000


class Priority(IntEnum):
    """Smaller is more urgent."""

    CRITICAL = 0  #: orders and risk
    HIGH = 1  #: market data and signals
    MEDIUM = 2  #: features
    LOW = 3  #: logging and metrics
    BACKGROUND = 4  #: cleanup and maintenance


_current: ContextVar[tuple[Priority, asyncio.Task[Any]] | None] = ContextVar("tercel_priority", default=None)


def current_priority() -> Priority | None:
    """The priority of the running task; None in a task that was not spawned with one."""
    entry = _current.get()
    # A task created inside inherits the context, not the place in the queues.
    if entry is None or entry[1] is not asyncio.current_task():
        return None
    return entry[0]


class PriorityTask(Generic[T]):
    """A task and its priority."""

    __slots__ = ("priority", "task")

    def __init__(self, priority: Priority, task: asyncio.Task[T]) -> None:
        self.priority = priority
        self.task = task

    async def await_result(self) -> T:
        """Wait for the end: the result, or what the task raised. Cancelling the waiting leaves the task alone."""
        return await asyncio.shield(self.task)

    def cancel(self) -> None:
        """Ask the task to end; the request waits for its turn like any other step."""
        self.task.cancel()


class _Place:
    """A task's place in a queue. turn: done when it may go on, or when it was cancelled meanwhile."""

    __slots__ = ("has_come", "turn")

    def __init__(self, turn: asyncio.Future[None]) -> None:
        self.turn = turn
        self.has_come = False


class PriorityScheduler:
    """Spawns tasks into `group` and lets them go on in the order of their priorities. One an event loop.

    n_steps: steps taken so far, by priority.
    """

    def __init__(self, group: asyncio.TaskGroup, *, starvation_steps: int = STARVATION_STEPS) -> None:
        if starvation_steps < 1:
            raise ConfigError(f"starvation_steps must be at least 1, found {starvation_steps}")
        self._group = group
        self._loop = asyncio.get_running_loop()
        self._starvation_steps = starvation_steps
        self._ready: tuple[deque[_Place], ...] = tuple(deque() for _ in Priority)
        self._passed_over = [0] * len(Priority)
        self._is_busy = False
        self.n_steps = [0] * len(Priority)

    def spawn(self, priority: Priority, main: Coroutine[Any, Any, T], name: str | None = None) -> PriorityTask[T]:
        """Run `main` as a task of the group at `priority`."""
        task = self._group.create_task(self._entry(Priority(priority), main), name=name)
        # A task cancelled before its first step never touched `main`.
        task.add_done_callback(lambda _: main.close())
        return PriorityTask(Priority(priority), task)

    def n_ready(self, priority: Priority) -> int:
        """Tasks of `priority` that could go on and wait for their turn."""
        return len(self._ready[priority])

    async def _entry(self, priority: Priority, main: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        _current.set((priority, task))
        return await self._stepwise(priority, main)

    @types.coroutine
    def _stepwise(self, priority: Priority, main: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Drive `main`, waiting for a turn before each step. What it waits for is handed up to asyncio as it is."""
        error: BaseException | None = None
        while True:
            error = yield from self._turn(priority, error)
            try:
                awaited = main.send(None) if error is None else main.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                error = None
                self._step_is_over()
            if awaited is None:
                # It only gave way: ready again, and in the queue before the next step is chosen.
                continue
            try:
                yield awaited
            except GeneratorExit:
                main.close()
                raise
            except BaseException as raised:
                error = raised

    def _turn(self, priority: Priority, error: BaseException | None) -> Generator[Any, Any, BaseException | None]:
        """Wait for this task's turn. Returns what is to be thrown into it: `error`, or a cancellation that came."""
        place = _Place(self._loop.create_future())
        self._ready[priority].append(place)
        if not self._is_busy:
            self._is_busy = True
            self._loop.call_soon(self._let_one_go)
        while True:
            try:
                yield from place.turn
            except asyncio.CancelledError as cancelled:
                error = error or cancelled
                if place.has_come:
                    return error
                # asyncio cancelled the future; the step that handles it keeps the place.
                place.turn = self._loop.create_future()
            else:
                return error

    def _let_one_go(self) -> None:
        waiting = [priority for priority, queue in enumerate(self._ready) if queue]
        if not waiting:
            self._is_busy = False
            return
        chosen = waiting[0]
        for priority in waiting[1:]:
            self._passed_over[priority] += 1
            if self._passed_over[priority] > self._starvation_steps:
                chosen = priority
                break
        self._passed_over[chosen] = 0
        self.n_steps[chosen] += 1
        place = self._ready[chosen].popleft()
        place.has_come = True
        # A future that was cancelled in this round wakes its task by itself.
        if not place.turn.done():
            place.turn.set_result(None)

    def _step_is_over(self) -> None:
        # Not at once: what the step made ready takes its place first.
        self._loop.call_soon(self._let_one_go)
