"""COMMAND rows: everything the engine asks a venue to do, 64 bytes each, and the words orders are described with.

A command carries the sequence number of the event that caused it. `arg` depends on the order type: trigger price in
ticks (STOP, STOP_LIMIT), trailing offset in ticks (TRAILING), displayed size in lots (ICEBERG), the other order's id
(LINK), size left so far (AMEND); otherwise 0. `expire_ns` is the end of a GTD order; with the flag LEAVE_BY the time by
which a NEW must have left, which is not for the venue: who would send it later answers REJECT with reason DEADLINE
instead; otherwise 0. An AMEND carries the new price, the new size left, and in `arg` the size left that the engine knew
of when it asked (0: not told): what the venue has less than that has filled on the way and counts against the new size.
Commands of one take have one cause and may go to the venue as one batch.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "AMEND", "CANCEL", "CANCEL_ALL", "COMMAND", "COMMAND_NAMES", "COMMAND_VERSION", "FOK", "GTC", "GTD", "GTX",
    "ICEBERG", "IOC", "LEAVE_BY", "LIMIT", "LINK", "MARKET", "NEW", "ORDER_TYPE_NAMES", "REDUCE_ONLY", "STOP",
    "STOP_LIMIT", "TIF_NAMES", "TRAILING",
]  # fmt: skip

COMMAND_VERSION = 1

COMMAND = np.dtype(
    [
        ("cause", "i8"),
        ("ts", "i8"),
        ("id", "i8"),
        ("px", "i8"),
        ("qty", "i8"),
        ("arg", "i8"),
        ("expire_ns", "i8"),
        ("kind", "i1"),
        ("side", "i1"),
        ("type", "i1"),
        ("tif", "i1"),
        ("flags", "i2"),
        ("instrument", "i2"),
    ],
    align=True,
)
assert COMMAND.itemsize == 64

# Command kinds. LINK joins two orders: one-cancels-other, or a bracket's child to its parent (flags).
NEW, AMEND, CANCEL, CANCEL_ALL, LINK = 1, 2, 3, 4, 5
COMMAND_NAMES = {NEW: "new", AMEND: "amend", CANCEL: "cancel", CANCEL_ALL: "cancel_all", LINK: "link"}

# Order types.
LIMIT, MARKET, STOP, STOP_LIMIT, TRAILING, ICEBERG = 0, 1, 2, 3, 4, 5
ORDER_TYPE_NAMES = {
    LIMIT: "limit", MARKET: "market", STOP: "stop", STOP_LIMIT: "stop_limit", TRAILING: "trailing", ICEBERG: "iceberg",
}  # fmt: skip

# Times in force. GTX is post-only: it never takes.
GTC, IOC, FOK, GTD, GTX = 0, 1, 2, 3, 4
TIF_NAMES = {GTC: "GTC", IOC: "IOC", FOK: "FOK", GTD: "GTD", GTX: "GTX"}

# Command flags.
REDUCE_ONLY = 1
OCO = 2
BRACKET = 4
LEAVE_BY = 8  #: expire_ns is the time by which the order must have left, not its end at the venue
