"""One door for every foreign file: finds out what a file is and calls its importer.

Called by the command line and by `tercel`'s own drivers when they are given a file that is no tape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from tercel.errors import ConfigError, DataError
from tercel.model.instrument import Instrument
from tercel.store.binance import import_binance
from tercel.store.bitstamp import import_bitstamp
from tercel.store.lines import BadLines, Progress, SourceLines
from tercel.store.tape import Tape

__all__ = ["FORMATS", "detect_format", "import_capture"]

#: What `format` may be, next to "auto".
FORMATS = ("binance", "binance-usdm", "binance-spot", "bitstamp-l3", "csv", "csv-bars", "csv-trades", "csv-quotes")

_BITSTAMP = re.compile(rb"\d{13} (order_created|order_changed|order_deleted|order_book|trade) \{")
_BINANCE = re.compile(rb"\d{18,19} \{")


def detect_format(path: str | Path) -> str:
    """The format of a file, from its first line. DataError when it is none that is known."""
    source = Path(path)
    for _, block in SourceLines(source, BadLines(source, "stop")):
        first = next((text for text in block if text.strip()), b"")
        if not first:
            continue
        if _BINANCE.match(first):
            return "binance"
        if _BITSTAMP.match(first):
            return "bitstamp-l3"
        if first.count(b",") >= 2 and b"{" not in first:
            return "csv"
        found = first[:40].decode(errors="replace")
        raise DataError(f"{source}, line 1: no format is known that begins {found!r}; state it with format=")
    raise DataError(f"{source} is empty")


def import_capture(
    path: str | Path,
    out: str | Path | None = None,
    *,
    format: str = "auto",
    symbol: str | None = None,
    tick: Decimal | str | float | None = None,
    lot: Decimal | str | float | None = None,
    instrument: Instrument | None = None,
    layout: Mapping[str, object] | None = None,
    on_bad_line: str = "stop",
    on_gap: str | None = None,
    reapply: bool | None = None,
    progress: Progress | None = None,
) -> Tape:
    """Import a foreign file into a tape and open it.

    out: where the tape goes; beside the file, named after it with suffix .tape, when None. format: one of FORMATS, or
    "auto". symbol, tick, lot, instrument: what is traded; see the importers for what is found out when left out.
    layout: fields of `CsvLayout`, for CSV only. on_bad_line: "stop" or "skip" (and count). on_gap: "stop" or "continue"
    (and note), for formats with update ids. reapply: see `import_binance`. progress: called with compressed bytes done
    and in all.

    Raises DataError, GapError or UnitError naming file and line, ConfigError for arguments that cannot be, StorageError
    when the disk refuses; nothing half-written is left then, and a tape already at `out` is kept.
    """
    source = Path(path)
    if format != "auto" and format not in FORMATS:
        raise ConfigError(f"unknown format {format!r}: expected auto, {', '.join(FORMATS)}")
    found = detect_format(source) if format == "auto" else format
    target = Path(out) if out is not None else tape_path(source)
    if found.startswith("binance"):
        market = found.partition("-")[2] or None
        return import_binance(
            source, target, tick=tick, lot=lot, market=market, on_bad_line=on_bad_line, on_gap=on_gap,
            reapply=reapply, progress=progress,
        )  # fmt: skip
    if found == "bitstamp-l3":
        return import_bitstamp(
            source, target, symbol=symbol or "BTCUSD", tick=tick, lot=lot, on_bad_line=on_bad_line, progress=progress
        )
    from tercel.store.csv import import_csv

    fields = dict(layout or {})
    if "-" in found:
        fields["kind"] = found.partition("-")[2]
    return import_csv(
        source, target, symbol=symbol or source.name.partition(".")[0], layout=fields, tick=tick, lot=lot,
        instrument=instrument, on_bad_line=on_bad_line, progress=progress,
    )  # fmt: skip


def tape_path(source: str | Path) -> Path:
    """Where the tape of a source goes when nobody says: beside it, packing suffixes replaced by .tape."""
    path = Path(source)
    while path.suffix in (".gz", ".xz", ".zip", ".csv", ".log", ".txt"):
        path = path.with_suffix("")
    return path.with_name(path.name + ".tape")
