from __future__ import annotations

import asyncio
import logging
import threading

import msgspec
import numpy as np
import pytest

from tercel.errors import ConfigError, LaggedError
from tercel.model.events import LEVEL, TRADE, event_rows
from tercel.runtime import capacities
from tercel.runtime.bus import EventBus
from tercel.runtime.containers import (
    EventLog,
    ObjectPool,
    OrderPool,
    OrderQueue,
    Pooled,
    PoolOrder,
    PositionCache,
    Released,
)
from tercel.runtime.handloop import run_by_hand
from tercel.runtime.mpsc import channel
from tercel.runtime.ticks import TickRing, TickSummary, produce_ticks


def test_the_required_capacities():
    assert (capacities.MARKET_DATA_MAX, capacities.SIGNALS_MAX, capacities.ORDERS_MAX) == (10_000, 1_000, 100)
    assert (capacities.EVENT_BUS_MAX, capacities.MAILBOX_MAX, capacities.TICKS_MAX) == (1_000, 1_000, 10_000)


def test_a_full_order_queue_hands_the_order_back():
    queue = OrderQueue(2)
    assert [queue.try_push(o) for o in "abc"] == [None, None, "c"]
    assert [queue.try_pop() for _ in range(3)] == ["a", "b", None]
    assert OrderQueue().capacity == 100


def test_an_event_log_is_drained_in_order():
    log = EventLog()
    for i in range(5):
        log.append(i)
    assert (len(log), log.drain(), log.drain()) == (5, [0, 1, 2, 3, 4], [])


def test_events_of_many_threads_are_drained_once_each():
    log = EventLog()
    drained: list = []
    threads = [threading.Thread(target=lambda k=k: [log.append((k, i)) for i in range(2000)]) for k in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        drained += log.drain()
    drained += log.drain()
    assert len(drained) == len(set(drained)) == 8000
    for k in range(4):
        assert [i for who, i in drained if who == k] == list(range(2000)), "each thread's own order is kept"


class _Position(msgspec.Struct):
    qty: int


def test_the_position_cache_gives_copies():
    cache: PositionCache[str, _Position] = PositionCache()
    cache.update("BTC", _Position(3))
    copied = cache.get("BTC")
    assert copied == _Position(3)
    copied.qty = 99
    assert cache.get("BTC") == _Position(3)
    cache.update("BTC", _Position(4))
    assert (cache.remove("BTC"), cache.remove("BTC"), cache.get("BTC"), len(cache)) == (_Position(4), None, None, 0)


def test_the_order_pool():
    pool = OrderPool(2)
    a, b = pool.acquire(), pool.acquire()
    assert a is not b
    assert (pool.acquire(), pool.n_free) == (None, 0)
    a.qty_lots, a.side = 7, 1
    assert pool.release(a) is Released.BACK
    assert (a.qty_lots, a.side) == (0, 0)
    assert pool.release(a) is Released.TWICE
    assert pool.n_free == 1, "given back twice, it is there once"
    assert pool.release(PoolOrder()) is Released.FOREIGN
    other = OrderPool(1).acquire()
    other.qty_lots = 5
    assert pool.release(other) is Released.FOREIGN
    assert other.qty_lots == 5
    assert (pool.n_twice, pool.n_foreign, pool.capacity) == (1, 2, 2)
    assert pool.acquire() is a


def test_a_pool_hands_each_object_to_one_at_a_time():
    import random

    class Thing(Pooled):
        pass

    pool, rng, out = ObjectPool(20, Thing), random.Random(3), []
    for _ in range(5000):
        if rng.random() < 0.5:
            thing = pool.acquire()
            assert (thing is None) == (len(out) == 20)
            if thing is not None:
                assert all(thing is not other for other in out)
                out.append(thing)
        elif out:
            assert pool.release(out.pop(rng.randrange(len(out)))) is Released.BACK
        assert pool.n_free == 20 - len(out)


@pytest.mark.parametrize("make", [OrderQueue, OrderPool, TickRing])
def test_nothing_holds_less_than_one(make):
    with pytest.raises(ConfigError, match="at least 1"):
        make(0)


# --- ticks ---------------------------------------------------------------------------------------------------------


def test_a_full_tick_ring_drops_its_oldest():
    ring = TickRing(3)
    assert ring.summary() == TickSummary(0, 0, None)
    for i in range(1, 3):
        ring.push(i, 100 * i, i)
    assert ring.summary() == TickSummary(2, 3, 150.0)
    for i in range(3, 6):
        ring.push(i, 100 * i, i)
    assert (len(ring), ring.n_seen) == (3, 5)
    assert ring.summary() == TickSummary(3, 12, 400.0)
    old, new = ring.parts()
    assert [*old["ts_ns"], *new["ts_ns"]] == [3, 4, 5]
    assert np.shares_memory(old, ring._ticks)


@pytest.mark.parametrize("n_a_call", [1, 2, 5, 9])
def test_trades_of_rows_go_into_the_ring_like_single_ticks(n_a_call):
    rng = np.random.default_rng(n_a_call)
    whole, single = TickRing(4), TickRing(4)
    for call in range(30):
        rows = event_rows(n_a_call)
        rows["kind"] = rng.choice([TRADE, LEVEL], n_a_call)
        rows["ts_recv"] = call * 100 + np.arange(n_a_call)
        rows["px"] = rng.integers(1, 1000, n_a_call)
        rows["qty"] = rng.integers(1, 10, n_a_call)
        rows["instrument"] = 2
        whole.extend(rows)
        for row in rows[rows["kind"] == TRADE]:
            single.push(int(row["ts_recv"]), int(row["px"]), int(row["qty"]), 2)
        assert whole.n_seen == single.n_seen
        assert [p.tolist() for p in whole.parts()] == [p.tolist() for p in single.parts()]
    assert whole.n_seen > 4


def test_made_up_ticks_come_ten_a_second_until_nobody_listens(caplog):
    async def main(clock):
        sender, receiver = channel(None, "ticks")
        producer = asyncio.create_task(produce_ticks(sender, clock=clock))
        ticks = [await receiver.recv() for _ in range(30)]
        receiver.close()
        with caplog.at_level(logging.ERROR):
            assert await producer == 30
        return ticks

    ticks = run_by_hand(main)
    assert {t.symbol for t in ticks} == {"SOL/USDC"}
    assert all(100.0 <= t.price < 101.0 for t in ticks)
    assert len({t.price for t in ticks}) == 30
    assert [round(t.timestamp_ns / 1e8) for t in ticks] == list(range(30))
    assert "ticks of SOL/USDC end" in caplog.text


# --- the bus -------------------------------------------------------------------------------------------------------


class _Alert(msgspec.Struct, frozen=True):
    text: str


class _Halt(_Alert, frozen=True):
    pass


def test_subscribers_hear_their_kinds_and_nobody_is_waited_for():
    async def main(_clock):
        bus = EventBus(4)
        everything, halts, alerts = bus.subscribe(), bus.subscribe(_Halt), bus.subscribe(_Alert)
        bus.publish("text")
        bus.publish(_Alert("a"))
        bus.publish(_Halt("h"))
        assert [await everything.next() for _ in range(3)] == ["text", _Alert("a"), _Halt("h")]
        assert await halts.next() == _Halt("h")
        assert [await alerts.next() for _ in range(2)] == [_Alert("a"), _Halt("h")]
        for i in range(7):
            bus.publish(_Alert(str(i)))
        with pytest.raises(LaggedError):
            await alerts.next()
        assert await alerts.next() == _Alert("3")
        lag = await everything.next_or_lag()
        assert (type(lag), lag.n_missed) == (LaggedError, 3)
        assert (alerts.n_missed, bus.n_published) == (3, 10)

    run_by_hand(main)
