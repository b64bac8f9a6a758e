"""Replays a tape's L2 rows through the book and says what came out: the book at the end, and whether quotes agree.

A venue that sends best prices beside depth gives an oracle for free: a quote with update id u states the best prices
after the depth event whose last id is u. This module replays rows in order of receipt, notes the best prices after
every depth message, and compares. Nothing here decides or trades. Called by `tercel info` and by tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from tercel.book.l2 import BOOK, FAR_FULL, book_apply, book_bytes, book_check, book_init, book_level
from tercel.book.views import BookView, book_best
from tercel.errors import CapacityError
from tercel.jit import address_of, entry, record, records
from tercel.model.events import CLEAR, EVENT, LAST, LEVEL, QUOTE

__all__ = ["TOUCH", "BookEnd", "QuoteCheck", "audit_books"]

#: Best prices after one depth message. i_row: the message's last row, counted in order of receipt. id: its update id.
#: bid_px, ask_px in ticks, bid_qty, ask_qty in lots; all 0 on an empty side. instrument: as on the row.
TOUCH = np.dtype(
    [
        ("i_row", "i8"),
        ("id", "i8"),
        ("bid_px", "i8"),
        ("bid_qty", "i8"),
        ("ask_px", "i8"),
        ("ask_qty", "i8"),
        ("instrument", "i8"),
    ],
    align=True,
)

_DEPTH_TICKS = 1 << 14
_FAR_LEVELS = 1 << 13
_FAR_MAX = 1 << 22


class BookEnd(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument's book after the last row.

    instrument: index. n_messages: depth messages. n_crossings: times a new level met the other side. bids, asks: (px
    ticks, lots) of every level in view, best first. n_bids, n_asks: levels held. fault: status of the book's integrity
    check, 0 is sound.
    """

    instrument: int
    n_messages: int
    n_crossings: int
    n_bids: int
    n_asks: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    fault: int


class QuoteCheck(msgspec.Struct, frozen=True, kw_only=True):
    """How one instrument's quotes compare with its book at shared update ids.

    n_quotes: quotes with an update id. n_shared: quotes whose id ends a depth message, n_equal of them with the same
    best prices and sizes as the book right after it. n_shared_quote_first, n_equal_quote_first: those among them that
    were received before the depth message; what is left arrived after it. n_crossed: depth messages after which best
    bid met best ask. first_difference: row number, in order of receipt, of the first quote that differs; -1 for none.
    """

    instrument: int
    n_quotes: int
    n_shared: int
    n_equal: int
    n_shared_quote_first: int
    n_equal_quote_first: int
    n_crossed: int
    first_difference: int


@entry
def audit_init(base: int, stride: int, n_books: int, depth_ticks: int, far_levels: int) -> int:
    """Empty books side by side from `base`, in zeroed memory."""
    for i in range(n_books):
        book_init(base + i * stride, depth_ticks, far_levels)
    return 0


@entry
def audit_rows(base: int, stride: int, rows_at: int, n_rows: int, i_first: int, out: int) -> int:
    """Apply `n_rows` EVENT rows and write a TOUCH for each depth message that ends; returns how many.

    i_first: number of the first row on the tape. out: room for a TOUCH per row.
    """
    rows = records(rows_at, n_rows, EVENT)
    touches = records(out, n_rows, TOUCH)
    n = 0
    for i in range(n_rows):
        row = rows[i]
        kind = int(row.kind)
        if kind != LEVEL and kind != CLEAR:
            continue
        book = base + int(row.instrument) * stride
        book_apply(book, row)
        if int(row.flags) & LAST == 0:
            continue
        bid, ask = book_best(book, 1), book_best(book, -1)
        touch = touches[n]
        touch.i_row = i_first + i
        touch.id = row.id
        touch.bid_px = bid
        touch.bid_qty = book_level(book, 1, bid) if bid != 0 else 0
        touch.ask_px = ask
        touch.ask_qty = book_level(book, -1, ask) if ask != 0 else 0
        touch.instrument = int(row.instrument)
        n += 1
    return n


@entry
def audit_check(book: int) -> int:
    """`book_check` for Python."""
    return book_check(book)


class _Replay:
    """Books for all instruments, and what was noted on the way through the rows."""

    def __init__(self, n_instruments: int, far_levels: int) -> None:
        self.stride = -(-book_bytes(_DEPTH_TICKS, far_levels) // 64) * 64
        self.memory: np.ndarray = np.zeros(n_instruments * self.stride // 8 + 8, np.int64)
        self.base = address_of(self.memory)
        self.n_instruments = n_instruments
        self.n_rows = 0
        self.touches: list[np.ndarray] = []
        self.quotes: list[np.ndarray] = []
        self.quote_rows: list[np.ndarray] = []
        audit_init(self.base, self.stride, n_instruments, _DEPTH_TICKS, far_levels)

    def book(self, i: int) -> int:
        return self.base + i * self.stride

    def take(self, rows: np.ndarray) -> bool:
        """Apply a piece of the tape; False when a book found no room."""
        rows = np.ascontiguousarray(rows)
        out = np.empty(len(rows), TOUCH)
        n = audit_rows(self.base, self.stride, address_of(rows), len(rows), self.n_rows, address_of(out))
        self.touches.append(out[:n].copy())
        found = np.flatnonzero(rows["kind"] == QUOTE)
        self.quotes.append(rows[found])
        self.quote_rows.append(found + self.n_rows)
        self.n_rows += len(rows)
        return all(int(record(self.book(i), BOOK).error) != FAR_FULL for i in range(self.n_instruments))


def audit_books(
    pieces: Callable[[], Iterable[np.ndarray]], n_instruments: int
) -> tuple[list[BookEnd], list[QuoteCheck]]:
    """Replay rows in order of receipt; the books of the instruments that have one, and the check of their quotes.

    pieces: gives the rows anew, as (n,) EVENT arrays, each time it is called: where a book has more far levels than
    there was room for, the replay starts again with more. Memory is a TOUCH per depth message and a row per quote.
    Raises CapacityError when a book has more than three million levels far from its best.
    """
    far_levels = _FAR_LEVELS
    while True:
        replay = _Replay(n_instruments, far_levels)
        if all(replay.take(rows) for rows in pieces()):
            break
        far_levels *= 4
        if far_levels > _FAR_MAX:
            raise CapacityError(f"a book has more than {_FAR_MAX * 3 // 4:,} levels a side away from its best prices")
    touches = np.concatenate(replay.touches) if replay.touches else np.zeros(0, TOUCH)
    quotes = np.concatenate(replay.quotes) if replay.quotes else np.zeros(0, EVENT)
    quote_rows = np.concatenate(replay.quote_rows) if replay.quote_rows else np.zeros(0, np.int64)
    ends, checks = [], []
    for i in range(n_instruments):
        mine = touches[touches["instrument"] == i]
        if len(mine) == 0:
            continue
        ends.append(_end(i, replay.book(i), len(mine)))
        its = quotes["instrument"] == i
        if its.any():
            checks.append(_compare(i, mine, quotes[its], quote_rows[its]))
    return ends, checks


def _end(i: int, address: int, n_messages: int) -> BookEnd:
    view, book = BookView(address), record(address, BOOK)
    n_bids, n_asks = view.n_levels(1), view.n_levels(-1)
    sides = []
    for side, n in ((1, n_bids), (-1, n_asks)):
        px, qty = view.depth(side, n)
        sides.append(list(zip(px.tolist(), qty.tolist())))
    return BookEnd(
        instrument=i,
        n_messages=n_messages,
        n_crossings=int(book.n_crossings),
        n_bids=n_bids,
        n_asks=n_asks,
        bids=sides[0],
        asks=sides[1],
        fault=audit_check(address),
    )


def _compare(i: int, touches: np.ndarray, quotes: np.ndarray, quote_rows: np.ndarray) -> QuoteCheck:
    """Match quotes to depth messages by update id. Ids of one feed rise, so both sides are sorted."""
    with_id = quotes["id"] != 0
    quotes, quote_rows = quotes[with_id], quote_rows[with_id]
    whole = (touches["bid_px"] != 0) & (touches["ask_px"] != 0)
    n_crossed = int(np.count_nonzero(whole & (touches["bid_px"] >= touches["ask_px"])))
    touches = touches[whole]
    order = np.argsort(touches["id"], kind="stable")
    ids = touches["id"][order]
    at = np.searchsorted(ids, quotes["id"], side="right") - 1  # the last message that ends with the id
    shared = at >= 0
    shared[shared] = ids[at[shared]] == quotes["id"][shared]
    touch = touches[order[at[shared]]]
    quote, rows = quotes[shared], quote_rows[shared]
    equal = (
        (quote["px"] == touch["bid_px"])
        & (quote["qty"] == touch["bid_qty"])
        & (quote["arg0"] == touch["ask_px"])
        & (quote["arg1"] == touch["ask_qty"])
    )
    first = rows < touch["i_row"]
    different = rows[~equal]
    return QuoteCheck(
        instrument=i,
        n_quotes=len(quotes),
        n_shared=len(quote),
        n_equal=int(np.count_nonzero(equal)),
        n_shared_quote_first=int(np.count_nonzero(first)),
        n_equal_quote_first=int(np.count_nonzero(first & equal)),
        n_crossed=n_crossed,
        first_difference=int(different[0]) if len(different) else -1,
    )
