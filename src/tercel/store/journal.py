"""The journal's writer: rows go into mapped segments as they come, and are forced to the disk beside the path.

A row is in the journal once `append` has returned: the map is the system's own memory, so a process that dies loses
nothing that was appended. A loss of power loses what was not yet synced (see `Sync`). One writer at a time, held by a
lock. What a run consisted of is read back by `store.journal_read` and brought to life by `engine.recovery`.

Called by the live driver: what it gives the engine, the commands it takes, and notes of what else it asked.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from pathlib import Path
from zlib import adler32, crc32

import msgspec
import numpy as np

from tercel.errors import ConfigError, JournalError, StorageError
from tercel.jit import address_of
from tercel.model.commands import COMMAND
from tercel.model.cursor import AT, BASE, CURSOR, FILL, I_SUM, ROOM, SUM
from tercel.model.events import EVENT, TIMER, event_rows
from tercel.store.atomic import replacing, storage_errors
from tercel.store.journal_format import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    CHECKED_FROM,
    Closed,
    JournalHeader,
    Sync,
    block_constants,
    command_bytes,
    run_directory,
    segment_name,
)
from tercel.store.journal_lock import JournalLock
from tercel.store.journal_segment import Segment, boot_id, sync_directory
from tercel.store.journal_snapshot import write_snapshot

__all__ = ["Journal", "JournalHeader", "Sync"]

_ROW = EVENT.itemsize
#: Sources remembered at once; a driver has one buffer a connection.
_SOURCES_MAX = 256
#: Segments that may wait for their last sync where no thread does it.
_UNSYNCED_MAX = 2
#: How far ahead of the writer pages are faulted in.
_AHEAD_BYTES = 4 << 20


def _bytes_at(address: int, n: int) -> memoryview:
    """`n` rows at an address as bytes; not kept alive, and not read before they are copied."""
    return memoryview((ctypes.c_ubyte * (n * _ROW)).from_address(address)).cast("B")


class Journal:
    """One run of the journal in directory `path`, being written.

    header: what the run is; its run number must be new (`next_run`). sync: when rows are forced to the disk.
    segment_bytes: size of one file, a multiple of 4 KiB; the room of two is taken from the disk. position: rows
    appended, commands and notes among them; synced: how many of them survive a loss of power.

    InUseError when another process writes this journal, JournalError when the run was written before, StorageError
    when the disk refuses; after a StorageError nothing can be appended any more. Not for several threads, but for the
    syncing one, which is its own.
    """

    def __init__(
        self, path: Path, *, header: JournalHeader, sync: Sync | None = None, segment_bytes: int = 64 << 20
    ) -> None:
        if segment_bytes < BLOCK_BYTES or segment_bytes % BLOCK_BYTES:
            raise ConfigError(f"segment_bytes must be a multiple of {BLOCK_BYTES}, found {segment_bytes}")
        self.path = path
        self.header = msgspec.structs.replace(header, boot=boot_id())
        self.run = header.run
        self.directory = run_directory(path, header.run)
        self.synced = 0
        self._sync = sync or Sync()
        self._is_synced_on_order = self._sync.on_order
        self._record = np.zeros(1, CURSOR)
        self._cursor = memoryview(self._record.data).cast("B").cast("q")
        self._segment_bytes = segment_bytes
        self._failure: StorageError | None = None
        self._is_closed = False
        with storage_errors(path, "make the journal"):
            path.mkdir(parents=True, exist_ok=True)
        self._lock = JournalLock(path)
        try:
            self._begin()
        except BaseException:
            self._lock.release()
            raise

    def _begin(self) -> None:
        with storage_errors(self.directory, "make the run"):
            try:
                self.directory.mkdir()
            except FileExistsError:
                raise JournalError(
                    f"run {self.run} of journal {self.path} was already written; a new run takes next_run()"
                ) from None
            sync_directory(self.path)
        with replacing(self.directory / "header.json") as temporary:
            temporary.write_bytes(msgspec.json.format(msgspec.json.encode(self.header)))
        self._n_segments = 0
        self._spare: Segment | None = None
        self._full: list[Segment] = []
        self._sources: dict[int, dict[int, memoryview]] = {}
        self._note = event_rows(1)
        self._sync_lock = threading.Lock()
        self._spare_lock = threading.Lock()
        self._segment = self._make_segment()
        self._map = self._segment.map
        self._sums = self._segment.words
        cursor = self._cursor
        cursor[BASE] = self._segment.address
        cursor[FILL] = cursor[ROOM] = BLOCK_ROWS
        self._block_position = -BLOCK_ROWS
        self._next_at = 0
        #: Segment, byte and first position of the block in work, as one value for the syncing thread.
        self._block = (self._segment, 0, 0)
        self._open_block()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        if self._sync.every_ms > 0:
            self._thread = threading.Thread(target=self._keep_syncing, name="journal-sync", daemon=True)
            self._thread.start()

    # --- appending -----------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Rows appended to this run: events, commands and notes."""
        return self._block_position + self._cursor[FILL]

    @property
    def cursor_at(self) -> int | None:
        """Address of the CURSOR record by which compiled code in the same thread may append as well; None for a journal
        that syncs before each order, which is more than moving a cursor."""
        return None if self._is_synced_on_order else address_of(self._record)

    def append(self, rows: int | np.ndarray, n: int = -1) -> None:
        """Append the first `n` EVENT rows at an address, or of an array (all, if not given); they are copied.

        An address that was seen before costs least: give rows of the same buffer by its own address. StorageError when
        a new segment is due and the disk has no room for it.
        """
        try:
            view = self._sources[rows][n]  # type: ignore[index]
        except (KeyError, TypeError):
            self._append_other(rows, n)
            return
        cursor = self._cursor
        fill = cursor[FILL] + n
        if fill > cursor[ROOM]:
            self._append_bytes(view)
            return
        at = cursor[AT]
        cursor[AT] = end = at + n * _ROW
        self._map[at:end] = view
        # One store of one word publishes the rows: a process that dies in between leaves the block as it was.
        self._sums[cursor[I_SUM]] = cursor[SUM] = adler32(view, cursor[SUM])
        cursor[FILL] = fill

    def append_commands(self, commands: np.ndarray) -> None:
        """Append (n,) COMMAND rows, before they leave; with `Sync(on_order=True)` they are on the disk on return.

        Raises StorageError, too, when the syncing thread has met one: nothing may leave that could be lost.
        """
        if commands.dtype is not COMMAND and commands.dtype != COMMAND:
            raise JournalError(f"append_commands takes an array of COMMAND rows, found {commands.dtype}")
        if self._failure is not None:
            raise self._failure
        n = len(commands)
        if n:
            raw = command_bytes(commands)
            cursor = self._cursor
            fill = cursor[FILL] + n
            if fill > cursor[ROOM]:
                self._append_bytes(memoryview(raw))
            else:
                at = cursor[AT]
                cursor[AT] = end = at + n * _ROW
                self._map[at:end] = raw
                self._sums[cursor[I_SUM]] = cursor[SUM] = adler32(raw, cursor[SUM])
                cursor[FILL] = fill
            if self._is_synced_on_order:
                self.sync()

    def note(self, what: int, ts_ns: int) -> None:
        """Append what the driver asked the engine at `ts_ns` beside rows: START, STOP, TIMERS or FORGET."""
        row = self._note
        row["ts_exch"] = row["ts_recv"] = ts_ns
        row["arg0"] = what
        row["kind"] = TIMER
        self._append_bytes(memoryview(row.tobytes()))

    def _append_other(self, rows: int | np.ndarray, n: int) -> None:
        """Append from an array, from an address not seen before, or more rows than a block has."""
        if not isinstance(rows, int):
            if (rows.dtype is not EVENT and rows.dtype != EVENT) or n > len(rows):
                raise JournalError(f"append takes {n} or more EVENT rows, found {len(rows)} of {rows.dtype}")
            self._append_bytes(memoryview((rows if n < 0 else rows[:n]).tobytes()))
            return
        if n < 0:
            raise JournalError("append by address takes a number of rows")
        if rows not in self._sources:
            if len(self._sources) >= _SOURCES_MAX:
                self._sources.clear()
            source = _bytes_at(rows, BLOCK_ROWS)
            self._sources[rows] = {k: source[: k * _ROW] for k in range(BLOCK_ROWS + 1)}
        self._append_bytes(_bytes_at(rows, n))

    def _append_bytes(self, raw: memoryview) -> None:
        """Append whole rows, a block at a time."""
        if self._failure is not None:
            raise self._failure
        cursor = self._cursor
        done, n_bytes = 0, len(raw)
        while done < n_bytes:
            if cursor[FILL] == BLOCK_ROWS:
                self._open_block()
            n = min((n_bytes - done) // _ROW, BLOCK_ROWS - cursor[FILL])
            part = raw[done : done + n * _ROW]
            at = cursor[AT]
            cursor[AT] = end = at + len(part)
            self._map[at:end] = part
            self._sums[cursor[I_SUM]] = cursor[SUM] = adler32(part, cursor[SUM])
            cursor[FILL] += n
            done += len(part)

    def _open_block(self) -> None:
        """Seal the full block with its checksum, begin the next, in the next segment where this one is full."""
        if self._is_closed:
            raise JournalError(f"run {self.run} of journal {self.path} is closed")
        cursor = self._cursor
        start = self._next_at - BLOCK_BYTES
        if start >= 0:
            self._sums[cursor[I_SUM] - 1] = crc32(self._map[start + CHECKED_FROM : self._next_at])
        if self._next_at == self._segment_bytes:
            self._roll()
        at = self._next_at
        position = self._block_position + BLOCK_ROWS
        constants = block_constants(self.run, position, self.synced)
        self._map[at + CHECKED_FROM : at + _ROW] = constants
        cursor[I_SUM] = at // 4 + 1
        self._sums[at // 4 + 1] = cursor[SUM] = adler32(constants)
        cursor[AT] = at + _ROW
        cursor[FILL] = 0
        self._next_at = at + BLOCK_BYTES
        self._block_position = position
        self._block = (self._segment, at, position)

    # --- segments ------------------------------------------------------------------------------------------------

    def _make_segment(self) -> Segment:
        segment = Segment(self.directory / segment_name(self._n_segments), self._segment_bytes)
        self._n_segments += 1
        return segment

    def _roll(self) -> None:
        """Go on in the next segment, which the syncing thread has ready; without one it is made now."""
        with self._spare_lock:
            fresh, self._spare = self._spare, None
            if fresh is None:
                try:
                    fresh = self._make_segment()
                except StorageError as error:
                    self._fail(error)
                    raise
        self._full.append(self._segment)
        self._segment, self._map, self._sums = fresh, fresh.map, fresh.words
        self._cursor[BASE] = fresh.address
        self._next_at = 0
        if self._thread is None and len(self._full) > _UNSYNCED_MAX:
            self.sync()

    def prepare(self) -> None:
        """Work that the hot path would meet otherwise: the pages ahead faulted in, the next segment made.

        The syncing thread does it after each sync; without one, call it when there is time.
        """
        with self._sync_lock:
            if self._is_closed:
                return
            segment, at, _ = self._block
            segment.populate(at, at + _AHEAD_BYTES)
        if 2 * self._next_at > self._segment_bytes:
            with self._spare_lock:
                if self._spare is None and not self._is_closed:
                    self._spare = self._make_segment()

    # --- durability ----------------------------------------------------------------------------------------------

    def sync(self) -> int:
        """Force everything appended so far to the disk; returns the position that survives a loss of power from now.

        May be called from any thread. StorageError when the disk refuses; from then on the journal takes nothing.
        """
        with self._sync_lock:
            # The block before and after its count: the writer may be in another thread. The position may only be
            # behind what is there; rows appended from here on may be synced as well, and do no harm.
            segment_now, at, first = self._block
            position = first + self._cursor[FILL] if self._block[2] == first else first
            position = max(position, self.synced)
            if position == self.synced or self._is_closed:
                return self.synced
            # What the block holds now stays readable even if its page is torn by a later write.
            segment_now.words[at // 4 + 2] = segment_now.words[at // 4 + 1]
            full = [segment for segment in self._full if segment is not segment_now]
            try:
                for segment in full:
                    segment.sync(self._segment_bytes)
                segment_now.sync(at + BLOCK_BYTES)
            except StorageError as error:
                self._fail(error)
                raise
            for segment in full:
                self._full.remove(segment)
                segment.close()
            self.synced = position
            return position

    def _keep_syncing(self) -> None:
        wait_s = self._sync.every_ms / 1000.0
        while not self._stopping.wait(wait_s):
            self._guarded(self.sync)
            self._guarded(self.prepare)

    def _guarded(self, work: Callable[[], object]) -> None:
        """The thread has nobody to raise to: whoever appends commands next is told."""
        try:
            work()
        except StorageError as error:
            self._fail(error)

    def _fail(self, error: StorageError) -> None:
        """Nothing is taken from here on, by whichever way it comes: the long one says why."""
        self._failure = error
        self._cursor[ROOM] = 0

    def snapshot(self, state: bytes, *, seq: int, position: int | None = None) -> None:
        """Keep the engine's state as it is after `position` rows (now, if not given); the last two are kept.

        state: `Engine.snapshot()`, taken when all rows appended were stepped and all commands appended. seq: the
        engine's. Syncs first, so that no snapshot is ahead of its rows. May be called from any thread, with the
        position of when the state was copied. StorageError when the disk refuses.
        """
        at = self.position if position is None else position
        if self.sync() < at:
            raise JournalError(f"a snapshot at row {at} of a journal with {self.position} rows")
        write_snapshot(self.directory, run=self.run, position=at, seq=seq, state=state)

    def close(self) -> None:
        """Sync, state where the run ended, give up the lock. What stays open otherwise is found by recovery anyway."""
        if self._is_closed:
            return
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        try:
            if self._failure is None:
                position = self.sync()
                with replacing(self.directory / "closed.json") as temporary:
                    temporary.write_bytes(msgspec.json.encode(Closed(position)))
        finally:
            self._is_closed = True
            self._cursor[FILL] = BLOCK_ROWS
            self._cursor[ROOM] = 0
            self._block_position = self.synced - BLOCK_ROWS
            self._next_at, used = self._segment_bytes, self._next_at
            self._sources.clear()
            self._segment.close(used if self._failure is None else None)
            for segment in self._full:
                segment.close()
            if self._spare is not None:
                self._spare.close(0)
            self._lock.release()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
