"""Strategies that use everything a strategy may use, and the market they trade on, for tests of the engine."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from tercel.features import Ema
from tercel.model.commands import FOK, GTX, IOC
from tercel.model.events import DISCONNECT, FUNDING, HALT, LOCAL, QUOTE, REFUSED, RESUME, SIGNAL, event_rows
from tercel.model.instrument import Instrument
from tercel.sim.market import MarketModel, simulate_market
from tercel.strategy.contract import Strategy

SIM = Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), base="SIM", quote="USD")


class Busy(Strategy):
    """Asks for something else each time its timer fires."""

    turn: int = 0
    period_ns: int = 40_000_000
    tick: float = 0.01
    buy_id: int = 0
    sell_id: int = 0
    n_fills: int = 0
    n_refused: int = 0
    n_again: int = 0
    n_signals: int = 0
    n_stops: int = 0
    filled: float = 0.0
    fees: float = 0.0
    last_leaves: float = 0.0
    average: Ema = Ema(20)

    def on_start(self, ctx):
        ctx.set_timer(self.period_ns, 1, self.period_ns)
        ctx.set_timer(1_000, 2)
        ctx.set_timer(2_000, 3)
        ctx.cancel_timer(3)

    def on_trade(self, ctx, trade):
        self.average.update(trade.price)

    def on_timer(self, ctx, timer):
        bid, ask = ctx.best_bid_ticks(0), ctx.best_ask_ticks(0)
        if bid == 0 or ask == 0:
            return
        if timer.id == 2:
            ctx.set_timer(7_777_777, 2)
            if not ctx.is_open(self.buy_id):
                self.buy_id = ctx.order_lots(0, 1, 40, bid, GTX)
            return
        self.ask_for_something(ctx, self.turn % 16, bid, ask)
        self.turn += 1

    def ask_for_something(self, ctx, what, bid, ask):
        price, qty = ctx.to_price(0, bid), 0.05
        if what == 0:
            self.buy_id = ctx.post(0, 1, qty, price)
            self.sell_id = ctx.post(0, -1, qty, ctx.best_ask(0))
        elif what == 1:
            ctx.amend(self.buy_id, 0.08, price - self.tick)
            ctx.amend_lots(self.sell_id, 20, ask + 1)
            ctx.amend(self.buy_id, 0.09, price)
        elif what == 2:
            ctx.cancel(self.buy_id)
            ctx.cancel(12345)
        elif what == 3:
            ctx.buy(0, qty)
            ctx.sell(0, qty, ctx.best_bid(0), IOC)
        elif what == 4:
            ctx.cancel_all(0)
        elif what == 5:
            ctx.close(0)
        elif what == 6:
            first = ctx.order_lots(0, 1, 30, bid - 1)
            second = ctx.order_lots(0, 1, 30, bid - 3)
            ctx.one_cancels_other(first, second)
        elif what == 7:
            parent = ctx.buy(0, qty, price)
            ctx.bracket(parent, ctx.stop(0, -1, qty, price - 10 * self.tick))
        elif what == 8:
            ctx.iceberg(0, -1, 0.3, ctx.best_ask(0) + self.tick, 0.1)
        elif what == 9:
            ctx.stop(0, 1, qty, ctx.best_ask(0) + 3 * self.tick, ctx.best_ask(0) + 5 * self.tick)
            ctx.trailing(0, -1, qty, 4 * self.tick)
        elif what == 10:
            ctx.buy(0, 0.00051)
            ctx.buy(0, qty, price + 0.001)
            ctx.buy(0, -1.0)
            ctx.sell(0, 900.0, price)
        elif what == 11:
            ctx.buy_until(0, qty, price - self.tick, ctx.now + 90_000_000)
            ctx.sell_until(0, qty, ctx.best_ask(0) + self.tick, ctx.now + 50_000_000)
        elif what == 12:
            ctx.buy(0, qty, ctx.best_ask(0), FOK)
            ctx.sell(0, qty, ctx.best_bid(0), reduce_only=True)
        elif what == 13:
            for i in range(6):
                ctx.order_lots(0, -1, 10 + i, ask + 2 + i)
        elif what == 14:
            ctx.amend_lots(self.sell_id, 500_000, ask)
        else:
            ctx.cancel_all(0)
            ctx.close(0)

    def on_fill(self, ctx, fill):
        self.n_fills += 1
        self.filled += fill.qty * fill.price
        self.fees += fill.fee
        self.last_leaves = fill.leaves

    def on_order(self, ctx, order):
        if order.kind == REFUSED:
            self.n_refused += 1
            if self.n_refused % 5 == 0:
                self.n_again += 1
                ctx.order_lots(0, 1, 10, ctx.best_bid_ticks(0))
        self.last_leaves = order.leaves

    def on_signal(self, ctx, signal):
        self.n_signals += 1
        if signal.value > 0.0:
            ctx.buy(0, 0.01)

    def on_stop(self, ctx):
        self.n_stops += 1
        ctx.cancel_all(0)


class Leaning(Strategy):
    """Takes where the book leans; keeps a ring of mids, and asks again at once when it is refused."""

    mids: np.ndarray = np.zeros(16)
    n: int = 0
    lean: float = 0.85
    sum: float = 0.0
    again: int = 0

    def on_book(self, ctx, book):
        self.mids[self.n % 16] = book.mid
        self.n += 1
        lean = ctx.imbalance(0, 3)
        if self.n % 40 == 0 and abs(lean) > self.lean:
            if lean > 0:
                ctx.buy(0, 0.02, book.best_ask, IOC)
            else:
                ctx.sell(0, 0.02, book.best_bid, IOC)
        if self.n % 500 == 0:
            ctx.sell(0, 0.0005)
        self.sum += self.mids[(self.n + 5) % 16]

    def on_order(self, ctx, order):
        if order.kind == REFUSED and self.again < 50:
            self.again += 1
            ctx.sell(0, 0.0005)


class Listening(Strategy):
    """Hears everything, sends nothing."""

    n_levels: int = 0
    n_quotes: int = 0
    size: float = 0.0
    spread: float = 0.0

    def on_level(self, ctx, level):
        self.n_levels += 1
        self.size += level.qty

    def on_quote(self, ctx, quote):
        self.n_quotes += 1
        self.spread += quote.spread

    def on_trade(self, ctx, trade):
        self.size += trade.qty * ctx.qty_at(0, 1, trade.px)


def everyone(tick: float = 0.01) -> list[Strategy]:
    """One of each, in a fixed order, for an instrument of that tick."""
    return [Busy(tick=tick), Leaning(), Listening()]


def market_rows(duration_s: float = 12.0, seed: int = 5) -> np.ndarray:
    """A simulated market with a signal, a quote, funding, a lost connection, a halt and its end strewn in."""
    rows = simulate_market(MarketModel(), seed, duration_s=duration_s)
    n = len(rows)
    extra = event_rows(7)
    places = [n // 8, n // 5, n // 4, n // 3, n // 2, n // 2 + n // 30, 3 * n // 4]
    for row, at, kind in zip(extra, places, (SIGNAL, QUOTE, FUNDING, DISCONNECT, HALT, RESUME, SIGNAL)):
        row["ts_exch"] = row["ts_recv"] = rows[at]["ts_recv"]
        row["kind"], row["flags"], row["id"] = kind, LOCAL, at
        if kind == SIGNAL:
            row["arg0"] = int(np.float64(1.5).view(np.int64))
        elif kind == QUOTE:
            row["px"], row["qty"], row["arg0"], row["arg1"] = 9_990, 10, 10_010, 12
        elif kind == FUNDING:
            row["px"], row["arg0"] = 10_000, 10_000
    return np.insert(rows, [at + 1 for at in places], extra)
