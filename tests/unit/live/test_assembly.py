"""What a session is put together from: a warm-up tape with the session's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import tercel as tc
from tercel.errors import ConfigError
from tercel.live.assembly import read_warm_up
from tercel.model.events import EXCH, LAST, LOCAL, TRADE, event_rows
from tercel.store.writing import write_tape

T0 = 1_700_000_000_000_000_000


def instrument(symbol: str, tick: str = "0.1", venue: str = "a") -> tc.Instrument:
    return tc.Instrument(symbol=symbol, tick_size=tick, lot_size="0.001", venue=venue)


@pytest.fixture
def tape(tmp_path):
    rows = event_rows(6)
    rows["ts_exch"] = rows["ts_recv"] = T0 + np.arange(6)
    rows["kind"], rows["side"], rows["px"], rows["qty"] = TRADE, 1, 10, 1 + np.arange(6)
    rows["flags"], rows["instrument"] = LOCAL | EXCH | LAST, [0, 1, 2, 0, 1, 2]
    path = tmp_path / "seen.tape"
    write_tape(path, rows, [instrument("A"), instrument("B"), instrument("B", venue="b")])
    return path


def test_rows_get_the_numbers_of_the_session_and_others_are_left_out(tape):
    rows = read_warm_up(tape, [instrument("B", venue="elsewhere"), instrument("A")])
    assert list(zip(rows["instrument"].tolist(), rows["qty"].tolist())) == [(1, 1), (0, 2), (1, 4), (0, 5)]
    rows = read_warm_up(tape, [instrument("B", venue="b"), instrument("B", venue="a")])
    assert list(zip(rows["instrument"].tolist(), rows["qty"].tolist())) == [(1, 2), (0, 3), (1, 5), (0, 6)]


def test_a_tape_of_another_market_is_refused(tape):
    with pytest.raises(ConfigError, match=r"lacks C with the tick and lot sizes .* it has: A \(tick 0.1"):
        read_warm_up(tape, [instrument("A"), instrument("C")])
    with pytest.raises(ConfigError, match="lacks A"):
        read_warm_up(tape, [instrument("A", tick="0.01")])
