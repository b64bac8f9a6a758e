"""A session told again: the run log of its journal is that of the backtest it equals."""

from __future__ import annotations

import numpy as np
import pytest

import tercel as tc
from tercel.engine.engine import Engine
from tercel.live.playing import Player
from tercel.live.recap import recap
from tercel.model.events import FILL
from tercel.observe.results import Result
from tercel.sim.fees import Fees
from tercel.sim.latency import Latency
from tercel.sim.venue import VenueRules
from tercel.strategy.library.imbalance_scalper import ImbalanceScalper
from tercel.strategy.library.quoter import Quoter

RULES = VenueRules(latency=Latency.both(50.0), fees=Fees(maker=1, taker=4))


def make() -> list:
    return [Quoter(qty=0.02, position_max=0.1), ImbalanceScalper(qty=0.02)]


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    from tercel.cli.main import run

    path = tmp_path_factory.mktemp("recap") / "market.tape"
    assert run(["simulate", str(path), "--duration", "20s", "--seed", "5"]) == 0
    return tc.Tape.open(path)


def test_a_journal_tells_the_run_log_of_the_backtest(tape):
    limits = tc.Limits(position_max=0.06, order_rate=2, order_burst=2)
    player = Player(make(), tape, rules=RULES, limits=limits)
    player.play()
    log = recap(Engine(tape.instruments, make(), limits=limits), player.journal.rows, sample_s=1.0)
    assert log.commands.tobytes() == player.journal.commands.tobytes()
    expected = tc.Backtest(make(), tape, rules=RULES, limits=limits, sample_s=1.0).run().log
    end = tape.meta.end_ns - 200_000_000
    for ours, owners, theirs, wanted in (
        (log.commands, log.command_strategies, expected.commands, expected.command_strategies),
        (log.events, log.event_strategies, expected.events, expected.event_strategies),
    ):
        clock = "ts" if "ts" in ours.dtype.names else "ts_recv"
        mine, other = ours[clock] <= end, theirs[clock] <= end
        fields = ["id", "px", "qty", "kind", "side", clock]
        assert ours[mine][fields].tolist() == theirs[other][fields].tolist()
        known = wanted[other] >= 0  # a backtest does not say whose an order was that is gone when its answer comes
        assert owners[mine][known].tolist() == wanted[other][known].tolist()
        assert set(owners[mine].tolist()) == {0, 1}
    assert len(log.refused) == (log.events["kind"] == 28).sum() > 0
    fills = log.events[log.events["kind"] == FILL]
    assert log.samples[-1]["position"] == int((fills["side"] * fills["qty"]).sum())
    result = Result(log)
    assert result.stats["n_fills"] == len(fills)


def test_equity_of_the_samples_is_the_engines(tape):
    from tercel.live.recap import _equity
    from tercel.orders.positions import POSITION, position_equity

    random = np.random.default_rng(3)
    for kind in ("linear", "inverse"):
        instrument = tc.Instrument(symbol="X", tick_size="0.5", lot_size="1", kind=kind, base="X", quote="USD")
        rows = np.zeros(1, dtype=[("i", instrument.row().dtype)])
        rows["i"] = instrument.row()
        for _ in range(200):
            position = np.zeros(1, POSITION)
            for name in ("position", "cash", "cost", "fee", "funding"):
                position[name] = random.integers(-(10**5), 10**5)
            mark_x2 = int(random.integers(-1, 200_001))
            exact = position_equity(position[0], rows["i"][0], mark_x2)
            assert _equity(position[0], instrument, mark_x2) == exact
