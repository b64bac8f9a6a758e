"""What can happen to an order: its states, the one transition table, and the ORDER record.

The table is data; the kernels of `orders.table` look it up and the diagram in docs/orders.md is drawn from it. Nothing
here compiles or moves money. Called by `orders.table`, by reports that name states, and by tests.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    EXPIRED,
    FILL,
    KIND_NAMES,
    REFUSED,
    REJECT,
)

__all__ = [
    "FILL_LAST", "ILLEGAL", "LATE", "LOST", "NEXT_STATE", "NEXT_STATUS", "ORDER", "OVERFILL", "OVERFLOW", "STATE_NAMES",
    "STATUS_NAMES", "ST_CANCELED", "ST_EXPIRED", "ST_FILLED", "ST_FREE", "ST_OPEN", "ST_PARTIALLY_FILLED",
    "ST_PENDING_NEW", "ST_REFUSED", "ST_REJECTED", "ST_UNKNOWN", "TERMINAL_STATES", "TRANSITIONS", "TRIGGER_NAMES",
    "mermaid",
]  # fmt: skip

#: One order in the state block. A zeroed record is a free slot. px: int64 ticks. qty, filled: int64 lots, whole size
#: and what of it traded. notional: int64 ticks times lots, sum over fills of px * qty. arg: as in COMMAND. pending: 0,
#: or CANCEL or AMEND while such a request is in flight; pending_px, pending_qty: what the amend asks for, 0 once it is
#: answered; pending_ts: when the last request was sent. pending_most: lots of the order that may have traded, first to
#: last, by the time the amend is answered (see `orders.table.order_amend_most`), 0 without one. link: id of the OCO or
#: bracket sibling, 0 none. parent: id of the execution algorithm that sent it, 0 none. budget: ns in which its first
#: answer is to be here, 0 none. passed: kept by the table (see `orders.table`), not part of the order.
ORDER = np.dtype(
    [
        ("id", "i8"),
        ("instrument", "i8"),
        ("strategy", "i8"),
        ("side", "i8"),
        ("type", "i8"),
        ("tif", "i8"),
        ("flags", "i8"),
        ("state", "i8"),
        ("px", "i8"),
        ("qty", "i8"),
        ("filled", "i8"),
        ("notional", "i8"),
        ("arg", "i8"),
        ("expire_ns", "i8"),
        ("ts_sent", "i8"),
        ("ts_ack", "i8"),
        ("ts_last", "i8"),
        ("venue_id", "i8"),
        ("pending", "i8"),
        ("pending_px", "i8"),
        ("pending_qty", "i8"),
        ("pending_ts", "i8"),
        ("pending_most", "i8"),
        ("link", "i8"),
        ("parent", "i8"),
        ("budget", "i8"),
        ("passed", "i8"),
    ],
    align=True,
)

# States. UNKNOWN: the transport was lost while the order lived; it stays unknown until the venue says.
ST_FREE, ST_PENDING_NEW, ST_OPEN, ST_PARTIALLY_FILLED, ST_FILLED = 0, 1, 2, 3, 4
ST_CANCELED, ST_REJECTED, ST_EXPIRED, ST_REFUSED, ST_UNKNOWN = 5, 6, 7, 8, 9
STATE_NAMES: Final = {
    ST_FREE: "free", ST_PENDING_NEW: "pending_new", ST_OPEN: "open", ST_PARTIALLY_FILLED: "partially_filled",
    ST_FILLED: "filled", ST_CANCELED: "canceled", ST_REJECTED: "rejected", ST_EXPIRED: "expired",
    ST_REFUSED: "refused", ST_UNKNOWN: "unknown",
}  # fmt: skip
TERMINAL_STATES: Final = (ST_FILLED, ST_CANCELED, ST_REJECTED, ST_EXPIRED, ST_REFUSED)

# Status bits. LATE: the order had already ended, or the message repeats; the state stays, a fill's money counts.
# OVERFILL: a fill larger than what was left; its money counts. ILLEGAL: the message cannot be; nothing changed.
# OVERFLOW: a sum would leave its range; nothing changed.
LATE, OVERFILL, ILLEGAL, OVERFLOW = 1, 2, 4, 8
STATUS_NAMES: Final = {LATE: "late", OVERFILL: "overfill", ILLEGAL: "illegal", OVERFLOW: "overflow"}

#: Triggers that are no row kinds: the fill that completes an order, and the loss of the transport.
FILL_LAST, LOST = 29, 30
TRIGGER_NAMES: Final = {
    **{kind: KIND_NAMES[kind] for kind in range(ACK, REFUSED + 1)},
    FILL_LAST: "fill_last",
    LOST: "lost",
}

#: Where each trigger leads from each living state, without a word: legal and on time. What is missing is illegal.
_LIVING: Final = {
    ST_PENDING_NEW: {
        ACK: ST_OPEN, REJECT: ST_REJECTED, FILL: ST_PARTIALLY_FILLED, FILL_LAST: ST_FILLED, CANCELED: ST_CANCELED,
        EXPIRED: ST_EXPIRED, AMENDED: ST_OPEN, CANCEL_REJECT: ST_PENDING_NEW, AMEND_REJECT: ST_PENDING_NEW,
        REFUSED: ST_REFUSED, LOST: ST_UNKNOWN,
    },
    ST_OPEN: {
        REJECT: ST_REJECTED, FILL: ST_PARTIALLY_FILLED, FILL_LAST: ST_FILLED, CANCELED: ST_CANCELED,
        EXPIRED: ST_EXPIRED, AMENDED: ST_OPEN, CANCEL_REJECT: ST_OPEN, AMEND_REJECT: ST_OPEN, REFUSED: ST_OPEN,
        LOST: ST_UNKNOWN,
    },
    ST_PARTIALLY_FILLED: {
        ACK: ST_PARTIALLY_FILLED, FILL: ST_PARTIALLY_FILLED, FILL_LAST: ST_FILLED, CANCELED: ST_CANCELED,
        EXPIRED: ST_EXPIRED, AMENDED: ST_PARTIALLY_FILLED, CANCEL_REJECT: ST_PARTIALLY_FILLED,
        AMEND_REJECT: ST_PARTIALLY_FILLED, REFUSED: ST_PARTIALLY_FILLED, LOST: ST_UNKNOWN,
    },
    ST_UNKNOWN: {
        ACK: ST_OPEN, REJECT: ST_REJECTED, FILL: ST_PARTIALLY_FILLED, FILL_LAST: ST_FILLED, CANCELED: ST_CANCELED,
        EXPIRED: ST_EXPIRED, AMENDED: ST_OPEN, CANCEL_REJECT: ST_UNKNOWN, AMEND_REJECT: ST_UNKNOWN,
        REFUSED: ST_UNKNOWN, LOST: ST_UNKNOWN,
    },
}  # fmt: skip

# An ended order may still hear the answer to a request that crossed its end, and that is nobody's fault; any other
# message about it is late. A refused order never left the house: the venue cannot speak of it, but money is money.
_ENDED_ON_TIME: Final = (CANCEL_REJECT, AMEND_REJECT, REFUSED, LOST)
_REFUSED_LATE: Final = (FILL, FILL_LAST)


def _transitions() -> dict[tuple[int, int], tuple[int, int]]:
    """The whole table: every state times every trigger."""
    table: dict[tuple[int, int], tuple[int, int]] = {}
    for state in STATE_NAMES:
        for trigger in TRIGGER_NAMES:
            answer = (state, ILLEGAL)
            if state in _LIVING and trigger in _LIVING[state]:
                answer = (_LIVING[state][trigger], 0)
            elif state in TERMINAL_STATES and trigger in _ENDED_ON_TIME:
                answer = (state, 0)
            elif state in TERMINAL_STATES and (state != ST_REFUSED or trigger in _REFUSED_LATE):
                answer = (state, LATE)
            table[state, trigger] = answer
    table[ST_OPEN, ACK] = (ST_OPEN, LATE)
    return table


#: (state, trigger) -> (next state, status). OPEN reached with something filled is PARTIALLY_FILLED: the two are one
#: state told apart by `filled`, so that an order the venue confirms again after UNKNOWN keeps its fills.
TRANSITIONS: Final = _transitions()

_FIRST: Final = ACK
#: (n_states, n_triggers) int64, column trigger - ACK: the table as the kernels read it.
NEXT_STATE: Final = np.array(
    [[TRANSITIONS[s, t][0] for t in range(_FIRST, LOST + 1)] for s in range(len(STATE_NAMES))], dtype=np.int64
)
NEXT_STATUS: Final = np.array(
    [[TRANSITIONS[s, t][1] for t in range(_FIRST, LOST + 1)] for s in range(len(STATE_NAMES))], dtype=np.int64
)


def mermaid() -> str:
    """The transition table as a Mermaid state diagram: one arrow for each pair of states, its triggers on it.

    Late and illegal messages change nothing and are not drawn, nor are messages that leave a state as it is.
    """
    arrows: dict[tuple[int, int], list[str]] = {}
    for (state, trigger), (after, status) in TRANSITIONS.items():
        if status == 0 and after != state:
            arrows.setdefault((state, after), []).append(TRIGGER_NAMES[trigger])
    lines = ["stateDiagram-v2", f"    [*] --> {STATE_NAMES[ST_PENDING_NEW]}"]
    for (state, after), names in arrows.items():
        lines.append(f"    {STATE_NAMES[state]} --> {STATE_NAMES[after]}: {', '.join(names)}")
    lines.extend(f"    {STATE_NAMES[state]} --> [*]" for state in TERMINAL_STATES)
    return "\n".join(lines)
