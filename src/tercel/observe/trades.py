"""Trades: fills paired into round trips, first in first out, for each strategy and instrument.

Lives here: the pairing and what it earns. Never here: open positions' value, which samples hold. Called by
`statistics`. The i-th lot bought pairs with the i-th lot sold: while a position is long the oldest unpaired lots are
buys, while it is short they are sells, so first-in-first-out needs no queue, only two cumulative sums.
"""

from __future__ import annotations

import numpy as np

from tercel.model.events import BUY, FILL, SELL
from tercel.model.runlog import RunLog
from tercel.observe.columns import is_inverse, per_instrument, prices, quantities

__all__ = ["TRADE", "pair_trades"]

#: One round trip: the lots that one fill closed. i_exit: index of that fill among the log's fills. entry, exit:
#: quantity-weighted local times, float64 ns. lots: int64 closed. profit: float64, settlement currency, after the
#: fees of both legs in proportion to the lots paired.
TRADE = np.dtype(
    [
        ("i_exit", "i8"),
        ("instrument", "i8"),
        ("strategy", "i8"),
        ("lots", "i8"),
        ("holding_ns", "f8"),
        ("profit", "f8"),
    ],
    align=True,
)


def pair_trades(log: RunLog) -> np.ndarray:
    """(n_trades,) TRADE rows, one for each fill that reduced a position, in the order of those fills.

    Positions start flat. holding_ns is the mean over the closed lots of exit time less entry time, both local.
    """
    rows = np.flatnonzero(log.events["kind"] == FILL)
    fills, strategies = log.events[rows], log.event_strategies[rows]
    parts = [
        _pair_one(log, fills, np.flatnonzero((fills["instrument"] == i) & (strategies == s)), i, int(s))
        for i in range(len(log.instruments))
        for s in np.unique(strategies)
    ]
    trades = np.concatenate([np.zeros(0, TRADE), *parts])
    return trades[np.argsort(trades["i_exit"], kind="stable")]


def _pair_one(log: RunLog, fills: np.ndarray, mine: np.ndarray, instrument: int, strategy: int) -> np.ndarray:
    """The trades of one strategy in one instrument; `mine`: its (k,) rows of `fills`."""
    lots = fills["qty"][mine].astype(np.int64)
    buys, sells = mine[fills["side"][mine] == BUY], mine[fills["side"][mine] == SELL]
    bought, sold = np.cumsum(fills["qty"][buys]), np.cumsum(fills["qty"][sells])
    if not len(buys) or not len(sells):
        return np.zeros(0, TRADE)
    ends = np.unique(np.concatenate([bought, sold]))
    ends = ends[ends <= min(bought[-1], sold[-1])]
    size = np.diff(ends, prepend=0)
    buy, sell = buys[np.searchsorted(bought, ends)], sells[np.searchsorted(sold, ends)]
    entry, leave = np.minimum(buy, sell), np.maximum(buy, sell)

    which = np.full(len(ends), instrument)
    quantity = quantities(log, which, size)
    value = per_instrument(log.instruments, "contract_value")[instrument]
    paid, got = prices(log, which, fills["px"][buy]), prices(log, which, fills["px"][sell])
    inverse = is_inverse(log, which)
    gain = (
        quantity * value * np.where(inverse, 1 / np.where(inverse, paid, 1) - 1 / np.where(inverse, got, 1), got - paid)
    )
    quantum = per_instrument(log.instruments, "quantum")[instrument]
    fee_per_lot = fills["arg0"] * quantum / np.maximum(fills["qty"], 1)
    gain -= size * (fee_per_lot[buy] + fee_per_lot[sell])
    held = (fills["ts_recv"][leave] - fills["ts_recv"][entry]) * size.astype(np.float64)

    exits, at = np.unique(leave, return_inverse=True)
    trades = np.zeros(len(exits), TRADE)
    trades["i_exit"], trades["instrument"], trades["strategy"] = exits, instrument, strategy
    np.add.at(trades["lots"], at, size)
    trades["profit"] = np.bincount(at, gain, len(exits))
    trades["holding_ns"] = np.bincount(at, held, len(exits)) / trades["lots"]
    assert trades["lots"].sum() <= lots.sum()
    return trades
