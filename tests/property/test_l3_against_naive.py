"""The L3 book against a naive twin, on random commands over few ids, few prices and some far ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.l3_oracle import NaiveL3
from tercel.book.l3_book import L3Book
from tercel.errors import CapacityError, DataError

ORDER_MAX, LEVEL_MAX = 24, 9

ids = st.integers(-3, 40) | st.sampled_from([1 << 32, (1 << 62) + 5, -(1 << 61)])
prices = st.integers(95, 105) | st.sampled_from([1, 10_000_000, -7, 1 << 40])
sizes = st.integers(-1, 12)
command = st.one_of(
    st.tuples(st.just("add"), ids, st.sampled_from([1, -1, 1, -1, 1, -1, 0]), prices, sizes),
    st.tuples(st.just("add"), ids, st.sampled_from([1, -1]), prices, st.integers(1, 12)),
    st.tuples(st.just("change"), ids, prices, sizes),
    st.tuples(st.just("delete"), ids),
    st.tuples(st.just("match"), st.sampled_from([1, -1]), prices, st.integers(1, 40)),
    st.tuples(st.just("clear"), st.sampled_from([1, -1, 0]), st.sampled_from([0, 97, 100, 103])),
)

MESSAGES = {
    "bad_qty": "the size must be positive",
    "bad_side": "the side must be",
    "duplicate": "already rests",
    "unknown": "no order of that id",
    "orders_full": "order_max orders",
    "levels_full": "level_max price levels",
}


def same_state(book: L3Book, naive: NaiveL3) -> None:
    for side in (1, -1):
        assert [tuple(map(int, row)) for row in book.levels(side)] == naive.levels(side)
        for px, orders in naive.sides[side].items():
            assert [(int(o.id), int(o.qty)) for o in book.orders_at(side, px).view(np.recarray)] == [
                (i, q) for i, q in orders
            ]
            assert book.depth_at(side, px) == sum(q for _, q in orders)
    assert book.n_orders == len(naive.where)
    for order_id in naive.where:
        assert book.qty_ahead(order_id) == naive.qty_ahead(order_id)
    assert book.best_bid == max(naive.sides[1], default=None)
    assert book.best_ask == min(naive.sides[-1], default=None)
    book.check()


def run(commands: list[tuple]) -> L3Book:
    book, naive = L3Book(ORDER_MAX, LEVEL_MAX), NaiveL3(ORDER_MAX, LEVEL_MAX)
    for name, *arguments in commands:
        if name == "match":
            fills = [tuple(map(int, fill)) for fill in book.match(*arguments)]
            assert fills == naive.match(*arguments)
        elif name == "clear":
            assert book.clear(*arguments) == naive.clear(*arguments)
        else:
            expected = getattr(naive, name)(*arguments)
            before = book.memory.tobytes() if expected != "ok" else b""
            if expected == "ok":
                getattr(book, name)(*arguments)
            else:
                with pytest.raises((DataError, CapacityError), match=MESSAGES[expected]):
                    getattr(book, name)(*arguments)
                assert book.memory.tobytes() == before, "a refused command must change nothing"
        same_state(book, naive)
    return book


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(command, max_size=60))
def test_every_command_leaves_the_same_book(commands: list[tuple]) -> None:
    run(commands)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(command, min_size=5, max_size=40), st.lists(command, max_size=20))
def test_a_copy_of_the_bytes_is_a_book(before: list[tuple], after: list[tuple]) -> None:
    book = run(before)
    twin = L3Book(1, 1)
    twin.memory = book.memory.copy()
    twin.address = twin.memory.ctypes.data
    twin.order_max = book.order_max
    for each in (book, twin):
        for name, *arguments in after:
            try:
                getattr(each, name)(*arguments)
            except (DataError, CapacityError):
                continue
    twin.check()
    assert twin.memory.tobytes() == book.memory.tobytes()


def random_session(seed: int, n: int) -> str:
    """A hash of the memory after `n` random commands; run in both modes."""
    import hashlib

    rng = np.random.default_rng(seed)
    book = L3Book(64, 32)
    for _ in range(n):
        what = rng.integers(0, 10)
        order_id, side = int(rng.integers(0, 90)), int(rng.choice([1, -1]))
        px, qty = int(1000 + 3 * rng.standard_normal() * rng.choice([1, 1, 50])), int(rng.integers(0, 20))
        try:
            if what < 5:
                book.add(order_id, side, px, qty)
            elif what < 7:
                book.change(order_id, px, qty)
            elif what < 9:
                book.delete(order_id)
            else:
                book.match(side, px, qty)
        except (DataError, CapacityError):
            continue
    book.check()
    return hashlib.blake2b(book.memory.tobytes(), digest_size=16).hexdigest()


def test_compiled_and_interpreted_leave_equal_bytes() -> None:
    code = "import test_l3_against_naive as t; print(t.random_session(7, 3000), t.random_session(8, 3000))"
    here = Path(__file__).parent
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=here
    )
    assert result.stdout.split() == [random_session(7, 3000), random_session(8, 3000)]
