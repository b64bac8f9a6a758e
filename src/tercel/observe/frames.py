"""Frames: the rows of a run log as polars tables in human units.

Lives here: the shape of every table a result offers, and how each column follows from COMMAND, EVENT and SAMPLE rows.
Never here: statistics, text, HTML. Called by `results`, `statistics` and `report`. Prices, quantities and money are
float64 (exact integers stay in the log); times are UTC datetimes with nanoseconds; durations are int64 `_ns` columns,
null where they do not apply.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from tercel.model import commands as c
from tercel.model import events as e
from tercel.model.reasons import reason_text
from tercel.model.runlog import RunLog
from tercel.observe.columns import (
    ABSENT,
    average_weights,
    coded,
    elapsed,
    first_rows,
    floats,
    instrument_labels,
    integers,
    is_inverse,
    last_rows,
    mapped,
    mark_prices,
    named,
    notionals,
    order_index,
    per_instrument,
    prices,
    quantities,
    reasons,
    settlement_currency,
    sides,
    strategy_labels,
    taken,
    times,
)  # fmt: skip

__all__ = ["equity_frame", "fills_frame", "orders_frame", "positions_frame", "refusals_frame"]

_TYPE = pl.Enum(list(c.ORDER_TYPE_NAMES.values()))
_TIF = pl.Enum(list(c.TIF_NAMES.values()))
_STATE = pl.Enum(["in_flight", "open", "filled", "canceled", "expired", "rejected"])
_LIQUIDITY = pl.Enum(["maker", "taker"])
_COMMAND = pl.Enum(list(c.COMMAND_NAMES.values()))
_ENDS = {e.REJECT: "rejected", e.CANCELED: "canceled", e.EXPIRED: "expired"}


def orders_frame(log: RunLog) -> pl.DataFrame:
    """One row for each order sent (refused ones never left: see `refusals_frame`), in the order of sending.

    order_id, strategy, instrument, side, type, tif. price (null for market orders) and quantity as sent; quantity_now
    after amendments. filled, average_price (volume weighted; inverse: quantity over notional). state: in_flight (no
    word from the venue yet), open, filled, canceled, expired, rejected; reason: why it ended. n_fills, n_amends
    (confirmed), cancel_requested. time_sent, time_acked, time_ended: local times. entry_latency_ns: venue time of the
    first answer less time sent. round_trip_ns: local receipt of the first answer less time sent. queue_wait_ns: venue
    time at rest (since acknowledgement or the last amendment) until the first maker fill; limit and iceberg orders.
    """
    new = log.commands[log.commands["kind"] == c.NEW]
    strategy = log.command_strategies[log.commands["kind"] == c.NEW]
    events, n = log.events, len(new)
    order = order_index(new["id"], events["id"])
    known = order >= 0
    kind = events["kind"]

    fills = np.flatnonzero(known & (kind == e.FILL))
    filled_lots = np.zeros(n, np.int64)
    np.add.at(filled_lots, order[fills], events["qty"][fills])
    fill_price = prices(log, events["instrument"][fills], events["px"][fills])
    fill_quantity = quantities(log, events["instrument"][fills], events["qty"][fills])
    fill_weight = np.bincount(order[fills], fill_quantity, n)
    fill_value = np.bincount(
        order[fills], average_weights(log, events["instrument"][fills], fill_price, fill_quantity), n
    )

    answers = np.flatnonzero(known & np.isin(kind, (e.ACK, e.FILL, e.REJECT)))
    first_answer = first_rows(order[answers], answers, n)
    acks = np.flatnonzero(known & (kind == e.ACK))
    first_ack = first_rows(order[acks], acks, n)
    ends = np.flatnonzero(known & np.isin(kind, tuple(_ENDS)))
    last_end = last_rows(order[ends], ends, n)
    last_fill = last_rows(order[fills], fills, n)
    lots_now = _lots_after_amendments(events, order, new["qty"], fills)

    done = filled_lots >= np.minimum(lots_now, np.where(lots_now > 0, lots_now, 1))
    state = np.where(first_answer >= 0, "open", "in_flight").astype("U9")
    for code, name in _ENDS.items():
        state[taken(kind, last_end, 0) == code] = name
    state[done] = "filled"
    end = np.where(done, last_fill, last_end)
    reason = np.where(end >= 0, taken(events["reason"], end, 0), -1)

    sent = new["ts"]
    price = prices(log, new["instrument"], new["px"])
    price[new["type"] == c.MARKET] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        average = np.where(is_inverse(log, new["instrument"]), fill_weight / fill_value, fill_value / fill_weight)
    requested = np.isin(new["id"], log.commands["id"][log.commands["kind"] == c.CANCEL])
    return pl.DataFrame(
        {
            "order_id": new["id"],
            "strategy": named(strategy, strategy_labels(log), "strategy"),
            "instrument": named(new["instrument"], instrument_labels(log), "instrument"),
            "side": sides(new["side"]),
            "type": coded(new["type"], c.ORDER_TYPE_NAMES, _TYPE),
            "tif": coded(new["tif"], c.TIF_NAMES, _TIF),
            "price": floats(price),
            "quantity": quantities(log, new["instrument"], new["qty"]),
            "quantity_now": quantities(log, new["instrument"], lots_now),
            "filled": quantities(log, new["instrument"], filled_lots),
            "average_price": floats(average),
            "state": pl.Series(state, dtype=pl.String).cast(_STATE),
            "reason": reasons(reason),
            "n_fills": np.bincount(order[fills], minlength=n),
            "n_amends": np.bincount(order[known & (kind == e.AMENDED)], minlength=n),
            "cancel_requested": requested,
            "time_sent": times(sent),
            "time_acked": times(taken(events["ts_recv"], first_ack, ABSENT)),
            "time_ended": times(taken(events["ts_recv"], end, ABSENT)),
            "entry_latency_ns": elapsed(taken(events["ts_exch"], first_answer, ABSENT), sent),
            "round_trip_ns": elapsed(taken(events["ts_recv"], first_answer, ABSENT), sent),
            "queue_wait_ns": integers(_queue_waits(events, order, new["type"], first_ack)),
        }
    )


def fills_frame(log: RunLog) -> pl.DataFrame:
    """One row for each fill, in the order the strategy learned of them.

    time_exch, time_recv, order_id, strategy, instrument, side, price, quantity. notional and fee in settlement
    currency (a rebate is a negative fee). liquidity: maker or taker. why: the reason's name. position: the
    instrument's position, over all strategies, once this fill is counted. mid_sent: the mid of the last sample at or
    before the order was sent; slippage_ticks: how much worse than that mid the price is, in ticks (negative: better);
    both null where the log holds no earlier sample, and only as fresh as the sampling is fine.
    """
    rows = log.events[log.events["kind"] == e.FILL]
    strategy = log.event_strategies[log.events["kind"] == e.FILL]
    instrument, side = rows["instrument"], rows["side"].astype(np.int64)
    price = prices(log, instrument, rows["px"])
    quantity = quantities(log, instrument, rows["qty"])
    position = np.zeros(len(rows), np.int64)
    for i in range(len(log.instruments)):
        mine = instrument == i
        position[mine] = np.cumsum(side[mine] * rows["qty"][mine])
    new = log.commands[log.commands["kind"] == c.NEW]
    order = order_index(new["id"], rows["id"])
    mid = mark_prices(log, instrument, taken(new["ts"], order, ABSENT))
    slippage = side * (price - mid) / per_instrument(log.instruments, "tick_size")[instrument]
    return pl.DataFrame(
        {
            "time_exch": times(rows["ts_exch"]),
            "time_recv": times(rows["ts_recv"]),
            "order_id": rows["id"],
            "strategy": named(strategy, strategy_labels(log), "strategy"),
            "instrument": named(instrument, instrument_labels(log), "instrument"),
            "side": sides(rows["side"]),
            "price": price,
            "quantity": quantity,
            "notional": notionals(log, instrument, price, quantity),
            "fee": rows["arg0"] * per_instrument(log.instruments, "quantum")[instrument],
            "liquidity": pl.Series(np.where(rows["flags"] & e.MAKER, "maker", "taker"), dtype=pl.String).cast(
                _LIQUIDITY
            ),
            "why": reasons(rows["reason"]),
            "position": quantities(log, instrument, position),
            "mid_sent": floats(mid),
            "slippage_ticks": floats(slippage),
        }
    )


def equity_frame(log: RunLog) -> pl.DataFrame:
    """The account over time, one row for each sampled time.

    time. equity: the sum over instruments in settlement currency, each starting at the log's initial equity; null
    where instruments settle in different currencies. growth: the mean over instruments of equity over initial equity,
    which is equity over its start where one currency serves all. drawdown: 1 - growth over its highest so far (start
    included). Then one column `equity[<instrument>]` each, in that instrument's settlement currency.
    """
    samples = log.samples
    ts = np.unique(samples["ts"])
    columns: dict[str, Any] = {}
    quantum = per_instrument(log.instruments, "quantum")
    for i, label in enumerate(instrument_labels(log)):
        mine = samples[samples["instrument"] == i]
        at = np.searchsorted(mine["ts"], ts, side="right") - 1
        columns[f"equity[{label}]"] = log.initial_equity + taken(mine["equity"], at, 0) * quantum[i]
    n = max(1, len(columns))
    total = np.sum(list(columns.values()), axis=0) if columns else np.zeros(len(ts))
    growth = total / (n * log.initial_equity) if log.initial_equity > 0 else np.ones(len(ts))
    peak = np.maximum.accumulate(np.maximum(growth, 1.0)) if len(ts) else growth
    one_currency = settlement_currency(log) is not None
    return pl.DataFrame(
        {
            "time": times(ts),
            "equity": total if one_currency else pl.Series([None] * len(ts), dtype=pl.Float64),
            "growth": growth,
            "drawdown": 1.0 - growth / peak,
            **columns,
        }
    )


def positions_frame(log: RunLog) -> pl.DataFrame:
    """The samples in human units.

    time, instrument, position, mid (null before the first price), cash, fee, funding, pnl. Money is in the
    instrument's settlement currency; pnl is cash - fee + funding + the position's value at mid.
    """
    s = log.samples
    quantum = per_instrument(log.instruments, "quantum")[s["instrument"]]
    return pl.DataFrame(
        {
            "time": times(s["ts"]),
            "instrument": named(s["instrument"], instrument_labels(log), "instrument"),
            "position": quantities(log, s["instrument"], s["position"]),
            "mid": floats(np.where(s["mid"] > 0, s["mid"], np.nan)),
            "cash": s["cash"] * quantum,
            "fee": s["fee"] * quantum,
            "funding": s["funding"] * quantum,
            "pnl": s["equity"] * quantum,
        }
    )


def refusals_frame(log: RunLog) -> pl.DataFrame:
    """One row for each request that did not get through: refused by the own gate or rejected by the venue.

    time (local), by ("gate" or "venue"), request (new, amend, cancel, ...), order_id, strategy, instrument, side,
    price (null for market orders), quantity, reason, text.
    """
    kind = log.events["kind"]
    gate = np.flatnonzero(kind == e.REFUSED)
    if len(gate) != len(log.refused):
        raise ValueError(
            f"a run log holds one refused command for each REFUSED event, found {len(log.refused)} commands "
            f"and {len(gate)} events; the driver that wrote it is at fault"
        )
    new = log.commands[log.commands["kind"] == c.NEW]
    requests = {e.REJECT: c.NEW, e.AMEND_REJECT: c.AMEND, e.CANCEL_REJECT: c.CANCEL}
    venue = np.flatnonzero(np.isin(kind, tuple(requests)))
    rows = np.sort(np.concatenate([gate, venue]))
    events = log.events[rows]
    request = np.array([requests.get(int(k), 0) for k in events["kind"]], np.int64)
    order = order_index(new["id"], events["id"])
    known = (request > 0) & (order >= 0)
    described = np.zeros(len(rows), c.COMMAND)
    described["instrument"], described["side"] = events["instrument"], events["side"]
    described[known] = new[order[known]]
    described["kind"] = request
    described[request == 0] = log.refused
    price = prices(log, described["instrument"], described["px"])
    price[(described["px"] == 0) | (described["type"] == c.MARKET)] = np.nan
    return pl.DataFrame(
        {
            "time": times(events["ts_recv"]),
            "by": pl.Series(np.where(request > 0, "venue", "gate"), dtype=pl.String),
            "request": coded(described["kind"], c.COMMAND_NAMES, _COMMAND),
            "order_id": events["id"],
            "strategy": named(log.event_strategies[rows], strategy_labels(log), "strategy"),
            "instrument": named(described["instrument"], instrument_labels(log), "instrument"),
            "side": sides(described["side"]),
            "price": floats(price),
            "quantity": quantities(log, described["instrument"], described["qty"]),
            "reason": reasons(events["reason"]),
            "text": mapped(events["reason"], reason_text),
        }
    )


def _queue_waits(events: np.ndarray, order: np.ndarray, types: np.ndarray, first_ack: np.ndarray) -> np.ndarray:
    """(n_orders,) int64 ns at rest until the first maker fill; ABSENT without one or for types that do not queue."""
    n = len(types)
    maker = np.flatnonzero((order >= 0) & (events["kind"] == e.FILL) & ((events["flags"] & e.MAKER) != 0))
    first_maker = first_rows(order[maker], maker, n)
    amended = np.flatnonzero((order >= 0) & (events["kind"] == e.AMENDED))
    amended = amended[amended < first_maker[order[amended]]]
    last_amended = last_rows(order[amended], amended, n)
    rested = np.where(last_amended >= 0, last_amended, first_ack)
    waits = taken(events["ts_exch"], first_maker, 0) - taken(events["ts_exch"], rested, 0)
    applies = (first_maker >= 0) & (rested >= 0) & np.isin(types, (c.LIMIT, c.ICEBERG))
    return np.where(applies, waits, ABSENT)


def _lots_after_amendments(events: np.ndarray, order: np.ndarray, sent: np.ndarray, fills: np.ndarray) -> np.ndarray:
    """(n_orders,) int64 lots an order is for: as sent, or what the last amendment left plus what had filled by then."""
    n = len(sent)
    amended = np.flatnonzero((order >= 0) & (events["kind"] == e.AMENDED))
    last = last_rows(order[amended], amended, n)
    # The venue's order of events counts: a fill may be learned of after an amendment that it preceded.
    theirs = last[order[fills]]
    ts, ts_amended = events["ts_exch"][fills], taken(events["ts_exch"], theirs, ABSENT)
    before = (theirs >= 0) & ((ts < ts_amended) | ((ts == ts_amended) & (fills < theirs)))
    filled = np.zeros(n, np.int64)
    np.add.at(filled, order[fills[before]], events["qty"][fills[before]])
    return np.where(last >= 0, taken(events["qty"], last, 0) + filled, sent)
