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

    rows: (n,) EVENT in any order; ties of a clock keep this order. A row that has only EXCH or only LOCAL stays that;
    any other row is for both. Returns a new (m,) EVENT array, n <= m <= 2 n: the rows with EXCH have non-decreasing
    `ts_exch`, the rows with LOCAL non-decreasing `ts_recv`, and every input row is there once for each of the two it is
    for. O(n log n); about 0.1 s for 500,000 rows.
    """
    sides = rows["flags"] & (EXCH | LOCAL)
    at_recv = np.flatnonzero(sides != EXCH)
    recv = rows["ts_recv"][at_recv]
    if np.any(recv[1:] < recv[:-1]):
        at_recv = at_recv[np.argsort(recv, kind="stable")]
    at_exch = np.flatnonzero(sides != LOCAL)
    at_exch = at_exch[np.argsort(rows["ts_exch"][at_exch], kind="stable")]
    rank_of = np.full(len(rows), -1, np.int64)
    rank_of[at_exch] = np.arange(len(at_exch))
    # Walking in order of receipt, the venue has handled every rank up to the running maximum. A row that raises the
    # maximum is new to both sides at once; a row below it was handled by the venue earlier.
    rank = rank_of[at_recv]
    highest = np.maximum.accumulate(np.append(-1, rank))
    whole = highest[1:] > highest[:-1]
    highest = highest[1:]
    n_whole_before = np.append(0, np.cumsum(whole))
    # A row seen comes after every rank up to the maximum so far; a row the venue handles early comes right before the
    # whole row that raises the maximum past it.
    seen_place = np.arange(len(at_recv)) + highest + 1 - n_whole_before[1:]
    is_early = np.ones(len(at_exch), bool)
    is_early[rank[whole]] = False
    early_rank = np.flatnonzero(is_early)
    i_next = np.searchsorted(highest, early_rank, side="right")
    early_place = i_next + early_rank - n_whole_before[i_next]
    source = np.empty(len(at_recv) + len(early_rank), np.int64)
    flags = np.empty(len(source), np.int16)
    source[seen_place], source[early_place] = at_recv, at_exch[early_rank]
    flags[seen_place], flags[early_place] = np.where(whole, EXCH | LOCAL, LOCAL), EXCH
    out = rows[source]
    out["flags"] = (out["flags"] & ~np.int16(EXCH | LOCAL)) | flags
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
