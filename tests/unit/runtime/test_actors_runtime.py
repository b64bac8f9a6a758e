from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from tercel.errors import ChannelClosedError, ChannelFullError, ConfigError
from tercel.runtime.actor import Actor, RestartPolicy, StatePolicy
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.mailbox import Mailbox, Overflow
from tercel.runtime.priority import Priority, current_priority
from tercel.runtime.supervisor import Supervisor


class Recorder(Actor):
    """Writes down what it is called with; breaks on the message "crash"."""

    def __init__(self, log):
        self.log = log

    async def on_start(self):
        self.log.append("start")

    async def on_message(self, message):
        if message == "crash":
            raise ValueError("as told")
        self.log.append(message)

    async def on_missed(self, n_messages):
        self.log.append(f"missed {n_messages}")

    async def on_stop(self):
        self.log.append("stop")


async def _settle(seconds=0.0):
    """Let time pass on the hand clock; everything that can run before does."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds + 1e-6)


# --- the mailbox -------------------------------------------------------------------------------------------------


def test_a_full_mailbox_drops_its_oldest_or_its_newest():
    for overflow, left in ((Overflow.DROP_OLDEST, [2, 3, 4]), (Overflow.DROP_NEWEST, [0, 1, 2])):
        mailbox = Mailbox(3, overflow)
        assert [mailbox.put(i) for i in range(5)] == [True, True, True, False, False]
        assert (mailbox.n_dropped, mailbox.newly_dropped(), mailbox.newly_dropped()) == (2, 2, 0)

        async def main(_clock, mailbox=mailbox):
            return [await mailbox.take() for _ in range(3)]

        assert run_by_hand(main) == left


def test_control_goes_before_data_and_is_never_dropped():
    async def main(_clock):
        mailbox = Mailbox(2)
        mailbox.put("a")
        mailbox.put("b")
        for i in range(100):
            mailbox.put_control(i)
        with pytest.raises(ChannelFullError) as caught:
            mailbox.put_control("too many")
        assert caught.value.item == "too many"
        assert [await mailbox.take() for _ in range(102)] == [*range(100), "a", "b"]
        mailbox.put("c")
        mailbox.close()
        assert (mailbox.put("d"), len(mailbox), mailbox.n_dropped) == (False, 0, 0)
        with pytest.raises(ChannelClosedError):
            await mailbox.take()
        with pytest.raises(ChannelClosedError):
            mailbox.put_control("e")

    run_by_hand(main)


def test_the_mailbox_holds_a_thousand():
    mailbox = Mailbox()
    assert all(mailbox.put(i) for i in range(1000))
    assert not mailbox.put(1000)


# --- lives --------------------------------------------------------------------------------------------------------


def test_an_actor_starts_handles_in_order_and_stops():
    async def main(_clock):
        log = []
        async with Supervisor() as supervisor:
            actor = supervisor.spawn("one", lambda: Recorder(log))
            for i in range(3):
                actor.mailbox.put(i)
            await _settle()
            assert actor.report().state == "running"
            assert await supervisor.stop(5.0)
            assert not actor.mailbox.put("after the end")
        assert log == ["start", 0, 1, 2, "stop"]
        report = actor.report()
        assert (report.state, report.n_handled, report.n_restarts, report.mailbox_depth) == ("stopped", 3, 0, 0)

    run_by_hand(main)


def test_an_error_on_a_message_is_logged_and_the_actor_lives_on(caplog):
    async def main(_clock):
        log = []
        async with Supervisor() as supervisor:
            actor = supervisor.spawn("one", lambda: Recorder(log))
            for message in ("a", "crash", "b"):
                actor.mailbox.put(message)
            await _settle()
            assert log == ["start", "a", "b"]
            report = actor.report()
            assert (report.state, report.n_errors, report.last_error) == ("running", 1, "ValueError: as told")
            await supervisor.stop(1.0)

    run_by_hand(main)
    assert "failed on a message" in caplog.text


def test_a_crashed_actor_starts_again_after_five_seconds_with_its_state_reset():
    async def main(clock):
        lives, log = [], []

        def make():
            lives.append(clock.monotonic_ns() / 1e9)
            return Recorder(log)

        async with Supervisor(clock=clock) as supervisor:
            actor = supervisor.spawn("one", make, policy=RestartPolicy(errors_in_a_row_max=2))
            for message in ("a", "crash", "crash", "dropped"):
                actor.mailbox.put(message)
            await _settle(4.9)
            assert actor.report().state == "waiting"
            assert lives == [0.0]
            await _settle(0.2)
            assert lives[1:] == [pytest.approx(5.0, abs=1e-3)]
            actor.mailbox.put("fresh")
            await _settle()
            await supervisor.stop(1.0)
        assert log == ["start", "a", "start", "missed 1", "fresh", "stop"]
        assert (actor.n_restarts, actor.n_errors) == (1, 2)

    run_by_hand(main)


def test_state_can_be_kept_with_what_waits():
    async def main(clock):
        log, made = [], []

        def make():
            made.append(1)
            return Recorder(log)

        policy = RestartPolicy(errors_in_a_row_max=1, state=StatePolicy.KEEP)
        async with Supervisor(clock=clock) as supervisor:
            actor = supervisor.spawn("one", make, policy=policy)
            for message in ("crash", "kept"):
                actor.mailbox.put(message)
            await _settle(6)
            await supervisor.stop(1.0)
        assert (log, len(made)) == (["start", "start", "kept", "stop"], 1)

    run_by_hand(main)


def test_the_wait_doubles_to_its_maximum_and_then_the_actor_is_given_up(caplog):
    async def main(clock):
        starts = []

        class NeverStarts(Actor):
            async def on_start(self):
                starts.append(round(clock.monotonic_ns() / 1e9))
                raise OSError("no")

        async with Supervisor(clock=clock) as supervisor:
            actor = supervisor.spawn("one", NeverStarts, policy=RestartPolicy(restarts_max=6))
            await _settle(3600)
            report = actor.report()
            assert (report.state, report.n_restarts, report.last_error) == ("failed", 6, "OSError: no")
            assert await supervisor.stop(1.0)
        assert starts == [0, 5, 15, 35, 75, 135, 195]

    run_by_hand(main)
    assert "given up after 7 crashes" in caplog.text


def test_a_long_healthy_life_makes_the_next_crash_the_first_again():
    async def main(clock):
        log = []
        policy = RestartPolicy(errors_in_a_row_max=1, restarts_max=1)
        async with Supervisor(clock=clock) as supervisor:
            actor = supervisor.spawn("one", lambda: Recorder(log), policy=policy)
            for _ in range(4):
                await _settle(61)
                actor.mailbox.put("crash")
                await _settle(5.1)
            assert actor.report().n_restarts == 4
            await supervisor.stop(1.0)

    run_by_hand(main)


def test_a_stop_during_the_wait_ends_at_once():
    async def main(clock):
        async with Supervisor(clock=clock) as supervisor:
            actor = supervisor.spawn("one", lambda: 1 / 0)
            await _settle(1)
            assert actor.report().last_error == "ZeroDivisionError: division by zero"
            assert await supervisor.stop(30)
            assert clock.monotonic_ns() < 2e9
        assert actor.report().state == "stopped"

    run_by_hand(main)


# --- one actor's trouble is its own ---------------------------------------------------------------------------------


def test_a_stuck_actor_stalls_nobody_and_is_told_what_it_missed():
    async def main(clock):
        stuck_log, log = [], []
        release = asyncio.Event()

        class Stuck(Recorder):
            async def on_message(self, message):
                await release.wait()
                await super().on_message(message)

        async with Supervisor(clock=clock) as supervisor:
            supervisor.spawn("stuck", lambda: Stuck(stuck_log), mailbox_max=5)
            supervisor.spawn("well", lambda: Recorder(log), mailbox_max=5)
            for i in range(20):
                supervisor.broadcast(i)
                await _settle(1)
            stuck, well = supervisor.reports()
            assert log == ["start", *range(20)]
            assert (stuck.n_dropped, stuck.mailbox_depth, well.n_dropped) == (14, 5, 0)
            assert stuck.busy_ns > 18e9
            assert well.busy_ns == 0
            release.set()
            await _settle()
            assert stuck_log == ["start", 0, "missed 14", 15, 16, 17, 18, 19]
            await supervisor.stop(1.0)

    run_by_hand(main)


def test_a_handler_over_its_time_is_cancelled():
    async def main(clock):
        log = []

        class Slow(Recorder):
            async def on_message(self, message):
                await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=message)
                log.append(message)

        async with Supervisor(clock=clock) as supervisor:
            actor = supervisor.spawn("slow", lambda: Slow(log), policy=RestartPolicy(handler_timeout_s=2.0))
            for message in (1.0, 5.0, 1.5):
                actor.mailbox.put(message)
            await _settle(10)
            assert log == ["start", 1.0, 1.5]
            assert actor.report().last_error.startswith("TimeoutError")
            await supervisor.stop(1.0)

    run_by_hand(main)


def test_an_actor_that_cancels_itself_has_crashed():
    async def main(clock):
        log = []

        class Odd(Recorder):
            async def on_message(self, message):
                raise asyncio.CancelledError("mine")

        async with Supervisor(clock=clock) as supervisor:
            actor = supervisor.spawn("odd", lambda: Odd(log))
            actor.mailbox.put(1)
            await _settle(1)
            assert (actor.report().state, actor.report().last_error) == ("waiting", "CancelledError: mine")
            await supervisor.stop(1.0)

    run_by_hand(main)


def test_late_actors_are_cancelled_at_the_deadline_even_when_they_resist(caplog):
    async def main(clock):
        class Resists(Actor):
            async def on_message(self, message):
                for _ in range(message):
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.Event().wait()

        async with Supervisor(clock=clock) as supervisor:
            for n in (1, 4):
                supervisor.spawn(f"resists {n}", Resists).mailbox.put(n)
            supervisor.spawn("well", lambda: Recorder([]))
            await _settle()
            assert await supervisor.stop(10.0) is False
            assert clock.monotonic_ns() == pytest.approx(10.3e9, abs=0.2e9)
            assert [r.state for r in supervisor.reports()] == ["killed", "killed", "stopped"]

    with caplog.at_level(logging.WARNING):
        run_by_hand(main)
    assert "cancelled after 10.0 s: actor resists 1, actor resists 4" in caplog.text


def test_one_actor_is_stopped_and_its_name_is_free_again():
    async def main(_clock):
        log = []
        async with Supervisor() as supervisor:
            supervisor.spawn("a", lambda: Recorder(log))
            with pytest.raises(ConfigError, match="'a' is running already"):
                supervisor.spawn("a", lambda: Recorder(log))
            with pytest.raises(ConfigError, match="no actor 'b'; known are: a"):
                await supervisor.stop_actor("b", 1.0)
            assert await supervisor.stop_actor("a", 1.0)
            assert supervisor.broadcast("nobody") == 0
            supervisor.spawn("a", lambda: Recorder(log))
            assert supervisor.broadcast("hello") == 1
            await _settle()
            await supervisor.stop(1.0)
        assert log[-3:] == ["start", "hello", "stop"]

    run_by_hand(main)


def test_a_task_that_is_no_actor_takes_the_session_down():
    async def main(_clock):
        log, seen = [], []

        async def driver():
            seen.append(current_priority())
            raise RuntimeError("broken")

        async def session():
            async with Supervisor() as supervisor:
                supervisor.spawn("a", lambda: Recorder(log))
                supervisor.start(Priority.CRITICAL, driver(), "driver")

        with pytest.raises(RuntimeError, match="broken"):
            await session()
        assert seen == [Priority.CRITICAL]

    run_by_hand(main)


def test_several_failures_come_out_together():
    async def main(_clock):
        async def breaks():
            await _settle()
            raise RuntimeError("a")

        async def breaks_too():
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("b")

        async def session():
            async with Supervisor() as supervisor:
                supervisor.start(Priority.HIGH, breaks_too(), "b")
                supervisor.start(Priority.HIGH, breaks(), "a")

        with pytest.raises(ExceptionGroup) as caught:
            await session()
        assert sorted(str(e) for e in caught.value.exceptions) == ["a", "b"]

    run_by_hand(main)


@pytest.mark.parametrize(
    "wrong", [{"first_delay_s": -1}, {"delay_max_s": 1}, {"factor": 0.5}, {"errors_in_a_row_max": 0}]
)
def test_policies_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        RestartPolicy(**wrong)
