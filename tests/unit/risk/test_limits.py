"""Limits in human units become integers, or a ConfigError that names the field."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from tercel.errors import ConfigError
from tercel.model.instrument import Instrument
from tercel.model.units import INT64_MAX
from tercel.orders.money import MONEY_MAX
from tercel.risk import limits as limits_module
from tercel.risk.limits import Limits

BTCUSDT = Instrument(symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"))


def test_everything_off_by_default_but_self_trades():
    row = Limits().row(BTCUSDT)
    assert (row["qty_max"], row["position_max"], row["open_orders_max"]) == (INT64_MAX, INT64_MAX, INT64_MAX)
    assert (row["has_notional"], row["collar_1e6"], row["order_token"], row["message_token"]) == (0, 0, 0, 0)
    assert (row["daily_loss_max"], row["drawdown_max"], row["refuse_self_trade"]) == (0, 0, 1)


def test_human_units_become_lots_quanta_and_parts():
    row = Limits(
        order_qty_max=0.5,
        order_notional_max=Decimal("25000.5"),
        position_max=2,
        gross_notional_max=100_000,
        price_collar=0.025,
        open_orders_max=10,
        self_trade="allow",
        daily_loss_max=1_000,
        drawdown_max=2_000,
    ).row(BTCUSDT)
    assert (row["qty_max"], row["position_max"], row["open_orders_max"]) == (500, 2_000, 10)
    assert (row["notional_max"], row["gross_max"]) == (2_500_050_000_000, 10_000_000_000_000)
    assert (row["has_notional"], row["collar_1e6"], row["refuse_self_trade"]) == (1, 25_000, 0)
    assert (row["daily_loss_max"], row["drawdown_max"]) == (100_000_000_000, 200_000_000_000)


def test_a_rate_becomes_an_exact_bucket():
    row = Limits(order_rate=0.3, order_burst=2, message_rate=10).row(BTCUSDT)
    assert (row["order_token"], row["order_gain"], row["order_full"]) == (10_000_000_000, 3, 20_000_000_000)
    assert (row["order_fill_ns"], row["order_level"]) == (6_666_666_667, 20_000_000_000)
    # By default a bucket holds one second's worth.
    assert (row["message_token"], row["message_gain"], row["message_full"]) == (1_000_000_000, 10, 10_000_000_000)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("order_qty_max", 0, "above 0"),
        ("order_qty_max", -1, "above 0"),
        ("order_qty_max", 0.0005, "multiple of 0.001"),
        ("order_qty_max", float("nan"), "finite"),
        ("position_max", "many", "must be a number"),
        ("position_max", 1e19, "at most"),
        ("order_notional_max", Decimal("1e-9"), "multiple of"),
        ("order_notional_max", 10**12, "at most 46000000000"),
        ("gross_notional_max", float("inf"), "finite"),
        ("price_collar", 3, "at most 2"),
        ("price_collar", Decimal("0.0000001"), "multiple of"),
        ("order_rate", 0, "above 0"),
        ("order_rate", 10**10, "at most 1000000000"),
        ("message_rate", Decimal("0.000000000001"), "64 bits"),
        ("order_burst", 5, "needs order_rate"),
        ("open_orders_max", 0, "above 0"),
        ("open_orders_max", 1.5, "whole number"),
        ("self_trade", "maybe", "'refuse' or 'allow'"),
        ("daily_loss_max", -5, "above 0"),
        ("drawdown_max", 0, "above 0"),
    ],
)
def test_what_cannot_be_is_refused_by_name(field, value, words):
    with pytest.raises(ConfigError, match=field) as caught:
        Limits(**{field: value}).row(BTCUSDT)
    assert words in str(caught.value)


def test_a_message_rate_with_burst_too_large_names_both():
    with pytest.raises(ConfigError, match="message_rate 1 with message_burst 10000000000"):
        Limits(message_rate=1, message_burst=10**10).row(BTCUSDT)


def test_limits_come_from_toml_and_unknown_names_are_refused():
    found = msgspec.toml.decode(b"order_qty_max = 0.5\nself_trade = 'allow'\n", type=Limits)
    assert found == Limits(order_qty_max=0.5, self_trade="allow")
    with pytest.raises(msgspec.ValidationError, match="order_qty_maximum"):
        msgspec.toml.decode(b"order_qty_maximum = 1\n", type=Limits)


def test_the_largest_money_is_that_of_the_accounts():
    assert limits_module._MONEY_MAX == MONEY_MAX
