"""What market rows do at the simulated venue: they move its books and may fill our orders. Kernels.

Fill rules, each stated on the fill's row as its reason. A resting order fills whole when the opposite best meets its
price (BOOK_CROSSED) or a trade happens beyond it (TRADED_THROUGH), and when trades at its price have used up the queue
in front of it (QUEUE_REACHED; FIFO_MATCHED where the queue is exact): whole where partial fills are off, else by what
traded past the queue. On bars an order fills at its price when the bar trades beyond it, or at the open where that is
better. A reduce-only order is cut to the position when it would trade. Stops trigger on trades and bars, on quotes only
while there has been neither. Called by `sim.driver`.
"""

from __future__ import annotations

from typing import Any

from tercel.book.l2 import BOOK_SIDE, book_clear, book_set
from tercel.book.l3 import l3_clear
from tercel.jit import cold_kernel, inline_kernel, kernel, record, records
from tercel.model.commands import TRAILING
from tercel.model.events import ADD, BAR, CLEAR, DELETE, EXPIRED, LEVEL, QUOTE, TRADE
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import BOOK_CROSSED, FIFO_MATCHED, GTD_EXPIRED, QUEUE_REACHED, TRADED_THROUGH
from tercel.sim.answers import answer, fill
from tercel.sim.entering import enter
from tercel.sim.fifo import fifo_loss, fifo_trade, order_row
from tercel.sim.layout import OWN_SIDE, REST_MAX, SIM_ORDER, VENUE, VENUE_INSTRUMENT
from tercel.sim.queue import FIFO, USER, queue_depth, queue_filled, queue_trade
from tercel.sim.resting import RESTING, WAITING, ask_queue_model, bounds, fill_whole, leave, reduce, rest, top

__all__ = ["expire", "market_row"]

_SIDES = 64


@inline_kernel
def market_row(venue: int, states: int, books: int, book_stride: int, own: int, row: Any) -> int:
    """Apply one market row at its venue time. Returns 0 when it cannot have touched our orders, else 1.

    states, books, own: addresses of the VENUE_INSTRUMENT records, the books and the OWN_SIDE records, which the caller
    keeps in registers: a store to a book would make them be read again. Both sides go through one path, for which side
    a row is on cannot be predicted.
    """
    i = int(row.instrument)
    if row.kind != LEVEL:
        if row.kind == BAR:
            state = records(states, 32767, VENUE_INSTRUMENT)[i]
            if state.n_buy + state.n_sell + state.n_waiting == 0:
                state.has_bars = 1
                state.bid_px = row.px
                state.ask_px = row.px
                state.last_px = row.px
                return 0
        elif row.kind == QUOTE:
            state = records(states, 32767, VENUE_INSTRUMENT)[i]
            if state.n_buy + state.n_sell + state.n_waiting == 0:
                state.bid_px = row.px
                state.bid_lots = row.qty
                state.ask_px = row.arg0
                state.ask_lots = row.arg1
                return 0
        _other_row(venue, row)
        return 1
    side = int(row.side)
    px = row.px
    book = books + i * book_stride
    old = book_set(book, side, px, row.qty)
    k = (1 - side) >> 1
    key = side * px
    ours = records(own, 65534, OWN_SIDE)
    sides = records(book + _SIDES, 2, BOOK_SIDE)
    # Either best may have moved: a bid that goes can bring asks back into view that it had passed over.
    meets = sides[0].best + ours[2 * i + 1].best >= 0 or sides[1].best + ours[2 * i].best >= 0
    if meets or (key >= ours[2 * i + k].worst and key <= ours[2 * i + k].best):
        _level(venue, row, old)
        return 1
    return 0


@cold_kernel
def _level(venue: int, row: Any, old: int) -> int:
    """A level of the book changed where our orders are: queue positions first, then what the new best meets."""
    head = record(venue, VENUE)
    i, side, px = int(row.instrument), int(row.side), row.px
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    for j in range(head.n_orders):
        order = orders[j]
        if order.state == RESTING and order.instrument == i and order.side == side and order.px == px:
            _queue_depth(venue, head, order, float(old), float(row.qty))
    _cross(venue, i, top(venue, i, 0), top(venue, i, 1), row.ts_exch)
    return 0


@kernel
def _queue_depth(venue: int, head: Any, order: Any, old: float, new: float) -> int:
    instrument = records(venue + head.off_instruments, head.n_instruments, INSTRUMENT)[order.instrument]
    if head.queue_model == FIFO:
        return 0
    if head.queue_model == USER:
        if head.queue_depth_fn != 0:
            ask_queue_model(venue, head, order, head.queue_depth_fn, old, new, 0.0)
        return 0
    return queue_depth(order, head.queue_model, old, new, head.queue_n, instrument.lot)


@cold_kernel
def _other_row(venue: int, row: Any) -> int:
    """Every kind of row but LEVEL."""
    head = record(venue, VENUE)
    i = int(row.instrument)
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[i]
    ts = row.ts_exch
    if row.kind == TRADE:
        state.last_px = row.px
        side = int(row.side)
        if (side > 0 and row.px >= state.sell_best) or (side < 0 and row.px <= state.buy_best):
            _trade(venue, i, side, row.px, row.qty, ts)
        if state.n_waiting != 0:
            _triggers(venue, i, row.px, row.px, ts)
    elif row.kind == QUOTE:
        state.bid_px, state.bid_lots, state.ask_px, state.ask_lots = row.px, row.qty, row.arg0, row.arg1
        if state.n_buy + state.n_sell != 0:
            _cross(venue, i, row.px, row.arg0, ts)
        if state.n_waiting != 0 and state.last_px == 0:
            _quote_triggers(venue, i, row.px, row.arg0, ts)
    elif row.kind == BAR:
        state.has_bars = 1
        if state.n_buy + state.n_sell != 0:
            _cross_bar(venue, i, row.id, row.arg0, row.arg1, ts)
        state.bid_px = state.ask_px = state.last_px = row.px
        if state.n_waiting != 0:
            _triggers(venue, i, row.arg1, row.arg0, ts)
    elif row.kind == CLEAR:
        book_clear(venue + head.off_books + i * head.book_stride, int(row.side), row.px)
        if head.queue_model == FIFO:
            l3_clear(venue + head.off_l3 + i * head.l3_stride, int(row.side), row.px)
        # Levels that the cleared side had passed over are in view again.
        _cross(venue, i, top(venue, i, 0), top(venue, i, 1), ts)
    elif row.kind >= ADD and row.kind <= DELETE and head.queue_model == FIFO:
        lost = order_row(venue, row)
        if lost != 0:
            _queue_lost(venue, i, abs(lost), lost > 0, ts)
    return 0


@cold_kernel
def _queue_lost(venue: int, i: int, lost: int, was_trade: bool, ts: int) -> int:
    """An order of the L3 book lost `lost` lots: ours at its price move up, or trade before it."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    head.pass_number += 1
    left = lost
    j = 0
    while j < head.n_orders:
        order = orders[j]
        if order.state != RESTING or order.instrument != i or order.seen == head.pass_number:
            j += 1
            continue
        order.seen = head.pass_number
        if order.side != head.lost_side or order.px != head.lost_px:
            j += 1
            continue
        reached = min(fifo_loss(order, head.lost_tag, lost, was_trade, ts), left)
        if reached > 0:
            left -= _reached(venue, j, reached, FIFO_MATCHED, ts)
            j = 0
        else:
            j += 1
    return 0


@cold_kernel
def _trade(venue: int, i: int, side: int, px: int, qty: int, ts: int) -> int:
    """A trade whose aggressor is `side` reaches the price of an order of ours on the other side."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    head.pass_number += 1
    left = qty
    j = 0
    while j < head.n_orders:
        order = orders[j]
        ours = order.state == RESTING and order.instrument == i and order.side == -side
        # Orders move in the array when one ends or shows its next slice, so each is marked as seen.
        if not ours or (px - order.px) * side < 0 or order.seen == head.pass_number:
            j += 1
            continue
        order.seen = head.pass_number
        if order.px != px:
            fill_whole(venue, j, order.px, TRADED_THROUGH, ts)
            j = 0
            continue
        if head.queue_model == FIFO:
            fifo_trade(order, qty, ts)
        elif head.queue_model == USER and head.queue_trade_fn != 0:
            ask_queue_model(venue, head, order, head.queue_trade_fn, 0.0, 0.0, float(qty))
        else:
            queue_trade(order, float(qty))
        reached = min(queue_filled(order), left)
        if queue_filled(order) > 0:
            order.ahead = 0.0
        if reached > 0:
            left -= _reached(venue, j, reached, FIFO_MATCHED if head.queue_model == FIFO else QUEUE_REACHED, ts)
            j = 0
        else:
            j += 1
    return 0


@cold_kernel
def _reached(venue: int, j: int, reached: int, reason: int, ts: int) -> int:
    """Trades have come to the resting order `j` by `reached` lots: it fills by so much, or whole without partial fills.

    Returns the lots it filled. Indexes of orders change.
    """
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    if reduce(venue, j, ts) != 0:
        return 0
    order = orders[j]
    lots = order.qty if head.partial == 0 else min(reached, order.qty)
    fill(venue, order, order.px, lots, True, reason, ts)
    if order.qty > 0:
        return lots
    if order.hidden > 0:
        # An iceberg shows its next slice at the end of the queue.
        order.qty = min(order.show, order.hidden)
        order.hidden -= order.qty
        rest(venue, j)
    else:
        leave(venue, j, True, ts)
    return lots


@cold_kernel
def _cross(venue: int, i: int, bid: int, ask: int, ts: int) -> int:
    """Orders of ours that the opposite best meets fill at their price. A best of 0 is none."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    j = 0
    while j < head.n_orders:
        order = orders[j]
        best = ask if order.side > 0 else bid
        if order.state == RESTING and order.instrument == i and best > 0 and (order.px - best) * order.side >= 0:
            fill_whole(venue, j, order.px, BOOK_CROSSED, ts)
            j = 0
        else:
            j += 1
    return 0


@cold_kernel
def _cross_bar(venue: int, i: int, first: int, high: int, low: int, ts: int) -> int:
    """Bars: orders that the bar traded beyond fill at their price, or at the open where it lies beyond already."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    j = 0
    while j < head.n_orders:
        order = orders[j]
        beyond = low < order.px if order.side > 0 else high > order.px
        if order.state == RESTING and order.instrument == i and beyond:
            px = first if (order.px - first) * order.side > 0 else order.px
            fill_whole(venue, j, px, TRADED_THROUGH, ts)
            j = 0
        else:
            j += 1
    return 0


@cold_kernel
def _triggers(venue: int, i: int, low: int, high: int, ts: int) -> int:
    """Stops whose trigger lies in what just traded, [low, high] ticks, become market or limit orders.

    A trailing stop is first held to its trigger so far, then its trigger follows.
    """
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    head.pass_number += 1
    j = 0
    while j < head.n_orders:
        order = orders[j]
        if order.state != WAITING or order.instrument != i or order.seen == head.pass_number:
            j += 1
            continue
        order.seen = head.pass_number
        trigger = order.arg
        if order.type == TRAILING:
            if order.peak == 0:
                order.peak = low if order.side > 0 else high
            trigger = order.peak + order.side * order.arg
            order.peak = min(order.peak, low) if order.side > 0 else max(order.peak, high)
        if (order.side > 0 and high >= trigger) or (order.side < 0 and low <= trigger):
            enter(venue, j, False, ts)
            bounds(venue, i)
            j = 0
        else:
            j += 1
    return 0


@kernel
def _quote_triggers(venue: int, i: int, bid: int, ask: int, ts: int) -> int:
    """Quotes without trades: a buy stop looks at the ask, a sell stop at the bid; a side without a price at neither."""
    if bid > 0 and ask > 0:
        _triggers(venue, i, bid, ask, ts)
    return 0


@cold_kernel
def expire(venue: int, ts: int) -> int:
    """End the GTD orders whose time has come."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    j = 0
    while j < head.n_orders:
        order = orders[j]
        if order.expire_ns > 0 and order.expire_ns <= ts:
            answer(venue, EXPIRED, order, order.px, order.qty + order.hidden, GTD_EXPIRED, ts)
            leave(venue, j, False, ts)
            j = 0
        else:
            j += 1
    return 0
