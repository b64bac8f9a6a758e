"""The Bitstamp order log: rows, aggressors, the log's own books, and bad lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercel.errors import DataError, UnitError
from tercel.model.events import ADD, BUY, CHANGE, DELETE, LAST, LEVEL, SELL, TRADE
from tercel.store.bitstamp import bitstamp_books
from tercel.store.imports import import_capture
from tercel.store.tape import Tape

Capture = Callable[..., Path]


def order(ms: int, what: str, number: int, px: str, amount: str, side: int) -> str:
    body = f'{{"price": "{px}", "amount": "{amount}", "datetime": "1430438404", "id": {number}, "order_type": {side}}}'
    return f"14304384{ms:05d} order_{what} {body}"


LOG = [
    order(1, "created", 1, "236.47", "2.00000000", 0),
    order(2, "created", 2, "236.60", "1.00000000", 1),
    '1430438400003 order_book {"bids": [["236.47", "2.00000000"]], "asks": [["236.60", "1.00000000"]]}',
    order(4, "created", 3, "236.40", "0.50000000", 1),
    order(5, "changed", 1, "236.47", "1.50000000", 0),
    order(6, "deleted", 3, "236.40", "0.00000000", 1),
    '1430438400007 trade {"price": 236.47, "amount": 0.5, "id": 77}',
    order(8, "deleted", 2, "236.60", "1.00000000", 1),
    '1430438400009 trade {"price": 236.59999999999999, "amount": 1.0000000000000001, "id": 78}',
    '1430438400010 order_book {"bids": [["236.47", "1.50000000"]], "asks": []}',
]


def run(path: Path, **options: Any) -> Tape:
    return import_capture(path, path.parent / "out.tape", **options)


def test_rows(capture: Capture) -> None:
    tape = run(capture(LOG))
    rows = tape.rows(["orders", "trades"])
    assert rows["kind"].tolist() == [ADD, ADD, ADD, CHANGE, DELETE, TRADE, DELETE, TRADE]
    assert rows["id"].tolist() == [1, 2, 3, 1, 3, 77, 2, 78]
    assert rows["px"].tolist() == [23647, 23660, 23640, 23647, 23640, 23647, 23660, 23660]
    assert rows["qty"].tolist() == [200000000, 100000000, 50000000, 150000000, 0, 50000000, 100000000, 100000000]
    # The first trade's younger order was the seller; the second has no pair and takes the side of the book before it.
    assert rows["side"].tolist() == [BUY, SELL, SELL, BUY, SELL, SELL, SELL, BUY]
    assert rows["ts_exch"].tolist() == [1430438400000000000 + ms * 1_000_000 for ms in (1, 2, 4, 5, 6, 7, 8, 9)]
    assert tape.meta.format == "bitstamp-l3"
    assert tape.meta.messages == {
        "order_created": 3,
        "order_changed": 1,
        "order_deleted": 2,
        "trade": 2,
        "order_book": 2,
    }
    assert tape.meta.notes[1].startswith("1 trades without a clear aggressor")


def test_levels_beside_the_orders(capture: Capture) -> None:
    rows = run(capture(LOG)).rows()
    told = [(int(r["id"]), int(r["side"]), int(r["px"]), int(r["qty"])) for r in rows if r["kind"] == LEVEL]
    # Order 3 meets the bid when it comes and is gone before it rests: it is in no level.
    assert told == [
        (1, BUY, 23647, 200000000),
        (2, SELL, 23660, 100000000),
        (1, BUY, 23647, 150000000),
        (2, SELL, 23660, 0),
    ]
    ends = [(int(r["kind"]), bool(r["flags"] & LAST)) for r in rows[:5]]
    assert ends == [(ADD, False), (LEVEL, True), (ADD, False), (LEVEL, True), (ADD, True)]


def test_books_and_their_places(capture: Capture) -> None:
    books = [(n, bids.tolist(), asks.tolist()) for n, bids, asks in bitstamp_books(capture(LOG))]
    assert books == [(2, [[23647, 200000000]], [[23660, 100000000]]), (8, [[23647, 150000000]], [])]


@pytest.mark.parametrize(
    ("line", "error", "words", "reason"),
    [
        ("1430438400011 order_made {}", DataError, "unknown|expected", "unknown_event"),
        ('1430438400011 trade {"price": 1', DataError, "JSON", "malformed_message"),
        (order(1, "created", 9, "1.00", "1.00000000", 0), DataError, "time runs backwards", "time_backwards"),
        (order(11, "created", 9, "1.001", "1.00000000", 0), UnitError, "price 1.001 does not lie", "off_grid"),
        (order(11, "created", 9, "NaN", "1.00000000", 0), UnitError, "finite", "off_grid"),
        (order(11, "created", 9, "1.00", "-1.00000000", 0), UnitError, "negative", "off_grid"),
        (order(11, "created", 9, "0.00", "1.00000000", 0), UnitError, "price is 0", "off_grid"),
    ],
)
def test_bad_lines(capture: Capture, line: str, error: type[Exception], words: str, reason: str) -> None:
    path = capture([*LOG, line])
    with pytest.raises(error, match=rf"capture\.gz, line 11: .*({words})"):
        run(path)
    assert not (path.parent / "out.tape").exists()
    tape = run(path, on_bad_line="skip")
    assert (tape.meta.skipped, tape.meta.n_rows) == ({reason: 1}, 12)
