"""Writing a file so that it is there whole or not at all.

A temporary file in the target's directory is written, synced and renamed over the target. Whatever goes wrong, the
temporary file is removed and a refusal of the disk becomes a `StorageError`. Called by the tape writer and the mapped
cache; knows nothing of what is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tercel.errors import StorageError

__all__ = ["nameless_file", "replacing", "storage_errors"]


@contextmanager
def storage_errors(path: Path, what: str) -> Iterator[None]:
    """Turn any OSError inside into a StorageError that names `path` and says what was being done."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(
            f"cannot {what} {path}: {reason}; free space or choose another place, nothing half-written was left"
        ) from error


@contextmanager
def nameless_file(near: Path) -> Iterator[IO[bytes]]:
    """A file on the disk of `near` that has no name and vanishes when it is closed or its process dies."""
    with storage_errors(near, "create a temporary file beside"):
        file = tempfile.TemporaryFile(dir=near.parent)  # noqa: SIM115 closed right below
    # Closing flushes, and a full disk refuses that too.
    with storage_errors(near, "spool rows for"), file:
        yield file


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on a clean exit it is synced and renamed to `path`, otherwise removed.

    Raises StorageError when the disk refuses.
    """
    with storage_errors(path, "make the directory of"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with storage_errors(path, "create a temporary file beside"):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with storage_errors(path, "write"):
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    """The process's umask; reading it means setting it for a moment."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
