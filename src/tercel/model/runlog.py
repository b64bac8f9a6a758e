"""What a run leaves behind: commands, account events and equity samples, as rows. Reports are computed from it alone.

Written by drivers (`sim`, `live`), read by `observe`. Nothing here computes.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tercel.model.commands import COMMAND
from tercel.model.events import EVENT
from tercel.model.instrument import Instrument

__all__ = ["SAMPLE", "RunLog"]

#: One look at one instrument's account. ts: int64 ns, local time. mid: float64 price the position is marked at (0
#: before the first price). position: int64 lots. cash: int64 money quanta, what fills paid and received (inverse: see
#: orders.positions), without fees. fee: int64 money quanta paid, rebates negative. funding: int64 money quanta
#: received. equity: int64 money quanta, cash - fee + funding + the position's value at mid; starts at 0.
SAMPLE = np.dtype(
    [
        ("ts", "i8"),
        ("mid", "f8"),
        ("position", "i8"),
        ("cash", "i8"),
        ("fee", "i8"),
        ("funding", "i8"),
        ("equity", "i8"),
        ("instrument", "i8"),
    ],
    align=True,
)


class RunLog(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a finished run recorded, in order of time.

    instruments, strategies: by index, as rows name them. commands: (n,) COMMAND rows that passed the gate.
    command_strategies: (n,) int16, which strategy sent each. events: (m,) EVENT rows of account kinds as the strategy
    received them, refusals among them. event_strategies: (m,) int16. refused: (r,) COMMAND rows the gate refused, in
    the order of the REFUSED events. samples: (k,) SAMPLE rows, ordered by ts then instrument. start_ns, end_ns: first
    and last local time. n_rows: market rows processed. elapsed_s: wall seconds inside the engine. initial_equity: per
    instrument, in settlement currency, what statistics divide by. meta: tape name, source, hash, latency, fees,
    parameters, as plain values.
    """

    instruments: list[Instrument]
    strategies: list[str]
    commands: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, COMMAND))
    command_strategies: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, np.int16))
    events: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, EVENT))
    event_strategies: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, np.int16))
    refused: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, COMMAND))
    samples: np.ndarray = msgspec.field(default_factory=lambda: np.zeros(0, SAMPLE))
    start_ns: int = 0
    end_ns: int = 0
    n_rows: int = 0
    elapsed_s: float = 0.0
    initial_equity: float = 10_000.0
    meta: dict[str, Any] = msgspec.field(default_factory=dict)
