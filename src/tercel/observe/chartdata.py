"""The numbers behind the report's charts: series reduced to a screenful, fills, histograms, and a sentence for each.

Lives here: what the page's script is given, as plain JSON values. Never here: HTML or statistics. Called by `report`.
Times are milliseconds since `origin_ms` (UTC epoch), to the microsecond; values keep ten significant digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tercel.model.instrument import Instrument
from tercel.observe.columns import instrument_labels
from tercel.observe.downsample import evenly, histogram, minmax_rows
from tercel.observe.statistics import run_span_ns
from tercel.observe.text import duration_text, money_text

if TYPE_CHECKING:
    from tercel.observe.results import Result

__all__ = ["POINTS_MAX", "chart_data"]

POINTS_MAX = 6_000  #: points kept of each series of the account, and of all instruments together
FILLS_MAX = 4_000  #: fill markers drawn, all instruments together


def chart_data(result: Result) -> dict[str, Any]:
    """Everything the page's script draws; see the module for units."""
    start, end = run_span_ns(result.log)
    origin = start // 1_000_000 * 1_000_000
    equity = result.equity
    ts = equity["time"].dt.timestamp("ns").to_numpy()
    value, unit = equity["equity"], result.currency or ""
    base = result.log.initial_equity * len(result.log.instruments)
    if result.currency is None:
        value, unit, base = equity["growth"] * 100, "% of start", 100.0
    reasons = sorted({name for name in result.fills["why"].to_list() if name})
    return {
        "origin_ms": origin // 1_000_000,
        "span": [_ms(start, origin), _ms(max(end, start + 1_000_000), origin)],
        "equity": {
            "unit": unit,
            "base": base,
            "label": _line_label("Equity", value, unit),
            **_series(ts, value, origin),
        },
        "drawdown": {
            "unit": "%",
            "label": _drawdown_label(equity["drawdown"]),
            **_series(ts, equity["drawdown"] * -100, origin),
        },
        "reasons": reasons,
        "instruments": _instruments(result, origin, reasons),
        "latency": _histogram(result, "entry_latency_ns", "Entry latency", "orders"),
        "queue": _histogram(result, "queue_wait_ns", "Queue wait", "orders"),
    }


def _instruments(result: Result, origin: int, reasons: list[str]) -> list[dict[str, Any]]:
    labels = instrument_labels(result.log)
    n_points = max(600, POINTS_MAX // max(1, len(labels)))
    kept = evenly(result.fills.height, FILLS_MAX)
    shown = result.fills[kept] if result.fills.height > FILLS_MAX else result.fills
    out = []
    for label, instrument in zip(labels, result.log.instruments):
        samples = result.positions.filter(pl.col("instrument") == label)
        priced = samples.filter(pl.col("mid").is_not_null())
        n_fills = int((result.fills["instrument"] == label).sum())
        out.append(
            {
                "name": label,
                "decimals": max(0, -int(instrument.tick_size.normalize().as_tuple().exponent)),
                "price_unit": instrument.quote,
                "size_unit": _size_unit(instrument),
                "price_label": _line_label("Mid price", priced["mid"], instrument.quote) + f" {n_fills:,} fills.",
                "position_label": _line_label("Position", samples["position"], _size_unit(instrument)),
                "mid": _series(priced["time"].dt.timestamp("ns").to_numpy(), priced["mid"], origin, n_points),
                "position": _series(
                    samples["time"].dt.timestamp("ns").to_numpy(), samples["position"], origin, n_points
                ),
                "n_fills": n_fills,
                "fills": _fills(shown.filter(pl.col("instrument") == label), origin, reasons),
            }
        )
    return out


def _size_unit(instrument: Instrument) -> str:
    return "contracts" if instrument.kind == "inverse" else instrument.base


def _series(ts: np.ndarray, values: pl.Series, origin: int, n_max: int = POINTS_MAX) -> dict[str, list[float]]:
    floats = values.cast(pl.Float64).to_numpy()
    rows = minmax_rows(ts, floats, n_max)
    return {"t": [_ms(int(t), origin) for t in ts[rows]], "v": [_short(v) for v in floats[rows].tolist()]}


def _fills(fills: pl.DataFrame, origin: int, reasons: list[str]) -> list[list[Any]]:
    """[time, price, quantity, side, 1 if maker, index of the reason] of each fill."""
    number = {name: i for i, name in enumerate(reasons)}
    ts = fills["time_recv"].dt.timestamp("ns").to_list()
    columns = fills.select("price", "quantity", "side", "liquidity", "why").iter_rows()
    return [
        [_ms(t, origin), p, q, 1 if side == "buy" else -1, int(liquidity == "maker"), number.get(why, -1)]
        for t, (p, q, side, liquidity, why) in zip(ts, columns)
    ]


def _histogram(result: Result, column: str, name: str, what: str) -> dict[str, Any]:
    values = result.orders[column].drop_nulls().cast(pl.Float64).to_numpy()
    edges, counts, log = histogram(values)
    if not len(values):
        return {"edges": [], "counts": [], "log": False, "marks": [], "label": f"{name}: no orders to show."}
    p50, p95 = np.quantile(values, [0.5, 0.95]).tolist()
    label = f"{name} of {len(values):,} {what}: median {duration_text(p50)}, 95th percentile {duration_text(p95)}."
    return {
        "edges": [_short(edge) for edge in edges.tolist()],
        "counts": counts.tolist(),
        "log": log,
        "marks": [["median", p50, duration_text(p50)], ["p95", p95, duration_text(p95)]],
        "label": label,
    }


def _line_label(name: str, values: pl.Series, unit: str) -> str:
    """One sentence that says what a chart shows to those who do not see it."""
    floats = values.drop_nulls().to_list()
    if not floats:
        return f"{name}: no samples."
    first, last, low, high = (money_text(v) for v in (floats[0], floats[-1], min(floats), max(floats)))
    return f"{name} from {first} to {last} {unit}, lowest {low}, highest {high}.".replace("  ", " ")


def _drawdown_label(values: pl.Series) -> str:
    worst = values.max() if len(values) else None
    return "Drawdown: no samples." if worst is None else f"Drawdown, deepest {100 * float(worst):.4g}%."  # type: ignore[arg-type]


def _ms(ts: int, origin: int) -> float:
    return round((ts - origin) / 1e6, 3)


def _short(value: float) -> float:
    return float(f"{value:.10g}")
