from __future__ import annotations

import asyncio
import gc
import os
import selectors
import sys
import threading
import weakref

import pytest

from tercel.clock import HandClock
from tercel.errors import AffinityError
from tercel.runtime.affinity import OwnCore, n_cores, permitted_cores, pin, pinned
from tercel.runtime.durations import Durations
from tercel.runtime.loop import busy_polling, loop_name, new_loop, run
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


class _Waiter:
    """A thread that waits until it is told to end."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self.thread = threading.Thread(target=self._end.wait)
        self.thread.start()
        assert self.thread.native_id is not None
        self.id = self.thread.native_id

    def end(self) -> None:
        self._end.set()
        self.thread.join()


@linux
def test_a_core_of_ones_own_is_left_by_the_other_threads():
    before = permitted_cores()
    if len(before) < 2:
        pytest.skip("needs two cores")
    core = max(before)
    early = _Waiter()
    with OwnCore(core) as own:
        assert permitted_cores() == {core}
        assert own.others == before - {core}
        assert os.sched_getaffinity(early.id) == own.others
        late = _Waiter()
        assert os.sched_getaffinity(late.id) == {core}, "a thread begins where its maker is"
        assert own.keep_others_off() >= 1
        assert os.sched_getaffinity(late.id) == own.others
        assert own.keep_others_off() == 0
        late.end()
        assert own.keep_others_off() == 0
        placed = _Waiter()
        os.sched_setaffinity(placed.id, {min(own.others)})
        own.keep_others_off()
        assert os.sched_getaffinity(placed.id) == {min(own.others)}, "who is elsewhere already is let alone"
        placed.end()
    assert permitted_cores() == before
    assert os.sched_getaffinity(early.id) == before, "what was moved for a while is given back"
    early.end()


@linux
def test_where_there_is_one_core_the_threads_share_it():
    before = permitted_cores()
    core = min(before)
    with pinned(core):
        assert (n_cores(), n_cores(core)) == (1, 1)
        with OwnCore(core) as own:
            assert own.others == frozenset()
            other = _Waiter()
            assert own.keep_others_off() == 0
            assert os.sched_getaffinity(other.id) == {core}
            other.end()
    assert n_cores() == len(before)
    with pytest.raises(AffinityError, match="cannot pin to core 100000"), OwnCore(100_000):
        raise AssertionError


class _Watched(selectors.DefaultSelector):
    """Keeps how long it was asked to wait; a wait without end is cut off, so that a mistake does not hang."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def select(self, timeout=None):
        self.waits.append(timeout)
        return super().select(1.0 if timeout is None else timeout)


def test_a_busy_loop_looks_again_and_again_and_never_waits():
    selector = _Watched()
    loop = asyncio.SelectorEventLoop(selector)

    async def pass_time(seconds: float) -> None:
        passed = asyncio.Event()
        loop.call_later(seconds, passed.set)
        await passed.wait()

    async def main() -> None:
        await pass_time(0.001)
        assert any(wait is None or wait > 0 for wait in selector.waits)
        with busy_polling(loop):
            await asyncio.sleep(0)
            selector.waits.clear()
            await pass_time(0.02)
            assert len(selector.waits) > 20
            assert all(wait == 0 for wait in selector.waits)
        await asyncio.sleep(0)
        selector.waits.clear()
        await pass_time(0.001)
        assert any(wait is None or wait > 0 for wait in selector.waits)

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())


def test_on_a_busy_loop_input_and_timers_are_served():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = os.pipe()
        came = asyncio.Event()
        loop.add_reader(ours, came.set)
        with busy_polling(loop):
            os.write(theirs, b"x")
            await came.wait()
            loop.remove_reader(ours)
            fired = asyncio.Event()
            loop.call_later(0.001, fired.set)
            await fired.wait()
            # Another thread gets its turn, and its answer is heard.
            assert await asyncio.to_thread(lambda: 3) == 3
        os.close(ours)
        os.close(theirs)

    run(main())
