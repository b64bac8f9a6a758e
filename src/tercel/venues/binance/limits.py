"""The venue's rate limits as it counts them: request weight, new orders, bans. Values only; called by `connection`.

Counts begin anew with each interval of the venue's clock. Every answer says how far they stand (headers X-MBX-USED-
WEIGHT-* and X-MBX-ORDER-COUNT-*, `rateLimits` of the WebSocket API); between answers our own requests are added. Status
429 asks to wait, 418 is a ban for not having waited: until then nothing leaves. Pages "LIMITS" and "Rate limits" of
developers.binance.com, November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from tercel.jit import address_of
from tercel.venues.binance.messages import RateLimit

__all__ = ["ALLOWANCE", "Limits"]

_S = 1_000_000_000
_INTERVAL_S = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}
_LETTER_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ORDERS, WEIGHT = "ORDERS", "REQUEST_WEIGHT"

#: How many new orders may leave before any window is looked at again, those of them that have, and cancels that have;
#: until when that holds, by the venue's clock; until when nothing may leave, by ours. A record that the compiled way
#: of an order counts in too.
ALLOWANCE = np.dtype(
    [("n_room", "i8"), ("n_taken", "i8"), ("n_canceled", "i8"), ("until_ns", "i8"), ("blocked_until_ns", "i8")],
    align=True,
)
_ROOM, _TAKEN, _CANCELED, _UNTIL, _BLOCKED = range(5)


class _Window:
    """One limit: `limit` in `length_ns`, `count` so far in the window that began at `start_ns`, `own` of it sent by us.

    What an answer tells is true of the moment it was written: requests under way then are not in it. Our own are
    counted when they leave, so the greater of the two holds.
    """

    def __init__(self, length_ns: int) -> None:
        self.length_ns = length_ns
        self.limit = 0
        self.count = self.own = 0
        self.start_ns = 0

    def roll(self, venue_ns: int) -> None:
        start = venue_ns - venue_ns % self.length_ns
        if start > self.start_ns:
            self.start_ns, self.count, self.own = start, 0, 0

    def add(self, n: int) -> None:
        self.count += n
        self.own += n

    def told(self, count: int) -> None:
        self.count = max(self.own, count)


class Limits:
    """Rate limits of one address and account. Times are the venue's (`venue_ns`), except `blocked_until_ns`, ours.

    weight_1m: request weight a minute to keep to until the venue has told its limits. is_banned: the block is a ban
    (418). allowance_at: address of the ALLOWANCE record; `allow` writes it, what was taken of it is counted from there.
    """

    def __init__(self, weight_1m: int = 0) -> None:
        self._windows: dict[tuple[str, int], _Window] = {}
        if weight_1m:
            self._window(WEIGHT, 60).limit = weight_1m
        self._record = np.zeros(1, ALLOWANCE)
        self._words = memoryview(self._record.data).cast("B").cast("q")
        self.allowance_at = address_of(self._record)
        self.is_banned = False

    def _window(self, kind: str, length_s: int) -> _Window:
        return self._windows.setdefault((kind, length_s), _Window(length_s * _S))

    @property
    def blocked_until_ns(self) -> int:
        """Until when nothing may leave."""
        return self._words[_BLOCKED]

    def allow(self, venue_ns: int) -> None:
        """Work out how many new orders may leave before a window is full or begins anew."""
        self._settle()
        n_room, until_ns = 1 << 30, venue_ns + _S
        for (name, _), window in self._windows.items():
            if window.limit and name in (ORDERS, WEIGHT):
                window.roll(venue_ns)
                n_room = min(n_room, window.limit - window.count)
                until_ns = min(until_ns, window.start_ns + window.length_ns)
        self._words[_ROOM], self._words[_UNTIL] = max(n_room, 0), until_ns

    def is_spent(self, venue_ns: int) -> bool:
        """Whether the allowance is used up, or over, so that `allow` may find more."""
        words = self._words
        return venue_ns >= words[_UNTIL] or words[_TAKEN] + words[_CANCELED] >= words[_ROOM]

    def _settle(self) -> None:
        """Enter what was taken into the windows, before they are read or changed; nothing is allowed until `allow`."""
        words = self._words
        n, n_canceled = words[_TAKEN], words[_CANCELED]
        words[_ROOM] = words[_TAKEN] = words[_CANCELED] = 0
        if n or n_canceled:
            for (name, _), window in self._windows.items():
                # Taken before the window's end, so in the window that stands; a late cancel errs on the safe side.
                if name == ORDERS:
                    window.add(n)
                elif name == WEIGHT:
                    window.add(n + n_canceled)

    def learn(self, limits: Iterable[RateLimit], venue_ns: int) -> None:
        """Take `rateLimits` of exchangeInfo or of an answer."""
        self._settle()
        for x in limits:
            if x.interval in _INTERVAL_S and x.rateLimitType in (ORDERS, WEIGHT) and x.intervalNum > 0:
                window = self._window(x.rateLimitType, _INTERVAL_S[x.interval] * x.intervalNum)
                window.roll(venue_ns)
                window.limit = x.limit
                if x.count is not None:
                    window.told(x.count)
        # Now, when an answer has come, rather than when the next order is to leave.
        self.allow(venue_ns)

    def read(self, headers: Mapping[str, str], venue_ns: int) -> None:
        """Take the counts that HTTP headers tell (lower-case names)."""
        self._settle()
        for prefix, kind in (("x-mbx-used-weight-", WEIGHT), ("x-mbx-order-count-", ORDERS)):
            for name, value in headers.items():
                span = name.removeprefix(prefix)
                if span != name and span[-1:] in _LETTER_S and span[:-1].isdigit() and value.isdigit():
                    window = self._window(kind, int(span[:-1]) * _LETTER_S[span[-1]])
                    window.roll(venue_ns)
                    window.told(int(value))

    def used(self, kind: str, n: int, venue_ns: int) -> None:
        """Count what is being sent, until an answer says better."""
        self._settle()
        for (name, _), window in self._windows.items():
            if name == kind:
                window.roll(venue_ns)
                window.add(n)

    def has_room(self, kind: str, n: int, venue_ns: int) -> bool:
        """Whether `n` more fit in every window of the kind."""
        self._settle()
        for (name, _), window in self._windows.items():
            if name == kind and window.limit:
                window.roll(venue_ns)
                if window.count + n > window.limit:
                    return False
        return True

    def free_ns(self, kind: str, n: int, venue_ns: int) -> int:
        """How long until `n` more fit, 0 for at once."""
        self._settle()
        wait = 0
        for (name, _), window in self._windows.items():
            if name == kind and window.limit:
                window.roll(venue_ns)
                if window.count + n > window.limit:
                    wait = max(wait, window.start_ns + window.length_ns - venue_ns)
        return wait

    def block(self, now_ns: int, for_ns: int, is_ban: bool) -> None:
        """The venue asked to wait (429) or has banned the address (418)."""
        self._words[_BLOCKED] = max(self._words[_BLOCKED], now_ns + for_ns)
        self.is_banned = is_ban

    def is_blocked(self, now_ns: int) -> bool:
        """Whether nothing may leave now."""
        return now_ns < self.blocked_until_ns
