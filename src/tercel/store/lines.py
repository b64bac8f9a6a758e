"""Reads text files line by line, whatever they are packed in, and knows where it is when something is wrong.

Plain, gzip, xz and single-member zip files; a truncated or corrupt file is named with the line it breaks at. Bytes read
are hashed on the way, so a source is read once. Also here: what to do with a bad line, stop or skip and count. Called
by every importer.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from tercel.errors import ConfigError, DataError, TercelError
from tercel.store.atomic import storage_errors

__all__ = ["BadLines", "Progress", "SourceLines", "shortened"]

#: Called with compressed bytes done and compressed bytes in all.
Progress = Callable[[int, int], None]

_CHUNK = 1 << 18
#: The longest text of a file that an error message repeats, in characters.
_SHOWN_MAX = 400


def shortened(text: str) -> str:
    """`text`, or its beginning and its end where a damaged file made it long."""
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 100]} ... {text[-100:]}"


class BadLines:
    """The policy for lines that cannot be used: "stop" raises at the first, "skip" leaves them out and counts them."""

    def __init__(self, path: Path, on_bad_line: str) -> None:
        if on_bad_line not in ("stop", "skip"):
            raise ConfigError(f'on_bad_line must be "stop" or "skip", found {on_bad_line!r}')
        self.path = path
        self.stops = on_bad_line == "stop"
        self.skipped: dict[str, int] = {}

    def bad(self, line: int, reason: str, what: str, error: type[TercelError] = DataError) -> None:
        """Report line number `line`: raise `error` saying `what`, or count it under `reason`."""
        if self.stops:
            what = shortened(what)
            raise error(f"{self.path}, line {line}: {what}; mend the file, or skip such lines with on_bad_line=skip")
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


class SourceLines:
    """The lines of a file, in blocks. After the last block `sha256` is the digest of the file as it is on disk."""

    def __init__(self, path: Path, bad_lines: BadLines, progress: Progress | None = None) -> None:
        if not path.is_file():
            raise DataError(f"no file at {path}")
        self.path = path
        self.sha256 = ""
        self.member = ""
        self._bad_lines = bad_lines
        self._progress = progress
        self._n_lines = 0

    def __iter__(self) -> Iterator[tuple[int, list[bytes]]]:
        """Blocks of (1-based number of the first line, lines without their line ends)."""
        rest = b""
        chunks = self._decompressed()
        while True:
            try:
                chunk = next(chunks)
            except StopIteration:
                break
            except (zlib.error, lzma.LZMAError, EOFError, zipfile.BadZipFile) as error:
                # What follows cannot be read, and a half line must not be taken for a whole one.
                self._bad_lines.bad(self._n_lines + 1, "broken_compression", self._broken(error))
                rest = b""
                break
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if lines:
                yield self._n_lines + 1, lines
                self._n_lines += len(lines)
        if rest:
            yield self._n_lines + 1, [rest]
            self._n_lines += 1

    def _broken(self, error: Exception) -> str:
        if isinstance(error, EOFError):
            return "the compressed file is truncated here: its end is missing, fetch it again"
        return f"the compressed data is corrupt from here on ({error}), fetch the file again"

    def _decompressed(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        total = self.path.stat().st_size
        with storage_errors(self.path, "read"), self.path.open("rb") as file:
            magic = file.read(6)
            file.seek(0)

            def raw() -> Iterator[bytes]:
                n_done = 0
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                    n_done += len(chunk)
                    yield chunk
                    if self._progress is not None:
                        self._progress(n_done, total)

            if magic[:4] == b"PK\x03\x04":
                yield from _named(self._unzipped(b"".join(raw())))
            elif magic[:2] == b"\x1f\x8b":
                yield from _unpacked(raw(), lambda: zlib.decompressobj(wbits=31))
            elif magic == b"\xfd7zXZ\x00":
                yield from _unpacked(raw(), lzma.LZMADecompressor)
            else:
                yield from raw()
        self.sha256 = digest.hexdigest()

    def _unzipped(self, packed: bytes) -> Iterator[bytes]:
        with zipfile.ZipFile(io.BytesIO(packed)) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            if len(members) != 1:
                _refuse(f"{self.path} holds {len(members)} files: expected a zip with one, unpack it first")
            self.member = members[0].filename
            with archive.open(members[0]) as file:
                yield from _read_all(file)


def _named(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What `zipfile` says of damaged archives, which is much, as BadZipFile."""
    try:
        yield from chunks
    except TercelError:
        raise
    except (ValueError, RuntimeError, LookupError, ArithmeticError, struct.error) as error:
        # NotImplementedError is a RuntimeError: another compression, or a password.
        raise zipfile.BadZipFile(f"{type(error).__name__}: {error}") from error


def _refuse(message: str) -> NoReturn:
    raise DataError(message)


def _read_all(file: Any) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _unpacked(packed: Iterator[bytes], make: Callable[[], Any]) -> Iterator[bytes]:
    """Decompress a stream of one or several members; EOFError when the last one has no end."""
    unpacker = make()
    fresh = True
    for chunk in packed:
        data = chunk
        while data:
            if unpacker.eof:
                if not data.strip(b"\0"):
                    break  # padding between and after members
                unpacker = make()
            fresh = False
            out = unpacker.decompress(data)
            if out:
                yield out
            data = unpacker.unused_data if unpacker.eof else b""
    if not fresh and not unpacker.eof:
        raise EOFError
