"""What spot says about orders, trades and balances: answers of requests and events of the user data stream.

Field names and meanings: Binance spot API, "Trading endpoints" and "User Data Streams" (developers.binance.com, read
November 2026). Only data to plain values; who is told is `users`' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tercel.localvenue.accounts import Account
from tercel.localvenue.markets import AccountTrade
from tercel.localvenue.numbers import E8, text_e8
from tercel.localvenue.numbers import ZERO as _ZERO
from tercel.localvenue.orders import STP_NAMES, Order

__all__ = [
    "account_body", "balance_event", "cancel_body", "execution_report", "new_order_body", "order_body", "trade_body",
]  # fmt: skip


def execution_report(
    order: Order, what: str, now_ms: int, execution_id: int, trade: AccountTrade | None
) -> dict[str, Any]:
    """The executionReport event."""
    listed = order.listed
    client_id, original = order.client_id, ""
    if what == "CANCELED":
        client_id, original = order.cancel_id, order.client_id
    elif what == "REPLACED":
        original = order.replaces
    report: dict[str, Any] = {
        "e": "executionReport", "E": now_ms, "s": listed.name, "c": client_id,
        "S": "BUY" if order.side > 0 else "SELL", "o": order.type, "f": order.tif, "q": listed.qty(order.lots),
        "p": listed.price(order.px), "P": listed.price(order.stop_px), "F": _ZERO, "g": -1, "C": original,
        "x": what, "X": order.status, "r": "NONE", "i": order.number,
        "l": _ZERO, "z": listed.qty(order.filled), "L": _ZERO, "n": "0", "N": None, "T": order.updated_ms, "t": -1,
        "I": execution_id, "w": order.is_open and not order.is_waiting, "m": False, "M": False,
        "O": order.created_ms, "Z": text_e8(order.quote), "Y": _ZERO, "Q": text_e8(order.quote_e8),
        "V": STP_NAMES[order.stp],
    }  # fmt: skip
    if not order.is_waiting:
        report["W"] = order.working_ms
    if trade is not None:
        report["l"], report["L"] = listed.qty(trade.lots), listed.price(trade.px)
        report["n"], report["N"] = text_e8(trade.commission), trade.asset
        report["t"], report["m"] = trade.id, trade.is_maker
        report["Y"] = text_e8(trade.px * trade.lots * listed.value_e8)
    return report


def balance_event(account: Account, desk: Any, assets: Sequence[str], now_ms: int) -> dict[str, Any]:
    """The outboundAccountPosition event of assets that may have changed."""
    rows = [{"a": a, "f": text_e8(account.balances[a][0]), "l": text_e8(account.balances[a][1])} for a in assets]
    return {"e": "outboundAccountPosition", "E": now_ms, "u": now_ms, "B": rows}


def _sums(order: Order) -> dict[str, Any]:
    listed = order.listed
    return {
        "price": listed.price(order.px), "origQty": listed.qty(order.lots), "executedQty": listed.qty(order.filled),
        "origQuoteOrderQty": text_e8(order.quote_e8), "cummulativeQuoteQty": text_e8(order.quote),
        "status": order.status, "timeInForce": order.tif, "type": order.type,
        "side": "BUY" if order.side > 0 else "SELL",
    }  # fmt: skip


def new_order_body(order: Order, response: str) -> dict[str, Any]:
    """The answer to a new order: ACK, RESULT or FULL."""
    body: dict[str, Any] = {
        "symbol": order.listed.name, "orderId": order.number, "orderListId": -1, "clientOrderId": order.client_id,
        "transactTime": order.updated_ms,
    }  # fmt: skip
    if response == "ACK":
        return body
    body.update(_sums(order))
    if order.stop_px:
        body["stopPrice"] = order.listed.price(order.stop_px)
    body["workingTime"] = order.working_ms
    body["selfTradePreventionMode"] = STP_NAMES[order.stp]
    if response == "FULL":
        listed = order.listed
        body["fills"] = [
            {"price": listed.price(px), "qty": listed.qty(lots), "commission": text_e8(fee), "commissionAsset": asset,
             "tradeId": trade_id}
            for px, lots, fee, asset, trade_id in order.fills
        ]  # fmt: skip
    return body


def cancel_body(order: Order) -> dict[str, Any]:
    """The answer to a cancel."""
    body: dict[str, Any] = {
        "symbol": order.listed.name, "origClientOrderId": order.client_id, "orderId": order.number, "orderListId": -1,
        "clientOrderId": order.cancel_id, "transactTime": order.updated_ms, **_sums(order),
        "selfTradePreventionMode": STP_NAMES[order.stp],
    }  # fmt: skip
    if order.stop_px:
        body["stopPrice"] = order.listed.price(order.stop_px)
    return body


def order_body(order: Order) -> dict[str, Any]:
    """An order as queries tell it."""
    return {
        "symbol": order.listed.name, "orderId": order.number, "orderListId": -1, "clientOrderId": order.client_id,
        **_sums(order), "stopPrice": order.listed.price(order.stop_px), "icebergQty": _ZERO,
        "time": order.created_ms, "updateTime": order.updated_ms, "isWorking": not order.is_waiting,
        "workingTime": order.working_ms, "selfTradePreventionMode": STP_NAMES[order.stp],
    }  # fmt: skip


def trade_body(trade: AccountTrade) -> dict[str, Any]:
    """One of the account's trades."""
    listed = trade.order.listed
    return {
        "symbol": listed.name, "id": trade.id, "orderId": trade.order.number, "orderListId": -1,
        "price": listed.price(trade.px), "qty": listed.qty(trade.lots),
        "quoteQty": text_e8(trade.px * trade.lots * listed.value_e8), "commission": text_e8(trade.commission),
        "commissionAsset": trade.asset, "time": trade.time_ms, "isBuyer": trade.order.side > 0,
        "isMaker": trade.is_maker, "isBestMatch": True,
    }  # fmt: skip


def account_body(account: Account, can_trade: bool, omit_zero: bool) -> dict[str, Any]:
    """The account with its balances."""
    rates = {"maker": text_e8(account.maker), "taker": text_e8(account.taker), "buyer": _ZERO, "seller": _ZERO}
    return {
        "makerCommission": account.maker * 10_000 // E8, "takerCommission": account.taker * 10_000 // E8,
        "buyerCommission": 0, "sellerCommission": 0, "commissionRates": rates, "canTrade": can_trade,
        "canWithdraw": False, "canDeposit": False, "brokered": False, "requireSelfTradePrevention": False,
        "preventSor": False, "updateTime": account.updated_ms, "accountType": "SPOT",
        "balances": [
            {"asset": asset, "free": text_e8(free), "locked": text_e8(locked)}
            for asset, (free, locked) in account.balances.items()
            if free or locked or not omit_zero
        ],
        "permissions": ["SPOT"], "uid": account.number,
    }  # fmt: skip
