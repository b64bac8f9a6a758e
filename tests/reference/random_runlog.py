"""Random run logs that hang together: an order's life in events, account samples that are the sums of its fills.

Plain Python integers throughout, written without the product's frames, so that it can also serve as an oracle.
"""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import numpy as np

from tercel.model import commands as c
from tercel.model import events as e
from tercel.model import reasons as r
from tercel.model.instrument import Instrument
from tercel.model.runlog import SAMPLE, RunLog

START_NS = 1_723_075_200_000_000_000  # 2024-08-08 00:00:00 UTC
MS = 1_000_000

BTC = Instrument(
    symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), venue="binance", base="BTC", quote="USDT"
)
ETH = Instrument(
    symbol="ETHUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.01"), venue="binance", base="ETH", quote="USDT"
)
COIN = Instrument(
    symbol="BTCUSD_PERP", tick_size=Decimal("0.1"), lot_size=Decimal(1), kind="inverse", contract_value=Decimal(100),
    base="BTC", quote="USD",
)  # fmt: skip


def random_runlog(
    seed: int,
    n_orders: int = 200,
    instruments: tuple[Instrument, ...] = (BTC,),
    strategies: tuple[str, ...] = ("Quoter",),
    step_ms: int = 500,
    n_samples: int = 400,
    drift: float = 0.0,
    volatility: float = 2.0,
) -> RunLog:
    """A run of `n_samples` sample times `step_ms` apart with `n_orders` orders of every kind and fate."""
    rng = random.Random(seed)
    span = step_ms * n_samples * MS
    mids = [_walk(rng, 580_000 + 10 * i, n_samples + 1, drift, volatility) for i in range(len(instruments))]
    sends = sorted(rng.randrange(span * 19 // 20) for _ in range(n_orders))
    commands: list[tuple[Any, ...]] = []
    events: list[tuple[Any, ...]] = []
    for k, at in enumerate(sends):
        i, s = rng.randrange(len(instruments)), rng.randrange(len(strategies))
        mid = mids[i][at // (step_ms * MS)]
        _one_order(rng, k + 1, START_NS + at, i, s, mid, instruments[i], commands, events)
    # A driver records in order of local time; the sort is stable, so one order's story keeps its order.
    events.sort(key=lambda row: row[1])
    command_rows = sorted((row for row in commands if not row[-1]), key=lambda row: row[1])
    refused_rows = sorted((row for row in commands if row[-1]), key=lambda row: row[1])
    event_rows = np.array([row[:-1] for row in events], e.EVENT)
    samples = _samples(event_rows, instruments, mids, step_ms, n_samples, rng)
    return RunLog(
        instruments=list(instruments),
        strategies=list(strategies),
        commands=np.array([row[:-2] for row in command_rows], c.COMMAND),
        command_strategies=np.array([row[-2] for row in command_rows], np.int16),
        events=event_rows,
        event_strategies=np.array([row[-1] for row in events], np.int16),
        refused=np.array([row[:-2] for row in refused_rows], c.COMMAND),
        samples=samples,
        start_ns=START_NS,
        end_ns=START_NS + span,
        n_rows=1_000_000,
        elapsed_s=0.031,
        meta={"tape": "random.tape", "seed": seed, "latency_ms": 10, "fees": {"maker": 2, "taker": 5}},
    )


def _walk(rng: random.Random, start: int, n: int, drift: float, volatility: float) -> list[float]:
    out, at = [], float(start)
    for _ in range(n):
        at = max(1000.0, at + rng.gauss(drift, volatility))
        out.append(round(at * 2) / 2)
    return out


def _one_order(
    rng: random.Random, order: int, sent: int, i: int, s: int, mid: float, instrument: Instrument,
    commands: list[tuple[Any, ...]], events: list[tuple[Any, ...]],
) -> None:  # fmt: skip
    """Append one order's commands and events; each event's local time never runs before the one before it."""
    side = rng.choice((e.BUY, e.SELL))
    kind = rng.choice((c.LIMIT, c.LIMIT, c.LIMIT, c.MARKET, c.ICEBERG))
    tif = rng.choice((c.GTC, c.GTX)) if kind != c.MARKET else c.IOC
    px = 0 if kind == c.MARKET else int(mid) - side * rng.randrange(0, 5)
    qty = rng.randrange(1, 20)

    def command(what: int, ts: int, price: int, size: int, refused: bool = False) -> None:
        commands.append((order, ts, order, price, size, 0, 0, what, side, kind, tif, 0, i, s, refused))

    clock = [sent]

    def event(what: int, exch: int, price: int, size: int, fee: int = 0, reason: int = 0, flags: int = 0) -> None:
        clock[0] = max(clock[0], exch + rng.randrange(1, 12) * MS)
        events.append((exch, clock[0], price, size, order, fee, 0, what, side, reason, flags | e.LOCAL, i, s))

    fate = rng.random()
    if fate < 0.08:
        command(c.NEW, sent, px, qty, refused=True)
        event(e.REFUSED, sent, px, qty, reason=rng.choice((r.ORDER_RATE, r.PRICE_COLLAR, r.POSITION_LIMIT)))
        return
    command(c.NEW, sent, px, qty)
    now = sent + rng.randrange(1, 20) * MS
    if fate < 0.14:
        event(e.REJECT, now, px, qty, reason=r.WOULD_TAKE)
        return
    if fate < 0.16:
        return  # still in flight when the run ended
    left, maker = qty, kind != c.MARKET
    if maker or rng.random() < 0.5:
        event(e.ACK, now, px, qty)
    if maker and rng.random() < 0.2:
        left = rng.randrange(1, 20)
        px += rng.choice((-1, 1))
        command(c.AMEND, clock[0], px, left)
        now = clock[0] + rng.randrange(1, 20) * MS
        event(e.AMENDED, now, px, left)
    while left and rng.random() < 0.75:
        size = rng.randrange(1, left + 1)
        now += rng.randrange(0, 400) * MS if maker else 0
        price = px if maker else int(mid) + side * rng.randrange(0, 4)
        fee = rng.randrange(-2_000, 4_000) if maker else rng.randrange(0, 9_000)
        why = rng.choice((r.QUEUE_REACHED, r.TRADED_THROUGH)) if maker else r.TOOK
        event(e.FILL, now, price, size, fee, why, e.MAKER if maker else e.TAKER)
        left -= size
    if left and rng.random() < 0.7:
        command(c.CANCEL, clock[0] + MS, 0, 0)
        if rng.random() < 0.15:
            event(e.CANCEL_REJECT, clock[0] + 5 * MS, px, left, reason=r.VENUE_UNKNOWN_ORDER)
        else:
            event(e.CANCELED, clock[0] + 5 * MS, px, left, reason=r.BY_REQUEST)


def _samples(
    events: np.ndarray,
    instruments: tuple[Instrument, ...],
    mids: list[list[float]],
    step_ms: int,
    n: int,
    rng: random.Random,
) -> np.ndarray:
    """Account samples as exact sums of the fills received by then."""
    fills = [row for row in events.tolist() if row[7] == e.FILL]
    position, cash = [0] * len(instruments), [0] * len(instruments)
    fee, funding = [0] * len(instruments), [0] * len(instruments)
    rows, at = [], 0
    for k in range(n + 1):
        ts = START_NS + k * step_ms * MS
        while at < len(fills) and fills[at][1] <= ts:
            _, _, px, qty, _, paid, _, _, side, _, _, i = fills[at]
            value = instruments[i].value
            position[i] += side * qty
            cash[i] += side * value * qty // px if instruments[i].kind == "inverse" else -side * value * qty * px
            fee[i] += paid
            at += 1
        for i, instrument in enumerate(instruments):
            mid = mids[i][k]
            if k % 97 == 96:
                funding[i] += rng.randrange(-500, 500)
            worth = instrument.value * position[i] * mid
            if instrument.kind == "inverse":
                worth = -instrument.value * position[i] / mid
            equity = cash[i] - fee[i] + funding[i] + round(worth)
            price = mid * float(instrument.tick_size)
            rows.append((ts, price, position[i], cash[i], fee[i], funding[i], equity, i))
    return np.array(rows, SAMPLE)
