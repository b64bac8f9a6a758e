"""Copies of rows (EVENT, COMMAND, any record) as the bytes that they are.

NumPy copies records field by field: 2.5 microseconds for a single row, 60 to 140 ns a row for many, thirteen
microseconds to join two pairs. As bytes it is 0.3 microseconds, 2 to 10 ns, 0.5. Called by the engine, the drivers and
the store, wherever rows are kept. Never here: what the rows mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["copied", "joined", "picked"]

_BYTE = np.dtype("u1")
_FEW = 64


def _bytes_of(rows: np.ndarray) -> np.ndarray:
    """(n,) rows as (n * itemsize,) uint8; a view where they lie one after another."""
    if not rows.flags.c_contiguous:
        rows = np.ascontiguousarray(rows.view(_void(rows.dtype)))
    return rows.view(_BYTE)


def _void(dtype: np.dtype) -> np.dtype:
    """Records of the same size without fields: NumPy moves them whole."""
    return np.dtype((np.void, dtype.itemsize))


def copied(rows: np.ndarray) -> np.ndarray:
    """A copy of (n,) rows in memory of its own, which may be written to."""
    if len(rows) <= _FEW and rows.flags.c_contiguous:
        return np.frombuffer(bytearray(rows.tobytes()), rows.dtype)
    return np.frombuffer(bytearray(_bytes_of(rows).data), rows.dtype)


def joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """One array of all parts in order, in memory of its own. At least one part, all of one dtype."""
    dtype = parts[0].dtype
    assert all(part.dtype is dtype or part.dtype == dtype for part in parts), [part.dtype for part in parts]
    return np.frombuffer(bytearray().join([_bytes_of(part).data for part in parts]), dtype)


def picked(rows: np.ndarray, which: np.ndarray) -> np.ndarray:
    """Copies of the rows that a mask, (n,) bool, or indexes, (m,) int64, name, in that order."""
    found: np.ndarray = rows.view(_void(rows.dtype))[which].view(rows.dtype)
    return found
