"""Exact integer money: products that cannot wrap, multiply-divide with a stated rounding, fees and notionals.

Every sum of money and every product of price and size stays within plus or minus MONEY_MAX, less than half of int64,
so that adding two of them never wraps. A result that would not fit comes back as MONEY_OVERFLOW, which no account
accepts. All rounding is to the nearest quantum, halves away from zero. Called by `orders.positions`, `risk` and `sim`.
"""

from __future__ import annotations

from typing import Any

from tercel.jit import inline_kernel, kernel
from tercel.model.instrument import INVERSE

__all__ = ["MONEY_MAX", "MONEY_OVERFLOW", "RATE_UNIT", "fee_of", "mul_div", "notional_of", "product_fits"]

MONEY_MAX = 4_600_000_000_000_000_000
MONEY_OVERFLOW = 1 << 62
#: Rates (fees, funding) are counted in parts of 1e-8.
RATE_UNIT = 100_000_000

_MONEY_MAX_FLOAT = 4.6e18


@inline_kernel
def product_fits(a: int, b: int) -> bool:
    """Whether |a * b| stays within MONEY_MAX. The float product decides: exact enough, since MONEY_MAX is 2**62 less
    a quarter of a percent, and the same in both modes."""
    return abs(float(a) * float(b)) <= _MONEY_MAX_FLOAT


@kernel
def mul_div(a: int, b: int, c: int) -> int:
    """a * b / c to the nearest integer, halves up, for 0 <= a, b <= 2**62 and 0 < c <= 2**62, exact at any size.

    MONEY_OVERFLOW when the result is beyond MONEY_MAX. One division when the product fits, else a loop of 62 steps.
    """
    if product_fits(a, b):
        product = a * b
        whole = product // c
        rest = product - whole * c
        nearest = whole + (1 if rest >= c - rest else 0)
        return nearest if nearest <= MONEY_MAX else MONEY_OVERFLOW
    whole = a // c
    if not product_fits(whole, b):
        return MONEY_OVERFLOW
    # a * b / c = whole * b + rest * b / c, the second term by long multiplication, bit by bit of b.
    rest = a - whole * c
    quotient = 0
    remainder = 0
    for i in range(62, -1, -1):
        quotient = quotient + quotient
        remainder = remainder + remainder
        if remainder >= c:
            remainder -= c
            quotient += 1
        if (b >> i) & 1:
            remainder += rest
            if remainder >= c:
                remainder -= c
                quotient += 1
    if remainder >= c - remainder:
        quotient += 1
    result = whole * b + quotient
    return result if result <= MONEY_MAX else MONEY_OVERFLOW


@inline_kernel
def notional_of(instrument: Any, px: int, qty: int) -> int:
    """Money quanta, not negative, of `qty` lots at `px` ticks; MONEY_OVERFLOW when it does not fit.

    instrument: INSTRUMENT. Both arguments positive. Spot and linear: px * qty * value, exact. Inverse: value * qty /
    px, rounded to the nearest quantum, halves away from zero.
    """
    value = int(instrument.value)
    if instrument.kind == INVERSE:
        return mul_div(value, qty, px)
    if abs(float(px) * float(qty) * float(value)) > _MONEY_MAX_FLOAT:
        return MONEY_OVERFLOW
    return px * qty * value


@kernel
def fee_of(notional_quanta: int, rate_1e8: int) -> int:
    """The fee in money quanta on a notional: notional * rate / 1e8, halves away from zero; a negative rate is a rebate.

    MONEY_OVERFLOW when |rate_1e8| is beyond 1e8 (all of the notional) or the notional beyond MONEY_MAX.
    """
    rate = abs(rate_1e8)
    size = abs(notional_quanta)
    if size > MONEY_MAX or rate > RATE_UNIT:
        return MONEY_OVERFLOW
    # Split so that neither product can wrap: whole <= 4.6e10, rest < 1e8, rate <= 1e8.
    whole = size // RATE_UNIT
    rest = size - whole * RATE_UNIT
    fee = whole * rate + (rest * rate + RATE_UNIT // 2) // RATE_UNIT
    return fee if (notional_quanta >= 0) == (rate_1e8 >= 0) else -fee
