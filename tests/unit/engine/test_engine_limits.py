"""What the engine tells the gate: sizes in flight, gross of all, our own orders; and what a passed loss limit does."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from reference.busy_strategies import SIM
from reference.event_makers import ack, amend_rejected, amended, canceled, fill, joined, quote, row, timer
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.model.commands import AMEND, CANCEL, GTC, LIMIT, LINK, MARKET, NEW, STOP, STOP_LIMIT
from tercel.model.events import CANCEL_REJECT, CONNECT, DISCONNECT, HALT, REFUSED, SIGNAL
from tercel.model.instrument import Instrument
from tercel.model.reasons import (
    BAD_ORDER_TYPE,
    BAD_PRICE,
    BAD_QTY,
    DAILY_LOSS,
    GROSS_LIMIT,
    KILL_SWITCH,
    MESSAGE_RATE,
    ORDER_NOT_OPEN,
    POSITION_LIMIT,
    SELF_TRADE,
    UNKNOWN_ORDER,
)
from tercel.risk.limits import Limits
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=32, orders=16, timers=4, far_levels=64, depth_ticks=256)
S = 1_000_000_000
FIRST = (1 << 32) + 1
#: The same at a venue that amends by canceling and placing anew.
REPLACING = msgspec.structs.replace(SIM, amends="replace")


class Asked(Strategy):
    """Does what a signal says: its id is what to do, its two floats are the arguments."""

    last_state: int = 0
    last_lots: int = 0
    last_reason: int = 0

    def on_signal(self, ctx, signal):
        what, a, b = signal.id, int(signal.value), int(signal.confidence)
        if what == 0:
            ctx.order_lots(0, 1 if a > 0 else -1, abs(a), b, GTC, LIMIT if b > 0 else MARKET)
        elif what == 1:
            ctx.amend_lots((1 << 32) + 1, a, b)
        elif what == 2:
            ctx.cancel_all(0)
        elif what == 3:
            ctx.order_lots(0, -1, a, 0, GTC, STOP, 0, b)
        elif what == 4:
            ctx.order_lots(0, -1, a, b - 10, GTC, STOP_LIMIT, 0, b)
        elif what == 5:
            ctx.one_cancels_other((1 << 32) + a, (1 << 32) + b)
        elif what == 6:
            ctx.buy(0, float(a), float(b))
        elif what == 7:
            ctx.cancel((1 << 32) + a)

    def on_order(self, ctx, order):
        if order.kind == REFUSED:
            self.last_state, self.last_lots, self.last_reason = order.state, order.lots, order.reason


def ask(ts: int, what: int, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    bits = [int(np.float64(x).view(np.int64)) for x in (a, b)]
    return row(SIGNAL, ts, id=what, arg0=bits[0], arg1=bits[1])


def make(instrument: Instrument = SIM, **limits: Any) -> Engine:
    engine = Engine([instrument], [Asked()], limits=Limits(**limits), capacity=SMALL)
    engine.start(0)
    engine.run(quote(1))
    return engine


def done(engine: Engine, *rows: np.ndarray) -> tuple[list[int], list[int]]:
    """Kinds of the commands and reasons of the refusals that rows lead to."""
    commands, refused = engine.run(joined(*rows))
    return commands["kind"].tolist(), refused["reason"].tolist()


def position(engine: Engine) -> Any:
    return engine.view("positions")[0]


def test_a_growing_amend_counts_while_it_is_in_flight() -> None:
    engine = make(position_max="0.1")
    assert done(engine, ask(2, 0, 40, 9_000), ack(3, FIRST, 1)) == ([NEW], [])
    assert done(engine, ask(4, 1, 90, 9_000)) == ([AMEND], [])
    assert position(engine)["open_buy"] == 90
    assert done(engine, ask(5, 0, 20, 9_000)) == ([], [POSITION_LIMIT])
    # The venue was told the whole size: a fill meanwhile is of it.
    assert done(engine, fill(6, FIRST, 1, 9_000, 5)) == ([], [])
    assert position(engine)["open_buy"] == 85
    assert done(engine, amend_rejected(7, FIRST, 1)) == ([], [])
    assert position(engine)["open_buy"] == 35
    assert done(engine, ask(8, 1, 10, 9_000)) == ([AMEND], [])
    assert position(engine)["open_buy"] == 35
    assert done(engine, amended(9, FIRST, 1, 9_000, 10)) == ([], [])
    assert position(engine)["open_buy"] == 10
    assert done(engine, ask(10, 1, 30, 9_000), canceled(11, FIRST, 1)) == ([AMEND], [])
    assert position(engine)["open_buy"] == 0


def test_gross_counts_open_orders_and_an_amend_without_the_order_it_replaces() -> None:
    # One lot at 100.00 is 0.1: 90 lots are 9.
    engine = make(gross_notional_max=10)
    assert done(engine, ask(2, 0, 90, 10_000), ack(3, FIRST, 1)) == ([NEW], [])
    assert done(engine, ask(4, 0, 20, 10_000)) == ([], [GROSS_LIMIT])
    assert done(engine, ask(5, 1, 95, 10_000), amended(6, FIRST, 1, 10_000, 95)) == ([AMEND], [])
    assert done(engine, ask(7, 1, 101, 10_000)) == ([], [GROSS_LIMIT])
    assert done(engine, fill(8, FIRST, 1, 10_000, 95)) == ([], [])
    assert done(engine, ask(9, 0, 4, 10_000), ask(10, 0, 2, 10_000)) == ([NEW], [GROSS_LIMIT])


def test_where_an_amend_is_a_replacement_both_sizes_count_once_the_order_has_fills() -> None:
    engine = make(REPLACING, position_max="0.1")
    assert done(engine, ask(2, 0, 40, 9_000), ack(3, FIRST, 1)) == ([NEW], [])
    # Without a fill it is replaced only if it still has none: 40 or 50, never both.
    assert done(engine, ask(4, 1, 50, 9_001)) == ([AMEND], [])
    assert position(engine)["open_buy"] == 50
    assert done(engine, amend_rejected(5, FIRST, 1), fill(6, FIRST, 1, 9_000, 10)) == ([], [])
    # 30 are left, of which 29 may fill before the cancel, and then the new ones: 10 + 29 + 62 would be 101.
    assert done(engine, ask(7, 1, 62, 9_001)) == ([], [POSITION_LIMIT])
    assert done(engine, ask(8, 1, 61, 9_001)) == ([AMEND], [])
    assert position(engine)["open_buy"] == 90
    assert done(engine, ask(9, 0, 1, 9_000)) == ([], [POSITION_LIMIT])
    assert done(engine, fill(10, FIRST, 1, 9_000, 29)) == ([], [])
    assert (position(engine)["position"], position(engine)["open_buy"]) == (39, 61)
    assert done(engine, amended(11, FIRST, 1, 9_001, 61)) == ([], [])
    assert position(engine)["open_buy"] == 61
    # A smaller size at its price is made smaller in its place.
    assert done(engine, ask(12, 1, 20, 9_001)) == ([AMEND], [])
    assert position(engine)["open_buy"] == 61
    assert done(engine, amended(13, FIRST, 1, 9_001, 20), ask(14, 1, 20, 9_002)) == ([AMEND], [])
    assert position(engine)["open_buy"] == 39
    # It filled whole before the cancel: nothing was placed anew.
    assert done(engine, fill(15, FIRST, 1, 9_001, 20)) == ([], [])
    assert (position(engine)["position"], position(engine)["open_buy"]) == (59, 0)


def test_an_amend_nobody_answers_counts_until_the_venue_says() -> None:
    engine = make(REPLACING, position_max="0.1")
    done(engine, ask(2, 0, 40, 9_000), fill(3, FIRST, 1, 9_000, 10), ask(4, 1, 30, 9_001))
    assert position(engine)["open_buy"] == 59
    done(engine, row(DISCONNECT, 5), fill(6, FIRST, 1, 9_000, 4), row(CONNECT, 7))
    assert (position(engine)["position"], position(engine)["open_buy"]) == (14, 55)
    assert done(engine, ask(8, 0, 32, 9_000)) == ([], [POSITION_LIMIT])
    assert done(engine, amended(9, FIRST, 1, 9_001, 30), ask(10, 0, 32, 9_000)) == ([NEW], [])
    assert position(engine)["open_buy"] == 62


def test_an_amend_says_what_its_sender_knew_to_be_left() -> None:
    engine = make()
    done(engine, ask(2, 0, 40, 9_000), fill(3, FIRST, 1, 9_000, 10))
    commands, _ = engine.run(ask(4, 1, 50, 9_001))
    assert [int(commands[0][x]) for x in ("kind", "px", "qty", "arg")] == [AMEND, 9_001, 50, 30]


def test_gross_counts_an_amend_in_flight_at_the_dearer_price() -> None:
    # One lot at 100.00 is 0.1.
    engine = make(gross_notional_max=10)
    assert done(engine, ask(2, 0, 50, 8_000), ack(3, FIRST, 1), ask(4, 1, 50, 10_000)) == ([NEW, AMEND], [])
    # 4 rested, 5 are asked for.
    assert done(engine, ask(5, 0, 51, 10_000)) == ([], [GROSS_LIMIT])
    assert done(engine, amended(6, FIRST, 1, 10_000, 50), ask(7, 1, 50, 8_000)) == ([AMEND], [])
    assert done(engine, ask(8, 0, 51, 10_000), ask(9, 0, 50, 10_000)) == ([NEW], [GROSS_LIMIT])
    # 50 at 8,000 rest: of 110 at 9,000 none can have traded at less. But of 110 at 7,000 50 may have, at 8,000.
    other = make(gross_notional_max=10)
    assert done(other, ask(2, 0, 50, 8_000), ack(3, FIRST, 1), ask(4, 1, 112, 9_000)) == ([NEW], [GROSS_LIMIT])
    assert done(other, ask(5, 1, 136, 7_000), ask(6, 1, 135, 7_000)) == ([AMEND], [GROSS_LIMIT])
    # Where it adds, what is left at the old price and all of the new.
    third = make(REPLACING, gross_notional_max=10)
    done(third, ask(2, 0, 60, 8_000), fill(3, FIRST, 1, 8_000, 10), quote(4, 7_999, 8_001))
    assert done(third, ask(5, 1, 66, 8_002)) == ([], [GROSS_LIMIT])
    assert done(third, ask(6, 1, 60, 8_002)) == ([AMEND], [])


def test_an_own_order_that_is_being_amended_stands_at_both_prices() -> None:
    engine = make()
    done(engine, ask(2, 0, 40, 9_000), ack(3, FIRST, 1), ask(4, 1, 40, 10_001))
    assert done(engine, ask(5, 0, -10, 10_001)) == ([], [SELF_TRADE])
    assert done(engine, amend_rejected(6, FIRST, 1), ask(7, 0, -10, 10_001)) == ([NEW], [])


def test_protective_stops_are_no_self_trade() -> None:
    engine = make()
    assert done(engine, ask(2, 0, 10, 10_000), ack(3, FIRST, 1)) == ([NEW], [])
    assert done(engine, ask(4, 3, 10, 9_900), ask(5, 4, 10, 9_800)) == ([NEW, NEW], [])
    # Nor does an order meet our own stop-limit that waits for its trigger.
    assert done(engine, ask(6, 0, 10, 10_001)) == ([NEW], [])
    assert done(engine, ask(7, 0, -10, 10_000)) == ([], [SELF_TRADE])


def test_a_refused_request_is_shown_as_the_order_it_was_about() -> None:
    engine = make()
    done(engine, ask(2, 0, 40, 9_000), ack(3, FIRST, 1), ask(4, 1, 50, 9_000))
    assert done(engine, ask(5, 7, 1)) == ([], [ORDER_NOT_OPEN])
    assert [int(engine.state(0)[n]) for n in ("last_state", "last_lots", "last_reason")] == [2, 40, ORDER_NOT_OPEN]
    assert done(engine, ask(6, 7, 5)) == ([], [UNKNOWN_ORDER])
    assert [int(engine.state(0)[n]) for n in ("last_state", "last_lots", "last_reason")] == [0, 0, UNKNOWN_ORDER]
    refusals = engine.view("risk")[0]["refusals"]
    assert [int(refusals[k]) for k in (ORDER_NOT_OPEN, UNKNOWN_ORDER)] == [1, 1]


def test_links_join_two_orders_of_one_instrument() -> None:
    engine = make()
    done(engine, ask(2, 0, 40, 9_000), ask(3, 0, 40, 8_000))
    assert done(engine, ask(4, 5, 1, 1), ask(5, 5, 1, 9), ask(6, 5, 1, 2)) == ([LINK], [BAD_ORDER_TYPE, UNKNOWN_ORDER])


@pytest.mark.parametrize(
    ("qty", "price", "reason"),
    # A limit of zero, which is what an empty side of the book says, must never become a market order.
    [(-1, 100, BAD_QTY), (1, -5, BAD_PRICE), (1, 0, BAD_PRICE), (float("nan"), 1, BAD_QTY)],
)
def test_no_size_and_no_price_are_told_apart_from_the_grid(qty: float, price: float, reason: int) -> None:
    class Wrong(Strategy):
        qty: float = 1.0
        price: float = 1.0

        def on_quote(self, ctx, quote):
            ctx.buy(0, self.qty, self.price)

    engine = Engine([SIM], [Wrong(qty=float(qty), price=float(price))], capacity=SMALL)
    engine.start(0)
    assert done(engine, quote(5)) == ([], [reason])


def test_cancel_all_takes_messages_as_cancels_do() -> None:
    engine = make(message_rate=1, message_burst=4)
    assert done(engine, *[ask(2 + i, 0, 10, 9_000 + i) for i in range(3)]) == ([NEW] * 3, [])
    assert done(engine, ask(6, 2)) == ([CANCEL], [MESSAGE_RATE])


@pytest.mark.parametrize("batch", [1, 100])
def test_a_loss_limit_is_looked_at_every_second_and_cancels(batch: int) -> None:
    engine = make(daily_loss_max=1)
    done(engine, ask(2, 0, 100, 10_002), fill(3, FIRST, 1, 10_002, 100), ask(4, 0, 10, 9_000), ask(5, 0, 20, 9_100))
    assert position(engine)["position"] == 100
    # 100 lots are 0.1: a fall of 11.00 loses 1.10. No order, no fill: the first whole second after it finds out.
    rows = joined(quote(S // 2, 8_900, 8_902), quote(S, 8_901, 8_903), quote(S + 5), quote(3 * S, 9_990, 9_992))
    parts = [engine.run(rows[i : i + batch]) for i in range(0, len(rows), batch)]
    commands = np.concatenate([part[0] for part in parts])
    assert commands["kind"].tolist() == [CANCEL, CANCEL]
    assert commands["id"].tolist() == [FIRST + 1, FIRST + 2]
    assert commands["ts"].tolist() == [S, S]
    assert int(engine.view("risk")[0]["halt_reason"]) == DAILY_LOSS
    assert done(engine, ask(4 * S, 0, 10, 9_000)) == ([], [DAILY_LOSS])


def test_cancels_that_find_no_room_are_repeated_each_second() -> None:
    capacity = Capacity(commands=4, orders=16, timers=4, far_levels=64, depth_ticks=256)
    engine = Engine([SIM], [Asked()], limits=Limits(daily_loss_max=1), capacity=capacity)
    engine.start(0)
    done(engine, quote(1), ask(2, 0, 100, 10_002), fill(3, FIRST, 1, 10_002, 100))
    done(engine, *[ask(4 + i, 0, 10, 9_000 - i) for i in range(6)])
    commands, _ = engine.run(joined(quote(S // 2, 8_900, 8_902), quote(10 * S, 8_900, 8_902), quote(20 * S)))
    assert commands["kind"].tolist() == [CANCEL] * 6
    assert (commands["ts"] // S).tolist() == [1, 1, 1, 1, 2, 2]
    # The venue would not: asked again at the next look.
    assert done(engine, row(CANCEL_REJECT, 21 * S, id=FIRST + 1, side=1), timer(23 * S)) == ([CANCEL], [])


def test_equity_is_looked_at_the_same_way_however_time_is_cut() -> None:
    hashes = set()
    for cuts in ([90_000 * S], [S, 5 * S + 3, 70_000 * S, 90_000 * S], list(range(0, 90_001 * S, 1_000 * S))):
        engine = make(daily_loss_max=1)
        for cut in cuts:
            engine.fire_timers(min(cut, 90_000 * S))
        engine.run(timer(90_000 * S))
        hashes.add(engine.state_hash())
        assert int(engine.view("risk")[0]["day_end_ns"]) == 2 * 86_400 * S
    assert len(hashes) == 1


def test_without_a_loss_limit_nothing_wakes() -> None:
    engine = make()
    assert int(engine.head["next_timer"]) == (1 << 63) - 1


def test_a_halt_cancels_amended_orders_too() -> None:
    engine = make()
    done(engine, ask(2, 0, 40, 9_000), ack(3, FIRST, 1), ask(4, 1, 60, 9_000), ask(5, 0, 10, 9_001))
    assert done(engine, row(HALT, 6), ask(7, 0, 10, 9_000)) == ([CANCEL, CANCEL], [KILL_SWITCH])
    assert position(engine)["open_buy"] == 70
    assert done(engine, amended(8, FIRST, 1, 9_000, 60), canceled(9, FIRST, 1)) == ([], [])
    assert position(engine)["open_buy"] == 10
