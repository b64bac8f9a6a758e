"""The tape: one Parquet file of EVENT rows in order of receipt, with everything about them in its metadata.

`Tape.open` reads the metadata only; `Tape.rows` gives the rows scheduled for the engine, through a mapped cache. What
is read is checked against the tape's own checksums first (`store.tape_sums`). Nothing here parses a venue's format and
nothing decides what a row means. Called by drivers, reports and the command line; importers and the market simulator
write through `write_tape`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tercel.errors import DataError, TapeVersionError
from tercel.model.events import EVENT, EVENT_VERSION, event_rows
from tercel.model.instrument import Instrument
from tercel.store import mapped
from tercel.store.channels import select_channels
from tercel.store.schedule import ScheduleCounts
from tercel.store.tape_sums import Sums, check_data, read_sums

__all__ = ["TAPE_VERSION", "Gap", "Tape", "TapeMeta"]

#: 2: with checksums.
TAPE_VERSION = 2

#: Keys of the Parquet metadata. The versions stand alone so that a tape of another version can be refused by name.
VERSION_KEY, EVENT_VERSION_KEY, META_KEY = "tercel.tape_version", "tercel.event_version", "tercel.meta"


class Gap(msgspec.Struct, frozen=True):
    """Update ids that do not join. line: 1-based line of the source; expected, found: update ids; what: in words."""

    line: int
    expected: int
    found: int
    what: str


class TapeMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What a tape says about itself.

    instruments: by index, as rows name them. source, source_sha256, format: file name imported, its digest, and the
    importer's name. messages: the source's messages by type. n_rows, start_ns, end_ns: rows, and first and last
    corrected `ts_recv`. channels: rows by channel. clock_correction_ns: added to every `ts_recv` of the source, because
    the recorder's clock ran behind the venue's by at least that much. quote_lead_ns: by how much the earliest quote
    still precedes its venue time after the correction, which is measured on depth and trades where there are any.
    gaps: the first of `n_gaps` gaps in update ids that the import went over. skipped: bad lines left out, by reason.
    grid: "given", or "inferred" from the decimals of the data. group_rows, group_exch_min: smallest `ts_exch` of each
    run of `group_rows` rows, which lets a reader schedule the tape piece by piece. rows_sha256: digest of the rows.
    notes: what else a user should know.
    """

    instruments: list[Instrument]
    source: str = ""
    source_sha256: str = ""
    format: str = ""
    messages: dict[str, int] = msgspec.field(default_factory=dict)
    n_rows: int = 0
    start_ns: int = 0
    end_ns: int = 0
    channels: dict[str, int] = msgspec.field(default_factory=dict)
    clock_correction_ns: int = 0
    quote_lead_ns: int = 0
    gaps: list[Gap] = msgspec.field(default_factory=list)
    n_gaps: int = 0
    skipped: dict[str, int] = msgspec.field(default_factory=dict)
    grid: str = "given"
    group_rows: int = 0
    group_exch_min: list[int] = msgspec.field(default_factory=list)
    rows_sha256: str = ""
    created_by: str = ""
    notes: list[str] = msgspec.field(default_factory=list)


def _refuse_version(path: Path, name: str, found: str | None, ours: int) -> None:
    if found != str(ours):
        raise TapeVersionError(
            f"{path} has {name} version {found}, this tercel reads version {ours}: import the source "
            f"again with this tercel, or read the tape with the one that wrote it"
        )


def _read_sums(path: Path) -> Sums:
    """The checksums of a tape whose footer agrees with them. Says what a file is that has none, by words in its end."""
    sums, footer = read_sums(path)
    if sums is not None:
        return sums
    # Whatever the Parquet reader would say of these bytes, they are not safe to give to it.
    stated = re.search(VERSION_KEY.encode() + rb"[^0-9]{1,3}([0-9]{1,6})", footer)
    if stated is None:
        raise DataError(f"{path} is a Parquet file but no tape: it has no {META_KEY}; import it with `tercel import`")
    _refuse_version(path, "tape", stated[1].decode(), TAPE_VERSION)
    raise DataError(
        f"{path} is damaged, or written anew by another program: its checksums are gone; import the source again"
    )


def _read_meta(path: Path) -> tuple[TapeMeta, Sums]:
    import polars as pl

    if not path.is_file():
        raise DataError(f"no tape at {path}: expected a file made by `tercel import` or `tercel simulate`")
    sums = _read_sums(path)
    try:
        found = pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError) as error:
        # The Parquet reader panics at some damage; that is no Exception, and would pass by every other handler.
        raise DataError(f"{path} is no tape: not a whole Parquet file; import the source again") from error
    if META_KEY not in found:
        raise DataError(f"{path} is a Parquet file but no tape: it has no {META_KEY}; import it with `tercel import`")
    for key, ours, name in (
        (VERSION_KEY, TAPE_VERSION, "tape"),
        (EVENT_VERSION_KEY, EVENT_VERSION, "event row"),
    ):
        _refuse_version(path, name, found.get(key), ours)
    try:
        meta = msgspec.json.decode(found[META_KEY], type=TapeMeta)
    except (msgspec.MsgspecError, RecursionError, ArithmeticError, ValueError) as error:
        raise DataError(f"{path}: the tape's metadata is damaged ({error}); import the source again") from error
    if meta.n_rows < 0 or meta.group_rows < 0:
        raise DataError(f"{path}: the tape's metadata is damaged (a negative number of rows); import the source again")
    return meta, sums


class Tape:
    """An open tape. Make one with `Tape.open`; nothing but metadata is read until rows are asked for."""

    def __init__(self, path: Path, meta: TapeMeta, sums: Sums) -> None:
        self.path = path
        self.meta = meta
        self._sums = sums
        self._is_checked = False

    @classmethod
    def open(cls, path: str | Path) -> Tape:
        """Open a tape file. DataError for a file that is no tape, TapeVersionError for another version's."""
        return cls(Path(path), *_read_meta(Path(path)))

    @property
    def instruments(self) -> list[Instrument]:
        """The tape's instruments; a row's `instrument` is an index into this list."""
        return self.meta.instruments

    def __len__(self) -> int:
        return self.meta.n_rows

    def __repr__(self) -> str:
        symbols = ", ".join(instrument.symbol for instrument in self.instruments)
        return f"<Tape {self.path.name}: {symbols}, {self.meta.n_rows:,} rows>"

    def received(self, start: int = 0, n_rows: int | None = None) -> np.ndarray:
        """(n,) EVENT rows as the tape holds them, in order of receipt and not scheduled, from row `start` on.

        The first call reads the whole file once, for its checksum. DataError for a damaged tape.
        """
        import polars as pl

        wanted = self.meta.n_rows - start if n_rows is None else min(n_rows, self.meta.n_rows - start)
        if wanted <= 0:
            return event_rows(0)
        if not self._is_checked:
            check_data(self.path, self._sums)
            self._is_checked = True
        try:
            frame = pl.scan_parquet(self.path).slice(start, wanted).collect()
            if frame.height != wanted:
                raise DataError(f"{self.path} holds fewer rows than its metadata says; import the source again")
            rows = event_rows(wanted)
            for name in EVENT.names or ():
                column = frame.get_column(name)
                if column.dtype.to_python() is not int or column.null_count():
                    raise DataError(f"{self.path}: column {name} does not hold whole numbers; import the source again")
                rows[name] = column.to_numpy()
        except (
            pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, OverflowError, MemoryError,
        ) as error:  # fmt: skip
            raise DataError(f"{self.path} is damaged near row {start}: {error}; import the source again") from error
        return rows

    def _pieces(self) -> Iterator[tuple[np.ndarray, int]]:
        """The tape in runs of rows, each with the smallest venue time of all later runs."""
        size = self.meta.group_rows or max(1, self.meta.n_rows)
        lows = np.array(self.meta.group_exch_min or [0], np.int64)
        later = np.append(np.minimum.accumulate(lows[::-1])[::-1][1:], np.iinfo(np.int64).max)
        for i_group, start in enumerate(range(0, self.meta.n_rows, size)):
            yield self.received(start, size), int(later[i_group])

    def _mapped(self, channels: Iterable[str] | None, progress: Callable[[int, int], None] | None) -> Path:
        chosen = select_channels(self.meta.channels, channels)
        path = mapped.cache_path(self.meta.rows_sha256, chosen)
        if not mapped.is_whole(path):
            mapped.build(path, self._pieces(), chosen, progress, self.meta.n_rows)
        return path

    def rows(
        self, channels: Iterable[str] | None = None, progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """The rows scheduled for the engine: (n,) EVENT, mapped read-only from the cache.

        channels: which to take, by default all, without quotes where depth is present. progress: called with rows
        done and rows in all while the cache is built, which happens on first use. Rows with flag EXCH have
        non-decreasing `ts_exch`, rows with LOCAL non-decreasing `ts_recv`; see `schedule`. Memory needed while
        building does not grow with the tape. StorageError when the cache cannot be written.
        """
        return mapped.open_rows(self._mapped(channels, progress))

    def batches(self, n_rows: int = 1 << 16, channels: Iterable[str] | None = None) -> Iterator[np.ndarray]:
        """The same rows as `rows`, read `n_rows` at a time: memory stays flat for a tape of any length."""
        yield from mapped.read_batches(self._mapped(channels, None), n_rows)

    def counts(self, channels: Iterable[str] | None = None) -> ScheduleCounts:
        """How many scheduled rows are whole, venue only and strategy only."""
        return mapped.counts(self._mapped(channels, None))

    def summary(self) -> dict[str, Any]:
        """The metadata as plain values, for `tercel info --json`."""
        plain: dict[str, Any] = msgspec.to_builtins(self.meta)
        plain["path"] = str(self.path)
        del plain["group_exch_min"], plain["group_rows"]
        return plain
