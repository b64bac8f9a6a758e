"""Orders that take, or may not: rows and answers by hand. The trade at 1000 ms has no side and fills nobody."""

from __future__ import annotations

import pytest

from reference.scripted import BOOK, bar, fills, quote, run, story
from tercel.model.commands import FOK, GTX, ICEBERG, IOC, LIMIT, MARKET, REDUCE_ONLY
from tercel.sim.latency import Constant, Latency

BUY, SELL = 1, -1


def lots(side, qty, px, *more):
    return lambda ctx: ctx.order_lots(0, side, qty, px, *more)


def test_market_walks_the_book():
    assert story(run(BOOK, {10: lots(BUY, 25, 0, 0, MARKET)})) == [
        (10.0, 1, "ack", "ok", 0, 25),
        (10.0, 1, "fill", "took", 101, 10, "taker"),
        (10.0, 1, "fill", "took", 102, 15, "taker"),
    ]


def test_market_runs_out_of_book():
    assert story(run(BOOK, {10: lots(SELL, 70, 0, 0, MARKET)})) == [
        (10.0, 1, "ack", "ok", 0, 70),
        (10.0, 1, "fill", "took", 99, 10, "taker"),
        (10.0, 1, "fill", "took", 98, 20, "taker"),
        (10.0, 1, "fill", "took", 97, 30, "taker"),
        (10.0, 1, "expired", "no_liquidity", 0, 10),
    ]


def test_market_without_partial_fills_is_whole_at_the_best():
    assert fills(run(BOOK, {10: lots(BUY, 70, 0, 0, MARKET)}, partial_fills=False)) == [(1, "took", 101, 70)]


def test_limit_takes_up_to_its_price_and_rests():
    made = run(BOOK, {10: lots(BUY, 40, 102)})
    assert story(made) == [
        (10.0, 1, "ack", "ok", 102, 40),
        (10.0, 1, "fill", "took", 101, 10, "taker"),
        (10.0, 1, "fill", "took", 102, 20, "taker"),
    ]
    (order,) = made.venue.orders()
    assert (order["px"], order["qty"], order["ahead"]) == (102, 10, 0.0)


def test_ioc_ends_what_it_did_not_take():
    assert story(run(BOOK, {10: lots(SELL, 25, 98, IOC), 20: lots(BUY, 5, 100, IOC)})) == [
        (10.0, 1, "ack", "ok", 98, 25),
        (10.0, 1, "fill", "took", 99, 10, "taker"),
        (10.0, 1, "fill", "took", 98, 15, "taker"),
        (20.0, 2, "ack", "ok", 100, 5),
        (20.0, 2, "expired", "ioc_remainder", 100, 5),
    ]


def test_fok_fills_whole_or_not_at_all():
    assert story(run(BOOK, {10: lots(BUY, 31, 102, FOK), 20: lots(BUY, 30, 102, FOK)})) == [
        (10.0, 1, "expired", "fok_unfillable", 102, 31),
        (20.0, 2, "ack", "ok", 102, 30),
        (20.0, 2, "fill", "took", 101, 10, "taker"),
        (20.0, 2, "fill", "took", 102, 20, "taker"),
    ]


def test_fok_on_a_quote_sees_the_quoted_size():
    rows = [quote(0, 99, 10, 101, 10)]
    assert story(run(rows, {10: lots(BUY, 11, 101, FOK), 20: lots(BUY, 10, 101, FOK)})) == [
        (10.0, 1, "expired", "fok_unfillable", 101, 11),
        (20.0, 2, "ack", "ok", 101, 10),
        (20.0, 2, "fill", "took", 101, 10, "taker"),
    ]


def test_post_only_never_takes():
    assert story(run(BOOK, {10: lots(BUY, 5, 101, GTX), 20: lots(BUY, 5, 100, GTX)})) == [
        (10.0, 1, "expired", "would_take", 101, 5),
        (20.0, 2, "ack", "ok", 100, 5),
    ]


def test_own_takes_consume_until_the_feed_says_otherwise():
    script = {10: lots(BUY, 10, 102, IOC), 20: lots(BUY, 25, 102, IOC)}
    assert fills(run(BOOK, script, consume=True)) == [(1, "took", 101, 10), (2, "took", 102, 20)]
    assert fills(run(BOOK, script)) == [(1, "took", 101, 10), (2, "took", 101, 10), (2, "took", 102, 15)]


def test_own_takes_consume_a_quote():
    script = {10: lots(BUY, 7, 101, IOC), 20: lots(BUY, 7, 101, IOC)}
    made = run([quote(0, 99, 10, 101, 10)], script, consume=True)
    assert fills(made) == [(1, "took", 101, 7), (2, "took", 101, 3)]


def test_bars_fill_at_the_close_and_later_at_the_price_or_the_open():
    rows = [bar(0, 100, 105, 95, 100), bar(100, 98, 103, 94, 102), bar(200, 90, 92, 88, 91)]
    script = {10: lots(BUY, 5, 0, 0, MARKET), 20: lots(BUY, 5, 94), 30: lots(BUY, 5, 95), 110: lots(BUY, 5, 93)}
    assert story(run(rows, script)) == [
        (10.0, 1, "ack", "ok", 0, 5),
        (10.0, 1, "fill", "took", 100, 5, "taker"),
        (20.0, 2, "ack", "ok", 94, 5),
        (30.0, 3, "ack", "ok", 95, 5),
        # The low of 94 trades beyond 95 and only touches 94.
        (100.0, 3, "fill", "traded_through", 95, 5, "maker"),
        (110.0, 4, "ack", "ok", 93, 5),
        # The bar opens at 90, better than either price.
        (200.0, 2, "fill", "traded_through", 90, 5, "maker"),
        (200.0, 4, "fill", "traded_through", 90, 5, "maker"),
    ]


def test_reduce_only_is_cut_to_the_position_and_rejected_without_one():
    late = Latency(new=Constant(5))
    script = {
        10: lots(BUY, 8, 0, 0, MARKET),
        20: lambda ctx: (ctx.order_lots(0, SELL, 20, 99, IOC, LIMIT, REDUCE_ONLY), ctx.order_lots(0, SELL, 3, 98)),
        21: lots(SELL, 6, 98, IOC, LIMIT, REDUCE_ONLY),
    }
    assert story(run(BOOK, script, latency=late)) == [
        (15.0, 1, "ack", "ok", 0, 8),
        (15.0, 1, "fill", "took", 101, 8, "taker"),
        (25.0, 2, "ack", "ok", 99, 20),
        (25.0, 2, "amended", "venue_reduce_only", 99, 8),
        (25.0, 2, "fill", "took", 99, 8, "taker"),
        (25.0, 3, "ack", "ok", 98, 3),
        (25.0, 3, "fill", "took", 99, 3, "taker"),
        (26.0, 4, "reject", "venue_reduce_only", 98, 6),
    ]


def test_iceberg_takes_with_its_hidden_size():
    made = run(BOOK, {10: lots(BUY, 16, 101, 0, ICEBERG, 0, 4)})
    assert fills(made) == [(1, "took", 101, 10)]
    (order,) = made.venue.orders()
    assert (order["qty"], order["hidden"]) == (4, 2)


@pytest.mark.parametrize(
    ("self_trade", "told"),
    [
        ("newest", [(20.0, 2, "expired", "stp_canceled", 100, 5)]),
        ("oldest", [(20.0, 1, "expired", "stp_canceled", 100, 5), (20.0, 2, "ack", "ok", 100, 5)]),
        ("off", [(20.0, 2, "ack", "ok", 100, 5)]),
    ],
)
def test_self_trade_prevention_inside_the_spread(self_trade, told):
    made = run(BOOK, {10: lots(SELL, 5, 100), 20: lots(BUY, 5, 100)}, self_trade=self_trade)
    assert story(made)[1:] == told


def test_the_venues_rate_limit_by_windows():
    script = {ms: lots(BUY, 1, 90) for ms in (10, 20, 30, 110)}
    assert [line[:4] for line in story(run(BOOK, script, message_rate=2, message_window_s=0.1))] == [
        (10.0, 1, "ack", "ok"),
        (20.0, 2, "ack", "ok"),
        (30.0, 3, "reject", "venue_rate_limit"),
        (110.0, 4, "ack", "ok"),
    ]
