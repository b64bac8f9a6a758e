"""What the simulated venue tells us: answers on their way back, fills with their fees. Kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import cold_kernel, record, records
from tercel.model.events import EVENT, EXCH, FILL, LOCAL, MAKER, TAKER
from tercel.model.instrument import INSTRUMENT
from tercel.orders.money import fee_of, notional_of
from tercel.sim.latency import leg_latency
from tercel.sim.layout import RING_MAX, TIER, VENUE, VENUE_INSTRUMENT

__all__ = ["ERROR_RING_FULL", "answer", "fill"]

ERROR_RING_FULL = 1
RESPONSE_LEG, FILL_LEG = 3, 4


@cold_kernel
def answer(venue: int, kind: int, order: Any, px: int, qty: int, reason: int, ts: int) -> Any:
    """Send an answer about an order at venue time `ts`; it arrives after the leg's latency, never before an earlier
    one. Returns the EVENT row."""
    head = record(venue, VENUE)
    if head.response_tail - head.response_head >= RING_MAX:
        head.error = ERROR_RING_FULL
        head.response_tail -= 1
    row = records(venue + head.off_responses, RING_MAX, EVENT)[head.response_tail & (RING_MAX - 1)]
    head.response_tail += 1
    due = ts + leg_latency(venue, head.off_legs, FILL_LEG if kind == FILL else RESPONSE_LEG, ts)
    if due < head.response_last_due:
        due = head.response_last_due
    head.response_last_due = due
    row.ts_exch = ts
    row.ts_recv = due
    row.px = px
    row.qty = qty
    row.id = order.id
    row.arg0 = 0
    row.arg1 = 0
    row.kind = kind
    row.side = order.side
    row.reason = reason
    row.flags = EXCH | LOCAL
    row.instrument = order.instrument
    return row


@cold_kernel
def fill(venue: int, order: Any, px: int, qty: int, is_maker: bool, reason: int, ts: int) -> int:
    """`qty` lots of an order trade at `px`: fee, tier, the venue's position, and the answer. `order.qty` goes down."""
    head = record(venue, VENUE)
    i = order.instrument
    state = records(venue + head.off_states, head.n_instruments, VENUE_INSTRUMENT)[i]
    instrument = records(venue + head.off_instruments, head.n_instruments, INSTRUMENT)[i]
    notional = notional_of(instrument, px, qty)
    fee = fee_of(notional, state.maker if is_maker else state.taker)
    order.qty -= qty
    state.position += order.side * qty
    state.turnover += notional
    tiers = records(venue + head.off_tiers + i * head.n_tiers * 24, head.n_tiers, TIER)
    while state.tier + 1 < head.n_tiers and state.turnover >= tiers[state.tier + 1].volume:
        state.tier += 1
        state.maker = tiers[state.tier].maker
        state.taker = tiers[state.tier].taker
    head.n_executions += 1
    row = answer(venue, FILL, order, px, qty, reason, ts)
    row.arg0 = fee
    row.arg1 = head.n_executions
    row.flags = EXCH | LOCAL | (MAKER if is_maker else TAKER)
    return 0


assert np.dtype(TIER).itemsize == 24
