"""The L2 book against two dicts: any stream of levels and clears, crossing ones and far ones, on a tiny window."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.naive_l2 import NONE, NaiveL2
from tercel.book.l2 import (
    BOOK,
    BOOK_SIDE,
    FAR_FULL,
    book_apply,
    book_bytes,
    book_check,
    book_init,
    book_level,
    book_next,
    book_set,
)
from tercel.book.views import BookView, book_imbalance
from tercel.jit import COMPILED, Entry, address_of, record, records
from tercel.model.events import CLEAR, EVENT, LEVEL, TRADE, event_rows

FLOAT = np.dtype("f8")


def _init(address: int, depth_ticks: int, far_levels: int) -> int:
    return book_init(address, depth_ticks, far_levels)


def _apply(address: int, row: int) -> int:
    return book_apply(address, record(row, EVENT))


def _check(address: int) -> int:
    return book_check(address)


def _level(address: int, side: int, px: int) -> int:
    return book_level(address, side, px)


def _next(address: int, k: int, below: int) -> int:
    return book_next(address, k, below)


def _set(address: int, side: int, px: int, qty: int) -> int:
    return book_set(address, side, px, qty)


def _imbalance(address: int, n_levels: int, out: int) -> int:
    records(out, 1, FLOAT)[0] = book_imbalance(address, n_levels)
    return 0


init, apply, check, level, following, set_level, imbalance_bits = (
    Entry(f, f.__code__.co_argcount) for f in (_init, _apply, _check, _level, _next, _set, _imbalance)
)


class Book:
    """A book in memory of its own."""

    def __init__(self, depth_ticks: int = 64, far_levels: int = 512) -> None:
        self.memory = np.zeros(book_bytes(depth_ticks, far_levels), np.uint8)
        self.address = address_of(self.memory)
        self.rows = event_rows(1)
        assert init(self.address, depth_ticks, far_levels) == 0

    @property
    def header(self) -> np.void:
        return self.memory[: BOOK.itemsize].view(BOOK)[0]

    @property
    def sides(self) -> np.ndarray:
        return self.memory[BOOK.itemsize : BOOK.itemsize + 2 * BOOK_SIDE.itemsize].view(BOOK_SIDE)

    def apply(self, kind: int, side: int, px: int, qty: int) -> int:
        row = self.rows[0]
        row["kind"], row["side"], row["px"], row["qty"] = kind, side, px, qty
        return apply(self.address, address_of(self.rows))

    def keys(self, k: int) -> Iterator[int]:
        key = following(self.address, k, 1 << 60)
        while key != NONE:
            yield key
            key = following(self.address, k, key)


SIDES = st.sampled_from([1, -1])
NEAR = st.integers(960, 1040)
# Prices that meet often, prices that move a window of 64, prices far away.
PRICES = st.one_of(st.integers(995, 1005), NEAR, NEAR, st.integers(800, 1200), st.integers(1, 20_000))
SIZES = st.one_of(st.just(0), st.integers(1, 9))
LEVELS = st.tuples(st.just(LEVEL), SIDES, PRICES, SIZES)
CLEARS = st.tuples(st.just(CLEAR), st.sampled_from([1, -1, 0]), st.one_of(st.just(0), NEAR), st.just(0))
STREAMS = st.lists(st.one_of(LEVELS, LEVELS, LEVELS, LEVELS, LEVELS, LEVELS, CLEARS), max_size=120)


def assert_same(book: Book, naive: NaiveL2) -> None:
    assert check(book.address) == 0
    assert [int(b) for b in book.sides["best"]] == naive.best
    if not naive.crossed():
        assert naive.best == [naive.greatest(0), naive.greatest(1)]


def assert_same_levels(book: Book, naive: NaiveL2) -> None:
    for k, sign in ((0, 1), (1, -1)):
        assert list(book.keys(k)) == sorted(naive.sizes[k], reverse=True)
        assert int(book.sides["n_levels"][k]) == len(naive.sizes[k])
        for key, qty in naive.sizes[k].items():
            assert level(book.address, sign, sign * key) == qty
            assert level(book.address, sign, sign * key + 100_000) == 0
            assert following(book.address, k, key) == naive.greatest(k, key)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(STREAMS)
def test_any_stream(stream):
    book, naive = Book(), NaiveL2()
    n_levels = 0
    for kind, side, px, qty in stream:
        old = book.apply(kind, side, px, qty)
        if kind == LEVEL:
            n_levels += 1
            assert old == naive.set(side, px, qty)
        else:
            assert old == 0
            naive.clear(side, px)
        assert_same(book, naive)
    assert_same_levels(book, naive)
    assert int(book.header["error"]) == 0


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(8, 512), (64, 512), (1024, 16)]))
def test_long_walks_that_drag_the_window(seed, shape):
    """A touch that wanders over many windows, with messages that cross and then put things right."""
    rng = np.random.default_rng(seed)
    book, naive = Book(*shape), NaiveL2()
    centre = 10_000
    for _ in range(150):
        centre += int(rng.integers(-12, 13))
        for _ in range(3):
            side = int(rng.choice([1, -1]))
            px = centre - side * int(rng.integers(-2, 9))
            qty = int(rng.integers(0, 5))
            assert book.apply(LEVEL, side, px, qty) == naive.set(side, px, qty)
            assert_same(book, naive)
        # What the venue then says: levels that meet the other side are gone, and so are stale ones.
        for side in (1, -1):
            for key in list(naive.sizes[0 if side > 0 else 1]):
                if key >= side * centre or key < side * centre - 150:
                    assert book.apply(LEVEL, side, side * key, 0) == naive.set(side, side * key, 0)
                    assert_same(book, naive)
        assert not naive.crossed()
    assert_same_levels(book, naive)


def test_views_against_the_dicts():
    rng = np.random.default_rng(3)
    for _ in range(40):
        book, naive = Book(), NaiveL2()
        view = BookView(book.address)
        assert (view.best(1), view.mid(), view.spread(), view.imbalance(5), view.price_for(-1, 3)) == (
            None,
            None,
            None,
            0.0,
            None,
        )
        for _ in range(60):
            side = int(rng.choice([1, -1]))
            px, qty = 1000 - side * int(rng.integers(-3, 90)), int(rng.integers(0, 6))
            book.apply(LEVEL, side, px, qty)
            naive.set(side, px, qty)
        totals = {}
        for side in (1, -1):
            levels = naive.in_view(side)
            px, qty = view.depth(side, 5)
            assert list(zip(px.tolist(), qty.tolist())) == levels[:5]
            assert view.depth(side, 0)[0].size == 0
            assert len(view.depth(side, 10_000)[0]) == len(levels)
            assert view.best(side) == (levels[0][0] if levels else None)
            assert view.n_levels(side) == len(naive.sizes[0 if side > 0 else 1])
            assert view.qty_to(side, 1000 - 10 * side) == sum(q for p, q in levels if side * p >= side * 1000 - 10)
            totals[side] = sum(q for _, q in levels[:5])
            for wanted in (1, 7, 10_000):
                each = [p for p, q in levels for _ in range(q)][:wanted]
                took = view.price_for(side, wanted)
                if not each:
                    assert took is None
                    continue
                assert took is not None
                assert (took.qty_lots, took.worst_px_ticks, took.complete) == (len(each), each[-1], len(each) == wanted)
                assert took.average_px_ticks == pytest.approx(sum(each) / len(each), rel=1e-14)
                assert took.n_levels == len(set(each))
            for p, q in levels:
                assert view.size(side, p) == q
        total = totals[1] + totals[-1]
        assert view.imbalance(5) == ((totals[1] - totals[-1]) / total if total else 0.0)
        bits = np.zeros(1)
        imbalance_bits(book.address, 5, address_of(bits))
        assert bits[0] == view.imbalance(5)
        bid, ask = naive.in_view(1)[:1], naive.in_view(-1)[:1]
        if bid and ask:
            assert view.spread() == ask[0][0] - bid[0][0]
            assert view.mid() == (ask[0][0] + bid[0][0]) / 2


def test_a_crossing_level_hides_and_its_removal_brings_back():
    book = Book()
    view = BookView(book.address)
    for px in (103, 104, 110):
        book.apply(LEVEL, -1, px, 1)
    for px in (100, 104, 105):
        book.apply(LEVEL, 1, px, 2)
    assert (view.best(1), view.best(-1), int(book.header["n_crossings"])) == (105, 110, 1)
    assert view.size(-1, 103) == 1
    # 104 still meets two of the asks, so they stay behind it.
    book.apply(LEVEL, 1, 105, 0)
    assert (view.best(1), view.best(-1)) == (104, 110)
    book.apply(LEVEL, 1, 104, 0)
    assert (view.best(1), view.best(-1)) == (100, 103)
    assert check(book.address) == 0


def test_what_was_passed_over_and_is_then_removed_needs_no_more():
    book = Book()
    view = BookView(book.address)
    book.apply(LEVEL, -1, 103, 1)
    book.apply(LEVEL, -1, 110, 1)
    book.apply(LEVEL, 1, 105, 2)
    book.apply(LEVEL, -1, 103, 0)
    assert (view.best(1), view.best(-1), view.n_levels(-1)) == (105, 110, 1)
    book.apply(LEVEL, 1, 105, 0)
    assert (view.best(1), view.best(-1)) == (None, 110)


def test_levels_out_of_view_can_be_removed_after_the_window_has_moved_down():
    book = Book(depth_ticks=8)
    naive = NaiveL2()
    # Bids near 1,000 are passed over by an ask at 500; the bids in view then fall away one by one.
    script = [(1, 1000, 1), (1, 998, 1), (1, 499, 1), (1, 480, 1), (1, 300, 1), (-1, 500, 1)]
    script += [(1, 499, 0), (1, 480, 0), (1, 1000, 0), (1, 998, 0), (-1, 500, 0)]
    for side, px, qty in script:
        assert book.apply(LEVEL, side, px, qty) == naive.set(side, px, qty)
        assert_same(book, naive)
    assert naive.best == [300, NONE]
    assert_same_levels(book, naive)


def test_clearing_one_side_brings_the_other_back_into_view():
    book = Book()
    view = BookView(book.address)
    book.apply(LEVEL, -1, 103, 1)
    book.apply(LEVEL, 1, 105, 2)
    book.apply(LEVEL, 1, 90, 2)
    assert (view.best(1), view.best(-1)) == (105, None)
    book.apply(CLEAR, 1, 100, 0)
    assert (view.best(1), view.best(-1)) == (90, 103)
    book.apply(CLEAR, 0, 0, 0)
    assert (view.best(1), view.best(-1), view.n_levels(1), view.n_levels(-1)) == (None, None, 0, 0)
    assert check(book.address) == 0


def test_other_kinds_change_nothing():
    book = Book()
    book.apply(LEVEL, 1, 100, 5)
    before = book.memory.tobytes()
    assert book.apply(TRADE, 1, 100, 5) == 0
    assert book.memory.tobytes() == before


def test_a_full_far_table_drops_the_level_keeps_the_counts_and_says_so():
    book = Book(depth_ticks=64, far_levels=16)
    book.apply(LEVEL, 1, 10_000, 1)
    for i in range(20):
        assert book.apply(LEVEL, 1, 5_000 - i, i + 1) == 0
    # Three quarters of sixteen places.
    assert (int(book.sides["n_far"][0]), int(book.sides["n_levels"][0])) == (12, 13)
    assert int(book.header["error"]) == FAR_FULL
    assert check(book.address) == 0
    assert level(book.address, 1, 4_989) == 12
    assert level(book.address, 1, 4_988) == 0
    # Levels that leave the window meet the same maximum.
    book.apply(LEVEL, 1, 10_030, 7)
    book.apply(LEVEL, 1, 20_000, 1)
    assert check(book.address) == 0
    assert (int(book.sides["n_levels"][0]), int(book.sides["best"][0])) == (13, 20_000)
    # Where places become free, levels are kept again; the error stays until somebody looks.
    book.apply(LEVEL, 1, 5_000, 0)
    assert book.apply(LEVEL, 1, 4_000, 3) == 0
    assert level(book.address, 1, 4_000) == 3
    assert int(book.header["error"]) == FAR_FULL


def seeded_digest() -> str:
    """The bytes of a book after a seeded stream with crossings, clears, far levels and window moves."""
    rng = np.random.default_rng(11)
    book = Book(depth_ticks=64, far_levels=256)
    for i in range(1_500):
        side = int(rng.choice([1, -1]))
        px = 1_000 + i // 10 - side * int(rng.integers(-2, 40)) if i % 13 else int(rng.integers(1, 5_000))
        if i % 97 == 96:
            book.apply(CLEAR, side, 1_000 + i // 10 - 20 * side, 0)
        else:
            set_level(book.address, side, px, int(rng.integers(0, 4)))
    assert check(book.address) == 0
    return hashlib.blake2b(book.memory.tobytes(), digest_size=16).hexdigest()


@pytest.mark.skipif(not COMPILED, reason="this run is the interpreted one")
def test_compiled_and_interpreted_leave_equal_bytes():
    tests = Path(__file__).resolve().parent.parent
    code = f"import sys; sys.path[:0] = [{str(tests)!r}, {str(tests / 'property')!r}]\n"
    code += "import test_l2_against_naive as t; print(t.seeded_digest())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == seeded_digest()
