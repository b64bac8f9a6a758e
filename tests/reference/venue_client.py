"""A client of the local venue without a network: signs requests, keeps what it was sent."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any
from urllib.parse import urlencode

from tercel.localvenue.accounts import ApiKey
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.venue import LocalVenue, VenueSetup

START_NS = 1_700_000_000_000_000_000
MS = 1_000_000


def started(**setup: Any) -> LocalVenue:
    """A venue whose markets are open, without rate limits unless asked for."""
    setup.setdefault("limits", LimitRules.none())
    venue = LocalVenue(VenueSetup(**setup))
    venue.start(START_NS)
    return venue


class Client:
    """One user: an API key, and a connection of the WebSocket API named after him."""

    def __init__(self, venue: LocalVenue, key: ApiKey | None = None, name: str = "user", private: Any = None) -> None:
        self.venue, self.key, self.name, self.private = venue, key or venue.keys[0], name, private
        self.n_requests = 0

    def sign(self, payload: str) -> str:
        if self.private is not None:
            return base64.b64encode(self.private.sign(payload.encode())).decode()
        return hmac.new(self.key.secret, payload.encode(), "sha256").hexdigest()

    def rest(self, method: str, path: str, signed: bool = True, **params: Any) -> tuple[int, dict[str, str], Any]:
        if signed:
            params.setdefault("timestamp", self.venue.now_ns // MS)
            query = urlencode(params)
            query += "&" + urlencode({"signature": self.sign(query)})
        else:
            query = urlencode(params)
        headers = {"x-mbx-apikey": self.key.key}
        status, answered, body = self.venue.http(method, path, query, headers, b"", self.venue.now_ns)
        return status, answered, json.loads(body) if body.startswith((b"{", b"[")) else body

    def order(self, side: str, quantity: str, price: str | None = None, **more: Any) -> Any:
        """A new order by REST; the answer's body."""
        params = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, **more}
        params.setdefault("type", "MARKET" if price is None else "LIMIT")
        if price is not None:
            params["price"] = price
        if params["type"] == "LIMIT":
            params.setdefault("timeInForce", "GTC")
        return self.rest("POST", "/api/v3/order", **params)[2]

    def request(self, method: str, signed: bool = True, **params: Any) -> bytes:
        """One request of the WebSocket API, as bytes."""
        self.n_requests += 1
        if signed:
            params.setdefault("timestamp", self.venue.now_ns // MS)
            params["apiKey"] = self.key.key
            params["signature"] = self.sign("&".join(f"{name}={params[name]}" for name in sorted(params)))
        return json.dumps({"id": self.n_requests, "method": method, "params": params}).encode()

    def ask(self, method: str, signed: bool = True, **params: Any) -> list[dict[str, Any]]:
        """Send a request; every message this connection got since, oldest first."""
        self.venue.receive(self.name, self.request(method, signed, **params), self.venue.now_ns)
        return self.messages()

    def messages(self) -> list[dict[str, Any]]:
        """What this connection was sent; messages of others stay in the outbox."""
        mine = [json.loads(data) for conn, data in self.venue.outbox if conn == self.name and data is not None]
        self.venue.outbox = [pair for pair in self.venue.outbox if pair[0] != self.name]
        return mine


def pass_time(venue: LocalVenue, seconds: float, step_ns: int = 10 * MS) -> None:
    """Let the venue's clock run."""
    end_ns = venue.now_ns + round(seconds * 1e9)
    while venue.now_ns < end_ns:
        venue.advance(min(end_ns, venue.now_ns + step_ns))
