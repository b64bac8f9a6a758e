"""Warm-up: strategies see recorded rows before a session begins, so that their averages are worth something.

What they send meanwhile is answered with rejects at once, as by a venue that is closed; no order leaves. Called by
`live.session` before the journal of the run is begun, which then starts from the state that the warm-up left.
"""

from __future__ import annotations

import numpy as np

from tercel.engine.engine import Engine
from tercel.errors import ConfigError
from tercel.live.link import ANSWER_KINDS
from tercel.model.events import LOCAL
from tercel.model.reasons import NOT_ARMED
from tercel.model.rowbuffer import RowBuffer

__all__ = ["warm_up"]

#: Answers to one row after which a strategy is taken to send an order for every answer.
_ANSWERS_MAX = 1_000


def warm_up(engine: Engine, rows: np.ndarray, now_ns: int) -> None:
    """Start the strategies at the first of `rows`, (n,) EVENT, and let them see all of them.

    ConfigError when rows lie after `now_ns`, or a strategy answers each reject with another order; DataError for rows
    that are malformed; what a handler raises.
    """
    seen = rows[rows["flags"] & LOCAL != 0]
    if not len(seen):
        raise ConfigError("the warm-up has no rows that a strategy would see")
    if int(seen["ts_recv"].max()) > now_ns:
        raise ConfigError("the warm-up has rows from the future: their times must lie before the session's start")
    engine.start(int(seen[0]["ts_recv"]))
    _refuse(engine)
    i = 0
    while i < len(seen):
        i = engine.step(seen, i)
        _refuse(engine)
    # What the market was then is not what it is now; the session's own data fills the books.


def _refuse(engine: Engine) -> None:
    """Answer every command that waits as never sent, and what follows from that."""
    buffer = RowBuffer(64)
    n_answers = 0
    while engine.head["n_emitted"]:
        commands, _ = engine.take()
        buffer.clear()
        for command in commands:
            kind = ANSWER_KINDS.get(int(command["kind"]))
            if kind is not None:
                buffer.add(
                    kind, int(command["instrument"]), engine.now_ns, engine.now_ns, side=int(command["side"]),
                    px=int(command["px"]), qty=int(command["qty"]), id=int(command["id"]), reason=NOT_ARMED,
                    flags=LOCAL,
                )  # fmt: skip
        n_answers += buffer.n
        if n_answers > _ANSWERS_MAX:
            raise ConfigError("a strategy answers each reject with another order: the warm-up would never end")
        _step_whole(engine, buffer.filled().copy())


def _step_whole(engine: Engine, answers: np.ndarray) -> None:
    """Step answers one after another; commands they lead to wait behind the last one that could be stepped."""
    i = 0
    while i < len(answers):
        i = engine.step(answers, i)
        if i < len(answers) and engine.head["n_emitted"]:
            _refuse(engine)
