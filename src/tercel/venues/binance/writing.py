"""Compiled writing of requests: a text with places, the numbers of a command put into them.

A FORM is what one instrument's orders share: its rules as ranges of ticks and lots, and which TEXT to take for a side
and a time in force. Nothing here knows what the texts say; `prepared` makes them. Kernels; called by `fast`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import kernel, records
from tercel.model.commands import CANCEL, LIMIT, NEW
from tercel.model.events import BUY

__all__ = ["FORM", "N_PARTS", "N_TIFS", "TEXT", "write_command"]

_U1 = np.dtype("u1")
N_PARTS = 8
N_TIFS = 5

#: A request in parts. at: address of part 0; the others follow. n: bytes of each part. place: what stands behind it.
TEXT = np.dtype([("at", "i8"), ("n_parts", "i8"), ("n", "i8", (N_PARTS,)), ("place", "i8", (N_PARTS,))], align=True)
#: What may stand behind a part: the request's number, size, price, order id, the venue's time in ms.
NUMBER, QTY, PX, ID, TIME = 1, 2, 3, 4, 5

#: One instrument. is_known: orders of it may be written. px_num, px_places: a tick is px_num of 10**-px_places; qty
#: alike. *_min, *_max: what the venue's rules let through, notional in ticks times lots. orders_max: that may be open.
#: texts: number of the TEXT of a new order by side (buy first) and time in force, -1 for none; cancel: of a cancel.
FORM = np.dtype(
    [
        ("is_known", "i8"),
        ("px_num", "i8"),
        ("px_places", "i8"),
        ("px_min", "i8"),
        ("px_max", "i8"),
        ("qty_num", "i8"),
        ("qty_places", "i8"),
        ("qty_min", "i8"),
        ("qty_max", "i8"),
        ("notional_min", "i8"),
        ("notional_max", "i8"),
        ("orders_max", "i8"),
        ("cancel", "i8"),
        ("texts", "i8", (2 * N_TIFS,)),
    ],
    align=True,
)
#: Products beyond this are left to Python's integers.
_PRODUCT_MAX = 9.0e18


@kernel
def _write_number(out: Any, at: int, value: int, n_least: int) -> int:
    """A whole number from 0 up, in at least `n_least` digits. Where the next byte goes."""
    n = 1
    rest = value // 10
    while rest > 0:
        rest //= 10
        n += 1
    if n < n_least:
        n = n_least
    rest = value
    for k in range(n):
        out[at + n - 1 - k] = 48 + rest % 10
        rest //= 10
    return at + n


@kernel
def _write_decimal(out: Any, at: int, steps: int, places: int) -> int:
    """`steps` of 10**-places. Where the next byte goes."""
    if places == 0:
        return _write_number(out, at, steps, 1)
    den = 1
    for _ in range(places):
        den *= 10
    at = _write_number(out, at, steps // den, 1)
    out[at] = 46
    return _write_number(out, at + 1, steps % den, places)


@kernel
def _write_hex(out: Any, at: int, value: int) -> int:
    """Sixteen hex digits. Where the next byte goes."""
    for k in range(16):
        digit = (value >> (60 - 4 * k)) & 15
        out[at + k] = 48 + digit if digit < 10 else 87 + digit
    return at + 16


@kernel
def _text_of(form: Any, command: Any, allowed_flags: int) -> int:
    """Which text says a command: its number, or -1 for what is not plain or what a rule speaks against."""
    if command.kind == CANCEL:
        return int(form.cancel)
    plain = command.kind == NEW and command.type == LIMIT and command.flags & ~allowed_flags == 0
    if not plain or command.tif < 0 or command.tif >= N_TIFS:
        return -1
    px, qty = int(command.px), int(command.qty)
    if px < form.px_min or px > form.px_max or qty < form.qty_min or qty > form.qty_max:
        return -1
    if float(px) * float(qty) > _PRODUCT_MAX:
        return -1
    notional = px * qty
    if notional < form.notional_min or notional > form.notional_max:
        return -1
    return int(form.texts[(0 if command.side == BUY else N_TIFS) + int(command.tif)])


@kernel
def write_command(
    form: Any, texts: Any, command: Any, allowed_flags: int, number: int, venue_ms: int, out: Any, at: int
) -> int:
    """Write the request `number` that a command asks for, from byte `at` of `out`. Where the next byte goes, or -1 for
    what is not plain: flags beyond `allowed_flags`, another type, a rule that speaks against it.
    """
    i_text = _text_of(form, command, allowed_flags)
    if form.is_known == 0 or i_text < 0:
        return -1
    text = texts[i_text]
    source = int(text.at)
    for k in range(text.n_parts):
        n = int(text.n[k])
        part = records(source, n, _U1)
        for j in range(n):
            out[at + j] = part[j]
        at += n
        source += n
        place = int(text.place[k])
        if place == NUMBER:
            at = _write_number(out, at, number, 1)
        elif place == QTY:
            at = _write_decimal(out, at, int(command.qty) * int(form.qty_num), int(form.qty_places))
        elif place == PX:
            at = _write_decimal(out, at, int(command.px) * int(form.px_num), int(form.px_places))
        elif place == ID:
            at = _write_hex(out, at, int(command.id))
        elif place == TIME:
            at = _write_number(out, at, venue_ms, 1)
    return at
