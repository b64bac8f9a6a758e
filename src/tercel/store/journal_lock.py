"""The lock of a journal: one writer at a time, by a file that the system unlocks when its holder dies.

Called by the journal's writer only.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

from tercel.errors import InUseError
from tercel.store.atomic import storage_errors

__all__ = ["JournalLock"]


class JournalLock:
    """The right to write the journal `path`. InUseError, with name and number of its process, when another has it."""

    def __init__(self, path: Path) -> None:
        file = path / "lock"
        with storage_errors(file, "open the lock"):
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace") or "another process"
            os.close(self._descriptor)
            raise InUseError(
                f"journal {path} is being written by {holder}: stop it, or give this one a journal of its own"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{Path(sys.argv[0]).name or 'python'}, process {os.getpid()}".encode(), 0)

    def release(self) -> None:
        """Let others write."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
