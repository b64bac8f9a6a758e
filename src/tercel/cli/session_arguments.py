"""Arguments that say what a session trades and where, and the settings they come to. Called by `paper` and `record`.

A session is described by a configuration file, or for a first try by the command line alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercel.live.settings import PaperSettings, Settings

__all__ = ["add_place_arguments", "is_configuration", "settings_of", "specs_of"]


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that take the place of a configuration."""
    from tercel.live.places import LOCAL_PORT, LOCAL_REST_PORT, PLACES

    place = parser.add_argument_group("without a configuration")
    place.add_argument("--venue", default="binance-usdm", choices=tuple(PLACES),
                       help=f"where: {', '.join(PLACES)}\n(default: binance-usdm)")  # fmt: skip
    place.add_argument("--symbol", action="append", default=[], help="what, as the venue spells it; repeatable")
    place.add_argument("--host", help="of a local venue (default: 127.0.0.1)")
    place.add_argument("--port", type=int, help=f"of a local venue's WebSockets, as tercel venue tells it\n"
                       f"(default: {LOCAL_PORT})")  # fmt: skip
    place.add_argument("--rest-port", type=int, help=f"of its HTTP (default: {LOCAL_REST_PORT})")


def is_configuration(text: str) -> bool:
    """Whether an argument names a configuration file."""
    return text.endswith(".toml")


def settings_of(
    options: argparse.Namespace, specs: Sequence[str], *, directory: str, paper: PaperSettings | None = None
) -> Settings:
    """Settings from the command line alone. ConfigError where something is missing."""
    from msgspec.structs import replace

    from tercel.errors import ConfigError
    from tercel.live.settings import PaperSettings, StrategySettings, settings_for

    if not options.symbol:
        raise ConfigError("name what to trade with --symbol, such as --symbol BTCUSDT, or give a configuration")
    settings = settings_for(
        options.venue, options.symbol, directory=directory, paper=paper or PaperSettings(), **_address(options)
    )
    return replace(
        settings, strategies=[StrategySettings(spec=spec) for spec in specs], path=Path.cwd() / "command line"
    )


def _address(options: argparse.Namespace) -> dict[str, Any]:
    """Where a local venue is; nothing for another, which has an address of its own."""
    from tercel.errors import ConfigError
    from tercel.live.places import LOCAL_PORT, LOCAL_REST_PORT, PLACES

    given = {"host": options.host, "port": options.port, "rest_port": options.rest_port}
    if PLACES[options.venue][1] != "local":
        for name, value in given.items():
            if value is not None:
                raise ConfigError(
                    f"--{name.replace('_', '-')} is of a local venue, and {options.venue} is none: say --venue local "
                    f"or --venue local-usdm"
                )
        return {}
    defaults = {"host": "127.0.0.1", "port": LOCAL_PORT, "rest_port": LOCAL_REST_PORT}
    return {name: defaults[name] if value is None else value for name, value in given.items()}


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
