"""Levels from orders: against sums over the orders, on random lives, and in the message they belong to."""

from __future__ import annotations

import random

import numpy as np

from tercel.model.events import ADD, BUY, CHANGE, DELETE, EXCH, LAST, LEVEL, LOCAL, SELL, TRADE, event_rows
from tercel.sim.market import MarketModel, simulate_market
from tercel.store.order_levels import OrderLevels


def test_levels_are_the_sums_of_resting_orders() -> None:
    draw = random.Random(3)
    levels, orders, shown = OrderLevels(), {}, {}
    for number in range(4000):
        known = list(orders)
        if known and draw.random() < 0.55:
            order = draw.choice(known)
            side, px, qty = orders[order]
            kind = draw.choice((CHANGE, DELETE))
            if kind == CHANGE:
                px, qty = (px, draw.randint(1, qty)) if draw.random() < 0.7 else (side * draw.randint(1, 9) + 100, 5)
                orders[order] = (side, px, qty)
            else:
                del orders[order]
        else:
            order, kind, side = number, ADD, draw.choice((BUY, SELL))
            px, qty = 100 - side * draw.randint(1, 9), draw.randint(1, 50)
            orders[order] = (side, px, qty)
        for each in levels.apply(kind, order, side, px, qty):
            shown[each[:2]] = each[2]
        sums: dict[tuple[int, int], int] = {}
        for its_side, its_px, its_qty in orders.values():
            sums[its_side, its_px] = sums.get((its_side, its_px), 0) + its_qty
        bids = [px for (side, px), size in shown.items() if side > 0 and size]
        asks = [px for (side, px), size in shown.items() if side < 0 and size]
        assert not bids or not asks or max(bids) < min(asks)
        # Every level shown holds at most what rests there, and exactly it where nobody there is about to take.
        for place, size in shown.items():
            assert 0 <= size <= sums.get(place, 0)
        if not any(_meets(orders, side, px) for side, px, _ in orders.values()):
            assert {place: size for place, size in shown.items() if size} == sums


def _meets(orders: dict[int, tuple[int, int, int]], side: int, px: int) -> bool:
    return any(other == -side and side * (px - its_px) >= 0 for other, its_px, _ in orders.values())


def test_the_levels_of_a_simulated_market() -> None:
    both = simulate_market(MarketModel(warmup_s=2.0), 4, n_rows=8000, rows="both")
    made = OrderLevels().expand(both[np.isin(both["kind"], (ADD, CHANGE, DELETE, TRADE))])

    def book(rows: np.ndarray) -> dict[tuple[int, int], int]:
        sizes = {(int(r["side"]), int(r["px"])): int(r["qty"]) for r in rows if r["kind"] == LEVEL}
        return {place: size for place, size in sizes.items() if size}

    assert len(book(both)) > 50
    assert book(made) == book(both)


def test_only_the_last_row_of_a_message_says_so() -> None:
    rows = event_rows(3)
    rows["kind"], rows["id"], rows["side"] = (ADD, CHANGE, TRADE), (1, 1, 9), (BUY, BUY, SELL)
    rows["px"], rows["qty"], rows["flags"] = (100, 101, 101), 5, EXCH | LOCAL | LAST
    made = OrderLevels().expand(rows)
    assert made["kind"].tolist() == [ADD, LEVEL, CHANGE, LEVEL, LEVEL, TRADE]
    assert made["px"].tolist() == [100, 100, 101, 100, 101, 101]
    assert made["qty"].tolist() == [5, 5, 5, 0, 5, 5]
    assert (made["flags"] & LAST != 0).tolist() == [False, True, False, False, True, True]
