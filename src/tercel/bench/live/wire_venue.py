"""The other end of the wire, a process of its own: the local venue and a bare echo partner, both with a stopwatch.

For one tick at a time it notes when the tick is written and when the frame that answers it has been read. Ticks go in
turn to the session under test (a quote on its market stream, answered by an order on the WebSocket API) and to a bare
echo (the same bytes, answered by a frame of the size of that order), a block of each, so that both meet the same noise.
The venue works on an order after its time has been noted. Market data of its own are so slow that none come between.

Started by `wire` as `python -m tercel.bench.live.wire_venue SETUP`, SETUP a JSON object; prints one JSON line with the
addresses and a key, and at the end one with the times.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import msgspec

from tercel.clock import monotonic_ns
from tercel.localvenue.accounts import demo_key, ed25519_private_pem
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.server import VenueServer
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.net.connection import Connection, Data, Handlers
from tercel.net.websocket import Refusal, Server, Upgrade, serve
from tercel.runtime.affinity import pin
from tercel.runtime.loop import run

__all__ = ["Addresses", "Setup", "Times"]

#: Between two ticks: both sides have come to rest.
_PAUSE_S = 0.0006


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """n_blocks of n_ticks ticks to each side. has_ed25519: the key given is of that kind. venue_core, client_core:
    where each end runs, -1 for where the system likes: left to it, it moves a light client beside the venue, where no
    core has to be woken, and a session elsewhere, and its own choices would be compared.
    """

    n_blocks: int
    n_ticks: int
    has_ed25519: bool = True
    venue_core: int = -1
    client_core: int = -1


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where to connect. key, secret: of an account of this venue."""

    rest: str
    streams: str
    ws_api: str
    echo: str
    key: str
    secret: str


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """Nanoseconds from tick to answer, all blocks. order_bytes, tick_bytes: size of the frames."""

    ours: list[int]
    echo: list[int]
    order_bytes: int
    tick_bytes: int


class _Stopwatch:
    """One outstanding tick."""

    def __init__(self) -> None:
        self.sent_ns = 0
        self.took_ns = 0
        self.answered = asyncio.Event()
        self.n_bytes = 0

    def stop(self, n_bytes: int) -> None:
        if self.sent_ns:
            self.took_ns = monotonic_ns() - self.sent_ns
            self.sent_ns = 0
            self.n_bytes = n_bytes
            self.answered.set()

    async def time(self, send: Callable[[], None]) -> int:
        self.answered.clear()
        self.sent_ns = monotonic_ns()
        send()
        await self.answered.wait()
        return self.took_ns


class _TimedServer(VenueServer):
    """The venue's server, which notes the first frame of the WebSocket API after a tick before the venue sees it."""

    def __init__(self, venue: LocalVenue, watch: _Stopwatch) -> None:
        super().__init__(venue)
        self.market: Connection | None = None
        self._watch = watch

    def _accept(self, asked: Upgrade) -> Handlers | Refusal:
        found = super()._accept(asked)
        if isinstance(found, Refusal):
            return found
        plain_open, plain_message = found.on_open, found.on_message
        is_orders, watch = asked.path.startswith("/ws-api"), self._watch

        def on_open(connection: Connection, now_ns: int) -> None:
            if not is_orders:
                self.market = connection
            if plain_open is not None:
                plain_open(connection, now_ns)

        def on_message(data: Data, now_ns: int) -> None:
            if is_orders:
                watch.stop(len(data))
            plain_message(data, now_ns)

        return Handlers(on_message, on_open, found.on_close)


class _Echo:
    """The bare partner: ticks leave on one connection, answers come on the other, as with a venue."""

    def __init__(self, watch: _Stopwatch) -> None:
        self.sockets: dict[str, Connection] = {}
        self.both = asyncio.Event()
        self._watch = watch
        self._server: Server | None = None

    async def start(self) -> int:
        self._server = await serve("127.0.0.1", 0, self._accept)
        return self._server.port

    def _accept(self, asked: Upgrade) -> Handlers:
        def on_open(connection: Connection, now_ns: int) -> None:
            self.sockets[asked.path] = connection
            if len(self.sockets) == 2:
                self.both.set()

        def on_message(data: Data, now_ns: int) -> None:
            self._watch.stop(len(data))

        return Handlers(on_message, on_open, lambda why, now_ns: None)

    async def close(self) -> None:
        assert self._server is not None
        await self._server.close("done")


def _tick(i: int) -> bytes:
    """A quote as the bookTicker stream sends it; the size moves, so that no two are alike."""
    data = {"u": 10_000_000_000 + i, "s": "BTCUSDT", "b": "60000.00000000", "B": f"{1 + i % 7}.25000000",
            "a": "60001.00000000", "A": f"{1 + i % 5}.75000000"}  # fmt: skip
    return msgspec.json.encode({"stream": "btcusdt@bookTicker", "data": data})


async def _measure(setup: Setup, server: _TimedServer, watch: _Stopwatch, echo: _Echo) -> Times:
    # Orders come once the session is armed; until then ticks go unanswered.
    i = 0
    while not watch.n_bytes:
        if server.market is not None:
            watch.sent_ns = monotonic_ns()
            server.market.send(_tick(i))
            i += 1
        await asyncio.sleep(0.05)
    order_bytes = watch.n_bytes
    await echo.both.wait()
    ticks, answers = echo.sockets["/ticks"], echo.sockets["/answers"]
    answers.send(str(order_bytes).encode())
    await asyncio.sleep(0.2)
    ours: list[int] = []
    bare: list[int] = []
    watch.sent_ns = 0
    for block in range(2 * setup.n_blocks):
        kept = ours if block % 2 == 0 else bare
        target = server.market if block % 2 == 0 else ticks
        assert target is not None
        for k in range(setup.n_ticks):
            i += 1
            tick = _tick(i)
            took_ns = await watch.time(lambda target=target, tick=tick: target.send(tick))  # type: ignore[misc]
            # The first ticks of a block find cold caches on either side.
            if k >= setup.n_ticks // 10:
                kept.append(took_ns)
            await asyncio.sleep(_PAUSE_S)
    return Times(ours=ours, echo=bare, order_bytes=order_bytes, tick_bytes=len(_tick(i)))


async def _main(setup: Setup) -> None:
    if setup.venue_core >= 0:
        pin(setup.venue_core)
    limits = LimitRules(weight_1m=1 << 30, orders_10s=1 << 30, orders_1d=1 << 30, strikes=1 << 30)
    # A ten-thousandth of a market second in a second: the market stands still.
    venue = LocalVenue(VenueSetup(n_accounts=1, with_ed25519=setup.has_ed25519, limits=limits, speed=1e-4))
    watch = _Stopwatch()
    echo = _Echo(watch)
    server = _TimedServer(venue, watch)
    async with server:
        port = await echo.start()
        seed = venue.rules.seed
        key = demo_key(seed, 1, "ed25519" if setup.has_ed25519 else "hmac")
        found = Addresses(
            rest=server.rest_url, streams=server.stream_url, ws_api=server.ws_api_url, echo=f"ws://127.0.0.1:{port}",
            key=key.key, secret=ed25519_private_pem(seed, 1) if setup.has_ed25519 else key.secret.decode(),
        )  # fmt: skip
        print(msgspec.json.encode(found).decode(), flush=True)
        times = await _measure(setup, server, watch, echo)
        print(msgspec.json.encode(times).decode(), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await echo.close()


if __name__ == "__main__":
    run(_main(msgspec.json.decode(sys.argv[1], type=Setup)))
