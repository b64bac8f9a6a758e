"""The L3 order book: every resting order by id, in exact price-time priority, in raw memory at one address.

The layout, the capacities and the status codes live here; what changes the book is in `l3`, what answers from it in
`l3_views`.

Memory, all int64, all places written as offsets from the book's address, so that a copy of the bytes is a book:

| part | rows | what |
|---|---|---|
| L3_HEADER | 1 | capacities, counts, heads of the two free lists, offsets of the other parts |
| L3_ORDER | order_max + 1 | one resting order: a node of its level's queue; row 0 is never used, index 0 means none |
| L3_LEVEL | level_max + 1 | one price of one side: sum, count, head and tail of its queue; row 0 likewise |
| prices, level rows | 4 x level_max | per side, sorted from worst to best: work at the touch moves few entries |
| id table | power of two >= 2 x order_max | open addressing with linear probing: order row, 0 free |

A price is found by a search that gallops from the best end: an insert at the touch compares a handful of prices at
any depth, a far one about 2 log2(distance). Sides are 1 (bids) and -1 (asks). The book mirrors what it is told: it
may be crossed, and `l3_match` is the only kernel that trades. A call that returns a status other than L3_OK has
changed nothing.
"""

from __future__ import annotations

import numpy as np

from tercel.jit import kernel, record, records

__all__ = [
    "L3_BAD_LINK", "L3_BAD_QTY", "L3_BAD_SIDE", "L3_DUPLICATE_ID", "L3_FILL", "L3_HEADER", "L3_LEVEL", "L3_LEVELS_FULL",
    "L3_LEVEL_ROW", "L3_NO_ASK", "L3_NO_BID", "L3_OK", "L3_ORDER", "L3_ORDERS_FULL", "L3_STATUS", "L3_UNKNOWN_ID",
    "L3_WORD", "l3_init", "l3_size",
]  # fmt: skip

L3_HEADER = np.dtype(
    [
        ("order_max", "i8"),
        ("level_max", "i8"),
        ("id_mask", "i8"),
        ("n_orders", "i8"),
        ("n_bids", "i8"),
        ("n_asks", "i8"),
        ("order_free", "i8"),
        ("level_free", "i8"),
        ("order_used", "i8"),
        ("level_used", "i8"),
        ("n_levels", "i8"),
        ("orders_at", "i8"),
        ("levels_at", "i8"),
        ("bid_px_at", "i8"),
        ("bid_row_at", "i8"),
        ("ask_px_at", "i8"),
        ("ask_row_at", "i8"),
        ("ids_at", "i8"),
        ("size", "i8"),
        ("spare", "i8"),
    ]
)

#: `tag` is the caller's own: the book writes 0 on add and never reads it.
L3_ORDER = np.dtype(
    [
        ("id", "i8"),
        ("px", "i8"),
        ("qty", "i8"),
        ("side", "i8"),
        ("level", "i8"),
        ("before", "i8"),
        ("after", "i8"),
        ("tag", "i8"),
    ]
)

L3_LEVEL = np.dtype(
    [("px", "i8"), ("qty", "i8"), ("side", "i8"), ("n_orders", "i8"), ("head", "i8"), ("tail", "i8"), ("spare", "2i8")]
)

#: What `l3_match` writes per maker: its id, the price, the size traded, the size the maker has left.
L3_FILL = np.dtype([("id", "i8"), ("px", "i8"), ("qty", "i8"), ("left", "i8")])

#: What `l3_levels` writes per level.
L3_LEVEL_ROW = np.dtype([("px", "i8"), ("qty", "i8"), ("n_orders", "i8")])

#: The book's plain arrays are rows of this.
L3_WORD = np.dtype("i8")

L3_OK, L3_DUPLICATE_ID, L3_UNKNOWN_ID, L3_BAD_QTY, L3_BAD_SIDE, L3_ORDERS_FULL, L3_LEVELS_FULL, L3_BAD_LINK = range(8)

L3_STATUS: dict[int, str] = {
    L3_OK: "fine",
    L3_DUPLICATE_ID: "an order of that id already rests in the book",
    L3_UNKNOWN_ID: "no order of that id rests in the book",
    L3_BAD_QTY: "the size must be positive",
    L3_BAD_SIDE: "the side must be 1 (bid) or -1 (ask)",
    L3_ORDERS_FULL: "the book holds order_max orders",
    L3_LEVELS_FULL: "the book holds level_max price levels",
    L3_BAD_LINK: "the book's memory is inconsistent",
}

#: The best price of an empty side: no real price is beyond them, so comparisons need no special case.
L3_NO_BID = -(1 << 62)
L3_NO_ASK = 1 << 62


def _id_capacity(order_max: int) -> int:
    capacity = 16
    while capacity < 2 * order_max:
        capacity *= 2
    return capacity


def l3_size(order_max: int, level_max: int) -> int:
    """Bytes a book of these capacities needs."""
    n_words = (order_max + 1) * 8 + (level_max + 1) * 8 + 4 * level_max + _id_capacity(order_max)
    return L3_HEADER.itemsize + 8 * n_words


@kernel
def l3_init(book: int, order_max: int, level_max: int) -> int:
    """Lay out an empty book at `book`, in `l3_size(order_max, level_max)` bytes of memory; every byte is written."""
    capacity = 16
    while capacity < 2 * order_max:
        capacity *= 2
    header = record(book, L3_HEADER)
    orders_at = 160
    levels_at = orders_at + 64 * (order_max + 1)
    prices_at = levels_at + 64 * (level_max + 1)
    ids_at = prices_at + 32 * level_max
    size = ids_at + 8 * capacity
    words = records(book, size // 8, L3_WORD)
    for i in range(size // 8):
        words[i] = 0
    header.order_max = order_max
    header.level_max = level_max
    header.id_mask = capacity - 1
    header.orders_at = orders_at
    header.levels_at = levels_at
    header.bid_px_at = prices_at
    header.bid_row_at = prices_at + 8 * level_max
    header.ask_px_at = prices_at + 16 * level_max
    header.ask_row_at = prices_at + 24 * level_max
    header.ids_at = ids_at
    header.size = size
    return L3_OK
