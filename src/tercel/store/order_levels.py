"""Levels of a book from its orders: LEVEL rows beside ADD, CHANGE and DELETE rows, so that an order log has an L2 view.

A tape with order rows carries both: the rows of an order first, then the levels it changed, the last of them with the
flag LAST. The strategy's book lives on the levels; the venue's FIFO queues live on the orders. An order that meets the
other side is about to take, not to rest: it counts in its level from the first row on at which it meets nobody. A row
about an id that was never added says nothing about a level. Called by importers.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np

from tercel.model.events import ADD, BUY, CHANGE, DELETE, EVENT, LAST, LEVEL, SELL

__all__ = ["OrderLevels"]


class OrderLevels:
    """The orders of one instrument, and the sizes of its levels."""

    def __init__(self) -> None:
        #: id -> side, price, size, and 1 once it counts in its level.
        self._orders: dict[int, tuple[int, int, int, int]] = {}
        self._sizes: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        #: Per side its prices times the side, sorted: the best is the last.
        self._keys: dict[int, list[int]] = {BUY: [], SELL: []}
        self._taking: set[int] = set()

    def expand(self, rows: np.ndarray) -> np.ndarray:
        """The rows, (n,) EVENT of one instrument, with the LEVEL rows that follow from them put in."""
        columns = (rows[name].tolist() for name in ("kind", "id", "side", "px", "qty"))
        source: list[int] = []
        levels: list[tuple[int, int, int]] = []
        places: list[int] = []
        for i, (kind, order, side, px, qty) in enumerate(zip(*columns, strict=True)):
            source.append(i)
            if kind not in (ADD, CHANGE, DELETE):
                continue
            for level in self.apply(kind, order, side, px, qty):
                places.append(len(source))
                source.append(i)
                levels.append(level)
        out: np.ndarray = rows[source]
        at = np.array(places, np.int64)
        if len(at):
            made = np.array(levels, np.int64).reshape(-1, 3)
            ends = np.append(at[1:] != at[:-1] + 1, True)
            out["kind"][at], out["side"][at], out["px"][at], out["qty"][at] = LEVEL, made[:, 0], made[:, 1], made[:, 2]
            # Of an order's row and its levels only the very last ends the message.
            out["flags"][at - 1] &= ~np.int16(LAST)
            out["flags"][at[~ends]] &= ~np.int16(LAST)
        assert out.dtype == EVENT
        return out

    def apply(self, kind: int, order: int, side: int, px: int, qty: int) -> list[tuple[int, int, int]]:
        """One order row. Returns (side, price, size now) of each level that changed."""
        changed: dict[tuple[int, int], None] = {}
        if kind != ADD and order not in self._orders:
            return []
        if order in self._orders:
            self._count(order, -1, changed)
            self._taking.discard(order)
            side = self._orders.pop(order)[0]
        if kind != DELETE and qty > 0:
            self._orders[order] = (side, px, qty, 0)
            self._taking.add(order)
        for waiting in sorted(self._taking):
            its_side, its_px = self._orders[waiting][:2]
            other = self._keys[-its_side]
            if not other or its_side * its_px + other[-1] < 0:
                self._count(waiting, 1, changed)
                self._taking.discard(waiting)
        return [(s, p, self._sizes[s].get(p, 0)) for s, p in changed]

    def _count(self, order: int, sign: int, changed: dict[tuple[int, int], None]) -> None:
        """Put an order's size into its level (sign 1) or take it out (-1) where it is in."""
        side, px, qty, counted = self._orders[order]
        if counted == (sign > 0):
            return
        self._orders[order] = (side, px, qty, int(sign > 0))
        sizes, keys = self._sizes[side], self._keys[side]
        size = sizes.get(px, 0) + sign * qty
        if size > 0:
            if px not in sizes:
                insort(keys, side * px)
            sizes[px] = size
        else:
            del sizes[px]
            del keys[bisect_left(keys, side * px)]
        changed[side, px] = None
