"""The venue's rate limits as it counts them: request weight, new orders, bans. Values only; called by `connection`.

Counts begin anew with each interval of the venue's clock. Every answer says how far they stand (headers X-MBX-USED-
WEIGHT-* and X-MBX-ORDER-COUNT-*, `rateLimits` of the WebSocket API); between answers our own requests are added. Status
429 asks to wait, 418 is a ban for not having waited: until then nothing leaves. Pages "LIMITS" and "Rate limits" of
developers.binance.com, November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tercel.venues.binance.messages import RateLimit

__all__ = ["Limits"]

_S = 1_000_000_000
_INTERVAL_S = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86_400}
_LETTER_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ORDERS, WEIGHT = "ORDERS", "REQUEST_WEIGHT"


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
    (418).
    """

    def __init__(self, weight_1m: int = 0) -> None:
        self._windows: dict[tuple[str, int], _Window] = {}
        if weight_1m:
            self._window(WEIGHT, 60).limit = weight_1m
        self.blocked_until_ns = 0
        self.is_banned = False
        # New orders that may leave before any window is looked at again, and those of them that have.
        self._n_room = self._n_taken = 0
        self._room_until_ns = 0

    def _window(self, kind: str, length_s: int) -> _Window:
        return self._windows.setdefault((kind, length_s), _Window(length_s * _S))

    def take_order(self, venue_ns: int) -> bool:
        """Count one new order of weight 1 if it fits in every window; nearly always two comparisons."""
        if self._n_taken < self._n_room and venue_ns < self._room_until_ns:
            self._n_taken += 1
            return True
        self._settle()
        self._budget(venue_ns)
        if self._n_room < 1:
            return False
        self._n_taken = 1
        return True

    def _budget(self, venue_ns: int) -> None:
        """How many new orders may leave before a window is full or begins anew."""
        n_room, until_ns = 1 << 30, venue_ns + _S
        for (name, _), window in self._windows.items():
            if window.limit and name in (ORDERS, WEIGHT):
                window.roll(venue_ns)
                n_room = min(n_room, window.limit - window.count)
                until_ns = min(until_ns, window.start_ns + window.length_ns)
        self._n_room, self._room_until_ns = n_room, until_ns

    def _settle(self) -> None:
        """Enter what `take_order` counted into the windows, before they are read or changed."""
        n, self._n_taken, self._n_room = self._n_taken, 0, 0
        if n:
            for (name, _), window in self._windows.items():
                # Taken before the window's end, so in the window that stands.
                if name in (ORDERS, WEIGHT):
                    window.add(n)

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
        self._budget(venue_ns)

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
        self.blocked_until_ns = max(self.blocked_until_ns, now_ns + for_ns)
        self.is_banned = is_ban

    def is_blocked(self, now_ns: int) -> bool:
        """Whether nothing may leave now."""
        return now_ns < self.blocked_until_ns
