"""`tercel import`: a foreign file becomes a tape."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Turn a foreign file into a tape.

Knows raw Binance captures (USD-M and spot), the Bitstamp order log, and CSV of bars, trades or quotes; plain, gzip, xz
or zip. The format is found out from the first line unless it is given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("source", type=Path, metavar="SOURCE", help="the file to import")
    parser.add_argument("-o", "--out", type=Path, help="where the tape goes (default: beside the source, as .tape)")
    parser.add_argument("--format", default="auto", help="auto, binance, binance-usdm, binance-spot, bitstamp-l3,\n"
                        "csv, csv-bars, csv-trades or csv-quotes (default: auto)")  # fmt: skip
    parser.add_argument("--symbol", help="the instrument's name, where the file does not say")
    parser.add_argument("--tick", help="price step, such as 0.1 (default: inferred from the decimals of the data)")
    parser.add_argument("--lot", help="size step, such as 0.001 (default: inferred)")
    parser.add_argument("--on-bad-line", choices=("stop", "skip"), default="stop",
                        help="stop at a line that cannot be read, or skip and count it (default: stop)")  # fmt: skip
    parser.add_argument("--on-gap", choices=("stop", "continue"), default=None,
                        help="stop at missing update ids, or continue and note it (default: stop)")  # fmt: skip
    parser.add_argument("--reapply", action=argparse.BooleanOptionalAction, default=None,
                        help="restate levels that a late snapshot set back (default: where it is needed)")  # fmt: skip
    parser.add_argument("--csv", action="append", default=[], metavar="NAME=VALUE", dest="layout",
                        help="a field of the CSV layout, such as time_format=%%Y-%%m-%%d; repeatable")  # fmt: skip


def _layout(pairs: list[str]) -> dict[str, Any] | None:
    from tercel.errors import ConfigError

    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--csv takes NAME=VALUE, found {pair!r}")
        found[name] = value
    return found or None


def run(options: argparse.Namespace) -> int:
    """Import, then say what came in."""
    from tercel.cli.tape_facts import quick_facts
    from tercel.cli.terminal import Terminal
    from tercel.store.imports import import_capture

    terminal = Terminal(json=options.json)
    with terminal.bar(f"importing {options.source.name}") as tell:
        tape = import_capture(
            options.source,
            options.out,
            format=options.format,
            symbol=options.symbol,
            tick=options.tick,
            lot=options.lot,
            layout=_layout(options.layout),
            on_bad_line=options.on_bad_line,
            on_gap=options.on_gap,
            reapply=options.reapply,
            progress=tell,
        )
    terminal.emit(tape.summary())
    terminal.panel(f"imported {tape.path}", quick_facts(tape))
    if tape.meta.skipped:
        n = sum(tape.meta.skipped.values())
        terminal.say(f"note: {n:,} bad lines were skipped; the table says why")
    return 0
