"""What can be traded: an instrument's grids, contract kind and money quantum, and its row in the state block.

Used by importers (text to integers), accounting (how a fill moves money) and reports (integers to text). Money of an
instrument is counted in quanta of 10**-money_decimals of its settlement currency, so sums of fills are exact.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from tercel.errors import ConfigError
from tercel.model.units import Lots, Money, Ticks, to_decimal, to_grid

__all__ = ["INSTRUMENT", "INVERSE", "LINEAR", "SPOT", "Instrument"]

SPOT, LINEAR, INVERSE = 0, 1, 2
_KINDS = {"spot": SPOT, "linear": LINEAR, "inverse": INVERSE}

#: An instrument in the state block. tick, lot, quantum: float64 sizes of one tick (quote), lot (base or contracts) and
#: money quantum (settlement currency), for prices shown to strategies. value: money quanta of one tick times one lot
#: (spot, linear), or money quanta times ticks of one lot (inverse: notional = value * lots / ticks). replaces: 1 where
#: the venue amends by canceling and placing anew. tick_num / tick_den is the tick exactly; a price computed as ticks *
#: num / den is the float64 nearest to the decimal.
INSTRUMENT = np.dtype(
    [
        ("tick", "f8"),
        ("lot", "f8"),
        ("tick_num", "f8"),
        ("tick_den", "f8"),
        ("lot_num", "f8"),
        ("lot_den", "f8"),
        ("quantum", "f8"),
        ("value", "i8"),
        ("lot_min", "i8"),
        ("notional_min", "i8"),
        ("kind", "i8"),
        ("replaces", "i8"),
    ],
    align=True,
)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One tradable thing on one venue.

    symbol: the venue's own name. tick_size: smallest price step, in quote currency. lot_size: smallest size step, in
    base currency, or in contracts for kind "inverse". kind: "spot", "linear" (settled in quote) or "inverse" (settled
    in base). contract_value: size of one contract, in base for linear (1 for coin-margined sizes), in quote for
    inverse. money_decimals: decimals of the settlement currency in which money is counted; raised by itself where one
    tick times one lot needs more. amends: "in_place", or "replace" where the venue amends by canceling the order and
    making a new one of what is to be left, so that what fills on the way comes on top of it (Binance spot); limits
    count both.
    """

    symbol: str
    tick_size: Decimal
    lot_size: Decimal
    venue: str = "sim"
    kind: str = "linear"
    base: str = ""
    quote: str = ""
    contract_value: Decimal = Decimal(1)
    money_decimals: int = 8
    lot_min: int = 1
    notional_min: Decimal = Decimal(0)
    amends: str = "in_place"

    def __post_init__(self) -> None:
        """Refuse grids that are not positive, unknown kinds, and a unit of money that int64 cannot count."""
        if self.kind not in _KINDS:
            raise ConfigError(f"instrument {self.symbol}: kind must be one of {sorted(_KINDS)}, found {self.kind!r}")
        if self.amends not in ("in_place", "replace"):
            raise ConfigError(
                f"instrument {self.symbol}: amends must be 'in_place' or 'replace', found {self.amends!r}"
            )
        for name in ("tick_size", "lot_size", "contract_value", "notional_min"):
            # Text and numbers are welcome where a Decimal is due; a float counts as its shortest text.
            exact = to_decimal(getattr(self, name), f"instrument {self.symbol}: {name}")
            msgspec.structs.force_setattr(self, name, exact)
            if exact <= 0 and name != "notional_min":
                raise ConfigError(f"instrument {self.symbol}: {name} must be positive, found {getattr(self, name)}")
        if self.money_decimals < 0 or self.money_decimals > 18:
            raise ConfigError(f"instrument {self.symbol}: money_decimals must be 0 to 18, found {self.money_decimals}")
        if self.kind != "inverse":
            unit = self.tick_size * self.lot_size * self.contract_value
            needed = max(0, -int(unit.normalize().as_tuple().exponent))
            if needed > self.money_decimals:
                msgspec.structs.force_setattr(self, "money_decimals", needed)

    @property
    def quantum(self) -> Decimal:
        """One unit of money, in settlement currency."""
        return Decimal(1).scaleb(-self.money_decimals)

    @property
    def settlement(self) -> str:
        """The currency profits and fees are counted in."""
        return self.base if self.kind == "inverse" else self.quote

    @property
    def value(self) -> int:
        """Money quanta of one tick times one lot; for inverse, quanta times ticks of one lot."""
        if self.kind == "inverse":
            exact = self.lot_size * self.contract_value / self.tick_size / self.quantum
        else:
            exact = self.tick_size * self.lot_size * self.contract_value / self.quantum
        whole = exact.to_integral_value()
        if whole != exact or whole <= 0:
            raise ConfigError(
                f"instrument {self.symbol}: one tick times one lot is {exact} money quanta, not a whole number; "
                f"choose money_decimals so that it is"
            )
        return int(whole)

    def ticks(self, price: str | int | float | Decimal) -> Ticks:
        """A price as whole ticks; UnitError when it lies off the grid."""
        return Ticks(to_grid(price, self.tick_size, f"{self.symbol} price"))

    def lots(self, qty: str | int | float | Decimal) -> Lots:
        """A quantity as whole lots; UnitError when it lies off the grid."""
        return Lots(to_grid(qty, self.lot_size, f"{self.symbol} quantity"))

    def price(self, ticks: int) -> Decimal:
        """Ticks as an exact price."""
        return self.tick_size * int(ticks)

    def qty(self, lots: int) -> Decimal:
        """Lots as an exact quantity."""
        return self.lot_size * int(lots)

    def money(self, quanta: int) -> Decimal:
        """Money quanta as an exact amount of the settlement currency."""
        return self.quantum * int(quanta)

    def quanta(self, amount: str | int | float | Decimal) -> Money:
        """An amount of the settlement currency as whole quanta; UnitError when it is finer than one."""
        return Money(to_grid(amount, self.quantum, f"{self.symbol} amount"))

    def row(self) -> Any:
        """This instrument as one INSTRUMENT record."""
        row = np.zeros((), INSTRUMENT)
        row["tick"] = float(self.tick_size)
        row["lot"] = float(self.lot_size)
        row["quantum"] = float(self.quantum)
        for name, size in (("tick", self.tick_size), ("lot", self.lot_size)):
            numerator, denominator = size.as_integer_ratio()
            row[f"{name}_num"], row[f"{name}_den"] = float(numerator), float(denominator)
        row["value"] = self.value
        row["lot_min"] = self.lot_min
        row["notional_min"] = self.quanta(self.notional_min)
        row["kind"] = _KINDS[self.kind]
        row["replaces"] = int(self.amends == "replace")
        return row[()]
