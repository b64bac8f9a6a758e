"""Rows copied as bytes are the rows that NumPy would have copied, and stand on their own."""

from __future__ import annotations

import numpy as np
import pytest

from tercel.model.commands import COMMAND
from tercel.model.events import EVENT
from tercel.model.rowcopy import copied, joined, picked
from tercel.model.runlog import SAMPLE


def rows(n: int, dtype: np.dtype = EVENT, seed: int = 1) -> np.ndarray:
    raw = np.random.default_rng(seed).integers(0, 100, n * dtype.itemsize).astype(np.uint8)
    return raw.view(dtype)


@pytest.mark.parametrize("dtype", [EVENT, COMMAND, SAMPLE, np.dtype("i2"), np.dtype("i8")])
@pytest.mark.parametrize("n", [0, 1, 3, 64, 65, 1000])
def test_a_copy_is_equal_writable_and_apart(n: int, dtype: np.dtype) -> None:
    original = rows(n, dtype)
    copy = copied(original)
    assert copy.dtype == dtype
    assert copy.tobytes() == original.tobytes()
    assert copy.flags.writeable
    assert not np.shares_memory(copy, original)


def test_rows_that_lie_apart_are_copied_too() -> None:
    original = rows(400)
    for part in (original[::2], original[10:2:-3], original[::-1]):
        assert copied(part).tobytes() == part.copy().tobytes()
        assert joined([part, part]).tobytes() == np.concatenate([part, part]).tobytes()


def test_joined_is_all_parts_in_order() -> None:
    parts = [rows(n, seed=n) for n in (3, 0, 100, 1)]
    whole = joined(parts)
    assert whole.dtype == EVENT
    assert whole.tobytes() == np.concatenate(parts).tobytes()
    whole["px"] = 7
    assert not (parts[2]["px"] == 7).all()
    assert len(joined([rows(0)])) == 0


def test_parts_of_different_kinds_are_not_joined() -> None:
    with pytest.raises(AssertionError):
        joined([rows(1, EVENT), rows(1, COMMAND)])


def test_picked_by_mask_and_by_index() -> None:
    original = rows(300)
    mask = original["px"] % 2 == 0
    order = np.argsort(original["qty"], kind="stable")
    assert picked(original, mask).tobytes() == original[mask].tobytes()
    assert picked(original, order).tobytes() == original[order].tobytes()
    assert picked(original, order).dtype == EVENT
    assert len(picked(original, np.zeros(300, bool))) == 0
    assert not np.shares_memory(picked(original, mask), original)
