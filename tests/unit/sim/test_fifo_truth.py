"""FIFO against the truth: a real order of a simulated market is hidden, ours takes its place, and fills when it did."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from tercel.model.events import ADD, CHANGE, DELETE, EXCH, FILL, LEVEL, LOCAL, SNAPSHOT
from tercel.model.instrument import Instrument
from tercel.sim.backtest import Backtest
from tercel.sim.market import MarketModel, simulate_market
from tercel.sim.venue import VenueRules
from tercel.strategy.contract import Strategy

COIN = Instrument(symbol="COIN", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), quote="USD")
#: Long queues: few prices, large orders, small trades.
MODEL = MarketModel(
    market_rate=40.0, limit_rate=150.0, cancel_rate=0.4, placement_flat=1.0, placement_tail=1.5, market_qty=60.0,
    warmup_s=5.0, mid_px=3000,
)  # fmt: skip


class Stand(Strategy):
    """Places one order at one time."""

    at_ns: int = 0
    side: int = 1
    lots: int = 1
    px: int = 1

    def on_start(self, ctx):
        ctx.set_timer(self.at_ns - ctx.now)

    def on_timer(self, ctx, timer):
        ctx.order_lots(0, self.side, self.lots, self.px)


@pytest.fixture(scope="module")
def rows():
    made = simulate_market(MODEL, 5, n_rows=14_000, rows="both")
    # One clock: what the strategy sees late is of no matter here.
    made["ts_recv"] = made["ts_exch"]
    made["flags"] |= EXCH | LOCAL
    return made


def lives(rows):
    """(id, row of its ADD, [(ts, lots traded)], row of its end or -1) of orders that were not in the snapshot."""
    found = {}
    for i in np.flatnonzero(np.isin(rows["kind"], (ADD, CHANGE, DELETE))):
        row = rows[i]
        order = int(row["id"])
        if row["kind"] == ADD:
            if not row["flags"] & SNAPSHOT:
                found[order] = [int(i), [], -1, int(row["qty"])]
        elif order in found:
            life = found[order]
            if row["kind"] == CHANGE or row["qty"] == 0:
                life[1].append((int(row["ts_exch"]), life[3] - int(row["qty"])))
            life[3] = int(row["qty"])
            if row["kind"] == DELETE:
                life[2] = int(i)
    return found


def hide(rows, order, born, end):
    """The tape without an order: its rows go, and its size leaves the levels while it rests."""
    own = np.isin(rows["kind"], (ADD, CHANGE, DELETE)) & (rows["id"] == order)
    side, px = int(rows[born]["side"]), int(rows[born]["px"])
    left = rows.copy()
    size = 0
    for i in range(born, end + 6 if end >= 0 else len(rows)):
        row = rows[i]
        if own[i]:
            size = 0 if row["kind"] == DELETE else int(row["qty"])
        elif row["kind"] == LEVEL and row["side"] == side and row["px"] == px:
            # The level's row of a message comes after the orders' rows of it.
            left[i]["qty"] -= size
    return left[~own]


def test_fifo_fills_when_the_hidden_order_did(rows):
    chosen = [
        (order, life)
        for order, life in lives(rows).items()
        if life[2] >= 0 and len(life[1]) > 0 and sum(lots for _, lots in life[1]) == int(rows[life[0]]["qty"])
    ]
    assert len(chosen) > 100
    n_queued = 0
    for order, (born, trades, end, _) in chosen[:: len(chosen) // 20]:
        tape = hide(rows, order, born, end)
        row = rows[born]
        at = int(row["ts_exch"])
        # Only the rows around its life matter, but the book must be whole: from the start to a little after its end.
        tape = tape[tape["ts_exch"] <= trades[-1][0]]
        who = Stand(at_ns=at, side=int(row["side"]), lots=int(row["qty"]), px=int(row["px"]))
        run = Backtest(who, tape, instruments=[COIN], rules=VenueRules(queue="fifo"))
        events = run.run().log.events
        filled = events[events["kind"] == FILL]
        got = {}
        for event in filled:
            ts = int(event["ts_exch"])
            got[ts] = got.get(ts, 0) + int(event["qty"])
        truth: dict[int, int] = {}
        for ts, lots in trades:
            truth[ts] = truth.get(ts, 0) + lots
        assert got == truth, f"order {order} at {row['px']}, row {born}"
        n_queued += trades[0][0] - at > 100_000_000
    assert n_queued >= 5
