"""Execution algorithms in an engine, answered by hand: schedules, ends, pauses, what gate and venue refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.busy_strategies import SIM
from reference.event_makers import ack, canceled, fill, quote, row, timer
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.model.commands import CANCEL, GTC, GTX, IOC, LIMIT, MARKET, NEW
from tercel.model.events import CANCEL_REJECT, CANCELED, DISCONNECT, EXPIRED, FILL, HALT, REFUSED, REJECT, SIGNAL, TRADE
from tercel.model.instrument import Instrument
from tercel.model.reasons import (
    BAD_ORDER_TYPE,
    BAD_PRICE,
    BAD_QTY,
    BAD_SCHEDULE,
    BY_REQUEST,
    KILL_SWITCH,
    OFF_LOT_GRID,
    OFF_TICK_GRID,
    RUN_ENDED,
    SCHEDULE_DONE,
    SCHEDULE_OVER,
    TOO_MANY_PARENTS,
    WOULD_TAKE,
)
from tercel.risk.limits import Limits
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=32, orders=16, timers=4, far_levels=64, depth_ticks=256, parents=4, executions=64)
S = 1_000_000_000
MS = 1_000_000
FIRST = (1 << 32) + 1


class Works(Strategy):
    """Begins one algorithm at the first quote; then does what a signal says."""

    kind: int = 1
    style: int = 0
    side: int = 1
    qty: float = 0.1
    limit: float = float("-inf")
    slices: int = 5
    duration_ns: int = 5 * S
    rate: float = 0.1
    every_ns: int = 0
    show: float = 0.02
    weights: np.ndarray = np.array([1.0, 2.0, 3.0, 4.0])
    id: int = 0
    end_kind: int = 0
    end_reason: int = 0
    n_ends: int = 0
    filled_lots: int = 0
    child_filled: int = 0
    n_refused: int = 0
    last_reason: int = 0
    last_parent: int = 0
    price: float = 0.0
    state: int = 0
    told: int = 0

    def on_quote(self, ctx, quote):
        if self.id == 0:
            self.begin(ctx)

    def begin(self, ctx):
        if self.kind == 1:
            self.id = ctx.twap(0, self.side, self.qty, self.duration_ns, self.slices, self.limit, self.style)
        elif self.kind == 2:
            self.id = ctx.vwap(0, self.side, self.qty, self.duration_ns, self.weights, 0, 0, self.limit, self.style)
        elif self.kind == 3:
            self.id = ctx.pov(
                0, self.side, self.qty, self.rate, self.duration_ns, self.every_ns, self.limit, self.style
            )
        else:
            self.id = ctx.engine_iceberg(0, self.side, self.qty, self.limit, self.show, self.duration_ns)

    def on_signal(self, ctx, signal):
        if signal.id == 1:
            self.told = int(ctx.cancel_parent(self.id))
        elif signal.id == 2:
            self.told = int(ctx.pause_parent(self.id))
        elif signal.id == 3:
            self.told = int(ctx.resume_parent(self.id))
        elif signal.id == 4:
            ctx.cancel_all()
        elif signal.id == 5:
            ctx.amend_lots(ctx.parent_child(self.id), 50, 10_000)
        elif signal.id == 6:
            self.begin(ctx)

    def on_fill(self, ctx, fill):
        self.child_filled += fill.lots
        self.last_parent = fill.parent

    def on_order(self, ctx, order):
        self.state = ctx.parent_state(self.id)
        if order.kind == REFUSED:
            self.n_refused += 1
            self.last_reason = order.reason
            self.last_parent = order.parent
        elif order.id == self.id:
            self.n_ends += 1
            self.end_kind, self.end_reason, self.filled_lots = order.kind, order.reason, order.filled_lots
            self.price = ctx.parent_price(self.id)


def traded(ts: int, lots: int) -> np.ndarray:
    return row(TRADE, ts, px=10_001, qty=lots, side=1)


def say(ts: int, what: int) -> np.ndarray:
    return row(SIGNAL, ts, id=what)


class Desk:
    """An engine with one algorithm; `run` gives (ms, kind, lots, px, tif) of what it sends."""

    def __init__(self, instrument: Instrument = SIM, limits: Limits | None = None, **parameters: Any) -> None:
        self.engine = Engine([instrument], [Works(**parameters)], limits=limits, capacity=SMALL)
        self.engine.start(0)
        self.n_children = 0

    def run(self, *rows: np.ndarray) -> list[tuple[Any, ...]]:
        commands, refused = self.engine.run(np.concatenate(rows))
        self.refused = refused["reason"].tolist()
        self.last_ids = commands["id"].tolist()
        self.types = commands["type"].tolist()
        return [(int(c["ts"]) // MS, int(c["kind"]), int(c["qty"]), int(c["px"]), int(c["tif"])) for c in commands]

    def __getitem__(self, name: str) -> Any:
        return self.engine.state(0)[name].item()


def at(ms: float) -> int:
    return int(ms * MS)


def test_a_twap_sends_equal_slices_on_schedule() -> None:
    desk = Desk()
    # The first quote begins it at 1 ms; rows fire what was due before them.
    assert desk.run(quote(at(1)), timer(at(2))) == [(1, NEW, 20, 0, IOC)]
    assert desk.types == [MARKET]
    child = FIRST + 1
    assert desk.run(fill(at(3), child, 1, 10_002, 20), timer(at(1000))) == []
    assert desk.run(timer(at(1002))) == [(1001, NEW, 20, 0, IOC)]
    # What the second could not fill, the third carries.
    assert desk.run(fill(at(1003), child + 1, 1, 10_002, 5), canceled(at(1004), child + 1, 1)) == []
    assert desk.run(timer(at(2002))) == [(2001, NEW, 35, 0, IOC)]
    assert desk["last_parent"] == FIRST
    # The answer comes late, after the next slice began: one child at a time, so the next goes then.
    assert desk.run(timer(at(3500)), fill(at(3600), child + 2, 1, 10_003, 35)) == []
    assert desk.run(timer(at(3601))) == [(3600, NEW, 20, 0, IOC)]
    assert desk.run(fill(at(3700), child + 3, 1, 10_002, 20)) == []
    assert desk.run(timer(at(4002))) == [(4001, NEW, 20, 0, IOC)]
    assert desk["n_ends"] == 0
    assert desk.run(fill(at(4003), child + 4, 1, 10_002, 20), timer(at(4004))) == []
    assert [desk[n] for n in ("n_ends", "end_kind", "end_reason", "filled_lots", "child_filled")] == [
        1, FILL, SCHEDULE_DONE, 100, 100
    ]  # fmt: skip
    assert desk["price"] == pytest.approx((65 * 100.02 + 35 * 100.03) / 100)
    assert desk["state"] == 3
    assert int(desk.engine.head["next_parent"]) == (1 << 63) - 1


def test_a_vwap_follows_its_profile() -> None:
    desk = Desk(kind=2, duration_ns=4 * S)
    sent = desk.run(quote(0 + 1), timer(2))
    for k in range(4):
        sent += desk.run(fill(k * S + at(5), FIRST + 1 + k, 1, 10_002, [10, 20, 30, 40][k]), timer((k + 1) * S + at(1)))
    assert [(ms, lots) for ms, _, lots, _, _ in sent] == [(0, 10), (1000, 20), (2000, 30), (3000, 40)]
    assert desk["end_reason"] == SCHEDULE_DONE


def test_the_end_takes_what_is_left_once() -> None:
    desk = Desk(slices=1, duration_ns=S, limit=100.0)
    assert desk.run(quote(1), timer(2)) == [(0, NEW, 100, 10_000, IOC)]
    assert desk.types == [LIMIT]
    assert desk.run(canceled(at(5), FIRST + 1, 1), timer(at(1001))) == [(1000, NEW, 100, 10_000, IOC)]
    assert desk.run(fill(at(1002), FIRST + 2, 1, 10_000, 30), canceled(at(1003), FIRST + 2, 1), timer(at(1004))) == []
    assert [desk[n] for n in ("n_ends", "end_kind", "end_reason", "filled_lots")] == [1, EXPIRED, SCHEDULE_OVER, 30]


def test_pov_sends_its_share_of_what_trades() -> None:
    desk = Desk(kind=3, rate=0.2, every_ns=100 * MS, duration_ns=10 * S)
    assert desk.run(quote(1), timer(at(1))) == []
    assert desk.run(traded(at(2), 24), timer(at(3))) == [(2, NEW, 4, 0, IOC)]
    assert desk.run(fill(at(4), FIRST + 1, 1, 10_002, 4), traded(at(5), 26), timer(at(101))) == []
    # 50 have traded, 10 may be done: 6 more, not before 100 ms have passed.
    assert desk.run(timer(at(103))) == [(102, NEW, 6, 0, IOC)]
    # In flight, volume gathers; the end of the child lets the next go when its time has come.
    assert desk.run(traded(at(104), 50), traded(at(300), 5)) == []
    assert desk.run(canceled(at(301), FIRST + 2, 1), timer(at(302))) == [(301, NEW, 17, 0, IOC)]
    assert desk.run(fill(at(303), FIRST + 3, 1, 10_002, 17), timer(10 * S + at(1))) == []
    assert [desk[n] for n in ("end_kind", "end_reason", "filled_lots")] == [EXPIRED, SCHEDULE_OVER, 21]
    assert int(desk.engine.head["n_watched"]) == 0


def test_an_iceberg_shows_one_slice_at_a_time() -> None:
    desk = Desk(kind=4, qty=0.05, limit=100.0, duration_ns=0)
    assert desk.run(quote(1), timer(2)) == [(0, NEW, 20, 10_000, GTC)]
    assert desk.run(ack(3, FIRST + 1, 1), fill(at(1), FIRST + 1, 1, 10_000, 15), timer(at(2))) == []
    assert desk.run(fill(at(3), FIRST + 1, 1, 10_000, 5), timer(at(4))) == [(3, NEW, 20, 10_000, GTC)]
    assert desk.run(fill(at(5), FIRST + 2, 1, 10_000, 20), timer(at(6))) == [(5, NEW, 10, 10_000, GTC)]
    assert desk.run(fill(at(7), FIRST + 3, 1, 10_000, 10), timer(at(8))) == []
    assert [desk[n] for n in ("end_kind", "end_reason", "filled_lots")] == [FILL, SCHEDULE_DONE, 50]


def test_a_posting_schedule_rests_at_the_best_and_moves_with_each_slice() -> None:
    desk = Desk(slices=2, duration_ns=2 * S, style=1, limit=100.0)
    assert desk.run(quote(1, 9_998, 10_001), timer(2)) == [(0, NEW, 50, 9_998, GTX)]
    assert desk.run(ack(3, FIRST + 1, 1), fill(at(5), FIRST + 1, 1, 9_998, 10)) == []
    assert desk.run(quote(at(6), 10_050, 10_052), timer(at(1001))) == [(1000, CANCEL, 0, 0, 0)]
    assert desk.last_ids == [FIRST + 1]
    # The limit holds though the best is beyond it.
    assert desk.run(canceled(at(1002), FIRST + 1, 1), timer(at(1003))) == [(1002, NEW, 90, 10_000, GTX)]
    assert desk.run(ack(at(1004), FIRST + 2, 1), timer(at(2001))) == [(2000, CANCEL, 0, 0, 0)]
    assert desk.run(canceled(at(2002), FIRST + 2, 1), timer(at(2003))) == [(2002, NEW, 90, 10_000, IOC)]
    assert desk.run(canceled(at(2004), FIRST + 3, 1), timer(at(2005))) == []
    assert [desk[n] for n in ("end_kind", "filled_lots")] == [EXPIRED, 10]


def test_cancel_waits_for_the_child_and_counts_what_it_still_fills() -> None:
    desk = Desk(slices=2, duration_ns=2 * S, style=1, limit=100.0)
    desk.run(quote(1, 9_998, 10_001), timer(2), ack(3, FIRST + 1, 1))
    assert desk.run(say(at(10), 1), timer(at(11))) == [(10, CANCEL, 0, 0, 0)]
    assert [desk["told"], desk["n_ends"]] == [1, 0]
    assert desk.run(fill(at(12), FIRST + 1, 1, 9_998, 7), canceled(at(13), FIRST + 1, 1), timer(at(14))) == []
    assert [desk[n] for n in ("n_ends", "end_kind", "end_reason", "filled_lots")] == [1, CANCELED, BY_REQUEST, 7]
    # A fill that comes after the end of its order still belongs to the algorithm.
    desk.run(fill(at(15), FIRST + 1, 1, 9_998, 2))
    assert int(desk.engine.view("parents")[0]["filled"]) == 9
    desk.run(say(at(16), 1))
    assert desk["told"] == 0


def test_a_cancel_the_venue_refuses_or_never_answers_is_asked_again() -> None:
    desk = Desk(slices=2, duration_ns=20 * S, style=1, limit=100.0)
    desk.run(quote(1, 9_998, 10_001), timer(2), ack(3, FIRST + 1, 1))
    assert desk.run(say(at(10), 1), timer(at(11))) == [(10, CANCEL, 0, 0, 0)]
    assert desk.run(row(CANCEL_REJECT, at(20), id=FIRST + 1, side=1), timer(at(200))) == []
    assert desk.run(timer(at(300))) == [(260, CANCEL, 0, 0, 0)]
    assert desk.run(timer(at(5000))) == []
    assert desk.refused == []


def test_a_paused_schedule_sends_nothing_and_catches_up() -> None:
    desk = Desk()
    desk.run(quote(1), timer(2), fill(3, FIRST + 1, 1, 10_002, 20))
    assert desk.run(say(at(500), 2), timer(at(2500))) == []
    assert desk.run(say(at(2600), 3), timer(at(2601))) == [(2600, NEW, 40, 0, IOC)]
    assert desk.run(fill(at(2602), FIRST + 2, 1, 10_002, 40), say(at(2700), 2), timer(at(6000))) == []
    assert [desk[n] for n in ("end_kind", "end_reason", "filled_lots")] == [EXPIRED, SCHEDULE_OVER, 60]


def test_a_child_the_gate_refuses_is_tried_again() -> None:
    desk = Desk(limits=Limits(order_qty_max="0.03", order_rate=1, order_burst=1), slices=2, duration_ns=2 * S)
    # Half of 100 is more than may go at once.
    assert desk.run(quote(1), timer(2)) == []
    assert [desk["n_refused"], desk["last_parent"]] == [1, FIRST]
    assert desk.run(timer(at(700))) == []
    assert desk["n_refused"] == 3
    assert int(desk.engine.view("parents")[0]["child"]) == 0


def test_a_rejected_child_is_sent_again_after_a_while() -> None:
    desk = Desk(slices=1, duration_ns=2 * S, style=1, limit=100.0)
    assert desk.run(quote(1, 9_998, 10_001), timer(2)) == [(0, NEW, 100, 9_998, GTX)]
    rejected = row(REJECT, at(5), id=FIRST + 1, side=1, reason=WOULD_TAKE)
    assert desk.run(rejected, timer(at(250))) == []
    assert desk.run(timer(at(256))) == [(255, NEW, 100, 9_998, GTX)]


def test_the_kill_switch_ends_an_algorithm() -> None:
    desk = Desk()
    desk.run(quote(1), timer(2), fill(3, FIRST + 1, 1, 10_002, 20), row(HALT, at(10), reason=KILL_SWITCH))
    assert desk.run(timer(at(1001))) == []
    assert [desk[n] for n in ("end_kind", "end_reason", "filled_lots")] == [CANCELED, KILL_SWITCH, 20]


def test_a_lost_connection_holds_an_algorithm_until_the_venue_says() -> None:
    desk = Desk()
    desk.run(quote(1), timer(2), row(DISCONNECT, 3))
    assert desk.run(timer(at(4500))) == []
    assert desk.run(fill(at(4600), FIRST + 1, 1, 10_002, 20), timer(at(4601))) == [(4600, NEW, 80, 0, IOC)]


def test_cancel_all_ends_algorithms_too_and_leaves_as_one_take() -> None:
    desk = Desk(kind=4, qty=0.05, limit=100.0, duration_ns=0)
    desk.run(quote(1), timer(2), ack(3, FIRST + 1, 1))
    desk.run(say(at(1), 6), timer(at(2)), ack(at(3), FIRST + 3, 1))
    engine = desk.engine
    rows = np.concatenate([say(at(5), 4), timer(at(6))])
    assert engine.step(rows) == 1
    commands, _ = engine.take()
    assert [commands["kind"].tolist(), commands["id"].tolist()] == [[CANCEL, CANCEL], [FIRST + 1, FIRST + 3]]
    assert len(set(commands["cause"].tolist())) == len(set(commands["ts"].tolist())) == 1
    assert desk.run(canceled(at(7), FIRST + 1, 1), canceled(at(8), FIRST + 3, 1), timer(at(9))) == []
    assert [p["reason"].item() for p in engine.view("parents")[:2]] == [BY_REQUEST, BY_REQUEST]


def test_a_child_may_not_be_amended() -> None:
    desk = Desk(kind=4, qty=0.05, limit=100.0, duration_ns=0)
    desk.run(quote(1), timer(2), ack(3, FIRST + 1, 1))
    desk.run(say(at(1), 5))
    assert desk.refused == [BAD_ORDER_TYPE]


def test_the_end_of_the_run_ends_algorithms() -> None:
    desk = Desk(kind=3)
    desk.run(quote(1))
    desk.engine.stop(at(5))
    parent = desk.engine.view("parents")[0]
    assert [int(parent["state"]), int(parent["reason"])] == [3, RUN_ENDED]
    assert [int(desk.engine.head[n]) for n in ("n_watched", "next_timer")] == [0, (1 << 63) - 1]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"qty": 0.0005}, OFF_LOT_GRID),
        ({"qty": 0.0}, BAD_QTY),
        ({"qty": float("nan")}, BAD_QTY),
        ({"limit": 100.005}, OFF_TICK_GRID),
        ({"limit": 0.0}, BAD_PRICE),
        ({"limit": float("nan")}, BAD_PRICE),
        ({"side": 0}, BAD_ORDER_TYPE),
        ({"slices": 0}, BAD_SCHEDULE),
        ({"duration_ns": 0}, BAD_SCHEDULE),
        ({"duration_ns": -1}, BAD_SCHEDULE),
        ({"style": 2}, BAD_SCHEDULE),
        ({"kind": 2, "weights": np.array([1.0, -1.0, 1.0, 1.0])}, BAD_SCHEDULE),
        ({"kind": 2, "weights": np.zeros(4)}, BAD_SCHEDULE),
        ({"kind": 2, "weights": np.array([1.0, float("nan"), 1.0, 1.0])}, BAD_SCHEDULE),
        ({"kind": 3, "rate": 0.0}, BAD_SCHEDULE),
        ({"kind": 3, "rate": 1.1}, BAD_SCHEDULE),
        ({"kind": 3, "rate": float("nan")}, BAD_SCHEDULE),
        ({"kind": 4}, BAD_SCHEDULE),
        ({"kind": 4, "limit": 100.0, "show": 0.0}, BAD_SCHEDULE),
    ],
)
def test_what_cannot_be_is_refused_by_name(wrong: dict[str, Any], reason: int) -> None:
    desk = Desk(**wrong)
    assert desk.run(quote(1), timer(at(6000))) == []
    assert desk.refused == [reason]
    assert desk["id"] == FIRST
    assert desk["last_reason"] == reason


def test_more_algorithms_than_the_capacity_are_refused_and_places_are_used_again() -> None:
    desk = Desk(kind=4, qty=0.05, limit=100.0, duration_ns=0)
    desk.run(quote(1), *[say(at(k), 6) for k in range(1, 5)])
    assert desk.refused == [TOO_MANY_PARENTS]
    desk.run(say(at(10), 4), timer(at(11)))
    ids = [int(p["child"]) for p in desk.engine.view("parents")]
    desk.run(*[canceled(at(12), id, 1) for id in ids if id], timer(at(13)), say(at(14), 6), timer(at(15)))
    assert desk.refused == []
    assert sorted(int(p["state"]) for p in desk.engine.view("parents")) == [1, 3, 3, 3]


def test_a_rest_too_small_to_send_goes_with_the_last_child() -> None:
    least = Instrument(symbol="L", tick_size="0.01", lot_size="0.001", lot_min=7)
    desk = Desk(instrument=least, qty=0.03, slices=3, duration_ns=3 * S)
    sent = desk.run(quote(1), timer(2), fill(3, FIRST + 1, 1, 10_002, 10), timer(at(1001)))
    sent += desk.run(fill(at(1002), FIRST + 2, 1, 10_002, 10), timer(at(2001)))
    assert [lots for _, _, lots, _, _ in sent] == [10, 10, 10]
    desk = Desk(instrument=least, qty=0.03, slices=2, duration_ns=3 * S)
    assert desk.run(quote(1), timer(2)) == [(0, NEW, 15, 0, IOC)]
    assert desk.run(fill(3, FIRST + 1, 1, 10_002, 9), canceled(4, FIRST + 1, 1), timer(at(1501)))[0][2] == 21
    desk = Desk(instrument=least, qty=0.02, slices=2, duration_ns=3 * S)
    desk.run(quote(1), timer(2), fill(3, FIRST + 1, 1, 10_002, 10), timer(at(1501)))
    # A partial fill leaves 4, which no order can be: it ends.
    assert desk.run(fill(at(1502), FIRST + 2, 1, 10_002, 6), canceled(at(1503), FIRST + 2, 1), timer(at(1504))) == []
    assert [desk["end_reason"], desk["filled_lots"]] == [SCHEDULE_OVER, 16]
