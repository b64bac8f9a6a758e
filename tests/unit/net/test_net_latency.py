"""The latency tracker and its alarms."""

import asyncio
import logging

import pytest

from tercel.errors import ConfigError
from tercel.net.latency import LatencyTracker, check_latency, monitor_performance

MS = 1_000_000


def tracker_of(*samples_ns, n_max=1000):
    tracker = LatencyTracker(n_max)
    for sample_ns in samples_ns:
        tracker.add(sample_ns)
    return tracker


def test_percentiles_by_integer_index():
    percentiles = tracker_of(*reversed(range(200))).percentiles()
    assert (percentiles.p50_ns, percentiles.p95_ns, percentiles.p99_ns) == (100, 190, 198)
    assert tracker_of(7).percentiles().p99_ns == 7


def test_empty_is_none_and_the_oldest_is_dropped():
    assert LatencyTracker().percentiles() is None
    assert LatencyTracker().average_ns() is None
    assert check_latency(LatencyTracker()) == []
    tracker = tracker_of(1000, 1, 2, 3, n_max=3)
    assert len(tracker) == 3
    assert tracker.average_ns() == 2.0
    with pytest.raises(ConfigError):
        LatencyTracker(0)


def test_alarms_above_their_thresholds_alone():
    assert check_latency(tracker_of(10 * MS)) == []
    [slow] = check_latency(tracker_of(10 * MS, 10 * MS + 20_000))
    assert (slow.level, slow.text) == (logging.WARNING, "high average latency: 10.01 ms")
    [spike] = check_latency(tracker_of(*[MS] * 98, 51_234_567, 51_234_567))
    assert (spike.level, spike.text) == (logging.ERROR, "P99 latency spike: 51.23 ms")
    assert len(check_latency(tracker_of(60 * MS))) == 2


def test_the_monitor_checks_at_every_interval():
    async def main():
        tracker, alarms, naps = LatencyTracker(1), [], []

        async def sleep(wait_s):
            naps.append(wait_s)
            if len(naps) == 4:
                raise asyncio.CancelledError
            tracker.add([0, MS, 20 * MS, MS][len(naps)])

        with pytest.raises(asyncio.CancelledError):
            await monitor_performance(tracker, 2.5, report=alarms.append, sleep=sleep)
        assert naps == [2.5] * 4
        assert [alarm.text for alarm in alarms] == ["high average latency: 20.00 ms"]

    asyncio.run(main())
