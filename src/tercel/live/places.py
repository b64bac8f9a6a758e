"""Venues by short names, for the command line and for a first try from Python; imports nothing, so help is quick."""

from __future__ import annotations

from typing import Final, Literal

__all__ = ["LOCAL_PORT", "LOCAL_REST_PORT", "PLACES"]

#: Short name -> (market, network), as in `live.settings.VenueSettings`.
PLACES: Final[dict[str, tuple[Literal["spot", "usdm"], Literal["main", "test", "local"]]]] = {
    "binance-usdm": ("usdm", "main"),
    "binance-spot": ("spot", "main"),
    "binance-usdm-test": ("usdm", "test"),
    "binance-spot-test": ("spot", "test"),
    "local": ("spot", "local"),
    "local-usdm": ("usdm", "local"),
}

#: Where `tercel venue` listens unless it is told otherwise: its WebSockets, and its HTTP.
LOCAL_PORT: Final = 19_443
LOCAL_REST_PORT: Final = 19_080
