"""Actors: async objects with a mailbox, and how one is run, watched and started again.

An actor handles one message at a time. An error in a handler is logged and counted and the actor lives on; too many in
a row, or an error while starting, is a crash, after which the supervisor starts it again: later each time, with a new
object or the same. What one actor does reaches no other: a full mailbox loses its own messages, an actor that waits
forever waits alone. What asyncio cannot do is take the processor from a handler that computes without awaiting; such
work belongs into `offload`. Called by `supervisor`; `live.actors` builds the market actors on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import msgspec

from tercel.clock import Clock
from tercel.errors import ChannelClosedError, ConfigError
from tercel.runtime.mailbox import Mailbox

__all__ = ["Actor", "ActorReport", "ActorState", "ManagedActor", "RestartPolicy", "StatePolicy"]

_log = logging.getLogger(__name__)


class Actor:
    """What a subclass writes; every method has a default that does nothing."""

    async def on_start(self) -> None:
        """Called once before the first message, after each start."""

    async def on_message(self, message: Any) -> None:
        """Called for each message, one at a time."""

    async def on_missed(self, n_messages: int) -> None:
        """Called before the next message when messages were dropped because this actor was slow."""

    async def on_stop(self) -> None:
        """Called once at a stop that was asked for; not after a crash, and not when the deadline has passed."""


class StatePolicy(Enum):
    """What an actor knows after a crash."""

    RESET = "reset"  #: a new object, and market data that waited is dropped
    KEEP = "keep"  #: the same object, and the messages that waited


class RestartPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """When a crashed actor is started again.

    first_delay_s, factor, delay_max_s: the wait before the first restart, and how it grows with each crash in a row.
    healthy_after_s: a life this long makes the next crash the first again. restarts_max: crashes in a row after which
    it is given up; None for never. errors_in_a_row_max: handler errors in a row that are a crash. handler_timeout_s: a
    handler that takes longer is cancelled, which counts as an error; None for no limit.
    """

    first_delay_s: float = 5.0
    factor: float = 2.0
    delay_max_s: float = 60.0
    healthy_after_s: float = 60.0
    restarts_max: int | None = 10
    errors_in_a_row_max: int = 10
    handler_timeout_s: float | None = None
    state: StatePolicy = StatePolicy.RESET

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if self.first_delay_s < 0 or self.delay_max_s < self.first_delay_s or self.factor < 1:
            raise ConfigError(
                f"a restart policy needs 0 <= first_delay_s <= delay_max_s and factor >= 1, found "
                f"{self.first_delay_s}, {self.delay_max_s}, {self.factor}"
            )
        if self.errors_in_a_row_max < 1:
            raise ConfigError(f"errors_in_a_row_max must be at least 1, found {self.errors_in_a_row_max}")

    def delay_s(self, n_crashes: int) -> float:
        """The wait after the `n_crashes`-th crash in a row, from 1."""
        return float(min(self.first_delay_s * self.factor ** min(n_crashes - 1, 60), self.delay_max_s))


class ActorState(Enum):
    """Where an actor is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"  #: crashed, will be started again
    STOPPED = "stopped"  #: ended as asked
    KILLED = "killed"  #: cancelled, because it did not end in time
    FAILED = "failed"  #: given up after too many crashes


class ActorReport(msgspec.Struct, frozen=True, kw_only=True):
    """One actor as an operator sees it. busy_ns: how long its present handler has been running, 0 between messages."""

    name: str
    state: str
    n_restarts: int
    n_handled: int
    n_errors: int
    n_dropped: int
    mailbox_depth: int
    busy_ns: int
    last_error: str


class _TooManyErrorsError(Exception):
    """A crash by handler errors in a row; the last one is the cause."""


class ManagedActor:
    """An actor under supervision: its mailbox, its state, its report. Made by `Supervisor.spawn`."""

    def __init__(
        self,
        name: str,
        factory: Callable[[], Actor],
        mailbox: Mailbox,
        policy: RestartPolicy,
        clock: Clock,
        watcher: Callable[[ActorReport], None] | None = None,
    ) -> None:
        self.name = name
        self.mailbox = mailbox
        self.policy = policy
        self.state = ActorState.STARTING
        self._watcher = watcher
        self.actor: Actor | None = None
        self.n_restarts = 0
        self.n_handled = 0
        self.n_errors = 0
        self.last_error = ""
        self._factory = factory
        self._clock = clock
        self._errors_in_a_row = 0
        self._busy_since_ns = -1
        self._is_stopping = asyncio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether it will handle no more messages."""
        return self.state in (ActorState.STOPPED, ActorState.KILLED, ActorState.FAILED)

    def ask_to_stop(self) -> None:
        """End after the present message, before what waits in the mailbox; twice is once."""
        self._is_stopping.set()
        self.mailbox.close()

    def report(self) -> ActorReport:
        """How it is now."""
        busy_ns = self._clock.monotonic_ns() - self._busy_since_ns if self._busy_since_ns >= 0 else 0
        return ActorReport(
            name=self.name,
            state=self.state.value,
            n_restarts=self.n_restarts,
            n_handled=self.n_handled,
            n_errors=self.n_errors,
            n_dropped=self.mailbox.n_dropped,
            mailbox_depth=len(self.mailbox),
            busy_ns=busy_ns,
            last_error=self.last_error,
        )

    async def run(self) -> None:
        """Life after life until it is stopped or given up. Raises nothing but a cancellation."""
        n_crashes = 0
        try:
            while True:
                begun_ns = self._clock.monotonic_ns()
                if await self._one_life():
                    self._become(ActorState.STOPPED)
                    return
                if self._clock.monotonic_ns() - begun_ns >= self.policy.healthy_after_s * 1e9:
                    n_crashes = 0
                n_crashes += 1
                if not await self._wait_for_restart(n_crashes):
                    return
        except asyncio.CancelledError:
            self._become(ActorState.KILLED)
            raise
        finally:
            self.mailbox.close()

    async def _one_life(self) -> bool:
        """From start to stop. Returns True when it was stopped, False when it crashed."""
        self._become(ActorState.STARTING)
        self._errors_in_a_row = 0
        try:
            if self.actor is None or self.policy.state is StatePolicy.RESET:
                self.actor = self._factory()
            await self._guarded(self.actor.on_start())
            self._become(ActorState.RUNNING)
            while await self._one_message(self.actor):
                pass
        except asyncio.CancelledError as error:
            if _was_asked_to_end():
                raise
            self._note(error, "cancelled itself")
            return False
        except Exception as error:
            self._note(error.__cause__ if isinstance(error, _TooManyErrorsError) else error, "crashed")
            return False
        try:
            await self._guarded(self.actor.on_stop())
        except Exception as error:
            self._note(error, "failed while stopping")
        return True

    async def _one_message(self, actor: Actor) -> bool:
        """Take and handle one message. Returns False when the mailbox was closed."""
        try:
            message = await self.mailbox.take()
        except ChannelClosedError:
            return False
        try:
            n_missed = self.mailbox.newly_dropped()
            if n_missed:
                await self._guarded(actor.on_missed(n_missed))
            await self._guarded(actor.on_message(message))
        except Exception as error:
            self._errors_in_a_row += 1
            if self._errors_in_a_row >= self.policy.errors_in_a_row_max:
                raise _TooManyErrorsError from error
            self._note(error, "failed on a message and goes on")
        else:
            self._errors_in_a_row = 0
        self.n_handled += 1
        # Whoever has many messages waiting must not keep the loop until it has handled them all.
        await asyncio.sleep(0)
        if _was_asked_to_end():
            # The handler swallowed the cancellation that ends this actor.
            raise asyncio.CancelledError
        return True

    async def _guarded(self, handler: Awaitable[None]) -> None:
        self._busy_since_ns = self._clock.monotonic_ns()
        try:
            if self.policy.handler_timeout_s is None:
                await handler
            else:
                async with asyncio.timeout(self.policy.handler_timeout_s):
                    await handler
        finally:
            self._busy_since_ns = -1

    async def _wait_for_restart(self, n_crashes: int) -> bool:
        """Wait out the delay. Returns False when it ends instead, given up or stopped."""
        if self.policy.restarts_max is not None and n_crashes > self.policy.restarts_max:
            self._become(ActorState.FAILED)
            _log.error("actor %s is given up after %d crashes in a row", self.name, n_crashes)
            return False
        self._become(ActorState.WAITING)
        delay_s = self.policy.delay_s(n_crashes)
        _log.warning("actor %s starts again in %.1f s", self.name, delay_s)
        try:
            async with asyncio.timeout(delay_s):
                await self._is_stopping.wait()
            self._become(ActorState.STOPPED)
            return False
        except TimeoutError:
            pass
        self.n_restarts += 1
        if self.policy.state is StatePolicy.RESET:
            self.mailbox.forget_data()
        return True

    def _become(self, state: ActorState) -> None:
        self.state = state
        if self._watcher is not None:
            self._watcher(self.report())

    def _note(self, error: BaseException | None, what: str) -> None:
        self.n_errors += 1
        self.last_error = f"{type(error).__name__}: {error}"
        _log.error("actor %s %s", self.name, what, exc_info=error)


def _was_asked_to_end() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
