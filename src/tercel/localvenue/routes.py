"""Which path or method leads to which operation, what it weighs, and who may ask.

Weights: Binance spot API, "REST API" and "WebSocket API" endpoint pages (developers.binance.com, read November 2026).
Called by `rest` and `wsapi`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tercel.localvenue import account_operations as account
from tercel.localvenue import market_operations as public
from tercel.localvenue import order_operations as orders
from tercel.localvenue.calls import Call

__all__ = ["KEY", "METHODS", "PATHS", "PUBLIC", "SIGNED", "TRADE", "Route", "depth_weight"]

#: Who may ask: anybody, who states a key, who signs, who signs with a key that may trade.
PUBLIC, KEY, SIGNED, TRADE = range(4)


class Route(msgspec.Struct, frozen=True):
    """An operation with its weight (a number, or a function of the parameters) and its security."""

    run: Callable[[Call], Any]
    weight: int | Callable[[Mapping[str, Any]], int] = 1
    security: int = PUBLIC

    def weigh(self, params: Mapping[str, Any]) -> int:
        """The weight of a request with these parameters."""
        return self.weight if isinstance(self.weight, int) else self.weight(params)


def depth_weight(params: Mapping[str, Any]) -> int:
    """The weight of a depth request, by its limit."""
    try:
        limit = int(str(params.get("limit", 100)))
    except ValueError:
        limit = 100
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def _by_symbol(one: int, every: int) -> Callable[[Mapping[str, Any]], int]:
    return lambda params: one if params.get("symbol") is not None else every


def _trades(params: Mapping[str, Any]) -> int:
    return 5 if params.get("orderId") is not None else 20


_EXCHANGE_INFO, _DEPTH = Route(public.exchange_info, 20), Route(public.depth, depth_weight)
_TRADES, _KLINES = Route(public.recent_trades, 25), Route(public.klines, 2)
_PRICE, _QUOTE = Route(public.price_ticker, _by_symbol(2, 4)), Route(public.book_ticker, _by_symbol(2, 4))
_PLACE, _CANCEL = Route(orders.place, 1, TRADE), Route(orders.cancel, 1, TRADE)
_AMEND, _REPLACE = Route(orders.amend_keep_priority, 4, TRADE), Route(orders.cancel_replace, 1, TRADE)
_STATUS, _OPEN = Route(orders.order_status, 4, SIGNED), Route(orders.open_orders, _by_symbol(6, 80), SIGNED)
_ALL, _CANCEL_ALL = Route(orders.all_orders, 20, SIGNED), Route(orders.cancel_all, 1, TRADE)
_ACCOUNT, _MY_TRADES = Route(account.account_status, 20, SIGNED), Route(account.my_trades, _trades, SIGNED)
_START, _KEEP = Route(account.start_user_stream, 2, KEY), Route(account.keep_user_stream, 2, KEY)
_STOP, _TEST = Route(account.stop_user_stream, 2, KEY), Route(orders.place_test, 1, TRADE)
_LIMITS, _RATES = Route(account.order_limits, 40, SIGNED), Route(account.commission, 20, SIGNED)
_AGGREGATES = Route(public.aggregate_trades, 4)
_DAY = Route(public.day_ticker, _by_symbol(2, 80))

PATHS: dict[tuple[str, str], Route] = {
    ("GET", "/api/v3/ping"): Route(public.ping),
    ("GET", "/api/v3/time"): Route(public.server_time),
    ("GET", "/api/v3/exchangeInfo"): _EXCHANGE_INFO,
    ("GET", "/api/v3/depth"): _DEPTH,
    ("GET", "/api/v3/trades"): _TRADES,
    ("GET", "/api/v3/historicalTrades"): _TRADES,
    ("GET", "/api/v3/aggTrades"): _AGGREGATES,
    ("GET", "/api/v3/klines"): _KLINES,
    ("GET", "/api/v3/uiKlines"): _KLINES,
    ("GET", "/api/v3/avgPrice"): Route(public.average_price, 2),
    ("GET", "/api/v3/ticker/price"): _PRICE,
    ("GET", "/api/v3/ticker/bookTicker"): _QUOTE,
    ("GET", "/api/v3/ticker/24hr"): _DAY,
    ("POST", "/api/v3/order"): _PLACE,
    ("POST", "/api/v3/order/test"): _TEST,
    ("GET", "/api/v3/order"): _STATUS,
    ("DELETE", "/api/v3/order"): _CANCEL,
    ("POST", "/api/v3/order/cancelReplace"): _REPLACE,
    ("PUT", "/api/v3/order/amend/keepPriority"): _AMEND,
    ("GET", "/api/v3/openOrders"): _OPEN,
    ("DELETE", "/api/v3/openOrders"): _CANCEL_ALL,
    ("GET", "/api/v3/allOrders"): _ALL,
    ("GET", "/api/v3/account"): _ACCOUNT,
    ("GET", "/api/v3/account/commission"): _RATES,
    ("GET", "/api/v3/myTrades"): _MY_TRADES,
    ("GET", "/api/v3/rateLimit/order"): _LIMITS,
    ("POST", "/api/v3/userDataStream"): _START,
    ("PUT", "/api/v3/userDataStream"): _KEEP,
    ("DELETE", "/api/v3/userDataStream"): _STOP,
    ("GET", "/sapi/v1/capital/config/getall"): Route(account.coins, 10, SIGNED),
    ("GET", "/sapi/v1/margin/allPairs"): Route(account.nothing),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(account.nothing),
    ("GET", "/dapi/v1/exchangeInfo"): Route(account.no_symbols),
    ("GET", "/fapi/v1/exchangeInfo"): Route(account.no_symbols),
}

METHODS: dict[str, Route] = {
    "ping": Route(public.ping),
    "time": Route(public.server_time),
    "exchangeInfo": _EXCHANGE_INFO,
    "depth": _DEPTH,
    "trades.recent": _TRADES,
    "trades.historical": _TRADES,
    "trades.aggregate": _AGGREGATES,
    "klines": _KLINES,
    "uiKlines": _KLINES,
    "avgPrice": Route(public.average_price, 2),
    "ticker.price": _PRICE,
    "ticker.book": _QUOTE,
    "ticker.24hr": _DAY,
    "order.place": _PLACE,
    "order.test": _TEST,
    "order.status": _STATUS,
    "order.cancel": _CANCEL,
    "order.cancelReplace": _REPLACE,
    "order.amend.keepPriority": _AMEND,
    "openOrders.status": _OPEN,
    "openOrders.cancelAll": _CANCEL_ALL,
    "allOrders": _ALL,
    "account.status": _ACCOUNT,
    "account.commission": _RATES,
    "account.rateLimits.orders": _LIMITS,
    "myTrades": _MY_TRADES,
    "userDataStream.start": _START,
    "userDataStream.ping": _KEEP,
    "userDataStream.stop": _STOP,
}
