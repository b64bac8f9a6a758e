"""Short ways to write EVENT rows in tests of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCELED,
    FILL,
    LAST,
    LEVEL,
    LOCAL,
    QUOTE,
    TIMER,
    TRADE,
    event_rows,
)


def row(kind: int, ts: int, **fields: Any) -> np.ndarray:
    """One row the strategy sees at `ts`."""
    made = event_rows(1)
    made["kind"], made["ts_exch"], made["ts_recv"], made["flags"] = kind, ts, ts, LOCAL
    for name, value in fields.items():
        made[name] = value
    return made


def quote(ts: int, bid: int = 10_000, ask: int = 10_002) -> np.ndarray:
    return row(QUOTE, ts, px=bid, qty=1_000, arg0=ask, arg1=1_000)


def trade(ts: int, px: int = 10_001, **fields: Any) -> np.ndarray:
    return row(TRADE, ts, px=px, qty=5, side=1, **fields)


def level(ts: int, side: int, px: int, qty: int, **fields: Any) -> np.ndarray:
    return row(LEVEL, ts, **{"side": side, "px": px, "qty": qty, "flags": LOCAL | LAST, **fields})


def ack(ts: int, id: int, side: int) -> np.ndarray:
    return row(ACK, ts, id=id, side=side)


def fill(ts: int, id: int, side: int, px: int, qty: int, **fields: Any) -> np.ndarray:
    return row(FILL, ts, id=id, side=side, px=px, qty=qty, **fields)


def canceled(ts: int, id: int, side: int) -> np.ndarray:
    return row(CANCELED, ts, id=id, side=side)


def amended(ts: int, id: int, side: int, px: int, left: int) -> np.ndarray:
    return row(AMENDED, ts, id=id, side=side, px=px, qty=left)


def amend_rejected(ts: int, id: int, side: int) -> np.ndarray:
    return row(AMEND_REJECT, ts, id=id, side=side)


def timer(ts: int) -> np.ndarray:
    return row(TIMER, ts)


def joined(*rows: np.ndarray) -> np.ndarray:
    return np.concatenate(rows)
