"""A naive gate: limits in human units, fractions throughout, rates as exact buckets. Written from docs/risk.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from tercel.model.instrument import Instrument
from tercel.risk.limits import Limits

PX_MAX, QTY_MAX = 2**40, 2**48


@dataclass
class Bucket:
    """Tokens as a fraction; starts full."""

    rate: Fraction
    burst: int
    tokens: Fraction = Fraction(0)
    last_ns: int | None = None

    def at(self, now_ns: int) -> Fraction:
        if self.last_ns is None:
            return Fraction(self.burst)
        passed = max(0, now_ns - self.last_ns)
        return min(Fraction(self.burst), self.tokens + self.rate * Fraction(passed, 10**9))

    def take(self, now_ns: int) -> None:
        self.tokens = self.at(now_ns) - 1
        self.last_ns = now_ns if self.last_ns is None else max(now_ns, self.last_ns)


def bucket(rate, burst) -> Bucket | None:
    if rate is None:
        return None
    exact = Fraction(str(rate))
    return Bucket(exact, burst or max(1, -(-exact.numerator // exact.denominator)))


@dataclass
class NaiveGate:
    limits: Limits
    instrument: Instrument
    halted: str = ""
    refusals: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.orders = bucket(self.limits.order_rate, self.limits.order_burst)
        self.messages = bucket(self.limits.message_rate, self.limits.message_burst)

    def money(self, px: int, qty: int) -> Fraction:
        """Notional in settlement currency; inverse rounded to the quantum as accounts do."""
        one = self.instrument
        price, size = Fraction(one.price(px)), Fraction(one.qty(qty)) * Fraction(one.contract_value)
        if one.kind != "inverse":
            return price * size
        quantum = Fraction(one.quantum)
        exact = size / price / quantum
        return (exact + Fraction(1, 2)).__floor__() * quantum

    def reference(self, side: int, px: int, bid: int, ask: int) -> int:
        inverse = self.instrument.kind == "inverse"
        if side > 0:
            if px == 0:
                return ask
            return min(px, ask) if inverse and ask > 0 else px
        if px == 0:
            return bid
        return px if inverse else max(px, bid)

    def judge(self, held, open_buy, open_sell, side, px, qty, bid, ask, reduce_only, n_open, own, gross, replaced):
        limits, one = self.limits, self.instrument
        if qty < max(1, one.lot_min) or qty > QTY_MAX:
            return "bad_qty"
        if px < 0 or px > PX_MAX:
            return "bad_price"
        if self.halted and (not reduce_only or self.halted == "kill_switch"):
            return self.halted
        if limits.order_qty_max is not None and one.qty(qty) > Fraction(str(limits.order_qty_max)):
            return "qty_cap"
        if limits.open_orders_max is not None and n_open is not None and n_open >= limits.open_orders_max:
            return "too_many_open_orders"
        if side > 0:
            furthest = held + open_buy + qty - replaced
        else:
            furthest = held - open_sell - qty + replaced
        if reduce_only:
            if held == 0 or (held > 0) == (side > 0):
                return "not_reducing"
        elif limits.position_max is not None:
            if Fraction(one.lot_size) * furthest * side > Fraction(str(limits.position_max)):
                return "position_limit"
        if limits.self_trade == "refuse" and own > 0:
            if px == 0 or (px >= own if side > 0 else px <= own):
                return "self_trade"
        if limits.price_collar is not None and px != 0:
            known = [p for p in (bid, ask) if p > 0]
            if not known:
                return "no_reference_price"
            mid = Fraction(sum(known), len(known))
            if abs(px - mid) / mid > Fraction(str(limits.price_collar)):
                return "price_collar"
        if not reduce_only and one.notional_min > 0:
            at = px or self.reference(side, px, bid, ask)
            if at > 0 and self.money(at, qty) < Fraction(one.notional_min):
                return "min_notional"
        if limits.order_notional_max is not None or limits.gross_notional_max is not None:
            at = self.reference(side, px, bid, ask)
            if at <= 0:
                return "no_reference_price"
            amount = self.money(at, qty)
            if limits.order_notional_max is not None and amount > Fraction(str(limits.order_notional_max)):
                return "notional_cap"
            grows = not reduce_only and furthest * side > abs(held)
            if grows and limits.gross_notional_max is not None:
                if Fraction(one.money(gross)) + amount > Fraction(str(limits.gross_notional_max)):
                    return "gross_limit"
        return "ok"

    def count(self, reason: str) -> str:
        if reason != "ok":
            self.refusals[reason] = self.refusals.get(reason, 0) + 1
        return reason

    def new(self, now_ns, *order) -> str:
        reason = self.judge(*order, 0)
        if reason == "ok" and self.orders and self.orders.at(now_ns) < 1:
            reason = "order_rate"
        if reason == "ok" and self.messages and self.messages.at(now_ns) < 1:
            reason = "message_rate"
        if reason == "ok":
            for one in (self.orders, self.messages):
                if one:
                    one.take(now_ns)
        return self.count(reason)

    def amend(self, now_ns, replaced, *order) -> str:
        reason = self.judge(*order, replaced)
        return self.count(reason) if reason != "ok" else self.message(now_ns)

    def message(self, now_ns) -> str:
        if self.messages and self.messages.at(now_ns) < 1:
            return self.count("message_rate")
        if self.messages:
            self.messages.take(now_ns)
        return "ok"
