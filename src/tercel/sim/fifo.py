"""Queue position on L3 data: exact, from the orders themselves. Kernels on the venue's L3 book of an instrument.

Our order joins behind every order that rests at its price when it arrives. What one of those loses, canceled or
traded, we gain. Our order fills (FIFO_MATCHED) when trades at its price pass the size in front of it, or when an order
that came after it trades there: whatever trades after it would have traded with it first.

Rows of orders: a DELETE that states a size was canceled, one that states 0 was traded; a CHANGE to a smaller size at
the same price was traded, unless its reason is BY_REQUEST: then so much of it was canceled; any other CHANGE sends the
order to the end of the queue. Trades and the order rows they caused tell the same thing twice. Where the trade comes
first (one message, one exchange time) the makers' rows are set off against it; where the makers' rows come first (as in
order logs that report the trade afterwards) the trade is set off against them, for up to a second. An order row about
an id that the book does not hold says nothing about the queue.
"""

from __future__ import annotations

from typing import Any

from tercel.book.l3 import l3_add, l3_change, l3_delete, l3_find
from tercel.book.l3_layout import L3_HEADER, L3_LEVELS_FULL, L3_ORDER, L3_ORDERS_FULL
from tercel.book.l3_views import l3_depth_at
from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.events import ADD, DELETE
from tercel.model.reasons import BY_REQUEST
from tercel.sim.layout import VENUE

__all__ = ["ERROR_L3_FULL", "fifo_loss", "fifo_new", "fifo_trade", "order_row"]

ERROR_L3_FULL = 3
_WINDOW_NS = 1_000_000_000


@kernel
def _book(venue: int, instrument: int) -> int:
    head = record(venue, VENUE)
    return venue + head.off_l3 + instrument * head.l3_stride


@cold_kernel
def fifo_new(venue: int, order: Any) -> int:
    """Our order joins its level's queue. order: SIM_ORDER; ahead, traded, serial, stamp are set."""
    head = record(venue, VENUE)
    order.ahead = float(l3_depth_at(_book(venue, order.instrument), order.side, order.px))
    order.traded = 0.0
    order.serial = head.serial
    order.stamp = 0
    return 0


@kernel
def _balance(order: Any, ts: int) -> float:
    """Lots reported as trades less lots that makers lost, as far as the two may still belong together."""
    balance = order.traded
    if (balance > 0.0 and order.stamp != ts) or ts - order.stamp > _WINDOW_NS:
        balance = 0.0
    order.stamp = ts
    return balance


@cold_kernel
def fifo_trade(order: Any, qty: int, ts: int) -> int:
    """`qty` lots traded at our order's price."""
    balance = _balance(order, ts)
    known = min(float(qty), max(-balance, 0.0))
    order.traded = balance + qty
    order.ahead -= qty - known
    return 0


@cold_kernel
def fifo_loss(order: Any, tag: int, lots: int, was_trade: bool, ts: int) -> int:
    """An order at our price lost `lots`; `tag`: when it joined. Returns what traded although we stood before it."""
    fresh = float(lots)
    if was_trade:
        balance = _balance(order, ts)
        fresh -= min(fresh, max(balance, 0.0))
        order.traded = balance - lots
    if tag < order.serial:
        order.ahead = max(0.0, order.ahead - fresh)
        return 0
    return int(fresh) if was_trade else 0


@cold_kernel
def order_row(venue: int, row: Any) -> int:
    """Apply an ADD, CHANGE or DELETE row to the L3 book. Returns the lots its order lost at its price, negative when
    they were canceled; head.lost_px, lost_tag say where. A full book sets head.error."""
    head = record(venue, VENUE)
    book = _book(venue, int(row.instrument))
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    if row.kind == ADD:
        status = l3_add(book, row.id, int(row.side), row.px, row.qty)
        if status == 0:
            orders[l3_find(book, row.id)].tag = head.serial
            head.serial += 1
        elif status == L3_ORDERS_FULL or status == L3_LEVELS_FULL:
            head.error, head.error_arg = ERROR_L3_FULL, int(row.instrument)
        return 0
    at = l3_find(book, row.id)
    if at == 0:
        return 0
    before, px = orders[at].qty, orders[at].px
    head.lost_px, head.lost_side, head.lost_tag = px, orders[at].side, orders[at].tag
    if row.kind == DELETE or row.qty <= 0:
        l3_delete(book, row.id)
        return before if row.qty <= 0 else -before
    l3_change(book, row.id, row.px, row.qty)
    if row.px == px and row.qty <= before:
        return row.qty - before if row.reason == BY_REQUEST else before - row.qty
    orders[l3_find(book, row.id)].tag = head.serial
    head.serial += 1
    return -before
