"""One segment of a journal being written: a file with its room reserved, mapped into memory.

Called by the journal's writer only, which alone knows what is written where.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

from tercel.store.atomic import storage_errors

__all__ = ["PAGE", "Segment", "boot_id", "sync_directory"]

PAGE = 4096
_MS_SYNC = 4
#: madvise: fault pages in, writable, without changing them (Linux 5.14; older ones say EINVAL and nothing happens).
_POPULATE_WRITE = 23
_libc = ctypes.CDLL(None, use_errno=True)
# Called through ctypes because these release the interpreter's lock, which the methods of mmap do not.
_libc.msync.argtypes = _libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def boot_id() -> str:
    """What the system calls its present boot; empty where it does not say, which equals nothing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def sync_directory(path: Path) -> None:
    """Force a directory's entries to the disk: a new file is found again after a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Segment:
    """A new file of `n_bytes` zeros. map: its memory, at `address`; words: the same as unsigned 32-bit words.

    The disk's room is taken at once, so that a full disk is an error here and never a fault of the process later.
    StorageError when the disk refuses.
    """

    def __init__(self, path: Path, n_bytes: int) -> None:
        self.path = path
        with storage_errors(path, "make the journal segment"):
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            try:
                os.posix_fallocate(self.descriptor, 0, n_bytes)
                os.fsync(self.descriptor)
                sync_directory(path.parent)
                self.map = mmap.mmap(self.descriptor, n_bytes)
            except OSError:
                os.close(self.descriptor)
                path.unlink(missing_ok=True)
                raise
        self.words = memoryview(self.map).cast("I")
        self._anchor: ctypes.c_char | None = ctypes.c_char.from_buffer(self.map)
        self.address = ctypes.addressof(self._anchor)
        self._n_bytes = n_bytes
        self._synced = 0

    def sync(self, end: int) -> None:
        """Force everything before byte `end`, a whole page, to the disk; other threads run meanwhile.

        Only the stretch since the last sync: pages faulted in ahead of the writer stay as they are. StorageError when
        the disk refuses.
        """
        start = self._synced
        if _libc.msync(self.address + start, end - start, _MS_SYNC) != 0:
            with storage_errors(self.path, "sync the journal segment"):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        # The last page may be written again.
        self._synced = end - PAGE

    def populate(self, start: int, end: int) -> None:
        """Fault the pages of [start, end) in, so that the writer does not have to: 6 to 12 us each, beside its path."""
        start, end = start // PAGE * PAGE, min(end, self._n_bytes)
        if start < end:
            _libc.madvise(self.address + start, end - start, _POPULATE_WRITE)

    def close(self, used_bytes: int | None = None) -> None:
        """Unmap; cut the file to `used_bytes`, or remove it when that is 0."""
        if self.descriptor < 0:
            return
        self._anchor = None
        self.words.release()
        self.map.close()
        with storage_errors(self.path, "close the journal segment"):
            if used_bytes:
                os.ftruncate(self.descriptor, used_bytes)
                os.fsync(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1
            if used_bytes == 0:
                self.path.unlink(missing_ok=True)
