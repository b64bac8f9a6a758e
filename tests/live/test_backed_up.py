"""A venue that does not take what is sent: orders with a deadline are not laid behind bytes that wait, cancels are."""

from __future__ import annotations

import asyncio
import socket

import msgspec
import numpy as np
import pytest
import uvloop

import tercel as tc
from live.session_parts import coin_connection, coin_plan, coin_venue
from live.test_session import until
from tercel.live.lifecycle import TRADING
from tercel.live.session import LiveSession
from tercel.localvenue.server import VenueServer
from tercel.model.events import REJECT
from tercel.model.reasons import DEADLINE
from tercel.model.signals import Signal
from tercel.net.connection import Handlers, SocketLimits
from tercel.net.heartbeat import Liveness
from tercel.net.websocket import connect, serve
from tercel.runtime.loop import run

PATIENT = Liveness(ping_every_s=600.0, pong_within_s=600.0, silent_after_s=600.0)


class Relay:
    """Passes bytes between clients and a port, little by little; while `taking` is unset it takes none of the clients'.

    Its socket has the smallest buffer there is, so that a few orders fill it.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.taking = asyncio.Event()
        self.taking.set()

    async def __aenter__(self) -> Relay:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        sock.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=sock, limit=512)
        self.own_port = sock.getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.taking.set()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.port)
        for source, sink, waits in ((reader, ours, True), (theirs, writer, False)):
            task = asyncio.create_task(self._pass(source, sink, waits))
            self._tasks.add(task)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, waits: bool) -> None:
        try:
            while True:
                if waits:
                    await self.taking.wait()
                data = await source.read(512)
                if not data:
                    break
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        sink.close()


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_knows_whether_what_it_writes_gets_out(loop_factory):
    async def main() -> None:
        taken: list[bytes] = []
        keeps = Handlers(lambda data, now_ns: taken.append(bytes(data)))
        server = await serve("127.0.0.1", 0, lambda request: keeps, liveness=PATIENT)
        async with Relay(server.port) as relay:
            connection = await connect(
                f"ws://127.0.0.1:{relay.own_port}/", Handlers(lambda data, now_ns: None), liveness=PATIENT,
                limits=SocketLimits(close_s=0.1),
            )  # fmt: skip
            assert not connection.is_stalled
            connection.send(b"x" * 100)
            await until(lambda: len(taken) == 1, "the first")
            assert not connection.is_stalled
            relay.taking.clear()
            n_sent = 1
            while not connection.is_stalled and n_sent < 100_000:
                assert connection.send(b"x" * 300)
                n_sent += 1
                await asyncio.sleep(0)
            # Long before anything would have been called congested: the kernel took it all.
            assert connection.is_stalled
            assert (connection.is_congested, connection.n_unsent_bytes) == (False, 0)
            assert connection.send(b"a cancel")
            relay.taking.set()
            await until(lambda: len(taken) == n_sent + 1, "the rest")
            assert taken[-1] == b"a cancel"
            assert not connection.is_stalled
            connection.close()
            await connection.wait_closed()
            assert connection.is_stalled
        await server.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(main(), 60))


class Asked(tc.Strategy):
    """Places orders far from the market as signals say, and remembers what became of them."""

    n_rejects: int = 0
    reason: int = 0
    rejected: int = 0

    def on_signal(self, ctx, signal):
        bid = ctx.best_bid_ticks(0)
        if signal.value < 0.0:
            ctx.cancel_all(0)
        for _ in range(int(signal.value)):
            ctx.order_lots(0, 1, 10, bid - 1000, tc.GTC, tc.LIMIT)

    def on_order(self, ctx, order):
        if order.kind == REJECT:
            self.n_rejects += 1
            self.reason = order.reason
            self.rejected = order.id


def test_an_order_with_a_deadline_is_not_laid_behind_bytes_that_wait(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            port = int(server.ws_api_url.split(":")[2].split("/")[0])
            async with Relay(port) as relay:
                plan = coin_plan(server, tmp_path, Asked())
                ws_api = server.ws_api_url.replace(f":{port}", f":{relay.own_port}")
                connection = coin_connection(server.rest_url, server.stream_url, ws_api, server.venue.keys[0])
                session = LiveSession(msgspec.structs.replace(plan, connections=[connection]))
                living = asyncio.create_task(session.run())
                await until(lambda: session.state == TRADING, "trading", living)
                core, shell = session.core, session.shell
                assert core is not None
                assert shell is not None

                def tell(n: float, deadline_ns: int = 0) -> None:
                    now_ns = shell.clock.wall_ns()
                    signal = Signal(instrument=0, value=n, confidence=1.0, ts_ns=now_ns, deadline_ns=deadline_ns)
                    shell.act(lambda: core.inject(np.array([signal.row()]), now_ns))

                def at_venue() -> int:
                    return len(server.venue.desk.open)

                await until(lambda: core.engine.head["seq"] > 50, "a book", living)
                tell(1.0)
                await until(lambda: at_venue() == 1, "an order with a deadline", living)
                relay.taking.clear()
                n = 1
                while not core.links[0].is_stalled:
                    tell(5.0, deadline_ns=-1)
                    n += 5
                    await asyncio.sleep(0)
                state = core.engine.state(0)
                assert state["n_rejects"] == 0
                tell(1.0)
                assert (state["n_rejects"], state["reason"], core.flow.n_too_late) == (1, DEADLINE, 1)
                late = int(state["rejected"])
                tell(-1.0)
                relay.taking.set()
                await until(lambda: core.engine.head["n_open"] == 0, "every cancel", living)
                assert at_venue() == 0
                ours = [order for order in server.venue.desk.orders.values() if order.account.number == 1]
                assert len(ours) == n
                assert f"tc{late:016x}" not in {order.client_id for order in ours}
                session.stop("the test has seen enough")
                assert (await living).error is None

    run(asyncio.wait_for(main(), 600))
