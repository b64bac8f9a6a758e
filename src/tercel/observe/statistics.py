"""Statistics of a run, computed from its frames, trades and samples.

Lives here: one number for each definition of `definitions`, and the same by strategy and by instrument. Never here:
what a statistic means in words, how it is printed. Called by `results` and `report`. A statistic without a value is
None; NaN and infinity never leave this module.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl

from tercel.model.events import AMEND_REJECT, CANCEL_REJECT, FILL, REFUSED, REJECT
from tercel.model.runlog import RunLog
from tercel.observe.columns import (
    instrument_labels,
    mark_prices,
    notionals,
    per_instrument,
    settlement_currency,
    strategy_labels,
)
from tercel.observe.definitions import DEFINITIONS
from tercel.observe.trades import pair_trades

__all__ = ["YEAR_NS", "by_instrument", "by_strategy", "compute_statistics", "grid_step_ns", "run_span_ns"]

DAY_NS = 86_400_000_000_000
YEAR_NS = 365 * DAY_NS
_STEPS_NS = (1_000_000_000, 60_000_000_000, 3_600_000_000_000, DAY_NS)
_STEPS_MIN = 30

Value = float | int | None


def run_span_ns(log: RunLog) -> tuple[int, int]:
    """First and last local time of the run; from samples and commands where the log does not say."""
    if log.end_ns > log.start_ns:
        return log.start_ns, log.end_ns
    seen = np.concatenate([log.samples["ts"], log.commands["ts"], log.events["ts_recv"]])
    return (int(seen.min()), int(seen.max())) if len(seen) else (log.start_ns, log.end_ns)


def grid_step_ns(log: RunLog) -> int:
    """The step of the equity grid, as `definitions.SAMPLING` states it."""
    start, end = run_span_ns(log)
    fitting = [step for step in _STEPS_NS if end - start >= _STEPS_MIN * step]
    step = fitting[-1] if fitting else _STEPS_NS[0]
    ts = np.unique(log.samples["ts"])
    spacing = int(np.median(np.diff(ts))) if len(ts) > 1 else 0
    if spacing <= step:
        return step
    return next((coarser for coarser in _STEPS_NS if coarser >= spacing), spacing)


def compute_statistics(
    log: RunLog, orders: pl.DataFrame, fills: pl.DataFrame, equity: pl.DataFrame
) -> dict[str, Value]:
    """Every statistic by key, in the order of `definitions.DEFINITIONS`; None where it has no value."""
    found: dict[str, Any] = {
        **_performance(log, equity),
        **_trades(log),
        **_orders_and_fills(log, orders, fills),
        **_execution(orders, fills),
    }
    if settlement_currency(log) is None:
        for d in DEFINITIONS:
            if d.unit == "money" or d.key in ("maker_share", "slippage_ticks", "edge_ticks", "profit_factor"):
                found[d.key] = None
    return {d.key: _finite(found[d.key]) for d in DEFINITIONS}


def by_strategy(log: RunLog, orders: pl.DataFrame, fills: pl.DataFrame, refusals: pl.DataFrame) -> pl.DataFrame:
    """One row for each strategy: its orders, fills and what they earned.

    strategy, n_orders, n_fills, n_refused, fill_ratio, maker_share, volume, fees, profit (fills valued at each
    instrument's last mid, after fees; funding is the account's and not shared out), n_trades, win_rate. Money is null
    where instruments settle in different currencies.
    """
    trades = pair_trades(log)
    rows = []
    for i, label in enumerate(strategy_labels(log)):
        row = _part(log, "strategy", label, orders, fills, refusals)
        rows.append({"strategy": label, **row, **_wins(trades[trades["strategy"] == i]["profit"])})
    return _blank_money(
        log, pl.DataFrame(rows, schema=_PART_SCHEMA | {"strategy": pl.String}, strict=False), "strategy"
    )


def by_instrument(log: RunLog, orders: pl.DataFrame, fills: pl.DataFrame, refusals: pl.DataFrame) -> pl.DataFrame:
    """One row for each instrument, as `by_strategy`; adds currency, and position, funding at the last sample.

    profit is that instrument's last equity sample: after fees and funding.
    """
    trades = pair_trades(log)
    quantum = per_instrument(log.instruments, "quantum")
    lot = per_instrument(log.instruments, "lot_size")
    rows = []
    for i, label in enumerate(instrument_labels(log)):
        row = _part(log, "instrument", label, orders, fills, refusals)
        mine = log.samples[log.samples["instrument"] == i]
        last = mine[-1] if len(mine) else np.zeros(1, log.samples.dtype)[0]
        row["profit"] = float(last["equity"] * quantum[i])
        extra = {"currency": log.instruments[i].settlement, "position": float(last["position"] * lot[i])}
        extra["funding"] = float(last["funding"] * quantum[i])
        rows.append({"instrument": label, **row, **extra, **_wins(trades[trades["instrument"] == i]["profit"])})
    more = {"instrument": pl.String, "currency": pl.String, "position": pl.Float64, "funding": pl.Float64}
    schema = more | _PART_SCHEMA
    return pl.DataFrame(rows, schema=schema, strict=False)


_PART_SCHEMA: dict[str, Any] = {
    "n_orders": pl.Int64, "n_fills": pl.Int64, "n_refused": pl.Int64, "fill_ratio": pl.Float64,
    "maker_share": pl.Float64, "volume": pl.Float64, "fees": pl.Float64, "profit": pl.Float64, "n_trades": pl.Int64,
    "win_rate": pl.Float64,
}  # fmt: skip


def _blank_money(log: RunLog, table: pl.DataFrame, key: str) -> pl.DataFrame:
    if settlement_currency(log) is None:
        money = ("maker_share", "volume", "fees", "profit")
        table = table.with_columns(pl.lit(None, pl.Float64).alias(name) for name in money)
    return table.select(key, *_PART_SCHEMA)


def _part(
    log: RunLog, column: str, label: str, orders: pl.DataFrame, fills: pl.DataFrame, refusals: pl.DataFrame
) -> dict[str, Value]:
    """Counts and sums of the rows whose `column` is `label`."""
    theirs, done = orders.filter(pl.col(column) == label), fills.filter(pl.col(column) == label)
    value = _sum(done["notional"])
    maker = done.filter(pl.col("liquidity") == "maker")["notional"].sum()
    return {
        "n_orders": theirs.height,
        "n_fills": done.height,
        "n_refused": refusals.filter((pl.col(column) == label) & (pl.col("by") == "gate")).height,
        "fill_ratio": _over((theirs["filled"] > 0).sum(), theirs.height),
        "maker_share": _over(maker, value),
        "volume": value,
        "fees": _sum(done["fee"]),
        "profit": _marked_profit(log, done),
    }


def _marked_profit(log: RunLog, fills: pl.DataFrame) -> float:
    """What fills earned after fees, open quantity valued at its instrument's last mid (its last fill without one)."""
    total = -float(fills["fee"].sum())
    for i, label in enumerate(instrument_labels(log)):
        mine = fills.filter(pl.col("instrument") == label)
        if not mine.height:
            continue
        sign = np.where(mine["side"].cast(pl.String).to_numpy() == "buy", 1.0, -1.0)
        signed = sign * mine["quantity"].to_numpy()
        mid = mark_prices(log, np.array([i]), np.array([np.iinfo(np.int64).max]))
        mark = mine["price"].to_numpy()[-1:] if np.isnan(mid[0]) else mid
        spent = notionals(log, np.full(len(sign), i), mine["price"].to_numpy(), mine["quantity"].to_numpy())
        worth = notionals(log, np.array([i]), mark, np.array([abs(signed.sum())]))[0] * np.sign(signed.sum())
        gain = worth - float((sign * spent).sum())
        # An inverse contract bought is base currency owed: its value runs the other way.
        total += -gain if log.instruments[i].kind == "inverse" else gain
    return total


def _performance(log: RunLog, equity: pl.DataFrame) -> dict[str, Value]:
    start, end = run_span_ns(log)
    ts = equity["time"].dt.timestamp("ns").to_numpy()
    # Without money at the start there is nothing to divide by: profit stays, every ratio is empty.
    growth = equity["growth"].to_numpy() if log.initial_equity > 0 else np.zeros(0)
    total = float(growth[-1] - 1) if len(growth) else None
    span = end - start
    annual = total * YEAR_NS / span if total is not None and span > 0 else None
    fall = float(equity["drawdown"].max()) if len(growth) else None  # type: ignore[arg-type]
    last = equity["equity"][-1] if equity.height else None
    profit = None if last is None else last - log.initial_equity * len(log.instruments)
    return {
        "profit": profit,
        "total_return": total,
        "annual_return": annual,
        **_risk(growth, ts, start, end, grid_step_ns(log)),
        "calmar": _over(annual, fall),
        "max_drawdown": fall,
        "max_drawdown_ns": _longest_drawdown_ns(growth, ts, start, end),
        "time_in_market": _time_in_market(log, start, end),
    }


def _risk(growth: np.ndarray, ts: np.ndarray, start: int, end: int, step: int) -> dict[str, Value]:
    """Volatility, Sharpe and Sortino of the returns between grid points."""
    none: dict[str, Value] = {"volatility": None, "sharpe": None, "sortino": None}
    if not len(growth):
        return none
    at = np.searchsorted(ts, np.arange(start, end + 1, step), side="right") - 1
    points = np.where(at >= 0, growth[at], 1.0)
    if len(points) < 3 or points.min() <= 0:
        return none
    returns = points[1:] / points[:-1] - 1
    year = math.sqrt(YEAR_NS / step)
    mean, deviation = float(returns.mean()), float(returns.std(ddof=1))
    # Returns that are all alike have no risk to divide by; rounding noise must not pass for some.
    steady = deviation <= 1e-12 * max(1.0, abs(mean))
    downside = math.sqrt(float(np.square(np.minimum(returns, 0)).mean()))
    return {
        "volatility": 0.0 if steady else deviation * year,
        "sharpe": None if steady else mean / deviation * year,
        "sortino": None if steady else _over(mean * year, downside),
    }


def _longest_drawdown_ns(growth: np.ndarray, ts: np.ndarray, start: int, end: int) -> Value:
    if not len(growth):
        return None
    level = np.concatenate([[1.0], growth])
    time = np.concatenate([[min(start, int(ts[0]))], ts])
    peaks = np.flatnonzero(level >= np.maximum.accumulate(level))
    below = np.diff(np.append(peaks, len(level))) > 1
    back = np.append(time[peaks[1:]], max(end, int(ts[-1])))
    return int((back - time[peaks])[below].max(initial=0))


def _time_in_market(log: RunLog, start: int, end: int) -> Value:
    if end <= start:
        return None
    fills = log.events[log.events["kind"] == FILL]
    fills = fills[np.argsort(fills["ts_recv"], kind="stable")]
    held = np.zeros(len(fills), bool)
    for i in range(len(log.instruments)):
        held |= np.cumsum(np.where(fills["instrument"] == i, fills["side"] * fills["qty"], 0)) != 0
    since = np.clip(fills["ts_recv"], start, end)
    until = np.append(since[1:], end)[: len(since)]
    return float((until - since)[held].sum() / (end - start))


def _trades(log: RunLog) -> dict[str, Value]:
    trades = pair_trades(log)
    profit = trades["profit"]
    return {
        **_wins(profit),
        "profit_factor": _over(profit[profit > 0].sum(), -profit[profit < 0].sum()),
        "trade_mean": float(profit.mean()) if len(profit) else None,
        "holding_mean_ns": float(trades["holding_ns"].mean()) if len(trades) else None,
    }


def _wins(profit: np.ndarray) -> dict[str, Value]:
    return {"n_trades": len(profit), "win_rate": _over(int((profit > 0).sum()), len(profit))}


def _orders_and_fills(log: RunLog, orders: pl.DataFrame, fills: pl.DataFrame) -> dict[str, Value]:
    kind = log.events["kind"]
    volume = _sum(fills["notional"])
    maker = fills.filter(pl.col("liquidity") == "maker")["notional"].sum()
    funding = 0.0
    for i, quantum in enumerate(per_instrument(log.instruments, "quantum")):
        funding += float(log.samples["funding"][log.samples["instrument"] == i][-1:].sum() * quantum)
    return {
        "n_orders": orders.height,
        "n_fills": fills.height,
        "fill_ratio": _over((orders["filled"] > 0).sum(), orders.height),
        "maker_share": _over(maker, volume),
        "n_refused": int((kind == REFUSED).sum()),
        "n_rejected": int(np.isin(kind, (REJECT, AMEND_REJECT, CANCEL_REJECT)).sum()),
        "volume": volume,
        "turnover": _over(volume, log.initial_equity * len(log.instruments)),
        "fees": _sum(fills["fee"]),
        "funding": funding,
    }


def _execution(orders: pl.DataFrame, fills: pl.DataFrame) -> dict[str, Value]:
    known = fills.filter(pl.col("slippage_ticks").is_not_null())
    slip: dict[str, Value] = {}
    for name, liquidity, sign in (("slippage_ticks", "taker", 1), ("edge_ticks", "maker", -1)):
        part = known.filter(pl.col("liquidity") == liquidity)
        slip[name] = _over((part["slippage_ticks"] * part["notional"]).sum() * sign, part["notional"].sum())
    for name in ("entry_latency", "round_trip", "queue_wait"):
        for percent in (50, 95):
            slip[f"{name}_p{percent}_ns"] = orders[f"{name}_ns"].quantile(percent / 100, "linear")
    return slip


def _sum(column: pl.Series) -> float:
    return float(column.sum())


def _over(above: Any, below: Any) -> float | None:
    """A ratio, None where either part is missing or the divisor is zero."""
    return None if above is None or not below else float(above) / float(below)


def _finite(value: Any) -> Value:
    """A plain Python number; None for NaN and infinities."""
    if value is None or isinstance(value, int):
        return value
    number = float(value)
    return number if math.isfinite(number) else None
