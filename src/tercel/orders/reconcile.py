"""Reconciliation: what the venue says about our account against our own books, and the EVENT rows that make them one.

The rows go through the engine like any others, so they are journaled, risk-checked and replayed. Rules: a fill is known
by (instrument, execution id) and counts once; an order nobody has answered for stays as it is; one the venue never saw
is rejected only once it can no longer arrive; what fills do not explain is said, never made up. Plain Python over a few
records, no kernels; called by drivers at start, on every reconnect and when an answer is overdue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from tercel.model.account import AccountReport, VenueExecution, VenueOrder
from tercel.model.commands import AMEND, CANCEL, COMMAND, NEW
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    EXPIRED,
    FILL,
    HALT,
    LOCAL,
    MAKER,
    REJECT,
    TAKER,
    event_rows,
)
from tercel.model.reasons import (
    ENDED_UNHEARD,
    FILLED_UNHEARD,
    FILLS_UNEXPLAINED,
    FOREIGN_FILL,
    NEVER_ARRIVED,
    NEVER_SENT,
    POSITION_ADOPTED,
    POSITION_UNEXPLAINED,
    REQUEST_LOST,
    VENUE_FORGOT,
)
from tercel.model.rowbuffer import RowBuffer
from tercel.orders.lifecycle import ST_PENDING_NEW, ST_UNKNOWN

__all__ = ["Books", "Reconciliation", "adopt_positions", "cancel_commands", "halt_row", "reconcile", "unsent_rows"]

_ENDS = (CANCELED, EXPIRED, REJECT)
#: Fills this young may have traded between the venue's answer about their order and the one about fills.
_CROSSING_NS = 1_000_000_000


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """Our side. orders: (n,) ORDER that live, the oldest first. positions: (n_instruments,) lots, by instrument.

    executions: (m,) EXECUTION counted lately, the oldest first; is_full: older ones were forgotten. symbols: by
    instrument, for messages.
    """

    orders: np.ndarray
    positions: np.ndarray
    executions: np.ndarray
    is_full: bool
    symbols: Sequence[str]


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a report.

    rows: (n,) EVENT that make our books the venue's, in an order that the lifecycle accepts. unexplained: sentences,
    empty when everything agrees; a report and the fills around it may cross on their way, so ask again before halting.
    reason: of the halt that they lead to, 0 for none. unanswered: our orders that stay as they are until the venue
    says more. lost: orders open at the venue with an id of ours that our books do not have, as after a loss of the
    journal's end: to be canceled. foreign: open orders without an id of ours: to be canceled, adopted or left, as the
    operator says. since_ns: every execution up to this time of the venue is counted. notes: lines for a log.
    """

    rows: np.ndarray
    unexplained: tuple[str, ...] = ()
    reason: int = 0
    unanswered: tuple[int, ...] = ()
    lost: tuple[VenueOrder, ...] = ()
    foreign: tuple[VenueOrder, ...] = ()
    since_ns: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to ask."""
        return not self.unexplained and not self.unanswered


def reconcile(
    books: Books, report: AccountReport, *, now_ns: int, asked_ns: int, grace_ns: int, since_ns: int = 0
) -> Reconciliation:
    """Compare `report` with `books`.

    now_ns: local time, of the rows made. asked_ns: local time when the report was asked for; of an order that has
    changed since, the report tells an older state, and only its fills and its end are taken from it. grace_ns: how long
    after it was sent a request may still arrive at the venue (the venue's own window and the largest difference of the
    clocks). since_ns: executions up to this time of the venue are known to be counted and are left out.
    """
    return _Comparison(books, report, now_ns, asked_ns, grace_ns, since_ns).result()


class _Comparison:
    """One comparison at work; see `reconcile`."""

    def __init__(
        self, books: Books, report: AccountReport, now_ns: int, asked_ns: int, grace_ns: int, since_ns: int
    ) -> None:
        self.books, self.report, self.now_ns = books, report, now_ns
        self.asked_ns, self.grace_ns, self.since_ns = asked_ns, grace_ns, since_ns
        self.buffer = RowBuffer(64)
        self.unexplained: list[str] = []
        self.notes: list[str] = []
        self.unanswered: list[int] = []
        self.is_short_of_fills = False
        self.living = {
            int(order["id"]): order for order in books.orders if int(order["instrument"]) in report.instruments
        }
        self.counted = {(int(e["instrument"]), int(e["id"])) for e in books.executions}
        self.moved = dict.fromkeys(report.instruments, 0)
        self.unseen = self._unseen()

    def result(self) -> Reconciliation:
        """Everything, in order: our orders, fills of orders we no longer have, positions."""
        said = self._said()
        for id, order in self.living.items():
            self._judge_order(order, said.get(id))
        for id in list(self.unseen):
            for execution in self.unseen.pop(id):
                self._fill(execution)
        is_off = self._judge_positions()
        reason = POSITION_UNEXPLAINED if is_off else FILLS_UNEXPLAINED if self.is_short_of_fills else 0
        strangers = [order for order in self.report.open_orders if order.id not in self.living]
        return Reconciliation(
            rows=self.buffer.filled().copy(),
            unexplained=tuple(self.unexplained),
            reason=reason,
            unanswered=tuple(self.unanswered),
            lost=tuple(order for order in strangers if order.id),
            foreign=tuple(order for order in strangers if not order.id),
            since_ns=max(self.since_ns, self.report.ts_ns - self.grace_ns) if reason == 0 else self.since_ns,
            notes=tuple(self.notes),
        )

    # --- what the venue says ---------------------------------------------------------------------------------------

    def _said(self) -> dict[int, VenueOrder]:
        """The venue's last word on each order of ours: an end over an open order, then the one with more fills."""
        said: dict[int, VenueOrder] = {}
        for order in (*self.report.open_orders, *self.report.orders):
            before = said.get(order.id)
            if order.id and (before is None or _weight(order) >= _weight(before)):
                said[order.id] = order
        return said

    def _unseen(self) -> dict[int, list[VenueExecution]]:
        """Executions that were not counted yet, by order id, oldest first, each once."""
        found: dict[int, list[VenueExecution]] = {}
        # Where older fills were forgotten nothing as old as the oldest known is told apart from them: it must not
        # count twice. If one was missed, the position says so.
        horizon_ns = self.since_ns
        if self.books.is_full and len(self.books.executions):
            horizon_ns = max(horizon_ns, int(self.books.executions["ts"].min()))
        told: set[tuple[int, int]] = set()
        for execution in sorted(self.report.executions, key=lambda e: (e.ts_ns, e.execution_id)):
            key = execution.instrument, execution.execution_id
            if key in self.counted or key in told or execution.ts_ns <= horizon_ns:
                continue
            told.add(key)
            found.setdefault(execution.id, []).append(execution)
        return found

    # --- orders ----------------------------------------------------------------------------------------------------

    def _judge_order(self, order: Any, said: VenueOrder | None) -> None:
        id = int(order["id"])
        has_changed = max(int(order["ts_sent"]), int(order["ts_last"])) >= self.asked_ns
        if said is None or (has_changed and said.status not in (FILL, *_ENDS)):
            for execution in self.unseen.pop(id, ()):
                self._fill(execution)
            if not has_changed or self._is_waiting(order):
                self.unanswered.append(id)
            return
        if said.status == 0:
            self._judge_absent(order)
            return
        filled, size = int(order["filled"]), int(order["qty"])
        said = self._whole(order, said)
        if said is None:
            self.unanswered.append(id)
            return
        if said.status == ACK and self._is_waiting(order):
            self._row(ACK, order, said.ts_ns, px=said.px, qty=said.qty, arg0=said.venue_id, reason=0)
        # Of an order that has ended only a size that its fills may need.
        if (said.status in (ACK, FILL) or said.qty > size) and self._amend(order, said, filled):
            size = said.qty
        fills = self.unseen.pop(id, [])
        for execution in fills:
            self._fill(execution)
        filled += sum(execution.qty for execution in fills)
        if said.filled > filled or (said.status == FILL and said.qty > filled):
            self.is_short_of_fills = True
            self.unexplained.append(
                f"{self._symbol(order)}: the venue counts {max(said.filled, filled + 1)} lots or more filled of order "
                f"{id}, its executions make {filled}"
            )
        elif said.status == FILL and int(order["filled"]) >= said.qty:
            # Every fill was heard, but not the amend that made it smaller: here it still has lots to trade.
            self._row(CANCELED, order, said.ts_ns, reason=ENDED_UNHEARD)
        elif said.status == ACK:
            self._judge_request(order, said)
        elif size > filled or not fills:
            # A rejected order has no fills; an order cut down to what it had filled is canceled with nothing left.
            kind = said.status if said.status in _ENDS and (said.status != REJECT or filled == 0) else CANCELED
            self._row(kind, order, said.ts_ns, qty=max(0, said.qty - filled), reason=ENDED_UNHEARD)

    def _whole(self, order: Any, said: VenueOrder) -> VenueOrder | None:
        """`said` with the fills of numbers that this one replaced: a venue that amends by canceling counts from anew.

        Fills only grow, so lots that we count and the venue does not were of such a number, unless some traded while
        the venue was answering about an open order: then None, and it is asked again.
        """
        id = int(order["id"])
        ahead = int(order["filled"]) + sum(execution.qty for execution in self.unseen.get(id, ())) - said.filled
        if ahead <= 0 or said.status == REJECT:
            return said
        young_ns = self.report.ts_ns - _CROSSING_NS
        if said.status == ACK and any(
            execution.id == id and execution.venue_id == said.venue_id and execution.ts_ns > young_ns
            for execution in self.report.executions
        ):
            return None
        return msgspec.structs.replace(said, qty=said.qty + ahead, filled=said.filled + ahead)

    @staticmethod
    def _is_waiting(order: Any) -> bool:
        return int(order["state"]) in (ST_PENDING_NEW, ST_UNKNOWN)

    def _judge_absent(self, order: Any) -> None:
        """The venue knows no such order: it may still be on its way, it never arrived, or it ended long ago."""
        id = int(order["id"])
        fills = self.unseen.pop(id, [])
        for execution in fills:
            self._fill(execution)
        if self.report.ts_ns - int(order["ts_sent"]) <= self.grace_ns:
            self.unanswered.append(id)
        elif order["ts_ack"] or order["filled"] or fills:
            # It did arrive, so it ended, and the venue keeps no ended orders for ever. Its fills stay in the report.
            left = max(0, int(order["qty"]) - int(order["filled"]) - sum(execution.qty for execution in fills))
            if left:
                self._row(CANCELED, order, self.report.ts_ns, qty=left, reason=VENUE_FORGOT)
        else:
            self._row(REJECT, order, self.report.ts_ns, qty=int(order["qty"]), reason=NEVER_ARRIVED)

    def _amend(self, order: Any, said: VenueOrder, filled: int) -> bool:
        """Another price or size at the venue, whether said: an amend of ours took effect unheard."""
        px = said.px if said.px > 0 and int(order["px"]) > 0 else int(order["px"])
        if said.qty <= filled or (px == order["px"] and said.qty == order["qty"]):
            return False
        self._row(AMENDED, order, said.ts_ns, px=px, qty=said.qty - filled, reason=0)
        return True

    def _judge_request(self, order: Any, said: VenueOrder) -> None:
        """A cancel or amend in flight that the open order shows no sign of: lost, once it can no longer arrive."""
        pending = int(order["pending"])
        is_amended = said.px != order["px"] or said.qty != order["qty"]
        if pending == 0 or (pending == AMEND and is_amended):
            return
        if self.report.ts_ns - int(order["pending_ts"]) <= self.grace_ns:
            self.unanswered.append(int(order["id"]))
            return
        left = said.qty - said.filled
        if pending == CANCEL:
            self._row(CANCEL_REJECT, order, self.report.ts_ns, qty=left, reason=REQUEST_LOST)
        if pending == AMEND or (order["pending_most"] and not is_amended):
            # Also of one that a halt's cancel went out on top of: else it would count for ever.
            self._row(AMEND_REJECT, order, self.report.ts_ns, qty=left, reason=REQUEST_LOST)

    # --- positions -------------------------------------------------------------------------------------------------

    def _judge_positions(self) -> bool:
        """Whether a position of the venue is not what the fills make."""
        is_off = False
        listed = {(execution.instrument, execution.execution_id) for execution in self.report.executions}
        for instrument, theirs in sorted(self.report.positions.items()):
            if instrument not in self.moved:
                continue
            ours = int(self.books.positions[instrument]) + self.moved[instrument]
            # Fills we heard of after the report was true.
            later = sum(
                int(e["lots"])
                for e in self.books.executions
                if e["instrument"] == instrument
                and e["ts"] > self.report.ts_ns
                and (instrument, int(e["id"])) not in listed
            )
            if ours - later != theirs:
                is_off = True
                self.unexplained.append(
                    f"{self.books.symbols[instrument]}: the venue holds {theirs} lots for us, the fills make "
                    f"{ours - later}"
                )
        return is_off

    # --- rows ------------------------------------------------------------------------------------------------------

    def _symbol(self, order: Any) -> str:
        return self.books.symbols[int(order["instrument"])]

    def _row(self, kind: int, order: Any, ts_ns: int, *, reason: int, px: int = 0, qty: int = 0, arg0: int = 0) -> None:
        self.buffer.add(
            kind, int(order["instrument"]), ts_ns, self.now_ns, side=int(order["side"]), px=px, qty=qty,
            id=int(order["id"]), arg0=arg0, reason=reason, flags=LOCAL,
        )  # fmt: skip

    def _fill(self, execution: VenueExecution) -> None:
        if execution.instrument not in self.moved:
            return
        if not execution.id:
            symbol = self.books.symbols[execution.instrument]
            self.notes.append(
                f"{symbol}: execution {execution.execution_id} is of an order that is not ours; it counts"
            )
        self.moved[execution.instrument] += execution.side * execution.qty
        self.buffer.add(
            FILL, execution.instrument, execution.ts_ns, self.now_ns, side=execution.side, px=execution.px,
            qty=execution.qty, id=execution.id, arg0=execution.fee, arg1=execution.execution_id,
            reason=FILLED_UNHEARD if execution.id else FOREIGN_FILL,
            flags=LOCAL | (MAKER if execution.is_maker else TAKER),
        )  # fmt: skip


def _weight(order: VenueOrder) -> tuple[bool, bool, int, int]:
    """Which of two words of the venue about one order is the later: an end stands, fills only grow."""
    return order.status != 0, order.status not in (0, ACK), order.filled, order.ts_ns


def halt_row(reason: int, now_ns: int) -> np.ndarray:
    """One HALT row: what cannot be explained stops new orders and cancels the open ones."""
    row = event_rows(1)
    row["ts_exch"] = row["ts_recv"] = now_ns
    row["kind"], row["reason"], row["flags"] = HALT, reason, LOCAL
    return row


def cancel_commands(orders: Sequence[VenueOrder], now_ns: int) -> np.ndarray:
    """(n,) CANCEL commands for open orders with an id of ours that our books do not have: `Reconciliation.lost`."""
    commands = np.zeros(len(orders), COMMAND)
    for command, order in zip(commands, orders):
        command["ts"], command["id"], command["kind"] = now_ns, order.id, CANCEL
        command["side"], command["instrument"] = order.side, order.instrument
    return commands


def unsent_rows(commands: np.ndarray, now_ns: int) -> np.ndarray:
    """(n,) EVENT that answer commands which never left, as recovery finds them: rejects with the reason NEVER_SENT."""
    kinds = {NEW: REJECT, CANCEL: CANCEL_REJECT, AMEND: AMEND_REJECT}
    buffer = RowBuffer(max(1, len(commands)))
    for c in commands:
        if (kind := kinds.get(int(c["kind"]))) is not None:
            buffer.add(
                kind, int(c["instrument"]), now_ns, now_ns, side=int(c["side"]), px=int(c["px"]), qty=int(c["qty"]),
                id=int(c["id"]), reason=NEVER_SENT, flags=LOCAL,
            )  # fmt: skip
    return buffer.filled().copy()


def adopt_positions(books: Books, positions: Mapping[int, int], prices: Mapping[int, int], now_ns: int) -> np.ndarray:
    """(n,) FILL rows that take over positions held before the first run, at prices given, without fees.

    positions: instrument -> signed lots the venue reports. prices: instrument -> ticks that profit counts from. Only
    for an operator who has said so: it silences the halt that an unexplained position leads to.
    """
    buffer = RowBuffer(max(1, len(positions)))
    for instrument, theirs in sorted(positions.items()):
        lots = theirs - int(books.positions[instrument])
        if lots:
            buffer.add(
                FILL, instrument, now_ns, now_ns, side=1 if lots > 0 else -1, px=prices[instrument], qty=abs(lots),
                reason=POSITION_ADOPTED, flags=LOCAL,
            )  # fmt: skip
    return buffer.filled().copy()
