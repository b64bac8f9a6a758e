"""A volume profile learned from trades: what share of a day's volume trades when. A field of a strategy, as indicators.

Given to `ctx.vwap`. Called by strategies only.
"""

from __future__ import annotations

import math

import numpy as np

from tercel.execution.schedule import PROFILE_MAX
from tercel.features.state import State

__all__ = ["VolumeProfile"]


class VolumeProfile(State):
    """Volume traded in each of `buckets` equal parts of a period that repeats, by default the UTC day.

    `update(ts, qty)` with each trade adds to its part; `decay` below 1 lets old periods fade: where a new period
    begins, what was learned is multiplied by it. `weights` is (buckets,) float64; hand it to `ctx.vwap` with the same
    `period_ns`. Sizes at or below zero and what is no number weigh nothing. Ready once something has traded. O(1), but
    O(buckets) where a period begins.
    """

    period_ns: int = 86_400_000_000_000
    decay: float = 1.0
    period: int = 0
    volume: float = 0.0
    weights: np.ndarray

    def __init__(self, buckets: int = 48, period_ns: int = 86_400_000_000_000, decay: float = 1.0) -> None:
        if not 1 <= buckets <= PROFILE_MAX:
            raise ValueError(f"a volume profile has 1 to {PROFILE_MAX} buckets, found {buckets}")
        if period_ns < buckets:
            raise ValueError(f"the period of a volume profile must be at least {buckets} ns, found {period_ns}")
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"the decay of a volume profile is 0 to 1, found {decay}")
        self.period_ns = period_ns
        self.decay = float(decay)
        self.weights = np.zeros(buckets)

    def update(self, ts: int, qty: float) -> float:
        """A trade of `qty` at `ts` ns. Returns all the volume in the profile."""
        if not (math.isfinite(qty) and qty > 0.0):
            return self.volume
        period = ts // self.period_ns
        if period != self.period:
            if self.decay != 1.0:
                self.volume = 0.0
                for i in range(self.weights.size):
                    self.weights[i] = self.weights[i] * self.decay
                    self.volume += self.weights[i]
            self.period = period
        n = self.weights.size
        # Divided first: a nanosecond count times the buckets could leave the integers.
        i = int(float(ts - period * self.period_ns) / float(self.period_ns) * n)
        self.weights[min(max(i, 0), n - 1)] += qty
        self.volume += qty
        return self.volume

    def ready(self) -> bool:
        return self.volume > 0.0
