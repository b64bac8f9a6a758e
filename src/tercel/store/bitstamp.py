"""Imports a Bitstamp order log: every order's life (L3), one event a line, `ms event json`, plain or packed.

order_created, order_changed and order_deleted become ADD, CHANGE and DELETE rows under the order's id with the size
that is left, each followed by LEVEL rows of the levels it changed (see `order_levels`); trade becomes a TRADE row. The
log's periodic order_book snapshots are no rows: they are what a book can
be checked against, and `bitstamp_books` yields them with their place among the rows. The log has one clock, its
recorder's, so both times of a row are that. Rows about orders older than the log are kept; a book refuses them by name.

The log does not say who started a trade. Bitstamp reports the two orders of a trade right before it, both smaller by
the traded size, and order ids grow with time: the younger of the two is the aggressor. Where they are not found, the
side follows from the last order_book before it. Called by `imports`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from tercel.errors import DataError, UnitError
from tercel.model.events import ADD, BUY, CHANGE, DELETE, EXCH, LAST, LOCAL, SELL, TRADE, event_rows
from tercel.model.instrument import Instrument
from tercel.store.grid import Grid
from tercel.store.lines import BadLines, Progress, SourceLines
from tercel.store.order_levels import OrderLevels
from tercel.store.tape import Tape, TapeMeta
from tercel.store.writing import finish_tape, spooling

__all__ = ["bitstamp_books", "import_bitstamp"]

_MS = 1_000_000
_BLOCK_ROWS = 1 << 14
_KINDS = {"order_created": ADD, "order_changed": CHANGE, "order_deleted": DELETE}
_COLUMNS = ("ts_exch", "kind", "side", "id")


class _Order(msgspec.Struct):
    price: float
    amount: float
    id: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
    order_type: Annotated[int, msgspec.Meta(ge=0, le=1)]


class _Trade(msgspec.Struct):
    price: float
    amount: float
    id: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]


class _Book(msgspec.Struct):
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class _Line(msgspec.Struct, frozen=True):
    """One event: its line number, time, name and payload."""

    number: int
    ts_ns: int
    name: str
    payload: _Order | _Trade | _Book


class _Aggressors:
    """Finds which side started a trade from the orders that shrank just before it."""

    def __init__(self) -> None:
        self.n_guessed = 0
        self._left: dict[int, float] = {}
        self._shrunk: deque[tuple[int, int, float | None, float]] = deque(maxlen=8)  # id, side, by how much, price
        self._bid, self._ask = 0.0, 0.0

    def order(self, name: str, order: _Order, side: int) -> None:
        """Take note of an order event."""
        before = self._left.get(order.id)
        if name == "order_created":
            self._left[order.id] = order.amount
            return
        by = None if before is None else before - order.amount
        if name == "order_deleted":
            self._left.pop(order.id, None)
        else:
            self._left[order.id] = order.amount
        if by is None or by > 0:
            self._shrunk.append((order.id, side, by, order.price))

    def book(self, book: _Book) -> None:
        """Take note of the best prices."""
        self._bid = book.bids[0][0] if book.bids else 0.0
        self._ask = book.asks[0][0] if book.asks else 0.0

    def side(self, trade: _Trade) -> int:
        """BUY or SELL, whoever took."""
        close = [
            (order, side)
            for order, side, by, _ in self._shrunk
            if by is None or abs(by - trade.amount) < 5e-9  # sizes are multiples of 1e-8
        ]
        if len(close) >= 2 and close[-1][1] != close[-2][1]:
            return max(close[-2:])[1]
        self.n_guessed += 1
        return BUY if abs(trade.price - self._ask) <= abs(trade.price - self._bid) else SELL


def _events(lines: SourceLines, bad_lines: BadLines) -> Iterator[_Line]:
    """The log's events in order; bad lines are reported or counted."""
    orders = msgspec.json.Decoder(_Order, strict=False)
    trades = msgspec.json.Decoder(_Trade, strict=False)
    books = msgspec.json.Decoder(_Book, strict=False)
    decoders: dict[str, Any] = dict.fromkeys(_KINDS, orders) | {"trade": trades, "order_book": books}
    last_ns = 0
    for first, block in lines:
        for number, text in enumerate(block, first):
            if not text.strip():
                continue
            stamp, _, rest = text.partition(b" ")
            name, _, body = rest.partition(b" ")
            decoder = decoders.get(name.decode(errors="replace"))
            if decoder is None or not stamp.isdigit() or len(stamp) != 13:
                found = text[:40].decode(errors="replace")
                bad_lines.bad(number, "unknown_event", f"expected `ms event json`, found {found!r}")
                continue
            ts_ns = int(stamp) * _MS
            if ts_ns < last_ns:
                what = f"time runs backwards: {ts_ns // _MS} ms after {last_ns // _MS} ms"
                bad_lines.bad(number, "time_backwards", what)
                continue
            try:
                payload = decoder.decode(body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                bad_lines.bad(number, "malformed_message", f"the event's JSON is not what the log holds: {error}")
                continue
            last_ns = ts_ns
            yield _Line(number, ts_ns, name.decode(), payload)


class _Rows:
    """Events on their way to rows, a block at a time."""

    def __init__(self, px_grid: Grid, qty_grid: Grid, bad_lines: BadLines) -> None:
        self._grids = px_grid, qty_grid
        self._bad = bad_lines
        self._levels = OrderLevels()
        self._heads: list[tuple[int, int, int, int]] = []
        self._numbers: list[tuple[float, float]] = []
        self._lines: list[int] = []

    def __len__(self) -> int:
        return len(self._heads)

    def add(self, line: _Line, kind: int, side: int, number: int, px: float, qty: float) -> None:
        self._heads.append((line.ts_ns, kind, side, number))
        self._numbers.append((px, qty))
        self._lines.append(line.number)

    def take(self) -> np.ndarray:
        """All rows so far, (n,) EVENT, with their levels and without those whose numbers are bad."""
        rows = event_rows(len(self._heads))
        if len(rows) == 0:
            return rows
        heads = np.array(self._heads, np.int64)
        numbers = np.array(self._numbers, np.float64)
        for i_column, name in enumerate(_COLUMNS):
            rows[name] = heads[:, i_column]
        rows["ts_recv"] = rows["ts_exch"]
        rows["flags"] = EXCH | LOCAL | LAST
        rows["px"], bad_px = self._grids[0].steps(numbers[:, 0])
        rows["qty"], bad_qty = self._grids[1].steps(numbers[:, 1])
        bad_px |= numbers[:, 0] == 0
        for i_row in np.flatnonzero(bad_px | bad_qty):
            column = 0 if bad_px[i_row] else 1
            value = float(numbers[i_row, column])
            what = self._grids[column].complaint(value) if value else "price is 0, expected more"
            self._bad.bad(self._lines[i_row], "off_grid", what, UnitError)
        self._heads, self._numbers, self._lines = [], [], []
        good: np.ndarray = rows[~(bad_px | bad_qty)]
        return self._levels.expand(good)


def import_bitstamp(
    path: str | Path,
    out: str | Path,
    *,
    symbol: str = "BTCUSD",
    tick: Decimal | str | float | None = "0.01",
    lot: Decimal | str | float | None = "0.00000001",
    on_bad_line: str = "stop",
    progress: Progress | None = None,
) -> Tape:
    """Import an order log into the tape `out` and open it.

    tick, lot: the grids. on_bad_line: "stop" or "skip" (and count). progress: called with compressed bytes done and in
    all. Raises DataError or UnitError naming file and line; nothing is left at `out` then.
    """
    source = Path(path)
    bad_lines = BadLines(source, on_bad_line)
    lines = SourceLines(source, bad_lines, progress)
    px_grid, qty_grid = Grid(tick or "0.01", "price", "1e-10"), Grid(lot or "0.00000001", "size", "1e-8")
    messages: Counter[str] = Counter()
    aggressors = _Aggressors()
    with spooling(Path(out)) as spool:
        rows = _Rows(px_grid, qty_grid, bad_lines)
        for line in _events(lines, bad_lines):
            messages[line.name] += 1
            payload = line.payload
            if isinstance(payload, _Order):
                side = BUY if payload.order_type == 0 else SELL
                aggressors.order(line.name, payload, side)
                rows.add(line, _KINDS[line.name], side, payload.id, payload.price, payload.amount)
            elif isinstance(payload, _Trade):
                rows.add(line, TRADE, aggressors.side(payload), payload.id, payload.price, payload.amount)
            else:
                aggressors.book(payload)
            if len(rows) >= _BLOCK_ROWS:
                spool.append(rows.take())
        spool.append(rows.take())
        if not spool.n_rows:
            raise DataError(f"{source} holds no Bitstamp order event: wrong format or empty file")
        notes = ["one clock: both times of a row are the recorder's"]
        if aggressors.n_guessed:
            notes.append(f"{aggressors.n_guessed} trades without a clear aggressor: side from the book before them")
        instrument = Instrument(
            symbol=symbol, tick_size=px_grid.step, lot_size=qty_grid.step, venue="bitstamp", kind="spot",
            base=symbol[:3], quote=symbol[3:],
        )  # fmt: skip
        meta = TapeMeta(
            instruments=[instrument], source=source.name, source_sha256=lines.sha256, format="bitstamp-l3",
            messages=dict(messages), skipped=bad_lines.skipped, notes=notes,
        )  # fmt: skip
        return finish_tape(spool, meta)


def bitstamp_books(
    path: str | Path, *, tick: Decimal | str | float = "0.01", lot: Decimal | str | float = "0.00000001"
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The log's periodic order books, to check an L3 book against.

    Yields (number of the tape's order and trade rows before it, bids, asks): each side (k, 2) int64, ticks and lots,
    best first.
    Positions hold for a tape imported without skipped lines. Raises DataError or UnitError naming file and line.
    """
    source = Path(path)
    bad_lines = BadLines(source, "stop")
    px_grid, qty_grid = Grid(tick, "price", "1e-10"), Grid(lot, "size", "1e-8")
    n_rows = 0
    for line in _events(SourceLines(source, bad_lines), bad_lines):
        if not isinstance(line.payload, _Book):
            n_rows += 1
            continue
        sides = []
        for levels in (line.payload.bids, line.payload.asks):
            numbers = np.array(levels, np.float64).reshape(-1, 2)
            px, bad_px = px_grid.steps(numbers[:, 0])
            qty, bad_qty = qty_grid.steps(numbers[:, 1])
            if bad_px.any() or bad_qty.any():
                raise UnitError(f"{source}, line {line.number}: the order book has a price or size off its grid")
            sides.append(np.stack([px, qty], axis=1))
        yield n_rows, sides[0], sides[1]
