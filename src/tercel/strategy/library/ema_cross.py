"""EMA cross: long while the fast average of the price is above the slow one, flat otherwise. Trades or bars."""

from __future__ import annotations

from typing import Any

import tercel as tc

__all__ = ["EmaCross"]


class EmaCross(tc.Strategy):
    """Buys when the fast average is above the slow one, sells out when it falls below.

    qty: size held while long. fast, slow: the averages, over trades or bar closes.
    """

    qty: float = 0.01
    fast: tc.Ema = tc.Ema(span=50)
    slow: tc.Ema = tc.Ema(span=200)
    order: int = 0  # the last order sent; while it is under way nothing else is sent

    def on_trade(self, ctx: Any, trade: Any) -> None:
        self.decide(ctx, trade.instrument, trade.price)

    def on_bar(self, ctx: Any, bar: Any) -> None:
        self.decide(ctx, bar.instrument, bar.close)

    def decide(self, ctx: Any, instrument: int, price: float) -> None:
        fast, slow = self.fast.update(price), self.slow.update(price)
        if ctx.is_open(self.order) or not self.slow.ready():
            return
        position = ctx.position_lots(instrument)
        if fast > slow and position == 0:
            self.order = ctx.buy(instrument, self.qty)
        elif fast < slow and position > 0:
            self.order = ctx.close(instrument)
