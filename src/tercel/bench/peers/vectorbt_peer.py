"""vectorbt's side of the SMA cross on bars: its moving averages, its signals, `Portfolio.from_signals`.

A run is everything from the closes to the final value: averages, signals, simulation, value. The first run in a fresh
process, import and compilation included, is timed by starting one. vectorbt is imported inside functions; only the
benchmark calls this module.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from tercel.bench.peers import PeerMissingError, load
from tercel.bench.questions import BARS, SMA_FAST, SMA_LOTS, SMA_SLOW
from tercel.bench.results import FILL, Outcome
from tercel.clock import monotonic_ns

__all__ = ["SmaPeer", "first_run_s", "sma_bars"]

_CASH = 100_000_000.0


class SmaPeer:
    """vectorbt made ready for the SMA cross."""

    def __init__(self, closes: np.ndarray) -> None:
        """`closes` in int64 ticks, (n,)."""
        self._peer = load("vectorbt")
        pandas = load("pandas")
        self.name = f"vectorbt {self._peer.__version__}"
        self.n_events = len(closes)
        self._price = pandas.Series(closes.astype(np.float64) * float(BARS.tick_size))

    def _run(self) -> tuple[Any, float]:
        fast = self._peer.MA.run(self._price, SMA_FAST).ma
        slow = self._peer.MA.run(self._price, SMA_SLOW).ma
        entries, exits = fast > slow, fast < slow
        entries.iloc[:SMA_SLOW] = False
        portfolio = self._peer.Portfolio.from_signals(
            self._price, entries, exits, size=float(SMA_LOTS), init_cash=_CASH, fees=0.0, freq="1min"
        )
        return portfolio, float(portfolio.final_value())

    def once(self) -> float:
        """One timed run."""
        start_ns = monotonic_ns()
        self._run()
        return (monotonic_ns() - start_ns) / 1e9

    def outcome(self) -> Outcome:
        """One run, its order records read back."""
        portfolio, final_value = self._run()
        records = portfolio.orders.values
        fills = np.zeros(len(records), FILL)
        fills["order"] = records["id"] + 1
        fills["ts_exch"] = fills["ts_recv"] = records["idx"]
        fills["px"] = np.rint(records["price"] / float(BARS.tick_size))
        fills["qty"] = np.rint(records["size"])
        fills["side"] = np.where(records["side"] == 0, 1, -1)
        position = int((fills["qty"] * fills["side"]).sum())
        return Outcome(
            fills=fills,
            position=position,
            balance=final_value - _CASH - position * float(self._price.iloc[-1]),
            fee=float(records["fees"].sum()),
        )


def sma_bars(closes: np.ndarray) -> SmaPeer:
    """vectorbt on the question `sma_bars`."""
    return SmaPeer(closes)


_FIRST_RUN = """
from tercel.bench.peers.vectorbt_peer import sma_bars
from tercel.bench.questions import synthetic_closes
sma_bars(synthetic_closes({n})).once()
"""


def first_run_s(n: int, *, cold: bool) -> float:
    """Seconds from starting a fresh Python to the end of its first run on `n` bars.

    `cold` gives the process an empty Numba cache, as on a machine where vectorbt was just installed; otherwise
    whatever vectorbt caches on disk is there.
    """
    load("vectorbt")
    with tempfile.TemporaryDirectory(prefix="tercel-bench-") as empty:
        environment = dict(os.environ)
        if cold:
            environment["NUMBA_CACHE_DIR"] = empty
        start_ns = monotonic_ns()
        done = subprocess.run(
            [sys.executable, "-c", _FIRST_RUN.format(n=n)], env=environment, capture_output=True, text=True, check=False
        )
        seconds = (monotonic_ns() - start_ns) / 1e9
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise PeerMissingError(f"vectorbt did not run in a fresh process: {last[0]}")
    return seconds
