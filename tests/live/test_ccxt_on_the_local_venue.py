"""ccxt against the local venue, over real sockets: nothing of the client is changed but its addresses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tercel.localvenue.server import VenueServer
from tercel.localvenue.venue import LocalVenue, VenueSetup

ccxt = pytest.importorskip("ccxt")


@contextmanager
def running_venue(**setup: object) -> Iterator[VenueServer]:
    """A venue in a thread of its own, for clients that block."""
    venue = LocalVenue(VenueSetup(**setup))
    server = VenueServer(venue)
    is_up, end = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        async with server:
            is_up.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert is_up.wait(120), "the venue did not start"
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def server():
    with running_venue(seed=3) as running:
        yield running


@pytest.fixture
def exchange(server):
    key = server.venue.keys[0]
    client = ccxt.binance({"apiKey": key.key, "secret": key.secret.decode(), "enableRateLimit": False})
    for name, url in client.urls["api"].items():
        client.urls["api"][name] = server.rest_url + "/" + url.split("/", 3)[3]
    return client


def test_markets_and_their_grids(exchange):
    markets = exchange.load_markets()
    assert set(markets) == {"BTC/USDT", "ETH/USDT"}
    market = markets["BTC/USDT"]
    assert market["spot"]
    assert market["active"]
    assert (market["precision"]["price"], market["precision"]["amount"]) == (1.0, 0.0001)
    assert market["limits"]["cost"]["min"] == 5.0


def test_public_data(exchange):
    book = exchange.fetch_order_book("BTC/USDT", limit=50)
    assert len(book["bids"]) == len(book["asks"]) == 50
    assert book["bids"][0][0] < book["asks"][0][0]
    ticker = exchange.fetch_ticker("BTC/USDT")
    assert ticker["bid"] < ticker["ask"]
    assert abs(exchange.fetch_time() - exchange.milliseconds()) < 60_000
    assert isinstance(exchange.fetch_ohlcv("BTC/USDT", "1m"), list)
    assert isinstance(exchange.fetch_trades("BTC/USDT"), list)


def test_an_order_rests_is_found_and_is_canceled(exchange):
    order = exchange.create_order("BTC/USDT", "limit", "buy", 0.01, 50_000.0)
    assert order["status"] == "open"
    assert order["filled"] == 0.0
    held = exchange.fetch_balance()["USDT"]["used"]
    assert held == pytest.approx(500.0)
    assert [o["id"] for o in exchange.fetch_open_orders("BTC/USDT")] == [order["id"]]
    found = exchange.fetch_order(order["id"], "BTC/USDT")
    assert (found["price"], found["amount"], found["clientOrderId"]) == (50_000.0, 0.01, order["clientOrderId"])
    assert exchange.cancel_order(order["id"], "BTC/USDT")["status"] == "canceled"
    assert exchange.fetch_open_orders("BTC/USDT") == []
    assert exchange.fetch_balance()["USDT"]["used"] == 0.0
    with pytest.raises(ccxt.OrderNotFound):
        exchange.cancel_order(order["id"], "BTC/USDT")


def test_a_market_order_trades_and_the_money_moves(exchange):
    before = exchange.fetch_balance()
    order = exchange.create_order("BTC/USDT", "market", "buy", 0.02)
    assert order["status"] == "closed"
    assert order["filled"] == 0.02
    after = exchange.fetch_balance()
    assert before["USDT"]["total"] - after["USDT"]["total"] == pytest.approx(order["cost"])
    assert after["BTC"]["total"] - before["BTC"]["total"] == pytest.approx(0.02 * 0.999)
    mine = [t for t in exchange.fetch_my_trades("BTC/USDT") if t["order"] == order["id"]]
    assert sum(t["amount"] for t in mine) == pytest.approx(0.02)
    assert sum(t["cost"] for t in mine) == pytest.approx(order["cost"])
    assert all(t["takerOrMaker"] == "taker" and t["fee"]["currency"] == "BTC" for t in mine)


def test_errors_are_the_ones_ccxt_knows(exchange):
    with pytest.raises(ccxt.InsufficientFunds):
        exchange.create_order("BTC/USDT", "limit", "buy", 100.0, 59_000.0)
    with pytest.raises(ccxt.BadSymbol):
        exchange.create_order("XRP/USDT", "limit", "buy", 1.0, 1.0)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        exchange.create_order("BTC/USDT", "limit", "buy", 0.01, 70_000.0, {"postOnly": True})
    with pytest.raises(ccxt.InvalidOrder):
        exchange.private_post_order({"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC",
                                     "quantity": "0.01", "price": "59000.5"})  # fmt: skip
    exchange.secret = "0" * 64
    with pytest.raises(ccxt.AuthenticationError):
        exchange.fetch_balance()


def test_cancel_all_and_edit(exchange):
    for i in range(3):
        exchange.create_order("ETH/USDT", "limit", "sell", 0.1, 4000.0 + i)
    edited = exchange.edit_order(
        exchange.fetch_open_orders("ETH/USDT")[0]["id"], "ETH/USDT", "limit", "sell", 0.2, 4100.0
    )
    assert edited["amount"] == 0.2
    assert len(exchange.fetch_open_orders("ETH/USDT")) == 3
    exchange.cancel_all_orders("ETH/USDT")
    assert exchange.fetch_open_orders("ETH/USDT") == []


def test_futures():
    with running_venue(seed=3, product="usdm") as server:
        key = server.venue.keys[0]
        client = ccxt.binanceusdm({"apiKey": key.key, "secret": key.secret.decode(), "enableRateLimit": False})
        client.options["fetchMarkets"] = {"types": ["linear"]}
        client.options["fetchCurrencies"] = False
        for name, url in client.urls["api"].items():
            client.urls["api"][name] = server.rest_url + "/" + url.split("/", 3)[3]
        markets = client.load_markets()
        assert markets["BTC/USDT:USDT"]["linear"]
        order = client.create_order("BTC/USDT:USDT", "limit", "buy", 0.01, 50_000.0)
        assert [o["id"] for o in client.fetch_open_orders("BTC/USDT:USDT")] == [order["id"]]
        assert client.cancel_order(order["id"], "BTC/USDT:USDT")["status"] == "canceled"
        client.create_order("BTC/USDT:USDT", "market", "buy", 0.02)
        assert sum(t["amount"] for t in client.fetch_my_trades("BTC/USDT:USDT")) == pytest.approx(0.02)
        client.create_order("BTC/USDT:USDT", "market", "sell", 0.02, None, {"reduceOnly": True})
        assert client.fetch_balance()["USDT"]["total"] < 1_000_000
        assert server.venue.bank.imbalance() == {}
