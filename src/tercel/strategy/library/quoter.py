"""Two-sided quoter: one post-only order a side around the mid, leaning against its own inventory. Needs depth."""

from __future__ import annotations

from typing import Any

import numpy as np

import tercel as tc

__all__ = ["Quoter"]


class Quoter(tc.Strategy):
    """Quotes both sides of the book, looks again every `every_ms`, and moves an order only when its price is stale.

    Both prices lie `half_spread` ticks from a fair price: the mid, moved by `skew` ticks against each `qty` of
    inventory, so that the side that brings the position back is the better one. An order is sent only where the
    position it could lead to stays within `position_max`.
    """

    instrument: int = 0
    qty: float = 0.01
    half_spread: float = 1.0  # ticks
    skew: float = 0.5  # ticks for each qty held
    position_max: float = 0.05
    every_ms: int = 100
    bid: int = 0  # ids of the orders that rest
    ask: int = 0

    def on_start(self, ctx: Any) -> None:
        ctx.set_timer(self.every_ms * 1_000_000, 1, self.every_ms * 1_000_000)

    def on_timer(self, ctx: Any, timer: Any) -> None:
        i = self.instrument
        best_bid, best_ask = ctx.best_bid_ticks(i), ctx.best_ask_ticks(i)
        if best_bid == 0 or best_ask == 0:
            return
        lots, held = ctx.to_lots(i, self.qty), ctx.position_lots(i)
        most = ctx.to_lots(i, self.position_max)
        fair = 0.5 * (best_bid + best_ask) - self.skew * held / lots
        bid_px = min(int(np.floor(fair - self.half_spread)), best_bid)
        ask_px = max(int(np.ceil(fair + self.half_spread)), best_ask)
        self.bid = self.quote(ctx, self.bid, tc.BUY, lots, bid_px, held + lots <= most)
        self.ask = self.quote(ctx, self.ask, tc.SELL, lots, ask_px, held - lots >= -most)

    def quote(self, ctx: Any, id: int, side: int, lots: int, px: int, wanted: bool) -> int:
        """Keep one order of a side at `px`; returns its id. A stale one is canceled now and replaced once it is gone,
        so that two orders of a side never rest at once."""
        if ctx.is_open(id):
            if (not wanted or ctx.order_px(id) != px) and not ctx.is_pending(id):
                ctx.cancel(id)
            return id
        if not wanted:
            return 0
        return ctx.order_lots(self.instrument, side, lots, px, tc.GTX)
