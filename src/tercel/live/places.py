"""Venues by short names, for the command line and for a first try from Python; imports nothing, so help is quick."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["PLACES"]

#: Short name -> (market, network), as in `live.settings.VenueSettings`.
PLACES: Final[dict[str, tuple[Literal["spot", "usdm"], Literal["main", "test", "local"]]]] = {
    "binance-usdm": ("usdm", "main"),
    "binance-spot": ("spot", "main"),
    "binance-usdm-test": ("usdm", "test"),
    "binance-spot-test": ("spot", "test"),
    "local": ("spot", "local"),
    "local-usdm": ("usdm", "local"),
}
