"""The two products a venue can be, spot and USD-M futures, and in one place what differs between them.

What both do alike takes these pieces from `venue.product`: how an order is read and told, whose desk it goes to, which
paths lead where. Called by `venue`; the operations reach it through their call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tercel.localvenue import reports, usdm_reports
from tercel.localvenue.accounts import Account
from tercel.localvenue.desk import Desk
from tercel.localvenue.markets import AccountTrade
from tercel.localvenue.orders import NewOrder, Order, read_new_order
from tercel.localvenue.refusals import RefusedError, filter_failure, usdm_filter_failure
from tercel.localvenue.routes import METHODS, PATHS, Route
from tercel.localvenue.symbols import Listed
from tercel.localvenue.usdm_desk import UsdmDesk, read_usdm_order
from tercel.localvenue.usdm_routes import USDM_METHODS, USDM_PATHS

__all__ = ["PRODUCTS", "Product"]


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """desk: the class of its order desk. refuse_filter: its words for a filter that an order fails, and the cause.

    read_order: an order from parameters, symbol and default self-trade prevention. order_body, new_order_body (with
    ACK, RESULT or FULL), trade_body: answers. order_event, balance_event: events of the user data stream, for an order
    with what happened, the time, the report's number and the trade, and for an account with its desk, the assets and
    the time.
    """

    ws_api_path: str
    paths: Mapping[tuple[str, str], Route]
    methods: Mapping[str, Route]
    desk: type[Desk]
    refuse_filter: Callable[[str, str], RefusedError]
    read_order: Callable[[Mapping[str, Any], Listed, int], NewOrder]
    order_body: Callable[[Order], dict[str, Any]]
    new_order_body: Callable[[Order, str], dict[str, Any]]
    trade_body: Callable[[AccountTrade], dict[str, Any]]
    order_event: Callable[[Order, str, int, int, AccountTrade | None], dict[str, Any]]
    balance_event: Callable[[Account, Any, Sequence[str], int], dict[str, Any]]


PRODUCTS = {
    "spot": Product(
        ws_api_path="/ws-api/v3", paths=PATHS, methods=METHODS, desk=Desk, refuse_filter=filter_failure,
        read_order=read_new_order,
        order_body=reports.order_body, new_order_body=reports.new_order_body, trade_body=reports.trade_body,
        order_event=reports.execution_report, balance_event=reports.balance_event,
    ),
    "usdm": Product(
        ws_api_path="/ws-fapi/v1", paths=USDM_PATHS, methods=USDM_METHODS, desk=UsdmDesk,
        refuse_filter=usdm_filter_failure, read_order=read_usdm_order,
        order_body=usdm_reports.order_body, new_order_body=usdm_reports.new_order_body,
        trade_body=usdm_reports.trade_body, order_event=usdm_reports.order_update,
        balance_event=usdm_reports.account_update,
    ),
}  # fmt: skip
