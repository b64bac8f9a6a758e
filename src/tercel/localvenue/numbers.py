"""Decimal text and integers: every amount inside the local venue is an int of 1e-8 units, every text has a point.

Called by every module that reads a request or writes an answer.
"""

from __future__ import annotations

from tercel.localvenue.refusals import BAD_CHARACTERS, TOO_PRECISE, RefusedError

__all__ = ["E8", "ZERO", "parse_e8", "text_e8"]

E8 = 100_000_000
ZERO = "0.00000000"
_DIGITS_MAX = 20


def parse_e8(text: str, name: str) -> int:
    """A plain decimal number such as "0.01" as 1e-8 units; RefusedError where it is none, or finer than that."""
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit()) or len(digits) > _DIGITS_MAX or (point and not fraction):
        raise RefusedError(BAD_CHARACTERS, f"Illegal characters found in parameter '{name}'; legal range is "
                      "'^([0-9]{1,20})(\\.[0-9]{1,20})?$'.")  # fmt: skip
    if len(fraction) > 8:
        if fraction[8:].strip("0"):
            raise RefusedError(TOO_PRECISE, f"Parameter '{name}' has too much precision.")
        fraction = fraction[:8]
    return int(whole or "0") * E8 + int(fraction.ljust(8, "0"))


def text_e8(amount: int) -> str:
    """1e-8 units as text with eight decimals, as spot writes every number."""
    if amount == 0:
        return ZERO
    if amount < 0:
        return "-" + text_e8(-amount)
    return f"{amount // E8}.{amount % E8:08d}"
