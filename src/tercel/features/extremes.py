"""Extremes of one series over a window: RollingMinMax.

A `State` as those of `features.moving`, under the rules stated there. Called by strategies; never by the engine.
"""

from __future__ import annotations

import math

import numpy as np

from tercel.features.moving import ring_capacity
from tercel.features.state import State

__all__ = ["RollingMinMax"]


class RollingMinMax(State):
    """Least and greatest of the last `window` values, in the fields `low` and `high`; `update` returns high - low.

    Each extreme keeps a queue of the values that can still become it (numbers of the observations in `*_at`, values in
    `*_x`, both rings). Before `window` values have come (`ready()` false), the extremes of those there are; 0.0 before
    any. One value, or equal values, have range 0.0. O(1) amortised; the worst single update walks the window once.
    Source: Lemire 2006, streaming maximum-minimum filter.
    """

    window: int = 1
    low_at: np.ndarray
    low_x: np.ndarray
    high_at: np.ndarray
    high_x: np.ndarray
    low_first: int = 0
    low_n: int = 0
    high_first: int = 0
    high_n: int = 0
    i_next: int = 0
    n: int = 0
    low: float = 0.0
    high: float = 0.0

    def __init__(self, window: int) -> None:
        capacity = ring_capacity(window)
        self.window = window
        self.low_at = np.zeros(capacity, np.int64)
        self.low_x = np.zeros(capacity)
        self.high_at = np.zeros(capacity, np.int64)
        self.high_x = np.zeros(capacity)

    def update(self, x: float) -> float:
        if not math.isfinite(x):
            return self.high - self.low
        mask = self.low_x.size - 1
        self.n = min(self.n + 1, max(1, min(self.window, mask + 1)))
        oldest = self.i_next - self.n + 1
        while self.low_n > 0 and self.low_at[self.low_first & mask] < oldest:
            self.low_first += 1
            self.low_n -= 1
        while self.low_n > 0 and self.low_x[(self.low_first + self.low_n - 1) & mask] >= x:
            self.low_n -= 1
        while self.high_n > 0 and self.high_at[self.high_first & mask] < oldest:
            self.high_first += 1
            self.high_n -= 1
        while self.high_n > 0 and self.high_x[(self.high_first + self.high_n - 1) & mask] <= x:
            self.high_n -= 1
        place = (self.low_first + self.low_n) & mask
        self.low_at[place] = self.i_next
        self.low_x[place] = x
        self.low_n += 1
        place = (self.high_first + self.high_n) & mask
        self.high_at[place] = self.i_next
        self.high_x[place] = x
        self.high_n += 1
        self.i_next += 1
        self.low = float(self.low_x[self.low_first & mask])
        self.high = float(self.high_x[self.high_first & mask])
        return self.high - self.low

    def ready(self) -> bool:
        return self.n >= max(1, min(self.window, self.low_x.size))
