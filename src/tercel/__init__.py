"""tercel: a low-latency trading engine for people who write Python.

`import tercel as tc` gives the names below; each is loaded when first used, so the import costs milliseconds. The rooms
of the package and what may import what are drawn in ARCHITECTURE.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name -> the module it lives in.
_HOMES = {
    "Strategy": "tercel.strategy.contract",
    "Actor": "tercel.live.actors",
    "ActorPlan": "tercel.live.plan",
    "LiveSession": "tercel.live.session",
    "SessionPlan": "tercel.live.plan",
    "SessionReport": "tercel.live.plan",
    "Settings": "tercel.live.settings",
    "load_settings": "tercel.live.settings",
    "settings_for": "tercel.live.settings",
    "plan_session": "tercel.live.assembly",
    "run_session": "tercel.live.assembly",
    "QueueModel": "tercel.sim.queue",
    "State": "tercel.features.state",
    "Ema": "tercel.features.moving",
    "Sma": "tercel.features.moving",
    "RollingStd": "tercel.features",
    "RollingMinMax": "tercel.features",
    "Zscore": "tercel.features",
    "Rsi": "tercel.features",
    "Atr": "tercel.features",
    "Vwap": "tercel.features",
    "RollingVwap": "tercel.features",
    "SmoothedImbalance": "tercel.features",
    "SmoothedMicroprice": "tercel.features",
    "order_book_imbalance": "tercel.features",
    "microprice": "tercel.features",
    "backtest": "tercel.sim.backtest",
    "Backtest": "tercel.sim.backtest",
    "VenueRules": "tercel.sim.venue",
    "Fees": "tercel.sim.fees",
    "FeeTier": "tercel.sim.fees",
    "Latency": "tercel.sim.latency",
    "Constant": "tercel.sim.latency",
    "Lognormal": "tercel.sim.latency",
    "Recorded": "tercel.sim.latency",
    "MarketModel": "tercel.sim.market",
    "simulate_market": "tercel.sim.market",
    "Engine": "tercel.engine.engine",
    "Instrument": "tercel.model.instrument",
    "Limits": "tercel.risk.limits",
    "Capacity": "tercel.config",
    "Tape": "tercel.store.tape",
    "import_capture": "tercel.store.imports",
    "Result": "tercel.observe.results",
    "market_frame": "tercel.observe.market",
    "BookView": "tercel.book.views",
    "TercelError": "tercel.errors",
    "BUY": "tercel.model.events",
    "SELL": "tercel.model.events",
    "GTC": "tercel.model.commands",
    "IOC": "tercel.model.commands",
    "FOK": "tercel.model.commands",
    "GTD": "tercel.model.commands",
    "GTX": "tercel.model.commands",
    "LIMIT": "tercel.model.commands",
    "MARKET": "tercel.model.commands",
    "STOP": "tercel.model.commands",
    "STOP_LIMIT": "tercel.model.commands",
    "TRAILING": "tercel.model.commands",
    "ICEBERG": "tercel.model.commands",
    "REDUCE_ONLY": "tercel.model.commands",
    "TAKE": "tercel.execution.schedule",
    "POST": "tercel.execution.schedule",
    "VolumeProfile": "tercel.execution.profile",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tercel' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


if TYPE_CHECKING:
    from tercel.book.views import BookView as BookView
    from tercel.config import Capacity as Capacity
    from tercel.engine.engine import Engine as Engine
    from tercel.errors import TercelError as TercelError
    from tercel.execution.profile import VolumeProfile as VolumeProfile
    from tercel.execution.schedule import POST as POST
    from tercel.execution.schedule import TAKE as TAKE
    from tercel.features import Atr as Atr
    from tercel.features import Ema as Ema
    from tercel.features import RollingMinMax as RollingMinMax
    from tercel.features import RollingStd as RollingStd
    from tercel.features import RollingVwap as RollingVwap
    from tercel.features import Rsi as Rsi
    from tercel.features import Sma as Sma
    from tercel.features import SmoothedImbalance as SmoothedImbalance
    from tercel.features import SmoothedMicroprice as SmoothedMicroprice
    from tercel.features import State as State
    from tercel.features import Vwap as Vwap
    from tercel.features import Zscore as Zscore
    from tercel.features import microprice as microprice
    from tercel.features import order_book_imbalance as order_book_imbalance
    from tercel.live.actors import Actor as Actor
    from tercel.live.assembly import plan_session as plan_session
    from tercel.live.assembly import run_session as run_session
    from tercel.live.plan import ActorPlan as ActorPlan
    from tercel.live.plan import SessionPlan as SessionPlan
    from tercel.live.plan import SessionReport as SessionReport
    from tercel.live.session import LiveSession as LiveSession
    from tercel.live.settings import Settings as Settings
    from tercel.live.settings import load_settings as load_settings
    from tercel.live.settings import settings_for as settings_for
    from tercel.model.commands import FOK as FOK
    from tercel.model.commands import GTC as GTC
    from tercel.model.commands import GTD as GTD
    from tercel.model.commands import GTX as GTX
    from tercel.model.commands import ICEBERG as ICEBERG
    from tercel.model.commands import IOC as IOC
    from tercel.model.commands import LIMIT as LIMIT
    from tercel.model.commands import MARKET as MARKET
    from tercel.model.commands import REDUCE_ONLY as REDUCE_ONLY
    from tercel.model.commands import STOP as STOP
    from tercel.model.commands import STOP_LIMIT as STOP_LIMIT
    from tercel.model.commands import TRAILING as TRAILING
    from tercel.model.events import BUY as BUY
    from tercel.model.events import SELL as SELL
    from tercel.model.instrument import Instrument as Instrument
    from tercel.observe.market import market_frame as market_frame
    from tercel.observe.results import Result as Result
    from tercel.risk.limits import Limits as Limits
    from tercel.sim.backtest import Backtest as Backtest
    from tercel.sim.backtest import backtest as backtest
    from tercel.sim.fees import Fees as Fees
    from tercel.sim.fees import FeeTier as FeeTier
    from tercel.sim.latency import Constant as Constant
    from tercel.sim.latency import Latency as Latency
    from tercel.sim.latency import Lognormal as Lognormal
    from tercel.sim.latency import Recorded as Recorded
    from tercel.sim.market import MarketModel as MarketModel
    from tercel.sim.market import simulate_market as simulate_market
    from tercel.sim.queue import QueueModel as QueueModel
    from tercel.sim.venue import VenueRules as VenueRules
    from tercel.store.imports import import_capture as import_capture
    from tercel.store.tape import Tape as Tape
    from tercel.strategy.contract import Strategy as Strategy
