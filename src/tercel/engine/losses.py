"""The loss limits: what a position is marked at, when equity is looked at, and what a passed limit does.

With a loss limit on, equity is looked at after every fill, before every new order, and once per second of row time. A
limit that is passed halts the instrument and cancels its open orders. Kernels, called by `step` and its parts.
"""

from __future__ import annotations

from typing import Any

from tercel.engine.outbox import cancel_open
from tercel.execution.routing import CLOSED_HALTED, ROUTE
from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import REDUCE_ONLY
from tercel.model.instrument import INSTRUMENT
from tercel.orders.positions import POSITION, position_equity
from tercel.risk.gate import RISK, gate_mark
from tercel.strategy.context import CONTEXT, INT64_MAX, MARKET_ROW, earliest_timer, top_ticks

__all__ = ["MARK_NS", "loss_limited", "mark_due", "mark_loss", "mark_start", "mark_x2"]

#: How often equity is looked at beside fills and orders.
MARK_NS = 1_000_000_000


@kernel
def mark_x2(base: int, instrument: int) -> int:
    """What a position is marked at, in half ticks: bid plus ask, else twice the last price, 0 before any."""
    ctx = record(base, CONTEXT)
    bid, ask = top_ticks(base, ctx, instrument, 0), top_ticks(base, ctx, instrument, 1)
    if bid > 0 and ask > 0:
        return bid + ask
    return 2 * records(base + ctx.off_markets, ctx.n_instruments, MARKET_ROW)[instrument].last_px


@kernel
def loss_limited(risk: Any) -> bool:
    """Whether an instrument has a loss limit."""
    return risk.daily_loss_max > 0 or risk.drawdown_max > 0


@cold_kernel
def mark_loss(base: int, instrument: int) -> None:
    """Look at the equity of an instrument now; when that halts it, cancel its open orders.

    While it stays halted each look cancels again what found no room or was not canceled, but for the reduce-only orders
    that a loss halt lets through.
    """
    ctx = record(base, CONTEXT)
    position = records(base + ctx.off_positions, ctx.n_instruments, POSITION)[instrument]
    row = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[instrument]
    risk = records(base + ctx.off_risk, ctx.n_instruments, RISK)[instrument]
    if gate_mark(risk, position_equity(position, row, mark_x2(base, instrument)), ctx.now) != 0:
        records(base + ctx.off_routes, ctx.n_instruments, ROUTE)[instrument].closed |= CLOSED_HALTED
        cancel_open(base, instrument, 0)
    elif risk.halted != 0:
        cancel_open(base, instrument, REDUCE_ONLY)


@kernel
def _mark_all(base: int, now_ns: int) -> None:
    ctx = record(base, CONTEXT)
    if now_ns > ctx.now:
        ctx.now = now_ns
    risks = records(base + ctx.off_risk, ctx.n_instruments, RISK)
    for i in range(ctx.n_instruments):
        if loss_limited(risks[i]):
            mark_loss(base, i)


@cold_kernel
def mark_due(base: int, before_ns: int) -> None:
    """Look at equity as if once per second from `next_mark` to before `before_ns`.

    Nothing happens between rows and timers, so of those seconds only the first can find a passed limit and the last
    decides the day: two looks stand for all, and the result does not depend on where the caller cuts time.
    """
    ctx = record(base, CONTEXT)
    first = ctx.next_mark
    ctx.next_mark = first + MARK_NS
    _mark_all(base, first)
    if ctx.next_mark < before_ns and ctx.n_emitted == 0:
        last = first + (before_ns - 1 - first) // MARK_NS * MARK_NS
        ctx.next_mark = last + MARK_NS
        _mark_all(base, last)
    earliest_timer(ctx)


@cold_kernel
def mark_start(base: int, now_ns: int) -> None:
    """Set the first look at the next whole second, where any instrument has a loss limit."""
    ctx = record(base, CONTEXT)
    ctx.next_mark = INT64_MAX
    risks = records(base + ctx.off_risk, ctx.n_instruments, RISK)
    for i in range(ctx.n_instruments):
        if loss_limited(risks[i]):
            ctx.next_mark = (now_ns // MARK_NS + 1) * MARK_NS
    earliest_timer(ctx)
