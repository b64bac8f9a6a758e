"""What an L2 book answers: best, depth, imbalance, size up to a price, price for a size, mid, spread.

Kernels that only read the memory `book.l2` lays out, for compiled code; and `BookView`, the same for Python over a book
at an address. Everything is in ticks and lots. A book side is 1 (bids) or -1 (asks). What is out of view (see
`book.l2`) is not counted. Called by users and reports; the engine's own reads are in `book.l2`.
"""

from __future__ import annotations

import msgspec
import numpy as np

from tercel.book.l2 import BOOK_SIDE, NO_KEY, SIDES_AT, book_level, book_next
from tercel.jit import address_of, entry, kernel, record, records

__all__ = [
    "BOOK_LEVEL",
    "BOOK_TAKE",
    "BookView",
    "PriceForSize",
    "book_best",
    "book_depth",
    "book_imbalance",
    "book_lots",
    "book_price_for",
    "book_qty_to",
]

#: What `book_depth` writes per level: int64 ticks and lots.
BOOK_LEVEL = np.dtype([("px", "i8"), ("qty", "i8")])

#: What `book_price_for` writes. qty: lots found, n_levels touched, worst_px: ticks of the last one, cost: the sum of
#: price times size, ticks x lots.
BOOK_TAKE = np.dtype([("qty", "i8"), ("n_levels", "i8"), ("worst_px", "i8"), ("cost", "i8")])


@kernel
def book_best(address: int, side_sign: int) -> int:
    """Best price of a side in ticks; 0 when the side is empty."""
    key = records(address + SIDES_AT, 2, BOOK_SIDE)[(1 - side_sign) >> 1].best
    return int(side_sign * key) if key != NO_KEY else 0


@kernel
def book_depth(address: int, side_sign: int, out: int, n_max: int) -> int:
    """Write the best `n_max` levels of a side, best first, as BOOK_LEVEL at `out`. Returns how many there were.

    O(1) a level near the touch, O(far_levels) a level in the far table.
    """
    k = (1 - side_sign) >> 1
    rows = records(out, n_max, BOOK_LEVEL)
    key = records(address + SIDES_AT, 2, BOOK_SIDE)[k].best
    n = 0
    while key != NO_KEY and n < n_max:
        px = side_sign * key
        rows[n].px = px
        rows[n].qty = book_level(address, side_sign, px)
        n += 1
        key = book_next(address, k, key)
    return n


@kernel
def book_lots(address: int, side_sign: int, n_levels: int) -> int:
    """Lots on the best `n_levels` levels of a side."""
    k = (1 - side_sign) >> 1
    key = records(address + SIDES_AT, 2, BOOK_SIDE)[k].best
    total = 0
    n = 0
    while key != NO_KEY and n < n_levels:
        total += book_level(address, side_sign, side_sign * key)
        n += 1
        key = book_next(address, k, key)
    return total


@kernel
def book_imbalance(address: int, n_levels: int) -> float:
    """(bid lots - ask lots) / (bid lots + ask lots) over the best `n_levels` levels a side; 0.0 for an empty book."""
    bids = book_lots(address, 1, n_levels)
    asks = book_lots(address, -1, n_levels)
    if bids + asks == 0:
        return 0.0
    return (bids - asks) / (bids + asks)


@kernel
def book_qty_to(address: int, side_sign: int, px: int) -> int:
    """Lots from the best of a side down to the price `px` inclusive; 0 when the best is worse than `px`."""
    k = (1 - side_sign) >> 1
    limit = side_sign * px
    key = records(address + SIDES_AT, 2, BOOK_SIDE)[k].best
    total = 0
    while key != NO_KEY and key >= limit:
        total += book_level(address, side_sign, side_sign * key)
        key = book_next(address, k, key)
    return total


@kernel
def book_price_for(address: int, side_sign: int, qty: int, out: int) -> int:
    """Walk a side from its best until `qty` lots are found, and write what that takes as BOOK_TAKE at `out`.

    A buy walks the asks (-1). Returns the lots found: less than `qty` where the side holds less; the rest of the row
    then speaks of those. All zero for an empty side or a size of 0.
    """
    k = (1 - side_sign) >> 1
    take = record(out, BOOK_TAKE)
    found = 0
    n = 0
    worst = 0
    cost = 0
    key = records(address + SIDES_AT, 2, BOOK_SIDE)[k].best
    while key != NO_KEY and found < qty:
        px = side_sign * key
        lots = min(book_level(address, side_sign, px), qty - found)
        found += lots
        cost += lots * px
        worst = px
        n += 1
        key = book_next(address, k, key)
    take.qty = found
    take.n_levels = n
    take.worst_px = worst
    take.cost = cost
    return found


@entry
def view_level(address: int, side_sign: int, px: int) -> int:
    """`book_level` for Python."""
    return book_level(address, side_sign, px)


@entry
def view_depth(address: int, side_sign: int, out: int, n_max: int) -> int:
    """`book_depth` for Python."""
    return book_depth(address, side_sign, out, n_max)


@entry
def view_lots(address: int, side_sign: int, n_levels: int) -> int:
    """`book_lots` for Python."""
    return book_lots(address, side_sign, n_levels)


@entry
def view_qty_to(address: int, side_sign: int, px: int) -> int:
    """`book_qty_to` for Python."""
    return book_qty_to(address, side_sign, px)


@entry
def view_price_for(address: int, side_sign: int, qty: int, out: int) -> int:
    """`book_price_for` for Python."""
    return book_price_for(address, side_sign, qty, out)


class PriceForSize(msgspec.Struct, frozen=True):
    """What taking a size from a side of the book comes to.

    qty_lots: lots found, less than asked for where the side holds less. worst_px_ticks: price of the last level
    touched. average_px_ticks: cost over lots, float. n_levels: levels touched. complete: all that was asked for.
    """

    qty_lots: int
    worst_px_ticks: int
    average_px_ticks: float
    n_levels: int
    complete: bool


class BookView:
    """A read view over the L2 book at `address`; whoever made it keeps the memory alive. Ticks and lots throughout.

    Each call reads the book as it is at that moment. side: 1 bids, -1 asks.
    """

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address

    def n_levels(self, side: int) -> int:
        """Levels a side holds, those out of view included."""
        return int(record(self.address + SIDES_AT + (0 if side > 0 else BOOK_SIDE.itemsize), BOOK_SIDE).n_levels)

    def best(self, side: int) -> int | None:
        """Best price in ticks, None when the side is empty."""
        key = int(record(self.address + SIDES_AT + (0 if side > 0 else BOOK_SIDE.itemsize), BOOK_SIDE).best)
        return side * key if key != NO_KEY else None

    def size(self, side: int, px: int) -> int:
        """Lots at a price, 0 when none."""
        return view_level(self.address, side, px)

    def depth(self, side: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The best `n` levels, best first: prices ((m,) int64 ticks) and sizes ((m,) int64 lots), m <= n."""
        rows = np.zeros(max(n, 1), BOOK_LEVEL)
        found = view_depth(self.address, side, address_of(rows), max(n, 0))
        return rows["px"][:found].copy(), rows["qty"][:found].copy()

    def imbalance(self, n: int = 1) -> float:
        """(bid lots - ask lots) / (bid lots + ask lots) over the best `n` levels a side; 0.0 for an empty book."""
        bids, asks = view_lots(self.address, 1, n), view_lots(self.address, -1, n)
        return (bids - asks) / (bids + asks) if bids + asks else 0.0

    def qty_to(self, side: int, px: int) -> int:
        """Lots from the best of a side down to the price `px` inclusive."""
        return view_qty_to(self.address, side, px)

    def price_for(self, side: int, qty: int) -> PriceForSize | None:
        """What taking `qty` lots from a side comes to; a buy takes from the asks (-1). None when there are no lots."""
        row = np.zeros(1, BOOK_TAKE)
        found = view_price_for(self.address, side, qty, address_of(row))
        if found == 0:
            return None
        take = row[0]
        return PriceForSize(
            found, int(take["worst_px"]), int(take["cost"]) / found, int(take["n_levels"]), complete=found == qty
        )

    def mid(self) -> float | None:
        """Half-way between the bests, in ticks; None when a side is empty."""
        bid, ask = self.best(1), self.best(-1)
        return None if bid is None or ask is None else (bid + ask) / 2

    def spread(self) -> int | None:
        """Best ask less best bid, in ticks; None when a side is empty."""
        bid, ask = self.best(1), self.best(-1)
        return None if bid is None or ask is None else ask - bid
