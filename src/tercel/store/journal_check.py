"""Where a run's good rows end: every block of its segments against its checksums, and what the end means.

Called by `open_journal` only. Nothing here changes a file.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from zlib import adler32, crc32

import msgspec
import numpy as np

from tercel.store.atomic import storage_errors
from tercel.store.journal_format import BLOCK, BLOCK_BYTES, BLOCK_ROWS, CHECKED_FROM, MAGIC, segment_number

__all__ = ["Damage", "Mapped", "good_rows", "map_segments"]

_ROW = BLOCK_BYTES // (BLOCK_ROWS + 1)
_HEAD = struct.Struct("<IIIIQqqqqb7x")  # sums, spare, magic, run, position, synced, spare, kind
assert _HEAD.size == _ROW
_WORDS = BLOCK_BYTES // 8


class Damage(msgspec.Struct, frozen=True, kw_only=True):
    """Rows that cannot be read. torn: what a loss of power or a kill may leave at the end; not torn: corruption.

    segment, offset: file name and byte of the first block affected. position: rows before it. lost: in words.
    """

    torn: bool
    segment: str
    offset: int
    position: int
    lost: str


class Mapped(msgspec.Struct, frozen=True):
    """A segment file in memory, read-only; n_blocks: whole blocks it has room for."""

    path: Path
    map: mmap.mmap | bytes
    n_blocks: int


def map_segments(directory: Path) -> tuple[list[Mapped], int]:
    """The segments of a run in order, mapped, and how many more there are after a missing one."""
    found: list[Mapped] = []
    numbered = {segment_number(path): path for path in directory.iterdir()}
    numbered.pop(-1, None)
    while (path := numbered.get(len(found))) is not None:
        with storage_errors(path, "map"), path.open("rb") as file:
            size = path.stat().st_size
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        found.append(Mapped(path, data, size // BLOCK_BYTES))
    return found, len(numbered) - len(found)


def _head(segment: Mapped, i_block: int, run: int) -> tuple[int, int, int, int, int] | None:
    """Checksums, position and synced of a block of this run; None when it is not one."""
    found = _HEAD.unpack_from(segment.map, i_block * BLOCK_BYTES)
    if found[4] != MAGIC or found[5] != run or found[9] != BLOCK:
        return None
    return found[0], found[1], found[2], found[6], found[7]


def _is_whole(segment: Mapped, i_block: int, crc: int) -> bool:
    start = i_block * BLOCK_BYTES
    with memoryview(segment.map) as view:
        return crc32(view[start + CHECKED_FROM : start + BLOCK_BYTES]) == crc


def _open_rows(segment: Mapped, i_block: int, now: int, at_sync: int) -> tuple[int, bool]:
    """How many rows of a block that is not whole are good, and whether that is all it says it has.

    now, at_sync: the sum of what it has, and of what it had at the last sync. Rows only grow, so the sum of the sync
    holds even where a later write tore the page. (-1, False) when neither sum is that of any number of rows.
    """
    start = i_block * BLOCK_BYTES
    n_synced = -1
    with memoryview(segment.map) as view:
        found = adler32(view[start + CHECKED_FROM : start + _ROW])
        for n in range(BLOCK_ROWS + 1):
            if n:
                found = adler32(view[start + n * _ROW : start + (n + 1) * _ROW], found)
            if found == now:
                return n, True
            if found == at_sync:
                n_synced = n
    return n_synced, False


def good_rows(
    segments: list[Mapped], n_orphans: int, run: int, start: int, end: int | None
) -> tuple[int, Damage | None]:
    """How many rows of a run can be trusted from row `start` on, and what is wrong where they end.

    n_orphans: segments after a missing one. start: where to begin checking, as after a snapshot. end: how many rows a
    clean end stated, None when there was none. Rows that were surely synced and cannot be read are corruption; what
    else is missing at the end is torn.
    """
    per_segment = segments[0].n_blocks if segments else 0
    i = start // BLOCK_ROWS
    n, damage = 0, ""
    while per_segment and (place := _place(segments, i, per_segment)) is not None:
        segment, k = place
        n_whole = _count_whole(segment, k, run, i * BLOCK_ROWS)
        i += n_whole
        k += n_whole
        if k == segment.n_blocks:
            continue
        n, damage = _last_block(segment, k, run, i * BLOCK_ROWS)
        if n < BLOCK_ROWS:
            break
        i += 1
        n = 0
    position = i * BLOCK_ROWS + n
    if n_orphans and not damage:
        # A segment is begun only when the one before it is full: a missing one held rows that later ones stand on.
        damage = f"a segment is missing before {n_orphans} later ones"
        end = max(end or 0, position + 1)
    return position, _judge(segments, run, position, end, damage, per_segment)


def _count_whole(segment: Mapped, first: int, run: int, position: int) -> int:
    """How many blocks of a segment, from block `first` with row `position` on, are full, in order and undamaged."""
    words = np.frombuffer(segment.map, "<i8", segment.n_blocks * _WORDS).reshape(-1, _WORDS)[first:, :8]
    expected = position + BLOCK_ROWS * np.arange(len(words))
    good = (words[:, 2] == MAGIC) & (words[:, 3] == run) & (words[:, 4] == expected) & (words[:, 7] == BLOCK)
    n = len(good) if good.all() else int(np.argmin(good))
    sums = (words[:n, 0] & 0xFFFFFFFF).tolist()
    start = first * BLOCK_BYTES + CHECKED_FROM
    length = BLOCK_BYTES - CHECKED_FROM
    with memoryview(segment.map) as view:
        for i, crc in enumerate(sums):
            if crc32(view[start : start + length]) != crc:
                return i
            start += BLOCK_BYTES
    return n


def _last_block(segment: Mapped, k: int, run: int, position: int) -> tuple[int, str]:
    """Good rows of a block that is not a whole one, and what is wrong with it, empty for an open or unused block."""
    head = _head(segment, k, run)
    if head is None or head[3] != position:
        is_unused = not any(segment.map[k * BLOCK_BYTES : (k + 1) * BLOCK_BYTES])
        return 0, "" if is_unused else "a block's head is damaged"
    if not any(head[:3]):
        # The process died between beginning the block and its first row. No sum is 0.
        return 0, ""
    n, is_all = _open_rows(segment, k, head[1], head[2])
    if is_all and (n == BLOCK_ROWS or head[0] == 0):
        return n, ""
    return max(n, 0), "a block's rows do not agree with its checksum"


def _place(segments: list[Mapped], i_block: int, per_segment: int) -> tuple[Mapped, int] | None:
    """The segment of the run's block `i_block` and its number there; None beyond the end."""
    i, k = divmod(i_block, per_segment)
    return (segments[i], k) if i < len(segments) and k < segments[i].n_blocks else None


def _judge(
    segments: list[Mapped], run: int, position: int, end: int | None, damage: str, per_segment: int
) -> Damage | None:
    """What it means that the good rows end at `position`."""
    i_block = position // BLOCK_ROWS
    synced, n_later = _later(segments, run, position)
    known = max(synced, end or 0)
    if known <= position and not damage and not n_later:
        return None
    i, k = divmod(i_block, per_segment) if per_segment else (0, 0)
    name = segments[i].path.name if i < len(segments) else f"segment {i} (missing)"
    why = damage or "rows are missing"
    if known > position:
        lost = f"{why}: {known - position} rows or more that were on the disk"
    elif n_later:
        lost = f"{why}: rows that were not yet synced, {n_later} blocks after them among them"
    else:
        lost = f"{why}: rows of its last block, not yet synced"
    return Damage(torn=known <= position, segment=name, offset=k * BLOCK_BYTES, position=position, lost=lost)


def _later(segments: list[Mapped], run: int, position: int) -> tuple[int, int]:
    """Of the good blocks that begin after `position`: how far the run was synced by their word, how many they are."""
    synced = n_later = 0
    for segment in segments:
        words = np.frombuffer(segment.map, "<i8", segment.n_blocks * _WORDS).reshape(-1, _WORDS)[:, :8]
        later = (words[:, 2] == MAGIC) & (words[:, 3] == run) & (words[:, 4] > position) & (words[:, 7] == BLOCK)
        for k in np.flatnonzero(later).tolist():
            head = _head(segment, k, run)
            if head is None:
                continue
            if (head[0] and _is_whole(segment, k, head[0])) or _open_rows(segment, k, head[1], head[2])[0] >= 0:
                n_later += 1
                synced = max(synced, head[4])
    return synced, n_later
