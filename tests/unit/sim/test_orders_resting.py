"""Orders that rest: queues, fills and their reasons, expiry, amends, icebergs. Rows and answers by hand."""

from __future__ import annotations

import pytest

from reference.scripted import BOOK, MS, T0, add, ask, bid, change, delete, fills, quote, run, story, trade
from tercel.model.commands import GTD, ICEBERG
from tercel.model.reasons import BY_REQUEST
from tercel.sim.latency import Constant, Latency

BUY, SELL = 1, -1


def lots(side, qty, px, *more):
    return lambda ctx: ctx.order_lots(0, side, qty, px, *more)


FIRST = 1 << 32


def test_queue_of_ten_is_used_up_by_trades():
    # Ten stand before us. 6 trade, 4 left; 9 trade, five of them ours of 8; 3 more, ours.
    rows = [*BOOK, trade(20, SELL, 99, 6), bid(20, 99, 4), trade(30, SELL, 99, 9), trade(40, SELL, 99, 9)]
    assert story(run(rows, {10: lots(BUY, 8, 99)}, queue="risk_averse")) == [
        (10.0, 1, "ack", "ok", 99, 8),
        (30.0, 1, "fill", "queue_reached", 99, 5, "maker"),
        (40.0, 1, "fill", "queue_reached", 99, 3, "maker"),
    ]
    made = run(rows, {10: lots(BUY, 8, 99)}, queue="risk_averse", partial_fills=False)
    assert fills(made) == [(1, "queue_reached", 99, 8)]


def test_cancels_in_front_by_model():
    # 10 before us, 10 join behind us, then 10 are canceled. Risk-averse: all behind; power 1: half before us.
    rows = [*BOOK, bid(20, 99, 20), bid(30, 99, 10), trade(40, SELL, 99, 6)]
    script = {10: lots(BUY, 3, 99)}
    assert fills(run(rows, script, queue="risk_averse")) == []
    assert fills(run(rows, script, queue="power", queue_n=1.0)) == [(1, "queue_reached", 99, 1)]


def test_trade_through_and_book_crossed_fill_whole():
    rows = [*BOOK, trade(20, SELL, 98, 1), ask(30, 96, 5)]
    assert story(run(rows, {10: lambda c: (c.order_lots(0, BUY, 50, 99), c.order_lots(0, BUY, 60, 97))})) == [
        (10.0, 1, "ack", "ok", 99, 50),
        (10.0, 2, "ack", "ok", 97, 60),
        (20.0, 1, "fill", "traded_through", 99, 50, "maker"),
        (30.0, 2, "fill", "book_crossed", 97, 60, "maker"),
    ]


def test_two_of_ours_share_one_trade_in_order_of_arrival():
    rows = [bid(0, 98, 5), ask(0, 101, 10), trade(30, SELL, 99, 7)]
    made = run(rows, {10: lots(BUY, 4, 99), 20: lots(BUY, 9, 99)})
    assert fills(made) == [(1, "queue_reached", 99, 4), (2, "queue_reached", 99, 3)]


def test_a_sell_that_fills_does_not_count_a_buys_queue_twice():
    # One row crosses the sell at 99 and moves the buy's queue: 10 before it, the level goes to 30 and back to 10.
    rows = [*BOOK, ask(15, 101, 0), bid(20, 100, 30), bid(30, 100, 10), trade(40, SELL, 100, 9)]
    script = {10: lambda c: (c.order_lots(0, BUY, 5, 100), c.order_lots(0, SELL, 5, 100))}
    made = run(rows, script, queue="power", queue_n=1.0)
    assert fills(made) == [(2, "book_crossed", 100, 5), (1, "queue_reached", 100, 5)]


def test_quotes_fill_what_they_meet():
    rows = [quote(0, 99, 5, 101, 5), quote(20, 97, 5, 99, 5), quote(30, 0, 0, 98, 5)]
    made = run(rows, {10: lambda c: (c.order_lots(0, BUY, 3, 99), c.order_lots(0, BUY, 3, 98))})
    assert story(made)[2:] == [
        (20.0, 1, "fill", "book_crossed", 99, 3, "maker"),
        (30.0, 2, "fill", "book_crossed", 98, 3, "maker"),
    ]


def test_gtd_ends_on_time_and_a_late_one_at_once():
    until = T0 + 50 * MS
    slow = Latency(new=Constant(10), response=Constant(3))
    made = run(
        BOOK, {5: lots(BUY, 5, 99, GTD, 0, 0, 0, until), 45: lots(BUY, 5, 99, GTD, 0, 0, 0, until)}, latency=slow
    )
    assert story(made) == [
        (18.0, 1, "ack", "ok", 99, 5),
        (53.0, 1, "expired", "gtd_expired", 99, 5),
        (58.0, 2, "expired", "gtd_expired", 99, 5),
    ]


def test_an_expiry_beyond_the_tape_leaves_the_order_open():
    made = run(BOOK, {5: lots(BUY, 5, 99, GTD, 0, 0, 0, T0 + 10**15)})
    assert story(made) == [(5.0, 1, "ack", "ok", 99, 5)]
    assert len(made.venue.orders()) == 1


@pytest.mark.parametrize(
    ("lots_after", "px", "expected"),
    [
        (3, 99, [(1, "queue_reached", 99, 3)]),  # smaller at its price keeps its place: one lot before it is left
        (6, 99, []),  # larger goes to the end: nine before it
        (5, 98, []),
    ],
)
def test_amend_keeps_its_place_only_when_smaller(lots_after, px, expected):
    rows = [*BOOK, trade(20, SELL, 99, 9), bid(20, 99, 1), bid(25, 99, 9), trade(40, SELL, 99, 4)]
    script = {10: lots(BUY, 5, 99), 30: lambda c: c.amend_lots(FIRST + 1, lots_after, px)}
    made = run(rows, script, queue="risk_averse")
    assert story(made)[1] == (30.0, 1, "amended", "ok", px, lots_after)
    assert fills(made) == expected


def test_amend_into_the_market_takes():
    made = run(BOOK, {10: lots(BUY, 5, 99), 30: lambda c: c.amend_lots(FIRST + 1, 12, 101)})
    assert story(made)[1:] == [
        (30.0, 1, "amended", "ok", 101, 12),
        (30.0, 1, "fill", "took", 101, 10, "taker"),
    ]


def test_cancel_and_cancel_of_what_has_filled():
    slow = Latency(cancel=Constant(20))
    rows = [*BOOK, trade(35, SELL, 98, 1)]
    made = run(rows, {10: lots(BUY, 5, 99), 20: lambda c: c.cancel(FIRST + 1)}, latency=slow)
    assert story(made) == [
        (10.0, 1, "ack", "ok", 99, 5),
        (35.0, 1, "fill", "traded_through", 99, 5, "maker"),
        (40.0, 1, "cancel_reject", "venue_unknown_order", 0, 0),
    ]
    made = run(BOOK, {10: lots(BUY, 5, 99), 20: lambda c: c.cancel_all(0)})
    assert story(made)[1:] == [(20.0, 1, "canceled", "by_request", 99, 5)]


def test_iceberg_shows_a_slice_at_a_time_at_the_end_of_the_queue():
    # 10 before the first slice of 4; the second slice joins behind the 6 displayed by then.
    rows = [*BOOK, trade(20, SELL, 99, 10), bid(20, 99, 6), trade(30, SELL, 99, 9), trade(40, SELL, 99, 6),
            trade(50, SELL, 99, 1), trade(60, SELL, 98, 1)]  # fmt: skip
    made = run(rows, {10: lots(BUY, 10, 99, 0, ICEBERG, 0, 4)}, queue="risk_averse")
    assert story(made)[1:] == [
        (30.0, 1, "fill", "queue_reached", 99, 4, "maker"),
        (50.0, 1, "fill", "queue_reached", 99, 1, "maker"),
        (60.0, 1, "fill", "traded_through", 99, 5, "maker"),
    ]


# --- exact queues on order rows -----------------------------------------------------------------------------------

ORDERS = [add(0, 1, BUY, 99, 6), add(0, 2, BUY, 99, 4), bid(0, 99, 10), add(0, 3, SELL, 101, 5), ask(0, 101, 5)]


def fifo(rows, script=None, **rules):
    return fills(run([*ORDERS, *rows], script or {10: lots(BUY, 5, 99)}, queue="fifo", **rules))


def test_fifo_cancels_in_front_bring_us_forward():
    rows = [
        delete(20, 1, BUY, 99, 6),
        bid(20, 99, 4),
        trade(30, SELL, 99, 6),
        delete(30, 2, BUY, 99, 0),
        bid(30, 99, 0),
    ]
    assert fifo(rows) == [(1, "fifo_matched", 99, 2)]


def test_fifo_cancels_behind_do_not():
    rows = [
        add(15, 4, BUY, 99, 9),
        bid(15, 99, 19),
        delete(20, 4, BUY, 99, 9),
        bid(20, 99, 10),
        trade(30, SELL, 99, 10),
    ]
    assert fifo(rows) == []


def test_fifo_an_order_that_came_after_us_trades():
    # The log reports makers first: 6 and 4 before us go, then 3 of the order behind us trade.
    rows = [
        add(15, 4, BUY, 99, 9),
        delete(20, 1, BUY, 99, 0),
        delete(20, 2, BUY, 99, 0),
        change(20, 4, BUY, 99, 6),
        trade(21, SELL, 99, 13),
    ]
    assert fifo(rows) == [(1, "fifo_matched", 99, 3)]
    assert fifo(rows, partial_fills=False) == [(1, "fifo_matched", 99, 5)]


def test_fifo_a_part_that_is_canceled_is_no_trade():
    cut = change(20, 4, BUY, 99, 6)
    cut["reason"] = BY_REQUEST
    behind = [add(15, 4, BUY, 99, 9), cut]
    assert fifo(behind) == []
    # Before us it brings us forward: 3 of 6 go, so 7 stand in front.
    cut = change(20, 1, BUY, 99, 3)
    cut["reason"] = BY_REQUEST
    assert fifo([cut, trade(30, SELL, 99, 7)]) == []
    assert fifo([cut, trade(30, SELL, 99, 8)]) == [(1, "fifo_matched", 99, 1)]


def test_fifo_an_order_that_grows_goes_behind_us():
    rows = [change(20, 1, BUY, 99, 8), trade(30, SELL, 99, 6), delete(30, 2, BUY, 99, 0), change(30, 1, BUY, 99, 6)]
    assert fifo(rows) == [(1, "fifo_matched", 99, 2)]
