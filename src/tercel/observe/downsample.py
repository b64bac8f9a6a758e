"""Downsampling: long series reduced to what a screen can show, and histograms with sensible edges.

Lives here: which points to keep. Never here: frames or HTML. Called by `report`. Extremes always survive: a spike of
one sample is the thing a reader looks for.
"""

from __future__ import annotations

import math

import numpy as np

__all__ = ["evenly", "histogram", "minmax_rows"]


def minmax_rows(ts: np.ndarray, values: np.ndarray, n_max: int) -> np.ndarray:
    """Ascending row numbers of at most `n_max` points that keep the first, the last, and each time bucket's extremes.

    ts: (n,) int64 ns, ascending; values: (n,) float64 without NaN. Buckets are equal stretches of time, so that a
    burst of samples does not starve the rest. All rows when there are no more than `n_max` (at least 4).
    """
    n = len(ts)
    if n <= n_max:
        return np.arange(n)
    n_buckets = max(1, (n_max - 2) // 2)
    width = (int(ts[-1]) - int(ts[0])) // n_buckets + 1
    bucket = (ts - ts[0]) // width
    # Sorted by bucket, then value: each bucket's first row is its lowest, its last row its highest.
    order = np.lexsort((values, bucket))
    ordered = bucket[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    ends = np.append(starts[1:], n) - 1
    return np.unique(np.concatenate([[0, n - 1], order[starts], order[ends]]))


def evenly(n: int, n_max: int) -> np.ndarray:
    """Ascending row numbers of at most `n_max` of `n` rows, evenly spread, first and last among them."""
    return np.arange(n) if n <= n_max else np.unique(np.linspace(0, n - 1, n_max).round().astype(np.int64))


def histogram(values: np.ndarray, n_bins_max: int = 36) -> tuple[np.ndarray, np.ndarray, bool]:
    """Edges (k+1,) float64, counts (k,) int64, and whether the edges grow by a constant factor.

    Positive values that spread over more than a factor of 30 (between the 5th and 95th percentile) get logarithmic
    bins, others equal ones. The number of bins is twice the cube root of the number of values, 8 to `n_bins_max`.
    Values that repeat on a regular lattice get one bin for each of its points; values that are all alike a single
    bin. Empty input gives no bins.
    """
    n_bins = min(n_bins_max, max(8, math.ceil(2 * len(values) ** (1 / 3))))
    if not len(values):
        return np.zeros(0), np.zeros(0, np.int64), False
    low, high = float(values.min()), float(values.max())
    if low == high:
        half = abs(low) * 0.05 or 0.5
        return np.array([low - half, high + half]), np.array([len(values)]), False
    step = _lattice(values, n_bins_max)
    if step:
        edges = np.arange(low - step / 2, high + step, step)
        return edges, np.histogram(values, edges)[0].astype(np.int64), False
    first, last = np.quantile(values, [0.05, 0.95])
    if low > 0 and last > 30 * first:
        edges = np.exp(np.linspace(math.log(low), math.log(high), n_bins + 1))
        edges[0], edges[-1] = low, high
        return edges, np.histogram(values, edges)[0].astype(np.int64), True
    edges = np.linspace(low, high, n_bins + 1)
    return edges, np.histogram(values, edges)[0].astype(np.int64), False


def _lattice(values: np.ndarray, n_max: int) -> float:
    """The spacing of a lattice of at most `n_max` points that every value lies on; 0 where there is none."""
    points = np.unique(values)
    if len(points) > n_max or len(points) * 2 > len(values):
        return 0.0
    step = float(np.diff(points).min())
    offsets = (points - points[0]) / step
    regular = offsets[-1] < n_max and bool((np.abs(offsets - offsets.round()) < 1e-6).all())
    return step if regular else 0.0
