from __future__ import annotations

import asyncio
import logging

import pytest

from tercel.errors import ConfigError, SendTimeoutError
from tercel.runtime.backpressure import Backpressure, PacedSender
from tercel.runtime.handloop import HandLoop, run_by_hand
from tercel.runtime.mpsc import channel


def test_the_rate_follows_the_watermarks():
    pressure = Backpressure()
    assert pressure.current_rate() == 1.0
    assert pressure.observe(80, 100) == 0.0, "at the high watermark nothing happens yet"
    assert pressure.observe(81, 100) == pytest.approx(0.05)
    assert pressure.current_rate() == 0.5
    assert pressure.observe(100, 100) == pytest.approx(0.075)
    assert pressure.observe(30, 100) == pytest.approx(0.075), "at the low watermark nothing happens yet"
    assert pressure.observe(29, 100) == pytest.approx((1 - 0.375) * 0.1)
    assert pressure.current_rate() == 0.375
    for _ in range(10):
        pressure.observe(0, 100)
    assert pressure.current_rate() == 1.0


def test_the_delay_is_bounded_though_the_rate_is_not():
    pressure = Backpressure()
    for _ in range(2000):
        delay_s = pressure.observe(100, 100)
    assert delay_s == pytest.approx(0.1)
    assert 0.0 <= pressure.current_rate() < 1e-300


def test_a_paced_sender_slows_down_by_the_loop_s_clock():
    async def main(clock):
        sender, receiver = channel(10)
        paced = PacedSender(sender)
        for i in range(9):
            await paced.send(i)
        assert clock.monotonic_ns() == 0
        await paced.send(9)  # 9 of 10 are used
        assert clock.monotonic_ns() == pytest.approx(50e6, abs=10)
        assert paced.current_rate() == 0.5
        while receiver.recv_nowait() is not None:
            pass
        await paced.send(10)
        assert paced.current_rate() == 0.75
        assert clock.monotonic_ns() == pytest.approx(75e6, abs=20)

    run_by_hand(main)


def test_a_blocked_channel_warns_and_returns_the_item(caplog):
    async def main(clock):
        sender, receiver = channel(1, "stuck")
        paced = PacedSender(sender)
        await paced.send("a")
        with caplog.at_level(logging.WARNING), pytest.raises(SendTimeoutError) as caught:
            await paced.send("b")
        assert caught.value.item == "b"
        assert clock.monotonic_ns() == pytest.approx(5.05e9, abs=20)
        assert receiver.recv_nowait() == "a"
        assert receiver.recv_nowait() is None

    run_by_hand(main)
    assert "channel blocked" in caplog.text


def test_a_channel_without_limit_does_not_press():
    async def main(clock):
        sender, _ = channel(None)
        paced = PacedSender(sender)
        for i in range(10_000):
            await paced.send(i)
        assert clock.monotonic_ns() == 0

    run_by_hand(main)


@pytest.mark.parametrize("wrong", [{"high": 0.2}, {"low": -0.1}, {"slow_down": 1.0}, {"recovery": 1.0}])
def test_marks_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        Backpressure(**wrong)


def test_the_hand_loop_jumps_and_knows_when_nothing_will_happen():
    async def day(clock):
        await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=86_400)
        return clock.monotonic_ns()

    assert run_by_hand(day) == pytest.approx(86_400e9, abs=1000)
    epoch_ns = 1_700_000_000_000_000_000
    assert run_by_hand(day, start_ns=epoch_ns) - epoch_ns == pytest.approx(86_400e9, abs=1000)
    loop = HandLoop()
    try:
        with pytest.raises(RuntimeError, match="nothing will ever happen"):
            loop.run_until_complete(loop.create_future())
    finally:
        loop.close()
