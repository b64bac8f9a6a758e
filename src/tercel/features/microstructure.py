"""Measures of the touch: order-book imbalance and microprice, as pure functions and smoothed as `State`.

The functions are kernels of plain numbers: prices in any unit, sizes in any unit, the same for both sides. Nothing here
reads a book; the caller hands in what it sees. Called by strategies and by features of books; never by the engine.
"""

from __future__ import annotations

from tercel.features.moving import Ema
from tercel.features.state import State
from tercel.jit import inline_kernel

__all__ = ["SmoothedImbalance", "SmoothedMicroprice", "microprice", "order_book_imbalance"]


@inline_kernel
def order_book_imbalance(bid_qty: float, ask_qty: float) -> float:
    """(bid_qty - ask_qty) / (bid_qty + ask_qty): 1 when only bids rest, -1 when only asks, 0.0 where both are zero."""
    total = bid_qty + ask_qty
    if total <= 0.0:
        return 0.0
    return float((bid_qty - ask_qty) / total)


@inline_kernel
def microprice(bid: float, bid_qty: float, ask: float, ask_qty: float) -> float:
    """The touch weighted by the opposite sizes: (bid * ask_qty + ask * bid_qty) / (bid_qty + ask_qty).

    Leans to the ask when more size rests on the bid. The mid where both sizes are zero. Source: Gatheral and Oomen 2010
    (there the weighted mid), of which Stoikov's microprice of 2018 is a refinement.
    """
    total = bid_qty + ask_qty
    if total <= 0.0:
        return 0.5 * (bid + ask)
    return float(bid + (ask - bid) * (bid_qty / total))


class SmoothedImbalance(State):
    """Ema of the order-book imbalance. Warm-up as in `Ema`, whose state is the field `ema`; between -1 and 1. O(1)."""

    ema: Ema

    def __init__(self, span: float) -> None:
        self.ema = Ema(span)

    def update(self, bid_qty: float, ask_qty: float) -> float:
        return self.ema.update(order_book_imbalance(bid_qty, ask_qty))

    def ready(self) -> bool:
        return self.ema.ready()


class SmoothedMicroprice(State):
    """Ema of the microprice. Warm-up as in `Ema`, whose state is the field `ema`. O(1)."""

    ema: Ema

    def __init__(self, span: float) -> None:
        self.ema = Ema(span)

    def update(self, bid: float, bid_qty: float, ask: float, ask_qty: float) -> float:
        return self.ema.update(microprice(bid, bid_qty, ask, ask_qty))

    def ready(self) -> bool:
        return self.ema.ready()
