"""Volume-weighted average prices: Vwap since the start, RollingVwap of the last trades.

`State` as those of `features.moving`, under the rules stated there. Called by strategies; never by the engine.
"""

from __future__ import annotations

import math

import numpy as np

from tercel.features.moving import ExactSum, ring_capacity
from tercel.features.state import State

__all__ = ["RollingVwap", "Vwap"]


class Vwap(State):
    """Volume-weighted average price since the start or the last `reset`: sum (price * qty) / sum qty.

    Kept as a running mean, value += (price - value) * qty / volume, so a constant price gives exactly that price. Until
    something with a size has traded (`ready()` false), `value` is the newest price, and 0.0 before any. Sizes at or
    below zero weigh nothing. O(1).
    """

    volume: float = 0.0
    value: float = 0.0

    def __init__(self) -> None:
        pass

    def update(self, price: float, qty: float) -> float:
        if math.isfinite(price) and math.isfinite(qty):
            if qty > 0.0:
                self.volume += qty
                if self.volume == qty:
                    self.value = float(price)
                else:
                    self.value += (price - self.value) * (qty / self.volume)
            elif self.volume == 0.0:
                self.value = float(price)
        return self.value

    def reset(self) -> None:
        """Begin anew, as at the start of a session."""
        self.volume = 0.0

    def ready(self) -> bool:
        return self.volume > 0.0


class RollingVwap(State):
    """Volume-weighted average price of the last `window` updates: sum (price * qty) / sum qty over them.

    Both sums are kept with their rounding errors, so that a huge trade leaves no trace when it has left. Where nothing
    in the window has a size, `value` is the newest price; sizes at or below zero weigh nothing but take their place in
    the window. Before `window` updates (`ready()` false) it is over those there are; 0.0 before any. O(1).
    """

    window: int = 1
    money: np.ndarray
    size: np.ndarray
    i_next: int = 0
    n: int = 0
    n_sized: int = 0
    paid: ExactSum
    volume: ExactSum
    value: float = 0.0

    def __init__(self, window: int) -> None:
        self.window = window
        self.money = np.zeros(ring_capacity(window))
        self.size = np.zeros(ring_capacity(window))
        self.paid = ExactSum()
        self.volume = ExactSum()

    def update(self, price: float, qty: float) -> float:
        if not (math.isfinite(price) and math.isfinite(qty)):
            return self.value
        # Locals, because compiled code would read a field again after each store to a ring.
        mask = self.size.size - 1
        keep = max(1, min(self.window, mask + 1))
        i, n, n_sized = self.i_next, self.n, self.n_sized
        while n >= keep:
            old = (i - n) & mask
            if self.size[old] > 0.0:
                self.paid.add(-self.money[old])
                self.volume.add(-self.size[old])
                n_sized -= 1
            n -= 1
        if n_sized == 0:
            self.paid.reset()
            self.volume.reset()
        lots = float(qty) if qty > 0.0 else 0.0
        paid = float(price) * lots
        if lots > 0.0:
            self.paid.add(paid)
            self.volume.add(lots)
            n_sized += 1
        value = self.paid.value() / self.volume.value() if n_sized > 0 else float(price)
        self.money[i & mask] = paid
        self.size[i & mask] = lots
        self.i_next, self.n, self.n_sized, self.value = i + 1, n + 1, n_sized, value
        return value

    def ready(self) -> bool:
        return self.n >= max(1, min(self.window, self.size.size))
