"""Where Binance is and how to talk to it: addresses, keys, choices. Values only; secrets never show in a text.

Each address has its page of developers.binance.com beside it, and when that was read. Called by `connection` and the
drivers.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from tercel.errors import ConfigError

__all__ = ["BinanceSettings", "Credentials", "local", "mainnet", "testnet"]


class Credentials(msgspec.Struct, frozen=True):
    """A key of the account. secret: HMAC secret, or the PEM text of an Ed25519 private key. Neither shows in a repr."""

    api_key: str
    secret: str

    def __repr__(self) -> str:
        return "Credentials(...)"

    def __rich_repr__(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return []


class BinanceSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One market of Binance, at one place.

    market: "spot" or "usdm". rest: base of HTTP. streams: base of the book streams; `/stream?streams=` is added.
    trade_streams: base of the trade streams where it differs. user_streams: base of the user stream by listen
    key (futures). ws_api: the WebSocket API. depth_speed: suffix of the depth stream. trades: "trade" or "aggTrade".
    recv_window_ms: how long a request stays valid. snapshot_levels: levels a side of the depth snapshot.
    answer_timeout_ns: after which an unanswered order is in doubt. rest_when_down: cancels go by HTTP while the order
    channel is down. orders_by: "ws", the WebSocket API, or "http". fee_prices: what one unit of an asset that fees are
    paid in is worth in quote currency; without it such a fee counts as 0 and is noted. seed: of the reconnect jitter.
    """

    market: str
    rest: str
    streams: str
    ws_api: str
    trade_streams: str = ""
    user_streams: str = ""
    depth_speed: str = "@100ms"
    trades: str = "trade"
    recv_window_ms: int = 5000
    snapshot_levels: int = 1000
    answer_timeout_ns: int = 10_000_000_000
    clock_interval_ns: int = 1_800_000_000_000
    keepalive_ns: int = 1_800_000_000_000
    backoff_min_ns: int = 100_000_000
    backoff_max_ns: int = 30_000_000_000
    rest_when_down: bool = True
    orders_by: str = "ws"
    fee_prices: dict[str, Decimal] = {}
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse markets and values that Binance does not have."""
        if self.market not in ("spot", "usdm"):
            raise ConfigError(f'binance: market must be "spot" or "usdm", found {self.market!r}')
        if self.trades not in ("trade", "aggTrade"):
            raise ConfigError(f'binance: trades must be "trade" or "aggTrade", found {self.trades!r}')
        if self.orders_by not in ("ws", "http"):
            raise ConfigError(f'binance: orders_by must be "ws" or "http", found {self.orders_by!r}')
        if not 1 <= self.recv_window_ms <= 60_000:
            raise ConfigError(f"binance: recv_window_ms must be 1 to 60000, found {self.recv_window_ms}")

    @property
    def is_spot(self) -> bool:
        """Spot, not futures."""
        return self.market == "spot"

    @property
    def api(self) -> str:
        """The path that the market's HTTP endpoints share."""
        return "/api/v3" if self.is_spot else "/fapi/v1"


def mainnet(market: str) -> BinanceSettings:
    """The real venue: orders there are real."""
    if market == "spot":
        # Spot, "General API Information" of the REST API and of the WebSocket API, "General WebSocket Streams
        # information" (September 2026). The user stream comes by the WebSocket API: listen keys of spot ended in
        # February 2026 (CHANGELOG, 2026-01-21).
        return BinanceSettings(
            market=market, rest="https://api.binance.com", streams="wss://stream.binance.com:9443",
            ws_api="wss://ws-api.binance.com:443/ws-api/v3",
        )  # fmt: skip
    # USD-M futures, "General Info", "WebSocket API General Info", "User Data Streams" (September 2026) and "Important
    # WebSocket Change Notice": books come by /public, trades by /market, the user stream by /private; the addresses
    # without one of them stopped telling anything but books on 2026-04-23.
    return BinanceSettings(
        market=market, rest="https://fapi.binance.com", streams="wss://fstream.binance.com/public",
        trade_streams="wss://fstream.binance.com/market", user_streams="wss://fstream.binance.com/private",
        ws_api="wss://ws-fapi.binance.com/ws-fapi/v1", trades="aggTrade",
    )  # fmt: skip


def testnet(market: str) -> BinanceSettings:
    """The venue's test network: its own keys, play money."""
    if market == "spot":
        # Spot Testnet, "General API Information", "General WebSocket API Information", "General WebSocket Streams
        # information" (September 2026). Everything there is deleted about once a month.
        return BinanceSettings(
            market=market, rest="https://testnet.binance.vision", streams="wss://stream.testnet.binance.vision",
            ws_api="wss://ws-api.testnet.binance.vision/ws-api/v3",
        )  # fmt: skip
    # USD-M futures, "General Info", Testnet API Information (2026-09-25): the test network is that of demo trading;
    # keys are made on demo.binance.com. Its streams are routed as the main ones are (options "General Info",
    # 2026-06-30, lists the three paths of the same host). The WebSocket API stands where it stood ("WebSocket API
    # General Info", September 2026).
    demo = "wss://demo-fstream.binance.com"
    return BinanceSettings(
        market=market, rest="https://demo-fapi.binance.com", streams=f"{demo}/public", trade_streams=f"{demo}/market",
        user_streams=f"{demo}/private", ws_api="wss://testnet.binancefuture.com/ws-fapi/v1", trades="aggTrade",
    )  # fmt: skip


def local(market: str, host: str, port: int, rest_port: int = 0) -> BinanceSettings:
    """The built-in venue, or another that speaks the protocol without encryption.

    port: of its WebSockets. rest_port: of its HTTP, where that is another port.
    """
    http, ws = f"http://{host}:{rest_port or port}", f"ws://{host}:{port}"
    path = "/ws-api/v3" if market == "spot" else "/ws-fapi/v1"
    return BinanceSettings(market=market, rest=http, streams=ws, user_streams=ws, ws_api=ws + path)
