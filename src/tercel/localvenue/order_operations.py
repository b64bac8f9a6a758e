"""What can be asked about orders: new ones, cancels, replacements, amends, and queries.

Of both products `place`, `place_test`, `order_status`, `open_orders` and `all_orders`; of spot the rest.

An operation takes a `Call` and returns plain values, or raises `RefusedError`; `routes` says how it is reached.
"""

from __future__ import annotations

from typing import Any

from tercel.localvenue import reports
from tercel.localvenue.calls import Call, LostAnswerError
from tercel.localvenue.numbers import text_e8
from tercel.localvenue.orders import STP_NAMES, Order, check_client_id, read_new_order
from tercel.localvenue.refusals import (
    BAD_PARAM,
    CANCEL_REJECTED,
    NO_SUCH_ORDER,
    REPLACE_FAILED,
    REPLACE_PARTIAL,
    TIMEOUT,
    RefusedError,
    missing,
)

__all__ = [
    "all_orders", "amend_keep_priority", "cancel", "cancel_all", "cancel_replace", "open_orders", "order_status",
    "place", "place_test", "wanted_order",
]  # fmt: skip


def place(call: Call) -> Any:
    """A new order."""
    market, venue, account = call.market(), call.venue, call.account
    new = venue.product.read_order(call.params, market.listed, venue.rules.default_stp)
    venue.limits.use_order(account.number, call.now_ms)
    faults = venue.faults
    try:
        if faults.reject_orders > 0:
            faults.reject_orders -= 1
            raise RefusedError(faults.reject_code, faults.reject_text)
        order = venue.desk.place(account, market, new, call.now_ns)
    except RefusedError:
        venue.limits.uncount_order(account.number, call.now_ms)
        raise
    if faults.lose_answers > 0:
        faults.lose_answers -= 1
        text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        raise LostAnswerError(TIMEOUT, text)
    return venue.product.new_order_body(order, new.response)


def place_test(call: Call) -> Any:
    """A new order that is only checked."""
    market, venue = call.market(), call.venue
    new = venue.product.read_order(call.params, market.listed, venue.rules.default_stp)
    venue.desk.check(call.account, market, new, call.now_ms)
    return {}


def wanted_order(call: Call, code: int, id_name: str = "orderId", client_name: str = "origClientOrderId") -> Order:
    """The order that a request names by number or client id, else RefusedError."""
    symbol = call.market().listed.name
    order_id, client_id = call.number(id_name), call.params.get(client_name)
    if order_id is None and client_id is None:
        raise missing(f"{client_name}' or '{id_name}")
    client = None if client_id is None else str(client_id)
    return call.venue.desk.find(call.account, symbol, order_id, client, code)


def order_status(call: Call) -> Any:
    """One order."""
    return call.venue.product.order_body(wanted_order(call, NO_SUCH_ORDER))


def _new_client_id(call: Call, name: str = "newClientOrderId") -> str:
    text = call.params.get(name)
    return "" if text is None else check_client_id(str(text), name)


def cancel(call: Call) -> Any:
    """End an order."""
    order = wanted_order(call, CANCEL_REJECTED)
    _check_restrictions(call, order)
    done = call.venue.desk.cancel(order, call.market(), call.now_ns, _new_client_id(call))
    return reports.cancel_body(done)


def _check_restrictions(call: Call, order: Order) -> None:
    wanted = call.params.get("cancelRestrictions")
    if wanted is None:
        return
    allowed = {"ONLY_NEW": "NEW", "ONLY_PARTIALLY_FILLED": "PARTIALLY_FILLED"}
    if wanted not in allowed:
        raise RefusedError(BAD_PARAM, "Data sent for parameter 'cancelRestrictions' is not valid.")
    if order.status != allowed[str(wanted)]:
        raise RefusedError(CANCEL_REJECTED, "Order was not canceled due to cancel restrictions.")


def cancel_all(call: Call) -> Any:
    """End all open orders of a symbol."""
    market, desk = call.market(), call.venue.desk
    orders = desk.open_orders(call.account, market.listed.name)
    if not orders:
        raise RefusedError(CANCEL_REJECTED, "Unknown order sent.")
    return [reports.cancel_body(desk.cancel(order, market, call.now_ns)) for order in orders if order.is_open]


def cancel_replace(call: Call) -> Any:
    """End an order and place another, in one request."""
    mode = call.text("cancelReplaceMode")
    if mode not in ("STOP_ON_FAILURE", "ALLOW_FAILURE"):
        raise RefusedError(BAD_PARAM, "Data sent for parameter 'cancelReplaceMode' is not valid.")
    market = call.market()
    read_new_order(call.params, market.listed, call.venue.rules.default_stp)
    answer: dict[str, Any] = {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS"}
    try:
        order = wanted_order(call, CANCEL_REJECTED, "cancelOrderId", "cancelOrigClientOrderId")
        _check_restrictions(call, order)
        done = call.venue.desk.cancel(order, market, call.now_ns, _new_client_id(call, "cancelNewClientOrderId"))
        answer["cancelResponse"] = reports.cancel_body(done)
    except RefusedError as refused:
        answer["cancelResult"], answer["cancelResponse"] = "FAILURE", refused.body()
        if mode == "STOP_ON_FAILURE":
            answer["newOrderResult"], answer["newOrderResponse"] = "NOT_ATTEMPTED", None
            raise RefusedError(REPLACE_FAILED, "Order cancel-replace failed.", data=answer) from None
    try:
        answer["newOrderResponse"] = place(call)
    except LostAnswerError:
        raise
    except RefusedError as refused:
        answer["newOrderResult"], answer["newOrderResponse"] = "FAILURE", refused.body()
    results = (answer["cancelResult"], answer["newOrderResult"])
    if results == ("SUCCESS", "SUCCESS"):
        return answer
    if "SUCCESS" in results:
        raise RefusedError(REPLACE_PARTIAL, "Order cancel-replace partially failed.", data=answer)
    raise RefusedError(REPLACE_FAILED, "Order cancel-replace failed.", data=answer)


def amend_keep_priority(call: Call) -> Any:
    """Make an order smaller without losing its place."""
    order, market = wanted_order(call, NO_SUCH_ORDER), call.market()
    lots = market.listed.read_qty(call.text("newQty"), "newQty")
    done = call.venue.desk.reduce(order, market, lots, call.now_ns, _new_client_id(call))
    listed = market.listed
    return {
        "transactTime": done.updated_ms, "executionId": call.venue.desk.n_executions, "amendedOrder": {
            "symbol": listed.name, "orderId": done.number, "orderListId": -1, "origClientOrderId": done.replaces,
            "clientOrderId": done.client_id, "price": listed.price(done.px), "qty": listed.qty(done.lots),
            "executedQty": listed.qty(done.filled), "preventedQty": "0.00000000",
            "cumulativeQuoteQty": text_e8(done.quote), "status": done.status, "timeInForce": done.tif,
            "type": done.type, "side": "BUY" if done.side > 0 else "SELL", "workingTime": done.working_ms,
            "selfTradePreventionMode": STP_NAMES[done.stp],
        },
    }  # fmt: skip


def open_orders(call: Call) -> Any:
    """Open orders of a symbol, or of all."""
    symbol = call.market().listed.name if call.params.get("symbol") is not None else None
    venue = call.venue
    return [venue.product.order_body(order) for order in venue.desk.open_orders(call.account, symbol)]


def all_orders(call: Call) -> Any:
    """Orders of a symbol, oldest first: from an id, within times, or the last ones."""
    symbol, account, venue = call.market().listed.name, call.account, call.venue
    first_id, (start, end) = call.number("orderId"), call.between()
    found = [
        order for order in venue.desk.orders.values()
        if order.account is account and order.listed.name == symbol and start <= order.created_ms <= end
        and (first_id is None or order.number >= first_id)
    ]  # fmt: skip
    return [venue.product.order_body(order) for order in call.page(found, 500, 1000, is_from=first_id is not None)]
