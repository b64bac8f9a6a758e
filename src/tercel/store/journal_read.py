"""The journal's reader: a run's header, its last good snapshot, and the rows after it, mapped and not copied.

Looks at every checksum before it hands anything out. A tail that a kill or a loss of power tore is reported and left
out; rows that had been safe on the disk and cannot be read are refused, unless damage is allowed. Called by recovery,
by `tercel info` and by replay; writes nothing, and may read a journal that is being written.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tercel.errors import JournalError, TapeVersionError
from tercel.model.commands import COMMAND, COMMAND_VERSION
from tercel.model.events import EVENT, EVENT_VERSION
from tercel.model.rowcopy import joined, picked
from tercel.store.atomic import storage_errors
from tercel.store.journal_check import Damage, Mapped, good_rows, map_segments
from tercel.store.journal_format import (
    BLOCK,
    BLOCK_ROWS,
    JOURNAL_VERSION,
    Closed,
    JournalHeader,
    commands_of,
    is_command,
    last_run,
    run_directory,
    run_number,
)
from tercel.store.journal_segment import boot_id
from tercel.store.journal_snapshot import FIRST, Snapshot, read_snapshot, snapshot_paths

__all__ = ["JournalReader", "journal_at", "open_journal", "runs_of"]


class JournalReader:
    """One run of a journal, checked. Made by `open_journal`.

    header: what the run was. snapshot: the last good one, None where there is none. n_rows: rows that can be read,
    commands and notes among them; position: the same, as the end of the good rows. is_closed: the run ended cleanly.
    is_same_boot: the machine has not gone down since, so nothing that was appended can be missing.
    damage: what cannot be read, torn tails and broken snapshots among it; empty for most.
    """

    def __init__(
        self,
        path: Path,
        header: JournalHeader,
        segments: list[Mapped],
        n_rows: int,
        snapshot: Snapshot | None,
        is_closed: bool,
        damage: tuple[Damage, ...],
    ) -> None:
        self.path = path
        self.header = header
        self.run = header.run
        self.snapshot = snapshot
        self.n_rows = n_rows
        self.is_closed = is_closed
        self.is_same_boot = bool(header.boot) and header.boot == boot_id()
        self.damage = damage
        self._segments = segments
        self._arrays = [np.frombuffer(s.map, EVENT, s.n_blocks * (BLOCK_ROWS + 1)) for s in segments]

    @property
    def next_run(self) -> int:
        """A run number that no run of this journal has."""
        return last_run(self.path) + 1

    @property
    def start(self) -> int:
        """The first row that the snapshot does not hold: where recovery begins."""
        return self.snapshot.position if self.snapshot is not None else 0

    def pieces(self, start: int = 0, end: int | None = None) -> Iterator[np.ndarray]:
        """Rows [start, end) of the run as mapped, read-only EVENT arrays, one a segment.

        Heads of blocks and commands stand between the events; neither has the flag LOCAL, so an engine steps over both.
        """
        stop = self.n_rows if end is None else min(end, self.n_rows)
        per_segment = len(self._arrays[0]) // (BLOCK_ROWS + 1) * BLOCK_ROWS if self._arrays else 1
        while start < stop:
            i, first = divmod(start, per_segment)
            last = min(stop - i * per_segment, per_segment)
            yield self._arrays[i][_index(first) : _index(last - 1) + 1]
            start = i * per_segment + last

    def rows(self, start: int = 0, end: int | None = None) -> np.ndarray:
        """Events and notes of rows [start, end), copied: (n,) EVENT, what `engine.replay.replay` takes."""
        found = [picked(p, (p["kind"] != BLOCK) & ~is_command(p)) for p in self.pieces(start, end)]
        return joined(found) if found else np.zeros(0, EVENT)

    def commands(self, start: int = 0, end: int | None = None) -> np.ndarray:
        """Commands of rows [start, end), copied: (n,) COMMAND."""
        found = [commands_of(piece) for piece in self.pieces(start, end)]
        return joined(found) if found else np.zeros(0, COMMAND)


def _index(position: int) -> int:
    """Where a row stands in its segment's array, heads counted."""
    return position // BLOCK_ROWS * (BLOCK_ROWS + 1) + 1 + position % BLOCK_ROWS


def journal_at(path: Path) -> Path:
    """The journal that a user means by a directory: the one a session keeps in it, or the directory itself."""
    inner = path / "journal"
    return inner if inner.is_dir() else path


def runs_of(path: Path) -> list[int]:
    """The runs a journal holds, oldest first; DataError when there is no journal."""
    if not path.is_dir():
        raise JournalError(f"there is no journal {path}: name the directory a live run wrote")
    return sorted(run for run in map(run_number, path.iterdir()) if run)


def _decode(path: Path, kind: type[Any]) -> Any:
    with storage_errors(path, "read"):
        raw = path.read_bytes()
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, RecursionError, ArithmeticError, ValueError) as error:
        raise JournalError(f"{path} is damaged: {error}") from None


class _Versions(msgspec.Struct):
    format_version: int = 0
    event_version: int = 0
    command_version: int = 0


def _read_header(directory: Path, run: int) -> JournalHeader:
    path = directory / "header.json"
    if not path.is_file():
        raise JournalError(f"run {run} has no header {path}: the process died as the run began, or it was removed")
    found = _decode(path, _Versions)
    for name, ours in (
        ("format_version", JOURNAL_VERSION), ("event_version", EVENT_VERSION), ("command_version", COMMAND_VERSION),
    ):  # fmt: skip
        theirs = getattr(found, name)
        if theirs != ours:
            raise TapeVersionError(
                f"{path}: {name} is {theirs}, this tercel reads {ours}; read it with the tercel of then"
            )
    header: JournalHeader = _decode(path, JournalHeader)
    if header.run != run:
        raise JournalError(f"{path} is of run {header.run}: the directory was renamed or its files were mixed")
    return header


def open_journal(
    path: Path, run: int | None = None, *, allow_damage: bool = False, is_whole: bool = False
) -> JournalReader:
    """Open one run of the journal in directory `path`, the last with a header if not given, and check it.

    is_whole: from the run's beginning, to tell all of it again; `snapshot` is then the one it began with, None where it
    began with nothing. Every block after the snapshot is compared with its checksum. JournalError: no such run, a
    damaged header, or, unless `allow_damage`, rows that were safe on the disk and cannot be read; with it the rows
    before them are given. TapeVersionError: written by another format. A torn tail is no error; it stands in `damage`.
    """
    runs = runs_of(path)
    if run is None:
        # A process that died before its header was written has made no row.
        run = next((r for r in reversed(runs) if (run_directory(path, r) / "header.json").is_file()), 0)
    if run not in runs:
        known = f"it has {', '.join(map(str, runs[-5:]))}" if runs else "it has none yet"
        raise JournalError(f"journal {path} has no run{f' {run}' if run else ''} to read: {known}")
    directory = run_directory(path, run)
    header = _read_header(directory, run)
    closed = directory / "closed.json"
    is_closed = closed.is_file()
    end = _decode(closed, Closed).position if is_closed else None
    segments, n_orphans = map_segments(directory)
    found: list[Damage] = []
    if is_whole:
        first = directory / FIRST
        snapshot = read_snapshot(first, run) if first.is_file() else None
    else:
        snapshot = _last_snapshot(directory, run, found)
    start = snapshot.position if snapshot is not None else 0
    n_rows, damage = good_rows(segments, n_orphans, run, start, end)
    if damage is not None:
        if not damage.torn and not allow_damage:
            raise JournalError(
                f"run {run} of journal {path} is damaged in {damage.segment} at byte {damage.offset}, row "
                f"{damage.position}: {damage.lost}. Rows after it cannot be trusted; allow damage to go on from "
                f"the rows before it, and reconcile with the venue"
            )
        found.append(damage)
    if n_rows < start:
        # A snapshot is synced after its rows, so rows it stands on are corrupt, not torn. The state itself is whole.
        n_rows = start
    return JournalReader(path, header, segments, n_rows, snapshot, is_closed, tuple(found))


def _last_snapshot(directory: Path, run: int, found: list[Damage]) -> Snapshot | None:
    """The newest snapshot that can be trusted; what is wrong with newer ones goes to `found`."""
    for path in snapshot_paths(directory):
        try:
            return read_snapshot(path, run)
        except JournalError as error:
            found.append(Damage(torn=False, segment=path.name, offset=0, position=0, lost=str(error)))
    return None
