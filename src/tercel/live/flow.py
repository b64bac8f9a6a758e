"""Rows in, commands out: what connections decoded is journaled and stepped, what the engine commands is journaled and
encoded, before the call returns.

The hot path of a live session, used by `live.driver` alone. It decides nothing about sessions: which connection is open
stands on its link.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.engine.replay import DEAF
from tercel.engine.step import FORGET, START, STOP, TIMERS
from tercel.errors import ConfigError, TercelError
from tercel.live.link import CANCELS, Link
from tercel.model.commands import LEAVE_BY, NEW
from tercel.model.events import HALT, LOCAL
from tercel.model.reasons import DEADLINE, ENDLESS_ANSWERS, NOT_ARMED, NOT_RECONCILED

__all__ = ["Flow", "JournalSink"]

#: Answers at one instant after which a strategy is halted that sends a new order for each.
ROUNDS_MAX = 4096


class JournalSink(Protocol):
    """What the driver needs of a journal; `store.journal` is one.

    cursor_at: address of the CURSOR (`model.cursor`) by which compiled code may append instead of the calls below; None
    where everything must come by them; 0 where nothing is kept at all.
    """

    @property
    def cursor_at(self) -> int | None: ...

    def append(self, rows: int | np.ndarray, n: int) -> None:
        """Keep the first `n` EVENT rows of an array or at an address, in order, before the engine sees them.

        StorageError: nothing more can be kept.
        """
        ...

    def append_commands(self, commands: np.ndarray) -> None:
        """Keep (n,) COMMAND rows in order, before they can leave. StorageError as above."""
        ...

    def note(self, what: int, ts_ns: int) -> None:
        """Keep what the engine is asked beside rows (see engine.replay). StorageError as above."""
        ...


class Flow:
    """One engine between its connections and its journal.

    taps: called with (rows, now_ns) after the engine has seen rows; they must be quick and keep no view. error: what
    the engine or the journal broke with; from then on nothing is stepped and no link is open. is_armed: only tells why
    a command did not leave. now: tells the time at the moment a command with a deadline is to leave; None takes the
    time of the input, which a stall after it does not move. n_too_late: commands that missed their deadline here.
    """

    def __init__(self, engine: Engine, links: Sequence[Link], journal: JournalSink) -> None:
        self.engine = engine
        self.feed = EngineFeed(engine)
        self.links = list(links)
        self.taps: list[Callable[[np.ndarray, int], None]] = []
        self.notes: list[str] = []
        self.error: TercelError | None = None
        self.is_armed = False
        self.n_commands = 0
        self.n_refused = 0
        self.n_too_late = 0
        self.now: Callable[[], int] | None = None
        # Of all the room for commands: one element costs a tenth of what a column of the commands that wait does.
        self._flags = engine.view("commands")["flags"]
        self._journal = journal
        self.owners = _owners(engine, self.links)
        self._only = self.links[0] if len(self.links) == 1 else None
        self._n_rounds = 0
        self._round_ns = -1

    # --- rows in ---------------------------------------------------------------------------------------------------

    def take_rows(self, link: Link, now_ns: int, kept: int = 0, i: int = 0) -> None:
        """Journal and step what a connection has decoded, and what it then answers to commands at once.

        kept: rows that a fast path has journaled; i: of those it has stepped, what they emitted waits in the engine.
        """
        buffer = link.connection.rows
        if self.error is not None:
            buffer.clear()
            return
        feed, journal = self.feed, self._journal
        try:
            while True:
                if feed.has_emitted:
                    self._emit(now_ns)
                if feed.has_failed:
                    self.engine.check()
                n = buffer.n
                if i >= n:
                    break
                if kept < n:
                    if kept:
                        self._count_round(link, now_ns)
                        n = buffer.n
                    if buffer.has_other:
                        buffer.has_other = False
                        link.look_at(buffer.rows[kept:n])
                    # By the buffer's own address where that can be: the journal knows it, and no view is made.
                    if kept:
                        journal.append(buffer.rows[kept:n], n - kept)
                    else:
                        journal.append(buffer.address, n)
                    kept = n
                i = feed.step(buffer.address, i, n)
        except TercelError as error:
            self._break(error)
        if self.taps and kept:
            for tap in self.taps:
                tap(buffer.rows[:kept], now_ns)
        buffer.clear()

    def take_array(self, rows: np.ndarray, now_ns: int) -> None:
        """Journal and step (n,) EVENT that no connection decoded, and what follows from them."""
        if self.error is not None:
            return
        feed = self.feed
        try:
            self._journal.append(rows, len(rows))
            i, n, address = 0, len(rows), rows.ctypes.data
            while i < n:
                i = feed.step(address, i, n)
                if feed.has_emitted:
                    self._emit(now_ns)
                if feed.has_failed:
                    self.engine.check()
        except TercelError as error:
            self._break(error)
        for tap in self.taps:
            tap(rows, now_ns)
        self.settle(now_ns)

    def settle(self, now_ns: int) -> None:
        """Take what connections have written: what they decoded, and their answers to each other's commands."""
        n_passes = 0
        is_settled = False
        while not is_settled:
            is_settled = True
            for link in self.links:
                if link.connection.rows.n:
                    if n_passes:
                        self._count_round(link, now_ns)
                    self.take_rows(link, now_ns)
                    is_settled = self._only is not None
            n_passes += 1

    def _count_round(self, link: Link, now_ns: int) -> None:
        """Count an answer at one instant. A strategy that answers each with a new order would go on forever."""
        if now_ns != self._round_ns:
            self._round_ns, self._n_rounds = now_ns, 0
        self._n_rounds += 1
        if self._n_rounds == ROUNDS_MAX:
            self.notes.append(f"halted: {ROUNDS_MAX} times at one instant the answer to an order made another order")
            link.connection.rows.add(HALT, 0, now_ns, now_ns, reason=ENDLESS_ANSWERS, flags=LOCAL)

    # --- what the driver asks of the engine -------------------------------------------------------------------------

    def deafen(self, now_ns: int) -> None:
        """Rows reach books, orders and money alone until `start`."""
        self._special(DEAF, now_ns)

    def start(self, now_ns: int) -> None:
        """Call every on_start."""
        self._special(START, now_ns)

    def stop(self, now_ns: int) -> None:
        """Call every on_stop, then forget the timers."""
        self._special(STOP, now_ns)
        self._special(FORGET, now_ns)

    def fire_timers(self, now_ns: int) -> None:
        """Fire the timers due before `now_ns`."""
        self._special(TIMERS, now_ns)

    def _special(self, what: int, now_ns: int) -> None:
        """Do what a note says, the note in the journal first."""
        if self.error is not None:
            return
        engine, feed = self.engine, self.feed
        try:
            self._journal.note(what, now_ns)
            if what == DEAF:
                engine.deafen()
            elif what == START:
                engine.start(now_ns)
            elif what == STOP:
                engine.stop(now_ns)
            elif what == FORGET:
                engine.forget_timers()
            else:
                feed.fire_timers(now_ns)
            if what != TIMERS:
                for link in self.links:
                    link.tell_channels()
            while feed.has_emitted:
                self._emit(now_ns)
                if what == TIMERS:
                    feed.fire_timers(now_ns)
            if feed.has_failed:
                engine.check()
        except TercelError as error:
            self._break(error)
        self.settle(now_ns)

    # --- commands out ----------------------------------------------------------------------------------------------

    def _emit(self, now_ns: int) -> None:
        """Journal the commands that wait in the engine and let them leave, or answer them."""
        feed = self.feed
        n = feed.n_commands
        if n:
            commands = feed.commands()
            self._journal.append_commands(commands)
            self.n_commands += n
            flags = self._flags
            for i in range(n):
                if flags.item(i) & LEAVE_BY:
                    commands = self._in_time(commands, now_ns)
                    break
            only = self._only
            if only is not None and only.is_open:
                only.connection.send_commands(commands, now_ns)
            else:
                self._route(commands, now_ns)
        self.n_refused += feed.n_refused
        feed.release()

    def _in_time(self, commands: np.ndarray, now_ns: int) -> np.ndarray:
        """Answer the orders whose time to leave is over, or that would not leave now; the commands that are left.

        The engine has looked at the time of the input. Between that and the wire lie the step, the journal with its
        sync, a pause of the machine: so the time is read again here, as the last thing before the bytes are made. Where
        earlier bytes wait for the venue nobody knows when these would leave: they are not made.
        """
        leaving_ns = now_ns if self.now is None else self.now()
        is_timed = (commands["flags"] & LEAVE_BY != 0) & (commands["kind"] == NEW)
        is_late = is_timed & (commands["expire_ns"] < leaving_ns)
        owners = self.owners[commands["instrument"]]
        for link in self.links:
            if link.is_stalled:
                is_late |= is_timed & (owners == link.i_link)
        if not is_late.any():
            return commands
        late, owners = commands[is_late], owners[is_late]
        self.n_too_late += len(late)
        for link in self.links:
            link.answer(late[owners == link.i_link], DEADLINE, now_ns)
        # What no connection trades is answered with the rest.
        left: np.ndarray = commands[~is_late | (self.owners[commands["instrument"]] < 0)]
        return left

    def _route(self, commands: np.ndarray, now_ns: int) -> None:
        """Give each connection its commands. One that is not open may still send cancels; the rest are answered."""
        owners = self.owners[commands["instrument"]]
        for link in self.links:
            mine = commands[owners == link.i_link]
            if not len(mine):
                continue
            if link.is_open:
                link.connection.send_commands(mine, now_ns)
                continue
            leaves = np.isin(mine["kind"], CANCELS)
            if leaves.any():
                link.connection.send_commands(mine[leaves], now_ns)
            link.answer(mine[~leaves], NOT_RECONCILED if self.is_armed else NOT_ARMED, now_ns)
        orphans = commands[owners < 0]
        if len(orphans):
            # No connection trades these instruments: they are there to be watched.
            self.links[0].answer(orphans, NOT_ARMED, now_ns)

    def _break(self, error: TercelError) -> None:
        """The engine or the journal failed: nothing more is stepped, and what waits does not leave."""
        self.error = self.error or error
        self.feed.release()
        for link in self.links:
            link.is_open = False


def _owners(engine: Engine, links: Sequence[Link]) -> np.ndarray:
    """Instrument -> number of the link that trades it, -1 for none; (n_instruments,) int64."""
    table = np.full(len(engine.instruments), -1, np.int64)
    for link in links:
        for instrument in link.instruments:
            if not 0 <= instrument < len(table):
                raise ConfigError(
                    f"connection {link.name} has instrument number {instrument}, but the engine has {len(table)}; "
                    f"number them as the engine does"
                )
            if table[instrument] >= 0:
                raise ConfigError(
                    f"instrument {engine.instruments[instrument].symbol} belongs to the connections "
                    f"{links[int(table[instrument])].name} and {link.name}; give it to one"
                )
            table[instrument] = link.i_link
    return table
