"""The records a strategy's context is made of, and how a wish becomes a proposal.

The head of the state block (CONTEXT), what is known of a market, proposals and timers lie here, with the few kernels
that every method of `ctx` is built from. The methods themselves are in `context` and `executing`; the engine reads and
writes the same records. Nothing here talks to a venue.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.book.l2 import BOOK_SIDE, NO_KEY, SIDES_AT
from tercel.jit import addressof_record, inline_kernel, kernel, records
from tercel.model.commands import ICEBERG, NEW
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import BAD_PRICE, BAD_QTY, OFF_LOT_GRID, OFF_TICK_GRID
from tercel.orders.positions import POSITION

__all__ = [
    "AT_MARKET", "CONTEXT", "INT64_MAX", "MARKER", "MARKET_ROW", "PROPOSAL", "TIMER_ROW", "earliest_timer", "grid",
    "instrument_row", "last_proposal", "market_row", "off", "order", "position_row", "propose", "set_timer_at",
    "top_ticks",
]  # fmt: skip

MARKER = "_Context"

#: The head of the state block. now: int64 ns, the time of the row being processed. seq: rows seen since birth.
#: strategy: whose handler runs. next_id: the next order id, a pure function of run and counter. off_*: byte offsets
#: from the head. n_*: counts; *_max: capacities. next_timer: earliest deadline of a timer or of next_mark, int64 max
#: when none. next_mark: when equity is looked at next for the loss limits, int64 max when they are off. started_ns:
#: when on_start was called, 0 before that and after on_stop. layout: a digest of what lies where, so that a snapshot of
#: another engine is known. n_executions: fills with an execution id counted; n_duplicates: FILL rows that told of one
#: of them again and were dropped. deadline: by when orders of the handler that runs must leave, 0 none, of a signal.
#: next_parent: when an execution algorithm acts next, int64 max when none does. n_watched: instruments whose trades are
#: kept, plus algorithms that count them. n_parents: algorithms begun since birth. n_protected: living algorithms that
#: watch prices to protect a position; they count in n_watched, too.
CONTEXT = np.dtype(
    [
        (name, "i8")
        for name in (
            "version size now seq strategy n_instruments n_strategies next_id next_timer started_ns halted "
            "n_proposals proposals_max n_commands commands_max n_timers timers_max n_open orders_max "
            "error error_arg n_refused gross_notional any_open "
            "off_instruments off_markets off_books book_stride off_positions off_risk off_orders off_open "
            "off_proposals off_commands off_refusals off_timers off_states off_state_table off_view "
            "n_emitted n_fills n_late next_mark layout "
            "off_executions off_execution_heads executions_max n_executions n_duplicates "
            "deadline next_parent n_watched n_parents parents_max off_parents off_routes off_ticks n_protected"
        ).split()
    ]
    + [(MARKER, "u1")],
    align=True,
)

#: What is known of an instrument's price beside its book: the last quote, trade or bar. px in ticks, 0 before the
#: first; last_ts int64 ns.
MARKET_ROW = np.dtype(
    [
        ("bid_px", "i8"),
        ("bid_lots", "i8"),
        ("ask_px", "i8"),
        ("ask_lots", "i8"),
        ("last_px", "i8"),
        ("last_lots", "i8"),
        ("last_ts", "i8"),
        ("mark_px", "i8"),
    ],
    align=True,
)

#: What a strategy asks for, before the gate. A type of its own, so that an unchecked order cannot be sent. parent: the
#: execution algorithm that asks, 0 none. deadline: int64 ns, by when it must leave, 0 none. budget: ns in which the
#: venue's first answer is to be here, 0 none.
PROPOSAL = np.dtype(
    [
        (name, "i8")
        for name in (
            "id instrument strategy kind side type tif flags px qty arg expire_ns reason parent deadline budget"
        ).split()
    ],
    align=True,
)

#: A pending timer; slot is free when deadline is 0. period 0: fires once.
TIMER_ROW = np.dtype([("deadline", "i8"), ("period", "i8"), ("strategy", "i8"), ("id", "i8")], align=True)

_OFF_GRID, _NO_SIZE = -1, -2
INT64_MAX = (1 << 63) - 1
#: The limit of an order that has none. No price a book can show: a limit of 0.0, which is what `ctx.best_ask` says of
#: an empty side, is refused as BAD_PRICE and never becomes a market order.
AT_MARKET = float("-inf")


@inline_kernel
def instrument_row(ctx: Any, instrument: int) -> Any:
    """The INSTRUMENT record of that number."""
    if instrument < 0 or instrument >= ctx.n_instruments:
        raise IndexError("the run has no instrument of that number")
    return records(addressof_record(ctx) + ctx.off_instruments, 32767, INSTRUMENT)[instrument]


@inline_kernel
def market_row(ctx: Any, instrument: int) -> Any:
    """The MARKET_ROW of an instrument; the number is not looked at."""
    return records(addressof_record(ctx) + ctx.off_markets, 32767, MARKET_ROW)[instrument]


@inline_kernel
def position_row(ctx: Any, instrument: int) -> Any:
    """The POSITION record of an instrument."""
    if instrument < 0 or instrument >= ctx.n_instruments:
        raise IndexError("the run has no instrument of that number")
    return records(addressof_record(ctx) + ctx.off_positions, 32767, POSITION)[instrument]


@inline_kernel
def top_ticks(base: int, ctx: Any, instrument: int, k: int) -> int:
    """The best price of side k (0 bids, 1 asks) in ticks: the book's, else the last quote's; 0 when there is none."""
    book = base + ctx.off_books + instrument * ctx.book_stride
    key = records(book + SIDES_AT, 2, BOOK_SIDE)[k].best
    if key != NO_KEY:
        return key if k == 0 else -key
    market = records(base + ctx.off_markets, 32767, MARKET_ROW)[instrument]
    return market.bid_px if k == 0 else market.ask_px


@kernel
def last_proposal(ctx: Any, id: int) -> int:
    """The number of the NEW proposal of this handler with that id, -1 when there is none."""
    rows = records(addressof_record(ctx) + ctx.off_proposals, ctx.proposals_max, PROPOSAL)
    for i in range(ctx.n_proposals - 1, -1, -1):
        if rows[i].id == id and rows[i].kind == NEW:
            return i
    return -1


@kernel
def propose(
    ctx: Any, kind: int, id: int, instrument: int, side: int, lots: int, px: int, type: int, tif: int, flags: int,
    arg: int, expire_ns: int, reason: int,
) -> int:  # fmt: skip
    """Write one proposal; a NEW one takes the next order id. Returns the id."""
    if ctx.n_proposals >= ctx.proposals_max:
        raise OverflowError("more orders for one event than the capacity 'commands'")
    row = records(addressof_record(ctx) + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[ctx.n_proposals]
    ctx.n_proposals += 1
    if kind == NEW:
        id = ctx.next_id
        ctx.next_id += 1
    row.id = id
    row.instrument = instrument
    row.strategy = ctx.strategy
    row.kind = kind
    row.side = side
    row.type = type
    row.tif = tif
    row.flags = flags
    row.px = px
    row.qty = lots
    row.arg = arg
    row.expire_ns = expire_ns
    row.reason = reason
    row.parent = 0
    row.deadline = ctx.deadline
    row.budget = 0
    return id


@inline_kernel
def grid(value: float, num: float, den: float) -> int:
    """`value` in whole steps num/den; _OFF_GRID by more than a float's blur, _NO_SIZE below 0 or no number."""
    steps = value * den / num
    whole = np.floor(steps + 0.5)
    if not (abs(whole) < 9.0e18):
        return _NO_SIZE
    if abs(steps - whole) > 1e-5:
        return _OFF_GRID
    return int(whole) if whole >= 0.0 else _NO_SIZE


@inline_kernel
def off(value: int, off_grid: int, bad: int) -> int:
    """The reason for which a result of `_grid` is refused, 0 for a good one."""
    if value >= 0:
        return 0
    return off_grid if value == _OFF_GRID else bad


@kernel
def order(
    ctx: Any, instrument: int, side: int, qty: float, limit: float, type: int, tif: int, flags: int, trigger: float,
    show: float, expire_ns: int,
) -> int:  # fmt: skip
    """Prices and sizes as floats to a NEW proposal; a value off its grid is proposed as refused, never rounded."""
    row = instrument_row(ctx, instrument)
    lots = grid(qty, row.lot_num, row.lot_den)
    px = 0
    if limit != AT_MARKET:
        px = grid(limit, row.tick_num, row.tick_den)
    arg = 0
    if type == ICEBERG:
        arg = grid(show, row.lot_num, row.lot_den)
    elif trigger != 0.0:
        arg = grid(trigger, row.tick_num, row.tick_den)
    reason = off(lots, OFF_LOT_GRID, BAD_QTY)
    if reason == 0:
        reason = off(px, OFF_TICK_GRID, BAD_PRICE)
    if reason == 0:
        reason = off(arg, OFF_LOT_GRID, BAD_QTY) if type == ICEBERG else off(arg, OFF_TICK_GRID, BAD_PRICE)
    return propose(ctx, NEW, 0, instrument, side, lots, px, type, tif, flags, arg, expire_ns, reason)


@kernel
def set_timer_at(ctx: Any, due_ns: int, id: int, every_ns: int) -> int:
    """Call on_timer at `due_ns`, then every `every_ns` where that is positive."""
    if due_ns <= 0 or every_ns < 0:
        raise ValueError("a timer needs a positive time and a period that is not negative")
    timers = records(addressof_record(ctx) + ctx.off_timers, ctx.timers_max, TIMER_ROW)
    for i in range(ctx.timers_max):
        if timers[i].deadline == 0:
            timers[i].deadline = due_ns
            timers[i].period = every_ns
            timers[i].strategy = ctx.strategy
            timers[i].id = id
            ctx.n_timers += 1
            if due_ns < ctx.next_timer:
                ctx.next_timer = due_ns
            return 0
    raise OverflowError("more timers than the capacity 'timers'")


@kernel
def earliest_timer(ctx: Any) -> int:
    """Find the earliest deadline anew. The slot of the first timer, -1 without one; ties go to the lower slot."""
    timers = records(addressof_record(ctx) + ctx.off_timers, ctx.timers_max, TIMER_ROW)
    best, slot = INT64_MAX, -1
    if ctx.n_timers > 0:
        for i in range(ctx.timers_max):
            if timers[i].deadline != 0 and timers[i].deadline < best:
                best, slot = timers[i].deadline, i
    ctx.next_timer = min(best, ctx.next_mark, ctx.next_parent)
    return slot
