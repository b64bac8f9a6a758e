"""From proposal to command: what a strategy asks for passes the gate here, or comes back as a refusal.

An approved proposal becomes an ORDER in the table and a COMMAND in the ring; a refused one becomes a REFUSED row, kept
for the driver's log and shown to the strategy in on_order, where it may propose again. Kernels, called after handlers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.engine.children import child_refused, parents_cancel, protect_entry
from tercel.engine.exposure import dearer, gross_of_all, n_open_of, own_best
from tercel.engine.faults import FAULT_REFUSALS_FULL, fault
from tercel.engine.losses import loss_limited, mark_loss, mark_x2
from tercel.engine.outbox import push_command
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
    LEAVE_BY,
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
    DEADLINE,
    ORDER_NOT_OPEN,
    TOO_MANY_OPEN_ORDERS,
    UNKNOWN_INSTRUMENT,
    UNKNOWN_ORDER,
)
from tercel.orders.lifecycle import ORDER, ST_UNKNOWN
from tercel.orders.positions import MONEY_MAX, POSITION, notional_of
from tercel.orders.table import (
    order_amend_adds,
    order_amend_most,
    order_find,
    order_leaves,
    order_reserved,
    order_slot_insert,
)
from tercel.risk.gate import RISK, count_refusal, gate, gate_amend, gate_message
from tercel.strategy.context import CONTEXT, MARKET_ROW, PROPOSAL, top_ticks

__all__ = ["mark_x2", "take_proposal"]

I64 = np.dtype("i8")
_EVENT_BYTES = EVENT.itemsize


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


@kernel
def _check_new(base: int, p: Any) -> int:
    """Every check of a NEW proposal. 0, or the reason to refuse."""
    ctx = record(base, CONTEXT)
    if p.reason != 0:
        return p.reason
    if p.deadline != 0 and ctx.now > p.deadline:
        return DEADLINE
    i = p.instrument
    if i < 0 or i >= ctx.n_instruments:
        return UNKNOWN_INSTRUMENT
    shape = _bad_shape(p)
    if shape != 0:
        return shape
    if ctx.n_commands >= ctx.commands_max:
        return COMMAND_RING_FULL
    if ctx.n_open >= ctx.orders_max:
        return TOO_MANY_OPEN_ORDERS
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[i]
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[i]
    bid, ask = top_ticks(base, ctx, i, 0), top_ticks(base, ctx, i, 1)
    if bid == 0 and ask == 0:
        bid = ask = records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[i].last_px
    if p.type == MARKET and bid == 0 and ask == 0:
        return BOOK_NOT_READY
    px = p.arg if p.type == STOP or p.type == STOP_LIMIT else p.px
    if loss_limited(risk):
        mark_loss(base, i)
        if ctx.n_commands >= ctx.commands_max:
            return COMMAND_RING_FULL
    # An order that waits for its trigger cannot trade now, so it cannot trade with our own.
    waits = p.type == STOP or p.type == STOP_LIMIT or p.type == TRAILING
    # What stops a position out goes before our own orders in its way; the venue's own prevention sees to them.
    stops_out = p.parent != 0 and p.type == MARKET and p.flags & REDUCE_ONLY != 0
    opposite = own_best(base, i, -p.side) if risk.refuse_self_trade != 0 and not waits and not stops_out else 0
    gross = gross_of_all(base, i, -1) if risk.has_notional != 0 else 0
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
    order.parent = p.parent
    order.budget = p.budget
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
    if p.deadline != 0 and p.tif != GTD:
        command.expire_ns = p.deadline
        command.flags = p.flags | LEAVE_BY
    return 0


@cold_kernel
def _request(base: int, p: Any, slot: int) -> int:
    """CANCEL, AMEND and LINK: check that the order lives, mark the request, push the command. 0 or a reason."""
    ctx = record(base, CONTEXT)
    if p.reason != 0:
        return p.reason
    if ctx.n_commands >= ctx.commands_max:
        return COMMAND_RING_FULL
    if slot < 0:
        return UNKNOWN_ORDER
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    order = orders[slot]
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[order.instrument]
    if p.kind == LINK:
        other = order_find(orders, ctx.orders_max, p.arg)
        if other < 0:
            return UNKNOWN_ORDER
        if other == slot or orders[other].instrument != order.instrument:
            return BAD_ORDER_TYPE
        order.link = p.arg
        command = push_command(base, LINK, p.id, order.instrument, order.side, 0, 0)
        command.arg = p.arg
        command.flags = p.flags
        return 0
    if order.pending != 0 or order.state == ST_UNKNOWN:
        return ORDER_NOT_OPEN
    if p.kind == AMEND:
        if order.parent != 0:
            # A child must not outgrow what its algorithm has left.
            return BAD_ORDER_TYPE
        if p.qty <= 0:
            return BAD_QTY
        if p.px <= 0 and order.px > 0:
            return BAD_PRICE
        reason = _check_amend(base, p, order, slot)
    else:
        reason = gate_message(risk, ctx.now)
    if reason != 0:
        return reason
    order.pending = p.kind
    order.pending_ts = ctx.now
    if p.kind == AMEND:
        # What an amend adds may trade before we hear of it: it counts from now on.
        before = order_reserved(order)
        instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[order.instrument]
        order.pending_px = p.px
        order.pending_qty = p.qty
        order.pending_most = order_amend_most(order, p.px, p.qty, instrument.replaces)
        position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[order.instrument]
        if order.side > 0:
            position.open_buy += order_reserved(order) - before
        else:
            position.open_sell += order_reserved(order) - before
    command = push_command(base, p.kind, p.id, order.instrument, order.side, p.px, p.qty)
    if p.kind == AMEND:
        command.arg = order_leaves(order)
    return 0


@cold_kernel
def _check_amend(base: int, p: Any, order: Any, slot: int) -> int:
    """Judge an amend as the order it would make, in place of the old one or, where it adds, beside it."""
    ctx = record(base, CONTEXT)
    i = order.instrument
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[i]
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[i]
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    bid, ask = top_ticks(base, ctx, i, 0), top_ticks(base, ctx, i, 1)
    opposite = own_best(base, i, -order.side) if risk.refuse_self_trade != 0 else 0
    reduce_only = 1 if order.flags & REDUCE_ONLY != 0 else 0
    leaves = order_leaves(order)
    adds = order_amend_adds(order, p.px, p.qty, instrument.replaces)
    gross = 0
    if risk.has_notional != 0:
        gross = gross_of_all(base, i, -1 if adds else slot)
        if not adds and order.px > 0 and dearer(instrument, order.px, p.px) != p.px:
            # Of the new size as much as is left of the old one may still trade at the old price.
            lots = min(leaves, p.qty)
            at_old = min(notional_of(instrument, order.px, lots), MONEY_MAX)
            gross = min(gross + at_old - min(notional_of(instrument, p.px, lots), at_old), MONEY_MAX)
    # Where it adds, the last lot of the old order and the new one exclude each other.
    replaced = 1 if adds else leaves
    return gate_amend(
        risk, position, instrument, ctx.now, order.side, p.px, p.qty, replaced, bid, ask, reduce_only, opposite, gross
    )


@cold_kernel
def _cancel_all(base: int, p: Any) -> int:
    """A CANCEL for each open order of the asking strategy on the instrument (-1: all) that has no request in flight.
    Its execution algorithms there end, too.

    Where the ring or the message rate ends, the rest stay as they are and the reason comes back.
    """
    ctx = record(base, CONTEXT)
    if p.instrument < -1 or p.instrument >= ctx.n_instruments:
        return UNKNOWN_INSTRUMENT
    parents_cancel(base, p.strategy, p.instrument)
    risks = records(base + ctx.off_risk, ctx.n_instruments, RISK)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    for i in range(ctx.n_open):
        order = orders[slots[i]]
        wanted = p.instrument < 0 or order.instrument == p.instrument
        if wanted and order.strategy == p.strategy and order.pending == 0:
            if ctx.n_commands >= ctx.commands_max:
                return COMMAND_RING_FULL
            reason = gate_message(risks[order.instrument], ctx.now)
            if reason != 0:
                return reason
            order.pending = CANCEL
            order.pending_ts = ctx.now
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
    else:
        fault(ctx, FAULT_REFUSALS_FULL, p.strategy)


@cold_kernel
def take_proposal(base: int, i: int) -> int:
    """Judge proposal `i`. 0 when it became commands, else the reason it was refused with (its row is written)."""
    ctx = record(base, CONTEXT)
    p = records(base + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[i]
    slot = -1
    if p.kind != NEW and p.kind != CANCEL_ALL:
        orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
        slot = order_find(orders, ctx.orders_max, p.id)
        if slot >= 0:
            p.instrument = orders[slot].instrument
            p.side = orders[slot].side
    known = p.instrument >= 0 and p.instrument < ctx.n_instruments
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[p.instrument if known else 0]
    counted = risk.n_refused
    if p.kind == NEW:
        reason = _check_new(base, p)
        if reason == 0:
            reason = _approve_new(base, p)
    elif p.kind == CANCEL_ALL:
        reason = _cancel_all(base, p)
    else:
        reason = _request(base, p, slot)
    if reason != 0:
        # The gate counts what it refuses; the rest is counted here.
        if known and risk.n_refused == counted:
            count_refusal(risk, reason)
        _refuse(base, p, reason)
        if p.parent != 0:
            child_refused(base, p, reason)
        elif p.kind == NEW and ctx.n_protected != 0:
            protect_entry(base, p.id, 0, True)
    return reason
