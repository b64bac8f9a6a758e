"""Methods of `ctx` that start, steer and read execution algorithms.

What they do is decided by `tercel.execution` and carried out by the engine. An algorithm is known by an id of the same
numbers as orders, and its end is told in on_order. Listed in `context.METHODS` with the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.execution.parents import parent_begin, parent_find, parent_notice, parent_slot
from tercel.execution.schedule import (
    ENGINE_ICEBERG,
    PARENT,
    POST,
    POV,
    PROFILE_MAX,
    PS_PAUSED,
    PS_WORKING,
    RATE_1E6,
    TAKE,
    TWAP,
    VWAP,
    profile_fill,
)
from tercel.jit import addressof_record, kernel, records
from tercel.model.commands import IOC, LIMIT, NEW
from tercel.model.reasons import (
    BAD_ORDER_TYPE,
    BAD_PRICE,
    BAD_QTY,
    BAD_SCHEDULE,
    BY_REQUEST,
    OFF_LOT_GRID,
    OFF_TICK_GRID,
    TOO_MANY_PARENTS,
)
from tercel.orders.lifecycle import ORDER
from tercel.orders.table import order_find
from tercel.strategy.block import (
    AT_MARKET,
    grid,
    instrument_row,
    off,
    propose,
)

__all__ = ["METHODS"]

_N = 32767
#: Longest time an algorithm may be given: ten years.
_DURATION_MAX = 315_360_000_000_000_000


# --- algorithms -----------------------------------------------------------------------------------------------------


@kernel
def _begin(
    ctx: Any, kind: int, style: int, instrument: int, side: int, qty: float, limit: float, duration_ns: int,
    is_wrong: bool,
) -> int:  # fmt: skip
    """Check what every algorithm is given and take a slot for it: its number; -1 when it was proposed as refused."""
    row = instrument_row(ctx, instrument)
    lots = grid(qty, row.lot_num, row.lot_den)
    px = 0
    if limit != AT_MARKET:
        px = grid(limit, row.tick_num, row.tick_den)
    reason = off(lots, OFF_LOT_GRID, BAD_QTY)
    if reason == 0:
        reason = off(px, OFF_TICK_GRID, BAD_PRICE)
    if reason == 0 and (lots < row.lot_min or lots <= 0):
        reason = BAD_QTY
    if reason == 0 and limit != AT_MARKET and px <= 0:
        reason = BAD_PRICE
    if reason == 0 and side != 1 and side != -1:
        reason = BAD_ORDER_TYPE
    if reason == 0 and (
        is_wrong or duration_ns < 0 or duration_ns > _DURATION_MAX or (style != TAKE and style != POST)
    ):
        reason = BAD_SCHEDULE
    parents = records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)
    slot = parent_slot(parents, ctx.parents_max)
    if reason == 0 and slot < 0:
        reason = TOO_MANY_PARENTS
    if reason != 0:
        propose(ctx, NEW, 0, instrument, side, lots, px, LIMIT, IOC, 0, 0, 0, reason)
        return -1
    id = ctx.next_id
    ctx.next_id += 1
    parent_begin(parents[slot], id, kind, style, instrument, ctx.strategy, side, lots, px, ctx.now, duration_ns)
    ctx.n_parents += 1
    _wake(ctx)
    return slot


@kernel
def _wake(ctx: Any) -> int:
    """An algorithm is to be looked at at once."""
    if ctx.now < ctx.next_parent:
        ctx.next_parent = ctx.now
    if ctx.now < ctx.next_timer:
        ctx.next_timer = ctx.now
    return 0


@kernel
def _started(ctx: Any, slot: int) -> int:
    """The id of the algorithm in a slot; of the refused proposal where there is none."""
    if slot < 0:
        return int(ctx.next_id - 1)
    return int(records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)[slot].id)


@kernel
def _start_twap(
    ctx: Any, instrument: int, side: int, qty: float, duration_ns: int, slices: int, limit: float, style: int
) -> int:
    is_wrong = slices < 1 or duration_ns < slices
    slot = _begin(ctx, TWAP, style, instrument, side, qty, limit, duration_ns, is_wrong)
    if slot >= 0:
        records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)[slot].n_slices = slices
    return _started(ctx, slot)


def twap(
    ctx: Any, instrument: int, side: int, qty: float, duration_ns: int, slices: int, limit: float = AT_MARKET,
    style: int = TAKE,
) -> int:  # fmt: skip
    """Trade `qty` in `slices` equal children over `duration_ns`, the first at once. Returns the algorithm's id.

    Slice k begins at k / slices of the time, with what is then to be done and is not: what one child could not fill,
    the next one carries. style tc.TAKE: immediate orders, at `limit` or better. tc.POST: post-only orders at the own
    best price, canceled when the next slice begins; the end takes what is left.
    """
    return _start_twap(ctx, instrument, side, qty, duration_ns, slices, limit, style)


@kernel
def _start_vwap(
    ctx: Any, instrument: int, side: int, qty: float, duration_ns: int, profile: Any, slices: int, period_ns: int,
    limit: float, style: int,
) -> int:  # fmt: skip
    n_slices = len(profile) if slices == 0 else slices
    is_wrong = n_slices < 1 or duration_ns < n_slices or not _is_profile(profile, period_ns)
    slot = _begin(ctx, VWAP, style, instrument, side, qty, limit, duration_ns, is_wrong)
    if slot >= 0:
        parent = records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)[slot]
        parent.n_slices = n_slices
        if profile_fill(parent, profile, period_ns) != 0:
            # Nothing trades in that part of the day, says the profile: equal slices are the best guess left.
            parent.kind = TWAP
    return _started(ctx, slot)


@kernel
def _is_profile(profile: Any, period_ns: int) -> bool:
    """Whether weights are a profile: finite, not negative, not all zero, of a length that is kept."""
    total = 0.0
    for i in range(len(profile)):
        if not (profile[i] >= 0.0):
            return False
        total += profile[i]
    return len(profile) <= PROFILE_MAX and period_ns >= 0 and total > 0.0 and total < 1e300


def vwap(
    ctx: Any, instrument: int, side: int, qty: float, duration_ns: int, profile: Any, slices: int = 0,
    period_ns: int = 0, limit: float = AT_MARKET, style: int = TAKE,
) -> int:  # fmt: skip
    """Trade `qty` over `duration_ns` as the market's volume is expected to run. Returns the algorithm's id.

    profile: a field of the strategy, (n,) float64, volume expected in n equal parts, at most 96: of `duration_ns`, or,
    with `period_ns`, of a period that repeats (tc.VolumeProfile learns one; a UTC day by default there). slices: how
    many children, by default n. Otherwise as `ctx.twap`; so, too, where the profile has no volume in that time.
    """
    return _start_vwap(ctx, instrument, side, qty, duration_ns, profile, slices, period_ns, limit, style)


@kernel
def _start_pov(
    ctx: Any, instrument: int, side: int, qty: float, rate: float, duration_ns: int, every_ns: int, limit: float,
    style: int,
) -> int:  # fmt: skip
    is_wrong = not (rate > 0.0 and rate <= 1.0) or every_ns < 0 or every_ns > _DURATION_MAX
    slot = _begin(ctx, POV, style, instrument, side, qty, limit, duration_ns, is_wrong)
    if slot >= 0:
        parent = records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)[slot]
        parent.rate_1e6 = max(1, int(np.floor(rate * RATE_1E6 + 0.5)))
        parent.every_ns = every_ns
        ctx.n_watched += 1
    return _started(ctx, slot)


def pov(
    ctx: Any, instrument: int, side: int, qty: float, rate: float, duration_ns: int = 0,
    every_ns: int = 1_000_000_000, limit: float = AT_MARKET, style: int = TAKE,
) -> int:  # fmt: skip
    """Trade `qty` as the share `rate` of the volume that trades from now on. Returns the algorithm's id.

    Children go out as volume is seen, `every_ns` apart at least; never more than rate * volume has been filled or is
    open. Ends when all is done, or after `duration_ns` where that is given. Volume is that of TRADE rows.
    """
    return _start_pov(ctx, instrument, side, qty, rate, duration_ns, every_ns, limit, style)


@kernel
def _start_iceberg(
    ctx: Any, instrument: int, side: int, qty: float, limit: float, show: float, duration_ns: int
) -> int:
    row = instrument_row(ctx, instrument)
    lots = grid(show, row.lot_num, row.lot_den)
    is_wrong = lots < 1 or lots < row.lot_min or limit == AT_MARKET
    slot = _begin(ctx, ENGINE_ICEBERG, POST, instrument, side, qty, limit, duration_ns, is_wrong)
    if slot >= 0:
        records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)[slot].show = lots
    return _started(ctx, slot)


def engine_iceberg(
    ctx: Any, instrument: int, side: int, qty: float, limit: float, show: float, duration_ns: int = 0
) -> int:
    """As `ctx.iceberg`, kept by the engine where the venue has none: rests `show` at `limit`, and again when it filled.

    Returns the algorithm's id. Ends when all is done, or after `duration_ns` where that is given.
    """
    return _start_iceberg(ctx, instrument, side, qty, limit, show, duration_ns)


@kernel
def _own_parent(ctx: Any, id: int) -> int:
    """The slot of a living algorithm of this strategy, -1 when there is none of that id."""
    parents = records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)
    slot = parent_find(parents, ctx.parents_max, id)
    if slot < 0 or parents[slot].strategy != ctx.strategy:
        return -1
    return slot if parents[slot].state == PS_WORKING or parents[slot].state == PS_PAUSED else -1


@kernel
def _tell(ctx: Any, id: int, wish: int, state: int) -> bool:
    """Change what a living algorithm is to do (0: leave as it is), and wake it. Whether there was one."""
    slot = _own_parent(ctx, id)
    if slot < 0:
        return False
    parent = records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)[slot]
    if wish != 0 and parent.wish == 0:
        parent.wish = wish
    if state != 0:
        parent.state = state
    parent_notice(parent, ctx.now)
    _wake(ctx)
    return True


def cancel_parent(ctx: Any, id: int) -> bool:
    """End an algorithm: its child is canceled; once that is gone on_order is told. False when none of that id lives."""
    return _tell(ctx, id, BY_REQUEST, 0)


def pause_parent(ctx: Any, id: int) -> bool:
    """Let an algorithm rest: a resting child is canceled and none follows. Its clock runs on. False when none lives."""
    return _tell(ctx, id, 0, PS_PAUSED)


def resume_parent(ctx: Any, id: int) -> bool:
    """Let a paused algorithm go on; a schedule catches up at its next slice. False when none of that id lives."""
    return _tell(ctx, id, 0, PS_WORKING)


@kernel
def _parent_field(ctx: Any, id: int, what: int) -> int:
    parents = records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)
    slot = parent_find(parents, ctx.parents_max, id)
    if slot < 0:
        return 0
    parent = parents[slot]
    if what == 0:
        return int(parent.state)
    if what == 1:
        return int(parent.filled)
    if what == 2:
        return int(max(0, parent.qty - parent.filled))
    if what == 3:
        return int(parent.reason)
    if what == 4:
        return int(parent.child)
    return int(parent.observed)


def parent_state(ctx: Any, id: int) -> int:
    """State of an algorithm: 1 working, 2 paused, 3 ended; 0 when it is not known (any more)."""
    return _parent_field(ctx, id, 0)


def parent_filled_lots(ctx: Any, id: int) -> int:
    """Lots that an algorithm's children have filled."""
    return _parent_field(ctx, id, 1)


def parent_leaves_lots(ctx: Any, id: int) -> int:
    """Lots that an algorithm has not filled."""
    return _parent_field(ctx, id, 2)


def parent_reason(ctx: Any, id: int) -> int:
    """Why an algorithm ended, a reason code; 0 while it lives."""
    return _parent_field(ctx, id, 3)


def parent_child(ctx: Any, id: int) -> int:
    """Id of the order that an algorithm has open, 0 when none."""
    return _parent_field(ctx, id, 4)


def parent_observed_lots(ctx: Any, id: int) -> int:
    """Lots the market traded while a POV algorithm worked."""
    return _parent_field(ctx, id, 5)


@kernel
def _average(ctx: Any, id: int) -> float:
    parents = records(addressof_record(ctx) + ctx.off_parents, ctx.parents_max, PARENT)
    slot = parent_find(parents, ctx.parents_max, id)
    if slot < 0 or parents[slot].filled <= 0:
        return 0.0
    row = instrument_row(ctx, parents[slot].instrument)
    return float(parents[slot].notional) / float(parents[slot].filled) * row.tick_num / row.tick_den


def parent_price(ctx: Any, id: int) -> float:
    """Average price of an algorithm's fills, 0.0 before the first."""
    return _average(ctx, id)


def parent_of(ctx: Any, id: int) -> int:
    """The algorithm that sent an open order, 0 for none. Events of orders say it in their field `parent`."""
    orders = records(addressof_record(ctx) + ctx.off_orders, ctx.orders_max, ORDER)
    slot = order_find(orders, ctx.orders_max, id)
    return orders[slot].parent if id > 0 and slot >= 0 else 0


#: Methods of `ctx`, in the order the documentation lists them.
METHODS = (
    twap, vwap, pov, engine_iceberg, cancel_parent, pause_parent, resume_parent, parent_state, parent_filled_lots,
    parent_leaves_lots, parent_reason, parent_price, parent_child, parent_observed_lots, parent_of,
)  # fmt: skip
