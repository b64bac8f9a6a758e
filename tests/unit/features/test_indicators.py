"""Every indicator: compiled, over bytes and on the instance with equal bits; against textbook columns and TA-Lib."""

from __future__ import annotations

import numpy as np
import pytest

from reference import naive_indicators as naive
from tercel.features.extremes import RollingMinMax
from tercel.features.microstructure import SmoothedImbalance, SmoothedMicroprice, microprice, order_book_imbalance
from tercel.features.moving import Ema, RollingStd, Sma, Zscore, ring_capacity
from tercel.features.vwap import RollingVwap, Vwap
from tercel.features.wilder import Atr, Rsi

N = 300
NAN, INF = float("nan"), float("inf")


def walk(seed: int, n: int = N, start: float = 60_000.0) -> np.ndarray:
    """Prices on a grid of 0.1 with runs of equal values, as trades have them."""
    rng = np.random.default_rng(seed)
    return start + np.cumsum(rng.integers(-3, 4, n) * (rng.random(n) < 0.6)) * 0.1


def bars(seed: int, n: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    close = walk(seed, n)
    return close + rng.random(n) * 5, close - rng.random(n) * 5, close


def first_ready(rows: np.ndarray) -> int:
    return int(np.argmax(rows["ready"]))


def test_ring_capacity_is_the_power_of_two_at_or_above_the_window():
    assert [ring_capacity(w) for w in (-1, 0, 1, 2, 3, 4, 5, 64, 65)] == [1, 1, 1, 2, 4, 4, 8, 64, 128]


def test_ema(run_both):
    x = walk(1)
    rows = run_both(lambda: Ema(10), x)
    np.testing.assert_allclose(rows["out"], naive.ema(x, 10), rtol=1e-13)
    assert first_ready(rows) == 9


def test_ema_by_hand():
    ema = Ema(span=3)
    assert [ema.update(v) for v in (4.0, 8.0, 0.0)] == [4.0, 6.0, 3.0]
    assert ema.ready()


@pytest.mark.parametrize("window", [1, 2, 7, 8, 50])
def test_sma(run_both, window):
    x = walk(2)
    rows = run_both(lambda: Sma(window), x)
    # A plain sum of at most 128 terms between two fresh sums; each addition may be half a unit in the last place off.
    np.testing.assert_allclose(rows["out"], naive.sma(x, window), rtol=128 * 2.0**-53)
    assert first_ready(rows) == window - 1


@pytest.mark.parametrize(("window", "ddof"), [(1, 0), (2, 1), (7, 0), (50, 1)])
def test_rolling_std(run_both, window, ddof):
    x = walk(3)
    rows = run_both(lambda: RollingStd(window, ddof), x)
    np.testing.assert_allclose(rows["out"], naive.std(x, window, ddof), atol=1e-7)
    assert first_ready(rows) == window - 1


def test_rolling_std_does_not_drift_in_a_million_updates(run_compiled):
    """Stated bound: 1e-9 absolute on prices near 60,000 on a grid of 0.1, at every update of the last thousand."""
    x = walk(4, 1_000_000)
    rows, _ = run_compiled(RollingStd(100), x)
    exact = naive.std(x[-1_100:], 100, 0)[-1_000:]
    assert np.abs(rows["out"][-1_000:] - exact).max() < 1e-9
    assert exact.min() > 0.1


def test_rolling_std_forgets_an_outlier(run_compiled):
    x = walk(5, 500)
    x[100] = 1e12
    rows, _ = run_compiled(RollingStd(20), x)
    np.testing.assert_allclose(rows["out"][140:], naive.std(x, 20, 0)[140:], atol=1e-9)


def test_equal_values_have_no_deviation_at_all(run_both):
    x = np.concatenate([walk(6, 50), np.full(20, 60_000.1)])
    assert run_both(lambda: RollingStd(20), x)["out"][-1] == 0.0
    assert run_both(lambda: Zscore(20), x)["out"][-1] == 0.0


def test_zscore(run_both):
    x = walk(7)
    rows = run_both(lambda: Zscore(30), x)
    np.testing.assert_allclose(rows["out"], naive.zscore(x, 30), atol=1e-7)
    assert first_ready(rows) == 29


@pytest.mark.parametrize("window", [1, 5, 16])
def test_rolling_min_max(run_both, window):
    x = walk(8)
    rows = run_both(lambda: RollingMinMax(window), x)
    assert rows["out"].tolist() == [float(w.max() - w.min()) for w in naive.windows(x, window)]
    assert first_ready(rows) == window - 1


@pytest.mark.parametrize("period", [1, 2, 14])
def test_rsi(run_both, period):
    x = walk(9)
    rows = run_both(lambda: Rsi(period), x)
    np.testing.assert_allclose(rows["out"], naive.rsi(x, period), rtol=1e-9)
    assert first_ready(rows) == period


def test_rsi_of_one_direction_and_of_none():
    rising, falling, constant = Rsi(3), Rsi(3), Rsi(3)
    assert [rising.update(float(v)) for v in range(6)] == [50.0, 50.0, 50.0, 100.0, 100.0, 100.0]
    assert [falling.update(float(-v)) for v in range(6)] == [50.0, 50.0, 50.0, 0.0, 0.0, 0.0]
    assert [constant.update(5.0) for _ in range(6)] == [50.0] * 6


@pytest.mark.parametrize("period", [1, 14])
def test_atr(run_both, period):
    high, low, close = bars(10)
    rows = run_both(lambda: Atr(period), high, low, close)
    np.testing.assert_allclose(rows["out"], naive.atr(high, low, close, period), rtol=1e-12)
    assert first_ready(rows) == period


def test_atr_sees_the_gap_from_the_previous_close():
    atr = Atr(2)
    assert [atr.update(*b) for b in ((10.0, 8.0, 9.0), (15.0, 14.0, 14.0), (14.0, 14.0, 14.0), (14.0, 14.0, 14.0))] == [
        2.0,
        6.0,
        3.0,
        1.5,
    ]


def test_vwap(run_both):
    price, qty = walk(11), np.random.default_rng(11).integers(0, 5, N) * 0.001
    rows = run_both(Vwap, price, qty)
    np.testing.assert_allclose(rows["out"], naive.vwap(price, qty, N), rtol=1e-14)


def test_vwap_without_volume_is_the_newest_price_and_reset_begins_anew():
    vwap = Vwap()
    assert [vwap.update(5.0, 0.0), vwap.update(6.0, 0.0)] == [5.0, 6.0]
    assert not vwap.ready()
    assert [vwap.update(10.0, 1.0), vwap.update(20.0, 3.0), vwap.update(99.0, -1.0)] == [10.0, 17.5, 17.5]
    vwap.reset()
    assert vwap.update(40.0, 2.0) == 40.0


@pytest.mark.parametrize("window", [1, 4, 33])
def test_rolling_vwap(run_both, window):
    price, qty = walk(12), np.random.default_rng(12).integers(0, 3, N) * 0.001
    rows = run_both(lambda: RollingVwap(window), price, qty)
    np.testing.assert_allclose(rows["out"], naive.vwap(price, qty, window), rtol=1e-14)
    assert first_ready(rows) == window - 1


def test_rolling_vwap_keeps_no_trace_of_a_huge_trade(run_both):
    price, qty = np.array([60_000.1, 1.3, 1.1, 1.7]), np.array([1e12, 0.001, 0.001, 0.001])
    assert run_both(lambda: RollingVwap(3), price, qty)["out"][-1] == pytest.approx((1.3 + 1.1 + 1.7) / 3, rel=1e-15)


def test_imbalance_and_microprice_by_hand():
    assert order_book_imbalance(3.0, 1.0) == 0.5
    assert [order_book_imbalance(*q) for q in ((0.0, 0.0), (2.0, 0.0), (0.0, 2.0))] == [0.0, 1.0, -1.0]
    assert microprice(100.0, 3.0, 102.0, 1.0) == 101.5
    assert microprice(100.0, 0.0, 102.0, 0.0) == 101.0


def test_smoothed_microstructure(run_both):
    rng = np.random.default_rng(13)
    bid, ask = walk(13), walk(13) + 0.1
    bid_qty, ask_qty = rng.integers(0, 4, N) * 1.0, rng.integers(0, 4, N) * 1.0
    total = bid_qty + ask_qty
    some = np.where(total > 0, total, 1.0)
    imbalance = np.where(total > 0, (bid_qty - ask_qty) / some, 0.0)
    micro = np.where(total > 0, (bid * ask_qty + ask * bid_qty) / some, (bid + ask) / 2)
    rows = run_both(lambda: SmoothedImbalance(5), bid_qty, ask_qty)
    np.testing.assert_allclose(rows["out"], naive.ema(imbalance, 5), atol=1e-13)
    rows = run_both(lambda: SmoothedMicroprice(5), bid, bid_qty, ask, ask_qty)
    np.testing.assert_allclose(rows["out"], naive.ema(micro, 5), rtol=1e-13)
    assert first_ready(rows) == 4


ONE_SERIES = {
    "ema": lambda: Ema(4),
    "sma": lambda: Sma(4),
    "std": lambda: RollingStd(4),
    "zscore": lambda: Zscore(4),
    "minmax": lambda: RollingMinMax(4),
    "rsi": lambda: Rsi(4),
}


@pytest.mark.parametrize("name", ONE_SERIES)
def test_values_that_are_not_finite_are_skipped(name):
    clean, dirty = ONE_SERIES[name](), ONE_SERIES[name]()
    expected, got = [], []
    for x in walk(14, 30):
        expected.append(clean.update(x))
        got.append(dirty.update(x))
        assert [dirty.update(bad) for bad in (NAN, INF, -INF)] == [got[-1]] * 3
    assert got == expected


def test_not_finite_values_of_bars_and_trades_are_skipped():
    atr, vwap, rolling = Atr(2), Vwap(), RollingVwap(2)
    assert [atr.update(3.0, 1.0, 2.0), atr.update(NAN, 1.0, 2.0), atr.update(3.0, 1.0, INF)] == [2.0, 2.0, 2.0]
    assert [vwap.update(3.0, 1.0), vwap.update(NAN, 1.0), vwap.update(4.0, INF)] == [3.0, 3.0, 3.0]
    assert [rolling.update(3.0, 1.0), rolling.update(NAN, 1.0), rolling.update(4.0, INF)] == [3.0, 3.0, 3.0]


@pytest.mark.parametrize("name", ["sma", "std", "minmax", "vwap"])
def test_a_window_may_change_at_run_time(name):
    """Smaller forgets at once, greater fills as values arrive, above the ring's capacity means the capacity."""
    x = walk(15, 60)
    made = {"sma": Sma(8), "std": RollingStd(8), "minmax": RollingMinMax(8), "vwap": RollingVwap(8)}[name]
    held: list[float] = []
    for i, value in enumerate(x):
        window = {0: 8, 20: 3, 30: 7, 40: 50, 50: 0}.get(i, made.window)
        made.window = window
        kept = max(1, min(window, 8))
        held = [*held, value][-kept:]
        got = made.update(value, 1.0) if name == "vwap" else made.update(value)
        want = {
            "sma": np.mean(held),
            "std": np.std(held),
            "minmax": np.ptp(held),
            "vwap": np.mean(held),
        }[name]
        assert got == pytest.approx(want, abs=1e-7), i


def test_a_smaller_window_in_the_record_needs_no_new_code():
    assert Sma(5).record_dtype() == Sma(8).record_dtype()
    assert Sma(8).record_dtype() != Sma(9).record_dtype()


class TestTaLib:
    """TA-Lib is an oracle of the development extra; it is compared from the end of its own warm-up on."""

    @pytest.fixture
    def talib(self):
        return pytest.importorskip("talib", reason="TA-Lib, the oracle of these tests, is not installed")

    def test_moving(self, talib):
        x = walk(16)
        sma, std = Sma(20), RollingStd(20)
        got = np.array([(sma.update(v), std.update(v)) for v in x])
        np.testing.assert_allclose(got[19:, 0], talib.SMA(x, 20)[19:], rtol=1e-12)
        # TA-Lib subtracts squares, so its own error near 60,000 is about 1e-5.
        np.testing.assert_allclose(got[19:, 1], talib.STDDEV(x, 20)[19:], atol=1e-4)

    def test_ema_from_the_same_seed(self, talib):
        """TA-Lib seeds with the mean of the first values, ours with the first value it is given: give it that mean."""
        x = walk(17)
        ema = Ema(15)
        ema.update(x[:15].mean())
        got = np.array([ema.update(v) for v in x[15:]])
        np.testing.assert_allclose(got, talib.EMA(x, 15)[15:], rtol=1e-12)

    def test_rsi_and_atr(self, talib):
        high, low, close = bars(18)
        rsi, atr = Rsi(14), Atr(14)
        got_rsi = np.array([rsi.update(v) for v in close])
        got_atr = np.array([atr.update(*b) for b in zip(high, low, close)])
        np.testing.assert_allclose(got_rsi[14:], talib.RSI(close, 14)[14:], rtol=1e-9)
        np.testing.assert_allclose(got_atr[14:], talib.ATR(high, low, close, 14)[14:], rtol=1e-11)

    def test_min_max(self, talib):
        x = walk(19)
        made = RollingMinMax(25)
        got = np.array([made.update(v) for v in x])
        np.testing.assert_array_equal(got[24:], (talib.MAX(x, 25) - talib.MIN(x, 25))[24:])
