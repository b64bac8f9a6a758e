"""Opening WebSockets: `connect` for a client, `serve` for a server. TCP_NODELAY on, TLS verified, no redirects.

Called by `net.reconnect`, `live` and `localvenue`. What an open connection does is in `net.connection`.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from picows import (
    WSHandshakeError,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_connect,
    ws_create_server,
)

from tercel import clock
from tercel.errors import ConfigError, NetworkError
from tercel.net.connection import SILENT_LOGGER, Connection, Handlers, SocketLimits
from tercel.net.heartbeat import Liveness
from tercel.net.tls import check_client_tls, describe_failure, system_tls

__all__ = ["Refusal", "Server", "Upgrade", "connect", "serve"]

# S1-71 asks for these beside the headers RFC 6455 wants.
_NO_CACHE = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
_DEFAULT_LIVENESS = Liveness()
_DEFAULT_LIMITS = SocketLimits()


async def connect(
    url: str,
    handlers: Handlers,
    *,
    ssl: tls.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    connect_timeout_s: float = 5.0,
    liveness: Liveness = _DEFAULT_LIVENESS,
    limits: SocketLimits = _DEFAULT_LIMITS,
    is_binary: bool = False,
    now: Callable[[], int] = clock.wall_ns,
) -> Connection:
    """Open a WebSocket at `url` (ws:// or wss://); `handlers.on_open` has run when this returns.

    ssl: from `client_tls`, the system's authorities by default. headers: beside those of the handshake; never logged.
    connect_timeout_s: for name, TCP, TLS and handshake together. is_binary: what `send` sends. now: receipt time.
    Raises NetworkError naming host, port and cause; ConfigError for a URL or a TLS context that cannot be meant.
    """
    host, port, is_secure = _split(url)
    if ssl is not None:
        check_client_tls(ssl)
    context = (ssl or system_tls()) if is_secure else None
    name = f"{host}:{port}"
    is_given_up = False
    made: list[Connection] = []

    def make() -> Connection:
        if is_given_up:
            raise NetworkError(f"{name}: given up while connecting")
        made.append(Connection(name, handlers, liveness=liveness, limits=limits, is_binary=is_binary, now=now))
        return made[0]

    try:
        async with asyncio.timeout(connect_timeout_s):
            _, connection = await ws_connect(
                make,
                url,
                ssl_context=context,
                websocket_handshake_timeout=connect_timeout_s,
                logger_name=SILENT_LOGGER,
                enable_auto_pong=False,
                max_frame_size=limits.message_bytes,
                extra_headers={**_NO_CACHE, **(headers or {})},
                max_redirects=0,
                read_buffer_init_size=limits.read_bytes,
            )
    except WSHandshakeError as error:
        status = "" if error.response is None else f" with status {int(error.response.status)}"
        raise NetworkError(f"{name} refused the WebSocket{status}") from None
    except (OSError, TimeoutError) as error:
        for connection in made:
            connection.abort("opened too late")
        raise NetworkError(describe_failure(error, host, port, connect_timeout_s)) from None
    except BaseException:
        # Cancelled in the very turn of the loop in which the handshake came: open, and nobody's.
        for connection in made:
            connection.abort("given up while connecting")
        raise
    finally:
        is_given_up = True
    if not isinstance(connection, Connection):  # picows returns no listener when the peer hangs up mid-handshake
        raise NetworkError(f"{name} hung up during the handshake")
    return connection


def _split(url: str) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"not a WebSocket address: {error}") from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or parts.username is not None:
        raise ConfigError("a WebSocket address is ws://host[:port]/path or wss://host[:port]/path, without a password")
    is_secure = parts.scheme == "wss"
    return parts.hostname, port or (443 if is_secure else 80), is_secure


class Upgrade(msgspec.Struct, frozen=True):
    """What a client asked for. path: with the query. headers: lower-case names, the last of equal ones."""

    path: str
    headers: Mapping[str, str]


class Refusal(msgspec.Struct, frozen=True):
    """An HTTP answer in place of a WebSocket: 200 for a health check, 4xx or 5xx for no."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = {}


Accept = Callable[[Upgrade], Handlers | Refusal]


class Server:
    """A listening WebSocket server. port: bound. connections: open now."""

    def __init__(self, server: asyncio.Server, connections: set[Connection]) -> None:
        self._server = server
        self.connections = connections
        self.port: int = server.sockets[0].getsockname()[1]

    async def close(self, why: str = "server stops", code: int = 1001) -> None:
        """Stop listening, close every connection, wait until all are closed (`SocketLimits.close_s` at most)."""
        self._server.close()
        waiting = [*self.connections]
        for connection in waiting:
            connection.close(why, code)
        await asyncio.gather(*(connection.wait_closed() for connection in waiting), return_exceptions=True)
        await self._server.wait_closed()

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


class _ServerConnection(Connection):
    __slots__ = ("_all",)
    _all: set[Connection]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._all.add(self)
        super().on_ws_connected(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._all.discard(self)
        super().on_ws_disconnected(transport)


async def serve(
    host: str | Sequence[str],
    port: int,
    on_connection: Accept,
    *,
    ssl: tls.SSLContext | None = None,
    n_connections_max: int = 1024,
    handshake_timeout_s: float = 5.0,
    liveness: Liveness = _DEFAULT_LIVENESS,
    limits: SocketLimits = _DEFAULT_LIMITS,
    is_binary: bool = False,
    now: Callable[[], int] = clock.wall_ns,
) -> Server:
    """Listen on `host`:`port` (0: any free port). `on_connection` sees each request and gives handlers or a refusal.

    What `on_connection` raises is a 500 without a word to the client and goes to the loop's exception handler. Above
    `n_connections_max` the answer is 503. A connection whose unsent bytes pass `limits.write_max_bytes` is cut off.
    Raises NetworkError when the port cannot be bound.
    """
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()

    def accept(request: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        if len(connections) >= n_connections_max:
            return _refuse(Refusal(503, b"too many connections"))
        asked = Upgrade(request.path.decode("latin-1"), {k.lower(): v for k, v in request.headers.items()})
        try:
            answer = on_connection(asked)
        except Exception as error:
            loop.call_exception_handler({"message": "on_connection raised", "exception": error})
            return _refuse(Refusal(500, b"internal error"))
        if isinstance(answer, Refusal):
            return _refuse(answer)
        connection = _ServerConnection(
            "the client", answer, liveness=liveness, limits=limits, is_binary=is_binary, now=now
        )
        connection._all = connections
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_101_response(), connection)

    try:
        server = await ws_create_server(
            accept,
            host,
            port,
            ssl=ssl,
            websocket_handshake_timeout=handshake_timeout_s,
            logger_name=SILENT_LOGGER,
            enable_auto_pong=False,
            max_frame_size=limits.message_bytes,
            read_buffer_init_size=limits.read_bytes,
        )
    except OSError as error:
        raise NetworkError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return Server(server, connections)


def _refuse(refusal: Refusal) -> WSUpgradeResponseWithListener:
    if refusal.status < 400:
        response = WSUpgradeResponse.create_ok_response(refusal.body, dict(refusal.headers))
    else:
        response = WSUpgradeResponse.create_error_response(
            HTTPStatus(refusal.status), refusal.body, dict(refusal.headers)
        )
    return WSUpgradeResponseWithListener(response, None)
