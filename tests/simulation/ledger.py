"""The journal of the simulated process: in memory and recovered by replay, or the real one on a disk."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from zlib import adler32

import numpy as np

from tercel.engine.engine import Engine
from tercel.engine.recovery import begin_run, header_of, recover
from tercel.engine.replay import note, replay
from tercel.model.commands import COMMAND
from tercel.model.cursor import CURSOR
from tercel.model.events import EVENT, event_rows
from tercel.store.journal import Journal, Sync
from tercel.store.journal_format import BLOCK_ROWS, commands_of, is_command
from tercel.store.journal_read import open_journal, runs_of


class Ledger:
    """Runs, each begun from the state that the one before ended with. Compiled code appends to a block of memory, which
    is taken over before anything else is appended or read.
    """

    def __init__(self, fresh: Callable[[int], Engine]) -> None:
        self._fresh = fresh
        self._runs: list[tuple[bytes | None, list[np.ndarray], list[np.ndarray]]] = []
        self._block = np.zeros(BLOCK_ROWS, EVENT)
        self._word = np.zeros(1, np.uint32)
        self._cursor = np.zeros(1, CURSOR)
        self._cursor["base"], self._cursor["room"] = self._block.ctypes.data, BLOCK_ROWS
        self._cursor["i_sum"] = (self._word.ctypes.data - self._block.ctypes.data) // 4
        self.cursor_at = self._cursor.ctypes.data

    @property
    def runs(self) -> list[tuple[bytes | None, list[np.ndarray], list[np.ndarray]]]:
        cursor = self._cursor[0]
        if cursor["fill"]:
            rows = self._block[: cursor["fill"]]
            assert adler32(rows.tobytes()) == self._word[0], "the rows that compiled code appended are not what it says"
            self._runs[-1][1].append(rows[~is_command(rows)].copy())
            self._runs[-1][2].append(commands_of(rows))
            cursor["fill"] = cursor["at"] = 0
            cursor["sum"] = 1
        return self._runs

    def begin(self) -> Engine:
        """The engine as the last run left it, with a run number of its own."""
        run = len(self.runs) + 1
        engine = self._fresh(run)
        start = None
        if self.runs:
            _, engine = self.replayed(len(self.runs) - 1)
            engine.head["next_id"] = (run << 32) + 1
            start = engine.snapshot()
        self.runs.append((start, [], []))
        self._cursor["sum"] = 1
        return engine

    def replayed(self, i: int) -> tuple[np.ndarray, Engine]:
        """The commands and the engine that the rows of run `i` give."""
        start, rows, _ = self.runs[i]
        engine = self._fresh(i + 1)
        if start is not None:
            engine.restore(start)
        commands, _ = replay(engine, np.concatenate([event_rows(0), *rows]))
        return commands, engine

    def cut(self) -> None:
        """The process died."""

    def snapshot(self, engine: Engine) -> None:
        """Nothing to keep: every run is replayed from its beginning."""

    def append(self, rows: int | np.ndarray, n: int) -> None:
        if isinstance(rows, int):
            rows = np.frombuffer((ctypes.c_char * (64 * n)).from_address(rows), EVENT)
        self.runs[-1][1].append(rows[:n].copy())

    def append_commands(self, commands: np.ndarray) -> None:
        self.runs[-1][2].append(commands.copy())

    def note(self, what: int, ts_ns: int) -> None:
        self.append(note(what, ts_ns), 1)

    def all_rows(self) -> np.ndarray:
        return np.concatenate([event_rows(0), *(rows for run in self.runs for rows in run[1])])

    def all_commands(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, COMMAND), *(part for run in self.runs for part in run[2])])

    def check_replays(self, said: str, engine: Engine) -> None:
        """Every run replays to its commands, and the last one to the bytes of the living engine."""
        last = engine
        for i, (_, _, commands) in enumerate(self.runs):
            again, last = self.replayed(i)
            had = np.concatenate([np.zeros(0, COMMAND), *commands])
            assert again[: len(had)].tobytes() == had.tobytes(), f"{said}: run {i + 1} replays to other commands"
        assert last.state_hash() == engine.state_hash(), f"{said}: replay gives another state"


class DiskLedger:
    """The same by `store.journal` and `engine.recovery` in a directory."""

    def __init__(self, fresh: Callable[[int], Engine], path: Path) -> None:
        self._fresh = fresh
        self._path = path
        self._journal: Journal | None = None

    @property
    def runs(self) -> list[int]:
        return runs_of(self._path) if self._path.is_dir() else []

    def begin(self) -> Engine:
        """The engine as the last run left it, with a run number of its own."""
        last = self.runs[-1] if self.runs else 0
        engine = self._fresh(last or 1)
        if last:
            recover(engine, open_journal(self._path, last))
            begin_run(engine, last + 1)
        self._journal = Journal(
            self._path, header=header_of(engine, created_ns=0), sync=Sync(every_ms=0), segment_bytes=1 << 20
        )
        self._journal.snapshot(engine.snapshot(), seq=engine.seq)
        self.append = self._journal.append
        self.append_commands = self._journal.append_commands
        self.note = self._journal.note
        self.cursor_at = self._journal.cursor_at
        return engine

    def snapshot(self, engine: Engine) -> None:
        """Keep the engine's state, as a session does now and then."""
        assert self._journal is not None
        self._journal.snapshot(engine.snapshot(), seq=engine.seq)

    def cut(self) -> None:
        """The process died: nothing is synced or cut to its size, but the system takes files and lock back."""
        journal = self._journal
        if journal is None:
            return
        journal._lock.release()
        for segment in (journal._segment, *journal._full, journal._spare):
            if segment is not None:
                segment.close()

    def _rows(self) -> np.ndarray:
        pieces = [piece for run in self.runs for piece in open_journal(self._path, run).pieces(0)]
        return np.concatenate([event_rows(0), *pieces])

    def all_rows(self) -> np.ndarray:
        rows = self._rows()
        found: np.ndarray = rows[~is_command(rows)]
        return found

    def all_commands(self) -> np.ndarray:
        return commands_of(self._rows())

    def check_replays(self, said: str, engine: Engine) -> None:
        """Every run is recovered, which compares its commands; the last one gives the bytes of the living engine."""
        again = engine
        for run in self.runs:
            again = self._fresh(run)
            recover(again, open_journal(self._path, run))
        assert again.state_hash() == engine.state_hash(), f"{said}: recovery gives another state"
