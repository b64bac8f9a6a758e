"""The circuit breaker, stepped by hand."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tercel.errors import ConfigError
from tercel.net.breaker import BreakerPolicy, CircuitBreaker, CircuitState

S = 1_000_000_000


def opened(at_ns=0):
    breaker = CircuitBreaker()
    for _ in range(5):
        breaker.on_failure(breaker.admit(at_ns), at_ns)
    assert breaker.state is CircuitState.OPEN
    return breaker


def test_five_failures_in_a_row_open_it():
    breaker = CircuitBreaker()
    for _ in range(4):
        breaker.on_failure(breaker.admit(0), 0)
    breaker.on_success(breaker.admit(0))
    for _ in range(4):
        breaker.on_failure(breaker.admit(0), 0)
    assert breaker.state is CircuitState.CLOSED
    breaker.on_failure(breaker.admit(0), 0)
    assert breaker.state is CircuitState.OPEN
    assert breaker.admit(60 * S - 1) == 0
    assert breaker.wait_ns(20 * S) == 40 * S


def test_three_try_at_once_and_two_successes_close_it():
    breaker = opened()
    tickets = [breaker.admit(60 * S) for _ in range(4)]
    assert all(tickets[:3])
    assert tickets[3] == 0
    breaker.on_success(tickets[0])
    assert breaker.state is CircuitState.HALF_OPEN
    assert breaker.admit(60 * S)  # one place is free again
    breaker.on_success(tickets[1])
    assert breaker.state is CircuitState.CLOSED


def test_one_failure_while_trying_opens_it_for_the_whole_time():
    breaker = opened()
    first, second = breaker.admit(60 * S), breaker.admit(60 * S)
    breaker.on_success(first)
    breaker.on_failure(second, 61 * S)
    assert breaker.state is CircuitState.OPEN
    assert breaker.admit(121 * S - 1) == 0
    assert breaker.admit(121 * S)


def test_late_ends_from_before_decide_nothing():
    breaker = CircuitBreaker()
    late = breaker.admit(0)
    for _ in range(5):
        breaker.on_failure(breaker.admit(0), 0)
    trial = breaker.admit(60 * S)
    breaker.on_failure(late, 60 * S)
    breaker.on_success(late)
    assert breaker.state is CircuitState.HALF_OPEN
    breaker.on_success(trial)
    breaker.on_success(breaker.admit(60 * S))
    assert breaker.state is CircuitState.CLOSED


def test_an_abandoned_trial_gives_its_place_back():
    breaker = opened()
    tickets = [breaker.admit(60 * S) for _ in range(3)]
    assert breaker.admit(60 * S) == 0
    breaker.on_abandoned(tickets[1])
    assert breaker.admit(60 * S)
    assert breaker.admit(60 * S) == 0


def test_policies_are_checked():
    with pytest.raises(ConfigError):
        BreakerPolicy(n_failures=0)
    with pytest.raises(ConfigError):
        BreakerPolicy(open_s=0)


class Machine(RuleBasedStateMachine):
    """Whatever happens, trials are bounded, and an open circuit ends when its time is over."""

    def __init__(self):
        super().__init__()
        self.breaker, self.now_ns = CircuitBreaker(), 0
        self.trials, self.others = [], []

    @rule(step_s=st.integers(0, 70))
    def admit(self, step_s):
        self.now_ns += step_s * S
        before = self.breaker.state
        if before is CircuitState.OPEN and self.breaker.wait_ns(self.now_ns) == 0:
            self.others += self.trials
            self.trials = []
        ticket = self.breaker.admit(self.now_ns)
        if self.breaker.state is CircuitState.HALF_OPEN and ticket:
            self.trials.append(ticket)
        elif ticket:
            self.others.append(ticket)

    @rule(which=st.integers(0, 100), how=st.sampled_from(["success", "failure", "abandoned"]))
    def end(self, which, how):
        pool = self.trials + self.others
        if not pool:
            return
        ticket = pool[which % len(pool)]
        (self.trials if ticket in self.trials else self.others).remove(ticket)
        if how == "success":
            self.breaker.on_success(ticket)
        elif how == "failure":
            self.breaker.on_failure(ticket, self.now_ns)
        else:
            self.breaker.on_abandoned(ticket)
        if self.breaker.state is not CircuitState.HALF_OPEN:
            self.others += self.trials
            self.trials = []

    @invariant()
    def trials_are_bounded(self):
        assert len(self.trials) <= 3
        if self.breaker.state is CircuitState.OPEN:
            assert 0 <= self.breaker.wait_ns(self.now_ns) <= 60 * S


TestMachine = Machine.TestCase
