"""Book-imbalance scalper: takes the touch when the book leans far to one side, leaves after a moment. Needs depth."""

from __future__ import annotations

from typing import Any

import tercel as tc

__all__ = ["ImbalanceScalper"]


class ImbalanceScalper(tc.Strategy):
    """Buys at the ask when bids outweigh asks and the microprice agrees, sells at the bid in the mirror image.

    threshold: the smoothed imbalance of the touch, -1 to 1, beyond which it enters. edge: by how much of half the
    spread the microprice must lie off the mid. hold_ms: when it leaves at the latest; it leaves earlier when the book
    leans the other way. rest_ms: least time between two entries.
    """

    qty: float = 0.01
    threshold: float = 0.5
    edge: float = 0.4
    hold_ms: int = 2_000
    rest_ms: int = 500
    lean: tc.SmoothedImbalance = tc.SmoothedImbalance(span=20)
    order: int = 0
    entered_ns: int = 0

    def on_book(self, ctx: Any, book: Any) -> None:
        if book.bid_px == 0 or book.ask_px == 0:
            return
        lean = self.lean.update(book.bid_qty, book.ask_qty)
        if ctx.is_open(self.order):
            return
        held = ctx.position_lots(book.instrument)
        if held != 0:
            if book.ts - self.entered_ns > self.hold_ms * 1_000_000 or lean * held < -0.2 * abs(held):
                self.order = ctx.close(book.instrument)
            return
        if book.ts - self.entered_ns < self.rest_ms * 1_000_000:
            return
        micro = tc.microprice(book.best_bid, book.bid_qty, book.best_ask, book.ask_qty)
        off = (micro - book.mid) / (0.5 * book.spread)
        if lean > self.threshold and off > self.edge:
            self.order = ctx.buy(book.instrument, self.qty, limit=book.best_ask, tif=tc.IOC)
            self.entered_ns = book.ts
        elif lean < -self.threshold and off < -self.edge:
            self.order = ctx.sell(book.instrument, self.qty, limit=book.best_bid, tif=tc.IOC)
            self.entered_ns = book.ts
