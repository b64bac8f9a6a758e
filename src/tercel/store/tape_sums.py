"""The checksums of a tape: a block of our own between the data of a Parquet file and its footer.

A Parquet reader that is handed damaged bytes may return other rows, or ask for more memory than there is, which ends
the process. So every byte of a tape is checked before the reader sees it: the footer when a tape is opened, the data
before rows are first read. What stands in the footer counts from the file's beginning, so the file stays one that any
Parquet reader reads. Called by `Tape` and by the writer of tapes; nothing here knows what a row is.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import msgspec

from tercel.errors import DataError
from tercel.store.atomic import storage_errors

__all__ = ["BLOCK_BYTES", "Sums", "add_sums", "check_data", "read_sums"]

#: Magic, size of the data, checksums of data and footer, and of the block up to here.
_BLOCK = struct.Struct("<8sqIII")
BLOCK_BYTES = _BLOCK.size
_MAGIC = b"TERCSUM1"
#: How a Parquet file ends: the size of its footer and the format's magic (parquet.apache.org, File Format, 2024-03).
_END = struct.Struct("<I4s")
_PARQUET = b"PAR1"
_PIECE_BYTES = 1 << 20


class Sums(msgspec.Struct, frozen=True):
    """What a tape says of its own bytes. n_bytes: of the data, from the file's beginning; data_crc: CRC32 of them."""

    n_bytes: int
    data_crc: int


def _data_crc(file: BinaryIO, n_bytes: int) -> int:
    file.seek(0)
    found = 0
    while n_bytes > 0 and (piece := file.read(min(n_bytes, _PIECE_BYTES))):
        found = zlib.crc32(piece, found)
        n_bytes -= len(piece)
    # A file that ends too early must not pass by chance.
    return found if n_bytes == 0 else ~found & 0xFFFFFFFF


def _footer(file: BinaryIO) -> tuple[int, bytes] | None:
    """Where the footer begins, and it with what follows it; None when the file does not end as a Parquet file does."""
    size = file.seek(0, os.SEEK_END)
    if size < _END.size + len(_PARQUET):
        return None
    file.seek(size - _END.size)
    n_footer, magic = _END.unpack(file.read(_END.size))
    start = size - _END.size - n_footer
    if magic != _PARQUET or start < len(_PARQUET):
        return None
    file.seek(start)
    return start, file.read(n_footer + _END.size)


def add_sums(path: Path) -> None:
    """Put checksums into the Parquet file at `path`, in place. StorageError when the disk refuses."""
    with storage_errors(path, "add checksums to"), path.open("r+b") as file:
        found = _footer(file)
        assert found is not None, "the Parquet writer has just written it"
        start, footer = found
        block = _BLOCK.pack(_MAGIC, start, _data_crc(file, start), zlib.crc32(footer), 0)[:-4]
        file.seek(start)
        file.write(block + struct.pack("<I", zlib.crc32(block)) + footer)


def read_sums(path: Path) -> tuple[Sums | None, bytes]:
    """The checksums of a file, and its footer's bytes, which agree with them; None and the footer where it has none.

    DataError: no Parquet file, or a block of checksums that the footer or the block itself does not agree with.
    """
    with storage_errors(path, "read"), path.open("rb") as file:
        found = _footer(file)
        if found is None:
            raise DataError(f"{path} is no tape: not a whole Parquet file; import the source again")
        start, footer = found
        at = start - BLOCK_BYTES
        if at < 0:
            return None, footer
        file.seek(at)
        block = file.read(BLOCK_BYTES)
    magic, n_bytes, data_crc, footer_crc, block_crc = _BLOCK.unpack(block)
    if magic != _MAGIC:
        return None, footer
    if block_crc != zlib.crc32(block[:-4]) or n_bytes != at or footer_crc != zlib.crc32(footer):
        raise DataError(f"{path} is damaged: its end does not agree with its checksums; import the source again")
    return Sums(n_bytes, data_crc), footer


def check_data(path: Path, sums: Sums) -> None:
    """Read the data of a tape once: DataError where a byte of it is not what was written. About a second a gigabyte."""
    with storage_errors(path, "read"), path.open("rb", buffering=0) as file:
        if _data_crc(file, sums.n_bytes) != sums.data_crc:
            raise DataError(f"{path} is damaged: its rows do not agree with their checksum; import the source again")
