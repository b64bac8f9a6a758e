"""`tercel status`: what a running session looks like, from another terminal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["DESCRIPTION", "add_arguments", "run", "run_directory"]

DESCRIPTION = """Ask a running session how it stands: state, prices, positions, orders, fills, refusals, latency.

Exit code 7: no session answers there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("where", nargs="?", type=Path, default=Path("session"), metavar="WHERE",
                        help="the session's configuration or its directory\n(default: session)")  # fmt: skip


def run_directory(where: Path) -> Path:
    """The directory of a session's control socket, from its configuration or as it is."""
    if where.suffix != ".toml":
        return where
    from tercel.live.settings import load_settings

    settings = load_settings(where)
    return settings.place(settings.session.directory)


def run(options: argparse.Namespace) -> int:
    """Ask and show."""
    from msgspec import convert

    from tercel.cli.live_view import glance_panel
    from tercel.cli.terminal import Terminal
    from tercel.live.control import ask_session
    from tercel.live.glance import Glance

    terminal = Terminal(json=options.json)
    answer: Any = ask_session(run_directory(options.where), "status")
    terminal.emit(answer)
    if not options.json:
        import shutil

        width = shutil.get_terminal_size((100, 40)).columns
        terminal.show(glance_panel(convert(answer, Glance), title=f"session in {options.where}", width=width))
        if answer["actors"] is not None:
            from tercel.cli.trading import actor_rows
            from tercel.live.actors_pipeline import PipelineReport

            terminal.panel("actors", actor_rows(convert(answer["actors"], PipelineReport)))
    return 0
