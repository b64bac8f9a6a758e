"""Whether the machine was ours while something was timed: a yardstick before and after, and the processor time between.

A core may be shared without any trace in the process: the other hardware thread of a virtual machine's core belongs to
somebody else, and while it works ours gets half of the core's width (a loop of quotes went from 35 to 65 ns a row, and
so did every build of it). Neither load nor stolen time tell of that; a fixed piece of wide work does. Called by
`timing` and `latency`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from tercel.clock import cpu_ns, monotonic_ns
from tercel.jit import COMPILED, entry

__all__ = ["Judged", "Watch", "chosen", "wants_more"]

T = TypeVar("T")

#: Rounds of the yardstick: about a twentieth of a millisecond compiled.
_ROUNDS = 60_000 if COMPILED else 200
#: By what share the yardstick may fall short of its best, and what share of the time may have gone to others.
_SLOWER, _LOST = 0.15, 0.02
#: How long runs are repeated, at least, for the sake of quiet ones.
_PATIENCE_NS = 1_000_000_000
#: What the clocks themselves and a tick of the system may take.
_SLACK_NS = 50_000


@entry
def _wide_work(n: int) -> int:
    """`n` rounds of five short chains of integer operations: they fill a core's width, and need no memory."""
    a, b, c, d, e = 1, 2, 3, 4, 5
    for i in range(n):
        a = (a * 3) ^ i
        b = (b + a) ^ 5
        c = (c + i) ^ 7
        d = (d ^ i) + 3
        e = (e + d) ^ i
        a, b, c, d, e = a & 0xFFFFFFFF, b & 0xFFFFFFFF, c & 0xFFFFFFFF, d & 0xFFFFFFFF, e & 0xFFFFFFFF
    return a + b + c + d + e


class Judged(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    """A run and the machine meanwhile. lost: the share of its time in which it did not run. slower: by what share the
    yardstick fell short of its best before it or after it."""

    result: T
    wall_ns: int
    lost: float
    slower: float

    @property
    def is_quiet(self) -> bool:
        """Whether the core was ours from beginning to end, as far as can be told."""
        return self.lost <= _LOST and self.slower <= _SLOWER


class Watch:
    """Knows the best this process has seen of the yardstick, and judges by it."""

    def __init__(self) -> None:
        self._least_ns = (1 << 63) - 1
        for _ in range(20):
            self._reading_ns()

    def _reading_ns(self) -> int:
        """The yardstick now, the better of two: an interrupt within one of them is no neighbour."""
        found_ns = (1 << 63) - 1
        for _ in range(2):
            start_ns = monotonic_ns()
            _wide_work(_ROUNDS)
            found_ns = min(found_ns, monotonic_ns() - start_ns)
        self._least_ns = min(self._least_ns, found_ns)
        return found_ns

    def judged(self, run: Callable[[], T]) -> Judged[T]:
        """Run it, and say how far the core was shared meanwhile."""
        before_ns = self._reading_ns()
        start_ns, start_cpu_ns = monotonic_ns(), cpu_ns()
        result = run()
        used_ns, wall_ns = cpu_ns() - start_cpu_ns, monotonic_ns() - start_ns
        slowest_ns = max(before_ns, self._reading_ns())
        lost = max(0, wall_ns - used_ns - _SLACK_NS) / max(wall_ns, 1)
        return Judged(result=result, wall_ns=wall_ns, lost=lost, slower=slowest_ns / max(self._least_ns, 1) - 1.0)

    def quiet(self, run: Callable[[], T], n: int) -> tuple[list[T], int]:
        """Results of `n` quiet runs, as `chosen` has them, and how many were set aside."""
        runs: list[Judged[T]] = []
        while wants_more(runs, n):
            runs.append(self.judged(run))
        return chosen(runs, n)


def wants_more(runs: Sequence[Judged[T]], n: int) -> bool:
    """Whether fewer than `n` of the runs were quiet and there is time left: 3 * n runs, or a second of them."""
    if sum(run.is_quiet for run in runs) >= n:
        return False
    return len(runs) < 3 * n or sum(run.wall_ns for run in runs) < _PATIENCE_NS


def chosen(runs: Sequence[Judged[T]], n: int) -> tuple[list[T], int]:
    """Results of the `n` least disturbed runs, in the order in which they ran, and how many were set aside.

    The choice looks at the machine alone, never at the results.
    """
    order = sorted(range(len(runs)), key=lambda i: 0.0 if runs[i].is_quiet else runs[i].lost + runs[i].slower)
    return [runs[i].result for i in sorted(order[:n])], max(0, len(runs) - n)
