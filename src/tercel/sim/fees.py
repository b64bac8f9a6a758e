"""What the venue charges: maker and taker rates, by tiers of volume where the venue has them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import msgspec

from tercel.errors import ConfigError
from tercel.model.units import to_decimal

__all__ = ["FEE_UNIT", "FeeTier", "Fees"]

#: Rates are counted in 1e-8 of notional: 0.01 basis points are 100.
FEE_UNIT = 100_000_000


def _rate(bp: float | str | Decimal, what: str) -> int:
    exact = Fraction(to_decimal(bp, what)) * FEE_UNIT / 10_000
    if exact.denominator != 1 or abs(exact) > FEE_UNIT:
        raise ConfigError(f"{what} must be basis points in steps of 0.0001, at most 10000, found {bp}")
    return int(exact)


class FeeTier(msgspec.Struct, frozen=True):
    """From a traded notional of `volume` on (settlement currency, within the run), these rates in basis points."""

    volume: float
    maker: float
    taker: float


class Fees(msgspec.Struct, frozen=True):
    """Maker and taker rates in basis points of notional; a negative rate is a rebate.

    tiers: cheaper from a volume on.
    """

    maker: float = 0.0
    taker: float = 0.0
    tiers: tuple[FeeTier, ...] = ()

    def rates(self) -> list[tuple[Decimal, int, int]]:
        """(volume, maker rate, taker rate) in order of volume, rates in 1e-8 of notional."""
        table = [(Decimal(0), _rate(self.maker, "fees.maker"), _rate(self.taker, "fees.taker"))]
        for tier in self.tiers:
            volume = to_decimal(tier.volume, "fees.tiers.volume")
            if volume <= table[-1][0]:
                raise ConfigError(f"fee tiers must rise in volume, found {volume} after {table[-1][0]}")
            maker, taker = _rate(tier.maker, "fees.tiers.maker"), _rate(tier.taker, "fees.tiers.taker")
            table.append((volume, maker, taker))
        return table
