"""USD-M futures at the local venue: positions, margin, reduce-only, modify, events, and exact profit."""

from __future__ import annotations

import itertools
import json
import random

import pytest

from reference.venue_client import MS, Client, pass_time, started
from tercel.localvenue.usdm_desk import Position


class Trader(Client):
    def order(self, side, quantity, price=None, **more):
        params = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "newOrderRespType": "RESULT", **more}
        params.setdefault("type", "MARKET" if price is None else "LIMIT")
        if price is not None:
            params.update(price=price)
            params.setdefault("timeInForce", "GTC")
        return self.rest("POST", "/fapi/v1/order", **params)[2]

    def position(self):
        rows = self.rest("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT")[2]
        return float(rows[0]["positionAmt"]) if rows else 0.0

    def wallet(self):
        return {row["asset"]: row for row in self.rest("GET", "/fapi/v3/balance")[2]}["USDT"]

    def status(self, order):
        return self.rest("GET", "/fapi/v1/order", symbol="BTCUSDT", orderId=order["orderId"])[2]


@pytest.fixture
def venue():
    return started(product="usdm")


@pytest.fixture
def trader(venue):
    return Trader(venue)


def best(venue):
    book = venue.markets["BTCUSDT"].book
    return book.bid, book.ask


def test_the_profit_of_a_position_is_exact():
    position, naive_cash = Position(), 0
    dice = random.Random(3)
    total = 0
    for _ in range(5000):
        side, lots, px = dice.choice([1, -1]), dice.randrange(1, 50), dice.randrange(900, 1100)
        total += position.trade(side, lots, px, 7)
        naive_cash -= side * lots * px * 7
        assert position.cost >= 0
        assert (position.cost == 0) == (position.lots == 0)
        # What cash says at the entry cost is what was realised, to the last unit.
        assert naive_cash + (position.cost if position.lots > 0 else -position.cost) == total
    assert position.realized == total


def test_open_add_reduce_and_turn(venue, trader):
    listen = trader.rest("POST", "/fapi/v1/listenKey", signed=False)[2]["listenKey"]
    assert venue.connect("user", f"/ws/{listen}", venue.now_ns) == 101
    assert trader.order("BUY", "0.5")["status"] == "FILLED"
    events = trader.messages()
    assert [e["o"]["x"] for e in events if e["e"] == "ORDER_TRADE_UPDATE"][:2] == ["NEW", "TRADE"]
    assert events[-1]["e"] == "ACCOUNT_UPDATE"
    assert events[-1]["a"]["P"][0]["pa"] == "0.50000000"
    assert trader.position() == 0.5
    trader.order("SELL", "0.8")
    assert trader.position() == pytest.approx(-0.3)
    trader.order("BUY", "0.3", reduceOnly="true")
    assert trader.position() == 0.0
    trades = trader.rest("GET", "/fapi/v1/userTrades", symbol="BTCUSDT")[2]
    profit = sum(float(t["realizedPnl"]) - float(t["commission"]) for t in trades)
    assert float(trader.wallet()["balance"]) == pytest.approx(1_000_000 + profit, abs=1e-6)
    assert venue.bank.imbalance() == {}


def test_reduce_only_never_opens(venue, trader):
    bid, ask = best(venue)
    assert trader.order("SELL", "0.1", reduceOnly="true")["code"] == -2022
    trader.order("BUY", "0.2")
    first = trader.order("SELL", "0.2", f"{ask + 50}", reduceOnly="true")
    second = trader.order("SELL", "0.5", f"{ask + 60}", reduceOnly="true")
    assert second["origQty"] == "0.20000000", "cut to the position"
    trader.order("SELL", "0.15")
    assert [trader.status(o)["origQty"] for o in (first, second)] == ["0.05000000", "0.05000000"]
    trader.order("SELL", "0.05")
    assert [trader.status(o)["status"] for o in (first, second)] == ["EXPIRED", "EXPIRED"]
    assert trader.position() == 0.0
    assert bid < ask


def test_margin(venue, trader):
    assert trader.order("BUY", "500", "50000")["code"] == -2019
    trader.rest("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=100)
    assert trader.order("BUY", "500", "50000")["status"] == "NEW"
    assert float(trader.wallet()["availableBalance"]) == pytest.approx(750_000)
    assert trader.rest("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")[2]["code"] == 200
    assert float(trader.wallet()["availableBalance"]) == pytest.approx(1_000_000)


def test_modify(venue, trader):
    _, ask = best(venue)
    order = trader.order("BUY", "0.2", "50000")
    change = {"symbol": "BTCUSDT", "side": "BUY", "orderId": order["orderId"]}
    less = trader.rest("PUT", "/fapi/v1/order", quantity="0.1", price="50000", **change)[2]
    assert (less["orderId"], less["origQty"], less["status"]) == (order["orderId"], "0.10000000", "NEW")
    moved = trader.rest("PUT", "/fapi/v1/order", quantity="0.3", price="50010", **change)[2]
    assert (moved["price"], moved["origQty"], moved["status"]) == ("50010.00000000", "0.30000000", "NEW")
    assert trader.rest("PUT", "/fapi/v1/order", quantity="0.3", price="50010", **change)[2]["code"] == -5027
    taken = trader.rest("PUT", "/fapi/v1/order", quantity="0.01", price=f"{ask + 5}", **change)[2]
    assert taken["status"] == "FILLED"
    assert trader.order("BUY", "0.01", f"{ask + 20}", timeInForce="GTX")["code"] == -5022
    assert trader.order("BUY", "0.01", "50000", type="STOP", stopPrice="50000")["code"] == -4120


def test_the_websocket_api_and_streams(venue, trader):
    assert venue.connect("user", "/ws-fapi/v1", venue.now_ns) == 101
    assert venue.connect("md", "/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker", venue.now_ns) == 101
    placed = trader.ask("order.place", symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.1",
                        price="50000")[0]  # fmt: skip
    assert placed["result"]["status"] == "NEW"
    at = trader.ask("order.modify", symbol="BTCUSDT", side="BUY", orderId=placed["result"]["orderId"], quantity="0.1",
                    price="50001")[0]  # fmt: skip
    assert at["result"]["price"] == "50001.00000000"
    assert trader.ask("order.cancel", symbol="BTCUSDT", orderId=placed["result"]["orderId"])[0]["status"] == 200
    assert trader.ask("v2/account.position")[0]["status"] == 200
    pass_time(venue, 0.5)
    reader = Client(venue, name="md")
    depth = [m["data"] for m in reader.messages() if m["stream"] == "btcusdt@depth@100ms"]
    assert all(later["pu"] == earlier["u"] for earlier, later in itertools.pairwise(depth))


def test_money_is_conserved_whatever_traders_do(venue):
    dice = random.Random(23)
    traders = [Trader(venue, key, f"t{i}") for i, key in enumerate(venue.keys[:3])]
    for _ in range(800):
        venue.advance(venue.now_ns + dice.randrange(0, 30) * MS)
        trader = dice.choice(traders)
        bid, ask = best(venue)
        bid, ask = bid or 60_000, ask or 60_000
        act = dice.random()
        if act < 0.6:
            trader.order(dice.choice(["BUY", "SELL"]), f"{dice.randrange(1, 2000) / 1e4:.4f}",
                         str(dice.randrange(bid - 15, ask + 15)), timeInForce=dice.choice(["GTC", "IOC", "GTX"]),
                         reduceOnly=dice.choice(["true", "false", "false"]))  # fmt: skip
        elif act < 0.75:
            trader.order(dice.choice(["BUY", "SELL"]), f"{dice.randrange(1, 2000) / 1e4:.4f}")
        elif act < 0.9:
            orders = trader.rest("GET", "/fapi/v1/openOrders", symbol="BTCUSDT")[2]
            if orders:
                order = dice.choice(orders)
                trader.rest("PUT", "/fapi/v1/order", symbol="BTCUSDT", side=order["side"], orderId=order["orderId"],
                            price=str(dice.randrange(bid - 15, ask + 15)),
                            quantity=f"{dice.randrange(1, 2000) / 1e4:.4f}")  # fmt: skip
        else:
            trader.rest("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT")
        assert venue.bank.imbalance() == {}
    assert venue.desk.n_executions > 200
    for account in venue.bank.accounts.values():
        position = account.positions["BTCUSDT"]
        mine = [t for t in venue.desk.trades if t.order.account is account]
        assert position.lots == sum(t.lots * t.order.side for t in mine)
        assert position.realized == sum(t.realized for t in mine)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"quantity": "0.00015"}, -4023),
        ({"quantity": "0"}, -4003),
        ({"quantity": "99999"}, -4005),
        ({"price": "50000.5"}, -4014),
        ({"price": "0"}, -4013),
        ({"price": "99999999999"}, -4002),
        ({"price": "59000", "quantity": "0.0001", "reduceOnly": "false"}, 0),
        ({"price": "15000", "quantity": "0.0003"}, -4164),
        ({"price": "1000", "quantity": "1"}, -4024),
        ({"price": "900000", "side": "SELL"}, -4016),
    ],
)
def test_filters_have_codes_of_their_own(venue, trader, changed, code):
    pass_time(venue, 1.0)  # until there is a mean price
    params = {"side": "BUY", "quantity": "0.01", "price": "50000", **changed}
    assert trader.order(**params).get("code", 0) == code


def test_the_most_orders_an_account_may_have(venue, trader):
    for _ in range(venue.markets["BTCUSDT"].listed.rules.orders_max):
        assert trader.order("BUY", "0.001", "50000")["status"] == "NEW"
    assert trader.order("BUY", "0.001", "50000")["code"] == -2025


def test_the_best_levels_are_told_as_depth_updates(venue, trader):
    names = ["btcusdt@depth5@100ms", "btcusdt@depth10@500ms", "btcusdt@depth@500ms", "btcusdt@aggTrade"]
    assert venue.connect("md", "/stream?streams=" + "/".join(names), venue.now_ns) == 101
    pass_time(venue, 3.0)
    seen = {name: [] for name in names}
    for conn, data in venue.take():
        if conn == "md":
            event = json.loads(data)
            seen[event["stream"]].append(event["data"])
    fives, tens = seen[names[0]], seen[names[1]]
    assert (len(fives), len(tens)) == (30, 6)
    for events, n in ((fives, 5), (tens, 10)):
        for before, event in itertools.pairwise(events):
            assert event["e"] == "depthUpdate"
            assert event["pu"] == before["u"] <= event["u"]
            assert len(event["b"]) == len(event["a"]) == n
    last = tens[-1]
    book = venue.markets["BTCUSDT"].book
    assert last["u"] == book.update_id
    assert [float(px) for px, _ in last["b"]] == [float(px) for px, _ in book.best(1, 10)]
    assert {event["E"] % 500 for event in seen[names[2]]} == {0}
    assert seen[names[3]]
    assert all("M" not in event for event in seen[names[3]])


def test_how_the_account_stands_and_that_it_stays_so(venue, trader):
    def get(path, **params):
        return trader.rest("GET", path, **params)[2]

    def post(path, **params):
        return trader.rest("POST", path, **params)[2]["code"]

    assert get("/fapi/v1/positionSide/dual") == {"dualSidePosition": False}
    assert get("/fapi/v1/multiAssetsMargin") == {"multiAssetsMargin": False}
    assert post("/fapi/v1/positionSide/dual", dualSidePosition="false") == -4059
    assert post("/fapi/v1/positionSide/dual", dualSidePosition="true") == -1020
    assert post("/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSSED") == -4046
    assert post("/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED") == -1020
    rates = get("/fapi/v1/commissionRate", symbol="BTCUSDT")
    assert float(rates["makerCommissionRate"]) == venue.bank.accounts[1].maker / 1e8
    assert [row["symbol"] for row in get("/fapi/v1/leverageBracket")] == list(venue.markets)
    trader.order("BUY", "0.01")
    premium = get("/fapi/v1/premiumIndex", symbol="BTCUSDT")
    held = get("/fapi/v3/positionRisk", symbol="BTCUSDT")[0]
    assert premium["markPrice"] == held["markPrice"]
    assert premium["nextFundingTime"] % (8 * 3_600_000) == 0


def test_several_orders_in_one_request_each_with_its_own_answer(venue, trader):
    def order(price, **more):
        return {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01",
                "price": price, **more}  # fmt: skip

    def place(orders):
        return trader.rest("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps(orders))[2]

    def cancel(**which):
        return trader.rest("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", **which)[2]

    placed = place([order("50000", newClientOrderId="a"), order("50000.5"), order("50001"), 7, order("50002")])
    assert [answer.get("status", answer.get("code")) for answer in placed] == ["NEW", -4014, "NEW", -1130, "NEW"]
    assert [o["orderId"] for o in trader.rest("GET", "/fapi/v1/openOrders")[2]] == [
        placed[i]["orderId"] for i in (0, 2, 4)
    ]
    ended = cancel(orderIdList=json.dumps([placed[2]["orderId"], 12345]))
    assert [answer.get("status", answer.get("code")) for answer in ended] == ["CANCELED", -2011]
    assert cancel(origClientOrderIdList='["a"]')[0]["status"] == "CANCELED"
    assert len(trader.rest("GET", "/fapi/v1/openOrders")[2]) == 1
    for wrong, code in (("[", -1130), ("{}", -1130), ("[]", -4082), (json.dumps([order("50000")] * 6), -4082)):
        assert trader.rest("POST", "/fapi/v1/batchOrders", batchOrders=wrong)[2]["code"] == code
    assert cancel()["code"] == -1102
