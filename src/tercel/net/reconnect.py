"""A WebSocket that comes back: capped and jittered backoff as a value, and a client that reconnects by it.

The client chooses a host, connects, waits until the connection ends, sets the host aside when it failed, waits, and
begins again. What is resent or resynchronised after that is the caller's business. For edges of a user's own; a
session's venue connections decide themselves when they come back.
"""

from __future__ import annotations

import asyncio
import random as _random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from tercel import clock
from tercel.errors import ConfigError, DataError, NetworkError
from tercel.net.connection import Connection, Handlers
from tercel.net.endpoints import Endpoints
from tercel.net.websocket import connect

__all__ = ["Backoff", "ReconnectingClient"]


class Backoff(msgspec.Struct, frozen=True, kw_only=True):
    """Waits between attempts: first_s * factor**i, at most max_s, times a factor from 1 - jitter to 1.

    stable_s: a connection that lasted so long was a good one; the next wait begins at first_s again. One that opens
    and drops at once keeps growing the wait.
    """

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 30.0
    jitter: float = 0.5
    stable_s: float = 10.0

    def __post_init__(self) -> None:
        if self.first_s <= 0 or self.factor < 1 or self.max_s < self.first_s or not 0 <= self.jitter <= 1:
            raise ConfigError("backoff: first_s > 0, factor >= 1, max_s >= first_s, jitter between 0 and 1")

    def delay_s(self, n_failures: int, random: float) -> float:
        """The wait after `n_failures` in a row, one or more; `random` in [0, 1). 0 for none."""
        if n_failures <= 0:
            return 0.0
        plain_s = min(self.first_s * self.factor ** min(n_failures - 1, 64), self.max_s)
        return plain_s * (1 - self.jitter * random)


class ReconnectingClient:
    """Keeps one WebSocket open over several hosts (S1-11).

    is_connected: a connection is open. n_connects: opened so far. last_why: why the last one ended or did not open.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        url_of: Callable[[str], str],
        handlers: Handlers,
        *,
        backoff: Backoff | None = None,
        by_latency: bool = False,
        reconnect_on_expire: bool = True,
        random: Callable[[], float] = _random.random,
        now: Callable[[], int] = clock.monotonic_ns,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        **options: Any,
    ) -> None:
        """url_of: the address for a host. by_latency: the fastest host first, else any at random. reconnect_on_expire:
        whether a connection that the peer closed is opened again at all. options: of `connect`.
        """
        self.is_connected = False
        self.n_connects = 0
        self.last_why = ""
        self.endpoints = endpoints
        self.reconnect_on_expire = reconnect_on_expire
        self._url_of = url_of
        self._handlers = handlers
        self._backoff = backoff or Backoff()
        self._by_latency = by_latency
        self._random, self._now, self._sleep = random, now, sleep
        self._options = options
        self._connection: Connection | None = None
        self._is_stopped = False
        self._stopping: asyncio.Event | None = None

    def send(self, data: bytes | bytearray | memoryview) -> bool:
        """Write one frame now; False when there is no open connection, then nothing was sent."""
        return self._connection is not None and self._connection.send(data)

    def close(self, why: str = "") -> None:
        """Close the connection and do not reconnect; `run` returns."""
        self._is_stopped = True
        if self._stopping is not None:
            self._stopping.set()
        if self._connection is not None:
            self._connection.close(why)

    async def run(self) -> None:
        """Until `close`. Raises what a callback raised, except DataError: a message that cannot be read is the peer's
        fault and leads to a new connection. Raises ConfigError for an address that cannot be meant.
        """
        self._stopping = asyncio.Event()
        n_failures = 0
        while not self._is_stopped:
            host = self._choose()
            lasted_s = await self._attempt(host)
            if self._is_stopped or not (self.reconnect_on_expire or lasted_s is None):
                return
            n_failures = 1 if lasted_s is not None and lasted_s >= self._backoff.stable_s else n_failures + 1
            self.endpoints.on_failure(host, self._now())
            await self._pause(self._backoff.delay_s(n_failures, self._random()))

    def _choose(self) -> str:
        now_ns = self._now()
        if self._by_latency:
            return self.endpoints.choose_fastest(now_ns)
        return self.endpoints.choose_random(self._random(), now_ns)

    async def _attempt(self, host: str) -> float | None:
        """One connection from open to end: how long it lasted in s, None when it did not open."""
        outer = self._handlers

        def on_open(connection: Connection, now_ns: int) -> None:
            self._connection = connection
            self.is_connected = True
            self.n_connects += 1
            if outer.on_open is not None:
                outer.on_open(connection, now_ns)

        def on_close(why: str, now_ns: int) -> None:
            self._connection = None
            self.is_connected = False
            self.last_why = why
            if outer.on_close is not None:
                outer.on_close(why, now_ns)

        handlers = Handlers(outer.on_message, on_open, on_close)
        try:
            connection = await connect(self._url_of(host), handlers, **self._options)
        except NetworkError as error:
            self.last_why = str(error)
            return None
        opened_ns = self._now()
        self.endpoints.on_success(host)
        if self._is_stopped:
            connection.close("closed by us")
        try:
            await connection.wait_closed()
        except DataError:
            pass
        except asyncio.CancelledError:
            connection.abort("cancelled")
            raise
        return (self._now() - opened_ns) / 1e9

    async def _pause(self, wait_s: float) -> None:
        """Sleep, but no longer than until `close`."""
        assert self._stopping is not None
        async with asyncio.TaskGroup() as group:
            nap = group.create_task(self._nap(wait_s))
            stop = group.create_task(self._stopping.wait())
            await asyncio.wait((nap, stop), return_when=asyncio.FIRST_COMPLETED)
            nap.cancel()
            stop.cancel()

    async def _nap(self, wait_s: float) -> None:
        await self._sleep(wait_s)
