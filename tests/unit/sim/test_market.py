"""The simulated market: same seed same bytes, rows in order, books that agree, and statistics within stated bands."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tercel.book.l3_book import L3Book
from tercel.errors import CapacityError, ConfigError
from tercel.model.events import (
    ADD,
    CHANGE,
    CLEAR,
    DELETE,
    EXCH,
    LAST,
    LEVEL,
    LOCAL,
    SNAPSHOT,
    TRADE,
)
from tercel.sim.market import Market, MarketModel, market_chunks, simulate_market

SMALL = MarketModel(limit_rate=60.0, warmup_s=0.5, order_max=512, level_max=512, placement_max=120)


def digest(rows: np.ndarray) -> str:
    return hashlib.blake2b(rows.tobytes(), digest_size=16).hexdigest()


def replay_levels(rows: np.ndarray) -> tuple[dict[int, dict[int, int]], list[int], list[int], list[int]]:
    """A dict book over L2 rows; spread, doubled mid and time after each whole message."""
    book: dict[int, dict[int, int]] = {1: {}, -1: {}}
    spreads, mids, times = [], [], []
    columns = (rows[name].tolist() for name in ("kind", "side", "px", "qty", "flags", "ts_exch"))
    for i, (kind, side, px, qty, flags, ts) in enumerate(zip(*columns, strict=True)):
        if kind == CLEAR:
            book = {1: {}, -1: {}}
        elif kind == LEVEL and qty > 0:
            book[side][px] = qty
        elif kind == LEVEL:
            del book[side][px]
        if flags & LAST and i % 10 == 0:
            bid, ask = max(book[1]), min(book[-1])
            spreads.append(ask - bid)
            mids.append(ask + bid)
            times.append(ts)
    return book, spreads, mids, times


@pytest.fixture(scope="module")
def tape() -> np.ndarray:
    return simulate_market(MarketModel(), 11, n_rows=200_000)


def test_same_seed_same_bytes_in_chunks_of_any_size() -> None:
    whole = simulate_market(SMALL, 5, n_rows=20_000, rows="both")
    for chunk_rows in (1, 777, 100_000):
        parts = list(market_chunks(SMALL, 5, n_rows=20_000, rows="both", chunk_rows=chunk_rows))
        assert digest(np.concatenate(parts)) == digest(whole)
        assert all(part["flags"][-1] & LAST for part in parts)
    assert len(whole) - 20_000 in range(192)
    assert digest(simulate_market(SMALL, 6, n_rows=20_000, rows="both")) != digest(whole)


def test_compiled_and_interpreted_make_equal_bytes() -> None:
    code = "import test_market as t; print(t.digest(t.simulate_market(t.SMALL, 3, n_rows=2500, rows='both')))"
    here = Path(__file__).parent
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(here)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == digest(simulate_market(SMALL, 3, n_rows=2500, rows="both"))


def test_rows_are_scheduled(tape: np.ndarray) -> None:
    assert np.all(tape["flags"] & (EXCH | LOCAL) == EXCH | LOCAL)
    assert np.all(np.diff(tape["ts_exch"]) >= 0)
    assert np.all(np.diff(tape["ts_recv"]) >= 0)
    assert np.all(tape["ts_recv"] > tape["ts_exch"])
    assert set(np.unique(tape["kind"])) == {LEVEL, CLEAR, TRADE}


def test_the_tape_opens_with_one_snapshot_message(tape: np.ndarray) -> None:
    n = int(np.argmax(tape["flags"] & LAST > 0)) + 1
    assert tape["kind"][0] == CLEAR
    assert tape["side"][0] == 0
    assert np.all(tape["kind"][1:n] == LEVEL)
    assert np.all(tape["flags"][:n] & SNAPSHOT)
    assert not np.any(tape["flags"][n:] & SNAPSHOT)
    assert tape["ts_exch"][0] == MarketModel().start_ns


def test_a_message_has_one_time_and_one_number(tape: np.ndarray) -> None:
    last = tape["flags"] & LAST > 0
    message = np.concatenate([[0], np.cumsum(last)[:-1]])
    inside = message[1:] == message[:-1]
    for name in ("ts_exch", "ts_recv"):
        assert np.all(tape[name][1:][inside] == tape[name][:-1][inside])
    levels = tape["kind"] == LEVEL
    assert np.all(tape["id"][levels] == message[levels] + 1)
    trades = tape["id"][tape["kind"] == TRADE]
    assert trades.tolist() == list(range(1, len(trades) + 1))


def test_level_rows_and_order_rows_rebuild_the_markets_own_book() -> None:
    market = Market(SMALL, 9, rows="both")
    rows = np.concatenate([market.snapshot(), market.next_rows(30_000)])
    levels, *_ = replay_levels(rows)
    orders = L3Book(SMALL.order_max, SMALL.level_max)
    assert not np.any(orders.apply(rows)), "every order row must apply"
    orders.check()
    after = market.snapshot()
    own = {
        side: {int(r["px"]): int(r["qty"]) for r in after if r["kind"] == LEVEL and r["side"] == side}
        for side in (1, -1)
    }
    assert levels == own
    assert {side: {int(r["px"]): int(r["qty"]) for r in orders.levels(side)} for side in (1, -1)} == own
    queue = [int(r["id"]) for r in after if r["kind"] == ADD and r["side"] == 1 and r["px"] == orders.best_bid]
    assert [int(r["id"]) for r in orders.orders_at(1, orders.best_bid or 0)] == queue


def test_trades_take_exactly_what_makers_lose() -> None:
    market = Market(SMALL, 21, rows="l3")
    left = {int(r["id"]): int(r["qty"]) for r in market.snapshot() if r["kind"] == ADD}
    traded = taken = 0
    for row in market.next_rows(30_000):
        kind, order_id, qty = int(row["kind"]), int(row["id"]), int(row["qty"])
        if kind == TRADE:
            traded += qty
        elif kind == ADD:
            left[order_id] = qty
        elif kind == CHANGE or (kind == DELETE and qty == 0):
            taken += left[order_id] - qty
            left[order_id] = qty
        elif kind == DELETE:
            assert left[order_id] == qty, "a cancel states what it takes away"
    assert traded == taken > 0


def test_the_book_never_crosses_or_empties_under_a_strong_drift() -> None:
    model = MarketModel(value_drift=-3.0, value_jump_rate=0.5, value_jump=30.0, warmup_s=1.0)
    book, spreads, mids, _ = replay_levels(simulate_market(model, 4, n_rows=100_000))
    assert min(spreads) >= 1
    assert min(len(book[1]), len(book[-1])) >= model.levels_min
    assert mids[-1] - mids[0] < -2 * 300, "the mid follows the value down"


def test_spread_and_depth_are_realistic(tape: np.ndarray) -> None:
    book, spreads, *_ = replay_levels(tape)
    share = {k: v / len(spreads) for k, v in Counter(spreads).items()}
    assert 0.55 < share[1] < 0.85
    assert 0.85 < share[1] + share[2] < 0.995
    assert max(spreads) >= 4
    bids = sorted(book[1], reverse=True)
    near, far = (sum(book[1][px] for px in part) / len(part) for part in (bids[:15], bids[-15:]))
    assert 20 <= len(bids) <= 300
    assert near > 2 * far


def test_sizes_and_latency_have_long_tails(tape: np.ndarray) -> None:
    qty = tape["qty"][tape["kind"] == TRADE]
    assert 30 < np.median(qty) < 200
    assert np.percentile(qty, 99.5) > 5 * np.median(qty)
    delay_ms = (tape["ts_recv"] - tape["ts_exch"]) / 1e6
    assert 4.0 < np.median(delay_ms) < 10.0
    assert 12.0 < np.percentile(delay_ms, 99) < 35.0


def test_trades_come_in_bursts(tape: np.ndarray) -> None:
    times = np.unique(tape["ts_exch"][tape["kind"] == TRADE])
    counts, _ = np.histogram(times, np.arange(times[0], times[-1], 1e9))
    assert counts.var() / counts.mean() > 2.5


def test_without_excitement_there_are_no_bursts() -> None:
    model = MarketModel(burst_ratio=0.0, market_rate=20.0, informed=0.0, side_memory=0.0)
    rows = simulate_market(model, 8, n_rows=200_000)
    times = np.unique(rows["ts_exch"][rows["kind"] == TRADE])
    counts, _ = np.histogram(times, np.arange(times[0], times[-1], 1e9))
    assert 0.75 < counts.var() / counts.mean() < 1.25
    assert 19.0 < counts.mean() < 21.0


def test_volatility_follows_the_value(tape: np.ndarray) -> None:
    _, _, mids, times = replay_levels(tape)
    grid = np.arange(times[0], times[-1], 10e9)
    steps = np.diff(np.array(mids)[np.searchsorted(times, grid, "right") - 1]) / 2
    assert 1.5 < steps.std() < 6.5


def test_a_duration_ends_in_time() -> None:
    rows = simulate_market(SMALL, 2, duration_s=30.0)
    seconds = (rows["ts_exch"] - SMALL.start_ns) / 1e9
    assert 29.0 < seconds[-1] < 30.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("burst_ratio", 1.0), ("informed", 1.5), ("limit_rate", 0.0), ("value_vol", float("nan")), ("mid_px", 5)],
)
def test_a_wrong_parameter_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        MarketModel(**{name: value})


def test_wrong_requests_are_refused() -> None:
    with pytest.raises(CapacityError, match="order_max"):
        MarketModel(cancel_rate=0.001)
    with pytest.raises(ConfigError, match="either"):
        simulate_market(SMALL, 1)
    with pytest.raises(ConfigError, match="positive"):
        simulate_market(SMALL, 1, n_rows=0)
    with pytest.raises(ConfigError, match="l2"):
        simulate_market(SMALL, 1, n_rows=10, rows="l4")
