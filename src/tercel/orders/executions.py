"""The fills that were counted lately, by the venue's number, so that none counts twice however often it is told.

A ring of fixed size with chains to find an entry in: when it is full the oldest fill is forgotten. Kernels, called by
the engine for each FILL row that has an execution id; reconciliation reads the records.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import inline_kernel, kernel

__all__ = ["EXECUTION", "execution_is_new", "executions_in_order"]

#: One counted fill. id: the venue's number of the execution, unique for an instrument. ts: int64 ns, the venue's time.
#: lots: signed by the side. order: our order's id. next: place + 1 of the next entry of its chain, 0 at the end.
EXECUTION = np.dtype(
    [("id", "i8"), ("instrument", "i8"), ("ts", "i8"), ("lots", "i8"), ("order", "i8"), ("next", "i8")], align=True
)


@inline_kernel
def _chain(instrument: int, id: int, capacity: int) -> int:
    """Which of the 2 * capacity chains an execution belongs to."""
    return (id ^ (id >> 17) ^ (instrument << 6)) & (2 * capacity - 1)


@kernel
def execution_is_new(entries: Any, heads: Any, capacity: int, n: int, row: Any) -> bool:
    """Whether the FILL `row` was not counted among the last `capacity`; if so it is from now on.

    entries: (capacity,) EXECUTION, heads: (2 * capacity,) int64 place + 1, both mutated; capacity a power of two. n:
    how many were ever counted; the caller adds one for each new fill. O(1).
    """
    instrument = int(row.instrument)
    chain = _chain(instrument, row.arg1, capacity)
    place = heads[chain]
    while place != 0:
        entry = entries[place - 1]
        if entry.id == row.arg1 and entry.instrument == instrument:
            return False
        place = entry.next
    slot = n & (capacity - 1)
    entry = entries[slot]
    if n >= capacity:
        _forget(entries, heads, capacity, slot)
    entry.id = row.arg1
    entry.instrument = instrument
    entry.ts = row.ts_exch
    entry.lots = row.qty if row.side > 0 else -row.qty
    entry.order = row.id
    entry.next = heads[chain]
    heads[chain] = slot + 1
    return True


@kernel
def _forget(entries: Any, heads: Any, capacity: int, slot: int) -> None:
    """Take the entry in `slot` out of its chain."""
    chain = _chain(entries[slot].instrument, entries[slot].id, capacity)
    place = heads[chain]
    if place == slot + 1:
        heads[chain] = entries[slot].next
        return
    while place != 0:
        entry = entries[place - 1]
        place = entry.next
        if place == slot + 1:
            entry.next = entries[slot].next
            return


def executions_in_order(entries: np.ndarray, n: int) -> np.ndarray:
    """The fills that are remembered, the one counted first first: (m,) EXECUTION, copied; n: how many ever counted."""
    capacity = len(entries)
    if n <= capacity:
        return entries[:n].copy()
    return np.roll(entries, -(n & (capacity - 1)))
