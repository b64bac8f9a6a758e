"""Requests that are on their way, and what their answers mean: rows, doubts, blocks.

A request whose answer does not come is never taken for refused: its order joins `in_doubt`. Called by `sending`, which
lets requests leave, and through it by `connection`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from tercel.model import reasons
from tercel.model.commands import AMEND, CANCEL, NEW
from tercel.venues.binance.messages import ErrorBody, OrderBody, WsAnswer
from tercel.venues.binance.refusals import CLOCK_CODE, UNKNOWN_OUTCOME, reason_of
from tercel.venues.contract import NEVER

if TYPE_CHECKING:
    from tercel.venues.binance.connection import BinanceConnection

__all__ = ["Pending", "PendingRequests"]

_MS = 1_000_000
_S = 1_000_000_000
_OK = 200


class Pending(msgspec.Struct):
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


class PendingRequests:
    """What waits for an answer at one connection. session: called with method, status, code and time when a log-on or a
    subscription is answered.
    """

    def __init__(self, connection: BinanceConnection, session: Callable[[str, int, int, int], None]) -> None:
        self._c = connection
        self._session = session
        self._pending: dict[int, Pending] = {}

    def add(self, number: int, request: Pending) -> None:
        """A request has left under this number."""
        self._pending[number] = request

    @property
    def deadline_ns(self) -> int:
        """When `on_wake` has something to give up."""
        # Requests are kept in the order they left, and all wait equally long.
        return next(iter(self._pending.values())).due_ns if self._pending else NEVER

    def lost(self) -> None:
        """The order channel is gone: what was asked there may or may not have been done."""
        for number in [number for number, x in self._pending.items() if not x.is_http]:
            self._doubt(self._pending.pop(number))

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
            self._session(pending.method, answer.status, 0 if error is None else error.code, now_ns)
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

    def _doubt(self, pending: Pending) -> None:
        if pending.kind in (NEW, AMEND, CANCEL):
            self._c.in_doubt.add(pending.id)

    def _done(self, pending: Pending, result: Any, now_ns: int) -> None:
        if pending.kind == NEW:
            body = _decoded(result, OrderBody)
            if body is None:
                self._doubt(pending)
                return
            self._c.desk.acked(pending.id, body.orderId, (body.transactTime or body.updateTime) * _MS, now_ns)

    def _failed(self, pending: Pending, status: int, error: ErrorBody, now_ns: int) -> None:
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

    def _half(self, pending: Pending, error: ErrorBody, now_ns: int) -> None:
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

    def _refuse(self, pending: Pending, reason: int, now_ns: int) -> None:
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
