"""Garbage about the account: mutated events, answers and HTTP bodies give rows or DataError, and do no damage."""

from __future__ import annotations

import json
import random

import pytest
from venue_cases import T0_MS, VENUES, command, opened

from reference.damaged_bytes import n_inputs
from tercel.errors import DataError
from tercel.model.events import ACK, FILL
from tercel.venues.contract import client_id

BOTH = pytest.mark.parametrize("case", VENUES.values(), ids=VENUES.keys())
N_EVENTS, N_ANSWERS, N_BODIES = n_inputs(6_000), n_inputs(600), n_inputs(600)
SPARE = b'{}[]",:.0123456789eE+-\\nulltrefas tcXCANEWRPLDI\x00\xff'


def mutated(generator: random.Random, corpus: list[bytes]) -> bytes:
    text = bytearray(generator.choice(corpus))
    for _ in range(generator.randint(1, 3)):
        at = generator.randrange(len(text) or 1)
        how = generator.random()
        if how < 0.55:
            text[at : at + 1] = bytes([generator.choice(SPARE)])
        elif how < 0.75:
            del text[at : at + generator.randint(1, 8)]
        elif how < 0.9:
            text[at:at] = bytes(generator.choice(SPARE) for _ in range(generator.randint(1, 5)))
        else:
            text[at:] = generator.choice(corpus)[generator.randrange(40) :]
    return bytes(text)


def events(case) -> list[bytes]:
    mine = client_id(7)
    fill = {"l": "0.005", "L": "60000.0", "z": "0.005", "t": 501, "n": "0.12", "N": "USDT", "m": True}
    return [
        case.order_event(mine, "NEW", "NEW"), case.order_event(mine, "TRADE", "PARTIALLY_FILLED", **fill),
        case.canceled(mine), case.order_event(mine, "EXPIRED", "EXPIRED", f="IOC"),
        case.order_event(mine, "REPLACED" if case.is_spot else "AMENDMENT", "NEW", q="0.010"),
        case.order_event("web_1", "TRADE", "FILLED", **(fill | {"t": 502})),
    ]  # fmt: skip


@BOTH
@pytest.mark.fuzz
def test_fuzzed_user_streams(case):
    generator = random.Random(f"{case.market}-user")
    corpus = events(case)
    hands = opened(case)
    n_errors = 0
    for k in range(N_EVENTS):
        if k % 200 == 0:
            hands = opened(case)
            hands.send(command(7))
        try:
            hands.user(mutated(generator, corpus))
        except DataError:
            n_errors += 1
        assert all(row["qty"] >= 0 for row in hands.rows() if row["kind"] == FILL)
    assert N_EVENTS // 10 < n_errors < N_EVENTS
    assert sum(hands.connection.desk.n_open) == len(hands.connection.desk.open)


@BOTH
@pytest.mark.fuzz
def test_fuzzed_answers(case):
    generator = random.Random(f"{case.market}-answers")
    for k in range(N_ANSWERS):
        if k % 50 == 0:
            hands = opened(case)
        frame = hands.send(command(100 + k, qty=1))
        number = frame[0]["id"] if frame else 5
        corpus = [
            json.dumps({"id": number, "status": 200, "result": {"orderId": 5, "transactTime": T0_MS}}).encode(),
            json.dumps({"id": number, "status": 400, "error": {"code": -2010, "msg": "x", "data": {}}}).encode(),
            b'{"id":null,"status":429,"error":{"code":-1003,"msg":"","data":{"retryAfter":1}}}',
        ]
        try:
            hands.connection.on_message("orders", mutated(generator, corpus), hands.now_ns)
        except DataError:
            continue
    assert sum(hands.connection.desk.n_open) == len(hands.connection.desk.open)


@BOTH
@pytest.mark.fuzz
def test_fuzzed_http_bodies_never_raise(case):
    generator = random.Random(f"{case.market}-http")
    corpus = [
        case.exchange_info(), case.snapshot(100, [["60000.0", "1.000"]], [["60000.1", "1.000"]]),
        b'{"serverTime":1723161256000}', b'{"listenKey":"pqia91ma19a5s61cv6a81va65sdf19v8"}',
        b'{"code":-1003,"msg":"Too many requests."}',
    ]  # fmt: skip
    for k in range(N_BODIES):
        if k % 20 == 0:
            hands = opened(case)
        hands.holds = {"time", "info", "snapshot", "listen"}
        hands.connection._ask(generator.choice(["time", "info"]), None, hands.now_ns)
        hands.step(100_000_000)
        for request in hands.held:
            hands.respond(request, mutated(generator, corpus), generator.choice([200, 200, 400, 503]))
        hands.held.clear()


@BOTH
@pytest.mark.parametrize("deep", [b"[" * 50_000, b'{"a":' * 20_000])
def test_endless_nesting_is_a_data_error(case, deep):
    hands = opened(case)
    bad = b'{"e":' + deep
    odd = case.trade(5, "60000.0", "0.005", True)[:-1] + b',"zz":' + deep
    for channel in ("market", "orders", "user"):
        for message in (deep, bad, odd):
            with pytest.raises(DataError):
                hands.connection.on_message(channel, message, hands.now_ns)
    hands.holds = {"time", "info", "snapshot", "listen"}
    for what in ("time", "info"):
        hands.connection._ask(what, None, hands.now_ns)
    hands.step(100_000_000)
    assert hands.held
    for request in hands.held:
        hands.respond(request, b'{"serverTime":1,"symbols":' + deep, 200)
        hands.connection.on_response(request.id, 503, {}, deep, hands.now_ns)


@BOTH
def test_client_ids_beyond_64_bits_are_not_ours(case):
    hands = opened(case)
    hands.user(case.order_event("tcffffffffffffffff", "NEW", "NEW"))
    assert hands.rows() == []


@BOTH
def test_orders_by_http(case):
    hands = opened(case, orders_by="http")
    assert hands.connection.is_live
    assert ("orders" in hands.urls) == case.is_spot
    hands.holds = {"order.place", "order.modify", "order.cancelReplace"}
    hands.send(command(7))
    (request,) = hands.held
    assert (request.method, request.is_repeatable) == ("POST", False)
    hands.respond(request, json.dumps({"orderId": 5, "clientOrderId": client_id(7), "transactTime": T0_MS}).encode())
    assert [row["kind"] for row in hands.rows()] == [ACK]
    hands.send(command(8))
    hands.respond(hands.held[-1], b'{"code":-2010,"msg":"Account has insufficient balance for requested action."}', 400)
    assert hands.rows()[0]["id"] == 8
    hands.send(command(9))
    hands.connection.on_failure(hands.held[-1].id, "reset", True, hands.now_ns)
    assert hands.connection.in_doubt == {9}
    assert hands.rows() == []
