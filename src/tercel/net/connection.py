"""One WebSocket connection, either side, for a single call stack: bytes in, callback, bytes out, before it returns.

A message is handed to `on_message` in the stack of the socket read, as a view of the read buffer that is good only
during the call; `send` writes to the socket before it returns. Nothing here reconnects, decodes, or knows a venue.
Made by `net.websocket`; used by `net.reconnect`, `live` and `localvenue`. The protocol (RFC 6455) is picows'; this
adds joined fragments, one receipt time for each socket read, liveness, bounded write buffers and reasons.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tercel import clock
from tercel.errors import ConfigError, DataError
from tercel.net.backlog import is_backed_up
from tercel.net.heartbeat import NEVER, Heartbeat, Liveness, Verdict

__all__ = ["Connection", "Data", "Handlers", "SocketLimits"]

Data = memoryview | bytes
"""A message: a view that dies when the callback returns, or bytes when it came in fragments. What outlives the callback
must be copied: a view that is kept fails on use, but an array or a slice made of it cannot be noticed and changes."""

_TEXT = WSMsgType.TEXT
_BINARY = WSMsgType.BINARY
_KEEP_ALIVE_S = 60
_HEADER_16, _HEADER_64 = struct.Struct(">BBH"), struct.Struct(">BBQ")

# picows logs handshakes, with their headers, at a debug level. A logger outside the registry cannot be turned on.
SILENT_LOGGER = logging.Logger("tercel.net", logging.CRITICAL + 1)


class SocketLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The maxima of one connection, in bytes and seconds.

    message_bytes: a larger message, whole or in fragments, closes the connection (1009). write_high_bytes: unsent bytes
    from which `is_congested` is set; write_max_bytes: at which a slow reader is cut off. close_s: the peer's time to
    answer a close frame. read_bytes: first size of the read buffer.
    """

    message_bytes: int = 16 << 20
    write_high_bytes: int = 256 << 10
    write_max_bytes: int = 4 << 20
    close_s: float = 2.0
    read_bytes: int = 64 << 10

    def __post_init__(self) -> None:
        if not 0 < self.write_high_bytes <= self.write_max_bytes or self.message_bytes <= 0 or self.close_s < 0:
            raise ConfigError("socket limits: 0 < write_high_bytes <= write_max_bytes, message_bytes > 0, close_s >= 0")


def keep_alive(sock: Any, idle_s: int) -> None:
    """Let the kernel probe an idle connection after `idle_s`, so that a dead peer is noticed without traffic."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(idle_s // 4, 1))


class Handlers(msgspec.Struct, frozen=True):
    """The three callbacks of a connection; all run in the event loop and must not block.

    on_message(data, now_ns): one whole message; what it raises closes the connection (1011) and goes to the loop's
    exception handler and `wait_closed`. on_open(connection, now_ns): before the first message. on_close(why, now_ns):
    exactly once after on_open; nothing comes after it.
    """

    on_message: Callable[[Data, int], None]
    on_open: Callable[[Connection, int], None] | None = None
    on_close: Callable[[str, int], None] | None = None


def _server_header(first_byte: int, n_bytes: int) -> bytes:
    """The header of a whole, unmasked frame (RFC 6455, 5.2)."""
    if n_bytes < 126:
        return bytes((first_byte, n_bytes))
    if n_bytes < 1 << 16:
        return _HEADER_16.pack(first_byte, 126, n_bytes)
    return _HEADER_64.pack(first_byte, 127, n_bytes)


def _ignore(data: Data, now_ns: int) -> None:
    """Takes the place of `on_message` once the connection is closing."""


class Connection(WSListener):
    """An open WebSocket.

    n_messages: received so far. is_congested: more than `write_high_bytes` wait for the peer. error: what a callback
    raised, if that closed it. close_code: of the close frame, 1006 while there was none.
    """

    __slots__ = (
        "_at_read_start",
        "_clock",
        "_close_timer",
        "_closed",
        "_first_byte",
        "_handlers",
        "_heartbeat",
        "_held",
        "_is_blocked",
        "_kind",
        "_limits",
        "_liveness",
        "_loop",
        "_now",
        "_on_message",
        "_parts",
        "_parts_bytes",
        "_recv_ns",
        "_socket",
        "_transport",
        "_wake_timer",
        "_why",
        "close_code",
        "error",
        "is_congested",
        "n_messages",
        "name",
    )

    def __init__(
        self,
        name: str,
        handlers: Handlers,
        *,
        liveness: Liveness,
        limits: SocketLimits,
        is_binary: bool,
        now: Callable[[], int],
    ) -> None:
        self.name = name
        self.n_messages = 0
        self.is_congested = False
        self.error: Exception | None = None
        self.close_code = 1006
        self._handlers = handlers
        self._on_message = handlers.on_message
        self._liveness = liveness
        self._limits = limits
        self._kind = _BINARY if is_binary else _TEXT
        self._first_byte = 0x80 | (2 if is_binary else 1)
        self._now = now
        self._recv_ns = 0
        self._at_read_start = True
        self._parts: bytearray | None = None
        self._is_blocked = False
        self._why: str | None = None
        self._wake_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._heartbeat = Heartbeat(liveness, clock.monotonic_ns())

    # ---- what the owner calls

    def send(self, data: bytes | bytearray | memoryview) -> bool:
        """Write one frame to the socket now. False: the connection is closing or was cut off, nothing was sent.

        True means handed to the kernel, or kept behind earlier bytes that the peer has not taken yet.
        """
        if self._is_blocked:
            return self._send_blocked(data)
        self._transport.send(self._kind, data)
        return True

    def send_now(self, data: bytes | memoryview) -> bool:
        """`send` where nothing stands in the way, else False and nothing is done: never cuts a slow peer off."""
        if self._is_blocked:
            return False
        self._transport.send(self._kind, data)
        return True

    def send_all(self, messages: Sequence[bytes]) -> bool:
        """`send` for several messages, in order. A server writes them together, at the latest when this turn of the
        loop ends: one system call in place of one each. A client, whose frames are masked one by one, just sends them.
        """
        if len(messages) == 1 or self._transport.is_client_side:
            return all(self.send(message) for message in messages)
        parts: list[bytes] = []
        for message in messages:
            parts += (_server_header(self._first_byte, len(message)), message)
        frames = b"".join(parts)
        if self._is_blocked and (self._why is not None or self._cut_if_slow(len(frames))):
            return False
        self._transport.underlying_transport.write(frames)
        return True

    def close(self, why: str = "", code: int = 1000) -> None:
        """Send a close frame and give the peer `close_s` to answer it. No message is delivered after this call."""
        if self._why is None:
            self._begin_close(why or "closed by us", code)

    def abort(self, why: str) -> None:
        """Drop the socket at once, unsent bytes with it."""
        if self._why is None:
            self._stop(why)
        self._transport.disconnect(False)

    async def wait_closed(self) -> None:
        """Until `on_close` has run. Raises what a callback raised, if that closed the connection."""
        await asyncio.shield(self._closed)
        if self.error is not None:
            raise self.error

    @property
    def is_open(self) -> bool:
        """Whether `send` still writes."""
        return self._why is None

    @property
    def is_read_over(self) -> bool:
        """In `on_message`: whether this was the last frame of the socket read, so that no other is at hand."""
        return bool(self._at_read_start)

    @property
    def n_unsent_bytes(self) -> int:
        """Bytes that wait for the peer."""
        return int(self._transport.underlying_transport.get_write_buffer_size())  # type: ignore[attr-defined]

    @property
    def is_stalled(self) -> bool:
        """Whether a frame sent now would lie behind bytes that wait for the peer, here or in the kernel."""
        return self._is_blocked or self.n_unsent_bytes > 0 or is_backed_up(self._socket)

    @property
    def rtt_ns(self) -> int:
        """Round trip of the last ping, 0 before the first."""
        return self._heartbeat.rtt_ns

    # ---- what picows calls

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        under = transport.underlying_transport
        self._socket = under.get_extra_info("socket")
        keep_alive(self._socket, _KEEP_ALIVE_S)
        under.set_write_buffer_limits(  # type: ignore[attr-defined]
            high=self._limits.write_high_bytes, low=self._limits.write_high_bytes // 4
        )
        self._heartbeat = Heartbeat(self._liveness, clock.monotonic_ns())
        self._arm()
        if self._handlers.on_open is not None:
            try:
                self._handlers.on_open(self, self._now())
            except Exception as error:
                self._failed("on_open", error)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        # Every frame passes here, pings too, so `last_in_buffer` tells where the next socket read begins.
        if self._at_read_start:
            self._recv_ns = self._now()
        self._at_read_start = frame.last_in_buffer
        kind = frame.msg_type
        if (kind is not _TEXT and kind is not _BINARY) or not frame.fin or self._parts is not None or frame.rsv1:
            self._on_other_frame(transport, frame, kind)
            return
        self.n_messages += 1
        view = frame.get_payload_as_memoryview()
        try:
            self._on_message(view, self._recv_ns)
            view.release()  # a view kept past the callback would read the next message's bytes: make it fail instead
        except Exception as error:
            self._failed("on_message", error)
            with suppress(BufferError):
                view.release()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        for timer in (self._wake_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        sent = transport.close_handshake.sent if transport.close_handshake is not None else None
        if self._why is None:
            if sent is not None:  # picows itself closed on a broken frame
                self.close_code = int(sent.code.value)
                self._stop(f"{self.name} broke the protocol: {sent.reason}")
            else:
                self._stop(f"{self.name} dropped the connection")
        if transport.is_client_side:
            # picows keeps a broken frame's error in a future of its own; unless asked, asyncio complains of it later.
            waiter = self._loop.create_task(transport.wait_disconnected())  # type: ignore[func-returns-value]
            waiter.add_done_callback(lambda task: task.cancelled() or task.exception())
        if self._handlers.on_close is not None:
            try:
                self._handlers.on_close(self._why or "", self._now())
            except Exception as error:
                self._report("on_close", error)
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self.is_congested = self._is_blocked = True
        self._cut_if_slow(0)

    def resume_writing(self) -> None:
        self.is_congested = False
        self._is_blocked = self._why is not None

    # ---- inside

    def _on_other_frame(self, transport: WSTransport, frame: WSFrame, kind: WSMsgType) -> None:
        if kind is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.PONG:
            self._heartbeat.on_pong(frame.get_payload_as_bytes(), clock.monotonic_ns())
            self._arm()
        elif kind is WSMsgType.CLOSE:
            self._on_close_frame(transport, frame)
        elif frame.rsv1 or (kind is WSMsgType.CONTINUATION) == (self._parts is None):
            self._begin_close(f"{self.name} broke the protocol: reserved bit or fragments out of order", 1002)
        else:
            self._on_fragment(frame)

    def _on_fragment(self, frame: WSFrame) -> None:
        parts = self._parts = self._parts if self._parts is not None else bytearray()
        if len(parts) + frame.payload_size > self._limits.message_bytes:
            self._parts = None
            self._begin_close(f"{self.name} sent a message above {self._limits.message_bytes} bytes", 1009)
            return
        parts += frame.get_payload_as_memoryview()
        if not frame.fin:
            return
        self._parts = None
        self.n_messages += 1
        try:
            self._on_message(bytes(parts), self._recv_ns)
        except Exception as error:
            self._failed("on_message", error)

    def _on_close_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        code = int(frame.get_close_code().value)
        self.close_code = code or 1005
        if self._why is None:
            # The peer's words go into logs: without line feeds or control characters.
            reason = "".join(c if c.isprintable() else "?" for c in frame.get_close_reason() or "")
            self._stop(f"{self.name} closed: {self.close_code}" + (f" {reason}" if reason else ""))
            transport.send_close(WSCloseCode.OK if code == 0 else frame.get_close_code())
        transport.disconnect()
        self._abort_later()

    def _begin_close(self, why: str, code: int) -> None:
        self._stop(why)
        self.close_code = code
        # A close frame holds at most 125 bytes, two of them the code (RFC 6455, 5.5); cut between characters.
        reason = why.encode()[:123].decode(errors="ignore")
        self._transport.send_close(WSCloseCode(code), reason.encode())
        self._abort_later()

    def _stop(self, why: str) -> None:
        self._why = why
        self._is_blocked = True
        self._on_message = _ignore

    def _abort_later(self) -> None:
        if self._close_timer is None:
            self._close_timer = self._loop.call_later(self._limits.close_s, self._transport.disconnect, False)

    def _send_blocked(self, data: bytes | bytearray | memoryview) -> bool:
        if self._why is not None or self._cut_if_slow(len(data)):
            return False
        self._transport.send(self._kind, data)
        return True

    def _cut_if_slow(self, n_more: int) -> bool:
        n_unsent = self.n_unsent_bytes + n_more
        if self._why is None and n_unsent > self._limits.write_max_bytes:
            self._stop(f"{self.name} reads too slowly: {n_unsent} bytes unsent, maximum {self._limits.write_max_bytes}")
            # Not from inside the transport's own write.
            self._loop.call_soon(self._transport.disconnect, False)
        return self._why is not None

    def _failed(self, where: str, error: Exception) -> None:
        if isinstance(error, BufferError):
            error = DataError(f"{self.name}: {where} kept the view of a message; copy what outlives the callback")
        self._report(where, error)
        if self.error is None:
            self.error = error
        if self._why is None:
            self._begin_close(f"{where} raised {type(error).__name__}", 1011)

    def _report(self, where: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": f"{self.name}: {where} raised", "exception": error})

    def _arm(self) -> None:
        if self._wake_timer is not None:
            self._wake_timer.cancel()
            self._wake_timer = None
        due_ns = self._heartbeat.next_wake_ns
        if due_ns != NEVER:
            wait_s = max((due_ns - clock.monotonic_ns()) / 1e9, 0.001)
            self._wake_timer = self._loop.call_later(wait_s, self._wake)

    def _wake(self) -> None:
        self._wake_timer = None
        if self._why is not None:
            return
        verdict = self._heartbeat.on_wake(clock.monotonic_ns(), self.n_messages)
        if verdict is Verdict.NO_PONG:
            self.abort(f"{self.name} did not answer a ping within {self._liveness.pong_within_s:g} s")
            return
        if verdict is Verdict.SILENT:
            self.abort(f"{self.name} sent no message for {self._liveness.silent_after_s:g} s")
            return
        if verdict is Verdict.PING:
            self._transport.send_ping(self._heartbeat.payload)
        self._arm()
