"""Backtests of strategies that do anything, against a venue of plain objects under one global clock: equal to the byte.

Commands tell that the strategy saw the same things in the same order; answers that the venue did the same with them.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from reference.chaos import Chaos, ChaosFeed, ChaosQuotes
from reference.naive_venue import NaiveVenue, NaiveWorld
from tercel.engine.engine import Engine
from tercel.model.events import BAR, EXCH, FUNDING, LAST, LOCAL, QUOTE, REFUSED, event_rows
from tercel.model.instrument import Instrument
from tercel.risk.limits import Limits
from tercel.sim.backtest import Backtest
from tercel.sim.fees import Fees, FeeTier
from tercel.sim.latency import Constant, Latency, Lognormal, Recorded
from tercel.sim.market import MarketModel, simulate_market
from tercel.sim.venue import VenueRules
from tercel.store.schedule import schedule

LINEAR = Instrument(symbol="LIN", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), quote="USD")
INVERSE = Instrument(
    symbol="INV", tick_size=Decimal("0.5"), lot_size=Decimal(1), kind="inverse", contract_value=Decimal(100), base="BTC"
)
LOOSE = Limits(self_trade="allow")
N_ROWS = 1500
#: Fast, with bursts: many trades for few rows.
MODEL = MarketModel(market_rate=60.0, limit_rate=200.0, latency_ms=2.0, warmup_s=3.0, mid_px=2000)
DIFFERENT = Latency(new=Constant(3), amend=Constant(1), cancel=Constant(0.5), response=Constant(2), fill=Constant(7))
RANDOM = Latency(
    new=Lognormal(2, 0.8, seed=1),
    amend=Lognormal(1, 1.0, 0.5, seed=2),
    cancel=Lognormal(5, 0.3, seed=3),
    response=Lognormal(2, 1.0, seed=4),
    fill=Lognormal(3, 1.5, seed=5),
)
TIERS = Fees(2, 5, (FeeTier(500, 1, 4), FeeTier(2000, -0.5, 3)))


def tape(seed: int, rows: str = "l2", model: MarketModel = MODEL, n_rows: int = N_ROWS) -> np.ndarray:
    return schedule(simulate_market(model, seed, n_rows=n_rows, rows=rows))


def two_markets(seed: int) -> np.ndarray:
    other = MarketModel(market_rate=30.0, limit_rate=100.0, latency_ms=4.0, warmup_s=3.0, mid_px=900, instrument=1)
    parts = [simulate_market(MODEL, seed, duration_s=2.5), simulate_market(other, seed + 1, duration_s=2.5)]
    rows = np.concatenate(parts)
    return schedule(rows[np.argsort(rows["ts_recv"], kind="stable")])


def quotes_of(seed: int, with_trades: bool = False) -> np.ndarray:
    """Quotes that walk at random, one every few ms, some without a side; with them trades, where asked for."""
    draw = np.random.default_rng(seed)
    rows = event_rows(1500)
    rows["ts_exch"] = 10**18 + np.cumsum(draw.integers(1, 8_000_000, 1500))
    rows["ts_recv"] = np.maximum.accumulate(rows["ts_exch"] + draw.integers(0, 5_000_000, 1500))
    rows["kind"], rows["flags"] = QUOTE, EXCH | LOCAL | LAST
    rows["px"] = 1000 + np.cumsum(draw.integers(-1, 2, 1500))
    rows["arg0"] = rows["px"] + draw.integers(1, 4, 1500)
    rows["qty"], rows["arg1"] = draw.integers(1, 200, 1500), draw.integers(1, 200, 1500)
    rows["px"][draw.integers(0, 1500, 20)] = 0
    rows["arg0"][draw.integers(0, 1500, 20)] = 0
    if with_trades:
        at = np.flatnonzero(draw.random(1500) < 0.2)
        rows["kind"][at], rows["side"][at] = 3, 1 - 2 * draw.integers(0, 2, len(at))
        rows["px"][at] = 1000
    return schedule(rows)


def bars_of(seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    n = 600
    rows = event_rows(n)
    rows["ts_exch"] = rows["ts_recv"] = 10**18 + np.arange(n) * 30_000_000
    rows["kind"], rows["flags"] = BAR, EXCH | LOCAL
    close = 1000 + np.cumsum(draw.integers(-4, 5, n))
    rows["px"], rows["id"] = close, np.append(1000, close[:-1]) + draw.integers(-2, 3, n)
    rows["arg0"] = np.maximum(rows["px"], rows["id"]) + draw.integers(0, 5, n)
    rows["arg1"] = np.minimum(rows["px"], rows["id"]) - draw.integers(0, 5, n)
    rows["qty"] = draw.integers(1, 1000, n)
    return rows


def with_funding(rows: np.ndarray) -> np.ndarray:
    """The same rows with a funding payment in their middle and near their end."""
    places = [len(rows) // 2, len(rows) - 20]
    funding = rows[places].copy()
    funding["kind"], funding["arg0"], funding["flags"] = FUNDING, 12_345, EXCH | LOCAL | LAST
    funding["ts_recv"] = funding["ts_exch"] = np.maximum(funding["ts_exch"], funding["ts_recv"])
    funding["px"] = 2000
    return schedule(np.concatenate([rows, funding]))


def compare(strategy, rows, rules, instruments=(LINEAR,), limits=LOOSE, slice_rows=0, monkeypatch=None):
    """Run both and hold every command, every answer and the account to each other. Returns the Backtest."""
    if slice_rows:
        monkeypatch.setattr("tercel.sim.backtest._SLICE", slice_rows)
    run = Backtest(strategy, rows, instruments=instruments, rules=rules, limits=limits)
    engine = Engine(list(instruments), [strategy], limits=limits)
    world = NaiveWorld(engine, NaiveVenue(list(instruments), rules), rows, run.start_ns)
    world.run()
    log = run.run().log
    answers = log.events[log.events["kind"] != REFUSED]
    expected = np.array(world.events, answers.dtype) if world.events else answers[:0]
    sent = np.array(world.commands, log.commands.dtype)
    for i in range(min(len(sent), len(log.commands))):
        assert sent[i] == log.commands[i], f"command {i}"
    for i in range(min(len(expected), len(answers))):
        assert expected[i] == answers[i], f"answer {i} of {len(expected)}: {answers.dtype.names}"
    assert (len(sent), len(expected)) == (len(log.commands), len(answers))
    positions, theirs = run.engine.view("positions"), engine.view("positions")
    for name in ("position", "cash", "fee", "funding", "n_fills", "volume", "turnover", "cost"):
        assert positions[name].tolist() == theirs[name].tolist()
    return run


ZERO, TINY, TEN = Latency(), Latency.both(0.000_001), Latency.both(10)
BEYOND = Latency.both(3_600_000)


@pytest.mark.parametrize("latency", [ZERO, TINY, TEN, DIFFERENT, RANDOM, BEYOND])
@pytest.mark.parametrize("strategy", [Chaos(seed=3), ChaosFeed(seed=4)])
def test_every_latency(latency, strategy):
    run = compare(strategy, tape(1), VenueRules(latency=latency, fees=Fees(2, 5)))
    assert len(run.result().log.commands) > 80


@pytest.mark.parametrize("queue", ["risk_averse", "power", "power2", "power3", "log", "log2"])
@pytest.mark.parametrize("partial", [True, False])
def test_every_queue_model(queue, partial):
    rules = VenueRules(latency=Latency.both(1), queue=queue, queue_n=2.0, partial_fills=partial)
    compare(Chaos(seed=5, reach=3), tape(2), rules)


@pytest.mark.parametrize("partial", [True, False])
def test_fifo(partial):
    rules = VenueRules(latency=Latency.both(1), queue="fifo", partial_fills=partial)
    run = compare(Chaos(seed=6, reach=3, lots=80), tape(3, "both", n_rows=5000), rules)
    reasons = run.result().log.events["reason"]
    assert np.count_nonzero(reasons == 104) >= 3


@pytest.mark.parametrize("self_trade", ["newest", "oldest"])
def test_self_trade_prevention(self_trade):
    rules = VenueRules(latency=Latency.both(2), self_trade=self_trade)
    run = compare(Chaos(seed=7, reach=3), tape(4), rules)
    assert np.count_nonzero(run.result().log.events["reason"] == 85) >= 3


def test_own_takes_remove_size():
    compare(Chaos(seed=8, lots=900), tape(5), VenueRules(latency=Latency.both(1), consume=True))


def test_the_venues_own_rate_limit():
    rules = VenueRules(latency=Latency.both(1), message_rate=4, message_window_s=0.1)
    run = compare(ChaosFeed(seed=9), tape(6), rules)
    assert np.count_nonzero(run.result().log.events["reason"] == 52) > 10


def test_fee_tiers_on_two_instruments_linear_and_inverse_with_funding():
    rows = with_funding(two_markets(7))
    rules = VenueRules(latency=DIFFERENT, fees=TIERS)
    compare(Chaos(seed=10, n_instruments=2), rows, rules, (LINEAR, INVERSE))


@pytest.mark.parametrize("with_trades", [False, True])
@pytest.mark.parametrize("partial", [True, False])
def test_quotes_only(partial, with_trades):
    rules = VenueRules(latency=Latency.both(3), partial_fills=partial, consume=partial)
    compare(ChaosQuotes(seed=11), quotes_of(8, with_trades), rules)


@pytest.mark.parametrize("latency", [ZERO, Latency.both(40)])
def test_bars(latency):
    compare(ChaosQuotes(seed=12, every_ns=45_000_000), bars_of(9), VenueRules(latency=latency))


@pytest.mark.parametrize("seed", range(8))
def test_seeds_of_everything(seed):
    draw = np.random.default_rng(1000 + seed)
    rules = VenueRules(
        latency=[ZERO, TINY, TEN, DIFFERENT, RANDOM][int(draw.integers(5))],
        fees=TIERS,
        queue=["risk_averse", "power", "log2", "fifo"][int(draw.integers(4))],
        partial_fills=bool(draw.integers(2)),
        consume=bool(draw.integers(2)),
        self_trade=["off", "newest", "oldest"][int(draw.integers(3))],
        message_rate=int(draw.integers(2)) * 10,
        message_window_s=0.2,
    )
    kind = Chaos if draw.integers(2) else ChaosFeed
    strategy = kind(seed=seed + 1, every_ns=int(draw.integers(1, 40)) * 500_000, reach=int(draw.integers(2, 8)))
    compare(strategy, tape(50 + seed, "both"), rules)


@pytest.mark.parametrize("slice_rows", [1, 7, 100, 1000])
def test_any_slice_size_is_the_same(slice_rows, monkeypatch):
    rules = VenueRules(latency=DIFFERENT, fees=Fees(2, 5))
    compare(ChaosFeed(seed=13), tape(10, n_rows=1200), rules, slice_rows=slice_rows, monkeypatch=monkeypatch)
    compare(Chaos(seed=13), tape(10, n_rows=1200), VenueRules(), slice_rows=slice_rows, monkeypatch=monkeypatch)


def test_recorded_latency():
    rows = tape(11)
    start = int(rows["ts_exch"].min())
    series = Recorded(start + np.arange(0, 6) * 10**9, np.array([1, 9, 3, 3, 20, 5]) * 10**6)
    latency = Latency(new=series, amend=Constant(2), cancel=series, response=Constant(1), fill=series)
    compare(Chaos(seed=14), rows, VenueRules(latency=latency))
