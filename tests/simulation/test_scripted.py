"""Scenes that seeds once found, told step by step, so that no change of the draws loses them."""

from __future__ import annotations

import numpy as np

from simulation.wires import Faults, S
from simulation.world import T0, Plan, World
from tercel.localvenue.orders import NewOrder
from tercel.model.commands import GTC, LIMIT
from tercel.model.events import AMEND_REJECT, event_rows
from tercel.model.reasons import FILLED_MEANWHILE
from tercel.model.signals import Signal
from tercel.strategy.contract import Strategy

#: Ticks below the market, where nothing trades.
FAR = 1000


class Puppet(Strategy):
    """Does what signals say: value 1 buys `id` lots at price `confidence`; 2 amends its newest order to them."""

    newest: int = 0
    is_resting: int = 1

    def on_signal(self, ctx, signal):
        px = int(signal.confidence)
        if signal.value == 1.0:
            self.newest = ctx.order_lots(0, 1, signal.id, px, GTC, LIMIT)
        else:
            ctx.amend_lots(self.newest, signal.id, px)


class Scene(World):
    """A calm world whose market stands still until it is let go, and a puppet in it."""

    def __init__(self, layout: str) -> None:
        plan = Plan(0)
        plan.faults, plan.layout, plan.position_max = Faults(delay_ms=1.0), layout, "0.4"
        super().__init__(1, plan, strategy=Puppet())
        self.host.revive()
        self.line.run(T0 + 3 * S)
        self.market = next(iter(self.venues[0].markets.values()))
        self.freeze()

    def freeze(self) -> None:
        """The market stands still, and what is on its way arrives."""
        self.market.place.run = lambda now_ns: []  # type: ignore[method-assign]
        self.wait()

    def thaw(self, s: float) -> None:
        """The market moves for a while, as books need to come in step, then it stands still again."""
        del self.market.place.run
        self.wait(s)
        self.freeze()

    def wait(self, s: float = 1.0) -> None:
        self.line.run(self.line.now_ns + int(s * S))

    def tell(self, value: float, lots: int, px: int) -> None:
        row = event_rows(1)
        row[0] = Signal(instrument=0, value=value, confidence=float(px), ts_ns=self.line.now_ns, id=lots).row()
        assert self.host.core is not None
        core = self.host.core
        self.host.input(lambda: core.inject(row, self.host.time()))

    def sells_into(self, lots: int) -> None:
        """Another account of the venue sells at the best bid, so that `lots` of the last order there trade."""
        venue = self.venues[0]
        mine = next(iter(venue.desk.open.values()))
        ahead = dict(self.market.book.best(1, 5))[mine.px] - mine.left
        new = NewOrder(self.market.listed, -1, "LIMIT")
        new.tif, new.client_id, new.px, new.lots = "IOC", "other", mine.px, ahead + lots
        venue.desk.place(venue.bank.accounts[2], self.market, new, self.line.now_ns)
        self.sites[0].network.pump()

    def cut(self) -> None:
        """Every connection of ours dies with what it carries."""
        for site in self.sites:
            for wire in list(site.network.wires.values()):
                wire.die(is_silent=False)

    def ours(self) -> np.ndarray:
        assert self.host.engine is not None
        (living,) = self.host._living()
        return living


def amended_unheard(layout: str) -> Scene:
    """Of 30 lots 6 trade; the rest is amended to 22, and every connection dies before that is heard."""
    scene = Scene(layout)
    venue, bid = scene.venues[0], scene.market.book.bid
    scene.tell(1.0, 30, bid)
    scene.wait()
    scene.sells_into(6)
    scene.wait()
    assert (scene.ours()["qty"], scene.ours()["filled"]) == (30, 6)
    scene.tell(2.0, 22, bid - FAR)
    scene.line.run(scene.line.now_ns + S, lambda: any(order.px == bid - FAR for order in venue.desk.open.values()))
    scene.cut()
    return scene


def test_an_order_replaced_unheard_keeps_what_it_had_filled():
    scene = amended_unheard("spot")
    scene.thaw(10)
    (theirs,) = scene.venues[0].desk.open.values()
    assert (theirs.lots, theirs.filled) == (22, 0), "the venue counts the new number alone"
    assert (scene.ours()["qty"], scene.ours()["filled"], scene.ours()["px"]) == (28, 6, theirs.px)
    scene.check()


def test_an_order_modified_unheard_keeps_what_it_had_filled():
    scene = amended_unheard("usdm")
    scene.thaw(10)
    (theirs,) = scene.venues[0].desk.open.values()
    assert (theirs.lots, theirs.filled) == (28, 6), "the venue counts the whole order"
    assert (scene.ours()["qty"], scene.ours()["filled"], scene.ours()["px"]) == (28, 6, theirs.px)
    scene.check()


def test_a_replaced_order_is_known_whole_long_after_its_fills_at_the_next_start():
    # By then the report asks for no fills as old as those before the amend.
    scene = amended_unheard("spot")
    scene.thaw(200)
    scene.host.die()
    scene.wait(5)
    scene.host.revive()
    scene.thaw(10)
    assert (scene.ours()["qty"], scene.ours()["filled"]) == (28, 6)
    scene.check()


def test_an_order_that_fills_while_it_is_replaced_does_not_grow():
    scene = Scene("spot")
    bid = scene.market.book.bid
    scene.tell(1.0, 200, bid)
    scene.wait()
    # The amend is on its way, to as many lots, when 150 of them trade.
    scene.tell(2.0, 200, bid - FAR)
    scene.sells_into(150)
    scene.wait()
    (theirs,) = scene.venues[0].desk.open.values()
    assert (theirs.lots, theirs.filled, theirs.px) == (200, 150, bid)
    assert (scene.ours()["qty"], scene.ours()["filled"], scene.ours()["px"]) == (200, 150, bid)
    rows = scene.host.ledger.all_rows()
    assert rows["reason"][rows["kind"] == AMEND_REJECT].tolist() == [FILLED_MEANWHILE]
    scene.check()
