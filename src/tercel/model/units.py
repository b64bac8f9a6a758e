"""Units: prices in ticks, sizes in lots, time in nanoseconds, money in quanta; all int64, all exact.

Decimal text becomes an integer here and nowhere else. A value that does not lie on its grid is refused with a
`UnitError`; nothing is ever rounded in silence. Called by instruments, importers and the command line.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import NewType

from tercel.errors import UnitError

__all__ = ["INT64_MAX", "Lots", "Money", "Nanos", "Ticks", "to_decimal", "to_grid"]

Ticks = NewType("Ticks", int)
Lots = NewType("Lots", int)
Nanos = NewType("Nanos", int)
Money = NewType("Money", int)

INT64_MAX = (1 << 63) - 1


def to_decimal(value: str | int | float | Decimal, what: str) -> Decimal:
    """Read a human number exactly; a float counts as its shortest text, so 0.1 means one tenth.

    Raises UnitError for text that is no number, NaN and infinities. `what` names the value in the message.
    """
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        raise UnitError(f"{what} must be a number, found {value!r}") from None
    if not number.is_finite():
        raise UnitError(f"{what} must be finite, found {value!r}")
    return number


def to_grid(value: str | int | float | Decimal, step: Decimal, what: str) -> int:
    """How many steps of the grid `value` is, exactly.

    Raises UnitError when the value lies between two steps, is not finite or does not fit int64.
    """
    number = to_decimal(value, what)
    try:
        count = number / step
    except ArithmeticError:
        raise UnitError(f"{what} {number} is more steps of {step} than 64 bits hold") from None
    whole = count.to_integral_value()
    if count != whole:
        raise UnitError(f"{what} {number} does not lie on its grid of {step}")
    if abs(whole) > INT64_MAX:
        raise UnitError(f"{what} {number} is {whole} steps of {step}, more than 64 bits hold")
    return int(whole)
