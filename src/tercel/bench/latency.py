"""What one event costs inside the engine: percentiles by the processor's cycle counter, many strategies, one call.

Questions without a peer. Every event is timed by itself, the timer's own cost included, from before the row is
looked at until the order it caused has passed the risk gate. Called by `run`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tercel.bench.questions import EURUSD, PERP, quote_rows, synthetic_quotes
from tercel.bench.quiet import Watch
from tercel.bench.strategies import EmaWatch, Scalper
from tercel.clock import monotonic_ns
from tercel.engine.engine import Engine
from tercel.engine.step import engine_step
from tercel.errors import DataError
from tercel.jit import address_of, call_entry, cycle_counter, entry, record, records
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT, LOCAL, REJECT
from tercel.strategy.context import CONTEXT

__all__ = ["EventCost", "call_ns", "counter_step", "event_cost", "grouped_percentiles", "strategies_ns"]

_I64 = np.dtype("i8")
_INT64_MAX = (1 << 63) - 1
_EVENT_BYTES = EVENT.itemsize


@entry
def _timed_rows(step: int, base: int, wiring: int, rows: int, n: int, answer: int, cycles: int) -> int:
    """Step rows[0:n] one at a time, through `step`, the address of `engine_step`.

    Returns commands sent, -1 on error. cycles: address of (n,) int64, the cycles each row took. answer: two EVENT rows
    of scratch. Each row is copied into the second before its time is taken: a live row has just been decoded into the
    cache, while every 64th row of a tape is the first of a page that no prefetcher has fetched. Each command is
    answered at once, untimed, with a rejection, so that the order table never fills.
    """
    ctx = record(base, CONTEXT)
    spent = records(cycles, n, _I64)
    reply = record(answer, EVENT)
    tape = records(rows, n, EVENT)
    decoded = records(answer, 2, EVENT)
    at = answer + _EVENT_BYTES
    sent = 0
    for i in range(n):
        decoded[1] = tape[i]
        start = cycle_counter()
        call_entry(step, base, wiring, at, 0, 1, _INT64_MAX)
        spent[i] = cycle_counter() - start
        if ctx.n_emitted != 0:
            if ctx.error != 0:
                return -1
            commands = records(base + ctx.off_commands, ctx.commands_max, COMMAND)
            n_commands = ctx.n_commands
            ctx.n_commands = 0
            ctx.n_refused = 0
            ctx.n_emitted = 0
            for k in range(n_commands):
                reply.ts_exch = ctx.now
                reply.ts_recv = ctx.now
                reply.id = commands[k].id
                reply.qty = commands[k].qty
                reply.side = commands[k].side
                reply.kind = REJECT
                reply.flags = LOCAL
                sent += 1
                call_entry(step, base, wiring, answer, 0, 1, _INT64_MAX)
                ctx.n_emitted = 0
                ctx.n_commands = 0
    return sent


@entry
def _drain(step: int, base: int, wiring: int, rows: int, n: int) -> int:
    """Step rows[0:n] and drop what they emit. Returns commands dropped, -1 on error."""
    ctx = record(base, CONTEXT)
    i = 0
    dropped = 0
    while i < n:
        i = call_entry(step, base, wiring, rows, i, n, _INT64_MAX)
        if ctx.error != 0:
            return -1
        dropped += ctx.n_commands
        ctx.n_commands = 0
        ctx.n_refused = 0
        ctx.n_emitted = 0
    return dropped


class EventCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of one event in ns, timer included. n: events timed. n_orders: orders that went through the gate.

    quantum: ns between two readings the machine's counter can tell apart; on virtual machines it may step by 10 ns.
    Percentiles are those of grouped data: a reading stands for the half quantum on either side of it.
    """

    n: int
    n_orders: int
    quantum: float
    p50: float
    p99: float
    p999: float


def _ns_per_cycle() -> float:
    """Length of one tick of the cycle counter, against the monotonic clock, over about 50 ms."""
    buffer = np.zeros(2, _I64)
    start_ns = monotonic_ns()
    _read_cycles(address_of(buffer), 0)
    while monotonic_ns() - start_ns < 50_000_000:
        pass
    end_ns = monotonic_ns()
    _read_cycles(address_of(buffer), 1)
    return (end_ns - start_ns) / float(buffer[1] - buffer[0])


@entry
def _read_cycles(out: int, i: int) -> int:
    records(out, 2, _I64)[i] = cycle_counter()
    return 0


def counter_step(readings: np.ndarray) -> float:
    """In what steps readings come: 1.0 for a counter that counts every cycle, else the step in cycles.

    A virtual machine's counter may be scaled from a slow one and move 26 cycles at a time, give or take one by
    rounding. Taken as a step is the smallest reading that at least one in a hundred shows, if 99 of 100 readings lie
    within one cycle of its multiples.
    """
    values, counts = np.unique(readings[readings > 0], return_counts=True)
    n = int(counts.sum())
    frequent = values[counts * 100 >= n]
    if len(frequent) == 0 or frequent[0] < 8:
        return 1.0
    few = values < 6 * frequent[0]
    multiples = np.rint(values[few] / frequent[0])
    weights = counts[few] * multiples
    step = float((weights * values[few]).sum() / (weights * multiples).sum())
    near = np.abs(values - np.rint(values / step) * step) <= 1.0 + 0.02 * values / step
    return step if counts[near].sum() * 100 >= 99 * n else 1.0


def grouped_percentiles(readings: np.ndarray, shares: tuple[float, ...]) -> tuple[float, list[float]]:
    """Percentiles of readings of a counter that may only move in steps: the step, and the value of each share.

    readings: (n,) int64, not negative. A reading of k steps is spread evenly over [k - 1/2, k + 1/2) steps, cut off at
    zero, as for grouped data.
    """
    step = counter_step(readings)
    values, counts = np.unique(np.rint(readings / step), return_counts=True)
    below = np.concatenate(([0], np.cumsum(counts)))
    found = []
    for share in shares:
        rank = share * len(readings)
        i = min(int(np.searchsorted(below, rank, side="right")) - 1, len(values) - 1)
        low, high = max(0.0, float(values[i]) - 0.5), float(values[i]) + 0.5
        found.append(step * float(low + (high - low) * (rank - below[i]) / counts[i]))
    return step, found


def _ready(engine: Engine, rows: np.ndarray) -> Engine:
    engine.start(int(rows["ts_recv"][0]))
    engine.take()
    return engine


def event_cost(rows: np.ndarray) -> EventCost:
    """Book, two averages, imbalance, signal, risk and order on every level of an L2 tape; best of three quiet passes.

    rows: scheduled EVENT rows of PERP. Rows the strategy does not see are left out.
    """
    seen = np.ascontiguousarray(rows[(rows["flags"] & LOCAL) != 0])
    cycles, answer = np.zeros(len(seen), _I64), np.zeros(2, EVENT)
    _read_cycles(address_of(cycles), 0)
    unit = _ns_per_cycle()

    def one_pass() -> EventCost:
        engine = _ready(Engine([PERP], [Scalper()]), seen)
        sent = _timed_rows(
            engine_step.address,
            engine.base,
            engine.wiring,
            address_of(seen),
            len(seen),
            address_of(answer),
            address_of(cycles),
        )
        engine.check()
        if sent < 0:
            raise DataError("the latency run stopped on an error the engine does not explain")
        quantum, (p50, p99, p999) = grouped_percentiles(cycles, (0.5, 0.99, 0.999))
        return EventCost(
            n=len(seen), n_orders=sent, quantum=quantum * unit, p50=p50 * unit, p99=p99 * unit, p999=p999 * unit
        )

    costs, _ = Watch().quiet(one_pass, 3)
    return min(costs, key=lambda cost: cost.p99)


def strategies_ns(n_strategies: int = 100, n_events: int = 100_000, n: int = 5) -> float:
    """Median ns per event and strategy, `n_strategies` EMA crosses with a record each on one stream of quotes."""
    rows = quote_rows(*synthetic_quotes(n_events))

    def one_pass() -> int:
        engine = _ready(Engine([EURUSD], [EmaWatch() for _ in range(n_strategies)]), rows)
        start_ns = monotonic_ns()
        _drain(engine_step.address, engine.base, engine.wiring, address_of(rows), len(rows))
        end_ns = monotonic_ns()
        engine.check()
        return end_ns - start_ns

    one_pass()
    spent, _ = Watch().quiet(one_pass, n)
    return float(np.median(spent)) / n_events / n_strategies


def call_ns(n: int = 200_000) -> float:
    """Median ns of one call from Python that steps one row, over 20 blocks of calls."""
    rows = quote_rows(*synthetic_quotes(1))
    engine = _ready(Engine([EURUSD], [EmaWatch()]), rows)
    call: Any = engine_step.call
    base, wiring, address = engine.base, engine.wiring, address_of(rows)
    per_block = n // 20

    def one_block() -> float:
        start_ns = monotonic_ns()
        for _ in range(per_block):
            call(base, wiring, address, 0, 1, _INT64_MAX)
        return (monotonic_ns() - start_ns) / per_block

    one_block()
    blocks, _ = Watch().quiet(one_block, 20)
    engine.check()
    return float(np.median(blocks))
