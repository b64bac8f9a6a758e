"""Order entry: COMMAND rows to requests of the WebSocket API (or HTTP), log-on and subscription.

Every command is answered: by a request that leaves, or by a row that says why not. What answers to requests mean stands
in `pending`. Called by `connection`, which owns channels and clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from tercel.model import reasons
from tercel.model.commands import AMEND, CANCEL, CANCEL_ALL, GTX, LIMIT, LINK, NEW
from tercel.venues.binance import encoding
from tercel.venues.binance.desk import LiveOrder
from tercel.venues.binance.encoding import HTTP_TWINS, Params
from tercel.venues.binance.path import BinanceFastPath
from tercel.venues.binance.pending import Pending, PendingRequests
from tercel.venues.binance.refusals import CLOCK_CODE, words_of
from tercel.venues.contract import Request, Send

if TYPE_CHECKING:
    from tercel.venues.binance.connection import BinanceConnection

__all__ = ["Sender"]

_OK = 200


class _Command(NamedTuple):
    """A COMMAND row as Python numbers."""

    cause: int
    ts: int
    id: int
    px: int
    qty: int
    arg: int
    expire_ns: int
    kind: int
    side: int
    type: int
    tif: int
    flags: int
    instrument: int


class Sender:
    """Sends orders of one connection. pending: what waits for an answer."""

    def __init__(self, connection: BinanceConnection) -> None:
        self._c = connection
        self._grids = {i: encoding.Grid(x) for i, x in connection.instruments.items()}
        self.pending = PendingRequests(connection, self._answered_session)
        self._encode = msgspec.json.Encoder().encode
        self._api_key = "" if connection.signer is None else connection.signer.api_key
        self._is_logged_on = False
        self._by_http = connection.settings.orders_by == "http"
        self.fast = BinanceFastPath(connection.feed, connection.desk, connection.limits, self._book)

    def learn_rules(self) -> None:
        """The venue's rules are known, or have changed: make ready what can be."""
        connection = self._c
        rules = {i: x for i, x in connection.rules.items() if i not in connection.differing}
        self.fast.learn(rules, connection.settings.is_spot, connection.settings.recv_window_ms)

    def refresh(self) -> None:
        """Let the compiled way know how things stand; called after whatever may have changed them."""
        is_ready = self._is_logged_on and self._c.is_ready and not self._by_http
        self.fast.refresh(is_ready, self._c.clock_offset_ns or 0)

    @property
    def must_log_on(self) -> bool:
        """The key can log a session on, after which no request is signed."""
        return self._c.signer is not None and self._c.signer.can_log_on

    # --- the session -------------------------------------------------------------------------------------------------

    def opened(self, now_ns: int) -> None:
        """The order channel is open: log on, or subscribe with a signature."""
        self._is_logged_on = False
        if self.must_log_on:
            self._session("session.logon", self._c.timing(now_ns), True, now_ns)
        elif self._c.settings.is_spot:
            self._session("userDataStream.subscribe.signature", self._c.timing(now_ns), True, now_ns)

    def lost(self) -> None:
        """The order channel is gone: what was asked there may or may not have been done."""
        self._is_logged_on = False
        self.pending.lost()

    def _session(self, method: str, params: Params, is_signed: bool, now_ns: int) -> None:
        self._leave(
            Pending(0, method, 0, 0, 0, 0, 0, now_ns + self._c.settings.answer_timeout_ns, False), params, now_ns
        )

    def _answered_session(self, method: str, status: int, code: int, now_ns: int) -> None:
        if status != _OK:
            self._c.notes.append(f"{self._c.name}: {method} refused: {words_of(status, code)}")
            self._c.key_refused(method, status, code)
            if code == CLOCK_CODE:
                self._c.measure_clock(now_ns)
            self._c.drop("orders", f"{method} refused")
        elif method == "session.logon":
            self._is_logged_on = True
            if self._c.settings.is_spot:
                self._session("userDataStream.subscribe", {}, False, now_ns)
            else:
                self._c.subscribed(now_ns)
        else:
            self._c.subscribed(now_ns)

    # --- commands ----------------------------------------------------------------------------------------------------

    def send(self, commands: np.ndarray, now_ns: int) -> None:
        """Send (n,) COMMAND rows, or answer them."""
        if self._is_logged_on and self._leave_at_once(commands, now_ns):
            return
        for row in commands.tolist():
            c = _Command(*row)
            if c.kind == NEW:
                self._new(c, now_ns)
            elif c.kind == CANCEL:
                self._cancel(c, now_ns)
            elif c.kind == AMEND:
                self._amend(c, now_ns)
            elif c.kind == CANCEL_ALL:
                self._cancel_all(c, now_ns)
            elif c.kind == LINK:
                # Pairs of orders that already stand cannot be joined at this venue.
                self._c.desk.amend_rejected(c.id, c.instrument, reasons.VENUE_UNSUPPORTED, now_ns)
        self.refresh()

    def _leave_at_once(self, commands: np.ndarray, now_ns: int) -> bool:
        """Send commands whose requests are prepared, all or none. False where anything speaks against one of them: the
        long way tells what."""
        connection = self._c
        n = self.fast.write(commands, now_ns)
        if n == 0 and connection.limits.is_spent(connection.venue_ns(now_ns)):
            connection.limits.allow(connection.venue_ns(now_ns))
            n = self.fast.write(commands, now_ns)
        if n == 0:
            return False
        # Written before it is booked: nothing can come in between, and the order is a microsecond sooner on the wire.
        write = connection.writers.get("orders")
        for request in self.fast.requests(n):
            if write is None or connection.effects or not write(request):
                connection.effects.append(Send("orders", bytes(request)))
        self._book(commands, now_ns)
        return True

    def _book(self, commands: np.ndarray, now_ns: int) -> None:
        """Note (n,) COMMAND whose requests have left by the compiled way, under the last n numbers."""
        desk, pending = self._c.desk, self.pending
        due_ns = now_ns + self._c.settings.answer_timeout_ns
        number = self.fast.next_number - len(commands)
        for _, _, id, px, qty, _, _, kind, side, _, tif, _, i in commands.tolist():
            if kind == NEW:
                order = desk.add(LiveOrder(id, i, side, px, qty, tif == GTX))
                order.sent_ns = now_ns
                pending.add(number, Pending(NEW, "order.place", id, i, side, px, qty, due_ns, False))
            else:
                pending.add(number, Pending(CANCEL, "order.cancel", id, i, side, px, qty, due_ns, False))
            number += 1

    def _blocked(self, now_ns: int) -> int:
        if self._c.limits.is_blocked(now_ns):
            return reasons.VENUE_BANNED if self._c.limits.is_banned else reasons.VENUE_RATE_LIMIT
        return 0

    def _full(self, now_ns: int) -> int:
        venue_ns = self._c.venue_ns(now_ns)
        limits = self._c.limits
        if limits.has_room("ORDERS", 1, venue_ns) and limits.has_room("REQUEST_WEIGHT", 1, venue_ns):
            return 0
        return reasons.VENUE_RATE_LIMIT

    def _new(self, c: _Command, now_ns: int) -> None:
        connection = self._c
        i = c.instrument
        reason = connection.refusal(i) or self._blocked(now_ns) or self._full(now_ns)
        rules = connection.rules.get(i)
        if reason == 0 and rules is not None:
            reason = rules.refusal(c.type, c.px, c.qty, connection.desk.n_open[i])
        if reason == 0 and c.id in connection.desk.open:
            reason = reasons.VENUE_DUPLICATE
        if reason == 0:
            symbol = connection.instruments[i].symbol
            made = encoding.new_order(c, symbol, self._grids[i], connection.settings.is_spot, now_ns)
            if isinstance(made, dict):
                order = connection.desk.add(LiveOrder(c.id, i, c.side, c.px, c.qty, c.tif == GTX))
                order.is_plain = c.type == LIMIT
                order.sent_ns = now_ns
                self._request(NEW, "order.place", made, c, now_ns)
                return
            reason = made
        if reason == reasons.VENUE_DUPLICATE:
            # The order of that id lives: refusing this row must not end it here.
            connection.notes.append(f"{connection.name}: order {c.id} was sent twice")
            return
        connection.desk.rejected(c.id, i, c.side, c.px, c.qty, reason, now_ns)

    def _cancel(self, c: _Command, now_ns: int) -> None:
        instrument = self._c.instruments.get(c.instrument)
        reason = reasons.UNKNOWN_INSTRUMENT if instrument is None else self._blocked(now_ns)
        if reason == 0 and not self._c.is_up("orders") and not self._c.settings.rest_when_down:
            reason = reasons.VENUE_DOWN
        if reason or instrument is None:
            self._c.desk.cancel_rejected(c.id, c.instrument, reason, now_ns)
            return
        self._request(CANCEL, "order.cancel", encoding.cancel(c.id, instrument.symbol), c, now_ns)

    def _cancel_all(self, c: _Command, now_ns: int) -> None:
        instrument = self._c.instruments.get(c.instrument)
        if instrument is None or self._blocked(now_ns):
            self._c.notes.append(f"{self._c.name}: cancel-all of instrument {c.instrument} could not be sent")
            return
        params: Params = {"symbol": instrument.symbol}
        if self._c.settings.is_spot:
            self._request(CANCEL_ALL, "openOrders.cancelAll", params, c, now_ns)
        else:
            self._http(CANCEL_ALL, "openOrders.cancelAll", params, c, now_ns)

    def _amend(self, c: _Command, now_ns: int) -> None:
        connection = self._c
        order = connection.desk.open.get(c.id)
        reason = connection.refusal(c.instrument) or self._blocked(now_ns) or self._full(now_ns)
        if reason == 0 and order is None:
            reason = reasons.VENUE_UNKNOWN_ORDER
        rules = connection.rules.get(c.instrument)
        if reason == 0 and rules is not None:
            reason = rules.refusal(LIMIT, c.px, c.qty, 0)
        if reason or order is None:
            connection.desk.amend_rejected(c.id, c.instrument, reason, now_ns)
            return
        replaces = connection.instruments[c.instrument].amends == "replace"
        how, filled, reason = encoding.how_to_amend(c, order, rules, connection.settings.is_spot, replaces)
        if reason:
            connection.desk.amend_rejected(c.id, c.instrument, reason, now_ns)
            return
        if how == "order.cancelReplace":
            order.replacing, order.is_half_done = (c.px, c.qty), False
        order.sent_ns = now_ns
        symbol, grid = connection.instruments[c.instrument].symbol, self._grids[c.instrument]
        params = encoding.replace_order(
            c.id, symbol, grid, order.side > 0, order.is_maker, c.px, c.qty, filled, how
        )  # fmt: skip
        self._request(AMEND, how, params, c, now_ns)

    # --- leaving -----------------------------------------------------------------------------------------------------

    def _request(self, kind: int, method: str, params: Params, c: _Command, now_ns: int) -> None:
        if not self._c.is_up("orders") or self._c.settings.orders_by == "http":
            self._http(kind, method, params, c, now_ns)
            return
        due_ns = now_ns + self._c.settings.answer_timeout_ns
        pending = Pending(kind, method, c.id, c.instrument, c.side, c.px, c.qty, due_ns, False)
        params |= self._c.timing(now_ns)
        self._leave(pending, params, now_ns)

    def _count(self, kind: int, now_ns: int) -> None:
        venue_ns = self._c.venue_ns(now_ns)
        self._c.limits.used("REQUEST_WEIGHT", 1, venue_ns)
        if kind in (NEW, AMEND):
            self._c.limits.used("ORDERS", 1, venue_ns)

    def _leave(self, pending: Pending, params: Params, now_ns: int) -> None:
        """One frame of the WebSocket API, signed where the session is not logged on."""
        assert self._c.signer is not None
        if not self._is_logged_on:
            params = self._c.signer.params(params)
        number = self._c.take_id()
        self.pending.add(number, pending)
        self._count(pending.kind, now_ns)
        frame = self._encode({"id": number, "method": pending.method, "params": params})
        self._c.effects.append(Send("orders", frame))

    def _http(self, kind: int, method: str, params: Params, c: _Command, now_ns: int) -> None:
        """The same request by HTTP. Cancels may be repeated, orders may not."""
        assert self._c.signer is not None
        settings = self._c.settings
        number = self._c.take_id()
        due_ns = now_ns + settings.answer_timeout_ns
        self.pending.add(number, Pending(kind, method, c.id, c.instrument, c.side, c.px, c.qty, due_ns, True))
        self._count(kind, now_ns)
        verb, path = HTTP_TWINS.get(method, ("DELETE", "/openOrders" if settings.is_spot else "/allOpenOrders"))
        query = self._c.signer.query(params | self._c.timing(now_ns))
        url = f"{settings.rest}{settings.api}{path}?{query}"
        headers = {"X-MBX-APIKEY": self._api_key}
        self._c.effects.append(Request(number, method, verb, url, headers, b"", 1, kind in (CANCEL, CANCEL_ALL)))
