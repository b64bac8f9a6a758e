"""The engine over the real capture: equal commands and equal bytes, however its rows are fed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.busy_strategies import everyone
from tercel.engine.engine import Engine
from tercel.engine.replay import replay
from tercel.engine.step import engine_step
from tercel.jit import COMPILED, address_of, kernel_cache_dir
from tercel.risk.limits import Limits
from tercel.sim.backtest import Backtest
from tercel.sim.latency import Latency
from tercel.sim.venue import VenueRules
from tercel.store.imports import import_capture
from tercel.store.tape import Tape

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not COMPILED, reason="half a million rows are too many for the interpreter"),
]

LIMITS = Limits(order_qty_max=100, position_max=2, open_orders_max=40, daily_loss_max=50_000, message_rate=400)
INT64_MAX = (1 << 63) - 1


class Capture:
    """The capture, run once: rows, instruments, and what the engine consumed, sent and became."""

    def __init__(self, path: Path) -> None:
        tape = Tape.open(path)
        self.rows, self.instruments = tape.rows().copy(), tape.instruments
        run = self.backtest(self.rows)
        self.log = run.run().log
        self.journal = run.journal()
        self.hash = run.engine.state_hash()

    def backtest(self, rows: np.ndarray, jit: bool = True) -> Backtest:
        rules = VenueRules(latency=Latency.both(10), message_rate=10_000)
        return Backtest(everyone(0.1), rows, instruments=self.instruments, rules=rules, limits=LIMITS, jit=jit)

    def fresh(self, jit: bool = True) -> Engine:
        return Engine(self.instruments, everyone(0.1), limits=LIMITS, jit=jit)


@pytest.fixture(scope="module")
def capture(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    source = data_dir / "binance" / "usdm_btcusdt_20240808.gz"
    if not source.is_file():
        pytest.skip("the capture usdm_btcusdt_20240808.gz is not here")
    # Kernels stay in the cache of all tests; the mapped tape goes with this one.
    kernel_cache_dir()
    folder = tmp_path_factory.mktemp("capture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERCEL_CACHE_DIR", str(folder / "cache"))
        yield Capture(import_capture(source, folder / "out.tape", tick="0.1", lot="0.001").path)


def feed(engine: Engine, rows: np.ndarray, batch: int) -> np.ndarray:
    """Feed rows in calls of at most `batch`, as a driver does that trusts its rows; returns the commands."""
    head, sent = engine.view("context"), []
    emitted, step, address = head["n_emitted"], engine_step.call, address_of(rows)
    for begin in range(0, len(rows), batch):
        i, end = begin, min(begin + batch, len(rows))
        while i < end:
            i = step(engine.base, engine.wiring, address, i, end, INT64_MAX)
            if emitted[0]:
                engine.check()
                sent.append(engine.take()[0])
    return np.concatenate(sent)


def test_the_capture_was_traded(capture: Capture) -> None:
    kinds = np.bincount(capture.log.events["kind"], minlength=30)
    assert len(capture.rows) == 491_973
    assert len(capture.journal) > 400_000
    assert kinds[22] > 100
    assert kinds[28] > 100


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_batches(capture: Capture, batch: int) -> None:
    engine = capture.fresh()
    begin = replay(engine, capture.journal[:1])[0]
    middle = feed(engine, np.ascontiguousarray(capture.journal[1:-2]), batch)
    end = replay(engine, capture.journal[-2:])[0]
    sent = np.concatenate([begin, middle, end])[: len(capture.log.commands)]
    assert sent.tobytes() == capture.log.commands.tobytes()
    assert engine.state_hash() == capture.hash


def test_snapshots_in_turn(capture: Capture) -> None:
    cuts = np.sort(np.random.default_rng(3).integers(1, len(capture.journal), 9)).tolist()
    engines = [capture.fresh(), capture.fresh()]
    parts = []
    for k, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(capture.journal)])):
        engine = engines[k % 2]
        if k:
            engine.restore(engines[1 - k % 2].snapshot())
        parts.append(replay(engine, capture.journal[begin:end])[0])
    sent = np.concatenate(parts)[: len(capture.log.commands)]
    assert sent.tobytes() == capture.log.commands.tobytes()
    assert engine.state_hash() == capture.hash


def test_interpreted_handlers(capture: Capture) -> None:
    rows = capture.rows[:15_000]
    runs = [capture.backtest(rows, jit) for jit in (True, False)]
    logs = [run.run().log for run in runs]
    assert logs[0].commands.tobytes() == logs[1].commands.tobytes()
    assert len({run.engine.state_hash() for run in runs}) == 1
