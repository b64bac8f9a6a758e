"""Order entry: COMMAND rows to requests of the WebSocket API (or HTTP), their answers to rows, log-on and subscription.

Every command is answered: by a request that leaves, or by a row that says why not. A request whose answer does not come
is never taken for refused: its order joins `in_doubt`. Called by `connection`, which owns channels and clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from tercel.model import reasons
from tercel.model.commands import AMEND, CANCEL, CANCEL_ALL, GTX, LIMIT, LINK, NEW
from tercel.venues.binance import encoding
from tercel.venues.binance.desk import LiveOrder
from tercel.venues.binance.encoding import HTTP_TWINS, Params
from tercel.venues.binance.messages import ErrorBody, OrderBody, WsAnswer
from tercel.venues.binance.path import BinanceFastPath
from tercel.venues.binance.refusals import CLOCK_CODE, UNKNOWN_OUTCOME, reason_of, words_of
from tercel.venues.contract import NEVER, Request, Send

if TYPE_CHECKING:
    from tercel.venues.binance.connection import BinanceConnection

__all__ = ["Sender"]

_MS = 1_000_000
_S = 1_000_000_000
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


class _Pending(msgspec.Struct):
    """A request that is not answered. kind: NEW, AMEND, CANCEL, CANCEL_ALL, or 0 for a log-on or a subscription."""

    kind: int
    method: str
    id: int
    i: int
    side: int
    px: int
    qty: int
    due_ns: int
    is_http: bool


class _Replaced(msgspec.Struct):
    """What cancelReplace adds to its error: how each half went."""

    cancelResult: str = ""  # noqa: N815
    newOrderResult: str = ""  # noqa: N815
    cancelResponse: msgspec.Raw = msgspec.Raw()  # noqa: N815
    newOrderResponse: msgspec.Raw = msgspec.Raw()  # noqa: N815


class _Ban(msgspec.Struct):
    """What a 429 or 418 of the WebSocket API adds: the venue's time until which nothing may be sent, ms."""

    retryAfter: int = 0  # noqa: N815


class Sender:
    """Sends orders of one connection. deadline_ns: when the oldest unanswered request is given up."""

    def __init__(self, connection: BinanceConnection) -> None:
        self._c = connection
        self._grids = {i: encoding.Grid(x) for i, x in connection.instruments.items()}
        self._pending: dict[int, _Pending] = {}
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

    @property
    def deadline_ns(self) -> int:
        """When `on_wake` has something to give up."""
        # Requests are kept in the order they left, and all wait equally long.
        return next(iter(self._pending.values())).due_ns if self._pending else NEVER

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
        for number in [number for number, x in self._pending.items() if not x.is_http]:
            self._doubt(self._pending.pop(number))

    def _session(self, method: str, params: Params, is_signed: bool, now_ns: int) -> None:
        self._leave(
            _Pending(0, method, 0, 0, 0, 0, 0, now_ns + self._c.settings.answer_timeout_ns, False), params, now_ns
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
        desk, pending = self._c.desk, self._pending
        due_ns = now_ns + self._c.settings.answer_timeout_ns
        number = self.fast.next_number - len(commands)
        for _, _, id, px, qty, _, _, kind, side, _, tif, _, i in commands.tolist():
            if kind == NEW:
                order = desk.add(LiveOrder(id, i, side, px, qty, tif == GTX))
                order.sent_ns = now_ns
                pending[number] = _Pending(NEW, "order.place", id, i, side, px, qty, due_ns, False)
            else:
                pending[number] = _Pending(CANCEL, "order.cancel", id, i, side, px, qty, due_ns, False)
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
        pending = _Pending(kind, method, c.id, c.instrument, c.side, c.px, c.qty, due_ns, False)
        params |= self._c.timing(now_ns)
        self._leave(pending, params, now_ns)

    def _count(self, kind: int, now_ns: int) -> None:
        venue_ns = self._c.venue_ns(now_ns)
        self._c.limits.used("REQUEST_WEIGHT", 1, venue_ns)
        if kind in (NEW, AMEND):
            self._c.limits.used("ORDERS", 1, venue_ns)

    def _leave(self, pending: _Pending, params: Params, now_ns: int) -> None:
        """One frame of the WebSocket API, signed where the session is not logged on."""
        assert self._c.signer is not None
        if not self._is_logged_on:
            params = self._c.signer.params(params)
        number = self._c.take_id()
        self._pending[number] = pending
        self._count(pending.kind, now_ns)
        frame = self._encode({"id": number, "method": pending.method, "params": params})
        self._c.effects.append(Send("orders", frame))

    def _http(self, kind: int, method: str, params: Params, c: _Command, now_ns: int) -> None:
        """The same request by HTTP. Cancels may be repeated, orders may not."""
        assert self._c.signer is not None
        settings = self._c.settings
        number = self._c.take_id()
        due_ns = now_ns + settings.answer_timeout_ns
        self._pending[number] = _Pending(kind, method, c.id, c.instrument, c.side, c.px, c.qty, due_ns, True)
        self._count(kind, now_ns)
        verb, path = HTTP_TWINS.get(method, ("DELETE", "/openOrders" if settings.is_spot else "/allOpenOrders"))
        query = self._c.signer.query(params | self._c.timing(now_ns))
        url = f"{settings.rest}{settings.api}{path}?{query}"
        headers = {"X-MBX-APIKEY": self._api_key}
        self._c.effects.append(Request(number, method, verb, url, headers, b"", 1, kind in (CANCEL, CANCEL_ALL)))

    # --- answers -----------------------------------------------------------------------------------------------------

    def on_answer(self, answer: WsAnswer, now_ns: int) -> None:
        """An answer of the WebSocket API."""
        number = answer.id if isinstance(answer.id, int) else -1
        pending = self._pending.pop(number, None)
        error = None if answer.status == _OK else answer.error or ErrorBody(0, f"status {answer.status}")
        if error is not None and answer.status in (429, 418):
            ban = _decoded(error.data, _Ban)
            until_ns = (ban.retryAfter if ban is not None else 0) * _MS
            wait_ns = until_ns - self._c.venue_ns(now_ns) if until_ns else 10 * _S
            self._c.blocked(max(0, wait_ns), answer.status == 418, now_ns)
        if pending is None:
            if error is not None:
                self._c.notes.append(f"{self._c.name}: order channel: status {answer.status}, code {error.code}")
                if answer.status == 401:
                    self._c.drop("orders", "session revoked")
            return
        if pending.kind == 0:
            self._answered_session(pending.method, answer.status, 0 if error is None else error.code, now_ns)
        elif error is None:
            self._done(pending, answer.result, now_ns)
        else:
            self._failed(pending, answer.status, error, now_ns)

    def on_response(self, number: int, status: int, body: bytes, error: ErrorBody | None, now_ns: int) -> bool:
        """An answer of HTTP; False where the request was not one of ours."""
        pending = self._pending.pop(number, None)
        if pending is None:
            return False
        if error is None:
            self._done(pending, body, now_ns)
        else:
            self._failed(pending, status, error, now_ns)
        return True

    def on_failure(self, number: int, was_sent: bool, now_ns: int) -> bool:
        """No answer of HTTP will come; False where the request was not one of ours."""
        pending = self._pending.pop(number, None)
        if pending is not None and was_sent:
            self._doubt(pending)
        elif pending is not None:
            self._refuse(pending, reasons.VENUE_DOWN, now_ns)
        return pending is not None

    def on_wake(self, now_ns: int) -> None:
        """Give up waiting for answers that are overdue: their orders are in doubt."""
        while self._pending and self.deadline_ns <= now_ns:
            pending = self._pending.pop(next(iter(self._pending)))
            if pending.kind == 0:
                self._c.drop("orders", f"{pending.method} was not answered")
            self._doubt(pending)

    def _doubt(self, pending: _Pending) -> None:
        if pending.kind in (NEW, AMEND, CANCEL):
            self._c.in_doubt.add(pending.id)

    def _done(self, pending: _Pending, result: Any, now_ns: int) -> None:
        if pending.kind == NEW:
            body = _decoded(result, OrderBody)
            if body is None:
                self._doubt(pending)
                return
            self._c.desk.acked(pending.id, body.orderId, (body.transactTime or body.updateTime) * _MS, now_ns)

    def _failed(self, pending: _Pending, status: int, error: ErrorBody, now_ns: int) -> None:
        if error.code == CLOCK_CODE:
            self._c.measure_clock(now_ns)
        if error.code in UNKNOWN_OUTCOME or (error.code == 0 and status >= 500):
            self._doubt(pending)
            return
        if pending.method == "order.cancelReplace" and error.code in (-2021, -2022):
            self._half(pending, error, now_ns)
            return
        if status in (429, 418):
            self._refuse(pending, reasons.VENUE_BANNED if status == 418 else reasons.VENUE_RATE_LIMIT, now_ns)
            return
        self._refuse(pending, reason_of(error.code, error.msg, self._c.settings.is_spot), now_ns)

    def _half(self, pending: _Pending, error: ErrorBody, now_ns: int) -> None:
        """A cancelReplace of which one half failed, or both."""
        halves = _decoded(error.data, _Replaced)
        if halves is None:
            self._doubt(pending)
            return
        is_gone = halves.cancelResult == "SUCCESS"
        why = _decoded(halves.newOrderResponse if is_gone else halves.cancelResponse, ErrorBody)
        if why is None or halves.newOrderResult == "SUCCESS":
            self._doubt(pending)
            return
        self._c.desk.amend_rejected(pending.id, pending.i, reason_of(why.code, why.msg, True), now_ns, is_gone)

    def _refuse(self, pending: _Pending, reason: int, now_ns: int) -> None:
        desk = self._c.desk
        if pending.kind == NEW:
            # An order that has filled or ended meanwhile was not refused, whatever the answer says.
            if pending.id in desk.open:
                desk.rejected(pending.id, pending.i, pending.side, pending.px, pending.qty, reason, now_ns)
        elif pending.kind == CANCEL:
            desk.cancel_rejected(pending.id, pending.i, reason, now_ns)
        elif pending.kind == AMEND:
            desk.amend_rejected(pending.id, pending.i, reason, now_ns)
        else:
            self._c.notes.append(f"{self._c.name}: {pending.method} refused, reason {reason}")


def _decoded(data: Any, kind: Any) -> Any:
    """`data` as `kind`, None where it is not one."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
