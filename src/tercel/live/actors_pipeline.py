"""The pipeline around the engine: market rows out to actors, signals back in, portfolio and events to whoever looks.

| from | to | by | capacity, and what happens there |
|---|---|---|---|
| driver | actors, views | `market`, a broadcast of rows | 10,000 rows; a slow reader is told how many it missed |
| distributor | each actor | its mailbox | 1,000 messages; its own oldest is dropped |
| actors | engine | `signals`, an mpsc channel | 1,000, each actor a share of it; `emit` returns False |
| driver | actors, views | `portfolio`, a watch | one value |
| everybody | views, logs | `bus` | 1,000 events; a slow subscriber is told |

Orders pass through no queue: they leave in the call that made them. `publish` and the sink are the driver's two ends;
`publish` costs two slice copies and waits for nobody. Used by `acting` and by `actors_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from tercel.clock import Clock, SystemClock
from tercel.errors import ChannelClosedError, ConfigError
from tercel.execution.routing import BUDGET_NS
from tercel.live.actors import DEFAULT_KINDS, Actor, Grid, MarketEvent, Portfolio, SignalPort, UpdateConfig
from tercel.model.events import ACK, EVENT, event_rows
from tercel.model.instrument import Instrument
from tercel.model.signals import Signal
from tercel.runtime.actor import ActorReport, ActorState, ManagedActor, RestartPolicy
from tercel.runtime.broadcast import RowBroadcast
from tercel.runtime.bus import EventBus
from tercel.runtime.capacities import EVENT_BUS_MAX, MAILBOX_MAX, MARKET_DATA_MAX, SIGNALS_MAX
from tercel.runtime.mailbox import Overflow
from tercel.runtime.mpsc import Receiver, Sender, channel
from tercel.runtime.offload import Offload
from tercel.runtime.priority import Priority, PriorityTask
from tercel.runtime.supervisor import Supervisor
from tercel.runtime.watch import Watch

__all__ = ["ActorSignals", "Pipeline", "PipelineReport"]

#: Rows that the distributor turns into messages before it lets the loop do other work: some tenths of a millisecond.
_ROWS_AT_ONCE = 256
#: Signals of one actor that may wait, however few actors there are.
_WAITING_MAX = 100
#: Signals an actor may send per second, and at once after a quiet second.
SIGNALS_PER_S = 1_000

_FIELDS = ["kind", "instrument", "ts_exch", "ts_recv", "px", "qty", "id", "arg0", "arg1", "side", "flags"]


class ActorSignals(msgspec.Struct, frozen=True):
    """n_sent: signals handed to the engine. n_crowded: not taken because too many of this actor waited. n_hasty: not
    taken because it sent faster than the rate. n_late: handed over after their deadline; the engine refuses their
    orders.
    """

    n_sent: int
    n_crowded: int
    n_hasty: int
    n_late: int


class PipelineReport(msgspec.Struct, frozen=True):
    """n_rows: market rows published. n_rows_missed: of those, lost before any mailbox, because the loop was busy.
    signals: by actor. signals_waiting_max: the most that ever waited for the engine.
    """

    n_rows: int
    n_rows_missed: int
    actors: list[ActorReport]
    signals: dict[str, ActorSignals]
    signals_waiting_max: int
    n_bus_events: int


class _Member:
    """An actor in the pipeline: what it wants to see, and how its signals fare, over all its lives."""

    def __init__(self, name: str, kinds: frozenset[int], instruments: frozenset[int] | None) -> None:
        self.name = name
        self.kinds = kinds
        self.instruments = instruments
        self.managed: ManagedActor
        self.port: SignalPort | None = None
        self.n_waiting = 0
        self.n_sent = self.n_crowded = self.n_hasty = self.n_late = 0
        self.rate_ns = 0

    def wants(self, event: MarketEvent) -> bool:
        return event.kind in self.kinds and (self.instruments is None or event.instrument in self.instruments)

    def takes_token(self, now_ns: int) -> bool:
        """Whether the rate allows one more signal. rate_ns: when the bucket would be full again."""
        per_signal_ns = 1_000_000_000 // SIGNALS_PER_S
        full_ns = max(self.rate_ns, now_ns) + per_signal_ns
        if full_ns - now_ns > 1_000_000_000:
            return False
        self.rate_ns = full_ns
        return True


#: A signal on its way: who sent it, and what.
_Sent = tuple[_Member, Signal]


class Pipeline:
    """One session's actors. Made inside a running supervisor; `start` before the first `publish`.

    sink: called with (n,) EVENT rows of kind SIGNAL, in the loop's thread, to hand them to the engine; their ts_exch is
    when they were emitted, qty the deadline counted from there. instruments: in the engine's order. standing: asked for
    the portfolio whenever rows of our orders came by; without it the driver sets `portfolio`.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        instruments: Sequence[Instrument],
        sink: Callable[[np.ndarray], None],
        *,
        clock: Clock | None = None,
        offload: Offload | None = None,
        standing: Callable[[], Portfolio] | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        self._owns_offload = offload is None
        self.offload = offload or Offload(clock=self.clock)
        self.market = RowBroadcast(MARKET_DATA_MAX, "market data")
        self.portfolio: Watch[Portfolio] = Watch(Portfolio(), "portfolio")
        self.bus = EventBus(EVENT_BUS_MAX)
        self._supervisor = supervisor
        self._sink = sink
        self._standing = standing
        ends: tuple[Sender[_Sent], Receiver[_Sent]] = channel(SIGNALS_MAX, "signals")
        self._signals, self._signals_out = ends
        self._grids = [_grid(instrument) for instrument in instruments]
        self._names = _names(instruments)
        self._members: dict[str, _Member] = {}
        self._wanted = np.zeros(256, np.bool_)
        self._rows = self.market.reader()
        self._n_signals = 0
        self._tasks: list[PriorityTask[None]] = []

    # --- the driver's ends -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start moving rows and signals."""
        if self._supervisor.watcher is None:
            self._supervisor.watcher = self._tell
        self._tasks = [
            self._supervisor.start(Priority.CRITICAL, self._forward(), "signals to the engine"),
            self._supervisor.start(Priority.HIGH, self._distribute(), "market data to actors"),
        ]

    def publish(self, rows: np.ndarray, now_ns: int = 0) -> None:
        """Hand (n,) EVENT rows to the actors and whoever else reads `market`; never waits, keeps no view.

        Its shape is that of a tap of `live.flow`; `now_ns` is not used, the rows carry their times.
        """
        if self.market.is_open:
            self.market.send(rows)

    def note_lost(self, n: int) -> None:
        """Tell the actors of `n` rows that were lost before they could be published."""
        for member in self._members.values():
            member.managed.mailbox.note_lost(n)

    async def stop(self, deadline_s: float) -> bool:
        """Stop the actors, hand over what they sent, end. Returns whether every actor ended by itself."""
        is_clean = await self._supervisor.stop(deadline_s)
        for member in self._members.values():
            if member.port is not None:
                member.port.is_open = False
        self.market.close()
        self._signals.close()
        for task in self._tasks:
            await task.await_result()
        self.portfolio.close()
        self.bus.close()
        if self._owns_offload:
            self.offload.close()
        return is_clean

    def report(self) -> PipelineReport:
        """How everything stands. Only looks, so any thread may ask."""
        return PipelineReport(
            n_rows=self.market.n_sent,
            n_rows_missed=self._rows.n_missed,
            actors=[member.managed.report() for member in self._members.values()],
            signals={m.name: ActorSignals(m.n_sent, m.n_crowded, m.n_hasty, m.n_late) for m in self._members.values()},
            signals_waiting_max=self._signals.depth_max,
            n_bus_events=self.bus.n_published,
        )

    # --- actors ----------------------------------------------------------------------------------------------------

    def add(
        self,
        name: str,
        factory: Callable[[], Actor],
        *,
        kinds: Sequence[int] | None = None,
        instruments: Sequence[int] | None = None,
        priority: Priority = Priority.HIGH,
        mailbox_max: int = MAILBOX_MAX,
        overflow: Overflow = Overflow.DROP_OLDEST,
        policy: RestartPolicy | None = None,
    ) -> ManagedActor:
        """Start an actor. kinds, instruments: the rows it gets, by default what its class says.

        priority: by default that of the task that fills its mailbox, so that the two take turns; below it, an actor
        hears nothing while the market is busier than the loop.
        """
        if kinds is None:
            kinds = getattr(factory, "kinds", DEFAULT_KINDS)
        if instruments is None:
            instruments = getattr(factory, "instruments", None)
        if not all(0 < kind < ACK for kind in kinds):
            raise ConfigError(
                f"actor {name!r} asks for kinds {tuple(kinds)}; only market kinds, 1 to {ACK - 1}, are sent"
            )
        member = _Member(name, frozenset(kinds), None if instruments is None else frozenset(instruments))

        def make() -> Actor:
            actor = factory()
            if member.port is not None:
                member.port.is_open = False
            member.port = actor._port = SignalPort(partial(self._accept, member), self._names, self)
            return actor

        member.managed = self._supervisor.spawn(
            name, make, priority=priority, mailbox_max=mailbox_max, overflow=overflow, policy=policy
        )
        self._members[name] = member
        self._wanted[list(member.kinds)] = True
        return member.managed

    def configure(self, name: str, config: Any) -> None:
        """Send an actor a new configuration, ahead of the market data that waits for it."""
        self._supervisor.actor(name).mailbox.put_control(UpdateConfig(config))

    async def stop_actor(self, name: str, deadline_s: float) -> bool:
        """Stop one actor; from now on nothing it sends is taken. Returns whether it ended by itself."""
        is_clean = await self._supervisor.stop_actor(name, deadline_s)
        port = self._members[name].port
        if port is not None:
            port.is_open = False
        return is_clean

    # --- inside ----------------------------------------------------------------------------------------------------

    def _accept(self, member: _Member, signal: Signal) -> bool:
        """Take a signal into the channel. Each actor has a share of it, so one cannot crowd out the others."""
        if member.managed.state not in (ActorState.STARTING, ActorState.RUNNING):
            # A task that a crashed life left behind.
            return False
        share = min(_WAITING_MAX, max(1, SIGNALS_MAX // len(self._members)))
        if member.n_waiting >= share:
            member.n_crowded += 1
            return False
        if not member.takes_token(self.clock.monotonic_ns()):
            member.n_hasty += 1
            return False
        try:
            is_taken = self._signals.try_send((member, signal))
        except ChannelClosedError:
            return False
        if is_taken:
            member.n_waiting += 1
        else:
            member.n_crowded += 1
        return is_taken

    async def _forward(self) -> None:
        """Signals to the engine, as many as wait in one call."""
        while True:
            try:
                sent = await self._signals_out.recv_many(SIGNALS_MAX)
            except ChannelClosedError:
                return
            now_ns = self.clock.wall_ns()
            rows = event_rows(len(sent))
            for i, (member, signal) in enumerate(sent):
                self._n_signals += 1
                rows[i] = signal.row(now_ns)
                rows[i]["id"] = signal.id or self._n_signals
                member.n_waiting -= 1
                member.n_sent += 1
                if 0 <= signal.deadline_ns < now_ns - signal.ts_ns - (0 if signal.deadline_ns else BUDGET_NS):
                    member.n_late += 1
            self._sink(rows)

    async def _distribute(self) -> None:
        """Market rows to the mailboxes of those that want them, one object for all of them."""
        while True:
            try:
                batch = await self._rows.recv_batch(_ROWS_AT_ONCE)
            except ChannelClosedError:
                return
            if batch.n_missed:
                self.note_lost(batch.n_missed)
            kinds = batch.rows["kind"]
            if self._standing is not None and (batch.n_missed or kinds.max() >= ACK):
                self.portfolio.set(self._standing())
            wanted = batch.rows[self._wanted[kinds]]
            if len(wanted):
                members = list(self._members.values())
                for event in self._events(wanted):
                    for member in members:
                        if member.wants(event):
                            member.managed.mailbox.put(event)
            await asyncio.sleep(0)

    def _events(self, rows: np.ndarray) -> list[MarketEvent]:
        assert rows.dtype == EVENT
        grids = self._grids
        columns: Iterator[tuple[Any, ...]] = zip(*(rows[name].tolist() for name in _FIELDS))
        return [
            MarketEvent(kind, instrument, ts_exch, ts_recv, px, qty, id, arg0, arg1, side, flags, grids[instrument])
            for kind, instrument, ts_exch, ts_recv, px, qty, id, arg0, arg1, side, flags in columns
        ]

    def _tell(self, report: ActorReport) -> None:
        if self.bus.is_open:
            self.bus.publish(report)


def _grid(instrument: Instrument) -> Grid:
    tick_num, tick_den = instrument.tick_size.as_integer_ratio()
    lot_num, lot_den = instrument.lot_size.as_integer_ratio()
    return Grid(instrument.symbol, tick_num, tick_den, lot_num, lot_den)


def _names(instruments: Sequence[Instrument]) -> dict[str, int]:
    """What an instrument may be called in a signal: "venue:symbol", and its symbol where no other has it."""
    names = {f"{instrument.venue}:{instrument.symbol}": i for i, instrument in enumerate(instruments)}
    if len(names) != len(instruments):
        raise ConfigError("two instruments of the session have one venue and symbol; actors could not tell them apart")
    symbols = [instrument.symbol for instrument in instruments]
    return names | {symbol: i for i, symbol in enumerate(symbols) if symbols.count(symbol) == 1}
