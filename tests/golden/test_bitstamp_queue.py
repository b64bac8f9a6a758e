"""Queue models on hidden orders of a captured order log, and strict time priority at that venue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tercel.book.audit_l3 import OrderLog, OrderLogReplay, read_order_log
from tercel.sim.queue_truth import fills_out_of_turn, match_trades, score_queue_models


def shrinks(log: OrderLog) -> tuple[int, int]:
    """How often an order got smaller at its price, and how often a trade of that size stands within 2 s of it."""
    traded: dict[int, list[int]] = {}
    for line in log.events:
        if line.kind == "trade":
            traded.setdefault(line.qty, []).append(line.ts_ms)
    known: dict[int, tuple[int, int]] = {}
    n = n_traded = 0
    for line in log.events:
        if line.kind == "trade":
            continue
        px, qty = known.get(line.order_id, (0, 0))
        known[line.order_id] = (line.px, line.qty)
        if line.kind == "changed" and px == line.px and line.qty < qty:
            n += 1
            n_traded += any(abs(ms - line.ts_ms) <= 2000 for ms in traded.get(qty - line.qty, ()))
    return n, n_traded


@pytest.mark.data
def test_hidden_orders_of_the_bitstamp_log(data_dir: Path) -> None:
    path = data_dir / "l3" / "bitstamp_btcusd_20150501_first_half.log.xz"
    if not path.is_file():
        pytest.skip("the Bitstamp order log is not here")
    log = read_order_log(path)
    trades = match_trades(log)
    assert len(trades) == 306
    assert fills_out_of_turn(OrderLogReplay(log, completed=True), trades, log) == (281, 0)
    models = (("risk_averse", 1), ("power", 3), ("log", 1))
    # What FIFO takes a smaller size at the same price for: each of them is a trade of just so much, none a cancel.
    assert shrinks(log) == (302, 302)
    for score in score_queue_models(log, models, trades=trades):
        assert (score.n_filled, score.n_canceled) == (201, 11_884)
        assert (score.n_predicted, score.n_same, score.n_false) == (201, 201, 0)
    for score in score_queue_models(log, models, trades=trades, queued_only=True):
        assert (score.n_filled, score.n_same, score.n_canceled, score.n_false) == (23, 23, 2_318, 0)
