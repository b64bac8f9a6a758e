"""Indicators and microstructure measures, usable inside strategies."""

from tercel.features.extremes import RollingMinMax
from tercel.features.microstructure import SmoothedImbalance, SmoothedMicroprice, microprice, order_book_imbalance
from tercel.features.moving import Ema, RollingStd, Sma, Zscore
from tercel.features.state import State, StateView
from tercel.features.vwap import RollingVwap, Vwap
from tercel.features.wilder import Atr, Rsi

__all__ = [
    "Atr",
    "Ema",
    "RollingMinMax",
    "RollingStd",
    "RollingVwap",
    "Rsi",
    "Sma",
    "SmoothedImbalance",
    "SmoothedMicroprice",
    "State",
    "StateView",
    "Vwap",
    "Zscore",
    "microprice",
    "order_book_imbalance",
]
