"""Columns of decimal numbers as whole ticks and lots, exactly and fast.

A float64 that was read from text of at most 15 significant digits names one decimal number, so a column of such floats
can be held against a grid exactly: the nearest grid point must be the same float. Where nobody states the grid it is
inferred: values are first counted on a fine provisional grid, and the greatest common divisor gives the real one.
Called by importers.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from tercel.errors import ConfigError, UnitError
from tercel.model.units import to_decimal, to_grid

__all__ = ["Grid"]

_EXACT = 1 << 53


class Grid:
    """One column's grid. With `step` None it is inferred: call `divisor` once all values were seen.

    step: size of one tick or lot. finest: provisional step of an inferred grid; finer data is refused by name.
    """

    def __init__(self, step: Decimal | str | float | int | None, what: str, finest: str) -> None:
        self.what = what
        self.inferred = step is None
        self.step = to_decimal(finest if step is None else step, what)
        if self.step <= 0:
            raise ConfigError(f"{what} must be positive, found {step}")
        self._numerator, self._denominator = self.step.as_integer_ratio()
        self._divisor = 0

    def steps(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values as steps.

        values: (n,) float64. Returns (n,) int64 steps and (n,) bool, true where a value is off the grid, not finite or
        negative; there the steps mean nothing.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            counts = np.rint(values * (self._denominator / self._numerator))
            on_grid = counts * self._numerator / self._denominator == values
            sure = (values >= 0) & (np.abs(counts * self._numerator) < _EXACT)
        bad = ~(on_grid & sure)
        steps = np.where(bad, 0, counts).astype(np.int64)
        for i_value in np.flatnonzero(~sure & (values >= 0) & np.isfinite(values)):
            # Beyond 2**53 a float product is no proof; such values are few and go through exact decimals.
            try:
                steps[i_value] = to_grid(float(values[i_value]), self.step, self.what)
                bad[i_value] = False
            except UnitError:
                continue
        if self.inferred and len(steps):
            self._divisor = int(np.gcd(self._divisor, np.gcd.reduce(steps)))
        return steps, bad

    def complaint(self, value: float) -> str:
        """Why a value was refused, in words."""
        if not np.isfinite(value):
            return f"{self.what} is {value}, expected a finite number"
        if value < 0:
            return f"{self.what} is {value}, expected no negative number"
        hint = "state the real one" if self.inferred else "state the venue's real step, or leave it to be inferred"
        return f"{self.what} {value} does not lie on its grid of {self.step.normalize():f}: {hint}"

    def divisor(self) -> int:
        """For an inferred grid: what to divide all steps by, after which `step` is the inferred one. 1 otherwise.

        A column of nothing but zeros says nothing about its grid: the step is then 1.
        """
        if not self.inferred:
            return 1
        divisor = self._divisor or int(1 / self.step)
        self.step = (self.step * divisor).normalize()
        self._numerator, self._denominator = self.step.as_integer_ratio()
        return divisor
