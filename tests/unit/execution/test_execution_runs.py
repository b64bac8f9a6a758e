"""Execution algorithms over a simulated market: on schedule, within their share, the same bytes however it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reference.busy_strategies import SIM
from tercel.engine.engine import Engine
from tercel.engine.replay import replay
from tercel.execution.profile import VolumeProfile
from tercel.jit import COMPILED
from tercel.model.commands import NEW
from tercel.model.events import TRADE
from tercel.model.reasons import SCHEDULE_DONE
from tercel.sim.backtest import Backtest
from tercel.sim.latency import Latency
from tercel.sim.market import MarketModel, simulate_market
from tercel.sim.venue import VenueRules
from tercel.strategy.contract import Strategy

S = 1_000_000_000
MS = 1_000_000
DURATION_S = 20.0 if COMPILED else 3.0


class Everything(Strategy):
    """One algorithm of each kind and style at once, paused, resumed, canceled and begun again as timers fire."""

    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    e: int = 0
    n_ends: int = 0
    n_done: int = 0
    from_children: int = 0
    impact: float = 0.0
    average: float = 0.0
    profile: VolumeProfile = VolumeProfile(buckets=8, period_ns=4_000_000_000, decay=0.5)

    def on_start(self, ctx):
        self.impact = ctx.market_impact(0, 1.0)
        ctx.set_timer(300_000_000, 1, 700_000_000)
        self.a = ctx.twap(0, 1, 0.3, 2_000_000_000, 7)

    def on_trade(self, ctx, trade):
        self.profile.update(trade.ts, trade.qty)
        self.impact += ctx.market_impact(0, 0.1)

    def on_timer(self, ctx, timer):
        if ctx.parent_state(self.a) != 1:
            self.a = ctx.twap(0, -1, 0.301, 2_500_000_000, 9, ctx.best_bid(0) - 0.05)
        if ctx.parent_state(self.b) != 1 and self.profile.ready():
            self.b = ctx.vwap(
                0, 1, 0.4, 1_900_000_000, self.profile.weights, 6, 4_000_000_000, ctx.best_ask(0) + 0.05, 1
            )
        if ctx.parent_state(self.c) != 1:
            self.c = ctx.pov(0, -1, 0.5, 0.15, 3_000_000_000, 50_000_000, ctx.best_bid(0) - 1.0)
        if ctx.parent_state(self.d) != 1:
            self.d = ctx.engine_iceberg(0, 1, 0.2, ctx.best_bid(0), 0.03, 3_000_000_000)
        if ctx.parent_state(self.e) == 2:
            ctx.resume_parent(self.e)
        elif ctx.parent_state(self.e) == 1:
            ctx.pause_parent(self.e)
            ctx.cancel_parent(self.d)
        else:
            self.e = ctx.pov(0, 1, 0.4, 0.1, 5_000_000_000, 0, ctx.best_ask(0) + 1.0, 1)

    def on_fill(self, ctx, fill):
        if fill.parent != 0:
            self.from_children += fill.lots

    def on_order(self, ctx, order):
        if order.parent == order.id:
            self.n_ends += 1
            self.average = ctx.parent_price(order.id)
            if order.reason == 95:
                self.n_done += 1


class Ran:
    """A finished backtest of `Everything`."""

    def __init__(self, duration_s: float = DURATION_S) -> None:
        rows = simulate_market(MarketModel(), 8, duration_s=duration_s)
        run = Backtest(Everything(), rows, instruments=[SIM], rules=VenueRules(latency=Latency.both(3)))
        self.log = run.run().log
        self.journal = run.journal()
        self.hash = run.engine.state_hash()
        self.state = run.engine.state(0).copy()
        self.n_fills = int(self.log.events["qty"][self.log.events["kind"] == 22].sum())


@pytest.fixture(scope="module")
def ran() -> Ran:
    return Ran()


@pytest.mark.skipif(not COMPILED, reason="too few rows in the interpreter")
def test_the_run_used_everything(ran: Ran) -> None:
    assert int(ran.state["n_ends"]) > 15
    assert int(ran.state["n_done"]) > 3
    assert int(ran.state["from_children"]) == ran.n_fills > 500
    assert {0, 1, 4} <= set(ran.log.commands["tif"].tolist())
    assert {1, 3} <= set(ran.log.commands["kind"].tolist())


@pytest.mark.parametrize("jit", [True, False])
def test_replay_gives_the_same_commands_and_bytes(ran: Ran, jit: bool) -> None:
    engine = Engine([SIM], [Everything()], jit=jit)
    commands, _ = replay(engine, ran.journal)
    assert commands[: len(ran.log.commands)].tobytes() == ran.log.commands.tobytes()
    assert engine.state_hash() == ran.hash


@pytest.mark.parametrize("batch", [1, 7])
def test_batches_and_snapshots_give_the_same_bytes(ran: Ran, batch: int) -> None:
    engines = [Engine([SIM], [Everything()]) for _ in range(2)]
    at = engines[0]
    parts = []
    for n, i in enumerate(range(0, len(ran.journal), batch)):
        if n % 997 == 0:
            saved = at.snapshot()
            at = engines[n % 2]
            at.restore(saved)
        parts.append(replay(at, ran.journal[i : i + batch])[0])
    commands = np.concatenate(parts)
    assert commands[: len(ran.log.commands)].tobytes() == ran.log.commands.tobytes()
    assert at.state_hash() == ran.hash


_WHOLE = """
import sys
sys.path.insert(0, {tests!r})
sys.path.insert(0, {here!r})
from test_execution_runs import Ran
from tercel.jit import COMPILED
ran = Ran(1.5)
print(COMPILED, ran.hash, len(ran.log.commands))
"""


@pytest.mark.skipif(not COMPILED, reason="this process is the interpreted one already")
def test_a_process_without_compiler_gives_the_same_bytes() -> None:
    here = Path(__file__).parent
    text = _WHOLE.format(tests=str(here.parents[1]), here=str(here))
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "error"}
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    ran = Ran(1.5)
    assert len(ran.log.commands) > 10
    assert done.stdout.split() == ["False", ran.hash, str(len(ran.log.commands))]


class Slices(Strategy):
    """A TWAP of 1.0 in 20 slices over 10 s, begun a second into the run."""

    id: int = 0
    reason: int = 0
    filled_lots: int = 0

    def on_start(self, ctx):
        ctx.set_timer(1_000_000_000, 1)

    def on_timer(self, ctx, timer):
        self.id = ctx.twap(0, 1, 1.0, 10_000_000_000, 20)

    def on_order(self, ctx, order):
        if order.id == self.id:
            self.reason, self.filled_lots = order.reason, order.filled_lots


def test_a_twap_over_a_market_keeps_its_schedule() -> None:
    rows = simulate_market(MarketModel(), 3, duration_s=14.0)
    run = Backtest(Slices(), rows, instruments=[SIM], rules=VenueRules(latency=Latency.both(2)))
    result = run.run()
    new = result.log.commands[result.log.commands["kind"] == NEW]
    assert (new["ts"] - run.start_ns).tolist() == [S + k * S // 2 for k in range(20)]
    assert new["qty"].tolist() == [50] * 20
    state = run.engine.state(0)
    assert (int(state["reason"]), int(state["filled_lots"])) == (SCHEDULE_DONE, 1000)
    assert int(run.engine.view("positions")[0]["position"]) == 1000


class Share(Strategy):
    """A tenth of the volume, as long as the tape lasts."""

    id: int = 0

    def on_start(self, ctx):
        self.id = ctx.pov(0, 1, 1_000_000.0, 0.1, 0, 200_000_000)


def test_a_pov_over_a_market_keeps_its_share() -> None:
    """Behind the share by no more than what traded within one interval and two trips to the venue, and never ahead."""
    rows = simulate_market(MarketModel(), 3, duration_s=30.0)
    run = Backtest(Share(), rows, instruments=[SIM], rules=VenueRules(latency=Latency.both(2)))
    log = run.run().log
    traded = rows[rows["kind"] == TRADE]
    total = np.cumsum(traded["qty"])
    fills = log.events[log.events["kind"] == 22]
    filled = np.cumsum(fills["qty"])
    assert filled[-1] > 500
    volume_then = total[np.searchsorted(traded["ts_recv"], fills["ts_recv"], side="right") - 1]
    assert np.all(filled <= 0.1 * volume_then)
    before = np.searchsorted(traded["ts_recv"], fills["ts_recv"] - (200 + 8) * MS, side="right") - 1
    seen = np.where(before >= 0, total[np.maximum(before, 0)], 0)
    assert np.all(np.floor(0.1 * seen) <= filled + 1)
    assert filled[-1] >= 0.09 * total[-1]


class Guards(Strategy):
    """One protected entry after another, most of which fill in parts; counts what is bought and what is sold for it."""

    lots: int = 400
    id: int = 0
    bought: int = 0
    sold: int = 0
    n_begun: int = 0
    n_parts: int = 0
    n_done: int = 0
    n_wrong: int = 0
    n_stopped: int = 0

    def on_start(self, ctx):
        ctx.set_timer(100_000_000, 1, 100_000_000)

    def on_timer(self, ctx, timer):
        bid = ctx.best_bid_ticks(0)
        if bid > 10 and ctx.parent_state(self.id) != 1:
            entry = ctx.order_lots(0, 1, self.lots, bid)
            self.id = ctx.protect(entry, ctx.to_price(0, bid - 2), ctx.to_price(0, bid + 2))
            ctx.leave_by(entry, ctx.now + 1_000_000_000)
            self.n_begun += 1

    def on_fill(self, ctx, fill):
        if fill.parent != 0:
            self.sold += fill.lots
            self.n_stopped += int(fill.maker == 0)
        else:
            self.bought += fill.lots
            self.n_parts += int(fill.leaves > 0.0)
        if self.sold > self.bought or ctx.position_lots(0) != self.bought - self.sold:
            self.n_wrong += 1

    def on_order(self, ctx, order):
        if order.id == self.id and order.reason == 95:
            self.n_done += 1
            if self.sold != self.bought:
                self.n_wrong += 1


@pytest.mark.parametrize("jit", [True, False])
def test_what_is_protected_over_a_market_is_sold_once_and_replays(jit: bool) -> None:
    rows = simulate_market(MarketModel(), 3, duration_s=30.0 if COMPILED else 3.0)
    run = Backtest(Guards(), rows, instruments=[SIM], rules=VenueRules(latency=Latency.both(3)))
    log = run.run().log
    state = run.engine.state(0)
    if COMPILED:
        assert int(state["n_parts"]) > 5
        assert int(state["n_done"]) > 3
        assert int(state["n_stopped"]) > 0
    assert int(state["n_wrong"]) == 0
    assert int(state["bought"]) - int(state["sold"]) == int(run.engine.view("positions")[0]["position"]) >= 0
    engine = Engine([SIM], [Guards()], jit=jit)
    commands, _ = replay(engine, run.journal())
    assert commands[: len(log.commands)].tobytes() == log.commands.tobytes()
    assert engine.state_hash() == run.engine.state_hash()
