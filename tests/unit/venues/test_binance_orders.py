"""Binance's orders: what leaves for each command, documented exchanges, amends, limits, clocks, keys."""

from __future__ import annotations

import base64
import json
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from venue_cases import KEY, SECRET, T0_MS, T0_NS, VENUES, Hands, command, opened

from tercel.errors import ConfigError, DataError
from tercel.model import reasons as r
from tercel.model.commands import (
    AMEND,
    BRACKET,
    CANCEL,
    CANCEL_ALL,
    FOK,
    GTC,
    GTD,
    GTX,
    ICEBERG,
    IOC,
    LEAVE_BY,
    LIMIT,
    LINK,
    MARKET,
    OCO,
    REDUCE_ONLY,
    STOP,
    STOP_LIMIT,
    TRAILING,
)  # fmt: skip
from tercel.model.events import ACK, AMEND_REJECT, AMENDED, CANCEL_REJECT, CANCELED, FILL, REJECT, SELL
from tercel.model.reasons import REASONS, reason_name
from tercel.venues.binance import settings as places
from tercel.venues.binance.encoding import amend_id, own_id
from tercel.venues.binance.exchange_info import read_exchange_info
from tercel.venues.binance.refusals import CODES, TEXTS, reason_of
from tercel.venues.binance.settings import Credentials
from tercel.venues.binance.signing import Signer
from tercel.venues.contract import client_id

SPOT, USDM = VENUES["binance-spot"], VENUES["binance-usdm"]
BOTH = pytest.mark.parametrize("case", VENUES.values(), ids=VENUES.keys())


def kinds(rows) -> list[tuple[int, str]]:
    return [(row["kind"], REASONS[row["reason"]][0]) for row in rows]


def params_of(hands: Hands, row) -> dict:
    (frame,) = hands.send(row)
    return {k: v for k, v in frame["params"].items() if k not in ("apiKey", "signature", "timestamp", "recvWindow")}


# --- signing ------------------------------------------------------------------------------------------------------


def test_signature_of_the_documented_example():
    """The HMAC example of the WebSocket API's page "Request security"."""
    key = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    asked = {
        "symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01000000",
        "price": "52000.00", "newOrderRespType": "ACK", "recvWindow": 100, "timestamp": 1645423376532,
    }  # fmt: skip
    signed = Signer(Credentials(key, secret)).params(asked)
    assert signed["signature"] == "cc15477742bd704c29492d96c7ead9414dfd8e0ec4a00f947bb5bb454ddbd08a"
    assert signed["apiKey"] == key


def ed25519_pem() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(*kinds).decode()


@BOTH
def test_an_ed25519_key_logs_on_and_signs_no_order(case):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    hands = opened(case, secret=ed25519_pem())
    assert hands.connection.is_live
    logon = hands.sent[0]
    assert logon["method"] == "session.logon"
    said = [frame["method"] for frame in hands.sent[1:]]
    assert said == (["userDataStream.subscribe"] if case.is_spot else [])
    text = "&".join(f"{k}={v}" for k, v in sorted(logon["params"].items()) if k != "signature")
    public = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).public_key()
    public.verify(base64.b64decode(logon["params"]["signature"]), text.encode())
    (frame,) = hands.send(command(7))
    assert "signature" not in frame["params"]
    assert "apiKey" not in frame["params"]
    assert frame["params"]["timestamp"] > T0_MS


@pytest.mark.parametrize(
    "secret", ["", "-----BEGIN {0}-----\nnonsense\n-----END {0}-----\n".format("PRIVATE" + " KEY")]
)
def test_keys_that_cannot_be_used_are_refused_without_being_shown(secret):
    with pytest.raises(ConfigError) as error:
        Signer(Credentials(KEY, secret))
    assert "nonsense" not in str(error.value)
    assert KEY not in str(error.value)
    assert SECRET not in repr(Credentials(KEY, SECRET))


@BOTH
def test_wrong_keys_close_the_order_channel_and_try_again_slowly(case):
    hands = Hands(case, case.connection(secret=ed25519_pem()))
    connection = hands.connection
    connection.open(hands.now_ns)
    time, info, *_ = [e for e in connection.effects if hasattr(e, "endpoint")]
    connection.effects.clear()
    hands.respond(time)
    hands.respond(info)
    connection.effects.clear()
    connection.on_connected("orders", hands.now_ns)
    frame = json.loads(connection.effects[-1].data)
    connection.effects.clear()
    hands.answer(frame["id"], status=401, error={"code": -2015, "msg": "Invalid API-key, IP, or permissions."})
    assert [e.channel for e in connection.effects] == ["orders"]
    assert not connection.is_ready
    assert any("-2015" in note for note in connection.notes)


# --- new orders ---------------------------------------------------------------------------------------------------

SPELLED = [
    ("spot", {"tif": GTC}, {"type": "LIMIT", "timeInForce": "GTC", "price": "60000.0"}),
    ("spot", {"tif": IOC, "side": SELL}, {"side": "SELL", "timeInForce": "IOC"}),
    ("spot", {"tif": GTX}, {"type": "LIMIT_MAKER"}),
    ("spot", {"type": MARKET, "px": 0}, {"type": "MARKET", "quantity": "0.020"}),
    ("spot", {"type": STOP, "px": 0, "arg": 610_000}, {"type": "STOP_LOSS", "stopPrice": "61000.0"}),
    ("spot", {"type": STOP_LIMIT, "arg": 610_005}, {"type": "STOP_LOSS_LIMIT", "stopPrice": "61000.5"}),
    ("spot", {"type": ICEBERG, "arg": 5}, {"type": "LIMIT", "icebergQty": "0.005", "timeInForce": "GTC"}),
    ("usdm", {"tif": GTX}, {"type": "LIMIT", "timeInForce": "GTX"}),
    ("usdm", {"tif": FOK, "flags": REDUCE_ONLY}, {"timeInForce": "FOK", "reduceOnly": "true"}),
    (
        "usdm",
        {"tif": GTD, "expire_ns": T0_NS + 3_600_000_000_001},
        {"timeInForce": "GTD", "goodTillDate": T0_MS + 3_601_000},
    ),
    ("usdm", {"type": MARKET, "px": 0}, {"type": "MARKET"}),
]


@pytest.mark.parametrize(("market", "given", "expected"), SPELLED)
def test_how_orders_are_spelled(market, given, expected):
    found = params_of(opened(VENUES[f"binance-{market}"]), command(7, **given))
    assert expected.items() <= found.items()
    assert found["newClientOrderId"] == client_id(7)
    assert ("timeInForce" in found) == (expected.get("type") not in ("LIMIT_MAKER", "MARKET", "STOP_LOSS"))


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("tif", [GTC, IOC, GTX])
def test_a_time_to_leave_by_is_not_for_the_venue(market, tif):
    """The flag and its time are the driver's; an order of that kind ends at the venue as any other does."""
    case = VENUES[f"binance-{market}"]
    timed = params_of(opened(case), command(7, tif=tif, flags=LEAVE_BY, expire_ns=T0_NS + 3_600_000_000_000))
    plain = params_of(opened(case), command(7, tif=tif))
    differing = {name for name in timed | plain if timed.get(name) != plain.get(name)}
    assert differing <= {"signature"}
    assert "goodTillDate" not in timed
    assert timed.get("timeInForce") != "GTD"


REFUSED_HERE = [
    ("spot", {"tif": GTD, "expire_ns": T0_NS + 10**13}, r.VENUE_UNSUPPORTED),
    ("spot", {"type": TRAILING, "arg": 5}, r.VENUE_UNSUPPORTED),
    ("spot", {"flags": REDUCE_ONLY}, r.VENUE_REDUCE_ONLY),
    ("usdm", {"type": STOP, "px": 0, "arg": 610_000}, r.VENUE_UNSUPPORTED),
    ("usdm", {"type": ICEBERG, "arg": 5}, r.VENUE_UNSUPPORTED),
    ("usdm", {"tif": GTD, "expire_ns": T0_NS + 60_000_000_000}, r.VENUE_UNSUPPORTED),
    ("usdm", {"qty": 0}, r.VENUE_SIZE),
    ("usdm", {"qty": 1_000_001}, r.VENUE_SIZE),
    ("usdm", {"type": MARKET, "qty": 120_001, "px": 0}, r.VENUE_SIZE),
    ("spot", {"px": 10_000_001}, r.VENUE_PRICE),
    ("spot", {"px": 49_999, "qty": 1}, r.VENUE_NOTIONAL),
    ("spot", {"px": 9_000_001, "qty": 10_000}, r.VENUE_NOTIONAL),
    ("spot", {"instrument": 3}, r.UNKNOWN_INSTRUMENT),
]


@pytest.mark.parametrize(("market", "given", "reason"), REFUSED_HERE)
def test_what_the_venue_would_refuse_does_not_leave(market, given, reason):
    hands = opened(VENUES[f"binance-{market}"])
    assert hands.send(command(7, **given)) == []
    (row,) = hands.rows()
    assert (row["kind"], row["id"], row["reason"]) == (REJECT, 7, reason)
    assert hands.connection.desk.open == {}


def test_the_venues_maximum_of_orders():
    hands = opened(SPOT)
    for number in range(1, 99):
        hands.send(command(number))
    hands.step(20_000_000_000)
    for number in range(99, 190):
        hands.send(command(number))
    hands.step(20_000_000_000)
    for number in range(190, 205):
        hands.send(command(number))
    said = [row for row in hands.rows() if row["kind"] == REJECT]
    assert [row["id"] for row in said] == [201, 202, 203, 204]
    assert {row["reason"] for row in said} == {r.VENUE_TOO_MANY_ORDERS}


def test_a_venue_whose_filters_changed_gets_no_order():
    hands = opened(USDM)
    changed = json.loads(USDM.exchange_info())
    changed["symbols"][0]["filters"][0]["tickSize"] = "0.50"
    hands.connection._take_info(json.dumps(changed).encode(), hands.now_ns)
    assert hands.send(command(7)) == []
    assert kinds(hands.rows()) == [(REJECT, "venue_rules_differ")]
    assert "tick and lot" in hands.connection.notes[-1]


def test_exchange_info_becomes_instruments_and_rules():
    info = read_exchange_info(SPOT.settings(), SPOT.exchange_info(), ["BTCUSDT", "NOSUCH"])
    rules = info.rules["BTCUSDT"]
    found = rules.instrument
    assert (str(found.tick_size), str(found.lot_size), found.kind, found.base, found.quote) == (
        "0.1", "0.001", "spot", "BTC", "USDT",
    )  # fmt: skip
    assert (rules.px_min, rules.px_max, rules.qty_min, rules.qty_max) == (1, 10_000_000, 1, 1_000_000)
    assert (rules.market_qty_max, rules.notional_min, rules.orders_max) == (120_000, 5, 200)
    assert "NOSUCH" not in info.rules
    assert (
        not read_exchange_info(SPOT.settings(), SPOT.exchange_info(status="BREAK"), ["BTCUSDT"])
        .rules["BTCUSDT"]
        .is_trading
    )
    for bad in (b"", b"[]", SPOT.exchange_info(filters=[]), SPOT.exchange_info().replace(b'"0.10"', b'"x"')):
        with pytest.raises(DataError):
            read_exchange_info(SPOT.settings(), bad, ["BTCUSDT"])


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "code", "text", "reason"),
    [
        (SPOT, -2010, "Account has insufficient balance for requested action.", "venue_balance"),
        (SPOT, -2010, "Order would immediately match and take.", "would_take"),
        (SPOT, -2010, "Duplicate order sent.", "venue_duplicate"),
        (SPOT, -1013, "Filter failure: PERCENT_PRICE_BY_SIDE", "venue_price_band"),
        (SPOT, -1013, "Filter failure: NOTIONAL", "venue_notional"),
        (SPOT, -1013, "Filter failure: MAX_NUM_ORDERS", "venue_too_many_orders"),
        (SPOT, -1013, "Market is closed.", "venue_closed"),
        (SPOT, -1015, "Too many new orders; current limit is 50 orders per 10 SECOND.", "venue_rate_limit"),
        (USDM, -5022, "Due to the order could not be executed as maker", "would_take"),
        (USDM, -2019, "Margin is insufficient.", "venue_balance"),
        (USDM, -2022, "ReduceOnly Order is rejected.", "venue_reduce_only"),
        (USDM, -4120, "Order type not supported for this endpoint.", "venue_unsupported"),
        (USDM, -1008, "Server is currently overloaded with other requests.", "venue_busy"),
        (USDM, -2015, "Invalid API-key, IP, or permissions for action.", "venue_unauthorized"),
        (USDM, -99999, "Something new.", "venue_rejected"),
    ],
)
def test_error_codes_become_reasons(case, code, text, reason):
    hands = opened(case)
    frame = hands.send(command(7))[0]
    hands.answer(frame["id"], status=400, error={"code": code, "msg": text})
    assert kinds(hands.rows()) == [(REJECT, reason)]


def test_every_code_has_a_reason_with_a_sentence():
    for reason in [*CODES.values(), *(reason for _, reason in TEXTS)]:
        assert reason in REASONS
    assert all(reason_of(code, "", is_spot) != 0 for code in CODES for is_spot in (True, False))


# --- amends -------------------------------------------------------------------------------------------------------


def resting(case, **more) -> Hands:
    hands = opened(case)
    hands.send(command(7, **more))
    hands.user(case.order_event(client_id(7), "NEW", "NEW"))
    hands.rows()
    return hands


def test_spot_amend_in_place_when_only_smaller():
    hands = resting(SPOT)
    (frame,) = hands.send(command(7, AMEND, qty=12))
    assert frame["method"] == "order.amend.keepPriority"
    assert (frame["params"]["newQty"], frame["params"]["newClientOrderId"]) == ("0.012", client_id(7))
    hands.user(SPOT.order_event(client_id(7), "REPLACED", "NEW", C=client_id(7), q="0.012"))
    (row,) = hands.rows()
    assert (row["kind"], row["px"], row["qty"]) == (AMENDED, 600_000, 12)


def test_spot_amend_by_cancel_and_replace():
    hands = resting(SPOT)
    fill = {"l": "0.005", "L": "60000.0", "z": "0.005", "t": 501, "n": "0", "N": "USDT", "m": True}
    hands.user(SPOT.order_event(client_id(7), "TRADE", "PARTIALLY_FILLED", **fill))
    (frame,) = hands.send(command(7, AMEND, px=600_010, qty=10))
    assert frame["method"] == "order.cancelReplace"
    assert (frame["params"]["quantity"], frame["params"]["price"]) == ("0.010", "60001.0")
    hands.user(SPOT.order_event(amend_id(7), "CANCELED", "CANCELED", C=client_id(7), z="0.005"))
    hands.user(SPOT.order_event(client_id(7), "NEW", "NEW", q="0.010", p="60001.0", i=4293999))
    hands.answer(frame["id"], {"cancelResult": "SUCCESS", "newOrderResult": "SUCCESS"})
    last = {"l": "0.010", "L": "60001.0", "z": "0.010", "t": 502, "n": "0", "N": "USDT", "q": "0.010", "p": "60001.0"}
    hands.user(SPOT.order_event(client_id(7), "TRADE", "FILLED", i=4293999, **last))
    rows = hands.rows()
    assert [(row["kind"], row["id"], row["px"], row["qty"]) for row in rows] == [
        (FILL, 7, 600_000, 5), (AMENDED, 7, 600_010, 10), (FILL, 7, 600_010, 10),
    ]  # fmt: skip
    assert hands.connection.desk.open == {}
    assert hands.connection.desk.n_open[0] == 0


MADE_AGAIN = {"q": "0.030", "p": "60001.0", "i": 4293999}


def amended_before_it_was_taken() -> Hands:
    """A spot order whose amend left before the venue had said anything of it."""
    hands = opened(SPOT)
    hands.send(command(7))
    (frame,) = hands.send(command(7, AMEND, px=600_010, qty=30))
    assert frame["method"] == "order.cancelReplace"
    return hands


@pytest.mark.parametrize("is_answered", [False, True])
def test_word_that_an_order_was_taken_is_not_word_of_its_amend(is_answered):
    """The limits count the larger size from when an amend leaves until its outcome is known."""
    hands = amended_before_it_was_taken()
    if is_answered:
        hands.connection.desk.acked(7, 4293153, T0_NS, hands.now_ns)
    hands.user(SPOT.order_event(client_id(7), "NEW", "NEW"))
    assert [(row["kind"], row["qty"]) for row in hands.rows()] == [(ACK, 20)]
    assert hands.connection.desk.open[7].replacing == (600_010, 30)
    hands.user(SPOT.order_event(amend_id(7), "CANCELED", "CANCELED", C=client_id(7)))
    hands.user(SPOT.order_event(client_id(7), "NEW", "NEW", **MADE_AGAIN))
    assert [(row["kind"], row["px"], row["qty"]) for row in hands.rows()] == [(AMENDED, 600_010, 30)]
    assert hands.connection.desk.open[7].replacing is None


@pytest.mark.parametrize("is_answered", [False, True])
def test_an_order_made_again_is_known_where_word_of_its_cancel_was_lost(is_answered):
    hands = amended_before_it_was_taken()
    if is_answered:
        hands.connection.desk.acked(7, 4293153, T0_NS, hands.now_ns)
    hands.rows()
    hands.user(SPOT.order_event(client_id(7), "NEW", "NEW", **MADE_AGAIN))
    assert [(row["kind"], row["px"], row["qty"]) for row in hands.rows()] == [(AMENDED, 600_010, 30)]
    assert hands.connection.desk.open[7].replacing is None


def partly_filled(market, lots=5):
    hands = resting(market)
    fill = {"l": f"0.00{lots}", "L": "60000.0", "z": f"0.00{lots}", "t": 501, "n": "0", "N": "USDT", "m": True}
    hands.user(market.order_event(client_id(7), "TRADE", "PARTIALLY_FILLED", **fill))
    hands.rows()
    return hands


def test_an_order_is_not_replaced_by_who_has_not_heard_of_its_fills():
    hands = partly_filled(SPOT)
    # 20 were left when it was asked for; 15 are now.
    assert hands.send(command(7, AMEND, px=600_010, qty=10, arg=20)) == []
    (row,) = hands.rows()
    assert (row["kind"], reason_name(int(row["reason"]))) == (AMEND_REJECT, "filled_meanwhile")
    (frame,) = hands.send(command(7, AMEND, px=600_010, qty=10, arg=15))
    assert (frame["params"]["quantity"], "cancelRestrictions" in frame["params"]) == ("0.010", False)
    (frame,) = resting(SPOT).send(command(7, AMEND, px=600_010, qty=10, arg=20))
    assert frame["params"]["cancelRestrictions"] == "ONLY_NEW"


@pytest.mark.parametrize(("market", "method", "field"), [
    (SPOT, "order.amend.keepPriority", "newQty"), (USDM, "order.modify", "quantity"),
])  # fmt: skip
def test_what_fills_unheard_counts_against_the_whole_size(market, method, field):
    hands = partly_filled(market)
    (frame,) = hands.send(command(7, AMEND, px=600_000, qty=12, arg=20))
    assert (frame["method"], frame["params"][field]) == (method, "0.012")
    (frame,) = partly_filled(market).send(command(7, AMEND, px=600_000, qty=12, arg=15))
    assert frame["params"][field] == "0.017"


def test_an_order_with_fills_is_not_replaced_to_make_it_smaller():
    hands = partly_filled(SPOT)
    rules = hands.connection.rules
    rules[0] = msgspec.structs.replace(rules[0], can_amend=False)
    assert hands.send(command(7, AMEND, px=600_000, qty=10, arg=15)) == []
    # Nor at all where the gate does not know that both may trade.
    connection = partly_filled(SPOT).connection
    connection.instruments[0] = msgspec.structs.replace(connection.instruments[0], amends="in_place")
    connection.send_commands(command(7, AMEND, px=600_010, qty=10, arg=15), T0_NS)
    for rows in (hands.rows(), connection.rows.filled()):
        assert [reason_name(int(row["reason"])) for row in rows] == ["venue_unsupported"]


@pytest.mark.parametrize("market", [SPOT, USDM])
def test_linked_orders_do_not_leave_unlinked(market):
    hands = opened(market)
    entry, child, pair = command(7), command(8, side=SELL), command(9, side=SELL)
    bracket = command(8, LINK, arg=7, flags=BRACKET)
    (frame,) = hands.send(np.concatenate([entry, child, bracket]))
    assert frame["params"]["newClientOrderId"] == client_id(7)
    (row,) = hands.rows()
    assert (row["kind"], row["id"], reason_name(int(row["reason"]))) == (REJECT, 8, "venue_unsupported")
    assert hands.send(np.concatenate([child, pair, command(8, LINK, arg=9, flags=OCO)])) == []
    assert [(row["kind"], row["id"]) for row in hands.rows()] == [(REJECT, 8), (REJECT, 9)]


HALVES = [
    (
        {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None,
         "cancelResponse": {"code": -2011, "msg": "Order was not canceled due to cancel restrictions."}},
        400, -2022, [(AMEND_REJECT, "filled_meanwhile")],
    ),
    (
        {"cancelResult": "FAILURE", "newOrderResult": "NOT_ATTEMPTED", "newOrderResponse": None,
         "cancelResponse": {"code": -2011, "msg": "Unknown order sent."}},
        400, -2022, [(AMEND_REJECT, "venue_unknown_order")],
    ),
    (
        {"cancelResult": "SUCCESS", "newOrderResult": "FAILURE", "cancelResponse": {"orderId": 4293153},
         "newOrderResponse": {"code": -2010, "msg": "Order would immediately match and take."}},
        409, -2021, [(AMEND_REJECT, "would_take"), (CANCELED, "would_take")],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("data", "status", "code", "expected"), HALVES)
def test_spot_cancel_replace_of_which_a_half_fails(data, status, code, expected):
    hands = resting(SPOT)
    (frame,) = hands.send(command(7, AMEND, px=600_010, qty=10))
    if data["cancelResult"] == "SUCCESS":
        hands.user(SPOT.order_event(amend_id(7), "CANCELED", "CANCELED", C=client_id(7)))
    hands.answer(frame["id"], status=status, error={"code": code, "msg": "Order cancel-replace failed.", "data": data})
    assert kinds(hands.rows()) == expected
    assert (7 in hands.connection.desk.open) == (len(expected) == 1)


def test_futures_amend_states_the_whole_size():
    hands = resting(USDM)
    fill = {"l": "0.005", "L": "60000.0", "z": "0.005", "t": 501, "n": "0", "N": "USDT"}
    hands.user(USDM.order_event(client_id(7), "TRADE", "PARTIALLY_FILLED", **fill))
    (frame,) = hands.send(command(7, AMEND, px=600_010, qty=30))
    assert frame["method"] == "order.modify"
    assert (frame["params"]["quantity"], frame["params"]["side"]) == ("0.035", "BUY")
    hands.user(USDM.order_event(client_id(7), "AMENDMENT", "PARTIALLY_FILLED", q="0.035", p="60001.0", z="0.005"))
    row = hands.rows()[-1]
    assert (row["kind"], row["px"], row["qty"]) == (AMENDED, 600_010, 30)


@BOTH
def test_amend_of_an_order_nobody_knows(case):
    hands = opened(case)
    assert hands.send(command(99, AMEND)) == []
    assert kinds(hands.rows()) == [(AMEND_REJECT, "venue_unknown_order")]


def test_ids_of_both_halves_are_ours():
    assert own_id(amend_id(77)) == own_id(client_id(77)) == 77
    assert own_id("web_12") == own_id("") == own_id("ta12") == 0


# --- HTTP instead -------------------------------------------------------------------------------------------------


@BOTH
def test_cancels_go_by_http_while_the_order_channel_is_down(case):
    hands = resting(case)
    connection = hands.connection
    connection.on_disconnected("orders", hands.now_ns, "gone")
    connection.effects.clear()
    for row in (command(7, CANCEL), command(0, CANCEL_ALL)):
        connection.send_commands(row, hands.now_ns)
    one, every = connection.effects
    assert (one.method, one.endpoint, one.is_repeatable) == ("DELETE", "order.cancel", True)
    assert one.url.startswith(f"http://venue{connection.settings.api}/order?symbol=BTCUSDT&origClientOrderId=tc")
    assert every.url.startswith(
        f"http://venue{connection.settings.api}/{'openOrders' if case.is_spot else 'allOpenOrders'}?symbol=BTCUSDT&"
    )
    assert one.headers == {"X-MBX-APIKEY": KEY}
    hands.rows()
    hands.respond(one, b'{"code":-2011,"msg":"Unknown order sent."}', 400)
    assert kinds(hands.rows()) == [(CANCEL_REJECT, "venue_unknown_order")]
    connection.send_commands(command(7, CANCEL), hands.now_ns)
    request = connection.effects[-1]
    connection.on_failure(request.id, "refused", False, hands.now_ns)
    assert kinds(hands.rows()) == [(CANCEL_REJECT, "venue_down")]
    connection.send_commands(command(7, CANCEL), hands.now_ns)
    connection.on_failure(connection.effects[-1].id, "reset", True, hands.now_ns)
    assert hands.rows() == []
    assert 7 in connection.in_doubt


def test_cancel_all_on_spot_goes_by_the_order_channel():
    hands = opened(SPOT)
    (frame,) = hands.send(command(0, CANCEL_ALL))
    assert (frame["method"], frame["params"]["symbol"]) == ("openOrders.cancelAll", "BTCUSDT")


# --- limits and bans ----------------------------------------------------------------------------------------------


@BOTH
def test_the_venues_order_limit_is_kept_here(case):
    hands = opened(case)
    for number in range(1, 104):
        hands.connection.send_commands(command(number, qty=1), hands.now_ns)
    said = [row for row in hands.rows() if row["kind"] == REJECT]
    assert [row["id"] for row in said] == [101, 102, 103]
    assert kinds(said)[0] == (REJECT, "venue_rate_limit")
    hands.step(10_000_000_000)
    assert len(hands.send(command(104, qty=1))) == 1, "a new window"


@BOTH
def test_counts_told_by_the_venue_hold(case):
    hands = opened(case)
    frame = hands.send(command(1))[0]
    limits = [{"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 50, "count": 50}]
    body = {"id": frame["id"], "status": 200, "result": {"orderId": 1}, "rateLimits": limits}
    hands.connection.on_message("orders", json.dumps(body).encode(), hands.now_ns)
    assert hands.send(command(2)) == []
    assert kinds(hands.rows())[-1] == (REJECT, "venue_rate_limit")


def test_headers_are_read():
    hands = opened(SPOT)
    hands.connection.limits.read({"x-mbx-used-weight-1m": "6000"}, hands.connection.venue_ns(hands.now_ns))
    hands.connection.measure_clock(hands.now_ns)
    assert hands.connection.effects == []
    assert hands.now_ns < hands.connection._due[("time", None)] < hands.now_ns + 60_000_000_000


@BOTH
@pytest.mark.parametrize(("status", "reason"), [(429, "venue_rate_limit"), (418, "venue_banned")])
def test_too_many_requests_stop_everything_until_the_time_told(case, status, reason):
    hands = resting(case)
    hands.holds = {"time"}
    hands.connection.measure_clock(hands.now_ns)
    hands.step()
    hands.respond(hands.held[-1], b'{"code":-1003,"msg":"Too many requests."}', status, retry_after="7")
    for row in (command(8), command(7, CANCEL), command(7, AMEND, px=600_010)):
        assert hands.send(row) == []
    assert kinds(hands.rows()) == [(REJECT, reason), (CANCEL_REJECT, reason), (AMEND_REJECT, reason)]
    n_requests = len(hands.requests)
    hands.step(6_000_000_000)
    assert len(hands.requests) == n_requests
    hands.step(2_000_000_000)
    assert len(hands.requests) == n_requests + 1
    assert len(hands.send(command(9))) == 1


def test_a_ban_told_by_the_order_channel():
    hands = opened(SPOT)
    frame = hands.send(command(7))[0]
    data = {"serverTime": T0_MS, "retryAfter": T0_MS + 30_000}
    hands.answer(frame["id"], status=418, error={"code": -1003, "msg": "Way too much request weight", "data": data})
    hands.send(command(8))
    assert kinds(hands.rows()) == [(REJECT, "venue_banned"), (REJECT, "venue_banned")]
    hands.step(31_000_000_000)
    assert len(hands.send(command(9))) == 1


# --- clocks, keys, sessions ---------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("off_ms", [-60_000, 0, 60_000])
def test_a_clock_that_is_off_is_measured_and_used(case, off_ms):
    hands = Hands(case, case.connection(), holds={"time"})
    hands.connection.open(hands.now_ns)
    hands.step()
    assert not [f for f in hands.sent if "timestamp" in f["params"]], "nothing is signed before the time is known"
    hands.now_ns += 40_000_000
    hands.respond(hands.held[0], json.dumps({"serverTime": T0_MS + 20 + off_ms}).encode())
    hands.step()
    assert abs(hands.connection.clock_offset_ns - off_ms * 1_000_000) < 1_000_000
    stamp = [f["params"]["timestamp"] for f in hands.sent if "timestamp" in f["params"]]
    asked = [request.url for request in hands.requests if "timestamp=" in request.url]
    if case.is_spot:
        assert abs(stamp[0] - hands.now_ns // 1_000_000 - off_ms) <= 1
    assert asked == []


@BOTH
def test_a_timestamp_error_measures_the_clock_again(case):
    hands = opened(case)
    frame = hands.send(command(7))[0]
    n = sum(request.endpoint == "time" for request in hands.requests)
    hands.answer(frame["id"], status=400, error={"code": -1021, "msg": "Timestamp outside of the recvWindow."})
    hands.step()
    assert kinds(hands.rows()) == [(REJECT, "venue_timestamp")]
    assert sum(request.endpoint == "time" for request in hands.requests) == n + 1


def test_the_listen_key_is_kept_alive_and_renewed():
    hands = opened(USDM)
    hands.step(1_800_000_000_000)
    assert [request.method for request in hands.requests if request.endpoint == "keepalive"] == ["PUT"]
    hands.user(b'{"e":"listenKeyExpired","E":1723161256000,"listenKey":"pqia91ma19a5s61cv6a81va65sdf19v8"}')
    hands.step()
    hands.step(60_000_000_000)
    # Each time before the stream is opened, and again once it is open.
    assert sum(request.endpoint == "listen" for request in hands.requests) == 4
    assert hands.connection.is_ready


def test_a_user_stream_by_a_key_that_the_venue_forgot_is_opened_anew():
    hands = opened(USDM)
    old, new = "pqia91ma19a5s61cv6a81va65sdf19v8", "b" * 32
    hands.holds = {"listen"}
    # The venue restarts and forgets the key: the stream is not opened by it again.
    hands.connection.on_disconnected("user", hands.now_ns, "venue restarts")
    hands.step(60_000_000_000)
    assert [request.method for request in hands.held] == ["POST"]
    hands.respond(hands.held.pop(), f'{{"listenKey":"{old}"}}'.encode())
    hands.step()
    assert hands.urls["user"].endswith(old)
    # It restarted once more meanwhile: such a stream opens, says nothing, and is not ready.
    assert not hands.connection.is_ready
    hands.respond(hands.held.pop(), f'{{"listenKey":"{new}"}}'.encode())
    hands.step()
    assert hands.closed[-1].channel == "user"
    for _ in range(2):
        hands.step(60_000_000_000)
        hands.respond(hands.held.pop(), f'{{"listenKey":"{new}"}}'.encode())
        hands.step()
    assert hands.urls["user"].endswith(new)
    assert hands.connection.is_ready


def test_fees_in_other_assets():
    hands = opened(SPOT, fee_prices={})
    connection = hands.connection
    instrument = SPOT.instrument()
    assert connection.desk.fee(instrument, "0.00000500", "BTC", 600_000) == instrument.quanta("0.3")
    assert connection.desk.fee(instrument, "0.001", "BNB", 600_000) == 0
    assert "BNB" in connection.notes[-1]
    priced = SPOT.connection(fee_prices={"BNB": Decimal("500")})
    assert priced.desk.fee(instrument, "0.001", "BNB", 600_000) == instrument.quanta("0.5")


def test_addresses():
    for market in ("spot", "usdm"):
        for made in (places.mainnet(market), places.testnet(market)):
            assert made.rest.startswith("https://")
            assert made.streams.startswith("wss://")
            assert made.ws_api.startswith("wss://")
    assert places.local("spot", "127.0.0.1", 81).ws_api == "ws://127.0.0.1:81/ws-api/v3"
    with pytest.raises(ConfigError):
        places.BinanceSettings(market="options", rest="", streams="", ws_api="")


def test_futures_book_and_trade_streams_have_addresses_of_their_own():
    hands = opened(USDM, trade_streams="ws://venue/market", trades="aggTrade")
    assert hands.urls["market"] == "ws://venue/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"
    assert hands.urls["trades"] == "ws://venue/market/stream?streams=btcusdt@aggTrade"
    hands.connection.on_message("trades", USDM.trade(5, "60000.0", "0.001", True), hands.now_ns)
    assert hands.rows()[0]["id"] == 5


def test_ack_of_a_plain_order_by_its_answer_alone():
    hands = opened(USDM)
    frame = hands.send(command(7, type=LIMIT))[0]
    hands.answer(frame["id"], {"orderId": 11, "clientOrderId": client_id(7), "status": "NEW", "updateTime": T0_MS + 9})
    (row,) = hands.rows()
    assert (row["kind"], row["arg0"], row["ts_exch"]) == (ACK, 11, (T0_MS + 9) * 1_000_000)
