"""The step: book, features and strategies, risk, orders, for each row, in one call without await.

`step` eats EVENT rows up to a time and stops early after a row that made commands or refusals, so that the driver
takes them before the next row; what happens therefore does not depend on how rows were batched. Timers fire in order
of their deadline before any row of a later time. Every row counts one in `seq`; a command carries the seq of the row
(or, for timers, of the last row before it) that caused it. The core never asks for the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.book.l2 import BOOK, BOOK_SIDE, NO_KEY, book_clear, book_level, book_set
from tercel.engine.account import account_row, order_lost_all
from tercel.engine.calls import (
    ON_BAR,
    ON_BOOK,
    ON_LEVEL,
    ON_QUOTE,
    ON_SIGNAL,
    ON_START,
    ON_STOP,
    ON_TIMER,
    ON_TRADE,
    call_all,
    call_one,
    listener_count,
    view_at,
)
from tercel.engine.children import connection, parents_forget, parents_stop, watch_prices, watch_trade
from tercel.engine.faults import (
    FAULT_BAD_KIND,
    FAULT_BOOK_FULL,
    FAULT_MONEY_OVERFLOW,
    FAULT_UNKNOWN_INSTRUMENT,
    fault,
)
from tercel.engine.halt import halt_row, resume_row
from tercel.engine.losses import mark_due, mark_start
from tercel.engine.parents import parents_due
from tercel.execution.routing import BUDGET_NS
from tercel.jit import addressof_record, brief_entry, cold_kernel, inline_kernel, kernel, record, records
from tercel.model.events import (
    ACK,
    ADD,
    BAR,
    CLEAR,
    CONNECT,
    DELETE,
    DISCONNECT,
    EVENT,
    FUNDING,
    HALT,
    LAST,
    LEVEL,
    LOCAL,
    QUOTE,
    REFUSED,
    RESUME,
    SIGNAL,
    TIMER,
    TRADE,
)
from tercel.model.instrument import INSTRUMENT
from tercel.orders.positions import POSITION, position_apply_funding
from tercel.strategy.context import CONTEXT, INT64_MAX, MARKET_ROW, TIMER_ROW, earliest_timer, top_ticks
from tercel.strategy.views import BAR_VIEW, BOOK_VIEW, LEVEL_VIEW, SIGNAL_VIEW, TIMER_VIEW, TRADE_VIEW

__all__ = ["FORGET", "START", "STOP", "TIMERS", "engine_step"]

I64 = np.dtype("i8")
#: What `engine_step` does when it is given no rows.
START, STOP, TIMERS, FORGET = -1, -2, -3, -4
_SIDES = BOOK.itemsize


@kernel
def _message_end(base: int, wiring: int, row: Any) -> None:
    """The last row of a venue message: the book is whole."""
    ctx = record(base, CONTEXT)
    book = record(base + ctx.off_books + int(row.instrument) * ctx.book_stride, BOOK)
    if book.error != 0:
        fault(ctx, FAULT_BOOK_FULL, int(row.instrument))
        return
    if ctx.n_protected != 0:
        i = int(row.instrument)
        watch_prices(base, i, top_ticks(base, ctx, i, 0), top_ticks(base, ctx, i, 1))
    if listener_count(wiring, ON_BOOK) > 0:
        _book_view(base, row)
        call_all(base, wiring, ON_BOOK)


@inline_kernel
def _grids(view: Any, base: int, i: int) -> None:
    """Put the grids of instrument `i` on a view, unless they are there from the row before."""
    if view.instrument == i and view.tick_den != 0.0:
        return
    ctx = record(base, CONTEXT)
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    view.instrument = i
    view.tick_num = instrument.tick_num
    view.tick_den = instrument.tick_den
    view.lot_num = instrument.lot_num
    view.lot_den = instrument.lot_den


@kernel
def _top_view(base: int, handler: int, row: Any, bid_px: int, bid_lots: int, ask_px: int, ask_lots: int) -> None:
    """Fill BOOK_VIEW from the top of a book."""
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    view = record(view_at(base, handler), BOOK_VIEW)
    view.ts = row.ts_recv
    view.ts_exch = row.ts_exch
    view.bid_px = bid_px
    view.ask_px = ask_px
    view.bid_lots = bid_lots
    view.ask_lots = ask_lots
    _grids(view, base, i)
    view.tick_den2 = 2.0 * view.tick_den
    if bid_px > 0 and ask_px > 0:
        view.mid_px2 = bid_px + ask_px
        view.spread_px = ask_px - bid_px
    else:
        view.mid_px2 = 2 * records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[i].last_px
        view.spread_px = 0


@kernel
def _book_view(base: int, row: Any) -> None:
    """Fill BOOK_VIEW from the book, or from the last quote where the book is empty."""
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    market = records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[i]
    book = base + ctx.off_books + i * ctx.book_stride
    bid_key = records(book + _SIDES, 2, BOOK_SIDE)[0].best
    ask_key = records(book + _SIDES, 2, BOOK_SIDE)[1].best
    bid_px, bid_lots = market.bid_px, market.bid_lots
    ask_px, ask_lots = market.ask_px, market.ask_lots
    if bid_key != NO_KEY:
        bid_px, bid_lots = bid_key, book_level(book, 1, bid_key)
    if ask_key != NO_KEY:
        ask_px, ask_lots = -ask_key, book_level(book, -1, -ask_key)
    _top_view(base, ON_BOOK, row, bid_px, bid_lots, ask_px, ask_lots)


@inline_kernel
def _on_level(base: int, wiring: int, row: Any) -> None:
    view = record(view_at(base, ON_LEVEL), LEVEL_VIEW)
    view.ts = row.ts_recv
    view.ts_exch = row.ts_exch
    view.side = int(row.side)
    view.px = row.px
    view.lots = row.qty
    view.id = row.id
    _grids(view, base, int(row.instrument))
    call_all(base, wiring, ON_LEVEL)


@cold_kernel
def _other(base: int, wiring: int, row: Any) -> None:
    """Every kind of row but LEVEL, BAR and QUOTE; and those that name no instrument there is."""
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    kind = int(row.kind)
    if kind != TIMER and kind < HALT and (i < 0 or i >= ctx.n_instruments):
        fault(ctx, FAULT_UNKNOWN_INSTRUMENT, i)
        return
    if kind == TRADE:
        _trade(base, wiring, row)
    elif kind == CLEAR:
        book_clear(base + ctx.off_books + i * ctx.book_stride, int(row.side), row.px)
        if row.flags & LAST != 0:
            _message_end(base, wiring, row)
    elif kind == FUNDING:
        market = records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[i]
        market.mark_px = row.px
        position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[i]
        instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
        if position_apply_funding(position, instrument, row.px, row.arg0) != 0:
            fault(ctx, FAULT_MONEY_OVERFLOW, i)
    elif kind >= ACK and kind <= REFUSED:
        account_row(base, wiring, row)
    elif kind == TIMER:
        fire_timers(base, wiring, row.ts_recv + 1)
    elif kind == SIGNAL:
        _signal(base, wiring, row)
    elif kind == DISCONNECT:
        order_lost_all(base, i)
        connection(base, i, True)
    elif kind == CONNECT:
        connection(base, i, False)
    elif kind == HALT:
        halt_row(base, row)
    elif kind == RESUME:
        resume_row(base)
    elif not (kind >= ADD and kind <= DELETE):
        fault(ctx, FAULT_BAD_KIND, kind)


@kernel
def _trade(base: int, wiring: int, row: Any) -> None:
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    market = records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[i]
    market.last_px = row.px
    market.last_lots = row.qty
    market.last_ts = row.ts_recv
    if ctx.n_watched != 0:
        watch_trade(base, row)
    if listener_count(wiring, ON_TRADE) > 0:
        view = record(view_at(base, ON_TRADE), TRADE_VIEW)
        view.ts = row.ts_recv
        view.ts_exch = row.ts_exch
        view.side = int(row.side)
        view.px = row.px
        view.lots = row.qty
        view.id = row.id
        _grids(view, base, i)
        call_all(base, wiring, ON_TRADE)


@inline_kernel
def _bar(base: int, wiring: int, row: Any) -> None:
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    market = records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[i]
    market.last_px = row.px
    market.last_lots = row.qty
    market.last_ts = row.ts_recv
    if ctx.n_protected != 0:
        watch_prices(base, i, row.arg1, row.arg0)
    if listener_count(wiring, ON_BAR) > 0:
        view = record(view_at(base, ON_BAR), BAR_VIEW)
        view.ts = row.ts_recv
        view.ts_exch = row.ts_exch
        view.close_px = row.px
        view.open_px = row.id
        view.high_px = row.arg0
        view.low_px = row.arg1
        view.lots = row.qty
        _grids(view, base, i)
        call_all(base, wiring, ON_BAR)


@inline_kernel
def _quote(base: int, wiring: int, row: Any) -> None:
    ctx = record(base, CONTEXT)
    market = records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[int(row.instrument)]
    market.bid_px = row.px
    market.bid_lots = row.qty
    market.ask_px = row.arg0
    market.ask_lots = row.arg1
    if ctx.n_protected != 0:
        watch_prices(base, int(row.instrument), row.px, row.arg0)
    if listener_count(wiring, ON_QUOTE) > 0:
        _top_view(base, ON_QUOTE, row, row.px, row.qty, row.arg0, row.arg1)
        call_all(base, wiring, ON_QUOTE)


@kernel
def _signal(base: int, wiring: int, row: Any) -> None:
    """A signal: what its handlers ask for must leave before its deadline, by itself BUDGET_NS after it was made."""
    ctx = record(base, CONTEXT)
    deadline = 0
    if row.qty >= 0:
        # A row that does not say when it was made counts as made when it came.
        made = row.ts_exch if row.ts_exch > 0 else row.ts_recv
        deadline = made + (row.qty if row.qty > 0 else BUDGET_NS)
    view = record(view_at(base, ON_SIGNAL), SIGNAL_VIEW)
    view.ts = row.ts_recv
    view.ts_exch = row.ts_exch
    view.instrument = int(row.instrument)
    view.id = row.id
    view.deadline = deadline
    # The row holds the bits of two floats; the view's integer fields before them are written, then its bits copied.
    address = addressof_record(view)
    raw = records(address, 7, I64)
    raw[5] = row.arg0
    raw[6] = row.arg1
    ctx.deadline = deadline
    call_all(base, wiring, ON_SIGNAL)
    ctx.deadline = 0


@cold_kernel
def fire_timers(base: int, wiring: int, before_ns: int) -> int:
    """Fire every timer whose deadline is before `before_ns`, earliest first, each at its own time.

    Stops after one that emitted, as rows do; the rest fire at the next call. Returns how many fired.
    """
    ctx = record(base, CONTEXT)
    fired = 0
    while ctx.next_timer < before_ns and ctx.n_emitted == 0:
        slot = earliest_timer(ctx)
        if ctx.next_timer == ctx.next_mark:
            # At equal times the loss limits look first. A timer ends the stretch in which nothing can happen.
            due = ctx.next_parent
            if slot >= 0:
                due = min(due, records(base + ctx.off_timers, ctx.timers_max, TIMER_ROW)[slot].deadline)
            mark_due(base, min(before_ns, max(due, ctx.next_mark + 1)))
            continue
        if slot < 0 or records(base + ctx.off_timers, ctx.timers_max, TIMER_ROW)[slot].deadline > ctx.next_parent:
            # After the timers of the same time, so that a strategy may still hold an algorithm back.
            parents_due(base, wiring)
            fired += 1
            continue
        timer = records(base + ctx.off_timers, ctx.timers_max, TIMER_ROW)[slot]
        due = timer.deadline
        strategy = timer.strategy
        id = timer.id
        if timer.period > 0:
            timer.deadline = due + timer.period
        else:
            timer.deadline = 0
            ctx.n_timers -= 1
        earliest_timer(ctx)
        if due > ctx.now:
            ctx.now = due
        view = record(view_at(base, ON_TIMER), TIMER_VIEW)
        view.ts = ctx.now
        view.due = due
        view.id = id
        call_one(base, wiring, ON_TIMER, strategy)
        fired += 1
    return fired


@brief_entry
def engine_step(base: int, wiring: int, rows: int, start: int, n: int, until_ns: int) -> int:
    """Process rows[start:n] with receipt time up to `until_ns`. Returns the index of the first row not processed.

    base: the state block, mutated. rows: address of (n,) EVENT in order of ts_recv. Rows without the flag LOCAL are
    stepped over. Stops after a row (or timer) that left commands, refusals or an error in the block, and does nothing
    until they are taken; after an error, nothing ever again.

    The engine's one entry, so that its code is compiled once: with a negative `n` it does at `until_ns` what `n` says.
    START and STOP call those handlers, TIMERS fires what is due before that time, FORGET drops every timer.
    """
    ctx = record(base, CONTEXT)
    if ctx.error != 0:
        return start
    if n < 0:
        return _special(base, wiring, n, until_ns)
    events = records(rows, n, EVENT)
    # Kept in registers: a store to a book would make the head be read again for every row.
    books, book_stride, n_instruments = base + ctx.off_books, ctx.book_stride, ctx.n_instruments
    hears_levels = listener_count(wiring, ON_LEVEL) > 0
    i = start
    if ctx.n_emitted != 0:
        return i
    while i < n:
        row = events[i]
        flags = int(row.flags)
        if flags & LOCAL == 0:
            i += 1
            continue
        ts = row.ts_recv
        if ts > until_ns:
            break
        if ts > ctx.next_timer:
            fire_timers(base, wiring, ts)
            if ctx.n_emitted != 0:
                return i
        i += 1
        ctx.now = ts
        ctx.seq += 1
        instrument = int(row.instrument)
        if row.kind == LEVEL and instrument >= 0 and instrument < n_instruments:
            book_set(books + instrument * book_stride, int(row.side), row.px, row.qty)
            if hears_levels:
                _on_level(base, wiring, row)
            if flags & LAST != 0:
                _message_end(base, wiring, row)
            elif not hears_levels:
                continue
        elif row.kind == BAR and instrument >= 0 and instrument < n_instruments:
            _bar(base, wiring, row)
        elif row.kind == QUOTE and instrument >= 0 and instrument < n_instruments:
            _quote(base, wiring, row)
        else:
            _other(base, wiring, row)
        if ctx.n_emitted != 0:
            break
    return i


@kernel
def _forget_timers(base: int) -> int:
    """Drop every timer, and the looks at equity that the loss limits take each second."""
    ctx = record(base, CONTEXT)
    timers = records(base + ctx.off_timers, ctx.timers_max, TIMER_ROW)
    for i in range(ctx.timers_max):
        timers[i].deadline = 0
    ctx.n_timers = 0
    ctx.next_mark = INT64_MAX
    parents_forget(base)
    ctx.next_timer = INT64_MAX
    return 0


@cold_kernel
def _special(base: int, wiring: int, what: int, now_ns: int) -> int:
    ctx = record(base, CONTEXT)
    if what == TIMERS:
        return fire_timers(base, wiring, now_ns)
    if what == FORGET:
        return _forget_timers(base)
    if now_ns > ctx.now:
        ctx.now = now_ns
    if what == START:
        ctx.started_ns = now_ns
        mark_start(base, now_ns)
        call_all(base, wiring, ON_START)
    else:
        call_all(base, wiring, ON_STOP)
        ctx.started_ns = 0
        parents_stop(base)
        earliest_timer(ctx)
    return 0
