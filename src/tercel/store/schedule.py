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
from tercel.model.rowcopy import picked

__all__ = ["ScheduleCounts", "schedule", "schedule_counts", "schedule_part"]


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
    out = picked(rows, source)
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


def schedule_part(rows: np.ndarray, later_exch_min: int) -> tuple[np.ndarray, np.ndarray]:
    """Schedule as much as can be scheduled without looking at what follows.

    rows: (n,) EVENT in order of `ts_recv`: what an earlier call kept, then new ones. later_exch_min: smallest `ts_exch`
    of every row still to come, the largest int64 when there is none. Returns the (m,) EVENT rows that are settled, and
    the (k,) rows to hand to the next call. The settled rows of all calls are what `schedule` makes of all rows at once;
    what is kept are the rows of about one largest latency. A row that only the strategy still has to see is kept with
    flag LOCAL alone.
    """
    if later_exch_min == np.iinfo(np.int64).max:
        return schedule(rows), rows[:0]
    sides = rows["flags"] & (EXCH | LOCAL)
    both = (sides != EXCH) & (sides != LOCAL)
    ts_exch = rows["ts_exch"]
    # A row younger than one still to come cannot be whole yet, and nothing may be seen before it.
    blocked = np.flatnonzero(both & (ts_exch > later_exch_min))
    n_seen = int(blocked[0]) if len(blocked) else len(rows)
    seen = np.arange(len(rows)) < n_seen
    seen &= sides != EXCH
    reached = np.flatnonzero(seen & both)
    early = np.zeros(len(rows), bool)
    if len(reached):
        i_last = reached[len(reached) - 1 - int(np.argmax(ts_exch[reached][::-1]))]  # what the venue handles last
        early = (ts_exch < ts_exch[i_last]) | ((ts_exch == ts_exch[i_last]) & (np.arange(len(rows)) < i_last))
        early &= (sides != LOCAL) & ~seen
    settled = picked(rows, seen | early)
    flags = settled["flags"]
    flags[early[seen | early]] &= ~np.int16(LOCAL)
    flags[early[seen | early]] |= EXCH
    keep = ~seen & (~early | both)
    kept = picked(rows, keep)
    kept_flags = kept["flags"]
    kept_flags[early[keep]] &= ~np.int16(EXCH)
    kept_flags[early[keep]] |= LOCAL
    return schedule(settled), kept
