"""The command ring: how a command is appended, and the cancels the engine sends of its own accord.

Kernels, called by `proposals`, `losses` and `halt`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import cold_kernel, kernel, record, records
from tercel.model.commands import CANCEL, COMMAND
from tercel.orders.lifecycle import ORDER
from tercel.strategy.context import CONTEXT

__all__ = ["cancel_open", "push_command"]

I64 = np.dtype("i8")


@kernel
def push_command(base: int, kind: int, id: int, instrument: int, side: int, px: int, qty: int) -> Any:
    """Append a COMMAND caused by the row in work and return it; the caller made sure that there is room."""
    ctx = record(base, CONTEXT)
    command = records(base + ctx.off_commands, ctx.commands_max, COMMAND)[ctx.n_commands]
    ctx.n_commands += 1
    ctx.n_emitted += 1
    command.cause = ctx.seq
    command.ts = ctx.now
    command.id = id
    command.px = px
    command.qty = qty
    command.arg = 0
    command.expire_ns = 0
    command.kind = kind
    command.side = side
    command.type = 0
    command.tif = 0
    command.flags = 0
    command.instrument = instrument
    return command


@cold_kernel
def cancel_open(base: int, instrument: int, but_flags: int) -> int:
    """Cancel every open order of an instrument (-1: of all) that has no cancel in flight. Returns how many went out.

    but_flags: orders with one of these command flags are left. An amend in flight does not hinder a cancel. Orders that
    find no room in the command ring stay; halts repeat.
    """
    ctx = record(base, CONTEXT)
    orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
    slots = records(base + ctx.off_open, ctx.orders_max, I64)
    sent = 0
    for i in range(ctx.n_open):
        order = orders[slots[i]]
        wanted = instrument < 0 or order.instrument == instrument
        if wanted and order.flags & but_flags == 0 and order.pending != CANCEL and ctx.n_commands < ctx.commands_max:
            order.pending = CANCEL
            order.pending_ts = ctx.now
            push_command(base, CANCEL, order.id, order.instrument, order.side, 0, 0)
            sent += 1
    return sent
