"""A connection whose market messages are kept as they came, for `tercel record`.

`RecordingConnection` wraps any connection, changes nothing, and hands every market message and every depth snapshot to
a sink before it is decoded, so that what cannot be decoded is kept too. Messages of the account (orders, user stream)
are never kept: they hold keys. Nothing here touches a disk; `store.capture` writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, urlsplit

import numpy as np

from tercel.venues.contract import Request, VenueConnection

__all__ = ["RecordingConnection", "Sink"]

#: Called with (symbol, time of receipt, message); the message is good only during the call.
Sink = Callable[[str, int, bytes | bytearray | memoryview], None]

_CHANNELS = ("market", "trades")
#: A combined stream names the stream first; a bare event has its symbol near its beginning.
_STREAM = re.compile(rb'^\s*\{\s*"stream"\s*:\s*"([^"@]+)@')
_SYMBOL = re.compile(rb'"s"\s*:\s*"([^"]+)"')
_HEAD_BYTES = 256


class RecordingConnection(VenueConnection):
    """See the module. sink: takes what came. n_kept, n_left: messages kept, and of no symbol of ours."""

    def __init__(self, source: VenueConnection, sink: Sink) -> None:
        super().__init__(source.name, source.instruments)
        self.source = source
        self.rows, self.effects, self.reports = source.rows, source.effects, source.reports
        self.in_doubt, self.notes = source.in_doubt, source.notes
        self.n_kept = self.n_left = 0
        self._sink = sink
        self._symbols = {one.symbol.upper() for one in source.instruments.values()}
        self._snapshots: dict[int, str] = {}

    def _after(self) -> None:
        self.next_wake_ns, self.is_live = self.source.next_wake_ns, self.source.is_live
        self.refused = self.source.refused
        for effect in self.effects:
            if isinstance(effect, Request) and effect.endpoint == "snapshot" and effect.id not in self._snapshots:
                (symbol,) = parse_qs(urlsplit(effect.url).query).get("symbol", [""])
                self._snapshots[effect.id] = symbol

    def open(self, now_ns: int) -> None:
        """Open the source."""
        self.source.open(now_ns)
        self._after()

    def close(self, now_ns: int) -> None:
        """Close the source."""
        self.source.close(now_ns)
        self._after()

    def on_connected(self, channel: str, now_ns: int) -> None:
        """Tell the source."""
        self.source.on_connected(channel, now_ns)
        self._after()

    def on_disconnected(self, channel: str, now_ns: int, why: str) -> None:
        """Tell the source."""
        self.source.on_disconnected(channel, now_ns, why)
        self._after()

    def on_message(self, channel: str, data: bytes | bytearray | memoryview, now_ns: int) -> None:
        """Keep the message where it is the market's, then let the source decode it. Raises what the source raises."""
        if channel in _CHANNELS:
            self._keep(data, now_ns)
        try:
            self.source.on_message(channel, data, now_ns)
        finally:
            self._after()

    def on_response(self, request_id: int, status: int, headers: Mapping[str, str], body: bytes, now_ns: int) -> None:
        """Keep a depth snapshot, then tell the source."""
        symbol = self._snapshots.pop(request_id, "")
        if symbol and status == 200:
            self._sink(symbol, now_ns, body)
            self.n_kept += 1
        self.source.on_response(request_id, status, headers, body, now_ns)
        self._after()

    def on_failure(self, request_id: int, why: str, was_sent: bool, now_ns: int) -> None:
        """Tell the source."""
        self._snapshots.pop(request_id, None)
        self.source.on_failure(request_id, why, was_sent, now_ns)
        self._after()

    def on_wake(self, now_ns: int) -> None:
        """Wake the source."""
        self.source.on_wake(now_ns)
        self._after()

    def send_commands(self, commands: np.ndarray, now_ns: int) -> None:
        """Hand the commands on; they are not kept."""
        self.source.send_commands(commands, now_ns)
        self._after()

    def ask_report(self, instruments: Sequence[int], order_ids: Sequence[int], since_ns: int, now_ns: int) -> None:
        """Hand the question on."""
        self.source.ask_report(instruments, order_ids, since_ns, now_ns)
        self._after()

    def _keep(self, data: bytes | bytearray | memoryview, now_ns: int) -> None:
        head = bytes(data[:_HEAD_BYTES])
        found = _STREAM.match(head) or _SYMBOL.search(head)
        symbol = found[1].decode("ascii", "replace").upper() if found is not None else ""
        if symbol not in self._symbols:
            self.n_left += 1
            return
        self._sink(symbol, now_ns, data)
        self.n_kept += 1
