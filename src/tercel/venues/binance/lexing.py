"""What the scanner works on and with: its records, and the kernels that read strings, whole numbers and decimals.

A decimal is read exactly, as steps of its instrument's grid. Nothing is judged here but the text in hand: UNKNOWN sends
the whole message to `msgspec`. Kernels; called by `scan`, the records also by `market`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import inline_kernel, kernel

__all__ = [
    "GRID",
    "LOST",
    "MASK",
    "NAMES",
    "SCAN",
    "UNKNOWN",
    "is_name",
    "read_decimal",
    "read_text",
    "read_whole",
    "symbol_number",
]

#: Answers below zero: the message is for `msgspec`; the depth event does not follow the one before (rows are written,
#: their number is in SCAN, the caller decides).
UNKNOWN, LOST = -1, -2

#: What one instrument needs. key: `symbol_number` of the name; n_name, name: the name itself. px_digits, px_num: a
#: price is a whole number of 10**-px_digits, and px_num of those are one tick; qty alike. last: update id of the newest
#: depth event applied. in_step: 1 where depth events may be applied as they come.
GRID = np.dtype(
    [
        ("key", "i8"),
        ("n_name", "i8"),
        ("px_digits", "i8"),
        ("px_num", "i8"),
        ("qty_digits", "i8"),
        ("qty_num", "i8"),
        ("last", "i8"),
        ("in_step", "i8"),
        ("instrument", "i8"),
        ("name", "u1", (32,)),
    ],
    align=True,
)

#: What a scan is given, what it found and where it stands. text: address of the message. grids, n_grids: of the GRID
#: records. is_spot: 1 where depth events join by the rule of spot. at: next byte. n: bytes. value: the last number.
#: i_grid: the instrument. kind: LEVEL, TRADE or QUOTE. first, last, previous: U, u, pu (-1 where absent). exch_ms,
#: event_ms: T and E.
SCAN = np.dtype(
    [
        ("text", "i8"),
        ("grids", "i8"),
        ("n_grids", "i8"),
        ("is_spot", "i8"),
        ("at", "i8"),
        ("n", "i8"),
        ("value", "i8"),
        ("i_grid", "i8"),
        ("kind", "i8"),
        ("first", "i8"),
        ("last", "i8"),
        ("previous", "i8"),
        ("exch_ms", "i8"),
        ("event_ms", "i8"),
        ("id", "i8"),
        ("n_rows", "i8"),
        ("seen", "i8"),
        ("px", "i8"),
        ("qty", "i8"),
        ("px2", "i8"),
        ("qty2", "i8"),
        ("side", "i8"),
        ("is_agg", "i8"),
        ("start", "i8"),
        ("length", "i8"),
    ],
    align=True,
)

#: Of `symbol_number`.
MASK = (1 << 42) - 1
#: Digits that surely fit int64 after scaling.
_DIGITS_MAX = 18

#: The names of events and keys that are compared whole.
NAMES = np.frombuffer(b'depthUpdatetradeaggTradebookTicker"stream":","data":{MARKET', np.uint8)
# Bytes by name.
_QUOTE, _COMMA, _CLOSE = 34, 44, 125
_DOT, _ZERO, _BACKSLASH, _SPACE = 46, 48, 92, 32


def symbol_number(name: bytes) -> int:
    """The number a symbol is looked up by; two symbols may share one, so the name is compared too."""
    number = 0
    for byte in name:
        number = ((number << 5) ^ (number >> 20) ^ byte) & MASK
    return number


@kernel
def read_text(scan: Any, b: Any) -> int:
    """A string of plain printable ASCII at `at`, which is past the opening quote: start and length. 0 or UNKNOWN."""
    i = int(scan.at)
    n = int(scan.n)
    scan.start = i
    while i < n:
        c = int(b[i])
        if c == _QUOTE:
            scan.length = i - scan.start
            scan.at = i + 1
            return 0
        if c == _BACKSLASH or c < _SPACE or c > 126:
            return UNKNOWN
        i += 1
    return UNKNOWN


@inline_kernel
def read_whole(scan: Any, b: Any) -> int:
    """A whole number at `at`, as JSON spells it and not negative, into `value`. 0 or UNKNOWN."""
    i = int(scan.at)
    n = int(scan.n)
    start = i
    value = 0
    while i < n:
        d = int(b[i]) - _ZERO
        if d < 0 or d > 9:
            break
        value = value * 10 + d
        i += 1
        if i - start > _DIGITS_MAX:
            return UNKNOWN
    if i == start or (i - start > 1 and int(b[start]) == _ZERO) or i >= n:
        return UNKNOWN
    c = int(b[i])
    if c != _COMMA and c != _CLOSE:
        return UNKNOWN
    scan.at = i
    scan.value = value
    return 0


@inline_kernel
def read_decimal(b: Any, at: int, n: int, digits: int, num: int) -> tuple[int, int]:
    """Decimal text with its closing quote at `at` as steps of a grid: (next byte or UNKNOWN, steps).

    The grid: `num` times 10**-digits. Text off the grid, too long, with a sign or an exponent is UNKNOWN.
    """
    i = at
    value = 0
    c = 0
    while i < n:
        c = int(b[i])
        d = c - _ZERO
        if d < 0 or d > 9:
            break
        value = value * 10 + d
        i += 1
    n_whole = i - at
    if n_whole == 0 or n_whole + digits > _DIGITS_MAX or i >= n:
        return UNKNOWN, 0
    left = digits
    if c == _DOT:
        i += 1
        after = i
        while i < n:
            c = int(b[i])
            d = c - _ZERO
            if d < 0 or d > 9:
                break
            if left > 0:
                value = value * 10 + d
                left -= 1
            elif d != 0:
                return UNKNOWN, 0
            i += 1
        if i == after or i >= n:
            return UNKNOWN, 0
    if c != _QUOTE:
        return UNKNOWN, 0
    while left > 0:
        value *= 10
        left -= 1
    if num != 1:
        steps = value // num
        if steps * num != value:
            return UNKNOWN, 0
        value = steps
    return i + 1, value


@kernel
def is_name(scan: Any, b: Any, at: int, length: int, name: int) -> bool:
    """Whether the `length` bytes at `at` are those of `NAMES` at `name`."""
    for i in range(length):
        if int(b[at + i]) != int(NAMES[name + i]):
            return False
    return True
