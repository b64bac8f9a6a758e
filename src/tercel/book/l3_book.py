"""The L3 book as a Python object, for people: memory it owns, methods that raise, copies as NumPy arrays.

Holds no logic of its own: each method is one crossing into the kernels of `l3` and `l3_views`. Compiled code never
comes here; it uses the kernels on an address.
"""

from __future__ import annotations

import numpy as np

from tercel.book.l3 import l3_add, l3_change, l3_clear, l3_delete, l3_match
from tercel.book.l3_layout import (
    L3_BAD_QTY,
    L3_BAD_SIDE,
    L3_FILL,
    L3_LEVEL_ROW,
    L3_LEVELS_FULL,
    L3_NO_ASK,
    L3_NO_BID,
    L3_OK,
    L3_ORDER,
    L3_ORDERS_FULL,
    L3_STATUS,
    L3_UNKNOWN_ID,
    l3_init,
    l3_size,
)
from tercel.book.l3_views import (
    l3_best_ask,
    l3_best_bid,
    l3_check,
    l3_depth_at,
    l3_levels,
    l3_n_levels,
    l3_n_orders,
    l3_order_at,
    l3_orders_at,
    l3_qty_ahead,
)
from tercel.errors import CapacityError, DataError
from tercel.jit import address_of, entry, records
from tercel.model.events import ADD, CHANGE, CLEAR, DELETE, EVENT

__all__ = ["L3Book", "l3_apply", "l3_apply_rows", "l3_read", "l3_write"]

_INIT, _ADD, _CHANGE, _DELETE, _MATCH, _CLEAR, _CHECK = range(7)
_BID, _ASK, _ORDERS, _LEVELS, _DEPTH, _AHEAD, _GET, _LADDER, _QUEUE = range(10, 19)


@entry
def l3_write(book: int, what: int, a: int, b: int, c: int, d: int, out: int, out_max: int) -> int:
    """One crossing for every changing kernel: `what` picks it, a to d are its arguments in order."""
    if what == _INIT:
        return l3_init(book, a, b)
    if what == _ADD:
        return l3_add(book, a, b, c, d)
    if what == _CHANGE:
        return l3_change(book, a, b, c)
    if what == _DELETE:
        return l3_delete(book, a)
    if what == _CLEAR:
        return l3_clear(book, a, b)
    n_fills, _left = l3_match(book, a, b, c, out, out_max)
    return n_fills


@entry
def l3_read(book: int, what: int, a: int, b: int, out: int, out_max: int) -> int:
    """One crossing for every reading kernel."""
    if what == _BID:
        return l3_best_bid(book)
    if what == _ASK:
        return l3_best_ask(book)
    if what == _ORDERS:
        return l3_n_orders(book)
    if what == _LEVELS:
        return l3_n_levels(book, a)
    if what == _DEPTH:
        return l3_depth_at(book, a, b)
    if what == _AHEAD:
        return l3_qty_ahead(book, a)
    if what == _GET:
        return l3_order_at(book, a, out)
    if what == _LADDER:
        return l3_levels(book, a, out, out_max)
    if what == _QUEUE:
        return l3_orders_at(book, a, b, out, out_max)
    return l3_check(book)


def _apply(book: int, rows: int, n_rows: int, statuses: int) -> int:
    """Apply ADD, CHANGE, DELETE and CLEAR rows of one instrument; other kinds are passed over."""
    events = records(rows, n_rows, EVENT)
    codes = records(statuses, n_rows, _CODE)
    n_refused = 0
    for i in range(n_rows):
        row = events[i]
        status = L3_OK
        if row.kind == ADD:
            status = l3_add(book, row.id, int(row.side), row.px, row.qty)
        elif row.kind == CHANGE:
            status = l3_change(book, row.id, row.px, row.qty)
        elif row.kind == DELETE:
            status = l3_delete(book, row.id)
        elif row.kind == CLEAR:
            l3_clear(book, int(row.side), row.px)
        codes[i] = status
        if status != L3_OK:
            n_refused += 1
    return n_refused


_CODE = np.dtype("i1")
l3_apply = entry(_apply)


def l3_apply_rows(address: int, rows: np.ndarray) -> np.ndarray:
    """Apply EVENT rows of one instrument to the book at `address`. Returns the (n,) int8 status of each row."""
    rows = np.ascontiguousarray(rows, EVENT)
    codes = np.zeros(max(1, len(rows)), _CODE)
    l3_apply.call(address, address_of(rows), len(rows), address_of(codes))
    return codes[: len(rows)]


class L3Book:
    """A book of `order_max` orders and `level_max` price levels (both sides together), empty at first.

    Prices are int64 ticks and sizes int64 lots. `memory` is the whole state: copy it to snapshot, write it back to
    restore. Adding what cannot be added raises DataError, or CapacityError when the book is full.
    """

    def __init__(self, order_max: int = 65_536, level_max: int = 16_384) -> None:
        if order_max < 1 or level_max < 1:
            raise CapacityError(f"an L3 book needs at least one order and one level, found {order_max} and {level_max}")
        self.memory: np.ndarray = np.zeros(l3_size(order_max, level_max), np.uint8)
        self.address: int = address_of(self.memory)
        self.order_max = order_max
        l3_write.call(self.address, _INIT, order_max, level_max, 0, 0, 0, 0)

    def _write(self, what: int, a: int, b: int = 0, c: int = 0, d: int = 0) -> None:
        status = l3_write.call(self.address, what, a, b, c, d, 0, 0)
        if status in (L3_ORDERS_FULL, L3_LEVELS_FULL):
            raise CapacityError(f"order {a}: {L3_STATUS[status]}; build the book with a larger maximum")
        if status != L3_OK:
            found = {L3_BAD_QTY: f", found {d if what == _ADD else c}", L3_BAD_SIDE: f", found {b}"}.get(status, "")
            raise DataError(f"order {a}: {L3_STATUS[status]}{found}")

    def add(self, order_id: int, side: int, px: int, qty: int) -> None:
        """A new order behind all others at its price."""
        self._write(_ADD, order_id, side, px, qty)

    def change(self, order_id: int, px: int, qty: int) -> None:
        """New price and size left; only an equal or smaller size at the same price keeps the order's place."""
        self._write(_CHANGE, order_id, px, qty)

    def delete(self, order_id: int) -> None:
        """Take an order out."""
        self._write(_DELETE, order_id)

    def clear(self, side: int = 0, last_px: int = 0) -> int:
        """Delete a side's orders (0: both) from the best to `last_px` inclusive, 0 for all; returns how many."""
        return l3_write.call(self.address, _CLEAR, side, last_px, 0, 0, 0, 0)

    def match(self, side: int, limit_px: int, qty: int) -> np.ndarray:
        """Trade an incoming order in price-time priority. Returns (n,) L3_FILL rows; their sizes sum to the traded."""
        fills = np.zeros(min(self.order_max, max(1, self.n_orders)), L3_FILL)
        n = l3_write.call(self.address, _MATCH, side, limit_px, qty, 0, address_of(fills), len(fills))
        return fills[:n]

    def _read(self, what: int, a: int = 0, b: int = 0) -> int:
        return l3_read.call(self.address, what, a, b, 0, 0)

    @property
    def n_orders(self) -> int:
        """Number of resting orders."""
        return self._read(_ORDERS)

    @property
    def best_bid(self) -> int | None:
        """Best bid price in ticks, None when there is none."""
        px = self._read(_BID)
        return None if px == L3_NO_BID else px

    @property
    def best_ask(self) -> int | None:
        """Best ask price in ticks, None when there is none."""
        px = self._read(_ASK)
        return None if px == L3_NO_ASK else px

    def n_levels(self, side: int) -> int:
        """Number of price levels of a side."""
        return self._read(_LEVELS, side)

    def depth_at(self, side: int, px: int) -> int:
        """Size resting at a price in lots, 0 when none."""
        return self._read(_DEPTH, side, px)

    def qty_ahead(self, order_id: int) -> int:
        """Size that trades before this order at its own price; DataError for an unknown id."""
        ahead = self._read(_AHEAD, order_id)
        if ahead < 0:
            raise DataError(f"order {order_id}: {L3_STATUS[L3_UNKNOWN_ID]}")
        return ahead

    def order(self, order_id: int) -> np.void | None:
        """A copy of an order's L3_ORDER row, None when it does not rest."""
        out = np.zeros(1, L3_ORDER)
        status = l3_read.call(self.address, _GET, order_id, 0, address_of(out), 1)
        return None if status != L3_OK else out[0]

    def levels(self, side: int, n_max: int | None = None) -> np.ndarray:
        """The best `n_max` levels of a side, best first: (n,) rows of px, qty, n_orders."""
        n = self.n_levels(side) if n_max is None else min(n_max, self.n_levels(side))
        out = np.zeros(max(1, n), L3_LEVEL_ROW)
        return out[: l3_read.call(self.address, _LADDER, side, 0, address_of(out), n)]

    def orders_at(self, side: int, px: int) -> np.ndarray:
        """The queue at a price, oldest first: (n,) L3_ORDER rows."""
        out = np.zeros(max(1, self.n_orders), L3_ORDER)
        return out[: l3_read.call(self.address, _QUEUE, side, px, address_of(out), len(out))]

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Apply ADD, CHANGE, DELETE, CLEAR EVENT rows; returns each row's int8 status (L3_OK, ...), never raises."""
        return l3_apply_rows(self.address, rows)

    def check(self) -> None:
        """Walk the whole book and raise DataError when its memory is not sound."""
        if self._read(_CHECK) != L3_OK:
            raise DataError("the L3 book's memory is inconsistent: restore it from a snapshot")
