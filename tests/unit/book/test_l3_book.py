"""The L3 book by hand: queue places, statuses, rows, damage found by the check."""

from __future__ import annotations

import numpy as np
import pytest

from tercel.book.l3_book import L3Book
from tercel.book.l3_layout import L3_BAD_QTY, L3_DUPLICATE_ID, L3_HEADER, L3_OK, L3_UNKNOWN_ID, l3_size
from tercel.errors import CapacityError, DataError
from tercel.model.events import ADD, BUY, CHANGE, CLEAR, DELETE, SELL, TRADE, event_rows


def three_deep() -> L3Book:
    book = L3Book(16, 8)
    for order_id, qty in ((1, 5), (2, 7), (3, 2)):
        book.add(order_id, BUY, 100, qty)
    return book


def queue(book: L3Book, side: int, px: int) -> list[tuple[int, int]]:
    return [(int(row["id"]), int(row["qty"])) for row in book.orders_at(side, px)]


def test_a_smaller_size_keeps_its_place() -> None:
    book = three_deep()
    book.change(1, 100, 4)
    assert queue(book, BUY, 100) == [(1, 4), (2, 7), (3, 2)]
    assert book.qty_ahead(3) == 11


def test_an_equal_size_keeps_its_place() -> None:
    book = three_deep()
    book.change(2, 100, 7)
    assert queue(book, BUY, 100) == [(1, 5), (2, 7), (3, 2)]


def test_a_larger_size_goes_to_the_end() -> None:
    book = three_deep()
    book.change(1, 100, 6)
    assert queue(book, BUY, 100) == [(2, 7), (3, 2), (1, 6)]


def test_another_price_goes_to_the_end_there() -> None:
    book = three_deep()
    book.add(4, BUY, 99, 1)
    book.change(2, 99, 7)
    assert queue(book, BUY, 100) == [(1, 5), (3, 2)]
    assert queue(book, BUY, 99) == [(4, 1), (2, 7)]


def test_match_walks_price_then_time() -> None:
    book = L3Book(16, 8)
    for order_id, px, qty in ((1, 102, 3), (2, 101, 4), (3, 101, 2), (4, 103, 9)):
        book.add(order_id, SELL, px, qty)
    fills = book.match(BUY, 102, 8)
    assert fills.tolist() == [(2, 101, 4, 0), (3, 101, 2, 0), (1, 102, 2, 1)]
    assert book.best_ask == 102
    assert book.depth_at(SELL, 102) == 1
    assert book.match(BUY, 102, 50).tolist() == [(1, 102, 1, 0)]
    assert book.best_ask == 103


def test_a_far_price_costs_no_memory() -> None:
    book = L3Book(4, 4)
    book.add(1, SELL, 1_000_000_000_000, 1)
    book.add(2, SELL, 5, 1)
    assert book.levels(SELL).tolist() == [(5, 1, 1), (1_000_000_000_000, 1, 1)]


def test_full_is_a_capacity_error() -> None:
    book = L3Book(2, 1)
    book.add(1, BUY, 10, 1)
    with pytest.raises(CapacityError, match="level_max"):
        book.add(2, BUY, 11, 1)
    book.add(2, BUY, 10, 1)
    with pytest.raises(CapacityError, match="order_max"):
        book.add(3, BUY, 10, 1)
    with pytest.raises(CapacityError, match="level_max"):
        book.change(2, 9, 1)
    book.delete(1)
    book.change(2, 9, 1)
    assert book.levels(BUY).tolist() == [(9, 1, 1)]


def test_rows_are_applied_and_answered() -> None:
    rows = event_rows(7)
    rows["kind"] = [ADD, ADD, ADD, CHANGE, DELETE, TRADE, ADD]
    rows["id"] = [1, 1, 2, 2, 9, 5, 3]
    rows["side"] = [BUY, BUY, SELL, 0, 0, BUY, SELL]
    rows["px"] = [10, 10, 11, 12, 0, 11, 11]
    rows["qty"] = [5, 5, 6, 2, 0, 1, 0]
    book = L3Book(8, 8)
    assert book.apply(rows).tolist() == [L3_OK, L3_DUPLICATE_ID, L3_OK, L3_OK, L3_UNKNOWN_ID, L3_OK, L3_BAD_QTY]
    assert (book.best_bid, book.best_ask, book.depth_at(SELL, 12)) == (10, 12, 2)
    clear = event_rows(1)
    clear["kind"] = CLEAR
    book.apply(clear)
    assert book.n_orders == 0
    assert book.best_bid is None


def test_the_layout_is_stated() -> None:
    book = L3Book(10, 4)
    header = book.memory[: L3_HEADER.itemsize].view(L3_HEADER)[0]
    assert int(header["size"]) == l3_size(10, 4) == len(book.memory) == 160 + 64 * 11 + 64 * 5 + 32 * 4 + 8 * 32
    assert book.address % 8 == 0


def test_the_check_finds_damage() -> None:
    book = three_deep()
    book.check()
    header = book.memory[: L3_HEADER.itemsize].view(L3_HEADER)[0]
    words = book.memory.view(np.int64)
    first_order_qty = (int(header["orders_at"]) + 64 + 16) // 8
    assert words[first_order_qty] == 5
    words[first_order_qty] = 6
    with pytest.raises(DataError, match="inconsistent"):
        book.check()


def test_unknown_orders_are_refused_by_name() -> None:
    book = L3Book(2, 2)
    with pytest.raises(DataError, match="order 77: no order of that id"):
        book.delete(77)
    with pytest.raises(DataError, match="order 77"):
        book.qty_ahead(77)
    assert book.order(77) is None
    with pytest.raises(CapacityError):
        L3Book(0, 1)
