"""Our orders at the simulated venue: resting, waiting for a trigger, held for a parent, leaving. Kernels.

Orders lie in one array in order of arrival; that order is their priority among themselves, so an order that loses its
place in the queue moves to the end. Per instrument the bounds of their prices are kept, so that the rows of a feed pass
by with a compare. How an order meets the market is in `sim.entering`.
"""

from __future__ import annotations

from typing import Any

from tercel.book.l2 import BOOK_SIDE, NO_KEY, book_level
from tercel.jit import call_handler, cold_kernel, kernel, record, records
from tercel.model.commands import REDUCE_ONLY
from tercel.model.events import AMENDED, CANCELED, EXPIRED
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import OCO_SIBLING, PARENT_ENDED, VENUE_REDUCE_ONLY
from tercel.sim.answers import answer, fill
from tercel.sim.fifo import fifo_new
from tercel.sim.layout import OWN_SIDE, REST_MAX, SIM_ORDER, VENUE, VENUE_INSTRUMENT
from tercel.sim.queue import FIFO, QUEUE_VIEW, USER, queue_new

__all__ = [
    "HELD",
    "RESTING",
    "WAITING",
    "WOKEN",
    "ask_queue_model",
    "bounds",
    "fill_whole",
    "find",
    "leave",
    "reduce",
    "rest",
    "top",
    "trim",
]

#: WAITING: for a trigger. HELD: for its parent, or on its way into the market. WOKEN: the parent has filled, the order
#: enters the market before the venue does anything else. ENDED, FILLED: gone as soon as what hangs on it is settled.
RESTING, WAITING, HELD, WOKEN, ENDED, FILLED = 1, 2, 3, 4, 5, 6
INT64_MAX = (1 << 63) - 1
_FAR = 1 << 60
_SIDES = 64


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
def _to_back(venue: int, j: int) -> int:
    """Move order `j` behind all others. Returns its new index."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    # The place behind the last is always free: one less than REST_MAX is taken.
    orders[head.n_orders] = orders[j]
    head.n_orders += 1
    _drop(venue, j)
    return head.n_orders - 1


@cold_kernel
def _settle_links(venue: int, id: int, sibling: int, filled: bool, ts: int) -> int:
    """What hangs on the order `id` that has ended: the other of its pair when it filled, and its children."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    for m in range(head.n_orders):
        other = orders[m]
        if other.state >= ENDED:
            continue
        if filled and sibling != 0 and other.id == sibling:
            answer(venue, CANCELED, other, other.px, other.qty + other.hidden, OCO_SIBLING, ts)
            other.state = ENDED
        elif other.parent == id:
            if filled:
                other.parent = 0
                other.state = WOKEN
                head.n_woken += 1
            else:
                answer(venue, CANCELED, other, other.px, other.qty + other.hidden, PARENT_ENDED, ts)
                other.state = ENDED
    return 0


@cold_kernel
def leave(venue: int, j: int, filled: bool, ts: int) -> int:
    """Order `j` has ended, `filled` when nothing of it is left: take it out, and settle the orders linked to it.

    The other order of a pair is canceled when this one filled; the children of a bracket wake when it filled and end
    when it ended otherwise. Linked orders that end settle theirs in turn. Indexes of orders change: callers in a loop
    start over.
    """
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    orders[j].state = FILLED if filled else ENDED
    m = 0
    while m < head.n_orders:
        if orders[m].state < ENDED:
            m += 1
            continue
        instrument, id, sibling = orders[m].instrument, orders[m].id, orders[m].sibling
        whole = orders[m].state == FILLED
        _drop(venue, m)
        _settle_links(venue, id, sibling, whole, ts)
        bounds(venue, instrument)
        m = 0
    return 0


@cold_kernel
def trim(venue: int, order: Any) -> int:
    """Cut a reduce-only order to the position it may still reduce. Returns the lots cut; its `qty` may be 0 then."""
    if order.flags & REDUCE_ONLY == 0:
        return 0
    head = record(venue, VENUE)
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[order.instrument]
    room = max(0, -state.position * order.side)
    total = order.qty + order.hidden
    if total <= room:
        return 0
    if room <= order.qty:
        order.qty = room
        order.hidden = 0
    else:
        order.hidden = room - order.qty
    return total - room


@cold_kernel
def reduce(venue: int, j: int, ts: int) -> int:
    """Order `j` is about to trade: cut it first where it is reduce-only. Returns 1 when that ended it, else 0."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    cut = trim(venue, order)
    if cut == 0:
        return 0
    if order.qty == 0:
        answer(venue, EXPIRED, order, order.px, cut, VENUE_REDUCE_ONLY, ts)
        leave(venue, j, False, ts)
        return 1
    answer(venue, AMENDED, order, order.px, order.qty + order.hidden, VENUE_REDUCE_ONLY, ts)
    return 0


@cold_kernel
def fill_whole(venue: int, j: int, px: int, reason: int, ts: int) -> int:
    """The resting order `j` fills with all it has, hidden size too, at `px`, and is gone."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    if reduce(venue, j, ts) != 0:
        return 0
    order.qty += order.hidden
    order.hidden = 0
    fill(venue, order, px, order.qty, True, reason, ts)
    leave(venue, j, True, ts)
    return 0


@kernel
def ask_queue_model(venue: int, head: Any, order: Any, fn: int, old: float, new: float, qty: float) -> int:
    """Let a handler of the user's queue model look at an order's place: see sim.queue.QUEUE_VIEW."""
    at = venue + head.off_queue_view
    view = record(at, QUEUE_VIEW)
    view.ahead, view.traded, view.old, view.new, view.qty = order.ahead, order.traded, old, new, qty
    view.lot = records(venue + head.off_instruments, head.n_instruments, INSTRUMENT)[order.instrument].lot
    if call_handler(fn, head.queue_state, at, 0, head.queue_error) != 0:
        head.error = 2
    order.ahead = view.ahead
    order.traded = view.traded
    return 0


@cold_kernel
def rest(venue: int, j: int) -> int:
    """Order `j` goes to the end of its level's queue, and behind all our others. Indexes of orders change."""
    head = record(venue, VENUE)
    j = _to_back(venue, j)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    book = venue + head.off_books + order.instrument * head.book_stride
    order.state = RESTING
    level = float(book_level(book, order.side, order.px))
    if head.queue_model == FIFO:
        fifo_new(venue, order)
    elif head.queue_model == USER and head.queue_new_fn != 0:
        queue_new(order, level)
        ask_queue_model(venue, head, order, head.queue_new_fn, level, level, 0.0)
    else:
        queue_new(order, level)
    bounds(venue, order.instrument)
    return 0
