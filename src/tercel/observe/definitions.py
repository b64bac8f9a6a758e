"""What each statistic means: name, formula in words and unit, written once.

Lives here: the definitions as data. Never here: the computation (`statistics`). The printed summary, the HTML report
and docs/statistics.md all read this table.
"""

from __future__ import annotations

import msgspec

__all__ = ["DEFINITIONS", "Definition", "definition", "definitions_markdown"]


class Definition(msgspec.Struct, frozen=True):
    """One statistic. key: its name in `Result.stats`. unit: "share" (printed as percent), "ratio", "count", "money"
    (settlement currency), "ticks" or "ns" (printed as a duration)."""

    key: str
    name: str
    group: str
    unit: str
    formula: str


_P, _R, _T, _O, _X = "Performance", "Risk", "Trades", "Orders and fills", "Execution"

DEFINITIONS: tuple[Definition, ...] = (
    Definition(
        "profit", "Net profit", _P, "money",
        "Last equity sample less initial equity: after fees and funding, open positions valued at the mid.",
    ),
    Definition(
        "total_return", "Return", _P, "share",
        "Net profit over initial equity. Instruments that settle in different currencies: the mean of their "
        "returns.",
    ),
    Definition(
        "annual_return", "Annualised return", _P, "share",
        "Return times 365 days over the length of the run: simple, not compounded.",
    ),
    Definition(
        "volatility", "Annualised volatility", _R, "share",
        "Standard deviation (n - 1) of the returns between grid points, times the square root of the grid steps "
        "in 365 days.",
    ),
    Definition(
        "sharpe", "Sharpe ratio", _R, "ratio",
        "Mean over standard deviation (n - 1) of the returns between grid points, times the square root of the "
        "grid steps in 365 days. No risk-free rate is subtracted.",
    ),
    Definition(
        "sortino", "Sortino ratio", _R, "ratio",
        "Mean return between grid points over the root mean square of the negative ones (the others counting as "
        "0), times the square root of the grid steps in 365 days.",
    ),
    Definition(
        "calmar", "Calmar ratio", _R, "ratio",
        "Annualised return over maximum drawdown.",
    ),
    Definition(
        "max_drawdown", "Maximum drawdown", _R, "share",
        "Largest fall of equity from its highest so far (initial equity included), over that highest; from "
        "every sample, not only grid points.",
    ),
    Definition(
        "max_drawdown_ns", "Longest drawdown", _R, "ns",
        "Longest time from a highest equity until it is reached again, or until the run ends.",
    ),
    Definition(
        "time_in_market", "Time in market", _R, "share",
        "Share of the run, in local time, during which any instrument's position was not zero.",
    ),
    Definition(
        "n_trades", "Trades", _T, "count",
        "Fills that reduced a position. Each closes the oldest open lots first, for each strategy and "
        "instrument.",
    ),
    Definition(
        "win_rate", "Win rate", _T, "share",
        "Trades with a profit above zero, after the fees of both legs, over all trades.",
    ),
    Definition(
        "profit_factor", "Profit factor", _T, "ratio",
        "Sum of the profits of winning trades over the sum of the losses of losing ones.",
    ),
    Definition(
        "trade_mean", "Mean trade", _T, "money",
        "Mean profit of a trade, after the fees of both legs.",
    ),
    Definition(
        "holding_mean_ns", "Mean holding time", _T, "ns",
        "Mean, over trades, of the time between entry and exit fill, weighted by lots within a trade.",
    ),
    Definition(
        "n_orders", "Orders sent", _O, "count",
        "New orders that passed the risk gate.",
    ),
    Definition(
        "n_fills", "Fills", _O, "count",
        "Executions, each partial fill counted.",
    ),
    Definition(
        "fill_ratio", "Fill ratio", _O, "share",
        "Orders with at least one fill over orders sent.",
    ),
    Definition(
        "maker_share", "Maker share", _O, "share",
        "Notional of fills that rested over notional of all fills.",
    ),
    Definition(
        "n_refused", "Refused by the gate", _O, "count",
        "Requests the risk gate refused; they never left.",
    ),
    Definition(
        "n_rejected", "Rejected by the venue", _O, "count",
        "New orders, amendments and cancels the venue rejected.",
    ),
    Definition(
        "volume", "Volume", _O, "money",
        "Sum of the notional of all fills.",
    ),
    Definition(
        "turnover", "Turnover", _O, "ratio",
        "Notional of each fill over initial equity, summed; the mean over instruments.",
    ),
    Definition(
        "fees", "Fees paid", _O, "money",
        "Sum of the fees of all fills; a rebate counts negative.",
    ),
    Definition(
        "funding", "Funding received", _O, "money",
        "Sum over instruments of funding received less paid, at the last sample.",
    ),
    Definition(
        "slippage_ticks", "Taker slippage", _X, "ticks",
        "Mean over taker fills, weighted by notional, of how much worse the fill price is than the last sampled "
        "mid when the order was sent.",
    ),
    Definition(
        "edge_ticks", "Maker edge", _X, "ticks",
        "Mean over maker fills, weighted by notional, of how much better the fill price is than the last "
        "sampled mid when the order was sent.",
    ),
    Definition(
        "entry_latency_p50_ns", "Entry latency, median", _X, "ns",
        "Median over orders of the venue time of its first answer less the local time of sending.",
    ),
    Definition(
        "entry_latency_p95_ns", "Entry latency, 95th percentile", _X, "ns",
        "95th percentile, interpolated, of the same.",
    ),
    Definition(
        "round_trip_p50_ns", "Round trip, median", _X, "ns",
        "Median over orders of the local receipt of its first answer less the local time of sending.",
    ),
    Definition(
        "round_trip_p95_ns", "Round trip, 95th percentile", _X, "ns",
        "95th percentile, interpolated, of the same.",
    ),
    Definition(
        "queue_wait_p50_ns", "Queue wait, median", _X, "ns",
        "Median, over limit and iceberg orders with a maker fill, of the venue time at rest (since "
        "acknowledgement or the last amendment) until the first one.",
    ),
    Definition(
        "queue_wait_p95_ns", "Queue wait, 95th percentile", _X, "ns",
        "95th percentile, interpolated, of the same.",
    ),
)  # fmt: skip

_BY_KEY = {d.key: d for d in DEFINITIONS}

SAMPLING = (
    "Risk statistics compare equity at the points of a regular grid that starts with the run; at each point the latest "
    "sample counts, before the first one initial equity. The grid's step is the longest of one day, one hour, one "
    "minute and one second that fits at least 30 times into the run (one second if none does), and never finer than "
    "the median distance between samples. A year is 365 days of 24 hours: these markets do not close."
)

EDGE_CASES = (
    "A statistic that has no value is empty (null in JSON), never infinite or not-a-number: no fills, no trades, no "
    "losses to divide by, no drawdown, no initial equity, equity that never moves, fewer than two grid returns, equity "
    "at or below zero. Money is empty where instruments settle in different currencies; the table by instrument has "
    "each in its own."
)


def definition(key: str) -> Definition:
    """The definition of one statistic; KeyError names a key that does not exist."""
    return _BY_KEY[key]


def definitions_markdown() -> str:
    """The page docs/statistics.md, whole."""
    lines = [
        "# Statistics",
        "",
        "Every number of the summary, the report and `result.stats`, with what it means. This page is written by",
        "`tercel.observe.definitions.definitions_markdown`; a test holds it to the code.",
        "",
        SAMPLING,
        "",
        EDGE_CASES,
    ]
    for group in dict.fromkeys(d.group for d in DEFINITIONS):
        lines += ["", f"## {group}", "", "| statistic | key | unit | definition |", "|---|---|---|---|"]
        lines += [f"| {d.name} | `{d.key}` | {d.unit} | {d.formula} |" for d in DEFINITIONS if d.group == group]
    return "\n".join(lines) + "\n"
