"""Arguments that say what a session trades and where, and the settings they come to. Called by `paper` and `record`.

A session is described by a configuration file, or for a first try by the command line alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tercel.live.settings import PaperSettings, Settings

__all__ = ["add_place_arguments", "is_configuration", "settings_of", "specs_of"]

#: --venue: what it says -> (market, network).
VENUES = {
    "binance-usdm": ("usdm", "main"),
    "binance-spot": ("spot", "main"),
    "binance-usdm-test": ("usdm", "test"),
    "binance-spot-test": ("spot", "test"),
    "local": ("spot", "local"),
}


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that take the place of a configuration."""
    place = parser.add_argument_group("without a configuration")
    place.add_argument("--venue", default="binance-usdm", choices=tuple(VENUES),
                       help=f"where: {', '.join(VENUES)}\\n(default: binance-usdm)".replace("\\n", "\n"))  # fmt: skip
    place.add_argument("--symbol", action="append", default=[], help="what, as the venue spells it; repeatable")
    place.add_argument("--port", type=int, default=0, help="of a local venue (tercel venue tells it)")
    place.add_argument("--rest-port", type=int, default=0, help="of a local venue's HTTP, where it is another")


def is_configuration(text: str) -> bool:
    """Whether an argument names a configuration file."""
    return text.endswith(".toml")


def settings_of(
    options: argparse.Namespace, specs: Sequence[str], *, directory: str, paper: PaperSettings | None = None
) -> Settings:
    """Settings from the command line alone. ConfigError where something is missing."""
    from tercel.errors import ConfigError
    from tercel.live.settings import (
        InstrumentSettings,
        PaperSettings,
        SessionSettings,
        Settings,
        StrategySettings,
        VenueSettings,
    )

    if not options.symbol:
        raise ConfigError("name what to trade with --symbol, such as --symbol BTCUSDT, or give a configuration")
    market, network = VENUES[options.venue]
    if network == "local" and not 1 <= options.port <= 65_535:
        raise ConfigError(f"--venue local needs --port, 1 to 65535, found {options.port}")
    venue = VenueSettings(market=market, network=network, port=options.port, rest_port=options.rest_port)  # type: ignore[arg-type]
    return Settings(
        venues={options.venue: venue},
        instruments=[InstrumentSettings(symbol=symbol, venue=options.venue) for symbol in options.symbol],
        strategies=[StrategySettings(spec=spec) for spec in specs],
        session=SessionSettings(name=options.venue, directory=directory),
        paper=paper or PaperSettings(),
        path=Path.cwd() / "command line",
    )


def specs_of(settings: Settings, extra: Sequence[str] = ()) -> list[tuple[str, list[str]]]:
    """Strategies of a configuration as (spec, settings); a spec of a file lies beside the configuration. extra: further
    settings, for every strategy.
    """
    found = []
    for one in settings.strategies:
        place, colon, name = one.spec.partition(":")
        spec = f"{settings.place(place)}{colon}{name}" if place.endswith(".py") else one.spec
        found.append((spec, [*one.assignments(), *extra]))
    return found
