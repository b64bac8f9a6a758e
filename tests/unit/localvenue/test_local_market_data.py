"""Public data of the local venue: streams join the book, the same calls give the same bytes, clients' orders show."""

from __future__ import annotations

import json
import random

from reference.venue_client import MS, START_NS, Client, pass_time, started

STREAMS = "btcusdt@depth@100ms/btcusdt@trade/btcusdt@aggTrade/btcusdt@bookTicker/btcusdt@kline_1m/ethusdt@depth"


def take(venue, conn):
    return [json.loads(data) for c, data in venue.take() if c == conn]


def levels(rows):
    return {price: qty for price, qty in rows if float(qty) != 0}


def test_depth_updates_on_a_snapshot_give_the_book():
    venue = started()
    client = Client(venue)
    assert venue.connect("md", "/ws/btcusdt@depth@100ms", START_NS) == 101
    pass_time(venue, 0.5)
    _, _, snapshot = client.rest("GET", "/api/v3/depth", False, symbol="BTCUSDT", limit=5000)
    client.order("BUY", "0.5", "59990.00")
    client.order("BUY", "0.3")
    pass_time(venue, 2.0)
    book = {side: levels(snapshot[side]) for side in ("bids", "asks")}
    last = snapshot["lastUpdateId"]
    n_applied = 0
    for event in take(venue, "md"):
        if event["u"] <= last:
            continue
        assert event["U"] <= last + 1, "a gap in update ids"
        for name, side in (("b", "bids"), ("a", "asks")):
            for price, qty in event[name]:
                book[side].pop(price, None)
                book[side].update(levels([(price, qty)]))
        last = event["u"]
        n_applied += 1
    assert n_applied >= 18
    _, _, now = client.rest("GET", "/api/v3/depth", False, symbol="BTCUSDT", limit=5000)
    assert now["lastUpdateId"] == last
    assert book == {side: levels(now[side]) for side in ("bids", "asks")}
    assert "59990.00000000" in book["bids"]
    assert float(book["bids"]["59990.00000000"]) >= 0.5


def test_trades_aggregate_and_quotes_agree():
    venue = started()
    venue.connect("md", f"/stream?streams={STREAMS}", START_NS)
    pass_time(venue, 30.0)
    seen = {}
    for message in take(venue, "md"):
        seen.setdefault(message["stream"], []).append(message["data"])
    trades, aggregates = seen["btcusdt@trade"], seen["btcusdt@aggTrade"]
    assert [t["t"] for t in trades] == list(range(1, len(trades) + 1))
    covered = [i for a in aggregates for i in range(a["f"], a["l"] + 1)]
    assert covered == list(range(1, len(covered) + 1))
    assert len(trades) - len(covered) <= 20
    by_id = {t["t"]: t for t in trades}
    for a in aggregates:
        parts = [by_id[i] for i in range(a["f"], a["l"] + 1)]
        assert {p["p"] for p in parts} == {a["p"]}
        assert abs(sum(float(p["q"]) for p in parts) - float(a["q"])) < 1e-9
    quotes = seen["btcusdt@bookTicker"]
    assert all(float(q["b"]) < float(q["a"]) for q in quotes)
    assert seen["btcusdt@kline_1m"][-1]["k"]["n"] <= len(trades)
    assert all(e["s"] == "ETHUSDT" for e in seen["ethusdt@depth"])


def test_the_same_calls_give_the_same_bytes():
    def run(seed):
        venue = started(seed=seed)
        client = Client(venue, name="ws")
        venue.connect("md", f"/stream?streams={STREAMS}", START_NS)
        venue.connect("ws", "/ws-api/v3", START_NS)
        client.venue.receive("ws", client.request("userDataStream.subscribe.signature"), START_NS)
        dice = random.Random(5)
        out = []
        for _ in range(60):
            venue.advance(venue.now_ns + dice.randrange(1, 40) * MS)
            side = dice.choice(["BUY", "SELL"])
            price = f"{60000 + dice.randrange(-20, 20)}.00"
            order = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
            venue.receive("ws", client.request("order.place", **order, price=price), venue.now_ns)
            out += venue.take()
        return out

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_subscriptions_come_and_go():
    venue = started()
    assert venue.connect("md", "/ws", START_NS) == 101
    assert venue.connect("none", "/other", START_NS) == 404

    def ask(method, params, number):
        venue.receive("md", json.dumps({"method": method, "params": params, "id": number}).encode(), venue.now_ns)
        return take(venue, "md")

    assert ask("SUBSCRIBE", ["btcusdt@bookTicker"], 1) == [{"result": None, "id": 1}]
    assert ask("LIST_SUBSCRIPTIONS", None, 2) == [{"result": ["btcusdt@bookTicker"], "id": 2}]
    pass_time(venue, 0.3)
    assert all(m["s"] == "BTCUSDT" for m in take(venue, "md"))
    assert ask("SET_PROPERTY", ["combined", True], 3) == [{"result": None, "id": 3}]
    pass_time(venue, 0.3)
    assert all(m["stream"] == "btcusdt@bookTicker" for m in take(venue, "md"))
    ask("UNSUBSCRIBE", ["btcusdt@bookTicker"], 4)
    pass_time(venue, 0.3)
    assert take(venue, "md") == []
    assert "error" in ask("NONSENSE", [], 5)[0]
    venue.receive("md", b"{", venue.now_ns)
    assert "error" in take(venue, "md")[0]
