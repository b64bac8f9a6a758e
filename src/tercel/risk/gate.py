"""The gate: every order is judged here before it becomes a command, in a fixed order, and answered by a reason code.

Kernels only, called by the engine with what it knows of the instrument; the answer is 0 or a code of `model.reasons`,
never an exception. Refusals cost no tokens and are counted by reason. The checks, first failure wins:

 1. BAD_QTY: size below the instrument's minimum or beyond QTY_MAX; BAD_PRICE: negative or beyond PX_MAX
 2. halted: DAILY_LOSS and DRAWDOWN let reduce-only orders through, the way to get flat; KILL_SWITCH and any other
    reason refuse all
 3. QTY_CAP, TOO_MANY_OPEN_ORDERS
 4. NOT_REDUCING; POSITION_LIMIT (a reduce-only order cannot grow a position and skips it)
 5. SELF_TRADE
 6. PRICE_COLLAR (limit prices only, both directions), NO_REFERENCE_PRICE where a check needs one and none is known
 7. MIN_NOTIONAL (not for reduce-only), NOTIONAL_CAP, GROSS_LIMIT (only for orders that could grow |position|)
 8. ORDER_RATE, MESSAGE_RATE

Notional is judged at the worst price the order may trade at: a sale at its price or the bid, whichever is higher; an
inverse purchase at its price or the ask, whichever is lower.
"""

from __future__ import annotations

from typing import Any

from tercel.jit import inline_kernel, kernel
from tercel.model.instrument import INVERSE
from tercel.model.reasons import (
    BAD_PRICE,
    BAD_QTY,
    DAILY_LOSS,
    DRAWDOWN,
    GROSS_LIMIT,
    KILL_SWITCH,
    MESSAGE_RATE,
    MIN_NOTIONAL,
    NO_REFERENCE_PRICE,
    NOT_REDUCING,
    NOTIONAL_CAP,
    OK,
    ORDER_RATE,
    POSITION_LIMIT,
    PRICE_COLLAR,
    QTY_CAP,
    SELF_TRADE,
    TOO_MANY_OPEN_ORDERS,
)
from tercel.orders.money import notional_of
from tercel.risk.limits import COLLAR_UNIT, N_REASONS, RISK

__all__ = [
    "PX_MAX", "QTY_MAX", "RISK", "count_refusal", "gate", "gate_amend", "gate_halt", "gate_mark", "gate_message",
    "gate_resume",
]  # fmt: skip

#: Prices in ticks and sizes in lots beyond these are mistakes; below them no sum or product here can wrap.
PX_MAX = 1 << 40
QTY_MAX = 1 << 48

_DAY_NS = 86_400_000_000_000


@inline_kernel
def count_refusal(risk: Any, reason: int) -> None:
    """Count one refusal by its reason code; also for refusals the engine makes itself. risk: RISK, mutated."""
    risk.n_refused += 1
    if reason >= 0 and reason < N_REASONS:
        risk.refusals[reason] += 1


@inline_kernel
def _bucket_level(level: int, last_ns: int, now_ns: int, gain: int, full: int, fill_ns: int) -> int:
    """What a token bucket holds at now_ns. A clock that stands or runs backwards brings nothing."""
    elapsed_ns = now_ns - last_ns
    if elapsed_ns <= 0:
        return level
    if elapsed_ns >= fill_ns:
        return full
    level += elapsed_ns * gain
    return level if level < full else full


@inline_kernel
def _message_level(risk: Any, now_ns: int) -> int:
    return _bucket_level(
        int(risk.message_level),
        int(risk.message_last_ns),
        now_ns,
        int(risk.message_gain),
        int(risk.message_full),
        int(risk.message_fill_ns),
    )


@inline_kernel
def _order_level(risk: Any, now_ns: int) -> int:
    return _bucket_level(
        int(risk.order_level),
        int(risk.order_last_ns),
        now_ns,
        int(risk.order_gain),
        int(risk.order_full),
        int(risk.order_fill_ns),
    )


@inline_kernel
def _take_message(risk: Any, now_ns: int) -> int:
    """Take one message token: OK or MESSAGE_RATE."""
    if risk.message_token > 0:
        level = _message_level(risk, now_ns)
        if level < risk.message_token:
            return MESSAGE_RATE
        risk.message_level = level - risk.message_token
        if now_ns > risk.message_last_ns:
            risk.message_last_ns = now_ns
    return OK


@inline_kernel
def _take_order(risk: Any, now_ns: int) -> int:
    """Take one order token and one message token, both or neither: OK, ORDER_RATE or MESSAGE_RATE."""
    if risk.order_token == 0:
        return _take_message(risk, now_ns)
    level = _order_level(risk, now_ns)
    if level < risk.order_token:
        return ORDER_RATE
    reason = _take_message(risk, now_ns)
    if reason == OK:
        risk.order_level = level - risk.order_token
        if now_ns > risk.order_last_ns:
            risk.order_last_ns = now_ns
    return reason


@inline_kernel
def _collar(risk: Any, px: int, ref_bid: int, ref_ask: int) -> int:
    """Judge a limit price by its distance from the mid, or from the one side that is known."""
    if ref_bid <= 0 and ref_ask <= 0:
        return NO_REFERENCE_PRICE
    if ref_bid > PX_MAX or ref_ask > PX_MAX:
        return NO_REFERENCE_PRICE
    bid = ref_bid if ref_bid > 0 else ref_ask
    ask = ref_ask if ref_ask > 0 else ref_bid
    mid_x2 = bid + ask
    if abs(2 * px - mid_x2) * COLLAR_UNIT > risk.collar_1e6 * mid_x2:
        return PRICE_COLLAR
    return OK


@inline_kernel
def _worst_price(instrument: Any, side: int, px: int, ref_bid: int, ref_ask: int) -> int:
    """The price at which the order's notional would be greatest, in ticks; 0 when no price is known."""
    if side < 0:
        if instrument.kind != INVERSE or px == 0:
            return ref_bid if ref_bid > px else px
        return px
    if px == 0:
        return ref_ask
    if instrument.kind == INVERSE and ref_ask > 0 and ref_ask < px:
        return ref_ask
    return px


@inline_kernel
def _notional(
    risk: Any, instrument: Any, side: int, px: int, qty: int, ref_bid: int, ref_ask: int, grows: bool, gross: int
) -> int:
    """Judge the order's notional against its cap, and against the gross limit when it could grow the position."""
    worst = _worst_price(instrument, side, px, ref_bid, ref_ask)
    if worst <= 0:
        return NO_REFERENCE_PRICE
    notional = notional_of(instrument, worst, qty)
    if notional > risk.notional_max:
        return NOTIONAL_CAP
    if grows and gross + notional > risk.gross_max:
        return GROSS_LIMIT
    return OK


@inline_kernel
def _is_loss(reason: int) -> bool:
    """Whether a halt for `reason` leaves the way open to get flat."""
    return reason in (DAILY_LOSS, DRAWDOWN)


@inline_kernel
def _judge(
    risk: Any,
    position: Any,
    instrument: Any,
    side: int,
    px: int,
    qty: int,
    ref_bid: int,
    ref_ask: int,
    is_reduce_only: int,
    n_open: int,
    best_own_opposite_px: int,
    gross_notional: int,
    replaced_qty: int,
) -> int:
    """Every check but the rates. replaced_qty: lots of the order that this one takes the place of."""
    if qty < instrument.lot_min or qty <= 0 or qty > QTY_MAX:
        return BAD_QTY
    if px < 0 or px > PX_MAX:
        return BAD_PRICE
    if risk.halted != 0 and (is_reduce_only == 0 or not _is_loss(risk.halt_reason)):
        return int(risk.halt_reason)
    if qty > risk.qty_max:
        return QTY_CAP
    if n_open >= risk.open_orders_max:
        return TOO_MANY_OPEN_ORDERS
    held = int(position.position)
    ahead = int(position.open_buy) if side > 0 else int(position.open_sell)
    after = side * held + ahead + qty - replaced_qty
    if is_reduce_only != 0:
        if side * held >= 0:
            return NOT_REDUCING
    elif after > risk.position_max:
        return POSITION_LIMIT
    if risk.refuse_self_trade != 0 and best_own_opposite_px > 0:
        if px == 0 or side * (px - best_own_opposite_px) >= 0:
            return SELF_TRADE
    if risk.collar_1e6 != 0 and px != 0:
        reason = _collar(risk, px, ref_bid, ref_ask)
        if reason != OK:
            return reason
    if instrument.notional_min > 0 and is_reduce_only == 0:
        at = px if px > 0 else _worst_price(instrument, side, px, ref_bid, ref_ask)
        if at > 0 and notional_of(instrument, at, qty) < instrument.notional_min:
            return MIN_NOTIONAL
    if risk.has_notional != 0:
        grows = is_reduce_only == 0 and after > abs(held)
        return _notional(risk, instrument, side, px, qty, ref_bid, ref_ask, grows, gross_notional)
    return OK


@kernel
def gate(
    risk: Any,
    position: Any,
    instrument: Any,
    now_ns: int,
    side: int,
    px: int,
    qty: int,
    ref_bid: int,
    ref_ask: int,
    is_reduce_only: int,
    n_open: int,
    best_own_opposite_px: int,
    gross_notional: int,
) -> int:
    """Judge a new order: 0 and its tokens are taken, or the reason it is refused for, counted.

    risk: RISK, mutated. position: POSITION; its open_buy and open_sell do not yet hold this order. instrument:
    INSTRUMENT. now_ns: local time. side: 1 or -1. px: int64 ticks, 0 for a market order; a stop order is judged at
    its trigger price. qty: int64 lots. ref_bid, ref_ask: best prices in ticks, 0 unknown. n_open: orders of the
    instrument open or in flight. best_own_opposite_px: our own best resting price on the other side, 0 none.
    gross_notional: money quanta of this instrument, positions and open orders, over all instruments.
    """
    reason = _judge(
        risk,
        position,
        instrument,
        side,
        px,
        qty,
        ref_bid,
        ref_ask,
        is_reduce_only,
        n_open,
        best_own_opposite_px,
        gross_notional,
        0,
    )
    if reason == OK:
        reason = _take_order(risk, now_ns)
    if reason == OK:
        risk.n_passed += 1
    else:
        count_refusal(risk, reason)
    return reason


@kernel
def gate_amend(
    risk: Any,
    position: Any,
    instrument: Any,
    now_ns: int,
    side: int,
    px: int,
    qty: int,
    replaced_qty: int,
    ref_bid: int,
    ref_ask: int,
    is_reduce_only: int,
    best_own_opposite_px: int,
    gross_notional: int,
) -> int:
    """Judge an amend as the order it would make: `qty` lots left at `px`, with which `replaced_qty` of the lots that
    are left of the old one cannot trade: all of them, but for a venue that replaces (`order_amend_adds`).

    As `gate`, but it takes a message token only and is not counted as one more open order. gross_notional: without
    the notional of the order it replaces.
    """
    reason = _judge(
        risk,
        position,
        instrument,
        side,
        px,
        qty,
        ref_bid,
        ref_ask,
        is_reduce_only,
        -1,
        best_own_opposite_px,
        gross_notional,
        replaced_qty,
    )
    if reason == OK:
        reason = _take_message(risk, now_ns)
    if reason == OK:
        risk.n_passed += 1
    else:
        count_refusal(risk, reason)
    return reason


@kernel
def gate_message(risk: Any, now_ns: int) -> int:
    """Judge a cancel, or an amend that only shrinks its order: 0 or MESSAGE_RATE. A halt never stops it."""
    reason = _take_message(risk, now_ns)
    if reason == OK:
        risk.n_passed += 1
    else:
        count_refusal(risk, reason)
    return reason


@inline_kernel
def gate_halt(risk: Any, reason: int) -> None:
    """Halt trading for `reason`; 0 means KILL_SWITCH. Any reason overrides a halt for loss, never the reverse."""
    if reason <= 0:
        reason = KILL_SWITCH
    if risk.halted == 0 or not _is_loss(reason):
        risk.halt_reason = reason
    risk.halted = 1


@inline_kernel
def gate_resume(risk: Any, equity_quanta: int) -> None:
    """Lift a halt. Losses and drawdown are counted anew from this equity, or the next mark would halt again."""
    risk.halted = 0
    risk.halt_reason = OK
    risk.day_start_equity = equity_quanta
    risk.equity_peak = equity_quanta
    risk.last_equity = equity_quanta


@kernel
def gate_mark(risk: Any, equity_quanta: int, now_ns: int) -> int:
    """Take note of equity: 0, or the reason (DAILY_LOSS, DRAWDOWN) when this mark halts trading.

    The day is the UTC day of now_ns; it starts with the last equity seen before it (0 before the first mark), and a
    clock that runs backwards does not start it again. A limit is passed when the fall is greater than it. Trading
    stays halted until `gate_resume`, over midnight too.
    """
    if now_ns >= risk.day_end_ns:
        risk.day_end_ns = (now_ns // _DAY_NS + 1) * _DAY_NS
        risk.day_start_equity = risk.last_equity
    risk.last_equity = equity_quanta
    if equity_quanta > risk.equity_peak:
        risk.equity_peak = equity_quanta
    if risk.halted != 0:
        return OK
    reason = OK
    if risk.daily_loss_max > 0 and equity_quanta < risk.day_start_equity - risk.daily_loss_max:
        reason = DAILY_LOSS
    elif risk.drawdown_max > 0 and equity_quanta < risk.equity_peak - risk.drawdown_max:
        reason = DRAWDOWN
    if reason != OK:
        gate_halt(risk, reason)
    return reason
