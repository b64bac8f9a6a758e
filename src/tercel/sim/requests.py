"""What the simulated venue does with our requests: new orders, cancels, amends, links. Kernels, called by `sim.driver`.

An amend states the whole size, as futures venues take it: what filled while it was on its way counts. One that only
makes an order smaller at its price keeps its place; any other sends it through the market again. A link that comes
after one of its two orders has ended has the effect it would have had.
"""

from __future__ import annotations

from typing import Any

from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import AMEND, BRACKET, CANCEL, GTD, ICEBERG, LINK, NEW, OCO
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    EVENT,
    EXPIRED,
    FILL,
    REJECT,
)
from tercel.model.reasons import (
    BY_REQUEST,
    FILLED_MEANWHILE,
    GTD_EXPIRED,
    OCO_SIBLING,
    PARENT_ENDED,
    VENUE_DUPLICATE,
    VENUE_FULL,
    VENUE_RATE_LIMIT,
    VENUE_REDUCE_ONLY,
    VENUE_UNKNOWN_ORDER,
)
from tercel.sim.answers import answer
from tercel.sim.entering import arm, enter, is_stop
from tercel.sim.layout import REST_MAX, RING_MAX, SIM_ORDER, VENUE
from tercel.sim.resting import HELD, RESTING, bounds, find, leave, trim

__all__ = ["request"]


@kernel
def _over_rate(head: Any, ts: int) -> bool:
    """The venue's own limit: at most rate_max messages in each window of rate_window_ns. 0 is no limit."""
    if head.rate_max == 0:
        return False
    if ts >= head.rate_start_ns + head.rate_window_ns:
        head.rate_start_ns = ts - ts % head.rate_window_ns
        head.rate_tokens = 0
    head.rate_tokens += 1
    return bool(head.rate_tokens > head.rate_max)


@cold_kernel
def request(venue: int, command: Any, parent: int, ts: int) -> int:
    """A COMMAND reaches the venue at time `ts`. parent: what a new order hangs on by a link of the same step, or 0."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    over = _over_rate(head, ts)
    if command.kind == NEW:
        j = head.n_orders
        known = find(venue, command.id) >= 0
        _place(orders[j], command)
        if over or known or j >= REST_MAX - 1:
            reason = VENUE_RATE_LIMIT if over else (VENUE_DUPLICATE if known else VENUE_FULL)
            answer(venue, REJECT, orders[j], command.px, command.qty, reason, ts)
            return 0
        head.n_orders += 1
        return _new(venue, j, parent, ts)
    j = find(venue, command.id)
    if command.kind == LINK:
        return _link(venue, j, command, ts)
    refusal = CANCEL_REJECT if command.kind == CANCEL else AMEND_REJECT
    if j < 0 or over:
        # The answer needs a name and a side; a scratch order behind the last lends them.
        scratch = orders[head.n_orders]
        _place(scratch, command)
        answer(venue, refusal, scratch, command.px, 0, VENUE_RATE_LIMIT if over else VENUE_UNKNOWN_ORDER, ts)
        return 0
    order = orders[j]
    if command.kind == CANCEL:
        answer(venue, CANCELED, order, order.px, order.qty + order.hidden, BY_REQUEST, ts)
        leave(venue, j, False, ts)
    elif command.kind == AMEND:
        _amend(venue, j, command.px, command.qty, command.arg, ts)
    return 0


@kernel
def _place(order: Any, command: Any) -> int:
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
    # With LEAVE_BY it is a deadline of the sender, which is over once the order is here.
    order.expire_ns = command.expire_ns if command.tif == GTD else 0
    order.state = HELD
    order.parent = 0
    order.sibling = 0
    order.seen = 0
    order.serial = 0
    order.stamp = 0
    order.ahead = 0.0
    order.traded = 0.0
    return 0


@cold_kernel
def _new(venue: int, j: int, parent: int, ts: int) -> int:
    """A new order: what the venue refuses, what waits for its parent or a trigger, what meets the market."""
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    if order.type == ICEBERG:
        order.show = order.arg
        order.hidden = order.qty - order.show
        order.qty = order.show
    if order.tif == GTD and order.expire_ns <= ts:
        answer(venue, EXPIRED, order, order.px, order.qty + order.hidden, GTD_EXPIRED, ts)
        leave(venue, j, False, ts)
        return 0
    if parent != 0:
        if find(venue, parent) >= 0:
            order.parent = parent
            answer(venue, ACK, order, order.px, order.qty + order.hidden, 0, ts)
            bounds(venue, order.instrument)
            return 0
        if _outcome(venue, parent) < 0:
            answer(venue, CANCELED, order, order.px, order.qty + order.hidden, PARENT_ENDED, ts)
            leave(venue, j, False, ts)
            return 0
    if is_stop(order):
        cut = trim(venue, order)
        if cut > 0 and order.qty == 0:
            answer(venue, REJECT, order, order.px, cut, VENUE_REDUCE_ONLY, ts)
            leave(venue, j, False, ts)
            return 0
        # A stop keeps its size until it triggers; the position may have grown by then.
        order.qty += cut
        arm(venue, j, True, ts)
    else:
        enter(venue, j, True, ts)
    return 0


@cold_kernel
def _resize(order: Any, px: int, qty: int, keeps: bool) -> int:
    """Give an order a new price and open size; an iceberg that keeps its place loses hidden size first."""
    order.px = px
    if order.show == 0:
        order.qty = qty
    elif keeps:
        order.hidden = max(0, qty - order.qty)
        order.qty = min(order.qty, qty)
    else:
        order.qty = min(qty, order.show)
        order.hidden = qty - order.qty
    return 0


@cold_kernel
def _amend(venue: int, j: int, px: int, qty: int, left: int, ts: int) -> int:
    """Change price or open size. Priority is kept only by a smaller size at the same price; else the order re-enters.

    left: what its sender knew to be left, 0 not told: what filled since then counts against `qty`, and an order cut
    down to what it has filled is canceled. An order that is not in the market yet has no place to lose.
    """
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    overtaken = left - (order.qty + order.hidden)
    if overtaken > 0:
        qty -= overtaken
    if qty <= 0:
        answer(venue, CANCELED, order, order.px, 0, FILLED_MEANWHILE, ts)
        leave(venue, j, False, ts)
        return 0
    keeps = px == order.px and qty <= order.qty + order.hidden
    _resize(order, px, qty, keeps and order.state == RESTING)
    answer(venue, AMENDED, order, px, qty, 0, ts)
    if order.state == RESTING and not keeps:
        enter(venue, j, False, ts)
    return 0


@cold_kernel
def _outcome(venue: int, id: int) -> int:
    """How an order that is gone ended: 1 filled whole, -1 otherwise, 0 too long ago to tell. By its last answer."""
    head = record(venue, VENUE)
    answers = records(venue + head.off_responses, RING_MAX, EVENT)
    for back in range(1, min(RING_MAX, head.response_tail) + 1):
        row = answers[(head.response_tail - back) & (RING_MAX - 1)]
        if row.id != id:
            continue
        if row.kind == FILL:
            return 1
        if row.kind == CANCELED or row.kind == EXPIRED or row.kind == REJECT:
            return -1
    return 0


@cold_kernel
def _link(venue: int, j: int, command: Any, ts: int) -> int:
    """Join two orders: one cancels the other when it fills whole, or a child waits for its parent."""
    head = record(venue, VENUE)
    orders = records(venue + head.off_orders, REST_MAX, SIM_ORDER)
    other = find(venue, command.arg)
    if command.flags & OCO != 0:
        if j >= 0 and other >= 0:
            orders[j].sibling = command.arg
            orders[other].sibling = command.id
        elif j >= 0 and _outcome(venue, command.arg) > 0:
            _cancel_linked(venue, j, OCO_SIBLING, ts)
        elif other >= 0 and _outcome(venue, command.id) > 0:
            _cancel_linked(venue, other, OCO_SIBLING, ts)
    elif command.flags & BRACKET != 0 and j >= 0 and orders[j].parent != command.arg:
        if other >= 0:
            orders[j].parent = command.arg
            orders[j].state = HELD
            bounds(venue, orders[j].instrument)
        elif _outcome(venue, command.arg) < 0:
            _cancel_linked(venue, j, PARENT_ENDED, ts)
    return 0


@kernel
def _cancel_linked(venue: int, j: int, reason: int, ts: int) -> int:
    head = record(venue, VENUE)
    order = records(venue + head.off_orders, REST_MAX, SIM_ORDER)[j]
    answer(venue, CANCELED, order, order.px, order.qty + order.hidden, reason, ts)
    leave(venue, j, False, ts)
    return 0
