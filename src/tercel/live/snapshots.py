"""Snapshots of the engine while a session runs, so that the recovery of a long run is short.

On the loop's thread the state is only copied, between two inputs and, where there is one, at a moment when nothing
came in for a while; syncing, checksums and the file are a thread's. One at a time. A snapshot that the disk refuses is
logged and tried again: the journal alone is enough to recover from. Called by `live.session`, once a second.
"""

from __future__ import annotations

import asyncio
import logging

import msgspec
import numpy as np

from tercel.clock import Clock
from tercel.errors import TercelError
from tercel.live.driver import LiveCore
from tercel.live.lifecycle import TRADING
from tercel.runtime.offload import Offload
from tercel.store.journal import Journal

__all__ = ["Snapshots", "SnapshotsReport"]

_log = logging.getLogger(__name__)

#: A moment is quiet when the last input is this old; after so many looks without one the copy is made all the same.
_QUIET_NS = 2_000_000
_PATIENCE = 10


class SnapshotsReport(msgspec.Struct, frozen=True):
    """n_taken, n_failed: whole ones, and those that the disk refused. copy_ns_max: the longest that the loop stood for
    one. write_ns_max: the longest that the thread took to write it.
    """

    n_taken: int = 0
    n_failed: int = 0
    copy_ns_max: int = 0
    write_ns_max: int = 0


class Snapshots:
    """Takes a snapshot of `core`'s engine every `every_s` seconds while it trades; 0: never."""

    def __init__(self, core: LiveCore, journal: Journal, clock: Clock, every_s: float) -> None:
        self._core, self._journal, self._clock = core, journal, clock
        self._every_ns = int(every_s * 1e9)
        self._due_ns = clock.monotonic_ns() + self._every_ns
        self._n_looks = 0
        self._offload = Offload(clock=clock)
        self._task: asyncio.Task[None] | None = None
        # Made and touched once: a fresh allocation would cost the loop a page fault for each 4 KiB.
        self._copy = core.engine.block.copy() if every_s else np.zeros(0, np.uint8)
        self.report = SnapshotsReport()

    def look(self) -> None:
        """Take one where it is due. From the loop, between inputs: every row was stepped, every command written."""
        now_ns = self._clock.monotonic_ns()
        core = self._core
        if not self._every_ns or now_ns < self._due_ns or self._task is not None:
            return
        if core.state != TRADING or core.error is not None:
            return
        self._n_looks += 1
        if self._n_looks < _PATIENCE and self._clock.wall_ns() - core.now_ns < _QUIET_NS:
            return
        self._n_looks, self._due_ns = 0, now_ns + self._every_ns
        position, seq = self._journal.position, core.engine.seq
        np.copyto(self._copy, core.engine.block)
        self._count(copy_ns_max=self._clock.monotonic_ns() - now_ns)
        self._task = asyncio.get_running_loop().create_task(self._write(position, seq), name="snapshot")

    async def _write(self, position: int, seq: int) -> None:
        begun_ns = self._clock.monotonic_ns()
        try:
            await self._offload.run(self._keep, position, seq)
        except TercelError as error:
            _log.warning("no snapshot at row %d: %s", position, error)
            self._count(n_failed=1)
        else:
            self._count(n_taken=1, write_ns_max=self._clock.monotonic_ns() - begun_ns)
        finally:
            self._task = None

    def _keep(self, position: int, seq: int) -> None:
        """In a thread: force the rows to the disk, then write the state that they led to."""
        self._journal.snapshot(self._copy.tobytes(), seq=seq, position=position)

    def _count(self, n_taken: int = 0, n_failed: int = 0, copy_ns_max: int = 0, write_ns_max: int = 0) -> None:
        was = self.report
        self.report = SnapshotsReport(
            was.n_taken + n_taken,
            was.n_failed + n_failed,
            max(was.copy_ns_max, copy_ns_max),
            max(was.write_ns_max, write_ns_max),
        )

    async def end(self) -> None:
        """Wait for the one that is being written. Before the journal is closed."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
        self._offload.close(1.0)
