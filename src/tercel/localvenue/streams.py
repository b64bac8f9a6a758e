"""Public streams: who subscribed to what, and the events of depth, trades, quotes, candles and tickers.

Stream names and events: Binance spot API, "WebSocket Streams" (developers.binance.com, read November 2026). An event is
encoded once for all subscribers, and only when there is one. Called by `venue`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import msgspec

from tercel.localvenue.depth import Candle, PublicTrade
from tercel.localvenue.markets import Market
from tercel.localvenue.numbers import text_e8

__all__ = ["INTERVALS", "STREAMS_MAX", "PublicStreams", "kline_event", "ticker_body"]

STREAMS_MAX = 1024
#: Candle intervals by name, in minutes.
INTERVALS = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480,
             "12h": 720, "1d": 1440}  # fmt: skip
_encode = msgspec.json.Encoder().encode


class _Timed:
    """A stream that publishes at whole multiples of a time."""

    __slots__ = ("event", "every_ms", "slot")

    def __init__(self, every_ms: int, slot: int, event: Callable[[int], dict[str, Any] | None]) -> None:
        self.every_ms, self.slot, self.event = every_ms, slot, event


class PublicStreams:
    """Subscriptions and what is sent to them. send: called with a connection and the bytes of one message."""

    def __init__(
        self, markets: dict[str, Market], send: Callable[[Hashable, bytes], None], *, is_spot: bool = True
    ) -> None:
        self._is_spot = is_spot
        self._trade_mark = {"M": True} if is_spot else {"X": "MARKET"}
        self._aggregate_mark = {"M": True} if is_spot else {}
        #: How often depth is published in ms, by the word behind the stream's name.
        self._speeds = {"": 1000, "100ms": 100} if is_spot else {"": 250, "500ms": 500, "100ms": 100}
        self._markets = markets
        self._send = send
        self._subscribers: dict[str, dict[Hashable, None]] = {}
        self._streams_of: dict[Hashable, dict[str, None]] = {}
        self._is_combined: dict[Hashable, bool] = {}
        self._timed: dict[str, _Timed] = {}
        self._quote: dict[str, tuple[int, int, int, int]] = {}
        self._aggregate: dict[str, list[PublicTrade]] = {}
        self._aggregate_id: dict[str, int] = dict.fromkeys(markets, 0)
        #: Names of streams that are looked for at every change of a book.
        self._quote_names = {symbol: f"{symbol.lower()}@bookTicker" for symbol in markets}

    # --- subscriptions --------------------------------------------------------------------------------------------

    def open(self, conn: Hashable, names: list[str], *, is_combined: bool, now_ms: int) -> None:
        """A connection for streams."""
        self._streams_of[conn] = {}
        self._is_combined[conn] = is_combined
        self.subscribe(conn, names, now_ms)

    def close(self, conn: Hashable) -> None:
        """The connection is gone."""
        if conn in self._streams_of:
            self.unsubscribe(conn, list(self._streams_of[conn]))
            del self._streams_of[conn], self._is_combined[conn]

    def set_combined(self, conn: Hashable, is_combined: bool) -> None:
        """Whether events come wrapped with their stream's name."""
        self._is_combined[conn] = is_combined

    def is_combined(self, conn: Hashable) -> bool:
        """Whether events come wrapped with their stream's name."""
        return self._is_combined[conn]

    def names(self, conn: Hashable) -> list[str]:
        """The streams of a connection."""
        return list(self._streams_of[conn])

    def count(self, conn: Hashable, names: list[str]) -> int:
        """How many streams the connection would have with these."""
        return len({**self._streams_of[conn], **dict.fromkeys(names)})

    def subscribe(self, conn: Hashable, names: list[str], now_ms: int) -> None:
        """Add streams; a name that is no stream of a listed symbol is kept and stays silent."""
        for name in names:
            self._streams_of[conn][name] = None
            if name not in self._subscribers:
                self._subscribers[name] = {}
                self._begin(name, now_ms)
            self._subscribers[name][conn] = None

    def unsubscribe(self, conn: Hashable, names: list[str]) -> None:
        """Remove streams."""
        for name in names:
            self._streams_of[conn].pop(name, None)
            subscribers = self._subscribers.get(name)
            if subscribers is not None:
                subscribers.pop(conn, None)
                if not subscribers:
                    del self._subscribers[name]
                    self._end(name)

    def _begin(self, name: str, now_ms: int) -> None:
        symbol, _, kind = name.partition("@")
        market = self._markets.get(symbol.upper())
        if market is None or symbol != symbol.lower():
            return
        kind, _, speed = kind.partition("@")
        every = self._speeds.get(speed, 0)
        if kind == "depth" and every:
            market.book.watch(every)
            event = _depth_event(market, every, self._is_spot)
        elif kind in ("depth5", "depth10", "depth20") and every:
            event = _partial_event(market, int(kind[5:])) if self._is_spot else _usdm_partial(market, int(kind[5:]))
        elif kind.startswith("kline_") and kind[6:] in INTERVALS:
            every, event = 1000, _kline_stream(market, kind[6:])
        elif kind in ("ticker", "miniTicker"):
            every, event = 1000, _ticker_stream(market, is_mini=kind == "miniTicker")
        else:
            return
        self._timed[name] = _Timed(every, now_ms // every, event)

    def _end(self, name: str) -> None:
        self._timed.pop(name, None)
        symbol, _, kind = name.partition("@")
        market = self._markets.get(symbol.upper())
        kind, _, speed = kind.partition("@")
        if market is not None and kind == "depth" and speed in self._speeds:
            market.book.unwatch(self._speeds[speed])

    # --- events ---------------------------------------------------------------------------------------------------

    def publish(self, name: str, event: dict[str, Any]) -> None:
        """Send an event to a stream's subscribers."""
        raw = _encode(event)
        wrapped: bytes | None = None
        for conn in self._subscribers[name]:
            if self._is_combined[conn]:
                if wrapped is None:
                    wrapped = b'{"stream":"' + name.encode() + b'","data":' + raw + b"}"
                self._send(conn, wrapped)
            else:
                self._send(conn, raw)

    def traded(self, market: Market, trade: PublicTrade) -> None:
        """A trade happened."""
        listed = market.listed
        name = f"{listed.name.lower()}@trade"
        if name in self._subscribers:
            self.publish(name, {
                "e": "trade", "E": trade.time_ms, "s": listed.name, "t": trade.id, "p": listed.price(trade.px),
                "q": listed.qty(trade.lots), "T": trade.time_ms, "m": trade.is_buyer_maker, **self._trade_mark,
            })  # fmt: skip
        run = self._aggregate.setdefault(listed.name, [])
        if run and (run[0].px, run[0].is_buyer_maker) != (trade.px, trade.is_buyer_maker):
            self._flush(market)
            run = self._aggregate.setdefault(listed.name, [])
        run.append(trade)

    def _flush(self, market: Market) -> None:
        """One taker's trades at one price are one aggregate trade."""
        listed = market.listed
        run = self._aggregate.pop(listed.name, None)
        if not run:
            return
        self._aggregate_id[listed.name] += 1
        market.tape.aggregates.append((self._aggregate_id[listed.name], run))
        name = f"{listed.name.lower()}@aggTrade"
        if name in self._subscribers:
            self.publish(name, {
                "e": "aggTrade", "E": run[-1].time_ms, "s": listed.name, "a": self._aggregate_id[listed.name],
                "p": listed.price(run[0].px), "q": listed.qty(sum(trade.lots for trade in run)), "f": run[0].id,
                "l": run[-1].id, "T": run[-1].time_ms, "m": run[0].is_buyer_maker, **self._aggregate_mark,
            })  # fmt: skip

    def moved(self, market: Market, is_last: bool) -> None:
        """The book changed; at a message's end the best prices may be told."""
        if not is_last:
            return
        listed, book = market.listed, market.book
        if listed.name in self._aggregate:
            self._flush(market)
        name = self._quote_names[listed.name]
        if name not in self._subscribers:
            return
        quote = (book.bid, book.bids.get(book.bid, 0), book.ask, book.asks.get(book.ask, 0))
        if quote == self._quote.get(listed.name):
            return
        self._quote[listed.name] = quote
        at_ms = market.tape.now_ms
        more = {} if self._is_spot else {"e": "bookTicker", "E": at_ms, "T": at_ms}
        self.publish(name, {
            **more, "u": book.update_id, "s": listed.name, "b": listed.price(quote[0]), "B": listed.qty(quote[1]),
            "a": listed.price(quote[2]), "A": listed.qty(quote[3]),
        })  # fmt: skip

    def tick(self, now_ms: int) -> None:
        """Publish what is due."""
        for name, timed in list(self._timed.items()):
            slot = now_ms // timed.every_ms
            if slot > timed.slot:
                timed.slot = slot
                event = timed.event(now_ms)
                if event is not None:
                    self.publish(name, event)


Event = Callable[[int], dict[str, Any] | None]


def _levels(market: Market, levels: list[tuple[int, int]]) -> list[list[str]]:
    listed = market.listed
    return [[listed.price(px), listed.qty(lots)] for px, lots in levels]


def _depth_event(market: Market, every_ms: int, is_spot: bool) -> Event:
    def event(now_ms: int) -> dict[str, Any] | None:
        changes = market.book.take_changes(every_ms)
        if changes is None:
            return None
        first, last, bids, asks = changes
        # Futures say which update came before; there is none between it and the first id here.
        more = {} if is_spot else {"T": now_ms, "pu": first - 1}
        return {
            **more,
            "e": "depthUpdate", "E": now_ms, "s": market.listed.name, "U": first, "u": last,
            "b": _levels(market, bids), "a": _levels(market, asks),
        }  # fmt: skip

    return event


def _partial_event(market: Market, n: int) -> Event:
    def event(now_ms: int) -> dict[str, Any]:
        book = market.book
        bids, asks = _levels(market, book.best(1, n)), _levels(market, book.best(-1, n))
        return {"lastUpdateId": book.update_id, "bids": bids, "asks": asks}

    return event


def _usdm_partial(market: Market, n: int) -> Event:
    """The best levels as futures tell them: a depth update's names, with the id of the partial update before."""
    told = [market.book.update_id]

    def event(now_ms: int) -> dict[str, Any]:
        book, before = market.book, told[0]
        told[0] = book.update_id
        return {
            "e": "depthUpdate", "E": now_ms, "T": now_ms, "s": market.listed.name, "U": min(before + 1, book.update_id),
            "u": book.update_id, "pu": before, "b": _levels(market, book.best(1, n)),
            "a": _levels(market, book.best(-1, n)),
        }  # fmt: skip

    return event


def kline_event(market: Market, candle: Candle, interval: str, now_ms: int) -> dict[str, Any]:
    """The kline event of one candle."""
    listed = market.listed
    close_ms = candle.open_ms + INTERVALS[interval] * 60_000 - 1
    return {
        "e": "kline", "E": now_ms, "s": listed.name, "k": {
            "t": candle.open_ms, "T": close_ms, "s": listed.name, "i": interval, "f": candle.first_id,
            "L": candle.last_id, "o": listed.price(candle.open), "c": listed.price(candle.close),
            "h": listed.price(candle.high), "l": listed.price(candle.low), "v": listed.qty(candle.lots),
            "n": candle.n, "x": now_ms > close_ms, "q": text_e8(candle.quote * listed.value_e8),
            "V": listed.qty(candle.taker_lots), "Q": text_e8(candle.taker_quote * listed.value_e8), "B": "0",
        },
    }  # fmt: skip


def _kline_stream(market: Market, interval: str) -> Event:
    told = [0, 0]

    def event(now_ms: int) -> dict[str, Any] | None:
        candles = market.tape.candles(INTERVALS[interval])
        if not candles or told == [candles[-1].open_ms, candles[-1].n]:
            return None
        # A candle that closed since the last look is told closed before the next one is begun.
        closed = len(candles) > 1 and told[0] == candles[-2].open_ms and told[1] >= 0
        candle = candles[-2] if closed else candles[-1]
        told[:] = [candle.open_ms, -1 if closed else candle.n]
        return kline_event(market, candle, interval, now_ms)

    return event


def ticker_body(market: Market, now_ms: int) -> dict[str, Any]:
    """What the 24 hour ticker says, by the names of requests."""
    listed, book, day = market.listed, market.book, market.tape.day()
    first = day.open if day else 0
    last = day.close if day else 0
    mean = day.quote // day.lots if day and day.lots else 0
    change = (last - first) * listed.tick_e8
    return {
        "symbol": listed.name, "priceChange": text_e8(change),
        "priceChangePercent": f"{100 * (last - first) / first if first else 0.0:.3f}",
        "weightedAvgPrice": listed.price(mean), "prevClosePrice": listed.price(first),
        "lastPrice": listed.price(last), "lastQty": listed.qty(market.tape.trades[-1].lots if day else 0),
        "bidPrice": listed.price(book.bid), "bidQty": listed.qty(book.bids.get(book.bid, 0)),
        "askPrice": listed.price(book.ask), "askQty": listed.qty(book.asks.get(book.ask, 0)),
        "openPrice": listed.price(first), "highPrice": listed.price(day.high if day else 0),
        "lowPrice": listed.price(day.low if day else 0), "volume": listed.qty(day.lots if day else 0),
        "quoteVolume": text_e8((day.quote if day else 0) * listed.value_e8),
        "openTime": now_ms - 86_400_000, "closeTime": now_ms, "firstId": day.first_id if day else -1,
        "lastId": day.last_id if day else -1, "count": day.n if day else 0,
    }  # fmt: skip


def _ticker_stream(market: Market, *, is_mini: bool) -> Event:
    def event(now_ms: int) -> dict[str, Any]:
        body = ticker_body(market, now_ms)
        told = {
            "E": now_ms, "s": body["symbol"], "c": body["lastPrice"], "o": body["openPrice"], "h": body["highPrice"],
            "l": body["lowPrice"], "v": body["volume"], "q": body["quoteVolume"],
        }  # fmt: skip
        if is_mini:
            return {"e": "24hrMiniTicker", **told}
        return {
            "e": "24hrTicker", **told, "p": body["priceChange"], "P": body["priceChangePercent"],
            "w": body["weightedAvgPrice"], "x": body["prevClosePrice"], "Q": body["lastQty"], "b": body["bidPrice"],
            "B": body["bidQty"], "a": body["askPrice"], "A": body["askQty"], "O": body["openTime"],
            "C": body["closeTime"], "F": body["firstId"], "L": body["lastId"], "n": body["count"],
        }  # fmt: skip

    return event
