"""Orders at the local venue: what they do, what they cost, what is refused, and that money is conserved."""

from __future__ import annotations

import random

import pytest

from reference.venue_client import MS, START_NS, Client, pass_time, started

STP = ["NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"]


@pytest.fixture
def venue():
    return started()


@pytest.fixture
def client(venue):
    return Client(venue)


def best(client):
    book = client.rest("GET", "/api/v3/depth", False, symbol="BTCUSDT", limit=5)[2]
    return float(book["bids"][0][0]), float(book["asks"][0][0])


def balances(client):
    account = client.rest("GET", "/api/v3/account")[2]
    return {b["asset"]: (float(b["free"]), float(b["locked"])) for b in account["balances"]}


def listening(venue, client):
    assert venue.connect(client.name, "/ws-api/v3", venue.now_ns) == 101
    client.ask("userDataStream.subscribe.signature")


def events(client):
    return [message["event"] for message in client.messages() if "event" in message]


def reports(client):
    return [(e["x"], e["X"]) for e in events(client) if e["e"] == "executionReport"]


def test_a_limit_order_holds_its_money_and_gives_it_back(venue, client):
    order = client.order("BUY", "0.1", "50000")
    assert (order["status"], order["executedQty"]) == ("NEW", "0.00000000")
    assert balances(client)["USDT"] == (995_000.0, 5000.0)
    gone = client.rest("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"])[2]
    assert (gone["status"], gone["origClientOrderId"]) == ("CANCELED", order["clientOrderId"])
    assert balances(client)["USDT"] == (1_000_000.0, 0.0)
    again = client.rest("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"])
    assert (again[0], again[2]["code"]) == (400, -2011)
    found = client.rest("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=order["clientOrderId"])[2]
    assert (found["status"], found["orderId"]) == ("CANCELED", order["orderId"])


def test_taking_pays_what_the_fills_say(venue, client):
    listening(venue, client)
    _, ask = best(client)
    order = client.order("BUY", "2", f"{ask + 20:.2f}")
    fills = order["fills"]
    assert order["status"] == "FILLED"
    assert len(fills) > 1
    cost = sum(float(f["price"]) * float(f["qty"]) for f in fills)
    assert float(order["cummulativeQuoteQty"]) == pytest.approx(cost)
    assert all(f["commissionAsset"] == "BTC" for f in fills)
    assert balances(client)["USDT"] == (pytest.approx(1_000_000 - cost), 0.0)
    assert balances(client)["BTC"][0] == pytest.approx(20 + 2 * 0.999)
    told = events(client)
    assert [e["x"] for e in told[:-1]] == ["NEW"] + ["TRADE"] * len(fills)
    assert told[-1]["e"] == "outboundAccountPosition"
    assert venue.bank.imbalance() == {}


def test_a_resting_order_fills_by_the_simulated_flow(venue, client):
    listening(venue, client)
    bid, _ = best(client)
    order = client.order("BUY", "0.2", f"{bid:.2f}")
    pass_time(venue, 60.0)
    found = client.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"])[2]
    assert found["status"] == "FILLED", "sixty seconds of trades at the touch did not reach it"
    fills = [e for e in events(client) if e.get("x") == "TRADE"]
    assert all(e["m"] and e["L"] == order["price"] for e in fills)
    assert sum(float(e["l"]) for e in fills) == pytest.approx(0.2)
    assert fills[-1]["X"] == "FILLED"
    mine = client.rest("GET", "/api/v3/myTrades", symbol="BTCUSDT")[2]
    assert [t["id"] for t in mine] == [e["t"] for e in fills]
    assert venue.bank.imbalance() == {}


def test_price_then_time_between_clients(venue, client):
    other = Client(venue, venue.keys[1], "other")
    bid, ask = best(client)
    # Nobody stands between the best prices: both clients are first there, one after the other.
    px = f"{bid + 1:.2f}" if ask - bid > 1 else f"{bid:.2f}"
    first, second = client.order("BUY", "0.01", px), other.order("BUY", "0.01", px)
    ahead = float(client.rest("GET", "/api/v3/depth", False, symbol="BTCUSDT", limit=1)[2]["bids"][0][1]) - 0.02
    third = Client(venue, venue.keys[2], "third")
    done = third.order("SELL", f"{ahead + 0.01:.4f}", px, timeInForce="IOC")
    assert done["status"] == "FILLED"
    status = {c: c.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=o["orderId"])[2]["status"]
              for c, o in ((client, first), (other, second))}  # fmt: skip
    assert status == {client: "FILLED", other: "NEW"}
    assert venue.bank.imbalance() == {}


@pytest.mark.parametrize(
    ("mode", "taker", "maker"),
    [
        ("NONE", "FILLED", "FILLED"),
        ("EXPIRE_TAKER", "EXPIRED_IN_MATCH", "NEW"),
        ("EXPIRE_MAKER", "FILLED", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
def test_self_trade_prevention(venue, client, mode, taker, maker):
    bid, _ = best(client)
    # Empty the level first, so that the own order is the only one there.
    resting = client.order("SELL", "0.01", f"{bid + 1:.2f}")
    depth = client.rest("GET", "/api/v3/depth", False, symbol="BTCUSDT", limit=1)[2]["asks"][0]
    qty = f"{float(depth[1]):.4f}" if mode == "NONE" else "0.01"
    other = client.order("BUY", qty, f"{bid + 1:.2f}", timeInForce="IOC" if mode == "EXPIRE_MAKER" else "GTC",
                         selfTradePreventionMode=mode)  # fmt: skip
    found = client.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=resting["orderId"])[2]
    if mode == "EXPIRE_MAKER" and float(depth[1]) <= 0.01:
        taker = "EXPIRED"
    assert (other["status"], found["status"]) == (taker, maker)
    assert venue.bank.imbalance() == {}


def test_times_in_force(venue, client):
    _bid, ask = best(client)
    assert client.order("BUY", "0.01", "50000", timeInForce="IOC")["status"] == "EXPIRED"
    assert client.order("BUY", "400", "60300", timeInForce="FOK").get("code") == -2010
    assert client.order("BUY", "12", f"{ask:.2f}", timeInForce="FOK")["status"] == "EXPIRED"
    assert client.order("BUY", "0.001", f"{ask:.2f}", timeInForce="FOK")["status"] == "FILLED"
    maker = client.order("BUY", "0.01", f"{ask + 5:.2f}", type="LIMIT_MAKER")
    assert (maker["code"], maker["msg"]) == (-2010, "Order would immediately match and take.")
    assert balances(client)["USDT"][1] == 0.0


def test_market_orders_by_quantity_and_by_money(venue, client):
    assert client.order("SELL", "0.5")["status"] == "FILLED"
    spent = client.rest("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="1000")[2]
    assert spent["status"] == "FILLED"
    assert 990 < float(spent["cummulativeQuoteQty"]) <= 1000
    assert client.order("SELL", "25")["code"] == -2010
    assert venue.bank.imbalance() == {}


def test_stops_wait_and_trigger(venue, client):
    listening(venue, client)
    pass_time(venue, 5.0)
    bid, ask = best(client)
    at_once = client.rest("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="STOP_LOSS", quantity="0.01",
                          stopPrice=f"{bid - 500:.2f}")[2]  # fmt: skip
    assert at_once["msg"] == "Stop price would trigger immediately."
    stop = client.rest("POST", "/api/v3/order", symbol="BTCUSDT", side="BUY", type="STOP_LOSS_LIMIT", quantity="0.01",
                       timeInForce="GTC", price=f"{ask + 30:.2f}", stopPrice=f"{ask + 10:.2f}")[2]  # fmt: skip
    found = client.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=stop["orderId"])[2]
    assert (found["status"], found["isWorking"]) == ("NEW", False)
    client.messages()
    sweeper = Client(venue, venue.keys[1], "sweeper")
    sweeper.order("BUY", "10", f"{ask + 12:.2f}", timeInForce="IOC")
    found = client.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=stop["orderId"])[2]
    assert found["status"] == "FILLED"
    assert ("TRADE", "FILLED") in reports(client)
    assert venue.bank.imbalance() == {}


def test_amend_keeps_the_place_and_replace_makes_anew(venue, client):
    order = client.order("BUY", "0.5", "50000")
    less = client.rest("PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", orderId=order["orderId"],
                       newQty="0.2")[2]  # fmt: skip
    assert (less["amendedOrder"]["qty"], less["amendedOrder"]["status"]) == ("0.20000000", "NEW")
    assert balances(client)["USDT"] == (990_000.0, 10_000.0)
    more = client.rest("PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", orderId=order["orderId"],
                       newQty="0.3")[2]  # fmt: skip
    assert more["code"] == -2038
    new = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.1",
           "price": "50001", "cancelReplaceMode": "STOP_ON_FAILURE"}  # fmt: skip
    status, _, both = client.rest("POST", "/api/v3/order/cancelReplace", cancelOrderId=order["orderId"], **new)
    assert (status, both["cancelResult"], both["newOrderResult"]) == (200, "SUCCESS", "SUCCESS")
    status, _, failed = client.rest("POST", "/api/v3/order/cancelReplace", cancelOrderId=order["orderId"], **new)
    assert (status, failed["code"], failed["data"]["newOrderResult"]) == (400, -2022, "NOT_ATTEMPTED")
    new["cancelReplaceMode"] = "ALLOW_FAILURE"
    status, _, half = client.rest("POST", "/api/v3/order/cancelReplace", cancelOrderId=order["orderId"], **new)
    assert (status, half["code"], half["data"]["newOrderResult"]) == (409, -2021, "SUCCESS")
    assert len(client.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")[2]) == 2


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ({"symbol": None}, -1102, "symbol"),
        ({"side": "HOLD"}, -1117, "side"),
        ({"type": "TWAP"}, -1116, "orderType"),
        ({"timeInForce": "DAY"}, -1115, "timeInForce"),
        ({"timeInForce": None}, -1102, "timeInForce"),
        ({"quantity": "abc"}, -1100, "quantity"),
        ({"quantity": "-1"}, -1100, "quantity"),
        ({"quantity": "0.000000001"}, -1111, "precision"),
        ({"quantity": "0.00001"}, -1013, "LOT_SIZE"),
        ({"quantity": "0"}, -1013, "LOT_SIZE"),
        ({"price": "50000.5"}, -1013, "PRICE_FILTER"),
        ({"price": "10"}, -1013, "NOTIONAL"),
        ({"price": "1000", "quantity": "1"}, -1013, "PERCENT_PRICE_BY_SIDE"),
        ({"quantity": "100"}, -2010, "insufficient balance"),
        ({"newClientOrderId": "no spaces"}, -1100, "newClientOrderId"),
        ({"icebergQty": "0.01"}, -1106, "icebergQty"),
        ({"selfTradePreventionMode": "SOMETIMES"}, -1130, "selfTradePreventionMode"),
    ],
)
def test_refusals(venue, client, change, code, words):
    pass_time(venue, 3.0)
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
             "price": "50000", **change}  # fmt: skip
    status, _, body = client.rest("POST", "/api/v3/order", **{k: v for k, v in order.items() if v is not None})
    assert (status, body.get("code")) == (400, code), body
    assert words in body["msg"]
    assert balances(client) == balances(Client(venue, venue.keys[1]))


def test_client_ids_are_used_once_at_a_time(venue, client):
    order = client.order("BUY", "0.01", "50000", newClientOrderId="mine-1")
    assert order["clientOrderId"] == "mine-1"
    assert client.order("BUY", "0.01", "50000", newClientOrderId="mine-1")["msg"] == "Duplicate order sent."
    client.rest("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="mine-1")
    assert client.order("BUY", "0.01", "50000", newClientOrderId="mine-1")["status"] == "NEW"
    stranger = Client(venue, venue.keys[1])
    answer = stranger.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=order["orderId"])[2]
    assert answer["code"] == -2013


def test_too_many_open_orders(venue, client):
    answers = [client.order("BUY", "0.001", f"{40000 + i}") for i in range(201)]
    assert answers[199]["status"] == "NEW"
    assert answers[200]["msg"] == "Filter failure: MAX_NUM_ORDERS"


def test_money_is_conserved_whatever_clients_do(venue):
    dice = random.Random(11)
    clients = [Client(venue, key, f"c{i}") for i, key in enumerate(venue.keys[:3])]
    for client in clients:
        listening(venue, client)
    market = venue.markets["BTCUSDT"]
    for _ in range(1200):
        venue.advance(venue.now_ns + dice.randrange(0, 30) * MS)
        client = dice.choice(clients)
        # Clients may empty a side; the other one, or the last trade, then says where the market is.
        last = market.tape.last_px or 60_000
        bid, ask = market.book.bid or last, market.book.ask or last
        act = dice.random()
        if act < 0.6:
            px = dice.randrange(int(bid) - 15, int(ask) + 15)
            client.order(dice.choice(["BUY", "SELL"]), f"{dice.randrange(1, 3000) / 1e4:.4f}", str(px),
                         timeInForce=dice.choice(["GTC", "GTC", "IOC", "FOK"]),
                         selfTradePreventionMode=dice.choice(STP))  # fmt: skip
        elif act < 0.7:
            client.order(dice.choice(["BUY", "SELL"]), f"{dice.randrange(1, 6000) / 1e4:.4f}")
        elif act < 0.9:
            orders = client.rest("GET", "/api/v3/openOrders", symbol="BTCUSDT")[2]
            if orders:
                client.rest("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=dice.choice(orders)["orderId"])
        else:
            client.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    for client in clients:
        client.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    assert venue.bank.imbalance() == {}
    for account in venue.bank.accounts.values():
        assert all(free >= 0 and locked == 0 for free, locked in account.balances.values())
    assert not venue.desk.open
    by_order = {}
    for trade in venue.desk.trades:
        by_order[trade.order.id] = by_order.get(trade.order.id, 0) + trade.lots
    assert all(order.filled == by_order.get(id, 0) for id, order in venue.desk.orders.items())
    assert venue.desk.n_executions > 300


def test_user_data_through_a_listen_key():
    venue = started(speed=0.01)
    client = Client(venue)
    key = client.rest("POST", "/api/v3/userDataStream", signed=False)[2]["listenKey"]
    assert venue.connect("user-stream", f"/ws/{key}", START_NS) == 101
    client.order("BUY", "0.01", "50000")
    kinds = [data[:30] for conn, data in venue.take() if conn == "user-stream"]
    assert len(kinds) == 2
    assert client.rest("PUT", "/api/v3/userDataStream", signed=False, listenKey="none")[2]["code"] == -1125
    pass_time(venue, 3601.0, step_ns=20_000 * MS)
    last = [data for conn, data in venue.take() if conn == "user-stream"]
    assert b"listenKeyExpired" in last[0]
    assert last[-1] is None, "the connection is closed"
