"""The naive L3 book: a dict of lists. Written from the documented rules, without looking at the kernels."""

from __future__ import annotations


class NaiveL3:
    """Price -> list of [id, qty], oldest first, one dict per side."""

    def __init__(self, order_max: int, level_max: int) -> None:
        self.order_max, self.level_max = order_max, level_max
        self.sides: dict[int, dict[int, list[list[int]]]] = {1: {}, -1: {}}
        self.where: dict[int, tuple[int, int]] = {}

    def n_levels(self) -> int:
        return len(self.sides[1]) + len(self.sides[-1])

    def add(self, order_id: int, side: int, px: int, qty: int) -> str:
        if qty <= 0:
            return "bad_qty"
        if side not in (1, -1):
            return "bad_side"
        if order_id in self.where:
            return "duplicate"
        if len(self.where) >= self.order_max:
            return "orders_full"
        if px not in self.sides[side] and self.n_levels() >= self.level_max:
            return "levels_full"
        self.sides[side].setdefault(px, []).append([order_id, qty])
        self.where[order_id] = (side, px)
        return "ok"

    def delete(self, order_id: int) -> str:
        if order_id not in self.where:
            return "unknown"
        side, px = self.where.pop(order_id)
        self.sides[side][px] = [o for o in self.sides[side][px] if o[0] != order_id]
        if not self.sides[side][px]:
            del self.sides[side][px]
        return "ok"

    def change(self, order_id: int, px: int, qty: int) -> str:
        if order_id not in self.where:
            return "unknown"
        if qty <= 0:
            return "bad_qty"
        side, old_px = self.where[order_id]
        order = next(o for o in self.sides[side][old_px] if o[0] == order_id)
        if px == old_px and qty <= order[1]:
            order[1] = qty
            return "ok"
        alone = len(self.sides[side][old_px]) == 1
        if px not in self.sides[side] and not alone and self.n_levels() >= self.level_max:
            return "levels_full"
        self.delete(order_id)
        self.sides[side].setdefault(px, []).append([order_id, qty])
        self.where[order_id] = (side, px)
        return "ok"

    def match(self, side: int, limit_px: int, qty: int) -> list[tuple[int, int, int, int]]:
        fills = []
        while qty > 0 and self.sides[-side]:
            best = min(self.sides[-side]) if side == 1 else max(self.sides[-side])
            if (side == 1 and best > limit_px) or (side == -1 and best < limit_px):
                break
            maker = self.sides[-side][best][0]
            traded = min(qty, maker[1])
            maker[1] -= traded
            qty -= traded
            fills.append((maker[0], best, traded, maker[1]))
            if maker[1] == 0:
                self.delete(maker[0])
        return fills

    def clear(self, side: int, last_px: int) -> int:
        gone = 0
        for each in (1, -1):
            if side not in (0, each):
                continue
            for px in list(self.sides[each]):
                if last_px == 0 or (px >= last_px if each == 1 else px <= last_px):
                    for order_id, _ in list(self.sides[each][px]):
                        self.delete(order_id)
                        gone += 1
        return gone

    def levels(self, side: int) -> list[tuple[int, int, int]]:
        prices = sorted(self.sides[side], reverse=side == 1)
        return [(px, sum(o[1] for o in self.sides[side][px]), len(self.sides[side][px])) for px in prices]

    def qty_ahead(self, order_id: int) -> int:
        side, px = self.where[order_id]
        ahead = 0
        for other, qty in self.sides[side][px]:
            if other == order_id:
                return ahead
            ahead += qty
        raise AssertionError("an indexed order is missing from its level")
