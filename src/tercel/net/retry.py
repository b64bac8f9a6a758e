"""What may be sent again, how often and when. The policy is a value; `retry_with_backoff` carries it out.

A request that may not be repeated is never sent again once its bytes may have left: what the venue did with it is
unknown, and only a report can tell. Called by `net.enhanced` and `live`.
"""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable

import msgspec

from tercel.errors import ConfigError
from tercel.net.rest import Answer, RequestError, Trouble

__all__ = ["RetryPolicy", "retry_after_s", "retry_with_backoff"]

_TOO_MANY = 429


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Retries as a value (S1-04, S1-05).

    max_retries: calls are one more. first_s, factor, max_s: the wait before retry i is first_s * factor**i, at most
    max_s. jitter: each wait is spread by a factor from 1 - jitter to 1 + jitter. statuses: answers that are asked again
    beside 429, for repeatable requests alone; none by default.
    """

    max_retries: int = 3
    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.5
    statuses: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        if self.max_retries < 0 or self.first_s <= 0 or self.factor < 1 or self.max_s < self.first_s:
            raise ConfigError("retries: max_retries >= 0, first_s > 0, factor >= 1, max_s >= first_s")
        if not 0 <= self.jitter <= 1:
            raise ConfigError(f"retries: jitter lies between 0 and 1, not {self.jitter}")

    def delay_s(self, i_retry: int, random: float) -> float:
        """The wait before retry `i_retry` (0 the first); `random` in [0, 1)."""
        # The exponent is bounded, so that a policy of a thousand retries does not overflow.
        plain_s = min(self.first_s * self.factor ** min(i_retry, 64), self.max_s)
        return min(plain_s * (1 - self.jitter + 2 * self.jitter * random), self.max_s)

    def may_repeat(self, outcome: Answer | RequestError, *, is_repeatable: bool) -> bool:
        """Whether this outcome allows the same request once more, the count aside.

        Connect failures and timeouts are; a kept connection that turns out dead is a connect failure of its kind. A
        429 says that the venue did nothing, so even an order may be sent again. A 418 (banned) is never asked again.
        """
        if isinstance(outcome, Answer):
            return outcome.status == _TOO_MANY or (is_repeatable and outcome.status in self.statuses)
        if outcome.was_sent and not is_repeatable:
            return False
        return outcome.trouble in (Trouble.CONNECT, Trouble.TIMEOUT, Trouble.BROKEN)


def retry_after_s(answer: Answer) -> float:
    """The wait an answer asks for in Retry-After, in seconds; 0 without one or for a date."""
    try:
        return max(float(answer.headers.get("retry-after", "0")), 0.0)
    except ValueError:
        return 0.0


async def retry_with_backoff(
    policy: RetryPolicy,
    operation: Callable[[], Awaitable[Answer]],
    *,
    is_repeatable: bool,
    random: Callable[[], float] = _random.random,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Answer:
    """Call `operation` at most max_retries + 1 times; gives the last answer or raises the last RequestError.

    A Retry-After longer than the backoff is kept to; one longer than `max_s` ends the retries, the answer is given.
    """
    for i_retry in range(policy.max_retries + 1):
        is_last = i_retry == policy.max_retries
        asked_s = 0.0
        try:
            answer = await operation()
        except RequestError as error:
            if is_last or not policy.may_repeat(error, is_repeatable=is_repeatable):
                raise
        else:
            asked_s = retry_after_s(answer)
            if is_last or asked_s > policy.max_s or not policy.may_repeat(answer, is_repeatable=is_repeatable):
                return answer
        await sleep(max(policy.delay_s(i_retry, random()), asked_s))
    raise AssertionError("unreachable: the last call returns or raises")
