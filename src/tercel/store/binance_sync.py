"""Whether the depth messages of a Binance stream and its snapshots join without a gap.

The venue's procedure (pages "How to manage a local order book correctly" of developers.binance.com, USD-M futures
market streams and spot web socket streams, as published in November 2026): buffer the stream, fetch a snapshot, drop
buffered events older than its lastUpdateId; the first event used must span lastUpdateId (spot: lastUpdateId + 1), and
from then on an event's pu must be the u before it (spot: its U must be that u plus one), otherwise start anew.

One thing is done differently on purpose. Events older than the snapshot are not dropped when they arrived before it:
they state levels outside the snapshot's 1,000 a side, and since the stream is gapless across the snapshot those levels
are still true. In the public BTCUSDT capture that is one level of 9,597. The snapshot's own range is cleared before it
is applied, so inside it the result is the procedure's. After a gap nothing is known outside the range, and the whole
side is cleared. Called by `binance`; holds ids, no rows.
"""

from __future__ import annotations

from pathlib import Path

from tercel.errors import ConfigError, GapError
from tercel.store.tape import Gap

__all__ = ["DepthSync"]

_GAPS_KEPT = 100


class DepthSync:
    """The ids seen so far. on_gap: "stop" raises GapError at the first gap, "continue" notes it and goes on."""

    def __init__(self, path: Path, spot: bool, on_gap: str) -> None:
        if on_gap not in ("stop", "continue"):
            raise ConfigError(f'on_gap must be "stop" or "continue", found {on_gap!r}')
        self.path = path
        self.gaps: list[Gap] = []
        self.n_gaps = 0
        self.n_stale = 0  #: events that came after a snapshot they are older than, left out
        self.n_older = 0  #: events that came before the first snapshot and are older than it
        self.n_snapshots = 0
        self._spot = spot
        self._stops = on_gap == "stop"
        self._chain_start: int | None = None  # U of the first event since which nothing is missing
        self._last: int | None = None  # u of the last event
        self._snapshot: int | None = None  # lastUpdateId that no event has spanned yet
        self._intact = True  # nothing is missing since the book was last cleared whole
        self._spans: list[int] = []  # u of the events before the first snapshot

    def _gap(self, line: int, expected: int, found: int, what: str) -> None:
        if self._stops:
            raise GapError(
                f"{self.path}, line {line}: {what}: expected id {expected}, found {found}; messages are missing, "
                f"record again, or import across gaps with on_gap=continue"
            )
        self.n_gaps += 1
        self._intact = False
        if len(self.gaps) < _GAPS_KEPT:
            self.gaps.append(Gap(line, expected, found, what))

    def event(self, line: int, first: int, last: int, previous: int | None) -> bool:
        """Check a depth event with ids U, u and pu (None on spot). False when it must not be applied."""
        stale_until = None if self._snapshot is None else self._snapshot - (0 if self._spot else 1)
        if stale_until is not None and last <= stale_until:
            if self._last is None or self._last < last:
                self._last = last
            self.n_stale += 1
            return False
        joins = True
        if self._last is not None:
            if self._spot:
                joins = first == self._last + 1
                expected, found = self._last + 1, first
            else:
                joins = previous == self._last
                expected, found = self._last, -1 if previous is None else previous
            if not joins:
                self._gap(line, expected, found, "depth events do not join")
                self._chain_start = first
        if self._snapshot is not None:
            reach = self._snapshot + (1 if self._spot else 0)
            # A futures event also spans the ids between its pu and its U, which belong to other symbols.
            if first > reach and (previous is None or previous > self._snapshot) and joins:
                self._gap(line, reach, first, "the first depth event after the snapshot begins too late")
            self._snapshot = None
        if self._chain_start is None:
            self._chain_start = first
        self._last = last
        if self.n_snapshots == 0:
            self._spans.append(last)
        return True

    def snapshot(self, line: int, last_update: int) -> bool:
        """Check a snapshot. True when levels outside its range are still known, false when all must be cleared."""
        reach = last_update + (1 if self._spot else 0)
        if self._chain_start is not None and self._chain_start > reach:
            self._gap(line, self._chain_start, last_update, "the snapshot is older than the first depth event")
        if self.n_snapshots == 0:
            self.n_older = sum(1 for last in self._spans if last < reach)
            self._spans.clear()
        self.n_snapshots += 1
        needs_event = self._last is None or self._last < reach
        self._snapshot = last_update if needs_event else None
        intact, self._intact = self._intact, True
        return intact
