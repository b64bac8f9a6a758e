"""Retries: how many, how long between, and what is never sent twice."""

import asyncio
import random

import pytest

from tercel.errors import ConfigError
from tercel.net.rest import Answer, RequestError, Trouble
from tercel.net.retry import RetryPolicy, retry_after_s, retry_with_backoff

OK = Answer(200, {}, b"")
BUSY = Answer(429, {}, b"")


def failure(trouble, was_sent):
    return RequestError("no answer", trouble=trouble, was_sent=was_sent)


def carry_out(outcomes, policy=None, *, is_repeatable=True, draw=0.5):
    """Runs outcomes (answers, or errors to raise) through; gives the end, the number of calls and the naps."""
    naps, calls = [], []

    async def operation():
        calls.append(len(calls))
        outcome = outcomes[min(len(calls) - 1, len(outcomes) - 1)]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def sleep(wait_s):
        naps.append(wait_s)

    async def main():
        return await retry_with_backoff(
            policy or RetryPolicy(), operation, is_repeatable=is_repeatable, random=lambda: draw, sleep=sleep
        )

    try:
        end = asyncio.run(main())
    except RequestError as error:
        end = error
    return end, len(calls), naps


def test_one_more_call_than_retries_with_doubling_waits():
    error = failure(Trouble.TIMEOUT, True)
    end, n_calls, naps = carry_out([error], RetryPolicy(max_retries=3))
    assert end is error
    assert n_calls == 4
    assert naps == [0.1, 0.2, 0.4]


def test_no_retry_left_over_after_success():
    end, n_calls, naps = carry_out([failure(Trouble.CONNECT, False), BUSY, OK])
    assert end is OK
    assert (n_calls, naps) == (3, [0.1, 0.2])
    assert carry_out([OK])[1:] == (1, [])
    assert carry_out([failure(Trouble.CONNECT, False)], RetryPolicy(max_retries=0))[1] == 1


@pytest.mark.parametrize(
    ("outcome", "if_repeatable", "if_not"),
    [
        (failure(Trouble.CONNECT, False), True, True),
        (failure(Trouble.TIMEOUT, False), True, True),
        (failure(Trouble.TIMEOUT, True), True, False),
        (failure(Trouble.BROKEN, True), True, False),
        (failure(Trouble.BAD_ANSWER, True), False, False),
        (failure(Trouble.BAD_ANSWER, False), False, False),
        (Answer(429, {}, b""), True, True),
        (Answer(418, {}, b""), False, False),
        (Answer(400, {}, b""), False, False),
        (Answer(500, {}, b""), False, False),
        (Answer(503, {}, b""), False, False),
        (Answer(200, {}, b""), False, False),
    ],
)
def test_what_may_be_repeated(outcome, if_repeatable, if_not):
    policy = RetryPolicy()
    assert policy.may_repeat(outcome, is_repeatable=True) is if_repeatable
    assert policy.may_repeat(outcome, is_repeatable=False) is if_not
    assert carry_out([outcome], is_repeatable=False)[1] == (4 if if_not else 1)


def test_statuses_are_repeated_only_on_wish_and_only_what_is_repeatable():
    policy = RetryPolicy(statuses=frozenset({503}))
    assert policy.may_repeat(Answer(503, {}, b""), is_repeatable=True)
    assert not policy.may_repeat(Answer(503, {}, b""), is_repeatable=False)


def test_waits_are_capped_and_jittered_within_bounds():
    policy = RetryPolicy(first_s=0.1, factor=2.0, max_s=30.0, jitter=0.5)
    rng = random.Random(5)
    for i in range(2000):
        plain = min(0.1 * 2.0 ** min(i, 20), 30.0)
        delay = policy.delay_s(i, rng.random())
        assert 0.5 * plain <= delay <= min(1.5 * plain, 30.0)
    assert policy.delay_s(10_000, 0.999) == 30.0
    assert RetryPolicy(jitter=0).delay_s(2, 0.9) == 0.4


def test_retry_after_is_kept_to():
    asked = Answer(429, {"retry-after": "7"}, b"")
    assert carry_out([asked, OK])[2] == [7.0]
    too_long = Answer(429, {"retry-after": "3600"}, b"")
    assert carry_out([too_long, OK]) == (too_long, 1, [])
    assert retry_after_s(Answer(429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"")) == 0.0
    assert retry_after_s(Answer(429, {"retry-after": "-5"}, b"")) == 0.0


@pytest.mark.parametrize(
    "bad", [{"max_retries": -1}, {"first_s": 0}, {"factor": 0.5}, {"max_s": 0.01}, {"jitter": 1.5}]
)
def test_policies_are_checked(bad):
    with pytest.raises(ConfigError):
        RetryPolicy(**bad)
