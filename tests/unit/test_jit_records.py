"""Records in raw memory read and write by field name, whatever the name, in both modes."""

from __future__ import annotations

import numpy as np
import pytest

from tercel.jit import address_of, addressof_record, entry, record, records

INNER = np.dtype([("mean", "f8"), ("n", "i8")], align=True)
ROW = np.dtype([("flags", "i2"), ("size", "i8"), ("data", "i8", (3,)), ("stats", INNER)], align=True)


@entry
def shadowed(address: int, n: int) -> int:
    """Fields named like NumPy's own attributes."""
    rows = records(address, n, ROW)
    row = record(address, ROW)
    row.flags = 5
    row.size += 40
    row.data[1] = 7
    row.stats.mean = 2.5
    rows[1].flags = row.flags + 1
    return int(row.flags) + int(row.size) + int(row.data[1]) + int(row.stats.mean * 2.0) + int(rows[1].flags)


def test_fields_named_like_numpy_attributes_are_fields():
    memory = np.zeros(2, ROW)
    assert shadowed(address_of(memory), 2) == 5 + 40 + 7 + 5 + 6
    assert memory["flags"].tolist() == [5, 6]
    assert memory["data"].tolist() == [[0, 7, 0], [0, 0, 0]]
    assert memory["stats"]["mean"].tolist() == [2.5, 0.0]


def test_a_view_from_python_shares_the_memory_and_knows_its_place():
    memory = np.zeros(2, ROW)
    rows = records(address_of(memory), 2, ROW)
    rows[1].flags = 3
    rows[1].stats.n = 9
    assert memory["flags"].tolist() == [0, 3]
    assert memory["stats"]["n"].tolist() == [0, 9]
    assert addressof_record(rows[1]) == address_of(memory) + ROW.itemsize
    assert rows[1].dtype == ROW
    assert rows["flags"].tolist() == [0, 3]
    rows[0] = memory[1]
    assert memory[0] == memory[1]


def test_a_name_that_is_no_field_is_an_error():
    row = records(address_of(np.zeros(1, ROW)), 1, ROW)[0]
    with pytest.raises(AttributeError, match="nothing"):
        _ = row.nothing
    with pytest.raises(ValueError, match="nothing"):
        row.nothing = 1
