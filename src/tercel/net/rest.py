"""The REST client: pooled, kept-alive connections, TLS verified, one answer or one typed error for each request.

It sends a request once: repeating is the business of `net.retry`, which asks an error whether bytes may have left.
No redirects, no cookies of its own, no proxy from the environment. Called by `net.enhanced` and `live`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl as tls
from collections import Counter
from collections.abc import Mapping
from enum import IntEnum
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from tercel.errors import ConfigError, NetworkError
from tercel.net.connection import keep_alive
from tercel.net.tls import check_client_tls, describe_failure, system_tls

__all__ = ["OPTIMISED", "SHARED", "Answer", "PoolProfile", "RequestError", "RestClient", "Trouble"]


class PoolProfile(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of connections.

    n_idle_per_host: kept open for the next request. n_open_max: at once in all; further requests wait within their
    timeout. idle_s: until an idle connection is closed. keep_alive_s: TCP keep-alive. timeout_s: of a whole request.
    connect_s: of name, TCP and TLS, within timeout_s. body_bytes: of an answer, at most.
    """

    n_idle_per_host: int
    timeout_s: float
    connect_s: float
    n_open_max: int = 256
    idle_s: float = 30.0
    keep_alive_s: int = 60
    body_bytes: int = 64 << 20
    user_agent: str = "tercel/0.1"

    def __post_init__(self) -> None:
        if self.n_idle_per_host < 1 or self.n_open_max < 1 or self.timeout_s <= 0 or self.connect_s <= 0:
            raise ConfigError("pool profile: n_idle_per_host, n_open_max, timeout_s and connect_s must be above 0")


SHARED = PoolProfile(n_idle_per_host=10, timeout_s=30.0, connect_s=30.0)
"""The shared client of S1-10."""

OPTIMISED = PoolProfile(n_idle_per_host=20, timeout_s=10.0, connect_s=5.0)
"""The optimised client of S1-70, under our own user agent."""


class Trouble(IntEnum):
    """Why a request has no answer."""

    CONNECT = 1
    TIMEOUT = 2
    BROKEN = 3
    BAD_ANSWER = 4


class RequestError(NetworkError):
    """No answer. was_sent: bytes may have reached the peer, so what it did is unknown. trouble: the kind."""

    def __init__(self, text: str, *, trouble: Trouble, was_sent: bool) -> None:
        super().__init__(text)
        self.trouble = trouble
        self.was_sent = was_sent


class Answer(msgspec.Struct, frozen=True):
    """One HTTP answer. headers: lower-case names; equal ones joined by ", ", set-cookie by a line feed."""

    status: int
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.headers)} headers, {len(self.body)} bytes)"


class _Sent:
    """Whether a connection was there for the bytes to leave by."""

    __slots__ = ("may_be",)

    def __init__(self) -> None:
        self.may_be = False


async def _mark_sent(session: Any, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx.may_be = True


class RestClient:
    """A pool under one profile. Make and close it in one event loop; `async with` closes it."""

    def __init__(self, profile: PoolProfile = OPTIMISED, *, ssl: tls.SSLContext | None = None) -> None:
        """ssl: from `client_tls`; the system's authorities by default. Raises ConfigError."""
        if ssl is not None:
            check_client_tls(ssl)
        self.profile = profile
        self._n_active: Counter[tuple[str, int]] = Counter()
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_mark_sent)
        trace.on_connection_reuseconn.append(_mark_sent)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=profile.n_open_max,
                limit_per_host=0,
                keepalive_timeout=profile.idle_s,
                ssl=ssl or system_tls(),
                socket_factory=self._make_socket,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": profile.user_agent},
            trace_configs=[trace],
            trust_env=False,
        )
        # aiohttp repeats a request by itself when a kept connection turns out dead. A repetition is ours to decide.
        self._session._retry_connection = False

    def _make_socket(self, address: Any) -> Any:
        family, kind, proto, _, _ = address
        sock = socket.socket(family, kind, proto)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock, self.profile.keep_alive_s)
        return sock

    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout_s: float | None = None,
    ) -> Answer:
        """Send once and read the answer whole. Any status is an answer; the query in `url` goes out as it is written.

        Raises RequestError; its text names host and port alone.
        """
        host, port = _split(url)
        limit_s = self.profile.timeout_s if timeout_s is None else timeout_s
        sent = _Sent()
        send_headers = dict(headers or {})
        if self._n_active[host, port] >= self.profile.n_idle_per_host:
            # One more would be idle afterwards than the profile keeps: this one closes behind itself.
            send_headers["Connection"] = "close"
        self._n_active[host, port] += 1
        try:
            return await self._exchange(method, url, send_headers, body, limit_s, sent)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise self._explain(error, host, port, limit_s, sent.may_be) from None
        finally:
            self._n_active[host, port] -= 1
            if not self._n_active[host, port]:
                del self._n_active[host, port]

    async def _exchange(
        self, method: str, url: str, headers: dict[str, str], body: bytes, limit_s: float, sent: _Sent
    ) -> Answer:
        connect_s = min(self.profile.connect_s, limit_s)
        timeout = aiohttp.ClientTimeout(total=limit_s, connect=None, sock_connect=connect_s, ceil_threshold=1e9)
        # encoded=True: a signature covers the query as written, so it must not be re-quoted.
        async with self._session.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            data=body or None,
            timeout=timeout,
            allow_redirects=False,
            trace_request_ctx=sent,
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > self.profile.body_bytes:
                    raise aiohttp.ClientPayloadError(f"body above {self.profile.body_bytes} bytes")
            return Answer(response.status, _lower(response.headers), bytes(content))

    def _explain(self, error: Exception, host: str, port: int, limit_s: float, was_sent: bool) -> RequestError:
        where = f"{host}:{port}"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            text, trouble = describe_failure(error.certificate_error, host, port, limit_s), Trouble.CONNECT
        elif isinstance(error, aiohttp.ClientConnectorError):
            text, trouble = describe_failure(error.os_error, host, port, limit_s), Trouble.CONNECT
        elif isinstance(error, TimeoutError):
            limit_s = min(self.profile.connect_s, limit_s) if isinstance(error, aiohttp.ServerTimeoutError) else limit_s
            text, trouble = f"{where} did not answer within {limit_s:g} s", Trouble.TIMEOUT
        elif isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError)):
            text, trouble = f"{where} sent an answer that cannot be read: {type(error).__name__}", Trouble.BAD_ANSWER
        elif isinstance(error, aiohttp.ClientConnectionError | OSError):
            text, trouble = f"{where} broke the connection: {type(error).__name__}", Trouble.BROKEN
        else:
            text, trouble = f"{where}: the request could not be made: {type(error).__name__}", Trouble.CONNECT
        return RequestError(text, trouble=trouble, was_sent=was_sent)

    async def close(self) -> None:
        """Close every connection; requests under way end with RequestError."""
        await self._session.close()
        await asyncio.sleep(0)  # lets the transports' own close callbacks run

    async def __aenter__(self) -> RestClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def _split(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"not an HTTP address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ConfigError("an HTTP address is http://host[:port]/path or https://host[:port]/path, without a password")
    return parts.hostname, port or (443 if parts.scheme == "https" else 80)


def _lower(headers: Any) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in headers.items():
        key = name.lower()
        if key in joined:
            joined[key] += ("\n" if key == "set-cookie" else ", ") + value
        else:
            joined[key] = value
    return joined
