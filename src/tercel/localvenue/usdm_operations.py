"""What a USD-M venue can be asked beyond what spot can: orders, positions, balances, listen keys of futures.

An operation takes a `Call` and returns plain values, or raises `RefusedError`; `usdm_routes` says how it is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tercel.localvenue import usdm_reports as reports
from tercel.localvenue.calls import Call, LostAnswerError
from tercel.localvenue.numbers import text_e8
from tercel.localvenue.order_operations import place, wanted_order
from tercel.localvenue.orders import SIDES, required
from tercel.localvenue.refusals import (
    BAD_LISTEN_KEY,
    BAD_PARAM,
    CANCEL_REJECTED,
    NO_SUCH_ORDER,
    UNSUPPORTED,
    RefusedError,
    missing,
)
from tercel.localvenue.usdm_desk import UsdmDesk

__all__ = [
    "account_status", "assets_mode", "balances", "cancel", "cancel_all", "cancel_batch", "commission",
    "exchange_info", "keep_listen_key", "leverage_brackets", "modify", "place_batch", "position_mode", "positions",
    "premium_index", "set_leverage", "set_margin_type", "set_position_mode", "stop_listen_key",
]  # fmt: skip

LEVERAGE_MAX = 125
_FUNDING_MS = 8 * 3_600_000
_read_list = msgspec.json.Decoder(list[Any]).decode


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


def _each(call: Call, name: str, most: int, act: Callable[[Any], Any]) -> list[Any]:
    """What `act` answers for each value of a JSON list in parameter `name`; a refusal is the answer for its own."""
    try:
        wanted = _read_list(call.text(name))
    except msgspec.MsgspecError:
        raise RefusedError(BAD_PARAM, f"Data sent for parameter '{name}' is not valid.") from None
    if not 0 < len(wanted) <= most:
        raise RefusedError(-4082, f"Invalid number of batch operations: 1 to {most}.")
    answers = []
    for each in wanted:
        try:
            answers.append(act(each))
        except LostAnswerError:
            raise
        except RefusedError as refused:
            answers.append(refused.body())
    return answers


def place_batch(call: Call) -> Any:
    """Up to five new orders, one after the other; each has its own answer."""

    def act(params: Any) -> Any:
        if not isinstance(params, dict):
            raise RefusedError(BAD_PARAM, "Data sent for parameter 'batchOrders' is not valid.")
        return place(Call(call.venue, params, call.key, call.now_ns, call.conn))

    return _each(call, "batchOrders", 5, act)


def cancel_batch(call: Call) -> Any:
    """The end of up to ten orders of a symbol, by orderIdList or origClientOrderIdList."""
    by_id = call.params.get("orderIdList") is not None
    name, one = ("orderIdList", "orderId") if by_id else ("origClientOrderIdList", "origClientOrderId")
    symbol = call.market().listed.name

    def act(value: Any) -> Any:
        return cancel(Call(call.venue, {"symbol": symbol, one: value}, call.key, call.now_ns, call.conn))

    return _each(call, name, 10, act)


def modify(call: Call) -> Any:
    """Another price and quantity for an open limit order."""
    order, market = wanted_order(call, NO_SUCH_ORDER), call.market()
    if SIDES.get(required(call.params, "side")) != order.side:
        raise missing("side")
    px = market.listed.read_price(call.text("price"))
    lots = market.listed.read_qty(call.text("quantity"))
    return reports.order_body(_desk(call).modify(order, market, px, lots, call.now_ns))


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
    leverage = call.number("leverage", least=1, most=LEVERAGE_MAX)
    if leverage is None:
        raise missing("leverage")
    _desk(call).position(call.account, market.listed.name).leverage = leverage
    return {"symbol": market.listed.name, "leverage": leverage, "maxNotionalValue": "1000000000"}


def position_mode(call: Call) -> Any:
    """Whether an account holds both sides apart: never, here."""
    return {"dualSidePosition": False}


def set_position_mode(call: Call) -> Any:
    """Refused: one-way is what there is already."""
    if call.text("dualSidePosition").lower() == "false":
        raise RefusedError(-4059, "No need to change position side.")
    raise RefusedError(UNSUPPORTED, "This operation is not supported: positions are one-way.")


def set_margin_type(call: Call) -> Any:
    """Refused: cross is what there is already."""
    call.market()
    if call.text("marginType") == "CROSSED":
        raise RefusedError(-4046, "No need to change margin type.")
    raise RefusedError(UNSUPPORTED, "This operation is not supported: margin is cross.")


def assets_mode(call: Call) -> Any:
    """Whether other assets than the quote currency serve as margin: never, here."""
    return {"multiAssetsMargin": False}


def premium_index(call: Call) -> Any:
    """Mark price and funding: the price positions are valued at, and no funding."""
    desk, rows = _desk(call), []
    for market in call.markets():
        mark = market.listed.price(desk.mark(market))
        rows.append({
            "symbol": market.listed.name, "markPrice": mark, "indexPrice": mark, "estimatedSettlePrice": mark,
            "lastFundingRate": text_e8(0), "interestRate": text_e8(0),
            "nextFundingTime": call.now_ms - call.now_ms % _FUNDING_MS + _FUNDING_MS, "time": call.now_ms,
        })  # fmt: skip
    return rows[0] if call.params.get("symbol") is not None else rows


def commission(call: Call) -> Any:
    """The account's rates at a symbol."""
    account = call.account
    return {"symbol": call.market().listed.name, "makerCommissionRate": text_e8(account.maker),
            "takerCommissionRate": text_e8(account.taker)}  # fmt: skip


def leverage_brackets(call: Call) -> Any:
    """One bracket for each symbol: any leverage for any size."""
    bracket = {"bracket": 1, "initialLeverage": LEVERAGE_MAX, "notionalCap": 1_000_000_000, "notionalFloor": 0,
               "maintMarginRatio": 0.0, "cum": 0.0}  # fmt: skip
    return [{"symbol": market.listed.name, "brackets": [bracket]} for market in call.markets()]


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
