"""What the conformance suite needs of each venue: a connection, its messages written by hand, and answers to requests.

The payloads have the shape of the venue's public documentation; docs/venues.md names the pages.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tercel.model.commands import COMMAND, GTC, LIMIT, NEW
from tercel.model.events import BUY
from tercel.model.instrument import Instrument
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials
from tercel.venues.contract import Connect, Disconnect, Request, Send

T0_MS = 1_723_161_256_000
T0_NS = T0_MS * 1_000_000
KEY, SECRET = "key-of-the-tests", "secret-of-the-tests"


def command(
    id: int = 1, kind: int = NEW, *, side: int = BUY, px: int = 600_000, qty: int = 20, **more: int
) -> np.ndarray:
    row = np.zeros(1, COMMAND)
    row["id"], row["kind"], row["side"], row["px"], row["qty"] = id, kind, side, px, qty
    row["type"], row["tif"] = LIMIT, GTC
    for name, value in more.items():
        row[name] = value
    return row


@dataclass
class BinanceCase:
    """Binance, one market. tick 0.1, lot 0.001."""

    market: str

    @property
    def is_spot(self) -> bool:
        return self.market == "spot"

    def instrument(self) -> Instrument:
        kind = "spot" if self.is_spot else "linear"
        amends = "replace" if kind == "spot" else "in_place"
        return Instrument(
            symbol="BTCUSDT", tick_size="0.1", lot_size="0.001", kind=kind, base="BTC", quote="USDT", amends=amends
        )  # fmt: skip

    def settings(self, **more: Any) -> BinanceSettings:
        return BinanceSettings(
            market=self.market, rest="http://venue", streams="ws://venue", user_streams="ws://venue/private",
            ws_api="ws://venue/api", **more,
        )  # fmt: skip

    def connection(self, with_account: bool = True, secret: str = SECRET, **more: Any) -> BinanceConnection:
        credentials = Credentials(KEY, secret) if with_account else None
        return BinanceConnection(self.settings(**more), {0: self.instrument()}, credentials)

    # --- messages of the market ----------------------------------------------------------------------------------

    def _wrapped(self, stream: str, data: dict[str, Any]) -> bytes:
        return json.dumps({"stream": f"btcusdt@{stream}", "data": data}, separators=(",", ":")).encode()

    def depth(self, first: int, last: int, before: int, bids: list, asks: list, **more: Any) -> bytes:
        data: dict[str, Any] = {"e": "depthUpdate", "E": T0_MS + 2}
        if not self.is_spot:
            data["T"] = T0_MS + 1
        data |= {"s": "BTCUSDT", "U": first, "u": last}
        if not self.is_spot:
            data["pu"] = before
        return self._wrapped("depth@100ms", data | {"b": bids, "a": asks} | more)

    def trade(self, number: int, px: str, qty: str, buyer_rests: bool, **more: Any) -> bytes:
        data = {"e": "trade", "E": T0_MS + 2, "s": "BTCUSDT", "t": number, "p": px, "q": qty, "T": T0_MS + 1}
        data |= {"m": buyer_rests, "M": True} if self.is_spot else {"X": "MARKET", "m": buyer_rests}
        return self._wrapped("trade", data | more)

    def quote(self, number: int, bid: str, bid_qty: str, ask: str, ask_qty: str, **more: Any) -> bytes:
        data: dict[str, Any] = {"u": number, "s": "BTCUSDT", "b": bid, "B": bid_qty, "a": ask, "A": ask_qty}
        if not self.is_spot:
            data = {"e": "bookTicker"} | data | {"T": T0_MS + 1, "E": T0_MS + 2}
        return self._wrapped("bookTicker", data | more)

    def snapshot(self, last: int, bids: list, asks: list) -> bytes:
        data: dict[str, Any] = {"lastUpdateId": last}
        if not self.is_spot:
            data |= {"E": T0_MS + 2, "T": T0_MS + 1}
        return json.dumps(data | {"bids": bids, "asks": asks}).encode()

    # --- messages about orders -----------------------------------------------------------------------------------

    @property
    def user_channel(self) -> str:
        return "orders" if self.is_spot else "user"

    def order_event(self, client_id: str, execution: str, status: str, **more: Any) -> bytes:
        """executionReport or ORDER_TRADE_UPDATE of a buy of 0.020 at 60000.0, as documented."""
        o: dict[str, Any] = {
            "s": "BTCUSDT", "c": client_id, "S": "BUY", "o": "LIMIT", "f": "GTC", "q": "0.020", "p": "60000.0",
            "x": execution, "X": status, "i": 4293153, "l": "0.000", "z": "0.000", "L": "0.0", "T": T0_MS + 5,
            "t": -1 if self.is_spot else 0, "m": False,
        }  # fmt: skip
        if self.is_spot:
            report = {
                "e": "executionReport", "E": T0_MS + 6, "P": "0.00000000", "F": "0.00000000", "g": -1, "C": "",
                "r": "NONE", "n": "0", "N": None, "I": 8641984, "w": True, "M": False, "O": T0_MS + 5,
                "Z": "0.00000000", "Y": "0.00000000", "Q": "0.00000000", "W": T0_MS + 5, "V": "NONE",
            }  # fmt: skip
            return json.dumps({"subscriptionId": 0, "event": report | o | more}).encode()
        o |= {
            "ap": "0", "sp": "0", "b": "0", "a": "0", "R": False, "wt": "CONTRACT_PRICE", "ot": "LIMIT", "ps": "BOTH",
            "cp": False, "rp": "0", "pP": False, "si": 0, "ss": 0, "V": "EXPIRE_TAKER", "pm": "NONE", "gtd": 0,
        }  # fmt: skip
        return json.dumps({"e": "ORDER_TRADE_UPDATE", "E": T0_MS + 6, "T": T0_MS + 5, "o": o | more}).encode()

    def canceled(self, client_id: str) -> bytes:
        more = {"C": client_id, "c": "bX2mVQkyJ9"} if self.is_spot else {"c": client_id}
        return self.order_event(client_id, "CANCELED", "CANCELED", **more)

    def exchange_info(self, **more: Any) -> bytes:
        notional = (
            {"filterType": "NOTIONAL", "minNotional": "5.00000000", "maxNotional": "9000000.00000000",
             "applyMinToMarket": True, "applyMaxToMarket": False, "avgPriceMins": 5}
            if self.is_spot
            else {"filterType": "MIN_NOTIONAL", "notional": "5"}
        )  # fmt: skip
        count = {"maxNumOrders": 200} if self.is_spot else {"limit": 200}
        filters = [
            {"filterType": "PRICE_FILTER", "minPrice": "0.10", "maxPrice": "1000000.00", "tickSize": "0.10"},
            {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
            notional,
            {"filterType": "MAX_NUM_ORDERS"} | count,
            {"filterType": "SOMETHING_NEW", "howMuch": "3"},
        ]
        symbol = {
            "symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT", "filters": filters,
            "cancelReplaceAllowed": True, "amendAllowed": True,
        }  # fmt: skip
        limits = [
            {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
            {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
            {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
        ]
        return json.dumps({"timezone": "UTC", "symbols": [symbol | more], "rateLimits": limits}).encode()


VENUES = {"binance-spot": BinanceCase("spot"), "binance-usdm": BinanceCase("usdm")}


@dataclass
class Hands:
    """Drives one connection by hand: opens what it asks for, answers what is scripted, keeps what it sent."""

    case: BinanceCase
    connection: Any
    now_ns: int = T0_NS
    bids: list = field(default_factory=lambda: [["60000.0", "1.000"], ["59999.9", "2.000"]])
    asks: list = field(default_factory=lambda: [["60000.1", "1.500"], ["60000.2", "2.500"]])
    last: int = 100
    sent: list[dict] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    held: list[Request] = field(default_factory=list)
    holds: set[str] = field(default_factory=set)
    urls: dict[str, str] = field(default_factory=dict)
    closed: list[Disconnect] = field(default_factory=list)

    def step(self, by_ns: int = 1_000_000) -> None:
        """Carry out effects until there are none."""
        self.now_ns += by_ns
        if self.connection.next_wake_ns <= self.now_ns:
            self.connection.on_wake(self.now_ns)
        while self.connection.effects:
            effects, self.connection.effects[:] = list(self.connection.effects), []
            for effect in effects:
                self._carry_out(effect)

    def _carry_out(self, effect: Any) -> None:
        if isinstance(effect, Connect):
            self.urls[effect.channel] = effect.url
            self.connection.on_connected(effect.channel, self.now_ns)
        elif isinstance(effect, Disconnect):
            self.closed.append(effect)
            self.connection.on_disconnected(effect.channel, self.now_ns, effect.why)
        elif isinstance(effect, Send):
            frame = json.loads(effect.data)
            self.sent.append(frame)
            if frame["method"] in ("session.logon", "userDataStream.subscribe", "userDataStream.subscribe.signature"):
                self.answer(frame["id"], {"subscriptionId": 0})
        else:
            self.requests.append(effect)
            if effect.endpoint in self.holds:
                self.held.append(effect)
            else:
                self.respond(effect)

    def respond(self, request: Request, body: bytes | None = None, status: int = 200, **headers: str) -> None:
        if body is None:
            body = {
                "time": json.dumps({"serverTime": self.now_ns // 1_000_000}).encode(),
                "info": self.case.exchange_info(),
                "snapshot": self.case.snapshot(self.last, self.bids, self.asks),
                "listen": b'{"listenKey":"pqia91ma19a5s61cv6a81va65sdf19v8"}',
                "keepalive": b"{}",
            }[request.endpoint]
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.on_response(request.id, status, headers, body, self.now_ns)

    def answer(self, number: int, result: Any = None, status: int = 200, error: Any = None) -> None:
        body = {"id": number, "status": status} | ({"result": result} if error is None else {"error": error})
        self.connection.on_message("orders", json.dumps(body).encode(), self.now_ns)

    def market(self, data: bytes) -> None:
        self.connection.on_message("market", data, self.now_ns)

    def user(self, data: bytes) -> None:
        self.connection.on_message(self.case.user_channel, data, self.now_ns)

    def rows(self) -> list[dict]:
        """What was decoded since the last call."""
        filled = self.connection.rows.filled().copy()
        self.connection.rows.clear()
        names = filled.dtype.names
        return [dict(zip(names, row.tolist())) for row in filled]

    def send(self, row: np.ndarray) -> list[dict]:
        """Send a command; the frames that left."""
        before = len(self.sent)
        self.connection.send_commands(row, self.now_ns)
        self.step()
        return self.sent[before:]


def opened(case: BinanceCase, **more: Any) -> Hands:
    """A connection that is live: opened, books in step, account ready, rows cleared."""
    hands = Hands(case, case.connection(**more))
    hands.connection.open(hands.now_ns)
    hands.step()
    hands.market(case.depth(99, 101, 98, [["60000.0", "1.000"]], []))
    hands.step()
    hands.rows()
    return hands
