"""Binance's messages as typed values, spot and futures in one: what `msgspec` decodes, and only what is used.

Fields keep the venue's names. Unknown fields are ignored, as the venue announces that it adds some. Prices and sizes
stay text until they meet an instrument's grid. Pure data; called by the other modules of this folder.
"""

# ruff: noqa: N815

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = [
    "Depth", "Envelope", "ErrorBody", "Id", "Levels", "Ms", "OrderBody", "OrderEvent", "OrderUpdate", "RateLimit",
    "Snapshot", "Ticker", "Trade", "TradeBody", "UserEnvelope", "WsAnswer", "error_of",
]  # fmt: skip

#: (price, size) pairs as text.
Levels = list[tuple[str, str]]
Id = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Ms = Annotated[int, msgspec.Meta(ge=0, le=9_000_000_000_000)]


class Envelope(msgspec.Struct):
    """The outermost object of a market message: a combined stream's envelope, a bare message or a reply."""

    data: msgspec.Raw = msgspec.Raw()
    stream: str = ""
    e: str = ""
    id: int | str | None = None
    s: str = ""


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
    """trade (id t) or aggTrade (id a). X: futures trades only."""

    s: str
    T: Ms
    p: str
    q: str
    m: bool
    t: Id | None = None
    a: Id | None = None
    X: str | None = None


class Ticker(msgspec.Struct):
    """bookTicker. T: futures only."""

    s: str
    u: Id
    b: str
    B: str
    a: str
    A: str
    T: Ms = 0


class Snapshot(msgspec.Struct):
    """The REST depth snapshot. T: futures only."""

    last_update: Id = msgspec.field(name="lastUpdateId")
    bids: Levels
    asks: Levels
    T: Ms = 0


class RateLimit(msgspec.Struct):
    """One entry of `rateLimits`, in exchangeInfo (without count) and in answers of the WebSocket API."""

    rateLimitType: str
    interval: str
    intervalNum: int
    limit: int
    count: int | None = None


class ErrorBody(msgspec.Struct):
    """`code` and `msg` of a refused request; data: what cancelReplace and bans add."""

    code: int
    msg: str = ""
    data: msgspec.Raw = msgspec.Raw()


_ERROR = msgspec.json.Decoder(ErrorBody)


def error_of(status: int, body: bytes) -> ErrorBody:
    """The error in an HTTP answer; code 0 where its body is not one, as from a proxy under maintenance."""
    try:
        return _ERROR.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ErrorBody(0, f"status {status}")


class WsAnswer(msgspec.Struct):
    """An answer of the WebSocket API, or an event of a subscription (then `event` is set)."""

    id: int | str | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorBody | None = None
    rateLimits: list[RateLimit] = []
    event: msgspec.Raw = msgspec.Raw()


class UserEnvelope(msgspec.Struct):
    """The outermost object of a user data event; `data` where it comes in a combined stream's envelope."""

    e: str = ""
    E: Ms = 0
    data: msgspec.Raw = msgspec.Raw()
    listenKey: str = ""


class OrderEvent(msgspec.Struct):
    """What executionReport (spot) and the `o` of ORDER_TRADE_UPDATE (futures) share.

    c, C: client ids, see the venue's page. x, X: execution type and order status. l, L: size and price of this fill.
    z: filled in all. n, N: commission and its asset. t: trade id. r: spot reject reason.
    """

    s: str
    S: str
    o: str
    x: str
    X: str
    i: Id
    q: str
    p: str
    z: str
    l: str = "0"  # noqa: E741
    L: str = "0"
    n: str | None = None
    N: str | None = None
    c: str = ""
    C: str = ""
    f: str = ""
    t: Annotated[int, msgspec.Meta(ge=-1, le=1 << 62)] = -1
    T: Ms = 0
    E: Ms = 0
    m: bool = False
    r: str = ""


class OrderUpdate(msgspec.Struct):
    """ORDER_TRADE_UPDATE."""

    E: Ms
    T: Ms
    o: OrderEvent


class OrderBody(msgspec.Struct):
    """An order as answers and queries state it."""

    symbol: str = ""
    orderId: Id = 0
    clientOrderId: str = ""
    side: str = ""
    price: str = "0"
    origQty: str = "0"
    executedQty: str = "0"
    status: str = ""
    timeInForce: str = ""
    type: str = ""
    updateTime: Ms = 0
    time: Ms = 0
    transactTime: Ms = 0


class TradeBody(msgspec.Struct):
    """One of our trades, of myTrades (isBuyer, isMaker) or userTrades (buyer, maker)."""

    id: Id
    orderId: Id
    price: str
    qty: str
    commission: str
    commissionAsset: str
    time: Ms
    isBuyer: bool | None = None
    isMaker: bool | None = None
    buyer: bool = False
    maker: bool = False
