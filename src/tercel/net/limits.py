"""Request limits as values: token buckets in exact integers, one for all requests and one for each endpoint.

Pure but for `Throttle.wait`, which sleeps until there is room and then takes it, in one loop: a wait alone takes
nothing. Called by `net.enhanced` and `live`; a venue's own weights are the tokens, its answers correct the buckets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from fractions import Fraction

import msgspec

from tercel import clock
from tercel.errors import ConfigError

__all__ = ["EndpointLimiter", "Rate", "Throttle", "TokenBucket"]

_S = 1_000_000_000


class Rate(msgspec.Struct, frozen=True):
    """A limit: `n_max` tokens at once, refilled by `refill_per_s` a second.

    n_window: what the venue allows in its own window, which `set_used` counts against; `n_max` when 0.
    """

    n_max: int
    refill_per_s: float
    n_window: int = 0

    def __post_init__(self) -> None:
        if self.n_max < 1 or not 0 < self.refill_per_s < float("inf") or self.n_window < 0:
            raise ConfigError(f"a rate needs n_max >= 1 and refill_per_s > 0, not {self.n_max} and {self.refill_per_s}")

    @staticmethod
    def per(n: int, seconds: float) -> Rate:
        """A venue's `n` in every window of `seconds`, wherever its windows begin.

        A full bucket of `n` that also refills would let nearly twice `n` into one window. So half of it is the bucket
        and the other half the refill; together they never exceed `n`.
        """
        if n < 1 or seconds <= 0:
            raise ConfigError(f"a venue's limit needs n >= 1 and seconds > 0, not {n} and {seconds}")
        n_burst = (n + 1) // 2
        return Rate(n_burst, (n - n_burst or 1) / seconds, n)


class TokenBucket:
    """A token bucket (S1-40), full at first. It is told the time; a clock that runs backwards refills nothing."""

    def __init__(self, rate: Rate, now_ns: int) -> None:
        self.rate = rate
        # One token is `_one` units and one nanosecond refills `_per_ns` of them, both whole, so nothing drifts.
        exact = Fraction(rate.refill_per_s).limit_denominator(1_000_000)
        if exact == 0:
            raise ConfigError(f"refill_per_s {rate.refill_per_s} is below one token in eleven days")
        self._per_ns = exact.numerator
        self._one = exact.denominator * _S
        self._full = rate.n_max * self._one
        self._level = self._full
        self._at_ns = now_ns
        self._blocked_until_ns = 0

    def try_consume(self, n: int, now_ns: int) -> int:
        """Take `n` tokens and give 0, or take nothing and give the wait in ns, (what lacks) / rate.

        Raises ConfigError for more than the bucket can ever hold.
        """
        wait_ns = self.wait_ns(n, now_ns)
        if wait_ns == 0:
            self._level -= n * self._one
        return wait_ns

    def wait_ns(self, n: int, now_ns: int) -> int:
        """How long until `n` tokens could be taken, 0 for now; takes nothing."""
        if not 0 <= n <= self.rate.n_max:
            raise ConfigError(f"a request of weight {n} can never pass a limit of {self.rate.n_max}")
        self._refill(now_ns)
        lacking = n * self._one - self._level
        wait_ns = -(-lacking // self._per_ns) if lacking > 0 else 0
        return max(wait_ns, self._blocked_until_ns - now_ns, 0)

    def n_left(self, now_ns: int) -> int:
        """Whole tokens that could be taken now."""
        self._refill(now_ns)
        return 0 if now_ns < self._blocked_until_ns else self._level // self._one

    def set_used(self, n_used: int, now_ns: int) -> None:
        """The venue counts `n_used` in its window. Only ever lowers what is left: others may share the address."""
        self._refill(now_ns)
        n_left = (self.rate.n_window or self.rate.n_max) - n_used
        self._level = max(min(self._level, n_left * self._one), 0)

    def block_until(self, until_ns: int) -> None:
        """The venue wants nothing before `until_ns` (a 429 or 418 with Retry-After)."""
        self._blocked_until_ns = max(self._blocked_until_ns, until_ns)

    def _refill(self, now_ns: int) -> None:
        if now_ns > self._at_ns:
            self._level = min(self._level + (now_ns - self._at_ns) * self._per_ns, self._full)
            self._at_ns = now_ns


class EndpointLimiter:
    """One bucket over all requests, one for each named endpoint, one shared by all other endpoints (S1-41)."""

    def __init__(
        self,
        now_ns: int,
        *,
        overall: Rate | None = None,
        endpoints: Mapping[str, Rate] | None = None,
        default: Rate | None = None,
    ) -> None:
        self._overall = None if overall is None else TokenBucket(overall, now_ns)
        self._endpoints = {name: TokenBucket(rate, now_ns) for name, rate in (endpoints or {}).items()}
        self._default = None if default is None else TokenBucket(default, now_ns)

    def _buckets(self, endpoint: str) -> list[TokenBucket]:
        own = self._endpoints.get(endpoint, self._default)
        return [bucket for bucket in (self._overall, own) if bucket is not None]

    def try_acquire(self, endpoint: str, weight: int, now_ns: int) -> int:
        """Take `weight` from every bucket that applies and give 0, or take from none and give the longest wait, ns."""
        buckets = self._buckets(endpoint)
        wait_ns = max((bucket.wait_ns(weight, now_ns) for bucket in buckets), default=0)
        if wait_ns == 0:
            for bucket in buckets:
                bucket.try_consume(weight, now_ns)
        return wait_ns

    def n_left(self, endpoint: str, now_ns: int) -> int | None:
        """What an endpoint may still use now; None without a limit."""
        return min((bucket.n_left(now_ns) for bucket in self._buckets(endpoint)), default=None)

    def remaining(self, now_ns: int) -> dict[str, tuple[int, int]]:
        """For every bucket ("" overall, "*" the default): tokens left and maximum."""
        named = {"": self._overall, **self._endpoints, "*": self._default}
        return {name: (b.n_left(now_ns), b.rate.n_max) for name, b in named.items() if b is not None}

    def set_used(self, n_used: int, now_ns: int, endpoint: str | None = None) -> None:
        """The venue's own count: of all requests, or of one endpoint."""
        bucket = self._overall if endpoint is None else self._endpoints.get(endpoint, self._default)
        if bucket is not None:
            bucket.set_used(n_used, now_ns)

    def block_until(self, until_ns: int) -> None:
        """Nothing at all before `until_ns`."""
        for bucket in (self._overall, self._default, *self._endpoints.values()):
            if bucket is not None:
                bucket.block_until(until_ns)


class Throttle:
    """Waits for room in a limiter; those who wait for one endpoint are served in the order they came."""

    def __init__(
        self,
        limiter: EndpointLimiter,
        *,
        now: Callable[[], int] = clock.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limiter = limiter
        self._now = now
        self._sleep = sleep
        self._turns: dict[str, asyncio.Lock] = {}

    async def wait(self, endpoint: str, weight: int = 1) -> None:
        """Return once `weight` has been taken; timeouts belong to the caller. Cancelled, it has taken nothing."""
        async with self._turns.setdefault(endpoint, asyncio.Lock()):
            while wait_ns := self.limiter.try_acquire(endpoint, weight, self._now()):
                await self._sleep(wait_ns / 1e9)
