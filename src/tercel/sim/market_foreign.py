"""Orders from outside in a simulated market: they join its L3 book and trade with whoever is there. Kernels.

The simulated participants see foreign orders as they see each other's: they trade with them in price-time priority,
and place theirs by the best prices that foreign orders make. They never cancel them. A foreign order's id is
FOREIGN_ID or more, and its owner a number from 1 on, kept in the order's `tag`; who that is, what he owns and what his
orders may do is the caller's business. Between two runs of the market these entries draw no random number, so a market
that no foreign order reaches stays what it was.

Rows that the entries write, at state.ts: per trade a TRADE (side: the aggressor's) and, where the maker is foreign, its
FILL (see `market_flow.put_fill`); a CANCELED (reason VENUE_SELF_TRADE) for a maker that self-trade prevention ended;
a LEVEL for each level touched. Called by the local venue.
"""

from __future__ import annotations

from tercel.book.l3 import l3_add, l3_change, l3_delete, l3_find, l3_match
from tercel.book.l3_layout import L3_FILL, L3_HEADER, L3_LEVEL, L3_ORDER, L3_WORD
from tercel.book.l3_views import l3_depth_at
from tercel.jit import cold_kernel, entry, kernel, record, records
from tercel.model.events import CANCELED, EVENT, EXCH, LAST, LEVEL, LOCAL, TRADE
from tercel.model.reasons import VENUE_SELF_TRADE
from tercel.sim.market_flow import put_fill, put_row
from tercel.sim.market_state import MARKET_STATE

__all__ = [
    "OUTCOME_DONE", "OUTCOME_FULL", "OUTCOME_SELF_TRADE", "OUTCOME_UNFILLABLE", "OUTCOME_WOULD_TAKE", "RULE_FOK",
    "RULE_IOC", "RULE_POST", "RULE_REST", "STP_BOTH", "STP_MAKER", "STP_NONE", "STP_TAKER", "market_cancel",
    "market_reduce", "market_submit",
]  # fmt: skip

#: What an order does with what it cannot trade at once: rests, ends; or trades whole or not at all; or never takes.
RULE_REST, RULE_IOC, RULE_FOK, RULE_POST = range(4)
#: Who ends when an order meets one of its owner's: nobody, the newcomer, the one that rests, both.
STP_NONE, STP_TAKER, STP_MAKER, STP_BOTH = range(4)
#: state.outcome: what became of a submitted order. After OUTCOME_DONE what was left rests, where its rule lets it.
OUTCOME_DONE, OUTCOME_WOULD_TAKE, OUTCOME_UNFILLABLE, OUTCOME_SELF_TRADE, OUTCOME_FULL = range(5)

_BOTH = EXCH | LOCAL
#: Rows one maker may need: a trade or an end, a fill, its level; and the submitted order's own level.
_MARGIN = 8


@kernel
def _best_maker(book: int, side: int) -> int:
    """The row of the order that trades next on `side`, 0 when it is empty."""
    header = record(book, L3_HEADER)
    row_at, n = header.ask_row_at, header.n_asks
    if side > 0:
        row_at, n = header.bid_row_at, header.n_bids
    if n == 0:
        return 0
    at = records(book + row_at, header.level_max, L3_WORD)[n - 1]
    return int(records(book + header.levels_at, header.level_max + 1, L3_LEVEL)[at].head)


@cold_kernel
def _available(book: int, side: int, limit_px: int, qty: int) -> int:
    """Lots on the other side of an order of `side` up to its price, counted no further than `qty`."""
    header = record(book, L3_HEADER)
    levels = records(book + header.levels_at, header.level_max + 1, L3_LEVEL)
    row_at, n = header.bid_row_at, header.n_bids
    if side > 0:
        row_at, n = header.ask_row_at, header.n_asks
    rows = records(book + row_at, header.level_max, L3_WORD)
    total = 0
    while n > 0 and total < qty:
        n -= 1
        level = levels[rows[n]]
        if side * level.px > side * limit_px:
            break
        total += level.qty
    return int(total)


@kernel
def _put_level(block: int, out: int, n: int, side: int, px: int) -> int:
    state = record(block, MARKET_STATE)
    depth = l3_depth_at(block + state.book_at, side, px)
    put_row(state, records(out, n + 1, EVENT)[n], LEVEL, side, px, depth, state.update_id, _BOTH)
    return n + 1


@kernel
def _begin(block: int, ts: int) -> None:
    """A message at time `ts`, or at the market's own time where that is later."""
    state = record(block, MARKET_STATE)
    state.ts = max(state.ts, ts)
    state.ts_recv = max(state.ts_recv, state.ts)
    state.update_id += 1


@kernel
def _end(out: int, n: int) -> int:
    if n > 0:
        row = records(out, n, EVENT)[n - 1]
        row.flags = row.flags | LAST
    return n


@kernel
def _meet_own(block: int, out: int, n: int, row: int, stp: int) -> int:
    """Self-trade prevention: end the resting order at `row`, the submitted one, or both. Returns the row count."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    maker = records(book + header.orders_at, header.order_max + 1, L3_ORDER)[row]
    if stp != STP_TAKER:
        put_row(state, records(out, n + 1, EVENT)[n], CANCELED, maker.side, maker.px, maker.qty, maker.id, _BOTH)
        records(out, n + 1, EVENT)[n].reason = VENUE_SELF_TRADE
        n += 1
        l3_delete(book, maker.id)
        state.n_foreign -= 1
    if stp != STP_MAKER:
        state.outcome = OUTCOME_SELF_TRADE
    return n


@cold_kernel
def _take(block: int, out: int, n_cap: int, owner: int, side: int, limit_px: int, stp: int) -> int:
    """Trade state.left lots up to the price, one maker at a time. Returns the row count."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    orders = records(book + header.orders_at, header.order_max + 1, L3_ORDER)
    fill = records(block + state.fills_at, 1, L3_FILL)[0]
    n, touched = 0, 0
    while state.left > 0 and state.outcome == OUTCOME_DONE:
        at = _best_maker(book, -side)
        if at == 0 or side * orders[at].px > side * limit_px:
            break
        if n + _MARGIN > n_cap:
            state.outcome = OUTCOME_FULL
            break
        px = orders[at].px
        if touched != 0 and px != touched:
            n = _put_level(block, out, n, -side, touched)
        touched = px
        if stp != STP_NONE and orders[at].tag == owner:
            n = _meet_own(block, out, n, at, stp)
            continue
        l3_match(book, side, px, state.left, block + state.fills_at, 1)
        state.left -= fill.qty
        state.trade_id += 1
        put_row(state, records(out, n + 1, EVENT)[n], TRADE, side, fill.px, fill.qty, state.trade_id, _BOTH)
        n += 1
        n += put_fill(block, records(out, n + 1, EVENT)[n], fill, -side, state.trade_id)
    if touched != 0:
        n = _put_level(block, out, n, -side, touched)
    return n


@entry
def market_submit(
    block: int, out: int, n_cap: int, order_id: int, owner: int, side: int, limit_px: int, qty: int, rule: int,
    stp: int, ts: int,
) -> int:  # fmt: skip
    """A foreign order of `qty` lots at `limit_px` ticks (beyond every price for a market order) at time `ts`.

    order_id: FOREIGN_ID or more, not resting. owner: 1 or more. rule: RULE_*. stp: STP_*. out: room for n_cap EVENT
    rows; an order that would need more stops there with OUTCOME_FULL, as does one that finds the book full. state.left
    and state.outcome say what became of it. Returns the number of rows.
    """
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    state.left = qty
    state.outcome = OUTCOME_DONE
    if rule == RULE_POST and _available(book, side, limit_px, 1) > 0:
        state.outcome = OUTCOME_WOULD_TAKE
        return 0
    if rule == RULE_FOK and _available(book, side, limit_px, qty) < qty:
        state.outcome = OUTCOME_UNFILLABLE
        return 0
    _begin(block, ts)
    n = _take(block, out, n_cap, owner, side, limit_px, stp)
    if state.left > 0 and state.outcome == OUTCOME_DONE and (rule == RULE_REST or rule == RULE_POST):
        if l3_add(book, order_id, side, limit_px, state.left) != 0:
            state.outcome = OUTCOME_FULL
        else:
            records(book + header.orders_at, header.order_max + 1, L3_ORDER)[l3_find(book, order_id)].tag = owner
            state.n_foreign += 1
            n = _put_level(block, out, n, side, limit_px)
    return _end(out, n)


@entry
def market_cancel(block: int, out: int, n_cap: int, order_id: int, ts: int) -> int:
    """Take a foreign order out; state.left is what it had left. Returns the number of rows, -1 where none rests."""
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    at = l3_find(book, order_id)
    if at == 0 or n_cap < 1:
        return -1
    order = records(book + header.orders_at, header.order_max + 1, L3_ORDER)[at]
    side, px, state.left = order.side, order.px, order.qty
    _begin(block, ts)
    l3_delete(book, order_id)
    state.n_foreign -= 1
    return _end(out, _put_level(block, out, 0, side, px))


@entry
def market_reduce(block: int, out: int, n_cap: int, order_id: int, qty: int, ts: int) -> int:
    """Make a foreign order smaller, to `qty` lots left; it keeps its place. Returns the number of rows, -1 when it does
    not rest or is not larger than that.
    """
    state = record(block, MARKET_STATE)
    book = block + state.book_at
    header = record(book, L3_HEADER)
    at = l3_find(book, order_id)
    if at == 0 or n_cap < 1 or qty <= 0:
        return -1
    order = records(book + header.orders_at, header.order_max + 1, L3_ORDER)[at]
    if qty >= order.qty:
        return -1
    side, px = order.side, order.px
    _begin(block, ts)
    l3_change(book, order_id, px, qty)
    return _end(out, _put_level(block, out, 0, side, px))
