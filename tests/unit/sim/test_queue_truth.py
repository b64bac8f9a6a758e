"""Scoring queue models on hidden orders: the L2 view by hand, trades matched, scores on a small and a made market."""

from __future__ import annotations

import numpy as np
import pytest

from tercel.book.audit_l3 import LogEvent, OrderLog, OrderLogReplay
from tercel.sim.market import MarketModel, simulate_market
from tercel.sim.queue_truth import (
    AT,
    DEPTH,
    THROUGH,
    MatchedTrade,
    fills_out_of_turn,
    hidden_orders,
    log_of_rows,
    match_trades,
    queue_views,
    score_queue_models,
)


def log_of(*lines: tuple[str, int, int, int, int]) -> OrderLog:
    """Lines of (kind, id, side, px, qty), one a second."""
    return OrderLog([LogEvent(i, 1000 * i, *line) for i, line in enumerate(lines)], [], len(lines))


#: Order 2 rests behind 10 lots of order 1 and 5 of order 3 come behind it; order 1 halves, then a taker eats through.
SMALL = log_of(
    ("created", 1, 1, 100, 10),
    ("created", 2, 1, 100, 4),
    ("created", 3, 1, 100, 5),
    ("changed", 1, 1, 100, 5),
    ("created", 4, -1, 99, 30),
    ("changed", 4, -1, 99, 25),
    ("deleted", 1, 1, 100, 0),
    ("trade", 900, 0, 100, 5),
    ("deleted", 2, 1, 100, 0),
    ("changed", 4, -1, 99, 21),
    ("trade", 901, 0, 100, 4),
    ("changed", 4, -1, 99, 16),
    ("deleted", 3, 1, 100, 0),
    ("trade", 902, 0, 100, 5),
    ("created", 5, 1, 98, 1),
    ("deleted", 4, -1, 99, 16),
    ("deleted", 5, 1, 98, 1),
)


def test_trades_are_put_before_the_lines_they_caused() -> None:
    assert match_trades(SMALL) == [
        MatchedTrade(5, 100, 5, -1, 1, 4),
        MatchedTrade(8, 100, 4, -1, 2, 4),
        MatchedTrade(11, 100, 5, -1, 3, 4),
    ]


def test_an_order_line_after_the_report_still_counts() -> None:
    log = log_of(
        ("created", 1, -1, 100, 9),
        ("created", 2, 1, 101, 4),
        ("deleted", 2, 1, 101, 0),
        ("trade", 900, 0, 100, 4),
        ("changed", 1, -1, 100, 5),
    )
    assert match_trades(log) == [MatchedTrade(2, 100, 4, 1, 1, 2)]


def test_a_lone_order_took_when_an_unstated_one_was_hit_and_was_hit_otherwise() -> None:
    log = log_of(
        ("created", 7, 1, 101, 9), ("changed", 7, 1, 101, 5), ("deleted", 3, -1, 100, 0), ("trade", 9, 0, 100, 4)
    )
    assert match_trades(log) == [MatchedTrade(1, 100, 4, 1, 0, 7)]
    log = log_of(("created", 7, 1, 100, 9), ("changed", 7, 1, 100, 5), ("trade", 9, 0, 100, 4))
    assert match_trades(log) == [MatchedTrade(1, 100, 4, -1, 7, 0)]
    assert match_trades(log_of(("trade", 9, 0, 100, 4))) == [MatchedTrade(0, 100, 4, 1, 0, 0)]


def test_takers_and_crossers_are_not_hidden() -> None:
    replay = OrderLogReplay(SMALL, completed=True)
    found = {o.order_id: (o.i_created, o.i_filled, o.i_end) for o in hidden_orders(SMALL, replay, match_trades(SMALL))}
    # Order 1 shrinks by the same amount at line 3, before any trade: its first fill is still the trade's.
    assert found == {1: (0, 5, 6), 2: (1, 8, 8), 3: (2, 11, 12), 5: (14, -1, 16)}


def test_the_view_has_the_orders_own_size_removed() -> None:
    replay = OrderLogReplay(SMALL, completed=True)
    trades = match_trades(SMALL)
    second = next(o for o in hidden_orders(SMALL, replay, trades) if o.order_id == 2)
    ahead, steps, lines = queue_views(second, replay, trades, 10)
    assert ahead == 10
    assert steps.tolist() == [(DEPTH, 10, 15), (DEPTH, 15, 10), (AT, 0, 5), (DEPTH, 10, 5), (AT, 0, 4)]
    assert lines == [2, 3, 5, 6, 8]


def test_a_trade_beyond_the_price_is_seen_as_through() -> None:
    log = log_of(
        ("created", 1, 1, 101, 3), ("created", 2, 1, 100, 2), ("deleted", 1, 1, 101, 3), ("deleted", 2, 1, 100, 2)
    )
    replay = OrderLogReplay(log, completed=True)
    order = hidden_orders(log, replay, [])[0]
    trades = [MatchedTrade(1, 100, 9, -1, 0, 0), MatchedTrade(1, 102, 9, -1, 0, 0), MatchedTrade(1, 100, 9, 1, 0, 0)]
    assert order.order_id == 1
    assert queue_views(order, replay, trades, 3)[1].tolist() == [(THROUGH, 0, 9)]


def test_who_is_first_in_the_book_is_first_at_the_venue() -> None:
    replay = OrderLogReplay(SMALL, completed=True)
    trades = match_trades(SMALL)
    assert fills_out_of_turn(replay, trades, SMALL) == (3, 0)
    out_of_turn = [MatchedTrade(8, 100, 4, -1, 3, 4)]
    assert fills_out_of_turn(replay, out_of_turn, SMALL) == (1, 0)
    early = log_of(("created", 1, 1, 100, 7), ("created", 2, 1, 100, 4), ("changed", 2, 1, 100, 1))
    assert fills_out_of_turn(OrderLogReplay(early, completed=True), [MatchedTrade(2, 100, 3, -1, 2, 9)], early) == (
        1,
        1,
    )


def test_models_on_the_small_log() -> None:
    models = (("risk_averse", 1), ("power", 1))
    averse, power = score_queue_models(SMALL, models, queued_only=True, horizon_s=10.0)
    # Orders 2 and 3 had size in front. Risk-averse takes the 5 lots canceled at line 3 for lots behind order 2, so it
    # needs the trade of 3 seconds later. Power takes a third of them for lots behind, which is near enough.
    assert (averse.n_filled, averse.n_predicted, averse.n_same, averse.n_late, averse.n_canceled) == (2, 2, 1, 1, 0)
    assert (averse.error_median_abs_s, averse.error_mean_abs_s, averse.error_mean_s) == (1.5, 1.5, 1.5)
    assert (power.n_filled, power.n_predicted, power.n_same, power.error_mean_abs_s) == (2, 2, 2, 0.0)
    (short,) = score_queue_models(SMALL, models[:1], queued_only=True, horizon_s=2.0)
    assert (short.n_predicted, short.n_late) == (1, 0)


@pytest.fixture(scope="module")
def made() -> tuple[OrderLog, list[MatchedTrade]]:
    return log_of_rows(simulate_market(MarketModel(warmup_s=5.0), 3, n_rows=15_000, rows="l3"))


def test_rows_of_a_made_market_become_a_log(made: tuple[OrderLog, list[MatchedTrade]]) -> None:
    log, trades = made
    replay = OrderLogReplay(log, completed=True)
    assert fills_out_of_turn(replay, trades, log) == (len(trades), 0)
    assert len(trades) > 200
    assert replay.n_unknown_id == replay.n_duplicate_id == 0


def test_models_keep_their_known_order_on_a_made_market(made: tuple[OrderLog, list[MatchedTrade]]) -> None:
    log, trades = made
    models = (("risk_averse", 1), ("power", 1), ("power3", 3))
    averse, power, power3 = score_queue_models(log, models, trades=trades, queued_only=True, lot=0.01, horizon_s=30.0)
    assert averse.n_filled == power.n_filled > 100
    # A model that believes no cancel was in front can only be late, and never fills what did not fill.
    assert (averse.n_early, averse.n_false) == (0, 0)
    assert averse.n_late > power.n_late
    assert averse.error_mean_abs_s > power3.error_mean_abs_s > power.error_mean_abs_s > 0
    assert np.isclose(averse.error_mean_s, averse.error_mean_abs_s)
    assert power.n_predicted > 0.97 * power.n_filled
