"""Any request at all to the local venue: it answers, with an error code where it must, and money stays whole."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from reference.damaged_bytes import mutate, n_inputs
from reference.venue_client import MS, Client, started
from tercel.localvenue.routes import METHODS, PATHS
from tercel.localvenue.usdm_routes import USDM_METHODS, USDM_PATHS

N_REQUESTS = n_inputs(2_000)
NAMES = {
    "symbol": ["BTCUSDT", "ETHUSDT", "btcusdt", "NONE", ""],
    "symbols": ['["BTCUSDT"]', "[]", "BTCUSDT", '["X"]'],
    "side": ["BUY", "SELL", "buy"],
    "type": ["LIMIT", "MARKET", "LIMIT_MAKER", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT", "STOP", "OCO"],
    "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    "quantity": ["0.1", "0.001", "1", "5", "0.0015"],
    "newQty": ["0.05", "0.1"],
    "quoteOrderQty": ["1000", "10"],
    "price": ["50000", "60000.00", "70000", "59990.5"],
    "stopPrice": ["61000", "59000"],
    "newClientOrderId": ["a1", "b-2", "c.3"],
    "origClientOrderId": ["a1", "b-2"],
    "cancelOrigClientOrderId": ["a1", "b-2"],
    "orderId": [1, 2, 3, 10, 12345],
    "cancelOrderId": [1, 2, 3],
    "cancelReplaceMode": ["STOP_ON_FAILURE", "ALLOW_FAILURE"],
    "cancelRestrictions": ["ONLY_NEW"],
    "newOrderRespType": ["ACK", "RESULT", "FULL"],
    "selfTradePreventionMode": ["NONE", "EXPIRE_MAKER", "EXPIRE_TAKER", "EXPIRE_BOTH"],
    "reduceOnly": ["true", "false"],
    "leverage": [1, 20],
    "limit": [5, 500, 0, 100000],
    "interval": ["1m", "1h"],
    "startTime": [0, 1_700_000_000_000],
    "endTime": [1_700_000_000_000],
    "fromId": [0, 5],
    "recvWindow": [5000, 70000],
    "listenKey": ["x"],
    "timestamp": [0, 1_700_000_000_000],
}
#: What somebody may write where something else belongs.
SPARE: list[Any] = [
    "", "-1", "0", "1e400", "NaN", "inf", "9" * 60, "9223372036854775808", "0x1", "٣", "½", "1_000", " 1", "+1", ".5",
    "1.", "-0.0", "1e5", "null", "true", "\x00", "\ud800x"[1:], "é" * 40, -1, 0, 1 << 63, 1e300, True, None, [], {},
    ["BTCUSDT"], {"a": 1},
]  # fmt: skip


def params(rng: random.Random) -> dict[str, Any]:
    """An order in most cases, more or less whole, some of it nonsense."""
    chosen = {name: rng.choice(values) for name, values in NAMES.items() if rng.random() < 0.12 and name != "timestamp"}
    if rng.random() < 0.8:
        for name in ("symbol", "side", "type", "timeInForce", "quantity", "price"):
            chosen[name] = NAMES[name][0] if rng.random() < 0.6 else rng.choice(NAMES[name])
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        chosen[rng.choice(list(NAMES))] = rng.choice(SPARE)
    return chosen


@pytest.mark.fuzz
@pytest.mark.parametrize("product", ["spot", "usdm"])
def test_whatever_is_asked_the_venue_answers(product):
    rng = random.Random(f"venue-{product}")
    paths, methods = (PATHS, METHODS) if product == "spot" else (USDM_PATHS, USDM_METHODS)
    placing = "/api/v3/order" if product == "spot" else "/fapi/v1/order"
    venue = started(product=product)
    client = Client(venue)
    n_good = n_refused = 0
    for k in range(N_REQUESTS):
        if k % 1_000 == 0:
            assert venue.bank.imbalance() == {}
            venue = started(product=product, seed=k)
            client = Client(venue)
            assert venue.connect(client.name, venue.ws_api_path, venue.now_ns) == 101
        how = rng.randrange(8)
        if how < 4:
            method, path = ("POST", placing) if how < 2 else rng.choice(list(paths))
            status, _, body = client.rest(method, path, rng.random() < 0.95, **params(rng))
            assert status in (200, 400, 401, 403, 404, 405, 409, 429), (k, status, body)
            n_good, n_refused = n_good + (status == 200), n_refused + (status != 200)
        elif how < 7:
            method = rng.choice([*methods, "order.place", "order.place"])
            request = client.request(method, rng.random() < 0.95, **params(rng))
            if how == 6:
                raw = bytearray(request)
                mutate(raw, rng)
                request = bytes(raw) if k % 50 else request[:-2] + b',"zz":' + b"[" * 20_000
            venue.receive(client.name, request, venue.now_ns)
        else:
            venue.advance(venue.now_ns + rng.randrange(1, 200) * MS)
        for _, data in venue.take():
            if data is None:
                # It closed the connection.
                venue.disconnect(client.name)
                assert venue.connect(client.name, venue.ws_api_path, venue.now_ns) == 101
                continue
            json.loads(data)
    assert venue.bank.imbalance() == {}
    assert min(n_good, n_refused) > N_REQUESTS // 50
