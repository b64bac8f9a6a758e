"""`tercel record`: a market as it comes, message for message, and a tape of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercel.cli.session_arguments import add_place_arguments

if TYPE_CHECKING:
    from tercel.live.settings import Settings
    from tercel.store.capture import CaptureOptions
    from tercel.store.tape import Tape

__all__ = ["DESCRIPTION", "Recorder", "add_arguments", "run"]

DESCRIPTION = """Record a market: every message as it came, with the time it came, in gzip files that tercel
import reads, one series a symbol; and at the end a tape of all symbols together. No key is needed; nothing of an
account is kept.

Ends with Ctrl-C or after --duration. A recorder that is killed leaves captures that read to their end, and no tape."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("configuration", nargs="?", metavar="SESSION.toml",
                        help="whose instruments to record; or --symbol")  # fmt: skip
    parser.add_argument("-o", "--out", type=Path, default=Path("captures"), metavar="DIR",
                        help="where the captures go (default: captures)")  # fmt: skip
    parser.add_argument("--tape", type=Path, metavar="FILE.tape", help="where the tape goes (default: in DIR, named\n"
                        "after the time)")  # fmt: skip
    parser.add_argument("--no-tape", action="store_true", help="captures alone")
    parser.add_argument("--duration", metavar="TIME", help="end after this time, such as 90s or 2h")
    parser.add_argument("--rotate-mb", type=float, default=1024.0, help="text of one file, MB (default: 1024)")
    parser.add_argument("--flush-s", type=float, default=1.0, help="oldest message in memory, seconds (default: 1)")
    add_place_arguments(parser)


class Recorder:
    """Writes what a session hears: one capture a symbol, and rows for a tape."""

    def __init__(self, out: Path, options: CaptureOptions) -> None:
        self.writers: dict[str, Any] = {}
        self._out = out
        self._options = options

    def take(self, symbol: str, now_ns: int, message: bytes | bytearray | memoryview) -> None:
        """One message of a symbol."""
        from tercel.store.capture import CaptureWriter

        writer = self.writers.get(symbol)
        if writer is None:
            writer = self.writers[symbol] = CaptureWriter(self._out, symbol, self._options)
        writer.write(now_ns, message)

    def close(self) -> None:
        """Everything is on the disk."""
        for writer in self.writers.values():
            writer.close()


def run(options: argparse.Namespace) -> int:
    """Record until the end, then say what there is."""
    from tercel.cli.session_arguments import is_configuration, settings_of
    from tercel.cli.terminal import Terminal
    from tercel.errors import ConfigError
    from tercel.live.settings import load_settings
    from tercel.store.capture import CaptureOptions

    terminal = Terminal(json=options.json)
    if options.configuration is None:
        settings = settings_of(options, [], directory="")
    elif is_configuration(options.configuration):
        settings = load_settings(options.configuration)
    else:
        raise ConfigError(f"expected a configuration (.toml) or --symbol, found {options.configuration!r}")
    recorder = Recorder(options.out, CaptureOptions(flush_s=options.flush_s, rotate_mb=options.rotate_mb))
    tape = None
    try:
        tape = _record(terminal, settings, options, recorder)
    finally:
        recorder.close()
    files = {symbol: [str(path) for path in one.files] for symbol, one in recorder.writers.items()}
    n_messages = {symbol: one.n_messages for symbol, one in recorder.writers.items()}
    terminal.emit({"files": files, "messages": n_messages, "tape": tape.summary() if tape is not None else None})
    rows = [(symbol, f"{n_messages[symbol]:,} messages: {', '.join(names)}") for symbol, names in files.items()]
    if tape is not None:
        rows += [("tape", f"{tape.path}: {len(tape):,} rows")]
    terminal.panel("recorded", rows or [("nothing", "no message came")])
    return 0


def _record(terminal: Any, settings: Settings, options: argparse.Namespace, recorder: Recorder) -> Tape | None:
    """Listen until the end; the tape of what was heard, None without one."""
    import tempfile

    from msgspec.structs import replace

    from tercel.cli.live_view import LiveView
    from tercel.cli.simulate import seconds_of
    from tercel.cli.trading import trade
    from tercel.cli.warm import LIVE_ENTRIES, PAPER_ENTRIES, warm
    from tercel.clock import wall_ns
    from tercel.live.session import failure_of
    from tercel.runtime.loop import run as run_loop
    from tercel.store.writing import TapeSpooler

    warm(terminal, PAPER_ENTRIES | LIVE_ENTRIES)
    view = LiveView(f"recording: {settings.session.name}")
    path = options.tape or options.out / f"{settings.session.name}-{wall_ns() // 1_000_000_000}.tape"
    with TapeSpooler(path) as spooler, tempfile.TemporaryDirectory(prefix="tercel-record-") as scratch:
        # The session that listens needs a journal like any other; what is to be kept is in the captures.
        session = replace(settings.session, directory=scratch, sync_ms=0.0, warm_up="")
        with view:
            plan, report = run_loop(
                trade(
                    replace(settings, session=session), view, strategies=[], sink=recorder.take, is_anew=True,
                    duration_s=seconds_of(options.duration) if options.duration else 0.0,
                    taps=[lambda rows, now_ns: spooler.append(rows)],
                )
            )  # fmt: skip
        failure = failure_of(report)
        if failure is not None:
            raise failure
        if options.no_tape or not spooler.n_rows:
            return None
        return spooler.finish(list(plan.instruments), source=settings.session.name, format="recorded")
