"""The asyncio shell of a session: it carries out what connections ask for and hands back what happened. No decisions.

A message is decoded, stepped and answered in the stack of the socket's read: `net` calls back, the driver runs, frames
are written before the callback returns. Connecting and HTTP requests are tasks of one group. Made by `live.session`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl as tls
from collections.abc import Callable
from functools import partial
from typing import Any

from tercel.clock import SteadyClock
from tercel.errors import NetworkError
from tercel.live.driver import LiveCore
from tercel.live.lifecycle import CANCEL_ALL, FLUSH, STOPPED
from tercel.live.link import Link
from tercel.net.connection import Connection, Handlers
from tercel.net.heartbeat import Liveness
from tercel.net.rest import RequestError, RestClient
from tercel.net.websocket import connect
from tercel.runtime.pauses import PauseWatch
from tercel.venues.contract import NEVER, Connect, Disconnect, Effect, Request, Send

__all__ = ["LiveShell"]

_log = logging.getLogger(__name__)

#: How often the clock is set right, garbage is looked for and the session's own business is done.
_CARE_S = 1.0


class _Channel:
    """One WebSocket of a connection: being opened, open, or neither."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket: Connection | None = None
        self.opening: asyncio.Task[None] | None = None
        #: Counts attempts: what an attempt that was given up still says is not heard.
        self.attempt = 0


class LiveShell:
    """Runs one `LiveCore` in the running event loop.

    ssl: for wss and https; the system's authorities by default. care: called once a second from the loop, for a halt
    file or a status line. on_arming: called before the first order may leave. on_sent: called with the nanoseconds from
    an input to its orders, written; an input without orders costs it no look at the clock. after: called when what an
    input led to is written. tell: takes each note, for whoever watches. failure: what broke outside of engine and
    journal; the session then ends by itself.
    """

    def __init__(
        self,
        core: LiveCore,
        *,
        clock: SteadyClock | None = None,
        ssl: tls.SSLContext | None = None,
        liveness: Liveness | None = None,
        pauses: PauseWatch | None = None,
        care: Callable[[], None] | None = None,
        on_arming: Callable[[], None] | None = None,
        on_sent: Callable[[int], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.core = core
        self.clock = clock or SteadyClock()
        core.flow.now = self.clock.wall_ns
        self.pauses = pauses or PauseWatch(self.clock)
        self.failure: Exception | None = None
        self._ssl = ssl
        self._liveness = liveness or Liveness()
        self._care = care
        self._on_arming = on_arming
        self._on_sent = on_sent
        self._n_commands = 0
        self.after: list[Callable[[], None]] = []
        self._hear = tell
        self._channels: list[dict[str, _Channel]] = [{} for _ in core.links]
        self._loop = asyncio.get_running_loop()
        self._wake: asyncio.TimerHandle | None = None
        self._wake_ns = NEVER
        self._care_timer: asyncio.TimerHandle | None = None
        self._requests: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._rest: RestClient | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._is_carrying = False

    # --- the session's handles --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open the connections and live until the driver has closed them. Call `stop` to end it in order."""
        async with RestClient(ssl=self._ssl) as self._rest, asyncio.TaskGroup() as self._tasks:
            self.act(lambda: self.core.open(self.clock.wall_ns()))
            self._care_timer = self._loop.call_later(_CARE_S, self._take_care)
            try:
                await self._live()
            finally:
                for timer in (self._care_timer, self._wake):
                    if timer is not None:
                        timer.cancel()
                self._abort_everything()
        self.pauses.disarm()

    async def _live(self) -> None:
        """Until the driver has closed everything, or cannot be made to."""
        is_failing = False
        while self.core.state not in (FLUSH, STOPPED) or self._is_anything_open():
            self._changed.clear()
            await self._changed.wait()
            if self.failure is not None and not is_failing:
                is_failing = True
                self.stop(f"{type(self.failure).__name__}: {self.failure}")
                if self.core.state not in (CANCEL_ALL, FLUSH, STOPPED):
                    return

    def stop(self, why: str) -> None:
        """Ask for the end: disarm, cancel all, close."""
        self.act(lambda: self.core.stop(self.clock.wall_ns(), why))

    def act(self, action: Callable[[], None]) -> None:
        """Call the driver from the loop, and carry out what follows."""
        self._guarded(action)

    def fail(self, error: Exception) -> None:
        """Something of the session broke that is neither engine nor journal: it ends, but in order."""
        if self.failure is None:
            self.failure = error
            _log.error("the session fails", exc_info=error)
        self._changed.set()

    async def wait_closing(self) -> None:
        """Until every order is canceled, or given up, and the channels are being closed."""
        while self.core.state not in (FLUSH, STOPPED):
            self._changed.clear()
            await self._changed.wait()

    # --- effects ----------------------------------------------------------------------------------------------------

    def _guarded(self, action: Callable[..., None], *args: Any) -> None:
        """Run an input of the driver. An error that nobody foresaw ends the session, but in order."""
        try:
            action(*args)
        except Exception as error:
            self.fail(error)
        self._carry()

    def _carry(self) -> None:
        """Carry out the effects of every connection, in order, then set the next wake."""
        if self._is_carrying:
            # A socket that closes while something is carried out calls back at once; the outer call goes on.
            return
        self._is_carrying = True
        try:
            is_done = False
            while not is_done:
                is_done = True
                for link in self.core.links:
                    effects = link.connection.effects
                    while effects:
                        is_done = False
                        self._do(link, effects.pop(0))
        finally:
            self._is_carrying = False
        core = self.core
        n_commands = core.flow.n_commands
        if n_commands != self._n_commands:
            self._n_commands = n_commands
            if self._on_sent is not None:
                self._on_sent(self.clock.wall_ns() - core.now_ns)
        for call in self.after:
            call()
        if core.notes:
            self._tell()
        if core.is_ready:
            self._arm()
        due_ns = core.next_wake_ns
        if due_ns < self._wake_ns:
            # A wake that comes too early does no harm; only an earlier one costs a new timer.
            self._set_wake(due_ns)
        if core.state in (FLUSH, STOPPED):
            self._changed.set()

    def _arm(self) -> None:
        """Garbage is frozen before the first order may leave: the pause falls where nothing waits."""
        self.pauses.arm()
        if self._on_arming is not None:
            self._on_arming()
        _log.info("armed")
        self._guarded(lambda: self.core.arm(self.clock.wall_ns()))

    def _tell(self) -> None:
        for text in self.core.notes:
            _log.info("%s", text)
            if self._hear is not None:
                self._hear(text)
        self.core.notes.clear()

    def _do(self, link: Link, effect: Effect) -> None:
        if type(effect) is Send:
            channel = self._channels[link.i_link].get(effect.channel)
            if channel is not None and channel.socket is not None:
                channel.socket.send(effect.data)
        elif isinstance(effect, Connect):
            self._connect(link, effect)
        elif isinstance(effect, Disconnect):
            self._disconnect(link, effect)
        elif isinstance(effect, Request):
            assert self._tasks is not None
            task = self._tasks.create_task(self._request(link.i_link, effect))
            self._requests.add(task)
            task.add_done_callback(self._requests.discard)

    def _connect(self, link: Link, effect: Connect) -> None:
        assert self._tasks is not None
        channel = self._channels[link.i_link].setdefault(effect.channel, _Channel(effect.channel))
        if channel.socket is not None or channel.opening is not None:
            self._let_go(channel, "opened anew")
        channel.attempt += 1
        channel.opening = self._tasks.create_task(self._open(link.i_link, channel, effect.url, channel.attempt))

    async def _open(self, i_link: int, channel: _Channel, url: str, attempt: int) -> None:
        handlers = Handlers(
            on_message=self.core.hearer(i_link, channel.name, self._guarded),
            on_open=partial(self._on_open, i_link, channel, attempt),
            on_close=partial(self._on_close, i_link, channel, attempt),
        )
        try:
            await connect(url, handlers, ssl=self._ssl, liveness=self._liveness, now=self.clock.wall_ns)
        except NetworkError as error:
            if channel.attempt == attempt:
                channel.opening = None
                why, now_ns = str(error), self.clock.wall_ns()
                self._guarded(lambda: self.core.on_disconnected(i_link, channel.name, now_ns, why))
            self._changed.set()

    def _on_open(self, i_link: int, channel: _Channel, attempt: int, socket: Connection, now_ns: int) -> None:
        if channel.attempt != attempt:
            socket.abort("given up while it was opened")
            return
        channel.socket, channel.opening = socket, None
        self.core.links[i_link].connection.writers[channel.name] = socket.send_now
        self.core.links[i_link].stalls[channel.name] = lambda: socket.is_stalled
        self._guarded(lambda: self.core.on_connected(i_link, channel.name, now_ns))

    def _on_close(self, i_link: int, channel: _Channel, attempt: int, why: str, now_ns: int) -> None:
        if channel.attempt == attempt:
            self.core.links[i_link].connection.writers.pop(channel.name, None)
            self.core.links[i_link].stalls.pop(channel.name, None)
            # A write from within the driver may have met the end of the socket: the driver hears of it when it is done.
            self._loop.call_soon(self._closed, i_link, channel, attempt, why, now_ns)
        self._changed.set()

    def _closed(self, i_link: int, channel: _Channel, attempt: int, why: str, now_ns: int) -> None:
        if channel.attempt == attempt:
            channel.socket = channel.opening = None
            self._guarded(self.core.on_disconnected, i_link, channel.name, now_ns, why)
        self._changed.set()

    def _disconnect(self, link: Link, effect: Disconnect) -> None:
        channel = self._channels[link.i_link].get(effect.channel)
        if channel is None:
            return
        if channel.socket is not None:
            channel.socket.close(effect.why)
        elif channel.opening is not None:
            self._let_go(channel, effect.why)
            now_ns = self.clock.wall_ns()
            self._guarded(lambda: self.core.on_disconnected(link.i_link, channel.name, now_ns, effect.why))

    def _let_go(self, channel: _Channel, why: str) -> None:
        """Forget what a channel was doing; nothing of it is heard any more."""
        channel.attempt += 1
        if channel.opening is not None:
            channel.opening.cancel()
        if channel.socket is not None:
            channel.socket.abort(why)
        channel.socket = channel.opening = None

    async def _request(self, i_link: int, request: Request) -> None:
        assert self._rest is not None
        core = self.core
        try:
            answer = await self._rest.request(request.method, request.url, request.headers, request.body)
        except RequestError as error:
            why, was_sent, now_ns = str(error), error.was_sent, self.clock.wall_ns()
            self._guarded(lambda: core.on_failure(i_link, request.id, why, was_sent, now_ns))
        else:
            now_ns = self.clock.wall_ns()
            status, headers, body = answer.status, answer.headers, answer.body
            self._guarded(lambda: core.on_response(i_link, request.id, status, headers, body, now_ns))

    # --- time -------------------------------------------------------------------------------------------------------

    def _set_wake(self, due_ns: int) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._wake_ns = due_ns
        if due_ns < NEVER:
            delay_s = max(due_ns - self.clock.wall_ns(), 0) / 1e9
            self._wake = self._loop.call_later(delay_s, self._on_wake)

    def _on_wake(self) -> None:
        self._wake, self._wake_ns = None, NEVER
        self._guarded(lambda: self.core.on_wake(self.clock.wall_ns()))

    def _take_care(self) -> None:
        self.clock.adjust()
        if self.pauses.is_armed:
            self.pauses.collect()
        if self._care is not None:
            self._guarded(self._care)
        self._care_timer = self._loop.call_later(_CARE_S, self._take_care)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _is_anything_open(self) -> bool:
        every = (channel for channels in self._channels for channel in channels.values())
        return any(channel.socket is not None or channel.opening is not None for channel in every)

    def _abort_everything(self) -> None:
        for channels in self._channels:
            for channel in channels.values():
                self._let_go(channel, "the session is over")
        for task in list(self._requests):
            task.cancel()
