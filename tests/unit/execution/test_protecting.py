"""ctx.protect in an engine, answered by hand: what has filled in part has its stop and its taking of profit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.busy_strategies import SIM
from reference.event_makers import ack, canceled, fill, level, quote, row, timer
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.model.commands import CANCEL, GTC, IOC, NEW, REDUCE_ONLY
from tercel.model.events import BAR, CANCELED, EXPIRED, FILL, HALT, REFUSED, REJECT, SIGNAL, TRADE
from tercel.model.reasons import (
    BAD_PRICE,
    DAILY_LOSS,
    KILL_SWITCH,
    NOT_REDUCING,
    PARENT_ENDED,
    SCHEDULE_DONE,
    TOO_MANY_PARENTS,
    UNKNOWN_ORDER,
)
from tercel.risk.limits import Limits
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=32, orders=16, timers=4, far_levels=64, depth_ticks=4096, parents=4, executions=64)
MS = 1_000_000
S = 1_000_000_000
ENTRY = (1 << 32) + 1
ID = ENTRY + 1
NONE = float("-inf")


class Enters(Strategy):
    """Asks for an entry and its protection at the first quote; then does what a signal says."""

    side: int = 1
    limit: float = 100.0
    stop: float = 99.0
    take: float = 101.0
    id: int = 0
    n_ends: int = 0
    end_kind: int = 0
    end_reason: int = 0
    n_refused: int = 0
    last_reason: int = 0
    sold: float = 0.0

    def on_quote(self, ctx, quote):
        if self.id == 0:
            entry = ctx.buy(0, 0.1, limit=self.limit) if self.side > 0 else ctx.sell(0, 0.1, limit=self.limit)
            self.id = ctx.protect(entry, stop=self.stop, take=self.take)

    def on_signal(self, ctx, signal):
        if signal.id == 1:
            ctx.cancel(4_294_967_297)
        elif signal.id == 2:
            self.id = ctx.protect(4_294_967_297, stop=self.stop)
        elif signal.id == 3:
            ctx.cancel_parent(self.id)
        elif signal.id == 4:
            ctx.buy(0, 0.01, limit=99.5)
        elif signal.id == 5:
            self.id = ctx.protect(77, stop=self.stop)

    def on_order(self, ctx, order):
        if order.kind == REFUSED:
            self.n_refused += 1
            self.last_reason = order.reason
        elif order.id == self.id:
            self.n_ends += 1
            self.end_kind, self.end_reason = order.kind, order.reason
            self.sold = order.filled


class Desk:
    """An engine with one protected entry; `run` gives (kind, order, lots, px, tif) of what it sends."""

    def __init__(self, limits: Limits | None = None, **parameters: Any) -> None:
        self.engine = Engine([SIM], [Enters(**parameters)], limits=limits, capacity=SMALL)
        self.engine.start(0)
        (entry,) = self.run(quote(1 * MS, 10_000, 10_002))
        assert entry[:2] == (NEW, 1)

    def run(self, *rows: np.ndarray) -> list[tuple[int, ...]]:
        commands, _ = self.engine.run(np.concatenate(rows))
        for c in commands:
            if c["kind"] == NEW:
                assert bool(c["flags"] & REDUCE_ONLY) == (c["side"] != self.state("side"))
        return [
            (int(c["kind"]), int(c["id"]) - (1 << 32), *(int(c[x]) for x in ("qty", "px", "tif"))) for c in commands
        ]

    def state(self, name: str) -> Any:
        return self.engine.state(0)[name]

    def held(self) -> int:
        return int(self.engine.view("positions")[0]["position"])


def bought(ts_ms: float, lots: int, px: int = 10_000) -> np.ndarray:
    return fill(int(ts_ms * MS), ENTRY, 1, px, lots)


def order(n: int) -> int:
    return (1 << 32) + n


def say(ts_ms: int, what: int) -> np.ndarray:
    return row(SIGNAL, ts_ms * MS, id=what)


def traded(ts_ms: float, px: int) -> np.ndarray:
    return row(TRADE, int(ts_ms * MS), px=px, qty=1, side=-1)


def test_a_part_that_filled_is_protected_while_the_rest_lies_in_the_book():
    desk = Desk()
    # 30 of 100: as many are offered at the price to take, and grow with what fills, in steps.
    assert desk.run(bought(2, 30), timer(3 * MS)) == [(NEW, 3, 30, 10_100, GTC)]
    assert desk.run(ack(4 * MS, order(3), -1), bought(5, 20), bought(6, 10), timer(100 * MS)) == []
    assert desk.run(timer(260 * MS)) == [(CANCEL, 3, 0, 0, 0)]
    assert desk.run(canceled(261 * MS, order(3), -1), timer(262 * MS)) == [(NEW, 4, 60, 10_100, GTC)]
    # The stop is seen: no more is bought, what rests is taken out, and then all of it goes.
    assert desk.run(traded(300, 9_901)) == []
    assert desk.run(traded(301, 9_900), timer(302 * MS)) == [(CANCEL, 1, 0, 0, 0), (CANCEL, 4, 0, 0, 0)]
    assert desk.run(canceled(303 * MS, order(4), -1), timer(304 * MS)) == [(NEW, 5, 60, 0, IOC)]
    # A fill that crossed the cancel is sold, too.
    assert desk.run(bought(305, 5), canceled(306 * MS, ENTRY, 1), timer(307 * MS)) == []
    assert desk.run(fill(308 * MS, order(5), -1, 9_899, 60), timer(309 * MS)) == [(NEW, 6, 5, 0, IOC)]
    assert desk.run(fill(310 * MS, order(6), -1, 9_899, 5), timer(311 * MS)) == []
    assert (desk.held(), desk.state("n_ends"), desk.state("end_kind")) == (0, 1, FILL)
    assert (desk.state("end_reason"), desk.state("sold")) == (SCHEDULE_DONE, 0.065)
    assert int(desk.engine.head["n_protected"]) == int(desk.engine.head["n_watched"]) == 0


def test_what_is_taken_in_part_is_not_sold_again():
    desk = Desk()
    desk.run(bought(2, 100), timer(3 * MS), fill(4 * MS, order(3), -1, 10_100, 40), timer(5 * MS))
    assert desk.run(traded(6, 9_850), timer(7 * MS)) == [(CANCEL, 3, 0, 0, 0)]
    # Ten more were taken before the cancel: fifty are left.
    assert desk.run(fill(8 * MS, order(3), -1, 10_100, 10), canceled(9 * MS, order(3), -1), timer(10 * MS)) == [
        (NEW, 4, 50, 0, IOC)
    ]
    assert desk.run(fill(11 * MS, order(4), -1, 9_850, 50), timer(12 * MS)) == []
    assert (desk.held(), desk.state("end_reason")) == (0, SCHEDULE_DONE)


def test_all_of_it_taken_ends_it():
    desk = Desk()
    assert desk.run(bought(2, 100), timer(3 * MS)) == [(NEW, 3, 100, 10_100, GTC)]
    assert desk.run(fill(4 * MS, order(3), -1, 10_100, 100), timer(5 * MS), traded(6, 9_000), timer(7 * MS)) == []
    assert (desk.held(), desk.state("end_reason"), desk.state("n_ends")) == (0, SCHEDULE_DONE, 1)


def test_a_short_entry_is_bought_back():
    desk = Desk(side=-1, limit=100.0, stop=101.0, take=NONE)
    assert desk.run(fill(2 * MS, ENTRY, -1, 10_000, 30), timer(3 * MS)) == []
    assert desk.run(traded(4, 10_099), timer(5 * MS)) == []
    assert desk.run(traded(6, 10_100), timer(7 * MS)) == [(CANCEL, 1, 0, 0, 0), (NEW, 3, 30, 0, IOC)]


@pytest.mark.parametrize(
    "rows",
    [
        [quote(5 * MS, 9_900, 10_002)],
        [level(5 * MS, 1, 9_900, 7), level(6 * MS, -1, 10_002, 7)],
        [row(BAR, 5 * MS, px=9_950, id=9_950, arg0=9_960, arg1=9_899, qty=5)],
        [traded(5, 9_900)],
    ],
)
def test_every_kind_of_price_is_looked_at(rows):
    desk = Desk(take=NONE)
    assert desk.run(bought(2, 100), timer(3 * MS)) == []
    assert desk.run(*rows, timer(9 * MS)) == [(NEW, 3, 100, 0, IOC)]


def test_a_fill_beyond_the_stop_is_sold_at_once():
    desk = Desk(take=NONE)
    # Nothing was held when the price came by.
    assert desk.run(quote(2 * MS, 9_800, 9_802), timer(3 * MS)) == []
    assert desk.run(bought(4, 30, 9_900), timer(5 * MS)) == [(CANCEL, 1, 0, 0, 0), (NEW, 3, 30, 0, IOC)]


def test_an_entry_that_ends_unfilled_ends_it():
    desk = Desk()
    assert desk.run(say(2, 1)) == [(CANCEL, 1, 0, 0, 0)]
    desk.run(canceled(3 * MS, ENTRY, 1), timer(4 * MS))
    assert (desk.state("end_kind"), desk.state("end_reason")) == (CANCELED, PARENT_ENDED)
    # A fill that was told late is protected all the same.
    assert desk.run(bought(5, 20), timer(6 * MS)) == [(NEW, 3, 20, 10_100, GTC)]
    assert int(desk.engine.head["n_protected"]) == 1


def test_an_entry_that_the_gate_refuses_has_nothing_to_protect():
    engine = Engine([SIM], [Enters()], limits=Limits(order_qty_max="0.05"), capacity=SMALL)
    engine.start(0)
    engine.run(np.concatenate([quote(1 * MS), timer(2 * MS)]))
    assert [engine.state(0)[x] for x in ("n_refused", "n_ends", "end_reason")] == [1, 1, PARENT_ENDED]


def test_where_nobody_buys_it_is_tried_again_a_little_later():
    desk = Desk(take=NONE)
    desk.run(bought(2, 100), traded(3, 9_000), timer(4 * MS))
    expired = row(EXPIRED, 5 * MS, id=order(3), side=-1)
    assert desk.run(expired, timer(6 * MS)) == []
    assert desk.run(timer(256 * MS)) == [(NEW, 4, 100, 0, IOC)]
    # What is left of a part goes at once.
    part = [fill(257 * MS, order(4), -1, 9_000, 70), row(EXPIRED, 258 * MS, id=order(4), side=-1)]
    assert desk.run(*part, timer(259 * MS)) == [(NEW, 5, 30, 0, IOC)]
    assert desk.run(row(REJECT, 260 * MS, id=order(5), side=-1), timer(300 * MS)) == []
    assert desk.run(timer(600 * MS)) == [(NEW, 6, 30, 0, IOC)]


def test_what_stops_out_is_not_refused_for_own_orders_in_its_way():
    desk = Desk(take=NONE)
    assert desk.run(bought(2, 100), say(3, 4)) == [(NEW, 3, 10, 9_950, GTC)]
    assert desk.run(ack(4 * MS, order(3), 1), traded(5, 9_900), timer(6 * MS)) == [(NEW, 4, 100, 0, IOC)]


def test_a_loss_limit_lets_it_out_and_a_kill_switch_does_not():
    desk = Desk(limits=Limits(daily_loss_max=1), take=NONE)
    desk.run(bought(2, 100))
    # 100 lots are 0.1: 20.00 lower loses 2.
    assert desk.run(quote(3 * MS, 8_000, 8_002), quote(1_200 * MS, 8_000, 8_002), timer(1_300 * MS)) == [
        (NEW, 3, 100, 0, IOC)
    ]
    assert int(desk.engine.view("risk")[0]["halted"]) in (0, 1)
    desk.run(row(EXPIRED, 1_301 * MS, id=order(3), side=-1), timer(1_400 * MS), quote(2_000 * MS, 8_000, 8_002))
    assert int(desk.engine.view("risk")[0]["halt_reason"]) == DAILY_LOSS
    assert desk.state("n_ends") == 0
    other = Desk(take=NONE)
    other.run(bought(2, 100), row(HALT, 3 * MS))
    assert other.run(traded(4, 9_000), timer(5 * MS)) == []
    assert (other.state("end_reason"), other.state("n_ends")) == (KILL_SWITCH, 1)


def test_it_ends_where_somebody_else_has_closed_the_position():
    desk = Desk(take=NONE)
    desk.run(bought(2, 100), fill(3 * MS, order(99), -1, 10_000, 100), traded(4, 9_000), timer(5 * MS))
    assert (desk.state("end_reason"), desk.held()) == (NOT_REDUCING, 0)


def test_it_may_begin_with_what_has_filled_and_be_ended():
    desk = Desk()
    assert desk.run(say(2, 3), timer(3 * MS), bought(4, 40), timer(5 * MS)) == []
    assert desk.run(say(6, 2), traded(7, 9_900), timer(8 * MS)) == [(CANCEL, 1, 0, 0, 0), (NEW, 4, 40, 0, IOC)]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"stop": NONE, "take": NONE}, BAD_PRICE),
        ({"stop": 101.0, "take": 99.0}, BAD_PRICE),
        ({"stop": -1.0}, BAD_PRICE),
        ({"side": -1, "stop": 99.0, "take": 101.0}, BAD_PRICE),
    ],
)
def test_prices_that_cannot_be_are_refused(parameters, reason):
    engine = Engine([SIM], [Enters(**parameters)], capacity=SMALL)
    engine.start(0)
    commands, _ = engine.run(quote(1 * MS))
    assert (commands["kind"].tolist(), engine.state(0)["last_reason"]) == ([NEW], reason)
    assert int(engine.head["n_protected"]) == 0


def test_an_order_that_is_not_there_and_a_table_that_is_full():
    desk = Desk()
    desk.run(say(2, 5))
    assert desk.state("last_reason") == UNKNOWN_ORDER
    desk.run(*[say(3 + i, 2) for i in range(4)])
    assert (desk.state("n_refused"), desk.state("last_reason")) == (2, TOO_MANY_PARENTS)
