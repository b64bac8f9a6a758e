"""`tercel live`: real orders, on the conditions that its user knows it and has set limits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tercel.cli.paper import add_session_arguments

if TYPE_CHECKING:
    from tercel.live.settings import Settings

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Trade live, as a configuration says. Orders are real, and so are losses.

It refuses to start without --real-orders, and where an instrument lacks one of the limits position_max,
order_notional_max or order_qty_max, daily_loss_max. Keys come from environment variables or private files, never
from the configuration itself. Stop it with Ctrl-C: open orders are canceled, positions are kept. Halt it at once from
another terminal with tercel kill."""

_NEEDED = ("position_max", "daily_loss_max")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("configuration", type=Path, metavar="SESSION.toml", help="what to trade, where, how much")
    parser.add_argument("--real-orders", action="store_true", help="I know that orders are real and can lose money")
    add_session_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Check that everything is meant, then trade until the end."""
    from tercel.cli.paper import run_session
    from tercel.cli.session_arguments import specs_of
    from tercel.cli.terminal import Terminal
    from tercel.errors import ConfigError
    from tercel.live.settings import load_settings

    terminal = Terminal(json=options.json)
    settings = load_settings(options.configuration)
    check_limits(settings)
    if not options.real_orders:
        places = ", ".join(f"{name} ({one.protocol} {one.network})" for name, one in settings.venues.items())
        raise ConfigError(
            f"live trading sends real orders to {places}: say --real-orders when that is meant, or use tercel paper"
        )
    keys = {}
    for name in settings.venues:
        pair = settings.credentials(name)
        if pair is None:
            raise ConfigError(
                f"{settings.path}: venues.{name}: live trading needs api_key and api_secret, each "
                f'{{ env = "NAME" }} or {{ file = "path" }}'
            )
        keys[name] = pair
    return run_session(terminal, settings, options, specs_of(settings), title="LIVE trading", on_paper=False, keys=keys)


def check_limits(settings: Settings) -> None:
    """ConfigError where an instrument could lose without bound."""
    from tercel.errors import ConfigError

    for i, one in enumerate(settings.instruments):
        limits = settings.limits_of(i)
        missing = [name for name in _NEEDED if getattr(limits, name, None) is None]
        if getattr(limits, "order_notional_max", None) is None and getattr(limits, "order_qty_max", None) is None:
            missing.append("order_notional_max or order_qty_max")
        if missing:
            raise ConfigError(
                f"{settings.path}: instruments[{i}] ({one.symbol}): live trading needs limits; missing: "
                f"{', '.join(missing)}; set them under [limits] or for the instrument"
            )
