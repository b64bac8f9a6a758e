"""A session as a driver leaves it in a journal: rows before they are stepped, commands before they leave, notes."""

from __future__ import annotations

import random

import numpy as np

from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.engine.replay import DEAF
from tercel.engine.step import FORGET, START, STOP, TIMERS
from tercel.jit import address_of
from tercel.model.commands import COMMAND
from tercel.model.events import LOCAL, TIMER
from tercel.store.journal import Journal


class ProcessGoneError(Exception):
    """The process ends here."""


class Session:
    """Feeds `rows` (with notes between them, as `Backtest.journal` gives) to an engine and keeps a journal of it.

    die_at: after so many appends the process is gone, before what follows is done; 0 never. sent: every command that
    left. n_stepped: rows and notes done.
    """

    def __init__(self, engine: Engine, journal: Journal, *, seed: int = 1, die_at: int = 0, snapshots: bool = True):
        self.engine, self.journal = engine, journal
        self.feed = EngineFeed(engine)
        self.rng = random.Random(seed)
        self.die_at = die_at
        self.snapshots = snapshots
        self.n_appends = 0
        self.n_done = 0
        self.sent: list[np.ndarray] = [np.zeros(0, COMMAND)]

    def run(self, rows: np.ndarray) -> np.ndarray:
        i = 0
        while i < len(rows):
            n = 1
            if rows[i]["kind"] == TIMER and not rows[i]["flags"] & LOCAL:
                self._note(int(rows[i]["arg0"]), int(rows[i]["ts_recv"]))
            else:
                n = self.rng.choice((1, 1, 3, 20, 400))
                notes = np.flatnonzero((rows["kind"][i : i + n] == TIMER) & (rows["flags"][i : i + n] & LOCAL == 0))
                n = int(notes[0]) if len(notes) else min(n, len(rows) - i)
                self._step(np.ascontiguousarray(rows[i : i + n]))
            i += n
            self.n_done = i
            if self.snapshots and (self.rng.random() < 0.002 or i - n < len(rows) // 2 <= i):
                self.journal.snapshot(self.engine.snapshot(), seq=self.engine.seq)
        return np.concatenate(self.sent)

    def _appended(self) -> None:
        self.n_appends += 1
        if self.n_appends == self.die_at:
            raise ProcessGoneError

    def _step(self, rows: np.ndarray) -> None:
        self.journal.append(rows)
        self._appended()
        i = 0
        while i < len(rows):
            i = self.feed.step(address_of(rows), i, len(rows))
            self._emit()

    def _emit(self) -> bool:
        if not self.feed.has_emitted:
            return False
        commands = self.feed.commands()
        if len(commands):
            self.journal.append_commands(commands)
            self._appended()
            self.sent.append(commands.copy())
        self.feed.release()
        return True

    def _note(self, what: int, ts_ns: int) -> None:
        self.journal.note(what, ts_ns)
        self._appended()
        engine = self.engine
        if what == TIMERS:
            engine.fire_timers(ts_ns)
            while self._emit():
                engine.fire_timers(ts_ns)
            return
        if what == FORGET:
            engine.forget_timers()
        elif what == DEAF:
            engine.deafen()
        else:
            {START: engine.start, STOP: engine.stop}[what](ts_ns)
        self._emit()
