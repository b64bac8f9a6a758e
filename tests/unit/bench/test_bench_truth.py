"""Our own side against naive oracles, fill by fill: no peer needed."""

import numpy as np
import pytest

from reference.naive_quoter import Quoter, jumpy_tape
from tercel.bench import ours
from tercel.bench.questions import (
    EMA_FAST,
    EMA_SLOW,
    SMA_FAST,
    SMA_SLOW,
    bar_rows,
    quote_rows,
    synthetic_closes,
    synthetic_quotes,
)


def rows_of(table):
    return [tuple(int(value) for value in row) for row in table]


def assert_same(mine, naive):
    last = max(naive.local[-1][naive.at["ts_recv"]], 0)
    expected = [sent for sent in naive.sent if not naive.feed or sent[1] < last]
    assert rows_of(mine.sent) == expected
    assert rows_of(mine.fills) == sorted(naive.fills, key=lambda fill: (fill[1], fill[0]))
    assert mine.position == naive.position


@pytest.mark.parametrize("feed", [False, True])
@pytest.mark.parametrize("queue", ["risk_averse", "power"])
def test_the_quoter_on_a_jumpy_tape(queue, feed):
    tape = jumpy_tape(crossing=False)
    mine = ours.quoter(tape, queue=queue, feed=feed).outcome()
    assert_same(mine, Quoter(tape, queue, feed).run())
    assert len(mine.fills) > 50


@pytest.mark.data
@pytest.mark.parametrize(
    ("queue", "feed", "n_fills", "n_sent", "position", "balance", "fee"),
    [
        ("risk_averse", False, 365, 899, -10, 591.5, 45.051428),
        ("power", False, 382, 938, 0, -22.884, 47.1490356),
        ("risk_averse", True, 324, 2761, -20, 1212.891, 39.996727),
        ("power", True, 347, 2814, -10, 596.197, 42.8359434),
    ],
)
def test_the_quoter_on_the_capture(data_dir, tmp_path_factory, queue, feed, n_fills, n_sent, position, balance, fee):
    """The literals are those of hftbacktest 2.4.4 on the same rows, dense and hash book alike."""
    from tercel.store.binance import import_binance

    path = tmp_path_factory.getbasetemp() / "usdm.tape"
    source = data_dir / "binance" / "usdm_btcusdt_20240808.gz"
    tape = np.array(import_binance(source, path).rows())
    mine = ours.quoter(tape, queue=queue, feed=feed).outcome()
    assert (len(mine.fills), len(mine.sent), mine.position) == (n_fills, n_sent, position)
    assert mine.balance == pytest.approx(balance, abs=1e-9)
    assert mine.fee == pytest.approx(fee, abs=1e-9)
    if queue == "risk_averse" and not feed:
        assert_same(mine, Quoter(tape, queue, feed).run())


def test_the_ema_cross_on_quotes():
    ts_ns, bids, asks = synthetic_quotes(5_000)
    mine = ours.ema_quotes(quote_rows(ts_ns, bids, asks)).outcome()
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
    assert rows_of(mine.fills) == expected
    assert len(expected) > 50


def test_the_sma_cross_on_bars():
    closes = synthetic_closes(5_000)
    mine = ours.sma_bars(bar_rows(closes)).outcome()
    held, expected = 0, []
    for i in range(SMA_SLOW, len(closes)):
        fast = closes[i + 1 - SMA_FAST : i + 1].sum() * SMA_SLOW
        slow = closes[i + 1 - SMA_SLOW : i + 1].sum() * SMA_FAST
        if (fast > slow and not held) or (fast < slow and held):
            side = -1 if held else 1
            held += side
            expected.append((len(expected) + 1, i, i, int(closes[i]), 1, side))
    assert rows_of(mine.fills) == expected
    assert len(expected) > 50
