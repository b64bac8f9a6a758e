"""The answer to `ask_report`: which questions to ask the venue, in which order, and one AccountReport from the answers.

Three rounds, each asked whole before the next: open orders and the orders asked about; fills; then positions, balances
and the orders that fills name and nobody knows yet. Fills come after orders, so a fill between two answers is told
twice rather than never. Pages of fills are followed to their end. Makes questions, no requests; called by `connection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

import msgspec

from tercel.errors import DataError
from tercel.model.account import AccountReport, VenueExecution, VenueOrder
from tercel.model.events import ACK, BUY, CANCELED, EXPIRED, FILL, REJECT, SELL
from tercel.model.instrument import Instrument
from tercel.model.units import to_decimal
from tercel.venues.binance.desk import Desk, LiveOrder
from tercel.venues.binance.encoding import Params, own_id
from tercel.venues.binance.messages import OrderBody, TradeBody
from tercel.venues.contract import client_id

__all__ = ["Question", "Report", "Reports"]

_MS = 1_000_000
_PAGE = 1000
#: The longest span of time that one question about fills may cover.
_SPAN_MS = {True: 86_400_000, False: 7 * 86_400_000}

_STATUS = {
    "NEW": ACK, "PARTIALLY_FILLED": ACK, "PENDING_NEW": ACK, "PENDING_CANCEL": ACK, "FILLED": FILL,
    "CANCELED": CANCELED, "EXPIRED": EXPIRED, "EXPIRED_IN_MATCH": EXPIRED, "REJECTED": REJECT,
}  # fmt: skip


class Question(msgspec.Struct, frozen=True, eq=False):
    """One question. what: "open", "order", "by_number", "trades", "positions", "balances"; i: instrument or -1."""

    what: str
    path: str
    params: Params
    weight: int
    i: int = -1
    number: int = 0


class _Position(msgspec.Struct):
    symbol: str
    positionAmt: str  # noqa: N815


class _Balance(msgspec.Struct):
    asset: str = ""
    free: str = "0"
    locked: str = "0"
    balance: str = "0"


class _Account(msgspec.Struct):
    balances: list[_Balance]


class Report:
    """One report in the making. questions: to be asked now. n_waiting: asked and not answered."""

    def __init__(
        self,
        instruments: Mapping[int, Instrument],
        asked: Sequence[int],
        order_ids: Sequence[int],
        since_ns: int,
        venue_ns: int,
        desk: Desk,
        is_spot: bool,
    ) -> None:
        self.questions: list[Question] = []
        self.n_waiting = 0
        self._instruments = instruments
        self._asked = tuple(i for i in asked if i in instruments)
        self._order_ids = tuple(order_ids)
        self._since_ms = max(0, since_ns // _MS)
        self._until_ms = venue_ns // _MS
        self._ts_ns = venue_ns
        self._desk = desk
        self._is_spot = is_spot
        self._api = "/api/v3" if is_spot else "/fapi/v1"
        self._round = 0
        self._open: dict[int, VenueOrder] = {}  # by venue number
        self._found: dict[int, VenueOrder] = {}  # by our id
        self._trades: dict[tuple[int, int], TradeBody] = {}
        self._positions: dict[int, int] = {}
        self._balances: dict[str, Decimal] = {}
        self._owners: dict[int, int] = {}
        self._first_round()

    def _first_round(self) -> None:
        for i in self._asked:
            params: Params = {"symbol": self._instruments[i].symbol}
            self.questions.append(Question("open", f"{self._api}/openOrders", params, 6 if self._is_spot else 1, i))
        for number in self._order_ids:
            known = self._desk.open.get(number)
            for i in (known.i,) if known is not None else self._asked:
                params = {"symbol": self._instruments[i].symbol, "origClientOrderId": client_id(number)}
                weight = 4 if self._is_spot else 1
                self.questions.append(Question("order", f"{self._api}/order", params, weight, i, number))

    def _ask_trades(self, i: int, start_ms: int, from_id: int = -1) -> None:
        path = f"{self._api}/{'myTrades' if self._is_spot else 'userTrades'}"
        params: Params = {"symbol": self._instruments[i].symbol, "limit": _PAGE}
        if from_id >= 0:
            params["fromId"] = from_id
        else:
            params["startTime"] = start_ms
            # As far as may be asked, not only to now: what we take for the venue's time may be behind it.
            params["endTime"] = start_ms + _SPAN_MS[self._is_spot] - 1
        self.questions.append(Question("trades", path, params, 20 if self._is_spot else 5, i))

    def _last_round(self) -> None:
        if self._is_spot:
            self.questions.append(Question("balances", "/api/v3/account", {"omitZeroBalances": "true"}, 20))
        else:
            self.questions.append(Question("positions", "/fapi/v3/positionRisk", {}, 5))
            self.questions.append(Question("balances", "/fapi/v3/balance", {}, 5))
        numbers = {(i, trade.orderId) for (i, _), trade in self._trades.items()}
        for i, number in sorted(numbers):
            if number not in self._owners and number not in self._desk.venue_ids:
                params: Params = {"symbol": self._instruments[i].symbol, "orderId": number}
                weight = 4 if self._is_spot else 1
                self.questions.append(Question("by_number", f"{self._api}/order", params, weight, i, number))

    def refused(self, question: Question) -> None:
        """The venue knows no such order."""
        self.n_waiting -= 1
        if question.what == "by_number":
            self._owners[question.number] = 0

    def answer(self, question: Question, body: bytes) -> None:
        """Take an answer; DataError, with nothing taken, for what the venue cannot have meant."""
        try:
            self._take(question, body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
            raise DataError(f"{question.path}: the answer is not what the venue sends: {error}") from None
        self.n_waiting -= 1

    def _take(self, question: Question, body: bytes) -> None:
        what, i = question.what, question.i
        if what == "open":
            for found in [self._order(i, x) for x in msgspec.json.decode(body, type=list[OrderBody])]:
                self._open[found.venue_id] = found
                self._owners[found.venue_id] = found.id
        elif what in ("order", "by_number"):
            found = self._order(i, msgspec.json.decode(body, type=OrderBody))
            self._owners[found.venue_id] = found.id
            if what == "order":
                self._found[question.number] = found
        elif what == "trades":
            self._take_trades(question, msgspec.json.decode(body, type=list[TradeBody]))
        elif what == "positions":
            lots = {x.symbol: x.positionAmt for x in msgspec.json.decode(body, type=list[_Position])}
            for at in self._asked:
                instrument = self._instruments[at]
                self._positions[at] = instrument.lots(lots.get(instrument.symbol, "0"))
        elif self._is_spot:
            for x in msgspec.json.decode(body, type=_Account).balances:
                self._balances[x.asset] = to_decimal(x.free, "balance") + to_decimal(x.locked, "balance")
        else:
            for x in msgspec.json.decode(body, type=list[_Balance]):
                self._balances[x.asset] = to_decimal(x.balance, "balance")

    def _take_trades(self, question: Question, trades: list[TradeBody]) -> None:
        i, instrument = question.i, self._instruments[question.i]
        for trade in trades:
            # Judged before any is taken: a bad number must not leave half a page.
            instrument.ticks(trade.price), instrument.lots(trade.qty)
            to_decimal(trade.commission, "commission")
        for trade in trades:
            if trade.time >= self._since_ms:
                self._trades[(i, trade.id)] = trade
        if len(trades) >= _PAGE:
            self._ask_trades(i, 0, max(trade.id for trade in trades) + 1)
            return
        end = question.params.get("endTime")
        if isinstance(end, int) and end < self._until_ms:
            self._ask_trades(i, end + 1)

    def next_round(self) -> bool:
        """Everything asked is answered: ask what follows. False where nothing does and the report is done."""
        self._round += 1
        if self._round == 1:
            for i in self._asked:
                self._ask_trades(i, self._since_ms)
        elif self._round == 2:
            self._last_round()
        return self._round <= 2

    def _order(self, i: int, x: OrderBody) -> VenueOrder:
        instrument = self._instruments[i]
        if x.side not in ("BUY", "SELL") or x.status not in _STATUS:
            raise DataError(f"an order of side {x.side!r} and status {x.status!r}")
        return VenueOrder(
            id=own_id(x.clientOrderId), client_id=x.clientOrderId, venue_id=x.orderId, instrument=i,
            side=BUY if x.side == "BUY" else SELL, px=instrument.ticks(x.price),
            qty=instrument.lots(x.origQty), filled=instrument.lots(x.executedQty),
            status=_STATUS[x.status], ts_ns=(x.updateTime or x.transactTime or x.time) * _MS,
        )  # fmt: skip

    def done(self) -> AccountReport:
        """The report; the desk learns from it: fills told, orders open, orders no longer in doubt."""
        desk = self._desk
        for found in [*self._open.values(), *self._found.values()]:
            desk.name(found.venue_id, found.id)
            if found.id and found.status == ACK:
                self._take_up(found)
        # Fills first: those of numbers that were replaced belong to the size of the order that stands.
        executions = self._executions()
        open_orders = tuple(self._whole(found) for found in self._open.values())
        found_orders = {number: self._whole(found) for number, found in self._found.items()}
        for found in [*self._open.values(), *self._found.values()]:
            if found.id and found.status == ACK:
                self._learn(found)
            elif found.id:
                desk.end(found.id)
        orders = []
        for number in self._order_ids:
            known = found_orders.get(number)
            orders.append(known if known is not None else VenueOrder(id=number, client_id=client_id(number)))
            if known is None:
                desk.end(number)
        return AccountReport(
            instruments=self._asked, ts_ns=self._ts_ns, open_orders=open_orders, orders=tuple(orders),
            executions=executions, positions=self._positions, balances=self._balances,
        )  # fmt: skip

    def _whole(self, found: VenueOrder) -> VenueOrder:
        """The order with what was filled of it before it was replaced: the venue counts from the replacement on."""
        known = self._desk.open.get(found.id)
        carried = known.carried(found.venue_id) if known is not None else 0
        return msgspec.structs.replace(found, qty=found.qty + carried, filled=found.filled + carried)

    def _take_up(self, found: VenueOrder) -> None:
        if found.id not in self._desk.open:
            self._desk.add(LiveOrder(found.id, found.instrument, found.side, found.px, found.qty))

    def _learn(self, found: VenueOrder) -> None:
        desk = self._desk
        order = desk.open.get(found.id)
        if order is None or found.venue_id < order.venue_id:
            # Ended by another answer of this report, or replaced since this one was given.
            return
        order.px, order.venue_id, order.is_acked = found.px, found.venue_id, True
        order.qty, order.filled = found.qty, found.filled
        order.replacing, order.is_half_done = None, False
        desk.in_doubt.discard(found.id)

    def _executions(self) -> tuple[VenueExecution, ...]:
        told = []
        for (i, number), x in sorted(self._trades.items(), key=lambda pair: (pair[1].time, pair[0])):
            instrument = self._instruments[i]
            px = instrument.ticks(x.price)
            is_buy = x.isBuyer if x.isBuyer is not None else x.buyer
            is_maker = x.isMaker if x.isMaker is not None else x.maker
            owner = self._owners.get(x.orderId, self._desk.venue_ids.get(x.orderId, 0))
            if not self._desk.saw(i, number) and owner in self._desk.open:
                self._desk.open[owner].tell(x.orderId, instrument.lots(x.qty))
            told.append(
                VenueExecution(
                    id=owner, venue_id=x.orderId,
                    execution_id=number, instrument=i, side=BUY if is_buy else SELL, px=px, qty=instrument.lots(x.qty),
                    fee=self._desk.fee(instrument, x.commission, x.commissionAsset, px), is_maker=is_maker,
                    ts_ns=x.time * _MS,
                )
            )  # fmt: skip
        return tuple(told)


class Reports:
    """Reports asked for, one in the making at a time. ask: sends a question off at a time of ours.

    done: the finished ones, in order (the connection's own list).
    """

    def __init__(
        self,
        instruments: Mapping[int, Instrument],
        desk: Desk,
        is_spot: bool,
        ask: Callable[[Question, int], None],
        done: list[AccountReport],
    ) -> None:
        self._instruments, self._desk, self._is_spot, self._ask, self._done = instruments, desk, is_spot, ask, done
        self._wanted: list[tuple[tuple[int, ...], tuple[int, ...], int]] = []
        self._current: Report | None = None

    def want(self, instruments: Sequence[int], order_ids: Sequence[int], since_ns: int) -> None:
        """Put one more in the queue; `go_on` begins it."""
        self._wanted.append((tuple(instruments), tuple(order_ids), since_ns))

    def clear(self) -> None:
        """Forget everything."""
        self._wanted.clear()
        self._current = None

    def answer(self, question: Question, body: bytes) -> None:
        """An answer; DataError for what the venue cannot have meant, then the question is to be asked again."""
        if self._current is not None:
            self._current.answer(question, body)

    def refused(self, question: Question, now_ns: int, travel_ns: int) -> int:
        """The venue knows no such order. Where its request may still arrive, within `travel_ns` of when it left: the
        time to ask again at; else 0."""
        order = self._desk.open.get(question.number)
        if order is not None and question.what == "order" and now_ns < order.sent_ns + travel_ns:
            return order.sent_ns + travel_ns
        if self._current is not None:
            self._current.refused(question)
        return 0

    def go_on(self, now_ns: int, venue_ns: int) -> None:
        """Ask what is to be asked, finish what is answered, begin the next."""
        while True:
            if self._current is None:
                if not self._wanted:
                    return
                asked, order_ids, since_ns = self._wanted.pop(0)
                self._current = Report(
                    self._instruments, asked, order_ids, since_ns, venue_ns, self._desk, self._is_spot
                )  # fmt: skip
            report = self._current
            questions, report.questions[:] = list(report.questions), []
            report.n_waiting += len(questions)
            for question in questions:
                self._ask(question, now_ns)
            if report.n_waiting > 0:
                return
            if not report.next_round():
                self._done.append(report.done())
                self._current = None
