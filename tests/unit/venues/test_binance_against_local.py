"""The connection against the local venue, bytes to bytes in one thread with a hand clock: nothing here is scripted.

Both sides were written from the public documentation, not from each other.
"""

from __future__ import annotations

import json
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from test_venue_conformance import book_of
from venue_cases import T0_NS, command

from tercel.localvenue.accounts import ed25519_private_pem
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.commands import AMEND, CANCEL, GTX, IOC, MARKET
from tercel.model.events import (
    ACK,
    AMENDED,
    BUY,
    CANCELED,
    CLEAR,
    CONNECT,
    DISCONNECT,
    EXPIRED,
    FILL,
    LEVEL,
    QUOTE,
    REJECT,
    SELL,
    TRADE,
)  # fmt: skip
from tercel.model.reasons import REASONS
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.exchange_info import read_exchange_info
from tercel.venues.binance.settings import Credentials, local
from tercel.venues.contract import Connect, Disconnect, Send

_MS = 1_000_000


class Wire:
    """A venue, a connection and the wire between them, with one clock."""

    def __init__(self, n_accounts: int = 1, **setup) -> None:
        self.venue = LocalVenue(VenueSetup(seed=11, n_accounts=n_accounts, **setup))
        self.now_ns = T0_NS
        self.venue.start(self.now_ns)
        self.settings = local("spot", "venue", 80)
        key = self.venue.keys[0]
        info = self.http("GET", "http://venue:80/api/v3/exchangeInfo")[2]
        self.rules = read_exchange_info(self.settings, info, ["BTCUSDT", "ETHUSDT"]).rules
        instruments = {i: self.rules[name].instrument for i, name in enumerate(("BTCUSDT", "ETHUSDT"))}
        credentials = Credentials(key.key, key.secret.decode())
        self.connection = BinanceConnection(self.settings, instruments, credentials)
        self.open: dict[tuple[str, int], str] = {}
        self.n_opened = 0
        self.rows: list[dict] = []
        self.connection.open(self.now_ns)

    def http(self, method: str, url: str, headers=None, body: bytes = b""):
        parts = urlsplit(url)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        return self.venue.http(method, parts.path, parts.query, lower, body, self.now_ns)

    def run(self, for_ms: int, step_ms: int = 5) -> list[dict]:
        """Let time pass; the rows of that time."""
        start = len(self.rows)
        for _ in range(max(1, for_ms // step_ms)):
            self.now_ns += step_ms * _MS
            self.venue.advance(self.now_ns)
            if self.connection.next_wake_ns <= self.now_ns:
                self.connection.on_wake(self.now_ns)
            self.settle()
        return self.rows[start:]

    def settle(self) -> None:
        while True:
            effects, self.connection.effects[:] = list(self.connection.effects), []
            for effect in effects:
                self.carry_out(effect)
            taken = self.venue.take()
            for conn, data in taken:
                if data is None:
                    channel = self.open.pop(conn, None)
                    if channel is not None:
                        self.connection.on_disconnected(channel, self.now_ns, "closed by the venue")
                elif conn in self.open:
                    self.connection.on_message(self.open[conn], data, self.now_ns)
            filled = self.connection.rows.filled().copy()
            self.connection.rows.clear()
            self.rows += [dict(zip(filled.dtype.names, row.tolist())) for row in filled]
            if not effects and not taken:
                return

    def carry_out(self, effect) -> None:
        connection = self.connection
        if isinstance(effect, Connect):
            self.n_opened += 1
            conn = (effect.channel, self.n_opened)
            parts = urlsplit(effect.url)
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            status = self.venue.connect(conn, target, self.now_ns)
            if status == 101:
                self.open[conn] = effect.channel
                connection.on_connected(effect.channel, self.now_ns)
            else:
                connection.on_disconnected(effect.channel, self.now_ns, f"status {status}")
        elif isinstance(effect, Disconnect):
            for conn in [conn for conn, channel in self.open.items() if channel == effect.channel]:
                self.venue.disconnect(conn)
                del self.open[conn]
            connection.on_disconnected(effect.channel, self.now_ns, effect.why)
        elif isinstance(effect, Send):
            for conn in [conn for conn, channel in self.open.items() if channel == effect.channel]:
                self.venue.receive(conn, effect.data, self.now_ns)
        else:
            status, headers, body = self.http(effect.method, effect.url, effect.headers, effect.body)
            lower = {str(name).lower(): str(value) for name, value in dict(headers).items()}
            connection.on_response(effect.id, status, lower, body, self.now_ns)

    def send(self, row, for_ms: int = 50) -> list[dict]:
        """Send a command; the rows about orders that follow."""
        start = len(self.rows)
        self.connection.send_commands(row, self.now_ns)
        self.settle()
        self.run(for_ms)
        return [row for row in self.rows[start:] if ACK <= row["kind"] < 40]

    def best(self, side: int) -> int:
        book = book_of([row for row in self.rows if row["instrument"] == 0])[side]
        return max(book) if side == BUY else min(book)

    def report(self, order_ids=(), since_ns: int = T0_NS - 1000 * _MS):
        self.connection.ask_report([0, 1], order_ids, since_ns, self.now_ns)
        for _ in range(400):
            self.settle()
            if self.connection.reports:
                return self.connection.reports.pop()
            self.run(50)
        raise AssertionError(self.connection.notes)


@pytest.fixture
def wire():
    made = Wire()
    made.run(1500)
    assert made.connection.is_live, made.connection.notes
    return made


def venue_book(wire: Wire, symbol: str) -> dict:
    body = json.loads(wire.http("GET", f"http://venue:80/api/v3/depth?symbol={symbol}&limit=5000")[2])
    instrument = wire.rules[symbol].instrument
    return {
        side: {instrument.ticks(px): instrument.lots(qty) for px, qty in body[name]}
        for side, name in ((BUY, "bids"), (SELL, "asks"))
    }


def test_books_equal_the_venues_at_rest(wire):
    rows = wire.run(5000)
    assert {LEVEL, TRADE, QUOTE} <= {row["kind"] for row in rows}
    feed = wire.connection.feed
    assert (feed.n_gaps, feed.n_decoded < feed.n_scanned // 100) == (0, True)
    # The stream publishes every 100 ms: at its last event the ids say which book is meant.
    for i, symbol in enumerate(("BTCUSDT", "ETHUSDT")):
        for _ in range(200):
            last = json.loads(wire.http("GET", f"http://venue:80/api/v3/depth?symbol={symbol}&limit=5")[2])
            if last["lastUpdateId"] == int(feed._caught_up(i).last):
                break
            wire.run(5)
        else:
            pytest.fail("the stream never caught up with the snapshot")
        assert book_of([row for row in wire.rows if row["instrument"] == i]) == venue_book(wire, symbol)


def test_orders_live_and_die(wire):
    px = wire.best(BUY) - 50
    assert [(r["kind"], r["id"]) for r in wire.send(command(1, px=px, qty=30))] == [(ACK, 1)]
    (amended,) = wire.send(command(1, AMEND, px=px, qty=20))
    assert (amended["kind"], amended["px"], amended["qty"]) == (AMENDED, px, 20)
    (moved,) = wire.send(command(1, AMEND, px=px - 10, qty=25))
    assert (moved["kind"], moved["px"], moved["qty"]) == (AMENDED, px - 10, 25)
    report = wire.report([1, 2])
    assert [(x.id, x.px, x.qty, x.filled) for x in report.open_orders] == [(1, px - 10, 25, 0)]
    assert [(x.id, x.status) for x in report.orders] == [(1, ACK), (2, 0)]
    (gone,) = wire.send(command(1, CANCEL))
    assert (gone["kind"], gone["id"], gone["qty"]) == (CANCELED, 1, 25)
    (late,) = wire.send(command(1, CANCEL))
    assert REASONS[late["reason"]][0] == "venue_unknown_order"
    assert wire.connection.desk.open == {}


def test_fills_equal_the_venues_money(wire):
    before = wire.report().balances
    rows = wire.send(command(1, type=MARKET, tif=IOC, px=0, qty=200))
    rows += wire.send(command(2, side=SELL, tif=IOC, px=wire.best(BUY), qty=150))
    fills = [row for row in rows if row["kind"] == FILL]
    assert sum(row["qty"] * row["side"] for row in fills if row["id"] == 1) == 200
    assert fills
    report = wire.report()
    told = [(x.id, x.execution_id, x.px, x.qty, x.fee) for x in report.executions]
    assert sorted(told) == sorted((r["id"], r["arg1"], r["px"], r["qty"], r["arg0"]) for r in fills)
    instrument = wire.rules["BTCUSDT"].instrument
    spent = sum(row["side"] * instrument.price(row["px"]) * instrument.qty(row["qty"]) for row in fills)
    bought = sum(row["side"] * instrument.qty(row["qty"]) for row in fills)
    # Fees of sales are taken in quote currency, exactly; of purchases in coins, told at the fill's own price.
    sold = [row for row in fills if row["side"] == SELL]
    assert before["USDT"] - report.balances["USDT"] == spent + sum(instrument.money(row["arg0"]) for row in sold)
    coins = bought - (report.balances["BTC"] - before["BTC"])
    told_coins = sum(instrument.money(r["arg0"]) / instrument.price(r["px"]) for r in fills if r["side"] == BUY)
    assert coins > 0
    assert abs(coins - told_coins) < Decimal("1e-8") * len(fills)


def test_refusals_come_as_reasons(wire):
    (taker,) = wire.send(command(1, tif=GTX, px=wire.best(SELL) + 5, qty=20))
    assert (taker["kind"], REASONS[taker["reason"]][0]) == (REJECT, "would_take")
    (small,) = wire.send(command(2, px=1, qty=1))
    assert (small["kind"], REASONS[small["reason"]][0][:6]) == (REJECT, "venue_")
    wire.connection.rules.clear()
    (small,) = wire.send(command(3, px=1, qty=1))
    assert small["kind"] == REJECT
    assert REASONS[small["reason"]][0] in ("venue_notional", "venue_price_band", "venue_price")
    rows = wire.send(command(4, tif=IOC, px=wire.best(BUY) - 100, qty=20))
    assert [row["kind"] for row in rows] == [ACK, EXPIRED]
    assert REASONS[rows[-1]["reason"]][0] == "ioc_remainder"


def test_a_restart_of_the_venue_loses_nothing(wire):
    px = wire.best(BUY) - 50
    wire.send(command(1, px=px, qty=30))
    start = len(wire.rows)
    wire.venue.restart(wire.now_ns)
    wire.run(3000)
    assert wire.connection.is_live, wire.connection.notes
    kinds = [row["kind"] for row in wire.rows[start:]]
    assert kinds.count(DISCONNECT) == kinds.count(CONNECT) == 2
    assert kinds.count(CLEAR) >= 2
    report = wire.report([1])
    assert [(x.id, x.status) for x in report.orders] == [(1, ACK)]
    assert [row["kind"] for row in wire.send(command(1, CANCEL))] == [CANCELED]


def test_a_lost_answer_leaves_a_doubt_that_a_report_ends(wire):
    wire.venue.faults.lose_answers = 1
    wire.venue.faults.late_reports_ns = 60_000 * _MS
    wire.send(command(1, px=wire.best(BUY) - 50, qty=30))
    wire.run(12_000, 50)
    assert wire.connection.in_doubt == {1}
    report = wire.report([1])
    assert [(x.id, x.status) for x in report.orders] == [(1, ACK)]
    assert wire.connection.in_doubt == set()


def test_reports_told_twice_count_once(wire):
    wire.venue.faults.duplicate_reports = True
    rows = wire.send(command(1, type=MARKET, tif=IOC, px=0, qty=200))
    fills = [row["arg1"] for row in rows if row["kind"] == FILL]
    assert len(fills) == len(set(fills)) > 0
    assert sum(row["qty"] for row in rows if row["kind"] == FILL) == 200


@pytest.mark.parametrize("off_s", [-60, 60])
def test_a_clock_a_minute_off(off_s):
    made = Wire()
    made.venue.faults.clock_offset_ns = off_s * 1_000_000_000
    made.run(1500)
    assert made.connection.is_live, made.connection.notes
    assert abs(made.connection.clock_offset_ns - off_s * 1_000_000_000) < 5 * _MS
    assert [row["kind"] for row in made.send(command(1, px=made.best(BUY) - 50, qty=30))] == [ACK]


def test_a_clock_that_jumps_is_measured_again(wire):
    wire.venue.faults.clock_offset_ns = 30_000_000_000
    (refused,) = wire.send(command(1, px=wire.best(BUY) - 50, qty=30))
    assert REASONS[refused["reason"]][0] == "venue_timestamp"
    assert [row["kind"] for row in wire.send(command(2, px=wire.best(BUY) - 50, qty=30))] == [ACK]


def test_maintenance(wire):
    wire.venue.faults.maintenance = True
    wire.venue.restart(wire.now_ns)
    wire.run(2000, 20)
    assert not wire.connection.is_live
    assert [REASONS[row["reason"]][0] for row in wire.send(command(1))] == ["venue_down"]
    wire.venue.faults.maintenance = False
    wire.run(40_000, 50)
    assert wire.connection.is_live, wire.connection.notes[-5:]


def test_a_venue_that_lies_about_its_filters():
    made = Wire()
    made.venue.faults.lie_filters = {"LOT_SIZE": {"stepSize": "1.00000000"}}
    made.run(1500)
    (refused,) = made.send(command(1))
    assert REASONS[refused["reason"]][0] == "venue_rules_differ"


def test_wrong_keys():
    made = Wire()
    made.connection = BinanceConnection(made.settings, made.connection.instruments, Credentials("nobody", "nothing"))
    made.connection.open(made.now_ns)
    made.run(5000, 20)
    assert made.connection.feed.is_in_step
    assert not made.connection.is_live
    assert [REASONS[row["reason"]][0] for row in made.send(command(1))] == ["venue_down"]
    assert any("refused" in note for note in made.connection.notes)
    assert made.n_opened < 40, "wrong keys must not hammer the venue"


def test_an_ed25519_session():
    made = Wire(with_ed25519=True)
    key = next(key for key in made.venue.keys if key.public)
    credentials = Credentials(key.key, ed25519_private_pem(11, key.account))
    made.connection = BinanceConnection(made.settings, made.connection.instruments, credentials)
    made.connection.open(made.now_ns)
    made.run(1500)
    assert made.connection.is_live, made.connection.notes
    assert [row["kind"] for row in made.send(command(1, px=made.best(BUY) - 50, qty=30))] == [ACK]
    assert [x.id for x in made.report().open_orders] == [1]
    assert [row["kind"] for row in made.send(command(1, CANCEL))] == [CANCELED]
