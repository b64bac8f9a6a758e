"""A tape through the live path: the driver that trades, over recorded rows, with nothing but time in place of sockets.

`Player` holds one `LiveCore` over a `TapeSource` on paper and moves it from one thing that is due to the next, as fast
as it goes or at a pace. The engine, the driver and its order of doing things are those of a live session; fills are the
simulated venue's, the same as in a backtest of that tape where answers take longer than rows (see `live.paper`). Called
by `tercel replay` and tests. Nothing here waits: `next_ns` says until when somebody else has to.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.engine.replay import note
from tercel.jit import records
from tercel.live.driver import LiveCore
from tercel.live.flow import JournalSink
from tercel.live.lifecycle import FLUSH, STOPPED
from tercel.live.paper import PaperConnection
from tercel.live.standing import Verdict
from tercel.live.tape_source import TapeSource
from tercel.model.account import AccountReport
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT, event_rows
from tercel.risk.limits import Limits
from tercel.sim.venue import VenueRules
from tercel.store.tape import Tape
from tercel.strategy.contract import Strategy
from tercel.venues.contract import NEVER

__all__ = ["MemoryJournal", "PaperStanding", "Player"]

#: How long before the first row the session opens: the venue answers who we are before the market begins.
_BEFORE_NS = 10_000_000_000


class MemoryJournal:
    """A journal that is kept in memory: rows as the engine was given them, commands as they left."""

    cursor_at = None

    def __init__(self) -> None:
        self._rows: list[np.ndarray] = []
        self._commands: list[np.ndarray] = []

    def append(self, rows: int | np.ndarray, n: int) -> None:
        """Keep the first `n` EVENT rows of an array or at an address."""
        if isinstance(rows, int):
            rows = np.asarray(records(rows, n, EVENT)).view(EVENT)
        self._rows.append(rows[:n].copy())

    def note(self, what: int, ts_ns: int) -> None:
        """Keep what the engine was asked beside rows."""
        self._rows.append(note(what, ts_ns))

    def append_commands(self, commands: np.ndarray) -> None:
        """Keep (n,) COMMAND rows."""
        self._commands.append(commands.copy())

    @property
    def rows(self) -> np.ndarray:
        """Everything the engine was given, (n,) EVENT, with the driver's notes: see `engine.replay`."""
        self._rows = [np.concatenate([event_rows(0), *self._rows])]
        return self._rows[0]

    @property
    def commands(self) -> np.ndarray:
        """Everything that left, (n,) COMMAND."""
        self._commands = [np.concatenate([np.zeros(0, COMMAND), *self._commands])]
        return self._commands[0]


class PaperStanding:
    """The word of a simulated venue that lives in this process: it cannot differ from what it has told us."""

    since_ns = 0

    def judge(self, engine: Engine, link: object, report: AccountReport, now_ns: int) -> Verdict:
        """Agree."""
        return Verdict(rows=event_rows(0), commands=np.zeros(0, COMMAND), since_ns=report.ts_ns)


class Player:
    """One run of strategies over a tape through the live driver.

    journal: where rows and commands go. core: the driver, for views and taps. engine: its engine. source: the tape.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy],
        tape: Tape,
        *,
        rules: VenueRules | None = None,
        limits: Limits | Sequence[Limits] | None = None,
        capacity: Capacity | None = None,
        channels: Sequence[str] | None = None,
        journal: JournalSink | None = None,
        jit: bool = True,
    ) -> None:
        self.tape = tape
        self.journal: JournalSink = MemoryJournal() if journal is None else journal
        self.engine = Engine(tape.instruments, strategies, limits=limits, capacity=capacity, jit=jit)
        self.source = TapeSource.of(tape, channels)
        connection = PaperConnection(self.source, rules, capacity=capacity)
        self.core = LiveCore(self.engine, [connection], self.journal, PaperStanding(), is_arming=False)
        #: As a backtest: strategies start at the earliest time on the tape, the venue's or ours.
        self.start_ns = min(tape.meta.start_ns, *(tape.meta.group_exch_min or [tape.meta.start_ns]))
        self.end_ns = tape.meta.end_ns
        self._is_begun = False

    @property
    def next_ns(self) -> int:
        """Tape time of what is due next; NEVER when everything is over."""
        if not self._is_begun:
            return self.start_ns
        due = self.core.next_wake_ns
        return due if due <= self.end_ns else NEVER

    def step(self) -> None:
        """Do what is due next."""
        if not self._is_begun:
            self._begin()
            return
        self.core.on_wake(self.core.next_wake_ns)

    def play(self, until_ns: int = NEVER) -> int:
        """Do everything due up to tape time `until_ns`; returns when the next thing is due, NEVER at the end."""
        if not self._is_begun:
            self._begin()
        core, last = self.core, min(until_ns, self.end_ns)
        while (due := core.next_wake_ns) <= last:
            core.on_wake(due)
        return self.next_ns

    def finish(self) -> None:
        """The tape is over: disarm, cancel what is open, wait for its answers, close."""
        core = self.core
        core.stop(max(core.now_ns, self.end_ns), "the tape is over")
        while core.state not in (FLUSH, STOPPED) and core.next_wake_ns < NEVER:
            core.on_wake(core.next_wake_ns)
        core.closed()

    def _begin(self) -> None:
        """Open early enough for the venue's first answer, then start the strategies at the tape's beginning."""
        self._is_begun = True
        core = self.core
        core.open(self.start_ns - _BEFORE_NS)
        while core.next_wake_ns < self.start_ns:
            core.on_wake(core.next_wake_ns)
        core.arm(self.start_ns)
