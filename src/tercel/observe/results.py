"""Result: everything a finished run can tell, computed from its log when asked.

Lives here: the object that `backtest` and the live driver hand to users. Never here: how a column or statistic is
computed, what the page looks like. Called by `sim`, `live` and `cli`. Importing it is cheap: polars is loaded by the
first property that needs it.
"""

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tercel.errors import StorageError
from tercel.model.runlog import RunLog

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Group

__all__ = ["Result"]

FRAMES = ("orders", "fills", "equity", "positions", "refusals", "strategies", "instruments")


class Result:
    """A run's frames, statistics and report.

    >>> print(result)                # summary
    >>> result.fills                 # polars frames: orders, fills, equity, positions, refusals
    >>> result.stats["sharpe"]       # None where a statistic has no value
    >>> result.report("out.html")    # one self-contained page

    Columns are described in `frames`, statistics in docs/statistics.md. Frames are computed once, at first use.
    """

    def __init__(self, log: RunLog) -> None:
        self.log = log

    @cached_property
    def orders(self) -> pl.DataFrame:
        """One row for each order sent; columns in `frames.orders_frame`."""
        from tercel.observe.frames import orders_frame

        return orders_frame(self.log)

    @cached_property
    def fills(self) -> pl.DataFrame:
        """One row for each fill; columns in `frames.fills_frame`."""
        from tercel.observe.frames import fills_frame

        return fills_frame(self.log)

    @cached_property
    def equity(self) -> pl.DataFrame:
        """The account over time, in all and by instrument; columns in `frames.equity_frame`."""
        from tercel.observe.frames import equity_frame

        return equity_frame(self.log)

    @cached_property
    def positions(self) -> pl.DataFrame:
        """Sampled positions, mids and money by instrument; columns in `frames.positions_frame`."""
        from tercel.observe.frames import positions_frame

        return positions_frame(self.log)

    @cached_property
    def refusals(self) -> pl.DataFrame:
        """Requests refused by the gate or rejected by the venue; columns in `frames.refusals_frame`."""
        from tercel.observe.frames import refusals_frame

        return refusals_frame(self.log)

    @cached_property
    def strategies(self) -> pl.DataFrame:
        """One row for each strategy; columns in `statistics.by_strategy`."""
        from tercel.observe.statistics import by_strategy

        return by_strategy(self.log, self.orders, self.fills, self.refusals)

    @cached_property
    def instruments(self) -> pl.DataFrame:
        """One row for each instrument; columns in `statistics.by_instrument`."""
        from tercel.observe.statistics import by_instrument

        return by_instrument(self.log, self.orders, self.fills, self.refusals)

    @cached_property
    def stats(self) -> dict[str, float | int | None]:
        """Every statistic by key (`definitions.DEFINITIONS`); None where it has no value."""
        from tercel.observe.statistics import compute_statistics

        return compute_statistics(self.log, self.orders, self.fills, self.equity)

    @property
    def currency(self) -> str | None:
        """What money is counted in ("" when the instruments do not say); None when they settle in different ones."""
        from tercel.observe.columns import settlement_currency

        return settlement_currency(self.log)

    @cached_property
    def refusal_counts(self) -> list[tuple[str, str, int]]:
        """(who, reason name, count) of refused and rejected requests, most frequent first; who is gate or venue."""
        counts = (
            self.refusals.group_by("by", "reason").len().sort(["len", "by", "reason"], descending=[True, False, False])
        )
        return [(row[0], row[1], row[2]) for row in counts.iter_rows()]

    @property
    def title(self) -> str:
        """Strategy names, joined."""
        from tercel.observe.columns import strategy_labels

        return ", ".join(strategy_labels(self.log)) or "no strategy"

    @cached_property
    def facts(self) -> dict[str, str]:
        """What was run, as label and text: instruments, tape, period, rows, speed, money, then the log's meta."""
        from tercel.observe.columns import instrument_labels
        from tercel.observe.statistics import run_span_ns
        from tercel.observe.text import duration_text, money_text, time_text

        log = self.log
        start, end = run_span_ns(log)
        facts = {"Instruments": ", ".join(instrument_labels(log))}
        if end > start:
            facts["Period"] = f"{time_text(start)} to {time_text(end)} UTC ({duration_text(end - start)})"
        if log.n_rows:
            speed = ""
            if log.elapsed_s > 0:
                speed = f" in {duration_text(log.elapsed_s * 1e9)}, {log.elapsed_s * 1e9 / log.n_rows:,.1f} ns per row"
            facts["Market rows"] = f"{log.n_rows:,}{speed}"
        each = " each" if len(log.instruments) > 1 else ""
        facts["Initial equity"] = f"{money_text(log.initial_equity)} {self.currency or ''}".rstrip() + each
        facts["Risk statistics"] = f"equity every {duration_text(self.grid_step_ns)}, year of 365 days"
        facts |= {str(key).replace("_", " ").capitalize(): _plain_text(value) for key, value in log.meta.items()}
        return facts

    @property
    def grid_step_ns(self) -> int:
        """Step of the equity grid that risk statistics use, ns."""
        from tercel.observe.statistics import grid_step_ns

        return grid_step_ns(self.log)

    def __str__(self) -> str:
        from tercel.observe.text import summary_text

        refusals = [(f"{reason} ({who})", count) for who, reason, count in self.refusal_counts]
        rows = self.strategies.to_dicts()
        return summary_text(self.title, self.facts, self.stats, self.currency, refusals, rows)

    def __repr__(self) -> str:
        log = self.log
        return f"<Result of {self.title}: {len(log.commands):,} commands, {len(log.events):,} account events>"

    def __rich__(self) -> Group:
        """The summary as rich tables, for the command line."""
        from tercel.observe.console import summary_group

        return summary_group(self)

    def report(self, path: str | Path) -> Path:
        """Write the self-contained HTML report; returns where it is. StorageError when the disk refuses."""
        from tercel.observe.report import report_html

        return _write_whole(Path(path), report_html(self).encode())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for `--json`: facts, statistics with units, refusals, strategies and instruments."""
        from tercel.observe.columns import instrument_labels, strategy_labels
        from tercel.observe.definitions import DEFINITIONS
        from tercel.observe.statistics import run_span_ns

        log = self.log
        start, end = run_span_ns(log)
        return {
            "strategies": strategy_labels(log),
            "instruments": instrument_labels(log),
            "start_ns": start,
            "end_ns": end,
            "n_rows": log.n_rows,
            "elapsed_s": log.elapsed_s,
            "initial_equity": log.initial_equity,
            "currency": self.currency,
            "grid_step_ns": self.grid_step_ns,
            "stats": dict(self.stats),
            "units": {d.key: d.unit for d in DEFINITIONS},
            "refusals": [{"by": by, "reason": reason, "count": n} for by, reason, n in self.refusal_counts],
            "by_strategy": self.strategies.to_dicts(),
            "by_instrument": self.instruments.to_dicts(),
            "meta": _plain(log.meta),
        }

    def save(self, directory: str | Path) -> Path:
        """Write each frame as `<name>.parquet` and the summary as `summary.json` into a directory, made if absent.

        Files are replaced whole or not at all. Raises StorageError when the disk refuses.
        """
        import io
        import json

        target = Path(directory)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"cannot make the directory {target}: {error.strerror}; choose another") from error
        for name in FRAMES:
            buffer = io.BytesIO()
            getattr(self, name).write_parquet(buffer, compression="zstd")
            _write_whole(target / f"{name}.parquet", buffer.getvalue())
        _write_whole(target / "summary.json", json.dumps(self.to_dict(), indent=1, ensure_ascii=False).encode())
        return target


def _write_whole(path: Path, data: bytes) -> Path:
    """Write beside the target, then rename over it, so that no reader ever sees half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise StorageError(f"cannot write {path}: {error.strerror}; free some space or choose another place") from error
    return path


def _plain(value: Any) -> Any:
    """A value as JSON can hold it; what has no JSON form becomes its text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return _plain(value.item()) if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else str(value)


def _plain_text(value: Any) -> str:
    plain = _plain(value)
    if isinstance(plain, dict):
        return ", ".join(f"{key} {_plain_text(item)}" for key, item in plain.items())
    if isinstance(plain, list):
        return ", ".join(_plain_text(item) for item in plain)
    return "–" if plain is None else str(plain)
