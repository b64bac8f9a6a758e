"""When to ping, and when a peer that says nothing is taken for dead. Pure: it is told the time, it owns no timer.

Called by `net.websocket`, which owns the timer and sends the pings.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from tercel.errors import ConfigError

__all__ = ["Heartbeat", "Liveness", "Verdict"]

NEVER = (1 << 63) - 1
_S = 1_000_000_000


class Liveness(msgspec.Struct, frozen=True, kw_only=True):
    """How a half-open connection is found out.

    ping_every_s: a ping at this interval, 0 for none. pong_within_s: the peer's time to answer it. Data does not count
    as an answer: a peer that still talks but no longer reads would never see our orders. silent_after_s: without a
    message for so long the feed is stale, pongs or not; 0 for never. Found at most a quarter later.
    """

    ping_every_s: float = 15.0
    pong_within_s: float = 10.0
    silent_after_s: float = 0.0

    def __post_init__(self) -> None:
        if self.ping_every_s < 0 or self.silent_after_s < 0 or self.pong_within_s <= 0:
            raise ConfigError("liveness: intervals must not be negative, and pong_within_s must be above 0")


class Verdict(IntEnum):
    """What `Heartbeat.on_wake` asks for."""

    NOTHING = 0
    PING = 1
    NO_PONG = 2
    SILENT = 3


class Heartbeat:
    """The state of one connection's pings. rtt_ns: round trip of the last answered ping, 0 before the first."""

    def __init__(self, liveness: Liveness, now_ns: int) -> None:
        self._every_ns = int(liveness.ping_every_s * _S)
        self._within_ns = int(liveness.pong_within_s * _S)
        self._silent_ns = int(liveness.silent_after_s * _S)
        self._ping_at_ns = now_ns + self._every_ns if self._every_ns else NEVER
        self._look_at_ns = now_ns + self._silent_ns // 4 if self._silent_ns else NEVER
        self._pinged_at_ns = 0
        self._deadline_ns = NEVER
        self._heard_at_ns = now_ns
        self._n_messages = 0
        self._n_pings = 0
        self.rtt_ns = 0

    @property
    def next_wake_ns(self) -> int:
        """When `on_wake` is due, NEVER when nothing is watched."""
        return min(self._ping_at_ns, self._deadline_ns, self._look_at_ns)

    @property
    def payload(self) -> bytes:
        """What the outstanding ping carries, so that a pong to an older one does not count."""
        return b"%d" % self._n_pings

    def on_pong(self, payload: bytes, now_ns: int) -> None:
        """A pong came; unsolicited ones are ignored."""
        if self._deadline_ns != NEVER and payload == self.payload:
            self._deadline_ns = NEVER
            self.rtt_ns = now_ns - self._pinged_at_ns

    def on_wake(self, now_ns: int, n_messages: int) -> Verdict:
        """What to do now. n_messages: received so far on this connection; only its change matters."""
        if now_ns >= self._deadline_ns:
            return Verdict.NO_PONG
        if now_ns >= self._look_at_ns:
            if n_messages != self._n_messages:
                self._n_messages = n_messages
                self._heard_at_ns = now_ns
            if now_ns - self._heard_at_ns >= self._silent_ns:
                return Verdict.SILENT
            self._look_at_ns = now_ns + self._silent_ns // 4
        if now_ns >= self._ping_at_ns:
            self._ping_at_ns = now_ns + self._every_ns
            if self._deadline_ns == NEVER:
                self._n_pings += 1
                self._pinged_at_ns = now_ns
                self._deadline_ns = now_ns + self._within_ns
                return Verdict.PING
        return Verdict.NOTHING
