"""Moving averages and spreads of one series: Ema, Sma, RollingStd, Zscore.

All are `State`: plain bytes inside a strategy's record, the same methods compiled and interpreted. What holds for every
indicator of this room: `update` takes one observation, allocates nothing and returns the new value; an observation that
is not finite is skipped and the old value returned; `ready()` says that the warm-up is over. A `window` is a field: it
may differ from record to record, and may change at run time up to the capacity of the ring (the power of two at or
above the first window). A smaller window forgets at once, a greater one fills as observations arrive; below 1 means 1.
Called by strategies; never by the engine.
"""

from __future__ import annotations

import math

import numpy as np

from tercel.features.state import State

__all__ = ["Ema", "ExactSum", "RollingStd", "Sma", "Zscore", "ring_capacity"]


def ring_capacity(window: int) -> int:
    """Places of the ring that serves a window: the power of two at or above it, at least 1."""
    return 1 << max(0, int(window) - 1).bit_length()


class ExactSum(State):
    """A running sum that loses nothing to rounding: total + low, where low gathers the exact error of each addition.

    Values that are added and later subtracted cancel to about 1e-32 of the largest, and total and low are short chains
    of their own, so that this costs little more than a plain addition. Source: Knuth, TAOCP 2, 4.2.2 (TwoSum); Ogita,
    Rump and Oishi 2005, Sum2. A part of the indicators here.
    """

    total: float = 0.0
    low: float = 0.0

    def __init__(self) -> None:
        pass

    def add(self, x: float) -> None:
        total = self.total
        result = total + x
        shadow = result - total
        self.low += (total - (result - shadow)) + (x - shadow)
        self.total = result

    def value(self) -> float:
        return self.total + self.low

    def reset(self) -> None:
        self.total = 0.0
        self.low = 0.0


class Ema(State):
    """Exponential moving average, seeded with the first value: value += alpha * (x - value), alpha = 2 / (span + 1).

    The weights reach 86 % after `span` updates, and `ready()` is true from there; before, `value` is the average so
    far and it is 0.0 before any update. A constant series gives exactly that constant. O(1).
    """

    alpha: float = 0.0
    value: float = 0.0
    n: int = 0
    n_ready: int = 0

    def __init__(self, span: float) -> None:
        self.alpha = 2.0 / (span + 1.0)
        self.n_ready = max(1, math.ceil(span))

    def update(self, x: float) -> float:
        if math.isfinite(x):
            if self.n == 0:
                self.value = float(x)
            else:
                self.value += self.alpha * (x - self.value)
            self.n += 1
        return self.value

    def ready(self) -> bool:
        return self.n >= self.n_ready


class Sma(State):
    """Simple moving average: the mean of the last `window` values.

    The sum is taken anew from the values each time the ring comes round, so that rounding does not pile up however long
    it runs. Before `window` values have come (`ready()` false), `value` is the mean of those there are, and 0.0 before
    any. O(1), amortised.
    """

    window: int = 1
    ring: np.ndarray
    i_next: int = 0
    n: int = 0
    total: float = 0.0
    value: float = 0.0

    def __init__(self, window: int) -> None:
        self.window = window
        self.ring = np.zeros(ring_capacity(window))

    def update(self, x: float) -> float:
        if not math.isfinite(x):
            return self.value
        # Locals, because compiled code would read a field again after each store to the ring.
        mask = self.ring.size - 1
        keep = max(1, min(self.window, mask + 1))
        i, n, total = self.i_next, self.n, self.total
        while n >= keep:
            total -= self.ring[(i - n) & mask]
            n -= 1
        n += 1
        self.ring[i & mask] = x
        total += x
        i += 1
        if i & mask == 0:
            total = 0.0
            for k in range(i - n, i):
                total += self.ring[k & mask]
        value = total / n
        self.i_next, self.n, self.total, self.value = i, n, total, value
        return value

    def ready(self) -> bool:
        return self.n >= max(1, min(self.window, self.ring.size))


class RollingStd(State):
    """Standard deviation of the last `window` values: sqrt(sum (x - mean)^2 / (n - ddof)).

    ddof 0 (the default) is the population's, as in NumPy and TA-Lib; ddof 1 the sample's, as in pandas. Sliding Welford
    update: a value that leaves is replaced in mean and sum of squares. Beside it a second pair is built from additions
    alone; when that has seen a whole window it takes over, so rounding errors live for two windows at most. Before
    `window` values have come (`ready()` false), `value` is that of the values there are; 0.0 while n <= ddof. A window
    of equal values gives exactly 0.0. O(1). Source: Welford 1962; Chan, Golub and LeVeque 1983.
    """

    window: int = 2
    ddof: int = 0
    ring: np.ndarray
    i_next: int = 0
    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    n_fresh: int = 0
    fresh_mean: float = 0.0
    fresh_m2: float = 0.0
    n_same: int = 0
    last: float = 0.0
    value: float = 0.0

    def __init__(self, window: int, ddof: int = 0) -> None:
        self.window = window
        self.ddof = ddof
        self.ring = np.zeros(ring_capacity(window))

    def update(self, x: float) -> float:
        if not math.isfinite(x):
            return self.value
        x = float(x)
        mask = self.ring.size - 1
        keep = max(1, min(self.window, mask + 1))
        while self.n > keep:
            self._forget(self.ring[(self.i_next - self.n) & mask])
        mean = self.mean
        if self.n == keep:
            old = self.ring[(self.i_next - self.n) & mask]
            change = x - old
            self.mean = mean + change / keep
            self.m2 += change * ((x - self.mean) + (old - mean))
        else:
            self.n += 1
            self.mean = mean + (x - mean) / self.n
            self.m2 += (x - mean) * (x - self.mean)
        self.ring[self.i_next & mask] = x
        self.i_next += 1
        self._refresh(x)
        if self.n > self.ddof:
            self.value = math.sqrt(self.m2 / (self.n - self.ddof))
        else:
            self.value = 0.0
        return self.value

    def _forget(self, old: float) -> None:
        """Take the oldest value out; only where the window has become smaller."""
        self.n -= 1
        mean = self.mean
        self.mean = mean - (old - mean) / self.n
        self.m2 -= (old - mean) * (old - self.mean)
        self.n_fresh = 0

    def _refresh(self, x: float) -> None:
        """Build the second pair, let it take over when it is whole, and settle what must be exact."""
        if self.n_fresh == 0:
            self.fresh_mean = 0.0
            self.fresh_m2 = 0.0
        self.n_fresh += 1
        mean = self.fresh_mean
        self.fresh_mean = mean + (x - mean) / self.n_fresh
        self.fresh_m2 += (x - mean) * (x - self.fresh_mean)
        if self.n_fresh >= self.n:
            self.mean = self.fresh_mean
            self.m2 = self.fresh_m2
            self.n_fresh = 0
        if x == self.last:
            self.n_same += 1
        else:
            self.n_same = 1
            self.last = x
        if self.n_same >= self.n:
            self.mean = x
            self.m2 = 0.0
        elif self.m2 < 0.0:
            self.m2 = 0.0

    def ready(self) -> bool:
        return self.n >= max(1, min(self.window, self.ring.size))


class Zscore(State):
    """How many standard deviations the newest value lies from the mean of the last `window`: (x - mean) / std.

    The newest value is part of the window. 0.0 where the standard deviation is 0 (one value, equal values). Warm-up,
    window and ddof as in `RollingStd`, whose state is the field `std`. O(1).
    """

    std: RollingStd
    value: float = 0.0

    def __init__(self, window: int, ddof: int = 0) -> None:
        self.std = RollingStd(window, ddof)

    def update(self, x: float) -> float:
        if math.isfinite(x):
            spread = self.std.update(x)
            if spread > 0.0:
                self.value = (x - self.std.mean) / spread
            else:
                self.value = 0.0
        return self.value

    def ready(self) -> bool:
        return self.std.ready()
