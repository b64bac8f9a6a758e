"""Looks EVENT rows through before an engine sees them: what would corrupt its state is refused by row and name.

Vectorised, for whole batches from Python; never per event. Kernels check only what they must (see `engine.faults`).
Called by `Engine.step` and by drivers that take rows from users; tapes of `store` were checked when they were made.
"""

from __future__ import annotations

import numpy as np

from tercel.errors import DataError
from tercel.model.events import BAR, CLEAR, KIND_NAMES, LEVEL, LOCAL, QUOTE, TRADE

__all__ = ["check_rows"]

_CHUNK = 1 << 18
_KNOWN = np.zeros(256, bool)
_KNOWN[list(KIND_NAMES)] = True


def check_rows(rows: np.ndarray, now_ns: int = 0, first: int = 0) -> None:
    """Raise DataError at the first malformed row of (n,) EVENT.

    now_ns: no row the strategy sees may be earlier. first: the number of rows[0] in messages.
    """
    last_ns = now_ns
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        _check_values(part, first + start)
        last_ns = _check_order(part, first + start, last_ns)


def _check_order(rows: np.ndarray, first: int, last_ns: int) -> int:
    """Local times of the rows the strategy sees must not fall. Returns the last."""
    seen = rows["flags"] & LOCAL != 0
    every = bool(seen.all())
    times = rows["ts_recv"] if every else rows["ts_recv"][seen]
    if len(times) == 0:
        return last_ns
    if times[0] < last_ns:
        _backwards(first + (0 if every else int(np.flatnonzero(seen)[0])), int(times[0]), last_ns)
    falls = times[1:] < times[:-1]
    if falls.any():
        k = int(np.argmax(falls)) + 1
        at = k if every else int(np.flatnonzero(seen)[k])
        _backwards(first + at, int(times[k]), int(times[k - 1]))
    return int(times[-1])


def _backwards(row: int, found: int, before: int) -> None:
    raise DataError(
        f"row {row}: time runs backwards, ts_recv is {found} ns after {before} ns; sort the rows by time, or correct "
        f"the clock skew when importing"
    )


def _check_values(rows: np.ndarray, first: int) -> None:
    kind, side = rows["kind"], rows["side"]
    market = (kind == LEVEL) | (kind == TRADE) | (kind == QUOTE) | (kind == BAR)
    wrong = (
        (~_KNOWN[kind], "has a kind that does not exist", "kind"),
        ((kind == LEVEL) & (side != 1) & (side != -1), "is a book level of neither side, 1 bid or -1 ask", "side"),
        ((kind == CLEAR) & ((side < -1) | (side > 1)), "clears a side that is not 1, -1 or 0 for both", "side"),
        (((kind == LEVEL) | (kind == TRADE) | (kind == BAR)) & (rows["px"] <= 0), "has no positive price", "px"),
        (market & (rows["qty"] < 0), "has a negative size", "qty"),
    )
    for bad, what, field in wrong:
        if bad.any():
            i = int(np.argmax(bad))
            raise DataError(
                f"row {first + i}: {what}, {field} is {int(rows[field][i])}; correct the rows or leave it out"
            )
