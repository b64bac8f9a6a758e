"""The backtest driver: a tape, strategies and venue rules in; a Result out.

`Backtest` may be held and stepped; `backtest` runs one to its end. Rows are mapped, never copied, and pages that both
sides have passed are given back, so that memory does not grow with the tape.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tercel.clock import monotonic_ns
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.engine.replay import note
from tercel.engine.step import FORGET, START, STOP, TIMERS
from tercel.errors import CapacityError, ConfigError, DataError, StrategyRuntimeError
from tercel.jit import address_of, raised_exception
from tercel.model.events import EVENT, EXCH, LOCAL, REFUSED
from tercel.model.instrument import Instrument
from tercel.model.rowcopy import joined, picked
from tercel.model.runlog import RunLog
from tercel.observe.results import Result
from tercel.risk.limits import Limits
from tercel.sim.driver import DONE, ENGINE_ERROR, ERROR_ENDLESS, INSTANT_MAX, LOG_FULL, NEED_ROWS, simulate
from tercel.sim.fees import Fees
from tercel.sim.fifo import ERROR_L3_FULL
from tercel.sim.latency import Latency
from tercel.sim.layout import L3_LEVEL_MAX, L3_ORDER_MAX, RING_MAX
from tercel.sim.queue import QueueModel
from tercel.sim.rows import check_rows
from tercel.sim.venue import SimulatedVenue, VenueRules
from tercel.store.channels import channel_counts, select_channels
from tercel.store.tape import Tape
from tercel.strategy.contract import Strategy

__all__ = ["Backtest", "backtest"]

#: Rows between two visits of the driver: for progress, and to give passed pages back.
_SLICE = 1 << 20
_FEED_HANDLERS = ("on_book", "on_level", "on_trade", "on_quote", "on_bar", "on_signal")

TapeLike = str | Path | Tape | np.ndarray


class Backtest:
    """One run: an engine, a simulated venue, and the rows both go through.

    strategies: one or several. tape: a path, a Tape, or EVENT rows with `instruments`. rules: the venue. limits: the
    risk gate's. sample_s: how often equity is looked at, seconds; by itself a thousandth of the tape, at least 1 s.
    channels: which channels of the tape to use. jit: False runs handlers in the interpreter.
    """

    def __init__(
        self,
        strategies: Strategy | Sequence[Strategy],
        tape: TapeLike,
        *,
        instruments: Sequence[Instrument] | None = None,
        rules: VenueRules | None = None,
        limits: Limits | Sequence[Limits] | None = None,
        capacity: Capacity | None = None,
        sample_s: float | None = None,
        initial_equity: float = 10_000.0,
        channels: Iterable[str] | None = None,
        run: int = 1,
        jit: bool = True,
    ) -> None:
        every = [strategies] if isinstance(strategies, Strategy) else list(strategies)
        if not every:
            raise ConfigError("a backtest needs at least one strategy")
        self.rules = rules or VenueRules()
        self.capacity = capacity or Capacity()
        self.meta: dict[str, Any] = {}
        self.rows, self.instruments = self._open(tape, instruments, channels)
        self.initial_equity = initial_equity
        self.engine = Engine(self.instruments, every, limits=limits, capacity=self.capacity, run=run, jit=jit)
        self.venue = SimulatedVenue(self.instruments, self.rules, self.capacity)
        self._logs: list[tuple[np.ndarray, ...]] = []
        self._elapsed_ns = 0
        self.done = False
        self._last_ns = 0
        self._begin(sample_s)
        self.meta["parameters"] = {type(s).__name__: s.parameters() for s in every}
        self.meta["latency"] = self.rules.latency.describe()
        self.meta["fees"] = f"maker {self.rules.fees.maker:g} bp, taker {self.rules.fees.taker:g} bp"
        queue = self.rules.queue
        self.meta["queue"] = queue if isinstance(queue, str) else type(queue).__name__
        self.meta["partial_fills"] = self.rules.partial_fills

    def _open(
        self, tape: TapeLike, instruments: Sequence[Instrument] | None, channels: Iterable[str] | None
    ) -> tuple[np.ndarray, list[Instrument]]:
        if isinstance(tape, np.ndarray):
            if instruments is None:
                raise ConfigError("rows given as an array need `instruments`")
            if tape.dtype != EVENT:
                raise DataError(f"rows must be EVENT rows, found {tape.dtype}")
            rows, found = np.ascontiguousarray(tape), list(instruments)
            if len(rows) == 0:
                raise DataError("the rows to run through are none")
            check_rows(rows, len(found))
            self._present = set(channel_counts(rows["kind"]))
        else:
            opened = tape if isinstance(tape, Tape) else Tape.open(tape)
            rows, found = opened.rows(channels), list(instruments or opened.instruments)
            if len(rows) == 0:
                raise DataError(f"the tape {opened.path} has no rows to run through")
            if len(found) < len(opened.instruments):
                raise ConfigError(
                    f"the tape {opened.path} has {len(opened.instruments)} instruments, not the {len(found)} named"
                )
            self._present = set(select_channels(opened.meta.channels, channels))
            self.meta["tape"] = str(opened.path)
            self.meta["source"] = opened.meta.source
        if self.rules.queue == "fifo" and "orders" not in self._present:
            raise ConfigError("queue 'fifo' needs a tape with order rows (channel orders); this one has none")
        return rows, found

    def _begin(self, sample_s: float | None) -> None:
        """Start the strategies at the earliest time on the tape."""
        self.start_ns = min(self._first(EXCH, "ts_exch"), self._first(LOCAL, "ts_recv"))
        last = self.rows[-1]
        span_ns = int(max(last["ts_exch"], last["ts_recv"])) - self.start_ns
        if sample_s is None:
            sample_ns = max(1_000_000_000, span_ns // 1000)
        elif sample_s > 0:
            sample_ns = round(sample_s * 1e9)
        else:
            raise ConfigError(f"sample_s must be above 0, found {sample_s}")
        head = self.venue.head
        head["sample_ns"] = sample_ns
        head["next_sample"] = self.start_ns + sample_ns
        handlers = {name for c in self.engine.compiled for name in c.addresses}
        # Rows that are no market data (signals, halts) may make the engine send commands without any handler.
        head["feed_handlers"] = int(bool(handlers.intersection(_FEED_HANDLERS)) or "other" in self._present)
        self.engine.start(self.start_ns)

    def _first(self, flag: int, clock: str) -> int:
        """Time of the first row that a side sees; the end of time when there is none. Looks no further than it must."""
        for start in range(0, len(self.rows), _SLICE):
            part = self.rows[start : start + _SLICE]
            seen = part["flags"] & flag != 0
            if seen.any():
                return int(part[clock][int(np.argmax(seen))])
        return np.iinfo(np.int64).max

    def run(self, progress: Callable[[int, int], None] | None = None) -> Result:
        """Run to the end of the tape. progress(rows done, rows in all) is called now and then."""
        n = len(self.rows)
        visible = 0
        while not self.done:
            visible = min(n, visible + _SLICE)
            self._advance(visible, final=visible == n)
            if progress is not None:
                progress(visible, n)
            self._give_back()
        return self.result()

    def _advance(self, visible: int, *, final: bool) -> None:
        engine, venue = self.engine, self.venue
        arguments = (venue.base, engine.base, engine.wiring, address_of(self.rows), visible, int(final))
        call = simulate.call
        while True:
            before = monotonic_ns()
            status = call(*arguments)
            self._elapsed_ns += monotonic_ns() - before
            if status == LOG_FULL:
                self._logs.append(venue.take_logs())
                continue
            if status == DONE:
                self.done = True
                self._last_ns = engine.now_ns
                engine.stop(engine.now_ns)
                return
            if status == NEED_ROWS:
                return
            if status == ENGINE_ERROR:
                engine.check()
            self._raise_venue_error()

    def journal(self) -> np.ndarray:
        """Everything the engine consumed so far, in its order, as (n,) EVENT: see `engine.replay`.

        Nothing is recorded while running: at equal times the engine sees market rows before answers, so the order
        follows from the rows and the log. Costs a copy of the rows the strategy saw.
        """
        self._take_logs()
        events = self._logs[0][0]
        answers = picked(events, events["kind"] != REFUSED)
        rows = self.rows[: int(self.venue.head["i_local"])]
        rows = picked(rows, rows["flags"] & LOCAL != 0)
        heard = joined([rows, answers])
        heard = picked(heard, np.argsort(heard["ts_recv"], kind="stable"))
        if not self.done:
            return joined([note(START, self.start_ns), heard, note(TIMERS, self.engine.now_ns + 1)])
        # After the last row of the tape no timer fires: answers still on their way come in one by one, without time.
        end_ns = int(self.venue.head["end_ns"])
        late = int(np.searchsorted(heard["ts_recv"], end_ns, side="right"))
        timeless = [note(TIMERS, end_ns + 1), note(FORGET, end_ns + 1)]
        parts = [note(START, self.start_ns), heard[:late], *timeless]
        for i in range(late, len(heard)):
            parts += [heard[i : i + 1], *timeless]
        parts.append(note(STOP, self._last_ns))
        return joined(parts)

    def _raise_venue_error(self) -> None:
        error = int(self.venue.head["error"])
        if error == 2:
            raised = self.venue.queue_raised
            kind, message = (
                (type(raised).__name__, str(raised)) if raised else raised_exception(int(self.venue._error[0]))[:2]
            )
            raise StrategyRuntimeError(
                f"the queue model {self.meta['queue']} raised {kind}: {message} near {self.engine.now_ns} ns"
            ) from raised
        if error == ERROR_ENDLESS:
            raise StrategyRuntimeError(
                f"the strategy sent more than {INSTANT_MAX} messages at {self.engine.now_ns} ns without time passing: "
                f"it answers every answer with a new order; let it wait for a timer, or give orders a latency"
            )
        if error == ERROR_L3_FULL:
            symbol = self.instruments[int(self.venue.head["error_arg"])].symbol
            raise CapacityError(
                f"the venue's order book of {symbol} has more than {L3_ORDER_MAX} orders or {L3_LEVEL_MAX} price "
                f"levels; choose another queue model than fifo"
            )
        raise CapacityError(
            f"more than {RING_MAX} messages were in flight to or from the simulated venue at "
            f"{self.engine.now_ns} ns; send fewer orders or shorten the latency"
        )

    def _give_back(self) -> None:
        """Tell the kernel that mapped pages behind both cursors are not needed any more."""
        mapped = self.rows
        while isinstance(mapped, np.ndarray) and mapped.base is not None and not isinstance(mapped.base, mmap.mmap):
            mapped = mapped.base
        file = getattr(mapped, "base", None)
        if not isinstance(file, mmap.mmap) or not hasattr(file, "madvise"):
            return
        head = self.venue.head
        passed = min(int(head["i_exch"]), int(head["i_local"])) * EVENT.itemsize
        length = passed // mmap.PAGESIZE * mmap.PAGESIZE
        if length > 0:
            file.madvise(mmap.MADV_DONTNEED, 0, length)

    def _take_logs(self) -> None:
        """Join everything logged so far into one set of arrays."""
        self._logs.append(self.venue.take_logs())
        if len(self._logs) > 1:
            self._logs = [tuple(joined(parts) for parts in zip(*self._logs))]

    def result(self) -> Result:
        """What has happened so far."""
        self._take_logs()
        events, event_strategies, commands, command_strategies, refused, samples = self._logs[0]
        return Result(
            RunLog(
                instruments=self.instruments,
                strategies=[c.name for c in self.engine.compiled],
                commands=commands,
                command_strategies=command_strategies,
                events=events,
                event_strategies=event_strategies,
                refused=refused,
                samples=samples,
                start_ns=self.start_ns,
                end_ns=max(self.engine.now_ns, self.start_ns),
                n_rows=len(self.rows),
                elapsed_s=self._elapsed_ns / 1e9,
                initial_equity=self.initial_equity,
                meta=self.meta,
            )
        )


def backtest(
    strategy: Strategy | Sequence[Strategy],
    tape: TapeLike,
    *,
    latency_ms: float | None = None,
    latency: Latency | None = None,
    fees: Fees | None = None,
    queue: str | QueueModel = "power",
    queue_n: float = 3.0,
    partial_fills: bool = True,
    consume: bool = False,
    instruments: Sequence[Instrument] | None = None,
    limits: Limits | Sequence[Limits] | None = None,
    capacity: Capacity | None = None,
    sample_s: float | None = None,
    initial_equity: float = 10_000.0,
    channels: Iterable[str] | None = None,
    jit: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Run strategies over a tape against a simulated venue and return the Result.

    latency_ms: one constant each way; or `latency` for each leg. fees: in basis points. queue, queue_n, partial_fills,
    consume: see VenueRules. The other arguments: see Backtest. Raises ConfigError, DataError, StrategyError.
    """
    if latency is not None and latency_ms is not None:
        raise ConfigError("give latency_ms or latency, not both")
    rules = VenueRules(
        latency=latency or Latency.both(latency_ms or 0.0),
        fees=fees or Fees(),
        queue=queue,
        queue_n=queue_n,
        partial_fills=partial_fills,
        consume=consume,
    )
    run = Backtest(
        strategy,
        tape,
        instruments=instruments,
        rules=rules,
        limits=limits,
        capacity=capacity,
        sample_s=sample_s,
        initial_equity=initial_equity,
        channels=channels,
        jit=jit,
    )
    return run.run(progress)
