"""Execution algorithms written from their description, without a look at the kernels: exact fractions, plain objects.

A `NaiveParent` is told what happens in order of time and says what it does: ("send", lots, px, tif) or ("end", reason).
It covers immediate and resting schedules, participation and icebergs with a limit, no refusals.
"""

from __future__ import annotations

from fractions import Fraction

S = 1_000_000_000


def nearest(value: Fraction) -> int:
    """To the nearest whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


class NaiveParent:
    """kind: "twap", "vwap", "pov", "iceberg". All times ns, all sizes lots."""

    def __init__(self, kind, side, qty, limit, start, duration, *, slices=1, weights=(), rate=Fraction(0), every=0,
                 show=0, lot_min=1, post=False):  # fmt: skip
        self.kind, self.side, self.qty, self.limit = kind, side, qty, limit
        self.start, self.end = start, start + duration if duration else None
        self.slices, self.weights, self.rate, self.every = slices, weights, rate, every
        self.show, self.lot_min, self.post = show, lot_min, post
        self.filled = self.observed = 0
        self.open = 0
        self.begun = 0
        self.sent_at = None
        self.is_last = False
        self.paused = self.canceled = self.done = False

    # what there is to do -------------------------------------------------------------------------------------------

    def begins(self, k):
        """When slice k (from 0) begins."""
        return self.start + nearest(Fraction(self.end - self.start) * k / self.slices)

    def n_begun(self, now):
        return sum(1 for k in range(self.slices) if self.begins(k) <= now)

    def target(self, n):
        if self.kind == "pov":
            return min(self.qty, int(self.observed * self.rate))
        if n >= self.slices:
            return self.qty
        if self.kind == "twap":
            return nearest(Fraction(self.qty) * n / self.slices)
        at = Fraction(n * len(self.weights), self.slices)
        whole = int(at)
        share = sum(self.weights[:whole]) + (self.weights[whole] * (at - whole) if whole < len(self.weights) else 0)
        return int(self.qty * Fraction(share) / sum(self.weights))

    def wakes(self, now):
        """The earliest time after `now` at which it may act by itself, None for none."""
        times = []
        if self.kind in ("twap", "vwap"):
            times = [self.begins(k) for k in range(self.slices)]
        if self.kind == "pov" and self.sent_at is not None:
            times = [self.sent_at + self.every]
        if self.end is not None:
            times.append(self.end)
        later = [t for t in times if t > now]
        return min(later) if later else None

    # what happens --------------------------------------------------------------------------------------------------

    def fill(self, lots):
        self.filled += lots
        self.open -= lots

    def child_gone(self):
        self.open = 0

    def act(self, now, best_same):
        """What it does at `now`, when it has been told all of that time. None, or what the module says."""
        if self.done or self.open:
            return None
        left = self.qty - self.filled
        over = self.end is not None and now >= self.end
        if left <= 0:
            return self._end("schedule_done")
        if self.canceled:
            return self._end("by_request")
        if left < self.lot_min:
            return self._end("schedule_over")
        if over and (self.is_last or self.paused or self.kind in ("pov", "iceberg")):
            return self._end("schedule_over")
        if self.paused:
            return None
        if over:
            self.is_last = True
            return self._send(now, left, left, self.limit, "IOC")
        if self.kind == "iceberg":
            return self._send(now, min(self.show, left), left, self.limit, "GTC")
        if self.kind == "pov":
            if self.sent_at is not None and now < self.sent_at + self.every:
                return None
            want = self.target(0) - self.filled
        else:
            n = self.n_begun(now)
            if n <= self.begun:
                return None
            self.begun = n
            want = self.target(n) - self.filled
        if not self.post:
            return self._send(now, want, left, self.limit, "IOC")
        px = min(self.limit, best_same) if self.side > 0 else max(self.limit, best_same)
        return self._send(now, want, left, px, "GTX")

    def _end(self, reason):
        self.done = True
        return ("end", reason)

    def _send(self, now, want, left, px, tif):
        lots = min(want, left)
        if lots < self.lot_min:
            return self._end("schedule_over") if self.is_last else None
        if 0 < left - lots < self.lot_min:
            lots = left
        self.open, self.sent_at = lots, now
        return ("send", lots, px, tif)
