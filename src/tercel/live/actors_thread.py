"""Actors in a thread and event loop of their own, so that one that blocks its loop holds up other actors only.

In the driver's loop, the default, an actor that computes or blocks without awaiting holds up the session. Here it does
not: the driver hands rows over and goes on, and at the end a thread that does not return is left behind. They still
share the interpreter: while pure Python computes in one thread the other waits for its turn, at most
`SWITCH_INTERVAL_S` at a time. Made by `acting` where a session asks for it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from tercel.clock import Clock
from tercel.live.actors import Portfolio
from tercel.live.actors_pipeline import Pipeline, PipelineReport
from tercel.model.events import EVENT
from tercel.model.instrument import Instrument
from tercel.runtime.actor import ActorReport
from tercel.runtime.capacities import MARKET_DATA_MAX
from tercel.runtime.loop import new_loop
from tercel.runtime.supervisor import Supervisor

__all__ = ["SWITCH_INTERVAL_S", "ActorThread"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

#: How long a thread that computes may keep the interpreter from the others; the interpreter's own default is 5 ms.
SWITCH_INTERVAL_S = 0.0005
#: How long after the deadline a thread gets to end itself, when it has that much to begin with.
_GRACE_S = 1.0


class ActorThread:
    """A pipeline in another thread. All methods are called in the driver's thread.

    sink: called in the driver's loop with (n,) EVENT rows of kind SIGNAL. fail: called there with what broke the
    pipeline after it had started, which no actor can do. watcher: called in the actors' thread with the report of an
    actor whose state has changed. n_rows_dropped: rows not handed over because `MARKET_DATA_MAX` were on their way
    already; the actors are told.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        sink: Callable[[np.ndarray], None],
        *,
        clock: Clock | None = None,
        fail: Callable[[Exception], None] | None = None,
        watcher: Callable[[ActorReport], None] | None = None,
    ) -> None:
        self.n_rows_dropped = 0
        self._instruments = list(instruments)
        self._sink = sink
        # A clock that both threads read may for once be held back for one of them; the driver's rows never are.
        self._clock = clock
        self._fail = fail
        self._watcher = watcher
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop = new_loop()
        self._pipeline: Pipeline | None = None
        self._error: BaseException | None = None
        self._ended = asyncio.Event()
        self._ready = asyncio.Event()
        self._end = asyncio.Event()
        self._rows: deque[bytes] = deque()
        self._is_woken = False
        # Each counter has one writing thread; their difference is what waits.
        self._n_put = 0
        self._n_taken = 0
        self._n_dropped_told = 0
        # The latest alone counts; putting and taking it are one step each, whichever thread is on.
        self._portfolio: deque[Portfolio] = deque(maxlen=1)
        self._switch_before_s = 0.0
        self._deadline_s = 0.0
        self._is_clean = False
        self._thread = threading.Thread(target=self._run, name="tercel-actors", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    async def start(self) -> None:
        """Start the thread and its pipeline; raises what starting it raised."""
        self._home = asyncio.get_running_loop()
        self._switch_before_s = sys.getswitchinterval()
        sys.setswitchinterval(min(SWITCH_INTERVAL_S, self._switch_before_s))
        self._thread.start()
        await self._ready.wait()
        if self._error is not None:
            raise self._error

    def publish(self, rows: np.ndarray, now_ns: int = 0) -> None:
        """Hand over (n,) EVENT rows; never waits, keeps no view. A tap of `live.flow`."""
        self.publish_bytes(rows.tobytes())

    def publish_bytes(self, data: bytes) -> None:
        """Hand over the bytes of EVENT rows; never waits."""
        n = len(data) // EVENT.itemsize
        if self._n_put - self._n_taken + n > MARKET_DATA_MAX:
            self.n_rows_dropped += n
            return
        self._rows.append(data)
        self._n_put += n
        if not self._is_woken:
            self._is_woken = True
            self._tell(self._take_rows)

    def set_portfolio(self, portfolio: Portfolio) -> None:
        """Show the actors how the session stands, before the rows that are published after this."""
        self._portfolio.append(portfolio)
        if not self._is_woken:
            self._is_woken = True
            self._tell(self._take_rows)

    def report(self) -> PipelineReport | None:
        """How everything stands; None before the start. Waits for nobody, whatever the actors do meanwhile."""
        if self._pipeline is None:
            return None
        found = self._pipeline.report()
        n_rows, n_missed = found.n_rows + self.n_rows_dropped, found.n_rows_missed + self.n_rows_dropped
        return msgspec.structs.replace(found, n_rows=n_rows, n_rows_missed=n_missed)

    async def call(self, function: Callable[[Pipeline], T]) -> T:
        """Call `function` with the pipeline in its thread and wait for what it returns; to add an actor, to report.

        Waits for as long as an actor keeps the thread to itself.
        """

        async def there() -> T:
            assert self._pipeline is not None
            return function(self._pipeline)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), self._loop))

    async def stop(self, deadline_s: float) -> bool:
        """Stop the actors and the thread. Returns whether every actor ended by itself.

        A thread that has not ended a second after the deadline, or twice a shorter one, is left behind; it ends with
        the process.
        """
        self._deadline_s = deadline_s
        self._tell(self._end.set)
        try:
            async with asyncio.timeout(deadline_s + min(deadline_s, _GRACE_S)):
                await self._ended.wait()
        except TimeoutError:
            _log.error("the actors' thread does not end; it is left behind")
            return False
        finally:
            sys.setswitchinterval(self._switch_before_s)
        if self._error is not None and self._fail is None:
            raise self._error
        return self._is_clean

    def _tell(self, what: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            _log.debug("the actors' loop is closed")

    # --- in the other thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        assert self._home is not None
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        except BaseException as error:
            self._error = error
            if self._fail is not None and self._pipeline is not None and isinstance(error, Exception):
                self._tell_home(self._fail, error)
        for event in (self._ready, self._ended):
            self._tell_home(event.set)

    def _tell_home(self, what: Callable[..., object], *arguments: object) -> None:
        assert self._home is not None
        try:
            self._home.call_soon_threadsafe(what, *arguments)
        except RuntimeError:
            _log.debug("the driver's loop is closed")

    async def _main(self) -> None:
        async with Supervisor(clock=self._clock, watcher=self._watcher) as supervisor:
            pipeline = Pipeline(supervisor, self._instruments, self._send_home, clock=self._clock)
            pipeline.start()
            self._pipeline = pipeline
            self._tell_home(self._ready.set)
            await self._end.wait()
            self._take_rows()
            self._is_clean = await self._pipeline.stop(self._deadline_s)

    def _send_home(self, rows: np.ndarray) -> None:
        assert self._home is not None
        try:
            self._home.call_soon_threadsafe(self._sink, rows)
        except RuntimeError:
            _log.warning("%d signals came after the driver had ended", len(rows))

    def _take_rows(self) -> None:
        self._is_woken = False
        pipeline = self._pipeline
        if pipeline is not None:
            self._take_news(pipeline)
        while self._rows:
            rows = np.frombuffer(self._rows.popleft(), EVENT)
            self._n_taken += len(rows)
            if pipeline is not None:
                # What was told before these rows were handed over is seen before they are.
                self._take_news(pipeline)
                pipeline.publish(rows)

    def _take_news(self, pipeline: Pipeline) -> None:
        """What the driver tells beside rows: the portfolio, and how many rows were lost."""
        if self._portfolio:
            portfolio = self._portfolio.popleft()
            if pipeline.portfolio.is_open:
                pipeline.portfolio.set(portfolio)
        n_dropped = self.n_rows_dropped
        if n_dropped > self._n_dropped_told:
            pipeline.note_lost(n_dropped - self._n_dropped_told)
            self._n_dropped_told = n_dropped
