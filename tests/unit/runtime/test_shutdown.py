from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from tercel.errors import ConfigError
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.loop import run
from tercel.runtime.shutdown import EXIT_CODE_FORCED, Shutdown


def _wait(seconds):
    async def stage():
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)

    return stage


def test_stages_run_in_order_and_a_failure_does_not_stop_the_rest():
    async def main(clock):
        log = []

        def stage(name, seconds=1.0, error=None):
            async def act():
                await _wait(seconds)()
                log.append(name)
                if error:
                    raise error

            return act

        shutdown = Shutdown(clock=clock)
        shutdown.add("stop intake", stage("intake"))
        shutdown.add("cancel orders", stage("cancel", 2.0, OSError("venue gone")))
        shutdown.add("flush", stage("flush"))
        shutdown.add("disconnect", stage("disconnect"))
        reports = await shutdown.run()
        assert log == ["intake", "cancel", "flush", "disconnect"]
        assert [r.outcome for r in reports] == ["done", "failed", "done", "done"]
        assert reports[1].error == "OSError: venue gone"
        assert reports[1].took_ns == pytest.approx(2e9, abs=100)

    run_by_hand(main)


def test_a_stage_cannot_use_up_what_is_reserved_for_later_ones():
    async def main(clock):
        shutdown = Shutdown(30.0, clock=clock)
        shutdown.add("stop intake", _wait(2))
        shutdown.add("cancel orders", _wait(1000), reserve_s=5.0)
        shutdown.add("flush", _wait(4), reserve_s=6.0)
        shutdown.add("disconnect", _wait(1000), reserve_s=2.0)
        reports = await shutdown.run()
        assert [r.outcome for r in reports] == ["done", "late", "done", "late"]
        # 30 s less 2 s spent less 8 s reserved; then what is left.
        assert reports[1].took_ns == pytest.approx(20e9, abs=1e6)
        assert reports[2].took_ns == pytest.approx(4e9, abs=1e6)
        assert clock.monotonic_ns() == pytest.approx(30e9, abs=1e6)

    run_by_hand(main)


def test_a_stage_that_swallows_its_cancellation_does_not_hold_up_the_next():
    async def main(clock):
        log = []
        release = asyncio.Event()

        async def stubborn():
            while not release.is_set():
                try:
                    await release.wait()
                except asyncio.CancelledError:
                    log.append("refused")

        async def flush():
            log.append("flushed")

        shutdown = Shutdown(10.0, clock=clock)
        shutdown.add("stubborn", stubborn)
        shutdown.add("flush", flush)
        reports = await shutdown.run()
        release.set()
        assert log == ["refused", "flushed"]
        assert [r.outcome for r in reports] == ["late", "done"]

    run_by_hand(main)


def test_reserves_beyond_the_deadline_are_refused():
    async def main(_clock):
        shutdown = Shutdown(3.0)
        shutdown.add("a", _wait(0), reserve_s=2.0)
        with pytest.raises(ConfigError, match=r"stage 'b': the stages reserve 4.0 s, the deadline is 3\.0 s"):
            shutdown.add("b", _wait(0), reserve_s=2.0)

    run_by_hand(main)


def test_the_default_is_thirty_seconds_and_the_first_reason_counts():
    async def main(_clock):
        shutdown = Shutdown()
        assert shutdown.deadline_s == 30.0
        waiting = asyncio.create_task(shutdown.wait())
        assert not shutdown.is_asked
        shutdown.ask("operator")
        shutdown.ask("again")
        assert await waiting == "operator"

    run_by_hand(main)


@pytest.mark.parametrize("go", [run, asyncio.run], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_for_the_end(go, number):
    async def main():
        before = signal.getsignal(number)
        with Shutdown() as shutdown:
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
            assert await shutdown.wait() == number.name
        assert signal.getsignal(number) == before

    go(main())


_BUSY = """
import asyncio
from tercel.runtime.loop import run
from tercel.runtime.shutdown import Shutdown

async def main():
    with Shutdown(0.05, is_forced=True):
        print("ready", flush=True)
        while True:
            pass

run(main())
"""


def test_a_loop_that_is_never_given_back_is_ended_by_force():
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == EXIT_CODE_FORCED
    assert b"in main" in errors, "the traceback says where it was stuck"
