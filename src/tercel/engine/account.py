"""What the venue says about our orders: table, position, money, and the strategy that is told.

Kernels, called by `step` for rows of account kinds. A fill counts whatever the table thinks of its order: money first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.engine.calls import ON_FILL, ON_ORDER, call_one, handler_of, view_at
from tercel.engine.children import child_row, first_answer, late_fill, protect_entry
from tercel.engine.faults import FAULT_BAD_FILL, FAULT_MONEY_OVERFLOW, fault
from tercel.engine.losses import loss_limited, mark_loss
from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.events import FILL, MAKER
from tercel.model.instrument import INSTRUMENT
from tercel.orders.executions import EXECUTION, execution_is_new
from tercel.orders.lifecycle import ORDER, ST_FREE, ST_PENDING_NEW
from tercel.orders.positions import POSITION, position_apply_fill
from tercel.orders.table import (
    OVERFLOW,
    order_apply,
    order_find,
    order_free,
    order_is_terminal,
    order_leaves,
    order_lost,
    order_reserved,
)
from tercel.risk.gate import RISK
from tercel.strategy.context import CONTEXT
from tercel.strategy.views import FILL_VIEW, ORDER_VIEW

__all__ = ["account_row", "order_lost_all"]

I64 = np.dtype("i8")


@cold_kernel
def account_row(base: int, wiring: int, row: Any) -> int:
    """Apply a row of account kind. Late rows about orders that are gone still move money; they count in n_late.

    A FILL whose execution was counted before is dropped and counts in n_duplicates.
    """
    ctx = record(base, CONTEXT)
    if row.kind == FILL and row.arg1 != 0 and _is_told_again(base, row):
        ctx.n_duplicates += 1
        return 0
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, row.id)
    if slot < 0:
        ctx.n_late += 1
        if row.kind == FILL:
            if ctx.n_parents != 0:
                late_fill(base, row)
                protect_entry(base, row.id, row.qty, True)
            _fill_money(base, row)
        return 0
    order = orders[slot]
    strategy = order.strategy
    reserved = order_reserved(order)
    if order.state == ST_PENDING_NEW:
        first_answer(base, order, row)
    status = order_apply(order, row)
    if status & OVERFLOW != 0:
        fault(ctx, FAULT_MONEY_OVERFLOW, int(row.instrument))
        return 0
    if status != 0:
        ctx.n_late += 1
    ended = order_is_terminal(order)
    _open_size(base, order, reserved, order_reserved(order))
    if order.parent != 0:
        child_row(base, order, row, ended)
    if row.kind == FILL:
        _fill_money(base, row)
        if ctx.error != 0:
            return 0
        if ctx.n_parents != 0:
            protect_entry(base, order.id, row.qty, ended)
        # A view is filled for a handler that reads it: its floats cost ten divisions.
        if handler_of(wiring, ON_FILL, strategy) != 0:
            _fill_view(base, row, order)
        _settle(base, orders, slot, ended)
        call_one(base, wiring, ON_FILL, strategy)
    else:
        if ended and ctx.n_protected != 0:
            protect_entry(base, order.id, 0, True)
        if handler_of(wiring, ON_ORDER, strategy) != 0:
            _order_view(base, row, order)
        _settle(base, orders, slot, ended)
        call_one(base, wiring, ON_ORDER, strategy)
    return 0


@cold_kernel
def _is_told_again(base: int, row: Any) -> bool:
    """Whether this fill was counted before, as a venue repeats it after a reconnect; if not, it counts from now on."""
    ctx = record(base, CONTEXT)
    entries = records(base + ctx.off_executions, ctx.executions_max, EXECUTION)
    heads = records(base + ctx.off_execution_heads, 2 * ctx.executions_max, I64)
    if not execution_is_new(entries, heads, ctx.executions_max, ctx.n_executions, row):
        return True
    ctx.n_executions += 1
    return False


@kernel
def _open_size(base: int, order: Any, before: int, after: int) -> None:
    """Keep the sizes of open orders that the gate's position limit counts with."""
    ctx = record(base, CONTEXT)
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[order.instrument]
    if order.side > 0:
        position.open_buy += after - before
    else:
        position.open_sell += after - before


@kernel
def _settle(base: int, orders: Any, slot: int, ended: bool) -> None:
    """Free the slot of an order that has ended, before its strategy is told, so that it can use the place."""
    if not ended:
        return
    ctx = record(base, CONTEXT)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    for i in range(ctx.n_open):
        if slots[i] == slot:
            # Keep the order of age: what is done over open orders must not depend on which one ended.
            for j in range(i, ctx.n_open - 1):
                slots[j] = slots[j + 1]
            ctx.n_open -= 1
            slots[ctx.n_open] = 0
            break
    order_free(orders, slot)


@cold_kernel
def _fill_money(base: int, row: Any) -> None:
    """Account a fill, and let the loss limits look at the result."""
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[i]
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    ctx.n_fills += 1
    status = position_apply_fill(position, instrument, int(row.side), row.px, row.qty, row.arg0)
    if status != 0:
        fault(ctx, FAULT_MONEY_OVERFLOW if status == OVERFLOW else FAULT_BAD_FILL, i)
    elif loss_limited(records(base + ctx.off_risk, ctx.n_instruments, RISK)[i]):
        mark_loss(base, i)


@cold_kernel
def _fill_view(base: int, row: Any, order: Any) -> None:
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    view = record(view_at(base, ON_FILL), FILL_VIEW)
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[i]
    view.ts = row.ts_recv
    view.ts_exch = row.ts_exch
    view.instrument = i
    view.order = row.id
    view.side = int(row.side)
    view.px = row.px
    view.lots = row.qty
    view.maker = 1 if row.flags & MAKER != 0 else 0
    view.reason = int(row.reason)
    view.id = row.arg1
    view.parent = order.parent
    view.price = row.px * instrument.tick_num / instrument.tick_den
    view.qty = row.qty * instrument.lot_num / instrument.lot_den
    view.fee = row.arg0 * instrument.quantum
    view.position = position.position * instrument.lot_num / instrument.lot_den
    view.leaves = order_leaves(order) * instrument.lot_num / instrument.lot_den


@cold_kernel
def _order_view(base: int, row: Any, order: Any) -> None:
    ctx = record(base, CONTEXT)
    i = order.instrument
    view = record(view_at(base, ON_ORDER), ORDER_VIEW)
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    view.ts = row.ts_recv
    view.ts_exch = row.ts_exch
    view.instrument = i
    view.id = order.id
    view.side = order.side
    view.kind = int(row.kind)
    view.state = order.state
    view.reason = int(row.reason)
    view.px = order.px
    view.lots = order.qty
    view.filled_lots = order.filled
    view.leaves_lots = order_leaves(order)
    view.parent = order.parent
    view.price = order.px * instrument.tick_num / instrument.tick_den
    view.qty = order.qty * instrument.lot_num / instrument.lot_den
    view.filled = order.filled * instrument.lot_num / instrument.lot_den
    view.leaves = view.leaves_lots * instrument.lot_num / instrument.lot_den


@cold_kernel
def order_lost_all(base: int, instrument: int) -> int:
    """The connection of an instrument is gone: its living orders become UNKNOWN until the venue says. How many."""
    ctx = record(base, CONTEXT)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    lost = 0
    for slot in range(ctx.orders_max):
        if orders[slot].state != ST_FREE and orders[slot].instrument == instrument:
            order_lost(orders[slot])
            lost += 1
    return lost
