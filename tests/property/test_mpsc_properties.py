"""An item sent through a channel arrives once, or its sender is told that it was not sent: never both or neither."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from tercel.errors import ChannelClosedError, SendTimeoutError
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.mpsc import channel


async def _pause(seconds: float) -> None:
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    capacity=st.integers(1, 4),
    n_senders=st.integers(1, 6),
    n_items=st.integers(1, 20),
    closes_early=st.booleans(),
)
def test_each_item_arrives_once_or_comes_back(seed, capacity, n_senders, n_items, closes_early):
    rng = random.Random(seed)
    received: list[tuple[int, int]] = []
    sent: set[tuple[int, int]] = set()
    returned: set[tuple[int, int]] = set()

    async def one(sender, item):
        try:
            await sender.send(item, timeout_s=rng.choice([None, 0.0, 0.001, 0.002]))
        except (SendTimeoutError, ChannelClosedError) as error:
            # What comes back is what was sent: another item would be missing in the sums below.
            returned.add(error.item)
        except asyncio.CancelledError:
            returned.add(item)
            raise
        else:
            sent.add(item)

    async def produce(k, sender):
        for i in range(n_items):
            task = asyncio.create_task(one(sender, (k, i)))
            if rng.random() < 0.3:
                # Times on one grid, so that cancels, timeouts and free slots fall into one turn of the loop.
                asyncio.get_running_loop().call_later(rng.choice([0.0, 0.001, 0.002]), task.cancel)
            await asyncio.wait([task])
            if task.cancelled():
                # Cancelled before its first step, the item never got as far as the channel.
                returned.add((k, i))
            if rng.random() < 0.3:
                await _pause(0.001)
        sender.close()

    async def consume(receiver):
        try:
            while True:
                received.append(await receiver.recv())
                if closes_early and len(received) > n_items:
                    received.extend(receiver.close())
                    return
                if rng.random() < 0.5:
                    await _pause(rng.choice([0.0, 0.001, 0.002]))
        except ChannelClosedError:
            return

    async def main(_clock):
        sender, receiver = channel(capacity)
        senders = [sender, *(sender.clone() for _ in range(n_senders - 1))]
        async with asyncio.TaskGroup() as group:
            group.create_task(consume(receiver))
            for k, each in enumerate(senders):
                group.create_task(produce(k, each))
        assert sender.depth == 0

    run_by_hand(main)
    assert len(received) == len(set(received))
    assert set(received) == sent
    assert sent | returned == {(k, i) for k in range(n_senders) for i in range(n_items)}
    assert not sent & returned
    for k in range(n_senders):
        mine = [i for who, i in received if who == k]
        assert mine == sorted(mine), "each sender's own order is kept"
