"""A REST client with everything around it: limits, breaker, authentication, retries, in that order (S1-03).

For each attempt: wait for the limits, holding nothing; pass the breaker; authenticate under the lock; send without it.
For edges of a user's own; a session's venue connections have limits and retries of their own.
"""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from tercel import clock
from tercel.net.breaker import CircuitBreaker
from tercel.net.latency import LatencyTracker
from tercel.net.limits import EndpointLimiter, Throttle
from tercel.net.rest import Answer, RequestError, RestClient, Trouble
from tercel.net.retry import RetryPolicy, retry_after_s, retry_with_backoff

__all__ = ["Authenticator", "EnhancedClient"]

_DEFAULT_POLICY = RetryPolicy()
_BANNED = 418
_TOO_MANY = 429


class Authenticator(Protocol):
    """Signs requests. Both calls run under the client's lock, one at a time."""

    async def authorize(self, method: str, url: str, body: bytes) -> tuple[str, Mapping[str, str]]:
        """The address and the headers to send; may refresh a token first. Signs anew for every attempt."""
        ...

    async def renew(self) -> bool:
        """The venue answered 401: whether new credentials were obtained, so that the request is worth repeating."""
        ...


class EnhancedClient:
    """Requests through limits, breaker, authentication and retries.

    latencies: of answered attempts, by endpoint. used_header: where the venue tells its used weight, lower case.
    """

    def __init__(
        self,
        client: RestClient,
        limiter: EndpointLimiter,
        *,
        auth: Authenticator | None = None,
        policy: RetryPolicy = _DEFAULT_POLICY,
        breaker: CircuitBreaker | None = None,
        used_header: str | None = None,
        random: Callable[[], float] = _random.random,
        now: Callable[[], int] = clock.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limiter = limiter
        self.breaker = breaker or CircuitBreaker()
        self.latencies: dict[str, LatencyTracker] = {}
        self._client = client
        self._throttle = Throttle(limiter, now=now, sleep=sleep)
        self._auth = auth
        self._lock = asyncio.Lock()
        self._policy = policy
        self._used_header = used_header
        self._random, self._now, self._sleep = random, now, sleep

    async def make_request(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        *,
        endpoint: str,
        weight: int = 1,
        is_repeatable: bool = False,
        timeout_s: float | None = None,
    ) -> Answer:
        """One request, repeated as the policy allows. endpoint: the name its limits and latencies go by.

        Raises RequestError; `was_sent` is True if the bytes of any attempt may have left.
        """
        was_sent = False

        async def attempt() -> Answer:
            nonlocal was_sent
            try:
                return await self._attempt(method, url, body, endpoint, weight, timeout_s)
            except RequestError as error:
                was_sent = was_sent or error.was_sent
                raise

        try:
            return await retry_with_backoff(
                self._policy, attempt, is_repeatable=is_repeatable, random=self._random, sleep=self._sleep
            )
        except RequestError as error:
            error.was_sent = was_sent
            raise

    async def _attempt(
        self, method: str, url: str, body: bytes, endpoint: str, weight: int, timeout_s: float | None
    ) -> Answer:
        await self._throttle.wait(endpoint, weight)
        answer = await self._send(method, url, body, endpoint, timeout_s)
        if answer.status == 401 and self._auth is not None:
            async with self._lock:
                is_renewed = await self._auth.renew()
            if is_renewed:  # the venue did nothing, so even an order may be sent once more
                await self._throttle.wait(endpoint, weight)
                answer = await self._send(method, url, body, endpoint, timeout_s)
        return answer

    async def _send(self, method: str, url: str, body: bytes, endpoint: str, timeout_s: float | None) -> Answer:
        ticket = self.breaker.admit(self._now())
        if ticket == 0:
            wait_s = self.breaker.wait_ns(self._now()) / 1e9
            raise RequestError(
                f"{endpoint}: not sent, the circuit is open for {wait_s:.1f} s more",
                trouble=Trouble.BAD_ANSWER,
                was_sent=False,
            )
        try:
            headers: Mapping[str, str] = {}
            if self._auth is not None:
                async with self._lock:
                    url, headers = await self._auth.authorize(method, url, body)
            start_ns = self._now()
            answer = await self._client.request(method, url, headers, body, timeout_s)
        except RequestError:
            self.breaker.on_failure(ticket, self._now())
            raise
        except BaseException:  # cancelled, or not even signed: it says nothing of the venue
            self.breaker.on_abandoned(ticket)
            raise
        now_ns = self._now()
        self.latencies.setdefault(endpoint, LatencyTracker()).add(now_ns - start_ns)
        if answer.status >= 500:
            self.breaker.on_failure(ticket, now_ns)
        else:
            self.breaker.on_success(ticket)
        self._learn(answer, now_ns)
        return answer

    def _learn(self, answer: Answer, now_ns: int) -> None:
        """What the answer says of the venue's limits."""
        if self._used_header is not None:
            used = answer.headers.get(self._used_header, "")
            if used.isascii() and used.isdigit():
                self.limiter.set_used(int(used), now_ns)
        if answer.status in (_TOO_MANY, _BANNED):
            self.limiter.block_until(now_ns + int(retry_after_s(answer) * 1e9))
