"""Which path or method of a USD-M venue leads to which operation, what it weighs, and who may ask.

Weights: Binance USD-M futures API (developers.binance.com, read November 2026). Called by `rest` and `wsapi`.
"""

from __future__ import annotations

from tercel.localvenue import account_operations as account
from tercel.localvenue import market_operations as public
from tercel.localvenue import order_operations as orders
from tercel.localvenue import usdm_operations as usdm
from tercel.localvenue.routes import KEY, SIGNED, TRADE, Route, depth_weight

__all__ = ["USDM_METHODS", "USDM_PATHS"]

_PING, _TIME, _DEPTH = Route(public.ping), Route(public.server_time), Route(public.depth, depth_weight)
_PRICE, _QUOTE = Route(public.price_ticker, 2), Route(public.book_ticker, 5)
_KLINES, _TRADES = Route(public.klines, 5), Route(public.recent_trades, 5)
_PLACE, _CANCEL, _MODIFY = Route(orders.place, 1, TRADE), Route(usdm.cancel, 1, TRADE), Route(usdm.modify, 1, TRADE)
_STATUS, _POSITIONS = Route(orders.order_status, 1, SIGNED), Route(usdm.positions, 5, SIGNED)
_BALANCES, _ACCOUNT = Route(usdm.balances, 5, SIGNED), Route(usdm.account_status, 5, SIGNED)
_START, _KEEP = Route(account.start_user_stream, 1, KEY), Route(usdm.keep_listen_key, 1, KEY)
_STOP = Route(usdm.stop_listen_key, 1, KEY)

USDM_PATHS: dict[tuple[str, str], Route] = {
    ("GET", "/fapi/v1/ping"): _PING,
    ("GET", "/fapi/v1/time"): _TIME,
    ("GET", "/fapi/v1/exchangeInfo"): Route(usdm.exchange_info, 1),
    ("GET", "/fapi/v1/depth"): _DEPTH,
    ("GET", "/fapi/v1/trades"): _TRADES,
    ("GET", "/fapi/v1/aggTrades"): Route(public.aggregate_trades, 20),
    ("GET", "/fapi/v1/klines"): _KLINES,
    ("GET", "/fapi/v1/ticker/price"): _PRICE,
    ("GET", "/fapi/v2/ticker/price"): _PRICE,
    ("GET", "/fapi/v1/ticker/bookTicker"): _QUOTE,
    ("GET", "/fapi/v1/ticker/24hr"): Route(public.day_ticker, 40),
    ("POST", "/fapi/v1/order"): _PLACE,
    ("POST", "/fapi/v1/order/test"): Route(orders.place_test, 1, TRADE),
    ("GET", "/fapi/v1/order"): _STATUS,
    ("PUT", "/fapi/v1/order"): _MODIFY,
    ("DELETE", "/fapi/v1/order"): _CANCEL,
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(usdm.cancel_all, 1, TRADE),
    ("POST", "/fapi/v1/batchOrders"): Route(usdm.place_batch, 5, TRADE),
    ("DELETE", "/fapi/v1/batchOrders"): Route(usdm.cancel_batch, 1, TRADE),
    ("GET", "/fapi/v1/openOrders"): Route(orders.open_orders, 1, SIGNED),
    ("GET", "/fapi/v1/openOrder"): _STATUS,
    ("GET", "/fapi/v1/allOrders"): Route(orders.all_orders, 5, SIGNED),
    ("GET", "/fapi/v1/userTrades"): Route(account.my_trades, 5, SIGNED),
    ("GET", "/fapi/v2/positionRisk"): _POSITIONS,
    ("GET", "/fapi/v3/positionRisk"): _POSITIONS,
    ("GET", "/fapi/v2/balance"): _BALANCES,
    ("GET", "/fapi/v3/balance"): _BALANCES,
    ("GET", "/fapi/v2/account"): _ACCOUNT,
    ("GET", "/fapi/v3/account"): _ACCOUNT,
    ("GET", "/fapi/v1/premiumIndex"): Route(usdm.premium_index, 10),
    ("GET", "/fapi/v1/commissionRate"): Route(usdm.commission, 20, SIGNED),
    ("GET", "/fapi/v1/leverageBracket"): Route(usdm.leverage_brackets, 1, SIGNED),
    ("GET", "/fapi/v1/positionSide/dual"): Route(usdm.position_mode, 30, SIGNED),
    ("POST", "/fapi/v1/positionSide/dual"): Route(usdm.set_position_mode, 1, TRADE),
    ("POST", "/fapi/v1/marginType"): Route(usdm.set_margin_type, 1, TRADE),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(usdm.assets_mode, 30, SIGNED),
    ("POST", "/fapi/v1/leverage"): Route(usdm.set_leverage, 1, TRADE),
    ("POST", "/fapi/v1/listenKey"): _START,
    ("PUT", "/fapi/v1/listenKey"): _KEEP,
    ("DELETE", "/fapi/v1/listenKey"): _STOP,
}

USDM_METHODS: dict[str, Route] = {
    "ping": _PING,
    "time": _TIME,
    "depth": _DEPTH,
    "ticker.price": _PRICE,
    "ticker.book": _QUOTE,
    "order.place": _PLACE,
    "order.modify": _MODIFY,
    "order.cancel": _CANCEL,
    "order.status": _STATUS,
    "account.balance": _BALANCES,
    "v2/account.balance": _BALANCES,
    "account.position": _POSITIONS,
    "v2/account.position": _POSITIONS,
    "account.status": _ACCOUNT,
    "v2/account.status": _ACCOUNT,
    "userDataStream.start": _START,
    "userDataStream.ping": _KEEP,
    "userDataStream.stop": _STOP,
}
