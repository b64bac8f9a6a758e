"""An L2 book of two dicts, by the words of the L2 book's docstring: key -> size a side, and what is in view.

Keys: a bid's price, an ask's price negated; the greater the better, on both sides.
"""

from __future__ import annotations

NONE = -(1 << 60)


class NaiveL2:
    def __init__(self) -> None:
        self.sizes: list[dict[int, int]] = [{}, {}]
        self.best = [NONE, NONE]

    def greatest(self, k: int, below: int = 1 << 61) -> int:
        return max((key for key in self.sizes[k] if key < below), default=NONE)

    def settle(self, k: int) -> None:
        self.best[1 - k] = self.greatest(1 - k, -self.best[k])
        self.best[k] = self.greatest(k, -self.best[1 - k])

    def set(self, side: int, px: int, qty: int) -> int:
        k = 0 if side > 0 else 1
        key = side * px
        old = self.sizes[k].get(key, 0)
        if qty > 0:
            self.sizes[k][key] = qty
            if key > self.best[k]:
                self.best[k] = key
                if key >= -self.best[1 - k]:
                    self.best[1 - k] = self.greatest(1 - k, -key)
        elif old > 0:
            del self.sizes[k][key]
            if key >= self.best[k]:
                if key == self.best[k]:
                    self.best[k] = self.greatest(k, key)
                self.settle(k)
        return old

    def clear(self, side: int, px: int) -> None:
        for k, sign in ((0, 1), (1, -1)):
            if side in (0, sign):
                for key in list(self.sizes[k]):
                    if px == 0 or key >= sign * px:
                        del self.sizes[k][key]
                self.best[k] = self.greatest(k, self.best[k] + 1)
                self.settle(k)

    def crossed(self) -> bool:
        """Whether the levels themselves cross, in view or not."""
        return bool(self.sizes[0]) and bool(self.sizes[1]) and self.greatest(0) + self.greatest(1) >= 0

    def in_view(self, side: int) -> list[tuple[int, int]]:
        """(price, size) best first."""
        k = 0 if side > 0 else 1
        keys = sorted((key for key in self.sizes[k] if key <= self.best[k]), reverse=True)
        return [(side * key, self.sizes[k][key]) for key in keys]
