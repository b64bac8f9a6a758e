"""The mapped cache: a tape's scheduled rows as raw EVENT records in one file, so that opening a tape is one mmap.

Files are named after the digest of the tape's rows, the channels chosen and the versions, and live under the cache
directory. A file ends with a trailer that says how many rows it holds and a checksum over samples of them; a file that
is missing, short or does not agree with its trailer is built again. Called by `Tape` only.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tercel.config import cache_dir
from tercel.model.events import EVENT, EVENT_VERSION
from tercel.model.rowcopy import joined, picked
from tercel.store.atomic import replacing, storage_errors
from tercel.store.channels import channel_mask
from tercel.store.schedule import ScheduleCounts, schedule_counts, schedule_part

__all__ = ["CACHE_VERSION", "build", "cache_path", "counts", "is_whole", "open_rows", "read_batches"]

CACHE_VERSION = 1

_MAGIC = b"TERCROWS"
_TRAILER = struct.Struct("<8sqqqqII16x")  # magic, version, both, exch only, local only, checksum, event version
assert _TRAILER.size == EVENT.itemsize
_N_SAMPLES, _SAMPLE_BYTES = 64, 4096


def cache_path(rows_sha256: str, channels: Iterable[str]) -> Path:
    """Where the scheduled rows of a tape and a choice of channels are kept."""
    name = f"{rows_sha256[:32]}-{'+'.join(channels)}-v{CACHE_VERSION}.{EVENT_VERSION}.rows"
    return cache_dir() / "tapes" / name


def _sample_checksum(file: BinaryIO, n_bytes: int) -> int:
    """CRC32 over evenly spread blocks of the rows: enough to notice holes and zeroed pages, cheap at any length."""
    checksum = 0
    last = max(0, n_bytes - _SAMPLE_BYTES)
    for i_sample in range(_N_SAMPLES):
        file.seek(last * i_sample // (_N_SAMPLES - 1))
        checksum = zlib.crc32(file.read(min(_SAMPLE_BYTES, n_bytes)), checksum)
    return checksum


def _trailer(path: Path) -> ScheduleCounts | None:
    """The counts a cache file states, or None when it cannot be trusted."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size < _TRAILER.size:
                return None
            file.seek(size - _TRAILER.size)
            magic, version, both, exch, local, checksum, event_version = _TRAILER.unpack(file.read(_TRAILER.size))
            n_bytes = (both + exch + local) * EVENT.itemsize
            if (magic, version, event_version) != (_MAGIC, CACHE_VERSION, EVENT_VERSION):
                return None
            if size != n_bytes + _TRAILER.size or checksum != _sample_checksum(file, n_bytes):
                return None
    except OSError:
        return None
    return ScheduleCounts(both, exch, local)


def is_whole(path: Path) -> bool:
    """Whether the cache file is there and agrees with its trailer."""
    return _trailer(path) is not None


def counts(path: Path) -> ScheduleCounts:
    """The kinds of scheduled rows in a cache file that `is_whole`."""
    found = _trailer(path)
    assert found is not None
    return found


def build(
    path: Path,
    pieces: Iterable[tuple[np.ndarray, int]],
    channels: Iterable[str],
    progress: Callable[[int, int], None] | None,
    n_total: int,
) -> None:
    """Schedule a tape piece by piece into a cache file.

    pieces: runs of EVENT rows in order of receipt, each with the smallest `ts_exch` of everything after it. Rows that
    cannot be placed yet wait for the next piece, so memory follows the disorder of the clocks, not the tape's length.
    StorageError when the disk refuses.
    """
    totals = np.zeros(3, np.int64)
    carry = np.zeros(0, EVENT)
    n_done = 0
    with replacing(path) as temporary, temporary.open("w+b") as file:
        for piece, later_min in pieces:
            n_done += len(piece)
            carry = joined([carry, picked(piece, channel_mask(piece["kind"], channels))])
            ready, carry = schedule_part(carry, later_min)
            totals += schedule_counts(ready)
            file.write(ready.tobytes())
            if progress is not None:
                progress(n_done, n_total)
        file.flush()
        both, exch, local = (int(total) for total in totals)
        checksum = _sample_checksum(file, (both + exch + local) * EVENT.itemsize)
        file.seek(0, 2)
        file.write(_TRAILER.pack(_MAGIC, CACHE_VERSION, both, exch, local, checksum, EVENT_VERSION))


def open_rows(path: Path) -> np.ndarray:
    """The rows of a cache file that `is_whole`, mapped read-only: (n,) EVENT."""
    n_rows = path.stat().st_size // EVENT.itemsize - 1
    if n_rows == 0:
        return np.zeros(0, EVENT)
    with storage_errors(path, "map"):
        return np.memmap(path, EVENT, "r", shape=(n_rows,))


def read_batches(path: Path, n_rows: int) -> Iterator[np.ndarray]:
    """The rows of a cache file in arrays of at most `n_rows`, read rather than mapped."""
    left = path.stat().st_size // EVENT.itemsize - 1
    with storage_errors(path, "read"), path.open("rb", buffering=0) as file:
        while left > 0:
            rows = np.fromfile(file, EVENT, min(n_rows, left))
            left -= len(rows)
            yield rows
