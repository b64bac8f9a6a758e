"""Pinning threads to cores, on Linux. Called by `live` at start; nothing else moves threads.

A pinned loop is not moved in the middle of a message, and its caches stay warm. Whether the core is otherwise empty is
the operator's business.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from tercel.errors import AffinityError

__all__ = ["OwnCore", "n_cores", "permitted_cores", "pin", "pinned"]


def permitted_cores() -> frozenset[int]:
    """The cores the calling thread may run on. Raises AffinityError where the system cannot say."""
    if not hasattr(os, "sched_getaffinity"):
        raise AffinityError("pinning to a core needs Linux; run without it here")
    return frozenset(os.sched_getaffinity(0))


def n_cores(given: int | None = None) -> int:
    """How many cores this process may use, with `given`, which need not be one of them."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    return len(permitted_cores() | ({given} if given is not None else set()))


def pin(cores: int | Iterable[int]) -> frozenset[int]:
    """Pin the calling thread to `cores`, one or several. Returns where it was allowed before.

    Raises AffinityError naming the cores asked for and those permitted.
    """
    wanted = frozenset({cores} if isinstance(cores, int) else cores)
    before = permitted_cores()
    try:
        os.sched_setaffinity(0, wanted)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AffinityError(
            f"cannot pin to core {_names(wanted)}: {reason}; this thread may use {_names(before)}"
        ) from error
    return before


@contextmanager
def pinned(cores: int | Iterable[int]) -> Iterator[None]:
    """The calling thread on `cores` inside the block, and where it was before afterwards."""
    before = pin(cores)
    try:
        yield
    finally:
        pin(before)


class OwnCore:
    """The calling thread on a core that no other thread of this process uses, for as long as the context is open.

    A thread begins where the one that made it may run, so threads made later would come to the same core: call
    `keep_others_off` now and then. It moves them, and those of libraries, to where the process was allowed before.
    Where that was this core alone they stay: `others` is empty then. At the end all go back. What other processes do is
    the system's business; a core that is kept from them (isolcpus, cpusets) may be given although this process is not
    allowed there by itself.

    core: its number. others: where the process's other threads may run. Raises AffinityError on entering.
    """

    def __init__(self, core: int) -> None:
        self.core = core
        self.others: frozenset[int] = frozenset()
        self._before: frozenset[int] = frozenset()
        self._own = 0
        self._known: set[int] = set()
        self._moved: dict[int, set[int]] = {}

    def __enter__(self) -> OwnCore:
        self._before = pin(self.core)
        self.others = self._before - {self.core}
        self._own = threading.get_native_id()
        self._known = {self._own}
        self.keep_others_off()
        return self

    def __exit__(self, *_: object) -> None:
        if threading.get_native_id() == self._own:
            pin(self._before)
        # Only those that still live: numbers of dead threads may be another process's by now.
        for thread in {int(name) for name in os.listdir("/proc/self/task")} & self._moved.keys():
            with suppress(OSError):
                os.sched_setaffinity(thread, self._moved[thread])
        self._moved.clear()

    def keep_others_off(self) -> int:
        """Move threads made since the last call off the core; returns how many were moved. Some microseconds."""
        if not self.others:
            return 0
        found = {int(name) for name in os.listdir("/proc/self/task")}
        n_moved = sum(self._move(thread) for thread in found - self._known)
        self._known = found | {self._own}
        return n_moved

    def _move(self, thread: int) -> bool:
        try:
            allowed = os.sched_getaffinity(thread)
            if self.core not in allowed:
                return False
            os.sched_setaffinity(thread, (allowed - {self.core}) or self.others)
            # A thread that was made meanwhile had the core from its maker alone.
            self._moved[thread] = allowed if allowed != {self.core} else set(self._before)
        except OSError:
            # It has ended meanwhile, or the system keeps it where it is: nothing that could be done here.
            return False
        return True


def _names(cores: frozenset[int]) -> str:
    return ", ".join(str(core) for core in sorted(cores)) or "none"
