"""The gate by hand: one test a check, the order of checks, rates, and what halts trading."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from tercel.jit import address_of, records
from tercel.model import reasons
from tercel.model.instrument import INSTRUMENT, Instrument
from tercel.orders.positions import POSITION
from tercel.risk.gate import (
    PX_MAX,
    QTY_MAX,
    RISK,
    count_refusal,
    gate,
    gate_amend,
    gate_halt,
    gate_mark,
    gate_message,
    gate_resume,
)
from tercel.risk.limits import Limits

ONE = Instrument(symbol="ONE", tick_size=Decimal(1), lot_size=Decimal(1), money_decimals=0)
COIN = Instrument(symbol="COIN", kind="inverse", tick_size=Decimal(1), lot_size=Decimal(1), base="B", money_decimals=4)
NOW = 1_700_000_000_000_000_000
S = 1_000_000_000
DAY = 86_400 * S


class Desk:
    """A gate, an account and an instrument in raw memory."""

    def __init__(self, limits: Limits, instrument: Instrument = ONE) -> None:
        self.memory = np.zeros(1, RISK), np.zeros(1, POSITION), np.zeros(1, INSTRUMENT)
        self.memory[0][0], self.memory[2][0] = limits.row(instrument), instrument.row()
        self.risk = records(address_of(self.memory[0]), 1, RISK)[0]
        self.position = records(address_of(self.memory[1]), 1, POSITION)[0]
        self.instrument = records(address_of(self.memory[2]), 1, INSTRUMENT)[0]

    def new(self, side=1, px=100, qty=1, bid=99, ask=101, reduce=0, n_open=0, own=0, gross=0, now=NOW) -> str:
        return reasons.reason_name(
            gate(
                self.risk, self.position, self.instrument, now, side, px, qty, bid, ask, reduce, n_open, own, gross
            )
        )  # fmt: skip

    def amend(self, side=1, px=100, qty=1, replaced=1, bid=99, ask=101, own=0, gross=0, now=NOW) -> str:
        return reasons.reason_name(
            gate_amend(
                self.risk, self.position, self.instrument, now, side, px, qty, replaced, bid, ask, 0, own, gross
            )
        )  # fmt: skip


def test_without_limits_everything_that_makes_sense_passes():
    desk = Desk(Limits())
    assert desk.new() == "ok"
    assert desk.new(px=0, bid=0, ask=0) == "ok"
    assert desk.new(px=PX_MAX, qty=QTY_MAX, side=-1) == "ok"
    assert (desk.risk.n_passed, desk.risk.n_refused) == (3, 0)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ({"qty": 0}, "bad_qty"),
        ({"qty": -1}, "bad_qty"),
        ({"qty": QTY_MAX + 1}, "bad_qty"),
        ({"px": -1}, "bad_price"),
        ({"px": PX_MAX + 1}, "bad_price"),
    ],
)
def test_nonsense_is_refused_without_any_limit(order, reason):
    desk = Desk(Limits())
    assert desk.new(**order) == reason
    assert desk.risk.n_refused == 1
    assert desk.risk.refusals[getattr(reasons, reason.upper())] == 1


@pytest.mark.parametrize(
    ("limits", "passes", "fails", "reason"),
    [
        (Limits(order_qty_max=5), {"qty": 5}, {"qty": 6}, "qty_cap"),
        (Limits(order_notional_max=500), {"qty": 5}, {"qty": 5, "px": 101}, "notional_cap"),
        (Limits(open_orders_max=3), {"n_open": 2}, {"n_open": 3}, "too_many_open_orders"),
        (Limits(), {"px": 99, "own": 100}, {"px": 100, "own": 100}, "self_trade"),
        (Limits(), {"side": -1, "px": 101, "own": 100}, {"side": -1, "own": 100}, "self_trade"),
        (Limits(), {"px": 0}, {"px": 0, "own": 500}, "self_trade"),
        (Limits(price_collar=0.05), {"px": 105}, {"px": 106}, "price_collar"),
        (Limits(price_collar=0.05), {"px": 95}, {"px": 94}, "price_collar"),
        (Limits(price_collar=0.05), {"bid": 0}, {"bid": 0, "ask": 0}, "no_reference_price"),
        (Limits(order_notional_max=500), {"px": 0}, {"px": 0, "ask": 0}, "no_reference_price"),
        (Limits(gross_notional_max=1_000), {"gross": 900}, {"gross": 901}, "gross_limit"),
        (Limits(position_max=5), {"qty": 5}, {"qty": 6}, "position_limit"),
        (Limits(position_max=5), {"side": -1, "qty": 5}, {"side": -1, "qty": 6}, "position_limit"),
    ],
)
def test_each_limit_passes_at_its_edge_and_refuses_beyond(limits, passes, fails, reason):
    desk = Desk(limits)
    assert desk.new(**passes) == "ok"
    assert desk.new(**fails) == reason


def test_a_self_trade_may_be_allowed():
    assert Desk(Limits(self_trade="allow")).new(own=100) == "ok"


def test_open_orders_of_the_same_side_count_for_the_position():
    desk = Desk(Limits(position_max=10))
    desk.position.position, desk.position.open_buy, desk.position.open_sell = 4, 5, 9
    assert desk.new(qty=1) == "ok"
    assert desk.new(qty=2) == "position_limit"
    assert desk.new(side=-1, qty=5) == "ok"
    assert desk.new(side=-1, qty=6) == "position_limit"


def test_beyond_the_limit_one_may_still_come_back():
    desk = Desk(Limits(position_max=10, gross_notional_max=100))
    desk.position.position = 15
    assert desk.new(side=-1, qty=5, gross=5_000) == "ok"
    assert desk.new(side=1, qty=1, gross=5_000) == "position_limit"


def test_reduce_only_must_reduce_and_skips_the_position_limit():
    desk = Desk(Limits(position_max=1))
    assert desk.new(reduce=1) == "not_reducing"
    desk.position.position = -50
    assert desk.new(reduce=1, side=-1) == "not_reducing"
    assert desk.new(reduce=1, side=1, qty=60) == "ok"


def test_a_sale_far_below_the_bid_is_judged_at_the_bid():
    desk = Desk(Limits(order_notional_max=500))
    assert desk.new(side=-1, px=1, qty=5, bid=100) == "ok"
    assert desk.new(side=-1, px=1, qty=5, bid=101) == "notional_cap"


def test_an_inverse_purchase_far_above_the_ask_is_judged_at_the_ask():
    # 100 contracts at 100 are 1 B, at 50 they are 2 B.
    desk = Desk(Limits(order_notional_max=1), COIN)
    assert desk.new(px=200, qty=100, bid=99, ask=100) == "ok"
    assert desk.new(px=200, qty=100, bid=49, ask=50) == "notional_cap"
    assert desk.new(side=-1, px=100, qty=100, bid=49, ask=50) == "ok"


def test_the_minimum_of_the_venue_spares_reduce_only():
    instrument = Instrument(
        symbol="M", tick_size=Decimal(1), lot_size=Decimal(1), money_decimals=0, notional_min=Decimal(500), lot_min=2
    )
    desk = Desk(Limits(), instrument)
    assert desk.new(qty=1) == "bad_qty"
    assert desk.new(qty=4) == "min_notional"
    assert desk.new(qty=5) == "ok"
    assert desk.new(px=0, qty=4) == "min_notional"
    desk.position.position = -10
    assert desk.new(qty=4, reduce=1) == "ok"


def test_a_notional_that_does_not_fit_is_over_the_cap():
    assert Desk(Limits(gross_notional_max=10)).new(px=1 << 40, qty=1 << 48) == "notional_cap"


def test_the_order_of_checks():
    desk = Desk(Limits(order_qty_max=5, position_max=6, price_collar=0.01, order_notional_max=10, order_rate=1))
    order = {"qty": 7, "px": 150, "own": 120}
    assert desk.new(**order) == "qty_cap"
    order["qty"] = 5
    desk.position.position = 2
    assert desk.new(**order) == "position_limit"
    desk.position.position = 0
    assert desk.new(**order) == "self_trade"
    assert desk.new(qty=5, px=150) == "price_collar"
    assert desk.new(qty=5, px=100) == "notional_cap"
    gate_halt(desk.risk, reasons.KILL_SWITCH)
    assert desk.new(**order) == "kill_switch"
    assert desk.new(qty=0) == "bad_qty"


def test_an_order_rate_lets_a_burst_through_and_then_one_each_interval():
    desk = Desk(Limits(order_rate=2, order_burst=3))
    assert [desk.new(now=NOW) for _ in range(4)] == ["ok", "ok", "ok", "order_rate"]
    assert desk.new(now=NOW + S // 2 - 1) == "order_rate"
    assert desk.new(now=NOW + S // 2) == "ok"
    assert desk.new(now=NOW + S // 2) == "order_rate"
    assert [desk.new(now=NOW + 3600 * S) for _ in range(4)] == ["ok", "ok", "ok", "order_rate"]


def test_a_clock_that_runs_backwards_brings_no_tokens():
    desk = Desk(Limits(order_rate=1, order_burst=1))
    assert desk.new(now=NOW) == "ok"
    assert desk.new(now=NOW - 10 * S) == "order_rate"
    assert desk.new(now=NOW + S - 1) == "order_rate"
    assert desk.new(now=NOW + S) == "ok"


def test_orders_amends_and_cancels_share_the_message_rate():
    desk = Desk(Limits(message_rate=1, message_burst=3))
    assert desk.new() == "ok"
    assert desk.amend() == "ok"
    assert gate_message(desk.risk, NOW) == 0
    assert gate_message(desk.risk, NOW) == reasons.MESSAGE_RATE
    assert desk.new() == "message_rate"
    assert desk.amend() == "message_rate"
    assert (desk.risk.n_passed, desk.risk.n_refused, desk.risk.refusals[reasons.MESSAGE_RATE]) == (3, 3, 3)


def test_a_refused_order_takes_no_token():
    desk = Desk(Limits(order_rate=1, order_burst=1, message_rate=1, message_burst=1, order_qty_max=1))
    assert desk.new(qty=2) == "qty_cap"
    assert desk.new() == "ok"
    later = NOW + S
    assert gate_message(desk.risk, later) == 0
    # The message bucket is empty now: the order is refused for it and keeps its own token.
    assert desk.new(now=later) == "message_rate"
    assert (desk.risk.order_level, desk.risk.order_last_ns) == (0, NOW)


def test_an_amend_is_judged_by_what_it_adds():
    desk = Desk(Limits(position_max=10, open_orders_max=1))
    desk.position.open_buy = 8
    assert desk.amend(qty=10, replaced=8) == "ok"
    assert desk.amend(qty=11, replaced=8) == "position_limit"


def test_the_kill_switch_stops_orders_and_amends_but_never_cancels():
    desk = Desk(Limits())
    desk.position.position = 5
    gate_halt(desk.risk, reasons.KILL_SWITCH)
    assert desk.new() == "kill_switch"
    assert desk.new(side=-1, reduce=1) == "kill_switch"
    assert desk.amend() == "kill_switch"
    assert gate_message(desk.risk, NOW) == 0
    gate_resume(desk.risk, 0)
    assert desk.new() == "ok"


@pytest.mark.parametrize(("reason", "word"), [(0, "kill_switch"), (reasons.VENUE_RATE_LIMIT, "venue_rate_limit")])
def test_a_halt_for_any_other_reason_is_as_strict_as_the_kill_switch(reason, word):
    desk = Desk(Limits())
    desk.position.position = 5
    gate_halt(desk.risk, reasons.DRAWDOWN)
    assert desk.new(side=-1, reduce=1) == "ok"
    gate_halt(desk.risk, reason)
    assert desk.new(side=-1, reduce=1) == word


def test_the_loss_of_the_day_halts_and_lets_one_get_flat():
    desk = Desk(Limits(daily_loss_max=100))
    assert gate_mark(desk.risk, 50, NOW) == 0
    assert gate_mark(desk.risk, -100, NOW) == 0
    assert gate_mark(desk.risk, -101, NOW) == reasons.DAILY_LOSS
    assert gate_mark(desk.risk, -500, NOW) == 0
    desk.position.position = 5
    assert desk.new() == "daily_loss"
    assert desk.new(side=-1, reduce=1) == "ok"
    # Midnight does not lift the halt; a person does, and losses count anew from there.
    assert gate_mark(desk.risk, -500, NOW + 2 * DAY) == 0
    assert desk.new() == "daily_loss"
    gate_resume(desk.risk, -500)
    assert desk.new() == "ok"
    assert gate_mark(desk.risk, -600, NOW + 2 * DAY) == 0
    assert gate_mark(desk.risk, -601, NOW + 2 * DAY) == reasons.DAILY_LOSS


def test_a_day_starts_at_utc_midnight_with_the_last_equity_before_it():
    desk = Desk(Limits(daily_loss_max=100))
    midnight = 19_676 * DAY
    assert gate_mark(desk.risk, -80, midnight - 1) == 0
    assert gate_mark(desk.risk, -180, midnight) == 0
    assert desk.risk.day_start_equity == -80
    # A clock that steps back does not start the day again.
    assert gate_mark(desk.risk, -180, midnight - 5) == 0
    assert desk.risk.day_start_equity == -80
    assert gate_mark(desk.risk, -181, midnight + 1) == reasons.DAILY_LOSS


def test_a_fall_from_the_peak_halts():
    desk = Desk(Limits(drawdown_max=100))
    marks = [0, 300, 200, 350, 250, 249]
    found = [gate_mark(desk.risk, equity, NOW + i * DAY) for i, equity in enumerate(marks)]
    assert found == [0, 0, 0, 0, 0, reasons.DRAWDOWN]
    assert desk.new() == "drawdown"
    gate_halt(desk.risk, reasons.KILL_SWITCH)
    assert desk.new() == "kill_switch"
    gate_halt(desk.risk, reasons.DRAWDOWN)
    assert desk.new() == "kill_switch"


def test_an_equity_beyond_all_sums_still_halts():
    desk = Desk(Limits(drawdown_max=100))
    assert gate_mark(desk.risk, 1 << 62, NOW) == 0
    assert gate_mark(desk.risk, -(1 << 62), NOW) == reasons.DRAWDOWN


def test_refusals_made_elsewhere_are_counted_too():
    desk = Desk(Limits())
    count_refusal(desk.risk, reasons.COMMAND_RING_FULL)
    count_refusal(desk.risk, 10_000)
    assert (desk.risk.n_refused, desk.risk.refusals[reasons.COMMAND_RING_FULL]) == (2, 1)
