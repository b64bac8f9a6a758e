"""The venue misbehaves on demand: rate limits, keys, clocks, maintenance, lost and late answers, lies, restarts."""

from __future__ import annotations

import json

import pytest

from reference.venue_client import MS, Client, pass_time, started
from tercel.localvenue.accounts import demo_key
from tercel.localvenue.limits import LimitRules


@pytest.fixture
def venue():
    return started()


@pytest.fixture
def client(venue):
    return Client(venue)


def test_weight_then_429_then_418():
    venue = started(limits=LimitRules(weight_1m=100, strikes=3, ban_s=10))
    client = Client(venue)
    for i in range(5):
        status, headers, _ = client.rest("GET", "/api/v3/exchangeInfo", False)
        assert (status, headers["x-mbx-used-weight-1m"]) == (200, str(20 * (i + 1)))
    for _ in range(3):
        status, headers, body = client.rest("GET", "/api/v3/time", False)
        assert (status, body["code"]) == (429, -1003)
        assert 0 < int(headers["retry-after"]) <= 61
    status, headers, body = client.rest("GET", "/api/v3/time", False)
    assert (status, body["code"], headers["retry-after"]) == (418, -1003, "11")
    pass_time(venue, 11.0)
    assert client.rest("GET", "/api/v3/time", False)[0] in (200, 429)
    pass_time(venue, 61.0, step_ns=1000 * MS)
    assert client.rest("GET", "/api/v3/time", False)[0] == 200


def test_order_counts():
    venue = started(limits=LimitRules(orders_10s=3))
    client = Client(venue)
    for i in range(3):
        _, headers, _ = client.rest("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="LIMIT",
                                    timeInForce="GTC", quantity="0.01", price="50000")  # fmt: skip
        assert headers["x-mbx-order-count-10s"] == str(i + 1)
    assert client.order("BUY", "0.01", "50000")["code"] == -1015
    counts = client.rest("GET", "/api/v3/rateLimit/order")[2]
    assert {c["interval"]: c["count"] for c in counts} == {"SECOND": 3, "DAY": 3}
    pass_time(venue, 10.0)
    assert client.order("BUY", "0.01", "50000")["status"] == "NEW"


def test_orders_that_trade_or_are_refused_do_not_count():
    venue = started(limits=LimitRules(orders_10s=5))
    client = Client(venue)

    def count():
        return client.rest("GET", "/api/v3/rateLimit/order")[2][0]["count"]

    resting = client.order("BUY", "0.01", "59000")
    assert (resting["status"], count()) == ("NEW", 1)
    for _ in range(10):  # twice as many as may wait unfilled
        assert client.order("BUY", "0.01")["status"] == "FILLED"
        assert client.order("SELL", "0.01", "1000000000")["code"] == -1013
        assert client.order("BUY", "900", "59000")["code"] == -2010
    assert count() == 1
    Client(venue, venue.keys[1]).order("SELL", "5", "59000.00", timeInForce="IOC")
    assert venue.desk.find(venue.bank.accounts[1], "BTCUSDT", resting["orderId"], None, 0).filled > 0
    assert count() == 0


def test_who_may_ask(venue, client):
    assert client.rest("GET", "/api/v3/account")[0] == 200
    wrong = Client(venue, client.key)
    wrong.sign = lambda payload: "0" * 64
    assert wrong.rest("GET", "/api/v3/account")[2]["code"] == -1022
    strange = Client(venue, demo_key(99, 1))
    assert strange.rest("GET", "/api/v3/account")[0::2][1]["code"] == -2015
    looking = Client(venue, demo_key(1, 1, can_trade=False))
    assert looking.rest("GET", "/api/v3/account")[2]["canTrade"] is False
    assert looking.order("BUY", "0.01", "50000")["code"] == -2015
    status, _, body = venue.http("GET", "/api/v3/account", "", {}, b"", venue.now_ns)
    assert (status, json.loads(body)["code"]) == (401, -2014)
    assert client.rest("GET", "/api/v3/account", timestamp=venue.now_ns // MS - 6000)[2]["code"] == -1021
    assert client.rest("GET", "/api/v3/account", timestamp=venue.now_ns // MS + 1000)[2]["code"] == -1021
    late = client.rest("GET", "/api/v3/account", timestamp=venue.now_ns // MS - 6000, recvWindow=7000)
    assert late[0] == 200


def test_parameters_may_come_in_the_body(venue, client):
    form = (
        f"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.01&price=50000&timestamp={venue.now_ns // MS}"
    )
    body = f"{form}&signature={client.sign(form)}".encode()
    status, _, answer = venue.http("POST", "/api/v3/order", "", {"x-mbx-apikey": client.key.key}, body, venue.now_ns)
    assert (status, json.loads(answer)["status"]) == (200, "NEW")
    assert client.rest("GET", "/api/v3/none", False)[0] == 404


def test_sessions(venue):
    crypto = pytest.importorskip("cryptography.hazmat.primitives.serialization")
    from tercel.localvenue.accounts import ed25519_private_pem

    venue = started(with_ed25519=True)
    private = crypto.load_pem_private_key(ed25519_private_pem(1, 1).encode(), None)
    client = Client(venue, venue.keys[1], "session", private)
    venue.connect("session", "/ws-api/v3", venue.now_ns)
    at = venue.now_ns // MS
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
             "price": "50000", "timestamp": at}  # fmt: skip
    assert client.ask("order.place", signed=False, **order)[0]["error"]["code"] == -2014
    assert client.ask("userDataStream.subscribe", signed=False)[0]["error"]["code"] == -2015
    assert client.ask("session.logon")[0]["result"]["apiKey"] == client.key.key
    assert client.ask("userDataStream.subscribe", signed=False)[0]["result"] == {"subscriptionId": 0}
    told = client.ask("order.place", signed=False, **order)
    assert [m["event"]["e"] for m in told[:-1]] == ["executionReport", "outboundAccountPosition"]
    assert told[-1]["result"]["status"] == "NEW"
    assert {r["rateLimitType"] for r in told[-1]["rateLimits"]} == {"REQUEST_WEIGHT", "ORDERS"}
    assert len(client.ask("openOrders.status", signed=False, symbol="BTCUSDT", timestamp=at)[0]["result"]) == 1
    assert client.ask("openOrders.cancelAll", signed=False, symbol="BTCUSDT", timestamp=at)[-1]["status"] == 200
    assert client.ask("session.logout", signed=False)[0]["result"]["apiKey"] is None
    assert client.ask("order.place", signed=False, **order)[0]["error"]["code"] == -2014
    hmac_client = Client(venue, venue.keys[0], "session")
    assert hmac_client.ask("session.logon")[0]["error"]["code"] == -1022
    assert client.ask("no.such.method", signed=False)[0]["status"] == 400
    venue.receive("session", b'{"id": 1,', venue.now_ns)
    assert client.messages()[0]["error"]["code"] == -1135


def test_maintenance(venue, client):
    venue.connect("user", "/ws-api/v3", venue.now_ns)
    venue.faults.maintenance = True
    status, headers, body = client.rest("GET", "/api/v3/time", False)
    assert (status, headers["content-type"]) == (503, "text/html")
    assert isinstance(body, bytes)
    assert venue.connect("more", "/ws/btcusdt@trade", venue.now_ns) == 503
    assert client.ask("time", signed=False)[0]["status"] == 503
    venue.faults.maintenance = False
    assert client.rest("GET", "/api/v3/time", False)[0] == 200


def test_orders_refused_at_will_and_answers_lost(venue, client):
    venue.connect("user", "/ws-api/v3", venue.now_ns)
    venue.faults.reject_orders, venue.faults.reject_code, venue.faults.reject_text = 1, -1008, "Server is overloaded."
    assert client.order("BUY", "0.01", "50000")["code"] == -1008
    assert client.order("BUY", "0.01", "50000")["status"] == "NEW"
    venue.faults.lose_answers = 2
    status, _, body = client.rest("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="LIMIT",
                                  timeInForce="GTC", quantity="0.01", price="50001")  # fmt: skip
    assert (status, body["code"]) == (504, -1007)
    lost = client.ask("order.place", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01",
                      price="50002", newClientOrderId="lost")  # fmt: skip
    assert lost == []
    assert client.ask("order.status", symbol="BTCUSDT", origClientOrderId="lost")[0]["result"]["status"] == "NEW"
    assert len(client.rest("GET", "/api/v3/openOrders", symbol="BTCUSDT")[2]) == 3


def test_filters_that_are_not_the_enforced_ones(venue, client):
    venue.faults.lie_filters = {"PRICE_FILTER": {"tickSize": "0.01000000"}}
    stated = client.rest("GET", "/api/v3/exchangeInfo", False, symbol="BTCUSDT")[2]["symbols"][0]["filters"]
    assert next(f for f in stated if f["filterType"] == "PRICE_FILTER")["tickSize"] == "0.01000000"
    assert client.order("BUY", "0.01", "50000.01")["msg"] == "Filter failure: PRICE_FILTER"


def test_a_clock_that_is_off(venue, client):
    venue.faults.clock_offset_ns = 60_000 * MS
    said = client.rest("GET", "/api/v3/time", False)[2]["serverTime"]
    assert said == venue.now_ns // MS + 60_000
    assert client.order("BUY", "0.01", "50000")["code"] == -1021


def test_delayed_duplicate_and_late(venue, client):
    venue.connect("user", "/ws-api/v3", venue.now_ns)
    client.ask("userDataStream.subscribe.signature")
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    venue.faults.duplicate_reports = True
    reports = [m["event"] for m in client.ask("order.place", price="50000", **order) if "event" in m]
    assert [r["e"] for r in reports] == ["executionReport", "executionReport", "outboundAccountPosition"]
    assert reports[0] == reports[1]
    venue.faults.duplicate_reports = False
    venue.faults.late_reports_ns = 500 * MS
    assert [m.get("status") for m in client.ask("order.place", price="50001", **order)] == [200]
    pass_time(venue, 0.49)
    assert client.messages() == []
    pass_time(venue, 0.02)
    assert [m["event"]["e"] for m in client.messages()] == ["executionReport", "outboundAccountPosition"]
    venue.faults.late_reports_ns = 0
    venue.faults.delay_ns = 30 * MS
    assert client.ask("order.place", price="50002", **order) == []
    assert venue.next_wake_ns <= venue.now_ns + 30 * MS
    pass_time(venue, 0.03)
    assert len(client.messages()) == 3


def test_a_restart_loses_connections_and_keeps_orders(venue, client):
    key = client.rest("POST", "/api/v3/userDataStream", signed=False)[2]["listenKey"]
    venue.connect("user", "/ws-api/v3", venue.now_ns)
    venue.connect("md", "/ws/btcusdt@trade", venue.now_ns)
    order = client.order("BUY", "0.01", "50000")
    venue.take()
    venue.restart(venue.now_ns)
    assert venue.take() == [("user", None), ("md", None)]
    pass_time(venue, 1.0)
    assert venue.take() == []
    venue.receive("user", client.request("time", signed=False), venue.now_ns)
    assert venue.take() == []
    assert client.rest("PUT", "/api/v3/userDataStream", signed=False, listenKey=key)[2]["code"] == -1125
    found = client.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"])[2]
    assert found["status"] == "NEW"
    assert venue.connect("user", "/ws-api/v3", venue.now_ns) == 101


def test_a_connection_of_two_listen_keys_is_forgotten_with_both(venue):
    clients = [Client(venue, key) for key in venue.keys[:2]]
    keys = [c.rest("POST", "/api/v3/userDataStream", False)[2]["listenKey"] for c in clients]
    assert venue.connect("both", f"/stream?streams={keys[0]}/{keys[1]}", venue.now_ns) == 101
    for client in clients:
        client.order("BUY", "0.01", "50000")
    heard = [json.loads(data)["stream"] for conn, data in venue.take() if conn == "both"]
    assert set(heard) == set(keys)
    venue.disconnect("both")
    for number, client in enumerate(clients, 1):
        client.order("BUY", "0.01", "50000")
        assert not venue.users.has(number)
    assert venue.take() == []
