"""A tape as a venue connection: its rows arrive at their receipt times, whoever drives it.

The live path runs over recorded markets through this: under `live.paper` for fills, with a clock of the tape's time.
It has no account and refuses orders. Nothing here waits or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from tercel.model.events import ACK, EVENT, EXCH, LOCAL
from tercel.model.instrument import Instrument
from tercel.store.channels import channel_mask, select_channels
from tercel.store.tape import Tape
from tercel.venues.contract import NEVER, VenueConnection

__all__ = ["TapeSource"]

_PIECE_ROWS = 1 << 16


class TapeSource(VenueConnection):
    """Plays a tape's rows, in order of receipt.

    rows: blocks of (n,) EVENT rows in order of ts_recv. instruments: by the rows' index. Rows only the venue saw (flag
    EXCH without LOCAL) are left out. start_ns, end_ns: the tape's span, set by `of`. is_over: all are played.
    """

    def __init__(self, name: str, instruments: Mapping[int, Instrument], rows: Iterable[np.ndarray]) -> None:
        super().__init__(name, instruments)
        self.start_ns = self.end_ns = 0
        self.is_over = False
        self._blocks: Iterator[np.ndarray] = iter(rows)
        self._block = np.zeros(0, EVENT)
        self._at = 0
        self._times: np.ndarray = np.zeros(0, np.int64)

    @classmethod
    def of(cls, tape: Tape, channels: Iterable[str] | None = None) -> TapeSource:
        """A source of an open tape. channels: which to use; by default what a backtest uses."""
        wanted = select_channels(tape.meta.channels, channels)

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, len(tape), _PIECE_ROWS):
                rows = tape.received(start, _PIECE_ROWS)
                yield rows[channel_mask(rows["kind"], wanted)]

        made = cls(tape.path.name, dict(enumerate(tape.instruments)), blocks())
        made.start_ns, made.end_ns = tape.meta.start_ns, tape.meta.end_ns
        return made

    def open(self, now_ns: int) -> None:
        """Begin; everything is in step at once."""
        self.is_live = True
        self._next_block()

    def close(self, now_ns: int) -> None:
        """End; no more rows."""
        self.is_live = False
        self.is_over = True
        self.next_wake_ns = NEVER

    def _next_block(self) -> None:
        for block in self._blocks:
            if len(block):
                self._block, self._at, self._times = block, 0, np.ascontiguousarray(block["ts_recv"])
                self.next_wake_ns = int(self._times[0])
                return
        self.is_over = True
        self.next_wake_ns = NEVER

    def on_wake(self, now_ns: int) -> None:
        """Give every row received by `now_ns`."""
        while self.next_wake_ns <= now_ns:
            end = int(np.searchsorted(self._times, now_ns, side="right"))
            rows = self._block[self._at : end]
            rows = rows[rows["flags"] & (EXCH | LOCAL) != EXCH]
            first, n = self.rows.n, len(rows)
            self.rows.reserve(n)
            mine = self.rows.rows[first : first + n]
            mine[:] = rows
            mine["flags"] = (rows["flags"] & ~np.int16(EXCH)) | LOCAL
            mine["ts_recv"] = np.maximum(rows["ts_recv"], now_ns)
            self.rows.n += n
            self.rows.has_other |= bool((rows["kind"] >= ACK).any())
            self._at = end
            if end < len(self._block):
                self.next_wake_ns = int(self._times[end])
            else:
                self._next_block()

    # --- no channels and no account -----------------------------------------------------------------------------

    def on_connected(self, channel: str, now_ns: int) -> None:
        """A tape has no channels."""

    def on_disconnected(self, channel: str, now_ns: int, why: str) -> None:
        """A tape has no channels."""

    def on_message(self, channel: str, data: bytes | bytearray | memoryview, now_ns: int) -> None:
        """A tape has no channels."""

    def on_response(self, request_id: int, status: int, headers: Mapping[str, str], body: bytes, now_ns: int) -> None:
        """A tape asks for nothing."""

    def on_failure(self, request_id: int, why: str, was_sent: bool, now_ns: int) -> None:
        """A tape asks for nothing."""

    def send_commands(self, commands: np.ndarray, now_ns: int) -> None:
        """A tape takes no orders: put a `PaperConnection` over it."""
        raise TypeError("a tape takes no orders; trade it through live.paper.PaperConnection")

    def ask_report(self, instruments: Sequence[int], order_ids: Sequence[int], since_ns: int, now_ns: int) -> None:
        """A tape has no account: put a `PaperConnection` over it."""
        raise TypeError("a tape has no account; trade it through live.paper.PaperConnection")
