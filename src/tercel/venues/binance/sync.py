"""Whether the depth events of one instrument and its snapshot join without a gap.

The venue's procedure (developers.binance.com: spot "WebSocket Streams", section "How to manage a local order book
correctly"; USD-M futures, the page of that name; as published in November 2026): take events from the stream, fetch a
snapshot, leave out events older than its lastUpdateId; the first event used must span lastUpdateId (spot: lastUpdateId
+ 1); from then on an event's pu must be the u before it (futures) or its U the u before it plus one (spot). Else begin
again with a new snapshot. Events older than the first snapshot are still right outside its range, see ADR 10.

Holds ids and rows of the time before the snapshot, no bytes. Called by `market`.
"""

from __future__ import annotations

import numpy as np

from tercel.model.events import BUY, EVENT, LAST, LEVEL, LOCAL, SELL, SNAPSHOT
from tercel.venues.binance.decode import SnapshotRows, snapshot_rows

__all__ = ["APPLY", "GAP", "HOLD", "OLD", "DepthSync"]

#: What to do with a depth event: hand its rows on; keep them until the snapshot; leave it out; begin again.
APPLY, HOLD, OLD, GAP = 0, 1, 2, 3
_MS = 1_000_000
#: Events kept while a snapshot is on its way: minutes of any stream.
_KEPT_MAX = 4096


class DepthSync:
    """One instrument's book and its sequence numbers.

    is_spot: which rule joins events. last: u of the newest event applied or held, -1 before the first. is_in_step: the
    book is whole. is_intact: nothing is missing since the first event, so levels beyond a snapshot are known.
    """

    def __init__(self, is_spot: bool) -> None:
        self.is_spot = is_spot
        self.last = -1
        self.is_in_step = False
        self.is_intact = True
        self.n_gaps = 0
        self._spanned: int | None = None  # lastUpdateId that no event has spanned yet
        self._kept: list[tuple[int, int, int, np.ndarray]] = []  # first, last, previous, rows

    @property
    def wants_snapshot(self) -> bool:
        """Events have come and no snapshot has been taken since the beginning."""
        return not self.is_in_step and self._spanned is None and self.last >= 0

    def begin_again(self) -> None:
        """A gap, or a new connection: nothing before counts, the book is to be cleared."""
        self.last = -1
        self.is_in_step = False
        self.is_intact = False
        self._spanned = None
        self._kept.clear()

    def event(self, first: int, last: int, previous: int, rows: np.ndarray) -> int:
        """Judge a depth event (U, u, pu) with its rows: APPLY, HOLD, OLD or GAP."""
        if self.last >= 0:
            if last <= self.last:
                return OLD
            joins = first <= self.last + 1 if self.is_spot else previous == self.last
            if not joins:
                return self._gap()
        if self._spanned is not None:
            reach = self._spanned + (1 if self.is_spot else 0)
            if last < reach:
                self.last = last
                return OLD
            # A futures event also spans the ids between its pu and its U, which belong to other symbols.
            if first > reach and (self.is_spot or previous > self._spanned):
                return self._gap()
            self._spanned = None
            self.is_in_step = True
        self.last = last
        if self.is_in_step:
            return APPLY
        if len(self._kept) < _KEPT_MAX:
            self._kept.append((first, last, previous, rows.copy()))
        else:
            return self._gap()
        return APPLY if self.is_intact else HOLD

    def _gap(self) -> int:
        self.n_gaps += 1
        return GAP

    def snapshot(self, i: int, found: SnapshotRows, now_ns: int) -> np.ndarray | None:
        """Take a snapshot: the rows that make the book right, or None where it is too old and another is needed."""
        reach = found.last + (1 if self.is_spot else 0)
        newer = [event for event in self._kept if event[1] > found.last]
        if self._kept and self._kept[0][0] > reach and not self._spans(self._kept[0], found.last):
            return None
        exch_ns = found.exch_ns or self._time(found.last) or now_ns
        # What events between ours and the snapshot's did beyond its range nobody will tell: they come as old ones.
        rows = snapshot_rows(i, found, exch_ns, now_ns, self.is_intact and self.last >= found.last)
        again = self._changed(i, found, [event[3] for event in newer])
        if len(again):
            again["ts_exch"], again["ts_recv"], again["id"] = exch_ns, now_ns, self._kept[-1][1]
            rows = np.concatenate([rows, again])
        # With the newest event ending exactly there, the next one must follow it: nothing is left to be spanned.
        if self.last >= found.last:
            self.is_in_step = True
            self._spanned = None
        else:
            self._spanned = found.last
        self._kept.clear()
        self.is_intact = True
        return rows

    def _spans(self, event: tuple[int, int, int, np.ndarray], last: int) -> bool:
        return not self.is_spot and event[2] <= last

    def _time(self, last: int) -> int:
        """Venue time of a snapshot that tells none: after the newest event in it, before the first that is not."""
        times = [(event[1], int(event[3]["ts_exch"][0])) for event in self._kept if len(event[3])]
        inside = [ts for u, ts in times if u <= last]
        outside = [ts for u, ts in times if u > last]
        return inside[-1] if inside else (outside[0] - _MS if outside else 0)

    def _changed(self, i: int, found: SnapshotRows, events: list[np.ndarray]) -> np.ndarray:
        """Levels that events newer than the snapshot had changed before it came, and that it would set back."""
        parts: list[tuple[int, int, int]] = []
        every = np.concatenate(events) if events else np.zeros(0, EVENT)
        for side, levels in ((BUY, found.bids), (SELL, found.asks)):
            stated = dict(levels)
            mine = every[every["side"] == side]
            known = dict(zip(mine["px"].tolist(), mine["qty"].tolist()))
            edge = levels[-1][0] if levels and self.is_intact else None
            parts += [
                (px, qty, side)
                for px, qty in known.items()
                if stated.get(px, 0) != qty and (edge is None or (px >= edge if side == BUY else px <= edge))
            ]
        rows = np.zeros(len(parts), EVENT)
        rows["kind"], rows["flags"], rows["instrument"] = LEVEL, LOCAL | SNAPSHOT, i
        if parts:
            rows["px"], rows["qty"], rows["side"] = np.array(parts, np.int64).T
            rows["flags"][-1] |= LAST
        return rows
