"""The engine as a live driver feeds it: rows by address, nothing looked through, nothing copied.

`Engine.step` looks every row through, because users may hand it anything; that costs more than the step. The rows of a
live driver come from decoders that are held to their format by their tests. Called by `live`.
"""

from __future__ import annotations

import numpy as np

from tercel.engine.engine import Engine
from tercel.engine.step import TIMERS, engine_step
from tercel.jit import address_of
from tercel.strategy.context import CONTEXT, INT64_MAX
from tercel.venues.contract import EngineWords

__all__ = ["EngineFeed"]


def _word(name: str) -> int:
    assert CONTEXT.fields is not None
    return int(CONTEXT.fields[name][1]) // 8


_N_EMITTED, _N_COMMANDS, _N_REFUSED = _word("n_emitted"), _word("n_commands"), _word("n_refused")
_NEXT_TIMER, _ERROR, _N_FILLS = _word("next_timer"), _word("error"), _word("n_fills")
_HALTED, _N_OPEN, _NOW, _STARTED = _word("halted"), _word("n_open"), _word("now"), _word("started_ns")


class EngineFeed:
    """Fast access to one engine. The engine may be used beside it, between calls."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._call = engine_step.call
        self._base = engine.base
        # A memoryview of words gives a plain integer in a fraction of the time that a record takes.
        self._words = memoryview(engine.block[: CONTEXT.itemsize // 8 * 8].data).cast("B").cast("q")
        self._commands = engine.view("commands")
        self._refusals = engine.view("refusals")
        self._compiled: EngineWords | None = None

    def words(self) -> EngineWords:
        """Where a compiled path finds the engine, as it is wired now."""
        base, wiring = self._base, self._engine.wiring
        if self._compiled is not None and self._compiled.wiring == wiring:
            return self._compiled
        self._compiled = EngineWords(
            step=engine_step.address, base=base, wiring=wiring, n_emitted=base + 8 * _N_EMITTED,
            n_commands=base + 8 * _N_COMMANDS, n_refused=base + 8 * _N_REFUSED, error=base + 8 * _ERROR,
            commands=address_of(self._commands),
        )  # fmt: skip
        return self._compiled

    def step(self, address: int, start: int, n: int) -> int:
        """Process rows[start:n] of the EVENT rows at `address`; the index of the first row not processed.

        Stops after a row that made commands or refusals (`has_emitted`) or an error (`has_failed`).
        """
        return self._call(self._base, self._engine.wiring, address, start, n, INT64_MAX)

    def fire_timers(self, before_ns: int) -> None:
        """Fire the timers due before `before_ns`; stops after one that emitted."""
        self._call(self._base, self._engine.wiring, 0, 0, TIMERS, before_ns)

    @property
    def has_emitted(self) -> bool:
        """Whether commands or refusals wait to be taken."""
        return self._words[_N_EMITTED] != 0

    @property
    def has_failed(self) -> bool:
        """Whether the engine stopped for good; `Engine.check` says why."""
        return self._words[_ERROR] != 0

    @property
    def n_commands(self) -> int:
        """Commands that wait."""
        return self._words[_N_COMMANDS]

    @property
    def n_refused(self) -> int:
        """REFUSED rows that wait."""
        return self._words[_N_REFUSED]

    def commands(self) -> np.ndarray:
        """The commands that wait, (n,) COMMAND; a view, good until `release`."""
        return self._commands[: self._words[_N_COMMANDS]]

    def refusals(self) -> np.ndarray:
        """The REFUSED rows that wait, (n,) EVENT; a view, good until `release`."""
        return self._refusals[: 2 * self._words[_N_REFUSED] : 2]

    def release(self) -> None:
        """What waited has been taken."""
        words = self._words
        words[_N_COMMANDS] = words[_N_REFUSED] = words[_N_EMITTED] = 0

    @property
    def next_timer_ns(self) -> int:
        """The earliest deadline, int64 max when there is none. `fire_timers` fires it once time is beyond it."""
        return self._words[_NEXT_TIMER]

    @property
    def now_ns(self) -> int:
        """Time of the last row or timer."""
        return self._words[_NOW]

    @property
    def started_ns(self) -> int:
        """When on_start was called; 0 before it and after on_stop."""
        return self._words[_STARTED]

    @property
    def halted(self) -> int:
        """The reason of the halt that stands, 0 for none."""
        return self._words[_HALTED]

    @property
    def n_open(self) -> int:
        """Orders that live as far as we know."""
        return self._words[_N_OPEN]

    @property
    def n_fills(self) -> int:
        """Fills accounted since birth."""
        return self._words[_N_FILLS]
