"""What a USD-M venue can be asked beyond what spot can: orders, positions, balances, listen keys of futures.

An operation takes a `Call` and returns plain values, or raises `RefusedError`; `usdm_routes` says how it is reached.
"""

from __future__ import annotations

from typing import Any

from tercel.localvenue import usdm_reports as reports
from tercel.localvenue.calls import Call, LostAnswerError
from tercel.localvenue.numbers import text_e8
from tercel.localvenue.order_operations import wanted_order
from tercel.localvenue.orders import SIDES, required
from tercel.localvenue.refusals import BAD_LISTEN_KEY, CANCEL_REJECTED, NO_SUCH_ORDER, TIMEOUT, RefusedError, missing
from tercel.localvenue.usdm_desk import UsdmDesk, read_usdm_order

__all__ = [
    "account_status", "all_orders", "balances", "cancel", "cancel_all", "exchange_info", "keep_listen_key", "modify",
    "open_orders", "order_status", "place", "place_test", "positions", "set_leverage", "start_listen_key",
    "stop_listen_key", "user_trades",
]  # fmt: skip


def _desk(call: Call) -> UsdmDesk:
    desk = call.venue.desk
    assert isinstance(desk, UsdmDesk)
    return desk


def exchange_info(call: Call) -> Any:
    """Rate limits and contracts with their filters."""
    venue = call.venue
    symbols = []
    for market in call.markets():
        listed = market.listed
        stated = {each["filterType"]: each for each in listed.filters(venue.faults.lie_filters)}
        up, down = (
            stated["PERCENT_PRICE_BY_SIDE"]["bidMultiplierUp"],
            stated["PERCENT_PRICE_BY_SIDE"]["bidMultiplierDown"],
        )
        symbols.append({
            "symbol": listed.name, "pair": listed.name, "contractType": "PERPETUAL", "deliveryDate": 4133404800000,
            "onboardDate": 0, "status": "TRADING", "baseAsset": listed.base, "quoteAsset": listed.quote,
            "marginAsset": listed.quote, "pricePrecision": 8, "quantityPrecision": 8, "baseAssetPrecision": 8,
            "quotePrecision": 8, "underlyingType": "COIN", "underlyingSubType": [], "triggerProtect": "0.05",
            "liquidationFee": "0", "marketTakeBound": "0.05", "maxMoveOrderLimit": 10000,
            "maintMarginPercent": "0", "requiredMarginPercent": "5",
            "orderTypes": ["LIMIT", "MARKET"], "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            "filters": [
                stated["PRICE_FILTER"], stated["LOT_SIZE"], stated["MARKET_LOT_SIZE"],
                {"filterType": "MAX_NUM_ORDERS", "limit": stated["MAX_NUM_ORDERS"]["maxNumOrders"]},
                {"filterType": "MIN_NOTIONAL", "notional": stated["NOTIONAL"]["minNotional"]},
                {"filterType": "PERCENT_PRICE", "multiplierUp": up, "multiplierDown": down, "multiplierDecimal": "4"},
            ],
        })  # fmt: skip
    assets = dict.fromkeys(market.listed.quote for market in venue.markets.values())
    return {
        "timezone": "UTC", "serverTime": call.now_ms, "futuresType": "U_MARGINED",
        "rateLimits": venue.limits.rules.stated(), "exchangeFilters": [],
        "assets": [{"asset": a, "marginAvailable": True, "autoAssetExchange": "0"} for a in assets],
        "symbols": symbols,
    }  # fmt: skip


def place(call: Call) -> Any:
    """A new order."""
    market, venue, account = call.market(), call.venue, call.account
    new = read_usdm_order(call.params, market.listed, venue.rules.default_stp)
    venue.limits.use_order(account.number, call.now_ms)
    faults = venue.faults
    if faults.reject_orders > 0:
        faults.reject_orders -= 1
        raise RefusedError(faults.reject_code, faults.reject_text)
    order = venue.desk.place(account, market, new, call.now_ns)
    if faults.lose_answers > 0:
        faults.lose_answers -= 1
        text = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
        raise LostAnswerError(TIMEOUT, text)
    body = reports.order_body(order)
    if new.response == "ACK":
        body.update(status="NEW", executedQty=text_e8(0), cumQty=text_e8(0), cumQuote=text_e8(0), avgPrice="0.00")
    return body


def place_test(call: Call) -> Any:
    """A new order that is only checked."""
    market = call.market()
    new = read_usdm_order(call.params, market.listed, call.venue.rules.default_stp)
    call.venue.desk.check(call.account, market, new, call.now_ms)
    return {}


def order_status(call: Call) -> Any:
    """One order."""
    return reports.order_body(wanted_order(call, NO_SUCH_ORDER))


def cancel(call: Call) -> Any:
    """End an order."""
    order = wanted_order(call, CANCEL_REJECTED)
    return reports.order_body(call.venue.desk.cancel(order, call.market(), call.now_ns))


def cancel_all(call: Call) -> Any:
    """End all open orders of a symbol."""
    market, desk = call.market(), call.venue.desk
    for order in desk.open_orders(call.account, market.listed.name):
        if order.is_open:
            desk.cancel(order, market, call.now_ns)
    return {"code": 200, "msg": "The operation of cancel all open order is done."}


def modify(call: Call) -> Any:
    """Another price and quantity for an open limit order."""
    order, market = wanted_order(call, NO_SUCH_ORDER), call.market()
    if SIDES.get(required(call.params, "side")) != order.side:
        raise missing("side")
    px = market.listed.read_price(call.text("price"))
    lots = market.listed.read_qty(call.text("quantity"))
    return reports.order_body(_desk(call).modify(order, market, px, lots, call.now_ns))


def open_orders(call: Call) -> Any:
    """Open orders of a symbol, or of all."""
    symbol = call.market().listed.name if call.params.get("symbol") is not None else None
    return [reports.order_body(order) for order in call.venue.desk.open_orders(call.account, symbol)]


def all_orders(call: Call) -> Any:
    """Orders of a symbol, oldest first."""
    symbol, n, account = call.market().listed.name, call.limit(500, 1000), call.account
    first_id, start = call.number("orderId"), call.number("startTime", 0) or 0
    end = call.number("endTime", 1 << 61) or 0
    found = [
        order for order in call.venue.desk.orders.values()
        if order.account is account and order.listed.name == symbol and start <= order.created_ms <= end
        and (first_id is None or order.number >= first_id)
    ]  # fmt: skip
    is_forward = first_id is not None or call.params.get("startTime") is not None
    return [reports.order_body(order) for order in (found[:n] if is_forward else found[-n:])]


def user_trades(call: Call) -> Any:
    """The account's trades of a symbol, oldest first."""
    symbol, n, account = call.market().listed.name, call.limit(500, 1000), call.account
    order_id, from_id = call.number("orderId"), call.number("fromId")
    start, end = call.number("startTime", 0) or 0, call.number("endTime", 1 << 61) or 0
    found = [
        trade for trade in call.venue.desk.trades
        if trade.order.account is account and trade.order.listed.name == symbol and start <= trade.time_ms <= end
        and (order_id is None or trade.order.number == order_id) and (from_id is None or trade.id >= from_id)
    ]  # fmt: skip
    is_forward = from_id is not None or call.params.get("startTime") is not None
    return [reports.trade_body(trade) for trade in (found[:n] if is_forward else found[-n:])]


def positions(call: Call) -> Any:
    """Positions of a symbol, or of all that were ever traded."""
    rows = reports.position_rows(call.account, call.venue.markets, _desk(call))
    symbol = call.params.get("symbol")
    return [row for row in rows if symbol in (None, row["symbol"])]


def balances(call: Call) -> Any:
    """Wallets."""
    return reports.balance_rows(call.account, call.venue.markets, _desk(call))


def account_status(call: Call) -> Any:
    """Wallets, margin and positions in one."""
    desk, markets = _desk(call), call.venue.markets
    profit, held, ordered = desk.margin_used(call.account, markets)
    wallets = reports.balance_rows(call.account, markets, desk)
    wallet = sum(call.account.balance(row["asset"])[0] for row in wallets)
    free = text_e8(max(0, wallet + profit - held - ordered))
    assets = [
        {"asset": row["asset"], "walletBalance": row["balance"], "unrealizedProfit": row["crossUnPnl"],
         "marginBalance": text_e8(wallet + profit), "availableBalance": row["availableBalance"], "maintMargin": "0",
         "initialMargin": text_e8(held + ordered), "positionInitialMargin": text_e8(held),
         "openOrderInitialMargin": text_e8(ordered), "crossWalletBalance": row["balance"],
         "crossUnPnl": row["crossUnPnl"], "maxWithdrawAmount": free, "marginAvailable": True,
         "updateTime": row["updateTime"]}
        for row in wallets
    ]  # fmt: skip
    held_rows = [
        {**row, "unrealizedProfit": row["unRealizedProfit"], "isolated": False}
        for row in reports.position_rows(call.account, markets, desk)
    ]
    assert call.key is not None
    return {
        "canTrade": call.key.can_trade, "canDeposit": False, "canWithdraw": False, "feeTier": 0,
        "updateTime": call.account.updated_ms, "multiAssetsMargin": False,
        "totalInitialMargin": text_e8(held + ordered), "totalMaintMargin": "0",
        "totalWalletBalance": text_e8(wallet), "totalUnrealizedProfit": text_e8(profit),
        "totalMarginBalance": text_e8(wallet + profit), "totalPositionInitialMargin": text_e8(held),
        "totalOpenOrderInitialMargin": text_e8(ordered), "totalCrossWalletBalance": text_e8(wallet),
        "totalCrossUnPnl": text_e8(profit), "availableBalance": free, "maxWithdrawAmount": free, "assets": assets,
        "positions": held_rows,
    }  # fmt: skip


def set_leverage(call: Call) -> Any:
    """The leverage of a symbol, 1 to 125."""
    market = call.market()
    leverage = call.number("leverage", least=1, most=125)
    if leverage is None:
        raise missing("leverage")
    _desk(call).position(call.account, market.listed.name).leverage = leverage
    return {"symbol": market.listed.name, "leverage": leverage, "maxNotionalValue": "1000000000"}


def start_listen_key(call: Call) -> Any:
    """A listen key."""
    return {"listenKey": call.venue.users.start(call.account.number, call.now_ms)}


def _own_listen_key(call: Call) -> str:
    key = call.venue.users.key_of(call.account.number, call.now_ms)
    if key is None:
        raise RefusedError(BAD_LISTEN_KEY, "This listenKey does not exist.")
    return key


def keep_listen_key(call: Call) -> Any:
    """Another hour for the account's listen key."""
    key = _own_listen_key(call)
    call.venue.users.keep(key, call.now_ms)
    return {"listenKey": key}


def stop_listen_key(call: Call) -> Any:
    """The end of the account's listen key."""
    for conn in call.venue.users.stop(_own_listen_key(call), call.now_ms):
        call.venue.close(conn)
    return {}
