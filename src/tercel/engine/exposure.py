"""What stands open, as the gate is told of it: own prices, how many orders, and the most that all of it may come to.

Kernels that read the block and change nothing; called by `proposals` where a limit is on that needs them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.engine.losses import mark_x2
from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import STOP, STOP_LIMIT
from tercel.model.instrument import INSTRUMENT, INVERSE
from tercel.orders.lifecycle import ORDER
from tercel.orders.positions import MONEY_MAX, POSITION, notional_of
from tercel.orders.table import order_leaves, order_reserved
from tercel.strategy.context import CONTEXT

__all__ = ["dearer", "gross_of_all", "n_open_of", "own_best"]

I64 = np.dtype("i8")


@cold_kernel
def own_best(base: int, instrument: int, side: int) -> int:
    """Best price of our own open orders on a side of an instrument, in ticks, 0 when there is none. O(open orders).

    With an amend in flight an order counts at the better of its two prices.

    A stop-limit order waits aside until it triggers and is left out; once it rests, the venue's own prevention sees it.
    """
    ctx = record(base, CONTEXT)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    best = 0
    for i in range(ctx.n_open):
        order = orders[slots[i]]
        if order.instrument == instrument and order.side == side and order.px > 0 and order.type != STOP_LIMIT:
            px = order.px
            if order.pending_px > 0 and (order.pending_px - px) * side > 0:
                px = order.pending_px
            if best == 0 or (px - best) * side > 0:
                best = px
    return best


@kernel
def _in_quanta(base: int, amount: int, i_from: int, i_to: int) -> int:
    """Money of one instrument in the quanta of another; float64 where their quanta differ."""
    instruments = records(base + record(base, CONTEXT).off_instruments, i_from + i_to + 1, INSTRUMENT)
    if instruments[i_from].quantum == instruments[i_to].quantum:
        return amount
    scaled = float(amount) * (instruments[i_from].quantum / instruments[i_to].quantum)
    return MONEY_MAX if scaled > 4.5e18 else int(scaled)


@kernel
def dearer(instrument: Any, a: int, b: int) -> int:
    """The price, of two in ticks, at which a size is worth more."""
    if instrument.kind == INVERSE:
        return a if a < b else b
    return a if a > b else b


@kernel
def _open_notional(base: int, order: Any) -> int:
    """The most that what is open of an order may come to, in its instrument's quanta; 0 with no price known.

    With an amend in flight: what is left at the dearer of the two prices, and what the amend adds at the new one.
    """
    ctx = record(base, CONTEXT)
    instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[order.instrument]
    px = order.px
    if px == 0:
        px = order.arg if order.type == STOP else mark_x2(base, order.instrument) >> 1
    if px <= 0:
        return 0
    leaves, lots = order_leaves(order), order_reserved(order)
    if order.pending_px <= 0:
        return int(notional_of(instrument, px, lots))
    held = min(notional_of(instrument, dearer(instrument, px, order.pending_px), leaves), MONEY_MAX)
    added = min(notional_of(instrument, order.pending_px, lots - leaves), MONEY_MAX)
    return int(min(held + added, MONEY_MAX))


@cold_kernel
def gross_of_all(base: int, instrument: int, but_slot: int) -> int:
    """Gross notional of all positions and open orders, in money quanta of `instrument`; at most MONEY_MAX.

    Positions count at their marks, orders at their price, else at their trigger or mark. but_slot: an order that is
    left out, -1 none. O(instruments + open orders).
    """
    ctx = record(base, CONTEXT)
    positions = records(base + ctx.off_positions, ctx.n_instruments, POSITION)
    instruments = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)
    total = 0
    for i in range(ctx.n_instruments):
        lots = abs(positions[i].position)
        px = mark_x2(base, i) >> 1
        if lots > 0 and px > 0:
            total = min(total + _in_quanta(base, notional_of(instruments[i], px, lots), i, instrument), MONEY_MAX)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    for k in range(ctx.n_open):
        if slots[k] == but_slot:
            continue
        order = orders[slots[k]]
        amount = _open_notional(base, order)
        if amount > 0:
            total = min(total + _in_quanta(base, amount, order.instrument, instrument), MONEY_MAX)
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
