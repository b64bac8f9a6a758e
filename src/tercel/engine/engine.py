"""The engine as a Python object: a state block, wired strategies, `step`, snapshot, restore, hash, hot swap.

Drivers (`sim`, `live`) own an Engine and feed it rows; tests and notebooks may too. Everything that changes state
happens inside the compiled step; this class only sets up, copies and explains.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tercel.book.l2 import book_init
from tercel.config import Capacity
from tercel.engine.calls import wire
from tercel.engine.errors import raise_error
from tercel.engine.layout import BLOCK_VERSION, Layout, record_shape, wiring_words
from tercel.engine.rows import check_rows
from tercel.engine.step import FORGET, START, STOP, TIMERS, engine_step
from tercel.errors import DataError, StrategyError
from tercel.execution.routing import routes_group
from tercel.jit import address_of, entry
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT
from tercel.model.instrument import Instrument
from tercel.model.rowcopy import copied, joined
from tercel.risk.limits import Limits
from tercel.strategy.compiler import CompiledStrategy, compile_strategy
from tercel.strategy.context import CONTEXT, INT64_MAX
from tercel.strategy.contract import Strategy

__all__ = ["Engine"]

#: Order ids of run r start at r << 32, so that no two runs of a journal share one.
_ID_BITS = 32


@entry
def _book_init(address: int, depth_ticks: int, far_levels: int) -> int:
    return book_init(address, depth_ticks, far_levels)


def _underlying(instrument: Instrument) -> tuple[str, ...]:
    """What instruments share that the router may choose between: the same thing, in the same kind of contract."""
    thing = (instrument.base, instrument.quote) if instrument.base and instrument.quote else (instrument.symbol,)
    return (*thing, instrument.kind, str(instrument.contract_value.normalize()))


class Engine:
    """One synchronous, deterministic engine over one block of memory.

    instruments: rows name them by index. strategies: any number, called in this order. limits: one for all
    instruments or one per instrument. run: a number no other run of the same account shares; order ids are made from
    it. jit: False runs the handlers in the interpreter, with breakpoints and prints, to identical results.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        strategies: Sequence[Strategy],
        *,
        limits: Limits | Sequence[Limits] | None = None,
        capacity: Capacity | None = None,
        run: int = 1,
        jit: bool = True,
    ) -> None:
        if not instruments:
            raise DataError("an engine needs at least one instrument")
        if not 0 < run < 1 << (62 - _ID_BITS):
            raise DataError(f"run must be between 1 and {(1 << (62 - _ID_BITS)) - 1}, found {run}")
        self.instruments = list(instruments)
        self.strategies = list(strategies)
        self.capacity = capacity or Capacity()
        self.jit = jit
        self.compiled: list[CompiledStrategy] = [compile_strategy(s, jit=jit) for s in strategies]
        dtypes = tuple(c.dtype for c in self.compiled)
        self.layout = Layout.of(len(self.instruments), dtypes, self.capacity)
        # Aligned to a page, so that the block may be a mapped file; a large block starts as untouched zero pages.
        self._memory = np.zeros(self.layout.size + 4096, np.uint8)
        start = -address_of(self._memory) % 4096
        self.block = self._memory[start : start + self.layout.size]
        self.base = address_of(self.block)
        self._wiring = np.zeros(wiring_words(len(self.strategies)), np.int64)
        self.wiring = address_of(self._wiring)
        self._explained: str | None = None
        self._checked: tuple[int, int] | None = None
        self._silent: np.ndarray | None = None
        self.limits = self._each_limit(limits)
        self._set_up(run, [limit.row(it) for limit, it in zip(self.limits, self.instruments)])
        self._wire()

    def _each_limit(self, limits: Limits | Sequence[Limits] | None) -> list[Limits]:
        if limits is None:
            limits = Limits()
        every = [limits] * len(self.instruments) if isinstance(limits, Limits) else list(limits)
        if len(every) != len(self.instruments):
            raise DataError(f"{len(self.instruments)} instruments need as many limits, found {len(every)}")
        return every

    def _set_up(self, run: int, limit_rows: list[Any]) -> None:
        c, head = self.capacity, self.head
        head["version"] = BLOCK_VERSION
        head["size"] = self.layout.size
        head["n_instruments"] = len(self.instruments)
        head["n_strategies"] = len(self.strategies)
        head["next_id"] = (run << _ID_BITS) + 1
        head["next_timer"] = head["next_mark"] = head["next_parent"] = INT64_MAX
        head["layout"] = self.layout.digest
        head["commands_max"] = head["proposals_max"] = c.commands
        head["orders_max"] = c.orders
        head["timers_max"] = c.timers
        head["executions_max"] = c.executions
        head["parents_max"] = c.parents
        for name in ("instruments", "markets", "books", "positions", "risk", "orders", "open", "proposals", "commands",
                     "refusals", "timers", "state_table", "view", "executions", "execution_heads", "parents", "routes",
                     "ticks"):  # fmt: skip
            head[f"off_{name}"] = self.layout.part(name).offset
        head["book_stride"] = self.layout.part("books").stride
        for i, instrument in enumerate(self.instruments):
            self.view("instruments")[i] = instrument.row()
            self.view("risk")[i] = limit_rows[i]
            _book_init(self.book_address(i), c.depth_ticks, c.far_levels)
        routes_group(
            self.view("routes"), [_underlying(i) for i in self.instruments], [i.venue for i in self.instruments]
        )
        for i, strategy in enumerate(self.strategies):
            strategy.write(self.state(i))
            self.view("state_table")[i] = self.layout.state_offsets[i]

    def _wire(self) -> None:
        wire(self._wiring, [c.addresses for c in self.compiled], self.layout.state_offsets)

    def deafen(self) -> None:
        """Let rows reach books, orders and money alone, and no strategy, until `start` is called.

        For a live driver whose books fill before it may trade: a strategy first hears of a market it can act in.
        """
        silent = np.zeros_like(self._wiring)
        wire(silent, [{} for _ in self.compiled], self.layout.state_offsets)
        self._silent = silent
        self.wiring = address_of(silent)

    # --- looking -------------------------------------------------------------------------------------------------

    @property
    def head(self) -> Any:
        """The context record at the head of the block; a view."""
        return self.view("context")[0]

    def view(self, part: str) -> Any:
        """A part of the block as an array of its records; a view, nothing is copied."""
        p = self.layout.part(part)
        if p.dtype is None:
            return self.block[p.offset : p.offset + p.n * p.stride]
        return self.block[p.offset : p.offset + p.n * p.dtype.itemsize].view(p.dtype)

    def state(self, i: int) -> Any:
        """The record of strategy `i`; a view."""
        return self.view(f"state{i}")[0]

    def book_address(self, instrument: int) -> int:
        """Where an instrument's book lies, for `book.views`."""
        p = self.layout.part("books")
        return self.base + p.offset + instrument * p.stride

    @property
    def now_ns(self) -> int:
        """Time of the last row, int64 ns."""
        return int(self.head["now"])

    @property
    def seq(self) -> int:
        """Rows processed since birth."""
        return int(self.head["seq"])

    # --- running -------------------------------------------------------------------------------------------------

    def start(self, now_ns: int) -> None:
        """Call every on_start. Commands it makes are to be taken before the first row."""
        self.check()
        self.wiring = address_of(self._wiring)
        engine_step(self.base, self.wiring, 0, 0, START, now_ns)
        self.check()

    def step(self, rows: np.ndarray, start: int = 0, until_ns: int = INT64_MAX) -> int:
        """Process rows[start:] up to `until_ns`; returns the index of the first row not processed.

        Stops early after a row that made commands or refusals: `take` them, then call again. Raises what a handler
        raised (StrategyRuntimeError) and what the data broke (DataError, CapacityError); from then on the engine stays
        stopped and each call raises the same. Rows that are malformed or out of time are refused before any is
        processed. Commands that were not taken: nothing is processed.
        """
        self.check()
        if rows.dtype != EVENT or not rows.flags.c_contiguous:
            raise DataError(f"step takes a contiguous array of EVENT rows, found {rows.dtype}")
        known = (address_of(rows), len(rows))
        if start == 0 or known != self._checked:
            # The same rows are given again after each command: they are looked at once.
            check_rows(rows[start:], self.now_ns, start)
            self._checked = known
        i = engine_step(self.base, self.wiring, address_of(rows), start, len(rows), until_ns)
        self.check()
        return i

    def run(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Process all rows; returns every COMMAND and every REFUSED row, those left from before first, in order."""
        commands: list[np.ndarray] = []
        refused: list[np.ndarray] = []
        i = 0
        while i < len(rows) or self.head["n_emitted"]:
            if not self.head["n_emitted"]:
                i = self.step(rows, i)
            sent, refusals = self.take()
            commands.append(sent)
            refused.append(refusals)
        return (
            joined(commands) if commands else np.zeros(0, COMMAND),
            joined(refused) if refused else np.zeros(0, EVENT),
        )

    def fire_timers(self, before_ns: int) -> None:
        """Fire the timers due before `before_ns`; stops after one that emitted: `take`, then call again."""
        self.check()
        engine_step(self.base, self.wiring, 0, 0, TIMERS, before_ns)
        self.check()

    def forget_timers(self) -> None:
        """Drop every timer, and the looks that loss limits take each second: time goes on, but nothing waits for it."""
        engine_step(self.base, self.wiring, 0, 0, FORGET, 0)
        self.check()

    def stop(self, now_ns: int) -> None:
        """Call every on_stop."""
        self.check()
        engine_step(self.base, self.wiring, 0, 0, STOP, now_ns)
        self.check()

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """Take the commands and the REFUSED rows that have gathered; copies, in order."""
        head = self.head
        commands = copied(self.view("commands")[: head["n_commands"]])
        refused = copied(self.view("refusals")[: 2 * head["n_refused"] : 2])
        head["n_commands"] = head["n_refused"] = head["n_emitted"] = 0
        return commands, refused

    def check(self) -> None:
        """Raise what the last step left as an error, in words."""
        if self.head["error"] != 0:
            raise_error(self)

    # --- copying -------------------------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The whole state as bytes."""
        return self.block.tobytes()

    def restore(self, snapshot: bytes) -> None:
        """Put a snapshot of an engine of the same layout back; raises DataError when it is another's."""
        if len(snapshot) != self.layout.size:
            raise DataError(
                f"a snapshot of {len(snapshot)} bytes does not fit an engine of {self.layout.size}: it was taken with "
                f"other instruments, strategies or capacities"
            )
        head = np.frombuffer(snapshot, CONTEXT, 1)[0]
        for name, what in (("version", "version of the block"), ("layout", "layout")):
            if head[name] != self.head[name]:
                raise DataError(
                    f"the snapshot has another {what} than this engine: it was taken with other instruments, "
                    f"strategies or capacities, or by another version; make the engine as it was then"
                )
        self.block[:] = np.frombuffer(snapshot, np.uint8)
        self._explained = None

    def state_hash(self) -> str:
        """A digest of every byte of state: equal states, equal digests."""
        return hashlib.blake2b(self.block.data, digest_size=16).hexdigest()

    # --- changing ------------------------------------------------------------------------------------------------

    def set_parameter(self, i: int, name: str, value: float | int | bool) -> None:
        """Set a scalar field of strategy `i` between rows; nothing is compiled. StrategyError: wrong name or type."""
        strategy = self.strategies[i]
        known = strategy.parameters()
        if name not in known:
            raise StrategyError(
                f"{type(strategy).__name__} has no parameter {name!r}; it has: {', '.join(known) or 'none'}"
            )
        strategy.check_value(name, value)
        self.state(i)[name] = value

    def swap(self, i: int, strategy: Strategy) -> None:
        """Replace the code of strategy `i` between rows. Its record keeps its bytes.

        Refused with a StrategyError that names the fields when the new class's record is another.
        """
        compiled = compile_strategy(strategy, jit=self.jit)
        before, after = record_shape(self.compiled[i].dtype), record_shape(compiled.dtype)
        if before != after:
            names = sorted({n for n, _ in set(before) ^ set(after)})
            raise StrategyError(
                f"cannot swap {self.compiled[i].name} for {compiled.name} while it runs: the record differs in "
                f"{', '.join(names) or 'the order of its fields'}; start a new run instead"
            )
        self.compiled[i] = compiled
        self.strategies[i] = strategy
        self._wire()
