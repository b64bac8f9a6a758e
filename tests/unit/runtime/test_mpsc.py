from __future__ import annotations

import asyncio

import pytest

from tercel.errors import ChannelClosedError, ChannelFullError, ConfigError, SendTimeoutError
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.mpsc import GIVE_WAY_AFTER, channel


async def _settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.shield(asyncio.get_running_loop().create_task(_nothing()))


async def _nothing() -> None:
    pass


def test_items_come_in_order_and_the_channel_ends():
    async def main(_clock):
        sender, receiver = channel(10)
        other = sender.clone()
        for i in range(3):
            sender.send_nowait(i)
        other.send_nowait(3)
        sender.close()
        other.close()
        assert [item async for item in receiver] == [0, 1, 2, 3]
        with pytest.raises(ChannelClosedError, match="has ended"):
            await receiver.recv()

    run_by_hand(main)


def test_a_full_channel_hands_the_item_back():
    sender, receiver = channel(2, "orders")
    assert sender.try_send("a")
    assert sender.try_send("b")
    assert not sender.try_send("c")
    with pytest.raises(ChannelFullError, match="'orders' is full with 2") as caught:
        sender.send_nowait("c")
    assert caught.value.item == "c"
    assert receiver.recv_nowait() == "a"
    assert sender.try_send("c")
    assert [receiver.recv_nowait() for _ in range(3)] == ["b", "c", None]


def test_an_unbounded_channel_is_never_full():
    sender, receiver = channel(None)
    for i in range(50_000):
        sender.send_nowait(i)
    assert (len(receiver), sender.depth_max, sender.n_sent) == (50_000, 50_000, 50_000)


def test_waiting_senders_are_served_in_order_and_nobody_overtakes():
    async def main(_clock):
        sender, receiver = channel(1)
        sender.send_nowait("first")
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b", "c"):
                group.create_task(sender.send(name))
            await _settle()
            got = [receiver.recv_nowait()]
            # The slot belongs to "a", though it has not run yet.
            assert not sender.try_send("thief")
            for _ in range(3):
                got.append(await receiver.recv())
        assert got == ["first", "a", "b", "c"]
        assert sender.depth == 0

    run_by_hand(main)


def test_a_timed_out_item_comes_back_and_is_not_sent():
    async def main(clock):
        sender, receiver = channel(1, "slow")
        sender.send_nowait(1)
        with pytest.raises(SendTimeoutError, match=r"stayed full with 1 items for 5\.0 s") as caught:
            await sender.send(2, timeout_s=5.0)
        assert caught.value.item == 2
        assert clock.monotonic_ns() == pytest.approx(5e9, abs=10)
        assert receiver.recv_nowait() == 1
        assert receiver.recv_nowait() is None
        assert sender.try_send(3), "the slot of the timed-out sender is free"

    run_by_hand(main)


def test_a_sender_cancelled_at_the_moment_it_gets_its_slot_has_sent_nothing():
    async def main(_clock):
        sender, receiver = channel(1)
        sender.send_nowait(1)
        unlucky = asyncio.create_task(sender.send(2))
        lucky = asyncio.create_task(sender.send(3))
        await _settle()
        assert receiver.recv_nowait() == 1  # promises the slot to `unlucky`
        unlucky.cancel()
        await asyncio.wait([unlucky, lucky])
        assert unlucky.cancelled()
        assert receiver.recv_nowait() == 3
        assert receiver.recv_nowait() is None
        assert sender.depth == 0

    run_by_hand(main)


def test_a_sender_that_times_out_in_the_turn_it_is_promised_a_slot_sends_once():
    async def main(_clock):
        sender, receiver = channel(1)
        sender.send_nowait(1)
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(sender.send(2, timeout_s=1.0))
        got = []
        # Both timers are due in one turn of the loop; the receiver's comes first.
        await _settle()
        loop.call_later(1.0 - 1e-10, lambda: got.append(receiver.recv_nowait()))
        await task
        got.append(receiver.recv_nowait())
        assert got == [1, 2]

    run_by_hand(main)


def test_senders_that_give_up_leave_nothing_behind():
    async def main(_clock):
        sender, _receiver = channel(1)
        sender.send_nowait(0)
        for i in range(100):
            with pytest.raises(SendTimeoutError):
                await sender.send(i, timeout_s=0.001)
        assert len(sender._channel.waiting) == 0

    run_by_hand(main)


def test_a_closed_receiver_refuses_and_returns_what_was_left():
    async def main(_clock):
        sender, receiver = channel(1)
        sender.send_nowait(1)
        waiting = asyncio.create_task(sender.send(2))
        await _settle()
        assert receiver.close() == [1]
        with pytest.raises(ChannelClosedError) as caught:
            await waiting
        assert caught.value.item == 2
        with pytest.raises(ChannelClosedError) as caught:
            sender.send_nowait(3)
        assert caught.value.item == 3

    run_by_hand(main)


def test_the_end_waits_for_senders_on_their_way():
    async def main(_clock):
        sender, receiver = channel(1)
        sender.send_nowait(1)
        late = asyncio.create_task(sender.send(2))
        await _settle()
        sender.close()
        assert [item async for item in receiver] == [1, 2]
        await late

    run_by_hand(main)


def test_a_cancelled_receiver_loses_nothing():
    async def main(_clock):
        sender, receiver = channel(4)
        reader = asyncio.create_task(receiver.recv())
        await _settle()
        sender.send_nowait("kept")
        reader.cancel()
        await asyncio.wait([reader])
        assert reader.cancelled()
        assert await receiver.recv() == "kept"

    run_by_hand(main)


def test_two_readers_of_one_end_are_an_error():
    async def main(_clock):
        _sender, receiver = channel(4)
        first = asyncio.create_task(receiver.recv())
        await _settle()
        with pytest.raises(RuntimeError, match="one receiver"):
            await receiver.recv()
        first.cancel()

    run_by_hand(main)


def test_a_receiver_of_a_full_channel_lets_others_run():
    async def main(_clock):
        sender, receiver = channel(None)
        for i in range(GIVE_WAY_AFTER * 3):
            sender.send_nowait(i)
        turns = []

        async def other():
            for _ in range(3):
                turns.append(len(receiver))
                await _nothing_now()

        async def _nothing_now():
            await asyncio.shield(asyncio.get_running_loop().create_task(_nothing()))

        task = asyncio.create_task(other())
        for _ in range(GIVE_WAY_AFTER * 3):
            await receiver.recv()
        assert 1 <= len(turns) <= 3
        assert 0 < turns[0] < GIVE_WAY_AFTER * 3
        await task

    run_by_hand(main)


def test_many_at_once():
    async def main(_clock):
        sender, receiver = channel(10)
        for i in range(5):
            sender.send_nowait(i)
        assert await receiver.recv_many(3) == [0, 1, 2]
        assert await receiver.recv_many(3) == [3, 4]

    run_by_hand(main)


def test_a_capacity_below_one_is_refused():
    with pytest.raises(ConfigError, match="at least 1, found 0"):
        channel(0)
