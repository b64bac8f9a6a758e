"""The simulated venue's core: market rows move its books and may fill our orders; requests enter, change and end them.

Fill rules, each stated on the fill's row as its reason. A resting order fills whole when the opposite best meets its
price (BOOK_CROSSED) or a trade happens beyond it (TRADED_THROUGH), and when trades at its price have used up the queue
in front of it (QUEUE_REACHED): whole where partial fills are off, else by what traded past the queue. A crossing order
takes (TOOK). On bars an order fills at its price when the bar trades beyond it. Kernels, called by `sim.driver`.
"""

from __future__ import annotations

from typing import Any

from tercel.book.l2 import BOOK_SIDE, book_clear, book_set
from tercel.jit import call_handler, cold_kernel, inline_kernel, kernel, record, records
from tercel.model.commands import (
    AMEND,
    BRACKET,
    CANCEL,
    ICEBERG,
    LINK,
    MARKET,
    NEW,
    OCO,
    REDUCE_ONLY,
    STOP,
    STOP_LIMIT,
    TRAILING,
)
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    BAR,
    CANCEL_REJECT,
    CANCELED,
    CLEAR,
    EXPIRED,
    LEVEL,
    QUOTE,
    REJECT,
    TRADE,
)
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import (
    BOOK_CROSSED,
    BY_REQUEST,
    GTD_EXPIRED,
    QUEUE_REACHED,
    TRADED_THROUGH,
    VENUE_DUPLICATE,
    VENUE_FULL,
    VENUE_RATE_LIMIT,
    VENUE_REDUCE_ONLY,
    VENUE_UNKNOWN_ORDER,
    WOULD_TRIGGER,
)
from tercel.sim.answers import answer, fill
from tercel.sim.layout import OWN_SIDE, REST_MAX, SIM_ORDER, VENUE, VENUE_INSTRUMENT
from tercel.sim.queue import QUEUE_VIEW, USER, queue_depth, queue_filled, queue_trade
from tercel.sim.resting import HELD, RESTING, WAITING, bounds, enter, find, leave, rest, top

__all__ = ["expire", "market_row", "request"]

_SIDES = 64


@inline_kernel
def market_row(venue: int, books: int, book_stride: int, own: int, row: Any) -> int:
    """Apply one market row at its venue time. Returns 0 when it cannot have touched our orders, else 1.

    books, own: addresses of the books and of the OWN_SIDE records, which the caller keeps in registers: a store to a
    book would make them be read again. Both sides go through one path, for which side a row is on cannot be predicted.
    """
    if row.kind != LEVEL:
        _other_row(venue, row)
        return 1
    i = int(row.instrument)
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
    bid, ask = top(venue, i, 0), top(venue, i, 1)
    j = 0
    while j < head.n_orders:
        order = orders[j]
        if order.state == RESTING and order.instrument == i:
            best = ask if order.side > 0 else bid
            if order.side == side and order.px == px:
                _queue_depth(venue, head, order, float(old), float(row.qty))
            if best > 0 and (order.px - best) * order.side >= 0:
                order.qty += order.hidden
                order.hidden = 0
                fill(venue, order, order.px, order.qty, True, BOOK_CROSSED, row.ts_exch)
                leave(venue, j, True, row.ts_exch)
                j = -1
        j += 1
    return 0


@kernel
def _queue_depth(venue: int, head: Any, order: Any, old: float, new: float) -> int:
    instrument = records(venue + head.off_instruments, head.n_instruments, INSTRUMENT)[order.instrument]
    if head.queue_model == USER:
        if head.queue_depth_fn != 0:
            _user_queue(venue, head, order, head.queue_depth_fn, old, new, 0.0, instrument.lot)
        return 0
    return queue_depth(order, head.queue_model, old, new, head.queue_n, instrument.lot)


@kernel
def _user_queue(venue: int, head: Any, order: Any, fn: int, old: float, new: float, qty: float, lot: float) -> int:
    """Ask the user's queue model."""
    at = venue + head.off_queue_view
    view = record(at, QUEUE_VIEW)
    view.ahead, view.traded, view.old, view.new, view.qty, view.lot = order.ahead, order.traded, old, new, qty, lot
    if call_handler(fn, head.queue_state, at, 0, head.queue_error) != 0:
        head.error = 2
    order.ahead = view.ahead
    order.traded = view.traded
    return 0


@cold_kernel
def _other_row(venue: int, row: Any) -> int:
    """TRADE, QUOTE, BAR and CLEAR rows."""
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
        state.last_px = row.px
        if state.n_buy + state.n_sell + state.n_waiting != 0:
            _cross(venue, i, row.px, row.arg0, ts)
            _triggers(venue, i, row.px, row.arg0, ts)
    elif row.kind == BAR:
        state.has_bars = 1
        if state.n_buy + state.n_sell + state.n_waiting != 0:
            _cross_bar(venue, i, row.id, row.arg0, row.arg1, ts)
            _triggers(venue, i, row.arg1, row.arg0, ts)
        state.bid_px = state.ask_px = state.last_px = row.px
    elif row.kind == CLEAR:
        book_clear(venue + head.off_books + i * head.book_stride, int(row.side), row.px)
    return 0


@cold_kernel
def _trade(venue: int, i: int, side: int, px: int, qty: int, ts: int) -> int:
    """A trade whose aggressor is `side` reaches the price of an order of ours on the other side."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    instrument = records(venue + head.off_instruments, head.n_instruments, INSTRUMENT)[i]
    left = qty
    j = 0
    while j < head.n_orders:
        order = orders[j]
        if order.state != RESTING or order.instrument != i or order.side != -side or (px - order.px) * side < 0:
            j += 1
            continue
        if order.px != px:
            order.qty += order.hidden
            order.hidden = 0
            fill(venue, order, order.px, order.qty, True, TRADED_THROUGH, ts)
        else:
            if head.queue_model == USER and head.queue_trade_fn != 0:
                _user_queue(venue, head, order, head.queue_trade_fn, 0.0, 0.0, float(qty), instrument.lot)
            else:
                queue_trade(order, float(qty))
            reached = queue_filled(order)
            if reached > 0:
                order.ahead = 0.0
                lots = order.qty if head.partial == 0 else min(reached, min(order.qty, left))
                if lots > 0:
                    left -= lots
                    fill(venue, order, px, lots, True, QUEUE_REACHED, ts)
        if order.qty > 0:
            j += 1
        elif order.hidden > 0:
            _next_slice(venue, j)
            j += 1
        else:
            leave(venue, j, True, ts)
    return 0


@kernel
def _next_slice(venue: int, j: int) -> int:
    """An iceberg shows its next slice at the end of the queue."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    order.qty = min(order.show, order.hidden)
    order.hidden -= order.qty
    rest(venue, j)
    return 0


@cold_kernel
def _cross(venue: int, i: int, bid: int, ask: int, ts: int) -> int:
    """Quotes: orders of ours that the opposite best meets fill at their price."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    j = 0
    while j < head.n_orders:
        order = orders[j]
        best = ask if order.side > 0 else bid
        if order.state == RESTING and order.instrument == i and best > 0 and (order.px - best) * order.side >= 0:
            order.qty += order.hidden
            order.hidden = 0
            fill(venue, order, order.px, order.qty, True, BOOK_CROSSED, ts)
            leave(venue, j, True, ts)
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
            px = order.px
            if (order.px - first) * order.side > 0:
                px = first
            order.qty += order.hidden
            order.hidden = 0
            fill(venue, order, px, order.qty, True, TRADED_THROUGH, ts)
            leave(venue, j, True, ts)
            j = 0
        else:
            j += 1
    return 0


@cold_kernel
def _triggers(venue: int, i: int, low: int, high: int, ts: int) -> int:
    """Stops whose trigger lies in what just traded, [low, high] ticks, become market or limit orders."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    j = 0
    while j < head.n_orders:
        order = orders[j]
        if order.state != WAITING or order.instrument != i:
            j += 1
            continue
        trigger = order.arg
        if order.type == TRAILING:
            # A sell trails the highest trade, a buy the lowest; the reverse of the bar's range is looked at first.
            trigger = order.peak + order.side * order.arg
            if order.side < 0:
                order.peak = max(order.peak, high)
            else:
                order.peak = min(order.peak, low)
        if (order.side > 0 and high >= trigger) or (order.side < 0 and low <= trigger):
            if order.type == TRAILING:
                order.type = MARKET
            enter(venue, j, False, ts)
            bounds(venue, i)
            j = 0
        else:
            j += 1
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


# --- requests -----------------------------------------------------------------------------------------------------


@kernel
def _over_rate(head: Any, ts: int) -> bool:
    """The venue's own limit: at most rate_max messages in each window of rate_window_ns. 0 is no limit."""
    if head.rate_max == 0:
        return False
    if ts >= head.rate_start_ns + head.rate_window_ns:
        head.rate_start_ns = ts - ts % head.rate_window_ns
        head.rate_tokens = 0
    head.rate_tokens += 1
    return head.rate_tokens > head.rate_max


@cold_kernel
def request(venue: int, command: Any, ts: int) -> int:
    """A COMMAND reaches the venue at time `ts`."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX + 1, SIM_ORDER)
    over = _over_rate(head, ts)
    if command.kind == NEW:
        j = head.n_orders
        known = find(venue, command.id) >= 0
        _place(orders[j], command, ts)
        if over or known or j >= REST_MAX - 1:
            reason = VENUE_RATE_LIMIT if over else (VENUE_DUPLICATE if known else VENUE_FULL)
            answer(venue, REJECT, orders[j], command.px, command.qty, reason, ts)
            return 0
        head.n_orders += 1
        return _new(venue, j, ts)
    j = find(venue, command.id)
    if command.kind == LINK:
        return _link(venue, j, command, ts)
    refusal = CANCEL_REJECT if command.kind == CANCEL else AMEND_REJECT
    if j < 0 or over:
        # The answer needs a name and a side; a scratch order behind the last lends them.
        scratch = orders[head.n_orders]
        _place(scratch, command, ts)
        answer(venue, refusal, scratch, command.px, 0, VENUE_RATE_LIMIT if over else VENUE_UNKNOWN_ORDER, ts)
        return 0
    order = orders[j]
    if command.kind == CANCEL:
        answer(venue, CANCELED, order, order.px, order.qty + order.hidden, BY_REQUEST, ts)
        leave(venue, j, False, ts)
    elif command.kind == AMEND:
        _amend(venue, j, command.px, command.qty, ts)
    return 0


@kernel
def _place(order: Any, command: Any, ts: int) -> int:
    """Write a SIM_ORDER from a COMMAND."""
    order.id = command.id
    order.instrument = int(command.instrument)
    order.side = int(command.side)
    order.type = int(command.type)
    order.tif = int(command.tif)
    order.flags = int(command.flags)
    order.px = command.px
    order.qty = command.qty
    order.hidden = 0
    order.show = 0
    order.arg = command.arg
    order.peak = 0
    order.expire_ns = command.expire_ns
    order.state = HELD
    order.link = 0
    order.link_kind = 0
    order.ts = ts
    order.ahead = 0.0
    order.traded = 0.0
    return 0


@cold_kernel
def _new(venue: int, j: int, ts: int) -> int:
    """A new order: what the venue refuses, what waits for a trigger, what meets the market."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[order.instrument]
    if order.flags & REDUCE_ONLY != 0:
        room = -state.position * order.side
        if room <= 0:
            answer(venue, REJECT, order, order.px, order.qty, VENUE_REDUCE_ONLY, ts)
            leave(venue, j, False, ts)
            return 0
        if order.qty > room and order.type != STOP and order.type != STOP_LIMIT and order.type != TRAILING:
            order.qty = room
    if order.type == STOP or order.type == STOP_LIMIT or order.type == TRAILING:
        last = state.last_px
        if order.type == TRAILING:
            order.peak = last if last > 0 else top(venue, order.instrument, 0)
        elif last > 0 and (last - order.arg) * order.side >= 0:
            answer(venue, REJECT, order, order.px, order.qty, WOULD_TRIGGER, ts)
            leave(venue, j, False, ts)
            return 0
        order.state = WAITING
        answer(venue, ACK, order, order.px, order.qty, 0, ts)
        bounds(venue, order.instrument)
        return 0
    if order.type == ICEBERG:
        order.show = order.arg
        order.hidden = order.qty - order.show
        order.qty = order.show
    enter(venue, j, True, ts)
    return 0


@cold_kernel
def _amend(venue: int, j: int, px: int, qty: int, ts: int) -> int:
    """Change price or open size. Priority is kept only by a smaller size at the same price; else the order re-enters."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    if order.state != RESTING:
        if order.state == WAITING:
            order.px, order.qty = px, qty
            answer(venue, AMENDED, order, px, qty, 0, ts)
        else:
            answer(venue, AMEND_REJECT, order, px, qty, VENUE_UNKNOWN_ORDER, ts)
        return 0
    keeps = px == order.px and qty <= order.qty + order.hidden
    order.px = px
    if order.hidden > 0 or order.type == ICEBERG:
        order.qty = min(qty, order.show)
        order.hidden = qty - order.qty
    else:
        order.qty = qty
    answer(venue, AMENDED, order, px, qty, 0, ts)
    if keeps:
        bounds(venue, order.instrument)
    else:
        enter(venue, j, False, ts)
    return 0


@cold_kernel
def _link(venue: int, j: int, command: Any, ts: int) -> int:
    """Join two orders: one cancels the other, or a child waits for its parent. Too late, the link has its effect now."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    if j < 0:
        return 0
    other = find(venue, command.arg)
    if command.flags & OCO != 0:
        orders[j].link, orders[j].link_kind = command.arg, OCO
        if other >= 0:
            orders[other].link, orders[other].link_kind = command.id, OCO
    elif command.flags & BRACKET != 0 and other >= 0:
        orders[j].link, orders[j].link_kind = command.arg, BRACKET
        orders[j].state = HELD
    bounds(venue, orders[j].instrument)
    return 0
