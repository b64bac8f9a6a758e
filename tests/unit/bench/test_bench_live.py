"""The live questions, quickly: both sides decode the same, whatever the machine's speed."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from tercel.bench.live import decode, pipeline
from tercel.bench.live.messages import capture_messages, market_messages
from tercel.bench.run import GROUPS, QUESTIONS, expanded
from tercel.errors import ConfigError


@pytest.fixture(scope="module")
def recorded():
    return market_messages(200)


def test_made_messages_join_and_keep_their_levels(recorded):
    from tercel.bench.live.decode import _Envelope

    events = [msgspec.json.decode(m, type=_Envelope).data for m in recorded.depth()]
    assert len(events) == 200
    assert all(now.pu == before.u for before, now in pairwise(events))
    assert sum(len(e.b) + len(e.a) for e in events) > 1_000


@pytest.mark.parametrize("question", [decode.depth_to_rows, decode.json_to_engine, decode.binary_rows])
def test_results_are_compared_and_the_same(recorded, question):
    (row,) = question(recorded, quick=True)
    assert row.same_results is True
    assert row.ours is not None
    assert row.ours > 0


def test_on_the_capture_the_scanner_decodes_what_msgspec_decodes(data_dir):
    recorded = capture_messages(data_dir / "binance" / "usdm_btcusdt_20240808.gz", 3_000)
    (row,) = decode.depth_to_rows(recorded, quick=True)
    assert row.same_results is True


def test_groups_stand_for_questions():
    assert expanded(["live", "live_decode", "decision"]) == [*GROUPS["live"], "decision"]
    assert {*GROUPS["live"], *GROUPS["core"]} == set(QUESTIONS)
    with pytest.raises(ConfigError, match="no question called 'lives'"):
        expanded(["lives"])


def test_every_stage_has_a_figure_and_a_target(recorded):
    rows = [*pipeline.stages(recorded, quick=True), *pipeline.frames(recorded, quick=True)]
    named = {word for row in rows for word in row.question.replace(",", " ").split() if word.startswith("S3-")}
    assert named == {"S3-01", "S3-02", "S3-03", "S3-05", "S3-09", "S3-10", "S3-11", "S3-12"}
    assert all(row.ours is not None and row.ours > 0 and row.reach for row in rows)


def test_a_small_journal_recovers_to_the_same_state(tmp_path):
    from decimal import Decimal

    from tercel.bench.live.durability import recovery
    from tercel.model.instrument import Instrument
    from tercel.sim.market import MarketModel, simulate_market

    instrument = Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
    found = recovery(tmp_path, instrument, simulate_market(MarketModel(), 1, duration_s=5), 5_000)
    assert found.is_same is True
    assert found.took_s > 0
