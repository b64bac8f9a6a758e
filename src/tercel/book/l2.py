"""The L2 book: size by price, dense near the touch, correct at any distance, in one relocatable stretch of memory.

Both sides run through the same code in *key* space: a bid's key is its price in ticks, an ask's key is the price
negated, so on either side the better level has the greater key. A side keeps a ring of `depth_ticks` sizes that covers
the keys [low, low + depth_ticks) at slot `key & (depth_ticks - 1)`; moving the window moves no level that stays inside.
Every key below the window lives in the side's far table (open addressing); the window always reaches above the best
key, so the far table is asked for a best only when the window is empty.

A new level above its side's best becomes the best. If it meets or passes the opposite best, it pushes that one behind
it, to the greatest key that does not meet it: the newer side wins. Levels passed over keep their size until the venue
removes them, as its messages do, and come back into view where that is free again: when a level at or above a side's
best goes, the other side's best becomes its greatest key that does not meet this side's new best, and then this side's
best its greatest key that does not meet that one. So whenever the levels themselves do not cross, all are in view.

A level that finds no place in the far table is dropped; the counts stay right and the header's error is FAR_FULL.

Memory: BOOK header, two BOOK_SIDE records (bids, asks), then per side `depth_ticks` int64 sizes, then per side
`far_levels` int64 keys and `far_levels` int64 sizes. No absolute address is stored. Called by the engine (what the
strategy sees) and by the simulated venue (what the venue holds); read through `book.views`.
"""

from __future__ import annotations

import numpy as np

from tercel.jit import cold_kernel, inline_kernel, kernel, record, records
from tercel.model.events import CLEAR, LEVEL

__all__ = [
    "BOOK",
    "BOOK_SIDE",
    "FAR_FULL",
    "NO_KEY",
    "SIDES_AT",
    "book_apply",
    "book_bytes",
    "book_check",
    "book_clear",
    "book_init",
    "book_level",
    "book_next",
    "book_set",
]

#: Header. depth_ticks, far_levels: the maxima. n_crossings: times a new level pushed the
#: opposite best. error: first status that was not fine, sticky.
BOOK = np.dtype(
    [
        ("depth_ticks", "i8"),
        ("far_levels", "i8"),
        ("spare3", "i8"),
        ("n_crossings", "i8"),
        ("error", "i8"),
        ("spare0", "i8"),
        ("spare1", "i8"),
        ("spare2", "i8"),
    ],
    align=True,
)

#: One side. best: greatest key in view, NO_KEY when empty. low: lowest key of the window. n_levels: levels with size,
#: n_far of them in the far table. passed: no level out of view has a greater key; NO_KEY when all are in view.
BOOK_SIDE = np.dtype(
    [
        ("best", "i8"),
        ("low", "i8"),
        ("n_levels", "i8"),
        ("n_far", "i8"),
        ("passed", "i8"),
        ("spare0", "i8"),
        ("spare1", "i8"),
        ("spare2", "i8"),
    ],
    align=True,
)

I64 = np.dtype("i8")

#: The key of an empty side: below every price int32 or int64 ticks can express, and safe to add to another key.
NO_KEY = -(1 << 60)
_EMPTY = -(1 << 62)
#: Where the two BOOK_SIDE records lie, in bytes from the book's address.
SIDES_AT = BOOK.itemsize
_SIDES = SIDES_AT
_DATA = BOOK.itemsize + 2 * BOOK_SIDE.itemsize

# The status a full far table leaves in the header.
FAR_FULL = 1


def book_bytes(depth_ticks: int, far_levels: int) -> int:
    """Bytes one book takes."""
    return _DATA + 8 * 2 * depth_ticks + 8 * 4 * far_levels


@kernel
def book_init(address: int, depth_ticks: int, far_levels: int) -> int:
    """Make an empty book at `address`, in zeroed memory of `book_bytes`; both maxima are powers of two."""
    book = record(address, BOOK)
    book.depth_ticks = depth_ticks
    book.far_levels = far_levels
    keys = records(address + _DATA + 16 * depth_ticks, 4 * far_levels, I64)
    for k in range(2):
        side = records(address + _SIDES, 2, BOOK_SIDE)[k]
        side.best = NO_KEY
        side.low = NO_KEY
        side.passed = NO_KEY
        for i in range(far_levels):
            keys[2 * k * far_levels + i] = _EMPTY
    return 0


# --- the far table ------------------------------------------------------------------------------------------------


@inline_kernel
def _far_slot(key: int, mask: int) -> int:
    """Where a key's probing starts. Shifts and xors only, so that the interpreter computes the same."""
    return int((key ^ (key >> 5) ^ (key >> 11)) & mask)


@kernel
def _far_find(address: int, k: int, key: int) -> int:
    """The slot that holds `key`, or the empty slot where it would go."""
    book = record(address, BOOK)
    n = book.far_levels
    keys = records(address + _DATA + 16 * book.depth_ticks + 16 * k * n, n, I64)
    mask = n - 1
    i = _far_slot(key, mask)
    while keys[i] != _EMPTY and keys[i] != key:
        i = (i + 1) & mask
    return i


@cold_kernel
def _far_set(address: int, k: int, key: int, qty: int) -> int:
    """Set the size of a far level; 0 removes. Returns the size before; sets book.error at the maximum."""
    book = record(address, BOOK)
    side = records(address + _SIDES, 2, BOOK_SIDE)[k]
    n = book.far_levels
    start = address + _DATA + 16 * book.depth_ticks + 16 * k * n
    keys = records(start, n, I64)
    sizes = records(start + 8 * n, n, I64)
    mask = n - 1
    i = _far_find(address, k, key)
    if keys[i] == key:
        old = sizes[i]
        if qty != 0:
            sizes[i] = qty
            return int(old)
        # Close the hole, so that probing never needs tombstones: move back each later entry that may move.
        side.n_far -= 1
        hole = i
        j = (i + 1) & mask
        while keys[j] != _EMPTY:
            home = _far_slot(keys[j], mask)
            if ((j - home) & mask) >= ((j - hole) & mask):
                keys[hole] = keys[j]
                sizes[hole] = sizes[j]
                hole = j
            j = (j + 1) & mask
        keys[hole] = _EMPTY
        sizes[hole] = 0
        return int(old)
    if qty == 0:
        return 0
    if 4 * (side.n_far + 1) > 3 * n:
        if book.error == 0:
            book.error = FAR_FULL
        # The caller counts, or has counted, a level that is not kept.
        side.n_levels -= 1
        return 0
    side.n_far += 1
    keys[i] = key
    sizes[i] = qty
    return 0


@cold_kernel
def _far_best(address: int, k: int, below: int) -> int:
    """The greatest far key below `below`, or NO_KEY. Walks the whole table: O(far_levels)."""
    book = record(address, BOOK)
    n = book.far_levels
    keys = records(address + _DATA + 16 * book.depth_ticks + 16 * k * n, n, I64)
    best = NO_KEY
    for i in range(n):
        if keys[i] != _EMPTY and keys[i] < below and keys[i] > best:
            best = keys[i]
    return int(best)


# --- the window -----------------------------------------------------------------------------------------------------


@cold_kernel
def _window_to(address: int, k: int, low: int) -> int:
    """Move a side's window so that it starts at key `low`; levels that leave go to the far table and the reverse."""
    book = record(address, BOOK)
    side = records(address + _SIDES, 2, BOOK_SIDE)[k]
    width = book.depth_ticks
    mask = width - 1
    sizes = records(address + _DATA + 8 * k * width, width, I64)
    old_low = side.low
    if side.n_levels > side.n_far:
        # Keys of the old window that the new one does not cover.
        first = old_low
        last = old_low + width
        if low > old_low:
            last = min(last, low)
        else:
            first = max(first, low + width)
        for key in range(first, last):
            qty = sizes[key & mask]
            if qty != 0:
                sizes[key & mask] = 0
                _far_set(address, k, key, qty)
    side.low = low
    if side.n_far > 0:
        n = book.far_levels
        start = address + _DATA + 16 * width + 16 * k * n
        keys = records(start, n, I64)
        far_sizes = records(start + 8 * n, n, I64)
        i = 0
        while i < n:
            key = keys[i]
            if key != _EMPTY and key >= low and key < low + width:
                sizes[key & mask] = far_sizes[i]
                # Removal may move a later entry into this slot, so the slot is looked at again.
                _far_set(address, k, key, 0)
            else:
                i += 1
    return 0


@kernel
def book_next(address: int, k: int, below: int) -> int:
    """The greatest key of side `k` (0 bids, 1 asks) that is below `below` and has size, or NO_KEY."""
    book = record(address, BOOK)
    side = records(address + _SIDES, 2, BOOK_SIDE)[k]
    width = book.depth_ticks
    mask = width - 1
    if side.n_levels > side.n_far:
        sizes = records(address + _DATA + 8 * k * width, width, I64)
        low = side.low
        key = min(below, low + width) - 1
        while key >= low:
            if sizes[key & mask] != 0:
                return int(key)
            key -= 1
    if side.n_far == 0:
        return NO_KEY
    return int(_far_best(address, k, below))


@cold_kernel
def _best_left(address: int, k: int, key: int) -> int:
    """A level at or above the best of a side lost its size: find the next best, keep the window round it, settle."""
    book = record(address, BOOK)
    side = records(address + _SIDES, 2, BOOK_SIDE)[k]
    other = records(address + _SIDES, 2, BOOK_SIDE)[1 - k]
    if key == side.best:
        best = book_next(address, k, key)
        side.best = best
        if best != NO_KEY and best - side.low < (book.depth_ticks >> 3):
            low = best - ((3 * book.depth_ticks) >> 2)
            # The window must keep reaching above what lies out of view.
            low = max(low, side.passed - book.depth_ticks + 1)
            if low < side.low:
                _window_to(address, k, low)
    # While the other side is all in view, what this side has out of view meets its best, and nothing can come back.
    if other.passed != NO_KEY:
        _settle(address, k)
    return 0


@cold_kernel
def _settle(address: int, k: int) -> int:
    """Bring back into view what no longer meets the opposite best: the other side's levels first, then this side's."""
    sides = records(address + _SIDES, 2, BOOK_SIDE)
    for turn in range(2):
        j = 1 - k if turn == 0 else k
        # Nothing of a side lies above both its best and what was passed. Minus NO_KEY is above every key.
        top = max(sides[j].best, sides[j].passed) + 1
        sides[j].best = book_next(address, j, min(top, -sides[1 - j].best))
        if sides[j].best == book_next(address, j, top):
            sides[j].passed = NO_KEY
    return 0


@cold_kernel
def _outside(address: int, k: int, key: int, qty: int) -> int:
    """Set a level that lies outside the window. Returns the size before."""
    book = record(address, BOOK)
    side = records(address + _SIDES, 2, BOOK_SIDE)[k]
    width = book.depth_ticks
    if side.low != NO_KEY and key < side.low:
        return int(_far_set(address, k, key, qty))
    if qty == 0:
        return 0
    _window_to(address, k, key - ((3 * width) >> 2))
    records(address + _DATA + 8 * k * width, width, I64)[key & (width - 1)] = qty
    return 0


@cold_kernel
def _crossed(address: int, k: int, key: int) -> int:
    """A new best of side `k` meets the other side's best: push that one behind it."""
    book = record(address, BOOK)
    book.n_crossings += 1
    other = records(address + _SIDES, 2, BOOK_SIDE)[1 - k]
    other.passed = max(other.passed, other.best)
    other.best = book_next(address, 1 - k, -key)
    return 0


@inline_kernel
def book_set(address: int, side_sign: int, px: int, qty: int) -> int:
    """Set the size at a price: the one step of an L2 book.

    side_sign: 1 bids, -1 asks. px: int64 ticks. qty: int64 lots, 0 removes. Mutates the book at `address`. Returns the
    size before, in lots. O(1) but when the best level goes, which walks to the next.
    """
    book = record(address, BOOK)
    k = (1 - side_sign) >> 1
    side = records(address + _SIDES, 2, BOOK_SIDE)[k]
    key = side_sign * px
    width = book.depth_ticks
    offset = key - side.low
    if offset >= 0 and offset < width:
        sizes = records(address + _DATA + 8 * k * width, width, I64)
        slot = key & (width - 1)
        old = sizes[slot]
        sizes[slot] = qty
    else:
        old = _outside(address, k, key, qty)
    # Whether a level comes or goes is a coin toss to the branch predictor, so counting does not branch.
    side.n_levels += int(qty > 0) - int(old > 0)
    if key >= side.best:
        if qty > 0:
            if key > side.best:
                side.best = key
                if key + records(address + _SIDES, 2, BOOK_SIDE)[1 - k].best >= 0:
                    _crossed(address, k, key)
        elif old > 0:
            _best_left(address, k, key)
    return old


@cold_kernel
def book_clear(address: int, side_sign: int, px: int) -> int:
    """Remove the levels of a side (1 bids, -1 asks, 0 both) from the greatest to `px` inclusive; px 0 removes all.

    Levels out of view go as well; what the cleared side had passed over comes back into view. Both sides are cleared
    one after the other, bids first. O(depth_ticks + far_levels).
    """
    book = record(address, BOOK)
    width = book.depth_ticks
    n = book.far_levels
    for k in range(2):
        sign = 1 - 2 * k
        if side_sign != 0 and side_sign != sign:
            continue
        side = records(address + _SIDES, 2, BOOK_SIDE)[k]
        limit = sign * px if px != 0 else _EMPTY
        if side.n_levels > side.n_far:
            sizes = records(address + _DATA + 8 * k * width, width, I64)
            for key in range(max(limit, side.low), side.low + width):
                if sizes[key & (width - 1)] != 0:
                    sizes[key & (width - 1)] = 0
                    side.n_levels -= 1
        if side.n_far > 0 and limit < side.low:
            keys = records(address + _DATA + 16 * width + 16 * k * n, n, I64)
            i = 0
            while i < n:
                if keys[i] != _EMPTY and keys[i] >= limit:
                    # Removal may move a later entry into this slot, so the slot is looked at again.
                    _far_set(address, k, keys[i], 0)
                    side.n_levels -= 1
                else:
                    i += 1
        best = book_next(address, k, side.best + 1)
        side.best = best
        side.passed = min(side.passed, limit - 1)
        _settle(address, k)
        if best != NO_KEY and side.best < side.low:
            _window_to(address, k, max(side.best - ((3 * width) >> 2), side.passed - width + 1))
    return 0


@inline_kernel
def book_apply(address: int, row) -> int:  # type: ignore[no-untyped-def]
    """Apply a LEVEL or CLEAR row to the book at `address`; other kinds change nothing. Returns the size before."""
    kind = row.kind
    if kind == LEVEL:
        return book_set(address, int(row.side), row.px, row.qty)
    if kind == CLEAR:
        book_clear(address, int(row.side), row.px)
    return 0


@kernel
def book_level(address: int, side_sign: int, px: int) -> int:
    """The size at a price, in lots."""
    book = record(address, BOOK)
    k = (1 - side_sign) >> 1
    side = records(address + _SIDES, 2, BOOK_SIDE)[k]
    key = side_sign * px
    width = book.depth_ticks
    if key >= side.low + width:
        return 0
    if key >= side.low:
        return int(records(address + _DATA + 8 * k * width, width, I64)[key & (width - 1)])
    if side.n_far == 0:
        return 0
    i = _far_find(address, k, key)
    return int(
        records(address + _DATA + 16 * width + 16 * k * book.far_levels + 8 * book.far_levels, book.far_levels, I64)[i]
    )


@kernel
def book_check(address: int) -> int:
    """Integrity: counts, window, best and order of sides. 0 is sound; otherwise which rule is broken.

    1 level count, 2 far count, 3 far key inside or above the window, 4 negative size, 5 best has no size, or is not the
    greatest key though nothing crosses, 6 best bid meets best ask. O(depth_ticks + far_levels).
    """
    book = record(address, BOOK)
    width = book.depth_ticks
    n = book.far_levels
    for k in range(2):
        side = records(address + _SIDES, 2, BOOK_SIDE)[k]
        sizes = records(address + _DATA + 8 * k * width, width, I64)
        start = address + _DATA + 16 * width + 16 * k * n
        keys = records(start, n, I64)
        far_sizes = records(start + 8 * n, n, I64)
        n_near = 0
        for i in range(width):
            if sizes[i] < 0:
                return 4
            if sizes[i] > 0:
                n_near += 1
        n_far = 0
        for i in range(n):
            if keys[i] != _EMPTY:
                n_far += 1
                if far_sizes[i] <= 0:
                    return 4
                if keys[i] >= side.low:
                    return 3
        if n_far != side.n_far:
            return 2
        if n_near + n_far != side.n_levels:
            return 1
        if side.best != NO_KEY and book_next(address, k, side.best + 1) != side.best:
            return 5
    bids = records(address + _SIDES, 2, BOOK_SIDE)[0]
    asks = records(address + _SIDES, 2, BOOK_SIDE)[1]
    greatest_bid = book_next(address, 0, 1 << 60)
    greatest_ask = book_next(address, 1, 1 << 60)
    if greatest_bid != bids.best and (bids.passed < greatest_bid or greatest_bid + greatest_ask < 0):
        return 5
    if greatest_ask != asks.best and (asks.passed < greatest_ask or greatest_bid + greatest_ask < 0):
        return 5
    if bids.best != NO_KEY and asks.best != NO_KEY and bids.best + asks.best >= 0:
        return 6
    return 0
