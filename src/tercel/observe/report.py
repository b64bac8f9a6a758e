"""The HTML report: one self-contained page with everything a run has to show.

Lives here: what goes on the page and in which order. The page's look and its charts are in `page/` (HTML frame, CSS,
JavaScript, all inlined; nothing is fetched). Never here: computing. Called by `Result.report`. All text that comes
from users, tapes or strategies is escaped; charts get their data as JSON that cannot end its element.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import polars as pl

from tercel.model.reasons import REASONS
from tercel.observe.chartdata import chart_data
from tercel.observe.columns import instrument_labels
from tercel.observe.definitions import DEFINITIONS, EDGE_CASES, SAMPLING, definition
from tercel.observe.text import NOTHING, duration_text, money_text, number_text, value_text

if TYPE_CHECKING:
    from tercel.observe.results import Result

__all__ = ["report_html"]

_FILLS_SHOWN = 25
_TILES = ("profit", "total_return", "sharpe", "max_drawdown", "n_fills", "maker_share", "fees")
_GOOD_WHEN_POSITIVE = {
    "profit",
    "total_return",
    "annual_return",
    "sharpe",
    "sortino",
    "calmar",
    "trade_mean",
    "edge_ticks",
}
#: Groups of statistics by column, so that the three are about equally long.
_COLUMNS = (("Performance", "Risk"), ("Trades", "Execution"), ("Orders and fills",))
_SHORT_RUN_NS = 86_400_000_000_000
_TEXT_OF_REASON = dict(REASONS.values())


def report_html(result: Result) -> str:
    """The whole page as text; a few hundred kilobytes at most, whatever the length of the run."""
    page = files("tercel.observe") / "page"
    style, script = ((page / name).read_text("utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = json.dumps(chart_data(result), separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return Template((page / "page.html").read_text("utf-8")).substitute(
        title=escape(result.title),
        style=style,
        script=script,
        script_digest=digest,
        data=data.replace("<", "\\u003c").replace("&", "\\u0026"),
        instruments=escape(result.facts.get("Instruments", "")),
        period=escape(result.facts.get("Period", "no time passed")),
        facts=_facts(result),
        tiles=_tiles(result),
        caution=_caution(result),
        statistics=_statistics(result),
        tables=_breakdowns(result),
        refusals=_refusals(result),
        fills=_fills(result),
        definitions=_definitions(),
        sampling=escape(SAMPLING),
        edge_cases=escape(EDGE_CASES),
    )


def _facts(result: Result) -> str:
    shown = {k: v for k, v in result.facts.items() if k not in ("Instruments", "Period")}
    return "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in shown.items())


def _tiles(result: Result) -> str:
    tiles = []
    for key in _TILES:
        d, value = definition(key), result.stats[key]
        tiles.append(
            f'<div class="tile"><dt>{escape(d.name)}</dt>'
            f'<dd class="{_tone(key, value)}">{_number(value_text(d, value, result.currency))}</dd></div>'
        )
    return "".join(tiles)


def _caution(result: Result) -> str:
    """A plain word where annualised figures stand on less than a day."""
    from tercel.observe.statistics import run_span_ns

    start, end = run_span_ns(result.log)
    if end - start >= _SHORT_RUN_NS or result.stats["annual_return"] is None:
        return ""
    return (
        f'<p class="note">This run spans {escape(duration_text(end - start))}. Annualised figures (return, volatility, '
        "Sharpe, Sortino, Calmar) stretch it to a year: use them to compare runs of this length, "
        "not as a forecast.</p>"
    )


def _statistics(result: Result) -> str:
    columns = []
    for groups in _COLUMNS:
        sections = []
        for group in groups:
            rows = "".join(_statistic(result, d.key) for d in DEFINITIONS if d.group == group)
            sections.append(f'<section class="group"><h3>{escape(group)}</h3><dl>{rows}</dl></section>')
        columns.append(f"<div>{''.join(sections)}</div>")
    return "".join(columns)


def _statistic(result: Result, key: str) -> str:
    d, value = definition(key), result.stats[key]
    return (
        f'<div class="stat"><dt><button type="button" class="term" aria-describedby="def-{key}">'
        f"{escape(d.name)}</button>"
        f'<span role="tooltip" class="tip" id="def-{key}">{escape(d.formula)}</span></dt>'
        f'<dd class="{_tone(key, value)}">{_number(value_text(d, value, result.currency))}</dd></div>'
    )


def _number(text: str) -> str:
    """Escaped text of a number, with a true minus sign."""
    return escape("−" + text[1:] if text.startswith("-") else text)


def _tone(key: str, value: float | int | None) -> str:
    if value is None:
        return "none"
    return "" if key not in _GOOD_WHEN_POSITIVE or value == 0 else "up" if value > 0 else "down"


def _breakdowns(result: Result) -> str:
    """Tables by strategy and by instrument, each only where there is more than one."""
    head = ("Orders", "Fills", "Refused", "Fill ratio", "Maker share", "Volume", "Fees", "Profit", "Trades", "Win rate")
    parts = []
    for what, frame in (("strategy", result.strategies), ("instrument", result.instruments)):
        if frame.height > 1:
            rows = [(row[what], *_breakdown_row(row)) for row in frame.to_dicts()]
            table = _table((what.capitalize(), *head), rows, f"Orders, fills and profit by {what}")
            parts.append(f'<section class="panel"><h2>By {what}</h2>{table}</section>')
    return "".join(parts)


def _breakdown_row(row: dict[str, Any]) -> list[str]:
    def money(name: str) -> str:
        return NOTHING if row[name] is None else f"{money_text(row[name])} {row.get('currency') or ''}".rstrip()

    def share(name: str) -> str:
        return NOTHING if row[name] is None else f"{100 * row[name]:.1f}%"

    counts = [f"{row[name]:,}" for name in ("n_orders", "n_fills", "n_refused")]
    shares = [share("fill_ratio"), share("maker_share")]
    return [
        *counts,
        *shares,
        money("volume"),
        money("fees"),
        money("profit"),
        f"{row['n_trades']:,}",
        share("win_rate"),
    ]


def _refusals(result: Result) -> str:
    counts = result.refusal_counts
    if not counts:
        return (
            '<p class="empty">Every request got through: nothing was refused by the gate or rejected by the venue.</p>'
        )
    top = max(n for _, _, n in counts)
    rows = []
    for by, reason, n in counts:
        bar = (
            f'<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
            f'<rect class="{by}" width="{100 * n / top:.2f}" height="8"></rect></svg>'
        )
        text = _TEXT_OF_REASON.get(reason, "")
        rows.append(
            f'<tr><th scope="row"><code>{escape(reason)}</code><small>{escape(text)}</small></th>'
            f'<td class="left">{by}</td><td class="wide">{bar}</td><td>{n:,}</td></tr>'
        )
    head = (
        '<th scope="col">Reason</th><th scope="col" class="left">By</th><th scope="col"></th><th scope="col">Count</th>'
    )
    return (
        '<div class="scroll"><table class="refusals">'
        '<caption class="unseen">Requests refused or rejected, by reason</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _fills(result: Result) -> str:
    fills = result.fills
    if not fills.height:
        return '<p class="empty">No order filled in this run, so there is nothing to list.</p>'
    if fills.height <= 2 * _FILLS_SHOWN:
        return _fills_table(result, fills, f"All {fills.height:,} fills" if fills.height > 1 else "The one fill")
    first = _fills_table(result, fills.head(_FILLS_SHOWN), f"First {_FILLS_SHOWN} of {fills.height:,} fills")
    last = _fills_table(result, fills.tail(_FILLS_SHOWN), f"Last {_FILLS_SHOWN} of {fills.height:,} fills")
    return first + last


def _fills_table(result: Result, fills: pl.DataFrame, caption: str) -> str:
    several = result.strategies.height > 1, result.instruments.height > 1
    head = ["Received, UTC"] + [name for name, on in zip(("Strategy", "Instrument"), several) if on]
    n_left = len(head)
    head += [
        "Order",
        "Side",
        "Price",
        "Quantity",
        "Notional",
        "Fee",
        "Liquidity",
        "Why",
        "Position after",
        "Slippage, ticks",
    ]
    decimals = {
        label: max(0, -int(i.lot_size.normalize().as_tuple().exponent))
        for label, i in zip(instrument_labels(result.log), result.log.instruments)
    }
    times = fills["time_recv"].dt.strftime("%Y-%m-%d %H:%M:%S%.6f").to_list()
    rows = []
    for time, row in zip(times, fills.to_dicts()):
        names = [row[name] for name, on in zip(("strategy", "instrument"), several) if on]
        places = decimals.get(row["instrument"], 0)
        slippage = NOTHING if row["slippage_ticks"] is None else number_text(row["slippage_ticks"], 1)
        amounts = [
            f"{row['price']:,}",
            number_text(row["quantity"], places),
            money_text(row["notional"]),
            money_text(row["fee"]),
        ]
        tail = [row["liquidity"], row["why"] or NOTHING, number_text(row["position"], places), slippage]
        rows.append([time, *names, str(row["order_id"]), row["side"] or NOTHING, *amounts, *tail])
    return _table(head, rows, caption, n_left, {"buy": "buy", "sell": "sell"})


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str,
    n_left: int = 1,
    tones: dict[str, str] | None = None,
) -> str:
    """An accessible table that scrolls sideways on its own; the first `n_left` columns are set left."""

    def cell(i: int, text: str) -> str:
        names = [*(["left"] if i < n_left else []), *([tones[text]] if tones and text in tones else [])]
        shown = escape(text) if i < n_left else _number(text)
        return f'<td class="{" ".join(names)}">{shown}</td>' if names else f"<td>{shown}</td>"

    top = "".join(f'<th scope="col"{" class=left" if i < n_left else ""}>{escape(h)}</th>' for i, h in enumerate(head))
    body = "".join(f"<tr>{''.join(cell(i, t) for i, t in enumerate(row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _definitions() -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(d.name)}</th><td class="left"><code>{d.key}</code></td>'
        f'<td class="left prose">{escape(d.formula)}</td></tr>'
        for d in DEFINITIONS
    )
    head = "".join(f'<th scope="col" class="left">{name}</th>' for name in ("Statistic", "Key", "Definition"))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
