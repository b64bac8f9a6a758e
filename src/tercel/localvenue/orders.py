"""An order of the local venue, what a request for one says, and how a request is read.

Only data and reading live here; what orders do is in `desk`. Prices in ticks, sizes in lots, money in 1e-8 units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tercel.localvenue.accounts import Account
from tercel.localvenue.matching import FIRST_ORDER_ID
from tercel.localvenue.numbers import parse_e8
from tercel.localvenue.refusals import (
    BAD_CHARACTERS,
    BAD_PARAM,
    BAD_SIDE,
    BAD_STP,
    BAD_TIF,
    BAD_TYPE,
    NOT_REQUIRED,
    RefusedError,
    missing,
)
from tercel.localvenue.symbols import Listed
from tercel.sim.market_foreign import STP_BOTH, STP_MAKER, STP_NONE, STP_TAKER

__all__ = [
    "STP_MODES", "STP_NAMES", "NewOrder", "Order", "check_client_id", "is_triggered", "read_new_order", "read_side",
    "read_ways", "required",
]  # fmt: skip

STP_MODES = {"NONE": STP_NONE, "EXPIRE_TAKER": STP_TAKER, "EXPIRE_MAKER": STP_MAKER, "EXPIRE_BOTH": STP_BOTH}
STP_NAMES = {mode: name for name, mode in STP_MODES.items()}
SIDES = {"BUY": 1, "SELL": -1}
TIFS = ("GTC", "IOC", "FOK")
STOP_TYPES = ("STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
TYPES = ("LIMIT", "MARKET", "LIMIT_MAKER", *STOP_TYPES)
_RESPONSES = ("ACK", "RESULT", "FULL")
#: Parameters of orders that this venue does not have.
_NOT_HERE = dict.fromkeys(("icebergQty", "trailingDelta", "pegPriceType")).keys()
_CLIENT_ID = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:/")


class NewOrder:
    """What a request for an order says. px, stop_px: ticks, 0 none. lots: 0 where `quote_e8` says how much to spend."""

    __slots__ = (
        "client_id",
        "is_reduce_only",
        "listed",
        "lots",
        "px",
        "quote_e8",
        "response",
        "side",
        "stop_px",
        "stp",
        "tif",
        "type",
    )

    def __init__(self, listed: Listed, side: int, type: str) -> None:
        self.listed = listed
        self.side = side
        self.type = type
        self.tif = ""
        self.px = self.stop_px = self.lots = self.quote_e8 = 0
        self.client_id = ""
        self.is_reduce_only = False
        self.stp = STP_NONE
        self.response = ""


class Order:
    """One order. filled, quote: lots and money traded. locked: money or lots of base it still holds, in 1e-8 units."""

    __slots__ = (
        "account",
        "cancel_id",
        "client_id",
        "created_ms",
        "filled",
        "fills",
        "id",
        "is_reduce_only",
        "listed",
        "locked",
        "lots",
        "px",
        "quote",
        "quote_e8",
        "replaces",
        "side",
        "status",
        "stop_px",
        "stp",
        "tif",
        "type",
        "updated_ms",
        "working_ms",
    )  # fmt: skip

    def __init__(self, id: int, account: Account, new: NewOrder, now_ms: int) -> None:
        self.id = id
        self.account = account
        self.listed = new.listed
        self.client_id = new.client_id
        self.side, self.type, self.tif = new.side, new.type, new.tif
        self.px, self.stop_px, self.lots, self.quote_e8 = new.px, new.stop_px, new.lots, new.quote_e8
        self.stp = new.stp
        self.is_reduce_only = new.is_reduce_only
        self.status = "NEW"
        self.filled = self.quote = self.locked = 0
        self.created_ms = self.updated_ms = now_ms
        #: When it entered the market; -1 for a stop that waits.
        self.working_ms = -1 if new.stop_px else now_ms
        #: Its trades as (price, lots, commission, asset, trade id), while a FULL answer may ask for them.
        self.fills: list[tuple[int, int, int, str, int]] = []
        #: The client id before an amend gave it another, and the id that a cancel came with.
        self.replaces = self.cancel_id = ""

    @property
    def number(self) -> int:
        """The order id that clients see."""
        return self.id - FIRST_ORDER_ID

    @property
    def is_open(self) -> bool:
        """Whether it can still trade."""
        return self.status == "NEW" or self.status == "PARTIALLY_FILLED"

    @property
    def is_waiting(self) -> bool:
        """Whether it is a stop that has not triggered."""
        return self.working_ms < 0

    @property
    def is_post_only(self) -> bool:
        """Whether it must not take."""
        return self.type == "LIMIT_MAKER" or self.tif == "GTX"

    @property
    def left(self) -> int:
        """Lots not traded yet."""
        return self.lots - self.filled


def is_triggered(type: str, side: int, stop_px: int, last_px: int) -> bool:
    """Whether a trade at `last_px` sets off a stop: losses on the way against the order's side, profits the other."""
    if type.startswith("STOP_LOSS"):
        return last_px >= stop_px if side > 0 else last_px <= stop_px
    return last_px <= stop_px if side > 0 else last_px >= stop_px


def check_client_id(text: str, name: str) -> str:
    """A client's own order id: up to 36 of letters, digits and .-_:/ ."""
    if not text or len(text) > 36 or not _CLIENT_ID.issuperset(text):
        raise RefusedError(
            BAD_CHARACTERS,
            f"Illegal characters found in parameter '{name}'; legal range is '^[a-zA-Z0-9-_.:/]{{1,36}}$'.",
        )  # fmt: skip
    return text


def required(params: Mapping[str, Any], name: str) -> str:
    """A mandatory parameter as text, else RefusedError."""
    value = params.get(name)
    if value is None or value == "":
        raise missing(name)
    return value if value.__class__ is str else str(value)


def read_side(params: Mapping[str, Any]) -> int:
    """1 to buy, -1 to sell, else RefusedError."""
    side = SIDES.get(required(params, "side"))
    if side is None:
        raise RefusedError(BAD_SIDE, "Invalid side.")
    return side


def read_ways(
    params: Mapping[str, Any], new: NewOrder, default_stp: int, responses: tuple[str, ...], default: str
) -> None:
    """What does not touch the trade itself: the client's own id, self-trade prevention, which answer is wanted."""
    client_id = params.get("newClientOrderId")
    if client_id is not None:
        new.client_id = check_client_id(str(client_id), "newClientOrderId")
    stp = params.get("selfTradePreventionMode")
    new.stp = default_stp if stp is None else STP_MODES.get(str(stp), -1)
    if new.stp < 0:
        raise RefusedError(BAD_STP, "Data sent for parameter 'selfTradePreventionMode' is not valid.")
    response = params.get("newOrderRespType")
    new.response = default if response is None else str(response)
    if new.response not in responses:
        raise RefusedError(BAD_PARAM, "Data sent for parameter 'newOrderRespType' is not valid.")


def read_new_order(params: Mapping[str, Any], listed: Listed, default_stp: int) -> NewOrder:
    """The order that `params` ask for, its numbers on the symbol's grid; else RefusedError with the documented code."""
    side = read_side(params)
    type = required(params, "type")
    if type not in TYPES:
        raise RefusedError(BAD_TYPE, "Invalid orderType.")
    new = NewOrder(listed, side, type)
    _read_tif(params, new)
    _read_sizes(params, new)
    _read_prices(params, new)
    read_ways(params, new, default_stp, _RESPONSES, "FULL" if type in ("LIMIT", "MARKET") else "ACK")
    if not _NOT_HERE.isdisjoint(params):
        for name in _NOT_HERE:
            if params.get(name) is not None:
                raise RefusedError(NOT_REQUIRED, f"Parameter '{name}' sent when not required.")
    return new


def _read_tif(params: Mapping[str, Any], new: NewOrder) -> None:
    tif = params.get("timeInForce")
    if new.type in ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"):
        new.tif = required(params, "timeInForce")
        if new.tif not in TIFS:
            raise RefusedError(BAD_TIF, "Invalid timeInForce.")
    elif tif is not None and not (new.type == "LIMIT_MAKER" and tif == "GTC"):
        raise RefusedError(NOT_REQUIRED, "Parameter 'timeInForce' sent when not required.")
    else:
        new.tif = "GTC"


def _read_sizes(params: Mapping[str, Any], new: NewOrder) -> None:
    quote = params.get("quoteOrderQty")
    if quote is not None:
        if new.type != "MARKET" or params.get("quantity") is not None:
            raise RefusedError(NOT_REQUIRED, "Parameter 'quoteOrderQty' sent when not required.")
        new.quote_e8 = parse_e8(str(quote), "quoteOrderQty")
        if new.quote_e8 <= 0:
            raise missing("quoteOrderQty")
        return
    new.lots = new.listed.read_qty(required(params, "quantity"), is_market=new.type == "MARKET")


def _read_prices(params: Mapping[str, Any], new: NewOrder) -> None:
    listed = new.listed
    if new.type in ("LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"):
        new.px = listed.read_price(required(params, "price"))
        listed.check_notional(new.px, new.lots)
    elif params.get("price") is not None:
        raise RefusedError(NOT_REQUIRED, "Parameter 'price' sent when not required.")
    if new.type in STOP_TYPES:
        new.stop_px = listed.read_price(required(params, "stopPrice"), "stopPrice")
    elif params.get("stopPrice") is not None:
        raise RefusedError(NOT_REQUIRED, "Parameter 'stopPrice' sent when not required.")
