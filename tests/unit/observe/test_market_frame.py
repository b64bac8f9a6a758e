"""EVENT rows of a market as a table in human units."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from tercel.errors import DataError
from tercel.model import events as e
from tercel.model.instrument import Instrument
from tercel.observe.market import market_frame

BTC = Instrument(symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))
ETH = Instrument(symbol="ETHUSDT", tick_size=Decimal("0.05"), lot_size=Decimal("0.01"))


def row(kind: int, i: int = 0, **fields: int):
    made = e.event_rows(1)
    made["kind"], made["instrument"], made["ts_exch"], made["ts_recv"] = kind, i, 1_000, 2_000
    for name, value in fields.items():
        made[name] = value
    return made


def test_every_kind_has_its_columns():
    rows = np.concatenate([
        row(e.TRADE, side=e.SELL, px=600_001, qty=25, id=7),
        row(e.QUOTE, 1, px=40_000, qty=3, arg0=40_001, arg1=5, id=8),
        row(e.ACK, px=1),
        row(e.BAR, px=10, id=11, arg0=12, arg1=9, qty=100),
        row(e.FUNDING, px=600_000, arg1=10_000),
    ])  # fmt: skip
    frame = market_frame(rows, [BTC, ETH])
    assert frame["kind"].to_list() == ["trade", "quote", "bar", "funding"]
    assert frame["instrument"].to_list() == ["BTCUSDT", "ETHUSDT", "BTCUSDT", "BTCUSDT"]
    assert frame["side"].to_list() == ["sell", None, None, None]
    assert frame["price"].to_list() == [60000.1, 2000.0, 1.0, 60000.0]
    assert frame["quantity"].to_list() == [0.025, 0.03, 0.1, 0.0]
    assert frame["price_ask"].to_list() == [None, 2000.05, None, None]
    assert frame["quantity_ask"].to_list() == [None, 0.05, None, None]
    assert [frame[n].to_list()[2] for n in ("open", "high", "low")] == [1.1, 1.2, 0.9]
    assert frame["rate"].to_list() == [None, None, None, 0.0001]
    assert frame["time"][0] == datetime(1970, 1, 1, 0, 0, 0, 2, tzinfo=UTC)


def test_columns_without_a_use_are_left_out_and_no_row_is_no_error():
    assert "open" not in market_frame(row(e.TRADE, px=1, qty=1), [BTC]).columns
    assert market_frame(e.event_rows(0), [BTC]).shape == (0, 8)


def test_an_instrument_that_was_not_given_is_named():
    with pytest.raises(DataError, match="rows name instrument 1, but 1 were given"):
        market_frame(row(e.TRADE, 1), [BTC])


def test_rows_of_one_kind_or_one_instrument_are_the_same_part_of_a_mixed_table():
    rows = np.concatenate(
        [row(kind, i, side=side, px=600_001 + n, qty=3 * n, id=n, arg0=n, arg1=2 * n)
         for n, (kind, i, side) in enumerate(
             (kind, i, side)
             for kind in (e.LEVEL, e.TRADE, e.QUOTE, e.BAR, e.FUNDING) for i in (0, 1) for side in (e.BUY, e.SELL, 0)
         )]
    )  # fmt: skip
    mixed = market_frame(rows, [BTC, ETH])
    assert mixed["price"].to_list() == [float(int(r["px"]) * (BTC, ETH)[r["instrument"]].tick_size) for r in rows]
    for mask in (rows["kind"] == e.LEVEL, rows["kind"] == e.QUOTE, rows["instrument"] == 1, np.zeros(len(rows), bool)):
        part = market_frame(rows[mask], [BTC, ETH])
        assert part.equals(mixed.filter(mask).select(part.columns))
        assert part.schema == mixed.select(part.columns).schema
