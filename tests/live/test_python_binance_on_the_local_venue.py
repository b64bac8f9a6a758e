"""python-binance against the local venue, over real sockets: REST, streams, the WebSocket API and the user socket.

Nothing of the client is changed but the addresses, which it keeps in class attributes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tercel.localvenue.accounts import ed25519_private_pem
from tercel.localvenue.server import VenueServer
from tercel.localvenue.venue import LocalVenue, VenueSetup

binance = pytest.importorskip("binance")


async def connected(server: VenueServer, key: Any, pem: str | None = None) -> tuple[Any, Any]:
    """A client and a socket manager whose addresses are the local venue's."""

    class LocalClient(binance.AsyncClient):
        API_URL = server.rest_url + "/api"
        MARGIN_API_URL = server.rest_url + "/sapi"
        WS_API_URL = server.ws_api_url

    class LocalSockets(binance.BinanceSocketManager):
        STREAM_URL = server.stream_url + "/"

    secret = None if pem else key.secret.decode()
    client = await LocalClient.create(key.key, secret, private_key=pem)
    return client, LocalSockets(client)


def with_client(test: Any, **setup: Any) -> None:
    """Run a test in a loop of its own with a venue and a client."""

    async def main() -> None:
        venue = LocalVenue(VenueSetup(seed=5, **setup))
        async with VenueServer(venue) as server:
            if setup.get("with_ed25519"):
                key = venue.keys[1]
                client, sockets = await connected(server, key, ed25519_private_pem(5, key.account))
            else:
                client, sockets = await connected(server, venue.keys[0])
            try:
                await test(venue, client, sockets)
            finally:
                await client.close_connection()

    asyncio.run(main())


async def next_where(socket: Any, wanted: Any) -> Any:
    while True:
        message = await socket.recv()
        if wanted(message):
            return message


def test_rest():
    async def test(venue, client, sockets):
        info = await client.get_symbol_info("BTCUSDT")
        assert {f["filterType"] for f in info["filters"]} >= {"PRICE_FILTER", "LOT_SIZE", "NOTIONAL"}
        book = await client.get_order_book(symbol="BTCUSDT", limit=10)
        assert float(book["bids"][0][0]) < float(book["asks"][0][0])
        order = await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="50000")
        assert order["status"] == "NEW"
        assert len(await client.get_open_orders(symbol="BTCUSDT")) == 1
        gone = await client.cancel_order(symbol="BTCUSDT", orderId=order["orderId"])
        assert gone["status"] == "CANCELED"
        done = await client.order_market_buy(symbol="BTCUSDT", quantity="0.01")
        assert done["status"] == "FILLED"
        balance = await client.get_asset_balance(asset="BTC")
        assert float(balance["free"]) == pytest.approx(20 + 0.01 * 0.999)
        trades = await client.get_my_trades(symbol="BTCUSDT")
        assert sum(float(t["qty"]) for t in trades) == pytest.approx(0.01)
        with pytest.raises(binance.exceptions.BinanceAPIException) as refused:
            await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="50000.5")
        assert refused.value.code == -1013
        assert venue.bank.imbalance() == {}

    with_client(test)


def test_streams():
    async def test(venue, client, sockets):
        async with sockets.multiplex_socket(["btcusdt@trade", "ethusdt@bookTicker"]) as socket:
            trade = await next_where(socket, lambda m: m["stream"] == "btcusdt@trade")
            assert trade["data"]["s"] == "BTCUSDT"
            quote = await next_where(socket, lambda m: m["stream"] == "ethusdt@bookTicker")
            assert float(quote["data"]["b"]) < float(quote["data"]["a"])
        async with binance.ws.depthcache.DepthCacheManager(client, symbol="BTCUSDT", bm=sockets) as cache:
            for _ in range(3):
                depth = await cache.recv()
            assert depth.get_bids()[0][0] < depth.get_asks()[0][0]

    with_client(test, speed=5.0)


def test_the_user_socket_tells_of_an_order():
    async def test(venue, client, sockets):
        async with sockets.user_socket() as user:
            placed = await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="50000")
            event = await next_where(user, lambda m: m.get("e") == "executionReport")
            assert (event["x"], event["X"], event["i"]) == ("NEW", "NEW", placed["orderId"])
            held = await next_where(user, lambda m: m.get("e") == "outboundAccountPosition")
            assert {b["a"]: b["l"] for b in held["B"]} == {"USDT": "500.00000000"}
            await client.cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
            event = await next_where(user, lambda m: m.get("e") == "executionReport")
            assert (event["x"], event["C"]) == ("CANCELED", placed["clientOrderId"])

    with_client(test)


def test_orders_by_the_websocket_api():
    async def test(venue, client, sockets):
        placed = await client.ws_create_order(
            symbol="BTCUSDT", side="SELL", type="LIMIT", timeInForce="GTC", quantity="0.01", price="70000"
        )
        found = await client.ws_get_order(symbol="BTCUSDT", orderId=placed["orderId"])
        assert found["status"] == "NEW"
        gone = await client.ws_cancel_order(symbol="BTCUSDT", orderId=placed["orderId"])
        assert gone["status"] == "CANCELED"
        account = await client.ws_get_account()
        assert {b["asset"]: b["free"] for b in account["balances"]}["BTC"] == "20.00000000"

    with_client(test)


def test_ed25519_keys():
    pytest.importorskip("cryptography")

    async def test(venue, client, sockets):
        order = await client.order_limit_buy(symbol="BTCUSDT", quantity="0.01", price="50000")
        assert order["status"] == "NEW"
        placed = await client.ws_create_order(
            symbol="BTCUSDT", side="BUY", type="LIMIT", timeInForce="GTC", quantity="0.01", price="50001"
        )
        assert placed["status"] == "NEW"

    with_client(test, with_ed25519=True)
