"""Which timed runs count: those during which nobody else had the core."""

from __future__ import annotations

import pytest

import tercel.bench.quiet as quiet
from tercel.bench.quiet import Judged, Watch, chosen
from tercel.bench.timing import Timing, race

MS_NS = 1_000_000


class Machine:
    """Clocks that only move when something runs, and a core that is shared during some of the runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wall_ns = self.cpu_ns = 0
        self.is_shared = False
        monkeypatch.setattr(quiet, "monotonic_ns", lambda: self.wall_ns)
        monkeypatch.setattr(quiet, "cpu_ns", lambda: self.cpu_ns)
        monkeypatch.setattr(quiet, "_wide_work", lambda _n: self.run(50_000))

    def run(self, ns: int, waited_ns: int = 0) -> None:
        used_ns = ns * 2 if self.is_shared else ns
        self.cpu_ns += used_ns
        self.wall_ns += used_ns + waited_ns


def test_a_run_on_a_core_of_ones_own_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    watch = Watch()
    assert watch.judged(lambda: machine.run(10 * MS_NS)).is_quiet


def test_a_run_while_the_yardstick_is_slow_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    watch = Watch()

    def shared_from_here_on() -> str:
        machine.is_shared = True
        machine.run(10 * MS_NS)
        return "ran"

    found = watch.judged(shared_from_here_on)
    assert (found.result, found.is_quiet, found.slower) == ("ran", False, 1.0)
    assert watch.judged(lambda: machine.run(10 * MS_NS)).is_quiet is False
    machine.is_shared = False
    assert watch.judged(lambda: machine.run(10 * MS_NS)).is_quiet is True


def test_a_run_that_waited_for_its_turn_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    watch = Watch()
    assert watch.judged(lambda: machine.run(10 * MS_NS, waited_ns=4 * MS_NS)).is_quiet is False
    assert watch.judged(lambda: machine.run(100 * MS_NS, waited_ns=2 * MS_NS)).is_quiet is True


def test_disturbed_runs_are_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    watch = Watch()
    runs: list[int] = []

    def every_second_is_shared() -> int:
        runs.append(len(runs))
        machine.is_shared = len(runs) % 2 == 1
        machine.run(MS_NS)
        machine.is_shared = False
        machine.run(0, waited_ns=MS_NS if len(runs) % 2 == 1 else 0)
        return runs[-1]

    assert watch.quiet(every_second_is_shared, 3) == ([1, 3, 5], 3)
    runs.clear()


def test_a_loud_machine_is_tried_three_times_as_often_and_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    waits_ms = iter([9, 3, 8, 1, 7, 6] + [9] * 1000)
    found, n_aside = Watch().quiet(
        lambda: machine.run(500 * MS_NS, waited_ns=(ms := next(waits_ms)) * 100 * MS_NS) or ms, 2
    )
    assert (found, n_aside) == ([3, 1], 4)
    found, n_aside = Watch().quiet(lambda: machine.run(9 * MS_NS, waited_ns=MS_NS), 2)
    assert (len(found), n_aside) == (2, 98)


def test_the_least_disturbed_runs_count_whatever_they_took() -> None:
    def run(result: int, lost: float, slower: float = 0.0) -> Judged[int]:
        return Judged(result=result, wall_ns=1, lost=lost, slower=slower)

    runs = [run(1, 0.5), run(2, 0.0), run(3, 0.1), run(4, 0.0, 0.4), run(5, 0.01, 0.1)]
    assert chosen(runs, 2) == ([2, 5], 3)
    assert chosen(runs, 4) == ([2, 3, 4, 5], 1)
    assert chosen(runs[:2], 3) == ([1, 2], 0)


class Counted:
    """A contestant that says how long it took, and whose first runs are disturbed."""

    name, n_events = "counted", 10

    def __init__(self, machine: Machine, n_disturbed: int) -> None:
        self.machine, self.n_disturbed, self.n_runs = machine, n_disturbed, 0

    def once(self) -> float:
        self.n_runs += 1
        is_disturbed = self.n_runs <= self.n_disturbed
        self.machine.run(MS_NS, waited_ns=MS_NS if is_disturbed else 0)
        return 2.0 if is_disturbed else 1.0

    def outcome(self) -> None:
        raise AssertionError("not asked for")


def test_a_race_repeats_what_was_disturbed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch)
    steady, shaken = Counted(machine, 0), Counted(machine, 4)
    timings = race([steady, shaken], n=5, n_warm=1)  # type: ignore[list-item]
    assert [timing.seconds for timing in timings] == [[1.0] * 5, [1.0] * 5]
    assert [timing.n_disturbed for timing in timings] == [0, 3]
    assert [timing.aside for timing in timings] == ["", "; 3 of 8 runs set aside: the core was shared"]
    assert (steady.n_runs, shaken.n_runs) == (6, 9)
    assert isinstance(timings[0], Timing)


def test_the_yardstick_itself_takes_time() -> None:
    watch = Watch()
    assert 0 < watch._least_ns <= watch._reading_ns()
