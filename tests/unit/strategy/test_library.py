"""The strategies that ship with tercel: the same in both modes, within their limits, their money adding up."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from tercel.errors import ConfigError
from tercel.model.events import BAR, EXCH, FILL, LAST, LOCAL, event_rows
from tercel.model.instrument import Instrument
from tercel.orders.positions import POSITION
from tercel.sim.backtest import Backtest
from tercel.sim.fees import Fees
from tercel.sim.latency import Latency
from tercel.sim.market import MarketModel, simulate_market
from tercel.sim.venue import VenueRules
from tercel.strategy.library import LIBRARY, load

SIM = Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), quote="USD")


@pytest.fixture(scope="module")
def market() -> np.ndarray:
    return simulate_market(MarketModel(), 3, duration_s=20)


@pytest.fixture(scope="module")
def bars() -> np.ndarray:
    n = 1500
    draw = np.random.default_rng(4)
    closes = np.rint(10_000 + 300 * np.sin(np.arange(n) / 30) + draw.normal(0, 60, n)).astype(np.int64)
    rows = event_rows(n)
    rows["ts_exch"] = rows["ts_recv"] = 1_700_000_000_000_000_000 + 60_000_000_000 * np.arange(n)
    rows["px"], rows["qty"] = closes, 5_000
    rows["id"] = np.concatenate((closes[:1], closes[:-1]))
    rows["arg0"], rows["arg1"] = np.maximum(closes, rows["id"]), np.minimum(closes, rows["id"])
    rows["kind"], rows["flags"] = BAR, EXCH | LOCAL | LAST
    return rows


def finished(name: str, rows: np.ndarray, *, jit: bool, **parameters: Any) -> tuple[Backtest, Any]:
    rules = VenueRules(latency=Latency.both(5.0), fees=Fees(maker=1, taker=4))
    run = Backtest(load(name)(**parameters), rows, instruments=[SIM], rules=rules, jit=jit)
    return run, run.run()


def check_account(run: Backtest, result: Any) -> None:
    """Position and money are sums over the fills; equity is cash and position at the mark, less fees."""
    account = run.engine.view("positions")[0]
    assert account.dtype == POSITION
    events = result.log.events
    fills = events[events["kind"] == FILL]
    value = SIM.value
    assert int(account["position"]) == int((fills["side"].astype(np.int64) * fills["qty"]).sum())
    flows = [int(f["side"]) * int(f["px"]) * int(f["qty"]) * value for f in fills]
    assert int(account["cash"]) == -sum(flows)
    assert int(account["fee"]) == int(fills["arg0"].sum())
    assert int(account["n_fills"]) == len(fills)
    assert int(account["realized"]) == int(account["cash"]) + int(account["cost"])
    sample = result.log.samples[-1]
    worth = float(sample["position"]) * float(sample["mid"]) / float(SIM.tick_size) * value
    equity = int(sample["cash"]) - int(sample["fee"]) + int(sample["funding"]) + worth
    assert math.isclose(float(sample["equity"]), equity, abs_tol=1.0)


def positions(result: Any) -> np.ndarray:
    events = result.log.events
    fills = events[events["kind"] == FILL]
    return np.cumsum(fills["side"].astype(np.int64) * fills["qty"])


@pytest.mark.parametrize("name", ["ema-cross", "quoter", "imbalance-scalper"])
def test_on_a_simulated_market(name: str, market: np.ndarray) -> None:
    rows = market[:6000] if name == "imbalance-scalper" else market
    run, result = finished(name, rows, jit=True)
    assert len(result.fills) >= 2
    check_account(run, result)
    interpreted, _ = finished(name, rows, jit=False)
    assert interpreted.engine.state_hash() == run.engine.state_hash()


def test_mean_reversion_on_bars(bars: np.ndarray) -> None:
    run, result = finished("mean-reversion", bars, jit=True, entry=1.5)
    assert len(result.fills) > 20
    check_account(run, result)
    held = positions(result)
    assert set(held.tolist()) == {-10, 0, 10}
    interpreted, _ = finished("mean-reversion", bars, jit=False, entry=1.5)
    assert interpreted.engine.state_hash() == run.engine.state_hash()


def test_ema_cross_is_long_or_flat(market: np.ndarray) -> None:
    _, result = finished("ema-cross", market, jit=True)
    assert set(positions(result).tolist()) == {0, 10}


def test_the_quoter_keeps_within_its_inventory_and_never_takes(market: np.ndarray) -> None:
    _, result = finished("quoter", market, jit=True, qty=0.02, position_max=0.04)
    held = positions(result)
    assert abs(held).max() <= 40
    assert result.stats["maker_share"] == 1.0
    assert result.stats["n_orders"] > 50
    _, silent = finished("quoter", market, jit=True, qty=0.02, position_max=0.01)
    assert silent.stats["n_orders"] == 0


def test_the_scalper_takes_and_leaves_in_time(market: np.ndarray) -> None:
    _, result = finished("imbalance-scalper", market, jit=True, hold_ms=300)
    held = positions(result)
    assert abs(held).max() == 10
    assert result.stats["maker_share"] == 0.0
    # In at most 300 ms after it entered, plus the way there and back and the wait for the next message of the book.
    assert 0 < result.stats["holding_mean_ns"] < 600_000_000


def test_every_name_loads_and_a_wrong_one_lists_them() -> None:
    for name, (_, cls) in LIBRARY.items():
        assert load(name).__name__ == cls
        assert load(name).__doc__
    with pytest.raises(ConfigError, match="it has: ema-cross, quoter, imbalance-scalper, mean-reversion"):
        load("magic")
