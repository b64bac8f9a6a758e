"""Instruments and units: what lies on a grid, what is refused, and how money is counted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tercel.errors import ConfigError, UnitError
from tercel.model.instrument import INVERSE, Instrument
from tercel.model.signals import bits_to_float, float_to_bits


def perp(**changes: Any) -> Instrument:
    return Instrument(**{"symbol": "BTCUSDT", "tick_size": "0.1", "lot_size": "0.001", "quote": "USDT"} | changes)


def test_grids_may_be_given_as_text_or_numbers() -> None:
    for tick in ("0.1", 0.1, Decimal("0.1")):
        assert perp(tick_size=tick).tick_size == Decimal("0.1")


@pytest.mark.parametrize(("text", "ticks"), [("61659.7", 616_597), (61659.7, 616_597), (Decimal("0.1"), 1), (-3, -30)])
def test_prices_become_ticks_exactly(text: Any, ticks: int) -> None:
    assert perp().ticks(text) == ticks
    assert perp().price(ticks) == Decimal(str(text))


@pytest.mark.parametrize("price", ["61659.75", "nan", "inf", "abc", float("nan"), "1e30"])
def test_prices_off_the_grid_are_refused_by_name(price: Any) -> None:
    with pytest.raises(UnitError, match="BTCUSDT price"):
        perp().ticks(price)


def test_money_is_counted_finely_enough_for_one_tick_times_one_lot() -> None:
    assert perp().money_decimals == 8
    assert perp().value == 10_000
    fine = perp(tick_size="0.00000001", lot_size="0.1")
    assert fine.money_decimals == 9
    assert fine.value == 1
    assert fine.money(3) == Decimal("3E-9")


def test_an_inverse_contract_is_valued_in_its_base() -> None:
    contract = perp(kind="inverse", lot_size=1, contract_value=100, base="BTC", quote="USD")
    assert contract.settlement == "BTC"
    # One contract of 100 USD at a price of 1 tick (0.1 USD) is 1,000 BTC, in quanta of 1e-8.
    assert contract.value == 100_000_000_000
    assert contract.row()["kind"] == INVERSE


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tick_size": 0}, "tick_size must be positive"),
        ({"lot_size": "-1"}, "lot_size must be positive"),
        ({"kind": "option"}, "kind must be one of"),
        ({"money_decimals": 30}, "money_decimals must be 0 to 18"),
    ],
)
def test_what_cannot_be_traded_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        perp(**changes)


def test_prices_shown_to_strategies_are_the_nearest_floats() -> None:
    row = perp().row()
    assert 616_597 * row["tick_num"] / row["tick_den"] == 61659.7


@pytest.mark.parametrize("value", [0.0, -1.5, 1e300, float("inf")])
def test_floats_travel_on_rows_bit_for_bit(value: float) -> None:
    assert bits_to_float(float_to_bits(value)) == value
