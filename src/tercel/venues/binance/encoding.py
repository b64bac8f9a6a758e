"""COMMAND rows as the venue's requests: method and parameters, or the reason why there is no such request.

The WebSocket API's methods and their HTTP twins take the same parameters (pages "Trading requests" of spot and "Trade"
of USD-M futures, developers.binance.com, November 2026). Conditional orders of futures moved to a service of their own
in December 2025 (error -4120) and are not sent. Pure functions; called by `desk`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from tercel.model import reasons
from tercel.model.commands import (
    FOK,
    GTC,
    GTD,
    GTX,
    ICEBERG,
    IOC,
    LIMIT,
    LINK,
    MARKET,
    NEW,
    OCO,
    REDUCE_ONLY,
    STOP,
    STOP_LIMIT,
    TRAILING,
)
from tercel.model.events import BUY
from tercel.model.instrument import Instrument
from tercel.venues.contract import client_id, order_id

__all__ = [
    "HTTP_TWINS",
    "Grid",
    "Params",
    "amend_id",
    "cancel",
    "how_to_amend",
    "linked_orders",
    "new_order",
    "own_id",
    "replace_order",
    "scale",
]

Params = dict[str, str | int]

#: WebSocket method -> (HTTP method, path below the market's API path).
HTTP_TWINS = {
    "order.place": ("POST", "/order"), "order.cancel": ("DELETE", "/order"), "order.modify": ("PUT", "/order"),
    "order.cancelReplace": ("POST", "/order/cancelReplace"),
    "order.amend.keepPriority": ("PUT", "/order/amend/keepPriority"),
}  # fmt: skip

_TIFS = {GTC: "GTC", IOC: "IOC", FOK: "FOK", GTX: "GTX", GTD: "GTD"}
_AMEND_PREFIX = "ta"
_GTD_LEAST_NS = 600 * 1_000_000_000


def amend_id(number: int) -> str:
    """The client id that the first half of a cancelReplace gives the order it cancels: it says whose half it is."""
    return _AMEND_PREFIX + client_id(number)[2:]


def own_id(text: str) -> int:
    """The order id in a client id, also of an order canceled to be replaced; 0 when it is not one of ours."""
    return order_id("tc" + text[2:] if text.startswith(_AMEND_PREFIX) else text)


class Grid:
    """Ticks and lots of one instrument as the decimal text that the venue takes."""

    def __init__(self, instrument: Instrument) -> None:
        self._px = scale(instrument.tick_size)
        self._qty = scale(instrument.lot_size)

    def px(self, ticks: int) -> str:
        """A price."""
        return _text(ticks, *self._px)

    def qty(self, lots: int) -> str:
        """A size."""
        return _text(lots, *self._qty)


def scale(step: Decimal) -> tuple[int, int]:
    """A step of a grid as (num, places): num / 10**places."""
    places = max(0, -int(step.normalize().as_tuple().exponent))
    return int(step.scaleb(places)), places


def _text(steps: int, num: int, places: int) -> str:
    if places == 0:
        return str(steps * num)
    whole, part = divmod(steps * num, 10**places)
    return f"{whole}.{part:0{places}d}"


def new_order(c: Any, symbol: str, grid: Grid, is_spot: bool, now_ns: int) -> Params | int:
    """Parameters of a new order, or a reason. c: a COMMAND row as a tuple of Python numbers by name."""
    kind, tif = c.type, c.tif
    if kind == TRAILING or (not is_spot and kind in (STOP, STOP_LIMIT, ICEBERG)):
        return reasons.VENUE_UNSUPPORTED
    params: Params = {"symbol": symbol, "side": "BUY" if c.side == BUY else "SELL", "quantity": grid.qty(c.qty)}
    if kind in (LIMIT, ICEBERG, STOP_LIMIT):
        if tif == GTD and (is_spot or kind != LIMIT or c.expire_ns < now_ns + _GTD_LEAST_NS):
            return reasons.VENUE_UNSUPPORTED
        if kind != LIMIT and tif != GTC:
            return reasons.VENUE_UNSUPPORTED
        params["price"] = grid.px(c.px)
        params["type"] = "STOP_LOSS_LIMIT" if kind == STOP_LIMIT else "LIMIT"
        if tif == GTX and is_spot:
            params["type"] = "LIMIT_MAKER"
        else:
            params["timeInForce"] = _TIFS[tif]
        if tif == GTD:
            # Whole seconds; rounded up, so that it never ends before it was meant to.
            params["goodTillDate"] = -(-c.expire_ns // 1_000_000_000) * 1000
        if kind == ICEBERG:
            params["icebergQty"] = grid.qty(c.arg)
    else:
        if tif in (FOK, GTD, GTX):
            return reasons.VENUE_UNSUPPORTED
        params["type"] = "MARKET" if kind == MARKET else "STOP_LOSS"
    if kind in (STOP, STOP_LIMIT):
        params["stopPrice"] = grid.px(c.arg)
    if c.flags & REDUCE_ONLY:
        if is_spot:
            # A spot account has nothing to buy back; a sale can only reduce.
            if c.side == BUY:
                return reasons.VENUE_REDUCE_ONLY
        else:
            params["reduceOnly"] = "true"
    params["newClientOrderId"] = client_id(c.id)
    params["newOrderRespType"] = "ACK"
    return params


def cancel(number: int, symbol: str) -> Params:
    """Parameters of a cancel."""
    return {"symbol": symbol, "origClientOrderId": client_id(number)}


def linked_orders(commands: np.ndarray) -> np.ndarray | None:
    """(n,) bool: which of (n,) COMMAND are new and hung on another, or paired, by a LINK beside them. None: no LINK."""
    links = commands[commands["kind"] == LINK]
    if not len(links):
        return None
    ids = np.concatenate([links["id"], links["arg"][links["flags"] & OCO != 0]])
    found: np.ndarray = (commands["kind"] == NEW) & np.isin(commands["id"], ids)
    return found


def how_to_amend(c: Any, order: Any, rules: Any, is_spot: bool, replaces: bool) -> tuple[str, int, int]:
    """The method that amends an order, lots of it that had traded as the sender knew it, and a reason or 0.

    c: an AMEND. order: LiveOrder. rules: SymbolRules or None. replaces: the instrument says so. What filled unheard by
    the sender counts against the new size. Limits count on spot's part (`orders.table.order_amend_adds`): only an order
    with fills may trade beside its successor, and only where `replaces`; one that only gets smaller never does; and
    nobody replaces an order whose fills it has not heard of.
    """
    filled = order.qty - c.arg if c.arg else order.filled
    if not is_spot:
        return "order.modify", filled, 0
    smaller = c.px == order.px and c.qty < (c.arg or order.left)
    if smaller and rules is not None and rules.can_amend:
        return "order.amend.keepPriority", filled, 0
    reason = 0
    if (rules is not None and not rules.can_replace) or not order.is_plain or (filled and (smaller or not replaces)):
        reason = reasons.VENUE_UNSUPPORTED
    elif c.arg > order.left:
        reason = reasons.FILLED_MEANWHILE
    return "order.cancelReplace", filled, reason


def replace_order(
    number: int, symbol: str, grid: Grid, is_buy: bool, is_maker: bool, px: int, left: int, filled: int, how: str
) -> Params:
    """Parameters of an amend to price `px` ticks and `left` lots, `filled` lots having traded. how: the method.

    order.modify (futures) and order.amend.keepPriority (spot, smaller at the same price) state the whole size; spot's
    order.cancelReplace makes a new order of what is left, under the same client id.
    """
    side = "BUY" if is_buy else "SELL"
    if how == "order.modify":
        return {
            "symbol": symbol, "side": side, "origClientOrderId": client_id(number), "price": grid.px(px),
            "quantity": grid.qty(filled + left),
        }  # fmt: skip
    if how == "order.amend.keepPriority":
        mine = client_id(number)
        return {
            "symbol": symbol, "origClientOrderId": mine, "newClientOrderId": mine, "newQty": grid.qty(filled + left),
        }  # fmt: skip
    params: Params = {
        "symbol": symbol, "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrigClientOrderId": client_id(number),
        "cancelNewClientOrderId": amend_id(number), "newClientOrderId": client_id(number), "side": side,
        "price": grid.px(px), "quantity": grid.qty(left), "newOrderRespType": "ACK",
    }  # fmt: skip
    if filled == 0:
        # What fills while this is on its way would be traded beyond the new order's whole size: then nothing is done.
        params["cancelRestrictions"] = "ONLY_NEW"
    if is_maker:
        return params | {"type": "LIMIT_MAKER"}
    return params | {"type": "LIMIT", "timeInForce": "GTC"}
