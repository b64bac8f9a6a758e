"""Scheduling against its naive twin, on random clocks."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.naive_schedule import naive_schedule
from tercel.model.events import EXCH, LAST, LOCAL, event_rows
from tercel.store.schedule import schedule, schedule_counts, schedule_part

clock = st.integers(0, 12)
sides = st.sampled_from([EXCH | LOCAL, EXCH | LOCAL, EXCH | LOCAL, EXCH, LOCAL, 0])
some_rows = st.lists(st.tuples(clock, clock, sides), max_size=40)


def make_rows(times: list[tuple[int, int, int]], by_receipt: bool) -> np.ndarray:
    if by_receipt:
        times = sorted(times, key=lambda row: row[1])
    rows = event_rows(len(times))
    for i_row, (exch, recv, flags) in enumerate(times):
        rows[i_row] = (exch, recv, 0, 0, i_row, 0, 0, 1, 1, 0, flags | LAST, 0)
    return rows


@settings(max_examples=300, deadline=None)
@given(some_rows, st.booleans())
def test_both_clocks_in_order_and_every_row_once_a_side(times: list[tuple[int, int, int]], by_receipt: bool) -> None:
    rows = make_rows(times, by_receipt)
    out = schedule(rows)
    venue, seen = out[(out["flags"] & EXCH) != 0], out[(out["flags"] & LOCAL) != 0]
    assert np.all(np.diff(venue["ts_exch"]) >= 0)
    assert np.all(np.diff(seen["ts_recv"]) >= 0)
    assert sorted(venue["id"].tolist()) == [i for i, row in enumerate(times_of(rows)) if row != LOCAL]
    assert sorted(seen["id"].tolist()) == [i for i, row in enumerate(times_of(rows)) if row != EXCH]
    assert np.all(out["flags"] & LAST)
    assert sum(schedule_counts(out)) == len(out)
    for name in ("ts_exch", "ts_recv"):
        assert np.array_equal(out[name], rows[name][out["id"]])


def times_of(rows: np.ndarray) -> list[int]:
    return [int(flags) & (EXCH | LOCAL) for flags in rows["flags"]]


@settings(max_examples=300, deadline=None)
@given(some_rows, st.booleans())
def test_equals_the_naive_merge(times: list[tuple[int, int, int]], by_receipt: bool) -> None:
    rows = make_rows(times, by_receipt)
    out = schedule(rows)
    found = list(zip(out["id"].tolist(), (out["flags"] & (EXCH | LOCAL)).tolist()))
    assert found == naive_schedule(rows)


@settings(max_examples=300, deadline=None)
@given(some_rows, st.lists(st.integers(0, 40), max_size=4))
def test_scheduling_piece_by_piece_changes_nothing(times: list[tuple[int, int, int]], cuts: list[int]) -> None:
    rows = make_rows(times, by_receipt=True)
    bounds = sorted({min(cut, len(rows)) for cut in cuts} | {0, len(rows)})
    done, carry = [], rows[:0]
    for start, stop in itertools.pairwise(bounds):
        carry = np.concatenate([carry, rows[start:stop]])
        later_min = int(rows["ts_exch"][stop:].min(initial=np.iinfo(np.int64).max))
        settled, carry = schedule_part(carry, later_min)
        done.append(settled)
    assert len(carry) == 0
    whole = schedule(rows)
    assert np.array_equal(np.concatenate([*done, rows[:0]]), whole)
