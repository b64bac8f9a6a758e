import numpy as np
import pytest

from tercel.bench.latency import counter_step, grouped_percentiles


def test_a_counter_that_moves_26_cycles_at_a_time_is_recognised():
    readings = np.array([26] * 300 + [51] * 60 + [52] * 500 + [78] * 130 + [104] * 10, np.int64)
    assert counter_step(readings) == pytest.approx(25.95, abs=0.1)


def test_a_fine_counter_is_left_alone():
    rng = np.random.default_rng(3)
    assert counter_step(rng.integers(18, 90, 10_000)) == 1.0


def test_percentiles_of_steps_are_interpolated():
    # 200 of 10 ticks, 600 of 20, 200 of 30: the median lies in the middle of the group of 20.
    readings = np.array([10] * 200 + [20] * 600 + [30] * 200, np.int64)
    step, (p20, p50, p80, p100) = grouped_percentiles(readings, (0.2, 0.5, 0.8, 1.0))
    assert step == 10.0
    assert (p20, p50, p80, p100) == (15.0, 20.0, 25.0, 35.0)


def test_a_group_at_zero_is_not_spread_below_it():
    _, (p50,) = grouped_percentiles(np.zeros(10, np.int64), (0.5,))
    assert p50 == 0.25
