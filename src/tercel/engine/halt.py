"""The kill switch: a HALT row stops new orders and cancels the open ones, a RESUME row lets trading go on.

Kernels, called by `step`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.engine.proposals import mark_x2, push_command
from tercel.jit import cold_kernel, record, records
from tercel.model.commands import CANCEL
from tercel.model.instrument import INSTRUMENT
from tercel.model.reasons import KILL_SWITCH
from tercel.orders.lifecycle import ORDER
from tercel.orders.positions import POSITION, position_equity
from tercel.risk.gate import RISK, gate_halt, gate_resume
from tercel.strategy.context import CONTEXT

__all__ = ["halt_row", "resume_row"]

I64 = np.dtype("i8")


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
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    sent = 0
    for i in range(ctx.n_open):
        order = orders[slots[i]]
        if order.pending != CANCEL and ctx.n_commands < ctx.commands_max:
            order.pending = CANCEL
            push_command(base, CANCEL, order.id, order.instrument, order.side, 0, 0)
            sent += 1
    return sent


@cold_kernel
def resume_row(base: int) -> int:
    """Lift the halt; losses and drawdown count anew from the equity of now."""
    ctx = record(base, CONTEXT)
    ctx.halted = 0
    risks = records(base + ctx.off_risk, ctx.n_instruments, RISK)
    positions = records(base + ctx.off_positions, ctx.n_instruments, POSITION)
    instruments = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)
    for i in range(ctx.n_instruments):
        gate_resume(risks[i], position_equity(positions[i], instruments[i], mark_x2(base, i)))
    return 0
