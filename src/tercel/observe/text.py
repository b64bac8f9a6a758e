"""Text: numbers, durations and times as people read them, and the summary table of a result.

Lives here: formatting and the plain-text summary. Never here: computing. Called by `results` and `report`. Nothing
depends on the locale; a value that does not exist is an en dash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tercel.observe.definitions import DEFINITIONS, Definition

__all__ = [
    "duration_text",
    "facts_lines",
    "money_text",
    "number_text",
    "summary_text",
    "table_text",
    "time_text",
    "value_text",
]

NOTHING = "–"
WIDTH = 98
_GUTTER = 4
_UNITS_NS = ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s"))


def number_text(value: float, decimals: int | None = None) -> str:
    """A number with thousands separated; without `decimals`, four significant digits below 100, two decimals above."""
    if decimals is None:
        size = abs(value)
        decimals = 2 if size >= 100 or size == 0 else 3 if size >= 10 else 4
        while size and decimals < 12 and size < 10 ** (3 - decimals):
            decimals += 1
    text = f"{value:,.{decimals}f}"
    return "0" + text[2:] if text.startswith("-0") and not text.strip("-0.,") else text


def money_text(value: float) -> str:
    """An amount with two decimals, more where it is smaller than one."""
    return number_text(value, 2) if abs(value) >= 1 or value == 0 else number_text(value)


def duration_text(ns: float) -> str:
    """A duration in the unit that suits it: "412 ns", "10.0 ms", "3 min 12 s", "4 d 03 h"."""
    sign, ns = ("-" if ns < 0 else ""), abs(ns)
    if ns < 60e9:
        size, unit = next(((s, u) for s, u in reversed(_UNITS_NS) if ns >= 0.9995 * s), (1, "ns"))
        count = ns / size
        return f"{sign}{count:.0f} {unit}" if size == 1 or count >= 100 else f"{sign}{count:.3g} {unit}"
    seconds = round(ns / 1e9)
    for size, unit, part, part_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            return f"{sign}{seconds // size} {unit} {seconds % size // part:02d} {part_unit}"
    return f"{sign}{seconds} s"


def time_text(ts_ns: int) -> str:
    """A UTC time to the second, or just its nanoseconds where no calendar reaches it."""
    try:
        return datetime.fromtimestamp(ts_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{ts_ns} ns"


def value_text(definition: Definition, value: float | int | None, currency: str | None = "") -> str:
    """A statistic as it is printed, with its unit."""
    if value is None:
        return NOTHING
    match definition.unit:
        case "share":
            decimals = 4 if 0 < abs(value) < 0.001 else 2
            return f"{number_text(100 * value, decimals)}%"
        case "count":
            return f"{value:,}"
        case "ns":
            return duration_text(value)
        case "ticks":
            return f"{number_text(value, 2)} ticks"
        case "money":
            return f"{money_text(value)} {currency or ''}".rstrip()
        case _:
            return number_text(value, 2)


def table_text(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    """Aligned lines: the first `left` columns to the left, the others to the right."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        parts = [t.ljust(w) if i < left else t.rjust(w) for i, (t, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(parts).rstrip())
    return [lines[0], "-" * len(lines[0]), *lines[1:]] if rows else lines


def facts_lines(facts: Mapping[str, str]) -> list[str]:
    """Label and value lines; long values are cut with an ellipsis to the width of the summary."""
    pad = max((len(k) for k in facts), default=0) + 2
    room = WIDTH - pad
    return [f"{k.ljust(pad)}{v if len(v) <= room else v[: room - 1] + '…'}" for k, v in facts.items()]


def summary_text(
    title: str,
    facts: Mapping[str, str],
    stats: Mapping[str, float | int | None],
    currency: str | None,
    refusals: Sequence[tuple[str, int]],
    strategies: Sequence[Mapping[str, Any]],
) -> str:
    """The summary of a run in under 100 columns: facts, statistics in two columns, refusals, strategies if several."""
    half = (WIDTH - _GUTTER) // 2
    left = _groups(("Performance", "Risk", "Trades"), stats, currency, half)
    right = _groups(("Orders and fills", "Execution"), stats, currency, half)
    rows = max(len(left), len(right))
    left += [""] * (rows - len(left))
    right += [""] * (rows - len(right))
    title = title if len(title) <= WIDTH else title[: WIDTH - 1] + "…"
    lines = [title, "=" * min(len(title), WIDTH), *facts_lines(facts), ""]
    lines += [f"{a.ljust(half)}{' ' * _GUTTER}{b}".rstrip() for a, b in zip(left, right)]
    if refusals:
        lines += ["", "Refused and rejected", "-" * half]
        lines += [_leader(name, f"{count:,}", half) for name, count in refusals]
    if len(strategies) > 1:
        lines += ["", *_strategy_table(strategies)]
    return "\n".join(lines)


def _groups(
    groups: Sequence[str], stats: Mapping[str, float | int | None], currency: str | None, width: int
) -> list[str]:
    lines: list[str] = []
    for group in groups:
        lines += [""] if lines else []
        lines += [group, "-" * width]
        lines += [
            _leader(d.name, value_text(d, stats[d.key], currency), width) for d in DEFINITIONS if d.group == group
        ]
    return lines


def _leader(name: str, value: str, width: int) -> str:
    room = width - len(value) - 1
    name = name if len(name) <= room else name[: room - 1] + "…"
    return name + value.rjust(width - len(name))


def _strategy_table(strategies: Sequence[Mapping[str, Any]]) -> list[str]:
    header = ["Strategy", "Orders", "Fills", "Refused", "Fill ratio", "Maker", "Fees", "Profit"]
    rows = []
    for s in strategies:
        share = [NOTHING if s[k] is None else f"{100 * s[k]:.1f}%" for k in ("fill_ratio", "maker_share")]
        money = [NOTHING if s[k] is None else money_text(s[k]) for k in ("fees", "profit")]
        name = s["strategy"] if len(s["strategy"]) <= 30 else s["strategy"][:29] + "…"
        rows.append([name, f"{s['n_orders']:,}", f"{s['n_fills']:,}", f"{s['n_refused']:,}", *share, *money])
    return table_text(header, rows)
