"""Binance's answers about the account, as one report: rounds, pages, orders on their way, refusals, retries."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import pytest
from venue_cases import T0_MS, T0_NS, VENUES, Hands, command, opened

from tercel.model.commands import AMEND
from tercel.model.events import ACK, BUY, CANCELED, SELL
from tercel.venues.binance.encoding import amend_id
from tercel.venues.contract import client_id

BOTH = pytest.mark.parametrize("case", VENUES.values(), ids=VENUES.keys())
QUESTIONS = (
    "openOrders", "order", "myTrades", "userTrades", "account", "positionRisk", "balance",
)  # fmt: skip
UNKNOWN = b'{"code":-2013,"msg":"Order does not exist."}'


def order(number: int, client: str, **more) -> dict:
    return {
        "symbol": "BTCUSDT", "orderId": number, "clientOrderId": client, "side": "BUY", "price": "60000.0",
        "origQty": "0.020", "executedQty": "0.005", "status": "PARTIALLY_FILLED", "type": "LIMIT",
        "timeInForce": "GTC", "updateTime": T0_MS, "somethingNew": [1],
    } | more  # fmt: skip


def trade(number: int, order_number: int, time_ms: int = T0_MS, **more) -> dict:
    return {
        "symbol": "BTCUSDT", "id": number, "orderId": order_number, "price": "60000.0", "qty": "0.005",
        "commission": "0.12", "commissionAsset": "USDT", "time": time_ms, "isBuyer": True, "isMaker": True,
        "buyer": True, "maker": True,
    } | more  # fmt: skip


class Venue:
    """Answers a report's questions from tables; what it was asked is kept."""

    def __init__(self, hands: Hands) -> None:
        self.hands = hands
        self.open: list[dict] = []
        self.orders: dict[str, dict] = {}
        self.trades: list[dict] = []
        self.asked: list[tuple[str, dict]] = []
        api = hands.connection.settings.api
        hands.holds |= {f"{api}/{name}" for name in QUESTIONS} | {f"/fapi/v3/{name}" for name in QUESTIONS}

    def answer(self) -> None:
        while True:
            self.hands.step()
            if not self.hands.held:
                return
            for request in self.hands.held[:]:
                self.hands.held.remove(request)
                self.one(request)

    def one(self, request) -> None:
        name = request.endpoint.rpartition("/")[2]
        query = dict(part.split("=") for part in request.url.partition("?")[2].split("&"))
        self.asked.append((name, query))
        assert {"signature", "timestamp", "recvWindow"} <= query.keys()
        body, status = b"", 200
        if name == "openOrders":
            body = json.dumps(self.open).encode()
        elif name == "order":
            found = self.orders.get(query.get("origClientOrderId") or query["orderId"])
            body, status = (UNKNOWN, 400) if found is None else (json.dumps(found).encode(), 200)
        elif name in ("myTrades", "userTrades"):
            body = json.dumps(self.page(query)).encode()
        elif name == "account":
            body = b'{"balances":[{"asset":"BTC","free":"1.25","locked":"0.75"}],"uid":1}'
        elif name == "positionRisk":
            body = b'[{"symbol":"BTCUSDT","positionAmt":"-0.015","entryPrice":"1"},{"symbol":"X","positionAmt":"1"}]'
        else:
            body = b'[{"asset":"USDT","balance":"1000.5"}]'
        self.hands.respond(request, body, status)

    def page(self, query: dict) -> list[dict]:
        if "fromId" in query:
            return [x for x in self.trades if x["id"] >= int(query["fromId"])][:1000]
        start, end = int(query["startTime"]), int(query["endTime"])
        return [x for x in self.trades if start <= x["time"] <= end][:1000]


@BOTH
def test_a_report_tells_everything(case):
    hands = opened(case)
    venue = Venue(hands)
    venue.open = [order(11, client_id(7)), order(12, "web_1", status="NEW", executedQty="0.000", side="SELL")]
    venue.orders = {client_id(7): venue.open[0], client_id(8): order(13, client_id(8), status="CANCELED")}
    venue.orders["14"] = order(14, amend_id(9), status="CANCELED")
    venue.trades = [trade(1, 11), trade(2, 14, T0_MS + 1, isBuyer=False, buyer=False, maker=False, isMaker=False)]
    hands.connection.ask_report([0], [7, 8, 99], T0_NS - 3_600_000_000_000, hands.now_ns)
    venue.answer()
    (report,) = hands.connection.reports
    assert report.instruments == (0,)
    assert [(x.id, x.venue_id, x.side, x.qty, x.filled, x.status) for x in report.open_orders] == [
        (7, 11, BUY, 20, 5, ACK), (0, 12, SELL, 20, 0, ACK),
    ]  # fmt: skip
    assert [(x.id, x.status) for x in report.orders] == [(7, ACK), (8, CANCELED), (99, 0)]
    fee = case.instrument().quanta("0.12")
    assert [(x.id, x.execution_id, x.side, x.qty, x.fee, x.is_maker) for x in report.executions] == [
        (7, 1, BUY, 5, fee, True), (9, 2, SELL, 5, fee, False),
    ]  # fmt: skip
    if case.is_spot:
        assert (report.positions, report.balances) == ({}, {"BTC": Decimal(2)})
    else:
        assert (report.positions, report.balances) == ({0: -15}, {"USDT": Decimal("1000.5")})
    names = [name for name, _ in venue.asked]
    assert names.index("openOrders") < names.index("myTrades" if case.is_spot else "userTrades")


@BOTH
def test_a_fill_that_a_report_told_is_not_told_again(case):
    hands = opened(case)
    hands.send(command(7))
    venue = Venue(hands)
    venue.open = [order(11, client_id(7))]
    venue.trades = [trade(501, 11)]
    hands.connection.ask_report([0], [], T0_NS, hands.now_ns)
    venue.answer()
    hands.rows()
    more = {"l": "0.005", "L": "60000.0", "z": "0.005", "n": "0", "N": "USDT"}
    hands.user(case.order_event(client_id(7), "TRADE", "PARTIALLY_FILLED", t=501, **more))
    assert hands.rows() == []
    hands.user(case.order_event(client_id(7), "TRADE", "PARTIALLY_FILLED", t=502, **more))
    assert len(hands.rows()) == 1


@BOTH
def test_pages_and_spans_of_fills_are_followed_to_the_end(case):
    hands = opened(case)
    venue = Venue(hands)
    venue.orders["11"] = order(11, client_id(7), status="FILLED")
    venue.trades = [trade(k, 11, T0_MS - 200_000 + k // 10) for k in range(2_350)]
    hands.connection.ask_report([0], [], T0_NS - 15 * 86_400_000_000_000, hands.now_ns)
    venue.answer()
    (report,) = hands.connection.reports
    assert [x.execution_id for x in report.executions] == list(range(2_350))
    assert {x.id for x in report.executions} == {7}
    spans = [(int(q["startTime"]), int(q["endTime"])) for name, q in venue.asked if "startTime" in q]
    longest = 86_400_000 if case.is_spot else 7 * 86_400_000
    assert all(end - start < longest for start, end in spans)
    assert all(b[0] == a[1] + 1 for a, b in itertools.pairwise(spans))


@BOTH
def test_an_order_that_may_be_on_its_way_is_not_called_unknown(case):
    hands = opened(case)
    venue = Venue(hands)
    hands.send(command(7))
    hands.connection.ask_report([0], [7], T0_NS, hands.now_ns)
    venue.answer()
    assert hands.connection.reports == [], "within the receive window it may still arrive"
    venue.orders[client_id(7)] = order(11, client_id(7))
    hands.step(6_100_000_000)
    venue.answer()
    (report,) = hands.connection.reports
    assert [(x.id, x.status) for x in report.orders] == [(7, ACK)]


@BOTH
def test_an_order_that_never_arrived_leaves_the_doubt(case):
    hands = opened(case)
    venue = Venue(hands)
    hands.send(command(7))
    hands.step(20_000_000_000)
    assert hands.connection.in_doubt == {7}
    hands.connection.ask_report([0], [7], T0_NS, hands.now_ns)
    venue.answer()
    (report,) = hands.connection.reports
    assert [(x.id, x.status) for x in report.orders] == [(7, 0)]
    assert hands.connection.in_doubt == set()
    assert hands.connection.desk.open == {}


@BOTH
@pytest.mark.parametrize("trouble", ["no answer", "busy", "nonsense", "wrong side"])
def test_a_question_that_fails_is_asked_again(case, trouble):
    hands = opened(case)
    venue = Venue(hands)
    venue.open = [order(11, client_id(7))]
    hands.connection.ask_report([0], [], T0_NS, hands.now_ns)
    hands.step()
    request = hands.held.pop(0)
    if trouble == "no answer":
        hands.connection.on_failure(request.id, "reset", True, hands.now_ns)
    elif trouble == "busy":
        hands.respond(request, b"<html>busy</html>", 503)
    elif trouble == "nonsense":
        hands.respond(request, b'{"orders":3}')
    else:
        hands.respond(request, json.dumps([order(11, client_id(7), side="HOLD")]).encode())
    assert hands.connection.reports == []
    hands.step(40_000_000_000)
    venue.answer()
    (report,) = hands.connection.reports
    assert len(report.open_orders) == 1


@BOTH
def test_orders_of_an_earlier_life_are_taken_up(case):
    hands = opened(case)
    venue = Venue(hands)
    venue.open = [order(11, client_id(7))]
    hands.connection.ask_report([0], [], T0_NS, hands.now_ns)
    venue.answer()
    more = {"l": "0.015", "L": "60000.0", "z": "0.020", "t": 9, "n": "0", "N": "USDT"}
    hands.user(case.order_event(client_id(7), "TRADE", "FILLED", **more))
    (row,) = hands.rows()
    assert (row["id"], row["qty"]) == (7, 15)
    assert hands.connection.desk.open == {}


@BOTH
def test_reports_asked_for_together_come_one_after_the_other(case):
    hands = opened(case)
    venue = Venue(hands)
    for number in (7, 8):
        hands.connection.ask_report([0], [number], T0_NS, hands.now_ns)
    venue.answer()
    assert [[x.id for x in report.orders] for report in hands.connection.reports] == [[7], [8]]


def test_an_amend_that_nobody_heard_keeps_what_was_filled_before_it():
    case = VENUES["binance-spot"]
    hands = opened(case)
    venue = Venue(hands)
    hands.send(command(7))
    hands.user(case.order_event(client_id(7), "NEW", "NEW"))
    fill = {"l": "0.003", "L": "60000.0", "z": "0.003", "t": 9, "n": "0", "N": "USDT", "m": True}
    hands.user(case.order_event(client_id(7), "TRADE", "PARTIALLY_FILLED", **fill))
    hands.send(command(7, AMEND, px=600_010, qty=24))
    # The order channel dies; the order is replaced by 24 lots under a number of its own, and 2 of them trade.
    hands.connection.on_disconnected("orders", hands.now_ns, "cut")
    venue.open = [order(4293999, client_id(7), price="60001.0", origQty="0.024", executedQty="0.002")]
    venue.orders = {client_id(7): venue.open[0]}
    venue.trades = [trade(9, 4293153, qty="0.003"), trade(10, 4293999, T0_MS + 9, qty="0.002")]
    hands.connection.ask_report([0], [7], T0_NS - 3_600_000_000_000, hands.now_ns)
    venue.answer()
    (report,) = hands.connection.reports
    for found in (*report.open_orders, *report.orders):
        assert (found.id, found.px, found.qty, found.filled) == (7, 600_010, 27, 5)
    held = hands.connection.desk.open[7]
    assert (held.qty, held.filled, held.left, held.carried(4293999)) == (24, 2, 22, 3)
