"""Our process in the simulation: engine, connection, driver, journal; it can be killed at any effect, and revived."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from simulation.ledger import DiskLedger, Ledger
from simulation.wires import MS, Network, S, Timeline, Wire
from tercel.book.views import BookView
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.live.driver import LiveCore, LiveOptions
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

SETTINGS = BinanceSettings(
    market="spot", rest="http://venue", streams="ws://venue", ws_api="ws://venue/ws-api/v3",
    backoff_max_ns=2 * S, answer_timeout_ns=4 * S, snapshot_levels=1000,
)  # fmt: skip


class Host:
    """One process of ours at a time. core: None while it is dead.

    die_after_effects: die just before the effect of that number is carried out. clock_offset_ns: what our clock shows
    beside the world's time.
    """

    def __init__(
        self, line: Timeline, network: Network, rng: random.Random, instrument: Instrument, key: ApiKey,
        strategy: Strategy, journal: Path | None = None,
    ) -> None:  # fmt: skip
        self.line, self.network, self.rng = line, network, rng
        self.instrument, self.strategy = instrument, strategy
        self.credentials = Credentials(key.key, key.secret.decode())
        self.ledger: Ledger | DiskLedger = Ledger(self.fresh_engine)
        if journal is not None:
            self.ledger = DiskLedger(self.fresh_engine, journal)
        self.core: LiveCore | None = None
        self.engine: Engine | None = None
        self.connection: BinanceConnection | None = None
        self.notes: list[str] = []
        self.clock_offset_ns = 0
        self.die_after_effects: int | None = None
        self.n_deaths = 0
        self.position_max = int(instrument.lots(POSITION_MAX))
        self._wires: dict[str, Wire] = {}
        self._life = 0
        self._wake_ns = NEVER
        self._is_carrying = False

    def fresh_engine(self, run: int) -> Engine:
        limits = Limits(position_max=POSITION_MAX, order_qty_max="0.2")  # type: ignore[arg-type]
        return Engine([self.instrument], [self.strategy], limits=limits, capacity=CAPACITY, run=run)

    def time(self) -> int:
        return self.line.now_ns + self.clock_offset_ns

    # --- life -------------------------------------------------------------------------------------------------------

    def revive(self) -> None:
        """Start the process, from the journal where there is one."""
        if self.core is not None:
            return
        self._life += 1
        self.engine = self.ledger.begin()
        self.connection = BinanceConnection(SETTINGS, {0: self.instrument}, self.credentials)
        standing = AccountStanding(self.engine)
        self.core = LiveCore(self.engine, [self.connection], self.ledger, standing, options=OPTIONS)
        self.core.now_ns = self.engine.now_ns
        self._wake_ns = NEVER
        core = self.core
        self.input(lambda: core.open(self.time()))

    def die(self) -> None:
        """The process is killed: what it had not handed to the network never leaves."""
        if self.core is None:
            return
        self.notes += self.core.notes
        self.core = self.engine = self.connection = None
        self.die_after_effects = None
        self.n_deaths += 1
        self._life += 1
        self.ledger.cut()
        wires, self._wires = self._wires, {}
        for wire in wires.values():
            wire.client = None
            wire.die(is_silent=False)

    # --- inputs -----------------------------------------------------------------------------------------------------

    def input(self, action: Callable[[], None]) -> None:
        """Hand something to the driver, then carry out what follows."""
        action()
        self._carry()

    def hears(self, wire: Wire, data: bytes) -> None:
        if self.core is not None and self._wires.get(wire.channel) is wire:
            core = self.core
            self.input(lambda: core.on_message(0, wire.channel, data, self.time()))

    def opens(self, wire: Wire) -> None:
        if self.core is not None and self._wires.get(wire.channel) is wire:
            core = self.core
            self.input(lambda: core.on_connected(0, wire.channel, self.time()))

    def loses(self, wire: Wire, why: str) -> None:
        if self.core is not None and self._wires.get(wire.channel) is wire:
            del self._wires[wire.channel]
            core = self.core
            self.input(lambda: core.on_disconnected(0, wire.channel, self.time(), why))

    def answered(self, life: int, id: int, status: int, headers: dict[str, str], body: bytes) -> None:
        if self.core is not None and life == self._life:
            core = self.core
            self.input(lambda: core.on_response(0, id, status, headers, body, self.time()))

    def failed(self, life: int, id: int, why: str, was_sent: bool) -> None:
        if self.core is not None and life == self._life:
            core = self.core
            self.input(lambda: core.on_failure(0, id, why, was_sent, self.time()))

    def _carry(self) -> None:
        if self._is_carrying or self.connection is None or self.core is None:
            return
        effects = self.connection.effects
        self._is_carrying = True
        try:
            while effects:
                if self.die_after_effects is not None:
                    self.die_after_effects -= 1
                    if self.die_after_effects < 0:
                        self.die()
                        return
                self._do(effects.pop(0))
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

    def _do(self, effect: Any) -> None:
        if isinstance(effect, Send):
            wire = self._wires.get(effect.channel)
            if wire is not None and wire.is_open:
                wire.send(bytes(effect.data))
        elif isinstance(effect, Connect):
            assert effect.channel not in self._wires, f"channel {effect.channel} opened twice"
            self._wires[effect.channel] = self.network.connect(self, effect.channel, effect.url)
        elif isinstance(effect, Disconnect):
            wire = self._wires.get(effect.channel)
            if wire is not None:
                wire.close(effect.why)
        elif isinstance(effect, Request):
            self.network.request(_Asker(self, self._life), effect)

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
        if self.core is None or self.connection is None:
            return "dead"
        if not self.core.is_trading:
            return f"state {self.core.state}"
        if not self.is_resting():
            return "the strategy acts"
        living = self._living()
        waits = (living["state"] == ST_PENDING_NEW) | (living["state"] == ST_UNKNOWN) | (living["pending"] != 0)
        if waits.any():
            return f"orders wait: {living[waits][['id', 'state', 'pending']].tolist()}"
        if self.connection.in_doubt or self.core.links[0].is_asked:
            return f"in doubt: {self.connection.in_doubt}, asked: {self.core.links[0].is_asked}"
        return ""

    def is_quiet(self) -> bool:
        return self.unquiet() == ""

    def open_orders(self) -> dict[int, tuple[int, int, int]]:
        """Our id -> (side, px, lots left), as far as we know."""
        return {
            int(o["id"]): (int(o["side"]), int(o["px"]), int(o["qty"] - o["filled"])) for o in self._living()
        }  # fmt: skip

    def all_fills(self) -> dict[int, tuple[int, int, int, int]]:
        """Execution id -> (our order id, side, px, lots), as the journal has them, each counted once."""
        rows = self.ledger.all_rows()
        fills = rows[(rows["kind"] == FILL)]
        return {int(f["arg1"]): (int(f["id"]), int(f["side"]), int(f["px"]), int(f["qty"])) for f in fills}

    def position(self) -> int:
        assert self.engine is not None
        return int(self.engine.view("positions")[0]["position"])

    def commanded(self) -> set[int]:
        """Ids of every order that was ever commanded."""
        commands = self.ledger.all_commands()
        return set(commands["id"][commands["kind"] == 1].tolist())

    def check_replays(self, said: str) -> None:
        assert self.engine is not None
        self.ledger.check_replays(said, self.engine)

    def book(self, side: int, n: int) -> list[tuple[int, int]]:
        assert self.engine is not None
        px, lots = BookView(self.engine.book_address(0)).depth(side, n)
        return list(zip(px.tolist(), lots.tolist()))


class _Asker:
    """Who asked an HTTP request: a dead process hears no answer."""

    def __init__(self, host: Host, life: int) -> None:
        self._host, self._life = host, life

    def answered(self, id: int, status: int, headers: dict[str, str], body: bytes) -> None:
        self._host.answered(self._life, id, status, headers, body)

    def failed(self, id: int, why: str, was_sent: bool) -> None:
        self._host.failed(self._life, id, why, was_sent)
