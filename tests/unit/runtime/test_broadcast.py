from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tercel.errors import ChannelClosedError, LaggedError
from tercel.model.events import TRADE, event_rows
from tercel.runtime.broadcast import Broadcast, RowBroadcast
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.watch import Watch


def test_every_reader_gets_everything_in_order():
    async def main(_clock):
        ring = Broadcast(8)
        readers = [ring.reader() for _ in range(3)]
        for i in range(5):
            ring.send(i)
        for reader in readers:
            assert [await reader.recv() for _ in range(5)] == [0, 1, 2, 3, 4]
            assert reader.lag == 0

    run_by_hand(main)


def test_a_slow_reader_is_told_and_the_others_are_not_stalled():
    async def main(_clock):
        ring = Broadcast(4, "market")
        slow, fast = ring.reader(), ring.reader()
        got = []
        for i in range(10):
            ring.send(i)
            got.append(await fast.recv())
        assert got == list(range(10))
        with pytest.raises(LaggedError, match="'market' fell behind by more than 4 items and missed 6") as caught:
            await slow.recv()
        assert caught.value.n_missed == 6
        assert [await slow.recv() for _ in range(4)] == [6, 7, 8, 9]
        assert (slow.n_missed, fast.n_missed) == (6, 0)

    run_by_hand(main)


def test_a_batch_says_what_was_lost_before_it():
    async def main(_clock):
        ring = Broadcast(3)
        reader = ring.reader()
        for i in range(5):
            ring.send(i)
        assert await reader.recv_batch(2) == ([2, 3], 2)
        assert reader.take(9) == ([4], 0)
        assert reader.take(9) == ([], 0)

    run_by_hand(main)


def test_readers_wait_and_the_end_comes_after_what_is_kept():
    async def main(_clock):
        ring = Broadcast(4)
        reader, gone = ring.reader(), ring.reader()
        waiting = asyncio.create_task(reader.recv())
        leaving = asyncio.create_task(gone.recv())
        async with asyncio.timeout(1):
            await asyncio.wait([leaving], timeout=0.5)
        leaving.cancel()
        await asyncio.wait([leaving])
        ring.send("x")
        assert await waiting == "x"
        ring.send("y")
        ring.close()
        assert await reader.recv() == "y"
        with pytest.raises(ChannelClosedError, match="has ended"):
            await reader.recv()
        with pytest.raises(ChannelClosedError) as caught:
            ring.send("z")
        assert caught.value.item == "z"
        assert ring._waiting == []

    run_by_hand(main)


def _rows(first: int, n: int) -> np.ndarray:
    rows = event_rows(n)
    rows["kind"] = TRADE
    rows["id"] = np.arange(first, first + n)
    return rows


@pytest.mark.parametrize("n_a_send", [1, 3, 7, 10, 25])
def test_rows_against_a_list(n_a_send):
    """The ring of rows does what the ring of objects does, whatever the sizes of sends and reads."""

    async def main(_clock):
        rng = np.random.default_rng(7)
        rows_ring, ring = RowBroadcast(10), Broadcast(10)
        rows_reader, reader = rows_ring.reader(), ring.reader()
        sent = 0
        for _ in range(200):
            n = int(rng.integers(0, n_a_send + 1))
            rows_ring.send(_rows(sent, n))
            for i in range(sent, sent + n):
                ring.send(i)
            sent += n
            n_max = int(rng.integers(1, 8))
            rows, missed = rows_reader.take(n_max)
            items, expected = reader.take(n_max)
            assert (rows["id"].tolist(), missed) == (items, expected)
        assert rows_reader.n_missed == reader.n_missed
        assert sent > 50

    run_by_hand(main)


def test_rows_are_copies_both_ways():
    async def main(_clock):
        ring = RowBroadcast(4)
        reader = ring.reader()
        sent = _rows(0, 2)
        ring.send(sent)
        sent["id"] = 99
        got = (await reader.recv_batch(10)).rows
        ring.send(_rows(5, 4))
        assert got["id"].tolist() == [0, 1]
        ring.close()
        assert (await reader.recv_batch(10)).rows["id"].tolist() == [5, 6, 7, 8]
        with pytest.raises(ChannelClosedError):
            await reader.recv_batch(1)

    run_by_hand(main)


def test_a_watch_starts_from_its_default_and_shows_the_newest():
    async def main(_clock):
        watch = Watch({"equity": 0})
        reader, late = watch.reader(), watch.reader()
        assert reader.get() == {"equity": 0}
        assert not reader.has_changed
        waiting = asyncio.create_task(reader.changed())
        await asyncio.wait([waiting], timeout=1.0)
        assert not waiting.done()
        for i in (1, 2, 3):
            watch.set({"equity": i})
        assert await waiting == {"equity": 3}
        assert await late.changed() == {"equity": 3}
        assert watch.version == 3
        watch.close()
        with pytest.raises(ChannelClosedError):
            await late.changed()
        with pytest.raises(ChannelClosedError) as caught:
            watch.set({"equity": 4})
        assert caught.value.item == {"equity": 4}
        assert watch.value == {"equity": 3}

    run_by_hand(main)
