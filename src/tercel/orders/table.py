"""The order table: finding an order by id in a fixed array, and applying what the venue says to it.

Kernels only, called by the engine; the ORDER record and the transition table live in `orders.lifecycle`. Nothing here
knows of positions or limits. Duplicate execution ids are the caller's to drop (`orders.executions`): a fill applied
twice counts twice.
Messages about one order are taken to arrive in the venue's order, save that a fill may overtake the ack.

The table is open addressing with linear probing from id & (capacity - 1), without tombstones and without moving
records: `passed` of a slot counts the living orders whose search runs over that slot, so a search ends at a slot that
nobody passed. Slots are stable for the life of an order.
"""

from __future__ import annotations

from typing import Any

from tercel.jit import inline_kernel, kernel
from tercel.model.commands import AMEND, CANCEL
from tercel.model.events import ACK, AMEND_REJECT, AMENDED, CANCEL_REJECT, FILL, REFUSED
from tercel.orders.lifecycle import (
    FILL_LAST,
    ILLEGAL,
    LATE,
    LOST,
    NEXT_STATE,
    NEXT_STATUS,
    ORDER,
    OVERFILL,
    OVERFLOW,
    ST_CANCELED,
    ST_EXPIRED,
    ST_FILLED,
    ST_FREE,
    ST_OPEN,
    ST_PARTIALLY_FILLED,
    ST_PENDING_NEW,
    ST_REFUSED,
    ST_REJECTED,
    ST_UNKNOWN,
)
from tercel.orders.money import MONEY_MAX, product_fits

__all__ = [
    "FILL_LAST", "ILLEGAL", "LATE", "LOST", "NEXT_STATE", "NEXT_STATUS", "ORDER", "OVERFILL", "OVERFLOW", "ST_CANCELED",
    "ST_EXPIRED", "ST_FILLED", "ST_FREE", "ST_OPEN", "ST_PARTIALLY_FILLED", "ST_PENDING_NEW", "ST_REFUSED",
    "ST_REJECTED", "ST_UNKNOWN", "order_amend_adds", "order_amend_most", "order_apply", "order_average_price",
    "order_find", "order_free", "order_is_open", "order_is_terminal", "order_leaves", "order_lost", "order_reserved",
    "order_slot_insert",
]  # fmt: skip


@inline_kernel
def order_is_open(order: Any) -> bool:
    """Whether the order lives as far as we know: sent, resting, partly filled or unknown."""
    state = order.state
    return bool((state >= ST_PENDING_NEW and state <= ST_PARTIALLY_FILLED) or state == ST_UNKNOWN)


@inline_kernel
def order_is_terminal(order: Any) -> bool:
    """Whether the order has ended: filled, canceled, rejected, expired or refused."""
    return bool(order.state >= ST_FILLED and order.state <= ST_REFUSED)


@inline_kernel
def order_leaves(order: Any) -> int:
    """Lots left to trade, 0 for an overfilled order; of an ended order, what it left undone."""
    leaves: int = order.qty - order.filled
    return leaves if leaves > 0 else 0


@inline_kernel
def order_reserved(order: Any) -> int:
    """Lots that may still trade as far as we know: what is left, or with an amend in flight what may come true of it.

    0 once the order has ended.
    """
    if order_is_terminal(order):
        return 0
    leaves = order_leaves(order)
    most = order.pending_most - order.filled
    return most if most > leaves else leaves


@inline_kernel
def order_amend_adds(order: Any, px: int, qty: int, replaces: int) -> bool:
    """Whether an amend to `qty` lots left at `px` may trade beside what the order has left, not only in place of it.

    So it is where the venue cancels the order and makes a new one (`replaces`, as INSTRUMENT says) of an order that has
    filled in part: what fills before the cancel comes on top of the new size. An order without a fill is replaced only
    if it still has none, and one that only gets smaller at its price is made smaller in its place.
    """
    shrinks = px == order.px and qty < order.qty - order.filled
    return bool(replaces != 0 and order.filled > 0 and not shrinks)


@inline_kernel
def order_amend_most(order: Any, px: int, qty: int, replaces: int) -> int:
    """Lots that may have traded of the order, what has filled included, by the time an amend is answered.

    In place the venue is told the whole size, so fills on the way count against it: the larger of the old whole size
    and the new. Where the amend adds, all but the last lot of the old order may fill before it is canceled; had that
    filled too, there would be nothing to cancel and no new order.
    """
    if order_amend_adds(order, px, qty, replaces):
        return int(order.qty - 1 + qty)
    whole = order.filled + qty
    return int(whole) if whole > order.qty else int(order.qty)


@inline_kernel
def order_average_price(order: Any) -> float:
    """Average fill price in ticks, float64; 0.0 before the first fill."""
    if order.filled == 0:
        return 0.0
    return float(order.notional) / float(order.filled)


@inline_kernel
def order_find(orders: Any, capacity: int, id: int) -> int:
    """The slot of the order `id` in `orders`, (capacity,) ORDER, or -1. O(1) while ids are dense and orders few."""
    mask = capacity - 1
    slot = id & mask
    for _ in range(capacity):
        if orders[slot].id == id and orders[slot].state != ST_FREE:
            return slot
        if orders[slot].passed == 0:
            return -1
        slot = (slot + 1) & mask
    return -1


@kernel
def order_slot_insert(orders: Any, capacity: int, id: int) -> int:
    """Take a slot for a new order: zeroed but for `id` and the state PENDING_NEW. The slot, or -1 when full.

    `orders`: (capacity,) ORDER, mutated; capacity a power of two. Ids are unique for the life of the engine; an id
    that is already in the table is the caller's fault and is not looked for. O(capacity) only when nearly full.
    """
    mask = capacity - 1
    home = id & mask
    slot = home
    for _ in range(capacity):
        if orders[slot].state == ST_FREE:
            i = home
            while i != slot:
                orders[i].passed += 1
                i = (i + 1) & mask
            _clear(orders[slot])
            orders[slot].id = id
            orders[slot].state = ST_PENDING_NEW
            return slot
        slot = (slot + 1) & mask
    return -1


@inline_kernel
def _clear(order: Any) -> None:
    """Zero every field but `passed`."""
    order.id = 0
    order.instrument = 0
    order.strategy = 0
    order.side = 0
    order.type = 0
    order.tif = 0
    order.flags = 0
    order.state = ST_FREE
    order.px = 0
    order.qty = 0
    order.filled = 0
    order.notional = 0
    order.arg = 0
    order.expire_ns = 0
    order.ts_sent = 0
    order.ts_ack = 0
    order.ts_last = 0
    order.venue_id = 0
    order.pending = 0
    order.pending_px = 0
    order.pending_qty = 0
    order.pending_ts = 0
    order.pending_most = 0
    order.link = 0
    order.parent = 0
    order.budget = 0


@kernel
def order_free(orders: Any, slot: int) -> None:
    """Give the slot back; its record is zeroed. `orders` must be the whole table: its length is the capacity."""
    mask = len(orders) - 1
    if orders[slot].state == ST_FREE:
        return
    i = int(orders[slot].id) & mask
    while i != slot:
        orders[i].passed -= 1
        i = (i + 1) & mask
    _clear(orders[slot])


@kernel
def order_apply(order: Any, event: Any) -> int:
    """Apply an EVENT of account kind to the order it names.

    order: ORDER, mutated: state, fills, price and size after an amend, request in flight, times. Returns 0 or status
    bits: LATE, OVERFILL (both may be set, the money of the fill counts), ILLEGAL or OVERFLOW (nothing changed). A fill
    counts in every state but FREE, whatever the state says. REFUSED ends an order only before its first answer:
    a refused amend or cancel of an order still pending must not be applied.
    """
    kind = int(event.kind)
    if kind < ACK or kind > REFUSED:
        return ILLEGAL
    qty = int(event.qty)
    px = int(event.px)
    trigger = kind
    status = 0
    if kind == FILL:
        if qty <= 0 or px <= 0:
            return ILLEGAL
        leaves = order.qty - order.filled
        if qty >= leaves:
            trigger = FILL_LAST
        if qty > leaves:
            status = OVERFILL
    elif kind == AMENDED and qty <= 0:
        return ILLEGAL
    before = int(order.state)
    status |= NEXT_STATUS[before, trigger - ACK]
    if status & ILLEGAL:
        return ILLEGAL
    if kind == FILL:
        if not product_fits(px, qty):
            return OVERFLOW
        notional = order.notional + px * qty
        filled = order.filled + qty
        if notional > MONEY_MAX or filled > MONEY_MAX:
            return OVERFLOW
        order.notional = notional
        order.filled = filled
    elif kind == ACK:
        if order.ts_ack == 0:
            order.ts_ack = event.ts_recv
        if event.arg0 != 0:
            order.venue_id = event.arg0
    _settle_request(order, kind, px, qty, status)
    after = NEXT_STATE[before, trigger - ACK]
    if after == ST_OPEN and order.filled > 0:
        after = ST_PARTIALLY_FILLED
    order.state = after
    if after >= ST_FILLED and after <= ST_REFUSED:
        order.pending = 0
    order.ts_last = event.ts_recv
    return int(status)


@inline_kernel
def _settle_request(order: Any, kind: int, px: int, qty: int, status: int) -> None:
    """Clear the request that `kind` answers; an amend on time also changes price and size."""
    if kind == AMENDED or kind == AMEND_REJECT:
        order.pending_px = 0
        order.pending_qty = 0
        order.pending_most = 0
    if kind == AMENDED:
        if status == 0:
            order.px = px
            order.qty = order.filled + qty
        if order.pending == AMEND:
            order.pending = 0
    elif (kind == AMEND_REJECT and order.pending == AMEND) or (kind == CANCEL_REJECT and order.pending == CANCEL):
        order.pending = 0


@kernel
def order_lost(order: Any) -> int:
    """The transport was lost: a living order becomes UNKNOWN until the venue says. 0, or ILLEGAL for a free slot."""
    before = int(order.state)
    status = int(NEXT_STATUS[before, LOST - ACK])
    if status == 0:
        order.state = NEXT_STATE[before, LOST - ACK]
    return status
