"""User data streams: listen keys, subscriptions on the WebSocket API, and the events that go to both.

Called by `venue` and the operations. An event is made only where somebody listens.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import msgspec

from tercel.localvenue.refusals import BAD_LISTEN_KEY, RefusedError

__all__ = ["LISTEN_KEY_MS", "UserStreams"]

LISTEN_KEY_MS = 60 * 60_000
_encode = msgspec.json.Encoder().encode


class _ListenKey:
    __slots__ = ("account", "conns", "expires_ms")

    def __init__(self, account: int, expires_ms: int) -> None:
        self.account, self.expires_ms = account, expires_ms
        self.conns: dict[Hashable, bool] = {}


class UserStreams:
    """Who listens to which account. send: called with a connection and the bytes of one event."""

    def __init__(self, send: Callable[[Hashable, bytes], None], new_key: Callable[[int], str]) -> None:
        self._send = send
        self._new_key = new_key
        self._keys: dict[str, _ListenKey] = {}
        #: Per account the (connection, subscription id) pairs of the WebSocket API.
        self._subscriptions: dict[int, dict[tuple[Hashable, int], None]] = {}
        self._next_id: dict[Hashable, int] = {}
        #: Accounts that somebody listens to, each with the number of listeners: asked several times for every order.
        self._n_listeners: dict[int, int] = {}

    def _count(self, account: int, change: int) -> None:
        n = self._n_listeners.get(account, 0) + change
        if n > 0:
            self._n_listeners[account] = n
        else:
            self._n_listeners.pop(account, None)

    # --- listen keys ----------------------------------------------------------------------------------------------

    def start(self, account: int, now_ms: int) -> str:
        """The account's listen key: its present one, with a new hour to live, or a new one."""
        for text, key in self._keys.items():
            if key.account == account:
                key.expires_ms = now_ms + LISTEN_KEY_MS
                return text
        text = self._new_key(account)
        self._keys[text] = _ListenKey(account, now_ms + LISTEN_KEY_MS)
        return text

    def _known(self, text: str, now_ms: int) -> _ListenKey:
        key = self._keys.get(text)
        if key is None or key.expires_ms <= now_ms:
            raise RefusedError(BAD_LISTEN_KEY, "This listenKey does not exist.")
        return key

    def key_of(self, account: int, now_ms: int) -> str | None:
        """The account's listen key, None when it has none."""
        return next((t for t, k in self._keys.items() if k.account == account and k.expires_ms > now_ms), None)

    def keep(self, text: str, now_ms: int) -> None:
        """Another hour for a listen key."""
        self._known(text, now_ms).expires_ms = now_ms + LISTEN_KEY_MS

    def stop(self, text: str, now_ms: int) -> list[Hashable]:
        """End a listen key; its connections, which are to be closed."""
        key = self._known(text, now_ms)
        del self._keys[text]
        self._count(key.account, -len(key.conns))
        return list(key.conns)

    def expire(self, now_ms: int) -> list[Hashable]:
        """End the listen keys whose hour is over; their connections, told and to be closed."""
        ended: list[Hashable] = []
        for text in [text for text, key in self._keys.items() if key.expires_ms <= now_ms]:
            key = self._keys.pop(text)
            self._count(key.account, -len(key.conns))
            for conn in key.conns:
                self._send(conn, _encode({"e": "listenKeyExpired", "E": now_ms, "listenKey": text}))
                ended.append(conn)
        return ended

    def attach(self, conn: Hashable, text: str, now_ms: int, *, is_combined: bool) -> bool:
        """Let a connection hear an account by its listen key; False for an unknown one."""
        key = self._keys.get(text)
        if key is None or key.expires_ms <= now_ms:
            return False
        if conn not in key.conns:
            self._count(key.account, 1)
        key.conns[conn] = is_combined
        return True

    # --- subscriptions of the WebSocket API -----------------------------------------------------------------------

    def subscribe(self, conn: Hashable, account: int) -> int:
        """A subscription of the connection to the account; its id."""
        number = self._next_id.get(conn, 0)
        self._next_id[conn] = number + 1
        self._subscriptions.setdefault(account, {})[(conn, number)] = None
        self._count(account, 1)
        return number

    def unsubscribe(self, conn: Hashable, number: int | None) -> None:
        """End one subscription of the connection, or all."""
        for account, pairs in self._subscriptions.items():
            for pair in [pair for pair in pairs if pair[0] == conn and number in (None, pair[1])]:
                del pairs[pair]
                self._count(account, -1)

    def subscriptions(self, conn: Hashable) -> list[int]:
        """The connection's subscription ids."""
        return sorted(n for pairs in self._subscriptions.values() for c, n in pairs if c == conn)

    def close(self, conn: Hashable) -> None:
        """The connection is gone."""
        self.unsubscribe(conn, None)
        self._next_id.pop(conn, None)
        for key in self._keys.values():
            if conn in key.conns:
                del key.conns[conn]
                self._count(key.account, -1)

    def forget(self) -> None:
        """All listen keys and subscriptions are lost, as after a restart."""
        self._keys.clear()
        self._subscriptions.clear()
        self._next_id.clear()
        self._n_listeners.clear()

    # --- events ---------------------------------------------------------------------------------------------------

    def has(self, account: int) -> bool:
        """Whether somebody listens to the account."""
        return account in self._n_listeners

    def publish(self, account: int, event: dict[str, Any], times: int = 1) -> None:
        """Send an event of the account to everybody who listens."""
        raw = _encode(event)
        for text, key in self._keys.items():
            if key.account == account:
                for conn, is_combined in key.conns.items():
                    data = b'{"stream":"' + text.encode() + b'","data":' + raw + b"}" if is_combined else raw
                    for _ in range(times):
                        self._send(conn, data)
        for conn, number in self._subscriptions.get(account, {}):
            for _ in range(times):
                self._send(conn, b'{"subscriptionId":%d,"event":%b}' % (number, raw))
