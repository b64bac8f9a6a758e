"""A naive oracle of the quoter questions: plain Python, dicts and floats, one event at a time, nothing clever.

Written from the words of tercel.bench.questions alone. It keeps two books, a queue position per resting order, and four
sorted streams (market data at the strategy, answers at the strategy, market data at the venue, requests at the
venue) merged by time and, at equal times, in that order.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from tercel.model.events import EVENT, EXCH, LAST, LOCAL, SNAPSHOT

QUOTE_NS, LATENCY_NS = 100_000_000, 10_000_000
ORDER_LOTS, MAX_LOTS, HALF, SKEW_LOTS, SKEW_MAX = 10, 100, 2, 5, 20
LEVEL, CLEAR, TRADE = 1, 2, 3
NOTHING = float("inf")


class Book:
    """Sizes by price for each side; a new price through the other side pushes that side's best away."""

    def __init__(self) -> None:
        self.sizes: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self.best: dict[int, int | None] = {1: None, -1: None}

    def look(self, side: int, limit: int | None) -> int | None:
        """The best price of a side strictly worse than `limit` (None: of all)."""
        prices = [px for px in self.sizes[side] if limit is None or (limit - px) * side > 0]
        if not prices:
            return None
        return max(prices) if side == 1 else min(prices)

    def level(self, side: int, px: int, qty: int) -> int:
        """Set a level; returns the size before."""
        before = self.sizes[side].get(px, 0)
        if qty == 0:
            self.sizes[side].pop(px, None)
            if self.best[side] == px:
                self.best[side] = self.look(side, px)
            return before
        self.sizes[side][px] = qty
        best = self.best[side]
        if best is None or (px - best) * side > 0:
            self.best[side] = px
            other = self.best[-side]
            if other is not None and (px - other) * side >= 0:
                self.best[-side] = self.look(-side, px)
        return before

    def clear(self, side: int, px: int) -> None:
        """Remove every level of a side from the best to `px`, both included."""
        self.sizes[side] = {p: q for p, q in self.sizes[side].items() if (px - p) * side > 0}
        self.best[side] = self.look(side, None)


@dataclass
class Order:
    """One own order, as the strategy and the venue both know it."""

    id: int
    side: int
    px: int
    sent_ns: int
    front: float = 0.0  # size ahead of it, base units
    traded: float = 0.0  # traded at its price since the level last changed
    alive: bool = True  # as the strategy knows


class Quoter:
    """The whole small world of one run."""

    def __init__(self, rows: np.ndarray, queue: str, feed: bool, power: float = 3.0) -> None:
        self.local = rows[(rows["flags"] & 2) != 0].tolist()
        self.venue = rows[(rows["flags"] & 1) != 0].tolist()
        names = rows.dtype.names
        assert names is not None
        self.at = {name: names.index(name) for name in names}
        self.queue, self.feed, self.power = queue, feed, power
        self.local_book, self.venue_book = Book(), Book()
        self.resting: dict[int, Order] = {}
        self.requests: deque[tuple[int, str, Order]] = deque()
        self.answers: deque[tuple[int, str, Order]] = deque()
        self.mine: dict[int, Order | None] = {1: None, -1: None}
        self.position, self.next_id = 0, 1
        self.sent: list[tuple[int, int, int, int, int]] = []
        self.fills: list[tuple[int, int, int, int, int, int]] = []

    # --- the venue ---

    def fill(self, order: Order, ts: int) -> None:
        del self.resting[order.id]
        self.fills.append((order.id, ts, ts + LATENCY_NS, order.px, ORDER_LOTS, order.side))
        self.answers.append((ts + LATENCY_NS, "filled", order))

    def at_venue(self, row: tuple) -> None:
        kind, side, px, qty, ts = (row[self.at[n]] for n in ("kind", "side", "px", "qty", "ts_exch"))
        book = self.venue_book
        if kind == CLEAR:
            book.clear(side, px)
        elif kind == LEVEL:
            best_before = book.best[side]
            before = book.level(side, px, qty)
            for order in self.resting.values():
                if order.side == side and order.px == px:
                    self.level_changed(order, before / 1000, qty / 1000)
            best = book.best[side]
            if best is not None and (best_before is None or (best - best_before) * side > 0):
                for order in [o for o in self.resting.values() if o.side == -side and (best - o.px) * side >= 0]:
                    self.fill(order, ts)
        elif kind == TRADE:
            for order in [o for o in self.resting.values() if o.side == -side]:
                if (px - order.px) * side > 0:
                    self.fill(order, ts)
                elif px == order.px:
                    order.front -= qty / 1000
                    order.traded += qty / 1000
                    if math.floor(-order.front / 0.001 + 0.5) > 0:
                        self.fill(order, ts)

    def level_changed(self, order: Order, before: float, after: float) -> None:
        if self.queue == "risk_averse":
            order.front = min(order.front, after)
            return
        change = before - after - order.traded
        order.traded = 0.0
        if change < 0:
            order.front = min(order.front, after)
            return
        front, back = order.front, before - order.front
        down = back**self.power + front**self.power
        behind = back**self.power / down if down != 0 else math.nan if back == 0 else 1.0
        if math.isnan(behind):
            order.front = after
            return
        moved = front - (1.0 - behind) * change + min(back - behind * change, 0.0)
        order.front = min(moved, after)

    def request(self, ts: int, what: str, order: Order) -> None:
        if what == "cancel":
            if order.id in self.resting:
                del self.resting[order.id]
                self.answers.append((ts + LATENCY_NS, "ended", order))
            return
        other = self.venue_book.best[-order.side]
        if other is not None and (order.px - other) * order.side >= 0:
            self.answers.append((ts + LATENCY_NS, "ended", order))
            return
        order.front = self.venue_book.sizes[order.side].get(order.px, 0) / 1000
        self.resting[order.id] = order

    # --- the strategy ---

    def answer(self, what: str, order: Order) -> None:
        order.alive = False
        if what == "filled":
            self.position += order.side * ORDER_LOTS

    def at_strategy(self, row: tuple) -> None:
        kind, side, px, qty = (row[self.at[n]] for n in ("kind", "side", "px", "qty"))
        if kind == CLEAR:
            self.local_book.clear(side, px)
        elif kind == LEVEL:
            self.local_book.level(side, px, qty)

    def step(self, now: int, reference: int) -> None:
        bid, ask = self.local_book.best[1], self.local_book.best[-1]
        assert bid is not None
        assert ask is not None
        skew = max(-SKEW_MAX, min(SKEW_MAX, self.position // SKEW_LOTS))
        for side, px in (
            (1, min(bid, reference // 2 - HALF - skew)),
            (-1, max(ask, (reference + 1) // 2 + HALF - skew)),
        ):
            wanted = self.position * side < MAX_LOTS
            own = self.mine[side]
            if own is not None and not own.alive:
                own = None
            if own is not None and (own.px != px or not wanted):
                self.requests.append((now + LATENCY_NS, "cancel", own))
                own = None
            if own is None and wanted:
                order = Order(self.next_id, side, px, now)
                self.next_id += 1
                self.mine[side] = order
                self.sent.append((order.id, now, px, ORDER_LOTS, side))
                self.requests.append((now + LATENCY_NS, "new", order))

    # --- time ---

    def run(self) -> Quoter:
        """Merge the four streams to the end."""
        local, venue, at = self.local, self.venue, self.at
        i_local = i_venue = 0
        first = min(local[0][at["ts_recv"]], venue[0][at["ts_exch"]])
        wake: float = NOTHING if self.feed else first + QUOTE_NS
        average, next_ns = None, 0
        while True:
            times = (
                local[i_local][at["ts_recv"]] if i_local < len(local) else NOTHING,
                self.answers[0][0] if self.answers else NOTHING,
                venue[i_venue][at["ts_exch"]] if i_venue < len(venue) else NOTHING,
                self.requests[0][0] if self.requests else NOTHING,
            )
            now = min(times)
            if now > wake:
                # Everything up to the wake-up has happened. (Nothing left at all means no wake-up.)
                if now == NOTHING:
                    return self
                bid, ask = self.local_book.best[1], self.local_book.best[-1]
                if not self.feed:
                    if bid is not None and ask is not None:
                        self.step(int(wake), bid + ask)
                    wake += QUOTE_NS
                    continue
                if bid is not None and ask is not None:
                    scaled = (bid + ask) << 16
                    average = scaled if average is None else average + ((scaled - average) >> 6)
                    if wake >= next_ns:
                        next_ns = int(wake) + QUOTE_NS
                        self.step(int(wake), average >> 16)
                wake = NOTHING
                continue
            if now == NOTHING:
                return self
            stream = times.index(now)
            if stream == 0:
                self.at_strategy(local[i_local])
                i_local += 1
                if self.feed:
                    wake = now
            elif stream == 1:
                _, what, order = self.answers.popleft()
                self.answer(what, order)
            elif stream == 2:
                self.at_venue(venue[i_venue])
                i_venue += 1
            else:
                ts, what, order = self.requests.popleft()
                self.request(ts, what, order)


def jumpy_tape(n: int = 30_000, seed: int = 5, *, crossing: bool) -> np.ndarray:
    """A jumpy made-up L2 feed: a snapshot, then levels and trades around a walking price, at venue and strategy.

    crossing: bids and asks may be stated at prices that meet, which books of different engines take differently.
    """
    rng = np.random.default_rng(seed)
    rows = np.zeros(2 * n + 42, EVENT)
    mid, ts = 600_000, 1_700_000_000_000_000_000
    out = 0

    def add(kind: int, side: int, px: int, qty: int, flags: int, ts: int) -> None:
        nonlocal out
        # Messages have local times of their own; the snapshot is one message.
        nth = 0 if flags & SNAPSHOT else out
        rows[out] = (ts, ts + 1_500_000 + nth, px, qty, 0, 0, 0, kind, side, 0, EXCH | LOCAL | flags, 0)
        out += 1

    for side in (1, -1):
        add(CLEAR, side, mid - side * 20, 0, SNAPSHOT, ts)
        for i in range(20):
            add(LEVEL, side, mid - side * (i + 1), 50 + i, SNAPSHOT | (LAST if side == -1 and i == 19 else 0), ts)
    for _ in range(n):
        ts += int(rng.integers(0, 4)) * 1_000_000
        move = int(rng.integers(-1, 2)) if rng.random() < 0.05 else 0
        if move != 0 and not crossing:
            add(LEVEL, -move, mid + move, 0, LAST, ts)
        mid += move
        side = 1 if rng.random() < 0.5 else -1
        if rng.random() < 0.1:
            add(TRADE, -side, mid - side * int(rng.integers(0, 4)), int(rng.integers(1, 60)), LAST, ts)
        else:
            qty = 0 if rng.random() < 0.3 else int(rng.integers(1, 100))
            add(LEVEL, side, mid - side * int(rng.integers(-1 if crossing else 1, 15)), qty, LAST, ts)
    return rows[:out]
