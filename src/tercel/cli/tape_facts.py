"""A tape in words: the lines that `import`, `info` and `simulate` print about one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tercel.store.tape import Tape

__all__ = ["counted", "quick_facts"]


def counted(counts: dict[str, int]) -> str:
    """Counts by name as text, such as "depth 6,551, trade 21,313"; "none" when there are none."""
    return ", ".join(f"{name} {n:,}" for name, n in counts.items()) or "none"


def _moment(ts_ns: int) -> str:
    moment = datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ts_ns % 1_000_000_000:09d}"


def quick_facts(tape: Tape) -> list[tuple[str, str]]:
    """What a tape's metadata says, as (name, text); no row is read."""
    meta = tape.meta
    facts = [
        (f"instrument {i}", f"{it.symbol} on {it.venue or '?'}, {it.kind}, tick {it.tick_size}, lot {it.lot_size}")
        for i, it in enumerate(meta.instruments)
    ]
    facts += [("grid", meta.grid)]
    if meta.source:
        facts += [("source", f"{meta.source} ({meta.format})"), ("source sha256", meta.source_sha256)]
    if meta.messages:
        facts += [("messages", counted(meta.messages))]
    facts += [("rows", f"{meta.n_rows:,}: {counted(meta.channels)}")]
    if meta.n_rows:
        seconds = (meta.end_ns - meta.start_ns) / 1e9
        facts += [("received", f"{_moment(meta.start_ns)} to {_moment(meta.end_ns)} UTC, {seconds:,.1f} s")]
    if meta.clock_correction_ns:
        words = f"{meta.clock_correction_ns:,} ns added to receive times: the recorder's clock ran behind the venue's"
        facts += [("clock correction", words)]
    if meta.quote_lead_ns:
        facts += [
            ("quote lead", f"{meta.quote_lead_ns:,} ns: the earliest quote still precedes its venue time by this")
        ]
    facts += [("gaps in update ids", f"{meta.n_gaps:,}" if meta.n_gaps else "none")]
    facts += [(f"  line {gap.line}", gap.what) for gap in meta.gaps[:5]]
    if meta.skipped:
        facts += [("bad lines skipped", counted(meta.skipped))]
    facts += [("note", note) for note in meta.notes]
    return facts
