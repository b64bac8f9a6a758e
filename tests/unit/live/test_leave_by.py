"""Orders with a time to leave by: what is too late at the wire is answered here and reaches no venue."""

from __future__ import annotations

import numpy as np
import pytest

import tercel as tc
from reference.driver_bench import MS, Bench, ListJournal
from reference.plain_connection import top_of_book
from tercel.model.commands import LEAVE_BY, NEW
from tercel.model.events import REFUSED, REJECT
from tercel.model.reasons import DEADLINE
from tercel.model.signals import Signal


class Follower(tc.Strategy):
    """Buys a lot at a signal's value; remembers what became of it."""

    heard: int = 0
    n_refused: int = 0
    n_rejected: int = 0
    reason: int = 0

    def on_signal(self, ctx, signal):
        self.heard += 1
        ctx.buy(signal.instrument, 1.0, limit=signal.value)

    def on_order(self, ctx, order):
        if order.kind == REFUSED:
            self.n_refused += 1
            self.reason = order.reason
        elif order.kind == REJECT:
            self.n_rejected += 1
            self.reason = order.reason


class Resting(tc.Strategy):
    """An order with a time to leave by and one without, in one call."""

    def on_signal(self, ctx, signal):
        late = ctx.buy(0, 1.0, limit=10.0)
        ctx.leave_by(late, ctx.now + 2_000_000)
        ctx.buy(0, 2.0, limit=9.0)


class SlowDisk(ListJournal):
    """A journal whose disk takes its time for each command: the clock goes on meanwhile."""

    def __init__(self, stall_ns: int) -> None:
        super().__init__()
        self.stall_ns, self.now_ns = stall_ns, 0

    def append_commands(self, commands: np.ndarray) -> None:
        super().append_commands(commands)
        self.now_ns += self.stall_ns


def stalled(bench: Bench, stall_ms: int) -> None:
    """From now on the time between the engine and the wire is `stall_ms`, spent in the journal."""
    disk = SlowDisk(stall_ms * MS)
    disk.rows, disk.commands = bench.journal.rows, bench.journal.commands
    bench.journal = disk
    bench.core.flow._journal = disk
    bench.core.flow.now = lambda: bench.now_ns + disk.now_ns


def signal_of(bench: Bench, made_ms_ago: int, deadline_ns: int = 0) -> np.ndarray:
    signal = Signal(
        instrument=0, value=10.0, confidence=1.0, ts_ns=bench.now_ns - made_ms_ago * MS, deadline_ns=deadline_ns
    )
    return np.array([signal.row()])


def begun(strategy: tc.Strategy) -> Bench:
    bench = Bench(strategy)
    bench.begin()
    bench.say(top_of_book(9, 11))
    bench.venues[0].take_sent()
    return bench


@pytest.mark.parametrize(("made_ms_ago", "is_late"), [(0, False), (24, False), (25, False), (26, True), (500, True)])
def test_a_signal_that_comes_late_to_the_engine_is_refused_there(made_ms_ago, is_late):
    bench = begun(Follower())
    bench.core.inject(signal_of(bench, made_ms_ago), bench.now_ns)
    sent = bench.venues[0].take_sent()
    state = bench.engine.state(0)
    assert (len(sent), state["n_refused"], state["n_rejected"]) == ((0, 1, 0) if is_late else (1, 0, 0))
    assert state["reason"] == (DEADLINE if is_late else 0)
    assert len(bench.journal.all_commands()) == len(sent)
    bench.check_replay()


@pytest.mark.parametrize(
    ("made_ms_ago", "stall_ms", "is_late"), [(10, 15, False), (10, 16, True), (0, 25, False), (0, 26, True)]
)
def test_an_order_that_stalls_between_engine_and_wire_does_not_leave(made_ms_ago, stall_ms, is_late):
    """25 ms are counted from the making of the signal to the wire, wherever the time was lost."""
    bench = begun(Follower())
    stalled(bench, stall_ms)
    bench.core.inject(signal_of(bench, made_ms_ago), bench.now_ns)
    sent = bench.venues[0].take_sent()
    state = bench.engine.state(0)
    assert (len(sent), state["n_refused"], state["n_rejected"]) == ((0, 0, 1) if is_late else (1, 0, 0))
    assert state["reason"] == (DEADLINE if is_late else 0)
    assert bench.core.flow.n_too_late == is_late
    # The engine commanded it either way: it is in the journal, as is the answer, and both replay.
    assert [int(c["kind"]) for c in bench.journal.all_commands()] == [NEW]
    assert bool(bench.journal.all_commands()[0]["flags"] & LEAVE_BY)
    assert int(bench.engine.head["n_open"]) == (0 if is_late else 1)
    assert int(bench.engine.view("positions")[0]["open_buy"]) == (0 if is_late else 1)
    bench.check_replay()


def test_a_signal_without_a_deadline_waits_for_the_disk():
    bench = begun(Follower())
    stalled(bench, 5_000)
    bench.core.inject(signal_of(bench, 900, deadline_ns=-1), bench.now_ns)
    assert len(bench.venues[0].take_sent()) == 1
    assert bench.core.flow.n_too_late == 0


def test_only_the_late_one_of_a_batch_is_held_back():
    bench = begun(Resting())
    stalled(bench, 3)
    bench.core.inject(signal_of(bench, 0, deadline_ns=-1), bench.now_ns)
    assert [sent["qty"] for sent in bench.venues[0].take_sent()] == [2]
    assert len(bench.journal.all_commands()) == 2
    assert int(bench.engine.head["n_open"]) == 1
    bench.check_replay()


def test_without_a_clock_of_its_own_the_time_of_the_input_counts():
    bench = begun(Resting())
    bench.core.inject(signal_of(bench, 0, deadline_ns=-1), bench.now_ns)
    assert [sent["qty"] for sent in bench.venues[0].take_sent()] == [1, 2]
