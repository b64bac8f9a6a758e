"""The summary of a result for a terminal, as rich renderables.

Lives here: layout and colour. Never here: computing. Called by `Result.__rich__`, so `console.print(result)` works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tercel.observe.definitions import DEFINITIONS
from tercel.observe.text import NOTHING, money_text, value_text

if TYPE_CHECKING:
    from tercel.observe.results import Result

__all__ = ["summary_group"]

_SIGNED = {
    "profit",
    "total_return",
    "annual_return",
    "sharpe",
    "sortino",
    "calmar",
    "trade_mean",
    "funding",
    "edge_ticks",
}


def summary_group(result: Result) -> Group:
    """Facts, statistics in columns, refusals and strategies; user text is never read as markup."""
    facts = Table.grid(padding=(0, 2))
    for name, value in result.facts.items():
        facts.add_row(Text(name, "dim"), Text(value, overflow="ellipsis", no_wrap=True))
    left = Group(*(_group(result, g) for g in ("Performance", "Risk", "Trades")))
    right = Group(*(_group(result, g) for g in ("Orders and fills", "Execution")))
    parts: list[RenderableType] = [Text(result.title, "bold"), facts, Columns([left, right], padding=(0, 2))]
    if result.refusal_counts:
        parts.append(_refusals(result))
    if result.strategies.height > 1:
        parts.append(_strategies(result))
    return Group(*parts)


def _group(result: Result, group: str) -> Table:
    table = Table(
        title=Text(group, "bold"), title_justify="left", show_header=False, box=None, min_width=46, padding=(0, 1)
    )
    table.add_column()
    table.add_column(justify="right")
    for d in DEFINITIONS:
        if d.group == group:
            value = result.stats[d.key]
            style = "" if d.key not in _SIGNED or not value else "green" if value > 0 else "red"
            table.add_row(
                Text(d.name), Text(value_text(d, value, result.currency), style or ("dim" if value is None else ""))
            )
    return table


def _refusals(result: Result) -> Table:
    table = Table(
        title=Text("Refused and rejected", "bold"), title_justify="left", show_header=False, box=None, padding=(0, 1)
    )
    for who, reason, count in result.refusal_counts:
        table.add_row(Text(reason), Text(f"by the {who}", "dim"), Text(f"{count:,}", justify="right"))
    return table


def _strategies(result: Result) -> Table:
    table = Table(title=Text("By strategy", "bold"), title_justify="left", box=None, padding=(0, 1))
    for i, name in enumerate(("Strategy", "Orders", "Fills", "Refused", "Fill ratio", "Maker", "Fees", "Profit")):
        table.add_column(name, justify="right" if i else "left")
    for s in result.strategies.to_dicts():
        shares = [NOTHING if s[k] is None else f"{100 * s[k]:.1f}%" for k in ("fill_ratio", "maker_share")]
        money = [NOTHING if s[k] is None else money_text(s[k]) for k in ("fees", "profit")]
        counts = [f"{s[k]:,}" for k in ("n_orders", "n_fills", "n_refused")]
        table.add_row(Text(s["strategy"]), *(Text(t) for t in (*counts, *shares, *money)))
    return table
