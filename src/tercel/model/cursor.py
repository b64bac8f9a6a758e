"""Where the next row of a journal goes, as a record through which compiled code appends too.

A journal's writer owns the record and shares it: whoever appends, from Python or from a kernel, moves the same numbers.
Lives here: the record, how a row and a command are appended within the block in work. Never here: blocks, files, syncs.
Kernels; called by the fast paths of `venues`. Written in Python by `store.journal` alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import cold_kernel, kernel, records
from tercel.model.events import EVENT

__all__ = [
    "AT",
    "BASE",
    "COMMAND_BASE",
    "CURSOR",
    "FILL",
    "FLAG_SHIFT",
    "I_SUM",
    "ROOM",
    "SUM",
    "cursor_append",
    "has_room",
]

#: A command in a journal is its row with this added to its kind and its flags shifted out of the way of LOCAL.
COMMAND_BASE = 100
FLAG_SHIFT = 8

#: base: address of the segment's memory. at: byte of the next row in it. i_sum: the 32-bit word that publishes the rows
#: of the block in work: their Adler-32, which `sum` is. fill: rows of the block so far. room: rows that a block takes;
#: below `fill` nothing may be appended, and the writer knows why.
CURSOR = np.dtype([(name, "i8") for name in ("base", "at", "i_sum", "sum", "fill", "room")], align=True)
#: The same as places of int64 words.
BASE, AT, I_SUM, SUM, FILL, ROOM = range(6)

_U1, _U4, _I64 = np.dtype("u1"), np.dtype("u4"), np.dtype("i8")
_BYTES = EVENT.itemsize
_WORDS = _BYTES // 8
_KIND_AT, _FLAGS_AT = EVENT.fields["kind"][1], EVENT.fields["flags"][1]  # type: ignore[index]
_ADLER = 65521


@kernel
def has_room(cursor: Any, n: int) -> bool:
    """Whether `n` more rows fit into the block in work."""
    return bool(cursor.fill + n <= cursor.room)


@kernel
def cursor_append(cursor: Any, source: int, n: int, are_commands: bool) -> None:
    """Append the `n` EVENT or COMMAND rows at address `source`; the caller made sure that there is room."""
    start = cursor.base + cursor.at
    s1 = int(cursor.sum) & 0xFFFF
    s2 = int(cursor.sum) >> 16
    for i in range(n):
        to = records(start + i * _BYTES, _WORDS, _I64)
        words = records(source + i * _BYTES, _WORDS, _I64)
        for k in range(_WORDS):
            to[k] = words[k]
        b = records(start + i * _BYTES, _BYTES, _U1)
        if are_commands:
            b[_KIND_AT] = int(b[_KIND_AT]) + COMMAND_BASE
            b[_FLAGS_AT + 1] = b[_FLAGS_AT]
            b[_FLAGS_AT] = 0
        for k in range(_BYTES):
            s1 += int(b[k])
            s2 += s1
        s1 %= _ADLER
        s2 %= _ADLER
    cursor.sum = (s2 << 16) | s1
    cursor.at += n * _BYTES
    _publish(cursor)
    cursor.fill += n


@cold_kernel
def _publish(cursor: Any) -> None:
    """One store of one word makes the rows count: a process that dies before it leaves the block as it was.

    A function of its own, never inlined, so that no compiler moves the store before those of the rows.
    """
    records(cursor.base + cursor.i_sum * 4, 1, _U4)[0] = cursor.sum
