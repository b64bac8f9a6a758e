"""The messages of Binance's market streams that make rows, as typed values, futures and spot in one.

Fields keep the venue's names. Prices and sizes are read as floats (decode with strict=False: the venue quotes them);
ids and times outside what int64 nanoseconds can hold are refused by the decoder. Called by `binance` only.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["Depth", "Envelope", "Levels", "Snapshot", "Ticker", "Trade"]

#: (price, size) pairs.
Levels = list[tuple[float, float]]
Id = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Ms = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]


class Envelope(msgspec.Struct):
    """The outermost object of any line: a combined stream's envelope, a bare message, a snapshot or a reply."""

    data: msgspec.Raw = msgspec.Raw()
    stream: str = ""
    e: str = ""
    last_update: Id | None = msgspec.field(default=None, name="lastUpdateId")


class Depth(msgspec.Struct):
    """depthUpdate. pu and T: futures only."""

    s: str
    E: Ms
    U: Id
    u: Id
    b: Levels
    a: Levels
    T: Ms = 0
    pu: Id | None = None


class Trade(msgspec.Struct):
    """trade. X: futures only."""

    s: str
    E: Ms
    T: Ms
    t: Id
    p: float
    q: float
    m: bool
    X: str | None = None


class Ticker(msgspec.Struct):
    """bookTicker. T and e: futures only."""

    s: str
    u: Id
    b: float
    B: float
    a: float
    A: float
    T: Ms = 0
    e: str = ""


class Snapshot(msgspec.Struct):
    """The REST depth snapshot. T: futures only."""

    last_update: Id = msgspec.field(name="lastUpdateId")
    bids: Levels
    asks: Levels
    T: Ms = 0
