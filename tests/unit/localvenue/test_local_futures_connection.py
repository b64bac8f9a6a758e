"""tercel's own USD-M connection against the local venue, bytes to bytes in one thread with a hand clock."""

from __future__ import annotations

from urllib.parse import urlsplit

import numpy as np

from reference.venue_client import MS, START_NS, started
from tercel.model.commands import AMEND, CANCEL, COMMAND, GTC, LIMIT, NEW
from tercel.model.events import ACK, AMENDED, BUY, CANCELED, FILL
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.exchange_info import read_exchange_info
from tercel.venues.binance.settings import Credentials, local
from tercel.venues.contract import Connect, Disconnect, Request, Send


class Wire:
    """A venue, a connection, the wire between them, one clock."""

    def __init__(self) -> None:
        self.venue = started(product="usdm", seed=11)
        self.now_ns = START_NS
        settings, key = local("usdm", "venue", 80), self.venue.keys[0]
        info = self.http("GET", "http://venue:80/fapi/v1/exchangeInfo", {}, b"")[2]
        instrument = read_exchange_info(settings, info, ["BTCUSDT"]).rules["BTCUSDT"].instrument
        self.connection = BinanceConnection(settings, {0: instrument}, Credentials(key.key, key.secret.decode()))
        self.rows: list[tuple] = []
        self.refused: list[tuple[str, int]] = []
        self.connection.open(self.now_ns)
        self.carry()

    def http(self, method, url, headers, body):
        parts = urlsplit(url)
        lower = {name.lower(): value for name, value in headers.items()}
        return self.venue.http(method, parts.path, parts.query, lower, body, self.now_ns)

    def carry(self) -> None:
        c, venue = self.connection, self.venue
        while c.effects or venue.outbox:
            effects, c.effects[:] = list(c.effects), []
            for effect in effects:
                if isinstance(effect, Connect):
                    parts = urlsplit(effect.url)
                    assert venue.connect(effect.channel, f"{parts.path}?{parts.query}", self.now_ns) == 101
                    c.on_connected(effect.channel, self.now_ns)
                elif isinstance(effect, Disconnect):
                    venue.disconnect(effect.channel)
                    c.on_disconnected(effect.channel, self.now_ns, effect.why)
                elif isinstance(effect, Send):
                    venue.receive(effect.channel, effect.data, self.now_ns)
                elif isinstance(effect, Request):
                    status, headers, body = self.http(effect.method, effect.url, effect.headers, effect.body)
                    if status != 200:
                        self.refused.append((effect.endpoint, status))
                    c.on_response(effect.id, status, headers, body, self.now_ns)
            for channel, data in venue.take():
                c.on_message(channel, data, self.now_ns)
            self.rows += c.rows.filled().tolist()
            c.rows.clear()

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.now_ns += 10 * MS
            self.venue.advance(self.now_ns)
            self.carry()
            if self.connection.next_wake_ns <= self.now_ns:
                self.connection.on_wake(self.now_ns)
                self.carry()

    def send(self, **fields) -> None:
        command = np.zeros(1, COMMAND)
        for name, value in {"side": BUY, "type": LIMIT, "tif": GTC, **fields}.items():
            command[name] = value
        self.connection.send_commands(command, self.now_ns)
        self.carry()
        self.pass_time(0.2)


def test_orders_fills_amends_cancels_and_a_report():
    wire = Wire()
    wire.pass_time(2.0)
    assert wire.connection.is_live
    wire.rows.clear()
    ask = wire.venue.markets["BTCUSDT"].book.ask
    wire.send(id=77, kind=NEW, px=ask + 5, qty=100)
    wire.send(id=78, kind=NEW, px=50_000, qty=100)
    wire.send(id=78, kind=AMEND, px=50_010, qty=150)
    wire.send(id=78, kind=CANCEL)
    told = [(row[7], row[4]) for row in wire.rows if row[7] in (ACK, FILL, AMENDED, CANCELED)]
    fills = [pair for pair in told if pair[0] == FILL]
    assert told == [(ACK, 77), *fills, (ACK, 78), (AMENDED, 78), (CANCELED, 78)]
    assert sum(row[3] for row in wire.rows if row[7] == FILL) == 100
    wire.connection.ask_report([0], [77, 78], START_NS, wire.now_ns)
    wire.carry()
    wire.pass_time(1.0)
    (report,) = wire.connection.reports
    assert report.positions == {0: 100}
    assert [(order.id, order.filled, order.status) for order in report.orders] == [(77, 100, FILL), (78, 0, CANCELED)]
    assert [x.fee for x in report.executions] == [row[5] for row in wire.rows if row[7] == FILL]
    assert wire.refused == []
    assert wire.venue.bank.imbalance() == {}
