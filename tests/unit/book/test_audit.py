"""The audit of a tape's book: levels, the oracle of quotes, far books, several instruments; pieces change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tercel.book import audit
from tercel.book.audit import audit_books
from tercel.model.events import CLEAR, EXCH, LAST, LEVEL, LOCAL, QUOTE, event_rows

NAMES = ("kind", "side", "px", "qty", "id", "flags", "arg0", "arg1", "instrument")


def tape(*rows: tuple[int, ...]) -> np.ndarray:
    made = event_rows(len(rows))
    for name, values in zip(NAMES, zip(*rows)):
        made[name] = values
    made["flags"] |= EXCH | LOCAL
    made["ts_exch"] = made["ts_recv"] = np.arange(len(rows))
    return made


def level(side: int, px: int, qty: int, id: int, *, last: bool = False, instrument: int = 0) -> tuple[int, ...]:
    return (LEVEL, side, px, qty, id, LAST * last, 0, 0, instrument)


def quote(id: int, bid: int, bid_qty: int, ask: int, ask_qty: int) -> tuple[int, ...]:
    return (QUOTE, 0, bid, bid_qty, id, LAST, ask, ask_qty, 0)


def whole(rows: np.ndarray) -> Callable[[], Iterator[np.ndarray]]:
    return lambda: iter([rows])


def test_book_and_quotes() -> None:
    rows = tape(
        (CLEAR, 0, 0, 0, 1, 0, 0, 0, 0),
        level(1, 99, 5, 10),
        level(-1, 101, 7, 10, last=True),
        quote(10, 99, 5, 101, 7),  # after its depth message, equal
        quote(20, 100, 3, 101, 7),  # before its depth message, equal
        quote(15, 1, 1, 2, 2),  # an id that ends no depth message
        level(1, 100, 3, 20, last=True),
        level(1, 98, 2, 30),
        quote(30, 100, 3, 101, 6),  # before, and wrong by a lot
        level(-1, 500_000, 4, 30, last=True),
    )
    (book,), (check,) = audit_books(whole(rows), 1)
    assert (book.n_messages, book.n_bids, book.n_asks, book.fault) == (3, 3, 2, 0)
    assert book.bids == [(100, 3), (99, 5), (98, 2)]
    assert book.asks == [(101, 7), (500_000, 4)]
    assert (check.n_quotes, check.n_shared, check.n_equal) == (4, 3, 2)
    assert (check.n_shared_quote_first, check.n_equal_quote_first) == (2, 1)
    assert (check.first_difference, check.n_crossed) == (8, 0)
    split = audit_books(lambda: iter([rows[:4], rows[4:5], rows[5:]]), 1)
    assert split == ([book], [check])


def test_instruments_have_books_of_their_own() -> None:
    rows = tape(
        level(1, 10, 1, 1, last=True, instrument=2),
        level(1, 20, 2, 1, last=True),
        level(-1, 30, 3, 2, last=True, instrument=2),
    )
    ends, checks = audit_books(whole(rows), 3)
    assert [(e.instrument, e.bids, e.asks) for e in ends] == [(0, [(20, 2)], []), (2, [(10, 1)], [(30, 3)])]
    assert checks == []


def test_a_book_with_many_far_levels_gets_more_room(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(audit, "_FAR_LEVELS", 4)
    far = [level(1, 1_000_000 - 40_000 * i, 1 + i, i + 1, last=True) for i in range(20)]
    (book,), _ = audit_books(whole(tape(*far)), 1)
    assert book.bids == [(1_000_000 - 40_000 * i, 1 + i) for i in range(20)]
    assert book.fault == 0


def test_no_depth_no_book() -> None:
    assert audit_books(whole(tape(quote(1, 1, 1, 2, 2))), 1) == ([], [])
    assert audit_books(lambda: iter([]), 1) == ([], [])
