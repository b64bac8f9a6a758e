"""What changes an L3 book: add, change, delete, clear, and matching in exact price-time priority.

Kernels on the memory that `l3_layout` describes. Matching rules beyond price and time (order types, fees, self-trade)
never live here. Called by the simulated venue, the market simulator and, through `l3_book.L3Book`, by people. A call
that returns a status other than L3_OK has changed nothing.
"""

from __future__ import annotations

import numpy as np

from tercel.book.l3_layout import (
    L3_BAD_QTY,
    L3_BAD_SIDE,
    L3_DUPLICATE_ID,
    L3_FILL,
    L3_HEADER,
    L3_LEVEL,
    L3_LEVELS_FULL,
    L3_OK,
    L3_ORDER,
    L3_ORDERS_FULL,
    L3_UNKNOWN_ID,
    L3_WORD,
)
from tercel.jit import inline_kernel, kernel, record, records

__all__ = ["l3_add", "l3_change", "l3_clear", "l3_delete", "l3_find", "l3_level_find", "l3_match"]

# --- the id table -------------------------------------------------------------------------------------------------


@inline_kernel
def _home(order_id: int, mask: int) -> int:
    """First place to look for an id. The product of 31 and 32 bits stays inside int64 in both modes."""
    folded = (order_id ^ (order_id >> 31)) & 0x7FFFFFFF
    return ((folded * 0x9E3779B1) >> 16) & mask


@kernel
def l3_find(book: int, order_id: int) -> int:
    """The order row of an id, 0 when no such order rests."""
    header = record(book, L3_HEADER)
    mask = header.id_mask
    ids = records(book + header.ids_at, mask + 1, L3_WORD)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    place = _home(order_id, mask)
    while ids[place] != 0:
        if orders[ids[place]].id == order_id:
            return int(ids[place])
        place = (place + 1) & mask
    return 0


@kernel
def _id_insert(book: int, order_id: int, row: int) -> None:
    header = record(book, L3_HEADER)
    mask = header.id_mask
    ids = records(book + header.ids_at, mask + 1, L3_WORD)
    place = _home(order_id, mask)
    while ids[place] != 0:
        place = (place + 1) & mask
    ids[place] = row


@kernel
def _id_remove(book: int, order_id: int) -> None:
    """Free an id's place and shift later entries of its probe run back, so that no tombstones pile up."""
    header = record(book, L3_HEADER)
    mask = header.id_mask
    ids = records(book + header.ids_at, mask + 1, L3_WORD)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    hole = _home(order_id, mask)
    while orders[ids[hole]].id != order_id:
        hole = (hole + 1) & mask
    place = (hole + 1) & mask
    while ids[place] != 0:
        home = _home(orders[ids[place]].id, mask)
        if ((place - home) & mask) >= ((place - hole) & mask):
            ids[hole] = ids[place]
            hole = place
        place = (place + 1) & mask
    ids[hole] = 0


# --- levels -------------------------------------------------------------------------------------------------------


@inline_kernel
def _place_of(prices: np.ndarray, n: int, side: int, px: int) -> int:
    """Index of the first of `n` prices, sorted worst to best for `side`, that is not worse than `px`; n if none."""
    key = side * px
    high, step = n, 1
    low = n - 1
    while low >= 0 and side * prices[low] >= key:
        high = low
        low -= step
        step *= 2
    low = max(low, -1) + 1
    while low < high:
        middle = (low + high) >> 1
        if side * prices[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def l3_level_find(book: int, side: int, px: int) -> int:
    """The level row at a price of a side, 0 when empty."""
    header = record(book, L3_HEADER)
    px_at, row_at, n = header.ask_px_at, header.ask_row_at, header.n_asks
    if side > 0:
        px_at, row_at, n = header.bid_px_at, header.bid_row_at, header.n_bids
    prices = records(book + px_at, header.level_max, L3_WORD)
    place = _place_of(prices, n, side, px)
    if place < n and prices[place] == px:
        return int(records(book + row_at, header.level_max, L3_WORD)[place])
    return 0


@kernel
def _level_make(book: int, side: int, px: int) -> int:
    """A new, empty level at a price that has none; the caller made sure of room."""
    header = record(book, L3_HEADER)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    row = header.level_free
    if row != 0:
        header.level_free = levels[row].head
    else:
        header.level_used += 1
        row = header.level_used
    level = levels[row]
    level.px = px
    level.qty = 0
    level.side = side
    level.n_orders = 0
    level.head = 0
    level.tail = 0
    px_at, row_at, n = header.ask_px_at, header.ask_row_at, header.n_asks
    if side > 0:
        px_at, row_at, n = header.bid_px_at, header.bid_row_at, header.n_bids
    prices = records(book + px_at, header.level_max, L3_WORD)
    rows = records(book + row_at, header.level_max, L3_WORD)
    place = _place_of(prices, n, side, px)
    for i in range(n, place, -1):
        prices[i] = prices[i - 1]
        rows[i] = rows[i - 1]
    prices[place] = px
    rows[place] = row
    header.n_levels += 1
    if side > 0:
        header.n_bids = n + 1
    else:
        header.n_asks = n + 1
    return int(row)


@kernel
def _level_drop(book: int, row: int) -> None:
    """Give an empty level back."""
    header = record(book, L3_HEADER)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    level = levels[row]
    side = level.side
    px_at, row_at, n = header.ask_px_at, header.ask_row_at, header.n_asks
    if side > 0:
        px_at, row_at, n = header.bid_px_at, header.bid_row_at, header.n_bids
    prices = records(book + px_at, header.level_max, L3_WORD)
    rows = records(book + row_at, header.level_max, L3_WORD)
    place = _place_of(prices, n, side, level.px)
    for i in range(place, n - 1):
        prices[i] = prices[i + 1]
        rows[i] = rows[i + 1]
    level.head = header.level_free
    level.side = 0
    header.level_free = row
    header.n_levels -= 1
    if side > 0:
        header.n_bids = n - 1
    else:
        header.n_asks = n - 1


@kernel
def _append(book: int, row: int, level_row: int) -> None:
    """Put an order at the end of a level's queue."""
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    level = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)[level_row]
    order = orders[row]
    order.level = level_row
    order.before = level.tail
    order.after = 0
    if level.tail != 0:
        orders[level.tail].after = row
    else:
        level.head = row
    level.tail = row
    level.qty += order.qty
    level.n_orders += 1


@kernel
def _unlink(book: int, row: int) -> None:
    """Take an order out of its level's queue; an empty level goes."""
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    order = orders[row]
    level_row = order.level
    level = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)[level_row]
    if order.before != 0:
        orders[order.before].after = order.after
    else:
        level.head = order.after
    if order.after != 0:
        orders[order.after].before = order.before
    else:
        level.tail = order.before
    level.qty -= order.qty
    level.n_orders -= 1
    if level.n_orders == 0:
        _level_drop(book, level_row)


# --- what a venue does to a book ----------------------------------------------------------------------------------


@kernel
def l3_add(book: int, order_id: int, side: int, px: int, qty: int) -> int:
    """A new order at the end of the queue at its price. L3_OK, or why not."""
    header = record(book, L3_HEADER)
    if qty <= 0:
        return L3_BAD_QTY
    if side != 1 and side != -1:
        return L3_BAD_SIDE
    if l3_find(book, order_id) != 0:
        return L3_DUPLICATE_ID
    if header.n_orders >= header.order_max:
        return L3_ORDERS_FULL
    level_row = l3_level_find(book, side, px)
    if level_row == 0:
        if header.n_levels >= header.level_max:
            return L3_LEVELS_FULL
        level_row = _level_make(book, side, px)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    row = header.order_free
    if row != 0:
        header.order_free = orders[row].after
    else:
        header.order_used += 1
        row = header.order_used
    order = orders[row]
    order.id = order_id
    order.px = px
    order.qty = qty
    order.side = side
    order.tag = 0
    header.n_orders += 1
    _id_insert(book, order_id, row)
    _append(book, row, level_row)
    return L3_OK


@kernel
def _order_drop(book: int, row: int) -> None:
    header = record(book, L3_HEADER)
    order = records(book + header.orders_at, header.order_max + 1, L3_ORDER)[row]
    _unlink(book, row)
    _id_remove(book, order.id)
    order.id = 0
    order.qty = 0
    order.level = 0
    order.before = 0
    order.after = header.order_free
    header.order_free = row
    header.n_orders -= 1


@kernel
def l3_delete(book: int, order_id: int) -> int:
    """Take an order out. L3_OK or L3_UNKNOWN_ID."""
    row = l3_find(book, order_id)
    if row == 0:
        return L3_UNKNOWN_ID
    _order_drop(book, row)
    return L3_OK


@kernel
def l3_change(book: int, order_id: int, px: int, qty: int) -> int:
    """Give an order a new price and size (what is left of it, not a difference).

    At the same price, an equal or smaller size keeps its place in the queue. A larger size or another price sends it
    to the end of the queue at that price, as it does at the large venues.
    """
    row = l3_find(book, order_id)
    if row == 0:
        return L3_UNKNOWN_ID
    if qty <= 0:
        return L3_BAD_QTY
    header = record(book, L3_HEADER)
    order = records(book + header.orders_at, header.order_max + 1, L3_ORDER)[row]
    level = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)[order.level]
    if px == order.px and qty <= order.qty:
        level.qty -= order.qty - qty
        order.qty = qty
        return L3_OK
    side = order.side
    if level.n_orders > 1 and header.n_levels >= header.level_max and l3_level_find(book, side, px) == 0:
        return L3_LEVELS_FULL
    _unlink(book, row)
    order.px = px
    order.qty = qty
    level_row = l3_level_find(book, side, px)
    if level_row == 0:
        level_row = _level_make(book, side, px)
    _append(book, row, level_row)
    return L3_OK


@kernel
def l3_match(book: int, side: int, limit_px: int, qty: int, fills: int, fill_max: int) -> tuple[int, int]:
    """Trade an incoming order of `side` against the other side, best price first, oldest order first.

    `fills` is the address of `fill_max` L3_FILL rows; one is written per maker. Stops at the limit price, when the
    size is used up, when the side is empty or when `fills` is full. Returns (number of fills, size left untraded).
    """
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    out = records(fills, fill_max, L3_FILL)
    n_fills, left = 0, qty
    while left > 0 and n_fills < fill_max:
        px_at, row_at, n = header.bid_px_at, header.bid_row_at, header.n_bids
        if side > 0:
            px_at, row_at, n = header.ask_px_at, header.ask_row_at, header.n_asks
        if n == 0 or side * records(book + px_at, header.level_max, L3_WORD)[n - 1] > side * limit_px:
            break
        level = levels[records(book + row_at, header.level_max, L3_WORD)[n - 1]]
        row = level.head
        maker = orders[row]
        traded = min(left, maker.qty)
        fill = out[n_fills]
        fill.id = maker.id
        fill.px = maker.px
        fill.qty = traded
        fill.left = maker.qty - traded
        n_fills += 1
        left -= traded
        if traded == maker.qty:
            _order_drop(book, row)
        else:
            maker.qty -= traded
            level.qty -= traded
    return n_fills, left


@kernel
def l3_clear(book: int, side: int, last_px: int) -> int:
    """Delete the orders of a side (0: both) from the best price to `last_px` inclusive, all when that is 0.

    Returns how many orders went.
    """
    header = record(book, L3_HEADER)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    before = header.n_orders
    for each in (1, -1):
        if side == -each:
            continue
        px_at, row_at = header.ask_px_at, header.ask_row_at
        if each > 0:
            px_at, row_at = header.bid_px_at, header.bid_row_at
        prices = records(book + px_at, header.level_max, L3_WORD)
        rows = records(book + row_at, header.level_max, L3_WORD)
        while True:
            n = header.n_bids if each > 0 else header.n_asks
            if n == 0 or (last_px != 0 and each * prices[n - 1] < each * last_px):
                break
            _order_drop(book, levels[rows[n - 1]].head)
    return int(before - header.n_orders)
