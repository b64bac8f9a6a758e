"""The market half of a connection: messages to rows, books kept in step, snapshots asked for.

`MarketFeed` holds what the streams have said: the scanner's memory, each instrument's `DepthSync`. It writes rows into
the connection's buffer and says which instruments need a snapshot; requests and sockets are `connection`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tercel.jit import address_of
from tercel.model.events import CLEAR, EVENT, LAST, LEVEL, LOCAL, SNAPSHOT
from tercel.model.instrument import Instrument
from tercel.model.rowbuffer import RowBuffer
from tercel.venues.binance.decode import MarketDecoder
from tercel.venues.binance.encoding import scale
from tercel.venues.binance.lexing import GRID, LOST, SCAN, symbol_number
from tercel.venues.binance.scan import scan_message
from tercel.venues.binance.sync import APPLY, GAP, OLD, DepthSync

__all__ = ["MarketFeed"]

_ROW = EVENT.itemsize
_NAME_MAX = 32


class MarketFeed:
    """Market data of the instruments of one connection.

    rows: the connection's buffer. syncs: instrument -> its book's state. n_scanned, n_decoded: messages that the
    compiled scanner took, and that went to msgspec. uses_scanner: False sends every message to msgspec. window: memory
    of `n_window` bytes that a message is copied to; scan_at: address of the SCAN record. Both may move with a message
    that is longer than any before.
    """

    def __init__(self, instruments: Mapping[int, Instrument], rows: RowBuffer, is_spot: bool) -> None:
        self.rows = rows
        self.instruments = dict(instruments)
        self.syncs = {i: DepthSync(is_spot) for i in instruments}
        self.decoder = MarketDecoder({x.symbol: (i, x) for i, x in instruments.items()}, is_spot)
        self.n_scanned = 0
        self.n_decoded = 0
        self.n_gaps = 0
        self.uses_scanner = True
        self._is_spot = is_spot
        self._at = {i: at for at, i in enumerate(instruments)}
        self._grids = np.zeros(len(instruments), GRID)
        for i, at in self._at.items():
            self._grids[at] = _grid(i, instruments[i])
        self._scan = np.zeros(1, SCAN)
        self._call = scan_message.call
        self._make_room(1 << 16)

    def _make_room(self, n: int) -> None:
        """Memory of a known address that a message is copied to: some tens of ns, where asking any buffer for its
        address costs several hundred."""
        self._memory = np.zeros(n, np.uint8)
        self.window: memoryview = self._memory.data
        self.n_window = n
        scan = self._scan[0]
        scan["text"], scan["grids"], scan["n_grids"] = (
            address_of(self._memory),
            address_of(self._grids),
            len(self._grids),
        )
        scan["is_spot"] = int(self._is_spot)
        self.scan_at = address_of(self._scan)

    @property
    def is_in_step(self) -> bool:
        """Every book is whole."""
        return all(sync.is_in_step for sync in self.syncs.values())

    def wanting(self) -> list[int]:
        """Instruments whose events have come and whose snapshot has not."""
        return [i for i, sync in self.syncs.items() if sync.wants_snapshot]

    def message(self, data: bytes | bytearray | memoryview, now_ns: int) -> bool:
        """Decode one message into rows. True where a book's state may have changed: look at `wanting`, `is_in_step`.

        Raises DataError or UnitError, with nothing written, for what the venue cannot have meant.
        """
        n = len(data)
        rows = self.rows
        if self.uses_scanner:
            if n > self.n_window:
                self._make_room(2 * n)
            filled = rows.n
            if filled + (n >> 3) + 2 > rows.capacity:
                # A row takes at least eight bytes of text.
                rows.reserve((n >> 3) + 2)
            self.window[:n] = data
            found = self._call(self.scan_at, n, rows.address + filled * _ROW, now_ns)
            self.n_scanned += 1
            if found >= 0:
                rows.n = filled + found
                return False
            if found == LOST:
                return self._lost(now_ns)
            self.n_scanned -= 1
        decoded = self.decoder.message(data, now_ns)
        self.n_decoded += 1
        if decoded.kind == LEVEL:
            return self._depth(decoded.i, decoded.first, decoded.last, decoded.previous, decoded.rows, now_ns)
        self._append(decoded.rows)
        return False

    def _lost(self, now_ns: int) -> bool:
        """A scanned depth event that does not follow, or whose book is not in step: its rows stand after the filled."""
        scan = self._scan[0]
        i = int(self._grids["instrument"][scan["i_grid"]])
        rows = self.rows.rows[self.rows.n : self.rows.n + int(scan["n_rows"])].copy()
        return self._depth(i, int(scan["first"]), int(scan["last"]), int(scan["previous"]), rows, now_ns)

    def _depth(self, i: int, first: int, last: int, previous: int, rows: np.ndarray, now_ns: int) -> bool:
        sync = self._caught_up(i)
        was_in_step = sync.is_in_step
        verdict = sync.event(first, last, previous, rows)
        if verdict == OLD:
            return False
        if verdict == GAP:
            self.n_gaps += 1
            self.begin_again(i, now_ns)
            sync.event(first, last, previous, rows)
            return True
        if verdict == APPLY:
            self._append(rows)
        self._follow(i)
        return sync.is_in_step != was_in_step or sync.wants_snapshot

    def begin_again(self, i: int, now_ns: int) -> None:
        """Forget a book: a CLEAR row for both sides, and a snapshot is needed. No row where nothing was known."""
        sync = self._caught_up(i)
        if sync.last >= 0 or sync.is_in_step:
            flags = LOCAL | LAST | SNAPSHOT
            self.rows.add(CLEAR, i, now_ns, now_ns, id=max(sync.last, 0), flags=flags)
        sync.begin_again()
        self._follow(i)

    def snapshot(self, i: int, data: bytes, now_ns: int) -> bool:
        """Take a REST depth snapshot. False where it is older than the stream, and another is needed."""
        sync = self.syncs[i]
        found = self.decoder.snapshot(self.instruments[i], data)
        rows = sync.snapshot(i, found, now_ns)
        if rows is None:
            return False
        self._append(rows)
        self._follow(i)
        return True

    def _caught_up(self, i: int) -> DepthSync:
        """An instrument's book with what the scanner applied since."""
        sync = self.syncs[i]
        if sync.is_in_step:
            sync.last = int(self._grids["last"][self._at[i]])
        return sync

    def _follow(self, i: int) -> None:
        """Let the scanner know what the slow path decided."""
        sync = self.syncs[i]
        grid = self._grids[self._at[i]]
        grid["in_step"], grid["last"] = int(sync.is_in_step), sync.last

    def _append(self, rows: np.ndarray) -> None:
        n = len(rows)
        self.rows.reserve(n)
        self.rows.rows[self.rows.n : self.rows.n + n] = rows
        self.rows.n += n


def _grid(i: int, instrument: Instrument) -> np.ndarray:
    name = instrument.symbol.encode()
    grid = np.zeros((), GRID)
    # A longer name, or one beyond ASCII, is never found by the scanner and goes to msgspec.
    if len(name) <= _NAME_MAX:
        grid["key"], grid["n_name"] = symbol_number(name), len(name)
        grid["name"][: len(name)] = np.frombuffer(name, np.uint8)
    for what, step in (("px", instrument.tick_size), ("qty", instrument.lot_size)):
        grid[f"{what}_num"], grid[f"{what}_digits"] = scale(step)
    grid["instrument"], grid["last"] = i, -1
    return grid
