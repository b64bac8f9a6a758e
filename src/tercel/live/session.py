"""A live session from its parts to its end: compile, load, recover, connect, reconcile, arm, trade, and back again.

`SessionPlan` says what a session is made of; `LiveSession(plan).run()` is the whole of it. Each start is a run of its
own: what the run before left is recovered from its journal, and the venue is asked before the first command leaves.
Used by the command line and from Python; no trading rule lives here.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tercel.clock import SteadyClock
from tercel.engine.engine import Engine
from tercel.engine.recovery import Recovered, begin_run, header_of, recover
from tercel.errors import ConfigError, NetworkError, TercelError
from tercel.jit import ENTRIES, n_compilations
from tercel.live.acting import Acting, ActingApart
from tercel.live.actors_pipeline import PipelineReport
from tercel.live.control import ControlServer, check_halt, halt_file
from tercel.live.driver import LiveCore
from tercel.live.glance import Glance, Recent, glance
from tercel.live.lifecycle import COMPILE, CONNECT, FLUSH, LOAD, RECONCILE, RECOVER, STOPPED
from tercel.live.paper import PaperConnection
from tercel.live.plan import ActorPlan, SessionPlan, SessionReport
from tercel.live.reconciling import AccountStanding, Origin
from tercel.live.shell import LiveShell
from tercel.live.snapshots import Snapshots
from tercel.live.warming import warm_up
from tercel.model.reasons import KILL_SWITCH
from tercel.orders.reconcile import unsent_rows
from tercel.runtime.affinity import OwnCore, n_cores
from tercel.runtime.loop import busy_polling
from tercel.runtime.shutdown import Shutdown
from tercel.store.journal import Journal
from tercel.store.journal_format import next_run, run_directory
from tercel.store.journal_read import JournalReader, open_journal, runs_of

__all__ = ["ActorPlan", "LiveSession", "SessionPlan", "SessionReport", "failure_of"]

_log = logging.getLogger(__name__)

#: What closing channels, ending actors and flushing the journal each keep of the time for an end, and the most of it.
_SHARE, _SHARE_MAX_S = 1 / 6, 5.0
#: How long a session with a duration waits for its venues before its time begins.
_WAIT_NS = 30_000_000_000
_LOOK_S = 0.05
#: In a run's header: whether it begins with a snapshot.
_FOLLOWS = "begins_with_snapshot"


class LiveSession:
    """One session. state: of `live.lifecycle`, at any time. `run` once; the rest is for whoever watches or operates.

    tell: set it to hear each note of the session, a line for people.
    """

    def __init__(self, plan: SessionPlan) -> None:
        if not plan.connections:
            raise ConfigError("a session needs at least one connection")
        self.plan = plan
        self.clock = SteadyClock()
        self.core: LiveCore | None = None
        self.shell: LiveShell | None = None
        self.journal: Journal | None = None
        self.recent: Recent | None = None
        self.recovered: Recovered | None = None
        self.run_number = 0
        self._state = COMPILE
        self._shutdown: Shutdown | None = None
        self._stop_early = ""
        self._n_compiled_at_arming: int | None = None
        self._origin = Origin()
        self.tell: Callable[[str], None] | None = None
        self._acting: Acting | None = None
        self._snapshots: Snapshots | None = None
        self._own_core: OwnCore | None = None
        #: The last note of each connection, by its name.
        self._said: dict[str, str] = {}
        #: When the session's time began, and until when it waits for that.
        self._begun_ns = self._begin_by_ns = 0

    @property
    def state(self) -> str:
        """Where the session is, of `live.lifecycle.STATES`."""
        return self._state if self.core is None or self._state == STOPPED else self.core.state

    # --- the operator -----------------------------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """Ask for an end in order. From the loop's thread."""
        if self._shutdown is not None:
            self._shutdown.ask(why)
        else:
            self._stop_early = self._stop_early or why

    def halt(self, reason: int = KILL_SWITCH) -> None:
        """The kill switch: no new order, cancel every open one until none is left. From the loop's thread.

        It stands in the engine's state, so it also holds for the next start, until `resume` or a plan's `is_resuming`.
        """
        core, shell = self._running()
        shell.act(lambda: core.halt(self.clock.wall_ns(), reason))

    def resume(self) -> None:
        """Lift a halt. From the loop's thread."""
        core, shell = self._running()
        halt_file(self.plan.directory).unlink(missing_ok=True)
        shell.act(lambda: core.resume(self.clock.wall_ns()))

    def inject(self, rows: np.ndarray) -> None:
        """Rows of actors: signals. From the loop's thread."""
        core, shell = self._running()
        shell.act(lambda: core.inject(rows, self.clock.wall_ns()))

    def look(self) -> Glance:
        """The session at this moment. ConfigError before it has recovered."""
        core, _ = self._running()
        assert self.recent is not None
        return glance(core, self.recent, self._said)

    @property
    def actors(self) -> PipelineReport | None:
        """How actors and their signals fare; None without any."""
        return None if self._acting is None else self._acting.report()

    @property
    def left_s(self) -> float | None:
        """How much of its time is left; None for a session without a duration."""
        if not self.plan.duration_s:
            return None
        gone_ns = self.clock.wall_ns() - self._begun_ns if self._begun_ns else 0
        return max(self.plan.duration_s - gone_ns / 1e9, 0.0)

    def _running(self) -> tuple[LiveCore, LiveShell]:
        if self.core is None or self.shell is None:
            raise ConfigError(f"the session is not running: it is in the state {self.state}")
        return self.core, self.shell

    def answer(self, what: str, _request: dict[str, Any]) -> Any:
        """Do what the control socket asks (status, halt, resume, stop), then tell how the session stands."""
        if what == "halt":
            self.halt()
        elif what == "resume":
            self.resume()
        elif what == "stop":
            self.stop("asked for from another terminal")
        elif what != "status":
            raise ConfigError(f"expected status, halt, resume or stop, found {what!r}")
        shown: dict[str, Any] = msgspec.to_builtins(self.look())
        shown["n_compiled_armed"] = self.n_compiled_armed
        shown["error"] = "" if self.core is None or self.core.error is None else str(self.core.error)
        shown["actors"] = msgspec.to_builtins(self.actors)
        return shown

    @property
    def n_compiled_armed(self) -> int:
        """Functions compiled since the session was armed."""
        return 0 if self._n_compiled_at_arming is None else n_compilations() - self._n_compiled_at_arming

    # --- the way up -------------------------------------------------------------------------------------------------

    def _prepare(self) -> Engine:
        """Compile, load, recover: everything that can fail before a socket is opened. Returns the engine."""
        plan = self.plan
        check_halt(plan.directory)
        for entry in ENTRIES:
            if entry.name.startswith(("engine.", "venues.")):
                _ = entry.call
        self._state = LOAD
        journal_path = plan.journal
        self.run_number = next_run(journal_path, self.clock.wall_ns())
        self._state = RECOVER
        reader = None if plan.is_anew else _last_begun(journal_path)
        engine = Engine(
            plan.instruments, plan.strategies, limits=plan.limits, capacity=plan.capacity,
            run=self.run_number if reader is None else reader.run, jit=plan.jit,
        )  # fmt: skip
        self._origin = Origin(self.run_number, self.clock.wall_ns())
        if reader is not None:
            self._origin = Origin.of(reader.header.meta)
            self.recovered = recover(engine, reader)
            for damage in self.recovered.damage:
                _log.warning("journal: %s", damage)
            begin_run(engine, self.run_number)
        for connection in plan.connections:
            if isinstance(connection, PaperConnection):
                held = engine.view("positions")["position"].tolist()
                connection.seed(self.run_number, {i: held[i] for i in connection.instruments if held[i]})
        if plan.warm_up is not None and not engine.head["started_ns"]:
            warm_up(engine, plan.warm_up, self.clock.wall_ns())
        self.journal = Journal(
            journal_path,
            header=header_of(
                engine,
                created_ns=self.clock.wall_ns(),
                meta={**plan.meta, **self._origin.meta(), _FOLLOWS: "yes" if engine.seq else ""},
            ),
            sync=plan.sync,
        )
        if engine.seq:
            self.journal.snapshot(engine.snapshot(), seq=engine.seq)
        return engine

    async def run(self) -> SessionReport:
        """The whole session. Raises what kept it from starting; what broke it later stands in the report."""
        with ExitStack() as place:
            # First of all: the engine's memory is then laid out near the core that uses it.
            self._take_place(place)
            return await self._run()

    def _take_place(self, place: ExitStack) -> None:
        """Take the core that the plan gives, and keep the loop awake where it says so, until `place` is closed."""
        plan = self.plan
        if plan.is_busy_polling and n_cores(plan.core) < 2:
            raise ConfigError("busy polling takes a whole core, and there is only one here; do without it")
        if plan.core is not None:
            self._own_core = place.enter_context(OwnCore(plan.core))
        if plan.is_busy_polling:
            place.enter_context(busy_polling(asyncio.get_running_loop()))

    async def _run(self) -> SessionReport:
        engine = self._prepare()
        assert self.journal is not None
        journal = self.journal
        try:
            await self._live(engine, journal)
        finally:
            self._state = FLUSH
            if self._snapshots is not None:
                await self._snapshots.end()
            journal.close()
            self._state = STOPPED
        core, shell = self._running()
        core.closed()
        return SessionReport(
            why=core.why,
            run=self.run_number,
            recovered=self.recovered,
            last=self.look(),
            n_compiled_armed=self.n_compiled_armed,
            actors=self.actors,
            error=core.error or shell.failure,
        )

    async def _live(self, engine: Engine, journal: Journal) -> None:
        plan = self.plan
        adopt_at = {i: plan.instruments[i].ticks(px) for i, px in plan.adopt_at.items()}
        standing = AccountStanding(engine, origin=self._origin, adopt_at=adopt_at)
        self.core = core = LiveCore(engine, plan.connections, journal, standing, options=plan.options, is_arming=False)
        self.recent = recent = Recent(engine)
        core.flow.taps += [recent.on_rows, *plan.taps]
        now_ns = self.clock.wall_ns()
        if self.recovered is not None and len(self.recovered.unsent):
            core.inject(unsent_rows(self.recovered.unsent, now_ns), now_ns)
        if plan.is_resuming and core.flow.feed.halted:
            core.resume(now_ns)
        self.shell = shell = LiveShell(
            core, clock=self.clock, ssl=plan.ssl, liveness=plan.liveness, care=self._care, on_arming=self._on_arming,
            on_sent=recent.took, tell=self._tell,
        )  # fmt: skip
        self._snapshots = Snapshots(core, journal, self.clock, plan.snapshot_every_s)
        home = ActingApart if plan.actors_in == "thread" else Acting
        self._acting = acting = home(plan.actors, engine, self.inject, self.clock, shell.fail)
        shell.after.extend(acting.after)
        core.flow.taps += acting.taps
        kept_s = min(_SHARE * plan.stop_s, _SHARE_MAX_S)
        self._shutdown = shutdown = Shutdown(plan.stop_s, is_forced=plan.is_forced)
        shutdown.add("disarm and cancel", self._cancel, reserve_s=plan.stop_s - 3 * kept_s)
        shutdown.add("stop actors", lambda: acting.stop(kept_s / 2), reserve_s=kept_s)
        if plan.takes_signals and threading.current_thread() is threading.main_thread():
            shutdown.take_signals()
        try:
            async with ControlServer(plan.directory, self.answer), acting:
                self._care()
                if self._stop_early:
                    shutdown.ask(self._stop_early)
                await self._until_over(shell, shutdown, kept_s)
        finally:
            shutdown.return_signals()

    async def _until_over(self, shell: LiveShell, shutdown: Shutdown, close_s: float) -> None:
        """Until the session has ended by itself, or was asked to and has, or its time for that is over."""
        living = asyncio.create_task(shell.run(), name="live session")
        asked = asyncio.create_task(shutdown.wait(), name="wait for the end")
        timing = asyncio.create_task(self._end_in_time(shutdown), name="the session's time")
        starting = asyncio.create_task(self._start_in_time(shell), name="the session's start")
        try:
            await asyncio.wait({living, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not living.done():
                await shutdown.run()
                await asyncio.wait({living}, timeout=close_s)
        finally:
            for task in (asked, timing, starting, *(() if living.done() else (living,))):
                task.cancel()
            await asyncio.gather(living, asked, timing, starting, return_exceptions=True)
        if not living.cancelled() and (error := living.exception()) is not None:
            raise error

    async def _start_in_time(self, shell: LiveShell) -> None:
        """End the session where a venue is not in step in time: waiting for ever would look like trading."""
        core, limit_s = shell.core, self.plan.start_s
        until_ns = self.clock.monotonic_ns() + round(limit_s * 1e9)
        while limit_s and core.state in (RECOVER, CONNECT, RECONCILE):
            missing = [link for link in core.links if link.waits_for]
            if missing and self.clock.monotonic_ns() >= until_ns:
                words = "; ".join(_missing(link.name, link.waits_for, self._said) for link in missing)
                shell.fail(NetworkError(f"not every venue is in step after {limit_s:g} s (start_s): {words}"))
                return
            await asyncio.sleep(_LOOK_S)

    async def _end_in_time(self, shutdown: Shutdown) -> None:
        """Ask for the end when the session's time is over.

        It counts from the first order that may leave; a venue that is never in step does not hold it for long.
        """
        self._begin_by_ns = self.clock.wall_ns() + _WAIT_NS
        while (left_s := self.left_s) is not None:
            now_ns = self.clock.wall_ns()
            if not self._begun_ns and (self.core is None or self.core.is_trading or now_ns > self._begin_by_ns):
                self._begun_ns = now_ns
            if left_s <= 0:
                shutdown.ask("its time is over")
                return
            await asyncio.sleep(_LOOK_S)

    async def _cancel(self) -> None:
        _, shell = self._running()
        assert self._shutdown is not None
        shell.stop(self._shutdown.reason)
        await shell.wait_closing()

    def _tell(self, text: str) -> None:
        name, colon, said = text.partition(": ")
        if colon:
            self._said[name] = said
        if self.tell is not None:
            self.tell(text)

    def _on_arming(self) -> None:
        self._n_compiled_at_arming = n_compilations()

    def _care(self) -> None:
        """Once a second: has somebody put a halt file there? Is a snapshot due? Is a new thread on our core?"""
        core = self.core
        if core is not None and not core.flow.feed.halted and halt_file(self.plan.directory).exists():
            _log.warning("halted by %s", halt_file(self.plan.directory))
            core.halt(self.clock.wall_ns())
        if self._snapshots is not None:
            self._snapshots.look()
        if self._own_core is not None:
            self._own_core.keep_others_off()


def _missing(name: str, waits_for: str, said: dict[str, str]) -> str:
    """One venue that is waited for, in words."""
    return f"{name} waits for {waits_for}" + (f" ({said[name]})" if name in said else "")


def _last_begun(path: Path) -> JournalReader | None:
    """The last run of a journal that had begun, None for none.

    A process that dies between the header of its run and the snapshot that the run begins with has made no row: what
    it began with is what the run before ended with.
    """
    for run in reversed(runs_of(path) if path.is_dir() else []):
        if (run_directory(path, run) / "header.json").is_file():
            reader = open_journal(path, run)
            if reader.n_rows or reader.snapshot is not None or not reader.header.meta.get(_FOLLOWS):
                return reader
    return None


def failure_of(report: SessionReport) -> TercelError | None:
    """What a session's report says went wrong, as an error to end a command with; None for an end in order."""
    if report.error is None or isinstance(report.error, TercelError):
        return report.error
    return TercelError(f"the session failed: {type(report.error).__name__}: {report.error}")
