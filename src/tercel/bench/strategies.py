"""Our side's strategies, to the letter of `tercel.bench.questions`, written as a user would write them.

Plain strategy classes; `ours` runs them. Nothing here measures.
"""

from __future__ import annotations

from typing import Any

from tercel.bench.questions import (
    EMA_FAST,
    EMA_LOTS,
    EMA_SLOW,
    EURUSD,
    HALF_TICKS,
    MAX_LOTS,
    ORDER_LOTS,
    QUOTE_NS,
    SKEW_LOTS,
    SKEW_MAX_TICKS,
    SMA_FAST,
    SMA_LOTS,
    SMA_SLOW,
)
from tercel.features.moving import Ema, Sma
from tercel.model.commands import GTX, IOC
from tercel.model.events import BUY, SELL
from tercel.strategy.contract import Strategy

__all__ = ["EmaCross", "EmaWatch", "FeedQuoter", "GridQuoter", "Scalper", "SmaCross"]

_UNITS = float(EMA_LOTS * EURUSD.lot_size)
_CONTRACTS = float(SMA_LOTS)


class _Quoting(Strategy):
    """One quoting step and the state it needs; when to step is the subclass's affair."""

    buy_id: int = 0
    buy_px: int = 0
    sell_id: int = 0
    sell_px: int = 0

    def quote(self, ctx: Any, reference: int, bid: int, ask: int) -> None:
        position = ctx.position_lots(0)
        skew = min(max(position // SKEW_LOTS, -SKEW_MAX_TICKS), SKEW_MAX_TICKS)

        px = min(bid, reference // 2 - HALF_TICKS - skew)
        wanted = position < MAX_LOTS
        alive = ctx.is_open(self.buy_id)
        if alive and (self.buy_px != px or not wanted):
            ctx.cancel(self.buy_id)
            alive = False
        if wanted and not alive:
            self.buy_id = ctx.order_lots(0, BUY, ORDER_LOTS, px, GTX)
            self.buy_px = px

        px = max(ask, (reference + 1) // 2 + HALF_TICKS - skew)
        wanted = position > -MAX_LOTS
        alive = ctx.is_open(self.sell_id)
        if alive and (self.sell_px != px or not wanted):
            ctx.cancel(self.sell_id)
            alive = False
        if wanted and not alive:
            self.sell_id = ctx.order_lots(0, SELL, ORDER_LOTS, px, GTX)
            self.sell_px = px


class GridQuoter(_Quoting):
    """The quoter on a fixed grid of wake-ups that starts at `first_ns`, the earliest time on the tape."""

    first_ns: int = 0

    def on_start(self, ctx: Any) -> None:
        ctx.set_timer(self.first_ns + QUOTE_NS - ctx.now, 1, QUOTE_NS)

    def on_timer(self, ctx: Any, timer: Any) -> None:
        bid, ask = ctx.best_bid_ticks(0), ctx.best_ask_ticks(0)
        if bid > 0 and ask > 0:
            self.quote(ctx, bid + ask, bid, ask)


class FeedQuoter(_Quoting):
    """The quoter woken by every message of the feed; its reference is an integer average of the touch."""

    average: int = 0
    next_ns: int = 0

    def on_book(self, ctx: Any, book: Any) -> None:
        self.wake(ctx, book.ts)

    def on_trade(self, ctx: Any, trade: Any) -> None:
        self.wake(ctx, trade.ts)

    def wake(self, ctx: Any, now_ns: int) -> None:
        bid, ask = ctx.best_bid_ticks(0), ctx.best_ask_ticks(0)
        if bid > 0 and ask > 0:
            scaled = (bid + ask) << 16
            if self.average == 0:
                self.average = scaled
            else:
                self.average += (scaled - self.average) >> 6
            if now_ns >= self.next_ns:
                self.next_ns = now_ns + QUOTE_NS
                self.quote(ctx, self.average >> 16, bid, ask)


class EmaWatch(Strategy):
    """The EMA cross that only counts its signals: what deciding costs, without any order."""

    fast: Ema = Ema(span=EMA_FAST)
    slow: Ema = Ema(span=EMA_SLOW)
    side: int = 0
    n_crossed: int = 0

    def on_quote(self, ctx: Any, quote: Any) -> None:
        fast, slow = self.fast.update(quote.mid), self.slow.update(quote.mid)
        side = 1 if fast > slow else -1
        if side != self.side:
            self.side = side
            self.n_crossed += 1


class Scalper(Strategy):
    """Two averages and the imbalance of the touch on every level; an immediate order when they change their mind."""

    fast: Ema = Ema(span=19)
    slow: Ema = Ema(span=199)
    last: int = 0
    n_sent: int = 0

    def on_level(self, ctx: Any, level: Any) -> None:
        mid = ctx.mid(0)
        fast, slow = self.fast.update(mid), self.slow.update(mid)
        lean = ctx.imbalance(0)
        side = 0
        if fast > slow and lean > 0.2:
            side = BUY
        elif fast < slow and lean < -0.2:
            side = SELL
        if side != 0 and side != self.last:
            self.last = side
            self.n_sent += 1
            px = ctx.best_ask_ticks(0) if side == BUY else ctx.best_bid_ticks(0)
            ctx.order_lots(0, side, ORDER_LOTS, px, IOC)


class EmaCross(Strategy):
    """Long one size while the fast average of the mid is above the slow one, flat otherwise."""

    fast: Ema = Ema(span=EMA_FAST)
    slow: Ema = Ema(span=EMA_SLOW)

    def on_quote(self, ctx: Any, quote: Any) -> None:
        fast, slow = self.fast.update(quote.mid), self.slow.update(quote.mid)
        if self.slow.ready():
            if fast > slow:
                if ctx.position_lots(0) == 0:
                    ctx.buy(0, _UNITS)
            elif fast < slow:
                if ctx.position_lots(0) > 0:
                    ctx.sell(0, _UNITS)


class SmaCross(Strategy):
    """Long one size while the fast mean of the closes is above the slow one, flat otherwise."""

    fast: Sma = Sma(window=SMA_FAST)
    slow: Sma = Sma(window=SMA_SLOW)
    n_bars: int = 0

    def on_bar(self, ctx: Any, bar: Any) -> None:
        fast, slow = self.fast.update(bar.close), self.slow.update(bar.close)
        self.n_bars += 1
        if self.n_bars > SMA_SLOW:
            if fast > slow:
                if ctx.position_lots(0) == 0:
                    ctx.buy(0, _CONTRACTS)
            elif fast < slow:
                if ctx.position_lots(0) > 0:
                    ctx.sell(0, _CONTRACTS)
