from __future__ import annotations

import asyncio
import gc
import os
import sys
import weakref

import pytest

from tercel.clock import HandClock
from tercel.errors import AffinityError
from tercel.runtime.affinity import permitted_cores, pin, pinned
from tercel.runtime.durations import Durations
from tercel.runtime.loop import loop_name, new_loop, run
from tercel.runtime.pauses import WHOLE_EVERY, PauseWatch

linux = pytest.mark.skipif(sys.platform != "linux", reason="pinning needs Linux")


def test_the_loop_is_uvloop_where_it_is_installed():
    async def main():
        return loop_name(asyncio.get_running_loop())

    pytest.importorskip("uvloop")
    assert run(main()) == "uvloop"


def test_without_uvloop_the_standard_loop_runs(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvloop", None)
    loop = new_loop()
    try:
        assert loop_name(loop) == "asyncio"
        assert loop.run_until_complete(asyncio.wait_for(_three(), 1)) == 3
    finally:
        loop.close()


async def _three():
    return 3


def test_durations_are_summed_up():
    durations = Durations()
    assert durations.report().max_ns == 0
    assert durations.report().p99_ns == 0
    for ns in [10] * 98 + [1000, 5000]:
        durations.add(ns)
    report = durations.report()
    assert (report.n, report.total_ns, report.max_ns, report.mean_ns) == (100, 6980, 5000, 69)
    assert 10 <= report.p50_ns < 20
    assert 1000 <= report.p99_ns < 2048
    durations.add(-5)
    assert durations.report().total_ns == 6980


class _SteppingClock(HandClock):
    """Moves a microsecond each time it is read."""

    def monotonic_ns(self) -> int:
        self.advance(1000)
        return super().monotonic_ns()


def test_pauses_are_measured_and_arming_freezes():
    assert gc.isenabled()
    with PauseWatch(_SteppingClock()) as watch:
        gc.collect()
        before = watch.report()
        assert (before.pauses.n >= 1, before.armed.n, before.is_armed) == (True, 0, False)
        assert before.pauses.max_ns == 1000
        assert before.generations[2] >= 1
        watch.arm()
        assert not gc.isenabled()
        assert watch.report().n_frozen > 1000
        assert watch.report().armed.n == 0
        for _ in range(50):
            circle: list = []
            circle.append(circle)
        del circle
        assert watch.report().armed.n == 0, "nothing is collected by itself while armed"
        assert watch.collect() >= 50
        assert watch.report().armed.n == 1
        assert watch.report().armed.total_ns == 1000
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert watch._on_collection not in gc.callbacks


def test_garbage_that_was_old_when_it_died_does_not_stay_while_armed():
    """A connection that was open for a day and is dropped is such garbage."""

    class Held:
        """Something in a circle."""

        def __init__(self) -> None:
            self.itself = self

    with PauseWatch() as watch:
        watch.arm()
        held = Held()
        watch.collect()
        seen = weakref.ref(held)
        del held
        watch.collect()
        assert seen() is not None, "too old for the young generations"
        for _ in range(WHOLE_EVERY - 2):
            watch.collect()
        assert seen() is None
        assert watch.report().n_frozen > 1000, "what was frozen stays frozen"


@linux
def test_pinning_and_going_back():
    before = permitted_cores()
    core = max(before)
    with pinned(core):
        assert permitted_cores() == {core}
    assert permitted_cores() == before
    assert pin(sorted(before)) == before


@linux
@pytest.mark.parametrize("core", [100_000, -1])
def test_a_core_that_is_not_there_is_named(core):
    before = permitted_cores()
    with pytest.raises(AffinityError, match=f"cannot pin to core {core}: .*may use {min(before)}") as caught:
        pin(core)
    assert isinstance(caught.value, OSError)
    assert permitted_cores() == before


def test_elsewhere_than_linux_the_error_says_so(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    with pytest.raises(AffinityError, match="needs Linux"):
        pin(0)
