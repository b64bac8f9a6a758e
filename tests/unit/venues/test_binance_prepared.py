"""Prepared requests say what the long way says, and leave to it whatever is not plain or breaks a rule."""

from __future__ import annotations

import itertools
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from tercel.model.commands import CANCEL, COMMAND, FOK, GTC, GTD, GTX, IOC, LIMIT, MARKET, NEW
from tercel.model.events import BUY, SELL
from tercel.model.instrument import Instrument
from tercel.model.rowbuffer import RowBuffer
from tercel.venues.binance import encoding
from tercel.venues.binance.desk import Desk, LiveOrder
from tercel.venues.binance.encoding import Grid, new_order
from tercel.venues.binance.exchange_info import SymbolRules
from tercel.venues.binance.fast import COMMANDS_MAX
from tercel.venues.binance.limits import Limits
from tercel.venues.binance.market import MarketFeed
from tercel.venues.binance.messages import RateLimit
from tercel.venues.binance.path import BinanceFastPath
from tercel.venues.binance.sending import _Command

ID = (7 << 32) + 0xABC
NOW_NS = 17_000_000


def instrument(tick: str, lot: str) -> Instrument:
    return Instrument(symbol="BTCUSDT", tick_size=Decimal(tick), lot_size=Decimal(lot), kind="spot")


class Table:
    """A fast path of one instrument (number 1, where there is none of number 0), ready to write."""

    def __init__(self, btc: Instrument, rules: SymbolRules, is_spot: bool = True) -> None:
        rows, limits = RowBuffer(), Limits()
        limits.allow(0)
        self.limits = limits
        self.desk = Desk({1: btc}, rows, is_spot, {}, set(), [])
        self.path = BinanceFastPath(
            MarketFeed({1: btc}, rows, is_spot), self.desk, limits, lambda commands, now_ns: None
        )
        self.path.learn({1: rules}, is_spot, 5000)
        self.path.refresh(True, 0)

    def write(self, *commands: dict[str, int]) -> list[bytes]:
        """The requests of commands, none where they are left to the long way."""
        rows = np.zeros(len(commands), COMMAND)
        for row, fields in zip(rows, commands):
            row["kind"], row["instrument"] = NEW, 1
            for name, value in fields.items():
                row[name] = value
        return [bytes(request) for request in self.path.requests(self.path.write(rows, NOW_NS))]


@pytest.mark.parametrize("grid", [("0.01", "0.00001"), ("1", "1"), ("0.5", "10"), ("0.25", "0.001")])
@pytest.mark.parametrize("is_spot", [True, False])
def test_a_prepared_request_is_the_request_of_the_long_way(grid, is_spot):
    btc = instrument(*grid)
    table = Table(btc, SymbolRules(instrument=btc), is_spot)
    number = 1
    for side, tif, (px, qty) in itertools.product(
        (BUY, SELL), (GTC, IOC, FOK, GTX), ((1, 1), (99, 101), (6_000_007, 123_456), (1 << 40, 3))
    ):
        id = ID + number
        c = _Command(0, 0, id, px, qty, 0, 0, 1, side, LIMIT, tif, 0, 1)
        params = new_order(c, "BTCUSDT", Grid(btc), is_spot, 0)
        wanted = {"id": number, "method": "order.place", "params": {**params, "recvWindow": 5000, "timestamp": 17}}
        (found,) = table.write({"id": id, "side": side, "px": px, "qty": qty, "tif": tif})
        assert found == msgspec.json.encode(wanted)
        number += 1
    canceled = encoding.cancel(ID, "BTCUSDT") | {"recvWindow": 5000, "timestamp": 17}
    wanted = {"id": number, "method": "order.cancel", "params": canceled}
    assert table.write({"kind": CANCEL, "id": ID}) == [msgspec.json.encode(wanted)]


def test_what_is_not_plain_or_breaks_a_rule_is_left_to_the_long_way():
    btc = instrument("0.01", "0.001")
    rules = SymbolRules(
        instrument=btc, px_min=10, px_max=1000, qty_min=2, qty_max=50,
        notional_min=Decimal("0.00123"), notional_max=Decimal("0.4"), orders_max=3,
    )  # fmt: skip
    table = Table(btc, rules)
    unit = Decimal("0.01") * Decimal("0.001")
    id = ID
    for px, qty, tif in itertools.product((9, 10, 61, 62, 1000, 1001), (1, 2, 40, 50, 51), (GTC, GTD)):
        id += 1
        fits = rules.refusal(LIMIT, px, qty, 0) == 0 and tif == GTC
        found = table.write({"id": id, "side": BUY, "px": px, "qty": qty, "tif": tif})
        assert (len(found) == 1) == fits, (px, qty, px * qty * unit)
    plain = {"side": BUY, "px": 62, "qty": 2}
    assert not table.write(plain | {"id": id + 1, "type": MARKET})
    assert not table.write(plain | {"id": id + 1, "flags": 1})
    assert not table.write(plain | {"id": id + 1, "instrument": 0})
    assert not table.write(plain | {"id": id + 1, "instrument": 2})
    assert not table.write(plain | {"id": id + 1, "px": 1 << 60, "qty": 1 << 60})
    assert len(table.write(plain | {"id": id + 1})) == 1
    assert not table.write(plain | {"id": id + 1}), "an id that is not above all others may be one that lives"
    closed = SymbolRules(instrument=btc, is_trading=False)
    assert not Table(btc, closed).write({"id": ID, "side": BUY, "px": 5, "qty": 5})


def test_several_commands_leave_all_or_none():
    btc = instrument("1", "1")
    table = Table(btc, SymbolRules(instrument=btc, orders_max=3))
    orders = [{"id": ID + k, "side": BUY, "px": 5, "qty": 5} for k in range(20)]
    number = table.path.next_number
    assert not table.write(orders[0], orders[1] | {"type": MARKET})
    assert not table.write(*orders[:4]), "the venue lets three be open"
    assert table.path.next_number == number, "nothing was counted"
    table.desk.add(LiveOrder(ID - 1, 1, BUY, 5, 5))
    assert not table.write(*orders[:3])
    first, cancel, second = table.write(orders[0], {"kind": CANCEL, "id": ID - 1}, orders[1])
    ids = [msgspec.json.decode(request)["id"] for request in (first, cancel, second)]
    assert ids == [number, number + 1, number + 2]
    many = [{"kind": CANCEL, "id": ID}] * (COMMANDS_MAX + 1)
    assert not table.write(*many)
    assert len(table.write(*many[:-1])) == COMMANDS_MAX
    table.path.refresh(False, 0)
    assert not table.write(orders[5])
    table.path.refresh(True, 0)
    table.limits.block(NOW_NS, 1, False)
    assert not table.write({"kind": CANCEL, "id": ID}), "asked to wait: not even a cancel"


def limit(kind: str, interval: str, n: int, most: int, count: int | None = None) -> RateLimit:
    return RateLimit(rateLimitType=kind, interval=interval, intervalNum=n, limit=most, count=count)


def take(table: Table, venue_ns: int) -> bool:
    """Whether one order may leave; the allowance is renewed where it is spent, as `sending` does."""
    order = {"id": table.path.next_number + ID, "side": BUY, "px": 5, "qty": 5}
    table.path.refresh(True, venue_ns - NOW_NS)
    if table.limits.is_spent(venue_ns):
        table.limits.allow(venue_ns)
    return bool(table.write(order))


def test_orders_are_counted_in_every_window_also_when_taken_one_by_one():
    btc = instrument("1", "1")
    table = Table(btc, SymbolRules(instrument=btc))
    limits, second = table.limits, 1_000_000_000
    limits.learn([limit("ORDERS", "SECOND", 10, 5), limit("REQUEST_WEIGHT", "MINUTE", 1, 8)], 0)
    assert [take(table, k) for k in range(6)] == [True] * 5 + [False]
    # The ten seconds begin anew; the minute's weight has three left, also for what is asked the other way.
    assert limits.has_room("REQUEST_WEIGHT", 3, 10 * second)
    assert not limits.has_room("REQUEST_WEIGHT", 4, 10 * second)
    assert [take(table, 10 * second + k) for k in range(4)] == [True, True, True, False]
    # An answer that counts less than we have sent was written before the rest arrived.
    limits.learn([limit("REQUEST_WEIGHT", "MINUTE", 1, 8, 6)], 11 * second)
    assert not take(table, 11 * second)
    assert take(table, 60 * second)


def test_cancels_always_leave_and_count_as_weight():
    btc = instrument("1", "1")
    table = Table(btc, SymbolRules(instrument=btc))
    table.limits.learn([limit("REQUEST_WEIGHT", "MINUTE", 1, 4), limit("ORDERS", "MINUTE", 1, 4)], 0)
    assert take(table, 1)
    for _ in range(5):
        assert table.write({"kind": CANCEL, "id": ID})
    assert not table.limits.has_room("REQUEST_WEIGHT", 1, 2)
    assert table.limits.has_room("ORDERS", 3, 2)
    assert not table.limits.has_room("ORDERS", 4, 2)
    assert not take(table, 3)


def test_without_limits_told_nothing_is_held_back():
    btc = instrument("1", "1")
    table = Table(btc, SymbolRules(instrument=btc))
    assert all(take(table, k) for k in range(1000))
