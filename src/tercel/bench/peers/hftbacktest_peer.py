"""hftbacktest's side of the quoter questions: EVENT rows to its own event array, and the strategy in its own API.

The strategy follows `tercel.bench.questions` to the letter and hftbacktest's own advice for speed: compiled with
Numba, data preloaded as one array, no recorder in the timed run, orders looked up by id. The engine is made outside the
timed region. hftbacktest is imported inside functions; only the benchmark calls this module.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

import numpy as np

from tercel.bench.peers import load
from tercel.bench.questions import (
    LATENCY_NS,
    MAKER_FEE,
    PERP,
    POWER_N,
    QUOTE_NS,
    TAKER_FEE,
)
from tercel.bench.results import FILL, SENT, Outcome
from tercel.clock import monotonic_ns
from tercel.errors import DataError
from tercel.model.events import BUY, CLEAR, EXCH, LEVEL, LOCAL, SELL, SNAPSHOT, TRADE
from tercel.model.instrument import Instrument

__all__ = ["QuoterPeer", "hftbacktest_events", "quoter", "quoter_feed"]

Book = Literal["dense", "hash"]
Queue = Literal["power", "risk_averse"]

# hftbacktest's own codes (hftbacktest.types, hftbacktest.order), as plain globals so that kernels see constants.
_EXCH_EVENT, _LOCAL_EVENT, _BUY_EVENT, _SELL_EVENT = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_DEPTH, _TRADE, _DEPTH_CLEAR, _DEPTH_SNAPSHOT = 1, 2, 3, 4


def hftbacktest_events(rows: np.ndarray, instrument: Instrument = PERP) -> np.ndarray:
    """Scheduled EVENT rows (LEVEL, CLEAR, TRADE) as hftbacktest's event array, row for row, in the same order.

    Prices and sizes become the float64 nearest to the decimal number, as if read from the venue's text. A row that is
    for the venue only or for the strategy only keeps that flag. DataError for kinds hftbacktest has no word for.
    """
    types = load("hftbacktest.types")
    kind, side, flags = rows["kind"], rows["side"], rows["flags"]
    unknown = ~np.isin(kind, (LEVEL, CLEAR, TRADE))
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise DataError(f"row {row} has kind {int(kind[row])}; hftbacktest takes levels, clears and trades only")
    snapshot = (flags & SNAPSHOT) != 0
    code = np.where(kind == TRADE, _TRADE, np.where(kind == CLEAR, _DEPTH_CLEAR, _DEPTH)).astype(np.uint64)
    code[(kind == LEVEL) & snapshot] = _DEPTH_SNAPSHOT
    for present, bit in (
        (side == BUY, _BUY_EVENT),
        (side == SELL, _SELL_EVENT),
        ((flags & EXCH) != 0, _EXCH_EVENT),
        ((flags & LOCAL) != 0, _LOCAL_EVENT),
    ):
        code[present] |= np.uint64(bit)
    events = np.zeros(len(rows), types.event_dtype)
    events["ev"] = code
    events["exch_ts"], events["local_ts"] = rows["ts_exch"], rows["ts_recv"]
    events["px"] = _decimals(rows["px"], instrument.tick_size)
    events["qty"] = _decimals(rows["qty"], instrument.lot_size)
    events["qty"][kind == CLEAR] = 0.0
    return events


def _decimals(counts: np.ndarray, step: Decimal) -> np.ndarray:
    """counts * step as the nearest float64: one rounding, since both factors of the ratio are exact."""
    numerator, denominator = step.as_integer_ratio()
    exact: np.ndarray = (counts * numerator).astype(np.float64) / float(denominator)
    return exact


class QuoterPeer:
    """hftbacktest made ready for the quoter: fixed grid (`feed` False) or woken by every message (`feed` True)."""

    def __init__(self, events: np.ndarray, *, book: Book, queue: Queue, feed: bool) -> None:
        """`events` in hftbacktest's event dtype; kept alive and shared by all runs, read only."""
        self._peer = load("hftbacktest")
        from tercel.bench.peers import hftbacktest_strategy

        self._strategy = hftbacktest_strategy
        self._events = events
        self._book, self._queue, self._feed = book, queue, feed
        self.name = f"hftbacktest {self._peer.__version__} ({book} book)"
        self.n_events = len(events)
        trades = events["px"][(events["ev"] & np.uint64(0xFF)) == _TRADE]
        prices = trades if len(trades) else events["px"][events["px"] > 0]
        # A tenth either side of what traded: the touch never leaves it, and it is the range a user would choose.
        self._range = (round(float(prices.min()) * 0.9), round(float(prices.max()) * 1.1))

    def _engine(self) -> Any:
        asset = (
            self._peer.BacktestAsset()
            .data(self._events)
            .linear_asset(1.0)
            .constant_order_latency(LATENCY_NS, LATENCY_NS)
            .no_partial_fill_exchange()
            .trading_value_fee_model(MAKER_FEE, TAKER_FEE)
            .tick_size(float(PERP.tick_size))
            .lot_size(float(PERP.lot_size))
            .last_trades_capacity(0)
        )
        asset = asset.power_prob_queue_model(POWER_N) if self._queue == "power" else asset.risk_adverse_queue_model()
        if self._book == "hash":
            return self._peer.HashMapMarketDepthBacktest([asset])
        return self._peer.ROIVectorMarketDepthBacktest([asset.roi_lb(self._range[0]).roi_ub(self._range[1])])

    def _run(self, n_record: int) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, Any]:
        """One run; seconds in the engine, state, fills, sent, and hftbacktest's account values."""
        engine = self._engine()
        state = np.zeros(8, np.int64)
        state[self._strategy.NEXT_ID] = 1
        fills, sent = np.zeros((n_record, 5), np.int64), np.zeros((n_record, 5), np.int64)
        run = self._strategy.run_feed if self._feed else self._strategy.run_grid
        start_ns = monotonic_ns()
        run(engine, state, fills, sent)
        seconds = (monotonic_ns() - start_ns) / 1e9
        values = engine.state_values(0)
        account = (values.position, values.balance, values.fee, values.num_trades)
        engine.close()
        return seconds, state, fills, sent, account

    def once(self) -> float:
        """One timed run."""
        return self._run(0)[0]

    def outcome(self) -> Outcome:
        """One recorded run."""
        # A step sends at most two orders, and steps are at least QUOTE_NS apart.
        times = self._events["local_ts"]
        n_record = 2 * (int(times.max() - times.min()) // QUOTE_NS + 16)
        _, state, fills, sent, account = self._run(n_record)
        n_fills, n_sent = int(state[self._strategy.N_FILLS]), int(state[self._strategy.N_SENT])
        if n_fills != int(account[3]):
            raise DataError(f"hftbacktest counts {int(account[3])} fills, {n_fills} were seen on its orders")
        table = np.zeros(n_fills, FILL)
        for column, name in enumerate(("order", "ts_exch", "px", "qty", "side")):
            table[name] = fills[:n_fills, column]
        table["ts_recv"] = table["ts_exch"] + LATENCY_NS
        log = np.zeros(n_sent, SENT)
        for column, name in enumerate(("order", "ts", "px", "qty", "side")):
            log[name] = sent[:n_sent, column]
        if self._feed:
            log = log[log["ts"] < times.max()]
        return Outcome(
            fills=np.sort(table, order=["ts_exch", "order"]),
            position=round(account[0] / float(PERP.lot_size)),
            balance=float(account[1]),
            fee=float(account[2]),
            sent=log,
        )


def quoter(events: np.ndarray, *, book: Book = "dense", queue: Queue = "power") -> QuoterPeer:
    """hftbacktest on the question `quoter`; `events` from `hftbacktest_events`."""
    return QuoterPeer(events, book=book, queue=queue, feed=False)


def quoter_feed(events: np.ndarray, *, book: Book = "dense", queue: Queue = "power") -> QuoterPeer:
    """hftbacktest on the question `quoter_feed`; `events` from `hftbacktest_events`."""
    return QuoterPeer(events, book=book, queue=queue, feed=True)
