"""Where orders of the venue's clients meet a market: a simulated one that they join, or a tape that they trade by.

Both speak one language: `run` brings what happened up to a time, `submit`, `cancel` and `reduce` act on one order, and
all give `Happening`s in order. In the simulated market clients' orders rest in the same L3 book as everybody's, in
price-time priority, and show in its depth. Beside a tape they fill by the simulated venue's rules (docs/queue-models),
do not move the tape's market but for what they take, and do not meet each other. Called by the order desk.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np

from tercel.errors import ConfigError
from tercel.localvenue.depth import DepthBook
from tercel.model.commands import AMEND, CANCEL, FOK, GTC, GTX, IOC, LIMIT, MARKET, NEW
from tercel.model.events import (
    AMEND_REJECT,
    CANCEL_REJECT,
    CLEAR,
    EXCH,
    EXPIRED,
    FILL,
    LAST,
    LEVEL,
    REJECT,
    TAKER,
    TRADE,
)
from tercel.model.instrument import Instrument
from tercel.model.reasons import FOK_UNFILLABLE, WOULD_TAKE
from tercel.sim.market import MarketModel
from tercel.sim.market_foreign import (
    OUTCOME_DONE,
    OUTCOME_FULL,
    OUTCOME_UNFILLABLE,
    OUTCOME_WOULD_TAKE,
    RULE_FOK,
    RULE_IOC,
    RULE_POST,
    RULE_REST,
)
from tercel.sim.market_open import FOREIGN_ID, OpenMarket, Row
from tercel.sim.serving import ServedVenue

__all__ = ["FIRST_ORDER_ID", "Happening", "Marketplace", "Placed", "SimulatedMarket", "TapeMarket"]

#: Order ids of the venue's clients start here.
FIRST_ORDER_ID = FOREIGN_ID
#: A price that no order is beyond.
_NO_LIMIT = 1 << 45


class Happening(msgspec.Struct, gc=False):
    """Something at the market. kind: LEVEL (px, lots: size now), TRADE (side: the aggressor's, id: of the trade), FILL
    (of the resting order `id`, in trade `trade_id`), CANCELED (order `id`, self-trade prevention) or CLEAR. ns: when.
    """

    kind: int
    side: int
    px: int
    lots: int
    id: int
    trade_id: int
    ns: int
    is_last: bool


class Placed(NamedTuple):
    """What a submitted order did. outcome: `market_foreign.OUTCOME_*`; left: lots untraded."""

    happenings: list[Happening]
    outcome: int
    left: int


class Marketplace(Protocol):
    """One symbol's market. Times in ns of the venue's clock; px None for a market order."""

    def start(self, now_ns: int) -> None:
        """The venue's clock starts."""
        ...

    def opening(self) -> list[Happening]:
        """The book at the start."""
        ...

    def run(self, now_ns: int) -> list[Happening]:
        """What happened up to now."""
        ...

    def submit(
        self, order_id: int, owner: int, side: int, px: int | None, lots: int, rule: int, stp: int, now_ns: int
    ) -> Placed:
        """A new order. rule, stp: `market_foreign.RULE_*`, `STP_*`."""
        ...

    def cancel(self, order_id: int, now_ns: int) -> list[Happening] | None:
        """Take an order out; None when it does not rest."""
        ...

    def reduce(self, order_id: int, px: int, lots: int, now_ns: int) -> list[Happening] | None:
        """Leave only `lots` of an order, in its place; None when it does not rest."""
        ...


class SimulatedMarket:
    """Simulated participants, joined by the venue's clients. speed: market seconds in a second of the venue."""

    def __init__(self, model: MarketModel, seed: int, speed: float = 1.0) -> None:
        self._model, self._seed, self._speed = model, seed, speed
        self._market: OpenMarket | None = None
        self._start_ns = 0

    def start(self, now_ns: int) -> None:
        """Build the market, its book warmed up, at this time."""
        self._start_ns = now_ns
        model: dict[str, Any] = {name: getattr(self._model, name) for name in MarketModel.__struct_fields__}
        self._market = OpenMarket(MarketModel(**{**model, "start_ns": now_ns}), self._seed)

    @property
    def market(self) -> OpenMarket:
        """The market; ConfigError before the start."""
        if self._market is None:
            raise ConfigError("the venue has not been started")
        return self._market

    def _inner(self, now_ns: int) -> int:
        if self._speed == 1.0:
            return now_ns
        return self._start_ns + int((now_ns - self._start_ns) * self._speed)

    def _told(self, rows: list[Row], now_ns: int = 0) -> list[Happening]:
        """Rows of the market in the venue's words and times."""
        if not now_ns and self._speed != 1.0:
            start_ns, speed = self._start_ns, self._speed
            rows = [(start_ns + int((row[0] - start_ns) / speed), *row[1:]) for row in rows]  # type: ignore[misc]
        return [
            Happening(kind, side, px, lots, id, trade_id, now_ns or ts, flags & LAST != 0)
            for ts, _, px, lots, id, _left, trade_id, kind, side, _reason, flags, _ in rows
        ]

    def opening(self) -> list[Happening]:
        """The book as it stands, as LEVEL happenings."""
        return self._told([row for row in self.market.snapshot().tolist() if row[7] == LEVEL])

    def run(self, now_ns: int) -> list[Happening]:
        """What the participants did up to now."""
        return self._told(self.market.run(self._inner(now_ns)))

    def submit(
        self, order_id: int, owner: int, side: int, px: int | None, lots: int, rule: int, stp: int, now_ns: int
    ) -> Placed:
        """A new order joins the book."""
        limit = px if px is not None else (_NO_LIMIT if side > 0 else 0)
        done = self.market.submit(order_id, owner, side, limit, lots, rule, stp, self._inner(now_ns))
        return Placed(self._told(done.rows, now_ns), done.outcome, done.left)

    def cancel(self, order_id: int, now_ns: int) -> list[Happening] | None:
        """Take an order out of the book."""
        rows = self.market.cancel(order_id, self._inner(now_ns))
        return None if rows is None else self._told(rows, now_ns)

    def reduce(self, order_id: int, px: int, lots: int, now_ns: int) -> list[Happening] | None:
        """Make an order smaller in its place."""
        rows = self.market.reduce(order_id, lots, self._inner(now_ns))
        return None if rows is None else self._told(rows, now_ns)


_TIF = {RULE_REST: GTC, RULE_IOC: IOC, RULE_FOK: FOK, RULE_POST: GTX}
_OUTCOMES = {WOULD_TAKE: OUTCOME_WOULD_TAKE, FOK_UNFILLABLE: OUTCOME_UNFILLABLE}


class TapeMarket:
    """One instrument's rows of a tape, played from the venue's start at `speed` times its pace.

    rows: (n,) EVENT of this instrument alone, scheduled as `Tape.rows` has them, instrument number 0. book: the
    venue's own picture of the depth, which takes are subtracted from.
    """

    def __init__(self, instrument: Instrument, rows: np.ndarray, book: DepthBook, speed: float = 1.0) -> None:
        if len(rows) == 0:
            raise ConfigError(f"the tape has no rows of {instrument.symbol}")
        self._rows = np.ascontiguousarray(rows[(rows["flags"] & EXCH) != 0])
        self._venue = ServedVenue([instrument])
        self._book = book
        self._speed = speed
        self._start_ns, self._first_ns = 0, int(self._rows["ts_exch"][0])
        self._at = 0
        self._trade_id = 0

    @property
    def is_over(self) -> bool:
        """Whether the last row has been played; the book then stays as it is."""
        return self._at >= len(self._rows)

    def start(self, now_ns: int) -> None:
        """The tape's first row happens now."""
        self._start_ns = now_ns

    def _inner(self, now_ns: int) -> int:
        return self._first_ns + int((now_ns - self._start_ns) * self._speed)

    def _outer(self, ts_ns: int) -> int:
        return self._start_ns + int((ts_ns - self._first_ns) / self._speed)

    def opening(self) -> list[Happening]:
        """The rows of the tape's first moment, its snapshot."""
        return self.run(self._start_ns)

    def run(self, now_ns: int) -> list[Happening]:
        """The tape's rows up to now, and the fills they brought."""
        ts_end = self._inner(now_ns) + 1
        first = self._at
        self._at, answers = self._venue.apply(self._rows, first, ts_end)
        found: list[Happening] = []
        for ts, _, px, lots, id, _, _, kind, side, _, flags, _ in self._rows[first : self._at].tolist():
            if kind == TRADE:
                self._trade_id += 1
                id = self._trade_id
            if kind in (LEVEL, TRADE, CLEAR):
                found.append(Happening(kind, side, px, lots, id, 0, self._outer(ts), flags & LAST != 0))
        for row in answers:
            if row[7] == FILL:
                found.append(self._fill(row, self._outer(row[0])))
        return found

    def _fill(self, row: Row, ns: int) -> Happening:
        """A resting order's fill: a trade of its own number, which the tape's tape already shows as its own."""
        self._trade_id += 1
        return Happening(FILL, row[8], row[2], row[3], row[4], self._trade_id, ns, True)

    def submit(
        self, order_id: int, owner: int, side: int, px: int | None, lots: int, rule: int, stp: int, now_ns: int
    ) -> Placed:
        """A new order, by the simulated venue's rules."""
        kind = MARKET if px is None else LIMIT
        tif = IOC if px is None else _TIF[rule]
        ts = self._inner(now_ns)
        answers = self._venue.send(NEW, order_id, 0, ts, side=side, px=px or 0, qty=lots, type=kind, tif=tif)
        found: list[Happening] = []
        outcome, left = OUTCOME_DONE, lots
        for row in answers:
            if row[7] == FILL and row[10] & TAKER:
                left -= row[3]
                self._trade_id += 1
                found.append(Happening(TRADE, side, row[2], row[3], self._trade_id, 0, now_ns, False))
                levels = self._book.asks if side > 0 else self._book.bids
                rest = max(0, levels.get(row[2], 0) - row[3])
                found.append(Happening(LEVEL, -side, row[2], rest, 0, 0, now_ns, True))
            elif row[7] == FILL:
                found.append(self._fill(row, now_ns))
            elif row[7] == EXPIRED:
                outcome = _OUTCOMES.get(row[9], OUTCOME_DONE)
            elif row[7] == REJECT:
                outcome = OUTCOME_FULL
        return Placed(found, outcome, left)

    def cancel(self, order_id: int, now_ns: int) -> list[Happening] | None:
        """Take an order out."""
        answers = self._venue.send(CANCEL, order_id, 0, self._inner(now_ns))
        return None if any(row[7] == CANCEL_REJECT for row in answers) else []

    def reduce(self, order_id: int, px: int, lots: int, now_ns: int) -> list[Happening] | None:
        """Make an order smaller in its place."""
        answers = self._venue.send(AMEND, order_id, 0, self._inner(now_ns), px=px, qty=lots)
        return None if any(row[7] == AMEND_REJECT for row in answers) else []
