"""The quoter in hftbacktest's own API, compiled by Numba's own njit with its own settings, as its documentation shows.

Not by tercel's kernels, which are made to be linked into entries and would slow a peer down. Imported by
`hftbacktest_peer` when it makes an engine, so Numba is fetched by name then; numbers are hftbacktest's own codes.
"""

from __future__ import annotations

from typing import Any

from tercel.bench.peers import load
from tercel.bench.questions import HALF_TICKS, MAX_LOTS, ORDER_LOTS, QUOTE_NS, SKEW_LOTS, SKEW_MAX_TICKS

__all__ = ["run_feed", "run_grid"]

njit: Any = load("numba").njit

_GTX, _LIMIT, _FILLED, _MARKET_FEED = 1, 0, 3, 2
_NO_ASK = 1 << 62  # its empty ask is the largest int64
_FOREVER_NS = 1 << 60

#: The strategy's state: one int64 array.
NEXT_ID, BUY_ID, BUY_PX, SELL_ID, SELL_PX, N_FILLS, N_SENT, N_WAKES = range(8)


@njit
def _record_fills(hbt: Any, state: Any, fills: Any) -> None:
    """Write down orders that have filled since the last look; called before they are forgotten."""
    orders = hbt.orders(0).values()
    while orders.has_next():
        order = orders.get()
        if order.status == _FILLED:
            row = state[N_FILLS]
            fills[row, 0] = int(order.order_id)
            fills[row, 1] = order.exch_timestamp
            fills[row, 2] = order.exec_price_tick
            fills[row, 3] = round(order.exec_qty * 1000.0)
            fills[row, 4] = order.side
            state[N_FILLS] = row + 1


@njit
def _step(hbt: Any, state: Any, reference: int, bid: int, ask: int, fills: Any, sent: Any) -> None:
    """One quoting step, as `tercel.bench.questions` defines it."""
    tick, lot = 0.1, 0.001
    if len(fills) > 0:
        _record_fills(hbt, state, fills)
    hbt.clear_inactive_orders(0)
    position = round(hbt.position(0) / lot)
    skew = min(max(position // SKEW_LOTS, -SKEW_MAX_TICKS), SKEW_MAX_TICKS)
    orders = hbt.orders(0)

    px = min(bid, reference // 2 - HALF_TICKS - skew)
    wanted = position < MAX_LOTS
    alive = state[BUY_ID] != 0 and state[BUY_ID] in orders
    if alive and (state[BUY_PX] != px or not wanted):
        hbt.cancel(0, state[BUY_ID], False)
        alive = False
    if wanted and not alive:
        order = state[NEXT_ID]
        state[NEXT_ID] = order + 1
        state[BUY_ID], state[BUY_PX] = order, px
        hbt.submit_buy_order(0, order, px * tick, ORDER_LOTS * lot, _GTX, _LIMIT, False)
        if len(sent) > 0:
            _record_sent(state, sent, hbt.current_timestamp, order, px, 1)

    px = max(ask, (reference + 1) // 2 + HALF_TICKS - skew)
    wanted = position > -MAX_LOTS
    alive = state[SELL_ID] != 0 and state[SELL_ID] in orders
    if alive and (state[SELL_PX] != px or not wanted):
        hbt.cancel(0, state[SELL_ID], False)
        alive = False
    if wanted and not alive:
        order = state[NEXT_ID]
        state[NEXT_ID] = order + 1
        state[SELL_ID], state[SELL_PX] = order, px
        hbt.submit_sell_order(0, order, px * tick, ORDER_LOTS * lot, _GTX, _LIMIT, False)
        if len(sent) > 0:
            _record_sent(state, sent, hbt.current_timestamp, order, px, -1)


@njit
def _record_sent(state: Any, sent: Any, ts_ns: int, order: int, px: int, side: int) -> None:
    row = state[N_SENT]
    sent[row, 0], sent[row, 1], sent[row, 2], sent[row, 3], sent[row, 4] = order, ts_ns, px, ORDER_LOTS, side
    state[N_SENT] = row + 1


@njit
def run_grid(hbt: Any, state: Any, fills: Any, sent: Any) -> int:
    """The quoter on a fixed grid of wake-ups; hftbacktest's last status."""
    status = hbt.elapse(QUOTE_NS)
    while status == 0:
        state[N_WAKES] += 1
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        if bid > 0 and ask < _NO_ASK:
            _step(hbt, state, bid + ask, bid, ask, fills, sent)
        status = hbt.elapse(QUOTE_NS)
    if len(fills) > 0:
        _record_fills(hbt, state, fills)
    return int(status)


@njit
def run_feed(hbt: Any, state: Any, fills: Any, sent: Any) -> int:
    """The quoter woken by every message of the feed; hftbacktest's last status."""
    average = 0
    next_ns = 0
    status = hbt.wait_next_feed(False, _FOREVER_NS)
    while status == _MARKET_FEED:
        state[N_WAKES] += 1
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        if bid > 0 and ask < _NO_ASK:
            scaled = (bid + ask) << 16
            average = scaled if average == 0 else average + ((scaled - average) >> 6)
            now_ns = hbt.current_timestamp
            if now_ns >= next_ns:
                next_ns = now_ns + QUOTE_NS
                _step(hbt, state, average >> 16, bid, ask, fills, sent)
        status = hbt.wait_next_feed(False, _FOREVER_NS)
    if len(fills) > 0:
        _record_fills(hbt, state, fills)
    return int(status)
