"""One session in a simulated world: our whole live stack, a local venue, a bad network, kills; and what must hold.

Everything runs in one thread on simulated time and follows from one seed. `run_seed` is the whole of it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulation.host import Host
from simulation.trader import Trader
from simulation.wires import MS, Faults, Network, S, Timeline
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.symbols import SymbolRules
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.events import SIGNAL, event_rows
from tercel.model.instrument import Instrument
from tercel.sim.market import MarketModel
from tercel.venues.binance.encoding import own_id

T0 = 1_780_000_000_000_000_000

COIN = Instrument(
    symbol="COINUSDT", tick_size="0.01", lot_size="0.001", venue="local", kind="spot", base="COIN", quote="USDT"
)  # type: ignore[arg-type]
#: A market that is quick to simulate: few orders, a book that moves.
MODEL = MarketModel(
    mid_px=10_000, limit_rate=20.0, cancel_rate=0.2, market_rate=3.0, warmup_s=5.0, value_vol=4.0, limit_qty=40.0,
    market_qty=40.0,
)  # fmt: skip


class Plan:
    """What one seed meets."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.seed = seed
        is_calm = rng.random() < 0.1
        bad = 0.0 if is_calm else 1.0
        self.faults = Faults(
            delay_ms=rng.choice([0.2, 2.0, 10.0, 60.0]),
            cut=bad * rng.choice([0.0, 0.05, 0.3]),
            half_open=rng.random(),
            refused=bad * rng.choice([0.0, 0.3]),
            http_lost=bad * rng.choice([0.0, 0.1, 0.4]),
            stall=bad * rng.choice([0.0, 0.002]),
        )
        self.n_kills = 0 if is_calm else rng.choice([0, 0, 1, 2, 3])
        self.n_restarts = 0 if is_calm else rng.choice([0, 0, 1, 2])
        self.n_clock_jumps = 0 if is_calm else rng.choice([0, 0, 1, 3])
        self.is_told_twice = not is_calm and rng.random() < 0.3
        self.late_reports_ms = 0 if is_calm else rng.choice([0, 0, 20, 300])
        self.n_rejects = 0 if is_calm else rng.choice([0, 0, 3])
        self.n_lost_answers = 0 if is_calm else rng.choice([0, 0, 2])
        self.duration_s = rng.choice([4, 8, 12])
        self.kills_by_effect = rng.random() < 0.5


class World:
    """A venue, a network and one process of ours that may be killed and started again."""

    def __init__(self, seed: int, plan: Plan | None = None, journal: Path | None = None) -> None:
        self.plan = plan or Plan(seed)
        self.rng = random.Random(seed * 7919 + 1)
        self.line = Timeline(T0)
        listed = SymbolRules(instrument=COIN, market=MODEL, notional_min="0.1")
        self.venue = LocalVenue(VenueSetup(seed=seed, symbols=[listed], n_accounts=1, limits=LimitRules.none()))
        self.venue.start(T0)
        self.network = Network(self.line, self.rng, self.venue, self.plan.faults)
        self.host = Host(
            self.line, self.network, self.rng, COIN, self.venue.keys[0], Trader(seed=seed % 100_000), journal
        )

    def misfortunes(self) -> None:
        """Plan what goes wrong beside the network."""
        plan, span_ns = self.plan, self.plan.duration_s * S

        def sometime(n: int, action: Callable[[], None]) -> None:
            for _ in range(n):
                self.line.after(self.rng.randrange(span_ns), action)

        faults = self.venue.faults
        faults.duplicate_reports = plan.is_told_twice
        faults.late_reports_ns = plan.late_reports_ms * MS
        faults.lose_answers = plan.n_lost_answers
        sometime(plan.n_rejects, lambda: setattr(faults, "reject_orders", 1))
        sometime(plan.n_restarts, self.network.restart_venue)
        sometime(plan.n_clock_jumps, self._jump)
        sometime(plan.n_kills, self._kill)

    def _jump(self) -> None:
        self.host.clock_offset_ns += self.rng.choice([-3, -1, 1, 2]) * self.rng.randrange(S)

    def _kill(self) -> None:
        if self.plan.kills_by_effect:
            self.host.die_after_effects = self.rng.randrange(40)
        else:
            self.host.die()
        self.line.after(self.rng.randrange(3 * S), self.host.revive)

    def run(self) -> None:
        """Trade in bad weather, then in good, then rest until everything is quiet."""
        self.host.revive()
        self.misfortunes()
        self.line.run(T0 + self.plan.duration_s * S)
        self.heal()
        self.line.run(self.line.now_ns + 2 * S)
        rest = event_rows(1)
        rest["kind"] = SIGNAL
        until_ns = self.line.now_ns + 90 * S
        while self.line.now_ns < until_ns:
            core = self.host.core
            if core is not None and core.is_trading and not self.host.is_resting():
                self.host.input(lambda: self.host.core.inject(rest, self.host.time()))
            self.line.run(self.line.now_ns + S)
            if self.host.is_quiet() and not self.network.has_dead() and self.host.connection.is_live:
                break
        # The market stands still, so that what is left on its way arrives and books can be compared.
        for market in self.venue.markets.values():
            market.place.run = lambda now_ns: []  # type: ignore[method-assign]
        until_ns = self.line.now_ns + 120 * S
        while self.line.now_ns < until_ns:
            self.line.run(max(self.line.now_ns, self.network.last_arrival_ns()) + 2 * S)
            if self.host.is_quiet() and self.network.last_arrival_ns() < self.line.now_ns - S:
                break

    def heal(self) -> None:
        self.plan.faults.heal()
        faults = self.venue.faults
        faults.duplicate_reports = False
        faults.late_reports_ns = faults.lose_answers = faults.reject_orders = 0
        self.host.die_after_effects = None
        if self.host.core is None:
            self.host.revive()

    # --- what must hold -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Every invariant; AssertionError with the seed in it."""
        said = f"seed {self.plan.seed}"
        host, desk = self.host, self.venue.desk
        core = host.core
        assert core is not None, said
        assert core.error is None, f"{said}: {core.error!r}"
        assert core.is_trading, f"{said}: {core.state}, notes {host.notes[-10:]}"
        assert host.is_quiet(), f"{said}: not quiet, {host.unquiet()}"
        assert self.venue.bank.imbalance() == {}, f"{said}: the venue's money is not whole"
        account = self.venue.bank.accounts[1]
        theirs = {}
        for order in desk.open_orders(account, None):
            theirs[own_id(order.client_id)] = (order.side, order.px, order.left)
        assert host.open_orders() == theirs, f"{said}: open orders differ"
        fills = {}
        for trade in self.trades():
            fills[trade.id] = (own_id(trade.order.client_id), trade.order.side, trade.px, trade.lots)
        assert host.all_fills() == fills, f"{said}: fills differ"
        lots = sum(side * n for _, side, _, n in fills.values())
        assert host.position() == lots, f"{said}: position {host.position()}, the venue says {lots}"
        self.check_orders(said)
        self.check_book(said)
        host.check_replays(said)

    def trades(self) -> list[Any]:
        """Every trade of our account at the venue, oldest first."""
        return [trade for trade in self.venue.desk.trades if trade.order.account.number == 1]

    def check_orders(self, said: str) -> None:
        """Each order at the venue was commanded once, by us, and within the limits."""
        orders = [order for order in self.venue.desk.orders.values() if order.account.number == 1]
        ids = {own_id(order.client_id) for order in orders}
        # A canceled and replaced order is two at the venue under one id, never both of them alive.
        for name in ids:
            alive = [order for order in orders if own_id(order.client_id) == name and order.is_open]
            assert len(alive) <= 1, f"{said}: an order was doubled"
        assert ids <= self.host.commanded(), f"{said}: an order that nobody commanded"
        position = 0
        for trade in self.trades():
            position += trade.order.side * trade.lots
            assert abs(position) <= self.host.position_max, f"{said}: position {position} beyond its limit"

    def check_book(self, said: str) -> None:
        """Our book is the venue's."""
        for side in (1, -1):
            theirs = self.venue.markets[COIN.symbol].book.best(side, 20)
            assert self.host.book(side, 20) == theirs, f"{said}: books differ on side {side}"


def run_seed(seed: int) -> None:
    """Run one seed and check it. Every eighth keeps the real journal on a disk."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(seed, journal=Path(directory) / "journal" if seed % 8 == 7 else None)
        world.run()
        world.check()
