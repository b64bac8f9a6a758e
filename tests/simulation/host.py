"""Our process in the simulation: engine, connection, driver, journal; it can be killed at any effect, and revived."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from simulation.ledger import DiskLedger, Ledger
from simulation.wires import MS, Network, S, Timeline, Wire
from tercel.book.views import BookView
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.live.driver import LiveCore, LiveOptions
from tercel.live.fast import direct
from tercel.live.reconciling import AccountStanding
from tercel.localvenue.accounts import ApiKey
from tercel.model.events import FILL
from tercel.model.instrument import Instrument
from tercel.orders.lifecycle import ST_PENDING_NEW, ST_UNKNOWN
from tercel.risk.limits import Limits
from tercel.strategy.contract import Strategy
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials
from tercel.venues.contract import NEVER, Connect, Disconnect, Request, Send

CAPACITY = Capacity(depth_ticks=4096, far_levels=512, orders=256, commands=256, timers=16)
OPTIONS = LiveOptions(answer_ns=3 * S)
POSITION_MAX = "0.4"


def settings(is_spot: bool) -> BinanceSettings:
    """How a connection talks to the local venue of one market, a little less patient than in earnest."""
    path = "ws-api/v3" if is_spot else "ws-fapi/v1"
    return BinanceSettings(
        market="spot" if is_spot else "usdm", rest="http://venue", streams="ws://venue", user_streams="ws://venue",
        ws_api=f"ws://venue/{path}", backoff_max_ns=2 * S, answer_timeout_ns=4 * S, snapshot_levels=1000,
    )  # fmt: skip


class Site(msgspec.Struct, frozen=True):
    """One venue as a process of ours sees it. instruments: by the engine's index. secret: of the key."""

    network: Network
    instruments: dict[int, Instrument]
    key: ApiKey
    secret: str
    is_spot: bool


class Host:
    """One process of ours at a time, which trades at every site. core: None while it is dead.

    die_after_effects: die just before the effect of that number is carried out. clock_offset_ns: what our clock shows
    beside the world's time. has_fast_path: messages of the market come by the compiled path.
    """

    def __init__(
        self,
        line: Timeline,
        sites: Sequence[Site],
        rng: random.Random,
        strategy: Strategy,
        journal: Path | None = None,
        position_max: str = POSITION_MAX,
        has_fast_path: bool = True,
    ) -> None:
        self.position_max, self.has_fast_path = position_max, has_fast_path
        self.line, self.sites, self.rng, self.strategy = line, sites, rng, strategy
        by_index = {i: instrument for site in sites for i, instrument in site.instruments.items()}
        self.instruments = [by_index[i] for i in range(len(by_index))]
        self.ledger: Ledger | DiskLedger = Ledger(self.fresh_engine)
        if journal is not None:
            self.ledger = DiskLedger(self.fresh_engine, journal)
        self.core: LiveCore | None = None
        self.engine: Engine | None = None
        self.connections: list[BinanceConnection] = []
        self.notes: list[str] = []
        self.clock_offset_ns = 0
        self.die_after_effects: int | None = None
        self.n_deaths = 0
        self._ports: list[Port] = []
        self._life = 0
        self._wake_ns = NEVER
        self._is_carrying = False

    def fresh_engine(self, run: int) -> Engine:
        limits = Limits(position_max=self.position_max, order_qty_max="0.2")  # type: ignore[arg-type]
        return Engine(self.instruments, [self.strategy], limits=limits, capacity=CAPACITY, run=run)

    def time(self) -> int:
        return self.line.now_ns + self.clock_offset_ns

    # --- life -------------------------------------------------------------------------------------------------------

    def revive(self) -> None:
        """Start the process, from the journal where there is one."""
        if self.core is not None:
            return
        self._life += 1
        self.engine = self.ledger.begin()
        self.connections = []
        for site in self.sites:
            credentials = Credentials(site.key.key, site.secret)
            self.connections.append(BinanceConnection(settings(site.is_spot), site.instruments, credentials))
        self._ports = [Port(self, i, site.network) for i, site in enumerate(self.sites)]
        standing = AccountStanding(self.engine)
        self.core = LiveCore(self.engine, self.connections, self.ledger, standing, options=OPTIONS)
        self.core.now_ns = self.engine.now_ns
        self._wake_ns = NEVER
        core = self.core
        self.input(lambda: core.open(self.time()))

    def die(self) -> None:
        """The process is killed: what it had not handed to the network never leaves."""
        if self.core is None:
            return
        self.notes += self.core.notes
        self.core = self.engine = None
        self.connections = []
        self.die_after_effects = None
        self.n_deaths += 1
        self._life += 1
        self.ledger.cut()
        ports, self._ports = self._ports, []
        for port in ports:
            port.cut()

    def snapshot(self) -> None:
        """Keep the engine's state, between two inputs."""
        if self.engine is not None and self.core is not None and self.core.is_trading:
            self.ledger.snapshot(self.engine)

    # --- inputs -----------------------------------------------------------------------------------------------------

    def input(self, action: Callable[[], None]) -> None:
        """Hand something to the driver, then carry out what follows."""
        action()
        self._carry()

    def _carry(self) -> None:
        if self._is_carrying or self.core is None:
            return
        self._is_carrying = True
        try:
            for port, connection in zip(self._ports, self.connections):
                effects = connection.effects
                while effects:
                    if self.die_after_effects is not None:
                        self.die_after_effects -= 1
                        if self.die_after_effects < 0:
                            self.die()
                            return
                    port.do(effects.pop(0))
        finally:
            self._is_carrying = False
        due_ns = self.core.next_wake_ns - self.clock_offset_ns
        if due_ns < self._wake_ns:
            self._wake_ns, life = due_ns, self._life
            # A wake of the world's clock is never exact.
            self.line.at(max(due_ns, self.line.now_ns) + self.rng.randrange(MS), lambda: self._on_wake(life, due_ns))

    def _on_wake(self, life: int, due_ns: int) -> None:
        if self.core is None or life != self._life:
            return
        if self._wake_ns == due_ns:
            self._wake_ns = NEVER
        core = self.core
        self.input(lambda: core.on_wake(self.time()))

    # --- what it knows ------------------------------------------------------------------------------------------------

    def is_resting(self) -> bool:
        assert self.engine is not None
        return bool(self.engine.state(0)["is_resting"])

    def _living(self) -> np.ndarray:
        assert self.engine is not None
        found: np.ndarray = self.engine.view("orders")[self.engine.view("open")[: self.engine.head["n_open"]]]
        return found

    def unquiet(self) -> str:
        """What keeps the session from rest, in words; empty when nothing does."""
        if self.core is None:
            return "dead"
        if not self.core.is_trading:
            return f"state {self.core.state}"
        if not self.is_resting():
            return "the strategy acts"
        living = self._living()
        waits = (living["state"] == ST_PENDING_NEW) | (living["state"] == ST_UNKNOWN) | (living["pending"] != 0)
        if waits.any():
            return f"orders wait: {living[waits][['id', 'state', 'pending']].tolist()}"
        for link, connection in zip(self.core.links, self.connections):
            if connection.in_doubt or link.is_asked or not link.is_open:
                return f"in doubt: {connection.in_doubt}, asked: {link.is_asked}, open: {link.is_open}"
        return ""

    def is_quiet(self) -> bool:
        return self.unquiet() == ""

    def is_live(self) -> bool:
        return bool(self.connections) and all(connection.is_live for connection in self.connections)

    def open_orders(self) -> dict[int, tuple[int, int, int, int]]:
        """Our id -> (instrument, side, px, lots left), as far as we know."""
        return {
            int(o["id"]): (int(o["instrument"]), int(o["side"]), int(o["px"]), int(o["qty"] - o["filled"]))
            for o in self._living()
        }

    def all_fills(self) -> dict[tuple[int, int], tuple[int, int, int, int, int]]:
        """(instrument, execution id) -> (our order id, side, px, lots, fee), as the journal has them."""
        rows = self.ledger.all_rows()
        fills = rows[(rows["kind"] == FILL)]
        return {
            (int(f["instrument"]), int(f["arg1"])): (
                int(f["id"]), int(f["side"]), int(f["px"]), int(f["qty"]), int(f["arg0"]),
            ) for f in fills
        }  # fmt: skip

    def standing(self, i: int) -> tuple[int, int]:
        """Position in lots and fees paid in quanta, of an instrument."""
        assert self.engine is not None
        found = self.engine.view("positions")[i]
        return int(found["position"]), int(found["fee"])

    def commanded(self) -> set[int]:
        """Ids of every order that was ever commanded."""
        commands = self.ledger.all_commands()
        return set(commands["id"][commands["kind"] == 1].tolist())

    def check_replays(self, said: str) -> None:
        assert self.engine is not None
        self.ledger.check_replays(said, self.engine)

    def book(self, i: int, side: int, n: int) -> list[tuple[int, int]]:
        assert self.engine is not None
        px, lots = BookView(self.engine.book_address(i)).depth(side, n)
        return list(zip(px.tolist(), lots.tolist()))


class Port:
    """One connection's way out: its wires and its requests. A dead process hears nothing."""

    def __init__(self, host: Host, i: int, network: Network) -> None:
        self._host, self._i, self._network = host, i, network
        self._wires: dict[str, Wire] = {}
        self._hearers: dict[str, Callable[[bytes, int], None]] = {}
        self._is_cut = False

    def cut(self) -> None:
        """The process is dead."""
        self._is_cut = True
        wires, self._wires = self._wires, {}
        for wire in wires.values():
            wire.client = None
            wire.die(is_silent=False)

    def do(self, effect: Any) -> None:
        """Carry out one effect of the connection."""
        if isinstance(effect, Send):
            wire = self._wires.get(effect.channel)
            if wire is not None and wire.is_open:
                wire.send(bytes(effect.data))
        elif isinstance(effect, Connect):
            assert effect.channel not in self._wires, f"channel {effect.channel} opened twice"
            self._wires[effect.channel] = self._network.connect(self, effect.channel, effect.url)
        elif isinstance(effect, Disconnect):
            wire = self._wires.get(effect.channel)
            if wire is not None:
                wire.close(effect.why)
        elif isinstance(effect, Request):
            self._network.request(self, effect)

    def _write(self, wire: Wire, data: bytes | memoryview) -> bool:
        """Hand a request over at once; not where the process is about to die between two of them."""
        if self._host.die_after_effects is not None or not wire.is_open:
            return False
        wire.send(bytes(data))
        return True

    def _tell(self, action: Callable[[LiveCore, int], None]) -> None:
        core = self._host.core
        if core is not None and not self._is_cut:
            self._host.input(lambda: action(core, self._host.time()))

    def hears(self, wire: Wire, data: bytes) -> None:
        if self._wires.get(wire.channel) is wire:
            hearer = self._hearers[wire.channel]
            self._tell(lambda core, now_ns: hearer(data, now_ns))

    def opens(self, wire: Wire) -> None:
        core = self._host.core
        if self._wires.get(wire.channel) is wire and core is not None and not self._is_cut:
            core.links[self._i].connection.writers[wire.channel] = partial(self._write, wire)
            if self._host.has_fast_path:
                self._hearers[wire.channel] = core.hearer(self._i, wire.channel, direct)
            else:
                self._hearers[wire.channel] = partial(core.on_message, self._i, wire.channel)
            self._tell(lambda core, now_ns: core.on_connected(self._i, wire.channel, now_ns))

    def loses(self, wire: Wire, why: str) -> None:
        if self._wires.get(wire.channel) is wire:
            del self._wires[wire.channel]
            if self._host.core is not None and not self._is_cut:
                self._host.core.links[self._i].connection.writers.pop(wire.channel, None)
            self._tell(lambda core, now_ns: core.on_disconnected(self._i, wire.channel, now_ns, why))

    def answered(self, id: int, status: int, headers: dict[str, str], body: bytes) -> None:
        self._tell(lambda core, now_ns: core.on_response(self._i, id, status, headers, body, now_ns))

    def failed(self, id: int, why: str, was_sent: bool) -> None:
        self._tell(lambda core, now_ns: core.on_failure(self._i, id, why, was_sent, now_ns))
