"""A naive account: keeps every fill and recomputes everything from the list with fractions. Slow on purpose."""

from __future__ import annotations

from fractions import Fraction


def nearest(x: Fraction) -> int:
    """Round to the nearest integer, halves away from zero."""
    size = abs(x)
    whole = size.numerator // size.denominator
    if size - whole >= Fraction(1, 2):
        whole += 1
    return whole if x >= 0 else -whole


class NaiveAccount:
    """Fills are (side, px, qty, fee); fundings are amounts received."""

    def __init__(self, value: int, inverse: bool) -> None:
        self.value = value
        self.inverse = inverse
        self.fills: list[tuple[int, int, int, int]] = []
        self.received: list[int] = []

    def notional(self, px: int, qty: int) -> int:
        return nearest(Fraction(self.value * qty, px)) if self.inverse else self.value * qty * px

    @property
    def position(self) -> int:
        return sum(side * qty for side, _, qty, _ in self.fills)

    @property
    def cash(self) -> int:
        direction = 1 if self.inverse else -1
        return sum(direction * side * self.notional(px, qty) for side, px, qty, _ in self.fills)

    @property
    def fee(self) -> int:
        return sum(fee for _, _, _, fee in self.fills)

    @property
    def volume(self) -> int:
        return sum(qty for _, _, qty, _ in self.fills)

    @property
    def turnover(self) -> int:
        return sum(self.notional(px, qty) for _, px, qty, _ in self.fills)

    @property
    def max_position(self) -> int:
        largest = held = 0
        for side, _, qty, _ in self.fills:
            held += side * qty
            largest = max(largest, abs(held))
        return largest

    @property
    def exact_basis(self) -> Fraction:
        """Average-cost basis with no rounding of the shares, as a size (not negative)."""
        held = 0
        basis = Fraction(0)
        for side, px, qty, _ in self.fills:
            if held * side >= 0:
                basis += self.notional(px, qty)
            elif qty < abs(held):
                basis -= basis * qty / abs(held)
            else:
                rest = qty - abs(held)
                basis = Fraction(self.notional(px, rest) if rest else 0)
            held += side * qty
        return basis

    def equity(self, mark_x2: int) -> int:
        if self.position == 0:
            worth = Fraction(0)
        elif self.inverse:
            worth = -Fraction(2 * self.position * self.value, mark_x2)
        else:
            worth = Fraction(self.position * self.value * mark_x2, 2)
        return self.cash + nearest(worth) - self.fee + sum(self.received)

    def fund(self, mark_px: int, rate_1e8: int) -> None:
        notional = self.notional(mark_px, abs(self.position)) if self.position else 0
        paid = nearest(Fraction(notional * rate_1e8, 10**8))
        self.received.append(-paid if self.position > 0 else paid)
