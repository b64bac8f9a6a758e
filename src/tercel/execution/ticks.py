"""The newest trades of an instrument, their volume-weighted price, and what an order of a size may move the market.

Kept only for instruments that are watched, so that strategies that never ask pay nothing. Kernels, called by the engine
for each trade and by `strategy.executing` for the questions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import kernel

__all__ = ["IMPACT_MAX", "TICKS", "TICKS_MAX", "ticks_add", "ticks_impact", "ticks_vwap"]

#: Trades that are kept of an instrument.
TICKS_MAX = 100
#: The impact of an order as large as the mean trade, or larger: a fraction of the price (0.001 is 10 basis points).
IMPACT_MAX = 0.001

#: Ring of trades. is_watched: 1 when kept. n: trades in it. i_next: where the next goes. px: ticks; lots: lots.
TICKS = np.dtype(
    [
        ("is_watched", "i8"),
        ("n", "i8"),
        ("i_next", "i8"),
        ("px", "i8", (TICKS_MAX,)),
        ("lots", "i8", (TICKS_MAX,)),
    ],
    align=True,
)


@kernel
def ticks_add(ticks: Any, px: int, lots: int) -> None:
    """Keep one trade; the oldest goes when there are TICKS_MAX."""
    i = ticks.i_next
    ticks.px[i] = px
    ticks.lots[i] = lots
    ticks.i_next = i + 1 if i + 1 < TICKS_MAX else 0
    if ticks.n < TICKS_MAX:
        ticks.n += 1


@kernel
def ticks_vwap(ticks: Any) -> float:
    """Volume-weighted average price of the trades kept, in ticks; 0.0 when nothing with a size has traded."""
    paid, volume = 0.0, 0.0
    for i in range(ticks.n):
        paid += float(ticks.px[i]) * float(ticks.lots[i])
        volume += float(ticks.lots[i])
    return paid / volume if volume > 0.0 else 0.0


@kernel
def ticks_impact(ticks: Any, lots: float) -> float:
    """min(lots / mean trade size, 1) * IMPACT_MAX: the expected move as a fraction of the price.

    0.0 when nothing is kept, when nothing kept has a size, and for a size that is not positive.
    """
    volume = 0.0
    for i in range(ticks.n):
        volume += float(ticks.lots[i])
    if not (volume > 0.0 and lots > 0.0):
        return 0.0
    return min(lots / (volume / float(ticks.n)), 1.0) * IMPACT_MAX
