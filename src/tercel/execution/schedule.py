"""The record of a parent order, and how much of it is to be done by when: slices, a volume profile, participation.

Kernels. Called by `execution.parents`, which decides what to send, and by `strategy.executing`, which begins parents.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import cold_kernel, inline_kernel, kernel
from tercel.orders.money import mul_div

__all__ = [
    "ENGINE_ICEBERG", "NEVER", "PARENT", "PARENT_STATE_NAMES", "POST", "POV", "PROFILE_MAX", "PROTECT", "PS_ENDED",
    "PS_FREE", "PS_PAUSED", "PS_WORKING", "RATE_1E6", "RECENT", "RETRY_NS", "TAKE", "TWAP", "VWAP", "parent_target",
    "profile_fill", "slice_now", "slice_ns",
]  # fmt: skip

#: Parts a volume profile has at most.
PROFILE_MAX = 96
#: Children remembered after their end, for fills that arrive late.
RECENT = 8
#: How long a parent waits after a setback before it asks again.
RETRY_NS = 250_000_000
#: Participation is counted in parts of 1e-6.
RATE_1E6 = 1_000_000
NEVER = (1 << 63) - 1

# Kinds.
TWAP, VWAP, POV, ENGINE_ICEBERG, PROTECT = 1, 2, 3, 4, 5
# Styles: take at once, or rest at the own best price.
TAKE, POST = 0, 1
# States.
PS_FREE, PS_WORKING, PS_PAUSED, PS_ENDED = 0, 1, 2, 3
PARENT_STATE_NAMES = {PS_FREE: "free", PS_WORKING: "working", PS_PAUSED: "paused", PS_ENDED: "ended"}
#:  One parent order. kind, style, state: as above. qty: int64 lots in all; px: int64 ticks, the worst price, 0 none;
#: show: lots an iceberg displays. start_ns, end_ns: int64 ns, end NEVER without one. n_slices: children a schedule is
#: cut into; slice: how many of them have begun. due_ns: when it acts next. every_ns: least time between children (POV).
#: rate_1e6: participation. observed: lots the market traded while it worked. filled, notional: int64 lots, and ticks
#: times lots, sums over its children's fills. child: id of the living child, 0 none; child_filled: lots of it. sent_ns:
#: when the last child went. asked_ns: when its cancel was asked for, 0 not. retry_ns: not before. wish: the reason to
#: end for, 0 none. is_final: the last attempt of a schedule is out. reason: why it ended. n_children, n_refused:
#: counts; last_reason: of the last setback. next_*: the child to send, as `parent_next` left it. n_parts, profile:
#: cumulated share of volume at the end of each part of its time, profile[0] = 0. recent, i_recent: ring of child ids.
#: Of a PROTECT: entry: the order it protects, whose fills are its qty; px: where it takes profit, 0 nowhere; stop_px:
#: at which price it sells out (side 1: buys back), 0 at none; is_final: that price was seen; is_entry_over: the entry
#: has ended; entry_asked_ns: when its cancel was asked for, 0 not.
PARENT = np.dtype(
    [
        (name, "i8")
        for name in (
            "id kind style state instrument strategy side qty px show start_ns end_ns n_slices slice due_ns every_ns "
            "rate_1e6 observed filled notional child child_filled sent_ns asked_ns retry_ns wish is_final reason "
            "n_children n_refused last_reason next_px next_lots next_type next_tif n_parts i_recent "
            "entry stop_px is_entry_over entry_asked_ns"
        ).split()
    ]
    + [("recent", "i8", (RECENT,)), ("profile", "f8", (PROFILE_MAX + 1,))],
    align=True,
)


@kernel
def _volume_before(weights: Any, at: float) -> float:
    """Weight before the point `at`, in buckets from the first bucket's start; buckets repeat without end."""
    n = len(weights)
    total = 0.0
    for i in range(n):
        total += weights[i]
    cycles = np.floor(at / n)
    left = at - cycles * n
    found = cycles * total
    for i in range(n):
        if left <= i:
            break
        found += weights[i] * min(1.0, left - i)
    return found


@cold_kernel
def profile_fill(parent: Any, weights: Any, period_ns: int) -> int:
    """Cumulate a volume profile over the parent's time. Returns 0, or 1 for weights that are no profile.

    weights: (n,) float64, volume expected in each of n equal parts, 1 <= n <= PROFILE_MAX, not negative, not all 0.
    period_ns 0: the parts span the parent's time. Otherwise they span a period that repeats, counted from the epoch (a
    day: UTC), and what falls into the parent's time is read from there at PROFILE_MAX equal parts.
    """
    n = len(weights)
    if n < 1 or n > PROFILE_MAX or period_ns < 0:
        return 1
    total = 0.0
    for i in range(n):
        if not (weights[i] >= 0.0 and weights[i] < 1e300):
            return 1
        total += weights[i]
    if not (total > 0.0 and total < 1e300):
        return 1
    parts = n if period_ns == 0 else PROFILE_MAX
    duration = float(parent.end_ns - parent.start_ns)
    origin = 0.0
    first = 0.0
    if period_ns > 0:
        origin = float(parent.start_ns % period_ns)
        first = _volume_before(weights, origin / float(period_ns) * n)
    for j in range(1, parts + 1):
        at = float(j)
        if period_ns > 0:
            at = (origin + duration * j / parts) / float(period_ns) * n
        parent.profile[j] = _volume_before(weights, at) - first
    whole = parent.profile[parts]
    if not (whole > 0.0):
        return 1
    for j in range(1, parts + 1):
        parent.profile[j] = parent.profile[j] / whole
    parent.n_parts = parts
    return 0


@inline_kernel
def slice_ns(parent: Any, k: int) -> int:
    """When slice `k` of a schedule begins; slice n_slices is the end."""
    return int(parent.start_ns + mul_div(parent.end_ns - parent.start_ns, k, parent.n_slices))


@kernel
def slice_now(parent: Any, now_ns: int) -> int:
    """How many slices have begun by now, 1 to n_slices."""
    duration = parent.end_ns - parent.start_ns
    k = mul_div(max(0, min(now_ns, parent.end_ns) - parent.start_ns), parent.n_slices, duration)
    # The division rounds to the nearest; begun is what `slice_ns` says.
    while k > 0 and slice_ns(parent, k) > now_ns:
        k -= 1
    while k + 1 < parent.n_slices and slice_ns(parent, k + 1) <= now_ns:
        k += 1
    return int(min(k + 1, parent.n_slices))


@kernel
def parent_target(parent: Any, n_begun: int) -> int:
    """Lots that are to be done when `n_begun` slices of the schedule are over (TWAP, VWAP); POV: by volume seen."""
    if parent.kind == POV:
        return int(min(parent.qty, _share(parent.observed, parent.rate_1e6)))
    if n_begun >= parent.n_slices:
        return int(parent.qty)
    if parent.kind == TWAP:
        return int(mul_div(parent.qty, n_begun, parent.n_slices))
    at = float(n_begun) * float(parent.n_parts) / float(parent.n_slices)
    j = min(int(at), parent.n_parts - 1)
    share = parent.profile[j] + (parent.profile[j + 1] - parent.profile[j]) * (at - j)
    return int(max(0, min(int(np.floor(float(parent.qty) * share + 1e-6)), parent.qty)))


@inline_kernel
def _share(lots: int, rate_1e6: int) -> int:
    """lots * rate, rounded down, without overflow: rate is at most 1."""
    whole = lots // RATE_1E6
    return whole * rate_1e6 + (lots - whole * RATE_1E6) * rate_1e6 // RATE_1E6
