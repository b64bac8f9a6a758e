"""The peers' sides against naive oracles; each test skips where its peer is not installed."""

import numpy as np
import pytest

from reference.naive_quoter import Quoter, jumpy_tape
from tercel.bench.peers import PeerMissingError, load
from tercel.bench.questions import (
    EMA_FAST,
    EMA_SLOW,
    SMA_FAST,
    SMA_SLOW,
    synthetic_closes,
    synthetic_quotes,
)
from tercel.bench.results import difference
from tercel.errors import DataError


def peer(name):
    try:
        return load(name)
    except PeerMissingError as error:
        pytest.skip(str(error))


def rows_of(table):
    return [tuple(int(value) for value in row) for row in table]


@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize("queue", ["risk_averse", "power"])
def test_hftbacktest_follows_the_question(queue, feed):
    peer("hftbacktest")
    from tercel.bench.peers import hftbacktest_peer

    tape = jumpy_tape(crossing=True)
    make = hftbacktest_peer.quoter_feed if feed else hftbacktest_peer.quoter
    events = hftbacktest_peer.hftbacktest_events(tape)
    theirs = make(events, book="hash", queue=queue).outcome()
    naive = Quoter(tape, queue, feed).run()
    assert rows_of(theirs.sent) == naive.sent
    assert rows_of(theirs.fills) == sorted(naive.fills, key=lambda fill: (fill[1], fill[0]))
    assert len(naive.fills) > 50
    assert theirs.position == naive.position
    assert difference(make(events, book="dense", queue=queue).outcome(), theirs) == ""


def test_the_capture_becomes_exactly_hftbacktests_own_array(data_dir, tmp_path):
    own = peer("hftbacktest.data.utils.binancefutures")
    from tercel.bench.peers.hftbacktest_peer import hftbacktest_events
    from tercel.store.binance import import_binance

    source = data_dir / "binance" / "usdm_btcusdt_20240808.gz"
    theirs = own.convert(str(source), buffer_size=1_000_000)
    ours = hftbacktest_events(np.asarray(import_binance(source, tmp_path / "x.tape").rows()))
    assert len(ours) == 491_973
    assert ours.tobytes() == theirs.tobytes()


def test_hftbacktest_has_no_word_for_quotes():
    peer("hftbacktest")
    from tercel.bench.peers.hftbacktest_peer import hftbacktest_events

    rows = jumpy_tape(10, crossing=True)
    rows["kind"][3] = 4
    with pytest.raises(DataError, match="row 3 has kind 4"):
        hftbacktest_events(rows)


def test_nautilus_follows_the_question():
    peer("nautilus_trader")
    from tercel.bench.peers import nautilus_peer

    ts_ns, bids, asks = synthetic_quotes(5_000)
    engine = nautilus_peer.ema_quotes(ts_ns, bids, asks)
    theirs = engine.outcome()
    fast = slow = None
    held, expected = 0, []
    for i, (ts, bid, ask) in enumerate(zip(ts_ns.tolist(), bids.tolist(), asks.tolist(), strict=True)):
        price = (bid + ask) / 200_000
        fast = price if fast is None else fast + 2 / (EMA_FAST + 1) * (price - fast)
        slow = price if slow is None else slow + 2 / (EMA_SLOW + 1) * (price - slow)
        if i + 1 >= EMA_SLOW and (fast > slow) != bool(held) and fast != slow:
            side = -1 if held else 1
            held += side
            expected.append((len(expected) + 1, ts, ts, ask if side == 1 else bid, 100, side))
    assert rows_of(theirs.fills) == expected
    assert len(expected) > 50
    assert difference(engine.outcome(), theirs) == ""
    engine.close()


def sma_fills(closes):
    held, fills = 0, []
    for i in range(SMA_SLOW, len(closes)):
        fast = closes[i + 1 - SMA_FAST : i + 1].sum() * SMA_SLOW
        slow = closes[i + 1 - SMA_SLOW : i + 1].sum() * SMA_FAST
        if (fast > slow and not held) or (fast < slow and held):
            side = -1 if held else 1
            held += side
            fills.append((len(fills) + 1, i, i, int(closes[i]), 1, side))
    return fills


@pytest.mark.parametrize(("package", "module"), [("vectorbt", "vectorbt_peer"), ("backtesting", "backtesting_peer")])
def test_bar_engines_follow_the_question(package, module):
    peer(package)
    closes = synthetic_closes(5_000)
    contestant = load(f"tercel.bench.peers.{module}").sma_bars(closes)
    theirs = contestant.outcome()
    expected = sma_fills(closes)
    assert rows_of(theirs.fills) == expected
    assert len(expected) > 50
    cash = -sum(px * qty * side for _, _, _, px, qty, side in expected) * 0.25
    assert theirs.balance == pytest.approx(cash, abs=1e-6)
    assert contestant.once() > 0
