"""Paper trading against the backtest: the same rows, orders and latencies give the same fills."""

from __future__ import annotations

import numpy as np
import pytest

import tercel as tc
from tercel.engine.engine import Engine
from tercel.live.paper import PaperConnection
from tercel.live.tape_source import TapeSource
from tercel.model.events import (
    ACK,
    FILL,
    event_rows,
)  # fmt: skip
from tercel.model.instrument import Instrument
from tercel.sim.fees import Fees
from tercel.sim.latency import Constant, Latency, Lognormal
from tercel.sim.venue import VenueRules
from tercel.strategy.library.imbalance_scalper import ImbalanceScalper
from tercel.strategy.library.quoter import Quoter
from tercel.venues.contract import NEVER

MS = 1_000_000
BTC = Instrument(symbol="BTC", tick_size="0.1", lot_size="0.001", base="BTC", quote="USDT")


def play(engine: Engine, conn, end_ns: int) -> np.ndarray:
    """The live path in its smallest form: rows, then answers, then timers, each at its own time. Account rows."""
    account = []
    conn.open(0)
    started = False
    while True:
        timer_ns = int(engine.head["next_timer"]) if started else NEVER
        now_ns = min(conn.next_wake_ns, timer_ns)
        if now_ns > end_ns:
            return np.concatenate(account) if account else event_rows(0)
        if not started:
            engine.start(now_ns)
            started = True
        if conn.next_wake_ns <= now_ns:
            conn.on_wake(now_ns)
            rows = conn.rows.filled().copy()
            conn.rows.clear()
            account.append(rows[(rows["kind"] >= ACK) & (rows["kind"] < 40)])
            i = 0
            while i < len(rows):
                i = engine.step(rows, i)
                commands, _ = engine.take()
                if len(commands):
                    conn.send_commands(commands, now_ns)
        if engine.head["next_timer"] <= now_ns:
            engine.fire_timers(now_ns + 1)
            commands, _ = engine.take()
            if len(commands):
                conn.send_commands(commands, now_ns)


def fills_of(rows: np.ndarray, end_ns: int) -> list[tuple[int, ...]]:
    kept = rows[(rows["kind"] == FILL) & (rows["ts_recv"] <= end_ns)]
    return [
        tuple(int(row[f]) for f in ("ts_exch", "ts_recv", "id", "side", "px", "qty", "arg0", "reason")) for row in kept
    ]


RULES = {
    "constant": VenueRules(latency=Latency.both(60.0), fees=Fees(maker=1, taker=4)),
    "lognormal": VenueRules(
        latency=Latency(
            **{
                leg: Lognormal(median_ms=20.0, sigma=0.4, floor_ms=40.0, seed=i)
                for i, leg in enumerate(("new", "amend", "cancel", "response", "fill"), 5)
            }
        ),
        fees=Fees(maker=-0.5, taker=3),
        consume=True,
        queue="log",
    ),
    "slow orders, fast answers": VenueRules(
        latency=Latency(
            new=Constant(5.0), amend=Constant(2.0), cancel=Constant(1.0), response=Constant(50.0), fill=Constant(45.0)
        )
    ),
}


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    from tercel.cli.main import run

    path = tmp_path_factory.mktemp("paper") / "market.tape"
    assert run(["simulate", str(path), "--duration", "60s", "--seed", "11"]) == 0
    return tc.Tape.open(path)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("make", [lambda: Quoter(qty=0.02, position_max=0.1), lambda: ImbalanceScalper(qty=0.02)])
def test_a_tape_through_the_live_path_fills_as_in_a_backtest(tape, name, make):
    rules = RULES[name]
    expected = tc.Backtest(make(), tape, rules=rules)
    log = expected.run().log
    engine = Engine(tape.instruments, [make()])
    rows = play(engine, PaperConnection(TapeSource.of(tape), rules), tape.meta.end_ns)
    ours, theirs = fills_of(rows, tape.meta.end_ns), fills_of(log.events, tape.meta.end_ns)
    assert len(theirs) > 20
    assert ours == theirs


def test_the_public_capture_fills_as_in_a_backtest(data_dir, tmp_path):
    tape = tc.import_capture(
        data_dir / "binance" / "usdm_btcusdt_20240808.gz", tmp_path / "b.tape", tick=0.1, lot=0.001
    )
    rules = VenueRules(latency=Latency.both(400.0), fees=Fees(maker=1, taker=4))
    made = {"qty": 0.02, "position_max": 0.1}
    log = tc.Backtest(Quoter(**made), tape, rules=rules).run().log
    engine = Engine(tape.instruments, [Quoter(**made)])
    rows = play(engine, PaperConnection(TapeSource.of(tape), rules), tape.meta.end_ns)
    theirs = fills_of(log.events, tape.meta.end_ns)
    assert len(theirs) > 5
    assert fills_of(rows, tape.meta.end_ns) == theirs
