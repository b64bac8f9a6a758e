"""Paper trading: market data of a real connection, our orders at the simulated venue, in one `VenueConnection`.

`PaperConnection` wraps a source, hands every channel through to it, and gives the engine its market rows. The same rows
feed a simulated venue (`sim`), which answers our commands by the rules of a backtest: queue position, latency, fees.
Nothing here opens a socket, and no order of ours reaches the source. Made by `live` where a session is on paper.

The simulated venue lives `lag` behind our clock: the fastest answer latency, at least one nanosecond. What it answers
at t arrives no earlier than t + lag, so at any time it need only have run to `lag` ago, and by then the market rows of
that time have come in. A row is processed at its venue time, or as near to it as is not over yet: rows whose journey
took less than `lag` take their exact place, and a tape gives the fills of a backtest. Where the venue's clock runs
ahead of ours, or far behind, rows count from their receipt, or `lag` before it; no clock has to be corrected.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from tercel.config import Capacity
from tercel.errors import CapacityError, ConfigError, StrategyRuntimeError
from tercel.jit import address_of
from tercel.live.paper_account import PaperAccount
from tercel.model.account import AccountReport
from tercel.model.commands import AMEND, CANCEL, CANCEL_ALL, COMMAND, LINK, NEW
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    CANCEL_REJECT,
    CONNECT,
    DISCONNECT,
    EVENT,
    EXCH,
    FUNDING,
    LAST,
    LEVEL,
    LOCAL,
    REFUSED,
    REJECT,
)
from tercel.model.reasons import VENUE_DOWN, VENUE_FULL
from tercel.model.rowbuffer import RowBuffer
from tercel.sim.layout import RING_MAX
from tercel.sim.venue import SimulatedVenue, VenueRules
from tercel.sim.venue_steps import venue_advance, venue_send
from tercel.venues.contract import NEVER, VenueConnection

__all__ = ["PaperConnection"]

#: Rows kept for an idle venue before it is moved on: nothing it could answer happens meanwhile.
_IDLE_ROWS = 512
_REFUSALS = {NEW: REJECT, AMEND: AMEND_REJECT, CANCEL: CANCEL_REJECT}
_I64 = np.dtype("i8")


class _Question(msgspec.Struct):
    """A report that was asked for. at_ns: when the question reaches the venue. tail: answers given before it."""

    instruments: tuple[int, ...]
    order_ids: tuple[int, ...]
    since_ns: int
    at_ns: int
    report: AccountReport | None = None
    tail: int = 0


class PaperConnection(VenueConnection):
    """A connection whose market is the source's and whose account is simulated.

    source: any connection; only its market rows are used. rules: of the simulated venue, as in a backtest. run: the
    engine's run number; execution ids of runs differ. positions: engine's instrument -> lots held at the start.

    `DISCONNECT` and `CONNECT` rows of the source's own orders are dropped: the simulated venue is never lost. While the
    source's market data is not in step, new orders are refused, for there is nothing they could trade against.
    """

    def __init__(
        self,
        source: VenueConnection,
        rules: VenueRules | None = None,
        *,
        capacity: Capacity | None = None,
        run: int = 1,
        positions: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__(source.name, source.instruments)
        self.source = source
        self.rules = rules or VenueRules()
        if self.rules.queue == "fifo":
            raise ConfigError("paper trading has no queue 'fifo': it needs every order of the market, not its levels")
        self._numbers = sorted(self.instruments)
        self._venue = SimulatedVenue([self.instruments[i] for i in self._numbers], self.rules, capacity or Capacity())
        self._local = np.zeros(max(self._numbers) + 1, np.int16)
        self._local[self._numbers] = np.arange(len(self._numbers))
        self._engines = np.array(self._numbers, np.int16)
        self._is_dense = self._numbers == list(range(len(self._numbers)))
        self._head: Any = self._venue.head
        self._responses = self._venue.part("responses", EVENT, RING_MAX)
        self._dues = self._venue.part("request_due", _I64, RING_MAX)
        self._lag_ns = max(int(self._head["answer_least_ns"]), 1)
        self._until_ns = -NEVER
        self._market = RowBuffer()
        self._questions: deque[_Question] = deque()
        self._account = PaperAccount()
        self._n_known = 0
        self.seed(run, positions or {})

    def seed(self, run: int, positions: Mapping[int, int]) -> None:
        """Begin as the account of an engine that was recovered. Before `open`. run, positions: as of the class."""
        self._head["n_executions"] = run << 32
        states = self._venue_states()
        for i, lots in positions.items():
            states[int(self._local[i])]["position"] = lots

    # --- the contract: handed to the source ----------------------------------------------------------------------

    def open(self, now_ns: int) -> None:
        """Open the source."""
        self._before(now_ns)
        self.source.open(now_ns)
        self._after(now_ns)

    def close(self, now_ns: int) -> None:
        """Close the source. What rests at the simulated venue stays there, as it would."""
        self._before(now_ns)
        self.source.close(now_ns)
        self._after(now_ns)

    def on_connected(self, channel: str, now_ns: int) -> None:
        """Tell the source."""
        self._before(now_ns)
        self.source.on_connected(channel, now_ns)
        self._after(now_ns)

    def on_disconnected(self, channel: str, now_ns: int, why: str) -> None:
        """Tell the source."""
        self._before(now_ns)
        self.source.on_disconnected(channel, now_ns, why)
        self._after(now_ns)

    def on_message(self, channel: str, data: bytes | bytearray | memoryview, now_ns: int) -> None:
        """Let the source decode, and take its rows. Raises what the source raises."""
        self._before(now_ns)
        try:
            self.source.on_message(channel, data, now_ns)
        finally:
            self._after(now_ns)

    def on_response(self, request_id: int, status: int, headers: Mapping[str, str], body: bytes, now_ns: int) -> None:
        """Tell the source."""
        self._before(now_ns)
        self.source.on_response(request_id, status, headers, body, now_ns)
        self._after(now_ns)

    def on_failure(self, request_id: int, why: str, was_sent: bool, now_ns: int) -> None:
        """Tell the source."""
        self._before(now_ns)
        self.source.on_failure(request_id, why, was_sent, now_ns)
        self._after(now_ns)

    def on_wake(self, now_ns: int) -> None:
        """Market rows that are due from the source, then answers that are due: the order of a backtest."""
        self._before(now_ns)
        if self.source.next_wake_ns <= now_ns:
            self.source.on_wake(now_ns)
            self._take_source(now_ns)
        self._deliver(now_ns, now_ns)
        self._settle()

    # --- the contract: orders ------------------------------------------------------------------------------------

    def send_commands(self, commands: np.ndarray, now_ns: int) -> None:
        """Put (n,) COMMAND rows on their way to the simulated venue."""
        wanted = np.ascontiguousarray(commands)
        is_new = wanted["kind"] == NEW
        if not self.is_live and is_new.any():
            for command in wanted[is_new]:
                self._refuse(command, VENUE_DOWN, now_ns)
            wanted = wanted[~is_new]
            is_new = is_new[~is_new]
        for command in wanted[is_new]:
            self._account.sent(command)
        if (wanted["kind"] == CANCEL_ALL).any():
            wanted = self._expand(wanted)
        if len(wanted) == 0:
            return
        placed = wanted
        if not self._is_dense:
            placed = wanted.copy()
            placed["instrument"] = self._local[wanted["instrument"]]
        # A driver fires a timer one nanosecond after its time, which a backtest does not.
        sent_ns = max(int(wanted["ts"][0]), now_ns - 1)
        n_sent = venue_send(self._venue.base, address_of(placed), len(placed), sent_ns)
        if n_sent < len(wanted):
            self._head["error"] = 0
            for command in wanted[n_sent:]:
                if command["kind"] == NEW:
                    self._account.forget(int(command["id"]))
                self._refuse(command, VENUE_FULL, now_ns)
        self._settle()

    def ask_report(self, instruments: Sequence[int], order_ids: Sequence[int], since_ns: int, now_ns: int) -> None:
        """Ask the simulated venue. The question travels behind every command sent before it."""
        at_ns = max(now_ns + int(self._head["entry_least_ns"]), int(self._head["request_last_due"]))
        self._questions.append(_Question(tuple(instruments), tuple(order_ids), since_ns, at_ns))
        self._settle()

    # --- how it works --------------------------------------------------------------------------------------------

    def _venue_states(self) -> Any:
        from tercel.sim.layout import VENUE_INSTRUMENT

        return self._venue.part("states", VENUE_INSTRUMENT, len(self._numbers))

    def _before(self, now_ns: int) -> None:
        """Bring the venue to `lag` ago, and deliver answers that were due before now."""
        self._advance(now_ns - self._lag_ns)
        self._deliver(now_ns - 1, now_ns)

    def _after(self, now_ns: int) -> None:
        self._take_source(now_ns)
        self._settle()

    def _take_source(self, now_ns: int) -> None:
        """Copy what the source decoded: for the engine as it is, for the venue at its own time."""
        source = self.source
        self.is_live = source.is_live
        if source.effects:
            self.effects.extend(source.effects)
            source.effects.clear()
        if source.notes:
            self.notes.extend(source.notes)
            source.notes.clear()
        source.reports.clear()
        n = source.rows.n
        if n == 0:
            return
        rows = source.rows.filled()
        market = rows
        if source.rows.has_other:
            kinds = rows["kind"]
            market = rows[(kinds >= LEVEL) & (kinds <= FUNDING)]
            # The source's own orders are none of this session's; signals and an operator's words are.
            rows = rows[((kinds < ACK) | (kinds > REFUSED)) & (kinds != CONNECT) & (kinds != DISCONNECT)]
            self.rows.has_other |= len(rows) > len(market)
            n = len(rows)
        self.rows.reserve(n)
        self.rows.rows[self.rows.n : self.rows.n + n] = rows
        self.rows.n += n
        self._queue_rows(market, now_ns)
        source.rows.clear()

    def _queue_rows(self, rows: np.ndarray, now_ns: int) -> None:
        """Queue market rows for the venue, in order of the time it processes them."""
        market = self._market
        first, n = market.n, len(rows)
        market.reserve(n)
        mine = market.rows[first : first + n]
        mine[:] = rows
        mine["flags"] = (rows["flags"] & LAST) | EXCH
        if not self._is_dense:
            mine["instrument"] = self._local[rows["instrument"]]
        np.clip(rows["ts_exch"], self._until_ns + 1, max(now_ns, self._until_ns + 1), out=mine["ts_exch"])
        market.n += n
        times = market.rows["ts_exch"][max(first - 1, 0) : market.n]
        if (times[1:] < times[:-1]).any():
            waiting = market.filled()
            waiting[:] = waiting[np.argsort(waiting["ts_exch"], kind="stable")]

    def _is_idle(self) -> bool:
        head = self._head
        return bool(head["n_orders"] == 0 and head["request_head"] == head["request_tail"]) and not self._questions

    def _advance(self, until_ns: int) -> None:
        """Run the venue to `until_ns`, stopping where a question reaches it."""
        if until_ns <= self._until_ns:
            return
        if self._is_idle() and self._market.n < _IDLE_ROWS:
            self._until_ns = until_ns
            return
        for question in self._questions:
            if question.report is None and question.at_ns <= until_ns:
                self._run(question.at_ns)
                question.report = self._report(question)
                question.tail = int(self._head["response_tail"])
        self._run(until_ns)

    def _run(self, until_ns: int) -> None:
        market = self._market
        waiting = market.filled()
        n = int(np.searchsorted(waiting["ts_exch"], until_ns, side="right"))
        self._until_ns = max(self._until_ns, until_ns)
        if venue_advance(self._venue.base, market.address, n, until_ns) < 0:
            self._raise()
        if n:
            left = market.n - n
            market.rows[:left] = market.rows[n : market.n]
            market.n = left
        tail = int(self._head["response_tail"])
        while self._n_known < tail:
            row = self._responses[self._n_known & (RING_MAX - 1)]
            self._account.answered(row, self._numbers[int(row["instrument"])])
            self._n_known += 1

    def _deliver(self, due_ns: int, now_ns: int) -> None:
        """Give the engine the answers due by `due_ns`, as received now, and the reports that follow them."""
        head = self._head
        at, tail = int(head["response_head"]), int(head["response_tail"])
        while at < tail:
            row = self._responses[at & (RING_MAX - 1)]
            if row["ts_recv"] > due_ns:
                break
            self.rows.reserve(1)
            self.rows.rows[self.rows.n] = row
            mine = self.rows.rows[self.rows.n]
            mine["ts_recv"] = now_ns
            mine["flags"] = (row["flags"] & ~EXCH) | LOCAL
            mine["instrument"] = self._engines[row["instrument"]]
            self.rows.n += 1
            self.rows.has_other = True
            at += 1
        head["response_head"] = at
        while self._questions:
            question = self._questions[0]
            if question.report is None or question.tail > at or question.at_ns + self._lag_ns > now_ns:
                break
            self.reports.append(question.report)
            self._questions.popleft()

    def _settle(self) -> None:
        """Say when to be woken: the source's time, the next answer's arrival, or what the venue does next."""
        head = self._head
        due = self.source.next_wake_ns
        at = int(head["response_head"])
        if at < head["response_tail"]:
            due = min(due, int(self._responses[at & (RING_MAX - 1)]["ts_recv"]))
        first = int(head["request_head"])
        if first < head["request_tail"]:
            due = min(due, int(self._dues[first & (RING_MAX - 1)]) + self._lag_ns)
        if head["n_orders"] > 0:
            if self._market.n:
                due = min(due, int(self._market.rows[0]["ts_exch"]) + self._lag_ns)
            if head["next_expiry"] < NEVER:
                due = min(due, int(head["next_expiry"]) + self._lag_ns)
        for question in self._questions:
            due = min(due, question.at_ns + self._lag_ns)
        self.next_wake_ns = due

    def _report(self, question: _Question) -> AccountReport:
        states = self._venue_states()
        positions = {
            i: int(states[int(self._local[i])]["position"]) for i in question.instruments if i in self.instruments
        }
        return self._account.report(
            question.instruments, question.order_ids, question.since_ns, question.at_ns, positions
        )

    def _expand(self, commands: np.ndarray) -> np.ndarray:
        """Put a CANCEL for every order that has not ended in place of each CANCEL_ALL."""
        made: list[np.ndarray] = []
        for i in range(len(commands)):
            command = commands[i : i + 1]
            if command["kind"][0] != CANCEL_ALL:
                made.append(command)
                continue
            for id in self._account.open_ids(int(command["instrument"][0])):
                one = command.copy()
                one["kind"], one["id"] = CANCEL, id
                made.append(one)
        return np.concatenate(made) if made else np.zeros(0, COMMAND)

    def _refuse(self, command: Any, reason: int, now_ns: int) -> None:
        """Answer a command that was not taken."""
        if command["kind"] == LINK:
            return
        self.rows.add(
            _REFUSALS[int(command["kind"])],
            int(command["instrument"]),
            now_ns,
            now_ns,
            side=int(command["side"]),
            px=int(command["px"]),
            qty=int(command["qty"]),
            id=int(command["id"]),
            reason=reason,
            flags=LOCAL,
        )

    def _raise(self) -> None:
        """Say in words what stopped the simulated venue."""
        error = int(self._head["error"])
        if error == 2:
            raise StrategyRuntimeError(f"the queue model {type(self.rules.queue).__name__} raised while on paper")
        raise CapacityError(
            f"more than {RING_MAX} answers of the simulated venue were on their way at {self._until_ns} ns; send fewer "
            f"orders or shorten the latency"
        )
