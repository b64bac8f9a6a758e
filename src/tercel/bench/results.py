"""What one side of a question hands back, and how two sides are compared before any speed is spoken of.

A `Contestant` is one engine made ready for one question: it can be run again and again, each run timed by itself, and
tells its outcome. Peers and our own side both make them; `timing` races them and `run` compares and tabulates.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np

__all__ = ["FILL", "SENT", "Contestant", "Outcome", "difference"]

#: One fill. order: id in the question's own counting, 1, 2, 3 ... as sent. ts_exch: int64 ns, when the venue filled it
#: (the bar's index for questions on bars). ts_recv: int64 ns, when the strategy knew. px: int64 ticks. qty: int64
#: lots. side: 1 buy, -1 sell.
FILL = np.dtype([("order", "i8"), ("ts_exch", "i8"), ("ts_recv", "i8"), ("px", "i8"), ("qty", "i8"), ("side", "i8")])

#: One new order as the strategy sent it. ts: int64 ns, local time. px: int64 ticks, 0 for market orders.
SENT = np.dtype([("order", "i8"), ("ts", "i8"), ("px", "i8"), ("qty", "i8"), ("side", "i8")])


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to. fills: (n,) FILL in order of ts_exch, then order. position: final, lots.

    balance: final cash from fills without fees, quote currency. fee: paid, quote currency. sent: (m,) SENT, every new
    order; empty where an engine does not tell.
    """

    fills: np.ndarray
    position: int
    balance: float
    fee: float
    sent: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, SENT))


class Contestant(Protocol):
    """One engine, ready for one question."""

    @property
    def name(self) -> str:
        """Engine and version, and the mode where it has several."""
        ...

    @property
    def n_events(self) -> int:
        """Rows of input one run works through."""
        ...

    def once(self) -> float:
        """Run from start to end; seconds spent in the engine, its making and the results' reading left out."""
        ...

    def outcome(self) -> Outcome:
        """Run once more, untimed, with everything recorded."""
        ...


def _first_difference(ours: np.ndarray, theirs: np.ndarray, what: str) -> str:
    """Names the first row in which two tables differ, or "" when they are equal."""
    n = min(len(ours), len(theirs))
    unequal = np.flatnonzero(ours[:n] != theirs[:n])
    if len(unequal):
        i = int(unequal[0])
        return (
            f"{what} {i} differs: ours {_words(ours[i])}, theirs {_words(theirs[i])} "
            f"({len(unequal)} of {n} differ; ours {len(ours)}, theirs {len(theirs)} in all)"
        )
    if len(ours) != len(theirs):
        longer, side = (ours, "ours") if len(ours) > n else (theirs, "theirs")
        return f"{what}s: ours {len(ours)}, theirs {len(theirs)}; {side} goes on with {_words(longer[n])}"
    return ""


def _words(row: np.void) -> str:
    return ", ".join(f"{name}={int(row[name])}" for name in row.dtype.names or ())


def difference(ours: Outcome, theirs: Outcome) -> str:
    """Why two outcomes are not the same, in one sentence; "" when they are.

    Orders sent (where both tell), fills, and the final position must be equal exactly. Cash and fees are sums of
    float64 on the peers' side and may differ by 1e-6 of the currency plus 1e-9 of their size.
    """
    if len(ours.sent) and len(theirs.sent):
        found = _first_difference(ours.sent, theirs.sent, "order sent")
        if found:
            return found
    found = _first_difference(ours.fills, theirs.fills, "fill")
    if found:
        return found
    if ours.position != theirs.position:
        return f"final position: ours {ours.position} lots, theirs {theirs.position}"
    for what in ("balance", "fee"):
        mine, other = getattr(ours, what), getattr(theirs, what)
        if not abs(mine - other) <= 1e-6 + 1e-9 * abs(other):
            return f"final {what}: ours {mine!r}, theirs {other!r}"
    return ""
