"""Making a tape: rows gather in a spool on disk, then become one Parquet file with metadata, whole or not at all.

The spool keeps memory flat: importers append blocks of rows, and what is known only at the end (the clock correction,
an inferred grid) is applied to the spool in place. Called by importers and by the market simulator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import msgspec
import numpy as np

import tercel
from tercel.errors import DataError, StorageError
from tercel.model.events import BAR, EVENT, EVENT_VERSION, EXCH, FUNDING, LOCAL, QUOTE
from tercel.model.instrument import Instrument
from tercel.model.rowcopy import picked
from tercel.store.atomic import nameless_file, replacing, storage_errors
from tercel.store.channels import channel_counts
from tercel.store.tape import EVENT_VERSION_KEY, META_KEY, TAPE_VERSION, VERSION_KEY, Tape, TapeMeta
from tercel.store.tape_sums import add_sums

__all__ = ["GROUP_ROWS", "Spool", "TapeSpooler", "spooling", "write_tape"]

#: Rows of one Parquet row group, and of one piece when a tape is read.
GROUP_ROWS = 1 << 17

_NEVER = np.iinfo(np.int64).max


class Spool:
    """EVENT rows on their way to a tape, in a scratch file. Keeps the smallest latencies as rows come in."""

    def __init__(self, file: IO[bytes], target: Path) -> None:
        self.target = target
        self.n_rows = 0
        self.latency_min_ns = _NEVER  #: smallest ts_recv - ts_exch of rows that are no quotes
        self.quote_latency_min_ns = _NEVER
        self.untimed_quotes = False  #: quotes have no venue time: theirs equals ts_recv and moves with it
        self._last_recv_ns: int | None = None
        self._file = file

    def append(self, rows: np.ndarray) -> None:
        """Add rows, (n,) EVENT, in order of receipt. StorageError when the disk refuses, DataError out of order."""
        if len(rows) == 0:
            return
        recv = rows["ts_recv"]
        if (self._last_recv_ns is not None and recv[0] < self._last_recv_ns) or np.any(recv[1:] < recv[:-1]):
            raise DataError(f"rows for {self.target} are not in order of ts_recv: sort them by it before writing")
        self._last_recv_ns = int(recv[-1])
        latency = recv - rows["ts_exch"]
        is_quote = rows["kind"] == QUOTE
        self.latency_min_ns = min(self.latency_min_ns, int(latency[~is_quote].min(initial=_NEVER)))
        self.quote_latency_min_ns = min(self.quote_latency_min_ns, int(latency[is_quote].min(initial=_NEVER)))
        with storage_errors(self.target, "spool rows for"):
            self._file.write(np.ascontiguousarray(rows).tobytes())
        self.n_rows += len(rows)

    def blocks(self, mode: str = "r") -> Iterator[np.ndarray]:
        """The rows in runs of GROUP_ROWS; with mode "r+" changes to them are kept."""
        with storage_errors(self.target, "spool rows for"):
            self._file.flush()
        for start in range(0, self.n_rows, GROUP_ROWS):
            n_rows = min(GROUP_ROWS, self.n_rows - start)
            yield np.memmap(self._file, EVENT, mode, offset=start * EVENT.itemsize, shape=(n_rows,))  # type: ignore[call-overload]

    def rescale(self, px_divisor: int, qty_divisor: int) -> None:
        """Bring rows counted on provisional grids to inferred ones, `divisor` times as coarse."""
        if px_divisor == 1 and qty_divisor == 1:
            return
        for block in self.blocks("r+"):
            block["px"] //= px_divisor
            block["qty"] //= qty_divisor
            quotes, bars = block["kind"] == QUOTE, block["kind"] == BAR
            block["arg0"][quotes | bars] //= px_divisor
            block["arg1"][quotes] //= qty_divisor
            block["arg1"][bars] //= px_divisor
            block["id"][bars] //= px_divisor

    def correct_clock(self) -> tuple[int, int]:
        """Shift every `ts_recv` so that no row is seen before it happened; returns (correction, quote lead) in ns.

        The correction is the smallest latency with its sign turned, measured on all rows but quotes where there are
        any; 0 when no row precedes its venue time. The lead is what the earliest quote keeps after it.
        """
        measured = self.latency_min_ns if self.latency_min_ns != _NEVER else self.quote_latency_min_ns
        correction = max(0, -measured) if self.n_rows else 0
        if correction:
            for block in self.blocks("r+"):
                block["ts_recv"] += correction
                if self.untimed_quotes:
                    block["ts_exch"][block["kind"] == QUOTE] += correction
        if self.untimed_quotes or self.quote_latency_min_ns == _NEVER:
            return correction, 0
        return correction, max(0, -(self.quote_latency_min_ns + correction))


@contextmanager
def spooling(target: Path) -> Iterator[Spool]:
    """A spool on the disk of `target`; it has no name there, so that not even a killed process leaves it behind."""
    with storage_errors(target, "make the directory of"):
        target.parent.mkdir(parents=True, exist_ok=True)
    with nameless_file(target) as file:
        yield Spool(file, target)


def finish_tape(spool: Spool, meta: TapeMeta, progress: Callable[[int, int], None] | None = None) -> Tape:
    """Turn a spool into the tape at its target. What can be computed from the rows is filled into the metadata."""
    import polars as pl
    from polars.io.plugins import register_io_source

    digest = hashlib.sha256()
    channels: dict[str, int] = {}
    lows: list[int] = []
    start_ns = end_ns = 0
    for block in spool.blocks():
        digest.update(block.tobytes())
        for name, n_rows in channel_counts(block["kind"]).items():
            channels[name] = channels.get(name, 0) + n_rows
        if block["instrument"].min() < 0 or block["instrument"].max() >= len(meta.instruments):
            raise DataError(f"a row for {spool.target} names an instrument outside the {len(meta.instruments)} given")
        start_ns = start_ns if lows else int(block["ts_recv"][0])
        end_ns = int(block["ts_recv"][-1])
        lows.append(int(block["ts_exch"].min()))
    meta = msgspec.structs.replace(
        meta, n_rows=spool.n_rows, start_ns=start_ns, end_ns=end_ns, channels=channels, group_rows=GROUP_ROWS,
        group_exch_min=lows, rows_sha256=digest.hexdigest(), created_by=f"tercel {tercel.__version__}",
    )  # fmt: skip
    names = EVENT.names or ()
    schema = {name: getattr(pl, f"Int{EVENT[name].itemsize * 8}") for name in names}

    def frames(*_: object) -> Iterator[pl.DataFrame]:
        n_done = 0
        for block in spool.blocks():
            yield pl.DataFrame({name: np.ascontiguousarray(block[name]) for name in names}, schema=schema)
            n_done += len(block)
            if progress is not None:
                progress(n_done, spool.n_rows)

    keys = {
        VERSION_KEY: str(TAPE_VERSION),
        EVENT_VERSION_KEY: str(EVENT_VERSION),
        META_KEY: msgspec.json.encode(meta).decode(),
    }
    with replacing(spool.target) as temporary:
        try:
            register_io_source(frames, schema=schema).sink_parquet(
                temporary, compression="zstd", row_group_size=GROUP_ROWS, metadata=keys
            )
        except pl.exceptions.PolarsError as error:
            raise StorageError(f"cannot write {spool.target}: {error}; nothing half-written was left") from error
        add_sums(temporary)
    return Tape.open(spool.target)


class TapeSpooler:
    """A tape that grows while something is heard: append rows, then finish. Without `finish` nothing is left.

    Rows of a live driver have one receipt time each; a row marked for the strategy alone is made one for both sides.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._spool: Spool | None = None

    @property
    def n_rows(self) -> int:
        """Rows so far."""
        return self._spool.n_rows if self._spool is not None else 0

    def __enter__(self) -> TapeSpooler:
        self._spool = self._stack.enter_context(spooling(self._path))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def append(self, rows: np.ndarray) -> None:
        """Add the market's rows among (n,) EVENT; copied."""
        assert self._spool is not None
        market = picked(rows, (rows["kind"] > 0) & (rows["kind"] <= FUNDING))
        market["flags"] |= EXCH | LOCAL
        self._spool.append(market)

    def finish(self, instruments: list[Instrument], *, source: str, format: str) -> Tape:
        """Write the tape; `ts_recv` is corrected where it ran ahead of the venue's clock, as in an import."""
        assert self._spool is not None
        correction, quote_lead = self._spool.correct_clock()
        meta = TapeMeta(
            instruments=instruments, source=source, format=format, clock_correction_ns=correction,
            quote_lead_ns=quote_lead, notes=["recorded as it came"],
        )  # fmt: skip
        return finish_tape(self._spool, meta)


def write_tape(
    path: str | Path,
    rows: np.ndarray | Iterable[np.ndarray],
    instruments: list[Instrument],
    *,
    source: str = "",
    source_sha256: str = "",
    format: str = "rows",
    notes: list[str] | None = None,
) -> Tape:
    """Write rows as a tape and open it.

    rows: (n,) EVENT, or an iterable of such blocks, in order of `ts_recv`; written as they are, no clock is corrected.
    Whatever is at `path` is replaced once the tape is whole. DataError for rows out of order or of an unknown
    instrument, StorageError when the disk refuses.
    """
    with spooling(Path(path)) as spool:
        for block in [rows] if isinstance(rows, np.ndarray) else rows:
            spool.append(block)
        meta = TapeMeta(
            instruments=instruments, source=source, source_sha256=source_sha256, format=format, notes=notes or []
        )
        return finish_tape(spool, meta)
