"""The kill switch: a HALT row stops new orders and cancels the open ones, a RESUME row lets trading go on.

Kernels, called by `step`.
"""

from __future__ import annotations

from typing import Any

from tercel.engine.losses import mark_x2
from tercel.engine.outbox import cancel_open
from tercel.execution.routing import CLOSED_HALTED, ROUTE
from tercel.jit import cold_kernel, record, records
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import KILL_SWITCH
from tercel.orders.positions import POSITION, position_equity
from tercel.risk.gate import RISK, gate_halt, gate_resume
from tercel.strategy.context import CONTEXT

__all__ = ["halt_row", "resume_row"]


@cold_kernel
def halt_row(base: int, row: Any) -> int:
    """Refuse every new order from now on and cancel all that are open. Returns how many cancels went out.

    Orders that find no room in the command ring are canceled by the next HALT row; a driver repeats it until none is
    left open.
    """
    ctx = record(base, CONTEXT)
    ctx.halted = int(row.reason) if row.reason != 0 else KILL_SWITCH
    risks = records(base + ctx.off_risk, ctx.n_instruments, RISK)
    for i in range(ctx.n_instruments):
        gate_halt(risks[i], ctx.halted)
    return cancel_open(base, -1, 0)


@cold_kernel
def resume_row(base: int) -> int:
    """Lift the halt; losses and drawdown count anew from the equity of now."""
    ctx = record(base, CONTEXT)
    ctx.halted = 0
    risks = records(base + ctx.off_risk, ctx.n_instruments, RISK)
    positions = records(base + ctx.off_positions, ctx.n_instruments, POSITION)
    instruments = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)
    routes = records(base + ctx.off_routes, ctx.n_instruments, ROUTE)
    for i in range(ctx.n_instruments):
        routes[i].closed &= ~CLOSED_HALTED
        gate_resume(risks[i], position_equity(positions[i], instruments[i], mark_x2(base, i)))
    return 0
