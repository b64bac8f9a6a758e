"""Mean reversion on bars: sells what is dear and buys what is cheap by its own recent standard, until it is back."""

from __future__ import annotations

from typing import Any

import tercel as tc

__all__ = ["MeanReversion"]


class MeanReversion(tc.Strategy):
    """Trades the z-score of the close over a window of bars.

    qty: size of a position. entry: enters against a z-score beyond this. leave: leaves once the z-score is back within
    this. stop: gives up where it has run this far the wrong way. score: the window.
    """

    qty: float = 0.01
    entry: float = 2.0
    leave: float = 0.5
    stop: float = 4.0
    score: tc.Zscore = tc.Zscore(window=30)
    order: int = 0

    def on_bar(self, ctx: Any, bar: Any) -> None:
        z = self.score.update(bar.close)
        if not self.score.ready() or ctx.is_open(self.order):
            return
        held = ctx.position_lots(bar.instrument)
        if held == 0:
            if self.entry < z < self.stop:
                self.order = ctx.sell(bar.instrument, self.qty)
            elif -self.stop < z < -self.entry:
                self.order = ctx.buy(bar.instrument, self.qty)
            return
        against = -z if held > 0 else z  # above 0 while the price is still on the side it was entered on
        if against < self.leave or against > self.stop:
            self.order = ctx.close(bar.instrument)
