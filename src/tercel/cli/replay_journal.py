"""`tercel replay DIRECTORY`: a live session told again from its journal, and compared with what it commanded.

Reads a run's header to make the engine as it was; changes nothing. Called by `replay` and, for its summary, by `demo`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from tercel.cli.terminal import Terminal
    from tercel.engine.engine import Engine
    from tercel.model.runlog import RunLog
    from tercel.store.journal_read import JournalReader

__all__ = ["SPECS_KEY", "Retold", "replay_journal", "retell"]

#: Where a session's header keeps the strategies as the user named them: a JSON list of [spec, [name=value, ...]].
SPECS_KEY = "strategy_specs"


class Retold:
    """A run told again. reader: the run. log: its run log. engine: at its end.

    same: what it commanded then is what the engine commands now. n_commands: compared.
    """

    def __init__(self, reader: JournalReader, engine: Engine, log: RunLog, commands: np.ndarray) -> None:
        self.reader = reader
        self.engine = engine
        self.log = log
        self.n_commands = len(commands)
        # A process that dies has made commands that it could not journal any more.
        made = log.commands[: len(commands)] if not reader.is_closed else log.commands
        self.same = bool(made.tobytes() == commands.tobytes())


def retell(
    path: Path,
    run: int = 0,
    *,
    specs: Sequence[tuple[str, Sequence[str]]] | None = None,
    initial_equity: float = 10_000.0,
    sample_s: float = 1.0,
) -> Retold:
    """Tell a run of the session or journal at `path` again; 0: the last. specs: strategies in place of its own."""
    from tercel.live.recap import recap
    from tercel.store.journal_read import journal_at, open_journal

    reader = open_journal(journal_at(path), run or None, is_whole=True)
    engine = _engine_of(reader, specs)
    if reader.snapshot is not None:
        engine.restore(reader.snapshot.state)
    meta = {"journal": str(path), "run": reader.run, "path": "live"}
    log = recap(engine, reader.rows(reader.start), sample_s=sample_s, initial_equity=initial_equity, meta=meta)
    return Retold(reader, engine, log, reader.commands(reader.start))


def _engine_of(reader: JournalReader, specs: Sequence[tuple[str, Sequence[str]]] | None) -> Engine:
    """An engine made as the run's was, checked against the header."""
    from tercel.cli.strategy_spec import make_strategies
    from tercel.engine.engine import Engine
    from tercel.engine.recovery import check_header
    from tercel.errors import ConfigError
    from tercel.risk.limits import Limits

    header = reader.header
    known = specs if specs is not None else json.loads(header.meta.get(SPECS_KEY, "[]"))
    if not known and header.strategies:
        names = ", ".join(strategy.name for strategy in header.strategies)
        raise ConfigError(
            f"{reader.path} does not say where its strategies are ({names}): name them before the journal"
        )
    strategies = [strategy for spec, settings in known for strategy in make_strategies([spec], settings)]
    limits = [Limits(**_limit_values(plain)) for plain in header.limits]
    engine = Engine(
        list(header.instruments), strategies, limits=limits, capacity=header.capacity, run=header.run
    )  # fmt: skip
    check_header(engine, header)
    return engine


_WHOLE = ("order_burst", "message_burst", "open_orders_max")


def _limit_values(plain: dict[str, Any]) -> dict[str, Any]:
    """Limits from a header: numbers stand there as text."""
    return {
        name: value if name == "self_trade" else int(value) if name in _WHOLE else Decimal(value)
        for name, value in plain.items()
    }


def replay_journal(terminal: Terminal, options: argparse.Namespace) -> int:
    """Tell a run again and say whether it is the same."""
    from tercel.cli.warm import PAPER_ENTRIES, warm
    from tercel.observe.results import Result

    specs = None
    if options.strategies:
        specs = [(spec, options.settings) for spec in options.strategies]
    warm(terminal, PAPER_ENTRIES)
    with terminal.bar(f"replaying {options.source}"):
        told = retell(options.source, options.run, specs=specs, initial_equity=options.capital)
    result = Result(told.log)
    written = {"report": str(result.report(options.report))} if options.report else {}
    facts = {
        "run": told.reader.run,
        "rows": told.reader.n_rows,
        "commands": told.n_commands,
        "same_commands": told.same,
        "is_closed": told.reader.is_closed,
        "damage": [damage.lost for damage in told.reader.damage],
    }
    terminal.emit({**result.to_dict(), **written, "replay": facts})
    terminal.show(result)
    for damage in told.reader.damage:
        terminal.say(f"note: {damage.segment} at byte {damage.offset}: {damage.lost}")
    if told.same:
        end = "" if told.reader.is_closed else "; the session did not end in order"
        terminal.say(f"run {told.reader.run} replays: {told.n_commands:,} commands are the same{end}")
        return 0
    terminal.say(f"error: run {told.reader.run} does not replay: the engine now commands something else")
    return 1
