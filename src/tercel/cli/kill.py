"""`tercel kill`: halt a session from another terminal: no new order, every open one canceled."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Halt trading: from now on the session refuses every new order and cancels every open one.

A file HALT is put into the session's directory first: it halts a session that does not answer within a second, and
keeps the next from starting. The session goes on watching, with its positions; --stop also ends it, in order. --lift
takes the file away and lets a running session trade again. One that ended halted begins halted, unless it is started
with --resume."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("where", nargs="?", type=Path, default=Path("session"), metavar="WHERE",
                        help="the session's configuration or its directory\n(default: session)")  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stop", action="store_true", help="end the session, too")
    what.add_argument("--lift", action="store_true", help="take the file HALT away, and resume")


def run(options: argparse.Namespace) -> int:
    """Put the file, then ask the session."""
    from tercel.cli.status import run_directory
    from tercel.cli.terminal import Terminal
    from tercel.errors import NetworkError, StorageError
    from tercel.live.control import ask_session, halt_file

    terminal = Terminal(json=options.json)
    directory = run_directory(options.where)
    if not directory.is_dir():
        raise NetworkError(f"no session runs in {directory}: there is no such directory")
    path = halt_file(directory)
    try:
        if options.lift:
            path.unlink(missing_ok=True)
        else:
            path.touch(mode=0o600)
    except OSError as error:
        raise StorageError(f"cannot change {path}: {error.strerror}") from None
    if options.lift:
        return _lift(terminal, directory)
    try:
        seen = ask_session(directory, "halt")
        if options.stop:
            seen = ask_session(directory, "stop")
    except NetworkError as error:
        raise NetworkError(f"{error}; {path} is there, and halts whatever session reads it") from None
    terminal.emit({"halt_file": str(path), "session": seen})
    n_open = len(seen["orders"])
    terminal.panel(
        "halted",
        [
            ("session", f"run {seen['run']}, {seen['state']}"),
            ("open orders", f"{n_open}, being canceled" if n_open else "none"),
            ("positions", ", ".join(f"{x['position']:g} {x['symbol']}" for x in seen["instruments"]) or "none"),
            ("to go on", f"tercel kill --lift {options.where}"),
        ],
    )
    return 0


def _lift(terminal: Terminal, directory: Path) -> int:
    """The file is gone; a session that runs there trades again."""
    from tercel.errors import NetworkError
    from tercel.live.control import ask_session, halt_file

    path = halt_file(directory)
    try:
        seen = ask_session(directory, "resume")
    except NetworkError:
        seen = None
    terminal.emit({"halt_file": str(path), "is_there": False, "session": seen})
    if seen is None:
        terminal.say(f"{path} is gone: a session may start here; one that ended halted needs --resume to trade")
    else:
        terminal.say(f"{path} is gone: run {seen['run']} trades again")
    return 0
