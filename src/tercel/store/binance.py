"""Imports raw Binance captures, USD-M futures and spot: gzip text, one message a line, into a tape.

A line is the local receive time in nanoseconds, a space, and the venue's message unchanged, combined stream or bare;
REST depth snapshots are lines of their own. Every depth level is a LEVEL row, every trade a TRADE row (futures: only
those with X = MARKET, the others are insurance fund and ADL), every bookTicker a QUOTE row; the last row of a message
carries LAST. Venue time is T where the message has one, else E. Reading is one pass with flat memory. Parsing ends
here: ids are judged in `binance_sync`, numbers in `grid`, files in `lines`. Called by `imports`.

Times of spot that the venue does not send: a snapshot gets the venue time of the newest depth event that is in it, a
bookTicker its own corrected receipt time.

A snapshot is older than depth events that arrived while it travelled. The venue's book is right regardless, because
venue times put the snapshot in its place. The strategy's book is right only if those events are applied again after
the snapshot, as the venue's procedure says: with `reapply` the levels they changed are restated by rows with flags
LOCAL and SNAPSHOT and no EXCH. Spot does so by default: in the public BTCUSDT capture one such level, a bid removed
while the snapshot travelled, is never mentioned again and would leave the book crossed for good. For USD-M futures the
default is the stream as received, row for row what other tools make of it (in the public capture 34 levels are then out
of date until the stream restates them, most within 3 s, the last after 47 s).
"""

from __future__ import annotations

import re
from collections import Counter, deque
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec

from tercel.errors import ConfigError, DataError, UnitError
from tercel.model.events import LOCAL, SNAPSHOT
from tercel.model.instrument import Instrument
from tercel.model.units import INT64_MAX
from tercel.store.binance_block import Block
from tercel.store.binance_messages import Depth, Envelope, Levels, Snapshot, Ticker, Trade
from tercel.store.binance_sync import DepthSync
from tercel.store.grid import Grid
from tercel.store.lines import BadLines, Progress, SourceLines
from tercel.store.tape import Tape, TapeMeta
from tercel.store.touch import TouchCheck
from tercel.store.writing import Spool, finish_tape, spooling

__all__ = ["import_binance"]

_BLOCK_LINES = 1 << 13
#: Depth events that may arrive while a snapshot travels: minutes of any stream.
_RECENT_EVENTS = 4096
_MS = 1_000_000
#: A venue time further than this from the receive time is damage, not a slow clock.
_SKEW_MAX_NS = 86_400 * 1_000_000_000
#: A number with more digits than a float64 is sure to keep.
_LONG_NUMBER = re.compile(rb'"[0-9.]{18,}"')
_QUOTE_CURRENCIES = ("USDT", "USDC", "FDUSD", "BUSD", "TUSD", "USD", "BTC", "ETH", "BNB", "EUR", "TRY", "GBP", "JPY")


class _Recent(NamedTuple):
    """A depth event kept in case a snapshot that is older arrives after it."""

    last: int
    exch_ns: int
    bids: Levels
    asks: Levels

    @property
    def sides(self) -> tuple[Levels, Levels]:
        return self.bids, self.asks


class _Importer:
    """One pass over one capture."""

    def __init__(
        self,
        path: Path,
        spool: Spool,
        bad_lines: BadLines,
        on_gap: str,
        market: str,
        grids: tuple[Grid, Grid],
        reapply: bool | None,
    ) -> None:
        self.path = path
        self.messages: Counter[str] = Counter()
        self.symbol = ""
        self.market = market
        self.sync: DepthSync | None = None
        self.n_out_of_date = 0  #: levels a snapshot set back, restated or not
        self.reapply = reapply
        self._touch = TouchCheck()
        self._recent: deque[_Recent] = deque(maxlen=_RECENT_EVENTS)
        self._spool = spool
        self._bad = bad_lines
        self._on_gap = on_gap
        self._block = Block(*grids)
        self._recv = 0
        self._venue_time = 0
        self._envelope = msgspec.json.Decoder(Envelope)
        # strict=False reads the venue's quoted numbers straight into floats.
        self._depth = msgspec.json.Decoder(Depth, strict=False)
        self._trade = msgspec.json.Decoder(Trade, strict=False)
        self._ticker = msgspec.json.Decoder(Ticker, strict=False)
        self._snapshot = msgspec.json.Decoder(Snapshot, strict=False)
        self._handlers = {
            "depthUpdate": self._on_depth, "depth": self._on_depth, "trade": self._on_trade,
            "bookTicker": self._on_ticker,
        }  # fmt: skip

    def read(self, lines: SourceLines) -> None:
        """Take every line, then flush what is left."""
        for first, block in lines:
            for line, text in enumerate(block, first):
                if text.strip():
                    self._line(line, text)
                if self._block.n_messages >= _BLOCK_LINES:
                    self._flush()
        self._flush()

    def _line(self, line: int, text: bytes) -> None:
        stamp, space, body = text.partition(b" ")
        if not space or not stamp.isdigit() or not 18 <= len(stamp) <= 19 or int(stamp) > INT64_MAX:
            found = text[:40].decode(errors="replace")
            self._bad.bad(line, "no_receive_time", f"expected a receive time in ns and a message, found {found!r}")
            return
        recv = int(stamp)
        if recv < self._recv:
            what = f"time runs backwards: received at {recv}, the line before at {self._recv}"
            self._bad.bad(line, "time_backwards", what)
            return
        if _LONG_NUMBER.search(body) and (number := _inexact(body)):
            self._bad.bad(line, "too_many_digits", f"{number} has more digits than are kept exactly", UnitError)
            return
        try:
            envelope = self._envelope.decode(body)
            data = envelope.data if len(memoryview(envelope.data)) else body
            if envelope.last_update is not None:
                self._on_snapshot(line, recv, body)
            else:
                kind = envelope.e or envelope.stream.partition("@")[2].partition("@")[0]
                handler = self._handlers.get(kind)
                if handler is None:
                    self.messages["ignored:" + (kind or "reply")] += 1
                else:
                    handler(line, recv, data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._bad.bad(line, "malformed_message", f"the message is not what the venue sends: {error}")
            return
        self._recv = recv

    def _is_plausible(self, line: int, exch: int, recv: int) -> bool:
        """Whether a venue time can belong to a receive time; if not, the line is bad."""
        if abs(exch - recv) <= _SKEW_MAX_NS:
            return True
        what = f"venue time {exch} ns is more than a day from receive time {recv} ns"
        self._bad.bad(line, "implausible_time", what)
        return False

    def _identify(self, line: int, symbol: str, market: str) -> None:
        """Learn symbol and market from the first message; refuse a second symbol."""
        if not self.symbol:
            self.symbol = symbol
            self.market = self.market or market
        elif symbol != self.symbol:
            raise DataError(
                f"{self.path}, line {line}: symbol {symbol} in a capture of {self.symbol}: "
                f"split the capture, one symbol a file"
            )
        if self.sync is None:
            self.sync = DepthSync(self.path, self.market == "spot", self._on_gap)

    def _on_depth(self, line: int, recv: int, data: bytes | msgspec.Raw) -> None:
        depth = self._depth.decode(data)
        if depth.u < depth.U:
            what = f"the depth event ends at id {depth.u} before it begins at {depth.U}"
            self._bad.bad(line, "malformed_message", what)
            return
        if depth.s != self.symbol or self.sync is None:
            self._identify(line, depth.s, "spot" if depth.pu is None else "usdm")
        assert self.sync is not None
        self.messages["depth"] += 1
        exch = (depth.T or depth.E) * _MS
        if not self._is_plausible(line, exch, recv):
            return
        self._venue_time = exch
        n_gaps = self.sync.n_gaps
        if self.sync.event(line, depth.U, depth.u, depth.pu):
            if self.sync.n_gaps > n_gaps:
                self._touch.forget()
            if (crossed := self._touch.crosses(depth.b, depth.a)) is not None:
                what = f"the book is crossed after this message: bid {crossed[0]}, ask {crossed[1]}"
                self._bad.bad(line, "crossed_book", what)
                return
            self._block.depth(line, exch, recv, depth.u, depth.b, depth.a)
            self._recent.append(_Recent(depth.u, exch, depth.b, depth.a))

    def _on_trade(self, line: int, recv: int, data: bytes | msgspec.Raw) -> None:
        trade = self._trade.decode(data)
        if trade.s != self.symbol:
            self._identify(line, trade.s, "spot" if trade.X is None else "usdm")
        self.messages["trade"] += 1
        if trade.X not in (None, "MARKET"):
            self.messages["trade:not_market"] += 1
            return
        if not self._is_plausible(line, trade.T * _MS, recv):
            return
        self._venue_time = trade.T * _MS
        self._block.trade(line, trade.T * _MS, recv, trade.t, trade.p, trade.q, -1 if trade.m else 1)

    def _on_ticker(self, line: int, recv: int, data: bytes | msgspec.Raw) -> None:
        ticker = self._ticker.decode(data)
        if ticker.s != self.symbol:
            self._identify(line, ticker.s, "usdm" if ticker.e else "spot")
        self.messages["bookTicker"] += 1
        if not self._is_plausible(line, ticker.T * _MS or recv, recv):
            return
        if not ticker.T:
            self._spool.untimed_quotes = True
        self._block.quote(line, ticker.T * _MS or recv, recv, ticker.u, (ticker.b, ticker.B, ticker.a, ticker.A))

    def _on_snapshot(self, line: int, recv: int, data: bytes) -> None:
        snapshot = self._snapshot.decode(data)
        if self.sync is None:
            self.market = self.market or ("usdm" if snapshot.T else "spot")
            self.sync = DepthSync(self.path, self.market == "spot", self._on_gap)
        self.messages["snapshot"] += 1
        if not self._is_plausible(line, snapshot.T * _MS or recv, recv):
            return
        if snapshot.bids and snapshot.asks:
            bid, ask = max(level[0] for level in snapshot.bids), min(level[0] for level in snapshot.asks)
            if bid >= ask:
                self._bad.bad(line, "crossed_snapshot", f"the snapshot's book is crossed: bid {bid}, ask {ask}")
                return
        keep_far = self.sync.snapshot(line, snapshot.last_update)
        last = snapshot.last_update
        exch = snapshot.T * _MS or self._snapshot_time(last) or self._venue_time or recv
        self._block.snapshot(line, exch, recv, last, snapshot.bids, snapshot.asks, keep_far)
        bids, asks = self._changed_since(snapshot, keep_far)
        self._touch.snapshot(snapshot.bids, snapshot.asks, bids, asks)
        self.n_out_of_date += len(bids) + len(asks)
        if (bids or asks) and (self.reapply or (self.reapply is None and self.market == "spot")):
            self._block.depth(line, exch, recv, self._recent[-1].last, bids, asks, LOCAL | SNAPSHOT)

    def _snapshot_time(self, last_update: int) -> int:
        """Venue time of a snapshot that carries none: after the newest event in it, before the first that is not."""
        inside = [event.exch_ns for event in self._recent if event.last <= last_update]
        outside = [event.exch_ns for event in self._recent if event.last > last_update]
        return inside[-1] if inside else (outside[0] - _MS if outside else 0)

    def _changed_since(self, snapshot: Snapshot, keep_far: bool) -> tuple[Levels, Levels]:
        """Levels that events newer than a snapshot had changed before it arrived, and that it sets back."""
        newer = [event for event in self._recent if event.last > snapshot.last_update]
        changed = []
        for i_side, levels in enumerate((snapshot.bids, snapshot.asks)):
            stated = dict(levels)
            known = {px: qty for event in newer for px, qty in event.sides[i_side]}
            edge = levels[-1][0] if levels and keep_far else None
            changed.append(
                [
                    (px, qty)
                    for px, qty in known.items()
                    if stated.get(px, 0.0) != qty and (edge is None or (px >= edge if i_side == 0 else px <= edge))
                ]
            )
        return changed[0], changed[1]

    def _flush(self) -> None:
        rows, refused = self._block.rows()
        for line, reason, what in refused:
            self._bad.bad(line, reason, what, UnitError if reason == "off_grid" else DataError)
        self._spool.append(rows)


def _inexact(body: bytes) -> str:
    """The first number of a message that a float64 would change, or nothing."""
    found: list[bytes] = _LONG_NUMBER.findall(body)
    for quoted in found:
        text = quoted[1:-1].decode()
        try:
            if Decimal(text) != Decimal(repr(float(text))):
                return text
        except (ValueError, ArithmeticError):
            return text
    return ""


def _instrument(symbol: str, market: str, tick: Decimal, lot: Decimal) -> Instrument:
    quote = next((name for name in _QUOTE_CURRENCIES if symbol.endswith(name) and symbol != name), "")
    return Instrument(
        symbol=symbol, tick_size=tick, lot_size=lot, venue=f"binance-{market}",
        kind="spot" if market == "spot" else "linear", base=symbol.removesuffix(quote), quote=quote,
    )  # fmt: skip


def import_binance(
    path: str | Path,
    out: str | Path,
    *,
    tick: Decimal | str | float | None = None,
    lot: Decimal | str | float | None = None,
    market: str | None = None,
    on_bad_line: str = "stop",
    on_gap: str | None = None,
    reapply: bool | None = None,
    progress: Progress | None = None,
) -> Tape:
    """Import one raw capture of one symbol into the tape `out` and open it.

    tick, lot: the instrument's steps; inferred from the data's decimals when not given, which the metadata says.
    market: "usdm" or "spot"; found out from the messages when not given. on_bad_line: "stop" or "skip" (and count).
    on_gap: "stop" or "continue" (and note); follows on_bad_line when not given, since a skipped depth line is a gap.
    reapply: restate for the strategy what a snapshot set back, see above; by default on spot only. progress: called
    with compressed bytes done and in all.

    Every `ts_recv` is shifted by the clock correction that makes the smallest latency of depth and trades zero, where
    it is negative. Raises DataError, GapError or UnitError naming file and line; nothing is left at `out` then.
    """
    if market not in (None, "usdm", "spot"):
        raise ConfigError(f'market must be "usdm" or "spot", found {market!r}')
    source = Path(path)
    bad_lines = BadLines(source, on_bad_line)
    gaps = on_gap or ("stop" if bad_lines.stops else "continue")
    lines = SourceLines(source, bad_lines, progress)
    grids = Grid(tick, "price", "1e-10"), Grid(lot, "size", "1e-8")
    with spooling(Path(out)) as spool:
        importer = _Importer(source, spool, bad_lines, gaps, market or "", grids, reapply)
        importer.read(lines)
        if not spool.n_rows or not importer.symbol or importer.sync is None:
            raise DataError(f"{source} holds no Binance depth, trade or bookTicker message: wrong format or empty file")
        inferred = grids[0].inferred or grids[1].inferred
        spool.rescale(grids[0].divisor(), grids[1].divisor())
        correction, quote_lead = spool.correct_clock()
        instrument = _instrument(importer.symbol, importer.market, grids[0].step, grids[1].step)
        meta = TapeMeta(
            instruments=[instrument], source=source.name, source_sha256=lines.sha256,
            format=f"binance-{importer.market}", messages=dict(importer.messages), clock_correction_ns=correction,
            quote_lead_ns=quote_lead, gaps=importer.sync.gaps, n_gaps=importer.sync.n_gaps, skipped=bad_lines.skipped,
            grid="inferred" if inferred else "given", notes=_notes(importer, importer.sync, spool),
        )  # fmt: skip
        return finish_tape(spool, meta)


def _notes(importer: _Importer, sync: DepthSync, spool: Spool) -> list[str]:
    notes = []
    if sync.n_snapshots == 0:
        notes.append("no snapshot: levels that were never updated are unknown")
    if sync.n_older:
        notes.append(f"{sync.n_older} depth events older than the snapshot kept: they state levels outside its range")
    if sync.n_stale:
        notes.append(f"{sync.n_stale} depth events older than the snapshot before them left out")
    if importer.n_out_of_date:
        restated = importer.reapply or (importer.reapply is None and importer.market == "spot")
        what = "restated for the strategy" if restated else "left so until the stream restates them (reapply=False)"
        notes.append(f"{importer.n_out_of_date} levels set back by a snapshot older than the stream: {what}")
    if spool.untimed_quotes:
        notes.append("quotes carry no venue time: theirs is the corrected receipt time")
    return notes
