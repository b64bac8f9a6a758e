"""Raw captures: what came over the wire, byte for byte, with the time it came; one line a message, gzip.

A line is the receipt time in nanoseconds, a space, and the message unchanged: what `tercel import` reads. Lines gather
and are written as whole gzip members, one a flush, so that a process that is killed loses what came since the last
flush and leaves a file that reads to its end. Files are rotated and never written over; joined in order of their names
they are one capture. Called by the recorder of the command line; nothing here looks into a message.
"""

from __future__ import annotations

import os
import zlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from tercel.errors import ConfigError, StorageError
from tercel.store.atomic import storage_errors

__all__ = ["CaptureOptions", "CaptureWriter"]

#: Fast enough for a stream, and a fifth of its size; the highest level saves another tenth for five times the work.
_LEVEL = 5
_GZIP = 31


class CaptureOptions(msgspec.Struct, frozen=True, kw_only=True):
    """When lines leave memory and when a new file begins.

    flush_s: oldest line in memory, seconds, as far as messages come. block_bytes: most text in memory. rotate_mb: text
    of one file. rotate_s: time of one file.
    """

    flush_s: float = 1.0
    block_bytes: int = 1 << 18
    rotate_mb: float = 1024.0
    rotate_s: float = 86_400.0

    def __post_init__(self) -> None:
        """Refuse what is not above nothing."""
        for name in self.__struct_fields__:
            if not getattr(self, name) > 0:
                raise ConfigError(f"capture {name} must be above 0, found {getattr(self, name)}")


class CaptureWriter:
    """Writes one stream's messages into `directory`, files named after `name` and the time they begin.

    n_messages, n_bytes: taken so far, text bytes. files: written so far, oldest first. StorageError when the disk
    refuses; what was flushed before stays readable.
    """

    def __init__(self, directory: Path, name: str, options: CaptureOptions | None = None) -> None:
        if not name or Path(name).name != name:
            raise ConfigError(f"a capture's name must be one that a file can have, found {name!r}")
        self.n_messages = self.n_bytes = 0
        self.files: list[Path] = []
        self._directory = directory
        self._name = name
        self._options = options or CaptureOptions()
        self._lines: list[bytes] = []
        self._n_waiting = self._n_in_file = 0
        self._first_ns = self._begun_ns = 0
        self._file: int | None = None
        with storage_errors(directory, "make"):
            directory.mkdir(parents=True, exist_ok=True)

    def write(self, now_ns: int, message: bytes | bytearray | memoryview) -> None:
        """Take one message received at `now_ns`; copied. Writes to the disk when a flush is due."""
        text = bytes(message)
        if b"\n" in text:
            # Between JSON's tokens a line end is white space; inside a string it cannot stand.
            text = text.replace(b"\r", b" ").replace(b"\n", b" ")
        if not self._lines:
            self._first_ns = now_ns
        line = b"%d %b\n" % (now_ns, text)
        self._lines.append(line)
        self._n_waiting += len(line)
        self.n_messages += 1
        self.n_bytes += len(line)
        if self._n_waiting >= self._options.block_bytes or now_ns - self._first_ns >= self._options.flush_s * 1e9:
            self.flush(now_ns)

    def flush(self, now_ns: int) -> None:
        """Write what waits as one gzip member, and begin a new file where one is due."""
        if not self._lines:
            return
        packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
        packed = packer.compress(b"".join(self._lines)) + packer.flush()
        if self._file is None:
            self._open(self._first_ns)
        assert self._file is not None
        with storage_errors(self.files[-1], "write"):
            done = 0
            while done < len(packed):
                done += os.write(self._file, memoryview(packed)[done:])
        self._n_in_file += self._n_waiting
        self._lines.clear()
        self._n_waiting = 0
        options = self._options
        if self._n_in_file >= options.rotate_mb * 1e6 or now_ns - self._begun_ns >= options.rotate_s * 1e9:
            self._close()

    def close(self) -> None:
        """Write what waits, force it to the disk, and end."""
        self.flush(self._first_ns)
        self._close()

    def _open(self, now_ns: int) -> None:
        stamp = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        n = 0
        while self._file is None:
            path = self._directory / f"{self._name}-{stamp}{f'_{n}' if n else ''}.gz"
            try:
                self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            except FileExistsError:
                n += 1
            except OSError as error:
                raise StorageError(
                    f"cannot make {path}: {error.strerror}; free space or choose another place"
                ) from error
        self.files.append(path)
        self._begun_ns, self._n_in_file = now_ns, 0

    def _close(self) -> None:
        if self._file is None:
            return
        with storage_errors(self.files[-1], "write"):
            os.fsync(self._file)
            os.close(self._file)
        self._file = None
