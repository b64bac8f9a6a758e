"""The actors of one session: the pipeline around its engine, its supervisor, and their way up and down.

Rows are copied for the actors while the engine's frames wait, and handed out when those are written, so that an actor
costs an order one copy. They live in the driver's loop (`Acting`) or in a thread of their own (`ActingApart`). Called
by `live.session`; a session without actors has none of this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import numpy as np

from tercel.clock import Clock
from tercel.engine.engine import Engine
from tercel.live.actors import portfolio_of
from tercel.live.actors_pipeline import Pipeline, PipelineReport
from tercel.live.actors_thread import ActorThread
from tercel.live.plan import ActorPlan
from tercel.model.events import ACK, EVENT
from tercel.runtime.actor import ActorReport
from tercel.runtime.supervisor import Supervisor

__all__ = ["Acting", "ActingApart"]

_log = logging.getLogger(__name__)

#: How long actors get to end where nobody asked for an ordered end before.
_STOP_S = 1.0


class Acting:
    """The actors of `plans`, alive while the context is. sink: takes (n,) EVENT signals. fail: told what broke the
    pipeline itself, which no actor can do. taps, after: for the driver's flow and its shell; empty without actors.
    """

    def __init__(
        self,
        plans: Sequence[ActorPlan],
        engine: Engine,
        sink: Callable[[np.ndarray], None],
        clock: Clock,
        fail: Callable[[Exception], None],
    ) -> None:
        self.taps: list[Callable[[np.ndarray, int], None]] = [self._keep] if plans else []
        self.after: list[Callable[[], None]] = [self._publish] if plans else []
        self._plans = plans
        self._engine = engine
        self._sink = sink
        self._clock = clock
        self._fail = fail
        self._kept: list[bytes] = []
        self._pipeline: Pipeline | None = None
        self._living: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        self._stop_s = _STOP_S
        self._is_moving = False

    def report(self) -> PipelineReport | None:
        """How actors and signals stand; None for a session without actors."""
        return None if self._pipeline is None else self._pipeline.report()

    async def __aenter__(self) -> Acting:
        """Start them. Raises what keeps them from it."""
        if self._plans:
            started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._living = asyncio.create_task(self._live(started), name="actors")
            await started
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop(_STOP_S)

    async def stop(self, deadline_s: float) -> None:
        """End the actors; what has not ended after `deadline_s` seconds is cancelled. Again: nothing."""
        if self._living is not None:
            if not self._ending.is_set():
                self._stop_s = deadline_s
                self._ending.set()
            await asyncio.wait({self._living})

    async def _live(self, started: asyncio.Future[None]) -> None:
        """In a task of its own: a supervisor that breaks cancels the task it was made in, and the session has to end
        in order."""
        try:
            async with Supervisor(clock=self._clock, watcher=self._tell) as supervisor:
                self._pipeline = pipeline = Pipeline(
                    supervisor, self._engine.instruments, self._sink, clock=self._clock,
                    standing=lambda: portfolio_of(self._engine),
                )  # fmt: skip
                pipeline.start()
                _add(pipeline, self._plans)
                self._is_moving = True
                started.set_result(None)
                await self._ending.wait()
                self._is_moving = False
                await pipeline.stop(self._stop_s)
        except Exception as error:
            self._is_moving = False
            if started.done():
                self._fail(error)
            else:
                started.set_exception(error)

    def _keep(self, rows: np.ndarray, _now_ns: int) -> None:
        if self._is_moving:
            # As bytes: numpy takes ten times as long to copy an array of records.
            self._kept.append(rows.tobytes())

    def _publish(self) -> None:
        if self._kept and self._pipeline is not None:
            for kept in self._kept:
                self._pipeline.publish(np.frombuffer(kept, EVENT))
            self._kept.clear()

    def _tell(self, report: ActorReport) -> None:
        """An actor's state has changed."""
        if self._pipeline is not None and self._pipeline.bus.is_open:
            self._pipeline.bus.publish(report)
        _log_trouble(report)


class ActingApart(Acting):
    """The actors in a thread of their own: what computes or blocks there holds up other actors, not the session."""

    _thread: ActorThread | None = None
    _is_over = False

    def report(self) -> PipelineReport | None:
        """How actors and signals stand; None for a session without actors."""
        return None if self._thread is None else self._thread.report()

    async def __aenter__(self) -> ActingApart:
        """Start them. Raises what keeps them from it."""
        if self._plans:
            self._thread = thread = ActorThread(
                self._engine.instruments, self._take, clock=self._clock, fail=self._break, watcher=_log_trouble
            )
            await thread.start()
            try:
                thread.set_portfolio(portfolio_of(self._engine))
                await thread.call(lambda pipeline: _add(pipeline, self._plans))
            except BaseException:
                await thread.stop(_STOP_S)
                raise
            self._is_moving = True
        return self

    async def stop(self, deadline_s: float) -> None:
        """End the actors; a thread that has not ended then is left behind. Again: nothing."""
        if self._thread is not None and not self._ending.is_set():
            self._ending.set()
            self._is_moving = False
            # Half to end by themselves, half to be cancelled.
            await self._thread.stop(deadline_s / 2)
            self._is_over = True

    def _take(self, rows: np.ndarray) -> None:
        """Signals, in the driver's loop. Those of a thread that was left behind are nobody's any more."""
        if not self._is_over:
            self._sink(rows)

    def _break(self, error: Exception) -> None:
        self._is_moving = False
        self._fail(error)

    def _publish(self) -> None:
        if self._kept and self._thread is not None:
            data = b"".join(self._kept)
            self._kept.clear()
            # The engine is looked at in its own thread, and only where rows of our orders went by.
            if np.frombuffer(data, EVENT)["kind"].max() >= ACK:
                self._thread.set_portfolio(portfolio_of(self._engine))
            self._thread.publish_bytes(data)


def _add(pipeline: Pipeline, plans: Sequence[ActorPlan]) -> None:
    for plan in plans:
        pipeline.add(plan.name, plan.factory, policy=plan.policy)
        if plan.config is not None:
            pipeline.configure(plan.name, plan.config)


def _log_trouble(report: ActorReport) -> None:
    if report.last_error:
        _log.warning("actor %s is %s: %s", report.name, report.state, report.last_error)
