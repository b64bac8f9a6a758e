"""A live driver on a table: plain connections, a journal in memory, a standing that is told what to say."""

from __future__ import annotations

import ctypes
from decimal import Decimal
from typing import Any

import numpy as np

from reference.plain_connection import PlainConnection
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.engine.replay import note, replay
from tercel.live.driver import LiveCore, LiveOptions
from tercel.live.standing import Verdict
from tercel.model.account import AccountReport
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT, event_rows
from tercel.model.instrument import Instrument
from tercel.strategy.contract import Strategy

T0 = 1_700_000_000_000_000_000
MS = 1_000_000
S = 1_000_000_000
SMALL = Capacity(depth_ticks=256, far_levels=64, orders=64, commands=64, timers=16)


def unit(symbol: str = "UNIT") -> Instrument:
    return Instrument(symbol=symbol, tick_size=Decimal(1), lot_size=Decimal(1), quote="USD")


class ListJournal:
    """Rows and commands in memory, in order. fails_after: rows that find room before the disk is full."""

    cursor_at = None

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.commands: list[np.ndarray] = []
        self.error: Exception | None = None

    def append(self, rows: int | np.ndarray, n: int) -> None:
        if self.error is not None:
            raise self.error
        if isinstance(rows, int):
            rows = np.frombuffer((ctypes.c_char * (64 * n)).from_address(rows), EVENT)
        self.rows.append(rows[:n].copy())

    def note(self, what: int, ts_ns: int) -> None:
        self.append(note(what, ts_ns), 1)

    def append_commands(self, commands: np.ndarray) -> None:
        if self.error is not None:
            raise self.error
        self.commands.append(commands.copy())

    def all_rows(self) -> np.ndarray:
        return np.concatenate([event_rows(0), *self.rows])

    def all_commands(self) -> np.ndarray:
        return np.concatenate([np.zeros(0, COMMAND), *self.commands])


class ToldStanding:
    """Gives the verdicts it was handed, and agrees with everything once they are used up."""

    since_ns = 0

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []

    def judge(self, engine: Engine, link: Any, report: AccountReport, now_ns: int) -> Verdict:
        if self.verdicts:
            return self.verdicts.pop(0)
        return Verdict(rows=event_rows(0), commands=np.zeros(0, COMMAND), since_ns=report.ts_ns)


class Bench:
    """A driver with `n_venues` plain venues of one instrument each."""

    def __init__(
        self,
        *strategies: Strategy,
        n_venues: int = 1,
        options: LiveOptions | None = None,
        jit: bool = False,
        **more: Any,
    ) -> None:
        self.instruments = [unit(f"UNIT{i}") for i in range(n_venues)]
        self.strategies, self.jit, self.limits = strategies, jit, more.pop("limits", None)
        self.venues = [PlainConnection(f"plain{i}", {i: self.instruments[i]}) for i in range(n_venues)]
        self.journal, self.standing = ListJournal(), ToldStanding()
        self.engine = self.fresh_engine()
        self.core = LiveCore(self.engine, self.venues, self.journal, self.standing, options=options, **more)
        self.now_ns = T0

    def fresh_engine(self) -> Engine:
        return Engine(self.instruments, self.strategies, capacity=SMALL, jit=self.jit, limits=self.limits)

    def tick(self, ms: float = 1) -> int:
        """Let time pass, waking the driver when it wants to be woken; returns the time."""
        end_ns = self.now_ns + int(ms * MS)
        while self.core.next_wake_ns <= end_ns:
            self.now_ns = max(self.core.next_wake_ns, self.now_ns)
            before = self.core.next_wake_ns
            self.core.on_wake(self.now_ns)
            assert self.core.next_wake_ns > before, "a wake that is due again at once"
        self.now_ns = end_ns
        return end_ns

    def say(self, data: bytes, venue: int = 0, channel: str = "market", ms: float = 1) -> None:
        """A message of a venue, `ms` later."""
        self.core.on_message(venue, channel, data, self.tick(ms))

    def connect(self, venue: int = 0) -> None:
        self.core.on_connected(venue, "market", self.tick())
        self.core.on_connected(venue, "orders", self.tick())

    def report(self, venue: int = 0) -> None:
        """The venue answers what it was asked."""
        connection = self.venues[venue]
        instruments, _, _ = connection.asked.pop(0)
        connection.answer_report(AccountReport(instruments=instruments, ts_ns=self.now_ns))
        self.say(b"[]", venue)

    def begin(self) -> None:
        """Open, connect and reconcile everything."""
        self.core.open(self.tick())
        for i in range(len(self.venues)):
            self.connect(i)
        for i in range(len(self.venues)):
            self.report(i)
            self.venues[i].effects.clear()

    def check_replay(self) -> None:
        """The journal gives the same commands and the same bytes of state again."""
        again = self.fresh_engine()
        commands, _ = replay(again, self.journal.all_rows())
        assert commands.tobytes() == self.journal.all_commands().tobytes()
        assert again.state_hash() == self.engine.state_hash()


def sorted_times(rows: np.ndarray) -> bool:
    """Whether times of receipt never fall."""
    assert rows.dtype == EVENT
    return bool((np.diff(rows["ts_recv"]) >= 0).all())
