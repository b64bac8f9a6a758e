"""Imports CSV files of bars, trades and quotes, plain or packed in zip, gzip or xz, into tapes.

Bars become BAR rows at the time the bar closes, which is when a strategy can know it; trades TRADE rows; quotes QUOTE
rows, those of quote bars at their close. What a file does not say (columns, time format, a bar's length, grids) is
found out where that is unambiguous and has to be stated where not. Called by `imports`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np

from tercel.errors import ConfigError, DataError, TercelError, UnitError
from tercel.model.events import BAR, BUY, EXCH, LAST, LOCAL, QUOTE, SELL, TRADE, event_rows
from tercel.model.instrument import Instrument
from tercel.store.csv_columns import FIELDS, detect_kind, is_header, resolve_columns
from tercel.store.csv_time import date_in, detect_time_format, period_ns, time_parser
from tercel.store.grid import Grid
from tercel.store.lines import BadLines, Progress, SourceLines, shortened
from tercel.store.tape import Tape, TapeMeta
from tercel.store.writing import finish_tape, spooling

__all__ = ["CsvLayout", "import_csv"]

#: EVENT field of each numeric CSV field, and whether it is a price.
_TARGETS: dict[str, dict[str, tuple[str, bool]]] = {
    "bars": {
        "close": ("px", True), "volume": ("qty", False), "open": ("id", True), "high": ("arg0", True),
        "low": ("arg1", True),
    },
    "trades": {"price": ("px", True), "size": ("qty", False)},
    "quotes": {
        "bid": ("px", True), "bid_size": ("qty", False), "ask": ("arg0", True), "ask_size": ("arg1", False),
    },
}  # fmt: skip
_EVENT_KINDS = {"bars": BAR, "trades": TRADE, "quotes": QUOTE}
_SIDES = {"buy": BUY, "b": BUY, "1": BUY, "bid": BUY, "sell": SELL, "s": SELL, "-1": SELL, "ask": SELL, "a": SELL}
_BOOLS = {"true": SELL, "1": SELL, "false": BUY, "0": BUY}


class CsvLayout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a CSV file is to be read; what is None is found out.

    kind: "bars", "trades" or "quotes". columns: field to header name or 0-based position; fields are time, open, high,
    low, close, volume for bars; time, price, size, side, is_buyer_maker, id, recv for trades; time, bid, bid_size, ask,
    ask_size, recv for quotes. header: whether the first line names columns. time_format: "auto", "s", "ms", "us", "ns",
    "ms_of_day", "iso", "ymd_hm" or a strptime pattern. timezone: IANA name for times without offset. date: YYYYMMDD of
    "ms_of_day" times, else taken from the file's name. period: length of a bar ("1m", or ns), added to its time; for
    bars the commonest distance of times when None. default_size: size of quotes that state none.
    """

    kind: str | None = None
    columns: dict[str, str | int] | None = None
    header: bool | None = None
    delimiter: str = ","
    time_format: str = "auto"
    timezone: str = "UTC"
    date: str | None = None
    period: str | int | None = None
    default_size: Decimal | None = None


class _Reader:
    """One pass over one file: the first block settles the layout, every block becomes rows."""

    def __init__(self, source: Path, layout: CsvLayout, bad_lines: BadLines, grids: tuple[Grid, Grid]) -> None:
        if layout.kind is not None and layout.kind not in FIELDS:
            raise ConfigError(f"kind must be one of {', '.join(FIELDS)}, found {layout.kind!r}")
        self.kind = layout.kind or ""
        self.period = period_ns(layout.period)
        self.guessed: list[str] = []
        self._source, self._layout, self._bad = source, layout, bad_lines
        self._px_grid, self._qty_grid = grids
        self._columns: dict[str, int] = {}
        self._width = 0
        self._quote_bars = False
        self._last_ns = -1
        self._seen_ids = 0

    def _settle(self, first: Sequence[str], second: Sequence[str] | None, member: str) -> bool:
        """Decide the layout from the first lines. Returns whether the first one is a header."""
        layout, where = self._layout, f"{self._source}, line 1"
        has_header = is_header(first) if layout.header is None else layout.header
        header = [name.strip() for name in first] if has_header else None
        example = second if has_header else first
        if example is None:
            raise DataError(f"{self._source} has a header and no rows")
        self._width = len(first)
        self.kind = self.kind or detect_kind(header, self._width, where)
        self._columns = resolve_columns(self.kind, layout.columns, header, self._width, where)
        self._quote_bars = self.kind == "quotes" and header is None and self._width == 11
        day = _day(layout.date) or date_in(member) or date_in(self._source.name)
        text = example[self._columns["time"]] if self._columns["time"] < len(example) else ""
        found = detect_time_format(text, day) if layout.time_format == "auto" else layout.time_format
        if found is None:
            raise DataError(
                f"{self._source}, line {2 if has_header else 1}: cannot tell the format of time {shortened(text)!r}: "
                f"state it with time_format=, for example %m/%d/%Y %H:%M"
            )
        if self._quote_bars:
            self.guessed.append("quote bars: the quote is the one at the bar's close")
        self._parse_times = time_parser(found, layout.timezone, day)
        return has_header

    def read(self, lines: SourceLines) -> Iterator[np.ndarray]:
        """(n,) EVENT rows of each block."""
        settled = False
        for first_line, block in lines:
            texts = [text.rstrip(b"\r").decode("utf-8-sig", errors="replace") for text in block]
            kept = [(line, text) for line, text in enumerate(texts, first_line) if text.strip()]
            records = [(line, self._fields(line, text)) for line, text in kept]
            if not records:
                continue
            if not settled and not records[0][1]:
                raise DataError(f"{self._source}, line {records[0][0]}: the first line cannot be taken apart")
            if not settled:
                settled = True
                if self._settle(records[0][1], records[1][1] if len(records) > 1 else None, lines.member):
                    records = records[1:]
            yield self._rows(records)

    def _fields(self, line: int, text: str) -> list[str]:
        """The fields of one line; quoted ones may hold the delimiter, not a line end."""
        if '"' not in text:
            return text.split(self._layout.delimiter)
        try:
            return next(csv.reader([text], delimiter=self._layout.delimiter, strict=True))
        except (csv.Error, StopIteration) as error:
            self._bad.bad(line, "bad_quoting", f"cannot be taken apart: {error}")
            return []

    def _rows(self, records: list[tuple[int, list[str]]]) -> np.ndarray:
        records = [record for record in records if self._has_width(*record)]
        if not records:
            return event_rows(0)
        n = len(records)
        rows, complaints = event_rows(n), _Complaints([line for line, _ in records])
        times = self._times("time", records, complaints)
        if self.period is None and (self.kind == "bars" or self._quote_bars):
            self.period = _commonest_step(times, self._source)
            self.guessed.append(f"bar length inferred: {self.period} ns")
        rows["ts_exch"] = times + (self.period or 0)
        rows["ts_recv"] = self._times("recv", records, complaints) if "recv" in self._columns else rows["ts_exch"]
        rows["kind"] = _EVENT_KINDS[self.kind]
        rows["flags"] = EXCH | LOCAL | LAST
        for field, (target, is_price) in _TARGETS[self.kind].items():
            rows[target] = self._numbers(field, is_price, records, complaints)
        if self.kind == "trades":
            self._mark_trades(rows, records, complaints)
        self._check_prices(rows, complaints)
        self._check_order(rows, complaints)
        for line, reason, what, error in complaints.listed():
            self._bad.bad(line, reason, what, error)
        return rows[~complaints.bad]

    def _has_width(self, line: int, fields: list[str]) -> bool:
        if len(fields) == self._width:
            return True
        if not fields:
            return False  # reported where it could not be taken apart
        self._bad.bad(line, "wrong_width", f"expected {self._width} columns, found {len(fields)}")
        return False

    def _times(self, field: str, records: list[tuple[int, list[str]]], complaints: _Complaints) -> np.ndarray:
        place = self._columns[field]
        column = [fields[place] for _, fields in records]
        try:
            return np.array(self._parse_times(column), np.int64)
        except (ValueError, OverflowError):
            pass
        times = np.zeros(len(column), np.int64)
        for i_row, text in enumerate(column):
            try:
                times[i_row] = self._parse_times([text])[0]
            except (ValueError, OverflowError) as error:
                complaints.add(i_row, "bad_time", f"cannot read {field} {text!r}: {error}")
        return times

    def _numbers(
        self, field: str, is_price: bool, records: list[tuple[int, list[str]]], complaints: _Complaints
    ) -> np.ndarray:
        grid = self._px_grid if is_price else self._qty_grid
        place = self._columns.get(field)
        if place is None:
            size = self._layout.default_size
            missing = np.full(len(records), 0.0 if size is None or self.kind != "quotes" else float(size))
            return grid.steps(missing)[0]
        column = [fields[place].strip() for _, fields in records]
        try:
            values = np.array(column).astype(np.float64)
        except ValueError:
            values = np.full(len(column), 1.0)
            for i_row, text in enumerate(column):
                try:
                    values[i_row] = float(text)
                except ValueError:
                    complaints.add(i_row, "bad_number", f"{field} {text!r} is no number")
        steps, bad = grid.steps(values)
        if max(map(len, column)) > 17:
            bad |= np.array([len(text) > 17 and not _kept(text) for text in column])
        if is_price:
            bad |= values == 0
        for i_row in np.flatnonzero(bad).tolist():
            what = f"{field} {column[i_row]}: " + (
                grid.complaint(float(values[i_row])) if values[i_row] else "a price of 0, expected more"
            )
            complaints.add(i_row, "off_grid", what, UnitError)
        return steps

    def _mark_trades(self, rows: np.ndarray, records: list[tuple[int, list[str]]], complaints: _Complaints) -> None:
        for field, words in (("side", _SIDES), ("is_buyer_maker", _BOOLS)):
            place = self._columns.get(field)
            if place is None:
                continue
            for i_row, (_, fields) in enumerate(records):
                side = words.get(fields[place].strip().lower())
                if side is None:
                    complaints.add(i_row, "bad_side", f"{field} {fields[place]!r}: expected one of {', '.join(words)}")
                else:
                    rows["side"][i_row] = side
        place = self._columns.get("id")
        for i_row, (_, fields) in enumerate(records):
            text = fields[place].strip() if place is not None else ""
            rows["id"][i_row] = int(text) if text.isdigit() and len(text) < 19 else self._seen_ids + i_row + 1
        self._seen_ids += len(rows)

    def _check_prices(self, rows: np.ndarray, complaints: _Complaints) -> None:
        if self.kind == "quotes":
            for i_row in np.flatnonzero(rows["px"] > rows["arg0"]).tolist():
                complaints.add(i_row, "crossed_quote", "the quote is crossed: its bid is above its ask")
        elif self.kind == "bars":
            top = np.maximum(rows["px"], rows["id"])
            bottom = np.minimum(rows["px"], rows["id"])
            for i_row in np.flatnonzero((rows["arg0"] < top) | (rows["arg1"] > bottom)).tolist():
                what = "high must be the highest and low the lowest of the bar's open, high, low and close"
                complaints.add(i_row, "impossible_bar", what)

    def _check_order(self, rows: np.ndarray, complaints: _Complaints) -> None:
        """Times of good rows must not run backwards; two bars must not share one."""
        good = np.flatnonzero(~complaints.bad)
        recv = rows["ts_recv"][good]
        lowest = 1 if self.kind == "bars" else 0
        if len(good) == 0:
            return
        if recv[0] - self._last_ns >= lowest and np.all(np.diff(recv) >= lowest):
            self._last_ns = int(recv[-1])
            return
        for i_row, ts_ns in zip(good.tolist(), recv.tolist()):
            if ts_ns - self._last_ns < lowest:
                what = f"time runs backwards or stands still: {ts_ns} ns after {self._last_ns} ns"
                complaints.add(i_row, "time_backwards", what)
            else:
                self._last_ns = ts_ns


class _Complaints:
    """What is wrong with a block's rows: the first complaint of each row counts."""

    def __init__(self, lines: list[int]) -> None:
        self.bad = np.zeros(len(lines), bool)
        self._lines = lines
        self._found: dict[int, tuple[str, str, type[TercelError]]] = {}

    def add(self, i_row: int, reason: str, what: str, error: type[TercelError] = DataError) -> None:
        self.bad[i_row] = True
        self._found.setdefault(i_row, (reason, what, error))

    def listed(self) -> Iterator[tuple[int, str, str, type[TercelError]]]:
        for i_row in sorted(self._found):
            yield (self._lines[i_row], *self._found[i_row])


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()
    except ValueError:
        raise ConfigError(f"date must be YYYYMMDD, found {text!r}") from None


def _kept(text: str) -> bool:
    """Whether a float64 keeps every digit of a number."""
    try:
        return Decimal(text) == Decimal(repr(float(text)))
    except (ValueError, ArithmeticError):
        return False


def _commonest_step(times: np.ndarray, source: Path) -> int:
    steps, n_times = np.unique(np.diff(times), return_counts=True)
    n_times = n_times[steps > 0]
    steps = steps[steps > 0]
    if len(steps) == 0:
        raise DataError(f"{source}: too few rows to see how long a bar is: state it with period=, for example 1m")
    return int(steps[np.argmax(n_times)])


def import_csv(
    path: str | Path,
    out: str | Path,
    *,
    symbol: str,
    layout: CsvLayout | Mapping[str, object] | None = None,
    tick: Decimal | str | float | None = None,
    lot: Decimal | str | float | None = None,
    instrument: Instrument | None = None,
    on_bad_line: str = "stop",
    progress: Progress | None = None,
) -> Tape:
    """Import a CSV file of bars, trades or quotes into the tape `out` and open it.

    symbol, tick, lot: the instrument, grids inferred from the data's decimals when not given; or instrument: a whole
    one. layout: how to read the file, see CsvLayout. Raises DataError or UnitError naming file and line, ConfigError
    for a layout that cannot be; nothing is left at `out` then.
    """
    source = Path(path)
    if not isinstance(layout, CsvLayout):
        try:
            layout = msgspec.convert(dict(layout or {}), CsvLayout)
        except msgspec.ValidationError as error:
            raise ConfigError(f"the CSV layout is wrong: {error}") from error
    bad_lines = BadLines(source, on_bad_line)
    lines = SourceLines(source, bad_lines, progress)
    if instrument is not None:
        tick, lot = instrument.tick_size, instrument.lot_size
    px_grid, qty_grid = Grid(tick, "price", "1e-10"), Grid(lot, "size", "1e-8")
    reader = _Reader(source, layout, bad_lines, (px_grid, qty_grid))
    with spooling(Path(out)) as spool:
        for rows in reader.read(lines):
            spool.append(rows)
        if not spool.n_rows:
            raise DataError(f"{source} holds no rows that can be used")
        inferred = px_grid.inferred or qty_grid.inferred
        spool.rescale(px_grid.divisor(), qty_grid.divisor())
        correction, quote_lead = spool.correct_clock()
        if instrument is None:
            instrument = Instrument(symbol=symbol, tick_size=px_grid.step, lot_size=qty_grid.step, venue="csv")
        meta = TapeMeta(
            instruments=[instrument], source=source.name, source_sha256=lines.sha256, format=f"csv-{reader.kind}",
            messages={reader.kind: spool.n_rows}, clock_correction_ns=correction, quote_lead_ns=quote_lead,
            skipped=bad_lines.skipped, grid="inferred" if inferred else "given", notes=reader.guessed,
        )  # fmt: skip
        return finish_tape(spool, meta)
