"""ctx.protect against a plain venue with everything on its way: each lot that was bought is sold once, never more."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.busy_strategies import SIM
from reference.event_makers import quote, row, timer
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.model.commands import CANCEL, MARKET, NEW
from tercel.model.events import ACK, CANCEL_REJECT, CANCELED, EXPIRED, FILL, REJECT, TRADE
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=32, orders=16, timers=4, far_levels=64, depth_ticks=4096, parents=4, executions=64)
MS = 1_000_000
STOP, TAKE, PX = 9_900, 10_100, 10_000


class Enters(Strategy):
    """One entry, protected."""

    id: int = 0

    def on_quote(self, ctx, quote):
        if self.id == 0:
            self.id = ctx.protect(ctx.buy(0, 0.1, limit=100.0), stop=99.0, take=101.0)


class Venue:
    """Orders by id: [side, px, left]; requests and answers on their way."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.orders: dict[int, list[int]] = {}
        self.coming: deque[dict[str, int]] = deque()
        self.going: deque[dict[str, int]] = deque()
        self.bought = self.sold = 0
        self.deadly = 0.3

    def say(self, kind: int, id: int, side: int, px: int = 0, qty: int = 0) -> None:
        self.going.append({"kind": kind, "id": id, "side": side, "px": px, "qty": qty})

    def trade(self, id: int, px: int, lots: int) -> None:
        order = self.orders[id]
        order[2] -= lots
        if order[0] > 0:
            self.bought += lots
        else:
            self.sold += lots
        self.say(FILL, id, order[0], px, lots)
        if order[2] == 0:
            del self.orders[id]

    def arrive(self) -> None:
        """One request gets there."""
        if not self.coming:
            return
        c = self.coming.popleft()
        id, side = c["id"], c["side"]
        if c["kind"] == CANCEL:
            if id in self.orders:
                del self.orders[id]
                self.say(CANCELED, id, side)
            else:
                self.say(CANCEL_REJECT, id, side)
            return
        if side < 0 and self.rng.random() < self.deadly:
            self.say(REJECT, id, side)
            return
        self.orders[id] = [side, c["px"], c["qty"]]
        self.say(ACK, id, side)
        if c["type"] == MARKET:
            # An immediate order finds something, all, or nothing.
            lots = c["qty"] if self.rng.random() > self.deadly else self.rng.randrange(c["qty"] + 1)
            if lots:
                self.trade(id, STOP - 3, lots)
            if id in self.orders:
                del self.orders[id]
                self.say(EXPIRED, id, side)

    def matched(self) -> None:
        """Somebody trades with an order that rests."""
        if self.orders:
            id = self.rng.choice(sorted(self.orders))
            self.trade(id, self.orders[id][1], 1 + self.rng.randrange(self.orders[id][2]))

    def check(self) -> None:
        """What may still be sold, at the venue or on its way, is no more than what is held."""
        resting = sum(left for side, _, left in self.orders.values() if side < 0)
        sent = sum(c["qty"] for c in self.coming if c["kind"] == NEW and c["side"] < 0)
        assert self.sold + resting + sent <= self.bought


@settings(max_examples=120, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 30))
def test_each_lot_is_sold_once(seed):
    rng = random.Random(seed)
    venue = Venue(rng)
    engine = Engine([SIM], [Enters()], capacity=SMALL)
    engine.start(0)
    now = MS
    is_stopped = False

    def give(rows: np.ndarray) -> None:
        commands, refused = engine.run(rows)
        assert len(refused) == 0
        for c in commands:
            venue.coming.append({x: int(c[x]) for x in ("kind", "id", "side", "px", "qty", "type")})

    give(quote(now, PX - 1, PX + 1))
    for _ in range(150):
        now += rng.choice([1, 1, 1, 40, 300]) * MS
        what = rng.randrange(8)
        if what < 2:
            venue.arrive()
        elif what < 3:
            venue.matched()
        elif what < 6 and venue.going:
            event: dict[str, Any] = venue.going.popleft()
            give(row(event.pop("kind"), now, **event))
        elif what == 6 and rng.random() < 0.08:
            is_stopped = True
            give(row(TRADE, now, px=STOP - rng.randrange(3), qty=1, side=-1))
        else:
            give(timer(now))
        venue.check()
    # Below the stop, with all that is on its way there: what is held is sold, and the entry buys no more.
    venue.deadly = 0.0
    for _ in range(40):
        now += 300 * MS
        give(row(TRADE, now, px=STOP, qty=1, side=-1))
        while venue.coming:
            venue.arrive()
            venue.check()
        while venue.going:
            now += MS
            event = venue.going.popleft()
            give(row(event.pop("kind"), now, **event))
        now += MS
        give(timer(now))
    assert venue.sold == venue.bought
    assert int(engine.view("positions")[0]["position"]) == 0
    # The entry is gone, unless nothing of it was ever there to lose.
    assert all(side > 0 for side, _, _ in venue.orders.values())
    if is_stopped and venue.bought:
        assert venue.orders == {}
    assert int(engine.head["n_protected"]) == (1 if venue.orders else 0)
