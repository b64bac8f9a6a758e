"""Market messages to EVENT rows by `msgspec`: the oracle of the compiled scanner, and its fall-back.

Slow beside it and complete: it takes every message the venue may mean, says in words what is wrong with the others, and
changes nothing before it knows. Sequence numbers are judged by `sync`, not here. Called by `market`.

A price off its grid is an error. A size off its grid happens at the venue (orders that are older than a coarser lot
still rest): it is counted in `n_off_lot` and cut down to whole lots, so that less is seen than there is, never more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from tercel.errors import DataError, UnitError
from tercel.model.events import (
    BUY,
    CLEAR,
    EVENT,
    LAST,
    LEVEL,
    LOCAL,
    QUOTE,
    SELL,
    SNAPSHOT,
    TRADE,
)
from tercel.model.instrument import Instrument
from tercel.model.units import INT64_MAX, to_decimal
from tercel.venues.binance.messages import Depth, Envelope, Levels, Snapshot, Ticker, Trade

__all__ = ["Decoded", "MarketDecoder", "SnapshotRows", "level_rows", "snapshot_rows"]

_MS = 1_000_000
#: A venue time further than this from the receipt is damage, not a slow clock.
_SKEW_MAX_NS = 86_400 * 1_000_000_000


class Decoded(NamedTuple):
    """One market message. rows: (n,) EVENT, none for a message that makes none. i: the instrument. kind: LEVEL, TRADE,
    QUOTE, or 0 for what is ignored. first, last, previous: U, u, pu of a depth event (-1 where absent)."""

    kind: int
    i: int
    rows: np.ndarray
    first: int = -1
    last: int = -1
    previous: int = -1


class SnapshotRows(NamedTuple):
    """A depth snapshot. bids, asks: (price, size) in ticks and lots, best first. exch_ns: 0 where it tells no time."""

    last: int
    exch_ns: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


_NOTHING = np.zeros(0, EVENT)
_IGNORED = Decoded(0, -1, _NOTHING)


class MarketDecoder:
    """Decodes market messages of the instruments of one connection. by_symbol: venue's name -> (index, instrument)."""

    def __init__(self, by_symbol: Mapping[str, tuple[int, Instrument]], is_spot: bool) -> None:
        self.n_off_lot = 0
        self._by_symbol = by_symbol
        self._is_spot = is_spot
        self._envelope = msgspec.json.Decoder(Envelope)
        self._depth = msgspec.json.Decoder(Depth)
        self._trade = msgspec.json.Decoder(Trade)
        self._ticker = msgspec.json.Decoder(Ticker)
        self._snapshot = msgspec.json.Decoder(Snapshot)

    def message(self, data: bytes | bytearray | memoryview, now_ns: int) -> Decoded:
        """Decode one message of a market stream. Raises DataError or UnitError for what the venue cannot have meant."""
        try:
            envelope = self._envelope.decode(data)
            body: bytes | bytearray | memoryview | msgspec.Raw = data
            kind = envelope.e
            if envelope.stream and len(memoryview(envelope.data)):
                body = envelope.data
                kind = self._envelope.decode(body).e or envelope.stream.partition("@")[2].partition("@")[0]
            elif not kind and not envelope.stream and envelope.s:
                kind = "bookTicker"
            if kind == "depthUpdate":
                return self._on_depth(self._depth.decode(body), now_ns)
            if kind in ("trade", "aggTrade"):
                return self._on_trade(self._trade.decode(body), now_ns)
            if kind == "bookTicker":
                return self._on_ticker(self._ticker.decode(body), now_ns)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"a market message is not what the venue sends: {error}") from None
        return _IGNORED

    def snapshot(self, instrument: Instrument, data: bytes) -> SnapshotRows:
        """Decode a REST depth snapshot; DataError or UnitError for what it cannot be."""
        try:
            found = self._snapshot.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DataError(f"{instrument.symbol}: the depth snapshot is not what the venue sends: {error}") from None
        bids, asks = self._steps(instrument, found.bids), self._steps(instrument, found.asks)
        if bids and asks and max(px for px, _ in bids) >= min(px for px, _ in asks):
            raise DataError(f"{instrument.symbol}: the depth snapshot's book is crossed")
        return SnapshotRows(found.last_update, found.T * _MS, bids, asks)

    def _steps(self, instrument: Instrument, levels: Levels) -> list[tuple[int, int]]:
        return [(_px(instrument, px), self._lots(instrument, qty)) for px, qty in levels]

    def _lots(self, instrument: Instrument, text: str) -> int:
        number = to_decimal(text, f"{instrument.symbol} quantity")
        if number < 0:
            raise UnitError(f"{instrument.symbol} quantity must not be negative, found {text}")
        # Compared before it becomes an integer: one with a million digits would take forever.
        try:
            is_too_much = number / instrument.lot_size > INT64_MAX
        except ArithmeticError:
            is_too_much = True
        if is_too_much:
            raise UnitError(f"{instrument.symbol} quantity {text} is more lots than 64 bits hold")
        lots = int(number / instrument.lot_size)
        if lots * instrument.lot_size != number:
            self.n_off_lot += 1
        return lots

    def _of(self, symbol: str) -> tuple[int, Instrument] | None:
        return self._by_symbol.get(symbol)

    def _on_depth(self, depth: Depth, now_ns: int) -> Decoded:
        found = self._of(depth.s)
        if found is None:
            return _IGNORED
        i, instrument = found
        if depth.u < depth.U:
            raise DataError(f"{depth.s}: a depth event ends at id {depth.u} before it begins at {depth.U}")
        if depth.pu is None and not self._is_spot:
            raise DataError(f"{depth.s}: a depth event of futures without the id before it (pu)")
        rows = level_rows(i, self._steps(instrument, depth.b), self._steps(instrument, depth.a))
        rows["ts_exch"] = _time(depth.s, (depth.T or depth.E) * _MS, now_ns)
        rows["ts_recv"] = now_ns
        rows["id"] = depth.u
        previous = -1 if depth.pu is None or self._is_spot else depth.pu
        return Decoded(LEVEL, i, rows, depth.U, depth.u, previous)

    def _on_trade(self, trade: Trade, now_ns: int) -> Decoded:
        found = self._of(trade.s)
        # The insurance fund and forced deleveraging are no market trades.
        if found is None or trade.X not in (None, "MARKET"):
            return _IGNORED
        i, instrument = found
        number = trade.t if trade.t is not None else trade.a
        if number is None:
            raise DataError(f"{trade.s}: a trade without an id")
        n_off_lot = self.n_off_lot
        px, qty = _px(instrument, trade.p), self._lots(instrument, trade.q)
        if qty == 0:
            if self.n_off_lot > n_off_lot:
                return _IGNORED
            raise DataError(f"{trade.s}: a trade of size 0")
        rows = np.zeros(1, EVENT)
        side = SELL if trade.m else BUY
        exch = _time(trade.s, trade.T * _MS, now_ns)
        rows[0] = (exch, now_ns, px, qty, number, 0, 0, TRADE, side, 0, LOCAL | LAST, i)
        return Decoded(TRADE, i, rows)

    def _on_ticker(self, ticker: Ticker, now_ns: int) -> Decoded:
        found = self._of(ticker.s)
        if found is None:
            return _IGNORED
        i, instrument = found
        bid, ask = _px(instrument, ticker.b), _px(instrument, ticker.a)
        if bid >= ask:
            raise DataError(f"{ticker.s}: the quote is crossed: bid {ticker.b}, ask {ticker.a}")
        sizes = self._lots(instrument, ticker.B), self._lots(instrument, ticker.A)
        rows = np.zeros(1, EVENT)
        exch = _time(ticker.s, ticker.T * _MS or now_ns, now_ns)
        rows[0] = (exch, now_ns, bid, sizes[0], ticker.u, ask, sizes[1], QUOTE, 0, 0, LOCAL | LAST, i)
        return Decoded(QUOTE, i, rows)


def _time(symbol: str, exch_ns: int, now_ns: int) -> int:
    if abs(exch_ns - now_ns) > _SKEW_MAX_NS:
        raise DataError(f"{symbol}: venue time {exch_ns} ns is more than a day from receipt time {now_ns} ns")
    return exch_ns


def _px(instrument: Instrument, text: str) -> int:
    px = instrument.ticks(text)
    if px <= 0:
        raise UnitError(f"{instrument.symbol} price must be above 0, found {text}")
    return int(px)


def level_rows(i: int, bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> np.ndarray:
    """(n_bids + n_asks,) EVENT LEVEL rows, bids first, without times and ids; flags LOCAL, and LAST at the end."""
    rows = np.zeros(len(bids) + len(asks), EVENT)
    rows["kind"], rows["flags"], rows["instrument"] = LEVEL, LOCAL, i
    if len(rows):
        rows["px"], rows["qty"] = np.array(bids + asks, np.int64).reshape(-1, 2).T
        rows["side"][: len(bids)], rows["side"][len(bids) :] = BUY, SELL
        rows["flags"][-1] |= LAST
    return rows


def snapshot_rows(i: int, found: SnapshotRows, exch_ns: int, now_ns: int, keep_far: bool) -> np.ndarray:
    """A snapshot as rows: for each side a CLEAR up to its farthest level (all of it unless keep_far), then its levels.

    keep_far: levels beyond the snapshot's range are known to be still true (ADR 10).
    """
    bids, asks = found.bids, found.asks
    far_bid = [(min(px for px, _ in bids), 0)] if bids else []
    far_ask = [(max(px for px, _ in asks), 0)] if asks else []
    rows = level_rows(i, far_bid + bids, far_ask + asks)
    n_bids = len(far_bid) + len(bids)
    for at in ([0] if bids else []) + ([n_bids] if asks else []):
        rows["kind"][at] = CLEAR
        if not keep_far:
            rows["px"][at] = 0
    rows["flags"] |= SNAPSHOT
    rows["ts_exch"], rows["ts_recv"], rows["id"] = exch_ns, now_ns, found.last
    return rows
