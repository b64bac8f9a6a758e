"""Writes the parts of the documents that are drawn from the code: tables of methods, handlers, reasons, commands.

A generated part stands between `<!-- generated:NAME -->` and `<!-- /generated -->`. Run `make docs` after a change; a
test fails when a part no longer says what the code says. The benchmark table of the README is filled from a file:
`tercel bench core --json > bench.json && python docs/generate.py --bench bench.json`, that of docs/live-figures.md from
`tercel bench live --json > live.json && python docs/generate.py --bench-live live.json`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parent.parent
_PART = re.compile(r"(<!-- generated:([a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)
_BENCH = re.compile(r"(<!-- bench:start -->\n).*?(<!-- bench:end -->)", re.DOTALL)


def _first_sentence(function: Any) -> str:
    return " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split()).replace("|", "\\|")


def _spelled(name: str, function: Any) -> str:
    """ctx.name(arguments), with defaults and without types."""
    function = getattr(function, "py_func", function)
    words = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}".replace("-inf", "AT_MARKET")
        words.append(parameter.name + default)
    return f"`ctx.{name}({', '.join(words)})`"


def context_methods() -> str:
    """Every method of ctx."""
    from tercel.strategy.context import METHODS

    lines = ["| method | what it does |", "|---|---|"]
    lines += [
        f"| {_spelled(name, function)} | {_first_sentence(getattr(function, 'py_func', function))} |"
        for name, function in METHODS.items()
    ]
    return "\n".join(lines)


def handlers() -> str:
    """Every handler and the fields of its event."""
    from tercel.jit import DERIVED
    from tercel.strategy.contract import HANDLERS

    grids = {"tick_num", "tick_den", "lot_num", "lot_den", "tick_den2"}
    lines = ["| handler | fields of the event: integers | floats |", "|---|---|---|"]
    for name, view in HANDLERS.items():
        if view is None:
            lines.append(f"| `{name}(self, ctx)` | | |")
            continue
        names = view.names or ()
        derived = [n for marker in names for n in DERIVED.get(marker, ())]
        fields = [(n, view[n].kind) for n in names if not n.startswith("_") and n not in grids]
        integers = ", ".join(f"`{n}`" for n, kind in fields if kind == "i")
        floats = ", ".join(f"`{n}`" for n in [n for n, kind in fields if kind == "f"] + derived)
        lines.append(f"| `{name}(self, ctx, event)` | {integers} | {floats} |")
    return "\n".join(lines)


def indicators() -> str:
    """Every indicator that may be a field of a strategy, and every function of the book's top."""
    import tercel.features as features

    lines = ["| name | update | what it is |", "|---|---|---|"]
    for name in features.__all__:
        thing = getattr(features, name)
        if name in ("State", "StateView"):
            continue
        if inspect.isclass(thing):
            update = getattr(thing, "update", None)
            arguments = ", ".join(list(inspect.signature(update).parameters)[1:]) if update else ""
            lines.append(f"| `tc.{name}` | `update({arguments})` | {_first_sentence(thing)} |")
        else:
            plain = getattr(thing, "py_func", thing)
            arguments = ", ".join(inspect.signature(plain).parameters)
            lines.append(f"| `tc.{name}({arguments})` | | {_first_sentence(plain)} |")
    return "\n".join(lines)


def reasons() -> str:
    """Every reason code."""
    from tercel.model.reasons import REASONS

    lines = ["| code | name | meaning |", "|---|---|---|"]
    lines += [f"| {code} | `{name}` | {text} |" for code, (name, text) in sorted(REASONS.items()) if code]
    return "\n".join(lines)


def venue_errors() -> str:
    """Every error code of Binance with its reason, and the words that say more than a code."""
    from tercel.model.reasons import REASONS
    from tercel.venues.binance.refusals import CODES, TEXTS, UNKNOWN_OUTCOME

    by_reason: dict[int, list[str]] = {}
    for code, reason in sorted(CODES.items(), reverse=True):
        by_reason.setdefault(reason, []).append(str(code))
    words: dict[int, list[str]] = {}
    for text, reason in TEXTS:
        words.setdefault(reason, []).append(f'"{text}"')
    lines = ["| reason | codes | words in the message of -1010, -1013, -2010, -2011 |", "|---|---|---|"]
    for reason in sorted({*by_reason, *words}):
        codes, texts = ", ".join(by_reason.get(reason, [])), ", ".join(words.get(reason, []))
        lines.append(f"| `{REASONS[reason][0]}` | {codes} | {texts} |")
    unknown = ", ".join(str(code) for code in sorted(UNKNOWN_OUTCOME, reverse=True))
    return "\n".join([*lines, f"| none: the order is in doubt | {unknown} | |"])


def commands() -> str:
    """Every command of the command line."""
    from tercel.cli.main import COMMANDS

    lines = ["| command | what it does |", "|---|---|"]
    lines += [f"| `tercel {name}` | {summary} |" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(lines)


def exit_codes() -> str:
    """Every exit code of the command line."""
    from tercel.cli.main import EXIT_CODES

    lines = ["| exit code | meaning |", "|---|---|"]
    return "\n".join([*lines, *(f"| {code} | {text} |" for code, text in EXIT_CODES.items())])


def capacities() -> str:
    """Every maximum of an engine with its default and what happens there, from the words of `Capacity`."""
    from tercel.config import Capacity

    text = inspect.getdoc(Capacity) or ""
    lines = ["| capacity | default | meaning, and what happens at the maximum |", "|---|---|---|"]
    for field in msgspec.structs.fields(Capacity):
        found = re.search(rf"^{field.name}: (.*?)(?=^\w+: |\Z)", text, re.DOTALL | re.MULTILINE)
        meaning = " ".join(found.group(1).split()) if found else ""
        lines.append(f"| `{field.name}` | {field.default:,} | {meaning} |")
    return "\n".join(lines)


def configuration() -> str:
    """Every key of a session's configuration, with its default."""
    from msgspec.structs import NODEFAULT, fields

    from tercel.live import settings

    tables = (
        ("[session]", settings.SessionSettings), ("[venues.NAME]", settings.VenueSettings),
        ("[[instruments]]", settings.InstrumentSettings), ("[[strategies]]", settings.StrategySettings),
        ("[[actors]]", settings.ActorSettings), ("[paper]", settings.PaperSettings),
    )  # fmt: skip
    lines = []
    for name, table in tables:
        words = " ".join((inspect.getdoc(table) or "").split())
        lines += [f"`{name}`: {words}", "", "| key | default |", "|---|---|"]
        for field in fields(table):
            factory = field.default_factory
            default = field.default if factory is NODEFAULT else factory()
            shown = "needed" if default is NODEFAULT else f"`{json.dumps(default)}`" if default is not None else "none"
            lines.append(f"| `{field.name}` | {shown} |")
        lines.append("")
    return "\n".join(lines).rstrip()


PARTS: dict[str, Callable[[], str]] = {
    "context-methods": context_methods,
    "handlers": handlers,
    "indicators": indicators,
    "reasons": reasons,
    "venue-errors": venue_errors,
    "commands": commands,
    "exit-codes": exit_codes,
    "capacities": capacities,
    "configuration": configuration,
}


def filled(text: str) -> str:
    """A document with every generated part written anew."""
    return _PART.sub(lambda m: f"{m.group(1)}{PARTS[m.group(2)]()}\n{m.group(3)}", text)


def documents() -> list[Path]:
    """The documents that have generated parts."""
    found = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]
    return [path for path in found if _PART.search(path.read_text(encoding="utf-8"))]


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def bench_table(rows: list[dict[str, Any]]) -> str:
    """The README's table, from what `tercel bench --json` printed."""
    titles = ("question", "ours", "peer's", "unit", "ratio", "same results", "to reach", "peer")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in rows:
        same = {True: "yes", False: "no", None: ""}[row.get("same_results")]
        ratio = f"{row['ratio']:.3g}" if row.get("ratio") is not None else ""
        words = [row["question"], _figure(row["ours"]), _figure(row["theirs"]), row["unit"], ratio, same]
        lines.append("| " + " | ".join([*words, row.get("reach") or "", row.get("peer") or ""]) + " |")
    return "\n".join(lines)


def live_table(rows: list[dict[str, Any]]) -> str:
    """The table of docs/live-figures.md, from what `tercel bench live --json` printed."""
    titles = ("question", "ours", "peer's", "unit", "to reach", "reached", "what was measured")
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    for row in rows:
        reached = {True: "yes", False: "no", None: ""}[row.get("reached")]
        peer = f"{_figure(row['theirs'])} ({row['peer']})" if row["theirs"] is not None else ""
        words = [row["question"], _figure(row["ours"]), peer, row["unit"], row.get("reach") or "", reached, row["note"]]
        lines.append("| " + " | ".join(words) + " |")
    return "\n".join(lines)


def _put(path: Path, table: str) -> None:
    """Replace what stands between the marks of a benchmark table."""
    text = path.read_text(encoding="utf-8")
    path.write_text(_BENCH.sub(lambda m: f"{m.group(1)}{table}\n{m.group(2)}", text), encoding="utf-8")


def main() -> int:
    """Write every part, or with --check only say whether anything would change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 when something is stale")
    parser.add_argument("--bench", type=Path, metavar="FILE.json", help="fill the README's benchmark table from this")
    parser.add_argument("--bench-live", type=Path, metavar="FILE.json", help="fill docs/live-figures.md from this")
    options = parser.parse_args()
    stale = []
    for path in documents():
        text = path.read_text(encoding="utf-8")
        new = filled(text)
        if new != text:
            stale.append(str(path.relative_to(ROOT)))
            if not options.check:
                path.write_text(new, encoding="utf-8")
    if options.bench is not None:
        _put(ROOT / "README.md", bench_table(json.loads(options.bench.read_text(encoding="utf-8"))))
    if options.bench_live is not None:
        _put(ROOT / "docs" / "live-figures.md", live_table(json.loads(options.bench_live.read_text(encoding="utf-8"))))
    if stale:
        print(("stale: " if options.check else "written: ") + ", ".join(stale))
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
