"""The context: what a strategy may ask of the state block and do through it.

Every function of `METHODS` is a method of `ctx` in a handler, compiled and interpreted alike. Reading is direct: the
records lie in the block, at offsets the head states. Doing is by proposal: `ctx.buy` writes a PROPOSAL and returns the
order's id; when the handler has returned, the engine passes each proposal through the risk gate, and it becomes a
COMMAND or a REFUSED row that the strategy sees in on_order. The records are in `block`, the methods that work an order
in `executing` and `placing`. Nothing here talks to a venue.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import numpy as np

from tercel.book.l2 import BOOK_SIDE, NO_KEY, SIDES_AT, book_level, book_next
from tercel.features.state import StateView
from tercel.jit import addressof_record, interpreted, kernel, records, register_methods
from tercel.model.commands import (
    AMEND,
    BRACKET,
    CANCEL,
    CANCEL_ALL,
    GTC,
    GTD,
    GTX,
    ICEBERG,
    IOC,
    LIMIT,
    LINK,
    MARKET,
    NEW,
    OCO,
    REDUCE_ONLY,
    STOP,
    STOP_LIMIT,
    TRAILING,
)
from tercel.model.events import BUY, SELL
from tercel.model.reasons import BAD_PRICE, BAD_QTY, OFF_LOT_GRID, OFF_TICK_GRID
from tercel.orders.lifecycle import ORDER
from tercel.orders.table import order_find, order_leaves
from tercel.strategy import executing, placing, protecting
from tercel.strategy.block import (
    AT_MARKET,
    CONTEXT,
    INT64_MAX,
    MARKER,
    MARKET_ROW,
    PROPOSAL,
    TIMER_ROW,
    earliest_timer,
    grid,
    instrument_row,
    market_row,
    off,
    order,
    position_row,
    propose,
    set_timer_at,
    top_ticks,
)

__all__ = [
    "CONTEXT", "INT64_MAX", "MARKET_ROW", "METHODS", "PROPOSAL", "TIMER_ROW", "ContextView", "earliest_timer",
    "top_ticks",
]  # fmt: skip


# --- reading ------------------------------------------------------------------------------------------------------


def best_bid_ticks(ctx: Any, instrument: int) -> int:
    """Best bid in ticks, 0 when there is none."""
    instrument_row(ctx, instrument)
    return top_ticks(addressof_record(ctx), ctx, instrument, 0)


def best_ask_ticks(ctx: Any, instrument: int) -> int:
    """Best ask in ticks, 0 when there is none."""
    instrument_row(ctx, instrument)
    return top_ticks(addressof_record(ctx), ctx, instrument, 1)


def best_bid(ctx: Any, instrument: int) -> float:
    """Best bid price, 0.0 when there is none."""
    row = instrument_row(ctx, instrument)
    return top_ticks(addressof_record(ctx), ctx, instrument, 0) * row.tick_num / row.tick_den


def best_ask(ctx: Any, instrument: int) -> float:
    """Best ask price, 0.0 when there is none."""
    row = instrument_row(ctx, instrument)
    return top_ticks(addressof_record(ctx), ctx, instrument, 1) * row.tick_num / row.tick_den


def mid(ctx: Any, instrument: int) -> float:
    """Half way between best bid and best ask; the last price where a side is missing; 0.0 before any price."""
    row = instrument_row(ctx, instrument)
    base = addressof_record(ctx)
    bid, ask = top_ticks(base, ctx, instrument, 0), top_ticks(base, ctx, instrument, 1)
    if bid > 0 and ask > 0:
        # A product rather than a quotient: it may be one unit in the last place off the nearest float, and is three
        # times as fast, in the one call that nearly every quoting strategy makes for every event.
        return (bid + ask) * (0.5 * row.tick)
    return market_row(ctx, instrument).last_px * row.tick_num / row.tick_den


def spread(ctx: Any, instrument: int) -> float:
    """Best ask minus best bid; 0.0 where a side is missing."""
    row = instrument_row(ctx, instrument)
    base = addressof_record(ctx)
    bid, ask = top_ticks(base, ctx, instrument, 0), top_ticks(base, ctx, instrument, 1)
    if bid > 0 and ask > 0:
        return (ask - bid) * row.tick_num / row.tick_den
    return 0.0


def last_price(ctx: Any, instrument: int) -> float:
    """Price of the last trade or bar, 0.0 before the first."""
    row = instrument_row(ctx, instrument)
    return market_row(ctx, instrument).last_px * row.tick_num / row.tick_den


def _size_at(ctx: Any, instrument: int, side: int, px: int) -> int:
    return book_level(addressof_record(ctx) + ctx.off_books + instrument * ctx.book_stride, side, px)


def bid_qty(ctx: Any, instrument: int) -> float:
    """Size at the best bid."""
    row = instrument_row(ctx, instrument)
    base = addressof_record(ctx)
    book = base + ctx.off_books + instrument * ctx.book_stride
    key = records(book + SIDES_AT, 2, BOOK_SIDE)[0].best
    lots = book_level(book, BUY, key) if key != NO_KEY else market_row(ctx, instrument).bid_lots
    return lots * row.lot_num / row.lot_den


def ask_qty(ctx: Any, instrument: int) -> float:
    """Size at the best ask."""
    row = instrument_row(ctx, instrument)
    base = addressof_record(ctx)
    book = base + ctx.off_books + instrument * ctx.book_stride
    key = records(book + SIDES_AT, 2, BOOK_SIDE)[1].best
    lots = book_level(book, SELL, -key) if key != NO_KEY else market_row(ctx, instrument).ask_lots
    return lots * row.lot_num / row.lot_den


def qty_at(ctx: Any, instrument: int, side: int, px: int) -> float:
    """Size at a price in ticks on one side of the book (tc.BUY bids, tc.SELL asks)."""
    row = instrument_row(ctx, instrument)
    book = addressof_record(ctx) + ctx.off_books + instrument * ctx.book_stride
    return book_level(book, side, px) * row.lot_num / row.lot_den


def imbalance(ctx: Any, instrument: int, levels: int = 1) -> float:
    """(bids - asks) / (bids + asks) over the best `levels` levels of each side, in [-1, 1]; 0.0 for an empty book."""
    instrument_row(ctx, instrument)
    book = addressof_record(ctx) + ctx.off_books + instrument * ctx.book_stride
    sides = records(book + SIDES_AT, 2, BOOK_SIDE)
    bid_key, ask_key = sides[0].best, sides[1].best
    bids = book_level(book, BUY, bid_key) if bid_key != NO_KEY else 0
    asks = book_level(book, SELL, -ask_key) if ask_key != NO_KEY else 0
    if levels > 1:
        bids += _below_best(book, 0, bid_key, levels - 1)
        asks += _below_best(book, 1, ask_key, levels - 1)
    if bids + asks == 0:
        return 0.0
    return (bids - asks) / (bids + asks)


@kernel
def _below_best(book: int, k: int, key: int, n_levels: int) -> int:
    """Lots on the next `n_levels` levels of side k behind the level `key`."""
    side = 1 - 2 * k
    total = 0
    for _ in range(n_levels):
        if key == NO_KEY:
            break
        key = book_next(book, k, key)
        if key != NO_KEY:
            total += book_level(book, side, side * key)
    return total


def position(ctx: Any, instrument: int) -> float:
    """The position, negative when short, in the instrument's unit of size."""
    lots = position_row(ctx, instrument).position
    row = instrument_row(ctx, instrument)
    return lots * row.lot_num / row.lot_den


def position_lots(ctx: Any, instrument: int) -> int:
    """The position in lots, negative when short."""
    return position_row(ctx, instrument).position


def to_price(ctx: Any, instrument: int, px: int) -> float:
    """Ticks as a price."""
    row = instrument_row(ctx, instrument)
    return px * row.tick_num / row.tick_den


def to_ticks(ctx: Any, instrument: int, price: float) -> int:
    """A price as the nearest whole number of ticks."""
    row = instrument_row(ctx, instrument)
    return int(np.floor(price * row.tick_den / row.tick_num + 0.5))


def to_lots(ctx: Any, instrument: int, qty: float) -> int:
    """A quantity as the nearest whole number of lots."""
    row = instrument_row(ctx, instrument)
    return int(np.floor(qty * row.lot_den / row.lot_num + 0.5))


def order_state(ctx: Any, id: int) -> int:
    """State of an order (orders.lifecycle ST_*); ST_FREE (0) once it has ended or if it never was."""
    orders = records(addressof_record(ctx) + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, id)
    return orders[slot].state if slot >= 0 else 0


def is_open(ctx: Any, id: int) -> bool:
    """Whether the order still lives as far as we know: sent, resting or partly filled."""
    orders = records(addressof_record(ctx) + ctx.off_orders, ctx.orders_max, ORDER)
    return id > 0 and order_find(orders, ctx.orders_max, id) >= 0


def is_pending(ctx: Any, id: int) -> bool:
    """Whether a request on the order (new, cancel, amend) has not been answered yet."""
    orders = records(addressof_record(ctx) + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, id)
    return slot >= 0 and (orders[slot].state == 1 or orders[slot].pending != 0)


def order_px(ctx: Any, id: int) -> int:
    """Price of an open order in ticks, 0 when there is no such order."""
    orders = records(addressof_record(ctx) + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, id)
    return orders[slot].px if slot >= 0 else 0


def leaves_lots(ctx: Any, id: int) -> int:
    """Lots of an open order that have not filled, 0 when there is no such order."""
    orders = records(addressof_record(ctx) + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, id)
    return order_leaves(orders[slot]) if slot >= 0 else 0


# --- doing --------------------------------------------------------------------------------------------------------


def buy(
    ctx: Any, instrument: int, qty: float, limit: float = AT_MARKET, tif: int = GTC, reduce_only: bool = False
) -> int:
    """Buy `qty`: at `limit` or better, at market where no limit is given. Returns the order id.

    A price off the tick grid or a size off the lot grid is refused by name (OFF_TICK_GRID, OFF_LOT_GRID).
    """
    kind = LIMIT if limit != AT_MARKET else MARKET
    return order(ctx, instrument, BUY, qty, limit, kind, tif, REDUCE_ONLY if reduce_only else 0, 0.0, 0.0, 0)


def sell(
    ctx: Any, instrument: int, qty: float, limit: float = AT_MARKET, tif: int = GTC, reduce_only: bool = False
) -> int:
    """Sell `qty`: at `limit` or better, at market where no limit is given. Returns the order id."""
    kind = LIMIT if limit != AT_MARKET else MARKET
    return order(ctx, instrument, SELL, qty, limit, kind, tif, REDUCE_ONLY if reduce_only else 0, 0.0, 0.0, 0)


def post(ctx: Any, instrument: int, side: int, qty: float, price: float) -> int:
    """A post-only limit order (GTX): rejected by the venue rather than taking. Returns the order id."""
    return order(ctx, instrument, side, qty, price, LIMIT, GTX, 0, 0.0, 0.0, 0)


def buy_until(ctx: Any, instrument: int, qty: float, limit: float, expire_ns: int) -> int:
    """Buy at `limit` or better until the time `expire_ns` (GTD). Returns the order id."""
    return order(ctx, instrument, BUY, qty, limit, LIMIT, GTD, 0, 0.0, 0.0, expire_ns)


def sell_until(ctx: Any, instrument: int, qty: float, limit: float, expire_ns: int) -> int:
    """Sell at `limit` or better until the time `expire_ns` (GTD). Returns the order id."""
    return order(ctx, instrument, SELL, qty, limit, LIMIT, GTD, 0, 0.0, 0.0, expire_ns)


def stop(ctx: Any, instrument: int, side: int, qty: float, trigger: float, limit: float = AT_MARKET,
         reduce_only: bool = False) -> int:  # fmt: skip
    """A stop order: when the last trade reaches `trigger` it becomes a market order, or a limit order at `limit`."""
    kind = STOP_LIMIT if limit != AT_MARKET else STOP
    return order(ctx, instrument, side, qty, limit, kind, GTC, REDUCE_ONLY if reduce_only else 0, trigger, 0.0, 0)


def trailing(ctx: Any, instrument: int, side: int, qty: float, offset: float, reduce_only: bool = False) -> int:
    """A trailing stop: its trigger follows the best trade price since it was accepted at a distance of `offset`."""
    flags = REDUCE_ONLY if reduce_only else 0
    return order(ctx, instrument, side, qty, AT_MARKET, TRAILING, GTC, flags, offset, 0.0, 0)


def iceberg(ctx: Any, instrument: int, side: int, qty: float, limit: float, show: float) -> int:
    """A limit order that displays only `show` at a time; each new slice queues at the end of its level."""
    return order(ctx, instrument, side, qty, limit, ICEBERG, GTC, 0, 0.0, show, 0)


def order_lots(ctx: Any, instrument: int, side: int, lots: int, px: int, tif: int = GTC, type: int = LIMIT,
               flags: int = 0, arg: int = 0, expire_ns: int = 0) -> int:  # fmt: skip
    """Any order in exact integers: lots, ticks, and `arg` and `flags` as on a COMMAND row. Returns the order id."""
    instrument_row(ctx, instrument)
    return propose(ctx, NEW, 0, instrument, side, lots, px, type, tif, flags, arg, expire_ns, 0)


def cancel(ctx: Any, id: int) -> int:
    """Ask the venue to cancel an order. Refused by name when it has ended or a request on it is in flight."""
    return propose(ctx, CANCEL, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def amend(ctx: Any, id: int, qty: float, limit: float) -> int:
    """Ask the venue to change an order's open size and price. Priority is kept only for a smaller size."""
    orders = records(addressof_record(ctx) + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, id)
    if slot < 0:
        return propose(ctx, AMEND, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    instrument = orders[slot].instrument
    row = instrument_row(ctx, instrument)
    lots = grid(qty, row.lot_num, row.lot_den)
    px = grid(limit, row.tick_num, row.tick_den)
    reason = off(lots, OFF_LOT_GRID, BAD_QTY)
    if reason == 0:
        reason = off(px, OFF_TICK_GRID, BAD_PRICE)
    return propose(ctx, AMEND, id, instrument, 0, lots, px, 0, 0, 0, 0, 0, reason)


def amend_lots(ctx: Any, id: int, lots: int, px: int) -> int:
    """As `amend`, in exact integers."""
    return propose(ctx, AMEND, id, 0, 0, lots, px, 0, 0, 0, 0, 0, 0)


def cancel_all(ctx: Any, instrument: int = -1) -> int:
    """Cancel every open order of this strategy on an instrument, on all where none is named, and its algorithms there.

    The cancels of one event leave together, so that a venue that takes a batch gets one.
    """
    if instrument != -1:
        instrument_row(ctx, instrument)
    return propose(ctx, CANCEL_ALL, 0, instrument, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def close(ctx: Any, instrument: int) -> int:
    """Flatten the position at market, reduce-only. Returns the order id, 0 when flat."""
    lots = position_row(ctx, instrument).position
    if lots == 0:
        return 0
    side = SELL if lots > 0 else BUY
    return propose(ctx, NEW, 0, instrument, side, abs(lots), 0, MARKET, IOC, REDUCE_ONLY, 0, 0, 0)


def one_cancels_other(ctx: Any, first: int, second: int) -> int:
    """Link two orders of one instrument: when one fills whole, the simulated venue cancels the other."""
    return propose(ctx, LINK, first, 0, 0, 0, 0, 0, 0, OCO, second, 0, 0)


def bracket(ctx: Any, parent: int, child: int) -> int:
    """Hang `child` on `parent`: the simulated venue holds it until the parent has filled whole; see also `protect`."""
    return propose(ctx, LINK, child, 0, 0, 0, 0, 0, 0, BRACKET, parent, 0, 0)


def set_timer(ctx: Any, after_ns: int, id: int = 0, every_ns: int = 0) -> int:
    """Call on_timer `after_ns` from now, then every `every_ns` where that is given. `id` comes back in the event."""
    return set_timer_at(ctx, ctx.now + after_ns, id, every_ns)


def cancel_timer(ctx: Any, id: int) -> int:
    """Drop this strategy's timers called `id`. Returns how many there were."""
    timers = records(addressof_record(ctx) + ctx.off_timers, ctx.timers_max, TIMER_ROW)
    dropped = 0
    for i in range(ctx.timers_max):
        if timers[i].deadline != 0 and timers[i].strategy == ctx.strategy and timers[i].id == id:
            timers[i].deadline = 0
            ctx.n_timers -= 1
            dropped += 1
    earliest_timer(ctx)
    return dropped


#: Name -> function: the methods of `ctx`, and the page of the documentation that lists them.
METHODS = {
    function.__name__: function
    for function in (
        best_bid, best_ask, mid, spread, last_price, bid_qty, ask_qty, qty_at, imbalance, best_bid_ticks,
        best_ask_ticks, position, position_lots, to_price, to_ticks, to_lots, order_state, is_open, is_pending,
        order_px, leaves_lots, buy, sell, post, buy_until, sell_until, stop, trailing, iceberg, order_lots, cancel,
        amend, amend_lots, cancel_all, close, one_cancels_other, bracket, set_timer, cancel_timer,
        *executing.METHODS, *protecting.METHODS, *placing.METHODS,
    )
}  # fmt: skip

register_methods(MARKER, METHODS)


class ContextView(StateView):
    """The context in the interpreter."""

    __slots__ = ()


def _for_view(function: Any) -> Any:
    """A method for the interpreter. It gives Python's numbers: NumPy's would not raise when divided by zero."""
    plain = interpreted(function)

    @wraps(function)
    def method(ctx: ContextView, *args: Any, **kwargs: Any) -> Any:
        value = plain(ctx, *args, **kwargs)
        return value.item() if isinstance(value, np.generic) else value

    return method


for _name, _function in METHODS.items():
    setattr(ContextView, _name, _for_view(_function))
