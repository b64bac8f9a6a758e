"""Our orders at the simulated venue: entering, resting, waiting for a trigger, leaving. Kernels.

Orders lie in one array in order of arrival; that order is their priority among themselves. Per instrument the bounds
of their prices are kept, so that the rows of a feed pass by with a compare.
"""

from __future__ import annotations

from typing import Any

from tercel.book.l2 import BOOK_SIDE, NO_KEY, book_level, book_next, book_set
from tercel.jit import call_handler, cold_kernel, kernel, record, records
from tercel.model.commands import FOK, GTX, ICEBERG, IOC, LIMIT, MARKET, OCO, STOP, STOP_LIMIT
from tercel.model.events import ACK, CANCELED, EXPIRED
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import (
    FOK_UNFILLABLE,
    IOC_REMAINDER,
    NO_LIQUIDITY,
    OCO_SIBLING,
    PARENT_ENDED,
    STP_CANCELED,
    TOOK,
    WOULD_TAKE,
)
from tercel.sim.answers import answer, fill
from tercel.sim.layout import OWN_SIDE, REST_MAX, SIM_ORDER, VENUE, VENUE_INSTRUMENT
from tercel.sim.queue import QUEUE_VIEW, USER, queue_new

__all__ = [
    "HELD",
    "RESTING",
    "WAITING",
    "bounds",
    "enter",
    "find",
    "leave",
    "rest",
    "top",
    "wake",
]

#: WOKEN: the parent has filled, the child enters the market before the venue does anything else.
RESTING, WAITING, HELD, WOKEN = 1, 2, 3, 4
INT64_MAX = (1 << 63) - 1
_FAR = 1 << 60
_SIDES = 64
#: Self-trade prevention of the venue: off, end the newer order, end the older.
STP_OFF, STP_NEWEST, STP_OLDEST = 0, 1, 2


@kernel
def top(venue: int, instrument: int, k: int) -> int:
    """Best price of side k (0 bids, 1 asks) in ticks: of the book, else of the last quote or bar; 0 for none."""
    head = record(venue, VENUE)
    book = venue + head.off_books + instrument * head.book_stride
    key = records(book + _SIDES, 2, BOOK_SIDE)[k].best
    if key != NO_KEY:
        return key if k == 0 else -key
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[instrument]
    return state.bid_px if k == 0 else state.ask_px


@cold_kernel
def bounds(venue: int, instrument: int) -> int:
    """Count anew what rests and waits on an instrument and between which prices; and the earliest expiry of all."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[instrument]
    n_buy, n_sell, n_waiting = 0, 0, 0
    buy_best, buy_worst, sell_best, sell_worst = -_FAR, _FAR, _FAR, -_FAR
    expiry = INT64_MAX
    for j in range(head.n_orders):
        order = orders[j]
        if order.expire_ns > 0 and order.expire_ns < expiry:
            expiry = order.expire_ns
        if order.instrument != instrument:
            continue
        if order.state != RESTING:
            n_waiting += 1
        elif order.side > 0:
            n_buy += 1
            buy_best = max(buy_best, order.px)
            buy_worst = min(buy_worst, order.px)
        else:
            n_sell += 1
            sell_best = min(sell_best, order.px)
            sell_worst = max(sell_worst, order.px)
    head.next_expiry = expiry
    state.n_buy, state.buy_best, state.buy_worst = n_buy, buy_best, buy_worst
    state.n_sell, state.sell_best, state.sell_worst = n_sell, sell_best, sell_worst
    state.n_waiting = n_waiting
    own = records(venue + head.off_own, 2 * head.n_instruments, OWN_SIDE)
    own[2 * instrument].best, own[2 * instrument].worst = buy_best, buy_worst
    own[2 * instrument + 1].best, own[2 * instrument + 1].worst = -sell_best, -sell_worst
    return 0


@kernel
def find(venue: int, id: int) -> int:
    """Index of the order `id`, or -1. O(orders at the venue)."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    for j in range(head.n_orders):
        if orders[j].id == id:
            return j
    return -1


@kernel
def _drop(venue: int, j: int) -> int:
    """Take order `j` out, keeping the others in order."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    for m in range(j, head.n_orders - 1):
        orders[m] = orders[m + 1]
    head.n_orders -= 1
    return 0


@cold_kernel
def leave(venue: int, j: int, filled: bool, ts: int) -> int:
    """Order `j` has ended: take it out, and settle the orders linked to it.

    An OCO sibling of an order that filled is canceled; a bracket's children wake up when the parent filled and end
    when it ended unfilled. Linked orders that end settle theirs in turn.
    """
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    instrument = orders[j].instrument
    id = orders[j].id
    sibling = orders[j].link if orders[j].link_kind == OCO else 0
    _drop(venue, j)
    if filled and sibling != 0:
        m = find(venue, sibling)
        if m >= 0:
            answer(venue, CANCELED, orders[m], 0, orders[m].qty + orders[m].hidden, OCO_SIBLING, ts)
            _drop(venue, m)
    m = 0
    while m < head.n_orders:
        child = orders[m]
        if child.state == HELD and child.link == id:
            if filled:
                child.state = WOKEN
                child.link = 0
                head.n_woken += 1
            else:
                answer(venue, CANCELED, child, 0, child.qty + child.hidden, PARENT_ENDED, ts)
                _drop(venue, m)
                continue
        m += 1
    bounds(venue, instrument)
    return 0


@cold_kernel
def rest(venue: int, j: int) -> int:
    """Order `j` goes to the end of its level's queue."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    book = venue + head.off_books + order.instrument * head.book_stride
    order.state = RESTING
    level = float(book_level(book, order.side, order.px))
    if head.queue_model == USER and head.queue_new_fn != 0:
        view = record(venue + head.off_queue_view, QUEUE_VIEW)
        instrument = records(venue + head.off_instruments, head.n_instruments, INSTRUMENT)[order.instrument]
        view.ahead, view.traded, view.old, view.new, view.qty = level, 0.0, level, level, 0.0
        view.lot = instrument.lot
        view_at = venue + head.off_queue_view
        if call_handler(head.queue_new_fn, head.queue_state, view_at, 0, head.queue_error) != 0:
            head.error = 2
        order.ahead = view.ahead
        order.traded = view.traded
    else:
        queue_new(order, level)
    bounds(venue, order.instrument)
    return 0


@cold_kernel
def _available(venue: int, order: Any) -> int:
    """Lots displayed on the other side up to the order's price (all of it for a market order)."""
    head = record(venue, VENUE)
    k = 1 if order.side > 0 else 0
    book = venue + head.off_books + order.instrument * head.book_stride
    key = records(book + _SIDES, 2, BOOK_SIDE)[k].best
    if key == NO_KEY:
        return order.qty
    total = 0
    while key != NO_KEY and total < order.qty:
        px = key if k == 0 else -key
        if order.type != MARKET and (px - order.px) * order.side > 0:
            break
        total += book_level(book, -order.side, px)
        key = book_next(book, k, key)
    return total


@cold_kernel
def _take(venue: int, order: Any, ts: int) -> int:
    """Trade a crossing order: whole at the best without partial fills, else level by level up to its price."""
    head = record(venue, VENUE)
    k = 1 if order.side > 0 else 0
    book = venue + head.off_books + order.instrument * head.book_stride
    key = records(book + _SIDES, 2, BOOK_SIDE)[k].best
    if head.partial == 0 or key == NO_KEY:
        px = top(venue, order.instrument, k)
        if px > 0:
            state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[order.instrument]
            lots = order.qty
            if head.partial != 0 and state.has_bars == 0:
                lots = min(lots, state.ask_lots if k == 1 else state.bid_lots)
            if lots > 0:
                fill(venue, order, px, lots, False, TOOK, ts)
        return 0
    while key != NO_KEY and order.qty > 0:
        px = key if k == 0 else -key
        if order.type != MARKET and (px - order.px) * order.side > 0:
            break
        size = book_level(book, -order.side, px)
        lots = min(order.qty, size)
        fill(venue, order, px, lots, False, TOOK, ts)
        if head.consume != 0:
            book_set(book, -order.side, px, size - lots)
        key = book_next(book, k, key)
    return 0


@cold_kernel
def _self_trade(venue: int, j: int, ts: int) -> int:
    """End whom the venue's self-trade prevention ends. Returns the order's index now, -1 when it was the one."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    m = 0
    while m < head.n_orders:
        other = orders[m]
        order = orders[j]
        meets = order.type == MARKET or (order.px - other.px) * order.side >= 0
        if m != j and other.state == RESTING and other.instrument == order.instrument and other.side == -order.side:
            if meets:
                if head.self_trade == STP_NEWEST:
                    answer(venue, EXPIRED, order, 0, order.qty + order.hidden, STP_CANCELED, ts)
                    leave(venue, j, False, ts)
                    return -1
                answer(venue, EXPIRED, other, 0, other.qty + other.hidden, STP_CANCELED, ts)
                id = order.id
                leave(venue, m, False, ts)
                j = find(venue, id)
                m = -1
        m += 1
    return j


@cold_kernel
def enter(venue: int, j: int, acknowledge: bool, ts: int) -> int:
    """Order `j`, a LIMIT, MARKET or ICEBERG by now, meets the market at time `ts`: it takes, rests or ends."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    order = orders[j]
    order.state = HELD
    if order.type == STOP:
        order.type = MARKET
    elif order.type == STOP_LIMIT:
        order.type = LIMIT
    best = top(venue, order.instrument, 1 if order.side > 0 else 0)
    crosses = best > 0 and (order.type == MARKET or (order.px - best) * order.side >= 0)
    if crosses and order.tif == GTX:
        answer(venue, EXPIRED, order, order.px, order.qty + order.hidden, WOULD_TAKE, ts)
        leave(venue, j, False, ts)
        return 0
    if order.tif == FOK and (not crosses or (head.partial != 0 and _available(venue, order) < order.qty)):
        answer(venue, EXPIRED, order, order.px, order.qty, FOK_UNFILLABLE, ts)
        leave(venue, j, False, ts)
        return 0
    if head.self_trade != STP_OFF and crosses:
        j = _self_trade(venue, j, ts)
        if j < 0:
            return 0
        order = orders[j]
    if acknowledge:
        answer(venue, ACK, order, order.px, order.qty + order.hidden, 0, ts)
    if crosses:
        if order.type == ICEBERG:
            order.qty += order.hidden
            order.hidden = 0
        _take(venue, order, ts)
        if order.qty == 0:
            leave(venue, j, True, ts)
            return 0
    if order.type == MARKET or order.tif == IOC or order.tif == FOK:
        reason = NO_LIQUIDITY if order.type == MARKET else IOC_REMAINDER
        answer(venue, EXPIRED, order, order.px, order.qty, reason, ts)
        leave(venue, j, False, ts)
        return 0
    if order.type == ICEBERG and order.hidden == 0 and order.qty > order.show:
        order.hidden = order.qty - order.show
        order.qty = order.show
    rest(venue, j)
    return 0


@cold_kernel
def wake(venue: int, ts: int) -> int:
    """Enter the orders whose parent has just filled; they may fill in turn. Called after whatever may fill."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    while head.n_woken > 0:
        head.n_woken -= 1
        for j in range(head.n_orders):
            if orders[j].state == WOKEN:
                enter(venue, j, False, ts)
                break
    return 0
