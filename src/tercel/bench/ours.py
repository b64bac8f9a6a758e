"""Our side of every question: the strategies of `strategies`, run by `sim.backtest` under the question's rules.

What is timed is `Backtest.run`, from the first row to the finished result; the making of the backtest is left out, as
it is for the peers. Called by `run`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from tercel import __version__
from tercel.bench.questions import BARS, EURUSD, LATENCY_NS, MAKER_FEE, PERP, POWER_N, TAKER_FEE
from tercel.bench.results import FILL, SENT, Outcome
from tercel.bench.strategies import EmaCross, FeedQuoter, GridQuoter, SmaCross
from tercel.clock import monotonic_ns
from tercel.errors import DataError
from tercel.model.commands import COMMAND, NEW
from tercel.model.events import EXCH, LOCAL
from tercel.model.events import FILL as FILL_KIND
from tercel.model.instrument import Instrument
from tercel.risk.limits import Limits
from tercel.sim.backtest import Backtest
from tercel.sim.fees import Fees
from tercel.sim.latency import Latency
from tercel.sim.venue import VenueRules
from tercel.strategy.contract import Strategy

__all__ = ["OurSide", "ema_quotes", "quoter", "sma_bars"]


class OurSide:
    """tercel made ready for one question."""

    def __init__(
        self,
        rows: np.ndarray,
        instrument: Instrument,
        strategy: Callable[[], Strategy],
        rules: VenueRules,
        *,
        by_bar: bool = False,
        open_end: bool = True,
    ) -> None:
        """rows: scheduled EVENT rows. by_bar: a fill's time is told as the index of its row.

        open_end: orders sent on the last row are told too.
        """
        self.name = f"tercel {__version__}"
        self.n_events = len(rows)
        self._rows, self._instrument, self._strategy, self._rules = rows, instrument, strategy, rules
        self._by_bar, self._open_end = by_bar, open_end

    def _ready(self) -> Backtest:
        # The question's buy side moves before its sell side is canceled, which the gate would call a self-trade.
        limits = Limits(self_trade="allow")
        return Backtest(self._strategy(), self._rows, instruments=[self._instrument], rules=self._rules, limits=limits)

    def once(self) -> float:
        """One timed run."""
        backtest = self._ready()
        start_ns = monotonic_ns()
        backtest.run()
        return (monotonic_ns() - start_ns) / 1e9

    def outcome(self) -> Outcome:
        """One run, its log read back. DataError when our own risk gate refused an order: the rules forbid that."""
        log = self._ready().run().log
        if len(log.refused):
            raise DataError(f"our risk gate refused {len(log.refused)} orders of the question; it must refuse none")
        new = log.commands[log.commands["kind"] == NEW]
        assert new.dtype == COMMAND
        filled = log.events[log.events["kind"] == FILL_KIND]
        first_id = int(new["id"][0]) - 1 if len(new) else 0
        fills, sent = np.zeros(len(filled), FILL), np.zeros(len(new), SENT)
        fills["order"], fills["px"], fills["qty"] = filled["id"] - first_id, filled["px"], filled["qty"]
        fills["side"] = filled["side"]
        fills["ts_exch"], fills["ts_recv"] = filled["ts_exch"], filled["ts_recv"]
        if self._by_bar:
            for name in ("ts_exch", "ts_recv"):
                fills[name] = np.searchsorted(self._rows["ts_recv"], fills[name])
        sent["order"], sent["ts"], sent["px"] = new["id"] - first_id, new["ts"], new["px"]
        sent["qty"], sent["side"] = new["qty"], new["side"]
        if not self._open_end:
            sent = sent[sent["ts"] < self._rows["ts_recv"].max()]
        signed = filled["qty"] * filled["side"]
        cash = -int((filled["px"] * signed).sum()) * self._instrument.value
        return Outcome(
            fills=np.sort(fills, order=["ts_exch", "order"]),
            position=int(signed.sum()),
            balance=float(self._instrument.money(cash)),
            fee=float(self._instrument.money(int(filled["arg0"].sum()))),
            sent=sent,
        )


def _first_ns(rows: np.ndarray) -> int:
    """The earliest time on a tape: the lower of the first venue time and the first local time."""
    at_venue = rows["ts_exch"][np.argmax((rows["flags"] & EXCH) != 0)]
    at_strategy = rows["ts_recv"][np.argmax((rows["flags"] & LOCAL) != 0)]
    return int(min(at_venue, at_strategy))


def quoter(rows: np.ndarray, *, queue: str, feed: bool) -> OurSide:
    """tercel on the questions `quoter` and, woken by every message, `quoter_feed`. queue: a name of `sim.queue`."""
    rules = VenueRules(
        latency=Latency.both(LATENCY_NS / 1e6),
        fees=Fees(maker=MAKER_FEE * 1e4, taker=TAKER_FEE * 1e4),
        queue=queue,
        queue_n=POWER_N,
        partial_fills=False,
    )
    first_ns = _first_ns(rows)
    strategy = FeedQuoter if feed else partial(GridQuoter, first_ns=first_ns)
    return OurSide(rows, PERP, strategy, rules, open_end=not feed)


def ema_quotes(rows: np.ndarray) -> OurSide:
    """tercel on the question `ema_quotes`."""
    return OurSide(rows, EURUSD, EmaCross, VenueRules())


def sma_bars(rows: np.ndarray) -> OurSide:
    """tercel on the questions on bars."""
    return OurSide(rows, BARS, SmaCross, VenueRules(), by_bar=True)
