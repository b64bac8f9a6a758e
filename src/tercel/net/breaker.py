"""The circuit breaker: after failures in a row it lets nothing through for a while, then a few to try. Pure.

Each admitted call gets a ticket and reports its end with it, so that the late end of a call from before a change of
state cannot decide anything. Called by `net.enhanced`.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from tercel.errors import ConfigError

__all__ = ["BreakerPolicy", "CircuitBreaker", "CircuitState"]


class BreakerPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """n_failures: in a row, that open it. open_s: until it lets calls try. n_trial_max: calls at once while it tries.
    n_successes: of those, that close it; one failure opens it again.
    """

    n_failures: int = 5
    open_s: float = 60.0
    n_trial_max: int = 3
    n_successes: int = 2

    def __post_init__(self) -> None:
        if min(self.n_failures, self.n_trial_max, self.n_successes) < 1 or self.open_s <= 0:
            raise ConfigError("circuit breaker: all counts are at least 1 and open_s is above 0")


class CircuitState(IntEnum):
    """Closed lets all through, open none, half-open a few."""

    CLOSED = 0
    OPEN = 1
    HALF_OPEN = 2


class CircuitBreaker:
    """One peer's breaker. state: as of the last call."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self.policy = policy or BreakerPolicy()
        self.state = CircuitState.CLOSED
        self._era = 1  # counts changes of state; a ticket is the era it was given in
        self._n_failures = 0
        self._n_successes = 0
        self._n_trials = 0
        self._opened_ns = 0

    def _enter(self, state: CircuitState) -> None:
        self.state = state
        self._era += 1
        self._n_failures = self._n_successes = self._n_trials = 0

    def wait_ns(self, now_ns: int) -> int:
        """How long an open circuit stays open yet; 0 in the other states."""
        if self.state is not CircuitState.OPEN:
            return 0
        return max(self._opened_ns + int(self.policy.open_s * 1e9) - now_ns, 0)

    def admit(self, now_ns: int) -> int:
        """A ticket for one call, or 0: do not call. Each ticket must come back by `on_success`, `on_failure` or
        `on_abandoned`.
        """
        if self.state is CircuitState.OPEN:
            if self.wait_ns(now_ns) > 0:
                return 0
            self._enter(CircuitState.HALF_OPEN)
        if self.state is CircuitState.HALF_OPEN:
            if self._n_trials >= self.policy.n_trial_max:
                return 0
            self._n_trials += 1
        return self._era

    def on_success(self, ticket: int) -> None:
        """The call was answered."""
        if ticket != self._era:
            return
        if self.state is CircuitState.CLOSED:
            self._n_failures = 0
            return
        self._n_trials -= 1
        self._n_successes += 1
        if self._n_successes >= self.policy.n_successes:
            self._enter(CircuitState.CLOSED)

    def on_failure(self, ticket: int, now_ns: int) -> None:
        """The call failed in a way that speaks against the peer: no connection, no answer, a 5xx."""
        if ticket != self._era:
            return
        self._n_failures += 1
        if self.state is CircuitState.HALF_OPEN or self._n_failures >= self.policy.n_failures:
            self._enter(CircuitState.OPEN)
            self._opened_ns = now_ns

    def on_abandoned(self, ticket: int) -> None:
        """The call was cancelled by us; it says nothing of the peer."""
        if ticket == self._era and self.state is CircuitState.HALF_OPEN:
            self._n_trials -= 1
