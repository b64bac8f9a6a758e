"""`tercel replay`: a recorded market, or a session's journal, through the live path again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercel.cli.backtest import LIMITS, add_venue_arguments

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal
    from tercel.live.playing import Player

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Send a recording through the live path.

A tape or a capture: strategies trade it on paper through the driver that trades live, as fast as it goes or at its own
speed (--speed 1), and the journal of that run is replayed to prove that it gives the same commands and the same state.
A session's directory: the last run of its journal is told again from its rows, and what the engine commands now is
compared with what it commanded then, byte for byte. Exit code 1: it does not replay."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("strategies", nargs="*", metavar="STRATEGY",
                        help="what to run over a tape; for a journal where it does not say")  # fmt: skip
    parser.add_argument("source", type=Path, metavar="SOURCE", help="a tape, a capture, or a session's directory")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="a parameter, see tercel backtest; repeatable")  # fmt: skip
    parser.add_argument("--speed", type=float, default=0.0, metavar="X",
                        help="times real speed; 0 is as fast as it goes (default: 0)")  # fmt: skip
    parser.add_argument("--run", type=int, default=0, metavar="N", help="which run of a journal (default: the last)")
    add_venue_arguments(parser)
    out = parser.add_argument_group("the result")
    out.add_argument("--capital", type=float, default=10_000.0, help="equity to start with (default: 10000)")
    out.add_argument("--channels", help="channels of the tape to use, such as depth,trades")
    out.add_argument("--report", type=Path, metavar="FILE.html", help="write the one-page report")
    limits = parser.add_argument_group("limits of the risk gate (default: none)")
    for option, (field, kind, text) in LIMITS.items():
        limits.add_argument(option, type=kind, dest=field, metavar="N", help=text)


def run(options: argparse.Namespace) -> int:
    """Replay what the source is."""
    from tercel.cli.terminal import Terminal

    terminal = Terminal(json=options.json)
    if options.source.is_dir():
        from tercel.cli.replay_journal import replay_journal

        return replay_journal(terminal, options)
    return _replay_tape(terminal, options)


def _replay_tape(terminal: Terminal, options: argparse.Namespace) -> int:
    from tercel.cli.backtest import limits_of, venue_rules
    from tercel.cli.strategy_spec import make_strategies
    from tercel.cli.warm import INFO_ENTRIES, PAPER_ENTRIES, warm
    from tercel.errors import ConfigError
    from tercel.live.playing import Player

    if not options.strategies:
        raise ConfigError("a tape needs a strategy to trade it: tercel replay STRATEGY TAPE")
    if not 0 <= options.speed <= 1e6:
        raise ConfigError(f"--speed takes 0 to 1000000, found {options.speed}")
    strategies = make_strategies(options.strategies, options.settings)
    tape = _tape_of(terminal, options.source)
    warm(terminal, PAPER_ENTRIES | INFO_ENTRIES, options.strategies)
    channels = options.channels.split(",") if options.channels else None
    player = Player(
        strategies, tape, rules=venue_rules(options), limits=limits_of(options), channels=channels
    )  # fmt: skip
    if options.speed > 0:
        _play_paced(player, options.speed, options.source.name)
    else:
        _play_fast(terminal, player)
    player.finish()
    return _tell(terminal, player, options)


def _tape_of(terminal: Terminal, source: Path) -> Any:
    """The tape at `source`, or what a capture there imports to."""
    from tercel.errors import DataError
    from tercel.store.imports import import_capture
    from tercel.store.tape import Tape

    if not source.is_file():
        raise DataError(f"nothing to replay at {source}: expected a tape, a capture or a session's directory")
    with source.open("rb") as file:
        if file.read(4) == b"PAR1":
            return Tape.open(source)
    from tercel.config import cache_dir

    out = cache_dir() / "replay" / f"{source.name}.tape"
    with terminal.bar(f"importing {source.name}") as tell:
        return import_capture(source, out, on_bad_line="skip", on_gap="continue", progress=tell)


def _play_fast(terminal: Terminal, player: Player) -> None:
    from tercel.venues.contract import NEVER

    start, end = player.start_ns, player.end_ns
    piece = max(1, (end - start) // 200)
    with terminal.bar(f"replaying {len(player.tape):,} rows") as tell:
        until = start + piece
        while player.play(until) < NEVER:
            tell(min(until, end) - start, end - start)
            until += piece


def _play_paced(player: Player, speed: float, name: str) -> None:
    """Play at `speed` times the tape's own time, with a view."""
    from tercel.cli.live_view import LiveView
    from tercel.clock import monotonic_ns, pause_s
    from tercel.live.glance import Recent, glance
    from tercel.venues.contract import NEVER

    core = player.core
    recent = Recent(player.engine)
    core.flow.taps.append(recent.on_rows)
    begun_ns = monotonic_ns()
    with LiveView(f"replay of {name}") as view:
        next_view_ns = 0
        while True:
            now_ns = monotonic_ns()
            tape_ns = player.start_ns + round((now_ns - begun_ns) * speed)
            due = player.play(tape_ns)
            if now_ns >= next_view_ns:
                left_s = max(0.0, (player.end_ns - tape_ns) / speed / 1e9)
                view.show(glance(core, recent), left=f"{left_s:,.0f} s")
                next_view_ns = now_ns + 200_000_000
            if due >= NEVER:
                break
            pause_s(min((due - tape_ns) / speed / 1e9, 0.2))
        view.show(glance(core, recent), last=True)


def _tell(terminal: Terminal, player: Player, options: argparse.Namespace) -> int:
    """Tell the run again from its journal, compare, and show the result."""
    from tercel.cli.backtest import limits_of
    from tercel.cli.strategy_spec import make_strategies
    from tercel.engine.engine import Engine
    from tercel.live.playing import MemoryJournal
    from tercel.live.recap import recap
    from tercel.observe.results import Result

    journal = player.journal
    assert isinstance(journal, MemoryJournal)
    engine = Engine(
        player.tape.instruments, make_strategies(options.strategies, options.settings), limits=limits_of(options)
    )
    sample_s = max(1.0, (player.end_ns - player.start_ns) / 1e12)
    meta = {"tape": str(player.tape.path), "source": player.tape.meta.source, "path": "live, on paper"}
    log = recap(engine, journal.rows, sample_s=sample_s, initial_equity=options.capital, meta=meta)
    same_commands = log.commands.tobytes() == journal.commands.tobytes()
    same_state = engine.state_hash() == player.engine.state_hash()
    result = Result(log)
    written = {"report": str(result.report(options.report))} if options.report else {}
    facts = {"commands": len(log.commands), "same_commands": same_commands, "same_state": same_state}
    terminal.emit({**result.to_dict(), **written, "replay": facts})
    terminal.show(result)
    if same_commands and same_state:
        terminal.say(f"replayed from its journal: {len(log.commands):,} commands and the state are the same")
        return 0
    what = "commands" if not same_commands else "state"
    terminal.say(f"error: the journal of this run does not replay: the {what} differ")
    return 1
