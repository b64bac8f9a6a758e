from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import threading

import pytest

from tercel.clock import HandClock
from tercel.errors import CapacityError, ConfigError
from tercel.runtime.loop import run
from tercel.runtime.offload import Grade, Offload, grade, overhead_ns
from tercel.runtime.threads import KEEP_ALIVE_S, STACK_BYTES, ThreadPool

MS = 1_000_000


@pytest.mark.parametrize(
    ("ns", "expected"),
    [(0, Grade.EXCELLENT), (10 * MS - 1, Grade.EXCELLENT), (10 * MS, Grade.GOOD), (20 * MS, Grade.GOOD),
     (20 * MS + 1, Grade.CONSIDER)],
)  # fmt: skip
def test_grades(ns, expected):
    assert grade(ns) is expected


def test_overhead_is_what_is_left_of_the_whole():
    assert overhead_ns(30 * MS, 4 * MS, 2 * MS, 20 * MS) == 4 * MS
    assert overhead_ns(3, 4) == 0


def test_a_function_runs_elsewhere_with_the_caller_s_context():
    who = contextvars.ContextVar("who", default="nobody")

    async def main():
        offload = Offload()
        who.set("caller")
        thread, seen = await offload.run(lambda: (threading.current_thread(), who.get()))
        assert thread is not threading.current_thread()
        assert thread.daemon
        assert seen == "caller"
        assert await offload.run(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await offload.run(divmod, 1, 0)
        report = offload.report()
        assert (report.n_calls, report.n_failed, report.overhead.n) == (3, 1, 3)
        assert sum(report.grades.values()) == 3
        assert offload.close(timeout_s=None)
        with pytest.raises(CapacityError, match="closed"):
            await offload.run(int)

    run(main())


def test_overhead_is_measured_and_a_high_one_is_logged(caplog):
    """The clock is moved by hand: inside the function it is work, in the pool before it, overhead."""
    clock = HandClock()

    class SlowToStart(ThreadPool):
        def submit(self, job):
            clock.advance(delays.pop(0))
            super().submit(job)

    delays = [4 * MS, 15 * MS, 25 * MS]

    async def main():
        offload = Offload(SlowToStart(), clock=clock)
        for _ in range(3):
            await offload.run(clock.advance, 100 * MS)
        return offload.report()

    with caplog.at_level(logging.WARNING):
        report = run(main())
    assert (report.work.total_ns, report.overhead.total_ns, report.overhead.max_ns) == (300 * MS, 44 * MS, 25 * MS)
    assert report.grades == {"excellent": 1, "good": 1, "consider optimisation": 1}
    assert report.n_slow == 2
    warnings = [r.getMessage() for r in caplog.records]
    assert warnings == [
        "High threading overhead: 15.0 ms for HandClock.advance (good)",
        "High threading overhead: 25.0 ms for HandClock.advance (consider optimisation)",
    ]


def test_independent_work_is_joined_in_order():
    async def main():
        offload = Offload()
        meet = threading.Barrier(3)

        def work(name):
            meet.wait()  # all three run at once, or none returns
            return name

        assert await offload.join(*(lambda n=n: work(n) for n in "abc")) == ["a", "b", "c"]
        with pytest.raises(ExceptionGroup) as caught:
            await offload.join(lambda: 1 / 0, lambda: 1)
        assert [type(e) for e in caught.value.exceptions] == [ZeroDivisionError]

    run(main())


def test_cancelling_stops_the_waiting_and_skips_what_has_not_begun():
    async def main():
        offload = Offload(ThreadPool(threads_max=1))
        hold, begun, ran = threading.Event(), threading.Event(), []
        busy = asyncio.create_task(offload.run(lambda: (begun.set(), hold.wait())))
        while not begun.is_set():
            await asyncio.wait([busy], timeout=0.001)
        waiting = asyncio.create_task(offload.run(ran.append, 1))
        await asyncio.wait([waiting], timeout=0.001)
        assert offload.pool.n_waiting == 1
        busy.cancel()
        waiting.cancel()
        await asyncio.wait([busy, waiting])
        hold.set()
        await offload.run(ran.append, 2)
        assert ran == [2]
        assert offload.report().n_abandoned == 2

    run(main())


def test_closing_tells_the_calls_that_have_not_begun():
    async def main():
        offload = Offload(ThreadPool(threads_max=1))
        hold, begun = threading.Event(), threading.Event()
        busy = asyncio.create_task(offload.run(lambda: (begun.set(), hold.wait())))
        waiting = asyncio.create_task(offload.run(int))
        await asyncio.wait([waiting], timeout=0.001)
        begun.wait()
        assert offload.close(timeout_s=0) is False
        with pytest.raises(CapacityError, match="before this call began"):
            await waiting
        hold.set()
        assert await busy == (None, True)
        assert offload.close(timeout_s=None)

    run(main())


def test_threads_are_used_again_and_never_more_than_the_maximum():
    async def main():
        pool = ThreadPool(threads_max=4)
        offload = Offload(pool)
        meet = threading.Barrier(4)
        await asyncio.gather(*(offload.run(meet.wait) for _ in range(40)))
        assert pool.n_threads_max == 4
        for _ in range(20):
            await offload.run(int)
        assert pool.n_threads == 4

    run(main())


def test_an_idle_thread_ends_after_the_keep_alive():
    pool = ThreadPool(keep_alive_s=0.01)
    seen: queue.SimpleQueue[threading.Thread] = queue.SimpleQueue()
    for _ in range(2):
        pool.submit(lambda: seen.put(threading.current_thread()))
        seen.get().join()
        assert (pool.n_threads, pool.n_idle, pool.n_threads_max) == (0, 0, 1)


def test_the_defaults_are_those_required():
    pool = ThreadPool()
    assert pool._threads_max == 512
    assert (KEEP_ALIVE_S, STACK_BYTES) == (60.0, 4 << 20)
    before = threading.stack_size()
    done = threading.Event()
    pool.submit(done.set)
    done.wait()
    assert threading.stack_size() == before
    with pytest.raises(ConfigError, match="1 to 512, found 513"):
        ThreadPool(threads_max=513)


def test_too_many_waiting_calls_are_refused():
    pool = ThreadPool(threads_max=1, jobs_max=2)
    hold = threading.Event()
    for _ in range(3):
        pool.submit(hold.wait)
    with pytest.raises(CapacityError, match="2 blocking calls wait, the maximum"):
        pool.submit(hold.wait)
    assert pool.close(timeout_s=0) is False
    hold.set()
    assert pool.close(timeout_s=None) is True


def test_where_the_system_gives_no_thread_the_others_do_the_work(monkeypatch):
    pool = ThreadPool()
    hold, begun, done = threading.Event(), threading.Event(), threading.Event()

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(CapacityError, match="no thread for a blocking call: can't start"):
            pool.submit(hold.wait)
    pool.submit(lambda: (begun.set(), hold.wait()))
    begun.wait()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        pool.submit(done.set)
    assert (pool.n_threads, pool.n_waiting) == (1, 1)
    hold.set()
    done.wait()
    assert pool.close(timeout_s=None)


def test_many_jobs_from_many_threads_run_once_each():
    pool = ThreadPool(threads_max=8, keep_alive_s=0.0005)
    counted: list[int] = []
    arrived = threading.Semaphore(0)

    def job(i):
        counted.append(i)
        arrived.release()

    def submit(first):
        for i in range(first, first + 500):
            pool.submit(lambda i=i: job(i))

    threads = [threading.Thread(target=submit, args=(k * 500,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(2000):
        arrived.acquire()
    assert sorted(counted) == list(range(2000))
    assert pool.close(timeout_s=None)
    assert pool.n_threads == 0
