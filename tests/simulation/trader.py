"""The strategy of the simulation: does anything a strategy may do, the same each time, and stops when told."""

from __future__ import annotations

from tercel.model.commands import GTC, GTX, IOC, LIMIT, MARKET
from tercel.strategy.contract import Strategy


class Trader(Strategy):
    """Acts on a timer, on some messages of the market, now and then on a fill or on what it hears of an order; a signal
    tells it to rest or go on.
    """

    seed: int = 1
    every_ns: int = 150_000_000
    lots: int = 40
    reach: int = 5
    n_instruments: int = 1
    newest: int = 0
    is_resting: int = 0
    n_rejects: int = 0

    def on_start(self, ctx):
        ctx.set_timer(self.every_ns, every_ns=self.every_ns)

    def on_signal(self, ctx, signal):
        self.is_resting = 1

    def on_timer(self, ctx, timer):
        self.act(ctx)

    def on_book(self, ctx, book):
        if self.roll(4) == 0:
            self.act(ctx)
            if self.roll(2) == 0:
                self.act(ctx)

    def on_fill(self, ctx, fill):
        if self.roll(4) == 0:
            self.act(ctx)

    def on_order(self, ctx, order):
        if self.roll(12) == 0:
            self.act(ctx)

    def roll(self, n):
        self.seed = (self.seed * 1103515245 + 12345) % 2147483648
        return (self.seed >> 8) % n

    def act(self, ctx):
        at = self.roll(self.n_instruments) if self.n_instruments > 1 else 0
        bid = ctx.best_bid_ticks(at)
        ask = ctx.best_ask_ticks(at)
        if self.is_resting != 0 or bid == 0 or ask == 0:
            return
        what = self.roll(16)
        side = 1 - 2 * self.roll(2)
        lots = 5 + self.roll(self.lots)
        near = bid if side > 0 else ask
        px = max(1, near - side * (self.roll(self.reach) - 1))
        some = self.newest - self.roll(6)
        if what < 4:
            self.newest = ctx.order_lots(at, side, lots, px, GTC, LIMIT)
        elif what < 7:
            self.newest = ctx.order_lots(at, side, lots, near, GTX, LIMIT)
        elif what < 9:
            self.newest = ctx.order_lots(at, side, lots, px + side * 3, IOC, LIMIT)
        elif what == 9:
            self.newest = ctx.order_lots(at, side, lots, 0, GTC, MARKET)
        elif what < 11:
            ctx.cancel(some)
        elif what < 14:
            # To another size and price, perhaps while it fills.
            ctx.amend_lots(some, lots, max(1, ctx.order_px(some) + 1 - self.roll(3)))
        elif what == 14:
            ctx.amend_lots(some, max(1, ctx.leaves_lots(some) - self.roll(4)), max(1, ctx.order_px(some)))
        elif self.roll(3) == 0:
            ctx.cancel_all(at)
