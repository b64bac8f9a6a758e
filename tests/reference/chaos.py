"""Strategies that do anything a strategy may do, at random but the same each time: integers in, integers out."""

from __future__ import annotations

from tercel.model.commands import (
    FOK,
    GTC,
    GTD,
    GTX,
    ICEBERG,
    IOC,
    LIMIT,
    MARKET,
    REDUCE_ONLY,
    STOP,
    STOP_LIMIT,
    TRAILING,
)
from tercel.strategy.contract import Strategy


class Chaos(Strategy):
    """Acts on every timer, and now and then on a fill or on what it hears of an order."""

    seed: int = 1
    every_ns: int = 20_000_000
    lots: int = 300
    reach: int = 6
    n_instruments: int = 1
    newest: int = 0

    def on_start(self, ctx):
        ctx.set_timer(self.every_ns, every_ns=self.every_ns)

    def on_timer(self, ctx, timer):
        self.act(ctx)

    def on_fill(self, ctx, fill):
        if self.roll(3) == 0:
            self.act(ctx)

    def on_order(self, ctx, order):
        if self.roll(9) == 0:
            self.act(ctx)

    def roll(self, n):
        self.seed = (self.seed * 1103515245 + 12345) % 2147483648
        return (self.seed >> 8) % n

    def act(self, ctx):
        i = self.roll(self.n_instruments)
        bid = ctx.best_bid_ticks(i)
        ask = ctx.best_ask_ticks(i)
        if bid == 0 or ask == 0:
            return
        what = self.roll(20)
        side = 1 - 2 * self.roll(2)
        lots = 1 + self.roll(self.lots)
        near = bid if side > 0 else ask
        px = max(1, near - side * (self.roll(self.reach) - 1))
        flags = REDUCE_ONLY if self.roll(5) == 0 else 0
        some = self.newest - self.roll(6)
        if what < 6:
            tif = GTX if what < 2 else GTC
            self.newest = ctx.order_lots(i, side, lots, px, tif, LIMIT, flags)
        elif what == 6:
            self.newest = ctx.order_lots(i, side, lots, px + side * 2, IOC, LIMIT, flags)
        elif what == 7:
            self.newest = ctx.order_lots(i, side, lots, px + side * 2, FOK, LIMIT, flags)
        elif what == 8:
            # From a little ago to far beyond the tape.
            k = self.roll(40) - 4
            expire_ns = ctx.now + (k * 10_000_000 if k < 31 else 1_000_000_000_000_000)
            self.newest = ctx.order_lots(i, side, lots, px, GTD, LIMIT, flags, 0, expire_ns)
        elif what == 9:
            self.newest = ctx.order_lots(i, side, lots, 0, GTC, MARKET, flags)
        elif what == 10:
            self.newest = ctx.order_lots(i, side, lots, 0, GTC, STOP, flags, near + side * (self.roll(5) - 1))
        elif what == 11:
            self.newest = ctx.order_lots(i, side, lots, px, GTC, STOP_LIMIT, flags, near + side * (self.roll(5) - 1))
        elif what == 12:
            self.newest = ctx.order_lots(i, side, lots, 0, GTC, TRAILING, flags, 1 + self.roll(6))
        elif what == 13:
            self.newest = ctx.order_lots(i, side, lots, px, GTC, ICEBERG, flags, 1 + lots // 3)
        elif what == 14 or what == 15:
            ctx.cancel(some)
        elif what == 16:
            if self.roll(2) == 0:
                ctx.amend_lots(some, max(1, ctx.leaves_lots(some) - self.roll(40)), max(1, ctx.order_px(some)))
            else:
                ctx.amend_lots(some, lots, px)
        elif what == 17:
            if self.roll(4) == 0:
                ctx.cancel_all(i)
        elif what == 18:
            ctx.one_cancels_other(some, self.newest)
        else:
            parent = ctx.order_lots(i, side, lots, px, IOC if self.roll(4) == 0 else GTC)
            profit = ctx.order_lots(i, -side, lots, px + side * 3, GTC, LIMIT, flags)
            loss = ctx.order_lots(i, -side, lots, 0, GTC, STOP, flags, max(1, px - side * (self.roll(6) - 1)))
            ctx.bracket(parent, profit)
            ctx.bracket(parent, loss)
            ctx.one_cancels_other(profit, loss)
            self.newest = loss


class ChaosFeed(Chaos):
    """As Chaos, and wakes on market data too."""

    def on_trade(self, ctx, trade):
        if self.roll(4) == 0:
            self.act(ctx)

    def on_book(self, ctx, book):
        if self.roll(40) == 0:
            self.act(ctx)


class ChaosQuotes(Chaos):
    """As Chaos, on quotes and bars."""

    def on_quote(self, ctx, quote):
        if self.roll(12) == 0:
            self.act(ctx)

    def on_bar(self, ctx, bar):
        if self.roll(4) == 0:
            self.act(ctx)
