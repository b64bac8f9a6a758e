"""Signals and deadlines, the venue an order goes to, market impact and latency, in an engine over two venues."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.event_makers import ack, fill, level, row
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.execution.profile import VolumeProfile
from tercel.execution.routing import ROUTE, latency_score, routes_group
from tercel.jit import address_of, records
from tercel.model.commands import GTC, IOC, LEAVE_BY, LIMIT, NEW
from tercel.model.events import CONNECT, DISCONNECT, QUOTE, REJECT, SIGNAL, TRADE
from tercel.model.instrument import Instrument
from tercel.model.reasons import BAD_PRICE, BAD_QTY, DEADLINE, LOW_CONFIDENCE, NO_SUITABLE_VENUE
from tercel.model.signals import Signal, bits_to_float
from tercel.risk.limits import Limits
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=32, orders=64, timers=4, far_levels=64, depth_ticks=256, parents=2, executions=64)
ALLOW = Limits(self_trade="allow")
MS = 1_000_000
T0 = 1_000_000_000
FIRST = (1 << 32) + 1


def at_venue(name: str, **fields: Any) -> Instrument:
    grids = {"tick_size": "0.01", "lot_size": "0.001", "base": "A", "quote": "B"}
    return Instrument(symbol=f"A{name}", venue=name, **{**grids, **fields})


class Desk(Strategy):
    """Does what a signal's id says, with its value and confidence as arguments."""

    limit: float = float("-inf")
    at_ns: int = 0
    found: float = 0.0
    n_signals: int = 0
    deadline: int = 0
    told: int = 0

    def on_signal(self, ctx, signal):
        self.n_signals += 1
        self.deadline = signal.deadline
        what, value = signal.id, signal.value
        if what == 1:
            ctx.execute_signal(signal.instrument, 1, value, signal.confidence, 0.7, self.limit, 5_000_000)
        elif what == 2:
            id = ctx.buy(0, value, 100.0)
            self.told = int(ctx.leave_by(id, self.at_ns))
        elif what == 3:
            ctx.route(signal.instrument, 1 if value > 0 else -1, abs(value), self.limit)
        elif what == 4:
            ctx.route_split(signal.instrument, 1 if value > 0 else -1, abs(value), self.limit)
        elif what == 5:
            self.found = ctx.market_impact(0, value)
        elif what == 6:
            self.found = ctx.tick_vwap(0)
        elif what == 7:
            ctx.set_fee(signal.instrument, value)
        elif what == 8:
            self.told = ctx.best_venue(signal.instrument, 1, value, self.limit)
        elif what == 9:
            ctx.cancel_all()
        elif what == 10:
            self.found, self.told = ctx.latency_ns(0) * 1.0, ctx.n_overruns(0)


def ask(ts: int, what: int, value: float = 0.0, confidence: float = 1.0, **fields: int) -> np.ndarray:
    bits = [int(np.float64(x).view(np.int64)) for x in (value, confidence)]
    return row(SIGNAL, ts, id=what, arg0=bits[0], arg1=bits[1], **fields)


def sent(engine: Engine, *rows: np.ndarray) -> tuple[list[tuple[int, ...]], list[int]]:
    """(instrument, side, lots, px, tif) of each NEW, and the reasons of refusals."""
    commands, refused = engine.run(np.concatenate(rows))
    found = [tuple(int(c[n]) for n in ("instrument", "side", "qty", "px", "tif")) for c in commands if c["kind"] == NEW]
    return found, refused["reason"].tolist()


def make(*instruments: Instrument, **parameters: Any) -> Engine:
    engine = Engine(
        instruments or (at_venue("one"), at_venue("two")), [Desk(**parameters)], limits=ALLOW, capacity=SMALL
    )
    engine.start(0)
    return engine


def books(*levels: tuple[int, int, int, int]) -> np.ndarray:
    """Levels (instrument, side, px, lots)."""
    return np.concatenate([level(T0, side, px, lots, instrument=i) for i, side, px, lots in levels])


BOTH = books((0, -1, 10_000, 50), (0, -1, 10_002, 50), (1, -1, 10_001, 80), (1, -1, 10_003, 80), (0, 1, 9_990, 50),
             (1, 1, 9_992, 10), (1, 1, 9_989, 100))  # fmt: skip


# --- signals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidence", "reasons"), [(0.7, []), (0.69, [LOW_CONFIDENCE]), (float("nan"), [LOW_CONFIDENCE])]
)
def test_a_signal_below_the_least_confidence_sends_nothing(confidence: float, reasons: list[int]) -> None:
    engine = make()
    orders, refused = sent(engine, BOTH, ask(T0 + 1, 1, 0.02, confidence))
    assert refused == reasons
    assert orders == ([] if reasons else [(0, 1, 20, 0, IOC)])


def test_orders_of_a_signal_leave_within_its_deadline_or_not_at_all() -> None:
    engine = make(limit=100.0)
    in_time = ask(T0 + 25 * MS, 1, 0.02, ts_exch=T0)
    commands, _ = engine.run(np.concatenate([BOTH, in_time]))
    assert [int(commands[0][n]) for n in ("type", "tif", "expire_ns", "flags")] == [LIMIT, IOC, T0 + 25 * MS, LEAVE_BY]
    assert engine.state(0)["deadline"] == T0 + 25 * MS
    assert sent(engine, ask(T0 + 25 * MS + 1, 1, 0.02, ts_exch=T0)) == ([], [DEADLINE])
    # A deadline of the signal's own: 60 ms, none.
    assert sent(engine, ask(T0 + 60 * MS, 1, 0.02, ts_exch=T0, qty=60 * MS)) == ([(0, 1, 20, 10_000, IOC)], [])
    assert sent(engine, ask(T0 + 61 * MS, 1, 0.02, ts_exch=T0, qty=60 * MS)) == ([], [DEADLINE])
    assert sent(engine, ask(T0 + 900 * MS, 1, 0.02, ts_exch=T0, qty=-1)) == ([(0, 1, 20, 10_000, IOC)], [])
    # What does not say when it was made counts as made when it came.
    assert sent(engine, ask(T0 + 901 * MS, 1, 0.02, ts_exch=0)) == ([(0, 1, 20, 10_000, IOC)], [])
    assert int(engine.view("risk")[0]["refusals"][DEADLINE]) == 2
    assert int(engine.head["deadline"]) == 0


def test_any_order_may_be_given_a_deadline() -> None:
    engine = make(at_ns=T0 + 10)
    assert sent(engine, BOTH, ask(T0 + 10, 2, 0.01)) == ([(0, 1, 10, 10_000, GTC)], [])
    assert sent(engine, ask(T0 + 11, 2, 0.01)) == ([], [DEADLINE])
    assert engine.state(0)["told"] == 1
    engine.state(0)["at_ns"] = 0
    commands, _ = engine.run(ask(T0 + 12, 2, 0.01))
    assert [int(commands[0][n]) for n in ("expire_ns", "flags")] == [0, 0]


def test_latency_is_measured_and_overruns_count() -> None:
    engine = make(limit=100.0)
    sent(engine, BOTH, ask(T0 + 1, 1, 0.02), ack(T0 + 1 + 4 * MS, FIRST, 1))
    sent(engine, ask(T0 + 10 * MS, 1, 0.02), fill(T0 + 22 * MS, FIRST + 1, 1, 10_000, 20))
    # Not from the venue, as far as we know: an overrun, but no measure of how far it is.
    sent(engine, ask(T0 + 30 * MS, 1, 0.02), row(REJECT, T0 + 50 * MS, id=FIRST + 2, side=1))
    sent(engine, ask(T0 + 51 * MS, 10))
    assert (engine.state(0)["found"], engine.state(0)["told"]) == (4 * MS + (8 * MS >> 3), 2)
    route = engine.view("routes")[0]
    assert [int(route[n]) for n in ("n_answers", "last_ns", "worst_ns")] == [2, 12 * MS, 12 * MS]
    assert int(engine.view("routes")[1]["n_answers"]) == 0


def test_a_signal_says_when_it_was_made_and_when_it_came() -> None:
    made = Signal(instrument=1, value=2.5, confidence=0.8, ts_ns=100, deadline_ns=7).row(130)
    assert [int(made[n]) for n in ("ts_exch", "ts_recv", "qty")] == [100, 130, 7]
    assert (bits_to_float(int(made["arg0"])), bits_to_float(int(made["arg1"]))) == (2.5, 0.8)


# --- routing --------------------------------------------------------------------------------------------------------


def test_the_highest_score_wins_and_the_first_on_ties() -> None:
    engine = make()
    # 0.04: both have it within the market, both are unmeasured, none charges: the first.
    assert sent(engine, BOTH, ask(T0 + 1, 3, 0.04))[0] == [(0, 1, 40, 0, IOC)]
    # Of 0.14 the first has 100 lots, the second 160.
    assert sent(engine, ask(T0 + 2, 3, 0.14))[0] == [(1, 1, 140, 0, IOC)]
    sent(engine, ask(T0 + 3, 7, 0.001, instrument=0))
    assert sent(engine, ask(T0 + 4, 3, 0.04))[0] == [(1, 1, 40, 0, IOC)]
    sent(engine, ask(T0 + 5, 7, 0.002, instrument=1))
    assert sent(engine, ask(T0 + 6, 3, 0.04))[0] == [(0, 1, 40, 0, IOC)]
    # A measured venue of 24 ms has 0.04 for its latency where an unmeasured one has 0.5.
    sent(engine, ack(T0 + 1 + 24 * MS, FIRST, 1), ask(T0 + 30 * MS, 8, 0.04))
    assert engine.state(0)["told"] == 1


def test_a_venue_without_size_in_the_limit_or_without_connection_is_left_out() -> None:
    engine = make(limit=100.0)
    assert sent(engine, BOTH, ask(T0 + 1, 3, 0.14))[0] == [(0, 1, 140, 10_000, IOC)]
    assert sent(engine, row(DISCONNECT, T0 + 2), ask(T0 + 3, 3, 0.14)) == ([], [NO_SUITABLE_VENUE])
    assert sent(engine, row(CONNECT, T0 + 4), ask(T0 + 5, 3, -0.05)) == ([], [NO_SUITABLE_VENUE])
    assert sent(engine, ask(T0 + 6, 3, 0.0004)) == ([], [20])
    for limit in (0.0, float("nan")):
        engine.state(0)["limit"] = limit
        assert sent(engine, ask(T0 + 7, 3, 0.05)) == ([], [BAD_PRICE])
        assert sent(engine, ask(T0 + 7, 4, 0.05)) == ([], [BAD_PRICE])


def test_another_underlying_is_no_venue_of_it() -> None:
    other = Instrument(symbol="C", tick_size="0.01", lot_size="0.001", venue="two", base="C", quote="B")
    perpetual = at_venue("three", kind="spot")
    engine = make(at_venue("one"), other, perpetual)
    rows = books((1, -1, 9_000, 500), (2, -1, 9_000, 500))
    assert sent(engine, rows, ask(T0 + 1, 3, 0.04)) == ([], [NO_SUITABLE_VENUE])
    assert engine.view("routes")["group"].tolist() == [0, 1, 2]


def test_a_split_sweeps_the_merged_books_by_net_price() -> None:
    engine = make()
    # 10_000 x 50 (one), 10_001 x 80 (two), 10_002 x 50 (one), 10_003 x 80 (two).
    assert sent(engine, BOTH, ask(T0 + 1, 4, 0.15))[0] == [(0, 1, 70, 10_002, IOC), (1, 1, 80, 10_001, IOC)]
    assert sent(engine, ask(T0 + 2, 4, 0.03))[0] == [(0, 1, 30, 10_000, IOC)]
    # Beyond what all books hold: what they hold.
    assert sent(engine, ask(T0 + 3, 4, 0.9))[0] == [(0, 1, 100, 10_002, IOC), (1, 1, 160, 10_003, IOC)]
    # Sales: 9_992 x 10 (two), 9_990 x 50 (one), 9_989 x 100 (two).
    assert sent(engine, ask(T0 + 4, 4, -0.07))[0] == [(0, -1, 50, 9_990, IOC), (1, -1, 20, 9_989, IOC)]
    # A basis point of fee is worth one tick: the second venue's first level now costs less than any of the first.
    sent(engine, ask(T0 + 5, 7, 0.0005, instrument=0))
    assert sent(engine, ask(T0 + 6, 4, 0.18))[0] == [(0, 1, 20, 10_000, IOC), (1, 1, 160, 10_003, IOC)]
    engine.state(0)["limit"] = 100.01
    assert sent(engine, ask(T0 + 7, 4, 0.3))[0] == [(0, 1, 50, 10_000, IOC), (1, 1, 80, 10_001, IOC)]
    engine.state(0)["limit"] = 99.0
    assert sent(engine, ask(T0 + 8, 4, 0.3)) == ([], [NO_SUITABLE_VENUE])
    assert sent(engine, ask(T0 + 9, 4, 0.0)) == ([], [BAD_QTY])


def test_a_split_over_other_lots_and_over_quotes() -> None:
    engine = make(at_venue("one"), at_venue("two", lot_size="0.02"))
    quotes = np.concatenate([
        row(QUOTE, T0, px=9_999, qty=5, arg0=10_001, arg1=30, instrument=0),
        row(QUOTE, T0, px=9_999, qty=5, arg0=10_000, arg1=2, instrument=1),
    ])  # fmt: skip
    # 0.05: two lots of 0.02 there, the rest here.
    assert sent(engine, quotes, ask(T0 + 1, 4, 0.05))[0] == [(0, 1, 10, 10_001, IOC), (1, 1, 2, 10_000, IOC)]
    assert sent(engine, ask(T0 + 2, 4, 0.035))[0] == [(0, 1, 15, 10_001, IOC), (1, 1, 1, 10_000, IOC)]


def test_a_split_against_every_way_to_buy() -> None:
    """Against a plain sort of all levels by net price."""
    dice = np.random.default_rng(4)
    for _ in range(20):
        engine = make()
        levels = [(i, -1, 10_000 + int(px), int(dice.integers(1, 40))) for i in (0, 1)
                  for px in dice.choice(30, 6, replace=False)]  # fmt: skip
        fees = [float(dice.integers(0, 8)) / 10_000 for _ in (0, 1)]
        for i in (0, 1):
            sent(engine, ask(1 + i, 7, fees[i], instrument=i))
        want = int(dice.integers(1, 300))
        left, lots, worst = want, [0, 0], [0, 0]
        for i, _, px, size in sorted(levels, key=lambda v: (v[2] / 100 * (1 + fees[v[0]]), v[0])):
            part = min(left, size)
            if part > 0:
                left, lots[i], worst[i] = left - part, lots[i] + part, px
        expected = [(i, 1, lots[i], worst[i], IOC) for i in (0, 1) if lots[i]]
        assert sent(engine, books(*levels), ask(T0 + 1, 4, want / 1000))[0] == expected


def test_the_latency_score_is_what_is_left_of_the_budget() -> None:
    routes = np.zeros(1, ROUTE)
    routes_group(routes, ["a"], ["v"])
    route = records(address_of(routes), 1, ROUTE)[0]
    assert latency_score(route) == 0.5
    routes["n_answers"] = 1
    found = []
    for mean_ms in (0, 5, 25, 90):
        routes["mean_ns"] = mean_ms * MS
        found.append(latency_score(route))
    assert found == [1.0, 0.8, 0.0, 0.0]


# --- impact ---------------------------------------------------------------------------------------------------------


def trades(n: int, lots: int, px: int = 10_000, ts: int = T0) -> np.ndarray:
    return np.concatenate([row(TRADE, ts, px=px, qty=lots, side=1) for _ in range(n)])


def test_market_impact_is_over_the_newest_hundred_trades() -> None:
    engine = make()
    # Nothing is kept before the first question.
    sent(engine, trades(3, 10), ask(T0, 5, 0.01))
    assert engine.state(0)["found"] == 0.0
    sent(engine, trades(4, 10), ask(T0, 5, 0.004))
    assert engine.state(0)["found"] == pytest.approx(0.4 * 0.001, rel=1e-15)
    sent(engine, ask(T0, 5, 0.5))
    assert engine.state(0)["found"] == 0.001
    # A hundred more of 40 lots push the others out.
    sent(engine, trades(100, 40, 10_100), ask(T0, 5, 0.004))
    assert engine.state(0)["found"] == pytest.approx(0.1 * 0.001, rel=1e-15)
    sent(engine, trades(50, 120, 10_000), ask(T0, 6))
    assert engine.state(0)["found"] == pytest.approx((50 * 40 * 101.0 + 50 * 120 * 100.0) / (50 * 160), rel=1e-14)
    for nothing in (0.0, -1.0, float("nan")):
        sent(engine, ask(T0, 5, nothing))
        assert engine.state(0)["found"] == 0.0


# --- profiles -------------------------------------------------------------------------------------------------------


def test_a_profile_learns_where_volume_trades() -> None:
    hour = 3_600_000_000_000
    profile = VolumeProfile(buckets=24)
    assert not profile.ready()
    for ts, qty in ((0, 1.0), (hour - 1, 2.0), (hour, 4.0), (25 * hour, 8.0), (47 * hour, 16.0), (5, -3.0)):
        profile.update(ts, qty)
    assert [profile.weights[i] for i in (0, 1, 23)] == [3.0, 12.0, 16.0]
    assert (profile.volume, profile.ready()) == (31.0, True)
    fading = VolumeProfile(buckets=2, period_ns=10, decay=0.5)
    for ts in (0, 6, 11):
        fading.update(ts, 4.0)
    assert list(fading.weights) == [6.0, 2.0]
    for wrong in ({"buckets": 0}, {"buckets": 97}, {"decay": 1.5}, {"period_ns": 1}):
        with pytest.raises(ValueError, match=r"volume profile"):
            VolumeProfile(**wrong)
