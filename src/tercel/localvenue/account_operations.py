"""What can be asked about an account: balances, trades, limits, rates, user data streams, coins.

Of both products `my_trades` and `start_user_stream`; of spot the rest.

An operation takes a `Call` and returns plain values, or raises `RefusedError`; `routes` says how it is reached.
"""

from __future__ import annotations

from typing import Any

from tercel.localvenue import reports
from tercel.localvenue.calls import Call
from tercel.localvenue.numbers import E8, text_e8

__all__ = [
    "account_status", "coins", "commission", "keep_user_stream", "my_trades", "no_symbols", "nothing", "order_limits",
    "start_user_stream", "stop_user_stream",
]  # fmt: skip


def account_status(call: Call) -> Any:
    """Balances and rates."""
    assert call.key is not None
    omit = str(call.params.get("omitZeroBalances", "false")).lower() == "true"
    return reports.account_body(call.account, call.key.can_trade, omit)


def my_trades(call: Call) -> Any:
    """The account's trades of a symbol, oldest first."""
    symbol, account, venue = call.market().listed.name, call.account, call.venue
    order_id, from_id, (start, end) = call.number("orderId"), call.number("fromId"), call.between()
    found = [
        trade for trade in venue.desk.trades
        if trade.order.account is account and trade.order.listed.name == symbol and start <= trade.time_ms <= end
        and (order_id is None or trade.order.number == order_id) and (from_id is None or trade.id >= from_id)
    ]  # fmt: skip
    return [venue.product.trade_body(trade) for trade in call.page(found, 500, 1000, is_from=from_id is not None)]


def order_limits(call: Call) -> Any:
    """New orders counted against the limits."""
    _, ten, day = call.venue.limits.usage("", call.account.number, call.now_ms)[::-1]
    return [day, ten]


def commission(call: Call) -> Any:
    """The account's rates at a symbol."""
    rates = {"maker": text_e8(call.account.maker), "taker": text_e8(call.account.taker), "buyer": text_e8(0),
             "seller": text_e8(0)}  # fmt: skip
    zero = dict.fromkeys(rates, text_e8(0))
    return {
        "symbol": call.market().listed.name, "standardCommission": rates, "specialCommission": zero,
        "taxCommission": zero, "discount": {"enabledForAccount": False, "enabledForSymbol": False,
                                            "discountAsset": "BNB", "discount": text_e8(E8)},
    }  # fmt: skip


def start_user_stream(call: Call) -> Any:
    """A listen key."""
    return {"listenKey": call.venue.users.start(call.account.number, call.now_ms)}


def keep_user_stream(call: Call) -> Any:
    """Another hour for a listen key."""
    call.venue.users.keep(call.text("listenKey"), call.now_ms)
    return {}


def stop_user_stream(call: Call) -> Any:
    """The end of a listen key."""
    for conn in call.venue.users.stop(call.text("listenKey"), call.now_ms):
        call.venue.close(conn)
    return {}


def coins(call: Call) -> Any:
    """The assets of the listed symbols, for clients that ask the wallet before they trade."""
    assets = dict.fromkeys(a for m in call.venue.markets.values() for a in (m.listed.base, m.listed.quote))
    found = []
    for asset in assets:
        free, locked = call.account.balances.get(asset, (0, 0))
        found.append({
            "coin": asset, "name": asset, "free": text_e8(free), "locked": text_e8(locked), "freeze": "0",
            "depositAllEnable": False, "withdrawAllEnable": False, "isLegalMoney": False, "trading": True,
            "networkList": [],
        })  # fmt: skip
    return found


def nothing(call: Call) -> Any:
    """An empty list: a product that the venue does not have."""
    return []


def no_symbols(call: Call) -> Any:
    """The exchangeInfo of a product that the venue does not have."""
    return {"timezone": "UTC", "serverTime": call.now_ms, "rateLimits": [], "exchangeFilters": [], "symbols": []}
