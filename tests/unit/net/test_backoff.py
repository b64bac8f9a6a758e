"""The reconnect backoff as a value."""

import random

import pytest

from tercel.errors import ConfigError
from tercel.net.reconnect import Backoff


def test_waits_double_to_the_cap_within_the_jitter():
    backoff = Backoff(first_s=0.1, factor=2.0, max_s=30.0, jitter=0.5)
    assert backoff.delay_s(0, 0.5) == 0.0
    assert [backoff.delay_s(n, 0.0) for n in (1, 2, 3, 9, 10, 5000)] == [0.1, 0.2, 0.4, 25.6, 30.0, 30.0]
    rng = random.Random(2)
    delays = [backoff.delay_s(50, rng.random()) for _ in range(1000)]
    assert 15.0 <= min(delays) < 15.5
    assert 29.5 < max(delays) <= 30.0


@pytest.mark.parametrize("bad", [{"first_s": 0}, {"factor": 0.9}, {"max_s": 0.01}, {"jitter": 2}])
def test_it_is_checked(bad):
    with pytest.raises(ConfigError):
        Backoff(**bad)
