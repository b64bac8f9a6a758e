"""Replay: the rows an engine consumed, in order, give the same commands and the same bytes of state again.

A journal is an array of EVENT rows. Rows with the flag LOCAL are what the engine was fed: market rows, answers of the
venue, signals, everything. Between them stand notes of the driver, rows of kind TIMER without that flag, which say what
it asked the engine to do at a time: start, stop, fire timers due before it, forget all timers, or keep the rows that
follow from the strategies until the start (DEAF). Notes between rows are needed only where time passed beyond the last
row, for a row fires the timers before it by itself. Called by drivers and tests.
"""

from __future__ import annotations

import numpy as np

from tercel.engine.engine import Engine
from tercel.engine.step import FORGET, START, STOP, TIMERS
from tercel.errors import DataError
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT, LOCAL, TIMER, event_rows
from tercel.model.rowcopy import joined

__all__ = ["DEAF", "note", "replay"]

#: A note beside those of `engine.step`: `Engine.deafen`.
DEAF = -5


def note(what: int, ts_ns: int) -> np.ndarray:
    """One row of a journal for what a driver asked at `ts_ns`: START, STOP, TIMERS, FORGET of engine.step, or DEAF."""
    row = event_rows(1)
    row["ts_exch"] = row["ts_recv"] = ts_ns
    row["arg0"] = what
    row["kind"] = TIMER
    return row


def replay(engine: Engine, journal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Feed a journal to an engine made as the original was. Returns every COMMAND and every REFUSED row, in order.

    What on_stop sends at the end is left in the engine for the driver to take, as it was. Raises DataError for a note
    that means nothing, and whatever the original run raised.
    """
    if journal.dtype != EVENT:
        raise DataError(f"a journal is an array of EVENT rows, found {journal.dtype}")
    commands: list[np.ndarray] = [np.zeros(0, COMMAND)]
    refused: list[np.ndarray] = [event_rows(0)]

    def take() -> bool:
        """Take what the engine emitted; whether there was something."""
        emitted = bool(engine.head["n_emitted"])
        if emitted:
            sent, refusals = engine.take()
            commands.append(sent)
            refused.append(refusals)
        return emitted

    notes = np.flatnonzero((journal["kind"] == TIMER) & (journal["flags"] & LOCAL == 0))
    begin = 0
    for i in (*notes.tolist(), len(journal)):
        if i > begin:
            sent, refusals = engine.run(np.ascontiguousarray(journal[begin:i]))
            commands.append(sent)
            refused.append(refusals)
        begin = i + 1
        if i == len(journal):
            break
        what, ts_ns = int(journal[i]["arg0"]), int(journal[i]["ts_recv"])
        take()
        if what == START:
            engine.start(ts_ns)
        elif what == STOP:
            engine.stop(ts_ns)
        elif what == TIMERS:
            engine.fire_timers(ts_ns)
            while take():
                engine.fire_timers(ts_ns)
        elif what == FORGET:
            engine.forget_timers()
        elif what == DEAF:
            engine.deafen()
        else:
            raise DataError(f"row {i} of the journal is a note {what}, which means nothing; it is damaged or newer")
    return joined(commands), joined(refused)
