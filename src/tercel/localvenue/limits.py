"""Rate limits: request weight by caller, order counts by account, and the ban of who does not listen.

Windows begin at whole intervals, as the real venue's do. Over the limit a request is refused with 429 and the seconds
to wait; a caller who goes on is banned with 418, longer each time (Binance spot API, "Limits", read November 2026).
Called by the request handlers with the time.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tercel.errors import ConfigError
from tercel.localvenue.refusals import TOO_MANY_ORDERS, TOO_MANY_REQUESTS, RefusedError

__all__ = ["LimitRules", "RateLimits"]

_MINUTE_MS, _TEN_S_MS, _DAY_MS = 60_000, 10_000, 86_400_000


class LimitRules(msgspec.Struct, frozen=True, kw_only=True):
    """weight_1m: request weight a caller may use each minute. orders_10s, orders_1d: new orders of an account.

    strikes: refused requests in a row that bring a ban. ban_s: seconds of the first ban; each further one is twice as
    long, up to three days. The defaults are the real venue's.
    """

    weight_1m: int = 6000
    orders_10s: int = 100
    orders_1d: int = 200_000
    strikes: int = 20
    ban_s: int = 120

    def __post_init__(self) -> None:
        """Refuse limits that let nothing through."""
        for name in self.__struct_fields__:
            if getattr(self, name) < 1:
                raise ConfigError(f"rate limit {name} must be at least 1, found {getattr(self, name)}")

    def stated(self) -> list[dict[str, Any]]:
        """As exchangeInfo states them."""
        return [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": self.weight_1m},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": self.orders_10s},
            {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": self.orders_1d},
        ]

    @classmethod
    def none(cls) -> LimitRules:
        """Limits that nobody reaches, for tests under load."""
        high = 1_000_000_000
        return cls(weight_1m=high, orders_10s=high, orders_1d=high)


class _Caller:
    __slots__ = ("ban_s", "banned_until_ms", "minute", "strikes", "weight")

    def __init__(self) -> None:
        self.minute = self.weight = self.strikes = self.banned_until_ms = self.ban_s = 0


class _Orders:
    __slots__ = ("day", "n_1d", "n_10s", "ten")

    def __init__(self) -> None:
        self.ten = self.n_10s = self.day = self.n_1d = 0


class RateLimits:
    """The counters."""

    def __init__(self, rules: LimitRules) -> None:
        self.rules = rules
        self._callers: dict[str, _Caller] = {}
        self._orders: dict[int, _Orders] = {}
        weight, ten, day = [msgspec.json.encode(each)[:-1] + b',"count":%d}' for each in rules.stated()]
        self._weight_text = b"[%b]" % weight
        self._all_text = b"[%b,%b,%b]" % (ten, day, weight)

    def _caller(self, caller: str, now_ms: int) -> _Caller:
        found = self._callers.get(caller)
        if found is None:
            found = self._callers[caller] = _Caller()
        minute = now_ms // _MINUTE_MS
        if found.minute != minute:
            found.minute, found.weight = minute, 0
        return found

    def use_weight(self, caller: str, weight: int, now_ms: int) -> None:
        """Count a request's weight; RefusedError when the caller is banned or over the limit."""
        found = self._caller(caller, now_ms)
        if now_ms < found.banned_until_ms:
            raise self._banned(found, now_ms)
        found.weight += weight
        if found.weight <= self.rules.weight_1m:
            found.strikes = 0
            return
        found.strikes += 1
        if found.strikes > self.rules.strikes:
            found.strikes = 0
            found.ban_s = min(2 * found.ban_s, 3 * 86_400) if found.ban_s else self.rules.ban_s
            found.banned_until_ms = now_ms + 1000 * found.ban_s
            raise self._banned(found, now_ms)
        wait_s = 1 + (_MINUTE_MS - now_ms % _MINUTE_MS) // 1000
        raise RefusedError(
            TOO_MANY_REQUESTS,
            f"Too much request weight used; current limit is {self.rules.weight_1m} request weight per 1 MINUTE. "
            "Please use WebSocket Streams for live updates to avoid polling the API.",
            retry_after_s=wait_s,
        )

    @staticmethod
    def _banned(caller: _Caller, now_ms: int) -> RefusedError:
        text = f"Way too much request weight used; IP banned until {caller.banned_until_ms}. Please use WebSocket "
        wait_s = 1 + (caller.banned_until_ms - now_ms) // 1000
        return RefusedError(
            TOO_MANY_REQUESTS, text + "Streams for live updates to avoid bans.", status=418, retry_after_s=wait_s
        )

    def use_order(self, account: int, now_ms: int) -> None:
        """Count a new order; RefusedError when the account is over a limit."""
        found = self._orders.get(account)
        if found is None:
            found = self._orders[account] = _Orders()
        ten, day = now_ms // _TEN_S_MS, now_ms // _DAY_MS
        if found.ten != ten:
            found.ten, found.n_10s = ten, 0
        if found.day != day:
            found.day, found.n_1d = day, 0
        rules = self.rules
        if found.n_10s >= rules.orders_10s:
            raise _too_many_orders(rules.orders_10s, "10 SECOND", _TEN_S_MS, now_ms)
        if found.n_1d >= rules.orders_1d:
            raise _too_many_orders(rules.orders_1d, "1 DAY", _DAY_MS, now_ms)
        found.n_10s += 1
        found.n_1d += 1

    def uncount_order(self, account: int, now_ms: int) -> None:
        """An order was refused, or has traded: it counts no longer (spot, "Unfilled Order Count Rules")."""
        found = self._orders.get(account)
        if found is not None:
            found.n_10s -= found.n_10s > 0 and found.ten == now_ms // _TEN_S_MS
            found.n_1d -= found.n_1d > 0 and found.day == now_ms // _DAY_MS

    def used_weight(self, caller: str, now_ms: int) -> int:
        """Weight the caller has used this minute."""
        return self._caller(caller, now_ms).weight

    def order_counts(self, account: int, now_ms: int) -> tuple[int, int]:
        """New orders of the account in these ten seconds and today."""
        found = self._orders.get(account)
        if found is None:
            return 0, 0
        ten = found.n_10s if found.ten == now_ms // _TEN_S_MS else 0
        return ten, found.n_1d if found.day == now_ms // _DAY_MS else 0

    def usage_json(self, caller: str, account: int | None, now_ms: int) -> bytes:
        """`usage` as JSON, for answers by the thousand."""
        used = self.used_weight(caller, now_ms)
        if account is None:
            return self._weight_text % used
        return self._all_text % (*self.order_counts(account, now_ms), used)

    def usage(self, caller: str, account: int | None, now_ms: int) -> list[dict[str, Any]]:
        """`rateLimits` of a WebSocket API answer."""
        weight, *orders = self.rules.stated()
        weight["count"] = self.used_weight(caller, now_ms)
        if account is None:
            return [weight]
        ten, day = self.order_counts(account, now_ms)
        orders[0]["count"], orders[1]["count"] = ten, day
        return [*orders, weight]


def _too_many_orders(limit: int, words: str, window_ms: int, now_ms: int) -> RefusedError:
    return RefusedError(
        TOO_MANY_ORDERS,
        f"Too many new orders; current limit is {limit} orders per {words}.",
        retry_after_s=1 + (window_ms - now_ms % window_ms) // 1000,
    )
