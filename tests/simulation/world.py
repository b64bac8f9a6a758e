"""One session in a simulated world: our whole live stack, a local venue, a bad network, kills; and what must hold.

Everything runs in one thread on simulated time and follows from one seed. `run_seed` is the whole of it.
"""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

from simulation.host import Host, Site
from simulation.trader import Trader
from simulation.wires import MS, Faults, Network, S, Timeline
from tercel.localvenue.accounts import demo_key, ed25519_private_pem
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.orders import NewOrder
from tercel.localvenue.refusals import RefusedError
from tercel.localvenue.symbols import SymbolRules
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.events import SIGNAL, event_rows
from tercel.model.instrument import Instrument
from tercel.sim.market import MarketModel
from tercel.strategy.contract import Strategy
from tercel.venues.binance.encoding import own_id

T0 = 1_780_000_000_000_000_000


def _instrument(base: str, kind: str) -> Instrument:
    return Instrument(
        symbol=f"{base}USDT", tick_size="0.01", lot_size="0.001", venue=f"local-{kind}", kind=kind, base=base,
        quote="USDT", amends="replace" if kind == "spot" else "in_place",
    )  # type: ignore[arg-type]  # fmt: skip


#: What may be traded: for each venue its product and its instruments.
LAYOUTS: dict[str, list[tuple[str, list[Instrument]]]] = {
    "spot": [("spot", [_instrument("COIN", "spot")])],
    "usdm": [("usdm", [_instrument("COIN", "linear")])],
    "two": [("spot", [_instrument("COIN", "spot"), _instrument("GOLD", "spot")])],
    "both": [("spot", [_instrument("COIN", "spot")]), ("usdm", [_instrument("COIN", "linear")])],
}
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
        self.layout = rng.choice(["spot", "spot", "usdm", "usdm", "two", "both"])
        self.n_foreign = rng.choice([0, 0, 0, 4])
        self.n_snapshots = rng.choice([0, 3])
        #: The smaller one is reached all the time.
        self.position_max = rng.choice(["0.4", "0.12", "0.06"])
        #: Keys that log a session on, after which requests need no signature: only those take the compiled path.
        self.has_logon = rng.random() < 0.6


class World:
    """Venues, their networks and one process of ours that may be killed and started again."""

    def __init__(
        self,
        seed: int,
        plan: Plan | None = None,
        journal: Path | None = None,
        strategy: Strategy | None = None,
        has_fast_path: bool = True,
    ) -> None:
        self.plan = plan or Plan(seed)
        self.rng = random.Random(seed * 7919 + 1)
        self.line = Timeline(T0)
        self.venues: list[LocalVenue] = []
        sites: list[Site] = []
        n = 0
        for product, instruments in LAYOUTS[self.plan.layout]:
            symbols = [SymbolRules(instrument=x, market=MODEL, notional_min="0.1") for x in instruments]
            setup = VenueSetup(product=product, seed=seed, symbols=symbols, n_accounts=2, limits=LimitRules.none(),
                               with_ed25519=self.plan.has_logon)  # fmt: skip
            venue = LocalVenue(setup)
            venue.start(T0)
            self.venues.append(venue)
            network = Network(self.line, self.rng, venue, self.plan.faults)
            key, secret = venue.keys[0], venue.keys[0].secret.decode()
            if self.plan.has_logon:
                key, secret = demo_key(seed, 1, "ed25519"), ed25519_private_pem(seed, 1)
            sites.append(Site(network, dict(enumerate(instruments, n)), key, secret, product == "spot"))
            n += len(instruments)
        self.sites = sites
        trader = strategy or Trader(seed=seed % 100_000, n_instruments=n)
        self.host = Host(self.line, sites, self.rng, trader, journal, self.plan.position_max, has_fast_path)
        self.n_strangers = 0
        self._positions = [[0, 0] for _ in range(n)]
        for site, venue in zip(sites, self.venues):
            for i in site.instruments:
                site.network.watch = self._watched(site.network.watch, i, venue)

    def _watched(self, before: Callable[[], None], i: int, venue: LocalVenue) -> Callable[[], None]:
        """Look, whenever the venue may have done something, whether all that rests there may still trade."""

        def watch() -> None:
            before()
            self.check_limit(i, venue)

        return watch

    def misfortunes(self) -> None:
        """Plan what goes wrong beside the network."""
        plan, span_ns = self.plan, self.plan.duration_s * S

        def sometime(n: int, action: Callable[[], None]) -> None:
            for _ in range(n):
                self.line.after(self.rng.randrange(span_ns), action)

        for site, venue in zip(self.sites, self.venues):
            faults = venue.faults
            faults.duplicate_reports = plan.is_told_twice
            faults.late_reports_ns = plan.late_reports_ms * MS
            faults.lose_answers = plan.n_lost_answers
            sometime(plan.n_rejects, lambda faults=faults: setattr(faults, "reject_orders", 1))
            sometime(plan.n_restarts, site.network.restart_venue)
            sometime(plan.n_foreign, lambda site=site, venue=venue: self._stranger(site, venue))
        sometime(plan.n_clock_jumps, self._jump)
        sometime(plan.n_kills, self._kill)
        sometime(plan.n_snapshots, self.host.snapshot)

    def _jump(self) -> None:
        self.host.clock_offset_ns += self.rng.choice([-3, -1, 1, 2]) * self.rng.randrange(S)

    def _kill(self) -> None:
        if self.plan.kills_by_effect:
            self.host.die_after_effects = self.rng.randrange(40)
        else:
            self.host.die()
        self.line.after(self.rng.randrange(3 * S), self.host.revive)

    def _stranger(self, site: Site, venue: LocalVenue) -> None:
        """Somebody else trades on our account: an order that rests or takes."""
        market = venue.markets[self.rng.choice(list(site.instruments.values())).symbol]
        new = NewOrder(market.listed, self.rng.choice([1, -1]), "LIMIT")
        self.n_strangers += 1
        new.client_id = f"web_{self.n_strangers}"
        new.tif, new.stp, new.lots = "GTC", venue.rules.default_stp, 1 + self.rng.randrange(30)
        near = market.book.bid if new.side > 0 else market.book.ask
        new.px = near + new.side * self.rng.choice([-3, 0, 2])
        try:
            venue.desk.place(venue.bank.accounts[1], market, new, self.line.now_ns)
        except RefusedError:
            return
        site.network.pump()

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
            has_dead = any(site.network.has_dead() for site in self.sites)
            if self.host.is_quiet() and not has_dead and self.host.is_live():
                break
        # The market stands still, so that what is left on its way arrives and books can be compared.
        for market in [market for venue in self.venues for market in venue.markets.values()]:
            market.place.run = lambda now_ns: []  # type: ignore[method-assign]
        until_ns = self.line.now_ns + 120 * S
        while self.line.now_ns < until_ns:
            self.line.run(max(self.line.now_ns, self._last_arrival_ns()) + 2 * S)
            if self.host.is_quiet() and self._last_arrival_ns() < self.line.now_ns - S:
                break

    def _last_arrival_ns(self) -> int:
        return max(site.network.last_arrival_ns() for site in self.sites)

    def heal(self) -> None:
        self.plan.faults.heal()
        for venue in self.venues:
            faults = venue.faults
            faults.duplicate_reports = False
            faults.late_reports_ns = faults.lose_answers = faults.reject_orders = 0
        self.host.die_after_effects = None
        if self.host.core is None:
            self.host.revive()

    # --- what must hold -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Every invariant; AssertionError with the seed in it."""
        said = f"seed {self.plan.seed}"
        host = self.host
        core = host.core
        assert core is not None, said
        assert core.error is None, f"{said}: {core.error!r}"
        assert core.is_trading, f"{said}: {core.state}, notes {host.notes[-10:]}"
        assert core.engine.head["halted"] == 0, f"{said}: halted, notes {core.notes[-10:]}"
        assert host.is_quiet(), f"{said}: not quiet, {host.unquiet()}"
        theirs = {}
        fills = {}
        for i, venue in self.places():
            assert venue.bank.imbalance() == {}, f"{said}: the venue's money is not whole"
            symbol = host.instruments[i].symbol
            for order in venue.desk.open_orders(venue.bank.accounts[1], symbol):
                if own_id(order.client_id):
                    theirs[own_id(order.client_id)] = (i, order.side, order.px, order.left)
            position = fees = 0
            for trade in self.trades(i, venue):
                name, side, fee = own_id(trade.order.client_id), trade.order.side, fee_of(host.instruments[i], trade)
                fills[i, trade.id] = (name, side, trade.px, trade.lots, fee)
                position += side * trade.lots
                fees += fee
            assert host.standing(i) == (position, fees), f"{said}: {host.standing(i)}, the venue {(position, fees)}"
            if not self.sites_of(i).is_spot:
                held = venue.desk.position(venue.bank.accounts[1], symbol).lots  # type: ignore[attr-defined]
                assert held == position, f"{said}: the venue holds {held} lots, its trades make {position}"
            self.check_orders(said, i, venue)
            self.check_book(said, i, venue)
        assert host.open_orders() == theirs, f"{said}: open orders differ"
        assert host.all_fills() == fills, f"{said}: fills differ"
        host.check_replays(said)

    def places(self) -> list[tuple[int, LocalVenue]]:
        """Every instrument by its index, with the venue it trades at."""
        return [(i, venue) for site, venue in zip(self.sites, self.venues) for i in site.instruments]

    def sites_of(self, i: int) -> Site:
        """The site of an instrument."""
        return next(site for site in self.sites if i in site.instruments)

    def trades(self, i: int, venue: LocalVenue) -> list[Any]:
        """Every trade of our account in an instrument at its venue, oldest first."""
        symbol = self.host.instruments[i].symbol
        found = venue.desk.trades
        return [x for x in found if x.order.account.number == 1 and x.order.listed.name == symbol]

    def check_orders(self, said: str, i: int, venue: LocalVenue) -> None:
        """Each order at the venue was commanded once, by us, and within the limits; a stranger's was left alone."""
        symbol = self.host.instruments[i].symbol
        orders = [x for x in venue.desk.orders.values() if x.account.number == 1 and x.listed.name == symbol]
        ids = {own_id(order.client_id) for order in orders} - {0}
        # A canceled and replaced order is two at the venue under one id, never both of them alive.
        for name in ids:
            alive = [order for order in orders if own_id(order.client_id) == name and order.is_open]
            assert len(alive) <= 1, f"{said}: an order was doubled"
        assert ids <= self.host.commanded(), f"{said}: an order that nobody commanded"
        self.check_limit(i, venue)

    def check_limit(self, i: int, venue: LocalVenue) -> None:
        """The position stays within its limit whatever of our orders at the venue trades next."""
        symbol = self.host.instruments[i].symbol
        known = self._positions[i]
        for trade in islice(venue.desk.trades, known[0], None):
            if trade.order.account.number == 1 and trade.order.listed.name == symbol:
                known[1] += trade.order.side * trade.lots
        known[0] = len(venue.desk.trades)
        if self.n_strangers:
            # A stranger's fills are not ours to limit.
            return
        limit = int(self.host.instruments[i].lots(self.plan.position_max))
        ours = venue.desk.open_orders(venue.bank.accounts[1], symbol)
        for side in (1, -1):
            most = side * known[1] + sum(order.left for order in ours if order.side == side)
            said = f"seed {self.plan.seed}: {symbol} at {self.line.now_ns - T0} ns"
            assert most <= limit, f"{said}: position {known[1]}, with what rests {most}, limit {limit}"

    def check_book(self, said: str, i: int, venue: LocalVenue) -> None:
        """Our book is the venue's."""
        for side in (1, -1):
            theirs = venue.markets[self.host.instruments[i].symbol].book.best(side, 20)
            assert self.host.book(i, side, 20) == theirs, f"{said}: books differ on side {side}"


def fee_of(instrument: Instrument, trade: Any) -> int:
    """A commission of the venue in quanta of the instrument, the base currency at the fill's own price."""
    exact = Fraction(trade.commission, 10**8)
    if trade.asset == instrument.base:
        exact *= Fraction(instrument.price(trade.px))
    return math.floor(exact / Fraction(instrument.quantum) + Fraction(1, 2))


def run_seed(seed: int) -> None:
    """Run one seed and check it. Every eighth keeps the real journal on a disk."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(seed, journal=Path(directory) / "journal" if seed % 8 == 7 else None)
        try:
            world.run()
            world.check()
        finally:
            # Thousands of seeds are run in one process, which may have some hundred files open.
            world.host.ledger.cut()
