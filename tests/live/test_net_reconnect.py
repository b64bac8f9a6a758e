"""The reconnecting client over real loopback sockets: failover, backoff, what ends it."""

import asyncio
import random
import socket

import pytest

from tercel.clock import HandClock
from tercel.errors import DataError
from tercel.net.connection import Handlers
from tercel.net.endpoints import Endpoints, measure_all
from tercel.net.heartbeat import Liveness
from tercel.net.reconnect import Backoff, ReconnectingClient
from tercel.net.rest import RestClient
from tercel.net.websocket import Refusal, serve


def run(main):
    """The limit is no assertion: it turns a test that would hang into one that fails."""
    return asyncio.run(asyncio.wait_for(main, 15))


class Far:
    """A server; `peers` are its open connections in order of arrival."""

    def __init__(self):
        self.peers = asyncio.Queue()
        self.n_seen = 0

    def accept(self, upgrade):
        if upgrade.path == "/health":
            return Refusal(200, b"ok")
        self.n_seen += 1
        return Handlers(lambda data, now_ns: None, lambda connection, now_ns: self.peers.put_nowait(connection))


class Near:
    """The client's side, on a hand clock that the backoff moves."""

    def __init__(self, hosts, **options):
        self.hand, self.naps, self.messages, self.whys = HandClock(), [], [], []
        self.on_nap = None
        self.opened = asyncio.Queue()
        self.endpoints = Endpoints(hosts)
        self.client = ReconnectingClient(
            self.endpoints,
            lambda host: f"ws://{host}/",
            Handlers(
                lambda data, now_ns: self.messages.append(bytes(data)),
                lambda connection, now_ns: self.opened.put_nowait(connection),
                self._on_close,
            ),
            now=self.hand.monotonic_ns,
            sleep=self._sleep,
            random=random.Random(1).random,
            **options,
        )

    def _on_close(self, why, now_ns):
        assert not self.client.is_connected
        self.whys.append(why)

    async def _sleep(self, wait_s):
        self.naps.append(wait_s)
        self.hand.advance(round(wait_s * 1e9))
        if self.on_nap is not None:
            self.on_nap()
        await asyncio.sleep(0)


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_it_comes_back_after_every_drop_and_waits_longer_each_time():
    async def main():
        far = Far()
        async with await serve("127.0.0.1", 0, far.accept) as server:
            near = Near([f"127.0.0.1:{server.port}"], backoff=Backoff(jitter=0))
            async with asyncio.TaskGroup() as group:
                group.create_task(near.client.run())
                for i in range(4):
                    await near.opened.get()
                    peer = await far.peers.get()
                    assert near.client.is_connected
                    peer.abort("drop") if i % 2 else peer.close("restart", 1012)
                await near.opened.get()
                assert near.client.send(b"here")
                near.client.close("enough")
            assert near.client.n_connects == 5
            assert near.naps == [0.1, 0.2, 0.4, 0.8]
            assert near.whys[-1] == near.client.last_why == "enough"
            assert near.whys[0].endswith("closed: 1012 restart")
            assert not near.client.send(b"gone")

    run(main())


def test_a_connection_that_lasted_begins_the_backoff_anew():
    async def main():
        far = Far()
        async with await serve("127.0.0.1", 0, far.accept) as server:
            near = Near([f"127.0.0.1:{server.port}"], backoff=Backoff(jitter=0, stable_s=10))
            async with asyncio.TaskGroup() as group:
                group.create_task(near.client.run())
                for lasted_s in (0, 0, 10, 0):
                    connection = await near.opened.get()
                    await asyncio.sleep(0)  # the client has noted when it opened
                    assert connection.is_open
                    peer = await far.peers.get()
                    near.hand.advance(lasted_s * 1_000_000_000)
                    peer.abort("drop")
                await near.opened.get()
                near.client.close()
            assert near.naps == [0.1, 0.2, 0.1, 0.2]

    run(main())


def test_failover_to_the_backup_and_no_way_back_before_its_time():
    async def main():
        far = Far()
        async with await serve("127.0.0.1", 0, far.accept) as server:
            dead, alive = f"127.0.0.1:{closed_port()}", f"127.0.0.1:{server.port}"
            near = Near([dead, alive], by_latency=True)
            async with asyncio.TaskGroup() as group:
                group.create_task(near.client.run())
                await far.peers.get()
                assert near.client.last_why.startswith(f"cannot connect to {dead}")
                assert near.endpoints.usable(near.hand.monotonic_ns()) == [alive]
                near.client.close()

    run(main())


def test_all_hosts_dead_it_keeps_trying_until_closed():
    async def main():
        near = Near([f"127.0.0.1:{closed_port()}", f"127.0.0.1:{closed_port()}"], backoff=Backoff(jitter=0, max_s=1.0))
        near.on_nap = lambda: near.client.close() if len(near.naps) == 8 else None
        await near.client.run()
        assert near.naps == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0]
        assert near.client.n_connects == 0

    run(main())


def test_close_ends_a_long_wait_at_once():
    async def main():
        napping = asyncio.Event()

        async def sleep(wait_s):
            napping.set()
            await asyncio.Event().wait()

        client = ReconnectingClient(
            Endpoints([f"127.0.0.1:{closed_port()}"]),
            lambda host: f"ws://{host}/",
            Handlers(lambda data, now_ns: None),
            sleep=sleep,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(client.run())
            await napping.wait()
            client.close()

    run(main())


def test_a_half_open_connection_is_replaced():
    async def main():
        far = Far()
        async with await serve("127.0.0.1", 0, far.accept) as server:
            liveness = Liveness(ping_every_s=0.05, pong_within_s=0.1)
            near = Near([f"127.0.0.1:{server.port}"], liveness=liveness)
            async with asyncio.TaskGroup() as group:
                group.create_task(near.client.run())
                first = await far.peers.get()
                first._transport.underlying_transport.pause_reading()  # no byte is read, no ping answered
                await far.peers.get()
                assert "did not answer a ping" in near.client.last_why
                near.client.close()

    run(main())


def test_without_reconnect_on_expire_it_ends_with_the_connection():
    async def main():
        far = Far()
        async with await serve("127.0.0.1", 0, far.accept) as server:
            near = Near([f"127.0.0.1:{server.port}"], reconnect_on_expire=False)
            async with asyncio.TaskGroup() as group:
                group.create_task(near.client.run())
                (await far.peers.get()).close("expired", 4001)
            assert near.client.n_connects == 1
            assert near.naps == []

    run(main())


@pytest.mark.parametrize("error", [DataError("not a book"), KeyError("bug")])
def test_unreadable_messages_reconnect_and_other_errors_end_it(error):
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        far = Far()

        def on_message(data, now_ns):
            raise error

        async with await serve("127.0.0.1", 0, far.accept) as server:
            client = ReconnectingClient(
                Endpoints([f"127.0.0.1:{server.port}"]),
                lambda host: f"ws://{host}/",
                Handlers(on_message),
                backoff=Backoff(first_s=0.001),
            )
            task = asyncio.create_task(client.run())
            (await far.peers.get()).send(b"x")
            if isinstance(error, DataError):
                await far.peers.get()
                client.close()
                await task
                assert client.n_connects == 2
            else:
                with pytest.raises(KeyError):
                    await task

    run(main())


@pytest.mark.parametrize("n_turns", range(8))
def test_cancelling_at_any_moment_leaves_no_connection(n_turns):
    async def main():
        far = Far()
        async with await serve("127.0.0.1", 0, far.accept) as server:
            near = Near([f"127.0.0.1:{server.port}"])
            task = asyncio.create_task(near.client.run())
            peer = await far.peers.get()
            for _ in range(n_turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await peer.wait_closed()
            assert len(near.whys) == near.opened.qsize()
            assert not near.client.is_connected

    run(main())


def test_latency_over_health_chooses_the_fastest_that_answers():
    async def main():
        far, sick = Far(), Far()
        sick.accept = lambda upgrade: Refusal(503)
        async with await serve("127.0.0.1", 0, far.accept) as one, await serve("127.0.0.1", 0, sick.accept) as two:
            good, bad, dead = f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}", f"127.0.0.1:{closed_port()}"
            endpoints = Endpoints([dead, bad, good])
            hand = HandClock()
            async with RestClient() as client:
                await measure_all(client, endpoints, scheme="http", now=hand.monotonic_ns)
            assert endpoints.latencies_ns() == {good: 0}
            assert endpoints.usable(0) == [good]
            assert endpoints.choose_fastest(0) == good

    run(main())
