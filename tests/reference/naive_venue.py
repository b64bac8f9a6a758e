"""A simulated venue and its global clock in plain Python objects, from the documented rules and not from the kernels.

Every row, answer, request, expiry and timer is taken one at a time in exact order of time; at equal times market data
at the venue, market data at the strategy, expiring orders, answers, requests, timers. The strategy's side is a real
Engine fed one row at a time; the venue's side, latency, fees, queues and links are here in dicts, lists and ints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np

from tercel.engine.engine import Engine
from tercel.model import commands as c
from tercel.model import events as e
from tercel.model import reasons as r
from tercel.model.commands import COMMAND
from tercel.sim.latency import LEGS, Constant, Lognormal
from tercel.sim.venue import VenueRules


@dataclass(eq=False)
class Order:
    id: int
    instrument: int
    side: int
    type: int
    tif: int
    reduce_only: bool
    px: int
    shown: int
    hidden: int
    slice: int
    arg: int
    expire_ns: int
    state: str = "entering"
    parent: int = 0
    sibling: int = 0
    peak: int = 0
    ahead: float = 0.0
    traded: float = 0.0
    in_front: list[int] = field(default_factory=list)
    balance: float = 0.0
    balance_ts: int = -(10**18)

    @property
    def left(self) -> int:
        return self.shown + self.hidden


class Market:
    """One instrument at the venue."""

    def __init__(self) -> None:
        self.levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
        self.quote = {1: (0, 0), -1: (0, 0)}
        self.last = 0
        self.has_bars = False
        self.position = 0
        self.turnover = 0
        self.resting: dict[int, list[Any]] = {}
        self.queues: dict[tuple[int, int], list[int]] = {}

    def best(self, side: int) -> int:
        levels = self.levels[side]
        if levels:
            return max(levels) if side > 0 else min(levels)
        return self.quote[side][0]

    def best_first(self, side: int) -> list[int]:
        return sorted(self.levels[side], reverse=side > 0)


class Legs:
    """How long messages take: one stream of draws per leg, one line each way on which nothing overtakes."""

    def __init__(self, rules: VenueRules) -> None:
        self.models = {name: getattr(rules.latency, name) for name in LEGS}
        self.states = {
            name: (model.seed * 2654435761 + i) % ((1 << 31) - 2) + 1
            for i, (name, model) in enumerate(self.models.items())
            if isinstance(model, Lognormal)
        }

    def _uniform(self, name: str) -> float:
        self.states[name] = self.states[name] * 48271 % 2147483647
        return self.states[name] / 2147483647.0

    def draw(self, name: str, ts: int) -> int:
        model = self.models[name]
        if isinstance(model, Constant):
            return round(model.ms * 1e6)
        if isinstance(model, Lognormal):
            radius = math.sqrt(-2.0 * math.log(self._uniform(name)))
            normal = radius * math.cos(6.283185307179586 * self._uniform(name))
            exponent = math.log(model.median_ms * 1e6) + model.sigma * normal
            return round(model.floor_ms * 1e6) + int(math.exp(exponent))
        times, values = list(model.times_ns), list(model.values_ns)
        if ts <= times[0]:
            return int(values[0])
        for t0, t1, v0, v1 in zip(times, times[1:], values, values[1:]):
            if t0 <= ts < t1:
                return int(v0) + int((int(v1) - int(v0)) * ((ts - int(t0)) / (int(t1) - int(t0))))
        return int(values[-1])


class NaiveVenue:
    def __init__(self, instruments: list[Any], rules: VenueRules) -> None:
        self.instruments = instruments
        self.rules = rules
        self.legs = Legs(rules)
        self.markets = [Market() for _ in instruments]
        self.orders: list[Order] = []
        self.woken: list[Order] = []
        self.answers: list[Any] = []
        self.last_word: dict[int, int] = {}
        self.answered_ns = 0
        self.executions = 0
        self.window = -1
        self.messages = 0

    # --- answers --------------------------------------------------------------------------------------------------

    def say(self, kind: int, order: Order, px: int, qty: int, reason: int, ts: int, **more: int) -> None:
        row = e.event_rows(1)[0]
        arrives = ts + self.legs.draw("fill" if kind == e.FILL else "response", ts)
        self.answered_ns = max(self.answered_ns, arrives)
        row["ts_exch"], row["ts_recv"] = ts, self.answered_ns
        row["kind"], row["id"], row["px"], row["qty"], row["reason"] = kind, order.id, px, qty, reason
        row["side"], row["instrument"], row["flags"] = order.side, order.instrument, e.EXCH | e.LOCAL
        for name, value in more.items():
            row[name] = value
        self.answers.append(row)
        if kind in (e.FILL, e.CANCELED, e.EXPIRED, e.REJECT):
            self.last_word[order.id] = kind

    def trade(self, order: Order, px: int, qty: int, maker: bool, reason: int, ts: int) -> None:
        instrument, market = self.instruments[order.instrument], self.markets[order.instrument]
        value = instrument.value
        notional = px * qty * value if instrument.kind != "inverse" else (2 * value * qty + px) // (2 * px)
        tiers = [(Decimal(0), self.rules.fees.maker, self.rules.fees.taker)]
        tiers += [(Decimal(str(t.volume)), t.maker, t.taker) for t in self.rules.fees.tiers]
        reached = [t for t in tiers if market.turnover >= t[0] / instrument.quantum][-1]
        rate = Decimal(str(reached[1] if maker else reached[2])) / 10_000
        exact = abs(notional * rate)
        fee = int(exact + Decimal("0.5")) * (1 if rate >= 0 else -1)
        order.shown -= qty
        market.position += order.side * qty
        market.turnover += notional
        self.executions += 1
        flags = e.EXCH | e.LOCAL | (e.MAKER if maker else e.TAKER)
        self.say(e.FILL, order, px, qty, reason, ts, arg0=fee, arg1=self.executions, flags=flags)

    # --- leaving --------------------------------------------------------------------------------------------------

    def end(self, order: Order, filled: bool, ts: int) -> None:
        ended = [(order, filled)]
        self.orders.remove(order)
        while ended:
            gone, whole = ended.pop(0)
            for other in list(self.orders):
                if whole and other.id == gone.sibling:
                    self.say(e.CANCELED, other, other.px, other.left, r.OCO_SIBLING, ts)
                elif other.parent == gone.id and not whole:
                    self.say(e.CANCELED, other, other.px, other.left, r.PARENT_ENDED, ts)
                else:
                    if other.parent == gone.id:
                        other.parent, other.state = 0, "woken"
                        self.woken.append(other)
                    continue
                self.orders.remove(other)
                ended.append((other, False))

    def wake(self, ts: int) -> None:
        while self.woken:
            order = min(self.woken, key=lambda o: self.orders.index(o) if o in self.orders else -1)
            self.woken.remove(order)
            if order in self.orders:
                if order.type in (c.STOP, c.STOP_LIMIT, c.TRAILING):
                    self.arm(order, False, ts)
                else:
                    self.enter(order, False, ts)

    def cut(self, order: Order) -> int:
        """Lots that a reduce-only order loses to the position."""
        if not order.reduce_only:
            return 0
        room = max(0, -self.markets[order.instrument].position * order.side)
        over = max(0, order.left - room)
        from_hidden = min(over, order.hidden)
        order.hidden -= from_hidden
        order.shown -= over - from_hidden
        return over

    def survives_cut(self, order: Order, ts: int) -> bool:
        over = self.cut(order)
        if over and not order.shown:
            self.say(e.EXPIRED, order, order.px, over, r.VENUE_REDUCE_ONLY, ts)
            self.end(order, False, ts)
            return False
        if over:
            self.say(e.AMENDED, order, order.px, order.left, r.VENUE_REDUCE_ONLY, ts)
        return True

    def fill_whole(self, order: Order, px: int, reason: int, ts: int) -> None:
        if self.survives_cut(order, ts):
            order.shown, order.hidden = order.left, 0
            self.trade(order, px, order.shown, True, reason, ts)
            self.end(order, True, ts)

    def fill_part(self, order: Order, lots: int, reason: int, ts: int) -> int:
        """Trades have come to a resting order by `lots`. Returns what it filled."""
        if not self.survives_cut(order, ts):
            return 0
        lots = min(lots, order.shown) if self.rules.partial_fills else order.shown
        self.trade(order, order.px, lots, True, reason, ts)
        if order.shown == 0 and order.hidden == 0:
            self.end(order, True, ts)
        elif order.shown == 0:
            order.shown = min(order.slice, order.hidden)
            order.hidden -= order.shown
            self.rest(order)
        return lots

    # --- entering -------------------------------------------------------------------------------------------------

    def rest(self, order: Order) -> None:
        self.orders.remove(order)
        self.orders.append(order)
        market = self.markets[order.instrument]
        order.state = "resting"
        order.traded, order.balance, order.balance_ts = 0.0, 0.0, -(10**18)
        order.ahead = float(market.levels[order.side].get(order.px, 0))
        if self.rules.queue == "fifo":
            order.in_front = list(market.queues.get((order.side, order.px), []))
            order.ahead = float(sum(market.resting[i][2] for i in order.in_front))

    def takes(self, order: Order) -> list[tuple[int, int]]:
        """(price, lots) that an order would take now."""
        market, side = self.markets[order.instrument], -order.side
        best = market.best(side)
        if not best or (order.type != c.MARKET and (order.px - best) * order.side < 0):
            return []
        if not self.rules.partial_fills:
            return [(best, order.left)]
        if not market.levels[side]:
            return [(best, order.left if market.has_bars else min(order.left, market.quote[side][1]))]
        found, left = [], order.left
        for px in market.best_first(side):
            if left and (order.type == c.MARKET or (order.px - px) * order.side >= 0):
                found.append((px, min(left, market.levels[side][px])))
                left -= found[-1][1]
        return found

    def enter(self, order: Order, is_new: bool, ts: int) -> None:
        market = self.markets[order.instrument]
        order.state = "entering"
        order.type = {c.STOP: c.MARKET, c.TRAILING: c.MARKET, c.STOP_LIMIT: c.LIMIT}.get(order.type, order.type)
        over = self.cut(order)
        if not order.shown:
            self.say(e.REJECT if is_new else e.EXPIRED, order, order.px, over, r.VENUE_REDUCE_ONLY, ts)
            return self.end(order, False, ts)
        best = market.best(-order.side)
        crosses = best > 0 and (order.type == c.MARKET or (order.px - best) * order.side >= 0)
        if crosses and order.tif == c.GTX:
            self.say(e.EXPIRED, order, order.px, order.left, r.WOULD_TAKE, ts)
            return self.end(order, False, ts)
        if order.tif == c.FOK and sum(lots for _, lots in self.takes(order)) < order.left:
            self.say(e.EXPIRED, order, order.px, order.left, r.FOK_UNFILLABLE, ts)
            return self.end(order, False, ts)
        while self.rules.self_trade != "off":
            meets = [
                o
                for o in self.orders
                if o.state == "resting" and o.instrument == order.instrument and o.side == -order.side
                and (order.type == c.MARKET or (order.px - o.px) * order.side >= 0)
            ]  # fmt: skip
            if not meets:
                break
            loser = order if self.rules.self_trade == "newest" else meets[0]
            self.say(e.EXPIRED, loser, loser.px, loser.left, r.STP_CANCELED, ts)
            self.end(loser, False, ts)
            if order not in self.orders:
                return None
        if is_new:
            self.say(e.ACK, order, order.px, order.left + over, 0, ts)
        if over:
            self.say(e.AMENDED, order, order.px, order.left, r.VENUE_REDUCE_ONLY, ts)
        if crosses:
            order.shown, order.hidden = order.left, 0
            for px, lots in self.takes(order):
                if lots == 0:
                    continue
                self.trade(order, px, lots, False, r.TOOK, ts)
                if (self.rules.consume and self.rules.partial_fills) or (
                    self.rules.consume and not market.levels[-order.side]
                ):
                    self.consume(market, -order.side, px, lots)
            if order.shown == 0:
                return self.end(order, True, ts)
        if order.type == c.MARKET or order.tif in (c.IOC, c.FOK):
            reason = r.NO_LIQUIDITY if order.type == c.MARKET else r.IOC_REMAINDER
            self.say(e.EXPIRED, order, order.px, order.left, reason, ts)
            return self.end(order, False, ts)
        if order.slice and order.hidden == 0 and order.shown > order.slice:
            order.shown, order.hidden = order.slice, order.shown - order.slice
        return self.rest(order)

    @staticmethod
    def consume(market: Market, side: int, px: int, lots: int) -> None:
        if market.levels[side]:
            market.levels[side][px] -= lots
            if market.levels[side][px] == 0:
                del market.levels[side][px]
        else:
            market.quote[side] = (px, max(0, market.quote[side][1] - lots))

    def arm(self, order: Order, is_new: bool, ts: int) -> None:
        market = self.markets[order.instrument]
        last = market.last or market.best(-order.side)
        if order.type == c.TRAILING:
            order.peak = last
        elif last and (last - order.arg) * order.side >= 0:
            if not is_new:
                return self.enter(order, False, ts)
            self.say(e.REJECT, order, order.px, order.left, r.WOULD_TRIGGER, ts)
            return self.end(order, False, ts)
        order.state = "waiting"
        if is_new:
            self.say(e.ACK, order, order.px, order.left, 0, ts)
        return None

    # --- requests -------------------------------------------------------------------------------------------------

    def request(self, command: Any, parent: int, ts: int) -> None:
        known = {o.id: o for o in self.orders}
        order = known.get(int(command["id"]))
        over = self.over_rate(ts)
        kind = command["kind"]
        if kind == c.NEW:
            self.new(command, parent, over, ts)
        elif kind == c.LINK:
            self.link(order, known.get(int(command["arg"])), command, ts)
        elif order is None or over:
            ghost = self.order_of(command)
            refusal = e.CANCEL_REJECT if kind == c.CANCEL else e.AMEND_REJECT
            self.say(refusal, ghost, int(command["px"]), 0, r.VENUE_RATE_LIMIT if over else r.VENUE_UNKNOWN_ORDER, ts)
        elif kind == c.CANCEL:
            self.say(e.CANCELED, order, order.px, order.left, r.BY_REQUEST, ts)
            self.end(order, False, ts)
        else:
            self.amend(order, int(command["px"]), int(command["qty"]), int(command["arg"]), ts)

    def over_rate(self, ts: int) -> bool:
        if not self.rules.message_rate:
            return False
        window = ts // round(self.rules.message_window_s * 1e9)
        self.messages = self.messages + 1 if window == self.window else 1
        self.window = window
        return self.messages > self.rules.message_rate

    @staticmethod
    def order_of(command: Any) -> Order:
        get = {name: int(command[name]) for name in COMMAND.names or ()}
        slice_ = get["arg"] if get["type"] == c.ICEBERG else 0
        return Order(
            get["id"], get["instrument"], get["side"], get["type"], get["tif"], bool(get["flags"] & c.REDUCE_ONLY),
            get["px"], slice_ or get["qty"], get["qty"] - slice_ if slice_ else 0, slice_, get["arg"], get["expire_ns"],
        )  # fmt: skip

    def new(self, command: Any, parent: int, over: bool, ts: int) -> None:
        order = self.order_of(command)
        if over:
            return self.say(e.REJECT, order, order.px, order.left, r.VENUE_RATE_LIMIT, ts)
        self.orders.append(order)
        if order.tif == c.GTD and order.expire_ns <= ts:
            self.say(e.EXPIRED, order, order.px, order.left, r.GTD_EXPIRED, ts)
            return self.end(order, False, ts)
        if parent and any(o.id == parent for o in self.orders):
            order.parent, order.state = parent, "held"
            return self.say(e.ACK, order, order.px, order.left, 0, ts)
        if parent and self.last_word.get(parent) in (e.CANCELED, e.EXPIRED, e.REJECT):
            self.say(e.CANCELED, order, order.px, order.left, r.PARENT_ENDED, ts)
            return self.end(order, False, ts)
        if order.type not in (c.STOP, c.STOP_LIMIT, c.TRAILING):
            return self.enter(order, True, ts)
        if order.reduce_only and self.markets[order.instrument].position * order.side >= 0:
            self.say(e.REJECT, order, order.px, order.left, r.VENUE_REDUCE_ONLY, ts)
            return self.end(order, False, ts)
        return self.arm(order, True, ts)

    def amend(self, order: Order, px: int, qty: int, left: int, ts: int) -> None:
        qty -= max(0, left - order.left) if left else 0
        if qty <= 0:
            self.say(e.CANCELED, order, order.px, 0, r.FILLED_MEANWHILE, ts)
            return self.end(order, False, ts)
        keeps = px == order.px and qty <= order.left and order.state == "resting"
        if order.slice and keeps:
            order.hidden = max(0, qty - order.shown)
            order.shown = min(order.shown, qty)
        elif order.slice:
            order.shown = min(qty, order.slice)
            order.hidden = qty - order.shown
        else:
            order.shown = qty
        order.px = px
        self.say(e.AMENDED, order, px, qty, 0, ts)
        if order.state == "resting" and not keeps:
            self.enter(order, False, ts)

    def link(self, order: Order | None, other: Order | None, command: Any, ts: int) -> None:
        first, second = self.last_word.get(int(command["id"])), self.last_word.get(int(command["arg"]))
        loser, reason = None, r.OCO_SIBLING
        if command["flags"] & c.OCO:
            if order and other:
                order.sibling, other.sibling = other.id, order.id
            elif order and second == e.FILL:
                loser = order
            elif other and first == e.FILL:
                loser = other
        elif order and order.parent != command["arg"]:
            if other:
                order.parent, order.state = other.id, "held"
            elif second in (e.CANCELED, e.EXPIRED, e.REJECT):
                loser, reason = order, r.PARENT_ENDED
        if loser:
            self.say(e.CANCELED, loser, loser.px, loser.left, reason, ts)
            self.end(loser, False, ts)

    def next_expiry(self) -> int | None:
        return min((o.expire_ns for o in self.orders if o.expire_ns), default=None)

    def expire(self, ts: int) -> None:
        for order in list(self.orders):
            if order in self.orders and order.expire_ns and order.expire_ns <= ts:
                self.say(e.EXPIRED, order, order.px, order.left, r.GTD_EXPIRED, ts)
                self.end(order, False, ts)

    # --- market data ----------------------------------------------------------------------------------------------

    def resting_on(self, i: int, side: int) -> list[Order]:
        return [o for o in self.orders if o.state == "resting" and o.instrument == i and o.side == side]

    def market_row(self, row: Any) -> None:
        i, kind, ts = int(row["instrument"]), int(row["kind"]), int(row["ts_exch"])
        side, px, qty = int(row["side"]), int(row["px"]), int(row["qty"])
        market = self.markets[i]
        if kind == e.LEVEL:
            old = market.levels[side].pop(px, 0)
            if qty:
                market.levels[side][px] = qty
            for order in self.resting_on(i, side):
                if order.px == px:
                    self.queue_depth(order, float(old), float(qty))
            self.meet(i, ts)
        elif kind == e.CLEAR:
            for each in (1, -1) if side == 0 else (side,):
                market.levels[each] = {p: q for p, q in market.levels[each].items() if px and (p - px) * each < 0}
                for key in [k for k in market.queues if k[0] == each and (not px or (k[1] - px) * each >= 0)]:
                    for gone in market.queues.pop(key):
                        del market.resting[gone]
            self.meet(i, ts)
        elif kind == e.TRADE:
            market.last = px
            self.public_trade(i, side, px, qty, ts)
            self.trigger(i, px, px, ts)
        elif kind == e.QUOTE:
            market.quote = {1: (px, qty), -1: (int(row["arg0"]), int(row["arg1"]))}
            self.meet(i, ts, px, int(row["arg0"]))
            if not market.last and px and row["arg0"]:
                self.trigger(i, px, int(row["arg0"]), ts)
        elif kind == e.BAR:
            self.bar(market, i, int(row["id"]), int(row["arg0"]), int(row["arg1"]), px, ts)
        elif kind in (e.ADD, e.CHANGE, e.DELETE) and self.rules.queue == "fifo":
            self.order_row(market, i, kind, int(row["id"]), side, px, qty, ts)

    def meet(self, i: int, ts: int, bid: int | None = None, ask: int | None = None) -> None:
        best = {
            1: self.markets[i].best(1) if bid is None else bid,
            -1: self.markets[i].best(-1) if ask is None else ask,
        }
        for order in list(self.orders):
            opposite = best[-order.side]
            alive = order in self.orders and order.state == "resting" and order.instrument == i
            if alive and opposite and (order.px - opposite) * order.side >= 0:
                self.fill_whole(order, order.px, r.BOOK_CROSSED, ts)

    def bar(self, market: Market, i: int, first: int, high: int, low: int, close: int, ts: int) -> None:
        market.has_bars = True
        for order in list(self.orders):
            if order in self.orders and order.state == "resting" and order.instrument == i:
                if (low < order.px) if order.side > 0 else (high > order.px):
                    px = min(first, order.px) if order.side > 0 else max(first, order.px)
                    self.fill_whole(order, px, r.TRADED_THROUGH, ts)
        market.quote = {1: (close, market.quote[1][1]), -1: (close, market.quote[-1][1])}
        market.last = close
        self.trigger(i, low, high, ts)

    def public_trade(self, i: int, side: int, px: int, qty: int, ts: int) -> None:
        left = qty
        for order in self.resting_on(i, -side):
            if order not in self.orders or (px - order.px) * side < 0:
                continue
            if order.px != px:
                self.fill_whole(order, order.px, r.TRADED_THROUGH, ts)
                continue
            reason = r.QUEUE_REACHED
            if self.rules.queue == "fifo":
                self.age_balance(order, ts)
                order.ahead -= qty - min(qty, max(0, -order.balance))
                order.balance += qty
                reason = r.FIFO_MATCHED
            else:
                order.ahead -= qty
                order.traded += qty
            if order.ahead <= -0.5:
                reached = min(math.floor(0.5 - order.ahead), left)
                order.ahead = 0.0
                if reached > 0:
                    left -= self.fill_part(order, reached, reason, ts)

    def trigger(self, i: int, low: int, high: int, ts: int) -> None:
        for order in [o for o in self.orders if o.state == "waiting" and o.instrument == i]:
            if order not in self.orders or order.state != "waiting":
                continue
            trigger = order.arg
            if order.type == c.TRAILING:
                order.peak = order.peak or (low if order.side > 0 else high)
                trigger = order.peak + order.side * order.arg
                order.peak = min(order.peak, low) if order.side > 0 else max(order.peak, high)
            if (high >= trigger) if order.side > 0 else (low <= trigger):
                self.enter(order, False, ts)

    # --- queues ---------------------------------------------------------------------------------------------------

    def queue_depth(self, order: Order, old: float, new: float) -> None:
        model, n = self.rules.queue, self.rules.queue_n
        if model == "fifo":
            return
        if model == "risk_averse":
            order.ahead = min(order.ahead, new)
            return
        lost = old - new - order.traded
        order.traded = 0.0
        if lost < 0:
            order.ahead = min(order.ahead, new)
            return
        lot = float(self.instruments[order.instrument].lot_size)

        def f(x: float) -> float:
            return math.log(1.0 + x * lot) if str(model).startswith("log") else math.pow(x, n)

        front, back = order.ahead, old - order.ahead
        a, b = max(front, 0.0), max(back, 0.0)
        if model in ("power", "log"):
            behind = f(b) / (f(b) + f(a)) if f(b) + f(a) else 1.0
        elif model in ("power2", "log2"):
            behind = f(b) / f(b + a) if f(b + a) else 1.0
        else:
            behind = 1.0 - f(a / (a + b)) if a + b else 1.0
        rest = back - behind * lost
        order.ahead = min(front - (1.0 - behind) * lost + min(rest, 0.0), new)

    @staticmethod
    def age_balance(order: Order, ts: int) -> None:
        if (order.balance > 0 and order.balance_ts != ts) or ts - order.balance_ts > 10**9:
            order.balance = 0
        order.balance_ts = ts

    def order_row(self, market: Market, i: int, kind: int, id: int, side: int, px: int, qty: int, ts: int) -> None:
        if kind == e.ADD:
            if id not in market.resting:
                market.resting[id] = [side, px, qty]
                market.queues.setdefault((side, px), []).append(id)
            return
        if id not in market.resting:
            return
        side, old_px, old_qty = market.resting[id]
        gone = kind == e.DELETE or qty <= 0
        stays = not gone and px == old_px and qty <= old_qty
        lost = old_qty - qty if stays else old_qty
        traded = stays or (gone and qty <= 0)
        if not stays:
            market.queues[side, old_px].remove(id)
            del market.resting[id]
        if not gone:
            market.resting[id] = [side, px, qty]
            if not stays:
                market.queues.setdefault((side, px), []).append(id)
        if lost == 0:
            return
        left = lost
        for order in [o for o in self.resting_on(i, side) if o.px == old_px]:
            if order not in self.orders:
                continue
            fresh = lost
            if traded:
                self.age_balance(order, ts)
                fresh -= min(lost, max(0, order.balance))
                order.balance -= lost
            if id in order.in_front:
                order.ahead = max(0.0, order.ahead - fresh)
                if not stays:
                    order.in_front.remove(id)
            elif traded and min(fresh, left) > 0:
                left -= self.fill_part(order, int(min(fresh, left)), r.FIFO_MATCHED, ts)


class NaiveWorld:
    """The global clock: one Engine, one NaiveVenue, the rows, one happening after the other."""

    def __init__(self, engine: Engine, venue: NaiveVenue, rows: np.ndarray, start_ns: int) -> None:
        self.engine, self.venue = engine, venue
        self.commands: list[Any] = []
        self.events: list[Any] = []
        self._requests: list[tuple[int, Any, int]] = []
        self._sent_ns = 0
        self._at_venue = rows[rows["flags"] & e.EXCH != 0]
        self._at_strategy = rows[rows["flags"] & e.LOCAL != 0]
        self._end_ns = max([0, *self._at_venue["ts_exch"][-1:].tolist(), *self._at_strategy["ts_recv"][-1:].tolist()])
        engine.start(start_ns)
        self._send()

    def _send(self) -> None:
        sent, _ = self.engine.take()
        sent = sent[sent["ts"] <= self._end_ns]
        for i, command in enumerate(sent):
            leg = {c.AMEND: "amend", c.CANCEL: "cancel"}.get(int(command["kind"]), "new")
            due = int(command["ts"]) + self.venue.legs.draw(leg, int(command["ts"]))
            self._sent_ns = max(self._sent_ns, due)
            links = [
                int(other["arg"])
                for other in sent[i + 1 :]
                if other["kind"] == c.LINK and other["flags"] & c.BRACKET and other["id"] == command["id"]
            ]
            self._requests.append((self._sent_ns, command, links[0] if links and command["kind"] == c.NEW else 0))
            self.commands.append(command)

    def _feed(self, row: Any) -> None:
        rows = np.array([row])
        while self.engine.step(rows) == 0:
            self._send()
        self._send()

    def run(self) -> None:
        i_venue = i_strategy = n_taken = 0
        venue = self.venue
        never = 1 << 62
        while True:
            expiry = venue.next_expiry() or never
            timer = int(self.engine.head["next_timer"])
            at = [
                int(self._at_venue["ts_exch"][i_venue]) if i_venue < len(self._at_venue) else never,
                int(self._at_strategy["ts_recv"][i_strategy]) if i_strategy < len(self._at_strategy) else never,
                expiry if expiry <= max(self._end_ns, self._sent_ns) else never,
                int(venue.answers[n_taken]["ts_recv"]) if n_taken < len(venue.answers) else never,
                self._requests[0][0] if self._requests else never,
                timer if timer <= self._end_ns else never,
            ]
            ts = min(at)
            if ts == never:
                return
            what = at.index(ts)
            if what == 0:
                venue.market_row(self._at_venue[i_venue])
                i_venue += 1
                venue.wake(ts)
            elif what == 1:
                self._feed(self._at_strategy[i_strategy])
                i_strategy += 1
            elif what == 2:
                venue.expire(ts)
                venue.wake(ts)
            elif what == 3:
                self.events.append(venue.answers[n_taken])
                n_taken += 1
                self._feed(self.events[-1])
            elif what == 4:
                _, command, parent = self._requests.pop(0)
                venue.request(command, parent, ts)
                venue.wake(ts)
            else:
                self.engine.fire_timers(ts + 1)
                self._send()
