"""Frames against a naive walk over the rows, and against values worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_observe import naive_orders, rows_of
from random_runlog import BTC, COIN, ETH, MS, START_NS, random_runlog

from tercel.model import commands as c
from tercel.model import events as e
from tercel.model import reasons as r
from tercel.model.runlog import SAMPLE, RunLog
from tercel.observe.frames import equity_frame, fills_frame, orders_frame, positions_frame, refusals_frame

SETS = st.sampled_from([(BTC,), (BTC, ETH), (COIN,), (BTC, COIN)])


def hand_log() -> RunLog:
    """Two orders on BTCUSDT: a bid that rests, is amended and half fills; a market sell that takes."""
    t = START_NS
    commands = np.zeros(3, c.COMMAND)
    commands["kind"] = (c.NEW, c.AMEND, c.NEW)
    commands["id"] = (1, 1, 2)
    commands["ts"] = (t, t + 100 * MS, t + 2_000 * MS)
    commands["px"] = (580_000, 580_005, 0)
    commands["qty"] = (10, 8, 4)
    commands["side"] = (e.BUY, e.BUY, e.SELL)
    commands["type"] = (c.LIMIT, c.LIMIT, c.MARKET)
    commands["tif"] = (c.GTX, c.GTX, c.IOC)
    rows = [
        # kind, exch ms, recv ms, id, px, qty, side, fee, reason, flags
        (e.ACK, 10, 20, 1, 580_000, 10, e.BUY, 0, 0, 0),
        (e.AMENDED, 110, 120, 1, 580_005, 8, e.BUY, 0, 0, 0),
        (e.FILL, 610, 620, 1, 580_005, 3, e.BUY, -2_000_000, r.QUEUE_REACHED, e.MAKER),
        (e.REFUSED, 700, 700, 9, 0, 0, e.BUY, 0, r.POSITION_LIMIT, 0),
        (e.FILL, 2_010, 2_020, 2, 580_020, 4, e.SELL, 9_000_000, r.TOOK, e.TAKER),
        (e.CANCEL_REJECT, 2_500, 2_510, 1, 580_005, 5, e.BUY, 0, r.VENUE_UNKNOWN_ORDER, 0),
    ]
    events = np.zeros(len(rows), e.EVENT)
    for row, (kind, exch, recv, order, px, qty, side, fee, reason, flags) in zip(events, rows):
        row["kind"], row["id"], row["px"], row["qty"], row["side"] = kind, order, px, qty, side
        row["ts_exch"], row["ts_recv"] = t + exch * MS, t + recv * MS
        row["arg0"], row["reason"], row["flags"] = fee, reason, flags
    refused = np.zeros(1, c.COMMAND)
    refused["kind"], refused["id"], refused["px"], refused["qty"], refused["side"] = c.NEW, 9, 579_000, 50, e.BUY
    samples = np.zeros(4, SAMPLE)
    samples["ts"] = t + np.array([0, 1_000, 2_000, 3_000]) * MS
    samples["mid"] = (0.0, 58_000.55, 58_001.0, 58_002.0)
    samples["equity"] = (0, 100_000_000, -300_000_000, 200_000_000)
    samples["position"] = (0, 3, 3, -1)
    return RunLog(
        instruments=[BTC], strategies=["Hand"], commands=commands, command_strategies=np.zeros(3, np.int16),
        events=events, event_strategies=np.zeros(len(events), np.int16), refused=refused, samples=samples,
        start_ns=t, end_ns=t + 3_000 * MS, initial_equity=1_000.0,
    )  # fmt: skip


def test_orders_by_hand():
    first, second = orders_frame(hand_log()).to_dicts()
    assert (first["side"], first["type"], first["tif"], first["state"]) == ("buy", "limit", "GTX", "open")
    assert (first["price"], first["quantity"], first["quantity_now"], first["filled"]) == (58_000.0, 0.01, 0.008, 0.003)
    assert (first["average_price"], first["n_fills"], first["n_amends"]) == (58_000.5, 1, 1)
    assert (first["entry_latency_ns"], first["round_trip_ns"]) == (10_000_000, 20_000_000)
    assert first["queue_wait_ns"] == 500_000_000  # from the amendment at 110 ms to the fill at 610 ms
    assert first["time_ended"] is None
    assert first["reason"] is None
    assert (second["state"], second["price"], second["average_price"]) == ("filled", None, 58_002.0)
    assert (second["reason"], second["time_acked"], second["queue_wait_ns"]) == ("took", None, None)
    assert second["time_ended"] == datetime(2024, 8, 8, 0, 0, 2, 20_000, tzinfo=UTC)


def test_fills_by_hand():
    first, second = fills_frame(hand_log()).to_dicts()
    assert (first["price"], first["quantity"], first["notional"]) == (58_000.5, 0.003, pytest.approx(174.0015))
    assert (first["fee"], first["liquidity"], first["why"], first["position"]) == (
        -0.02,
        "maker",
        "queue_reached",
        0.003,
    )
    assert first["mid_sent"] is None
    assert first["slippage_ticks"] is None
    assert (second["fee"], second["liquidity"], second["why"], second["position"]) == (0.09, "taker", "took", -0.001)
    # Sold at 58,002.0 against a mid of 58,001.0 when sent: ten ticks better.
    assert (second["mid_sent"], second["slippage_ticks"]) == (58_001.0, pytest.approx(-10.0))


def test_refusals_by_hand():
    gate, venue = refusals_frame(hand_log()).to_dicts()
    assert (gate["by"], gate["request"], gate["reason"]) == ("gate", "new", "position_limit")
    assert (gate["order_id"], gate["price"], gate["quantity"]) == (9, 57_900.0, 0.05)
    assert (venue["by"], venue["request"], venue["reason"]) == ("venue", "cancel", "venue_unknown_order")
    assert venue["text"] == "the venue knows no open order of that id"


def test_equity_by_hand():
    frame = equity_frame(hand_log())
    assert frame["equity"].to_list() == [1_000.0, 1_001.0, 997.0, 1_002.0]
    assert frame["drawdown"].to_list() == pytest.approx([0.0, 0.0, 4 / 1_001, 0.0])
    assert frame.columns == ["time", "equity", "growth", "drawdown", "equity[BTCUSDT]"]


def test_a_refusal_without_its_command_is_named():
    log = hand_log()
    broken = RunLog(
        instruments=[BTC], strategies=["Hand"], events=log.events, event_strategies=log.event_strategies,
        commands=log.commands, command_strategies=log.command_strategies,
    )  # fmt: skip
    with pytest.raises(ValueError, match="found 0 commands and 1 events"):
        refusals_frame(broken)


def test_a_fill_learned_of_after_the_amendment_it_preceded():
    log = hand_log()
    events = log.events[[0, 1, 2]].copy()
    events["ts_exch"][2] = events["ts_exch"][1] - MS  # filled at the venue before it was amended there
    late = RunLog(
        instruments=[BTC], strategies=["Hand"], events=events, event_strategies=np.zeros(3, np.int16),
        commands=log.commands, command_strategies=log.command_strategies,
    )  # fmt: skip
    assert orders_frame(late)["quantity_now"].to_list() == [0.011, 0.004]


def test_instruments_that_share_a_symbol_keep_apart():
    log = random_runlog(5, instruments=(BTC, BTC), n_orders=40)
    assert set(fills_frame(log)["instrument"]) == {"binance:BTCUSDT#0", "binance:BTCUSDT#1"}
    assert equity_frame(log).columns[4:] == ["equity[binance:BTCUSDT#0]", "equity[binance:BTCUSDT#1]"]


def test_mixed_settlement_has_no_total():
    frame = equity_frame(random_runlog(3, instruments=(BTC, COIN)))
    assert frame["equity"].null_count() == frame.height
    parts = frame.select(pl.mean_horizontal("equity[BTCUSDT]", "equity[BTCUSD_PERP]") / 10_000.0).to_series()
    assert frame["growth"].to_list() == pytest.approx(parts.to_list())


def test_an_empty_log_has_empty_frames():
    log = RunLog(instruments=[BTC], strategies=["Idle"])
    heights = [f(log).height for f in (orders_frame, fills_frame, equity_frame, positions_frame, refusals_frame)]
    assert heights == [0, 0, 0, 0, 0]
    assert orders_frame(log).schema == orders_frame(hand_log()).schema
    assert fills_frame(log).schema == fills_frame(hand_log()).schema


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), instruments=SETS)
def test_orders_match_the_naive_walk(seed, instruments):
    log = random_runlog(seed, 80, instruments, ("A", "B"), n_samples=60)
    naive = naive_orders(log)
    rows = orders_frame(log).to_dicts()
    assert [row["order_id"] for row in rows] == list(naive)
    lots = {row["id"]: float(instruments[row["instrument"]].lot_size) for row in rows_of(log.commands)}
    for row in rows:
        want, lot = naive[row["order_id"]], lots[row["order_id"]]
        assert row["state"] == want["state"]
        assert (row["filled"], row["quantity_now"]) == pytest.approx((want["filled"] * lot, want["quantity"] * lot))
        assert (row["entry_latency_ns"], row["round_trip_ns"]) == (want["answer"], want["round"])
        assert row["n_amends"] == want["amends"]
        assert row["n_fills"] == len(want["fills"])
        assert row["queue_wait_ns"] == (None if want["type"] == c.MARKET else want["wait"])
        assert (row["time_ended"] is None) == (want["end"] is None)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), instruments=SETS)
def test_fills_agree_with_the_samples(seed, instruments):
    """Position and fees summed over the fills frame are what the account's own samples say."""
    log = random_runlog(seed, 80, instruments, n_samples=60)
    fills, positions = fills_frame(log), positions_frame(log)
    for name, row in (
        positions.group_by("instrument", maintain_order=True).last().rows_by_key("instrument", named=True).items()
    ):
        until = row[0]["time"]
        mine = fills.filter((pl.col("instrument") == name) & (pl.col("time_recv") <= until))
        signed = mine.select((pl.when(pl.col("side") == "buy").then(1).otherwise(-1) * pl.col("quantity")).sum()).item()
        assert row[0]["position"] == pytest.approx(signed, abs=1e-9)
        assert row[0]["position"] == pytest.approx(mine["position"].to_list()[-1] if mine.height else 0.0, abs=1e-9)
        assert row[0]["fee"] == pytest.approx(mine["fee"].sum(), abs=1e-9)
