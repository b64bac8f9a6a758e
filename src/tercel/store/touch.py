"""Notices depth messages that leave a book crossed, which no true stream does.

A plain dictionary of levels a side and a heap of prices that is cleaned when looked at: half a microsecond a level,
only for judging input. The books that trade are in `book`. Called by `binance` only.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappop, heappush

__all__ = ["TouchCheck"]

_Levels = Iterable[tuple[float, float]]


class TouchCheck:
    """Best prices of a book of float levels. Idle until a snapshot, and again after `forget`."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know nothing, until the next snapshot: after a gap the book may be wrong without a message being wrong."""
        self._is_known = False
        # Bids are kept under negative prices, so that both heaps have the best price on top.
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._bid_heap: list[float] = []
        self._ask_heap: list[float] = []

    def snapshot(self, bids: _Levels, asks: _Levels, newer_bids: _Levels, newer_asks: _Levels) -> None:
        """Start from a snapshot and what newer messages had already changed."""
        self.forget()
        self._is_known = True
        self._apply([*bids, *newer_bids], [*asks, *newer_asks])

    def crosses(self, bids: _Levels, asks: _Levels) -> tuple[float, float] | None:
        """Apply a depth message; when that leaves the book crossed, take it back and return the best bid and ask."""
        if not self._is_known:
            return None
        before = (
            [(px, self._bids.get(-px, 0.0)) for px, _ in bids],
            [(px, self._asks.get(px, 0.0)) for px, _ in asks],
        )
        self._apply(bids, asks)
        bid, ask = self._best(self._bid_heap, self._bids), self._best(self._ask_heap, self._asks)
        if bid is None or ask is None or -bid < ask:
            return None
        self._apply(*before)
        return -bid, ask

    def _apply(self, bids: _Levels, asks: _Levels) -> None:
        for levels, book, heap, sign in (
            (bids, self._bids, self._bid_heap, -1.0),
            (asks, self._asks, self._ask_heap, 1.0),
        ):
            for px, qty in levels:
                key = sign * px
                if qty > 0:
                    if key not in book:
                        heappush(heap, key)
                    book[key] = qty
                else:
                    book.pop(key, None)

    @staticmethod
    def _best(heap: list[float], book: dict[float, float]) -> float | None:
        while heap and heap[0] not in book:
            heappop(heap)
        return heap[0] if heap else None
