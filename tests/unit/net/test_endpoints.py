"""The choice among hosts, stepped by hand."""

import random
from collections import Counter

import pytest

from tercel.errors import ConfigError
from tercel.net.endpoints import AXIOM_SOCKETS, Endpoints, Region

S = 1_000_000_000


def test_regions_and_their_primaries():
    assert AXIOM_SOCKETS[Region.US_WEST] == ("socket8.axiom.trade", "cluster-usw2.axiom.trade")
    assert AXIOM_SOCKETS[Region.US_CENTRAL] == ("cluster3.axiom.trade", "cluster-usc2.axiom.trade")
    assert set(AXIOM_SOCKETS) == set(Region)


def test_random_choice_is_uniform():
    endpoints = Endpoints(["a", "b", "c"])
    rng = random.Random(11)
    counts = Counter(endpoints.choose_random(rng.random(), 0) for _ in range(30_000))
    assert set(counts) == {"a", "b", "c"}
    assert all(9_600 < n < 10_400 for n in counts.values())
    assert endpoints.choose_random(0.0, 0) == "a"
    assert endpoints.choose_random(0.999999, 0) == "c"


def test_the_fastest_measured_host_then_listed_order():
    endpoints = Endpoints(["primary", "backup", "third"])
    assert endpoints.choose_fastest(0) == "primary"
    endpoints.set_latency("third", 900)
    assert endpoints.choose_fastest(0) == "third"
    endpoints.set_latency("backup", 300)
    assert endpoints.choose_fastest(0) == "backup"
    endpoints.set_latency("backup", 1500)
    assert endpoints.choose_fastest(0) == "third"
    assert endpoints.latencies_ns() == {"third": 900, "backup": 1500}


def test_failover_and_the_way_back():
    endpoints = Endpoints(["primary", "backup"], aside_s=30)
    endpoints.on_failure("primary", 0)
    assert endpoints.choose_fastest(30 * S - 1) == "backup"
    assert endpoints.choose_random(0.0, S) == "backup"
    assert endpoints.choose_fastest(30 * S) == "primary"
    endpoints.on_failure("primary", 40 * S)
    endpoints.on_success("primary")
    assert endpoints.choose_fastest(40 * S) == "primary"


def test_when_all_failed_the_one_that_failed_longest_ago_is_used():
    endpoints = Endpoints(["a", "b", "c"])
    for i, host in enumerate(["b", "c", "a"]):
        endpoints.on_failure(host, i * S)
    assert endpoints.usable(3 * S) == ["b"]


@pytest.mark.parametrize("hosts", [[], ["a", "a"]])
def test_hosts_are_checked(hosts):
    with pytest.raises(ConfigError):
        Endpoints(hosts)
