"""`tercel paper`: a strategy against a real market, with simulated fills."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercel.cli.backtest import LIMITS, add_venue_arguments
from tercel.cli.session_arguments import add_place_arguments

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal
    from tercel.cli.trading import Ended
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
    parser.add_argument("--journal", default="journal", metavar="DIR",
                        help="where the journal goes without a configuration (default: journal)")  # fmt: skip
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
        settings = settings_of(options, options.what, journal=options.journal, paper=paper)
        settings = replace(settings, limits=limits_of(options))
    return run_session(
        terminal, settings, options, specs_of(settings, options.settings), title="paper trading", on_paper=True
    )


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
    from tercel.cli.live_view import LiveView
    from tercel.cli.simulate import seconds_of
    from tercel.cli.strategy_spec import make_strategies
    from tercel.cli.trading import Plan, trade
    from tercel.cli.warm import LIVE_ENTRIES, PAPER_ENTRIES, warm
    from tercel.runtime.loop import run as run_loop

    duration_s = seconds_of(options.duration) if options.duration else 0.0
    for spec, set_ in specs:
        make_strategies([spec], set_)
    warm(terminal, (PAPER_ENTRIES if on_paper else {}) | LIVE_ENTRIES, [spec for spec, _ in specs])
    view = LiveView(f"{title}: {settings.session.name}")
    plan = Plan(
        title=title, on_paper=on_paper, specs=specs, duration_s=duration_s, keys=keys or {}, fresh=options.fresh,
        show=lambda seen, left: view.show(seen, left=left), look_s=0.25 if view.is_moving else 1.0,
    )  # fmt: skip
    with view:
        ended = run_loop(trade(settings, plan))
        view.show(ended.seen, last=True)
    return tell_end(terminal, ended)


def tell_end(terminal: Terminal, ended: Ended) -> int:
    """How a session ended, as a table or as JSON; the exit code."""
    from msgspec import to_builtins

    from tercel.errors import TercelError

    seen = ended.seen
    terminal.emit(
        {
            "run": ended.run, "journal": str(ended.journal), "recovered_run": ended.recovered, "why": ended.why,
            "failure": str(ended.failure) if ended.failure else "", "end": to_builtins(seen),
        }
    )  # fmt: skip
    rows = [
        ("ended", ended.why),
        ("equity", f"{seen.equity:+,.2f}, with fees, open positions at the mid"),
        ("orders, fills", f"{seen.n_commands:,} commands, {seen.n_fills:,} fills, {seen.n_refused:,} refused"),
    ]
    rows += [("position", f"{one.position:g} {one.symbol}") for one in seen.instruments if one.position]
    if seen.orders:
        rows.append(("still open", f"{len(seen.orders)} orders: the next start asks about them"))
    if seen.tick_to_order_us is not None:
        rows.append(("tick to order", "p50 {:,.0f} us, p99 {:,.0f} us".format(*seen.tick_to_order_us)))
    if ended.recovered:
        rows.append(("went on from", f"run {ended.recovered}"))
    journal = Path(os.path.relpath(ended.journal))
    shown = ended.journal if journal.parts[:1] == ("..",) else journal
    rows.append(("journal", f"{shown}, run {ended.run} (tercel replay {shown})"))
    terminal.panel("the session", rows)
    if ended.failure is not None:
        if isinstance(ended.failure, TercelError):
            raise ended.failure
        raise RuntimeError(f"the session broke: {ended.failure}") from ended.failure
    return 0
