"""One symbol's public face: its book by price, its last trades, its candles, and the numbers that join them.

Fed with rows by the venue; read by streams and by requests. Prices in ticks, sizes in lots, times in ms of the venue.
Nothing here trades.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

__all__ = ["Candle", "DepthBook", "PublicTrade", "Tape24h"]

TRADES_KEPT = 1000
CANDLES_KEPT = 1500
_MINUTE_MS = 60_000


class PublicTrade(NamedTuple):
    """One trade. is_buyer_maker: the buyer rested, so the seller was the aggressor."""

    id: int
    px: int
    lots: int
    time_ms: int
    is_buyer_maker: bool


class DepthBook:
    """Size by price for both sides, the best of each, and what changed since the last published update.

    update_id counts level changes since the start, so a depth update covers first_id .. update_id without a gap.
    """

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.bid, self.ask = 0, 0
        self.update_id = 0
        #: Levels that changed, per rate of publication: each has its own set and the id that its next update begins at.
        self.changed: dict[int, tuple[dict[int, None], dict[int, None]]] = {}
        self.first_id: dict[int, int] = {}

    def watch(self, every_ms: int) -> None:
        """Keep track of changes for updates that are published every so many ms."""
        if every_ms not in self.changed:
            self.changed[every_ms] = ({}, {})
            self.first_id[every_ms] = self.update_id + 1

    def unwatch(self, every_ms: int) -> None:
        """Stop keeping track."""
        self.changed.pop(every_ms, None)

    def set(self, side: int, px: int, lots: int) -> None:
        """The size at a price is now `lots`, 0 for none."""
        self.update_id += 1
        if side > 0:
            if lots > 0:
                self.bids[px] = lots
                if px > self.bid:
                    self.bid = px
            elif self.bids.pop(px, 0) and px == self.bid:
                self.bid = max(self.bids) if self.bids else 0
        elif lots > 0:
            self.asks[px] = lots
            if px < self.ask or self.ask == 0:
                self.ask = px
        elif self.asks.pop(px, 0) and px == self.ask:
            self.ask = min(self.asks) if self.asks else 0
        for bids, asks in self.changed.values():
            (bids if side > 0 else asks)[px] = None

    def clear(self, side: int, last_px: int) -> None:
        """Remove a side's levels (0: both) from the best to `last_px`, all of them for 0."""
        for each, levels in ((1, self.bids), (-1, self.asks)):
            if side != -each:
                for px in [px for px in levels if last_px == 0 or (px - last_px) * each >= 0]:
                    self.set(each, px, 0)

    def best(self, side: int, n: int) -> list[tuple[int, int]]:
        """The best `n` levels of a side, best first: (price, lots)."""
        levels = self.bids if side > 0 else self.asks
        return sorted(levels.items(), reverse=side > 0)[:n]

    def cost(self, lots: int) -> int:
        """What buying so many lots would pay now, in ticks times lots; less where the book has not so many."""
        cost = 0
        for px, size in self.best(-1, len(self.asks)):
            take = min(lots, size)
            cost += take * px
            lots -= take
            if lots == 0:
                break
        return cost

    def lots_for(self, side: int, budget: int) -> int:
        """Lots that an order of `side` can trade now for `budget` ticks times lots."""
        lots = 0
        for px, size in self.best(-side, 1 << 30):
            take = min(size, budget // px)
            lots += take
            budget -= take * px
            if take < size:
                break
        return lots

    def take_changes(self, every_ms: int) -> tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]] | None:
        """First id, last id, changed bids and asks with their sizes now; None when nothing changed."""
        bids, asks = self.changed[every_ms]
        if not bids and not asks:
            return None
        found = (
            self.first_id[every_ms],
            self.update_id,
            [(px, self.bids.get(px, 0)) for px in sorted(bids, reverse=True)],
            [(px, self.asks.get(px, 0)) for px in sorted(asks)],
        )
        bids.clear()
        asks.clear()
        self.first_id[every_ms] = self.update_id + 1
        return found


class Candle:
    """Open, high, low, close in ticks; volume in lots; quote in tick-lots; of them taken by buyers; trades."""

    __slots__ = ("close", "first_id", "high", "last_id", "lots", "low", "n", "open", "open_ms", "quote", "taker_lots",
                 "taker_quote")  # fmt: skip

    def __init__(self, open_ms: int, px: int, trade_id: int) -> None:
        self.open_ms = open_ms
        self.open = self.high = self.low = self.close = px
        self.lots = self.quote = self.taker_lots = self.taker_quote = self.n = 0
        self.first_id = self.last_id = trade_id

    def add(self, trade: PublicTrade) -> None:
        """Count a trade in."""
        self.high, self.low, self.close = max(self.high, trade.px), min(self.low, trade.px), trade.px
        quote = trade.px * trade.lots
        self.lots += trade.lots
        self.quote += quote
        if not trade.is_buyer_maker:
            self.taker_lots += trade.lots
            self.taker_quote += quote
        self.n += 1
        self.last_id = trade.id

    def merge(self, later: Candle) -> None:
        """Count a later candle in."""
        self.high, self.low, self.close = max(self.high, later.high), min(self.low, later.low), later.close
        self.lots += later.lots
        self.quote += later.quote
        self.taker_lots += later.taker_lots
        self.taker_quote += later.taker_quote
        self.n += later.n
        self.last_id = later.last_id

    def copy(self) -> Candle:
        """A candle of its own."""
        new = Candle(self.open_ms, self.open, self.first_id)
        for name in self.__slots__:
            setattr(new, name, getattr(self, name))
        return new


class Tape24h:
    """What was traded: the last trades, minute candles, and what a ticker says."""

    def __init__(self) -> None:
        self.trades: deque[PublicTrade] = deque(maxlen=TRADES_KEPT)
        #: Aggregate trades: number, and the trades of one taker at one price.
        self.aggregates: deque[tuple[int, list[PublicTrade]]] = deque(maxlen=TRADES_KEPT)
        self.minutes: deque[Candle] = deque(maxlen=CANDLES_KEPT)
        self.last_px = 0
        #: Time of the last happening at this market.
        self.now_ms = 0

    def add(self, trade: PublicTrade) -> None:
        """A trade happened."""
        self.trades.append(trade)
        self.last_px = trade.px
        open_ms = trade.time_ms - trade.time_ms % _MINUTE_MS
        if not self.minutes or self.minutes[-1].open_ms < open_ms:
            self.minutes.append(Candle(open_ms, trade.px, trade.id))
        self.minutes[-1].add(trade)

    def mean_px(self, now_ms: int) -> int:
        """Mean traded price of the last five minutes in ticks, the last price when nothing traded, 0 before any."""
        quote = lots = 0
        for candle in reversed(self.minutes):
            if candle.open_ms < now_ms - 5 * _MINUTE_MS:
                break
            quote += candle.quote
            lots += candle.lots
        return quote // lots if lots else self.last_px

    def candles(self, minutes: int) -> list[Candle]:
        """Candles of so many minutes, oldest first. Minutes without a trade have none."""
        span = minutes * _MINUTE_MS
        found: list[Candle] = []
        for minute in self.minutes:
            open_ms = minute.open_ms - minute.open_ms % span
            if found and found[-1].open_ms == open_ms:
                found[-1].merge(minute)
            else:
                candle = minute.copy()
                candle.open_ms = open_ms
                found.append(candle)
        return found

    def day(self) -> Candle | None:
        """The last day as one candle; None before the first trade."""
        whole: Candle | None = None
        for minute in self.minutes:
            if whole is None:
                whole = minute.copy()
            else:
                whole.merge(minute)
        return whole
