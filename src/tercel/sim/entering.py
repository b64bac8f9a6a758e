"""How an order meets the simulated market: it takes, rests, ends, or starts to wait for its trigger. Kernels.

Called for new orders, amended ones, stops that trigger and children whose parent has filled.
"""

from __future__ import annotations

from typing import Any

from tercel.book.l2 import BOOK_SIDE, NO_KEY, book_level, book_next, book_set
from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import FOK, GTX, ICEBERG, IOC, LIMIT, MARKET, STOP, STOP_LIMIT, TRAILING
from tercel.model.events import ACK, AMENDED, EXPIRED, REJECT
from tercel.model.reasons import (
    FOK_UNFILLABLE,
    IOC_REMAINDER,
    NO_LIQUIDITY,
    STP_CANCELED,
    TOOK,
    VENUE_REDUCE_ONLY,
    WOULD_TAKE,
    WOULD_TRIGGER,
)
from tercel.sim.answers import answer, fill
from tercel.sim.layout import REST_MAX, SIM_ORDER, VENUE, VENUE_INSTRUMENT
from tercel.sim.resting import HELD, RESTING, WAITING, WOKEN, bounds, find, leave, rest, top, trim

__all__ = ["arm", "enter", "is_stop", "wake"]

_SIDES = 64
#: Self-trade prevention of the venue: off, end the newer order, end the older.
STP_OFF, STP_NEWEST, STP_OLDEST = 0, 1, 2


@kernel
def is_stop(order: Any) -> bool:
    """Whether an order waits for a trigger before it is in the market."""
    return bool(order.type == STOP or order.type == STOP_LIMIT or order.type == TRAILING)


@kernel
def _quoted(venue: int, order: Any) -> int:
    """Lots that an order may take where there is no book: of the last quote; all it wants on bars or in whole fills."""
    head = record(venue, VENUE)
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[order.instrument]
    if head.partial == 0 or state.has_bars != 0:
        return order.qty
    return min(order.qty, state.ask_lots if order.side > 0 else state.bid_lots)


@cold_kernel
def _available(venue: int, order: Any) -> int:
    """Lots displayed on the other side up to the order's price, counted no further than it needs."""
    head = record(venue, VENUE)
    k = 1 if order.side > 0 else 0
    book = venue + head.off_books + order.instrument * head.book_stride
    key = records(book + _SIDES, 2, BOOK_SIDE)[k].best
    if key == NO_KEY:
        return _quoted(venue, order)
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
        lots = order.qty if head.partial == 0 else _quoted(venue, order)
        if lots > 0:
            fill(venue, order, top(venue, order.instrument, k), lots, False, TOOK, ts)
            if head.consume != 0 and key == NO_KEY:
                state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[order.instrument]
                if k == 1:
                    state.ask_lots = max(0, state.ask_lots - lots)
                else:
                    state.bid_lots = max(0, state.bid_lots - lots)
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
def _self_trade(venue: int, j: int, acknowledge: bool, ts: int) -> int:
    """End whom the venue's self-trade prevention ends. Returns the order's index now, -1 when it was the one.

    Any own resting order of the other side that the order's price meets counts, whether or not others stand before it.
    """
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    m = 0
    while m < head.n_orders:
        other = orders[m]
        order = orders[j]
        meets = order.type == MARKET or (order.px - other.px) * order.side >= 0
        if other.state != RESTING or other.instrument != order.instrument or other.side == order.side or not meets:
            m += 1
            continue
        if head.self_trade == STP_NEWEST:
            answer(venue, EXPIRED, order, order.px, order.qty + order.hidden, STP_CANCELED, ts)
            leave(venue, j, False, ts)
            return -1
        answer(venue, EXPIRED, other, other.px, other.qty + other.hidden, STP_CANCELED, ts)
        id = order.id
        leave(venue, m, False, ts)
        j = find(venue, id)
        if j < 0:
            return -1
        m = 0
    return j


@cold_kernel
def _refused(venue: int, j: int, crosses: bool, ts: int) -> int:
    """End an order that may not take, or not in part. Returns 1 when it ended, else 0."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    reason = 0
    if crosses and order.tif == GTX:
        reason = WOULD_TAKE
    elif order.tif == FOK and (not crosses or (head.partial != 0 and _available(venue, order) < order.qty)):
        reason = FOK_UNFILLABLE
    if reason == 0:
        return 0
    answer(venue, EXPIRED, order, order.px, order.qty + order.hidden, reason, ts)
    leave(venue, j, False, ts)
    return 1


@cold_kernel
def enter(venue: int, j: int, acknowledge: bool, ts: int) -> int:
    """Order `j` meets the market at time `ts`: it takes, rests or ends. A stop has triggered by now.

    acknowledge: whether it is new and hears an ACK. Indexes of orders change.
    """
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    order = orders[j]
    order.state = HELD
    if order.type == STOP or order.type == TRAILING:
        order.type = MARKET
    elif order.type == STOP_LIMIT:
        order.type = LIMIT
    cut = trim(venue, order)
    if order.qty == 0:
        answer(venue, REJECT if acknowledge else EXPIRED, order, order.px, cut, VENUE_REDUCE_ONLY, ts)
        leave(venue, j, False, ts)
        return 0
    best = top(venue, order.instrument, 1 if order.side > 0 else 0)
    crosses = best > 0 and (order.type == MARKET or (order.px - best) * order.side >= 0)
    if _refused(venue, j, crosses, ts) != 0:
        return 0
    if head.self_trade != STP_OFF:
        j = _self_trade(venue, j, acknowledge, ts)
        if j < 0:
            return 0
        order = orders[j]
    if acknowledge:
        answer(venue, ACK, order, order.px, order.qty + order.hidden + cut, 0, ts)
    if cut > 0:
        answer(venue, AMENDED, order, order.px, order.qty + order.hidden, VENUE_REDUCE_ONLY, ts)
    if crosses:
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
def arm(venue: int, j: int, acknowledge: bool, ts: int) -> int:
    """The stop order `j` starts to wait. One that would trigger at once is rejected when it is new, else triggers.

    It is judged by the last trade or bar; before the first, by the best price it would trade at.
    """
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[order.instrument]
    last = state.last_px if state.last_px > 0 else top(venue, order.instrument, 1 if order.side > 0 else 0)
    if order.type == TRAILING:
        order.peak = last
    elif last > 0 and (last - order.arg) * order.side >= 0:
        if acknowledge:
            answer(venue, REJECT, order, order.px, order.qty, WOULD_TRIGGER, ts)
            leave(venue, j, False, ts)
        else:
            enter(venue, j, False, ts)
        return 0
    order.state = WAITING
    if acknowledge:
        answer(venue, ACK, order, order.px, order.qty, 0, ts)
    bounds(venue, order.instrument)
    return 0


@cold_kernel
def wake(venue: int, ts: int) -> int:
    """Let in the orders whose parent has just filled; they may fill in turn. Called after whatever may fill."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    while head.n_woken > 0:
        head.n_woken -= 1
        for j in range(head.n_orders):
            if orders[j].state == WOKEN:
                if is_stop(orders[j]):
                    arm(venue, j, False, ts)
                else:
                    enter(venue, j, False, ts)
                break
    return 0
