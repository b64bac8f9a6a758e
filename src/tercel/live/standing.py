"""How the venue's word about our account is compared with our own books: the seam between driver and reconciliation.

The driver asks connections for reports and lets `Standing` judge them; the rules are those of `orders.reconcile`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np

from tercel.engine.engine import Engine
from tercel.live.link import Link
from tercel.model.account import AccountReport

__all__ = ["Standing", "Verdict"]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a report.

    rows: (n,) EVENT that make our books the venue's, times of receipt set. commands: (n,) COMMAND that are to be sent
    past the engine: cancels of orders of ours that should not be open. unexplained: what no fill accounts for, in
    words; empty when everything agrees. reason: of the halt that the unexplained leads to. is_settled: no order is left
    that the venue has yet to speak of. since_ns: every execution up to this time of the venue is known. notes: what is
    worth a line in a log.
    """

    rows: np.ndarray
    commands: np.ndarray
    unexplained: str = ""
    reason: int = 0
    is_settled: bool = True
    since_ns: int = 0
    notes: tuple[str, ...] = ()


class Standing(Protocol):
    """Judges reports. since_ns: every execution before this time of the venue is known, 0 for a new account."""

    since_ns: int

    def judge(self, engine: Engine, link: Link, report: AccountReport, now_ns: int) -> Verdict:
        """Compare a report with the engine's books."""
        ...
