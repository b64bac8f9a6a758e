"""Indicators over whole columns by their textbook definitions, without any running state."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np


def ema(x: np.ndarray, span: float) -> np.ndarray:
    alpha = 2.0 / (span + 1.0)
    out = []
    for i in range(len(x)):
        weights = [alpha * (1 - alpha) ** k for k in range(i)] + [(1 - alpha) ** i]
        out.append(math.fsum(w * v for w, v in zip(weights, x[: i + 1][::-1])))
    return np.array(out)


def windows(x: np.ndarray, window: int) -> list[np.ndarray]:
    return [x[max(0, i + 1 - window) : i + 1] for i in range(len(x))]


def sma(x: np.ndarray, window: int) -> np.ndarray:
    return np.array([math.fsum(w) / len(w) for w in windows(x, window)])


def std(x: np.ndarray, window: int, ddof: int) -> np.ndarray:
    """Two passes in extended precision over each window."""
    out = []
    for w in windows(x.astype(np.longdouble), window):
        out.append(0.0 if len(w) <= ddof else float(np.sqrt(np.sum((w - w.mean()) ** 2) / (len(w) - ddof))))
    return np.array(out)


def zscore(x: np.ndarray, window: int) -> np.ndarray:
    spread, mean = std(x, window, 0), sma(x, window)
    return np.array([(v - m) / s if s > 0 else 0.0 for v, m, s in zip(x, mean, spread)])


def wilder(values: list[float], period: int) -> list[float]:
    """Mean of the first `period`, then Wilder's recursion; plain means before."""
    out: list[float] = []
    for i, value in enumerate(values):
        if i < period:
            out.append(math.fsum(values[: i + 1]) / (i + 1))
        else:
            out.append((out[-1] * (period - 1) + value) / period)
    return out


def rsi(x: np.ndarray, period: int) -> np.ndarray:
    changes = [float(b - a) for a, b in pairwise(x)]
    gain = wilder([max(c, 0.0) for c in changes], period)
    loss = wilder([max(-c, 0.0) for c in changes], period)
    out = [50.0] * min(len(x), period)
    for i in range(period - 1, len(changes)):
        total = gain[i] + loss[i]
        out.append(100.0 * gain[i] / total if total > 0 else 50.0)
    return np.array(out)


def atr(high: np.ndarray, low: np.ndarray, close: np.ndarray, period: int) -> np.ndarray:
    ranges = [float(max(h - lo, abs(h - c), abs(lo - c))) for h, lo, c in zip(high[1:], low[1:], close[:-1])]
    return np.array([float(high[0] - low[0]), *wilder(ranges, period)])


def vwap(price: np.ndarray, qty: np.ndarray, window: int) -> np.ndarray:
    out = []
    for i in range(len(price)):
        first = max(0, i + 1 - window)
        sizes = [q if q > 0 else 0.0 for q in qty[first : i + 1]]
        volume = math.fsum(sizes)
        money = math.fsum(p * q for p, q in zip(price[first : i + 1], sizes))
        out.append(money / volume if volume > 0 else price[i])
    return np.array(out)
