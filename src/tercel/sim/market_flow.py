"""The order flow of the simulated market: when something happens, what, and the rows it makes.

Kernels only, on the block that `market_state` lays out; the book is the L3 book and trades through `l3_match`. Called
through the entries at the end by `market`, where the model and its sources are described.
"""

from __future__ import annotations

import math
from typing import Any

from tercel.book.l3 import l3_add, l3_delete, l3_match
from tercel.book.l3_layout import L3_FILL, L3_HEADER, L3_LEVEL, L3_ORDER, L3_WORD, l3_init
from tercel.book.l3_views import l3_best_ask, l3_best_bid, l3_depth_at
from tercel.jit import entry, inline_kernel, kernel, record, records
from tercel.model.events import (
    ADD,
    BUY,
    CHANGE,
    CLEAR,
    DELETE,
    EVENT,
    EXCH,
    FILL,
    LAST,
    LEVEL,
    LOCAL,
    MAKER,
    SELL,
    SNAPSHOT,
    TRADE,
)
from tercel.sim.market_random import N_CELLS, decay, draw_cell, draw_exponential, draw_u32, draw_unit
from tercel.sim.market_state import (
    FILL_MAX,
    FLOAT,
    FOREIGN_ID,
    MARKET_STATE,
    MESSAGE_ROWS,
    T_EXPONENTIAL,
    T_LATENCY,
    T_LIMIT_QTY,
    T_MARKET_QTY,
    T_NORMAL,
    T_PLACE,
)

__all__ = ["market_open", "market_run", "market_snapshot", "put_fill", "put_row"]

_TABLE_ROWS = N_CELLS + 8
_DECAY_ROWS = 321
_NS = 1_000_000_000.0
_BOTH = EXCH | LOCAL


@inline_kernel
def _table(state: Any, block: Any, i_table: Any) -> Any:
    return records(block + state.tables_at + 8 * _TABLE_ROWS * i_table, N_CELLS + 1, FLOAT)


# --- rows ---------------------------------------------------------------------------------------------------------


@inline_kernel
def put_row(state: Any, row: Any, kind: Any, side: Any, px: Any, qty: Any, order_id: Any, flags: Any) -> None:
    """Write an EVENT row of this market at its time."""
    row.ts_exch = state.ts
    row.ts_recv = state.ts_recv
    row.px = px
    row.qty = qty
    row.id = order_id
    row.arg0 = 0
    row.arg1 = 0
    row.kind = kind
    row.side = side
    row.reason = 0
    row.flags = flags
    row.instrument = state.instrument


@kernel
def _message(block: int) -> None:
    """A new venue message: its number and its time of receipt, never before the previous one's (one stream)."""
    state = record(block, MARKET_STATE)
    state.update_id += 1
    arrival = state.ts + int(draw_cell(state, _table(state, block, T_LATENCY)))
    state.ts_recv = max(state.ts_recv, arrival)


@kernel
def _put_order(block: int, out: int, n: int, kind: int, side: int, px: int, qty: int, order_id: int) -> int:
    """Rows of one order that came or went: its own row, the level's, as asked for. Returns the row count after."""
    state = record(block, MARKET_STATE)
    if state.emit_l3 != 0:
        put_row(state, records(out, n + 1, EVENT)[n], kind, side, px, qty, order_id, _BOTH)
        n += 1
    if state.emit_l2 != 0:
        depth = l3_depth_at(block + state.book_at, side, px)
        put_row(state, records(out, n + 1, EVENT)[n], LEVEL, side, px, depth, state.update_id, _BOTH)
        n += 1
    return n


@kernel
def put_fill(block: int, row: Any, fill: Any, side: int, trade_id: int) -> int:
    """The FILL row of a foreign maker: arg0 what it has left, arg1 the trade. Returns 1, or 0 for any other maker."""
    state = record(block, MARKET_STATE)
    if fill.id < FOREIGN_ID:
        return 0
    put_row(state, row, FILL, side, fill.px, fill.qty, fill.id, _BOTH | MAKER)
    row.arg0 = fill.left
    row.arg1 = trade_id
    if fill.left == 0:
        state.n_foreign -= 1
    return 1


@kernel
def _put_fills(block: int, out: int, n: int, n_fills: int, side: int) -> int:
    """Rows of one aggressive order: its trades, then its makers, then the levels it touched, best first.

    A foreign maker's FILL row follows its trade.
    """
    state = record(block, MARKET_STATE)
    rows = records(out, n + MESSAGE_ROWS, EVENT)
    fills = records(block + state.fills_at, FILL_MAX, L3_FILL)
    for i in range(n_fills):
        state.trade_id += 1
        put_row(state, rows[n], TRADE, side, fills[i].px, fills[i].qty, state.trade_id, _BOTH)
        n += 1
        n += put_fill(block, rows[n], fills[i], -side, state.trade_id)
    if state.emit_l3 != 0:
        for i in range(n_fills):
            kind = CHANGE if fills[i].left > 0 else DELETE
            put_row(state, rows[n], kind, -side, fills[i].px, fills[i].left, fills[i].id, _BOTH)
            n += 1
    if state.emit_l2 != 0:
        for i in range(n_fills):
            if i + 1 == n_fills or fills[i + 1].px != fills[i].px:
                depth = l3_depth_at(block + state.book_at, -side, fills[i].px)
                put_row(state, rows[n], LEVEL, -side, fills[i].px, depth, state.update_id, _BOTH)
                n += 1
    return n


# --- what happens -------------------------------------------------------------------------------------------------


@kernel
def _gap(block: int) -> float:
    """How far the value lies above the mid, in ticks."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    return float(state.value - 0.5 * (l3_best_bid(book) + l3_best_ask(book)))


@kernel
def _limit_order(block: int, out: int, n: int, side: int) -> int:
    """A resting order at a random distance from the other side's best. Returns the row count after."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    distance = int(draw_cell(state, _table(state, block, T_PLACE)))
    qty = max(1, int(draw_cell(state, _table(state, block, T_LIMIT_QTY))))
    header = record(book, L3_HEADER)
    # Only foreign orders can have emptied a side; then the value stands in for its best price.
    if side > 0:
        px = (l3_best_ask(book) if header.n_asks > 0 else max(int(state.value), l3_best_bid(book) + 1)) - distance
    else:
        px = (l3_best_bid(book) if header.n_bids > 0 else min(int(state.value), l3_best_ask(book) - 1)) + distance
    # Those who watch do not bid above the value, nor ask below it.
    if side * (px - state.value) > 0.0 and draw_unit(state) < state.quote_watch:
        px = math.floor(side * state.value) * side
    if px < 1:
        return n
    state.order_id += 1
    if l3_add(book, state.order_id, side, px, qty) != 0:
        return n
    state.n_limit += 1
    _message(block)
    return _put_order(block, out, n, ADD, side, px, qty, state.order_id)


@kernel
def _pick_order(block: int) -> int:
    """The row of the order to cancel: a stale best quote now and then, else any order with equal chance.

    Foreign orders are passed over; the caller made sure that there is another.
    """
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    head = 0
    if draw_unit(state) < state.quote_watch:
        if state.value > l3_best_ask(book):
            at = records(book + header.ask_row_at, header.level_max, L3_WORD)[header.n_asks - 1]
            head = levels[at].head
        elif state.value < l3_best_bid(book):
            at = records(book + header.bid_row_at, header.level_max, L3_WORD)[header.n_bids - 1]
            head = levels[at].head
        if head != 0 and orders[head].id < FOREIGN_ID:
            return int(head)
    # Rows are reused last freed first, so most rows up to the highest ever used hold an order.
    row = 1 + ((draw_u32(state) * header.order_used) >> 32)
    while orders[row].qty == 0 or orders[row].id >= FOREIGN_ID:
        row = 1 + ((draw_u32(state) * header.order_used) >> 32)
    return int(row)


@kernel
def _cancel(block: int, out: int, n: int) -> int:
    """One resting order leaves; where that would thin a side too much, an order comes instead."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    row = _pick_order(block)
    order = records(book + header.orders_at, header.order_max + 1, L3_ORDER)[row]
    side, px, qty, order_id = order.side, order.px, order.qty, order.id
    n_levels = header.n_bids if side > 0 else header.n_asks
    if n_levels <= state.levels_min:
        return _limit_order(block, out, n, side)
    l3_delete(book, order_id)
    state.n_cancel += 1
    _message(block)
    return _put_order(block, out, n, DELETE, side, px, qty, order_id)


@kernel
def _taker_side(block: int) -> int:
    """Who takes: an informed trader on the value's side (0 when there is no edge), or anyone, often like the last."""
    state = record(block, MARKET_STATE)
    if draw_unit(state) < state.informed:
        book = block + state.book_at
        if state.value > l3_best_ask(book):
            return BUY
        if state.value < l3_best_bid(book):
            return SELL
        return 0
    if draw_unit(state) < state.side_memory:
        return int(state.last_side)
    return BUY if draw_unit(state) < 0.5 else SELL


@kernel
def _market_order(block: int, out: int, n: int) -> int:
    """An order that takes, through at most `sweep_max` levels, and excites the market."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    side = _taker_side(block)
    if side == 0:
        return n
    px_at, n_levels = header.bid_px_at, header.n_bids
    if side > 0:
        px_at, n_levels = header.ask_px_at, header.n_asks
    reach = min(n_levels - state.levels_min, state.sweep_max)
    if reach <= 0:
        return _limit_order(block, out, n, -side)
    # Prices lie from worst to best.
    limit_px = records(book + px_at, header.level_max, L3_WORD)[n_levels - reach]
    qty = max(1, int(draw_cell(state, _table(state, block, T_MARKET_QTY))))
    n_fills, _left = l3_match(book, side, limit_px, qty, block + state.fills_at, FILL_MAX)
    state.n_market += 1
    state.last_side = side
    state.excited += state.burst_jump
    _message(block)
    return _put_fills(block, out, n, n_fills, side)


@kernel
def _pass_time(block: int, dt: float) -> None:
    """Let excitement fade and the value wander for `dt` seconds."""
    state = record(block, MARKET_STATE)
    fade = decay(state.burst_decay * dt, records(block + state.decay_at, _DECAY_ROWS, FLOAT))
    state.excited = state.excited * fade
    step = state.value_vol * math.sqrt(dt) * draw_cell(state, _table(state, block, T_NORMAL))
    state.value = state.value + (state.value_drift * dt + step)
    if state.value_jump_rate > 0.0 and draw_unit(state) < state.value_jump_rate * dt:
        state.value = state.value + state.value_jump * draw_cell(state, _table(state, block, T_NORMAL))


@kernel
def _happen(block: int, out: int, n: int, mark: float, resting: float, cancels: float) -> int:
    """One event; `mark` says which: below `resting` a limit order, below `cancels` a cancel, above it a taker."""
    state = record(block, MARKET_STATE)
    if mark < resting:
        tilt = 0.5 + 0.5 * state.maker_tilt * max(-1.0, min(1.0, _gap(block)))
        side = BUY if draw_unit(state) < tilt else SELL
        return _limit_order(block, out, n, side)
    if mark < cancels:
        return _cancel(block, out, n)
    return _market_order(block, out, n)


@entry
def market_run(block: int, out: int, n_cap: int, n_want: int, ts_end: int) -> int:
    """Simulate until `n_want` rows are at `out` (room: n_cap EVENT rows) or the time is over. Returns how many.

    Rates fade between events, so times are drawn by thinning (Ogata 1981) under the rate that holds just after an
    event. Stops only between messages; state.ended becomes 1 at `ts_end`.
    """
    state = record(block, MARKET_STATE)
    header = record(block + state.book_at, L3_HEADER)
    exponential = _table(state, block, T_EXPONENTIAL)
    n = 0
    while n < n_want and n + MESSAGE_ROWS <= n_cap:
        # Foreign orders may have changed since a held event was drawn, but never so that the rate is above its bound.
        quiet = state.limit_rate + state.cancel_rate * (header.n_orders - state.n_foreign)
        if state.held != 0:
            dt, bound, ts = state.held_dt, state.held_bound, state.held_ts
            state.held = 0
        else:
            echo = 1.0 + state.burst_echo * state.excited / state.market_rate
            bound = quiet * echo + state.market_rate + state.excited
            dt = draw_exponential(state, exponential) / bound
            ts = state.ts + max(1, int(dt * _NS))
        if ts >= ts_end:
            if state.hold != 0:
                state.held, state.held_dt, state.held_bound, state.held_ts = 1, dt, bound, ts
            else:
                state.ts = ts_end
            state.ended = 1
            break
        state.ts = ts
        _pass_time(block, dt)
        echo = 1.0 + state.burst_echo * state.excited / state.market_rate
        mark = draw_unit(state) * bound
        resting, cancels = state.limit_rate * echo, quiet * echo
        if mark >= cancels + state.market_rate + state.excited:
            continue
        before = n
        n = _happen(block, out, n, mark, resting, cancels)
        if n > before:
            row = records(out, n, EVENT)[n - 1]
            row.flags = _BOTH | LAST
    return n


@entry
def market_open(block: int, order_max: int, level_max: int, mid_px: int, n_orders: int) -> int:
    """Lay out the book and put `n_orders` random orders around `mid_px`, some on `levels_min` levels of each side."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    l3_init(book, order_max, level_max)
    header = record(book, L3_HEADER)
    place = _table(state, block, T_PLACE)
    sizes = _table(state, block, T_LIMIT_QTY)
    for k in range(2 * state.levels_min):
        side = 1 if k % 2 == 0 else -1
        state.order_id += 1
        l3_add(book, state.order_id, side, mid_px - side * (1 + k // 2), max(1, int(draw_cell(state, sizes))))
    while header.n_orders < n_orders:
        side = BUY if draw_unit(state) < 0.5 else SELL
        state.order_id += 1
        px = mid_px - side * int(draw_cell(state, place))
        if px >= 1 and l3_add(book, state.order_id, side, px, max(1, int(draw_cell(state, sizes)))) != 0:
            break
    return int(header.n_orders)


@entry
def market_snapshot(block: int, out: int, n_cap: int) -> int:
    """Write the book as a snapshot message: CLEAR, then levels best first, then orders in queue order, as asked for.

    Returns the number of rows, or minus the number needed when `n_cap` is too small.
    """
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    needed = 1 + state.emit_l2 * header.n_levels + state.emit_l3 * header.n_orders
    if needed > n_cap:
        return int(-needed)
    rows = records(out, n_cap, EVENT)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    _message(block)
    flags = _BOTH | SNAPSHOT
    put_row(state, rows[0], CLEAR, 0, 0, 0, state.update_id, flags)
    n = 1
    for side in (1, -1):
        row_at, n_levels = header.ask_row_at, header.n_asks
        if side > 0:
            row_at, n_levels = header.bid_row_at, header.n_bids
        at = records(book + row_at, header.level_max, L3_WORD)
        for i in range(n_levels - 1, -1, -1):
            level = levels[at[i]]
            if state.emit_l2 != 0:
                put_row(state, rows[n], LEVEL, side, level.px, level.qty, state.update_id, flags)
                n += 1
            if state.emit_l3 != 0:
                row = level.head
                while row != 0:
                    put_row(state, rows[n], ADD, side, level.px, orders[row].qty, orders[row].id, flags)
                    n += 1
                    row = orders[row].after
    rows[n - 1].flags = flags | LAST
    return n
