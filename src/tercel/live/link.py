"""One connection as the driver sees it: whether its commands may leave, what it was asked, which orders wait.

Bookkeeping without input or output; the driver decides what follows. An order is unsettled while a request of ours has
no answer, or its state is unknown; after a while the venue is asked about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tercel.model.commands import AMEND, CANCEL, CANCEL_ALL, NEW
from tercel.model.events import AMEND_REJECT, CANCEL_REJECT, DISCONNECT, LOCAL, REJECT
from tercel.orders.lifecycle import ST_PENDING_NEW, ST_UNKNOWN
from tercel.venues.contract import VenueConnection

if TYPE_CHECKING:
    from tercel.live.fast import FastChannel

__all__ = ["ANSWER_KINDS", "CANCELS", "Link"]

#: Command kind -> the row that says it never reached the venue.
ANSWER_KINDS = {NEW: REJECT, AMEND: AMEND_REJECT, CANCEL: CANCEL_REJECT}
#: Commands that may leave whenever the connection can send: they only take away.
CANCELS = (CANCEL, CANCEL_ALL)


class Link:
    """One connection and what the driver knows of it.

    connection: the venue's state machine. instruments: its instruments by the engine's index, in order. is_reconciled:
    the venue has said how our orders stand since the order channel was last lost. is_asked: a report is on its way.
    stalls: channel -> whether what is sent there now would wait behind bytes that the venue does not take; put there by
    a shell that knows. channels: its market channels that have a fast path.
    """

    def __init__(self, i_link: int, connection: VenueConnection, since_ns: int) -> None:
        self.i_link = i_link
        self.connection = connection
        self.name = connection.name
        self.instruments = tuple(sorted(connection.instruments))
        self.channels: list[FastChannel] = []
        self.is_reconciled = False
        self._is_open = False
        self.is_asked = False
        self.stalls: dict[str, Callable[[], bool]] = {}
        self.was_live = False
        self.n_lost = 0
        self.n_bad_messages = 0
        self.n_mismatches = 0
        self.since_ns = since_ns
        self.ask_again_ns = 0
        self.asked_ns = 0
        self._asked_at_loss = -1
        self._unsettled: dict[int, int] = {}

    @property
    def is_open(self) -> bool:
        """Commands may leave: reconciled, and the session is armed."""
        return self._is_open

    @is_open.setter
    def is_open(self, is_open: bool) -> None:
        self._is_open = is_open
        self.tell_channels()

    def tell_channels(self) -> None:
        """Let the fast paths know whether commands may leave, and how the engine is wired now."""
        for channel in self.channels:
            channel.open(self._is_open)

    @property
    def is_stalled(self) -> bool:
        """Whether an order sent now would not leave now: the venue does not take what lies before it."""
        asked = self.stalls.get(self.connection.order_channel)
        return asked is not None and asked()

    @property
    def waits_for(self) -> str:
        """What is missing before its commands may leave, for people; empty when nothing is."""
        if not self.connection.is_live:
            return "its channels and market data to be in step"
        if self.is_reconciled:
            return ""
        if self.n_mismatches:
            return "its report to agree with our books"
        return "its report of our orders and positions"

    def lost(self) -> None:
        """The order channel was lost: what is known of our orders is no longer certain."""
        self.is_reconciled = False
        self.is_open = False
        self.n_lost += 1

    def look_at(self, rows: np.ndarray) -> None:
        """Look through rows that are not all market data for the loss of the order channel."""
        if (rows["kind"] == DISCONNECT).any():
            self.lost()

    def ask(self, order_ids: list[int], now_ns: int) -> None:
        """Ask the venue how our orders and positions stand, these orders by name, unless it is being asked."""
        if self.is_asked:
            return
        self.is_asked = True
        self.asked_ns = now_ns
        self._asked_at_loss = self.n_lost
        self.connection.ask_report(self.instruments, order_ids, self.since_ns, now_ns)

    def answered(self) -> bool:
        """A report has come. Whether it was asked for after the last loss, and so tells all of it."""
        self.is_asked = False
        return self._asked_at_loss == self.n_lost

    def unsettled(self, orders: np.ndarray, now_ns: int, patience_ns: int) -> list[int]:
        """Ids of our orders here that have been unsettled for `patience_ns` or are in doubt.

        orders: (n,) ORDER, those that live. Called now and then, not for every message.
        """
        mine = np.isin(orders["instrument"], self.instruments)
        waits = (orders["state"] == ST_PENDING_NEW) | (orders["state"] == ST_UNKNOWN) | (orders["pending"] != 0)
        ids = orders["id"][mine & waits].tolist()
        before = self._unsettled
        self._unsettled = {id: before.get(id, now_ns) for id in ids}
        late = [id for id, first_ns in self._unsettled.items() if now_ns - first_ns >= patience_ns]
        doubted = self.connection.in_doubt
        return [*late, *sorted(doubted.difference(late))] if doubted else late

    def answer(self, commands: np.ndarray, reason: int, now_ns: int) -> None:
        """Answer commands that did not leave as the venue would: rejects, into the connection's rows."""
        rows = self.connection.rows
        for command in commands:
            kind = ANSWER_KINDS.get(int(command["kind"]))
            if kind is not None:
                rows.add(
                    kind, int(command["instrument"]), now_ns, now_ns, side=int(command["side"]), px=int(command["px"]),
                    qty=int(command["qty"]), id=int(command["id"]), reason=reason, flags=LOCAL,
                )  # fmt: skip
