"""Positions and money of one instrument: exact integer sums of immutable fills.

Cash is what fills paid and received. `cost` is the basis of the open position at average cost; closing a part takes
its share of the basis, rounded to the nearest quantum, and the exact remainder stays, so nothing is lost and a flat
position has a basis of exactly 0. At every moment, to the quantum:

    realized = cash + cost;  unrealized = value(mark) - cost;  equity = cash + value(mark) - fee + funding

Spot and linear: a fill moves cash by -side * px * qty * value and the position is worth position * mark * value.
Inverse (settled in base): a contract is short the base, so a fill moves cash by +side * notional and the position is
worth minus its notional at the mark; notional = value * qty / px, rounded once per fill, halves away from zero.

Kernels, called by the engine and by `sim`. Nothing here knows of orders, limits or who was the counterparty.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import inline_kernel, kernel
from tercel.model.instrument import INVERSE
from tercel.orders.lifecycle import ILLEGAL, OVERFLOW
from tercel.orders.money import MONEY_MAX, MONEY_OVERFLOW, fee_of, mul_div, notional_of, product_fits

__all__ = [
    "MONEY_MAX", "MONEY_OVERFLOW", "POSITION", "fee_of", "funding_of", "notional_of", "position_apply_fill",
    "position_apply_funding", "position_equity", "position_equity_float", "position_unrealized", "position_value",
]  # fmt: skip

#: The account of one instrument. position: int64 lots, negative is short. cash, fee (paid, rebates negative), funding
#: (received), realized (before fees and funding), cost (signed basis), turnover (sum of notionals): int64 money
#: quanta. volume: int64 lots traded. max_position: largest |position|, lots. open_buy, open_sell: int64 lots of our
#: orders that may still fill, kept by the engine for the gate.
POSITION = np.dtype(
    [
        ("position", "i8"),
        ("cash", "i8"),
        ("fee", "i8"),
        ("funding", "i8"),
        ("realized", "i8"),
        ("cost", "i8"),
        ("n_fills", "i8"),
        ("volume", "i8"),
        ("turnover", "i8"),
        ("max_position", "i8"),
        ("open_buy", "i8"),
        ("open_sell", "i8"),
    ],
    align=True,
)


@kernel
def position_apply_fill(position: Any, instrument: Any, side: int, px: int, qty: int, fee: int) -> int:
    """Account one fill: `qty` lots bought (side 1) or sold (-1) at `px` ticks for `fee` money quanta.

    position: POSITION, mutated. instrument: INSTRUMENT. Returns 0; ILLEGAL when side is not 1 or -1 or px or qty is
    not positive; OVERFLOW when a sum would leave +-MONEY_MAX. With a status nothing has changed.
    """
    if px <= 0 or qty <= 0 or (side != 1 and side != -1):
        return ILLEGAL
    notional = notional_of(instrument, px, qty)
    if notional > MONEY_MAX or qty > MONEY_MAX or abs(fee) > MONEY_MAX:
        return OVERFLOW
    # The direction in which a buy moves the basis: an inverse contract bought is base currency owed.
    sign = -side if instrument.kind == INVERSE else side
    flow = sign * notional
    before = int(position.position)
    after = before + side * qty
    cash = position.cash - flow
    basis = int(position.cost)
    if before * side >= 0:
        cost = basis + flow
    elif qty < abs(before):
        part = mul_div(abs(basis), qty, abs(before))
        cost = basis - part if basis >= 0 else basis + part
    else:
        # Closed whole, and perhaps turned: the new basis is the notional of what was opened beyond zero.
        cost = 0 if after == 0 else sign * notional_of(instrument, px, abs(after))
    fees = position.fee + fee
    turnover = position.turnover + notional
    volume = position.volume + qty
    if abs(after) > MONEY_MAX or abs(cash) > MONEY_MAX or abs(cost) > MONEY_MAX or abs(fees) > MONEY_MAX:
        return OVERFLOW
    realized = cash + cost
    if turnover > MONEY_MAX or volume > MONEY_MAX or abs(realized) > MONEY_MAX:
        return OVERFLOW
    position.position = after
    position.cash = cash
    position.cost = cost
    position.realized = realized
    position.fee = fees
    position.turnover = turnover
    position.volume = volume
    position.n_fills += 1
    if abs(after) > position.max_position:
        position.max_position = abs(after)
    return 0


@kernel
def position_value(position: Any, instrument: Any, mark_x2: int) -> int:
    """What the open position is worth in money quanta at a mark in half ticks (bid + ask, so that a mid is exact).

    Halves of a quantum (an odd mark) and inverse notionals are rounded to the nearest, halves away from zero. Without
    a mark (mark_x2 <= 0) the position is worth its basis. +-MONEY_OVERFLOW when it does not fit.
    """
    lots = int(position.position)
    if lots == 0:
        return 0
    if mark_x2 <= 0:
        return int(position.cost)
    size = abs(lots)
    value = int(instrument.value)
    worth = MONEY_OVERFLOW
    if instrument.kind == INVERSE:
        lots = -lots
        if size <= MONEY_MAX // 2:
            worth = mul_div(value, 2 * size, mark_x2)
    elif product_fits(mark_x2, size):
        worth = mul_div(mark_x2 * size, value, 2)
    return worth if lots > 0 else -worth


@kernel
def position_equity(position: Any, instrument: Any, mark_x2: int) -> int:
    """Equity in money quanta at a mark in half ticks: cash + value - fee + funding; starts at 0.

    Exact but for the one rounding of `position_value`. +-MONEY_OVERFLOW when it does not fit.
    """
    worth = position_value(position, instrument, mark_x2)
    if abs(worth) > MONEY_MAX:
        return worth
    # Two sums of two cannot wrap; their own sum is judged in floats first.
    left = position.cash + worth
    right = position.funding - position.fee
    total = float(left) + float(right)
    if total > 4.6e18:
        return MONEY_OVERFLOW
    if total < -4.6e18:
        return -MONEY_OVERFLOW
    return int(left + right)


@kernel
def position_unrealized(position: Any, instrument: Any, mark_x2: int) -> int:
    """Profit of the open position at a mark in half ticks, in money quanta; realized + this = cash + value."""
    worth = position_value(position, instrument, mark_x2)
    if abs(worth) > MONEY_MAX:
        return worth
    return int(worth - position.cost)


@kernel
def position_equity_float(position: Any, instrument: Any, mark_price: float) -> float:
    """Equity in settlement currency, float64, at a mark price in quote currency: for reports, never for decisions.

    Without a mark (not above 0) the position is worth its basis.
    """
    money = float(position.cash) - float(position.fee) + float(position.funding)
    lots = float(position.position)
    if lots != 0.0:
        if mark_price > 0.0:
            ticks = mark_price / instrument.tick
            value = float(instrument.value)
            money += -lots * value / ticks if instrument.kind == INVERSE else lots * ticks * value
        else:
            money += float(position.cost)
    return float(money * instrument.quantum)


@kernel
def funding_of(position: Any, instrument: Any, mark_px: int, rate_1e8: int) -> int:
    """Money quanta the position receives at a funding: longs pay shorts when the rate is positive.

    mark_px: int64 ticks, positive. The notional at the mark, times the rate, halves away from zero.
    +-MONEY_OVERFLOW when it does not fit.
    """
    lots = int(position.position)
    if lots == 0 or mark_px <= 0:
        return 0
    paid = fee_of(notional_of(instrument, mark_px, abs(lots)), rate_1e8)
    return -paid if lots > 0 else paid


@inline_kernel
def position_apply_funding(position: Any, instrument: Any, mark_px: int, rate_1e8: int) -> int:
    """Account one funding. 0, or OVERFLOW and nothing has changed."""
    received = funding_of(position, instrument, mark_px, rate_1e8)
    if abs(received) > MONEY_MAX or abs(position.funding + received) > MONEY_MAX:
        return OVERFLOW
    position.funding += received
    return 0
