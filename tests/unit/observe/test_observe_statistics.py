"""Statistics against naive twins on random runs, against literals, and at their edges."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_observe import naive_growth, naive_percentile, naive_risk, naive_time_in_market, naive_trades, rows_of
from random_runlog import BTC, COIN, ETH, MS, START_NS, random_runlog

from tercel.model import events as e
from tercel.model.runlog import SAMPLE, RunLog
from tercel.observe.definitions import DEFINITIONS
from tercel.observe.results import Result
from tercel.observe.statistics import grid_step_ns, run_span_ns
from tercel.observe.trades import pair_trades

S = 1_000 * MS
SETS = st.sampled_from([(BTC,), (BTC, ETH), (COIN,)])


def sampled(equity: list[float], every_ns: int = S, initial: float = 100.0) -> RunLog:
    """A run whose account took these values, one sample each `every_ns`, and never traded."""
    samples = np.zeros(len(equity), SAMPLE)
    samples["ts"] = START_NS + np.arange(len(equity)) * every_ns
    samples["equity"] = [round((value - initial) * 1e8) for value in equity]
    end = START_NS + (len(equity) - 1) * every_ns
    return RunLog(
        instruments=[BTC], strategies=["Hand"], samples=samples, start_ns=START_NS, end_ns=end, initial_equity=initial
    )


def filled(fills: list[tuple[int, int, int, int, int]], seconds: int = 10) -> RunLog:
    """A run of bare fills: (second, side, price in ticks, lots, fee in quanta)."""
    events = np.zeros(len(fills), e.EVENT)
    for row, (second, side, px, qty, fee) in zip(events, fills):
        row["kind"], row["side"], row["px"], row["qty"], row["arg0"] = e.FILL, side, px, qty, fee
        row["ts_exch"] = row["ts_recv"] = START_NS + second * S
    return RunLog(
        instruments=[BTC], strategies=["Hand"], events=events, event_strategies=np.zeros(len(fills), np.int16),
        start_ns=START_NS, end_ns=START_NS + seconds * S,
    )  # fmt: skip


def test_performance_by_hand():
    stats = Result(sampled([100, 110, 99, 99, 121])).stats
    assert stats["profit"] == pytest.approx(21.0)
    assert stats["total_return"] == pytest.approx(0.21)
    assert stats["max_drawdown"] == pytest.approx(0.1)  # 110 to 99
    assert stats["max_drawdown_ns"] == 3 * S  # 110 at second 1, passed again at second 4
    assert stats["annual_return"] == pytest.approx(0.21 * 365 * 86_400 / 4)
    assert stats["calmar"] == pytest.approx(0.21 * 365 * 86_400 / 4 / 0.1)
    # Returns 0.1, -0.1, 0, 22/99: mean 0.0555556, deviation (n - 1) 0.1378853, downside sqrt(0.01 / 4) = 0.05.
    assert stats["sharpe"] == pytest.approx(0.402912 * math.sqrt(365 * 86_400), rel=1e-5)
    assert stats["sortino"] == pytest.approx(0.0555556 / 0.05 * math.sqrt(365 * 86_400), rel=1e-6)


def test_a_drawdown_that_never_ends_lasts_until_the_run_does():
    assert Result(sampled([100, 105, 104, 103, 104.5])).stats["max_drawdown_ns"] == 3 * S


def test_a_fall_from_the_start_counts():
    stats = Result(sampled([90, 95, 95])).stats
    assert stats["max_drawdown"] == pytest.approx(0.1)
    assert stats["max_drawdown_ns"] == 2 * S


def test_trades_by_hand():
    # Buys 2 at 1000 and 2 at 1010 ticks; sells 3 at 1020, then 3 at 1000 (closes 1, opens short 2), covers 2 at 1005.
    log = filled(
        [
            (0, 1, 1_000, 2, 0),
            (1, 1, 1_010, 2, 40_000),
            (3, -1, 1_020, 3, 30_000),
            (5, -1, 1_000, 3, 0),
            (9, 1, 1_005, 2, 0),
        ]
    )
    trades = pair_trades(log)
    tick_lot = 0.1 * 0.001  # USDT
    assert trades["i_exit"].tolist() == [2, 3, 4]
    assert trades["lots"].tolist() == [3, 1, 2]
    assert trades["profit"].tolist() == pytest.approx(
        [(2 * 20 + 10) * tick_lot - 0.0005, -10 * tick_lot - 0.0002, -10 * tick_lot]
    )
    assert trades["holding_ns"].tolist() == pytest.approx([(3 + 3 + 2) / 3 * S, 4 * S, 4 * S])
    stats = Result(log).stats
    assert (stats["n_trades"], stats["win_rate"]) == (3, pytest.approx(1 / 3))
    assert stats["profit_factor"] == pytest.approx(0.0045 / 0.0022)
    assert stats["time_in_market"] == pytest.approx(0.9)
    assert stats["volume"] == pytest.approx((2 * 1_000 + 2 * 1_010 + 3 * 1_020 + 3 * 1_000 + 2 * 1_005) * tick_lot)
    assert stats["fees"] == pytest.approx(0.0007)


def test_inverse_profit_by_hand():
    log = filled([(0, 1, 500_000, 10, 0), (1, -1, 505_000, 10, 0)])
    coin = RunLog(instruments=[COIN], strategies=["Hand"], events=log.events, event_strategies=log.event_strategies)
    # 10 contracts of 100 USD: 1000 / 50,000 - 1000 / 50,500 BTC.
    assert pair_trades(coin)["profit"].tolist() == pytest.approx([0.0001980198], rel=1e-6)
    assert Result(coin).strategies["profit"].to_list() == pytest.approx([0.0001980198], rel=1e-6)


@pytest.mark.parametrize(
    ("seconds", "step_s"), [(5, 1), (29 * 60, 1), (30 * 60, 60), (30 * 3_600, 3_600), (30 * 86_400, 86_400)]
)
def test_grid_step(seconds, step_s):
    log = RunLog(instruments=[BTC], strategies=[], start_ns=START_NS, end_ns=START_NS + seconds * S)
    assert grid_step_ns(log) == step_s * S


def test_grid_is_never_finer_than_the_samples():
    assert grid_step_ns(sampled([100.0] * 20, every_ns=86_400 * S)) == 86_400 * S
    assert grid_step_ns(sampled([100.0] * 20, every_ns=7 * 86_400 * S)) == 7 * 86_400 * S


def test_constant_equity_has_no_risk_ratio():
    stats = Result(sampled([100.0] * 60)).stats
    assert (stats["profit"], stats["total_return"], stats["volatility"], stats["max_drawdown"]) == (0, 0, 0, 0)
    assert [stats[k] for k in ("sharpe", "sortino", "calmar")] == [None, None, None]


def test_ruin_has_no_ratios_but_a_drawdown():
    stats = Result(sampled([100.0, 50.0, -20.0, 10.0])).stats
    assert [stats[k] for k in ("sharpe", "sortino", "volatility")] == [None, None, None]
    assert stats["max_drawdown"] == pytest.approx(1.2)


def test_without_initial_equity_only_profit_is_known():
    log = sampled([100.0, 101.0, 100.5])
    stats = Result(RunLog(**{f: getattr(log, f) for f in log.__struct_fields__} | {"initial_equity": 0.0})).stats
    assert stats["profit"] == pytest.approx(0.5)
    empty = ("total_return", "sharpe", "max_drawdown", "max_drawdown_ns", "calmar", "turnover")
    assert [stats[k] for k in empty] == [None] * len(empty)


def test_no_fills_leaves_ratios_empty():
    stats = Result(sampled([100.0, 101.0, 100.5])).stats
    empty = (
        "win_rate",
        "profit_factor",
        "trade_mean",
        "holding_mean_ns",
        "fill_ratio",
        "maker_share",
        "slippage_ticks",
    )
    assert [stats[k] for k in empty] == [None] * len(empty)
    assert (stats["n_fills"], stats["volume"], stats["turnover"], stats["time_in_market"]) == (0, 0, 0, 0)


def test_an_empty_log_has_every_key_and_no_nan():
    stats = Result(RunLog(instruments=[BTC], strategies=[])).stats
    assert list(stats) == [d.key for d in DEFINITIONS]
    json.dumps(stats, allow_nan=False)


def test_mixed_settlement_has_returns_but_no_money():
    result = Result(random_runlog(8, instruments=(BTC, COIN)))
    assert result.stats["total_return"] is not None
    assert {d.key for d in DEFINITIONS if d.unit == "money"} <= {k for k, v in result.stats.items() if v is None}
    assert result.strategies["profit"].to_list() == [None]
    assert result.instruments["currency"].to_list() == ["USDT", "BTC"]
    assert result.instruments["profit"].null_count() == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), instruments=SETS)
def test_trades_match_a_real_queue(seed, instruments):
    log = random_runlog(seed, 80, instruments, ("A", "B"), n_samples=60)
    naive, ours = naive_trades(log), pair_trades(log)
    assert ours["i_exit"].tolist() == [t["i_exit"] for t in naive]
    assert ours["lots"].tolist() == [t["lots"] for t in naive]
    assert ours["profit"].tolist() == pytest.approx([float(t["profit"]) for t in naive], rel=1e-9, abs=1e-12)
    assert ours["holding_ns"].tolist() == pytest.approx([float(t["holding_ns"]) for t in naive])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), instruments=SETS)
def test_statistics_match_naive_twins(seed, instruments):
    log = random_runlog(seed, 60, instruments, n_samples=80, volatility=40.0)
    log = RunLog(**{f: getattr(log, f) for f in log.__struct_fields__} | {"initial_equity": 50.0})
    stats, (start, end) = Result(log).stats, run_span_ns(log)
    growth = naive_growth(log)
    assert stats["total_return"] == pytest.approx(growth[-1][1] - 1, abs=1e-12)
    for key, want in naive_risk(growth, start, end, grid_step_ns(log)).items():
        assert stats[key] == (None if want is None else pytest.approx(want, rel=1e-6)), key
    assert stats["time_in_market"] == pytest.approx(naive_time_in_market(log, start, end))
    fills = [row for row in rows_of(log.events) if row["kind"] == e.FILL]
    maker = volume = fees = 0.0
    for row in fills:
        i = instruments[row["instrument"]]
        size, price = float(i.qty(row["qty"])) * float(i.contract_value), float(i.price(row["px"]))
        notional = size / price if i.kind == "inverse" else size * price
        volume += notional
        maker += notional if row["flags"] & e.MAKER else 0
        fees += float(i.money(row["arg0"]))
    assert stats["n_fills"] == len(fills)
    assert (stats["volume"], stats["fees"]) == pytest.approx((volume, fees))
    assert stats["turnover"] == pytest.approx(volume / 50.0 / len(instruments))
    assert stats["maker_share"] == pytest.approx(maker / volume)
    naive = naive_trades(log)
    wins = [float(t["profit"]) for t in naive if t["profit"] > 0]
    losses = [-float(t["profit"]) for t in naive if t["profit"] < 0]
    assert stats["win_rate"] == pytest.approx(len(wins) / len(naive))
    assert stats["profit_factor"] == (pytest.approx(sum(wins) / sum(losses)) if losses else None)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_percentiles_match_naive_ranks(seed):
    result = Result(random_runlog(seed, 60, n_samples=60))
    for name in ("entry_latency", "round_trip", "queue_wait"):
        values = result.orders[f"{name}_ns"].drop_nulls().to_list()
        for share in (50, 95):
            want = pytest.approx(naive_percentile(values, share / 100)) if values else None
            assert result.stats[f"{name}_p{share}_ns"] == want


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), instruments=SETS)
def test_strategies_share_out_the_account(seed, instruments):
    """Profit by strategy, plus funding, is the account's own equity at its last sample."""
    log = random_runlog(seed, 60, instruments, ("A", "B", "C"), n_samples=60)
    last = int(log.samples["ts"][-1])
    keep = log.events["ts_recv"] <= last
    gate = log.events["kind"][log.events["kind"] == e.REFUSED]
    cut = {"events": log.events[keep], "event_strategies": log.event_strategies[keep]}
    cut["refused"] = log.refused[: int((log.events[keep]["kind"] == e.REFUSED).sum())]
    assert len(gate) == len(log.refused)
    result = Result(RunLog(**{f: getattr(log, f) for f in log.__struct_fields__} | cut))
    shared = sum(result.strategies["profit"].to_list())
    assert shared + result.stats["funding"] == pytest.approx(result.stats["profit"], abs=1e-6)
    assert result.strategies["n_fills"].sum() == result.stats["n_fills"]
    assert result.instruments["n_orders"].sum() == result.stats["n_orders"]
