"""A session from a configuration to its end: what `paper`, `live`, `record` and `demo` share.

Everything that can be wrong with the configuration is found before the event loop starts; then the parts are made, the
journal of the last run is recovered, and the session lives until it is stopped: by a signal, by its time, by
`tercel kill` or by what breaks. The rules of a session are the driver's (`live`); here it is put together and shown.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tercel.clock import wall_ns

if TYPE_CHECKING:
    import numpy as np

    from tercel.engine.engine import Engine
    from tercel.live.driver import LiveCore
    from tercel.live.glance import Glance, Recent
    from tercel.live.reconciling import Origin
    from tercel.live.recording import Sink
    from tercel.live.secrets import Secret
    from tercel.live.settings import Settings
    from tercel.model.instrument import Instrument
    from tercel.store.journal import Journal

__all__ = ["Ended", "Plan", "trade"]

_LOOK_S = 0.25
_LINE_LOOK_S = 1.0
#: How long a session with a duration waits for its venues before its time begins.
_WAIT_NS = 30_000_000_000


class Plan(msgspec.Struct, kw_only=True):
    """What a session is to be. title: over its view. on_paper: fills are simulated. duration_s: it ends by itself, 0
    never. show: called with each glance and the time left. sink, taps: see `live.recording` and `live.flow`.
    keys: of the accounts. specs: strategies as (spec, settings).
    """

    title: str
    on_paper: bool
    specs: list[tuple[str, list[str]]]
    duration_s: float = 0.0
    look_s: float = _LINE_LOOK_S
    show: Callable[[Glance, str], None] | None = None
    sink: Sink | None = None
    on_start: Callable[[LiveCore], None] | None = None
    keys: dict[str, tuple[Secret, Secret]] = {}
    fresh: bool = False


class Ended(msgspec.Struct, kw_only=True):
    """How a session ended. seen: its last look. why: in words. recovered: the run it went on from, 0 for none. notes:
    lines of its log. failure: what broke it, None when it was stopped.
    """

    seen: Glance
    why: str
    run: int
    instruments: list[Instrument]
    journal: Path
    recovered: int
    notes: list[str]
    failure: BaseException | None


async def trade(settings: Settings, plan: Plan) -> Ended:
    """Live through one session. Raises what keeps it from starting; what breaks it later stands in the result."""
    from tercel.errors import ConfigError
    from tercel.live.assembly import adoption_prices, ask_instruments, make_connections
    from tercel.live.control import halt_file
    from tercel.live.driver import LiveCore, LiveOptions
    from tercel.live.glance import Recent
    from tercel.live.reconciling import AccountStanding
    from tercel.orders.reconcile import unsent_rows

    path = settings.place(settings.session.journal)
    stop = halt_file(settings.place(settings.session.control or settings.session.journal))
    if stop.exists():
        raise ConfigError(
            f"trading was halted here: {stop} is there; when the reason is gone: tercel kill --lift {stop.parent}"
        )
    instruments = await ask_instruments(settings)
    adopt_at = adoption_prices(settings, instruments)
    engine, recovered, unsent, origin = _engine(settings, plan, instruments, path)
    held = {i: int(lots) for i, lots in enumerate(engine.view("positions")["position"])}
    run = int(engine.head["next_id"]) >> 32
    connections = make_connections(
        settings, instruments, keys=plan.keys, on_paper=plan.on_paper, run=run, positions=held, sink=plan.sink
    )
    with _journal(settings, plan, engine, path, origin, is_recovered=bool(recovered)) as journal:
        core = LiveCore(
            engine,
            connections,
            journal,
            AccountStanding(engine, origin=origin, adopt_at=adopt_at),
            options=LiveOptions(answer_ns=round(settings.session.answer_s * 1e9)),
            is_arming=False,
        )
        recent = Recent(engine)
        core.flow.taps.append(recent.on_rows)
        if len(unsent):
            # Made by the run before, which died before they could leave: their orders are ended here.
            now_ns = wall_ns()
            core.inject(unsent_rows(unsent, now_ns), now_ns)
        if plan.on_start is not None:
            plan.on_start(core)
        return await _Session(settings, plan, core, recent, path, recovered).live()


def _engine(
    settings: Settings, plan: Plan, instruments: list[Instrument], path: Path
) -> tuple[Engine, int, np.ndarray, Origin]:
    """A fresh engine, or one that goes on where the journal's last run ended; which run that was, 0 for none; the
    commands of that run, (n,) COMMAND, that never left; and where the books of the account begin.
    """
    import numpy as np

    from tercel.cli.strategy_spec import make_strategies
    from tercel.engine.engine import Engine
    from tercel.engine.recovery import begin_run, recover
    from tercel.live.assembly import engine_limits
    from tercel.live.reconciling import Origin
    from tercel.model.commands import COMMAND
    from tercel.store.journal_format import last_run, next_run
    from tercel.store.journal_read import open_journal

    limits = engine_limits(settings, instruments)

    def make(run: int) -> Engine:
        strategies = [one for spec, set_ in plan.specs for one in make_strategies([spec], set_)]
        return Engine(instruments, strategies, limits=limits, run=run)

    now_ns = wall_ns()
    if plan.fresh or not path.is_dir() or last_run(path) == 0:
        run = next_run(path, now_ns)
        return make(run), 0, np.zeros(0, COMMAND), Origin(run, now_ns)
    reader = open_journal(path)
    engine = make(reader.run)
    found = recover(engine, reader)
    begin_run(engine, next_run(path, now_ns))
    return engine, reader.run, found.unsent, Origin.of(reader.header.meta)


def _journal(
    settings: Settings, plan: Plan, engine: Engine, path: Path, origin: Origin, *, is_recovered: bool
) -> Journal:
    from tercel.cli.replay_journal import SPECS_KEY
    from tercel.engine.recovery import header_of
    from tercel.store.journal import Journal, Sync

    meta = {
        "name": settings.session.name,
        "kind": "paper" if plan.on_paper else "live",
        SPECS_KEY: json.dumps([[spec, set_] for spec, set_ in plan.specs]),
        **origin.meta(),
    }
    header = header_of(engine, created_ns=wall_ns(), meta=meta)
    sync = Sync(every_ms=settings.session.sync_ms, on_order=settings.session.sync_on_order)
    journal = Journal(path, header=header, sync=sync)
    if is_recovered:
        journal.snapshot(engine.snapshot(), seq=engine.seq)
    return journal


class _Session:
    """One session while it lives: shell, control socket, view, signals."""

    def __init__(
        self, settings: Settings, plan: Plan, core: LiveCore, recent: Recent, path: Path, recovered: int
    ) -> None:
        from tercel.live.measured import MeasuredShell

        self._settings = settings
        self._plan = plan
        self._core = core
        self._recent = recent
        self._path = path
        self._recovered = recovered
        self._notes: list[str] = []
        self._shell = MeasuredShell(core, recent, care=self._care)
        self._end_ns = 0

    async def live(self) -> Ended:
        """Run until the driver has closed everything."""
        from tercel.live.control import ControlServer
        from tercel.runtime.shutdown import Shutdown

        shell = self._shell
        directory = self._settings.place(self._settings.session.control or self._settings.session.journal)
        self._directory = directory
        ended = asyncio.Event()
        with Shutdown(self._settings.session.stop_s, is_forced=True) as shutdown:
            self._shutdown = shutdown
            shutdown.add("cancel orders", self._cancel, reserve_s=self._settings.session.stop_s / 3)
            shutdown.add("close channels", ended.wait)
            async with ControlServer(directory, self._answer):
                running = asyncio.create_task(self._run(ended))
                watching = asyncio.create_task(self._watch())
                asked = asyncio.create_task(shutdown.wait())
                try:
                    await asyncio.wait([running, asked], return_when=asyncio.FIRST_COMPLETED)
                    if not running.done():
                        await shutdown.run()
                        if not running.done():
                            running.cancel()
                    await asyncio.gather(running, return_exceptions=True)
                finally:
                    for task in (asked, watching):
                        task.cancel()
                    await asyncio.gather(asked, watching, return_exceptions=True)
        failure = shell.failure or self._core.error
        if failure is None and running.done() and not running.cancelled():
            failure = running.exception()  # type: ignore[assignment]
        self._core.closed()
        seen = self._look()
        if self._plan.show is not None:
            self._plan.show(seen, "")
        return Ended(
            seen=seen, why=self._core.why, run=seen.run,
            instruments=self._core.engine.instruments, journal=self._path, recovered=self._recovered,
            notes=self._notes, failure=failure,
        )  # fmt: skip

    async def _run(self, ended: asyncio.Event) -> None:
        try:
            await self._shell.run()
        finally:
            ended.set()

    async def _cancel(self) -> None:
        self._shell.stop(self._shutdown.reason)
        await self._shell.wait_closing()

    async def _watch(self) -> None:
        """Show the session now and then; end it when its time is over."""
        plan = self._plan
        begun_ns = 0
        waits_until_ns = wall_ns() + _WAIT_NS
        while True:
            left = ""
            if plan.duration_s:
                # Time counts from the first order that may leave; a venue that is never in step does not hold it.
                now_ns = wall_ns()
                if not begun_ns and (self._core.is_trading or now_ns > waits_until_ns):
                    begun_ns = now_ns
                left_s = plan.duration_s - ((now_ns - begun_ns) / 1e9 if begun_ns else 0.0)
                left = f"{max(left_s, 0):.0f} s"
                if left_s <= 0:
                    self._shutdown.ask("its time is over")
            if plan.show is not None:
                plan.show(self._look(), left)
            await asyncio.sleep(plan.look_s)

    def _look(self) -> Glance:
        from tercel.live.glance import glance

        return glance(self._core, self._recent)

    def _care(self) -> None:
        """Once a second: a HALT file halts."""
        from tercel.live.control import halt_file

        if halt_file(self._directory).exists() and not self._core.flow.feed.halted:
            self._core.halt(wall_ns())

    def _answer(self, what: str, request: dict[str, Any]) -> Any:
        """What another terminal asked: status, kill, stop, resume."""
        from tercel.errors import ConfigError

        if what == "status":
            return msgspec.to_builtins(self._look())
        if what == "kill":
            self._shell.act(lambda: self._core.halt(wall_ns()))
            return msgspec.to_builtins(self._look())
        if what == "stop":
            self._shutdown.ask("asked for from another terminal")
            return {"stopping": True}
        raise ConfigError(f"a session answers status, kill and stop, not {what!r}")
