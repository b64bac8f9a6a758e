"""Market data as frames: EVENT rows of a tape, a capture or a live feed as one polars table in human units.

Lives here: the one table for looking at a market. What a run did is in `frames`. Called by users, and by actors that
want columns instead of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np
import polars as pl

from tercel.errors import DataError
from tercel.model import events as e
from tercel.model.instrument import Instrument
from tercel.observe.columns import SIDE, distinct_labels, floats, in_steps, scaled

__all__ = ["market_frame"]

_TIME = pl.Datetime("ns", "UTC")


#: By side of a row (0 none, 1 buy, -1 sell, as an index from the end): the number in SIDE, 2 for none.
_SIDE_NUMBER = np.array([2, 0, 1], np.uint8)


def _numbered(codes: np.ndarray, names: pl.Series, only: int | None = None) -> pl.Series:
    """Numbers as the names they stand for. only: the number, where all are that one."""
    if only is not None:
        return names.new_from_index(only, len(codes))
    # By index rather than `gather`, which goes through the query engine: 100 us more.
    return names[pl.Series(codes.astype(np.uint32))]


def _names(column: str, words: Sequence[str]) -> pl.Series:
    """An Enum's names as a column to pick from; the number after the last is null."""
    return pl.Series(column, [*words, None], dtype=pl.Enum(words))


_KIND_NAMES = _names("kind", [e.KIND_NAMES[kind] for kind in range(e.LEVEL, e.FUNDING + 1)])
_SIDE_NAMES = _names("side", SIDE.categories.to_list())


@lru_cache(maxsize=16)
def _grid(instruments: tuple[Instrument, ...]) -> tuple[pl.Series, list[Decimal], list[Decimal]]:
    """Of instruments: their labels, their ticks, their lots."""
    return (
        _names("instrument", distinct_labels(instruments)),
        [i.tick_size for i in instruments],
        [i.lot_size for i in instruments],
    )


def market_frame(rows: np.ndarray, instruments: Sequence[Instrument]) -> pl.DataFrame:
    """The market rows among (n,) EVENT rows, in their order.

    time (local), time_exchange, kind (level, clear, trade, quote, bar, add, change, delete, funding), instrument, side
    (of the book, or the aggressor's; null where there is none), price, quantity, id; for quotes price and quantity are
    the bid's and price_ask, quantity_ask the ask's; for bars price is the close, and open, high, low stand beside it;
    for funding price is the mark and rate the rate. Columns that no kind of the rows uses are left out.

    DataError for an instrument that `instruments` does not have.
    """
    kinds, at = rows["kind"], rows["instrument"]
    first_kind, last_kind = _bounds(kinds)
    if first_kind < e.LEVEL or last_kind > e.FUNDING:
        rows = rows[(kinds >= e.LEVEL) & (kinds <= e.FUNDING)]
        kinds, at = rows["kind"], rows["instrument"]
        first_kind, last_kind = _bounds(kinds)
    first, last = _bounds(at)
    if len(rows) and (first < 0 or last >= len(instruments)):
        raise DataError(f"rows name instrument {last}, but {len(instruments)} were given")
    labels, ticks, lots = _grid(tuple(instruments))
    # Rows are mostly of one kind and of one instrument: then these columns need no look at every row.
    only_kind = first_kind if first_kind == last_kind else None
    only_at = first if first == last < len(instruments) else None

    def in_grid(field: str, steps: list[Decimal]) -> np.ndarray:
        return scaled(at, rows[field], steps) if only_at is None else in_steps(rows[field], steps[only_at])

    columns = [
        _time("time", rows["ts_recv"]),
        _time("time_exchange", rows["ts_exch"]),
        _numbered(kinds - e.LEVEL, _KIND_NAMES, None if only_kind is None else only_kind - e.LEVEL),
        _numbered(at, labels, only_at),
        _numbered(_SIDE_NUMBER[rows["side"]], _SIDE_NAMES),
        pl.Series("price", in_grid("px", ticks)),
        pl.Series("quantity", in_grid("qty", lots)),
        pl.Series("id", np.ascontiguousarray(rows["id"])),
    ]

    def only(name: str, kind: int, values: np.ndarray) -> pl.Series:
        return floats(np.where(kinds == kind, values, np.nan)).alias(name)

    present = {only_kind} if only_kind is not None else set(np.flatnonzero(np.bincount(kinds)).tolist())
    if e.QUOTE in present:
        columns.append(only("price_ask", e.QUOTE, in_grid("arg0", ticks)))
        columns.append(only("quantity_ask", e.QUOTE, in_grid("arg1", lots)))
    if e.BAR in present:
        for name, field in (("open", "id"), ("high", "arg0"), ("low", "arg1")):
            columns.append(only(name, e.BAR, in_grid(field, ticks)))
    if e.FUNDING in present:
        columns.append(only("rate", e.FUNDING, rows["arg1"] / 1e8))
    return pl.DataFrame(columns)


def _bounds(codes: np.ndarray) -> tuple[int, int]:
    """The least and the greatest; of no codes what changes nothing: those of a column of levels."""
    return (int(codes.min()), int(codes.max())) if len(codes) else (e.LEVEL, e.LEVEL)


def _time(name: str, ts_ns: np.ndarray) -> pl.Series:
    return pl.Series(name, np.ascontiguousarray(ts_ns)).cast(_TIME)
