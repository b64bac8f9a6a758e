"""Moving averages and what is built from them: EMA, SMA, rolling standard deviation, RSI, ATR, VWAP."""

from __future__ import annotations

from tercel.features.state import State

__all__ = ["Ema"]


class Ema(State):
    """Exponential moving average, seeded with the first value: value += alpha * (x - value), alpha = 2 / (span + 1)."""

    alpha: float = 0.0
    value: float = 0.0
    n: int = 0

    def __init__(self, span: float) -> None:
        self.alpha = 2.0 / (span + 1.0)

    def update(self, x):
        if self.n == 0:
            self.value = x
        else:
            self.value += self.alpha * (x - self.value)
        self.n += 1
        return self.value
