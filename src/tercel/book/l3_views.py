"""What an L3 book answers: best prices, levels, queues, size ahead of an order, and whether its memory is sound.

Kernels that only read the memory that `l3_layout` describes. Called wherever an L3 book is.
"""

from __future__ import annotations

from tercel.book.l3 import l3_find, l3_level_find
from tercel.book.l3_layout import (
    L3_BAD_LINK,
    L3_HEADER,
    L3_LEVEL,
    L3_LEVEL_ROW,
    L3_NO_ASK,
    L3_NO_BID,
    L3_OK,
    L3_ORDER,
    L3_UNKNOWN_ID,
    L3_WORD,
)
from tercel.jit import inline_kernel, kernel, record, records

__all__ = [
    "l3_best_ask", "l3_best_bid", "l3_check", "l3_depth_at", "l3_levels", "l3_n_levels", "l3_n_orders", "l3_order_at",
    "l3_orders_at", "l3_qty_ahead",
]  # fmt: skip


@inline_kernel
def l3_best_bid(book: int) -> int:
    """Best bid price, L3_NO_BID when there is none."""
    header = record(book, L3_HEADER)
    n = header.n_bids
    if n == 0:
        return L3_NO_BID
    return int(records(book + header.bid_px_at, header.level_max, L3_WORD)[n - 1])


@inline_kernel
def l3_best_ask(book: int) -> int:
    """Best ask price, L3_NO_ASK when there is none."""
    header = record(book, L3_HEADER)
    n = header.n_asks
    if n == 0:
        return L3_NO_ASK
    return int(records(book + header.ask_px_at, header.level_max, L3_WORD)[n - 1])


@kernel
def l3_n_orders(book: int) -> int:
    """Number of resting orders."""
    return int(record(book, L3_HEADER).n_orders)


@kernel
def l3_n_levels(book: int, side: int) -> int:
    """Number of price levels of a side."""
    header = record(book, L3_HEADER)
    return int(header.n_bids if side > 0 else header.n_asks)


@kernel
def l3_depth_at(book: int, side: int, px: int) -> int:
    """Size resting at a price of a side, 0 when none."""
    row = l3_level_find(book, side, px)
    header = record(book, L3_HEADER)
    return int(records(book + header.levels_at, header.level_max + 1, L3_LEVEL)[row].qty) if row != 0 else 0


@kernel
def l3_qty_ahead(book: int, order_id: int) -> int:
    """Exact size that trades before this order at its own price, -1 for an unknown id. O(orders ahead)."""
    row = l3_find(book, order_id)
    if row == 0:
        return -1
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    total = 0
    row = orders[row].before
    while row != 0:
        total += orders[row].qty
        row = orders[row].before
    return int(total)


@kernel
def l3_levels(book: int, side: int, out: int, n_max: int) -> int:
    """Write the best `n_max` levels of a side, best first, as L3_LEVEL_ROW at `out`. Returns how many."""
    header = record(book, L3_HEADER)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    target = records(out, n_max, L3_LEVEL_ROW)
    row_at, n = header.ask_row_at, header.n_asks
    if side > 0:
        row_at, n = header.bid_row_at, header.n_bids
    rows = records(book + row_at, header.level_max, L3_WORD)
    count = min(n, n_max)
    for i in range(count):
        level = levels[rows[n - 1 - i]]
        target[i].px = level.px
        target[i].qty = level.qty
        target[i].n_orders = level.n_orders
    return int(count)


@kernel
def l3_orders_at(book: int, side: int, px: int, out: int, n_max: int) -> int:
    """Write the first `n_max` orders of a level's queue, oldest first, as L3_ORDER at `out`. Returns how many."""
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    target = records(out, n_max, L3_ORDER)
    level_row = l3_level_find(book, side, px)
    row = 0
    if level_row != 0:
        row = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)[level_row].head
    count = 0
    while row != 0 and count < n_max:
        target[count] = orders[row]
        row = orders[row].after
        count += 1
    return count


@kernel
def l3_order_at(book: int, order_id: int, out: int) -> int:
    """Copy an order's row to the L3_ORDER at `out`. L3_OK or L3_UNKNOWN_ID."""
    row = l3_find(book, order_id)
    if row == 0:
        return L3_UNKNOWN_ID
    header = record(book, L3_HEADER)
    records(out, 1, L3_ORDER)[0] = records(book + header.orders_at, header.order_max + 1, L3_ORDER)[row]
    return L3_OK


@kernel
def _check_level(book: int, row: int, side: int, px: int) -> int:
    """Number of orders of a sound level, -1 for an unsound one."""
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    level = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)[row]
    if level.px != px or level.side != side or level.n_orders <= 0 or level.head == 0:
        return -1
    total, count, before, at = 0, 0, 0, level.head
    while at != 0:
        order = orders[at]
        wrong = order.level != row or order.px != px or order.side != side or order.before != before
        if wrong or order.qty <= 0 or count >= level.n_orders or l3_find(book, order.id) != at:
            return -1
        total += order.qty
        count += 1
        before = at
        at = order.after
    if before != level.tail or total != level.qty or count != level.n_orders:
        return -1
    return count


@kernel
def l3_check(book: int) -> int:
    """Walk the whole book: order of prices, queue links, sums, counts, id table. L3_OK or L3_BAD_LINK. O(orders)."""
    header = record(book, L3_HEADER)
    n_orders = 0
    for side in (1, -1):
        px_at, row_at, n = header.ask_px_at, header.ask_row_at, header.n_asks
        if side > 0:
            px_at, row_at, n = header.bid_px_at, header.bid_row_at, header.n_bids
        prices = records(book + px_at, header.level_max, L3_WORD)
        rows = records(book + row_at, header.level_max, L3_WORD)
        for i in range(n):
            if i > 0 and side * prices[i - 1] >= side * prices[i]:
                return L3_BAD_LINK
            count = _check_level(book, rows[i], side, prices[i])
            if count < 0:
                return L3_BAD_LINK
            n_orders += count
    ids = records(book + header.ids_at, header.id_mask + 1, L3_WORD)
    n_ids = 0
    for i in range(header.id_mask + 1):
        if ids[i] != 0:
            n_ids += 1
    if n_orders != header.n_orders or n_ids != n_orders or header.n_bids + header.n_asks != header.n_levels:
        return L3_BAD_LINK
    return L3_OK
