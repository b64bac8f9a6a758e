"""What anybody can ask: time, symbols, the book, trades, candles, tickers.

An operation takes a `Call` and returns plain values, or raises `RefusedError`; `routes` says how it is reached.
"""

from __future__ import annotations

from typing import Any

from tercel.localvenue.calls import Call
from tercel.localvenue.numbers import text_e8
from tercel.localvenue.orders import STP_NAMES, TYPES
from tercel.localvenue.refusals import BAD_INTERVAL, RefusedError
from tercel.localvenue.streams import INTERVALS, ticker_body

__all__ = [
    "aggregate_trades", "average_price", "book_ticker", "day_ticker", "depth", "exchange_info", "klines", "ping",
    "price_ticker",
    "recent_trades", "server_time",
]  # fmt: skip


def ping(call: Call) -> Any:
    """Nothing, to see whether somebody is there."""
    return {}


def server_time(call: Call) -> Any:
    """The venue's time."""
    return {"serverTime": call.now_ms}


def exchange_info(call: Call) -> Any:
    """Rate limits and symbols with their filters."""
    venue = call.venue
    symbols = []
    for market in call.markets():
        listed = market.listed
        symbols.append({
            "symbol": listed.name, "status": "TRADING", "baseAsset": listed.base, "baseAssetPrecision": 8,
            "quoteAsset": listed.quote, "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8,
            "quoteCommissionPrecision": 8, "orderTypes": list(TYPES), "icebergAllowed": False, "ocoAllowed": False,
            "otoAllowed": False, "opoAllowed": False, "quoteOrderQtyMarketAllowed": True, "allowTrailingStop": False,
            "cancelReplaceAllowed": True, "amendAllowed": True, "pegInstructionsAllowed": False,
            "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
            "filters": listed.filters(venue.faults.lie_filters), "permissions": [], "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": STP_NAMES[venue.rules.default_stp],
            "allowedSelfTradePreventionModes": list(STP_NAMES.values()),
        })  # fmt: skip
    return {
        "timezone": "UTC", "serverTime": call.now_ms, "rateLimits": venue.limits.rules.stated(),
        "exchangeFilters": [], "symbols": symbols,
    }  # fmt: skip


def depth(call: Call) -> Any:
    """The book, best levels first."""
    market, n = call.market(), call.limit(100, 5000)
    listed, book = market.listed, market.book
    sides = {"bids": book.best(1, n), "asks": book.best(-1, n)}
    times = {} if call.venue.is_spot else {"E": call.now_ms, "T": call.now_ms}
    return {
        "lastUpdateId": book.update_id,
        **times,
        **{name: [[listed.price(px), listed.qty(lots)] for px, lots in levels] for name, levels in sides.items()},
    }


def recent_trades(call: Call) -> Any:
    """The last public trades, oldest first."""
    market, n = call.market(), call.limit(500, 1000)
    listed = market.listed
    return [
        {"id": t.id, "price": listed.price(t.px), "qty": listed.qty(t.lots),
         "quoteQty": text_e8(t.px * t.lots * listed.value_e8), "time": t.time_ms, "isBuyerMaker": t.is_buyer_maker,
         "isBestMatch": True}
        for t in list(market.tape.trades)[-n:]
    ]  # fmt: skip


def aggregate_trades(call: Call) -> Any:
    """The last aggregate trades, oldest first: from an id, within times, or the last ones."""
    market = call.market()
    listed = market.listed
    from_id, (start, end) = call.number("fromId"), call.between()
    found = [
        (number, run)
        for number, run in market.tape.aggregates
        if (from_id is None or number >= from_id) and start <= run[0].time_ms <= end
    ]
    return [
        {"a": number, "p": listed.price(run[0].px), "q": listed.qty(sum(t.lots for t in run)), "f": run[0].id,
         "l": run[-1].id, "T": run[-1].time_ms, "m": run[0].is_buyer_maker, "M": True}
        for number, run in call.page(found, 500, 1000, is_from=from_id is not None)
    ]  # fmt: skip


def klines(call: Call) -> Any:
    """Candles, oldest first."""
    market, interval = call.market(), call.text("interval")
    if interval not in INTERVALS:
        raise RefusedError(BAD_INTERVAL, "Invalid interval.")
    listed = market.listed
    first, last = call.between()
    candles = [c for c in market.tape.candles(INTERVALS[interval]) if first <= c.open_ms <= last]
    return [
        [c.open_ms, listed.price(c.open), listed.price(c.high), listed.price(c.low), listed.price(c.close),
         listed.qty(c.lots), c.open_ms + INTERVALS[interval] * 60_000 - 1, text_e8(c.quote * listed.value_e8), c.n,
         listed.qty(c.taker_lots), text_e8(c.taker_quote * listed.value_e8), "0"]
        for c in call.page(candles, 500, 1000)
    ]  # fmt: skip


def average_price(call: Call) -> Any:
    """The mean price of five minutes."""
    market = call.market()
    mean = market.tape.mean_px(call.now_ms)
    return {"mins": 5, "price": market.listed.price(mean), "closeTime": call.now_ms}


def _one_or_all(call: Call, bodies: list[dict[str, Any]]) -> Any:
    return bodies[0] if call.params.get("symbol") is not None else bodies


def price_ticker(call: Call) -> Any:
    """Last prices."""
    return _one_or_all(call, [
        {"symbol": m.listed.name, "price": m.listed.price(m.tape.last_px)} for m in call.markets()
    ])  # fmt: skip


def book_ticker(call: Call) -> Any:
    """Best prices and their sizes."""
    return _one_or_all(call, [
        {"symbol": m.listed.name, "bidPrice": m.listed.price(m.book.bid),
         "bidQty": m.listed.qty(m.book.bids.get(m.book.bid, 0)), "askPrice": m.listed.price(m.book.ask),
         "askQty": m.listed.qty(m.book.asks.get(m.book.ask, 0))}
        for m in call.markets()
    ])  # fmt: skip


def day_ticker(call: Call) -> Any:
    """The 24 hour ticker."""
    return _one_or_all(call, [ticker_body(market, call.now_ms) for market in call.markets()])
