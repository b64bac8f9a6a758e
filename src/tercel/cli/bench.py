"""`tercel bench`: tercel and its peers side by side on this machine, as one table."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Measure tercel against its peers in one run and print one table.

Results are compared first: a row whose two sides do not make the same fills is marked. Peers come with the bench extra:
pip install 'tercel[bench]'."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "questions", nargs="*", metavar="QUESTION", help="which to ask; core and live stand for\nmany (default: all)"
    )
    parser.add_argument("--tape", type=Path, help="a tape, or the raw capture, of the BTCUSDT perpetual;\n"
                        "without it the questions on a real tape are left out")  # fmt: skip
    parser.add_argument("--ticks", type=Path, help="a zip of EURUSD quotes (default: synthetic quotes)")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, smaller inputs")
    parser.add_argument("--list", action="store_true", help="list the questions and leave")


def run(options: argparse.Namespace) -> int:
    """Ask the questions and print the table."""
    from tercel.bench.run import QUESTIONS, Inputs, expanded
    from tercel.bench.run import run as ask
    from tercel.bench.table import table
    from tercel.cli.terminal import Terminal
    from tercel.cli.warm import BACKTEST_ENTRIES, warm
    from tercel.errors import DataError

    terminal = Terminal(json=options.json)
    expanded(options.questions)
    if options.list:
        rows = [{"question": name, "needs_tape": needs, "what": (ask.__doc__ or "")}
                for name, (ask, needs) in QUESTIONS.items()]  # fmt: skip
        terminal.emit(rows)
        terminal.panel("questions", [(str(row["question"]), str(row["what"])) for row in rows])
        return 0
    for name, path in (("--tape", options.tape), ("--ticks", options.ticks)):
        if path is not None and not path.is_file():
            raise DataError(f"{name}: no file at {path}")
    warm(terminal, BACKTEST_ENTRIES)
    inputs = {"tape": options.tape, "ticks": options.ticks, "quick": options.quick}
    if terminal.stderr.is_terminal:
        with terminal.stderr.status("bench") as status:
            rows_found = ask(Inputs(**inputs, said=status.update), options.questions)
    else:
        rows_found = ask(Inputs(**inputs, said=terminal.say), options.questions)
    terminal.emit(rows_found)
    terminal.show(table(rows_found))
    if options.tape is None and not options.questions:
        terminal.say("note: the questions on a real tape were left out; give one with --tape")
    return 0
