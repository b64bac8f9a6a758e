"""The supervisor: every task of a session is born in its TaskGroup, with a priority; actors are started again here.

    async with Supervisor() as supervisor:
        supervisor.start(Priority.CRITICAL, orders(), "orders")
        handle = supervisor.spawn("momentum", Momentum, policy=RestartPolicy())
        ...
        await supervisor.stop(10.0)

A task that is no actor and fails takes the session down with it: asyncio's rule, and the right one for a broken
driver. What comes out is that error, or an ExceptionGroup where several tasks failed. An actor never does. Called by
`live` and `localvenue`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from tercel.clock import Clock, SystemClock
from tercel.errors import ConfigError
from tercel.runtime.actor import Actor, ActorReport, ManagedActor, RestartPolicy
from tercel.runtime.capacities import MAILBOX_MAX
from tercel.runtime.mailbox import Mailbox, Overflow
from tercel.runtime.priority import STARVATION_STEPS, Priority, PriorityScheduler, PriorityTask

__all__ = ["Supervisor"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

#: How often a task that swallowed its cancellation is asked again while stopping.
_ASK_AGAIN_S = 0.1


class Supervisor:
    """Owns the TaskGroup, the priorities and the actors of a session. An async context manager.

    watcher: called with an actor's report whenever its state changes; it must be quick and raise nothing.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        watcher: Callable[[ActorReport], None] | None = None,
        starvation_steps: int = STARVATION_STEPS,
    ) -> None:
        self._clock = clock or SystemClock()
        self.watcher = watcher
        self._starvation_steps = starvation_steps
        self._group = asyncio.TaskGroup()
        self._actors: dict[str, ManagedActor] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.scheduler: PriorityScheduler

    async def __aenter__(self) -> Supervisor:
        await self._group.__aenter__()
        self.scheduler = PriorityScheduler(self._group, starvation_steps=self._starvation_steps)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._group.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            # One error is shown as itself: who calls a session handles errors by their class.
            if len(group.exceptions) == 1:
                raise group.exceptions[0] from None
            raise

    def start(self, priority: Priority, main: Coroutine[Any, Any, T], name: str) -> PriorityTask[T]:
        """Run `main` as a task of the session. When it raises, the session ends with that error."""
        return self.scheduler.spawn(priority, main, name)

    def spawn(
        self,
        name: str,
        factory: Callable[[], Actor],
        *,
        priority: Priority = Priority.HIGH,
        mailbox_max: int = MAILBOX_MAX,
        overflow: Overflow = Overflow.DROP_OLDEST,
        policy: RestartPolicy | None = None,
    ) -> ManagedActor:
        """Start the actor that `factory` makes, and make it again when the policy says so.

        Raises ConfigError when an actor of that name is running.
        """
        living = self._actors.get(name)
        if living is not None and not living.has_ended:
            raise ConfigError(f"an actor named {name!r} is running already; stop it first or choose another name")
        mailbox = Mailbox(mailbox_max, overflow)
        actor = ManagedActor(name, factory, mailbox, policy or RestartPolicy(), self._clock, self.watcher)
        self._actors[name] = actor
        self._tasks[name] = self.scheduler.spawn(priority, actor.run(), f"actor {name}").task
        return actor

    def broadcast(self, message: Any) -> int:
        """Put `message` into every actor's mailbox; waits for nobody. Returns how many mailboxes had room."""
        n = 0
        for actor in self._actors.values():
            if not actor.has_ended:
                n += actor.mailbox.put(message)
        return n

    def actor(self, name: str) -> ManagedActor:
        """The actor of that name, the last one if there were several. Raises ConfigError."""
        try:
            return self._actors[name]
        except KeyError:
            known = ", ".join(sorted(self._actors)) or "none"
            raise ConfigError(f"there is no actor {name!r}; known are: {known}") from None

    def reports(self) -> list[ActorReport]:
        """Every actor as it is now, in order of birth."""
        return [actor.report() for actor in self._actors.values()]

    async def stop_actor(self, name: str, deadline_s: float) -> bool:
        """Stop one actor; see `stop`. Returns whether it ended by itself."""
        return await self._stop([self.actor(name)], deadline_s)

    async def stop(self, deadline_s: float) -> bool:
        """Ask every actor to stop and cancel those that have not ended after `deadline_s` seconds.

        Returns whether all ended by themselves. An actor that swallows cancellations is asked again and again; only
        one that never awaits cannot be ended, see `Shutdown`.
        """
        return await self._stop(list(self._actors.values()), deadline_s)

    async def _stop(self, actors: list[ManagedActor], deadline_s: float) -> bool:
        for actor in actors:
            actor.ask_to_stop()
        tasks = {self._tasks[actor.name] for actor in actors}
        pending = {task for task in tasks if not task.done()}
        if pending:
            _, pending = await asyncio.wait(pending, timeout=deadline_s)
        late = sorted(task.get_name() for task in pending)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=_ASK_AGAIN_S)
        if late:
            _log.warning("cancelled after %.1f s: %s", deadline_s, ", ".join(late))
        return not late
