"""`tercel kill`: halt a session from another terminal: no new order, every open one canceled."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Halt trading: from now on the session refuses every new order and cancels every open one.

A file HALT is put beside the journal first: it halts a session that does not answer within a second, and keeps the next
from starting. The session goes on watching, with its positions; --stop also ends it, in order. --lift takes the file
away so that a session can be started again; a session that was halted stays so until it is started anew."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("where", nargs="?", type=Path, default=Path("journal"), metavar="WHERE",
                        help="the session's configuration, or its journal's\ndirectory (default: journal)")  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--stop", action="store_true", help="end the session, too")
    what.add_argument("--lift", action="store_true", help="only take the file HALT away")


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
        terminal.emit({"halt_file": str(path), "is_there": False})
        terminal.say(f"{path} is gone: a session may start here")
        return 0
    try:
        seen = ask_session(directory, "kill")
        if options.stop:
            ask_session(directory, "stop")
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
            ("to start again", f"tercel kill --lift {options.where}"),
        ],
    )
    return 0
