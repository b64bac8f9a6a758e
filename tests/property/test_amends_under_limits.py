"""Amends on their way against a plain venue: whatever fills before they arrive, no limit can come to be exceeded.

Every message travels, both ways, and the connection hears each before the engine does. The venue is a few lines of
Python, of the two kinds there are: one that amends in place by the whole size (Binance futures' order.modify), one
that cancels and places anew (spot's order.cancelReplace, STOP_ON_FAILURE). Sources: docs/risk.md.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.busy_strategies import SIM
from reference.event_makers import joined, quote, row
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.model.commands import AMEND, CANCEL, GTC, LIMIT, NEW
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    CONNECT,
    DISCONNECT,
    FILL,
    SIGNAL,
)
from tercel.risk.limits import Limits
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=32, orders=16, timers=4, far_levels=64, depth_ticks=256)
POSITION_MAX, GROSS_MAX, PX = 100, 9, 8_000


class Told(Strategy):
    """Does what a signal says: 1 sends, 2 amends, 3 cancels the `arg1`-th order."""

    def on_signal(self, ctx, signal):
        order = 4_294_967_296 + int(signal.confidence) // 1_000_000
        lots = int(signal.value)
        px = int(signal.confidence) % 1_000_000
        if signal.id == 1:
            ctx.order_lots(0, 1 if lots > 0 else -1, abs(lots), px, GTC, LIMIT)
        elif signal.id == 2:
            ctx.amend_lots(order, abs(lots), px)
        else:
            ctx.cancel(order)


class Resting:
    """An order at the venue. left, filled: lots of the number it has now."""

    def __init__(self, side: int, px: int, left: int) -> None:
        self.side, self.px, self.left, self.filled = side, px, left, 0


class PlainVenue:
    """Orders, what traded, and the queues between it, the connection and the engine."""

    def __init__(self, replaces: bool) -> None:
        self.replaces = replaces
        self.orders: dict[int, Resting] = {}
        self.position = 0
        self.coming: deque[dict[str, Any]] = deque()
        self.going: deque[dict[str, Any]] = deque()
        self.heard: deque[dict[str, Any]] = deque()
        #: What the connection believes: lots left, lots filled under the number of now.
        self.known: dict[int, Resting] = {}
        self.ts = 10

    def say(self, kind: int, id: int, side: int, px: int = 0, qty: int = 0, **hidden: int) -> None:
        self.going.append({"kind": kind, "id": id, "side": side, "px": px, "qty": qty, **hidden})

    # --- the connection ----------------------------------------------------------------------------------------------

    def send(self, c: np.void) -> None:
        """A command leaves, with what the connection makes of it."""
        id, known = int(c["id"]), self.known.get(int(c["id"]))
        request = {name: int(c[name]) for name in ("kind", "id", "side", "px", "qty", "arg")}
        if c["kind"] == NEW:
            self.known[id] = Resting(request["side"], request["px"], request["qty"])
        elif c["kind"] == AMEND and known is None:
            self.heard.append({"kind": AMEND_REJECT, "id": id, "side": request["side"], "px": 0, "qty": 0})
            return
        elif c["kind"] == AMEND and self.replaces:
            shrinks = known.px == request["px"] and request["qty"] < request["arg"]
            request["how"] = 0 if shrinks else 1
            if not shrinks and request["arg"] > known.left:
                self.heard.append({"kind": AMEND_REJECT, "id": id, "side": request["side"], "px": 0, "qty": 0})
                return
            request["only_new"] = int(known.filled == 0)
        if c["kind"] == AMEND:
            request["whole"] = known.left + known.filled - request["arg"] + request["qty"]
        self.coming.append(request)

    def hear(self) -> None:
        """The connection hears one message; the engine will."""
        if not self.going:
            return
        event = self.going.popleft()
        known = self.known.get(event["id"])
        if known is not None and event["kind"] == FILL:
            known.left, known.filled = known.left - event["qty"], known.filled + event["qty"]
            if known.left == 0:
                del self.known[event["id"]]
        elif known is not None and event["kind"] == AMENDED:
            known.px, known.left = event["px"], event["qty"]
            known.filled = 0 if event.get("anew") else known.filled
        elif event["kind"] == CANCELED:
            self.known.pop(event["id"], None)
        self.heard.append(event)

    # --- the venue ---------------------------------------------------------------------------------------------------

    def trade(self, i: int, lots: int) -> None:
        """Somebody trades with one of our orders."""
        if not self.orders:
            return
        id = sorted(self.orders)[i % len(self.orders)]
        order = self.orders[id]
        lots = min(lots, order.left)
        order.left, order.filled = order.left - lots, order.filled + lots
        self.position += order.side * lots
        self.say(FILL, id, order.side, order.px, lots)
        if order.left == 0:
            del self.orders[id]

    def arrive(self) -> None:
        """One request reaches the venue."""
        if not self.coming:
            return
        c = self.coming.popleft()
        order = self.orders.get(c["id"])
        if c["kind"] == NEW:
            self.orders[c["id"]] = Resting(c["side"], c["px"], c["qty"])
            self.say(ACK, c["id"], c["side"], c["px"], c["qty"])
        elif order is None:
            self.say(CANCEL_REJECT if c["kind"] == CANCEL else AMEND_REJECT, c["id"], c["side"])
        elif c["kind"] == CANCEL:
            del self.orders[c["id"]]
            self.say(CANCELED, c["id"], c["side"], 0, order.left)
        elif c.get("how"):
            if c["only_new"] and order.filled:
                self.say(AMEND_REJECT, c["id"], c["side"])
                return
            self.orders[c["id"]] = Resting(c["side"], c["px"], c["qty"])
            self.say(AMENDED, c["id"], c["side"], c["px"], c["qty"], anew=1)
        elif c["whole"] <= order.filled:
            if self.replaces:
                self.say(AMEND_REJECT, c["id"], c["side"])
                return
            del self.orders[c["id"]]
            self.say(CANCELED, c["id"], c["side"], 0, 0)
        else:
            order.px, order.left = c["px"], c["whole"] - order.filled
            self.say(AMENDED, c["id"], c["side"], c["px"], order.left)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def exposed(self, side: int) -> int:
        """Lots of position if all that rests now traded."""
        return side * self.position + sum(order.left for order in self.orders.values() if order.side == side)

    def gross(self, mark: int) -> int:
        """Notional of the position and of what rests, in ticks times lots."""
        return abs(self.position) * mark + sum(order.px * order.left for order in self.orders.values())


ACTS = ("new", *["amend"] * 3, "cancel", *["arrive"] * 3, "trade", "trade", "hear", "hear", *["step"] * 3)


@pytest.mark.parametrize("what", ["position", "gross"])
@pytest.mark.parametrize("amends", ["in_place", "replace"])
@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1 << 30))
def test_what_comes_true_of_an_amend_stays_within_the_limits(amends, what, seed):
    instrument = msgspec.structs.replace(SIM, amends=amends)
    limits = Limits(position_max="0.1") if what == "position" else Limits(gross_notional_max=GROSS_MAX)
    engine = Engine([instrument], [Told()], limits=limits, capacity=SMALL)
    engine.start(0)
    engine.run(quote(1, PX - 1, PX + 1))
    venue = PlainVenue(amends == "replace")
    n_sent = 0
    rng = random.Random(seed)
    for _ in range(400):
        act = "lose" if rng.random() < 0.01 else rng.choice(ACTS)
        a, b, k = rng.randint(-70, 70), rng.randint(-40, 40), rng.randrange(4)
        venue.ts += 1
        if act in ("new", "amend", "cancel"):
            lots, px = a or 1, PX + b
            if what == "gross":
                # A position counts at the mark, which stands still: purchases above it come to no more by filling.
                lots, px = abs(lots), PX + 50 * abs(b)
            id = max(1, n_sent - k)
            values = [float(lots), float(id * 1_000_000 + px)]
            bits = [int(np.float64(x).view(np.int64)) for x in values]
            number = ("new", "amend", "cancel").index(act) + 1
            rows = row(SIGNAL, venue.ts, id=number, arg0=bits[0], arg1=bits[1])
        elif act == "step" and venue.heard:
            event = venue.heard.popleft()
            event.pop("anew", None)
            rows = row(event.pop("kind"), venue.ts, **event)
        elif act == "lose":
            # The engine does not know how its orders stand until it hears of each again.
            rows = joined(row(DISCONNECT, venue.ts), row(CONNECT, venue.ts))
        else:
            rows = None
            if act == "trade":
                venue.trade(k, 1 + abs(a) // 2)
            elif act == "hear":
                venue.hear()
            else:
                venue.arrive()
        if rows is not None:
            commands, _ = engine.run(rows)
            for command in commands:
                n_sent += int(command["kind"] == NEW)
                venue.send(command)
        for side in (1, -1):
            if what == "position":
                assert venue.exposed(side) <= POSITION_MAX
        if what == "gross":
            # 0.01 a tick, 0.001 a lot.
            assert venue.gross(PX) <= GROSS_MAX * 100_000
    # Everything arrives: what the engine counts is what there is.
    while venue.coming or venue.going:
        venue.arrive()
        venue.hear()
    for event in venue.heard:
        event.pop("anew", None)
        engine.run(row(event.pop("kind"), venue.ts, **event))
    account = engine.view("positions")[0]
    assert int(account["position"]) == venue.position
    for side, name in ((1, "open_buy"), (-1, "open_sell")):
        assert int(account[name]) == side * -venue.position + venue.exposed(side)
