"""Execution algorithms at work: each acts when its time has come, as a timer does, and its children pass the gate.

What to do is decided by `execution.parents.parent_next`; this carries it out and tells the strategy of the end in
on_order. Kernels, called by `step` where timers fire.
"""

from __future__ import annotations

from typing import Any

from tercel.engine.calls import ON_ORDER, call_one, take_proposals, view_at
from tercel.execution.parents import (
    PA_CANCEL,
    PA_CANCEL_ENTRY,
    PA_END,
    PA_NONE,
    PA_SEND,
    parent_next,
    parents_earliest,
)
from tercel.execution.schedule import PARENT, POV, PROTECT, PS_PAUSED, PS_WORKING, RECENT
from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import CANCEL, NEW, REDUCE_ONLY
from tercel.model.events import CANCELED, EXPIRED, FILL
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import SCHEDULE_DONE, SCHEDULE_OVER
from tercel.orders.lifecycle import ORDER, ST_CANCELED, ST_EXPIRED, ST_FILLED, ST_UNKNOWN
from tercel.orders.table import order_find, order_leaves
from tercel.strategy.context import CONTEXT, PROPOSAL, earliest_timer, top_ticks
from tercel.strategy.views import ORDER_VIEW

__all__ = ["parents_due"]


@kernel
def _propose(base: int, parent: Any, kind: int, id: int) -> None:
    """Write what an algorithm asks for as the one proposal there is."""
    ctx = record(base, CONTEXT)
    p = records(base + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[0]
    ctx.n_proposals = 1
    is_new = kind == NEW
    p.id = id
    p.instrument = parent.instrument
    p.strategy = parent.strategy
    p.kind = kind
    p.side = parent.side
    p.type = parent.next_type if is_new else 0
    p.tif = parent.next_tif if is_new else 0
    p.flags = REDUCE_ONLY if is_new and parent.kind == PROTECT else 0
    p.px = parent.next_px if is_new else 0
    p.qty = parent.next_lots if is_new else 0
    p.arg = 0
    p.expire_ns = 0
    p.reason = 0
    p.parent = parent.id
    p.deadline = 0
    p.budget = 0


@kernel
def _send(base: int, wiring: int, parent: Any) -> None:
    ctx = record(base, CONTEXT)
    id = ctx.next_id
    ctx.next_id += 1
    parent.child = id
    _propose(base, parent, NEW, id)
    take_proposals(base, wiring)
    if parent.child == id:
        parent.recent[parent.i_recent] = id
        parent.i_recent = (parent.i_recent + 1) % RECENT


@cold_kernel
def _tell_end(base: int, wiring: int, parent: Any) -> None:
    """Tell the strategy that an algorithm has ended, as the order that it was."""
    ctx = record(base, CONTEXT)
    i = parent.instrument
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
    view = record(view_at(base, ON_ORDER), ORDER_VIEW)
    view.ts = ctx.now
    view.ts_exch = ctx.now
    view.instrument = i
    view.id = parent.id
    view.side = parent.side
    view.kind = CANCELED
    view.state = ST_CANCELED
    if parent.reason == SCHEDULE_DONE:
        view.kind = FILL
        view.state = ST_FILLED
    elif parent.reason == SCHEDULE_OVER:
        view.kind = EXPIRED
        view.state = ST_EXPIRED
    view.reason = parent.reason
    view.px = parent.px
    view.lots = parent.qty
    view.filled_lots = parent.filled
    view.leaves_lots = max(0, parent.qty - parent.filled)
    view.parent = parent.id
    view.price = parent.px * instrument.tick_num / instrument.tick_den
    view.qty = parent.qty * instrument.lot_num / instrument.lot_den
    view.filled = parent.filled * instrument.lot_num / instrument.lot_den
    view.leaves = view.leaves_lots * instrument.lot_num / instrument.lot_den
    call_one(base, wiring, ON_ORDER, parent.strategy)


@kernel
def _look_at_entry(base: int, parent: Any) -> None:
    """A protection is about to cancel its entry: not while that has a request in flight, or nobody knows how it is."""
    ctx = record(base, CONTEXT)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, parent.entry)
    if slot < 0:
        parent.is_entry_over = 1
    elif orders[slot].pending != 0 or orders[slot].state == ST_UNKNOWN:
        parent.entry_asked_ns = ctx.now


@cold_kernel
def parents_due(base: int, wiring: int) -> None:
    """Let the algorithm whose time has come first act, at its own time; of several the one in the lowest slot."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    due, at = ctx.next_parent, -1
    for i in range(ctx.parents_max):
        lives = parents[i].state == PS_WORKING or parents[i].state == PS_PAUSED
        if lives and parents[i].due_ns <= due and (at < 0 or parents[i].due_ns < due):
            due, at = parents[i].due_ns, i
    action = PA_NONE
    if at >= 0:
        if due > ctx.now:
            ctx.now = due
        parent = parents[at]
        leaves, is_asked = 0, False
        if parent.child != 0:
            orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
            slot = order_find(orders, ctx.orders_max, parent.child)
            if slot >= 0:
                # One that nobody knows the state of is not asked about again: reconciliation tells.
                is_asked = orders[slot].pending != 0 or orders[slot].state == ST_UNKNOWN
                leaves = order_leaves(orders[slot])
        if parent.kind == PROTECT and parent.is_final != 0 and parent.is_entry_over == 0:
            _look_at_entry(base, parent)
        lot_min = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[parent.instrument].lot_min
        same_px = top_ticks(base, ctx, parent.instrument, 0 if parent.side > 0 else 1)
        action = parent_next(parent, ctx.now, max(1, lot_min), leaves, is_asked, same_px)
    # Before anything is sent: a refusal may set an earlier time again.
    ctx.next_parent = parents_earliest(parents, ctx.parents_max)
    earliest_timer(ctx)
    if action == PA_SEND:
        ctx.strategy = parents[at].strategy
        _send(base, wiring, parents[at])
    elif action == PA_CANCEL:
        ctx.strategy = parents[at].strategy
        _propose(base, parents[at], CANCEL, parents[at].child)
        take_proposals(base, wiring)
    elif action == PA_CANCEL_ENTRY:
        ctx.strategy = parents[at].strategy
        _propose(base, parents[at], CANCEL, parents[at].entry)
        take_proposals(base, wiring)
    elif action == PA_END:
        if parents[at].kind == POV or parents[at].kind == PROTECT:
            ctx.n_watched -= 1
        if parents[at].kind == PROTECT:
            ctx.n_protected -= 1
        _tell_end(base, wiring, parents[at])
