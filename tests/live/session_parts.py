"""A local venue on sockets and a session's plan for it, for tests of whole sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tercel.config import Capacity
from tercel.jit import ENTRIES
from tercel.live.driver import LiveOptions
from tercel.live.session import SessionPlan
from tercel.localvenue.accounts import ApiKey
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.server import VenueServer
from tercel.localvenue.symbols import SymbolRules
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.instrument import Instrument
from tercel.risk.limits import Limits
from tercel.sim.market import MarketModel
from tercel.store.journal import Sync
from tercel.strategy.contract import Strategy
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials

COIN = Instrument(
    symbol="COINUSDT",
    tick_size="0.01",
    lot_size="0.001",
    venue="local",
    kind="spot",
    base="COIN",
    quote="USDT",
    amends="replace",
)  # type: ignore[arg-type]
MODEL = MarketModel(mid_px=10_000, limit_rate=60.0, market_rate=8.0, warmup_s=5.0, limit_qty=40.0, market_qty=40.0)
SMALL = Capacity(depth_ticks=4096, far_levels=512, orders=256, commands=256, timers=16)


def coin_venue(seed: int = 1, *, with_ed25519: bool = False) -> LocalVenue:
    """A venue with one lively symbol and one account; sessions that start each second would meet its rate limits."""
    # The venue lives in the process of the session here: what it compiles late is not the session's.
    for entry in ENTRIES:
        _ = entry.call
    listed = SymbolRules(instrument=COIN, market=MODEL, notional_min="0.1")
    limits = LimitRules.none()
    return LocalVenue(VenueSetup(seed=seed, symbols=[listed], n_accounts=1, limits=limits, with_ed25519=with_ed25519))


def coin_connection(rest_url: str, stream_url: str, ws_api_url: str, key: ApiKey) -> BinanceConnection:
    """Our connection to it."""
    settings = BinanceSettings(
        market="spot", rest=rest_url, streams=stream_url, ws_api=ws_api_url, backoff_max_ns=500_000_000
    )
    return BinanceConnection(settings, {0: COIN}, Credentials(key.key, key.secret.decode()))


def coin_plan(server: VenueServer, directory: Path, *strategies: Strategy, **more: Any) -> SessionPlan:
    """A session at a served venue."""
    key = server.venue.keys[0]
    connection = coin_connection(server.rest_url, server.stream_url, server.ws_api_url, key)
    given: dict[str, Any] = {
        "limits": Limits(position_max="1"),  # type: ignore[arg-type]
        "capacity": SMALL,
        "options": LiveOptions(answer_ns=2_000_000_000),
        "sync": Sync(every_ms=20.0),
        "takes_signals": False,
    }
    return SessionPlan(
        strategies=strategies, instruments=[COIN], connections=[connection], directory=directory, **{**given, **more}
    )
