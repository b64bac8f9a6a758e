"""From proposal to command: what a strategy asks for passes the gate here, or comes back as a refusal.

An approved proposal becomes an ORDER in the table and a COMMAND in the ring; a refused one becomes a REFUSED row, kept
for the driver's log and shown to the strategy in on_order, where it may propose again. Kernels, called after handlers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import (
    AMEND,
    CANCEL,
    CANCEL_ALL,
    COMMAND,
    FOK,
    GTC,
    GTD,
    GTX,
    ICEBERG,
    IOC,
    LIMIT,
    LINK,
    MARKET,
    NEW,
    REDUCE_ONLY,
    STOP,
    STOP_LIMIT,
    TRAILING,
)
from tercel.model.events import EVENT, EXCH, LOCAL, REFUSED
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import (
    BAD_ORDER_TYPE,
    BAD_PRICE,
    BAD_QTY,
    BOOK_NOT_READY,
    COMMAND_RING_FULL,
    ORDER_NOT_OPEN,
    TOO_MANY_OPEN_ORDERS,
    UNKNOWN_INSTRUMENT,
    UNKNOWN_ORDER,
)
from tercel.orders.lifecycle import ORDER, ST_UNKNOWN
from tercel.orders.positions import POSITION, notional_of, position_equity
from tercel.orders.table import order_find, order_leaves, order_slot_insert
from tercel.risk.gate import RISK, gate, gate_amend, gate_mark, gate_message
from tercel.strategy.context import CONTEXT, MARKET_ROW, PROPOSAL, top_ticks

__all__ = ["mark_x2", "push_command", "take_proposal"]

I64 = np.dtype("i8")
_EVENT_BYTES = EVENT.itemsize


@kernel
def mark_x2(base: int, instrument: int) -> int:
    """What a position is marked at, in half ticks: bid plus ask, else twice the last price, 0 before any."""
    ctx = record(base, CONTEXT)
    bid, ask = top_ticks(base, ctx, instrument, 0), top_ticks(base, ctx, instrument, 1)
    if bid > 0 and ask > 0:
        return bid + ask
    return 2 * records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[instrument].last_px


@kernel
def push_command(base: int, kind: int, id: int, instrument: int, side: int, px: int, qty: int) -> Any:
    """Append a COMMAND caused by the row in work and return it; the caller made sure that there is room."""
    ctx = record(base, CONTEXT)
    command = records(base + ctx.off_commands, ctx.commands_max, COMMAND)[ctx.n_commands]
    ctx.n_commands += 1
    ctx.n_emitted += 1
    command.cause = ctx.seq
    command.ts = ctx.now
    command.id = id
    command.px = px
    command.qty = qty
    command.arg = 0
    command.expire_ns = 0
    command.kind = kind
    command.side = side
    command.type = 0
    command.tif = 0
    command.flags = 0
    command.instrument = instrument
    return command


@kernel
def _bad_shape(p: Any) -> int:
    """Whether the parts of a NEW proposal fit together. 0, or the reason they do not."""
    if p.side != 1 and p.side != -1:
        return BAD_ORDER_TYPE
    if p.type < LIMIT or p.type > ICEBERG or p.tif < GTC or p.tif > GTX:
        return BAD_ORDER_TYPE
    if p.qty <= 0:
        return BAD_QTY
    priced = p.type == LIMIT or p.type == STOP_LIMIT or p.type == ICEBERG
    if priced and p.px <= 0:
        return BAD_PRICE
    if not priced and p.px != 0:
        return BAD_ORDER_TYPE
    if (p.type == STOP or p.type == STOP_LIMIT or p.type == TRAILING) and p.arg <= 0:
        return BAD_PRICE
    if p.type == ICEBERG and (p.arg <= 0 or p.arg > p.qty or p.tif == IOC or p.tif == FOK):
        return BAD_ORDER_TYPE
    if p.tif == GTX and p.type != LIMIT and p.type != ICEBERG:
        return BAD_ORDER_TYPE
    if (p.tif == GTD) != (p.expire_ns != 0):
        return BAD_ORDER_TYPE
    return 0


@cold_kernel
def own_best(base: int, instrument: int, side: int) -> int:
    """Best price of our own open orders on a side of an instrument, in ticks, 0 when there is none. O(open orders)."""
    ctx = record(base, CONTEXT)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    best = 0
    for i in range(ctx.n_open):
        order = orders[slots[i]]
        if order.instrument == instrument and order.side == side and order.px > 0:
            if best == 0 or (order.px - best) * side > 0:
                best = order.px
    return best


@cold_kernel
def gross_of_all(base: int) -> int:
    """Gross notional of all positions at their marks, in money quanta. O(instruments)."""
    ctx = record(base, CONTEXT)
    positions = records(base + ctx.off_positions, ctx.n_instruments, POSITION)
    instruments = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)
    total = 0
    for i in range(ctx.n_instruments):
        lots = abs(positions[i].position)
        px = mark_x2(base, i) >> 1
        if lots > 0 and px > 0:
            total += notional_of(instruments[i], px, lots)
    return total


@kernel
def n_open_of(base: int, instrument: int) -> int:
    """How many of our orders on an instrument are open or in flight. O(open orders)."""
    ctx = record(base, CONTEXT)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    n = 0
    for i in range(ctx.n_open):
        if orders[slots[i]].instrument == instrument:
            n += 1
    return n


@kernel
def _check_new(base: int, p: Any) -> int:
    """Every check of a NEW proposal. 0, or the reason to refuse."""
    ctx = record(base, CONTEXT)
    if p.reason != 0:
        return p.reason
    i = p.instrument
    if i < 0 or i >= ctx.n_instruments:
        return UNKNOWN_INSTRUMENT
    shape = _bad_shape(p)
    if shape != 0:
        return shape
    if ctx.n_commands >= ctx.commands_max:
        return COMMAND_RING_FULL
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[i]
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[i]
    bid, ask = top_ticks(base, ctx, i, 0), top_ticks(base, ctx, i, 1)
    if bid == 0 and ask == 0:
        bid = ask = records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[i].last_px
    if p.type == MARKET and bid == 0 and ask == 0:
        return BOOK_NOT_READY
    px = p.arg if p.type == STOP or p.type == STOP_LIMIT else p.px
    if risk.daily_loss_max > 0 or risk.drawdown_max > 0:
        gate_mark(risk, position_equity(position, instrument, mark_x2(base, i)), ctx.now)
    opposite = own_best(base, i, -p.side) if risk.refuse_self_trade != 0 else 0
    gross = gross_of_all(base) if risk.has_notional != 0 else 0
    reduce_only = 1 if p.flags & REDUCE_ONLY != 0 else 0
    n_open = n_open_of(base, i) if ctx.n_open >= risk.open_orders_max else 0
    return gate(risk, position, instrument, ctx.now, p.side, px, p.qty, bid, ask, reduce_only, n_open, opposite, gross)


@kernel
def _approve_new(base: int, p: Any) -> int:
    """Enter a checked NEW proposal into the order table and the command ring. 0, or the reason it could not be."""
    ctx = record(base, CONTEXT)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_slot_insert(orders, ctx.orders_max, p.id)
    if slot < 0:
        return TOO_MANY_OPEN_ORDERS
    order = orders[slot]
    order.instrument = p.instrument
    order.strategy = p.strategy
    order.side = p.side
    order.type = p.type
    order.tif = p.tif
    order.flags = p.flags
    order.px = p.px
    order.qty = p.qty
    order.arg = p.arg
    order.expire_ns = p.expire_ns
    order.ts_sent = ctx.now
    order.ts_last = ctx.now
    records(base + ctx.off_open, ctx.orders_max, I64)[ctx.n_open] = slot
    ctx.n_open += 1
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[p.instrument]
    if p.side > 0:
        position.open_buy += p.qty
    else:
        position.open_sell += p.qty
    command = push_command(base, NEW, p.id, p.instrument, p.side, p.px, p.qty)
    command.type = p.type
    command.tif = p.tif
    command.flags = p.flags
    command.arg = p.arg
    command.expire_ns = p.expire_ns
    return 0


@cold_kernel
def _request(base: int, p: Any) -> int:
    """CANCEL, AMEND and LINK: check that the order lives, mark the request, push the command. 0 or a reason."""
    ctx = record(base, CONTEXT)
    if p.reason != 0:
        return p.reason
    if ctx.n_commands >= ctx.commands_max:
        return COMMAND_RING_FULL
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, p.id)
    if slot < 0:
        return UNKNOWN_ORDER
    order = orders[slot]
    p.instrument = order.instrument
    p.side = order.side
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[order.instrument]
    if p.kind == LINK:
        if order_find(orders, ctx.orders_max, p.arg) < 0:
            return UNKNOWN_ORDER
        order.link = p.arg
        command = push_command(base, LINK, p.id, order.instrument, order.side, 0, 0)
        command.arg = p.arg
        command.flags = p.flags
        return 0
    if order.pending != 0 or order.state == ST_UNKNOWN:
        return ORDER_NOT_OPEN
    if p.kind == AMEND:
        if p.qty <= 0:
            return BAD_QTY
        if p.px <= 0 and order.px > 0:
            return BAD_PRICE
        reason = _check_amend(base, p, order)
    else:
        reason = gate_message(risk, ctx.now)
    if reason != 0:
        return reason
    order.pending = p.kind
    order.pending_px = p.px
    order.pending_qty = p.qty
    push_command(base, p.kind, p.id, order.instrument, order.side, p.px, p.qty)
    return 0


@cold_kernel
def _check_amend(base: int, p: Any, order: Any) -> int:
    """Judge an amend as the order it would make."""
    ctx = record(base, CONTEXT)
    i = order.instrument
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[i]
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[i]
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    bid, ask = top_ticks(base, ctx, i, 0), top_ticks(base, ctx, i, 1)
    opposite = own_best(base, i, -order.side) if risk.refuse_self_trade != 0 else 0
    gross = gross_of_all(base) if risk.has_notional != 0 else 0
    reduce_only = 1 if order.flags & REDUCE_ONLY != 0 else 0
    leaves = order_leaves(order)
    return gate_amend(
        risk, position, instrument, ctx.now, order.side, p.px, p.qty, leaves, bid, ask, reduce_only, opposite, gross
    )


@cold_kernel
def _cancel_all(base: int, p: Any) -> int:
    """A CANCEL for each open order of the asking strategy on the instrument that has no request in flight."""
    ctx = record(base, CONTEXT)
    if p.instrument < 0 or p.instrument >= ctx.n_instruments:
        return UNKNOWN_INSTRUMENT
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    for i in range(ctx.n_open):
        order = orders[slots[i]]
        if order.instrument == p.instrument and order.strategy == p.strategy and order.pending == 0:
            if ctx.n_commands >= ctx.commands_max:
                return COMMAND_RING_FULL
            order.pending = CANCEL
            push_command(base, CANCEL, order.id, order.instrument, order.side, 0, 0)
    return 0


@cold_kernel
def _refuse(base: int, p: Any, reason: int) -> None:
    """Keep a refused proposal as a REFUSED row beside the COMMAND it would have been."""
    ctx = record(base, CONTEXT)
    ctx.n_emitted += 1
    if ctx.n_refused < ctx.commands_max:
        address = base + ctx.off_refusals + ctx.n_refused * 2 * _EVENT_BYTES
        row = record(address, EVENT)
        row.ts_exch = ctx.now
        row.ts_recv = ctx.now
        row.px = p.px
        row.qty = p.qty
        row.id = p.id
        row.arg0 = p.kind
        row.arg1 = p.strategy
        row.kind = REFUSED
        row.side = p.side
        row.reason = reason
        row.flags = EXCH | LOCAL
        row.instrument = max(-1, min(p.instrument, 32767))
        command = record(address + _EVENT_BYTES, COMMAND)
        command.cause = ctx.seq
        command.ts = ctx.now
        command.id = p.id
        command.px = p.px
        command.qty = p.qty
        command.arg = p.arg
        command.expire_ns = p.expire_ns
        command.kind = p.kind
        command.side = p.side
        command.type = max(-1, min(p.type, 127))
        command.tif = max(-1, min(p.tif, 127))
        command.flags = p.flags
        command.instrument = max(-1, min(p.instrument, 32767))
        ctx.n_refused += 1


@cold_kernel
def take_proposal(base: int, i: int) -> int:
    """Judge proposal `i`. 0 when it became commands, else the reason it was refused with (its row is written)."""
    ctx = record(base, CONTEXT)
    p = records(base + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[i]
    if p.kind == NEW:
        reason = _check_new(base, p)
        if reason == 0:
            reason = _approve_new(base, p)
    elif p.kind == CANCEL_ALL:
        reason = _cancel_all(base, p)
    else:
        reason = _request(base, p)
    if reason != 0:
        _refuse(base, p, reason)
    return reason
