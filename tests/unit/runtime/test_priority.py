from __future__ import annotations

import asyncio
import contextlib

import pytest

from tercel.errors import ConfigError
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.loop import run
from tercel.runtime.priority import Priority, PriorityScheduler, current_priority

CRITICAL, HIGH, MEDIUM, LOW, BACKGROUND = Priority


async def _give_way() -> None:
    """One step of the loop: another task may run."""
    await _Pause()


class _Pause:
    def __await__(self):
        yield


# Each test runs under both loops: the order must not depend on which.
both_loops = pytest.mark.parametrize("go", [lambda main: run(main(None)), run_by_hand], ids=["uvloop", "asyncio"])


def test_the_five_are_ordered():
    assert list(Priority) == [0, 1, 2, 3, 4]
    assert CRITICAL < HIGH < MEDIUM < LOW < BACKGROUND


@both_loops
def test_tasks_that_are_ready_go_on_in_order_of_priority(go):
    order = []

    async def note(name):
        order.append(name)

    async def main(_clock):
        async with asyncio.TaskGroup() as group:
            scheduler = PriorityScheduler(group)
            for priority in (BACKGROUND, LOW, MEDIUM, HIGH, CRITICAL):
                for i in range(2):
                    scheduler.spawn(priority, note(f"{priority.name}{i}"))
        assert scheduler.n_steps == [2, 2, 2, 2, 2]

    go(main)
    assert order == [f"{p.name}{i}" for p in Priority for i in range(2)]


@both_loops
def test_an_urgent_task_made_ready_by_a_low_step_is_next(go):
    """Fifty low tasks wait for their turn; the first that runs wakes the critical one, which goes before the rest."""
    order = []

    async def main(_clock):
        alarm = asyncio.Event()

        async def urgent():
            await alarm.wait()
            order.append("urgent")
            await _give_way()
            order.append("urgent again")

        async def low(i):
            order.append(i)
            if i == 0:
                alarm.set()

        async with asyncio.TaskGroup() as group:
            scheduler = PriorityScheduler(group)
            scheduler.spawn(CRITICAL, urgent())
            for i in range(50):
                scheduler.spawn(LOW, low(i))

    go(main)
    assert order == [0, "urgent", "urgent again", *range(1, 50)]


@both_loops
def test_plain_asyncio_would_have_kept_the_order_of_arrival(go):
    """The same without priorities: what the scheduler changes is shown by what happens without it."""
    order = []

    async def main(_clock):
        alarm = asyncio.Event()

        async def urgent():
            await alarm.wait()
            order.append("urgent")

        async def low(i):
            order.append(i)
            if i == 0:
                alarm.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(urgent())
            for i in range(50):
                group.create_task(low(i))

    go(main)
    assert order == [*range(50), "urgent"]


@both_loops
def test_a_long_row_of_urgent_steps_does_not_starve_the_rest(go):
    order = []

    async def busy(n):
        for _ in range(n):
            order.append("c")
            await _give_way()

    async def once(name):
        order.append(name)

    async def main(_clock):
        async with asyncio.TaskGroup() as group:
            scheduler = PriorityScheduler(group, starvation_steps=10)
            scheduler.spawn(CRITICAL, busy(100))
            scheduler.spawn(CRITICAL, busy(100))
            scheduler.spawn(LOW, once("low"))
            scheduler.spawn(BACKGROUND, once("background"))

    go(main)
    assert order.index("low") == 10
    assert order.index("background") == 11
    assert order.count("c") == 200


def test_the_priority_can_be_read_in_the_task_alone():
    async def main(_clock):
        seen = {}

        async def child():
            return current_priority()

        async def parent():
            seen["before"] = current_priority()
            await _give_way()
            seen["after"] = current_priority()
            seen["child"] = await asyncio.create_task(child())

        async with asyncio.TaskGroup() as group:
            PriorityScheduler(group).spawn(MEDIUM, parent(), name="parent")
        assert seen == {"before": MEDIUM, "after": MEDIUM, "child": None}
        assert current_priority() is None

    run_by_hand(main)


@both_loops
def test_results_and_errors_come_back(go):
    async def work(x):
        await _give_way()
        if x < 0:
            raise ValueError(f"negative: {x}")
        return x * 2

    async def main(_clock):
        async def session():
            async with asyncio.TaskGroup() as group:
                scheduler = PriorityScheduler(group)
                good = scheduler.spawn(HIGH, work(21))
                assert await good.await_result() == 42
                assert good.priority is HIGH
                bad = scheduler.spawn(HIGH, work(-1))
                await bad.await_result()

        with pytest.raises(ExceptionGroup) as caught:
            await session()
        assert [str(e) for e in caught.value.exceptions] == ["negative: -1"]

    go(main)


@both_loops
def test_asyncio_s_own_tools_work_inside(go):
    async def main(_clock):
        log = []

        async def inner():
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.Event().wait()
            except TimeoutError:
                log.append("timeout")
            async with asyncio.TaskGroup() as children:
                children.create_task(_give_way())
                children.create_task(_give_way())
            log.append("group")
            done, _ = await asyncio.wait([asyncio.ensure_future(_give_way())])
            log.append(len(done))
            with pytest.raises(ZeroDivisionError):
                await asyncio.ensure_future(_fails())
            return asyncio.current_task().get_name()

        async with asyncio.TaskGroup() as group:
            task = PriorityScheduler(group).spawn(LOW, inner(), name="inside")
        assert task.task.result() == "inside"
        assert log == ["timeout", "group", 1]

    go(main)


async def _fails():
    raise ZeroDivisionError


@both_loops
@pytest.mark.parametrize("after_steps", range(8))
def test_cancelling_at_any_step_runs_the_cleanup_once(go, after_steps):
    """Cancelled before the first step, while queued, in the round of its turn, while it waits: always the same end."""

    async def main(_clock):
        log = []

        async def work():
            try:
                log.append("begun")
                for _ in range(3):
                    await _give_way()
                await asyncio.Event().wait()
            finally:
                log.append("cleaned")

        async def noise():
            for _ in range(20):
                await _give_way()

        async with asyncio.TaskGroup() as group:
            scheduler = PriorityScheduler(group)
            for _ in range(3):
                scheduler.spawn(CRITICAL, noise())
            task = scheduler.spawn(HIGH, work())
            for _ in range(after_steps):
                await _give_way()
            task.cancel()
            await asyncio.wait([task.task])
            assert task.task.cancelled()
            assert log in ([], ["begun", "cleaned"])
            assert scheduler.n_ready(HIGH) == 0
            follower = scheduler.spawn(LOW, _give_way())
            await follower.await_result()

    go(main)


def test_cancelling_twice_and_suppressing():
    async def main(_clock):
        log = []

        async def stubborn():
            for i in range(2):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()
                log.append(i)
            return "ended by itself"

        async with asyncio.TaskGroup() as group:
            scheduler = PriorityScheduler(group)
            task = scheduler.spawn(HIGH, stubborn())
            for _ in range(2):
                for _ in range(10):
                    await _give_way()
                task.cancel()
            assert await task.await_result() == "ended by itself"
        assert log == [0, 1]

    run_by_hand(main)


@pytest.mark.parametrize("seed", range(5))
def test_random_work_against_the_rule(seed):
    """Whenever a step is taken, no task of a more urgent queue was waiting for one (with starvation out of reach)."""
    import random

    async def main(_clock):
        rng = random.Random(seed)
        wrong = []
        n_done = 0

        async def work(n_steps):
            nonlocal n_done
            for _ in range(n_steps):
                mine = current_priority()
                if any(scheduler.n_ready(p) for p in Priority if p < mine):
                    # It was let go before the urgent one queued; at most once in a row.
                    wrong.append(mine)
                else:
                    wrong.clear()
                assert len(wrong) <= 1
                if rng.random() < 0.3:
                    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=rng.random() / 1000)
                else:
                    await _give_way()
            n_done += 1

        async with asyncio.TaskGroup() as group:
            scheduler = PriorityScheduler(group, starvation_steps=1_000_000)
            for _ in range(40):
                scheduler.spawn(rng.choice(list(Priority)), work(rng.randrange(1, 20)))
        assert n_done == 40
        assert sum(scheduler.n_steps) > 200

    run_by_hand(main)


def test_a_limit_below_one_is_refused():
    async def main(_clock):
        async with asyncio.TaskGroup() as group:
            with pytest.raises(ConfigError, match="at least 1"):
                PriorityScheduler(group, starvation_steps=0)

    run_by_hand(main)
