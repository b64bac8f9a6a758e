"""The benchmark's strategies and inputs, written down exactly once. Both sides of every question follow this page.

All prices are whole ticks, all sizes whole lots, all times int64 ns, all divisions `//` round down.

**Quoter** (questions `quoter` and `quoter_feed`; instrument BTCUSDT: tick 0.1, lot 0.001, linear, contract value 1).
Venue: no partial fills; a post-only (GTX) order that would trade on arrival ends unfilled; order entry and response
10 ms each, constant; feed as recorded on the tape (exchange time at the venue, local time at the strategy); fee
2 bp of notional maker, 5 bp taker; queue model as the question names it. At equal times the order of things is: market
data at the strategy, order responses at the strategy, market data at the venue, requests at the venue (in the order
they were sent). A wake-up at time t sees everything with time <= t.

One quoting step, given the best bid b, the best ask a, a reference sum s and the position p in lots as the strategy
knows it from fills received:

1. If either side of the book is empty, do nothing.
2. skew = p // SKEW_LOTS, limited to [-SKEW_MAX_TICKS, SKEW_MAX_TICKS].
3. bid = min(b, s // 2 - HALF_TICKS - skew); ask = max(a, (s + 1) // 2 + HALF_TICKS - skew).
4. The buy side first. If an own buy order lives (sent, and not known to have ended) and either its price is not `bid`
   or p >= MAX_LOTS: cancel it. If p < MAX_LOTS and no own buy order lives that was not canceled in this step: send a
   new GTX limit order of ORDER_LOTS at `bid`.
5. The sell side likewise with `ask` and p > -MAX_LOTS.

Order ids are 1, 2, 3 ... in the order in which orders are sent. Requests are never amended. Steps are at least 100 ms
apart and a request and its answer take 20 ms, so a step never finds a request in flight.

- `quoter`: the steps happen at t0 + k * QUOTE_NS, k = 1, 2, ..., where t0 is the earliest time on the tape (the lower
  of the first venue time and the first local time), as long as something is left to happen at or after that time.
  s = b + a.
- `quoter_feed`: the strategy wakes after every message of the feed (all rows with one local time). With both sides
  of the book there: e = (b + a) << 16 the first time, later e += (((b + a) << 16) - e) >> 6. If the message's local
  time is at least `next` (at first 0): next = local time + QUOTE_NS, and a quoting step with s = e >> 16.

The run ends when the tape and everything in flight are done; orders that still rest then stay unfilled. A wake-up of
the grid after which nothing is left to happen (no row, no request, no response) does not take place. What is sent on
the last message of `quoter_feed` can come to nothing and is not compared: one engine wakes for it, another does not.

**EMA cross** (question `ema_quotes`; tick 0.00001, lot 1,000 units, cash only in the quote currency, no fees, no
latency). On each quote: price = (bid + ask) / 2 in float64 price units; fast and slow exponential averages with
alpha = 2 / (span + 1), spans EMA_FAST and EMA_SLOW (alphas 1/8 and 1/32), seeded with the first price. From the
EMA_SLOW-th quote on: if fast > slow and the position is 0, buy EMA_LOTS at market; if fast < slow and the position is
above 0, sell it at market. A market order fills whole at once: buys at this quote's ask, sells at its bid.

**SMA cross** (questions `sma_bars` and `sma_bars_50k`; tick 0.25, lot 1, no fees, no latency). On each bar: means of
the last SMA_FAST and SMA_SLOW closes. Once more than SMA_SLOW bars were seen (one engine holds back for one bar after
its averages are there, so all do): if fast > slow and the position is 0, buy SMA_LOTS at market; if fast < slow and the
position is above 0, sell it. Orders fill at the close of the same bar. The tick is a quarter and the windows are powers
of two so that every sum and mean is exact in float64, whatever the order of summation: two engines can only differ by
being wrong. In a fill's row the time is the bar's index.
"""

from __future__ import annotations

import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np

from tercel.errors import DataError
from tercel.model.events import BAR, EVENT, EXCH, LAST, LOCAL, QUOTE
from tercel.model.instrument import Instrument

__all__ = [
    "BARS", "EMA_FAST", "EMA_LOTS", "EMA_SLOW", "EURUSD", "HALF_TICKS", "LATENCY_NS", "MAKER_FEE", "MAX_LOTS",
    "ORDER_LOTS", "PERP", "POWER_N", "QUOTE_NS", "SKEW_LOTS", "SKEW_MAX_TICKS", "SMA_FAST", "SMA_LOTS", "SMA_SLOW",
    "TAKER_FEE", "bar_rows", "quote_rows", "synthetic_closes", "synthetic_quotes", "tick_file_quotes",
]  # fmt: skip

PERP = Instrument(
    symbol="BTCUSDT",
    tick_size=Decimal("0.1"),
    lot_size=Decimal("0.001"),
    venue="binance",
    base="BTC",
    quote="USDT",
)
QUOTE_NS = 100_000_000
LATENCY_NS = 10_000_000
ORDER_LOTS, MAX_LOTS = 10, 100
HALF_TICKS, SKEW_LOTS, SKEW_MAX_TICKS = 2, 5, 20
MAKER_FEE, TAKER_FEE = 0.0002, 0.0005
POWER_N = 3.0

EURUSD = Instrument(
    symbol="EURUSD", tick_size=Decimal("0.00001"), lot_size=Decimal(1000), kind="spot", base="EUR", quote="USD"
)
EMA_FAST, EMA_SLOW, EMA_LOTS = 15, 63, 100

BARS = Instrument(symbol="BARS", tick_size=Decimal("0.25"), lot_size=Decimal(1), base="X", quote="USD")
SMA_FAST, SMA_SLOW, SMA_LOTS = 16, 64, 1

_MINUTE_NS = 60_000_000_000
_START_NS = 1_700_006_400_000_000_000  # 2023-11-15 00:00 UTC


def synthetic_closes(n: int, seed: int = 7) -> np.ndarray:
    """(n,) int64 ticks: closes of a seeded random walk that stays positive, steps of up to eight ticks."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(rng.integers(-8, 9, n)).astype(np.int64)
    low = 40_000
    # Reflected at the lower edge, so that a long walk neither dies out nor turns negative.
    return low + np.abs(walk + 20_000)


def bar_rows(closes: np.ndarray) -> np.ndarray:
    """EVENT rows of kind BAR, one a minute, whose open is the close before and whose range spans the two."""
    n = len(closes)
    rows = np.zeros(n, EVENT)
    opens = np.concatenate((closes[:1], closes[:-1]))
    ts_ns = _START_NS + _MINUTE_NS * (1 + np.arange(n, dtype=np.int64))
    rows["ts_exch"] = rows["ts_recv"] = ts_ns
    rows["px"], rows["qty"], rows["id"] = closes, 1_000_000, opens
    rows["arg0"], rows["arg1"] = np.maximum(opens, closes), np.minimum(opens, closes)
    rows["kind"], rows["flags"] = BAR, EXCH | LOCAL | LAST
    return rows


def synthetic_quotes(n: int, seed: int = 11) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (int64 ns), bids and asks (int64 ticks), (n,) each: a seeded walk with spreads of 8 to 15 ticks."""
    rng = np.random.default_rng(seed)
    ts_ns = _START_NS + np.cumsum(rng.integers(1_000_000, 500_000_000, n)).astype(np.int64)
    bids = 139_101 + np.cumsum(rng.integers(-2, 3, n)).astype(np.int64)
    asks = bids + rng.integers(8, 16, n)
    return ts_ns, bids, asks


def tick_file_quotes(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a zip of one CSV `ms of day,bid,ask` as times (int64 ns), bids and asks (int64 ticks of EURUSD).

    The day itself does not matter to the question and is a fixed one. Quotes of one millisecond follow each other by a
    nanosecond: what happens between two quotes of the same instant is each engine's own affair, and not asked here.
    DataError when the file does not read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0]).decode("ascii")
        table = np.loadtxt(text.splitlines(), delimiter=",", dtype=np.float64)
    except (OSError, ValueError, zipfile.BadZipFile, IndexError) as error:
        raise DataError(f"{path} does not read as a zip of `ms,bid,ask` lines: {error}") from error
    scaled = table[:, 1:3] / float(EURUSD.tick_size)
    ticks = np.rint(scaled).astype(np.int64)
    off = np.abs(scaled - ticks).max(axis=1) > 1e-4
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise DataError(f"{path} line {row + 1}: price off the grid of {EURUSD.tick_size}: {table[row].tolist()}")
    ts_ns = _START_NS + table[:, 0].astype(np.int64) * 1_000_000
    order = np.arange(len(ts_ns))
    ts_ns = np.maximum.accumulate(ts_ns - order) + order
    return ts_ns, ticks[:, 0].copy(), ticks[:, 1].copy()


def quote_rows(ts_ns: np.ndarray, bids: np.ndarray, asks: np.ndarray) -> np.ndarray:
    """EVENT rows of kind QUOTE with 10,000 lots on each side, seen by venue and strategy at the same time."""
    rows = np.zeros(len(ts_ns), EVENT)
    rows["ts_exch"] = rows["ts_recv"] = ts_ns
    rows["px"], rows["arg0"] = bids, asks
    rows["qty"] = rows["arg1"] = 10_000
    rows["kind"], rows["flags"] = QUOTE, EXCH | LOCAL | LAST
    return rows
