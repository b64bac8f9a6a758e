import numpy as np
import pytest

from tercel.bench import quiet
from tercel.bench.peers import PeerMissingError, load
from tercel.bench.questions import bar_rows, quote_rows, synthetic_closes, synthetic_quotes, tick_file_quotes
from tercel.bench.results import FILL, SENT, Outcome, difference
from tercel.bench.timing import Timing, race
from tercel.errors import DataError
from tercel.model.events import BAR, QUOTE


def outcome(fills, position=0, balance=0.0, fee=0.0, sent=()):
    return Outcome(
        fills=np.array(fills, FILL), position=position, balance=balance, fee=fee, sent=np.array(list(sent), SENT)
    )


FIRST = (1, 100, 110, 5000, 10, 1)
SECOND = (2, 200, 210, 5001, 10, -1)


def test_equal_outcomes_have_no_difference():
    assert difference(outcome([FIRST, SECOND]), outcome([FIRST, SECOND])) == ""


def test_the_first_differing_fill_is_named_with_both_rows():
    other = (2, 200, 210, 5002, 10, -1)
    found = difference(outcome([FIRST, SECOND]), outcome([FIRST, other]))
    assert found.startswith("fill 1 differs: ours order=2, ts_exch=200, ts_recv=210, px=5001, qty=10, side=-1, theirs")
    assert "px=5002" in found
    assert "1 of 2 differ" in found


def test_a_missing_fill_is_named():
    assert difference(outcome([FIRST]), outcome([FIRST, SECOND])).startswith("fills: ours 1, theirs 2; theirs goes on")
    assert difference(outcome([FIRST, SECOND]), outcome([FIRST])).startswith("fills: ours 2, theirs 1; ours goes on")


def test_orders_are_compared_before_fills_where_both_tell():
    mine, other = [(1, 7, 500, 10, 1)], [(1, 7, 501, 10, 1)]
    assert difference(outcome([FIRST], sent=mine), outcome([SECOND], sent=other)).startswith("order sent 0 differs")
    assert difference(outcome([FIRST], sent=mine), outcome([FIRST])) == ""


def test_position_is_exact_and_money_within_float_noise():
    assert difference(outcome([], position=1), outcome([])) == "final position: ours 1 lots, theirs 0"
    assert difference(outcome([], balance=1e6), outcome([], balance=1e6 + 5e-4)) == ""
    assert difference(outcome([], fee=1.0), outcome([], fee=1.001)).startswith("final fee")
    assert difference(outcome([], fee=float("nan")), outcome([], fee=1.0)).startswith("final fee")


class Counter:
    name, n_events = "counter", 1000

    def __init__(self, log, mark):
        self.log, self.mark = log, mark

    def once(self):
        self.log.append(self.mark)
        return float(len(self.log))

    def outcome(self):
        return outcome([])


def test_a_race_warms_up_then_takes_turns(monkeypatch):
    monkeypatch.setattr(quiet, "monotonic_ns", lambda: 0)
    monkeypatch.setattr(quiet, "cpu_ns", lambda: 0)
    log = []
    ours, theirs = race([Counter(log, "a"), Counter(log, "b")], n=3, n_warm=2)
    assert "".join(log) == "aabbababab"
    assert ours.seconds == [5.0, 7.0, 9.0]
    assert theirs.seconds == [6.0, 8.0, 10.0]


def test_the_median_becomes_nanoseconds_per_event():
    timing = Timing(name="x", n_events=1000, seconds=[0.002, 0.001, 0.009])
    assert timing.median_s == 0.002
    assert timing.ns_per_event == 2000.0


def test_a_missing_package_says_how_to_get_it():
    with pytest.raises(PeerMissingError, match="no_such_engine is not installed"):
        load("no_such_engine.part")


def test_synthetic_inputs_are_the_same_every_time():
    closes = synthetic_closes(5)
    assert closes.dtype == np.int64
    assert closes.tolist() == [60008, 60010, 60013, 60020, 60021]
    ts_ns, bids, asks = synthetic_quotes(3)
    assert (np.diff(ts_ns) > 0).all()
    assert (asks - bids >= 8).all()
    assert (asks - bids <= 15).all()
    assert bids.tolist() == [139101, 139101, 139102]


def test_bars_span_the_close_before_and_the_close():
    rows = bar_rows(np.array([10, 12, 9], np.int64))
    assert rows["kind"].tolist() == [BAR] * 3
    assert rows["px"].tolist() == [10, 12, 9]
    assert rows["id"].tolist() == [10, 10, 12]
    assert rows["arg0"].tolist() == [10, 12, 12]
    assert rows["arg1"].tolist() == [10, 10, 9]
    assert np.diff(rows["ts_recv"]).tolist() == [60_000_000_000] * 2


def test_quotes_carry_both_sides():
    rows = quote_rows(np.array([1, 2]), np.array([5, 6]), np.array([7, 8]))
    assert rows["kind"].tolist() == [QUOTE] * 2
    assert rows["px"].tolist() == [5, 6]
    assert rows["arg0"].tolist() == [7, 8]
    assert rows["qty"].tolist() == rows["arg1"].tolist() == [10_000] * 2


def test_the_tick_file_reads_whole(data_dir):
    ts_ns, bids, asks = tick_file_quotes(data_dir / "ticks" / "forex_oanda_tick_eurusd_20140508_quote.zip")
    assert len(ts_ns) == 87_833
    assert bids[:3].tolist() == [139101, 139102, 139104]
    assert asks[:3].tolist() == [139114, 139116, 139118]
    assert (np.diff(ts_ns) > 0).all()
    assert int((ts_ns % 1_000_000).max()) < 100


def test_a_file_that_is_no_tick_file_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(b"not a zip")
    with pytest.raises(DataError, match=r"x\.zip does not read as a zip"):
        tick_file_quotes(path)
