"""The echo over loopback: tercel's connection against bare picows, the same message, in turn, in one process.

One bare picows server answers both. A round is `n_messages` exchanges, one under way at a time; rounds of the two
clients alternate. Run it with `python -m tercel.bench.live.echo`.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
from collections.abc import Callable
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from tercel import clock
from tercel.net.connection import Connection, Handlers
from tercel.net.websocket import connect

__all__ = ["EchoTiming", "time_echo"]

# The shape and size of a venue's depth message and of an order.
TICK = (
    b'{"e":"depthUpdate","E":1699999999123,"T":1699999999120,"s":"BTCUSDT","U":157,"u":160,"pu":149,'
    b'"b":[["43123.10","1.234"],["43122.90","0.500"]],"a":[["43123.20","2.100"],["43124.00","0.000"]]}'
)
ORDER = b"x" * 120


class EchoTiming(msgspec.Struct, frozen=True):
    """Medians over rounds, in ns: of each round's p50 and p99, ours and bare."""

    n_rounds: int
    n_messages: int
    ours_p50_ns: float
    ours_p99_ns: float
    bare_p50_ns: float
    bare_p99_ns: float

    def __str__(self) -> str:
        return (
            f"echo over loopback, {self.n_rounds} rounds of {self.n_messages}: "
            f"p50 {self.ours_p50_ns / 1000:.2f} us against {self.bare_p50_ns / 1000:.2f} us bare "
            f"({self.ours_p50_ns / self.bare_p50_ns:.3f}x), p99 {self.ours_p99_ns / 1000:.2f} us against "
            f"{self.bare_p99_ns / 1000:.2f} us ({self.ours_p99_ns / self.bare_p99_ns:.3f}x)"
        )


class _Ticker:
    """The far side: sends a tick, waits for the order, notes the time between, sends the next."""

    def __init__(self) -> None:
        self.send_tick: Callable[[], Any] = lambda: None
        self.latencies_ns: list[int] = []
        self._n_left = 0
        self._start_ns = 0
        self._done: asyncio.Future[None] | None = None

    async def round(self, n_messages: int) -> list[int]:
        """Latencies of one round, in ns."""
        self.latencies_ns = []
        self._n_left = n_messages
        self._done = asyncio.get_running_loop().create_future()
        self._start_ns = clock.monotonic_ns()
        self.send_tick()
        await self._done
        return self.latencies_ns

    def on_order(self) -> None:
        """An order came."""
        now_ns = clock.monotonic_ns()
        self.latencies_ns.append(now_ns - self._start_ns)
        self._n_left -= 1
        if self._n_left:
            self._start_ns = clock.monotonic_ns()
            self.send_tick()
        elif self._done is not None:
            self._done.set_result(None)


class _BareServer(WSListener):
    def __init__(self, ticker: _Ticker) -> None:
        self.ticker = ticker

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.ticker.send_tick = lambda: transport.send(WSMsgType.TEXT, TICK)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.ticker.on_order()


class _BareClient(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        frame.get_payload_as_memoryview()
        transport.send(WSMsgType.TEXT, ORDER)


async def _bare_client(url: str) -> Callable[[], None]:
    transport, _ = await ws_connect(_BareClient, url)
    return transport.disconnect


async def _our_client(url: str) -> Callable[[], None]:
    connection: Connection

    def on_message(data: Any, now_ns: int) -> None:
        connection.send(ORDER)

    connection = await connect(url, Handlers(on_message))
    return connection.close


async def time_echo(n_rounds: int = 40, n_messages: int = 2000) -> EchoTiming:
    """Alternate rounds of both clients after one of each to warm up; which goes first changes every round."""
    tickers: list[_Ticker] = []

    def accept(request: Any) -> WSListener:
        tickers.append(_Ticker())
        return _BareServer(tickers[-1])

    server = await ws_create_server(accept, "127.0.0.1", 0)
    url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    stops = [await _our_client(url), await _bare_client(url)]
    rounds: list[list[tuple[int, int]]] = [[], []]
    gc.collect()
    gc.disable()
    try:
        for i in range(-1, n_rounds):
            for which in (0, 1) if i % 2 else (1, 0):
                ordered = sorted(await tickers[which].round(n_messages))
                if i >= 0:
                    rounds[which].append((ordered[n_messages // 2], ordered[n_messages * 99 // 100]))
    finally:
        gc.enable()
        for stop in stops:
            stop()
        server.close()
    medians = [statistics.median(r[k] for r in side) for side in rounds for k in (0, 1)]
    return EchoTiming(n_rounds, n_messages, *medians)


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(runner.run(time_echo()))
