"""EVENT rows: everything that happens to the engine, 64 bytes each, one increasing sequence number.

The sequence number is not stored: it is the row's position in the stream since the engine was born, which the engine
counts and a journal segment states for its first row. That leaves one cache line per row for the payload.

| kind | px | qty | id | arg0 | arg1 | side |
|---|---|---|---|---|---|---|
| LEVEL | price | size now at that price, 0 removes | update id | | | book side |
| CLEAR | last price to clear, 0 for all | | update id | | | book side, 0 both |
| TRADE | price | size | trade id | | | aggressor |
| QUOTE | bid price | bid size | update id | ask price | ask size | |
| BAR | close | volume | open | high | low | |
| ADD, CHANGE, DELETE | price | size (left) | order id | | | book side |
| FUNDING | mark price | | | rate, 1e-8 | | |
| ACK | price | size | order id | venue order id | | order side |
| FILL | price | size | order id | fee, money quanta | execution id | order side |
| REJECT, CANCELED, EXPIRED, REFUSED, CANCEL_REJECT, AMEND_REJECT | | size left | order id | | | order side |
| AMENDED | new price | new size left | order id | | | order side |
| TIMER | | | timer id | | | |
| SIGNAL | | deadline, ns | signal id | value, float64 bits | confidence, float64 bits | |
| HALT, RESUME | | | | | | |

A CHANGE to a smaller size at its price says that so much traded; with reason BY_REQUEST, that so much was canceled and
the rest kept its place. A DELETE with a size was canceled, with 0 it traded.

The deadline of a SIGNAL counts from ts_exch, when it was made (from ts_recv where that is 0); 0 is 25 ms, negative is
none.

`ts_exch` is when the venue says it happened, `ts_recv` when the strategy could know; both int64 ns since the epoch.
"""

from __future__ import annotations

import numpy as np

__all__ = [
    "ACCOUNT_KINDS", "ACK", "ADD", "AMENDED", "AMEND_REJECT", "BAR", "BUY", "CANCELED", "CANCEL_REJECT", "CHANGE",
    "CLEAR", "CONNECT", "DELETE", "DISCONNECT", "EVENT", "EVENT_VERSION", "EXCH", "EXPIRED", "FILL", "FUNDING",
    "HALT", "KIND_NAMES", "LAST", "LEVEL", "LOCAL", "MAKER", "QUOTE", "REFUSED", "REJECT", "RESUME", "SELL", "SIGNAL",
    "SNAPSHOT", "TAKER", "TIMER", "TRADE", "event_rows",
]  # fmt: skip

EVENT_VERSION = 1

EVENT = np.dtype(
    [
        ("ts_exch", "i8"),
        ("ts_recv", "i8"),
        ("px", "i8"),
        ("qty", "i8"),
        ("id", "i8"),
        ("arg0", "i8"),
        ("arg1", "i8"),
        ("kind", "i1"),
        ("side", "i1"),
        ("reason", "i2"),
        ("flags", "i2"),
        ("instrument", "i2"),
    ],
    align=True,
)
assert EVENT.itemsize == 64

# Sides. A book side or an order side; for trades the aggressor.
BUY, SELL = 1, -1

# Kinds: market.
LEVEL, CLEAR, TRADE, QUOTE, BAR, ADD, CHANGE, DELETE, FUNDING = 1, 2, 3, 4, 5, 6, 7, 8, 9
# Kinds: our orders.
ACK, REJECT, FILL, CANCELED, EXPIRED, AMENDED, CANCEL_REJECT, AMEND_REJECT, REFUSED = 20, 21, 22, 23, 24, 25, 26, 27, 28
# Kinds: time, signals, connection, operator.
TIMER, SIGNAL, CONNECT, DISCONNECT, HALT, RESUME = 40, 41, 50, 51, 60, 61

ACCOUNT_KINDS = (ACK, REJECT, FILL, CANCELED, EXPIRED, AMENDED, CANCEL_REJECT, AMEND_REJECT, REFUSED)

KIND_NAMES = {
    LEVEL: "level", CLEAR: "clear", TRADE: "trade", QUOTE: "quote", BAR: "bar", ADD: "add", CHANGE: "change",
    DELETE: "delete", FUNDING: "funding", ACK: "ack", REJECT: "reject", FILL: "fill", CANCELED: "canceled",
    EXPIRED: "expired", AMENDED: "amended", CANCEL_REJECT: "cancel_reject", AMEND_REJECT: "amend_reject",
    REFUSED: "refused", TIMER: "timer", SIGNAL: "signal", CONNECT: "connect", DISCONNECT: "disconnect", HALT: "halt",
    RESUME: "resume",
}  # fmt: skip

# Flags.
EXCH = 1  #: the venue processes this row at ts_exch
LOCAL = 2  #: the strategy sees this row at ts_recv
LAST = 4  #: last row of one venue message: the book is whole after it
SNAPSHOT = 8  #: part of a snapshot rather than of an update
MAKER = 16  #: a fill that rested
TAKER = 32  #: a fill that crossed


def event_rows(n: int) -> np.ndarray:
    """`n` zeroed EVENT rows."""
    return np.zeros(n, EVENT)
