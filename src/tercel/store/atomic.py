"""Writing a file so that it is there whole or not at all.

A temporary file in the target's directory is written, synced and renamed over the target. Whatever goes wrong, the
temporary file is removed and a refusal of the disk becomes a `StorageError`. Called by the tape writer and the mapped
cache; knows nothing of what is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tercel.errors import StorageError

__all__ = ["replacing", "scratch_file", "storage_errors"]


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
def scratch_file(near: Path, suffix: str) -> Iterator[Path]:
    """An empty temporary file in the directory of `near`, removed at the end whatever happens."""
    with storage_errors(near, "create a temporary file beside"):
        handle, name = tempfile.mkstemp(prefix=f".{near.name}.", suffix=suffix, dir=near.parent)
        os.close(handle)
    try:
        yield Path(name)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path to write to; on a clean exit it is synced and renamed to `path`, otherwise removed.

    Raises StorageError when the disk refuses.
    """
    with storage_errors(path, "make the directory of"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_file(path, ".tmp") as temporary, storage_errors(path, "write"):
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)


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
