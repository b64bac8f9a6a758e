"""Stops, trailing stops, OCO pairs and brackets. Rows and answers by hand."""

from __future__ import annotations

from reference.scripted import BOOK, ask, bid, fills, quote, run, story, trade
from tercel.model.commands import GTC, IOC, MARKET, REDUCE_ONLY, STOP, STOP_LIMIT, TRAILING
from tercel.sim.latency import Constant, Latency

BUY, SELL = 1, -1
FIRST = 1 << 32


def lots(side, qty, px, *more):
    return lambda ctx: ctx.order_lots(0, side, qty, px, *more)


def test_stop_becomes_a_market_order():
    rows = [*BOOK, trade(5, BUY, 100, 1), trade(20, BUY, 101, 1), trade(30, BUY, 102, 1)]
    assert story(run(rows, {10: lots(BUY, 5, 0, GTC, STOP, 0, 102)})) == [
        (10.0, 1, "ack", "ok", 0, 5),
        (30.0, 1, "fill", "took", 101, 5, "taker"),
    ]


def test_stop_that_would_trigger_at_once_is_rejected():
    # By the last trade; before the first, by the price it would trade at.
    script = {4: lots(BUY, 5, 0, GTC, STOP, 0, 101), 10: lots(SELL, 5, 0, GTC, STOP, 0, 100)}
    assert story(run([*BOOK, trade(5, BUY, 100, 1)], script)) == [
        (4.0, 1, "reject", "would_trigger", 0, 5),
        (10.0, 2, "reject", "would_trigger", 0, 5),
    ]


def test_stop_limit_becomes_a_limit_order_and_rests():
    rows = [*BOOK, trade(20, SELL, 97, 1), trade(30, BUY, 101, 1)]
    made = run(rows, {10: lots(SELL, 5, 100, GTC, STOP_LIMIT, 0, 98)})
    assert story(made) == [
        (10.0, 1, "ack", "ok", 100, 5),
        (30.0, 1, "fill", "traded_through", 100, 5, "maker"),
    ]


def test_trailing_follows_the_best_trade():
    # The sell trails by 3: from 100 to 104 its trigger goes from 97 to 101.
    rows = [*BOOK, trade(5, BUY, 100, 1), trade(20, BUY, 104, 1), trade(30, SELL, 102, 1), trade(40, SELL, 101, 1)]
    assert story(run(rows, {10: lots(SELL, 5, 0, GTC, TRAILING, 0, 3)})) == [
        (10.0, 1, "ack", "ok", 0, 5),
        (40.0, 1, "fill", "took", 99, 5, "taker"),
    ]


def test_trailing_buy_before_any_price_does_not_trigger_on_the_first():
    rows = [quote(0, 0, 0, 0, 0), quote(20, 99, 5, 101, 5), quote(30, 95, 5, 97, 5), quote(40, 97, 5, 99, 5)]
    script = {10: lots(BUY, 5, 0, GTC, TRAILING, 0, 3)}
    assert story(run(rows, script)) == [(10.0, 1, "ack", "ok", 0, 5), (40.0, 1, "fill", "took", 99, 5, "taker")]


def test_stops_look_at_quotes_only_without_trades():
    stop = {10: lots(BUY, 5, 0, GTC, STOP, 0, 105)}
    rows = [quote(0, 99, 5, 101, 5), quote(20, 104, 5, 106, 5)]
    assert fills(run(rows, stop)) == [(1, "took", 106, 5)]
    assert fills(run([trade(0, BUY, 100, 1), *rows], stop)) == []


def test_one_cancels_the_other():
    rows = [*BOOK, trade(20, SELL, 98, 1)]

    def pair(ctx):
        ctx.one_cancels_other(ctx.order_lots(0, BUY, 5, 99), ctx.order_lots(0, SELL, 7, 101))

    assert story(run(rows, {10: pair}))[2:] == [
        (20.0, 1, "fill", "traded_through", 99, 5, "maker"),
        (20.0, 2, "canceled", "oco_sibling", 101, 7),
    ]


def test_a_sibling_that_leaves_first_in_line_skips_nobody():
    # Order 1 (sell) is the sibling of 2 (buy); when 2 fills, 1 leaves, and 3 must still be looked at.
    rows = [*BOOK, trade(20, SELL, 98, 1)]

    def three(ctx):
        first = ctx.order_lots(0, SELL, 7, 101)
        ctx.one_cancels_other(ctx.order_lots(0, BUY, 5, 99), first)
        ctx.order_lots(0, BUY, 6, 99)

    assert fills(run(rows, {10: three})) == [(2, "traded_through", 99, 5), (3, "traded_through", 99, 6)]


def test_a_link_that_comes_too_late_has_its_effect():
    rows = [*BOOK, trade(20, SELL, 98, 1)]
    script = {10: lambda c: (c.order_lots(0, BUY, 5, 99), c.order_lots(0, SELL, 7, 101)),
              15: lambda c: c.one_cancels_other(FIRST + 1, FIRST + 2)}  # fmt: skip
    slow = Latency(new=Constant(10))
    assert story(run(rows, script, latency=slow)) == [
        (20.0, 1, "ack", "ok", 99, 5),
        (20.0, 2, "ack", "ok", 101, 7),
    ]
    rows = [*BOOK, trade(22, SELL, 98, 1)]
    assert story(run(rows, script, latency=slow))[2:] == [
        (22.0, 1, "fill", "traded_through", 99, 5, "maker"),
        (25.0, 2, "canceled", "oco_sibling", 101, 7),
    ]


def test_a_bracket_that_ends_in_profit():
    rows = [*BOOK, trade(20, SELL, 98, 1), trade(30, BUY, 104, 1)]
    script = {10: lambda c: (
        c.order_lots(0, BUY, 5, 99), c.order_lots(0, SELL, 5, 103), c.order_lots(0, SELL, 5, 0, GTC, STOP, 0, 96),
        c.bracket(FIRST + 1, FIRST + 2), c.bracket(FIRST + 1, FIRST + 3), c.one_cancels_other(FIRST + 2, FIRST + 3),
    )}  # fmt: skip
    assert story(run(rows, script)) == [
        (10.0, 1, "ack", "ok", 99, 5),
        (10.0, 2, "ack", "ok", 103, 5),
        (10.0, 3, "ack", "ok", 0, 5),
        (20.0, 1, "fill", "traded_through", 99, 5, "maker"),
        (30.0, 2, "fill", "traded_through", 103, 5, "maker"),
        (30.0, 3, "canceled", "oco_sibling", 0, 5),
    ]
    rows = [*BOOK, trade(20, SELL, 98, 1), trade(30, SELL, 96, 1)]
    assert story(run(rows, script))[4:] == [
        (30.0, 3, "fill", "took", 99, 5, "taker"),
        (30.0, 2, "canceled", "oco_sibling", 103, 5),
    ]


def test_the_children_of_a_parent_that_ends_unfilled_end():
    script = {10: lambda c: (
        c.order_lots(0, BUY, 5, 90, IOC), c.order_lots(0, SELL, 5, 103), c.bracket(FIRST + 1, FIRST + 2),
    )}  # fmt: skip
    assert story(run(BOOK, script)) == [
        (10.0, 1, "ack", "ok", 90, 5),
        (10.0, 1, "expired", "ioc_remainder", 90, 5),
        (10.0, 2, "canceled", "parent_ended", 103, 5),
    ]
    script = {10: lambda c: (
        c.order_lots(0, BUY, 5, 90), c.order_lots(0, SELL, 5, 103), c.order_lots(0, BUY, 5, 80),
        c.bracket(FIRST + 1, FIRST + 2), c.bracket(FIRST + 2, FIRST + 3),
    ), 20: lambda c: c.cancel(FIRST + 1)}  # fmt: skip
    assert story(run(BOOK, script))[3:] == [
        (20.0, 1, "canceled", "by_request", 90, 5),
        (20.0, 2, "canceled", "parent_ended", 103, 5),
        (20.0, 3, "canceled", "parent_ended", 80, 5),
    ]


def test_a_parent_that_fills_on_arrival_wakes_children_that_come_with_it():
    script = {10: lambda c: (
        c.order_lots(0, BUY, 5, 0, GTC, MARKET), c.order_lots(0, SELL, 5, 99), c.bracket(FIRST + 1, FIRST + 2),
    )}  # fmt: skip
    assert fills(run(BOOK, script)) == [(1, "took", 101, 5), (2, "took", 99, 5)]


def test_a_stop_child_waits_when_it_wakes():
    rows = [bid(0, 99, 10), ask(0, 101, 10), trade(20, SELL, 98, 1), trade(30, SELL, 97, 1), trade(40, SELL, 96, 1)]
    script = {10: lambda c: (
        c.order_lots(0, BUY, 5, 99), c.order_lots(0, SELL, 5, 0, GTC, STOP, REDUCE_ONLY, 96),
    ), 11: lambda c: c.bracket(FIRST + 1, FIRST + 2)}  # fmt: skip
    told = story(run(rows, script))
    assert told[0] == (10.0, 2, "refused", "not_reducing", 0, 5)
    script = {10: lambda c: (
        c.order_lots(0, BUY, 5, 99), c.order_lots(0, SELL, 5, 0, GTC, STOP, 0, 96), c.bracket(FIRST + 1, FIRST + 2),
    )}  # fmt: skip
    assert story(run(rows, script))[2:] == [
        (20.0, 1, "fill", "traded_through", 99, 5, "maker"),
        (40.0, 2, "fill", "took", 99, 5, "taker"),
    ]
