"""The state block: one stretch of memory that holds everything an engine knows, and the table of what lies where.

The head is the strategy context; every part lies at an offset the head states, so the block may be copied, hashed,
written to a file and mapped elsewhere. Machine addresses never lie in it: they are in the wiring, beside it.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from tercel.book.l2 import book_bytes
from tercel.config import Capacity
from tercel.execution.routing import ROUTE
from tercel.execution.schedule import PARENT
from tercel.execution.ticks import TICKS
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT
from tercel.model.instrument import INSTRUMENT
from tercel.orders.executions import EXECUTION
from tercel.orders.lifecycle import ORDER
from tercel.orders.positions import POSITION
from tercel.risk.gate import RISK
from tercel.strategy.context import CONTEXT, MARKET_ROW, PROPOSAL, TIMER_ROW
from tercel.strategy.contract import HANDLERS
from tercel.strategy.views import VIEW_STRIDE

__all__ = [
    "BLOCK_VERSION",
    "LISTENER",
    "N_HANDLERS",
    "WIRING",
    "Layout",
    "Part",
    "record_shape",
    "wiring_words",
]

BLOCK_VERSION = 3
N_HANDLERS = len(HANDLERS)
_LINE = 64


class Part(msgspec.Struct, frozen=True):
    """One part of the block: `n` records of `dtype` (None for a book's raw memory) at byte `offset`."""

    name: str
    offset: int
    n: int
    dtype: np.dtype | None
    stride: int


class Layout(msgspec.Struct, frozen=True):
    """What lies where in the block of an engine of these instruments, strategies and maxima."""

    parts: tuple[Part, ...]
    size: int
    n_instruments: int
    state_dtypes: tuple[np.dtype, ...]
    state_offsets: tuple[int, ...]
    capacity: Capacity

    @staticmethod
    def of(n_instruments: int, state_dtypes: tuple[np.dtype, ...], capacity: Capacity) -> Layout:
        """Lay out a block; every part starts on a cache line."""
        parts: list[Part] = []
        at = 0

        def add(name: str, n: int, dtype: np.dtype | None, stride: int) -> int:
            nonlocal at
            parts.append(Part(name, at, n, dtype, stride))
            start = at
            at += -(-n * stride // _LINE) * _LINE
            return start

        add("context", 1, CONTEXT, CONTEXT.itemsize)
        add("view", N_HANDLERS, None, VIEW_STRIDE)
        offsets = tuple(add(f"state{i}", 1, dtype, dtype.itemsize) for i, dtype in enumerate(state_dtypes))
        add("state_table", max(1, len(state_dtypes)), np.dtype("i8"), 8)
        add("instruments", n_instruments, INSTRUMENT, INSTRUMENT.itemsize)
        add("markets", n_instruments, MARKET_ROW, MARKET_ROW.itemsize)
        add("positions", n_instruments, POSITION, POSITION.itemsize)
        add("risk", n_instruments, RISK, RISK.itemsize)
        add("timers", capacity.timers, TIMER_ROW, TIMER_ROW.itemsize)
        add("parents", capacity.parents, PARENT, PARENT.itemsize)
        add("routes", n_instruments, ROUTE, ROUTE.itemsize)
        add("ticks", n_instruments, TICKS, TICKS.itemsize)
        add("open", capacity.orders, np.dtype("i8"), 8)
        add("orders", capacity.orders, ORDER, ORDER.itemsize)
        add("executions", capacity.executions, EXECUTION, EXECUTION.itemsize)
        add("execution_heads", 2 * capacity.executions, np.dtype("i8"), 8)
        add("proposals", capacity.commands, PROPOSAL, PROPOSAL.itemsize)
        add("commands", capacity.commands, COMMAND, COMMAND.itemsize)
        # Refusals keep their EVENT row and the COMMAND they would have been, side by side.
        add("refusals", 2 * capacity.commands, EVENT, EVENT.itemsize)
        stride = -(-book_bytes(capacity.depth_ticks, capacity.far_levels) // _LINE) * _LINE
        add("books", n_instruments, None, stride)
        return Layout(tuple(parts), at, n_instruments, state_dtypes, offsets, capacity)

    @property
    def digest(self) -> int:
        """A number, below 2**63, that engines share whose blocks mean the same byte for byte."""
        parts = [
            (p.name, p.offset, p.n, p.stride, record_shape(p.dtype) if p.dtype is not None else "") for p in self.parts
        ]
        return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1

    def part(self, name: str) -> Part:
        """The part of that name."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)


def record_shape(dtype: np.dtype, prefix: str = "") -> list[tuple[str, str]]:
    """The fields of a record with their types in order, nested ones spelled out; class markers left out.

    Fields lie in this order at the offsets that their types give, so equal shapes are equal layouts.
    """
    if dtype.names is None:
        return [(prefix, str(dtype))]
    found: list[tuple[str, str]] = []
    for name in dtype.names:
        kind = dtype[name]
        if name.startswith("_"):
            continue
        if kind.names:
            found.extend(record_shape(kind, f"{prefix}{name}."))
        else:
            found.append((f"{prefix}{name}", str(kind)))
    return found


#: Head of the wiring, the one place for machine addresses. error: where a handler leaves what it raised. n_strategies.
WIRING = np.dtype([("error", "i8"), ("n_strategies", "i8"), ("spare0", "i8"), ("spare1", "i8")], align=True)

#: A strategy that listens to a kind of event: its handler's address, its record's byte offset, its number.
LISTENER = np.dtype([("fn", "i8"), ("state", "i8"), ("strategy", "i8")], align=True)


def wiring_words(n_strategies: int) -> int:
    """int64 words of the wiring: head, listener counts, the listener lists, then a table [handler][strategy]."""
    return 4 + N_HANDLERS + N_HANDLERS * n_strategies * 4
