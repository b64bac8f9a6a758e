"""Calling handlers: who listens to what, and what happens when a handler raises.

The wiring holds machine addresses and lies beside the state block. After each handler its proposals go through the
gate at once, so that the next strategy on the same row sees the orders of the one before. Kernels, called by `step`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.engine.faults import FAULT_HANDLER, fault
from tercel.engine.layout import LISTENER, N_HANDLERS, WIRING
from tercel.engine.proposals import take_proposal
from tercel.jit import address_of, call_handler, cold_kernel, inline_kernel, kernel, record, records
from tercel.model.commands import NEW
from tercel.model.events import REFUSED
from tercel.model.instrument import INSTRUMENT
from tercel.orders.lifecycle import ORDER, ST_FREE, ST_REFUSED
from tercel.orders.table import order_find, order_leaves
from tercel.strategy.context import CONTEXT, PROPOSAL
from tercel.strategy.contract import HANDLERS
from tercel.strategy.views import ORDER_VIEW, VIEW_STRIDE

__all__ = ["call_all", "call_one", "handler_of", "listener_count", "take_proposals", "view_at", "wire"]

I64 = np.dtype("i8")
_COUNTS = WIRING.itemsize
_LISTENER_BYTES = LISTENER.itemsize
_LISTS = WIRING.itemsize + 8 * N_HANDLERS

(ON_START, ON_BOOK, ON_LEVEL, ON_TRADE, ON_QUOTE, ON_BAR, ON_TIMER, ON_FILL, ON_ORDER, ON_SIGNAL, ON_STOP) = range(11)
assert tuple(HANDLERS) == (
    "on_start", "on_book", "on_level", "on_trade", "on_quote", "on_bar", "on_timer", "on_fill", "on_order",
    "on_signal", "on_stop",
)  # fmt: skip


@inline_kernel
def view_at(base: int, handler: int) -> int:
    """Address of the view of a handler."""
    return base + record(base, CONTEXT).off_view + handler * VIEW_STRIDE


@inline_kernel
def listener_count(wiring: int, handler: int) -> int:
    """How many strategies have this handler."""
    return records(wiring + _COUNTS, N_HANDLERS, I64)[handler]


@inline_kernel
def handler_of(wiring: int, handler: int, strategy: int) -> int:
    """The address of one strategy's handler, 0 when it has none."""
    n = record(wiring, WIRING).n_strategies
    return records(wiring + _LISTS + N_HANDLERS * n * _LISTENER_BYTES, N_HANDLERS * n, I64)[handler * n + strategy]


@cold_kernel
def _raised(base: int, handler: int, strategy: int) -> None:
    """A handler raised: leave an error for the driver and drop what it proposed."""
    ctx = record(base, CONTEXT)
    fault(ctx, FAULT_HANDLER, handler * 65536 + strategy)
    ctx.n_proposals = 0


@cold_kernel
def _refusal_view(base: int, p: Any, reason: int) -> None:
    """Show a refused proposal to its strategy: a new order as one that ended before it began, a refused request as
    the order it was about."""
    ctx = record(base, CONTEXT)
    view = record(view_at(base, ON_ORDER), ORDER_VIEW)
    view.ts = ctx.now
    view.ts_exch = ctx.now
    view.instrument = p.instrument
    view.id = p.id
    view.side = p.side
    view.kind = REFUSED
    view.state = ST_REFUSED
    view.reason = reason
    view.px = p.px
    view.lots = p.qty
    view.filled_lots = 0
    view.leaves_lots = p.qty
    view.parent = p.parent
    view.price, view.qty, view.filled, view.leaves = 0.0, 0.0, 0.0, 0.0
    if p.kind != NEW:
        view.state = ST_FREE
        orders = records(base + ctx.off_orders, ctx.orders_max, ORDER)
        slot = order_find(orders, ctx.orders_max, p.id)
        if slot >= 0:
            order = orders[slot]
            view.instrument = order.instrument
            view.side = order.side
            view.state = order.state
            view.px = order.px
            view.lots = order.qty
            view.filled_lots = order.filled
            view.leaves_lots = order_leaves(order)
    i = view.instrument
    if i >= 0 and i < ctx.n_instruments:
        instrument = records(base + ctx.off_instruments, ctx.n_instruments, INSTRUMENT)[i]
        view.price = view.px * instrument.tick_num / instrument.tick_den
        view.qty = view.lots * instrument.lot_num / instrument.lot_den
        view.filled = view.filled_lots * instrument.lot_num / instrument.lot_den
        view.leaves = view.leaves_lots * instrument.lot_num / instrument.lot_den


@cold_kernel
def take_proposals(base: int, wiring: int) -> None:
    """Judge all proposals in order. A refused one is shown to its strategy, which may propose again; the ring's
    capacity bounds how often."""
    ctx = record(base, CONTEXT)
    strategy_before = ctx.strategy
    i = 0
    while i < ctx.n_proposals and ctx.error == 0:
        reason = take_proposal(base, i)
        if reason != 0:
            p = records(base + ctx.off_proposals, ctx.proposals_max, PROPOSAL)[i]
            strategy = p.strategy
            fn = handler_of(wiring, ON_ORDER, strategy)
            if fn != 0:
                _refusal_view(base, p, reason)
                ctx.strategy = strategy
                state = records(base + ctx.off_state_table, ctx.n_strategies, I64)[strategy]
                if call_handler(fn, base + state, base, view_at(base, ON_ORDER), wiring) != 0:
                    _raised(base, ON_ORDER, strategy)
        i += 1
    ctx.n_proposals = 0
    ctx.strategy = strategy_before


@cold_kernel
def _after(base: int, wiring: int, handler: int, strategy: int, status: int) -> None:
    """A handler returned: note that it raised, or pass its proposals through the gate."""
    if status != 0:
        _raised(base, handler, strategy)
    else:
        take_proposals(base, wiring)


@inline_kernel
def call_all(base: int, wiring: int, handler: int) -> None:
    """Call a handler of every strategy that has it, in the order of the strategies, with the view in the block."""
    ctx = record(base, CONTEXT)
    n_strategies = record(wiring, WIRING).n_strategies
    listeners = records(wiring + _LISTS + handler * n_strategies * _LISTENER_BYTES, n_strategies, LISTENER)
    view = view_at(base, handler)
    for i in range(listener_count(wiring, handler)):
        listener = listeners[i]
        ctx.strategy = listener.strategy
        status = call_handler(listener.fn, base + listener.state, base, view, wiring)
        if status != 0 or ctx.n_proposals != 0:
            _after(base, wiring, handler, listener.strategy, status)
            if ctx.error != 0:
                break


@kernel
def call_one(base: int, wiring: int, handler: int, strategy: int) -> None:
    """Call a handler of one strategy, if it has it."""
    ctx = record(base, CONTEXT)
    fn = handler_of(wiring, handler, strategy)
    if fn == 0:
        return
    ctx.strategy = strategy
    state = records(base + ctx.off_state_table, ctx.n_strategies, I64)[strategy]
    status = call_handler(fn, base + state, base, view_at(base, handler), wiring)
    if status != 0 or ctx.n_proposals != 0:
        _after(base, wiring, handler, strategy, status)


def wire(words: np.ndarray, addresses: list[dict[str, int]], state_offsets: tuple[int, ...]) -> None:
    """Fill the wiring, (wiring_words(n),) int64, from each strategy's handler addresses. Python, between rows only."""
    n = len(addresses)
    words[:] = 0
    words[1] = n
    base = address_of(words)
    counts = records(base + _COUNTS, N_HANDLERS, I64)
    lists_at = base + _LISTS
    table: Any = records(lists_at + N_HANDLERS * n * _LISTENER_BYTES, N_HANDLERS * max(n, 1), I64)
    for h, name in enumerate(HANDLERS):
        listeners = records(lists_at + h * n * _LISTENER_BYTES, max(n, 1), LISTENER)
        for s, handlers in enumerate(addresses):
            fn = handlers.get(name, 0)
            if fn:
                table[h * n + s] = fn
                entry = listeners[counts[h]]
                entry.fn, entry.state, entry.strategy = fn, state_offsets[s], s
                counts[h] += 1
