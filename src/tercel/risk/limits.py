"""Limits as people state them, and their conversion to the integers the gate compares.

`Limits` is configuration: human units, None switches a limit off. `Limits.row` turns it into a RISK record for one
instrument; a value that does not lie on the instrument's grids is refused by name, never rounded. Nothing here judges
an order: that is `risk.gate`. Called when a run is set up.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

import msgspec
import numpy as np

from tercel.errors import ConfigError, UnitError
from tercel.model.instrument import Instrument
from tercel.model.units import INT64_MAX, to_decimal

__all__ = ["COLLAR_UNIT", "N_REASONS", "RISK", "Amount", "Limits"]

Amount = int | float | Decimal | None

#: Refusal counters: reason codes of our own side are 1 to 49.
N_REASONS = 50
#: The price collar is counted in parts of 1e-6.
COLLAR_UNIT = 1_000_000
_COLLAR_MAX = 2 * COLLAR_UNIT
_MONEY_MAX = 4_600_000_000_000_000_000  # orders.money.MONEY_MAX, without its kernels
_NS_PER_S = 1_000_000_000

#: The limits and the risk state of one instrument. qty_max, position_max: int64 lots; open_orders_max: orders; a
#: limit that is off is INT64_MAX there. notional_max, gross_max: int64 money quanta, off the largest; has_notional: 1
#: when either is on. collar_1e6: parts of 1e-6, 0 off. refuse_self_trade: 1 on. daily_loss_max, drawdown_max: int64
#: money quanta, 0 off. The two token buckets: a message costs `token` units, `gain` units come back each ns, the
#: bucket holds `full` units and fills in `fill_ns`; token 0 is off; `level` is what it held at `last_ns`. day_end_ns:
#: the next UTC midnight. day_start_equity, equity_peak, last_equity: int64 money quanta. halted: 1 when trading is
#: halted, for halt_reason. n_passed, n_refused: orders and messages judged. refusals: how often for each reason code.
RISK = np.dtype(
    [
        ("qty_max", "i8"),
        ("position_max", "i8"),
        ("open_orders_max", "i8"),
        ("notional_max", "i8"),
        ("gross_max", "i8"),
        ("has_notional", "i8"),
        ("collar_1e6", "i8"),
        ("refuse_self_trade", "i8"),
        ("daily_loss_max", "i8"),
        ("drawdown_max", "i8"),
        ("order_token", "i8"),
        ("order_gain", "i8"),
        ("order_full", "i8"),
        ("order_fill_ns", "i8"),
        ("order_level", "i8"),
        ("order_last_ns", "i8"),
        ("message_token", "i8"),
        ("message_gain", "i8"),
        ("message_full", "i8"),
        ("message_fill_ns", "i8"),
        ("message_level", "i8"),
        ("message_last_ns", "i8"),
        ("day_end_ns", "i8"),
        ("day_start_equity", "i8"),
        ("equity_peak", "i8"),
        ("last_equity", "i8"),
        ("halted", "i8"),
        ("halt_reason", "i8"),
        ("n_passed", "i8"),
        ("n_refused", "i8"),
        ("refusals", "i8", (N_REASONS,)),
    ],
    align=True,
)


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be sent for one instrument. None is off.

    order_qty_max: size of one order, in quantity. order_notional_max: price times size of one order, in settlement
    currency. position_max: |position| if every open order of that side filled, in quantity. gross_notional_max:
    notional of positions and open orders over all instruments, in settlement currency. price_collar: how far a limit
    price may lie from the mid, as a fraction (0.05 is 5 %), at most 2. order_rate, order_burst: new orders per second
    and how many may go at once (by default one second's worth, at least 1). message_rate, message_burst: the same for
    every message to the venue, new, amend and cancel. open_orders_max: orders open or in flight. self_trade: what to
    do with an order that would trade against an own resting order. daily_loss_max: fall of equity since the start of
    the UTC day that halts trading, in settlement currency. drawdown_max: fall from the highest equity seen that halts
    trading, in settlement currency.
    """

    order_qty_max: Amount = None
    order_notional_max: Amount = None
    position_max: Amount = None
    gross_notional_max: Amount = None
    price_collar: Amount = None
    order_rate: Amount = None
    order_burst: int | None = None
    message_rate: Amount = None
    message_burst: int | None = None
    open_orders_max: int | None = None
    self_trade: Literal["refuse", "allow"] = "refuse"
    daily_loss_max: Amount = None
    drawdown_max: Amount = None

    def row(self, instrument: Instrument) -> np.void:
        """These limits as one RISK record for `instrument`, nothing yet traded.

        Raises ConfigError naming the field that is not positive, too large, or off the instrument's grid.
        """
        row: Any = np.zeros((), RISK)
        row["qty_max"] = self._lots("order_qty_max", instrument)
        row["position_max"] = self._lots("position_max", instrument)
        row["notional_max"] = self._money("order_notional_max", instrument, _MONEY_MAX)
        row["gross_max"] = self._money("gross_notional_max", instrument, INT64_MAX)
        row["has_notional"] = int(self.order_notional_max is not None or self.gross_notional_max is not None)
        row["daily_loss_max"] = self._money("daily_loss_max", instrument, 0)
        row["drawdown_max"] = self._money("drawdown_max", instrument, 0)
        row["open_orders_max"] = self._count("open_orders_max", INT64_MAX)
        row["collar_1e6"] = self._collar()
        if self.self_trade not in ("refuse", "allow"):
            raise ConfigError(f"limits self_trade must be 'refuse' or 'allow', found {self.self_trade!r}")
        row["refuse_self_trade"] = int(self.self_trade == "refuse")
        self._bucket(row, "order")
        self._bucket(row, "message")
        made: np.void = row[()]
        return made

    def _positive(self, field: str, largest: int) -> Decimal | None:
        """The number in a field, None when off; ConfigError unless 0 < number <= largest."""
        value = getattr(self, field)
        if value is None:
            return None
        try:
            number = to_decimal(value, f"limits {field}")
        except UnitError as error:
            raise ConfigError(f"{error}; write a positive number or leave the limit out") from None
        if number <= 0 or number > largest:
            raise ConfigError(
                f"limits {field} must be above 0 and at most {largest}, found {value}; leave it out for no limit"
            )
        return number

    def _lots(self, field: str, instrument: Instrument) -> int:
        number = self._positive(field, INT64_MAX)
        if number is None:
            return INT64_MAX
        try:
            return int(instrument.lots(number))
        except UnitError as error:
            raise ConfigError(f"limits {field}: {error}; choose a multiple of {instrument.lot_size}") from None

    def _money(self, field: str, instrument: Instrument, off: int) -> int:
        number = self._positive(field, INT64_MAX)
        if number is None:
            return off
        most = instrument.money(_MONEY_MAX)
        if number > most:
            raise ConfigError(f"limits {field} for {instrument.symbol} must be at most {most}, found {number}")
        try:
            return int(instrument.quanta(number))
        except UnitError as error:
            raise ConfigError(f"limits {field}: {error}; choose a multiple of {instrument.quantum}") from None

    def _count(self, field: str, off: int) -> int:
        number = self._positive(field, INT64_MAX)
        if number is None:
            return off
        if number != int(number):
            raise ConfigError(f"limits {field} must be a whole number, found {number}")
        return int(number)

    def _collar(self) -> int:
        number = self._positive("price_collar", _COLLAR_MAX // COLLAR_UNIT)
        if number is None:
            return 0
        parts = number * COLLAR_UNIT
        if parts != int(parts):
            raise ConfigError(f"limits price_collar must be a multiple of {Decimal(1) / COLLAR_UNIT}, found {number}")
        return int(parts)

    def _bucket(self, row: Any, name: str) -> None:
        """Fill in one token bucket so that every quantity is an exact integer, whatever the rate."""
        number = self._positive(f"{name}_rate", _NS_PER_S)
        burst = self._count(f"{name}_burst", 0)
        if number is None:
            if burst:
                raise ConfigError(f"limits {name}_burst needs {name}_rate; give both or neither")
            return
        rate = Fraction(number)
        burst = burst or max(1, -(-rate.numerator // rate.denominator))
        token = rate.denominator * _NS_PER_S
        full = token * burst
        if full + rate.numerator > _MONEY_MAX:
            raise ConfigError(
                f"limits {name}_rate {number} with {name}_burst {burst} needs more than 64 bits to count exactly; "
                f"use fewer decimals or a smaller burst"
            )
        row[f"{name}_token"] = token
        row[f"{name}_gain"] = rate.numerator
        row[f"{name}_full"] = full
        row[f"{name}_fill_ns"] = -(-full // rate.numerator)
        row[f"{name}_level"] = full
