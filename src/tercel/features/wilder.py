"""Indicators with Wilder's smoothing: Rsi of one series, Atr of bars.

`State` as those of `features.moving`, under the rules stated there; `period` is a field too. Source of both: J. Welles
Wilder, New Concepts in Technical Trading Systems, 1978. Called by strategies; never by the engine.
"""

from __future__ import annotations

import math

from tercel.features.state import State

__all__ = ["Atr", "Rsi"]


class Rsi(State):
    """Relative strength index: 100 * gain / (gain + loss), of Wilder-smoothed rises and falls between values.

    gain and loss are plain means over the first `period` changes, then average += (change - average) / period. `value`
    is 50.0 until `period` changes have come (`ready()` false), and where neither rises nor falls are left to compare
    (a constant series), where TA-Lib says 0. O(1).
    """

    period: int = 14
    n: int = 0
    last: float = 0.0
    gain: float = 0.0
    loss: float = 0.0
    value: float = 50.0

    def __init__(self, period: int = 14) -> None:
        self.period = period

    def update(self, x: float) -> float:
        if not math.isfinite(x):
            return self.value
        if self.n > 0:
            change = x - self.last
            rise = change if change > 0.0 else 0.0
            fall = -change if change < 0.0 else 0.0
            weight = max(1, min(self.n, self.period))
            self.gain += (rise - self.gain) / weight
            self.loss += (fall - self.loss) / weight
        self.last = float(x)
        self.n += 1
        if self.n > self.period:
            total = self.gain + self.loss
            if total > 0.0:
                self.value = 100.0 * (self.gain / total)
            else:
                self.value = 50.0
        return self.value

    def ready(self) -> bool:
        return self.n > self.period


class Atr(State):
    """Average true range of bars: Wilder's smoothing of max(high, previous close) - min(low, previous close).

    The first bar only gives the first previous close, as in TA-Lib; the average is the plain mean over the next
    `period` bars, then average += (range - average) / period. Before that (`ready()` false) `value` is the mean so far:
    after one bar its high - low, 0.0 before any. Bars without range give 0.0. A bar with a price that is not finite is
    skipped. O(1).
    """

    period: int = 14
    n: int = 0
    last: float = 0.0
    value: float = 0.0

    def __init__(self, period: int = 14) -> None:
        self.period = period

    def update(self, high: float, low: float, close: float) -> float:
        if not (math.isfinite(high) and math.isfinite(low) and math.isfinite(close)):
            return self.value
        if self.n == 0:
            self.value = float(high - low)
        else:
            top = high if high > self.last else self.last
            bottom = low if low < self.last else self.last
            true_range = top - bottom
            if self.n == 1:
                self.value = true_range
            else:
                self.value += (true_range - self.value) / max(1, min(self.n, self.period))
        self.last = float(close)
        self.n += 1
        return self.value

    def ready(self) -> bool:
        return self.n > self.period
