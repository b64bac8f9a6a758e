"""Methods of `ctx` about where and when an order leaves: signals and deadlines, the venue, market impact, latency.

They read what `tercel.execution` keeps and choose by it; orders go by proposal, as all do. Listed in `context.METHODS`
with the others.
"""

from __future__ import annotations

from typing import Any

from tercel.execution.routing import ROUTE, route_choose, route_sweep
from tercel.execution.ticks import TICKS, ticks_impact, ticks_vwap
from tercel.jit import addressof_record, kernel, records
from tercel.model.commands import IOC, LIMIT, MARKET, NEW
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import LOW_CONFIDENCE, NO_SUITABLE_VENUE
from tercel.orders.positions import POSITION
from tercel.strategy.block import (
    AT_MARKET,
    MARKET_ROW,
    PROPOSAL,
    grid,
    instrument_row,
    last_proposal,
    order,
    propose,
)

__all__ = ["METHODS"]

_N = 32767


# --- signals and deadlines ------------------------------------------------------------------------------------------


@kernel
def _execute(
    ctx: Any, instrument: int, side: int, qty: float, confidence: float, min_confidence: float, limit: float,
    tolerance_ns: int,
) -> int:  # fmt: skip
    kind = LIMIT if limit != AT_MARKET else MARKET
    id = order(ctx, instrument, side, qty, limit, kind, IOC, 0, 0.0, 0.0, 0)
    row = records(addressof_record(ctx) + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[ctx.n_proposals - 1]
    if not (confidence >= min_confidence):
        row.reason = LOW_CONFIDENCE
    row.budget = tolerance_ns if tolerance_ns > 0 else 0
    return id


def execute_signal(
    ctx: Any, instrument: int, side: int, qty: float, confidence: float, min_confidence: float = 0.7,
    limit: float = AT_MARKET, tolerance_ns: int = 25_000_000,
) -> int:  # fmt: skip
    """An immediate-or-cancel order on a signal; refused with low_confidence where confidence is below the least.

    A confidence that is no number is below it. tolerance_ns: in which the venue's first answer is to be here; a later
    one counts in ctx.n_overruns. In on_signal the signal's deadline holds as for every order. Returns the order id.
    """
    return _execute(ctx, instrument, side, qty, confidence, min_confidence, limit, tolerance_ns)


@kernel
def _leave_by(ctx: Any, id: int, at_ns: int) -> bool:
    i = last_proposal(ctx, id)
    if i >= 0:
        records(addressof_record(ctx) + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[i].deadline = at_ns
    return i >= 0


def leave_by(ctx: Any, id: int, at_ns: int) -> bool:
    """Put a deadline on an order that this handler has just asked for: refused with `deadline` if it leaves later.

    at_ns: time in ns, say event.ts_exch + 5_000_000; 0 takes a deadline away. False when it is no order of this event.
    """
    return _leave_by(ctx, id, at_ns)


# --- routing, impact, latency ---------------------------------------------------------------------------------------


@kernel
def _is_limit(limit: float) -> bool:
    return limit == AT_MARKET or (limit > 0.0 and limit < 1e300)


@kernel
def _choose(ctx: Any, instrument: int, side: int, qty: float, limit: float) -> int:
    instrument_row(ctx, instrument)
    base = addressof_record(ctx)
    n = ctx.n_instruments
    if not _is_limit(limit) or (side != 1 and side != -1) or not (qty > 0.0 and qty < 1e300):
        return -1
    return route_choose(
        base + ctx.off_books, ctx.book_stride, n, records(base + ctx.off_instruments, n, INSTRUMENT),
        records(base + ctx.off_markets, n, MARKET_ROW), records(base + ctx.off_positions, n, POSITION),
        records(base + ctx.off_routes, n, ROUTE), instrument, side, qty, limit,
    )  # fmt: skip


@kernel
def _route(ctx: Any, instrument: int, side: int, qty: float, limit: float, tif: int) -> int:
    best = _choose(ctx, instrument, side, qty, limit)
    kind = LIMIT if limit != AT_MARKET else MARKET
    id = order(ctx, best if best >= 0 else instrument, side, qty, limit, kind, tif, 0, 0.0, 0.0, 0)
    row = records(addressof_record(ctx) + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[ctx.n_proposals - 1]
    # What no venue could take for its shape keeps the reason that the gate will find.
    if best < 0 and row.reason == 0 and row.qty > 0 and _is_limit(limit):
        row.reason = NO_SUITABLE_VENUE
    return id


def best_venue(ctx: Any, instrument: int, side: int, qty: float, limit: float = AT_MARKET) -> int:
    """The instrument, of the same underlying as `instrument`, whose venue scores highest for the order; -1 for none."""
    return _choose(ctx, instrument, side, qty, limit)


def route(ctx: Any, instrument: int, side: int, qty: float, limit: float = AT_MARKET, tif: int = IOC) -> int:
    """Send an order to the venue that scores highest among those that trade the same underlying. Returns its id.

    Score: 0.4 liquidity, 0.4 latency, 0.2 fee; see docs/execution.md. Refused with no_suitable_venue where none
    has size within the limit.
    """
    return _route(ctx, instrument, side, qty, limit, tif)


@kernel
def _route_split(ctx: Any, instrument: int, side: int, qty: float, limit: float) -> int:
    row = instrument_row(ctx, instrument)
    base = addressof_record(ctx)
    n = ctx.n_instruments
    first = ctx.next_id
    lots = grid(qty, row.lot_num, row.lot_den)
    if not _is_limit(limit) or lots <= 0 or (side != 1 and side != -1):
        return order(ctx, instrument, side, qty, limit, LIMIT if limit != AT_MARKET else MARKET, IOC, 0, 0.0, 0.0, 0)
    routes = records(base + ctx.off_routes, n, ROUTE)
    route_sweep(
        base + ctx.off_books, ctx.book_stride, n, records(base + ctx.off_instruments, n, INSTRUMENT),
        records(base + ctx.off_markets, n, MARKET_ROW), records(base + ctx.off_positions, n, POSITION),
        routes, instrument, side, qty, limit,
    )  # fmt: skip
    sent = 0
    for i in range(n):
        if routes[i].lots > 0:
            propose(ctx, NEW, 0, i, side, routes[i].lots, routes[i].px, LIMIT, IOC, 0, 0, 0, 0)
            sent += 1
        routes[i].lots, routes[i].px = 0, 0
    if sent == 0:
        propose(ctx, NEW, 0, instrument, side, lots, 0, MARKET, IOC, 0, 0, 0, NO_SUITABLE_VENUE)
    return first


def route_split(ctx: Any, instrument: int, side: int, qty: float, limit: float = AT_MARKET) -> int:
    """Take `qty` from all venues of the underlying at once, best price after fees first. Returns the first order's id.

    One immediate order a venue, at the worst price it is to take there; their ids follow one another. What the books do
    not hold within `limit` is not sent. Refused with no_suitable_venue where they hold nothing.
    """
    return _route_split(ctx, instrument, side, qty, limit)


def set_fee(ctx: Any, instrument: int, rate: float) -> int:
    """State the taker's fee of a venue as a fraction (0.0005 is 5 basis points). Else it is measured from own fills."""
    instrument_row(ctx, instrument)
    if not (rate > -1.0 and rate < 1.0):
        raise ValueError("a fee rate is a fraction between -1 and 1")
    records(addressof_record(ctx) + ctx.off_routes, _N, ROUTE)[instrument].fee_rate = rate
    return 0


@kernel
def _venue_field(ctx: Any, instrument: int, what: int) -> int:
    instrument_row(ctx, instrument)
    routes = records(addressof_record(ctx) + ctx.off_routes, _N, ROUTE)
    venue = routes[routes[instrument].venue]
    if what == 0:
        return int(venue.mean_ns)
    return int(venue.last_ns) if what == 1 else int(venue.n_overruns)


def latency_ns(ctx: Any, instrument: int) -> int:
    """Mean time from an order to the first answer of the instrument's venue, ns; 0 before the first."""
    return _venue_field(ctx, instrument, 0)


def last_latency_ns(ctx: Any, instrument: int) -> int:
    """Time from the last answered order to its first answer, ns; 0 before the first."""
    return _venue_field(ctx, instrument, 1)


def n_overruns(ctx: Any, instrument: int) -> int:
    """How many orders at the instrument's venue were answered later than their tolerance."""
    return _venue_field(ctx, instrument, 2)


@kernel
def _ticks(ctx: Any, instrument: int) -> Any:
    """The trades kept of an instrument; keeps them from now on."""
    instrument_row(ctx, instrument)
    ticks = records(addressof_record(ctx) + ctx.off_ticks, _N, TICKS)[instrument]
    if ticks.is_watched == 0:
        ticks.is_watched = 1
        ctx.n_watched += 1
    return ticks


@kernel
def _impact(ctx: Any, instrument: int, qty: float) -> float:
    row = instrument_row(ctx, instrument)
    return ticks_impact(_ticks(ctx, instrument), qty * row.lot_den / row.lot_num)


@kernel
def _tick_vwap(ctx: Any, instrument: int) -> float:
    row = instrument_row(ctx, instrument)
    return ticks_vwap(_ticks(ctx, instrument)) * row.tick_num / row.tick_den


def market_impact(ctx: Any, instrument: int, qty: float) -> float:
    """Expected move for an order of `qty`, a fraction of the price: min(qty / mean trade size, 1) * 0.001.

    Over the newest 100 trades, which are kept from the first call of this or `tick_vwap` on: call it in on_start. 0.0
    before any.
    """
    return _impact(ctx, instrument, qty)


def tick_vwap(ctx: Any, instrument: int) -> float:
    """Volume-weighted average price of the newest 100 trades, 0.0 before any; kept as for `market_impact`."""
    return _tick_vwap(ctx, instrument)


#: Methods of `ctx`, in the order the documentation lists them.
METHODS = (
    execute_signal, leave_by, best_venue, route, route_split, set_fee, latency_ns, last_latency_ns, n_overruns,
    market_impact, tick_vwap,
)  # fmt: skip
