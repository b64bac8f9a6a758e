"""The benchmark's one table: the row, what a figure has to reach, and the row as text and as JSON.

Called by `run` and the command line. Nothing here measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Reach", "Row", "make_row", "not_installed", "rows_to_json", "table"]


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """What a question has to reach. ours_max: largest figure of ours, in the row's unit. ratio_min: least ratio."""

    ours_max: float | None = None
    ratio_min: float | None = None

    def text(self, unit: str) -> str:
        """The demand in words; "" when there is none."""
        words = []
        if self.ours_max is not None:
            words.append(f"at most {self.ours_max:g} {unit}")
        if self.ratio_min is not None:
            words.append(f"{self.ratio_min:g} times the peer")
        return ", ".join(words)

    def met(self, ours: float | None, ratio: float | None) -> bool | None:
        """Whether the figures satisfy it; None where a figure is missing or nothing is demanded."""
        met: bool | None = None
        if self.ours_max is not None:
            if ours is None:
                return None
            met = ours <= self.ours_max
        if self.ratio_min is not None and met is not False:
            if ratio is None:
                return None
            met = ratio >= self.ratio_min
        return met


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table; lower figures are better.

    question: what was measured, in words. ours, theirs: medians in `unit`; None where not measured. peer: engine,
    version and mode. ratio: theirs / ours, how many times better ours is. reach: the demand in words. reached: whether
    it was met, None where it cannot be told. same_results: whether both sides made the same fills, position and money;
    None where there was nothing to compare. note: why a figure is missing, or the first difference between results.
    """

    question: str
    ours: float | None
    theirs: float | None
    unit: str
    peer: str
    ratio: float | None
    reach: str
    reached: bool | None
    same_results: bool | None
    note: str = ""


def make_row(
    question: str,
    *,
    unit: str,
    ours: float | None,
    theirs: float | None = None,
    peer: str = "",
    reach: Reach = Reach(),  # noqa: B008  (immutable)
    difference: str | None = None,
    note: str = "",
) -> Row:
    """A row with its ratio and verdict worked out.

    `difference` is the word of `results.difference`: "" when the results are the same, the first difference when they
    are not, None where nothing was compared. A row whose results differ never counts as reached.
    """
    ratio = theirs / ours if ours and theirs is not None else None
    reached = reach.met(ours, ratio)
    if difference:
        reached = False if reached is not None else None
    words = [word for word in (f"results differ: {difference}" if difference else "", note) if word]
    return Row(
        question=question,
        ours=ours,
        theirs=theirs,
        unit=unit,
        peer=peer,
        ratio=ratio,
        reach=reach.text(unit),
        reached=reached,
        same_results=None if difference is None else difference == "",
        note="; ".join(words),
    )


def not_installed(question: str, *, unit: str, ours: float | None, peer: str, reach: Reach) -> Row:
    """The row of a question whose peer is not on this machine: ours stands, theirs is empty."""
    return make_row(
        question, unit=unit, ours=ours, peer=peer, reach=reach, note="peer not installed (pip install 'tercel[bench]')"
    )


def rows_to_json(rows: Sequence[Row]) -> str:
    """The rows as a JSON list of objects, one a line for people who read it anyway."""
    return msgspec.json.format(msgspec.json.encode(list(rows)), indent=2).decode()


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


_SAME = {True: "same", False: "[bold red]DIFFER[/]", None: "-"}
_REACHED = {True: "[green]yes[/]", False: "[bold red]no[/]", None: "-"}


def table(rows: Sequence[Row]) -> Table:
    """The rows as a rich table; notes follow as a footnote column only where there are any."""
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(title="tercel bench", caption="medians, both sides in turn in one process; lower is better")
    drawn.add_column("question", overflow="fold")
    for title in ("ours", "theirs"):
        drawn.add_column(title, justify="right", no_wrap=True)
    drawn.add_column("unit", no_wrap=True)
    drawn.add_column("peer", overflow="fold")
    drawn.add_column("ratio", justify="right", no_wrap=True)
    drawn.add_column("to reach", overflow="fold")
    drawn.add_column("reached", no_wrap=True)
    drawn.add_column("results", no_wrap=True)
    with_notes = any(row.note for row in rows)
    if with_notes:
        drawn.add_column("note", overflow="fold")
    for row in rows:
        cells = [
            escape(row.question),
            _figure(row.ours),
            _figure(row.theirs),
            row.unit,
            escape(row.peer) or "-",
            "-" if row.ratio is None else f"{row.ratio:,.1f}x",
            row.reach or "-",
            _REACHED[row.reached],
            _SAME[row.same_results],
        ]
        drawn.add_row(*cells, *([escape(row.note)] if with_notes else []))
    return drawn
