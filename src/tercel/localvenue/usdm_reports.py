"""What a USD-M venue says about orders, trades, positions and balances: answers and events.

Field names and meanings: Binance USD-M futures API, "Trade", "Account" and "User Data Streams" (developers.binance.com,
read November 2026). Only data to plain values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tercel.localvenue.accounts import Account
from tercel.localvenue.markets import AccountTrade, Market
from tercel.localvenue.numbers import ZERO as _ZERO
from tercel.localvenue.numbers import text_e8
from tercel.localvenue.orders import STP_NAMES, Order
from tercel.localvenue.usdm_desk import Position, UsdmDesk

__all__ = [
    "account_update",
    "balance_rows",
    "new_order_body",
    "order_body",
    "order_update",
    "position_rows",
    "trade_body",
]


def _mean(order: Order) -> str:
    """Mean price of what traded."""
    listed = order.listed
    return text_e8(order.quote * listed.tick_e8 // (order.filled * listed.value_e8)) if order.filled else _ZERO


def order_update(order: Order, what: str, now_ms: int, execution_id: int, trade: AccountTrade | None) -> dict[str, Any]:
    """The ORDER_TRADE_UPDATE event."""
    listed = order.listed
    kind = {"REPLACED": "AMENDMENT", "TRADE_PREVENTION": "EXPIRED"}.get(what, what)
    body: dict[str, Any] = {
        "s": listed.name, "c": order.client_id, "S": "BUY" if order.side > 0 else "SELL", "o": order.type,
        "f": order.tif, "q": listed.qty(order.lots), "p": listed.price(order.px), "ap": _mean(order), "sp": _ZERO,
        "x": kind, "X": order.status, "i": order.number, "l": _ZERO, "z": listed.qty(order.filled), "L": _ZERO,
        "N": listed.quote, "n": _ZERO, "T": order.updated_ms, "t": 0, "b": _ZERO, "a": _ZERO, "m": False,
        "R": order.is_reduce_only, "wt": "CONTRACT_PRICE", "ot": order.type, "ps": "BOTH", "cp": False, "rp": _ZERO,
        "pP": False, "si": 0, "ss": 0, "V": STP_NAMES[order.stp], "pm": "NONE", "gtd": 0,
    }  # fmt: skip
    if trade is not None:
        body["l"], body["L"], body["t"] = listed.qty(trade.lots), listed.price(trade.px), trade.id
        body["n"], body["N"], body["m"] = text_e8(trade.commission), trade.asset, trade.is_maker
        body["rp"] = text_e8(trade.realized)
    return {"e": "ORDER_TRADE_UPDATE", "E": now_ms, "T": order.updated_ms, "o": body}


def _entry(position: Position, market: Market) -> str:
    listed = market.listed
    n = abs(position.lots)
    return text_e8(position.cost * listed.tick_e8 // (n * listed.value_e8)) if n else _ZERO


def account_update(account: Account, desk: UsdmDesk, assets: Sequence[str], now_ms: int) -> dict[str, Any]:
    """The ACCOUNT_UPDATE event: wallets and the positions of the symbols that settle in them."""
    markets = desk.markets
    wallets = [{"a": a, "wb": text_e8(account.balance(a)[0]), "cw": text_e8(account.balance(a)[0]), "bc": "0"}
               for a in assets if a in {m.listed.quote for m in markets.values()}]  # fmt: skip
    positions = []
    for symbol, position in account.positions.items():
        market = markets[symbol]
        positions.append({
            "s": symbol, "pa": market.listed.qty(position.lots), "ep": _entry(position, market),
            "bep": _entry(position, market), "cr": text_e8(position.realized),
            "up": text_e8(position.profit_at(desk.mark(market), market.listed.value_e8)), "mt": "cross", "iw": "0",
            "ps": "BOTH",
        })  # fmt: skip
    return {"e": "ACCOUNT_UPDATE", "E": now_ms, "T": now_ms, "a": {"m": "ORDER", "B": wallets, "P": positions}}


def order_body(order: Order) -> dict[str, Any]:
    """An order, in answers and queries."""
    listed = order.listed
    return {
        "orderId": order.number, "symbol": listed.name, "status": order.status, "clientOrderId": order.client_id,
        "price": listed.price(order.px), "avgPrice": _mean(order), "origQty": listed.qty(order.lots),
        "executedQty": listed.qty(order.filled), "cumQty": listed.qty(order.filled),
        "cumQuote": text_e8(order.quote), "timeInForce": order.tif, "type": order.type, "origType": order.type,
        "reduceOnly": order.is_reduce_only, "closePosition": False, "side": "BUY" if order.side > 0 else "SELL",
        "positionSide": "BOTH", "stopPrice": _ZERO, "workingType": "CONTRACT_PRICE", "priceProtect": False,
        "priceMatch": "NONE", "selfTradePreventionMode": STP_NAMES[order.stp], "goodTillDate": 0,
        "time": order.created_ms, "updateTime": order.updated_ms,
    }  # fmt: skip


def new_order_body(order: Order, response: str) -> dict[str, Any]:
    """The answer to a new order: ACK as it came in, RESULT as it is now."""
    body = order_body(order)
    if response == "ACK":
        body.update(status="NEW", executedQty=_ZERO, cumQty=_ZERO, cumQuote=_ZERO, avgPrice="0.00")
    return body


def trade_body(trade: AccountTrade) -> dict[str, Any]:
    """One of the account's trades."""
    order, listed = trade.order, trade.order.listed
    return {
        "symbol": listed.name, "id": trade.id, "orderId": order.number, "side": "BUY" if order.side > 0 else "SELL",
        "price": listed.price(trade.px), "qty": listed.qty(trade.lots),
        "quoteQty": text_e8(trade.px * trade.lots * listed.value_e8), "realizedPnl": text_e8(trade.realized),
        "commission": text_e8(trade.commission), "commissionAsset": trade.asset, "time": trade.time_ms,
        "positionSide": "BOTH", "buyer": order.side > 0, "maker": trade.is_maker,
    }  # fmt: skip


def position_rows(account: Account, markets: dict[str, Market], desk: UsdmDesk) -> list[dict[str, Any]]:
    """Positions as positionRisk tells them: every symbol that was ever traded."""
    rows = []
    for symbol, position in account.positions.items():
        market = markets[symbol]
        mark, value = desk.mark(market), market.listed.value_e8
        margin = text_e8(position.cost // position.leverage)
        rows.append({
            "symbol": symbol, "positionSide": "BOTH", "positionAmt": market.listed.qty(position.lots),
            "entryPrice": _entry(position, market), "breakEvenPrice": _entry(position, market),
            "markPrice": market.listed.price(mark), "unRealizedProfit": text_e8(position.profit_at(mark, value)),
            "liquidationPrice": "0", "isolatedMargin": "0", "isolatedWallet": "0", "marginType": "cross",
            "leverage": str(position.leverage), "maxNotionalValue": "1000000000",
            "notional": text_e8(position.lots * mark * value), "marginAsset": market.listed.quote,
            "initialMargin": margin, "positionInitialMargin": margin, "maintMargin": "0", "openOrderInitialMargin": "0",
            "adl": 0, "updateTime": position.updated_ms,
        })  # fmt: skip
    return rows


def balance_rows(account: Account, markets: dict[str, Market], desk: UsdmDesk) -> list[dict[str, Any]]:
    """Wallets as balance tells them."""
    rows = []
    for asset in dict.fromkeys(market.listed.quote for market in markets.values()):
        wallet = account.balance(asset)[0]
        profit, held, ordered = desk.margin_used(account, markets)
        free = text_e8(max(0, wallet + profit - held - ordered))
        rows.append({
            "accountAlias": f"local{account.number}", "asset": asset, "balance": text_e8(wallet),
            "crossWalletBalance": text_e8(wallet), "crossUnPnl": text_e8(profit), "availableBalance": free,
            "maxWithdrawAmount": free, "marginAvailable": True, "updateTime": account.updated_ms,
        })  # fmt: skip
    return rows
