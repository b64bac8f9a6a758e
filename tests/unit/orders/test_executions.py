"""Fills told twice: the ring of executions against a naive list, and the engine that drops what it has counted."""

from __future__ import annotations

import random
from collections import deque

import numpy as np
import pytest

from reference.busy_strategies import SIM
from reference.event_makers import fill, joined, quote
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.jit import address_of, records
from tercel.model.events import EVENT, FILL, event_rows
from tercel.orders.executions import EXECUTION, execution_is_new, executions_in_order
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=16, orders=8, timers=4, far_levels=64, depth_ticks=64, executions=8)


@pytest.mark.parametrize("spread", [1, 3, 1 << 17, 1 << 40])
def test_the_ring_remembers_exactly_the_last(spread):
    rng = random.Random(spread)
    capacity = 8
    entries, heads, rows = np.zeros(capacity, EXECUTION), np.zeros(2 * capacity, np.int64), event_rows(1)
    kept: deque[tuple[int, int]] = deque(maxlen=capacity)
    n = 0
    views = records(address_of(entries), capacity, EXECUTION), records(address_of(heads), 2 * capacity, np.dtype("i8"))
    row = records(address_of(rows), 1, EVENT)[0]
    for _ in range(3000):
        instrument, id = rng.randrange(2), 1 + rng.randrange(14) * spread
        rows["instrument"], rows["arg1"], rows["kind"], rows["side"], rows["qty"] = instrument, id, FILL, -1, 3
        is_new = bool(execution_is_new(*views, capacity, n, row))
        assert is_new == ((instrument, id) not in kept)
        if is_new:
            kept.append((instrument, id))
            n += 1
        found = executions_in_order(entries, n)
        assert [(int(e["instrument"]), int(e["id"])) for e in found] == list(kept)
    assert (entries["lots"] == -3).all()


class Buyer(Strategy):
    bought: int = 0
    lots: int = 0

    def on_quote(self, ctx, quote):
        if self.bought == 0:
            self.bought = ctx.order_lots(0, 1, 10, 10_000)

    def on_fill(self, ctx, fill):
        self.lots += fill.lots


def test_a_fill_counts_once_however_often_it_is_told():
    engine = Engine([SIM], [Buyer()], capacity=SMALL)
    commands, _ = engine.run(quote(100))
    id = int(commands[0]["id"])
    first, second = (fill(k, id, 1, 10_000, 3, arg0=7, arg1=900 + k) for k in (101, 102))
    again = fill(103, id, 1, 10_000, 3, arg0=7, arg1=900 + 101)
    engine.run(joined(first, second, again, again))
    position = engine.view("positions")[0]
    assert (int(position["position"]), int(position["fee"]), int(position["n_fills"])) == (6, 14, 2)
    assert int(engine.state(0)["lots"]) == 6
    assert (int(engine.head["n_duplicates"]), int(engine.head["n_executions"])) == (2, 2)
    # Without an execution id nothing can be known, and money counts.
    engine.run(joined(fill(104, id, 1, 10_000, 1), fill(105, id, 1, 10_000, 1)))
    assert int(engine.view("positions")[0]["position"]) == 8


def test_a_fill_that_came_after_the_end_counts_once_too():
    engine = Engine([SIM], [Buyer()], capacity=SMALL)
    rows = [fill(100 + k, 77, 1, 10_000, 1, arg1=k + 1) for k in range(8)]
    engine.run(joined(*rows))
    engine.run(joined(*(fill(200, 77, 1, 10_000, 1, arg1=k + 1) for k in range(8))))
    assert int(engine.view("positions")[0]["position"]) == 8
    # The ninth pushes the first out of memory: the stated maximum.
    engine.run(joined(fill(300, 77, 1, 10_000, 1, arg1=9), fill(301, 77, 1, 10_000, 1, arg1=2)))
    assert int(engine.view("positions")[0]["position"]) == 9
    engine.run(fill(302, 77, 1, 10_000, 1, arg1=1))
    assert int(engine.view("positions")[0]["position"]) == 10
