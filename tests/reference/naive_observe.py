"""Naive twins of the results: queues, loops and plain numbers, written from the definitions and not from the code."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict, deque
from fractions import Fraction
from typing import Any

from tercel.model import commands as c
from tercel.model import events as e
from tercel.model.runlog import RunLog


def rows_of(array: Any) -> list[dict[str, int]]:
    """Structured rows as dictionaries of plain values."""
    return [dict(zip(array.dtype.names, row)) for row in array.tolist()]


def naive_orders(log: RunLog) -> dict[int, dict[str, Any]]:
    """Order id to its story, by walking every row once in the order the strategy saw them."""
    orders: dict[int, dict[str, Any]] = {}
    for row in rows_of(log.commands):
        if row["kind"] == c.NEW:
            orders[row["id"]] = {
                "type": row["type"], "sent": row["ts"], "quantity": row["qty"], "filled": 0, "state": "in_flight",
                "answer": None, "round": None, "rest": None, "wait": None, "amends": 0, "fills": [], "end": None,
            }  # fmt: skip
    for row in rows_of(log.events):
        order = orders.get(row["id"])
        if order is None or row["kind"] not in (e.ACK, e.REJECT, e.FILL, e.CANCELED, e.EXPIRED, e.AMENDED):
            continue
        kind = row["kind"]
        if kind in (e.ACK, e.REJECT, e.FILL) and order["answer"] is None:
            order["answer"], order["round"] = row["ts_exch"] - order["sent"], row["ts_recv"] - order["sent"]
            order["state"] = "open"
        if kind == e.ACK and order["rest"] is None:
            order["rest"] = row["ts_exch"]
        if kind == e.AMENDED:
            order["amends"] += 1
            order["quantity"] = order["filled"] + row["qty"]
            order["rest"] = row["ts_exch"]
        if kind == e.FILL:
            order["filled"] += row["qty"]
            order["fills"].append((row["px"], row["qty"]))
            if row["flags"] & e.MAKER and order["wait"] is None and order["rest"] is not None:
                order["wait"] = row["ts_exch"] - order["rest"]
            if order["filled"] >= order["quantity"]:
                order["state"], order["end"] = "filled", row["ts_recv"]
        if kind in (e.REJECT, e.CANCELED, e.EXPIRED):
            order["state"] = {e.REJECT: "rejected", e.CANCELED: "canceled", e.EXPIRED: "expired"}[kind]
            order["end"] = row["ts_recv"]
    return orders


def naive_trades(log: RunLog) -> list[dict[str, Any]]:
    """Round trips by a real first-in-first-out queue, one lot at a time, profit as an exact fraction."""
    queues: dict[tuple[int, int], deque] = defaultdict(deque)
    trades = []
    number = -1
    for row, strategy in zip(rows_of(log.events), log.event_strategies.tolist()):
        if row["kind"] != e.FILL:
            continue
        number += 1
        instrument = log.instruments[row["instrument"]]
        price = Fraction(instrument.price(row["px"]))
        fee = Fraction(instrument.money(row["arg0"])) / row["qty"]
        unit = Fraction(instrument.lot_size) * Fraction(instrument.contract_value)
        queue = queues[(strategy, row["instrument"])]
        closed = []
        for _ in range(row["qty"]):
            if queue and queue[0][0] == -row["side"]:
                side, entry, paid, ts = queue.popleft()
                gain = 1 / entry - 1 / price if instrument.kind == "inverse" else price - entry
                closed.append((side * unit * gain - paid - fee, row["ts_recv"] - ts))
            else:
                queue.append((row["side"], price, fee, row["ts_recv"]))
        if closed:
            held = Fraction(sum(t for _, t in closed), len(closed))
            profit = sum(p for p, _ in closed)
            trades.append({"i_exit": number, "lots": len(closed), "profit": profit, "holding_ns": held})
    return trades


def naive_growth(log: RunLog) -> list[tuple[int, float]]:
    """(time, mean over instruments of equity over initial equity) at each sampled time."""
    latest = dict.fromkeys(range(len(log.instruments)), 0.0)
    points: dict[int, float] = {}
    for row in rows_of(log.samples):
        latest[row["instrument"]] = row["equity"] * float(log.instruments[row["instrument"]].quantum)
        points[row["ts"]] = 1 + sum(latest.values()) / (log.initial_equity * len(latest))
    return sorted(points.items())


def naive_risk(growth: list[tuple[int, float]], start: int, end: int, step: int) -> dict[str, float | None]:
    """Sharpe, Sortino, volatility on the grid; drawdown and its length on every sample."""
    grid, t = [], start
    while t <= end:
        value = 1.0
        for ts, g in growth:
            if ts > t:
                break
            value = g
        grid.append(value)
        t += step
    returns = [b / a - 1 for a, b in itertools.pairwise(grid)]
    mean = sum(returns) / len(returns)
    deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / (len(returns) - 1))
    downside = math.sqrt(sum(r * r for r in returns if r < 0) / len(returns))
    year = math.sqrt(365 * 86_400e9 / step)
    peak, peak_ts, worst, longest, under = 1.0, start, 0.0, 0, False
    for ts, g in growth:
        if g >= peak:
            longest = max(longest, ts - peak_ts) if under else longest
            peak, peak_ts, under = g, ts, False
        else:
            under = True
            worst = max(worst, (peak - g) / peak)
    longest = max(longest, end - peak_ts) if under else longest
    return {
        "volatility": deviation * year,
        "sharpe": mean / deviation * year,
        "sortino": mean / downside * year if downside else None,
        "max_drawdown": worst,
        "max_drawdown_ns": longest,
    }


def naive_time_in_market(log: RunLog, start: int, end: int) -> float:
    """Share of [start, end] with any position, by walking from fill to fill."""
    position = [0] * len(log.instruments)
    since, inside = start, 0
    for row in rows_of(log.events):
        if row["kind"] == e.FILL:
            at = min(max(row["ts_recv"], start), end)
            inside += (at - since) if any(position) else 0
            position[row["instrument"]] += row["side"] * row["qty"]
            since = at
    return (inside + ((end - since) if any(position) else 0)) / (end - start)


def naive_percentile(values: list[int], share: float) -> float:
    """Percentile by linear interpolation between the two nearest ranks."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
