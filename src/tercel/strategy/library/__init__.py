"""Strategies that ship with tercel: whole, small, meant to be read and copied.

`LIBRARY` names them for the command line; `load` imports one when it is asked for. Each is a plain class like a user's
own and knows nothing that a user's could not. Called by the command line, the demo and tests.
"""

from __future__ import annotations

import importlib

from tercel.errors import ConfigError
from tercel.strategy.contract import Strategy

__all__ = ["LIBRARY", "load"]

#: Short name -> (module, class).
LIBRARY = {
    "ema-cross": ("tercel.strategy.library.ema_cross", "EmaCross"),
    "quoter": ("tercel.strategy.library.quoter", "Quoter"),
    "imbalance-scalper": ("tercel.strategy.library.imbalance_scalper", "ImbalanceScalper"),
    "mean-reversion": ("tercel.strategy.library.mean_reversion", "MeanReversion"),
}


def load(name: str) -> type[Strategy]:
    """The class of a short name; ConfigError lists the names when there is no such one."""
    if name not in LIBRARY:
        raise ConfigError(f"no strategy {name!r} in the library; it has: {', '.join(LIBRARY)}")
    module, cls = LIBRARY[name]
    found: type[Strategy] = getattr(importlib.import_module(module), cls)
    return found
