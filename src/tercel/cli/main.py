"""The command line: finds the command, reads its arguments, runs it, and turns what goes wrong into one message.

One module a command, imported only when that command is named; a command's own module imports nothing heavy before it
runs, so that every `--help` answers at once. Arguments are read with argparse from the standard library: the libraries
that read them from signatures take longer to import than `--help` may take in all. Nothing here trades or computes.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import tercel
from tercel.errors import ConfigError, TercelError

__all__ = ["COMMANDS", "EXIT_CODES", "main"]

#: Command -> (module, what it does in a line).
COMMANDS = {
    "demo": ("demo", "simulate a market, trade it, write a report: needs no arguments"),
    "import": ("import_tape", "turn a capture, an order log or a CSV into a tape"),
    "info": ("info", "tell what is in a tape and check its book, or what is in a journal"),
    "backtest": ("backtest", "run strategies over a tape against a simulated venue"),
    "simulate": ("simulate", "make a tape from a seeded market model"),
    "paper": ("paper", "trade a real market with simulated fills: no keys, no risk"),
    "live": ("live", "trade for real; refuses without --real-orders and limits"),
    "status": ("status", "show a running session from another terminal"),
    "kill": ("kill", "halt a running session from another terminal"),
    "record": ("record", "keep a market as it comes: raw messages and a tape"),
    "replay": ("replay", "send a tape or a session's journal through the live path again"),
    "venue": ("venue", "run a local venue that speaks Binance's protocol"),
    "warmup": ("warmup", "compile everything now, so that later runs start at once"),
    "doctor": ("doctor", "check this installation, clean up old kernels"),
    "bench": ("bench", "measure tercel against its peers on this machine"),
}

EXIT_CODES = {
    0: "done",
    1: "an error of no other kind, or something is broken (doctor)",
    2: "wrong arguments or settings",
    3: "bad data: a malformed file, a gap, a value off its grid, an unknown instrument, a tape of another version",
    4: "the disk refused: full, read-only or gone; or another process holds the journal",
    5: "a stated maximum was reached",
    6: "something is wrong in a strategy",
    7: "a venue or a session could not be reached, or a connection broke",
    8: "a venue refuses the API key, its secret or its permissions",
    130: "interrupted",
}

_TOP = "usage: tercel COMMAND [OPTIONS]\n\nA low-latency trading engine for people who write Python."


def help_text() -> str:
    """What `tercel --help` prints."""
    width = max(len(name) for name in COMMANDS) + 2
    lines = [_TOP, "", "commands:"]
    lines += [f"  {name:<{width}}{summary}" for name, (_, summary) in COMMANDS.items()]
    lines += ["", "options of every command:"]
    lines += ["  --json    machine-readable result on stdout; progress stays on stderr"]
    lines += ["  --debug   show the traceback of an error", "  --help    the command's own arguments", ""]
    lines += ["exit codes:", *(f"  {code:<4}{text}" for code, text in EXIT_CODES.items())]
    lines += ["", "start here: tercel demo"]
    return "\n".join(lines)


class CommandParser(argparse.ArgumentParser):
    """argparse that raises ConfigError where the original prints its usage and exits."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the arguments; `message` is argparse's."""
        raise ConfigError(f"{message} (see {self.prog} --help)")


def _parser(name: str) -> CommandParser:
    parser = CommandParser(prog=f"tercel {name}", allow_abbrev=False, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true", help="machine-readable result on stdout")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _command_name(arguments: Sequence[str]) -> str:
    name = arguments[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"commands are {', '.join(COMMANDS)}"
        raise ConfigError(f"no command {name!r}: {hint} (see tercel --help)")
    return name


def _dispatch(arguments: Sequence[str]) -> int:
    """Run the command that the arguments name; its exit code."""
    name = _command_name(arguments)
    module = importlib.import_module(f"tercel.cli.{COMMANDS[name][0]}")
    parser = _parser(name)
    parser.description = module.DESCRIPTION
    module.add_arguments(parser)
    options = parser.parse_intermixed_args(list(arguments[1:]))
    code: int = module.run(options)
    sys.stdout.flush()
    return code


def _fail(error: BaseException, code: int, message: str, arguments: Sequence[str]) -> int:
    """Say what went wrong: one message on stderr, and an object on stdout where JSON was asked for."""
    if "--debug" in arguments:
        import traceback

        traceback.print_exception(error)
    print(f"error: {message}", file=sys.stderr)
    if "--json" in arguments:
        import json

        print(json.dumps({"error": message, "kind": type(error).__name__, "exit_code": code}, ensure_ascii=False))
    return code


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point of `tercel`: run a command and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit code. Never raises."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(help_text())
        return 0
    if arguments[0] in ("-V", "--version", "version"):
        print(f"tercel {tercel.__version__}")
        return 0
    try:
        return _dispatch(arguments)
    except SystemExit as leaving:  # argparse leaves this way after --help
        return int(leaving.code or 0)
    except KeyboardInterrupt as error:
        return _fail(error, 130, "interrupted; nothing half-written was left", arguments)
    except BrokenPipeError:
        # The reader went away, as `| head` does. Python would complain again when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except TercelError as error:
        return _fail(error, error.exit_code, str(error), arguments)
    except MemoryError as error:
        return _fail(error, 5, "out of memory: use a shorter tape or smaller capacities", arguments)
    except Exception as error:
        words = f"{type(error).__name__}: {error}; this is a bug in tercel: run again with --debug and report it"
        return _fail(error, 1, words, arguments)


if __name__ == "__main__":
    main()
