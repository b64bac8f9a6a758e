"""Puts rows into the order the engine wants: both clocks non-decreasing, rows split where the clocks disagree.

A row is processed by the venue at `ts_exch` and seen by the strategy at `ts_recv`. Rows are merged from two stable
orders, one per clock. A row whose turn comes at the same point of both stays whole; any other row becomes two, one that
only the venue processes (flag EXCH) and one that only the strategy sees (flag LOCAL). The idea and its counts are those
of hftbacktest's event order correction. Pure numpy on EVENT rows, no files; called by the tape's mapped cache and by
anything that makes rows in memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tercel.model.events import EXCH, LOCAL

__all__ = ["ScheduleCounts", "complete_prefix", "schedule", "schedule_counts"]


class ScheduleCounts(NamedTuple):
    """How many scheduled rows are whole, venue only and strategy only."""

    both: int
    exch_only: int
    local_only: int


def schedule(rows: np.ndarray) -> np.ndarray:
    """Schedule rows for the engine.

    rows: (n,) EVENT in any order; ties of a clock keep this order. Flags EXCH and LOCAL of the input are ignored.
    Returns a new (m,) EVENT array, n <= m <= 2 n: the rows with EXCH have non-decreasing `ts_exch`, the rows with LOCAL
    non-decreasing `ts_recv`, and every input row is present once in each of the two. O(n log n); about 0.1 s
    for 500,000 rows.
    """
    n = len(rows)
    cleared = ~np.int16(EXCH | LOCAL)
    if n == 0:
        return rows.copy()
    if np.all(rows["ts_recv"][1:] >= rows["ts_recv"][:-1]):
        by_recv = rows
    else:
        by_recv = rows[np.argsort(rows["ts_recv"], kind="stable")]
    exch_order = np.argsort(by_recv["ts_exch"], kind="stable")
    exch_rank = np.empty(n, np.int64)
    exch_rank[exch_order] = np.arange(n)
    # Walking in order of receipt, the venue has handled every rank up to the running maximum. A row that raises the
    # maximum is new to both sides at once; a row below it was handled by the venue earlier.
    highest = np.maximum.accumulate(exch_rank)
    whole = np.empty(n, bool)
    whole[0] = True
    whole[1:] = highest[1:] > highest[:-1]
    n_whole = np.cumsum(whole)
    i_local = np.arange(n)
    place = i_local + highest + 1 - n_whole  # after all venue-only rows with a lower rank than the maximum so far
    early = exch_order[~whole[exch_order]]  # rows the venue handles before the strategy sees them, in venue order
    early_rank = exch_rank[early]
    i_next = np.searchsorted(highest, early_rank, side="right")  # the whole row each is emitted in front of
    early_place = i_next + early_rank - (n_whole[i_next] - 1)
    out = np.empty(n + len(early), rows.dtype)
    out[place] = by_recv
    out[early_place] = by_recv[early]
    flags = np.empty(len(out), np.int16)
    flags[place] = np.where(whole, EXCH | LOCAL, LOCAL)
    flags[early_place] = EXCH
    out["flags"] = (out["flags"] & cleared) | flags
    return out


def schedule_counts(rows: np.ndarray) -> ScheduleCounts:
    """Count the three kinds of scheduled rows. rows: (m,) EVENT as `schedule` returns them."""
    sides = rows["flags"] & (EXCH | LOCAL)
    return ScheduleCounts(
        int(np.count_nonzero(sides == EXCH | LOCAL)),
        int(np.count_nonzero(sides == EXCH)),
        int(np.count_nonzero(sides == LOCAL)),
    )


def complete_prefix(ts_exch: np.ndarray, later_min: int) -> int:
    """How many leading rows can be scheduled now without looking at what follows.

    ts_exch: (n,) int64 ns of rows in order of receipt. later_min: smallest `ts_exch` of every row not in `ts_exch`.
    Returns the longest prefix none of whose rows is younger at the venue than any row after it: scheduling the prefix
    and the rest apart gives the same rows as scheduling them together.
    """
    n = len(ts_exch)
    if n == 0:
        return 0
    highest = np.maximum.accumulate(ts_exch)
    lowest_after = np.empty(n, np.int64)
    lowest_after[-1] = later_min
    if n > 1:
        lowest_after[:-1] = np.minimum(np.minimum.accumulate(ts_exch[::-1])[::-1][1:], later_min)
    cuts = np.flatnonzero(highest <= lowest_after)
    return int(cuts[-1]) + 1 if len(cuts) else 0
