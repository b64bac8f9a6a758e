"""Prepared frames say what the long way says, and leave to it whatever is not plain or breaks a rule."""

from __future__ import annotations

import itertools
from decimal import Decimal

import msgspec
import pytest

from tercel.model.commands import FOK, GTC, GTD, GTX, IOC, LIMIT
from tercel.model.events import BUY, SELL
from tercel.model.instrument import Instrument
from tercel.venues.binance.encoding import Grid, new_order
from tercel.venues.binance.exchange_info import SymbolRules
from tercel.venues.binance.limits import Limits
from tercel.venues.binance.messages import RateLimit
from tercel.venues.binance.prepared import PreparedOrders
from tercel.venues.binance.sending import _Command

ID = (7 << 32) + 0xABC


def instrument(tick: str, lot: str) -> Instrument:
    return Instrument(symbol="BTCUSDT", tick_size=Decimal(tick), lot_size=Decimal(lot), kind="spot")


@pytest.mark.parametrize("grid", [("0.01", "0.00001"), ("1", "1"), ("0.5", "10"), ("0.25", "0.001")])
@pytest.mark.parametrize("is_spot", [True, False])
def test_a_prepared_frame_is_the_request_of_the_long_way(grid, is_spot):
    btc = instrument(*grid)
    prepared = PreparedOrders(btc, SymbolRules(instrument=btc), is_spot, 5000)
    for side, tif, (px, qty) in itertools.product(
        (BUY, SELL), (GTC, IOC, FOK, GTX), ((1, 1), (99, 101), (6_000_007, 123_456))
    ):
        c = _Command(0, 0, ID, px, qty, 0, 0, 1, side, LIMIT, tif, 0, 0)
        params = new_order(c, "BTCUSDT", Grid(btc), is_spot, 0)
        wanted = {"id": 42, "method": "order.place", "params": {**params, "recvWindow": 5000, "timestamp": 17}}
        found = prepared.frame(42, ID, side, px, qty, tif, 17)
        assert found is not None
        assert msgspec.json.decode(found) == wanted
        assert found == msgspec.json.encode(wanted)


def test_what_is_not_plain_or_breaks_a_rule_is_left_to_the_long_way():
    btc = instrument("0.01", "0.001")
    rules = SymbolRules(
        instrument=btc, px_min=10, px_max=1000, qty_min=2, qty_max=50,
        notional_min=Decimal("0.00123"), notional_max=Decimal("0.4"), orders_max=3,
    )  # fmt: skip
    prepared = PreparedOrders(btc, rules, True, 5000)
    assert prepared.orders_max == 3
    unit = Decimal("0.01") * Decimal("0.001")
    for px, qty, tif in itertools.product((9, 10, 61, 62, 1000, 1001), (1, 2, 40, 50, 51), (GTC, GTD)):
        fits = rules.refusal(LIMIT, px, qty, 0) == 0 and tif == GTC
        assert (prepared.frame(1, ID, BUY, px, qty, tif, 17) is not None) == fits, (px, qty, px * qty * unit)
    closed = SymbolRules(instrument=btc, is_trading=False)
    assert PreparedOrders(btc, closed, True, 5000).frame(1, ID, BUY, 5, 5, GTC, 17) is None


def limit(kind: str, interval: str, n: int, most: int, count: int | None = None) -> RateLimit:
    return RateLimit(rateLimitType=kind, interval=interval, intervalNum=n, limit=most, count=count)


def test_orders_are_counted_in_every_window_also_when_taken_one_by_one():
    limits = Limits()
    second = 1_000_000_000
    limits.learn([limit("ORDERS", "SECOND", 10, 5), limit("REQUEST_WEIGHT", "MINUTE", 1, 8)], 0)
    assert [limits.take_order(k) for k in range(6)] == [True] * 5 + [False]
    # The ten seconds begin anew; the minute's weight has three left, also for what is asked the other way.
    assert limits.has_room("REQUEST_WEIGHT", 3, 10 * second)
    assert not limits.has_room("REQUEST_WEIGHT", 4, 10 * second)
    assert [limits.take_order(10 * second + k) for k in range(4)] == [True, True, True, False]
    # An answer that counts less than we have sent was written before the rest arrived.
    limits.learn([limit("REQUEST_WEIGHT", "MINUTE", 1, 8, 6)], 11 * second)
    assert not limits.take_order(11 * second)
    assert limits.take_order(60 * second)


def test_without_limits_told_nothing_is_held_back():
    limits = Limits()
    assert all(limits.take_order(k) for k in range(1000))
