"""Looks EVENT rows through before an engine sees them: what would corrupt its state is refused by row and name.

Vectorised, for whole batches from Python; never per event. Kernels check only what they must (see `engine.faults`).
Called by `Engine.step` and by drivers that take rows from users, `sim.rows` with a second clock; tapes of `store` were
checked when they were made.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tercel.errors import DataError
from tercel.model.events import BAR, CLEAR, FUNDING, KIND_NAMES, LEVEL, LOCAL, QUOTE, TRADE

__all__ = ["check_clock", "check_rows", "check_values", "in_pieces"]

_CHUNK = 1 << 18
_KNOWN = np.zeros(256, bool)
_KNOWN[list(KIND_NAMES)] = True


def check_rows(rows: np.ndarray, now_ns: int = 0, first: int = 0) -> None:
    """Raise DataError at the first malformed row of (n,) EVENT.

    now_ns: no row the strategy sees may be earlier. first: the number of rows[0] in messages.
    """
    last_ns = now_ns
    for start, part in in_pieces(rows):
        check_values(part, first + start)
        hint = "sort the rows by time, or correct the clock skew when importing"
        last_ns = check_clock(part, first + start, LOCAL, "ts_recv", last_ns, hint)


def in_pieces(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Where each piece of the rows begins, and the piece: looking at rows takes memory as a piece does, not as all."""
    for start in range(0, len(rows), _CHUNK):
        yield start, rows[start : start + _CHUNK]


def check_clock(rows: np.ndarray, first: int, flag: int, clock: str, last_ns: int, hint: str) -> int:
    """Times by `clock`, a field, must not fall over the rows with `flag`, nor begin before `last_ns`. Returns the last.

    hint: what the message advises.
    """
    seen = rows["flags"] & flag != 0
    every = bool(seen.all())
    times = rows[clock] if every else rows[clock][seen]
    if len(times) == 0:
        return last_ns
    falls = times[1:] < times[:-1]
    if times[0] < last_ns:
        k, before_ns = 0, last_ns
    elif falls.any():
        k = int(np.argmax(falls)) + 1
        before_ns = int(times[k - 1])
    else:
        return int(times[-1])
    at = k if every else int(np.flatnonzero(seen)[k])
    raise DataError(f"row {first + at}: time runs backwards, {clock} is {times[k]} ns after {before_ns} ns; {hint}")


def check_values(rows: np.ndarray, first: int) -> None:
    """Raise DataError at a row of no kind, of a side that its kind has not, without a sound price or size."""
    kind, side = rows["kind"], rows["side"]
    market = (kind >= LEVEL) & (kind <= FUNDING)
    quoted = kind == QUOTE
    wrong = (
        (~_KNOWN[kind], "has a kind that does not exist", "kind"),
        ((kind == LEVEL) & (side != 1) & (side != -1), "is a book level of neither side, 1 bid or -1 ask", "side"),
        ((kind == CLEAR) & ((side < -1) | (side > 1)), "clears a side that is not 1, -1 or 0 for both", "side"),
        (((kind == LEVEL) | (kind == TRADE) | (kind == BAR)) & (rows["px"] <= 0), "has no positive price", "px"),
        (quoted & (rows["px"] < 0), "quotes a bid below 0, which is none", "px"),
        (quoted & (rows["arg0"] < 0), "quotes an ask below 0, which is none", "arg0"),
        (market & (rows["qty"] < 0), "has a negative size", "qty"),
    )
    for bad, what, field in wrong:
        if bad.any():
            i = int(np.argmax(bad))
            raise DataError(
                f"row {first + i}: {what}, {field} is {int(rows[field][i])}; correct the rows or leave it out"
            )
