"""A session told again from its journal: the run log that reports are made from, and proof that it replays.

The engine that is handed in consumes the journal exactly as the session's did; what it commands is compared by the
caller with what left. Nothing is written. Called by `tercel replay`, by the demo and by tests.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.clock import monotonic_ns
from tercel.engine.engine import Engine
from tercel.engine.replay import DEAF
from tercel.engine.step import FORGET, START, STOP, TIMERS
from tercel.errors import DataError
from tercel.model.commands import COMMAND
from tercel.model.events import ACK, EVENT, LOCAL, REFUSED, TIMER, event_rows
from tercel.model.runlog import SAMPLE, RunLog

__all__ = ["recap"]


class _Telling:
    """One pass through a journal."""

    def __init__(self, engine: Engine, sample_ns: int) -> None:
        self.engine = engine
        self.commands: list[np.ndarray] = [np.zeros(0, COMMAND)]
        self.command_strategies: list[int] = []
        self.events: list[np.ndarray] = [event_rows(0)]
        self.event_strategies: list[int] = []
        self.refused: list[np.ndarray] = [np.zeros(0, COMMAND)]
        self.samples: list[Any] = []
        self._sample_ns = sample_ns
        self._next_sample_ns = 0
        self._owners: dict[int, int] = {}

    def take(self) -> bool:
        """Take what the engine emitted; whether there was something."""
        engine = self.engine
        if not engine.head["n_emitted"]:
            return False
        n_refused = int(engine.head["n_refused"])
        pairs = engine.view("refusals")[: 2 * n_refused].copy()
        commands, refusals = engine.take()
        orders = engine.view("orders")
        for id in commands["id"].tolist():
            if id not in self._owners:
                found = np.flatnonzero(orders["id"] == id)
                self._owners[id] = int(orders["strategy"][found[0]]) if len(found) else -1
        self.commands.append(commands)
        self.command_strategies += [self._owners.get(id, -1) for id in commands["id"].tolist()]
        self.events.append(refusals)
        self.event_strategies += refusals["arg1"].tolist()
        if n_refused:
            self.refused.append(pairs[1::2].view(COMMAND))
        return True

    def rows(self, rows: np.ndarray) -> None:
        """Rows between two notes."""
        rows = np.ascontiguousarray(rows[rows["flags"] & LOCAL != 0])
        i = 0
        while i < len(rows):
            if rows[i]["ts_recv"] >= self._next_sample_ns:
                self._sample(int(rows[i]["ts_recv"]))
            before = i
            i = self.engine.step(rows, i, self._next_sample_ns - 1)
            mine = rows[before:i]
            mine = mine[(mine["kind"] >= ACK) & (mine["kind"] <= REFUSED)]
            if len(mine):
                self.events.append(mine.copy())
                self.event_strategies += [self._owners.get(id, -1) for id in mine["id"].tolist()]
            self.take()

    def note(self, what: int, ts_ns: int) -> None:
        """What the driver asked."""
        engine = self.engine
        self.take()
        if what == START:
            engine.start(ts_ns)
        elif what == STOP:
            engine.stop(ts_ns)
        elif what == TIMERS:
            engine.fire_timers(ts_ns)
            while self.take():
                engine.fire_timers(ts_ns)
        elif what == FORGET:
            engine.forget_timers()
        elif what == DEAF:
            engine.deafen()
        else:
            raise DataError(f"a note {what} in the journal means nothing; it is damaged or newer")
        self.take()

    def _sample(self, ts_ns: int) -> None:
        """Look at every account, then at the next full interval."""
        self._next_sample_ns = ts_ns - ts_ns % self._sample_ns + self._sample_ns
        engine = self.engine
        for i, instrument in enumerate(engine.instruments):
            position, market = engine.view("positions")[i], engine.view("markets")[i]
            from tercel.book.views import BookView

            book = BookView(engine.book_address(i))
            bid, ask = book.best(1) or int(market["bid_px"]), book.best(-1) or int(market["ask_px"])
            mark_x2 = bid + ask if bid > 0 and ask > 0 else 2 * int(market["last_px"])
            row = np.zeros(1, SAMPLE)
            row["ts"], row["instrument"] = ts_ns, i
            row["mid"] = mark_x2 * float(instrument.tick_size) / 2
            for name in ("position", "cash", "fee", "funding"):
                row[name] = position[name]
            row["equity"] = _equity(position, instrument, mark_x2)
            self.samples.append(row)


def _equity(position: Any, instrument: Any, mark_x2: int) -> int:
    """As `orders.positions.position_equity`, in Python's integers."""
    lots = int(position["position"])
    worth = int(position["cost"]) if lots else 0
    if lots and mark_x2 > 0:
        top, bottom = lots * mark_x2 * instrument.value, 2
        if instrument.kind == "inverse":
            top, bottom = -2 * lots * instrument.value, mark_x2
        # To the nearest, halves away from zero.
        worth = (2 * abs(top) + bottom) // (2 * bottom) * (1 if top > 0 else -1)
    return int(position["cash"]) + worth - int(position["fee"]) + int(position["funding"])


def recap(
    engine: Engine,
    journal: np.ndarray,
    *,
    sample_s: float = 1.0,
    initial_equity: float = 10_000.0,
    meta: dict[str, Any] | None = None,
) -> RunLog:
    """Feed a journal, (n,) EVENT rows with the driver's notes, to an engine made as the session's was; the run log.

    What on_stop sent is in the log. Raises DataError for a note that means nothing, and what the session raised.
    """
    if journal.dtype != EVENT:
        raise DataError(f"a journal is an array of EVENT rows, found {journal.dtype}")
    told = _Telling(engine, max(1, round(sample_s * 1e9)))
    begun_ns = monotonic_ns()
    notes = np.flatnonzero((journal["kind"] == TIMER) & (journal["flags"] & LOCAL == 0))
    begin = 0
    for i in (*notes.tolist(), len(journal)):
        told.rows(journal[begin:i])
        if i < len(journal):
            told.note(int(journal[i]["arg0"]), int(journal[i]["ts_recv"]))
        begin = i + 1
    elapsed_s = (monotonic_ns() - begun_ns) / 1e9
    local = journal[journal["flags"] & LOCAL != 0]
    times = local["ts_recv"] if len(local) else np.zeros(1, np.int64)
    return RunLog(
        instruments=engine.instruments,
        strategies=[compiled.name for compiled in engine.compiled],
        commands=np.concatenate(told.commands),
        command_strategies=np.array(told.command_strategies, np.int16),
        events=np.concatenate(told.events),
        event_strategies=np.array(told.event_strategies, np.int16),
        refused=np.concatenate(told.refused),
        samples=np.concatenate([np.zeros(0, SAMPLE), *told.samples]),
        start_ns=int(times[0]),
        end_ns=max(int(times[-1]), engine.now_ns),
        n_rows=len(local),
        elapsed_s=elapsed_s,
        initial_equity=initial_equity,
        meta=meta or {},
    )
