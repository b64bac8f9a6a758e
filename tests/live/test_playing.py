"""A tape through the whole live path: the fills of a backtest, and a journal that replays to the byte."""

from __future__ import annotations

import numpy as np
import pytest

import tercel as tc
from tercel.engine.engine import Engine
from tercel.engine.replay import replay
from tercel.live.glance import Recent, glance
from tercel.live.playing import Player
from tercel.model.events import CANCELED, FILL
from tercel.sim.fees import Fees
from tercel.sim.latency import Latency, Lognormal
from tercel.sim.venue import VenueRules
from tercel.strategy.library.quoter import Quoter

RULES = VenueRules(
    latency=Latency(
        **{
            leg: Lognormal(median_ms=15.0, sigma=0.4, floor_ms=45.0, seed=i)
            for i, leg in enumerate(("new", "amend", "cancel", "response", "fill"), 5)
        }
    ),
    fees=Fees(maker=1, taker=4),
)


def quoter() -> Quoter:
    return Quoter(qty=0.02, position_max=0.1)


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    from tercel.cli.main import run

    path = tmp_path_factory.mktemp("playing") / "market.tape"
    assert run(["simulate", str(path), "--duration", "30s", "--seed", "11"]) == 0
    return tc.Tape.open(path)


def test_the_live_path_over_a_tape_fills_as_a_backtest_and_its_journal_replays(tape):
    player = Player([quoter()], tape, rules=RULES)
    recent = Recent(player.engine)
    player.core.flow.taps.append(recent.on_rows)
    player.play()
    fields = ["ts_exch", "ts_recv", "id", "side", "px", "qty", "arg0", "reason"]
    rows = player.journal.rows
    ours = rows[rows["kind"] == FILL][fields]
    log = tc.Backtest(quoter(), tape, rules=RULES).run().log
    theirs = log.events[(log.events["kind"] == FILL) & (log.events["ts_recv"] <= tape.meta.end_ns)][fields]
    assert len(theirs) > 10
    assert ours.tolist() == theirs.tolist()

    seen = glance(player.core, recent)
    assert seen.n_fills == len(ours)
    assert seen.fills[0].price == pytest.approx(float(tape.instruments[0].tick_size) * int(ours[-1]["px"]))
    assert seen.instruments[0].bid < seen.instruments[0].ask
    assert seen.state == "trading"

    player.finish()
    assert player.core.state == "stopped"
    assert glance(player.core, recent).orders == ()
    again = Engine(tape.instruments, [quoter()])
    commands, _ = replay(again, player.journal.rows)
    last, _ = again.take()
    assert np.concatenate([commands, last]).tobytes() == player.journal.commands.tobytes()
    assert again.state_hash() == player.engine.state_hash()
    assert (player.journal.rows["kind"] == CANCELED).any()


def test_a_glance_counts_money_as_a_report_does(tape):
    player = Player([quoter()], tape, rules=RULES)
    recent = Recent(player.engine)
    player.core.flow.taps.append(recent.on_rows)
    player.play(tape.meta.start_ns + 10_000_000_000)
    seen = glance(player.core, recent)
    position = player.engine.view("positions")[0]
    from tercel.orders.positions import position_equity

    one = seen.instruments[0]
    mark_x2 = round((one.bid + one.ask) / float(tape.instruments[0].tick_size))
    exact = position_equity(position, player.engine.view("instruments")[0], mark_x2)
    assert seen.equity == pytest.approx(exact * float(tape.instruments[0].quantum), abs=1e-7)
    assert player.next_ns > tape.meta.start_ns + 10_000_000_000
