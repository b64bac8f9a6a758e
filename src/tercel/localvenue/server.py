"""The local venue on sockets: WebSockets by `net`, REST by aiohttp, and a timer. No rule of the venue lives here.

Called by `cli.venue`, by `live` (demo, paper) and by tests, in a running event loop. One venue, one thread: every
callback hands bytes and the time to the venue and sends what it leaves in its outbox before it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any

from tercel import clock
from tercel.errors import NetworkError
from tercel.localvenue.venue import LocalVenue
from tercel.net.connection import Connection, Data, Handlers, SocketLimits
from tercel.net.heartbeat import Liveness
from tercel.net.websocket import Refusal, Server, Upgrade, serve

__all__ = ["VenueServer"]

#: The real venue pings every 20 s and hangs up a minute after an unanswered ping.
_LIVENESS = Liveness(ping_every_s=20.0, pong_within_s=60.0)
_LIMITS = SocketLimits(write_max_bytes=64 << 20)


class VenueServer:
    """A local venue that listens on loopback. Use as `async with VenueServer(venue) as server`.

    port: of the WebSockets; rest_port: of REST; 0 takes a free one. now: the venue's clock, int64 ns UTC. The venue is
    started on entry when it has not been.
    """

    def __init__(
        self, venue: LocalVenue, *, host: str = "127.0.0.1", port: int = 0, rest_port: int = 0,
        now: Callable[[], int] = clock.wall_ns,
    ) -> None:  # fmt: skip
        self.venue = venue
        self.host = host
        self._ports = (port, rest_port)
        self._now = now
        self._open: dict[Hashable, Connection] = {}
        self._is_flush_due = False
        self._n_conns = 0
        self._sockets: Server | None = None
        self._runner: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self.rest_port = 0

    # --- addresses ------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        """The bound port of the WebSockets."""
        if self._sockets is None:
            raise NetworkError("the venue's server is not listening")
        return self._sockets.port

    @property
    def rest_url(self) -> str:
        """Where REST paths such as /api/v3/time are appended."""
        return f"http://{self.host}:{self.rest_port}"

    @property
    def stream_url(self) -> str:
        """Where stream paths such as /ws and /stream are appended."""
        return f"ws://{self.host}:{self.port}"

    @property
    def ws_api_url(self) -> str:
        """The WebSocket API."""
        return f"{self.stream_url}{self.venue.ws_api_path}"

    # --- life -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> VenueServer:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Bind both ports and let time pass. NetworkError when a port cannot be bound."""
        if not self.venue.is_started:
            self.venue.start(self._now())
        self._sockets = await serve(
            self.host, self._ports[0], self._accept, liveness=_LIVENESS, limits=_LIMITS, now=self._now
        )
        try:
            await self._start_rest()
        except OSError as error:
            await self._sockets.close()
            where = f"{self.host}:{self._ports[1]}"
            raise NetworkError(f"cannot listen on {where}: {error.strerror or error}") from None
        self._tick()

    async def _start_rest(self) -> None:
        from aiohttp import web

        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, keepalive_timeout=300.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self._ports[1], backlog=512)
        await site.start()
        self.rest_port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sockets is not None:
            await self._sockets.close("the venue stops")
            self._sockets = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    # --- what happens ---------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        now_ns = self._now()
        self.venue.advance(now_ns)
        self._flush()
        wait_s = max(0.001, (self.venue.next_wake_ns - now_ns) / 1e9)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _accept(self, asked: Upgrade) -> Handlers | Refusal:
        status = self.venue.answer_to_upgrade(asked.path)
        if status != 101:
            return Refusal(status)
        self._n_conns += 1
        conn, venue, loop = self._n_conns, self.venue, asyncio.get_running_loop()

        def on_open(connection: Connection, now_ns: int) -> None:
            self._open[conn] = connection
            if venue.connect(conn, asked.path, now_ns) != 101:
                connection.close("the venue does not accept connections now", 1013)
            self._flush()

        def on_message(data: Data, now_ns: int) -> None:
            venue.receive(conn, data, now_ns)
            # Requests that came together are answered together: half of what an answer costs is its system call.
            if self._open[conn].is_read_over:
                self._flush()
            elif not self._is_flush_due:
                self._is_flush_due = True
                loop.call_soon(self._flush)

        def on_close(why: str, now_ns: int) -> None:
            self._open.pop(conn, None)
            venue.disconnect(conn)

        return Handlers(on_message, on_open, on_close)

    async def _answer(self, request: Any) -> Any:
        from aiohttp import web

        body = await request.read()
        path, _, query = request.raw_path.partition("?")
        headers = {name.lower(): value for name, value in request.headers.items()}
        status, answered, content = self.venue.http(request.method, path, query, headers, body, self._now())
        self._flush()
        if self.venue.faults.delay_ns:
            await asyncio.sleep(self.venue.faults.delay_ns / 1e9)
        return web.Response(status=status, headers=answered, body=content)

    def _flush(self) -> None:
        self._is_flush_due = False
        outbox = self.venue.outbox
        if not outbox:
            return
        self.venue.outbox = []
        waiting: dict[Hashable, list[bytes]] = {}
        for conn, data in outbox:
            if data is not None:
                waiting.setdefault(conn, []).append(data)
                continue
            self._send(conn, waiting.pop(conn, []))
            if conn in self._open:
                self._open[conn].close("the venue closes this connection", 1001)
        for conn, messages in waiting.items():
            self._send(conn, messages)

    def _send(self, conn: Hashable, messages: list[bytes]) -> None:
        connection = self._open.get(conn)
        if connection is not None and messages:
            connection.send_all(messages)
