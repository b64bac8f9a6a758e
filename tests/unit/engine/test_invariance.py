"""The same rows give the same bytes: in any batches, from any snapshot, in any block, compiled or interpreted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from reference.busy_strategies import SIM, everyone, market_rows
from tercel.engine.engine import Engine
from tercel.engine.replay import replay
from tercel.jit import COMPILED
from tercel.model.events import LOCAL, RESUME
from tercel.model.reasons import BAD_QTY, OFF_LOT_GRID, OFF_TICK_GRID, ORDER_NOT_OPEN, QTY_CAP, UNKNOWN_ORDER
from tercel.model.runlog import RunLog
from tercel.risk.limits import Limits
from tercel.sim.backtest import Backtest
from tercel.sim.latency import Latency
from tercel.sim.venue import VenueRules

LIMITS = Limits(
    order_qty_max=100, position_max=3, gross_notional_max=20_000, open_orders_max=40, daily_loss_max=500,
    message_rate=400, order_rate=200,
)  # fmt: skip
DURATION_S = 12.0 if COMPILED else 1.0


def fresh(jit: bool = True) -> Engine:
    return Engine([SIM], everyone(), limits=LIMITS, jit=jit)


class Ran:
    """A finished backtest: what it logged, what its engine consumed, and the state it ended in."""

    def __init__(self, duration_s: float = DURATION_S) -> None:
        rules = VenueRules(latency=Latency.both(3), message_rate=10_000)
        run = Backtest(everyone(), market_rows(duration_s), instruments=[SIM], rules=rules, limits=LIMITS)
        self.log: RunLog = run.run().log
        self.journal = run.journal()
        self.hash = run.engine.state_hash()
        self.states = [run.engine.state(i).copy() for i in range(3)]
        self.seq = run.engine.seq


@pytest.fixture(scope="module")
def ran() -> Ran:
    return Ran()


def same_commands(found: np.ndarray, log: RunLog) -> bool:
    """Whether the engine sent what the log says; a run drops what is sent after the end of its tape."""
    kept = found[: len(log.commands)]
    return kept.tobytes() == log.commands.tobytes() and bool(np.all(found[len(kept) :]["ts"] >= log.commands["ts"][-1]))


@pytest.mark.skipif(not COMPILED, reason="too few rows in the interpreter")
def test_the_run_used_everything(ran: Ran) -> None:
    kinds, types, tifs = (set(ran.log.commands[name].tolist()) for name in ("kind", "type", "tif"))
    assert kinds == {1, 2, 3, 5}
    assert types == {0, 1, 2, 3, 4, 5}
    assert tifs == {0, 1, 2, 3, 4}
    events = set(ran.log.events["kind"].tolist())
    assert events >= {20, 22, 23, 24, 25, 26, 28}
    refusals = set(ran.log.events["reason"][ran.log.events["kind"] == 28].tolist())
    assert refusals >= {OFF_LOT_GRID, OFF_TICK_GRID, BAD_QTY, QTY_CAP, UNKNOWN_ORDER, ORDER_NOT_OPEN}
    busy, leaning, listening = ran.states
    assert busy["n_fills"] > 20
    assert busy["n_again"] > 5
    assert [int(busy[name]) for name in ("n_signals", "n_stops")] == [2, 1]
    assert min(leaning["n"], listening["n_levels"]) > 1000
    assert [int(leaning["again"]), int(listening["n_quotes"])] == [50, 1]
    assert np.any(ran.journal["kind"] == RESUME)


def test_replay_gives_the_same_commands_and_bytes(ran: Ran) -> None:
    engine = fresh()
    commands, refused = replay(engine, ran.journal)
    assert same_commands(commands, ran.log)
    logged = ran.log.events[ran.log.events["kind"] == 28]
    assert refused[: len(logged)].tobytes() == logged.tobytes()
    assert engine.seq == ran.seq == int(np.sum(ran.journal["flags"] & LOCAL != 0))
    assert engine.state_hash() == ran.hash


def test_interpreted_handlers_give_the_same_bytes(ran: Ran) -> None:
    engine = fresh(jit=False)
    commands, _refused = replay(engine, ran.journal)
    assert same_commands(commands, ran.log)
    assert engine.state_hash() == ran.hash


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches_give_the_same_bytes(ran: Ran, batch: int) -> None:
    engine = fresh()
    parts = [replay(engine, ran.journal[i : i + batch])[0] for i in range(0, len(ran.journal), batch)]
    assert same_commands(np.concatenate(parts), ran.log)
    assert engine.state_hash() == ran.hash


def test_snapshots_carry_on_in_other_engines(ran: Ran) -> None:
    """At random rows the state moves to another engine, at another address, interpreted handlers among them."""
    random = np.random.default_rng(11)
    engines = [fresh(), fresh(), fresh(jit=False)]
    assert len({e.base for e in engines}) == 3
    cuts = np.unique(random.integers(1, len(ran.journal), 12)).tolist()
    at = engines[0]
    parts = []
    for n, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(ran.journal)])):
        saved = at.snapshot()
        # What is thrown away must leave no trace.
        replay(at, ran.journal[begin:end][: 1 if begin == 0 else None])
        at = engines[n % 3]
        at.restore(saved)
        parts.append(replay(at, ran.journal[begin:end])[0])
    assert same_commands(np.concatenate(parts), ran.log)
    assert at.state_hash() == ran.hash


_WHOLE = """
import json, sys
sys.path.insert(0, {tests!r})
sys.path.insert(0, {here!r})
from test_invariance import Ran
from tercel.jit import COMPILED
ran = Ran(0.6)
print(json.dumps([COMPILED, ran.hash, len(ran.log.commands), len(ran.log.events), ran.seq]))
"""


@pytest.mark.skipif(not COMPILED, reason="this process is the interpreted one already")
def test_a_process_without_compiler_gives_the_same_bytes() -> None:
    here = Path(__file__).parent
    text = _WHOLE.format(tests=str(here.parents[1]), here=str(here))
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    compiled, found, n_commands, n_events, seq = json.loads(done.stdout)
    ran = Ran(0.6)
    assert compiled is False
    assert (n_commands, n_events, seq) == (len(ran.log.commands), len(ran.log.events), ran.seq)
    assert n_commands > 10
    assert found == ran.hash
