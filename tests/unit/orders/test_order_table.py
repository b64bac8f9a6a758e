"""The table of living orders: insert, find, free, and what happens when it is full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercel.jit import address_of, records
from tercel.orders.lifecycle import ORDER
from tercel.orders.table import ST_FREE, ST_PENDING_NEW, order_find, order_free, order_slot_insert


class Table:
    def __init__(self, capacity: int) -> None:
        self.memory = np.zeros(capacity, ORDER)
        self.capacity = capacity
        self.rows = records(address_of(self.memory), capacity, ORDER)

    def insert(self, id: int) -> int:
        return int(order_slot_insert(self.rows, self.capacity, id))

    def find(self, id: int) -> int:
        return int(order_find(self.rows, self.capacity, id))

    def free(self, slot: int) -> None:
        order_free(self.rows, slot)


def test_a_new_order_sits_at_its_home_and_is_zeroed():
    table = Table(8)
    table.memory[5]["px"] = 99
    slot = table.insert(13)
    assert slot == 5
    assert table.memory[5]["state"] == ST_PENDING_NEW
    assert table.memory[5]["id"] == 13
    assert table.memory[5]["px"] == 0
    assert table.find(13) == 5
    assert table.find(5) == -1


def test_colliding_orders_probe_on_and_wrap_around():
    table = Table(4)
    assert [table.insert(id) for id in (3, 7, 11)] == [3, 0, 1]
    assert [table.find(id) for id in (3, 7, 11, 15)] == [3, 0, 1, -1]


def test_a_full_table_says_so_and_keeps_what_it_has():
    table = Table(4)
    assert [table.insert(id) for id in (1, 2, 3, 4)] == [1, 2, 3, 0]
    before = table.memory.tobytes()
    assert table.insert(5) == -1
    assert table.memory.tobytes() == before
    assert table.find(9) == -1


def test_freeing_keeps_the_way_to_those_behind():
    table = Table(8)
    slots = [table.insert(id) for id in (8, 16, 24)]
    assert slots == [0, 1, 2]
    table.free(1)
    assert table.find(24) == 2
    assert table.insert(32) == 1
    table.free(0)
    table.free(1)
    table.free(2)
    assert not table.memory.view(np.uint8).any()


def test_freeing_a_free_slot_does_nothing():
    table = Table(4)
    table.free(2)
    assert not table.memory.view(np.uint8).any()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    capacity=st.sampled_from((2, 8, 32)),
    steps=st.lists(st.tuples(st.sampled_from("iifr"), st.integers(0, 40)), max_size=120),
)
def test_the_table_is_a_dict(capacity, steps):
    table = Table(capacity)
    living: dict[int, int] = {}
    next_id = 1
    for what, number in steps:
        if what == "i":
            next_id += 1 + (number % 3 == 0) * number
            slot = table.insert(next_id)
            if len(living) == capacity:
                assert slot == -1
            else:
                assert slot not in living.values()
                living[next_id] = slot
        elif what == "f" and living:
            id = list(living)[number % len(living)]
            table.free(living.pop(id))
        else:
            assert table.find(next_id - number) == living.get(next_id - number, -1)
        for id, slot in living.items():
            assert table.find(id) == slot
            assert table.memory[slot]["id"] == id
        assert int((table.memory["state"] != ST_FREE).sum()) == len(living)
    for slot in living.values():
        table.free(slot)
    # Nothing stays behind: searches in an emptied table end at once.
    assert not table.memory["passed"].any()


@pytest.mark.parametrize("n", [5_000])
def test_a_table_in_steady_use_leaves_no_trail(n):
    table = Table(16)
    for id in range(1, n):
        table.insert(id)
        if id > 3:
            table.free(table.find(id - 3))
    assert int((table.memory["state"] != ST_FREE).sum()) == 3
    assert int(table.memory["passed"].sum()) == 0
