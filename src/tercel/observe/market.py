"""Market data as frames: EVENT rows of a tape, a capture or a live feed as one polars table in human units.

Lives here: the one table for looking at a market. What a run did is in `frames`. Called by users, and by actors that
want columns instead of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from tercel.errors import DataError
from tercel.model import events as e
from tercel.model.instrument import Instrument
from tercel.observe.columns import coded, distinct_labels, floats, named, scaled, sides, times

__all__ = ["market_frame"]

_KINDS = {kind: e.KIND_NAMES[kind] for kind in range(e.LEVEL, e.FUNDING + 1)}
_KIND = pl.Enum(list(_KINDS.values()))


def market_frame(rows: np.ndarray, instruments: Sequence[Instrument]) -> pl.DataFrame:
    """The market rows among (n,) EVENT rows, in their order.

    time (local), time_exchange, kind (level, clear, trade, quote, bar, add, change, delete, funding), instrument, side
    (of the book, or the aggressor's; null where there is none), price, quantity, id; for quotes price and quantity are
    the bid's and price_ask, quantity_ask the ask's; for bars price is the close, and open, high, low stand beside it;
    for funding price is the mark and rate the rate. Columns that no kind of the rows uses are left out.

    DataError for an instrument that `instruments` does not have.
    """
    rows = rows[(rows["kind"] >= e.LEVEL) & (rows["kind"] <= e.FUNDING)]
    at = rows["instrument"]
    if len(rows) and (int(at.min()) < 0 or int(at.max()) >= len(instruments)):
        raise DataError(f"rows name instrument {int(at.max())}, but {len(instruments)} were given")
    ticks, lots = ([getattr(i, name) for i in instruments] for name in ("tick_size", "lot_size"))
    columns = {
        "time": times(rows["ts_recv"]),
        "time_exchange": times(rows["ts_exch"]),
        "kind": coded(rows["kind"], _KINDS, _KIND),
        "instrument": named(at, distinct_labels(instruments), "instrument"),
        "side": sides(rows["side"]),
        "price": scaled(at, rows["px"], ticks),
        "quantity": scaled(at, rows["qty"], lots),
        "id": rows["id"],
    }
    kinds = rows["kind"]

    def only(kind: int, values: np.ndarray) -> pl.Series:
        return floats(np.where(kinds == kind, values, np.nan))

    if (kinds == e.QUOTE).any():
        columns["price_ask"] = only(e.QUOTE, scaled(at, rows["arg0"], ticks))
        columns["quantity_ask"] = only(e.QUOTE, scaled(at, rows["arg1"], lots))
    if (kinds == e.BAR).any():
        columns["open"] = only(e.BAR, scaled(at, rows["id"], ticks))
        columns["high"] = only(e.BAR, scaled(at, rows["arg0"], ticks))
        columns["low"] = only(e.BAR, scaled(at, rows["arg1"], ticks))
    if (kinds == e.FUNDING).any():
        columns["rate"] = only(e.FUNDING, rows["arg1"] / 1e8)
    return pl.DataFrame(columns)
