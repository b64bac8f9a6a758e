"""`tercel paper`: a strategy against a real market, with simulated fills."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercel.cli.backtest import LIMITS, add_venue_arguments
from tercel.cli.session_arguments import add_place_arguments

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal
    from tercel.live.settings import Settings

__all__ = ["DESCRIPTION", "add_arguments", "add_session_arguments", "run", "run_session"]

DESCRIPTION = """Trade on paper: market data of a venue as it happens, the engine, risk gate and driver of a live
session, and fills by the simulated venue of the backtest. No key is needed, and no order leaves.

WHAT is a configuration (session.toml; docs/configuration.md), or strategies as tercel backtest takes them, with
--symbol.
Stop it with Ctrl-C, from another terminal with tercel kill, or after --duration."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", nargs="+", metavar="WHAT", help="a configuration, or strategies")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="a parameter of the strategies; repeatable")  # fmt: skip
    add_session_arguments(parser)
    parser.add_argument("--directory", default="session", metavar="DIR",
                        help="where the journal goes without a configuration\n(default: session)")  # fmt: skip
    add_place_arguments(parser)
    add_venue_arguments(parser)
    limits = parser.add_argument_group("limits of the risk gate, without a configuration (default: none)")
    for option, (field, kind, text) in LIMITS.items():
        limits.add_argument(option, type=kind, dest=field, metavar="N", help=text)


def add_session_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what every session takes."""
    parser.add_argument("--duration", metavar="TIME", help="end after this time of trading, such as 90s or 2h")
    parser.add_argument("--fresh", action="store_true", help="begin anew: do not go on where the journal's last run\n"
                        "ended")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="lift the halt that the last run ended with")
    parser.add_argument("--warm-up", metavar="FILE.tape", help="what the strategies see before the session begins")
    parser.add_argument("--actor", action="append", default=[], metavar="SPEC", dest="actors",
                        help="an actor, path/to/file.py:Class or package.module:Class;\nrepeatable")  # fmt: skip
    parser.add_argument("--actors-in", choices=("loop", "thread"), help="the session's own loop, where an actor that\n"
                        "computes holds up the session, or a thread of theirs\n(default: loop)")  # fmt: skip
    parser.add_argument("--core", type=int, metavar="N", help="the core of the processor on which the thread runs\n"
                        "that trades; the process's other threads stay off it")  # fmt: skip
    parser.add_argument("--busy-poll", action="store_true", help="never sleep while waiting for messages; only with a\n"
                        "core that nothing else uses")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Trade on paper until the end."""
    from msgspec.structs import replace

    from tercel.cli.backtest import limits_of
    from tercel.cli.session_arguments import is_configuration, settings_of, specs_of
    from tercel.cli.terminal import Terminal
    from tercel.errors import ConfigError
    from tercel.live.settings import PaperSettings, load_settings

    terminal = Terminal(json=options.json)
    if is_configuration(options.what[0]):
        if len(options.what) > 1:
            raise ConfigError("give one configuration, or strategies, not both")
        settings = load_settings(options.what[0])
    else:
        paper = PaperSettings(
            latency_ms=options.latency_ms, latency_sigma=options.latency_sigma, maker_bp=options.maker_bp,
            taker_bp=options.taker_bp, queue=options.queue, queue_n=options.queue_n,
            partial_fills=not options.no_partial_fills, consume=options.consume,
        )  # fmt: skip
        settings = settings_of(options, options.what, directory=options.directory, paper=paper)
        settings = replace(settings, limits=limits_of(options))
    return run_session(
        terminal, settings, options, specs_of(settings, options.settings), title="paper trading", on_paper=True
    )


def _wishes(options: argparse.Namespace) -> dict[str, Any]:
    """Keys of [session] that the command line says otherwise. ConfigError for a value that cannot be meant."""
    from tercel.errors import ConfigError

    found: dict[str, Any] = {}
    if options.warm_up:
        found["warm_up"] = str(Path(options.warm_up).absolute())
    if options.core is not None:
        if options.core < 0:
            raise ConfigError(f"--core: expected the number of a core, 0 or more, found {options.core}")
        found["core"] = options.core
    if options.busy_poll:
        found["busy_poll"] = True
    if options.actors_in:
        found["actors_in"] = options.actors_in
    return found


def run_session(
    terminal: Terminal,
    settings: Settings,
    options: argparse.Namespace,
    specs: list[tuple[str, list[str]]],
    *,
    title: str,
    on_paper: bool,
    keys: dict[str, Any] | None = None,
) -> int:
    """Warm up, trade with a view, and tell how it ended; the exit code."""
    from msgspec.structs import replace

    from tercel.cli.actor_spec import actor_plans
    from tercel.cli.live_view import LiveView
    from tercel.cli.simulate import seconds_of
    from tercel.cli.trading import strategies_and_meta, tell_end, trade
    from tercel.cli.warm import LIVE_ENTRIES, PAPER_ENTRIES, warm
    from tercel.errors import JournalError
    from tercel.runtime.loop import run as run_loop

    duration_s = seconds_of(options.duration) if options.duration else 0.0
    settings = replace(settings, session=replace(settings.session, **_wishes(options)))
    made = strategies_and_meta(specs)
    actors = actor_plans(settings, options.actors)
    warm(terminal, (PAPER_ENTRIES if on_paper else {}) | LIVE_ENTRIES, [spec for spec, _ in specs])
    view = LiveView(f"{title}: {settings.session.name}")
    try:
        with view:
            plan, report = run_loop(
                trade(
                    settings, view, on_paper=on_paper, keys=keys, actors=actors, duration_s=duration_s,
                    is_anew=options.fresh, is_resuming=options.resume, **made,
                )
            )  # fmt: skip
    except JournalError as error:
        where = settings.place(settings.session.directory)
        raise JournalError(f"{error} (--fresh does; the journal is in {where})") from None
    return tell_end(terminal, plan, report)
