"""Execution algorithms in the engine against a twin written from their description, in markets and venues of any mood.

A venue of the test answers each child after a random time with random fills; trades and quotes come at random. Engine
and twin must send the same children at the same times and end alike; sums must be exact, and no child too large.
"""

from __future__ import annotations

import heapq
import random
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.event_makers import row, timer
from reference.naive_execution import NaiveParent
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.model.commands import CANCEL, IOC, NEW
from tercel.model.events import ACK, CANCELED, FILL, QUOTE, TRADE
from tercel.model.instrument import Instrument
from tercel.model.reasons import reason_name
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=32, orders=16, timers=4, far_levels=64, depth_ticks=256, parents=2, executions=64)
MS = 1_000_000
FIRST = (1 << 32) + 1
KINDS = ("twap", "vwap", "pov", "iceberg")
START = 1_000_000_000


class Works(Strategy):
    """Begins one algorithm of a kind with the first quote."""

    kind: int = 0
    style: int = 0
    side: int = 1
    lots: int = 100
    limit: float = 100.0
    duration_ns: int = 0
    slices: int = 1
    rate: float = 0.1
    every_ns: int = 0
    show: int = 1
    weights: np.ndarray = np.zeros(5)
    id: int = 0
    end_reason: int = -1
    end_ts: int = 0
    end_filled: int = 0

    def on_quote(self, ctx, quote):
        if self.id != 0:
            return
        qty = self.lots * 1.0
        if self.kind == 0:
            self.id = ctx.twap(0, self.side, qty, self.duration_ns, self.slices, self.limit, self.style)
        elif self.kind == 1:
            self.id = ctx.vwap(
                0, self.side, qty, self.duration_ns, self.weights, self.slices, 0, self.limit, self.style
            )
        elif self.kind == 2:
            self.id = ctx.pov(0, self.side, qty, self.rate, self.duration_ns, self.every_ns, self.limit)
        else:
            self.id = ctx.engine_iceberg(0, self.side, qty, self.limit, self.show * 1.0, self.duration_ns)

    def on_order(self, ctx, order):
        if order.id == self.id:
            self.end_reason, self.end_ts, self.end_filled = order.reason, order.ts, order.filled_lots


class World:
    """Runs engine and twin through one random course; `log` is what the engine did, `twin` what the twin says."""

    def __init__(self, seed: int, kind: str, lot_min: int) -> None:
        self.dice = dice = random.Random(seed)
        self.kind = kind
        weights = [dice.randrange(0, 20) for _ in range(5)]
        weights[dice.randrange(5)] += 1
        self.weights = [float(w) for w in weights]
        self.side = dice.choice((1, -1))
        qty = dice.randrange(lot_min, 400)
        slices, every = dice.randrange(1, 9), dice.choice((0, 7 * MS, 120 * MS))
        duration = dice.choice((97, 1000, 2500)) * MS + dice.randrange(1000)
        if kind in ("pov", "iceberg") and dice.random() < 0.3:
            duration = 0
        show, rate = dice.randrange(lot_min, 60), Fraction(dice.randrange(1, 101), 100)
        style = int(kind in ("twap", "vwap") and dice.random() < 0.4)
        self.twin = NaiveParent(
            kind, self.side, qty, 10_000, START, duration, slices=slices, weights=weights, rate=rate, every=every,
            show=show, lot_min=lot_min, post=style == 1,
        )  # fmt: skip
        instrument = Instrument(symbol="N", tick_size="0.01", lot_size=1, lot_min=lot_min)
        strategy = Works(
            kind=KINDS.index(kind), style=style, side=self.side, lots=qty, duration_ns=duration, slices=slices,
            rate=float(rate), every_ns=every, show=show, weights=np.array(self.weights),
        )  # fmt: skip
        self.engine = Engine([instrument], [strategy], capacity=SMALL)
        self.engine.start(0)
        self.pending: list[tuple[int, int, np.ndarray]] = []
        self.n = 0
        self.children: list[tuple[Any, ...]] = []
        self.expected: list[tuple[Any, ...]] = []
        self.open: dict[int, int] = {}
        self.best = 10_000
        self.end: tuple[int, str] | None = None

    def push(self, ts: int, made: np.ndarray) -> None:
        heapq.heappush(self.pending, (ts, self.n, made))
        self.n += 1

    def answer(self, command: Any) -> None:
        """What the venue will say to a command, at times of its own."""
        dice, now, id = self.dice, int(command["ts"]), int(command["id"])
        if command["kind"] == CANCEL:
            self.push(now + dice.randrange(1, 50) * MS + 1, row(CANCELED, 0, id=id, side=self.side))
            return
        lots = int(command["qty"])
        ts = now + dice.randrange(1, 120) * MS + dice.randrange(3)
        self.push(ts, row(ACK, 0, id=id, side=self.side))
        while lots > 0 and dice.random() < 0.7:
            part = dice.randrange(1, lots + 1) if dice.random() < 0.5 else lots
            self.push(ts, row(FILL, 0, id=id, side=self.side, px=10_000, qty=part))
            lots -= part
            ts += dice.randrange(0, 60) * MS
        if lots > 0 and command["tif"] == IOC:
            self.push(ts, row(CANCELED, 0, id=id, side=self.side))

    def market(self) -> None:
        ts = START
        while ts < START + 4_000 * MS:
            ts += self.dice.randrange(1, 90) * MS + 13
            if self.dice.random() < 0.3:
                best = 10_000 + self.dice.randrange(-4, 5)
                self.push(ts, row(QUOTE, 0, px=best - 1, qty=5, arg0=best, arg1=5))
            else:
                self.push(ts, row(TRADE, 0, px=10_000, qty=self.dice.randrange(1, 60), side=1))

    def settle(self, now: int) -> None:
        """The twin acts at `now` after all rows of that time."""
        for _ in range(3):
            did = self.twin.act(now, self.best)
            if did is None:
                return
            if did[0] == "end":
                self.end = (now, did[1])
                return
            self.expected.append((now, *did[1:]))

    def tell(self, made: np.ndarray, ts: int) -> None:
        """Tell the twin of a row."""
        kind, id = int(made["kind"][0]), int(made["id"][0])
        if kind == FILL:
            self.twin.fill(int(made["qty"][0]))
            self.open[id] -= int(made["qty"][0])
            if self.open[id] == 0:
                self.twin.child_gone()
        elif kind == CANCELED and self.open.get(id, 0) > 0:
            self.open[id] = 0
            self.twin.child_gone()
        elif kind == TRADE:
            self.twin.observed += int(made["qty"][0])
        elif kind == QUOTE:
            self.best = int(made["px" if self.side > 0 else "arg0"][0])

    def take(self, commands: np.ndarray) -> None:
        for command in commands:
            if command["kind"] == NEW:
                tif = {0: "GTC", 1: "IOC", 4: "GTX"}[int(command["tif"])]
                self.open[int(command["id"])] = int(command["qty"])
                sent = (int(command["ts"]), int(command["qty"]), int(command["px"]), tif)
                self.children.append(sent)
                done = int(self.engine.view("parents")[0]["filled"])
                assert sent[1] + done <= self.twin.qty, "a child exceeds what is left"
            self.answer(command)

    def run(self) -> None:
        self.market()
        first = row(QUOTE, START, px=9_999, qty=5, arg0=10_000, arg1=5)
        self.best = 9_999 if self.side > 0 else 10_000
        self.take(self.engine.run(first)[0])
        self.take(self.engine.run(timer(START))[0])
        self.settle(START)
        now = START
        while True:
            wakes = [self.pending[0][0]] if self.pending else []
            by_itself = self.twin.wakes(now)
            if by_itself is not None and not self.twin.done:
                wakes.append(by_itself)
            # A cancel that is out is asked for again by the engine; its times are rows of the engine's own.
            due = int(self.engine.head["next_timer"])
            if due < (1 << 62):
                wakes.append(max(due, now + 1))
            if not wakes:
                return
            now = min(wakes)
            while self.pending and self.pending[0][0] <= now:
                _, _, made = heapq.heappop(self.pending)
                made["ts_recv"] = made["ts_exch"] = now
                id = int(made["id"][0])
                if int(made["kind"][0]) in (ACK, FILL, CANCELED) and self.open.get(id, 0) <= 0:
                    continue
                self.tell(made, now)
                self.take(self.engine.run(made)[0])
            self.take(self.engine.run(timer(now))[0])
            self.settle(now)


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 30), kind=st.sampled_from(KINDS), lot_min=st.sampled_from([1, 1, 9]))
def test_engine_and_twin_send_the_same(seed: int, kind: str, lot_min: int) -> None:
    world = World(seed, kind, lot_min)
    world.run()
    assert world.children == world.expected
    parent = world.engine.view("parents")[0]
    assert int(parent["filled"]) == world.twin.filled <= world.twin.qty
    assert int(parent["notional"]) == 10_000 * world.twin.filled
    state = world.engine.state(0)
    assert int(world.engine.view("positions")[0]["position"]) == world.side * world.twin.filled
    if world.end is None:
        assert int(parent["state"]) == 1
    else:
        assert (int(state["end_ts"]), reason_name(int(state["end_reason"]))) == world.end
        assert int(state["end_filled"]) == world.twin.filled
