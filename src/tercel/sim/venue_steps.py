"""The simulated venue stepped by itself, without an engine beside it: what paper trading runs.

`sim.driver` couples one venue and one engine and lets both run ahead. Here somebody else feeds the engine; the venue is
told how far time has come, takes requests when they are sent, and leaves its answers in its ring with the time each
arrives. The rules of trading are those of `sim.exchange` and `sim.requests`, the same kernels. Called by `live.paper`.
"""

from __future__ import annotations

from tercel.jit import entry, record, records
from tercel.model.commands import COMMAND, NEW
from tercel.sim.driver import parent_of, post, run_venue
from tercel.sim.layout import VENUE

__all__ = ["venue_advance", "venue_send"]

INT64_MAX = (1 << 63) - 1


@entry
def venue_advance(venue: int, rows: int, n: int, until_ns: int) -> int:
    """Run the venue through rows[0:n], requests that are due and orders that expire, up to venue time `until_ns`.

    rows: address of (n,) EVENT with the flag EXCH, in order of ts_exch, none later than `until_ns`. Requests due at the
    time of a row come after it, as in a backtest. Returns when the venue would next do something by itself, INT64_MAX
    when nothing is due, -1 after an error, which stands in the head.
    """
    head = record(venue, VENUE)
    head.i_exch = 0
    head.end_ns = INT64_MAX
    while True:
        next_ns = run_venue(venue, rows, n, until_ns, 1)
        if head.error != 0:
            return -1
        if next_ns > until_ns:
            return next_ns


@entry
def venue_send(venue: int, commands: int, n: int, now_ns: int) -> int:
    """Put (n,) COMMAND rows on the way to the venue at `now_ns`, each by its leg's latency and none overtaking.

    Returns how many found room in the ring; fewer than `n` leave ERROR_RING_FULL in the head.
    """
    given = records(commands, n, COMMAND)
    for c in range(n):
        if post(venue, given[c], parent_of(given, n, c) if given[c].kind == NEW else 0, now_ns) < 0:
            return c
    return n
