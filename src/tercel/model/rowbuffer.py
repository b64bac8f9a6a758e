"""A growing buffer of EVENT rows that decoders write into and drivers hand to the engine, without an object per row.

Used by `venues` (bytes to rows) and `live`. The memory grows by doubling when a message needs more rows than any
before it, and is never given back: after the first snapshot nothing is allocated.
"""

from __future__ import annotations

import numpy as np

from tercel.jit import address_of
from tercel.model.events import ACK, EVENT

__all__ = ["RowBuffer"]


class RowBuffer:
    """EVENT rows in memory. rows: (capacity,) EVENT; n: how many are filled; address: of row 0, for kernels.

    capacity: rows that fit before the memory has to grow. has_other: whether a row that is no market data was added: a
    driver looks closer at those, and at no others. Such rows are written by `add` alone.
    """

    def __init__(self, capacity: int = 8192) -> None:
        self.rows = np.zeros(capacity, EVENT)
        self.address = address_of(self.rows)
        self.n = 0
        self.capacity = capacity
        self.has_other = False

    def reserve(self, n: int) -> None:
        """Make room for `n` more rows; what is filled stays. The address changes when the memory has to grow."""
        need = self.n + n
        if need > len(self.rows):
            grown = np.zeros(max(need, 2 * len(self.rows)), EVENT)
            grown[: self.n] = self.rows[: self.n]
            self.rows = grown
            self.address = address_of(grown)
            self.capacity = len(grown)

    def add(
        self,
        kind: int,
        instrument: int,
        ts_exch_ns: int,
        ts_recv_ns: int,
        *,
        side: int = 0,
        px: int = 0,
        qty: int = 0,
        id: int = 0,
        arg0: int = 0,
        arg1: int = 0,
        reason: int = 0,
        flags: int = 0,
    ) -> None:
        """Append one row; prices in ticks, sizes in lots, times in ns. For rare rows: about a microsecond."""
        self.reserve(1)
        self.rows[self.n] = (ts_exch_ns, ts_recv_ns, px, qty, id, arg0, arg1, kind, side, reason, flags, instrument)
        self.n += 1
        if kind >= ACK:
            self.has_other = True

    def filled(self) -> np.ndarray:
        """The filled rows; a view, good until the next write."""
        return self.rows[: self.n]

    def clear(self) -> None:
        """Forget what is filled."""
        self.n = 0
        self.has_other = False
