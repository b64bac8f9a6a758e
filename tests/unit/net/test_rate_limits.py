"""Token buckets and limiters, stepped by hand."""

import asyncio
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercel.clock import HandClock
from tercel.errors import ConfigError
from tercel.net.limits import EndpointLimiter, Rate, Throttle, TokenBucket

S = 1_000_000_000


def test_a_bucket_is_full_at_first_and_deducts_or_tells_the_wait():
    bucket = TokenBucket(Rate(10, 2.0), 0)
    assert bucket.try_consume(10, 0) == 0
    assert bucket.try_consume(3, 0) == 3 * S // 2  # deficit 3 at 2 a second
    assert bucket.try_consume(3, S) == S // 2  # nothing was deducted by the refusal
    assert bucket.try_consume(3, 3 * S // 2) == 0
    assert bucket.n_left(3 * S // 2) == 0


def test_refill_is_capped_and_time_backwards_refills_nothing():
    bucket = TokenBucket(Rate(5, 1.0), 100 * S)
    bucket.try_consume(5, 100 * S)
    assert bucket.n_left(1000 * S) == 5
    bucket.try_consume(5, 1000 * S)
    assert bucket.n_left(500 * S) == 0
    assert bucket.n_left(1001 * S) == 1


def test_a_weight_above_the_maximum_can_never_pass():
    bucket = TokenBucket(Rate(5, 1.0), 0)
    with pytest.raises(ConfigError, match="weight 6 can never pass a limit of 5"):
        bucket.try_consume(6, 0)


@pytest.mark.parametrize("rate", [(0, 1.0), (1, 0.0), (1, -1.0), (1, float("nan")), (1, float("inf"))])
def test_rates_are_checked(rate):
    with pytest.raises(ConfigError):
        Rate(*rate)


@given(
    n_max=st.integers(1, 50),
    per_s=st.integers(1, 40),
    seconds=st.integers(1, 60),
    steps=st.lists(st.tuples(st.integers(0, 3 * S), st.integers(0, 50)), max_size=60),
)
def test_a_bucket_is_exact(n_max, per_s, seconds, steps):
    """Against the definition in fractions: never a token more, and the told wait is the shortest that passes."""
    bucket = TokenBucket(Rate(n_max, per_s / seconds), 0)
    level, now_ns = Fraction(n_max), 0
    rate = Fraction(per_s, seconds * S)
    for step_ns, n in steps:
        n = min(n, n_max)
        now_ns += step_ns
        level = min(level + step_ns * rate, Fraction(n_max))
        wait_ns = bucket.try_consume(n, now_ns)
        if level >= n:
            assert wait_ns == 0
            level -= n
        else:
            assert (wait_ns - 1) * rate < n - level <= wait_ns * rate
        assert bucket.n_left(now_ns) == level.numerator // level.denominator


@given(
    n=st.integers(1, 60),
    seconds=st.integers(1, 10),
    steps=st.lists(st.tuples(st.integers(0, 2 * S), st.integers(1, 9)), max_size=120),
)
def test_no_window_of_the_venue_holds_more_than_it_allows(n, seconds, steps):
    """Whoever asks as greedily as they like, wherever the venue's window begins."""
    bucket, now_ns, taken = TokenBucket(Rate.per(n, seconds), 0), 0, []
    for step_ns, weight in steps:
        now_ns += step_ns
        weight = min(weight, bucket.rate.n_max)
        if wait_ns := bucket.try_consume(weight, now_ns):
            now_ns += wait_ns
            assert bucket.try_consume(weight, now_ns) == 0
        taken.append((now_ns, weight))
    for start_ns, _ in taken:
        inside = sum(weight for at_ns, weight in taken if start_ns <= at_ns < start_ns + seconds * S)
        assert inside <= n


def test_a_venue_s_window_is_what_its_count_is_held_against():
    bucket = TokenBucket(Rate.per(6000, 60), 0)
    assert bucket.rate == Rate(3000, 50.0, 6000)
    bucket.set_used(2500, 0)
    assert bucket.n_left(0) == 3000
    bucket.set_used(5990, 0)
    assert bucket.n_left(0) == 10
    with pytest.raises(ConfigError):
        Rate.per(0, 60)


def test_a_venue_s_count_only_lowers_what_is_left():
    bucket = TokenBucket(Rate(100, 1.0), 0)
    bucket.set_used(70, 0)
    assert bucket.n_left(0) == 30
    bucket.set_used(10, 0)
    assert bucket.n_left(0) == 30
    bucket.set_used(1000, 0)
    assert bucket.n_left(0) == 0


def test_blocked_until():
    bucket = TokenBucket(Rate(10, 1.0), 0)
    bucket.block_until(5 * S)
    bucket.block_until(3 * S)
    assert bucket.try_consume(1, 2 * S) == 3 * S
    assert bucket.n_left(2 * S) == 0
    assert bucket.try_consume(1, 5 * S) == 0


def test_limiter_takes_from_all_or_from_none():
    limiter = EndpointLimiter(0, overall=Rate(10, 1.0), endpoints={"order": Rate(4, 2.0)}, default=Rate(6, 1.0))
    assert limiter.try_acquire("order", 4, 0) == 0
    assert limiter.try_acquire("order", 2, 0) == S
    assert limiter.remaining(0) == {"": (6, 10), "order": (0, 4), "*": (6, 6)}
    assert limiter.try_acquire("depth", 5, 0) == 0
    assert limiter.try_acquire("trades", 1, 0) == 0  # the default bucket is shared
    assert limiter.try_acquire("klines", 1, 0) == S
    assert limiter.n_left("order", 0) == 0
    assert EndpointLimiter(0).n_left("anything", 0) is None
    assert EndpointLimiter(0).try_acquire("anything", 1_000_000, 0) == 0


def test_limiter_hears_the_venue():
    limiter = EndpointLimiter(0, overall=Rate(100, 1.0), endpoints={"order": Rate(50, 1.0)})
    limiter.set_used(95, 0)
    limiter.set_used(20, 0, "order")
    limiter.set_used(20, 0, "unknown")
    assert limiter.remaining(0) == {"": (5, 100), "order": (30, 50)}
    limiter.block_until(9 * S)
    assert limiter.try_acquire("order", 1, S) == 8 * S


class HandSleep:
    """Sleeps by moving a hand clock; wakes `early_ns` too soon, as a real loop may."""

    def __init__(self, early_ns=0):
        self.clock, self.early_ns, self.naps = HandClock(), early_ns, []

    async def sleep(self, wait_s):
        self.naps.append(wait_s)
        self.clock.advance(max(round(wait_s * 1e9) - (self.early_ns if len(self.naps) % 2 else 0), 1))
        await asyncio.sleep(0)


def test_waiting_takes_what_it_waited_for():
    async def main():
        hand = HandSleep(early_ns=1000)
        limiter = EndpointLimiter(0, overall=Rate(2, 1.0))
        throttle = Throttle(limiter, now=hand.clock.monotonic_ns, sleep=hand.sleep)
        for _ in range(5):
            await throttle.wait("order")
        assert limiter.n_left("order", hand.clock.monotonic_ns()) == 0
        assert 3 * S <= hand.clock.monotonic_ns() <= 3 * S + 100
        assert len(hand.naps) > 3  # woken too early it waited again instead of going

    asyncio.run(main())


def test_waiters_of_one_endpoint_go_in_order_and_another_endpoint_is_not_held_up():
    async def main():
        hand = HandSleep()
        limiter = EndpointLimiter(0, endpoints={"slow": Rate(1, 1.0)})
        throttle = Throttle(limiter, now=hand.clock.monotonic_ns, sleep=hand.sleep)
        order = []

        async def go(name, endpoint):
            await throttle.wait(endpoint)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(go(name, "slow"))
            group.create_task(go("free", "quick"))
        assert order[0] == "a"
        assert order.index("free") < order.index("b")
        assert [name for name in order if name != "free"] == ["a", "b", "c", "d"]
        assert hand.clock.monotonic_ns() == 3 * S

    asyncio.run(main())


def test_a_cancelled_wait_has_taken_nothing():
    async def main():
        limiter = EndpointLimiter(0, overall=Rate(1, 1.0))
        assert limiter.try_acquire("x", 1, 0) == 0
        forever = asyncio.Event()
        throttle = Throttle(limiter, now=lambda: 0, sleep=lambda wait_s: forever.wait())
        waiter = asyncio.create_task(throttle.wait("x"))
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert limiter.try_acquire("x", 1, S) == 0

    asyncio.run(main())
