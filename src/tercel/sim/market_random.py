"""Chance for the market simulator: a small generator and draws from tables, equal to the last bit on every run.

Only shifts, masks, additions and products that stay inside int64, and float64 sums and products in a fixed order; no
library logarithm is called while drawing. So the same seed gives the same bytes compiled and interpreted. Called by the
kernels of `market_flow`; the tables are made once per model by `market`.

The generator is xoshiro128** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", ACM TOMS 47,
2021) on four 32-bit words kept in int64 fields, seeded through splitmix64 as its authors advise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from tercel.jit import inline_kernel

__all__ = [
    "N_CELLS", "RNG_FIELDS", "decay", "decay_table", "draw_cell", "draw_exponential", "draw_u32", "draw_unit",
    "exponential_table", "lognormal_table", "normal_table", "placement_table", "seed_words",
]  # fmt: skip

#: Every quantile table has this many cells, and one value more than cells.
N_CELLS = 4096
_CELL_SHIFT = 20
_CELL_MASK = (1 << _CELL_SHIFT) - 1
_FRACTION = 1.0 / (1 << _CELL_SHIFT)
_UNIT = 1.0 / (1 << 32)
_M32 = 0xFFFFFFFF
_M64 = 0xFFFFFFFFFFFFFFFF

#: Cells of the decay table: e**-x for x = 0, 1/8, 2/8, ... up to 40, beyond which it counts as zero.
_DECAY_CELLS = 320

#: Fields that a state record needs for `draw_u32`.
RNG_FIELDS = [("rng0", "i8"), ("rng1", "i8"), ("rng2", "i8"), ("rng3", "i8")]


def seed_words(seed: int) -> list[int]:
    """Four 32-bit words from any integer seed, by splitmix64; never all zero."""
    state = seed & _M64
    words = []
    for _ in range(2):
        state = (state + 0x9E3779B97F4A7C15) & _M64
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _M64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _M64
        z ^= z >> 31
        words += [z & _M32, z >> 32]
    return words if any(words) else [1, 0, 0, 0]


@inline_kernel
def draw_u32(state: Any) -> Any:
    """The next 32 random bits as an int64; `state` has the RNG_FIELDS."""
    s0, s1, s2, s3 = state.rng0, state.rng1, state.rng2, state.rng3
    scrambled = (s1 * 5) & _M32
    result = ((((scrambled << 7) | (scrambled >> 25)) & _M32) * 9) & _M32
    shifted = (s1 << 9) & _M32
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = ((s3 << 11) | (s3 >> 21)) & _M32
    state.rng0 = s0
    state.rng1 = s1
    state.rng2 = s2
    state.rng3 = s3
    return result


@inline_kernel
def draw_unit(state: Any) -> Any:
    """A float64 strictly between 0 and 1."""
    return (draw_u32(state) + 0.5) * _UNIT


@inline_kernel
def draw_cell(state: Any, table: Any) -> Any:
    """A draw from a quantile table of N_CELLS cells, linear inside the cell."""
    bits = draw_u32(state)
    cell = bits >> _CELL_SHIFT
    low = table[cell]
    return low + (table[cell + 1] - low) * ((bits & _CELL_MASK) * _FRACTION)


@inline_kernel
def draw_exponential(state: Any, table: Any) -> Any:
    """A draw from the exponential law of mean 1. The last cell, which has no end, starts over: it has no memory."""
    total = 0.0
    bits = draw_u32(state)
    while bits >> _CELL_SHIFT == N_CELLS - 1:
        total += table[N_CELLS - 1]
        bits = draw_u32(state)
    cell = bits >> _CELL_SHIFT
    low = table[cell]
    return total + low + (table[cell + 1] - low) * ((bits & _CELL_MASK) * _FRACTION)


@inline_kernel
def decay(x: Any, table: Any) -> Any:
    """e**-x for x >= 0, to 2e-10 relative, from `decay_table` and a short series."""
    if x >= 40.0:
        return 0.0
    cell = int(x * 8.0)
    r = x - cell * 0.125
    series = 1.0 - r * (1.0 - r * (0.5 - r * (1 / 6 - r * (1 / 24 - r * (1 / 120 - r / 720)))))
    return table[cell] * series


# --- tables -------------------------------------------------------------------------------------------------------


def _quantiles(inverse: Callable[[float], float]) -> np.ndarray:
    # The ends are drawn in by half a cell so that laws without end stay finite.
    half = 0.5 / N_CELLS
    values = [inverse(min(max(i / N_CELLS, half), 1.0 - half)) for i in range(N_CELLS + 1)]
    return np.array(values, np.float64)


def exponential_table() -> np.ndarray:
    """(N_CELLS + 1,) float64 quantiles of the exponential law of mean 1; the last cell is never used."""
    values = [-math.log1p(-i / N_CELLS) for i in range(N_CELLS)]
    return np.array([*values, values[-1]], np.float64)


def normal_table() -> np.ndarray:
    """(N_CELLS + 1,) float64 quantiles of the standard normal law, cut at 3.7 deviations."""
    return _quantiles(NormalDist().inv_cdf)


def lognormal_table(median: float, sigma: float) -> np.ndarray:
    """(N_CELLS + 1,) float64 quantiles of median x e**(sigma x normal)."""
    law = NormalDist()
    return _quantiles(lambda u: median * math.exp(sigma * law.inv_cdf(u)))


def placement_table(tail: float, flat: float, distance_max: int) -> np.ndarray:
    """(N_CELLS + 1,) float64 quantiles of a distance d in [1, distance_max + 1): density (flat + d)**-(1 + tail)."""
    low, high = flat + 1.0, flat + distance_max + 1.0
    share = 1.0 - (high / low) ** -tail
    values = [low * (1.0 - share * i / N_CELLS) ** (-1.0 / tail) - flat for i in range(N_CELLS + 1)]
    # The very last value belongs to distance_max + 1; the draw never reaches it, but rounding might.
    return np.minimum(np.array(values, np.float64), np.nextafter(distance_max + 1.0, 0.0))


def decay_table() -> np.ndarray:
    """(321,) float64: e**-(i/8)."""
    return np.array([math.exp(-i / 8) for i in range(_DECAY_CELLS + 1)], np.float64)
