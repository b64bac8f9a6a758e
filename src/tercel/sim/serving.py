"""The simulated venue served by hand: market rows and requests go in, answers come out, no engine takes part.

The rules are those of `exchange`, `entering` and `requests`, without latency: what is asked at a time happens then.
Called by the local venue when a tape feeds it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.config import Capacity
from tercel.jit import address_of, entry, record, records
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT, EXCH
from tercel.model.instrument import Instrument
from tercel.sim.entering import wake
from tercel.sim.exchange import market_row
from tercel.sim.layout import RING_MAX, VENUE
from tercel.sim.market_open import Row
from tercel.sim.requests import request
from tercel.sim.venue import SimulatedVenue, VenueRules

__all__ = ["ServedVenue", "serve_command", "serve_rows"]

#: Answers one row may cause at most: every resting order fills.
_HALF = RING_MAX // 2


@entry
def serve_rows(venue: int, rows: int, i: int, n: int, ts_end: int) -> int:
    """Apply rows[i:n] that the venue processes before `ts_end`. Returns the index of the first row not applied.

    Stops early when half of the answers' ring is filled: take them and call again.
    """
    head = record(venue, VENUE)
    events = records(rows, n, EVENT)
    states, own = venue + head.off_states, venue + head.off_own
    books, book_stride = venue + head.off_books, head.book_stride
    while i < n and head.response_tail - head.response_head < _HALF:
        row = events[i]
        if row.flags & EXCH != 0:
            if row.ts_exch >= ts_end:
                break
            if market_row(venue, states, books, book_stride, own, row) != 0:
                wake(venue, row.ts_exch)
        i += 1
    return i


@entry
def serve_command(venue: int, command: int, ts: int) -> int:
    """A COMMAND reaches the venue at time `ts`. Returns the number of answers that wait to be taken."""
    head = record(venue, VENUE)
    request(venue, record(command, COMMAND), 0, ts)
    wake(venue, ts)
    return int(head.response_tail - head.response_head)


class ServedVenue:
    """A simulated venue of some instruments, fed row by row."""

    def __init__(self, instruments: list[Instrument], queue: str = "power") -> None:
        self._venue = SimulatedVenue(instruments, VenueRules(queue=queue, consume=True), Capacity())
        self._head = self._venue.head
        self._answers = self._venue.part("responses", EVENT, RING_MAX)
        self._command: Any = np.zeros(1, COMMAND)
        self._command_at = address_of(self._command)

    def apply(self, rows: np.ndarray, i: int, ts_end_ns: int) -> tuple[int, list[Row]]:
        """Apply rows from `i` on, up to `ts_end_ns`; the index after them, and the answers they brought.

        rows: (n,) EVENT in order of `ts_exch`, contiguous.
        """
        found: list[Row] = []
        at, n = address_of(rows), len(rows)
        while True:
            after = serve_rows.call(self._venue.base, at, i, n, ts_end_ns)
            answers = self._take()
            found += answers
            if not answers:
                return after, found
            i = after

    def send(
        self, kind: int, order_id: int, instrument: int, ts_ns: int, *, side: int = 0, px: int = 0, qty: int = 0,
        type: int = 0, tif: int = 0,
    ) -> list[Row]:  # fmt: skip
        """A request at venue time `ts_ns`; the answers. kind, type, tif: of `model.commands`."""
        self._command[0] = (0, ts_ns, order_id, px, qty, 0, 0, kind, side, type, tif, 0, instrument)
        serve_command.call(self._venue.base, self._command_at, ts_ns)
        return self._take()

    def _take(self) -> list[Row]:
        first, last = int(self._head["response_head"]), int(self._head["response_tail"])
        if first == last:
            return []
        self._head["response_head"] = last
        start, end = first % RING_MAX, last % RING_MAX
        answers = self._answers
        if start < end:
            taken: list[Row] = answers[start:end].tolist()
            return taken
        wrapped: list[Row] = answers[start:].tolist() + answers[:end].tolist()
        return wrapped
