"""The method of `ctx` that protects what an order fills: a stop and a taking of profit that follow its partial fills.

It begins an execution algorithm of a kind of its own (`execution.parents`): steered, read and ended as the others.
Listed in `context.METHODS` with them.
"""

from __future__ import annotations

from typing import Any

from tercel.execution.parents import parent_begin, parent_slot
from tercel.execution.schedule import PARENT, PROTECT, TAKE
from tercel.jit import addressof_record, kernel, records
from tercel.model.commands import IOC, LIMIT, NEW
from tercel.model.reasons import BAD_PRICE, OFF_TICK_GRID, TOO_MANY_PARENTS, UNKNOWN_ORDER
from tercel.orders.lifecycle import ORDER
from tercel.orders.table import order_find
from tercel.strategy.block import AT_MARKET, PROPOSAL, grid, instrument_row, last_proposal, off, propose

__all__ = ["METHODS"]


@kernel
def _ticks(row: Any, price: float) -> int:
    """A price on the grid; 0 for none."""
    return 0 if price == AT_MARKET else grid(price, row.tick_num, row.tick_den)


@kernel
def _protect(ctx: Any, entry: int, stop: float, take: float) -> int:
    base = addressof_record(ctx)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    instrument, side, filled = -1, 0, 0
    i = last_proposal(ctx, entry)
    slot = order_find(orders, ctx.orders_max, entry) if i < 0 and entry > 0 else -1
    if i >= 0:
        p = records(base + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[i]
        instrument, side = p.instrument, p.side
    elif slot >= 0 and orders[slot].strategy == ctx.strategy and orders[slot].parent == 0:
        instrument, side, filled = orders[slot].instrument, orders[slot].side, orders[slot].filled
    if instrument < 0 or instrument >= ctx.n_instruments:
        return propose(ctx, NEW, 0, max(instrument, 0), 1, 0, 0, LIMIT, IOC, 0, 0, 0, UNKNOWN_ORDER)
    row = instrument_row(ctx, instrument)
    stop_px, take_px = _ticks(row, stop), _ticks(row, take)
    reason = off(stop_px, OFF_TICK_GRID, BAD_PRICE)
    if reason == 0:
        reason = off(take_px, OFF_TICK_GRID, BAD_PRICE)
    if reason == 0:
        is_named = stop != AT_MARKET or take != AT_MARKET
        is_positive = (stop == AT_MARKET or stop_px > 0) and (take == AT_MARKET or take_px > 0)
        is_apart = stop_px == 0 or take_px == 0 or (take_px - stop_px) * side > 0
        if not is_named or not is_positive or not is_apart:
            reason = BAD_PRICE
    parents = records(base + ctx.off_parents, ctx.parents_max, PARENT)
    at = parent_slot(parents, ctx.parents_max)
    if reason == 0 and at < 0:
        reason = TOO_MANY_PARENTS
    if reason != 0:
        return propose(ctx, NEW, 0, instrument, -side, 0, stop_px, LIMIT, IOC, 0, 0, 0, reason)
    id = ctx.next_id
    ctx.next_id += 1
    parent_begin(parents[at], id, PROTECT, TAKE, instrument, ctx.strategy, -side, filled, take_px, ctx.now, 0)
    parents[at].entry = entry
    parents[at].stop_px = stop_px
    ctx.n_parents += 1
    ctx.n_protected += 1
    ctx.n_watched += 1
    if ctx.now < ctx.next_parent:
        ctx.next_parent = ctx.now
    if ctx.now < ctx.next_timer:
        ctx.next_timer = ctx.now
    return id


def protect(ctx: Any, entry: int, stop: float = AT_MARKET, take: float = AT_MARKET) -> int:
    """Protect what an order fills, from its first lot on: sell it at `take`, or at market once `stop` is seen.

    entry: an order of this strategy, also one just asked for. stop, take: prices, at least one. Only what has filled
    and is still held is sold, each lot once. Returns the id of an execution algorithm; see docs/execution.md.
    """
    return _protect(ctx, entry, stop, take)


#: Methods of `ctx`, in the order the documentation lists them.
METHODS = (protect,)
