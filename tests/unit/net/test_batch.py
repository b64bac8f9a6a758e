"""Concurrent batches: order, bound, and one item's error being its own."""

import asyncio
import random

import pytest

from tercel.errors import ConfigError
from tercel.net.batch import process_batch_concurrent


def test_results_in_input_order_whatever_ends_first_and_never_more_than_the_limit():
    async def main():
        rng = random.Random(3)
        gates = [asyncio.Event() for _ in range(40)]
        under_way, most = set(), 0

        async def processor(i):
            nonlocal most
            under_way.add(i)
            most = max(most, len(under_way))
            await gates[i].wait()
            under_way.discard(i)
            if i % 7 == 0:
                raise ValueError(f"item {i}")
            return i * 10

        task = asyncio.create_task(process_batch_concurrent(range(40), 6, processor))
        while not task.done():
            await asyncio.sleep(0)
            if under_way:
                gates[rng.choice(sorted(under_way))].set()
        outcomes = await task
        assert most == 6
        for i, outcome in enumerate(outcomes):
            if i % 7 == 0:
                assert not outcome.is_ok
                with pytest.raises(ValueError, match=f"item {i}"):
                    _ = outcome.value
            else:
                assert outcome.value == i * 10

    asyncio.run(main())


def test_no_items_and_no_limit():
    async def main():
        async def processor(item):
            return None

        assert await process_batch_concurrent([], 5, processor) == []
        [outcome] = await process_batch_concurrent([1], 5, processor)
        assert outcome.is_ok
        assert outcome.value is None
        with pytest.raises(ConfigError):
            await process_batch_concurrent([1], 0, processor)

    asyncio.run(main())


def test_a_processor_that_cancels_itself_is_an_error_of_its_item_and_our_cancel_ends_all():
    async def main():
        async def cancels(item):
            if item == 1:
                raise asyncio.CancelledError
            return item

        outcomes = await process_batch_concurrent([0, 1, 2], 1, cancels)
        assert [outcome.is_ok for outcome in outcomes] == [True, False, True]

        ended = []

        async def forever(item):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(item)

        task = asyncio.create_task(process_batch_concurrent([1, 2, 3], 2, forever))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(ended) == [1, 2]

    asyncio.run(main())
