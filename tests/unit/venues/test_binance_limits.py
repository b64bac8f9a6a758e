"""The venue's limits are never exceeded by our own requests, whatever fails and however late answers come."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from venue_cases import T0_MS, T0_NS, VENUES, Hands, command, opened

from tercel.venues.binance.limits import Limits
from tercel.venues.binance.messages import RateLimit
from tercel.venues.contract import Connect, Disconnect, Request, client_id

S = 1_000_000_000
BOTH = pytest.mark.parametrize("case", VENUES.values(), ids=VENUES.keys())


def beginning(case) -> Hands:
    hands = Hands(case, case.connection())
    hands.connection.open(hands.now_ns)
    return hands


@BOTH
@pytest.mark.parametrize("how", ["no network", "garbage", "503", "lost after it was sent"])
def test_a_loop_of_failing_requests_stays_within_the_weight_of_every_minute(case, how):
    """Ten minutes in which no question is ever answered well, before the venue could tell its limits."""
    hands = beginning(case)
    connection = hands.connection
    weights: Counter[int] = Counter()
    end_ns = T0_NS + 600 * S
    while hands.now_ns < end_ns:
        while connection.effects:
            effect = connection.effects.pop(0)
            if isinstance(effect, Request):
                weights[hands.now_ns // (60 * S)] += effect.weight
                if how in ("no network", "lost after it was sent"):
                    connection.on_failure(effect.id, "failed", how != "no network", hands.now_ns)
                else:
                    connection.on_response(effect.id, 200 if how == "garbage" else 503, {}, b"<html>", hands.now_ns)
            elif isinstance(effect, Connect):
                connection.on_disconnected(effect.channel, hands.now_ns, "refused")
            elif isinstance(effect, Disconnect):
                connection.on_disconnected(effect.channel, hands.now_ns, effect.why)
        hands.now_ns = max(hands.now_ns + 1_000_000, min(connection.next_wake_ns, end_ns))
        if connection.next_wake_ns <= hands.now_ns:
            connection.on_wake(hands.now_ns)
    assert len(weights) >= 10
    assert max(weights.values()) <= (6000 if case.is_spot else 2400)


@BOTH
@pytest.mark.parametrize("status", [429, 418])
def test_retry_after_is_obeyed_by_every_question(case, status):
    hands = beginning(case)
    connection = hands.connection
    first = [e for e in connection.effects if isinstance(e, Request)]
    connection.effects.clear()
    begin_ns = hands.now_ns
    connection.on_response(first[0].id, status, {"retry-after": "37"}, b'{"code":-1003,"msg":"wait"}', begin_ns)
    connection.on_failure(first[1].id, "failed", True, begin_ns)
    asked_ns = []
    while hands.now_ns < begin_ns + 60 * S:
        hands.now_ns += 50_000_000
        if connection.next_wake_ns <= hands.now_ns:
            connection.on_wake(hands.now_ns)
        asked_ns += [hands.now_ns for e in connection.effects if isinstance(e, Request)]
        connection.effects.clear()
    assert len(asked_ns) >= 2
    assert min(asked_ns) - begin_ns >= 37 * S
    assert min(asked_ns) - begin_ns < 39 * S


@BOTH
def test_an_answer_that_comes_late_makes_no_room_for_orders_under_way(case):
    """The first answer counts one order; the others had left already."""
    hands = opened(case)
    limit = {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50}
    frames = []
    for k in range(30):
        frames += hands.send(command(100 + k, qty=1))
    assert len(frames) == 30
    for n, frame in enumerate(frames[:5]):
        answer = {
            "id": frame["id"], "status": 200, "rateLimits": [limit | {"count": n + 1}],
            "result": {"orderId": 5 + n, "clientOrderId": client_id(100 + n), "transactTime": T0_MS},
        }  # fmt: skip
        hands.connection.on_message("orders", json.dumps(answer).encode(), hands.now_ns)
    for k in range(40):
        frames += hands.send(command(200 + k, qty=1))
    assert hands.now_ns // (10 * S) == T0_NS // (10 * S)
    assert len(frames) == 50


def test_what_others_at_the_same_address_use_is_counted_until_an_answer_says_less():
    limits = Limits()
    told = RateLimit(rateLimitType="REQUEST_WEIGHT", interval="MINUTE", intervalNum=1, limit=100, count=90)
    limits.learn([told], 0)
    limits.used("REQUEST_WEIGHT", 5, 0)
    assert not limits.has_room("REQUEST_WEIGHT", 6, 0)
    limits.read({"x-mbx-used-weight-1m": "40"}, 0)
    assert limits.has_room("REQUEST_WEIGHT", 60, 0)
    limits.read({"x-mbx-used-weight-1m": "1"}, 0)
    assert not limits.has_room("REQUEST_WEIGHT", 96, 0)
    assert limits.has_room("REQUEST_WEIGHT", 100, 60 * S)


@BOTH
def test_a_tick_of_zero_is_refused_and_asked_for_again(case):
    """What a venue cannot mean ends no session."""
    hands = beginning(case)
    nonsense = re.sub(rb'"tickSize": ?"[0-9.]+"', b'"tickSize":"0"', case.exchange_info())
    info = next(e for e in hands.connection.effects if isinstance(e, Request) and e.endpoint == "info")
    hands.connection.on_response(info.id, 200, {}, nonsense, hands.now_ns)
    assert any("filters of BTCUSDT cannot be read" in note for note in hands.connection.notes)
    assert hands.connection.rules == {}
