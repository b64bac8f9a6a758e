"""The live driver without input or output: from a message to the bytes that answer it, in one call.

`LiveCore` is handed what happened (a message, an answer, a wake, rows of an operator or an actor) and the time. Rows go
through `live.flow`; what is decided here is when commands may leave, when the venue is asked how we stand, and how a
session begins and ends. Effects lie in `connection.effects` for whoever drives this: the asyncio shell of `live`, or a
simulated network in one thread. The same inputs give the same outputs; no socket, file or clock is touched here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
import numpy as np

from tercel.engine.engine import Engine
from tercel.errors import CredentialsError, DataError, TercelError
from tercel.live.fast import FastChannel, Message
from tercel.live.flow import Flow, JournalSink
from tercel.live.lifecycle import ARM, CANCEL_ALL, CONNECT, DISARM, FLUSH, RECONCILE, RECOVER, STOPPED, TRADING
from tercel.live.link import Link
from tercel.live.standing import Standing
from tercel.model.account import AccountReport
from tercel.model.commands import CANCEL, COMMAND
from tercel.model.events import CLEAR, EVENT, HALT, LOCAL, RESUME, SNAPSHOT, event_rows
from tercel.model.reasons import KILL_SWITCH
from tercel.venues.contract import NEVER, Disconnect, VenueConnection

__all__ = ["LiveCore", "LiveOptions"]

#: How often the driver looks at what waits: unsettled orders, cancels to repeat, the next state.
LOOK_NS = 250_000_000
#: Until the venue is asked again after a report that did not settle everything.
_MISMATCH_NS = 1_000_000_000
#: How far back a first report looks, for clocks that differ.
_MARGIN_NS = 60_000_000_000


class LiveOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How patient a session is; times in ns.

    answer_ns: how long an order may wait for an answer before the venue is asked about it. repeat_ns: between two
    cancels of one order that stays open while everything is to be canceled. cancel_all_ns: how long that may take in
    all before the session ends without it. mismatches_max: reports in a row that may disagree with our position, a
    second apart, before trading halts: a report and the fills around it may cross on their way.
    """

    answer_ns: int = 5_000_000_000
    repeat_ns: int = 1_000_000_000
    cancel_all_ns: int = 10_000_000_000
    mismatches_max: int = 3


class LiveCore:
    """One engine, its connections and its journal, as a state machine. Times are int64 ns since the epoch, UTC.

    engine: fresh, or as recovery left it. connections: each instrument of the engine belongs to at most one. standing:
    compares reports with our books. is_arming: trade as soon as everything is reconciled; else `arm` says when.

    state: of `live.lifecycle`. why: why the session ends, for people. notes: lines for a log; the caller clears them.
    links: the connections with their standing, by the number that inputs name. flow: see `live.flow`; its `taps` see
    the rows. n_clock_back: times that the clock ran backwards and was held.
    """

    def __init__(
        self,
        engine: Engine,
        connections: Sequence[VenueConnection],
        journal: JournalSink,
        standing: Standing,
        *,
        options: LiveOptions | None = None,
        is_arming: bool = True,
    ) -> None:
        self.engine = engine
        self.standing = standing
        self.options = options or LiveOptions()
        self.is_arming = is_arming
        self.state = RECOVER
        self.why = ""
        self.now_ns = engine.now_ns
        self.n_clock_back = 0
        self.links = [Link(i, c, standing.since_ns) for i, c in enumerate(connections)]
        self.flow = Flow(engine, self.links, journal)
        self._cursor_at = journal.cursor_at
        self.notes = self.flow.notes
        self._feed = self.flow.feed
        self._is_alone = len(self.links) == 1
        self._orders = engine.view("orders")
        self._open = engine.view("open")
        self._refused: CredentialsError | None = None
        self._look_ns = NEVER
        self._deadline_ns = NEVER
        self._canceled_ns: dict[int, int] = {}

    @property
    def error(self) -> TercelError | None:
        """What the engine or the journal broke with, or a venue that refuses our keys; the session ends by itself."""
        return self.flow.error or self._refused

    @property
    def is_ready(self) -> bool:
        """Whether everything is reconciled and only `arm` is missing."""
        return self.state == RECONCILE and not self.is_arming and all(link.is_reconciled for link in self.links)

    @property
    def is_trading(self) -> bool:
        """Whether new orders may leave by at least one connection."""
        return self.state == TRADING and any(link.is_open for link in self.links)

    @property
    def next_wake_ns(self) -> int:
        """When `on_wake` is to be called next, NEVER when nothing is due."""
        due = self._look_ns
        timer = self._feed.next_timer_ns
        # At equal times rows go before timers, so a timer fires once its time has passed.
        if timer < due - 1 and self.flow.error is None:
            due = timer + 1
        for link in self.links:
            wake = link.connection.next_wake_ns
            if wake < due:
                due = wake
        return due

    # --- inputs ----------------------------------------------------------------------------------------------------

    def open(self, now_ns: int) -> None:
        """Begin: the connections open their channels. Rows reach no strategy that has not started."""
        now_ns = self._at(now_ns)
        if self._feed.started_ns == 0:
            self.flow.deafen(now_ns)
        if self.engine.seq:
            self._forget_books(now_ns)
        self.state = CONNECT
        self._look_ns = now_ns + LOOK_NS
        for link in self.links:
            if link.since_ns <= 0:
                # Nothing of ours was ever at this venue: what happened before us is not ours to account.
                link.since_ns = now_ns - _MARGIN_NS
            link.connection.open(now_ns)
            self._after(link, now_ns)

    def _forget_books(self, now_ns: int) -> None:
        """What a recovered engine knows of the market is old: its books begin empty, and no strategy is told so."""
        n = len(self.engine.instruments)
        rows = event_rows(n)
        rows["ts_exch"] = rows["ts_recv"] = now_ns
        rows["kind"], rows["flags"], rows["instrument"] = CLEAR, LOCAL | SNAPSHOT, np.arange(n)
        self.flow.take_array(rows, now_ns)

    def hearer(self, i_link: int, channel: str, run: Callable[..., None]) -> Callable[[Message, int], None]:
        """What takes the messages of a channel as `on_message` does, by the venue's fast path where there is one.

        run(action, *args): does what is to be done around every input, and calls the action with its arguments.
        """
        link = self.links[i_link]
        slow = partial(self.on_message, i_link, channel)
        path = None if self._cursor_at is None else link.connection.fast_path(channel, self._cursor_at)
        if path is None:
            return partial(run, slow)
        link.channels = [x for x in link.channels if x.name != channel]
        return FastChannel(self, link, channel, path, slow, run).on_message

    def on_message(self, i_link: int, channel: str, data: Message, now_ns: int) -> None:
        """One whole message of a channel."""
        if now_ns > self.now_ns:
            self.now_ns = now_ns
        else:
            now_ns = self._at(now_ns)
        link = self.links[i_link]
        connection = link.connection
        try:
            connection.on_message(channel, data, now_ns)
        except DataError as error:
            self._bad_message(link, channel, error)
        if connection.rows.n:
            self.flow.take_rows(link, now_ns)
        self.after_market(link, now_ns)

    def after_market(self, link: Link, now_ns: int) -> None:
        """What follows from rows of a message: other connections' rows, and rarely a look at the link."""
        connection = link.connection
        if not self._is_alone:
            self.flow.settle(now_ns)
        if not link.is_open or not connection.is_live or connection.reports or connection.notes:
            self._look_at_link(link, now_ns)

    def on_connected(self, i_link: int, channel: str, now_ns: int) -> None:
        """A channel is open."""
        now_ns = self._at(now_ns)
        link = self.links[i_link]
        link.connection.on_connected(channel, now_ns)
        self._after(link, now_ns)

    def on_disconnected(self, i_link: int, channel: str, now_ns: int, why: str) -> None:
        """A channel is closed, or could not be opened."""
        now_ns = self._at(now_ns)
        link = self.links[i_link]
        link.connection.on_disconnected(channel, now_ns, why)
        self._after(link, now_ns)

    def on_response(
        self, i_link: int, request_id: int, status: int, headers: Mapping[str, str], body: bytes, now_ns: int
    ) -> None:
        """The answer to a request."""
        now_ns = self._at(now_ns)
        link = self.links[i_link]
        try:
            link.connection.on_response(request_id, status, headers, body, now_ns)
        except DataError as error:
            self._bad_message(link, "", error)
        self._after(link, now_ns)

    def on_failure(self, i_link: int, request_id: int, why: str, was_sent: bool, now_ns: int) -> None:
        """A request that no answer will come to."""
        now_ns = self._at(now_ns)
        link = self.links[i_link]
        link.connection.on_failure(request_id, why, was_sent, now_ns)
        self._after(link, now_ns)

    def on_wake(self, now_ns: int) -> None:
        """Do what is due: the connections' own business, the engine's timers, the driver's look. Too early is fine."""
        now_ns = self._at(now_ns)
        for link in self.links:
            if link.connection.next_wake_ns <= now_ns:
                link.connection.on_wake(now_ns)
                self._after(link, now_ns)
        if self._feed.next_timer_ns < now_ns and self.flow.error is None:
            self.flow.fire_timers(now_ns)
        if self._look_ns <= now_ns:
            self._look(now_ns)

    def inject(self, rows: np.ndarray, now_ns: int) -> None:
        """Rows of actors or of an operator: SIGNAL, HALT, RESUME. Their time of receipt becomes `now_ns`."""
        now_ns = self._at(now_ns)
        if rows.dtype != EVENT:
            raise DataError(f"inject takes EVENT rows, found {rows.dtype}")
        if len(rows):
            rows = rows.copy()
            rows["ts_recv"] = now_ns
            rows["flags"] |= LOCAL
            self.flow.take_array(rows, now_ns)
            self._end_if_broken(now_ns)

    # --- the operator ----------------------------------------------------------------------------------------------

    def halt(self, now_ns: int, reason: int = KILL_SWITCH) -> None:
        """The kill switch: every new order is refused from now on and every open one is canceled until none is left."""
        self._operate(HALT, reason, now_ns)
        self._look(self.now_ns)

    def resume(self, now_ns: int) -> None:
        """Lift a halt; losses and drawdown count anew."""
        self._operate(RESUME, 0, now_ns)

    def _operate(self, kind: int, reason: int, now_ns: int) -> None:
        row = event_rows(1)
        row["ts_exch"], row["kind"], row["reason"] = now_ns, kind, reason
        self.inject(row, now_ns)

    def arm(self, now_ns: int) -> None:
        """Trade as soon as the venue is reconciled; for sessions made with is_arming=False."""
        self.is_arming = True
        self._advance(self._at(now_ns))

    def stop(self, now_ns: int, why: str) -> None:
        """Begin to end: disarm, cancel every open order, close. What is left to do is done by later inputs."""
        now_ns = self._at(now_ns)
        if self.state in (DISARM, CANCEL_ALL, FLUSH, STOPPED):
            return
        self.why = self.why or why
        if self.state == RECOVER:
            self.state = STOPPED
            return
        self.state = DISARM
        self.flow.is_armed = False
        for link in self.links:
            link.is_open = False
        if self._feed.started_ns != 0:
            self.flow.stop(now_ns)
        # A broken engine hears no confirmation: all that can be done is to say it twice.
        patience_ns = self.options.cancel_all_ns if self.flow.error is None else 2 * self.options.repeat_ns
        self._deadline_ns = now_ns + patience_ns
        self._canceled_ns.clear()
        self.state = CANCEL_ALL
        self._look(now_ns)

    def closed(self) -> None:
        """Every channel is closed and the journal is on the disk: the last state."""
        self.state = STOPPED

    # --- standing --------------------------------------------------------------------------------------------------

    def _at(self, now_ns: int) -> int:
        """The time of an input: a clock that jumps back is held where it was, and counted."""
        if now_ns >= self.now_ns:
            self.now_ns = now_ns
        else:
            self.n_clock_back += 1
        return self.now_ns

    def _after(self, link: Link, now_ns: int) -> None:
        self.flow.settle(now_ns)
        self._look_at_link(link, now_ns)

    def _bad_message(self, link: Link, channel: str, error: DataError) -> None:
        """What a venue cannot have meant: the channel is closed; the connection opens it again by its own rules."""
        link.n_bad_messages += 1
        self.notes.append(f"{link.name}: {error}")
        if channel:
            link.connection.effects.append(Disconnect(channel, "a message that cannot be understood"))

    def _end_if_broken(self, now_ns: int) -> None:
        if self.flow.error is not None and self.state not in (CANCEL_ALL, FLUSH, STOPPED):
            self.notes.append(f"broken: {self.flow.error}")
            self.stop(now_ns, str(self.flow.error))

    def _look_at_link(self, link: Link, now_ns: int) -> None:
        """What follows from what a connection has learned: reports to judge, questions to ask, the next state."""
        connection = link.connection
        if connection.notes:
            mark = f"{link.name}: "
            self.notes.extend(text if text.startswith(mark) else mark + text for text in connection.notes)
            connection.notes.clear()
        if connection.refused and self.state in (CONNECT, RECONCILE) and self._refused is None:
            # Later it would be tried again: there are orders and positions to look after. At the start there is only
            # somebody who waits, and no repetition makes a wrong key right.
            self._refused = CredentialsError(f"{connection.refused}; nothing was sent")
            self.stop(now_ns, str(self._refused))
        while connection.reports:
            self._take_report(link, connection.reports.pop(0), now_ns)
        if connection.is_live and not link.is_reconciled and not link.is_asked and link.ask_again_ns <= now_ns:
            living = self._living()
            mine = living["id"][np.isin(living["instrument"], link.instruments)].tolist()
            link.ask(sorted({*mine, *connection.in_doubt}), now_ns)
        self._end_if_broken(now_ns)
        self._advance(now_ns)

    def _living(self) -> np.ndarray:
        """Our orders that live as far as we know, (n,) ORDER, copied, the oldest first."""
        living: np.ndarray = self._orders[self._open[: self._feed.n_open]]
        return living

    def _take_report(self, link: Link, report: AccountReport, now_ns: int) -> None:
        """Correct our books by what the venue says; the connection opens once they agree."""
        is_whole = link.answered()
        if self.flow.error is not None:
            return
        verdict = self.standing.judge(self.engine, link, report, now_ns)
        self.notes.extend(f"{link.name}: {text}" for text in verdict.notes)
        if len(verdict.rows):
            self.flow.take_array(verdict.rows, now_ns)
        if len(verdict.commands):
            link.connection.send_commands(verdict.commands, now_ns)
            self.flow.settle(now_ns)
        # The venue's time is an estimate of ours; a fill that is told again costs nothing.
        link.since_ns = max(link.since_ns, verdict.since_ns - _MARGIN_NS)
        if not verdict.unexplained:
            link.n_mismatches = 0
        else:
            link.n_mismatches += 1
            link.ask_again_ns = now_ns + (_MISMATCH_NS << link.n_mismatches - 1)
            if link.n_mismatches < self.options.mismatches_max:
                return
            if self._feed.halted == 0:
                self.notes.append(f"{link.name}: halted: {verdict.unexplained}")
                self.halt(now_ns, verdict.reason)
        if not verdict.is_settled:
            link.ask_again_ns = now_ns + _MISMATCH_NS
        elif is_whole and link.connection.is_live:
            link.is_reconciled = True

    def _advance(self, now_ns: int) -> None:
        """Go on to the next state where its condition holds."""
        if self.state == CONNECT and all(link.connection.is_live for link in self.links):
            self.state = RECONCILE
        if self.state == RECONCILE and self.is_arming and all(link.is_reconciled for link in self.links):
            self.state = ARM
            self.state = TRADING
            self.flow.is_armed = True
            self._open_links()
            if self._feed.started_ns == 0:
                self.flow.start(now_ns)
                self._end_if_broken(now_ns)
        elif self.state == TRADING:
            self._open_links()
        elif self.state == CANCEL_ALL and (self._feed.n_open == 0 or now_ns >= self._deadline_ns):
            self._close(now_ns)

    def _open_links(self) -> None:
        for link in self.links:
            link.is_open = link.is_reconciled and self.flow.error is None

    def _close(self, now_ns: int) -> None:
        n_left = self._feed.n_open
        if n_left:
            self.notes.append(
                f"ended with {n_left} orders that the venue has not confirmed as canceled; the next start asks for them"
            )
        self._look_ns = NEVER
        self.state = FLUSH
        for link in self.links:
            link.connection.close(now_ns)
        self.flow.settle(now_ns)

    # --- the look --------------------------------------------------------------------------------------------------

    def _look(self, now_ns: int) -> None:
        """What is looked at now and then: orders without an answer, cancels to repeat, connections to ask."""
        if self.state in (RECOVER, FLUSH, STOPPED):
            self._look_ns = NEVER
            return
        self._look_ns = now_ns + LOOK_NS
        if self.state == CANCEL_ALL or (self._feed.halted and self._feed.n_open):
            self._cancel_everything(now_ns)
        for link in self.links:
            if link.is_reconciled and link.connection.is_live:
                late = link.unsettled(self._living(), now_ns, self.options.answer_ns)
                doubts = link.n_mismatches and not self._feed.halted
                if (late or doubts) and link.ask_again_ns <= now_ns:
                    link.ask_again_ns = now_ns + _MISMATCH_NS
                    link.ask(late, now_ns)
            self._look_at_link(link, now_ns)

    def _cancel_everything(self, now_ns: int) -> None:
        """Cancel every order that lives, past the engine, which may be broken. A cancel too many harms nobody."""
        past_ns = now_ns - self.options.repeat_ns
        due = [order for order in self._living() if self._canceled_ns.get(int(order["id"]), past_ns) <= past_ns]
        commands = np.zeros(len(due), COMMAND)
        for command, order in zip(commands, due):
            self._canceled_ns[int(order["id"])] = now_ns
            command["kind"], command["id"], command["cause"], command["ts"] = CANCEL, order["id"], -1, now_ns
            command["side"], command["instrument"] = order["side"], order["instrument"]
        owners = self.flow.owners[commands["instrument"]]
        for link in self.links:
            mine = commands[owners == link.i_link]
            if len(mine) and link.connection.is_live:
                link.connection.send_commands(mine, now_ns)
        self.flow.settle(now_ns)
