"""What a connection asks by HTTP besides orders, and the addresses it opens: requests and urls as pure functions.

Also the waits between attempts. Weights are those of the venue's pages (November 2026). Called by `connection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from tercel.errors import DataError
from tercel.venues.binance.exchange_info import exchange_info_url
from tercel.venues.binance.reports import Question
from tercel.venues.binance.settings import BinanceSettings
from tercel.venues.binance.signing import Signer

__all__ = ["Asked", "Backoff", "asked_pause_ns", "channels_of", "http_request", "server_ms", "stream_url", "weight_of"]

_DEPTH_WEIGHT = {True: 50, False: 20}
#: How long to wait where the venue asks for it and does not say how long (429, 418).
_PAUSE_NS = {429: 10_000_000_000, 418: 120_000_000_000}


class Asked(msgspec.Struct):
    """A request that is not answered. what: "time", "info", "snapshot" (extra: the instrument), "listen", "keepalive",
    "report" (extra: a Question)."""

    what: str
    extra: object
    sent_ns: int


class Backoff:
    """Waits between attempts: none before the first, then doubling up to the most, each less up to half of itself."""

    def __init__(self, settings: BinanceSettings) -> None:
        self._least_ns, self._most_ns = settings.backoff_min_ns, settings.backoff_max_ns
        self._random = settings.seed

    def wait_ns(self, attempts: int) -> int:
        """How long to wait after so many attempts that failed."""
        if attempts == 0:
            return 0
        whole = min(self._most_ns, self._least_ns << min(attempts - 1, 30))
        self._random = (self._random * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return whole - (whole // 2) * (self._random >> 33) // (1 << 31)


def asked_pause_ns(status: int, headers: Mapping[str, str]) -> int:
    """How long an answer of HTTP asks to wait, by its Retry-After or by habit; 0 where it does not ask."""
    if status not in _PAUSE_NS:
        return 0
    after = headers.get("retry-after", "")
    return int(after) * 1_000_000_000 if after.isdigit() else _PAUSE_NS[status]


def channels_of(settings: BinanceSettings, is_signed: bool) -> list[str]:
    """The channels that a connection needs, with an account or for market data alone."""
    channels = ["market"]
    if settings.trade_streams not in ("", settings.streams):
        channels.append("trades")
    if is_signed:
        if settings.is_spot or settings.orders_by == "ws":
            channels.append("orders")
        if not settings.is_spot:
            channels.append("user")
    return channels


def weight_of(settings: BinanceSettings, what: str, extra: object) -> int:
    """What a request counts in the venue's limit."""
    if isinstance(extra, Question):
        return extra.weight
    if what == "snapshot":
        return _DEPTH_WEIGHT[settings.is_spot]
    return 20 if what == "info" and settings.is_spot else 1


def http_request(
    settings: BinanceSettings,
    signer: Signer | None,
    what: str,
    extra: object,
    symbol: str,
    timing: dict[str, str | int],
) -> tuple[str, str, dict[str, str]]:
    """Method, url and headers of a request. symbol: of a snapshot. timing: what a signed request adds."""
    base, api = settings.rest, settings.api
    if what == "time":
        return "GET", f"{base}{api}/time", {}
    if what == "info":
        return "GET", exchange_info_url(settings), {}
    if what == "snapshot":
        return "GET", f"{base}{api}/depth?symbol={symbol}&limit={settings.snapshot_levels}", {}
    assert signer is not None
    headers = {"X-MBX-APIKEY": signer.api_key}
    if what in ("listen", "keepalive"):
        return "POST" if what == "listen" else "PUT", f"{base}/fapi/v1/listenKey", headers
    assert isinstance(extra, Question)
    return "GET", f"{base}{extra.path}?{signer.query(extra.params | timing)}", headers


def stream_url(
    settings: BinanceSettings, channel: str, symbols: Iterable[str], has_trades_apart: bool, listen_key: str
) -> str:
    """The address of a channel."""
    if channel == "orders":
        return settings.ws_api
    if channel == "user":
        return f"{settings.user_streams or settings.streams}/ws/{listen_key}"
    names = [symbol.lower() for symbol in symbols]
    books = [f"{name}@depth{settings.depth_speed}" for name in names] + [f"{name}@bookTicker" for name in names]
    trades = [f"{name}@{settings.trades}" for name in names]
    if not has_trades_apart:
        return f"{settings.streams}/stream?streams={'/'.join(books + trades)}"
    base, streams = (settings.trade_streams, trades) if channel == "trades" else (settings.streams, books)
    return f"{base}/stream?streams={'/'.join(streams)}"


def server_ms(body: bytes) -> int:
    """The time in an answer to `time`; DataError for one that no clock shows."""
    found = msgspec.json.decode(body, type=dict[str, int]).get("serverTime", -1)
    if found <= 0 or found > 9_000_000_000_000:
        raise DataError(f"the venue's time is {found} ms")
    return found
