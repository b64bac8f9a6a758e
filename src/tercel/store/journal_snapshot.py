"""Snapshots of a run: the engine's state after so many rows, checksummed, whole or not there at all; two are kept.

Two, because the newer one may turn out to be damaged. Written by `Journal.snapshot`, read by `open_journal`.
"""

from __future__ import annotations

import struct
from pathlib import Path
from zlib import crc32

import msgspec

from tercel.errors import JournalError
from tercel.store.atomic import replacing, storage_errors

__all__ = ["FIRST", "Snapshot", "read_snapshot", "snapshot_paths", "write_snapshot"]

_KEPT = 2
_HEAD = struct.Struct("<8sqqqqII16x")  # magic, run, position, seq, bytes, checksum of the state, checksum of the head
_MAGIC = b"TCSNAPS1"
_HEAD_CHECKED = 40


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """State after `position` rows of run `run`; seq: rows the engine had processed; state: `Engine.snapshot()`."""

    run: int
    position: int
    seq: int
    state: bytes


#: The snapshot that a run begins with when it goes on where another ended.
FIRST = f"snapshot-{0:020d}.state"


def snapshot_paths(directory: Path) -> list[Path]:
    """The snapshots of a run, newest first."""
    return sorted(directory.glob("snapshot-*.state"), reverse=True)


def write_snapshot(directory: Path, *, run: int, position: int, seq: int, state: bytes) -> Path:
    """Write a snapshot beside a run's segments; kept are the last two, and the one that the run began with.

    StorageError: the disk refuses.
    """
    path = directory / f"snapshot-{position:020d}.state"
    fields = (_MAGIC, run, position, seq, len(state), crc32(state))
    head = _HEAD.pack(*fields, 0)
    head = _HEAD.pack(*fields, crc32(head[: _HEAD_CHECKED + 4]))
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(head)
        file.write(state)
    for old in snapshot_paths(directory)[_KEPT:]:
        if old.name == FIRST:
            # Without it the run could not be told again from its beginning.
            continue
        with storage_errors(old, "remove the old snapshot"):
            old.unlink(missing_ok=True)
    return path


def read_snapshot(path: Path, run: int) -> Snapshot:
    """A snapshot of `run`. JournalError that says what is wrong with it; StorageError when it cannot be read."""
    with storage_errors(path, "read"):
        raw = path.read_bytes()
    if len(raw) < _HEAD.size:
        raise JournalError(f"snapshot {path} has {len(raw)} bytes, fewer than its head: it is torn")
    magic, of_run, position, seq, n_bytes, state_crc, head_crc = _HEAD.unpack_from(raw)
    if magic != _MAGIC or head_crc != crc32(raw[: _HEAD_CHECKED + 4]):
        raise JournalError(f"snapshot {path} is damaged: its head does not agree with its checksum")
    if of_run != run or path.name != f"snapshot-{position:020d}.state":
        raise JournalError(f"snapshot {path} belongs to row {position} of run {of_run}: it was moved or renamed")
    state = raw[_HEAD.size :]
    if len(state) != n_bytes or crc32(state) != state_crc:
        raise JournalError(f"snapshot {path} is damaged: its {len(state)} bytes do not agree with its checksum")
    return Snapshot(run=run, position=position, seq=seq, state=state)
