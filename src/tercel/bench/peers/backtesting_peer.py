"""backtesting.py's side of the SMA cross on bars: its Strategy, its Backtest, filling at the close.

The averages are computed outside the bar loop by pandas, as its tutorial does. backtesting.py is imported inside
functions; only the benchmark calls this module.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import numpy as np

from tercel.bench.peers import load
from tercel.bench.questions import BARS, SMA_FAST, SMA_LOTS, SMA_SLOW, bar_rows
from tercel.bench.results import FILL, Outcome
from tercel.clock import monotonic_ns

__all__ = ["SmaPeer", "sma_bars"]

_CASH = 100_000_000.0


def _strategy() -> Any:
    """The SMA cross as a backtesting.py strategy; made here because its base class comes with the peer."""
    pandas = load("pandas")
    base: Any = load("backtesting").Strategy

    def mean(values: Any, n: int) -> Any:
        return pandas.Series(values).rolling(n).mean()

    class SmaCross(base):  # type: ignore[misc]
        """Long one size while the fast mean is above the slow one, flat otherwise."""

        def init(self) -> None:
            self.fast = self.I(mean, self.data.Close, SMA_FAST)
            self.slow = self.I(mean, self.data.Close, SMA_SLOW)

        def next(self) -> None:
            fast, slow = self.fast[-1], self.slow[-1]
            if fast > slow:
                if not self.position:
                    self.buy(size=SMA_LOTS)
            elif fast < slow:
                if self.position:
                    self.position.close()

    return SmaCross


class SmaPeer:
    """backtesting.py made ready for the SMA cross."""

    def __init__(self, closes: np.ndarray) -> None:
        """`closes` in int64 ticks, (n,)."""
        peer = load("backtesting")
        pandas = load("pandas")
        self.name = f"backtesting.py {peer.__version__}"
        self.n_events = len(closes)
        rows, tick = bar_rows(closes), float(BARS.tick_size)
        columns = {"Open": "id", "High": "arg0", "Low": "arg1", "Close": "px"}
        frame = pandas.DataFrame({name: rows[field] * tick for name, field in columns.items()})
        frame.index = pandas.to_datetime(rows["ts_recv"])
        self._close = frame["Close"].to_numpy()
        self._backtest = peer.Backtest(frame, _strategy(), cash=_CASH, commission=0.0, trade_on_close=True)

    def _run(self) -> Any:
        # It warns that a trade is still open at the end (the question lets it stay open) and draws a progress bar.
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            return self._backtest.run()

    def once(self) -> float:
        """One timed run."""
        start_ns = monotonic_ns()
        self._run()
        return (monotonic_ns() - start_ns) / 1e9

    def outcome(self) -> Outcome:
        """One run, its trades read back as pairs of fills."""
        result = self._run()
        strategy, tick = result["_strategy"], float(BARS.tick_size)
        rows: list[tuple[int, int, int, int]] = []
        for trade in (*strategy.closed_trades, *strategy.trades):
            size = int(trade.size)
            rows.append((int(trade.entry_bar), round(trade.entry_price / tick), size, 1))
            if trade.exit_bar is not None:
                rows.append((int(trade.exit_bar), round(trade.exit_price / tick), size, -1))
        rows.sort()
        fills = np.zeros(len(rows), FILL)
        for number, (bar, px, qty, side) in enumerate(rows):
            fills[number] = (number + 1, bar, bar, px, qty, side)
        position = int((fills["qty"] * fills["side"]).sum())
        equity = float(result["Equity Final [$]"])
        return Outcome(
            fills=fills, position=position, balance=equity - _CASH - position * float(self._close[-1]), fee=0.0
        )


def sma_bars(closes: np.ndarray) -> SmaPeer:
    """backtesting.py on the question `sma_bars_50k`."""
    return SmaPeer(closes)
