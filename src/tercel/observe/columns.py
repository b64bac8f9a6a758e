"""Columns: how the int64 fields of rows become columns in human units.

Lives here: grids to floats, codes to names, times to datetimes, and the joins from an event to its order. Never here:
what a table holds (`frames`). Called by the rest of `observe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from tercel.model.events import BUY, SELL
from tercel.model.instrument import Instrument
from tercel.model.reasons import reason_name
from tercel.model.runlog import RunLog

__all__ = [
    "ABSENT", "SIDE", "average_weights", "coded", "distinct_labels", "elapsed", "first_rows", "floats", "in_steps",
    "instrument_labels", "integers", "is_inverse", "last_rows", "mapped", "mark_prices", "named", "notionals",
    "order_index", "per_instrument", "prices", "quantities", "reasons", "scaled", "settlement_currency", "sides",
    "strategy_labels", "taken", "times",
]  # fmt: skip

ABSENT = np.iinfo(np.int64).min  #: stands for "no such time" in int64 columns until they become null

SIDE = pl.Enum(["buy", "sell"])


def instrument_labels(log: RunLog) -> list[str]:
    """One distinct name for each instrument: its symbol, with the venue and then the index where symbols repeat."""
    return distinct_labels(log.instruments)


def distinct_labels(instruments: Sequence[Instrument]) -> list[str]:
    """One distinct name for each instrument, see `instrument_labels`."""
    return _distinct([i.symbol for i in instruments], [f"{i.venue}:{i.symbol}" for i in instruments])


def strategy_labels(log: RunLog) -> list[str]:
    """One distinct name for each strategy: its own, with the index where names repeat."""
    return _distinct(list(log.strategies), list(log.strategies))


def settlement_currency(log: RunLog) -> str | None:
    """The currency all instruments settle in ("" when unnamed); None when they differ, and money must not be summed."""
    found = {i.settlement for i in log.instruments}
    return None if len(found) > 1 else next(iter(found), "")


def prices(log: RunLog, instrument: np.ndarray, ticks: np.ndarray) -> np.ndarray:
    """(n,) float64 prices of (n,) int64 ticks, each rounded to the decimals of its instrument's tick."""
    return scaled(instrument, ticks, [i.tick_size for i in log.instruments])


def quantities(log: RunLog, instrument: np.ndarray, lots: np.ndarray) -> np.ndarray:
    """(n,) float64 quantities of (n,) int64 lots, each rounded to the decimals of its instrument's lot."""
    return scaled(instrument, lots, [i.lot_size for i in log.instruments])


def notionals(log: RunLog, instrument: np.ndarray, price: np.ndarray, quantity: np.ndarray) -> np.ndarray:
    """(n,) float64 value in settlement currency: price times quantity times contract value; inverse: over price."""
    value = per_instrument(log.instruments, "contract_value")[instrument]
    inverse = np.array([i.kind == "inverse" for i in log.instruments], bool)[instrument]
    with np.errstate(divide="ignore", invalid="ignore"):
        worth: np.ndarray = np.where(inverse, quantity * value / price, price * quantity * value)
    return worth


def mark_prices(log: RunLog, instrument: np.ndarray, ts: np.ndarray) -> np.ndarray:
    """(n,) float64 mid of each instrument in the last sample at or before `ts`; NaN before the first price."""
    out = np.full(len(ts), np.nan)
    for i in range(len(log.instruments)):
        samples = log.samples[(log.samples["instrument"] == i) & (log.samples["mid"] > 0)]
        rows = np.flatnonzero(instrument == i)
        at = np.searchsorted(samples["ts"], ts[rows], side="right") - 1
        out[rows[at >= 0]] = samples["mid"][at[at >= 0]]
    return out


def order_index(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(n,) int64 position in `ids` of each wanted order id; -1 for ids that no NEW command of this log carries."""
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    by_id = np.argsort(ids, kind="stable")
    at = np.minimum(np.searchsorted(ids[by_id], wanted), len(ids) - 1)
    return np.where(ids[by_id][at] == wanted, by_id[at], -1)


def first_rows(keys: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """(n,) int64 first of the ascending `rows` of each key; -1 for a key without."""
    out = np.full(n, -1, np.int64)
    out[keys[::-1]] = rows[::-1]
    return out


def last_rows(keys: np.ndarray, rows: np.ndarray, n: int) -> np.ndarray:
    """(n,) int64 last of the ascending `rows` of each key; -1 for a key without."""
    out = np.full(n, -1, np.int64)
    out[keys] = rows
    return out


def taken(values: np.ndarray, at: np.ndarray, absent: int) -> np.ndarray:
    """(n,) int64 `values[at]`, `absent` where at is negative."""
    out = np.full(len(at), absent, np.int64)
    out[at >= 0] = values[at[at >= 0]]
    return out


def average_weights(log: RunLog, instrument: np.ndarray, price: np.ndarray, quantity: np.ndarray) -> np.ndarray:
    """What an average price is made of: price times quantity, or quantity over price for inverse contracts."""
    return np.where(is_inverse(log, instrument), quantity / np.where(price > 0, price, 1.0), price * quantity)


def is_inverse(log: RunLog, instrument: np.ndarray) -> np.ndarray:
    """(n,) bool: whether each row's instrument is an inverse contract."""
    kinds: np.ndarray = np.array([i.kind == "inverse" for i in log.instruments], bool)
    picked: np.ndarray = kinds[instrument]
    return picked


def per_instrument(instruments: Sequence[Instrument], name: str) -> np.ndarray:
    """(n_instruments,) float64 of one attribute."""
    return np.array([float(getattr(i, name)) for i in instruments], np.float64)


def scaled(instrument: np.ndarray, counts: np.ndarray, steps: Sequence[Any]) -> np.ndarray:
    """(n,) float64: counts times the Decimal step of each row's instrument, rounded to the decimals of that step."""
    if len(steps) == 1 and not instrument.any():
        return in_steps(counts, steps[0])
    out = np.zeros(len(counts), np.float64)
    for i, step in enumerate(steps):
        mine = instrument == i
        out[mine] = in_steps(counts[mine], step)
    return out


def in_steps(counts: np.ndarray, step: Any) -> np.ndarray:
    """(n,) float64: counts times a Decimal step, each the float nearest to the exact product."""
    units, scale = _fraction(step)
    # A whole number over a power of ten needs no rounding.
    exact: np.ndarray = counts * units / scale if units != 1.0 else counts / scale
    return exact


@lru_cache(maxsize=1024)
def _fraction(step: Any) -> tuple[float, float]:
    """A Decimal step as a whole number over a power of ten."""
    decimals = max(0, -int(step.normalize().as_tuple().exponent))
    return float(step.scaleb(decimals)), 10.0**decimals


def _distinct(short: list[str], long: list[str]) -> list[str]:
    names = [s if short.count(s) == 1 else w for s, w in zip(short, long)]
    return [n if names.count(n) == 1 else f"{n}#{i}" for i, n in enumerate(names)]


def times(ts: np.ndarray) -> pl.Series:
    """int64 ns since the epoch as UTC datetimes; ABSENT becomes null."""
    return integers(ts).cast(pl.Datetime("ns")).dt.replace_time_zone("UTC")


def integers(values: np.ndarray) -> pl.Series:
    """int64 as a column; ABSENT becomes null."""
    column = pl.Series(np.ascontiguousarray(values, np.int64))
    return column.set(column == ABSENT, None)


def elapsed(later: np.ndarray, earlier: np.ndarray) -> pl.Series:
    """`later - earlier` as an int64 column; null where later is ABSENT."""
    return integers(np.where(later == ABSENT, ABSENT, later - np.where(later == ABSENT, 0, earlier)))


def floats(values: np.ndarray) -> pl.Series:
    """float64 as a column; NaN becomes null."""
    return pl.Series(np.ascontiguousarray(values, np.float64), nan_to_null=True)


def sides(side: np.ndarray) -> pl.Series:
    """1 and -1 as buy and sell; anything else becomes null."""
    return coded(side, {BUY: "buy", SELL: "sell"}, SIDE)


def coded(codes: np.ndarray, names: dict[int, str], dtype: pl.Enum) -> pl.Series:
    """Codes as an Enum column; a code without a name becomes null."""
    return mapped(codes, names.get).cast(dtype)


def named(index: np.ndarray, names: list[str], what: str) -> pl.Series:
    """Indexes as names; an index without a name says so instead of failing."""
    return mapped(index, lambda i: names[i] if 0 <= i < len(names) else f"{what} {i}")


def reasons(codes: np.ndarray) -> pl.Series:
    """Reason codes as their short names; a negative code becomes null."""
    return mapped(codes, lambda code: None if code < 0 else reason_name(code))


def mapped(codes: np.ndarray, name: Any) -> pl.Series:
    """A text column; `name` is asked once for each distinct code."""
    distinct, at = np.unique(codes, return_inverse=True)
    return pl.Series([name(int(code)) for code in distinct], dtype=pl.String).gather(at)
