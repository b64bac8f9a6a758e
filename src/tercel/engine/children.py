"""What rows do to execution algorithms: fills and ends of their children, trades they count, the latency of answers.

Nothing here sends: an algorithm that has something to do is given a due time, and acts then as a timer (`parents`).
Kernels, called by `account`, `proposals` and `step`.
"""

from __future__ import annotations

from typing import Any

from tercel.execution.parents import (
    parent_child_ended,
    parent_entry,
    parent_fill,
    parent_find,
    parent_notice,
    parent_price_seen,
    parent_refused,
    parent_trade,
)
from tercel.execution.routing import CLOSED_LOST, ROUTE, route_latency
from tercel.execution.schedule import NEVER, PARENT, POV, PROTECT, PS_ENDED, PS_PAUSED, PS_WORKING, RECENT
from tercel.execution.ticks import TICKS, ticks_add
from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import IOC, NEW
from tercel.model.events import ACK, CANCELED, EXPIRED, FILL, REJECT
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import BY_REQUEST, RUN_ENDED
from tercel.strategy.context import CONTEXT, top_ticks

__all__ = [
    "child_refused",
    "child_row",
    "connection",
    "first_answer",
    "late_fill",
    "parents_cancel",
    "parents_forget",
    "parents_stop",
    "protect_entry",
    "wake_at",
    "watch_prices",
    "watch_trade",
]  # fmt: skip


@kernel
def wake_at(base: int, due_ns: int) -> None:
    """An algorithm acts at `due_ns`, perhaps earlier than the next one known."""
    ctx = record(base, CONTEXT)
    if due_ns < ctx.next_parent:
        ctx.next_parent = due_ns
    if due_ns < ctx.next_timer:
        ctx.next_timer = due_ns


@cold_kernel
def child_row(base: int, order: Any, row: Any, ended: bool) -> None:
    """A row about an order that an algorithm sent; the order has it applied. Rows after its end move its sums too."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    slot = parent_find(parents, ctx.parents_max, order.parent)
    if slot < 0:
        return
    parent = parents[slot]
    kind = int(row.kind)
    if kind == FILL:
        parent_fill(parent, row.px, row.qty)
    if ended and parent.child == order.id:
        unasked = (kind == CANCELED or kind == EXPIRED) and parent.asked_ns == 0 and order.tif != IOC
        if parent.kind == PROTECT and order.tif == IOC and order.filled == 0:
            # Nothing to sell to: at the same instant there will be nothing either.
            unasked = True
        parent_child_ended(parent, int(row.reason), kind == REJECT or unasked, ctx.now)
        if parent.state != PS_ENDED:
            wake_at(base, parent.due_ns)


@cold_kernel
def late_fill(base: int, row: Any) -> None:
    """A fill of an order that is gone: it counts for the algorithm that sent it, where that is still known."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    for i in range(min(ctx.n_parents, ctx.parents_max)):
        for k in range(RECENT):
            if parents[i].recent[k] == row.id:
                parent_fill(parents[i], row.px, row.qty)
                return


@cold_kernel
def child_refused(base: int, p: Any, reason: int) -> None:
    """The gate refused what an algorithm asked for. p: PROPOSAL."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    slot = parent_find(parents, ctx.parents_max, p.parent)
    if slot < 0:
        return
    if p.kind == NEW:
        parent_refused(parents[slot], reason, ctx.now)
        wake_at(base, parents[slot].due_ns)
    # A refused cancel is asked for again when `parent_next` has waited for its answer.


@cold_kernel
def watch_trade(base: int, row: Any) -> None:
    """A trade of the market, where somebody keeps or counts them."""
    ctx = record(base, CONTEXT)
    i = int(row.instrument)
    ticks = records(base + ctx.off_ticks, ctx.n_instruments, TICKS)[i]
    if ticks.is_watched != 0:
        ticks_add(ticks, row.px, row.qty)
    if ctx.n_protected != 0:
        watch_prices(base, i, row.px, row.px)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    for s in range(min(ctx.n_parents, ctx.parents_max)):
        parent = parents[s]
        if parent.instrument == i and parent.kind == POV:
            lot_min = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i].lot_min
            if parent_trade(parent, row.qty, lot_min, ctx.now):
                wake_at(base, parent.due_ns)


@cold_kernel
def protect_entry(base: int, id: int, lots: int, is_over: bool) -> None:
    """Order `id` has filled `lots`, or is over: what protects it follows, and looks at the price there is."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    for i in range(min(ctx.n_parents, ctx.parents_max)):
        parent = parents[i]
        if parent.kind == PROTECT and parent.entry == id:
            if parent_entry(parent, lots, is_over, ctx.now):
                ctx.n_protected += 1
                ctx.n_watched += 1
            if parent.state != PS_ENDED:
                parent_price_seen(parent, top_ticks(base, ctx, parent.instrument, 0 if parent.side < 0 else 1), ctx.now)
                wake_at(base, ctx.now)


@cold_kernel
def watch_prices(base: int, instrument: int, low: int, high: int) -> None:
    """The market was at these prices, in ticks, 0 unknown: `low` for what would be sold, `high` for what is bought."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    for i in range(min(ctx.n_parents, ctx.parents_max)):
        parent = parents[i]
        if parent.kind == PROTECT and parent.instrument == instrument:
            if parent_price_seen(parent, low if parent.side < 0 else high, ctx.now):
                wake_at(base, ctx.now)


@cold_kernel
def first_answer(base: int, order: Any, row: Any) -> None:
    """The first answer to a new order: how long it took. What never came from the venue does not say how far it is."""
    ctx = record(base, CONTEXT)
    kind = int(row.kind)
    routes = records(base + ctx.off_routes, ctx.n_instruments, ROUTE)
    is_measured = kind == ACK or kind == FILL
    route_latency(routes, order.instrument, row.ts_recv - order.ts_sent, order.budget, is_measured)


@cold_kernel
def connection(base: int, instrument: int, is_lost: bool) -> None:
    """The venue of an instrument is out of reach, or in reach again: the router leaves it out meanwhile."""
    route = records(base + record(base, CONTEXT).off_routes, record(base, CONTEXT).n_instruments, ROUTE)[instrument]
    route.closed = (route.closed & ~CLOSED_LOST) | (CLOSED_LOST if is_lost else 0)


@cold_kernel
def parents_cancel(base: int, strategy: int, instrument: int) -> int:
    """Ask every algorithm of a strategy on an instrument (-1: on all) to end. How many there were."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    asked = 0
    for i in range(min(ctx.n_parents, ctx.parents_max)):
        parent = parents[i]
        lives = parent.state == PS_WORKING or parent.state == PS_PAUSED
        if lives and parent.strategy == strategy and (instrument < 0 or parent.instrument == instrument):
            if parent.wish == 0:
                parent.wish = BY_REQUEST
            parent_notice(parent, ctx.now)
            asked += 1
    if asked > 0:
        wake_at(base, ctx.now)
    return asked


@cold_kernel
def parents_stop(base: int) -> None:
    """The run is over: no algorithm sends any more. Its open child is the driver's to cancel, as all orders are."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    for i in range(min(ctx.n_parents, ctx.parents_max)):
        parent = parents[i]
        if parent.state == PS_WORKING or parent.state == PS_PAUSED:
            parent.state = PS_ENDED
            parent.reason = RUN_ENDED
            parent.due_ns = NEVER
            if parent.kind == POV or parent.kind == PROTECT:
                ctx.n_watched -= 1
            if parent.kind == PROTECT:
                ctx.n_protected -= 1
    ctx.next_parent = NEVER


@cold_kernel
def parents_forget(base: int) -> None:
    """Time goes on, but nothing waits for it: no algorithm acts before something happens to it."""
    ctx = record(base, CONTEXT)
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    for i in range(min(ctx.n_parents, ctx.parents_max)):
        parents[i].due_ns = NEVER
    ctx.next_parent = NEVER
