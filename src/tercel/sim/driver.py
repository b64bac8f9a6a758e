"""The loop of a backtest: the venue and the strategy run through the same rows, each by its own clock.

The venue sees a row at exchange time, the strategy at local time. Neither waits for the other row by row: a side runs
ahead as far as nothing the other side may still do can reach it. An order the strategy sends at t reaches the venue no
earlier than t plus the fastest entry latency, and an answer the venue gives at t arrives no earlier than t plus the
fastest answer latency; between such times each side runs through its rows in a tight loop (conservative lookahead, as
in parallel discrete-event simulation: K. M. Chandy and J. Misra, 1979). With latency zero both go in step.

At equal times: market data at the strategy, then answers, then timers; market data at the venue, then orders that
expire, then requests in the order they were sent. The run ends with the last row of the tape: requests and answers on
their way then still arrive, but no timer fires, and what a strategy asks for after that time is not sent. Kernels;
`sim.backtest` sets up and visits when a log fills or rows run out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.engine.proposals import mark_x2
from tercel.engine.step import FORGET, TIMERS
from tercel.jit import call_entry, cold_kernel, entry, inline_kernel, kernel, record, records
from tercel.model.commands import BRACKET, COMMAND, LINK, NEW
from tercel.model.events import EVENT, EXCH, LOCAL
from tercel.model.instrument import INSTRUMENT
from tercel.model.runlog import SAMPLE
from tercel.orders.lifecycle import ORDER
from tercel.orders.positions import POSITION, position_equity
from tercel.orders.table import order_find
from tercel.sim.answers import ERROR_RING_FULL
from tercel.sim.entering import wake
from tercel.sim.exchange import expire, market_row
from tercel.sim.latency import leg_latency
from tercel.sim.layout import LOG_MAX, RING_MAX, VENUE
from tercel.sim.requests import request
from tercel.strategy.context import CONTEXT

__all__ = [
    "DONE", "ENGINE_ERROR", "ERROR_ENDLESS", "INSTANT_MAX", "LOG_FULL", "NEED_ROWS", "VENUE_ERROR", "parent_of", "post",
    "run_venue", "simulate",
]  # fmt: skip

#: Messages one instant may see, and what more of them leave in the head: without latency, a strategy that answers
#: every answer would go on forever.
INSTANT_MAX = 1 << 16
ERROR_ENDLESS = 4
DONE, NEED_ROWS, LOG_FULL, ENGINE_ERROR, VENUE_ERROR = 0, 1, 2, 3, 4
INT64_MAX = (1 << 63) - 1
#: Rows the strategy may run ahead of an idle venue: half of what a second-level cache holds.
_AHEAD = 4096
I64 = np.dtype("i8")
_EVENT_BYTES = EVENT.itemsize
#: Room a log must have before a phase: what one phase may write at most is drained between phases.
_MARGIN = LOG_MAX // 2


@inline_kernel
def _later(a: int, b: int) -> int:
    """a + b, but INT64_MAX stays what it is."""
    return a + b if a < INT64_MAX - b else INT64_MAX


@cold_kernel
def run_venue(venue: int, rows: int, n: int, horizon: int, final: int) -> int:
    """Run the venue up to `horizon`, rows before requests at equal times. Returns when it would next do something.

    An answer given on the way may wake the strategy, whose order may then reach the venue before `horizon`: the
    horizon shrinks to that time.
    """
    head = record(venue, VENUE)
    events = records(rows, n, EVENT)
    dues = records(venue + head.off_request_due, RING_MAX, I64)
    entry_least = head.entry_least_ns
    states, own = venue + head.off_states, venue + head.off_own
    books, book_stride = venue + head.off_books, head.book_stride
    i = head.i_exch
    while True:
        due = dues[head.request_head & (RING_MAX - 1)] if head.request_head < head.request_tail else INT64_MAX
        # After the last row nothing expires but what expires before the last request arrives.
        expiry = head.next_expiry if head.next_expiry <= max(head.end_ns, head.request_last_due) else INT64_MAX
        stop = min(horizon, due, expiry)
        answered = head.response_tail
        next_row = INT64_MAX if final != 0 else -1
        while i < n:
            row = events[i]
            if row.flags & EXCH == 0:
                i += 1
                continue
            ts = row.ts_exch
            if ts > stop:
                next_row = ts
                break
            i += 1
            if market_row(venue, states, books, book_stride, own, row) != 0 and head.response_tail != answered:
                wake(venue, ts)
                # After an answer the horizon and the expiry may have moved.
                next_row = ts
                break
        head.i_exch = i
        if head.response_tail != answered:
            horizon = min(horizon, _later(_answer_due(venue, answered), entry_least))
            continue
        if next_row < 0:
            return -1
        if expiry <= stop and expiry < INT64_MAX:
            expire(venue, expiry)
            horizon = min(horizon, _later(_answer_due(venue, answered), entry_least))
            continue
        if due <= stop and due < INT64_MAX:
            slot = head.request_head & (RING_MAX - 1)
            command = records(venue + head.off_requests, RING_MAX, COMMAND)[slot]
            head.request_head += 1
            request(venue, command, records(venue + head.off_request_parent, RING_MAX, I64)[slot], due)
            wake(venue, due)
            if head.response_tail != answered:
                horizon = min(horizon, _later(_answer_due(venue, answered), entry_least))
            continue
        return min(next_row, due, expiry)


@inline_kernel
def _answer_due(venue: int, number: int) -> int:
    """When answer `number` (counting up) arrives; INT64_MAX when it has not been given."""
    head = record(venue, VENUE)
    if number >= head.response_tail:
        return INT64_MAX
    return records(venue + head.off_responses, RING_MAX, EVENT)[number & (RING_MAX - 1)].ts_recv


@cold_kernel
def parent_of(commands: Any, n: int, c: int) -> int:
    """The order that NEW command `c` of `n` hangs on by a bracket made in the same step, 0 for none.

    It travels with the order, as a venue's order list would: the child must not trade before it hears of its parent.
    """
    for d in range(c + 1, n):
        link = commands[d]
        if link.kind == LINK and link.id == commands[c].id and link.flags & BRACKET != 0:
            return link.arg
    return 0


@kernel
def post(venue: int, command: Any, parent: int, now_ns: int) -> int:
    """Put a COMMAND sent at `now_ns` on its way: by its leg's latency, overtaking none. Returns when it reaches the
    venue, -1 when the ring is full (ERROR_RING_FULL). parent: the order it hangs on, 0 for none.
    """
    head = record(venue, VENUE)
    leg = int(command.kind) - NEW if command.kind <= 3 else 0
    due = max(now_ns + leg_latency(venue, head.off_legs, leg, now_ns), head.request_last_due)
    head.request_last_due = due
    if head.request_tail - head.request_head >= RING_MAX:
        head.error = ERROR_RING_FULL
        return -1
    slot = head.request_tail & (RING_MAX - 1)
    records(venue + head.off_requests, RING_MAX, COMMAND)[slot] = command
    records(venue + head.off_request_due, RING_MAX, I64)[slot] = due
    records(venue + head.off_request_parent, RING_MAX, I64)[slot] = parent
    head.request_tail += 1
    return due


@cold_kernel
def _drain(venue: int, base: int) -> int:
    """Take the engine's commands onto the wire and its refusals into the log.

    Returns the earliest time an answer to what was sent could arrive, INT64_MAX when nothing was sent.
    """
    head = record(venue, VENUE)
    ctx = record(base, CONTEXT)
    commands = records(base + ctx.off_commands, ctx.commands_max, COMMAND)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    log = records(venue + head.off_log_commands, LOG_MAX, COMMAND)
    log_strategies = records(venue + head.off_log_command_strategies, LOG_MAX, I64)
    if ctx.now != head.instant_ns:
        head.instant_ns, head.n_at_instant = ctx.now, 0
    head.n_at_instant += ctx.n_commands + ctx.n_refused
    if head.n_at_instant > INSTANT_MAX:
        head.error = ERROR_ENDLESS
    earliest = INT64_MAX
    for c in range(ctx.n_commands):
        command = commands[c]
        if command.ts > head.end_ns:
            break
        due = post(venue, command, parent_of(commands, ctx.n_commands, c) if command.kind == NEW else 0, command.ts)
        if due < 0:
            break
        earliest = min(earliest, _later(due, head.answer_least_ns))
        slot = order_find(orders, ctx.orders_max, command.id)
        log[head.n_log_commands] = command
        log_strategies[head.n_log_commands] = orders[slot].strategy if slot >= 0 else -1
        head.n_log_commands += 1
    for r in range(ctx.n_refused):
        address = base + ctx.off_refusals + r * 2 * _EVENT_BYTES
        row = record(address, EVENT)
        _log_event(venue, row, row.arg1)
        records(venue + head.off_log_refused, LOG_MAX, COMMAND)[head.n_log_refused] = record(
            address + _EVENT_BYTES, COMMAND
        )
        head.n_log_refused += 1
    ctx.n_commands = 0
    ctx.n_refused = 0
    ctx.n_emitted = 0
    return earliest


@kernel
def _log_event(venue: int, row: Any, strategy: int) -> int:
    head = record(venue, VENUE)
    records(venue + head.off_log_events, LOG_MAX, EVENT)[head.n_log_events] = row
    records(venue + head.off_log_strategies, LOG_MAX, I64)[head.n_log_events] = strategy
    head.n_log_events += 1
    return 0


@cold_kernel
def _sample(venue: int, base: int, ts: int) -> int:
    """Look at the account of every instrument."""
    head = record(venue, VENUE)
    ctx = record(base, CONTEXT)
    positions = records(base + ctx.off_positions, ctx.n_instruments, POSITION)
    instruments = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)
    samples = records(venue + head.off_samples, LOG_MAX, SAMPLE)
    for i in range(ctx.n_instruments):
        if head.n_samples >= LOG_MAX:
            return 1
        sample = samples[head.n_samples]
        head.n_samples += 1
        position = positions[i]
        mark = mark_x2(base, i)
        sample.ts = ts
        sample.mid = mark * instruments[i].tick_num / (2.0 * instruments[i].tick_den)
        sample.position = position.position
        sample.cash = position.cash
        sample.fee = position.fee
        sample.funding = position.funding
        sample.equity = position_equity(position, instruments[i], mark)
        sample.instrument = i
    return 0


@inline_kernel
def _logs_full(head: Any) -> bool:
    return (
        head.n_log_events > _MARGIN
        or head.n_log_commands > _MARGIN
        or head.n_log_refused > _MARGIN
        or head.n_samples > _MARGIN
    )


@cold_kernel
def _run_local(venue: int, base: int, wiring: int, rows: int, n: int, horizon: int, final: int) -> int:
    """Run the strategy's side up to `horizon`: rows, answers, samples, and the timers before it. Returns a status."""
    head = record(venue, VENUE)
    ctx = record(base, CONTEXT)
    step = head.step_fn
    while True:
        if _logs_full(head):
            return LOG_FULL
        due = _answer_due(venue, head.response_head)
        stop = min(horizon, due, head.next_sample)
        head.i_local = call_entry(step, base, wiring, rows, head.i_local, n, stop)
        if ctx.error != 0:
            return ENGINE_ERROR
        if ctx.n_emitted != 0:
            horizon = min(horizon, _drain(venue, base))
            continue
        if head.i_local >= n and final == 0:
            return NEED_ROWS
        if final != 0 and stop > head.end_ns and ctx.next_timer != INT64_MAX:
            # The last row is behind us, and every answer of that time: no timer fires after it.
            call_entry(step, base, wiring, 0, 0, TIMERS, head.end_ns + 1)
            if ctx.error != 0:
                return ENGINE_ERROR
            if ctx.n_emitted != 0:
                horizon = min(horizon, _drain(venue, base))
            elif ctx.next_timer > head.end_ns:
                call_entry(step, base, wiring, 0, 0, FORGET, head.end_ns + 1)
            continue
        if due <= horizon and due <= head.next_sample and due < INT64_MAX:
            at = venue + head.off_responses + (head.response_head & (RING_MAX - 1)) * _EVENT_BYTES
            row = record(at, EVENT)
            orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
            slot = order_find(orders, ctx.orders_max, row.id)
            strategy = orders[slot].strategy if slot >= 0 else -1
            taken = call_entry(step, base, wiring, at, 0, 1, INT64_MAX)
            if taken == 1:
                head.response_head += 1
                _log_event(venue, row, strategy)
            if ctx.error != 0:
                return ENGINE_ERROR
            if ctx.n_emitted != 0:
                horizon = min(horizon, _drain(venue, base))
            continue
        if head.next_sample <= horizon and head.next_sample < INT64_MAX:
            call_entry(step, base, wiring, 0, 0, TIMERS, head.next_sample)
            if ctx.error != 0:
                return ENGINE_ERROR
            if ctx.n_emitted != 0:
                horizon = min(horizon, _drain(venue, base))
                continue
            _sample(venue, base, head.next_sample)
            head.next_sample += head.sample_ns
            continue
        if ctx.next_timer < horizon:
            call_entry(step, base, wiring, 0, 0, TIMERS, horizon)
            if ctx.error != 0:
                return ENGINE_ERROR
            if ctx.n_emitted != 0:
                horizon = min(horizon, _drain(venue, base))
                continue
        return DONE


@inline_kernel
def _next_local_row(rows: int, i: int, n: int) -> int:
    """Local time of the first row from `i` on that the strategy sees, INT64_MAX when there is none."""
    events = records(rows, n, EVENT)
    while i < n:
        if events[i].flags & LOCAL != 0:
            return events[i].ts_recv
        i += 1
    return INT64_MAX


@entry
def simulate(venue: int, base: int, wiring: int, rows: int, n: int, final: int) -> int:
    """Run both sides through rows[0:n] from where their cursors are. final: 1 when no row will follow.

    Returns DONE, or why it stopped: NEED_ROWS (append rows and call again), LOG_FULL (empty the logs and call again),
    ENGINE_ERROR or VENUE_ERROR.
    """
    head = record(venue, VENUE)
    ctx = record(base, CONTEXT)
    head.end_ns = INT64_MAX if final == 0 else _last_seen(rows, n)
    if ctx.n_emitted != 0:
        _drain(venue, base)
    while True:
        if _logs_full(head):
            return LOG_FULL
        if head.n_orders == 0 and head.request_head == head.request_tail and head.response_head == head.response_tail:
            # Nothing of ours is at the venue or on its way: it has nothing to say, so the strategy runs ahead until it
            # sends something, and the venue catches up while the rows are still in the cache.
            ahead = min(n, head.i_local + _AHEAD)
            status = _run_local(venue, base, wiring, rows, ahead, _last_seen(rows, n) + 1, final if ahead == n else 0)
            if status == NEED_ROWS:
                run_venue(venue, rows, n, ctx.now, final)
                if ahead < n:
                    continue
            if status != DONE:
                return status
        wake = min(ctx.next_timer, _answer_due(venue, head.response_head))
        if head.feed_handlers != 0 or ctx.n_watched != 0:
            row_ts = _next_local_row(rows, head.i_local, n)
            if row_ts == INT64_MAX and final == 0:
                return NEED_ROWS
            wake = min(wake, row_ts)
        exch_next = run_venue(venue, rows, n, _later(wake, head.entry_least_ns), final)
        if head.error != 0:
            return VENUE_ERROR
        if exch_next < 0:
            return NEED_ROWS
        horizon = _later(exch_next, head.answer_least_ns)
        if exch_next == INT64_MAX:
            # The venue has nothing left to do: what is on its way still arrives, and time ends with the last of it.
            last = max(head.end_ns, head.request_last_due)
            horizon = max(last, head.response_last_due) + 1
        status = _run_local(venue, base, wiring, rows, n, horizon, final)
        if status != DONE:
            return status
        if exch_next == INT64_MAX and head.request_head == head.request_tail:
            if head.response_head == head.response_tail and head.i_local >= n:
                return DONE


@cold_kernel
def _last_seen(rows: int, n: int) -> int:
    """Time of the last thing on the tape: the later of the last row the venue sees and the last the strategy sees."""
    events = records(rows, n, EVENT)
    exch, local = 0, 0
    i = n - 1
    while i >= 0 and (exch == 0 or local == 0):
        if exch == 0 and events[i].flags & EXCH != 0:
            exch = events[i].ts_exch
        if local == 0 and events[i].flags & LOCAL != 0:
            local = events[i].ts_recv
        i -= 1
    return max(exch, local)
