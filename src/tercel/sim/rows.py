"""Whether EVENT rows given as an array may be run through: scheduled, and inside the bounds the kernels rely on.

Tapes need no such look: importers check what they write, and the mapped cache schedules it. Called by `sim.backtest`.
"""

from __future__ import annotations

import numpy as np

from tercel.errors import DataError
from tercel.model.events import BAR, CLEAR, EXCH, LEVEL, LOCAL, QUOTE, TRADE

__all__ = ["check_rows"]

_CHUNK = 1 << 18
_MARKET_MAX = 9


def check_rows(rows: np.ndarray, n_instruments: int) -> None:
    """Raise DataError naming the first row that is out of order, of no instrument, or no sound price and size.

    rows: (n,) EVENT. Looked at in pieces, so that memory does not grow with their number.
    """
    last = {"ts_exch": np.iinfo(np.int64).min, "ts_recv": np.iinfo(np.int64).min}
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        for flag, clock, who in ((EXCH, "ts_exch", "venue"), (LOCAL, "ts_recv", "strategy")):
            at = np.flatnonzero(part["flags"] & flag)
            if len(at) == 0:
                continue
            times = np.append(last[clock], part[clock][at])
            back = np.flatnonzero(times[1:] < times[:-1])
            if len(back):
                i = int(back[0])
                raise DataError(
                    f"row {start + int(at[i])}: time runs backwards for the {who}: {clock} {times[i + 1]} after "
                    f"{times[i]}; put the rows through tercel.store.schedule.schedule first"
                )
            last[clock] = times[-1]
        _check_fields(part, start, n_instruments)


def _check_fields(part: np.ndarray, start: int, n_instruments: int) -> None:
    kind, side, px, qty = part["kind"], part["side"], part["px"], part["qty"]
    market = (kind >= LEVEL) & (kind <= _MARKET_MAX)
    complaints = (
        (market & ((part["instrument"] < 0) | (part["instrument"] >= n_instruments)), "instrument", "of no instrument"),
        ((kind == LEVEL) & (np.abs(side) != 1), "side", "a level needs the side 1 or -1"),
        ((kind == CLEAR) & (np.abs(side) > 1), "side", "a clear needs the side 1, -1 or 0"),
        (np.isin(kind, (LEVEL, TRADE, BAR)) & (px <= 0), "px", "a price must be above 0"),
        ((kind == QUOTE) & ((px < 0) | (part["arg0"] < 0)), "px", "a quoted price must be 0 (none) or more"),
        (market & (qty < 0), "qty", "a size must be 0 or more"),
    )
    for wrong, field, what in complaints:
        if wrong.any():
            i = int(np.argmax(wrong))
            raise DataError(f"row {start + i}: {field} is {part[field][i]}: {what}")
