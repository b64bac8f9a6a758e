"""What a journal holds, for `tercel info`: its runs, the rows of one by kind, its snapshot, and what cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal

__all__ = ["examine_journal", "show"]


def examine_journal(path: Path, run: int | None = None) -> dict[str, Any]:
    """Everything `info` knows of a run of a journal as plain values. Checks every block, reads every row once."""
    import msgspec
    import numpy as np

    from tercel.model.commands import COMMAND_NAMES
    from tercel.model.events import KIND_NAMES, LOCAL
    from tercel.store.journal_format import BLOCK, COMMAND_BASE, is_note
    from tercel.store.journal_read import journal_at, open_journal, runs_of

    path = journal_at(path)
    reader = open_journal(path, run, allow_damage=True)
    counts = np.zeros(256, np.int64)
    n_notes, n_seen, times = 0, 0, [0, 0]
    for piece in reader.pieces():
        counts += np.bincount(piece["kind"].astype(np.int64) & 255, minlength=256)
        n_notes += int(is_note(piece).sum())
        seen = piece["ts_recv"][piece["flags"] & LOCAL != 0]
        if len(seen):
            times = [times[0] or int(seen[0]), int(seen[-1])]
            n_seen += len(seen)
    header = reader.header
    n_commands = int(counts[COMMAND_BASE + 1 : BLOCK].sum())
    return {
        "path": str(path),
        "runs": runs_of(path),
        "run": reader.run,
        "next_run": reader.next_run,
        "created_ns": header.created_ns,
        "instruments": [i.symbol for i in header.instruments],
        "strategies": [msgspec.to_builtins(s) for s in header.strategies],
        "limits": list(header.limits),
        "meta": dict(header.meta),
        "is_closed": reader.is_closed,
        "rows": {"all": reader.n_rows, "stepped": n_seen, "commands": n_commands, "notes": n_notes},
        "events": {name: int(counts[kind]) for kind, name in KIND_NAMES.items() if counts[kind]},
        "commands": {
            name: int(counts[COMMAND_BASE + kind])
            for kind, name in COMMAND_NAMES.items()
            if counts[COMMAND_BASE + kind]
        },
        "first_ns": times[0],
        "last_ns": times[1],
        "snapshot": None
        if reader.snapshot is None
        else {
            "position": reader.snapshot.position,
            "seq": reader.snapshot.seq,
            "bytes": len(reader.snapshot.state),
            "rows_after": reader.n_rows - reader.snapshot.position,
        },
        "damage": [msgspec.to_builtins(damage) for damage in reader.damage],
    }


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items()) or "none"


def _facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    snapshot = found["snapshot"]
    facts = [
        ("run", f"{found['run']} of {len(found['runs'])}" + ("" if found["is_closed"] else ", not closed")),
        ("instruments", ", ".join(found["instruments"])),
        ("strategies", ", ".join(s["name"] for s in found["strategies"]) or "none"),
        ("rows", f"{found['rows']['all']:,}: {found['rows']['stepped']:,} stepped, {found['rows']['notes']:,} notes"),
        ("events", _words(found["events"])),
        ("commands", _words(found["commands"])),
        (
            "snapshot",
            f"at row {snapshot['position']:,}, {snapshot['rows_after']:,} rows after it" if snapshot else "none",
        ),
    ]
    for damage in found["damage"]:
        what = "torn" if damage["torn"] else "DAMAGED"
        facts.append((what, f"{damage['segment']} at byte {damage['offset']:,}: {damage['lost']}"))
    return facts


def show(path: Path, run: int | None, terminal: Terminal) -> int:
    """Print what a journal holds; 3 where rows are damaged that had been safe, 0 otherwise."""
    found = examine_journal(path, run)
    terminal.emit(found)
    terminal.panel(str(path), _facts(found))
    is_safe = all(damage["torn"] or damage["segment"].startswith("snapshot-") for damage in found["damage"])
    return 0 if is_safe else 3
