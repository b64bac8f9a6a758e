"""Which venue an order goes to: several instruments of one underlying, scored, or swept as one merged book.

Each instrument has a ROUTE: who trades the same underlying, its venue's measured latency, its fee. The score of a venue
is 0.4 * liquidity + 0.4 * latency + 0.2 * fee, each in [0, 1]:

- liquidity: size on the book within the limit, over the size wanted, at most 1; no size at all rules a venue out;
- latency: the share of the budget of 25 ms that the venue leaves: 1 - min(mean latency / 25 ms, 1); 0.5 where nothing
  has been measured yet;
- fee: 1 - the taker's fee rate.

The strictly highest score wins, the first on ties. Kernels, called by `strategy.executing` and, for latency, by the
engine. Books are read through their address; where a book is empty the last quote stands for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.book.l2 import BOOK_SIDE, NO_KEY, SIDES_AT, book_level, book_next
from tercel.jit import cold_kernel, kernel, records

__all__ = [
    "BUDGET_NS", "CLOSED_HALTED", "CLOSED_LOST", "FEE_UNKNOWN", "LEVELS_MAX", "ROUTE", "latency_score", "route_choose",
    "route_fee", "route_latency", "route_score", "route_sweep", "routes_group",
]  # fmt: skip

#: From signal to wire, and what a venue's latency is judged against.
BUDGET_NS = 25_000_000
#: Levels of a book that count as its liquidity, and that a sweep takes from one venue at most.
LEVELS_MAX = 64
#: `fee_rate` before a strategy has stated one: it is then measured from the own fills.
FEE_UNKNOWN = -2.0
#: Bits of `closed`: the connection is lost; a loss limit halted the instrument.
CLOSED_LOST, CLOSED_HALTED = 1, 2

#: One instrument as the router sees it. group: the first instrument of the same underlying. venue: the first instrument
#: at the same venue; the latency of a venue is kept there. n_answers: answers measured; last_ns, worst_ns: int64 ns;
#: mean_ns: moves an eighth of the way to each new one. n_overruns: answers that came after their order's budget.
#: closed: CLOSED_LOST or CLOSED_HALTED while nothing may be sent there. fee_rate: the taker's fee as a fraction,
#: FEE_UNKNOWN until stated. key, left, lots, px: of the sweep at work, meaningless between two.
ROUTE = np.dtype(
    [
        ("group", "i8"),
        ("venue", "i8"),
        ("n_answers", "i8"),
        ("last_ns", "i8"),
        ("mean_ns", "i8"),
        ("worst_ns", "i8"),
        ("n_overruns", "i8"),
        ("closed", "i8"),
        ("fee_rate", "f8"),
        ("key", "i8"),
        ("left", "i8"),
        ("lots", "i8"),
        ("px", "i8"),
    ],
    align=True,
)


def routes_group(routes: Any, underlyings: list[Any], venues: list[str]) -> None:
    """Fill in who belongs together, from what each instrument is of and where it trades. Python, at set-up only."""
    for i, (underlying, venue) in enumerate(zip(underlyings, venues)):
        routes[i]["group"] = underlyings.index(underlying)
        routes[i]["venue"] = venues.index(venue)
        routes[i]["fee_rate"] = FEE_UNKNOWN


@kernel
def route_latency(routes: Any, instrument: int, latency_ns: int, budget_ns: int, is_measured: bool) -> None:
    """The first answer to an order took `latency_ns`. is_measured: the venue gave it, so that it says how far it is."""
    route = routes[routes[instrument].venue]
    if budget_ns > 0 and latency_ns > budget_ns:
        route.n_overruns += 1
    if not is_measured:
        return
    route.n_answers += 1
    route.last_ns = latency_ns
    if latency_ns > route.worst_ns:
        route.worst_ns = latency_ns
    if route.n_answers == 1:
        route.mean_ns = latency_ns
    else:
        route.mean_ns += (latency_ns - route.mean_ns) >> 3


@kernel
def latency_score(route: Any) -> float:
    """Share of the budget that a venue's mean latency leaves, in [0, 1]; 0.5 before the first answer."""
    if route.n_answers == 0:
        return 0.5
    return 1.0 - min(max(float(route.mean_ns), 0.0) / float(BUDGET_NS), 1.0)


@kernel
def route_fee(route: Any, position: Any) -> float:
    """The taker's fee as a fraction: as stated, else what the own fills paid on their turnover, else 0."""
    if route.fee_rate > -1.0:
        return float(route.fee_rate)
    if position.turnover > 0:
        return float(position.fee) / float(position.turnover)
    return 0.0


@kernel
def _first_key(book: int, k: int, market: Any) -> int:
    """The best key of side k (0 bids, 1 asks), NO_KEY for none; that of the quote where the book is empty."""
    key = records(book + SIDES_AT, 2, BOOK_SIDE)[k].best
    if key != NO_KEY:
        return int(key)
    px = market.bid_px if k == 0 else market.ask_px
    if px <= 0:
        return NO_KEY
    return int(px if k == 0 else -px)


@kernel
def _lots_at(book: int, k: int, key: int, market: Any) -> int:
    if records(book + SIDES_AT, 2, BOOK_SIDE)[k].best == NO_KEY:
        return int(market.bid_lots if k == 0 else market.ask_lots)
    side = 1 - 2 * k
    return int(book_level(book, side, side * key))


@kernel
def _next_key(book: int, k: int, key: int) -> int:
    if records(book + SIDES_AT, 2, BOOK_SIDE)[k].best == NO_KEY:
        return NO_KEY
    return int(book_next(book, k, key))


@cold_kernel
def _lots_within(book: int, k: int, market: Any, limit_key: int, enough: int) -> int:
    """Lots on side k at `limit_key` or better, counted no further than `enough` and LEVELS_MAX levels."""
    total = 0
    key = _first_key(book, k, market)
    for _ in range(LEVELS_MAX):
        if key == NO_KEY or key < limit_key or total >= enough:
            break
        total += _lots_at(book, k, key, market)
        key = _next_key(book, k, key)
    return total


@kernel
def _limit_key(instrument: Any, side: int, limit: float) -> int:
    """The worst key of the side taken from that `limit` lets through; NO_KEY lets everything through.

    An order to buy takes asks, whose key is the price negated. The limit is rounded to the grid, inwards.
    """
    if not (abs(limit) < 1e300):
        return NO_KEY
    steps = limit * instrument.tick_den / instrument.tick_num
    px = int(np.floor(steps + 1e-6)) if side > 0 else int(np.ceil(steps - 1e-6))
    return -side * px


@kernel
def route_score(route: Any, venue: Any, position: Any, found_lots: float, wanted_lots: float) -> float:
    """The score of one venue. route: of the instrument; venue: the ROUTE its venue's latency is kept at."""
    liquidity = min(found_lots / wanted_lots, 1.0)
    return 0.4 * liquidity + 0.4 * latency_score(venue) + 0.2 * (1.0 - route_fee(route, position))


@cold_kernel
def route_choose(
    books: int, book_stride: int, n: int, instruments: Any, markets: Any, positions: Any, routes: Any,
    instrument: int, side: int, qty: float, limit: float,
) -> int:  # fmt: skip
    """The instrument of the same underlying whose venue scores highest, -1 when none suits.

    A venue suits that has size within the limit, is not closed, and whose grid and least size the quantity fits.
    """
    best, best_score = -1, 0.0
    k = 1 if side > 0 else 0
    for i in range(n):
        if routes[i].group != routes[instrument].group or routes[i].closed != 0:
            continue
        wanted = qty * instruments[i].lot_den / instruments[i].lot_num
        whole = np.floor(wanted + 0.5)
        if not (whole >= 1.0 and whole < 4e18) or abs(wanted - whole) > 1e-5 or whole < instruments[i].lot_min:
            continue
        key = _limit_key(instruments[i], side, limit)
        found = _lots_within(books + i * book_stride, k, markets[i], key, int(whole))
        if found <= 0:
            continue
        score = route_score(routes[i], routes[routes[i].venue], positions[i], float(found), whole)
        if best < 0 or score > best_score:
            best, best_score = i, score
    return best


@kernel
def _net_price(instrument: Any, route: Any, position: Any, side: int, px: int) -> float:
    """What one unit costs (buys) or brings (sells) with the fee, in quote."""
    fee = route_fee(route, position)
    return px * instrument.tick_num / instrument.tick_den * (1.0 + side * fee)


@cold_kernel
def route_sweep(
    books: int, book_stride: int, n: int, instruments: Any, markets: Any, positions: Any, routes: Any,
    instrument: int, side: int, qty: float, limit: float,
) -> float:  # fmt: skip
    """Take `qty` from the merged books, best net price first. Leaves lots and px (worst price used) in each ROUTE.

    Equal net prices: the first instrument's. Returns the quantity that found no size within the limit.
    O(levels taken * instruments).
    """
    k = 1 if side > 0 else 0
    unit = instruments[instrument].lot_num / instruments[instrument].lot_den
    # Counted in lots of the instrument named, so that venues with that lot size are swept in exact whole numbers.
    left = np.floor(qty / unit + 1e-6)
    for i in range(n):
        route = routes[i]
        route.lots, route.px, route.left, route.key = 0, 0, 0, NO_KEY
        if route.group != routes[instrument].group or route.closed != 0:
            continue
        key = _first_key(books + i * book_stride, k, markets[i])
        if key != NO_KEY and key >= _limit_key(instruments[i], side, limit):
            route.key = key
            route.left = _lots_at(books + i * book_stride, k, key, markets[i])
    for _ in range(LEVELS_MAX * n):
        best, best_net = -1, 0.0
        for i in range(n):
            if routes[i].key == NO_KEY:
                continue
            net = _net_price(instruments[i], routes[i], positions[i], side, -side * routes[i].key)
            if best < 0 or (best_net - net) * side > 0.0:
                best, best_net = i, net
        if best < 0 or left <= 0.0:
            break
        left = _take_level(books + best * book_stride, k, instruments[best], markets[best], routes[best], left, unit)
        if routes[best].key != NO_KEY and routes[best].key < _limit_key(instruments[best], side, limit):
            routes[best].key = NO_KEY
    for i in range(n):
        route = routes[i]
        route.key, route.left = 0, 0
        if route.lots < instruments[i].lot_min:
            left += route.lots * (instruments[i].lot_num / instruments[i].lot_den / unit)
            route.lots, route.px = 0, 0
    return left * unit


@kernel
def _take_level(book: int, k: int, instrument: Any, market: Any, route: Any, left: float, unit: float) -> float:
    """Take what is wanted of a venue's current level and move on to its next. Returns what is wanted then, in units."""
    ratio = instrument.lot_num / instrument.lot_den / unit
    lots = min(route.left, int(np.floor(left / ratio + 1e-6)))
    if lots > 0:
        route.lots += lots
        route.px = (2 * k - 1) * -route.key
        left -= lots * ratio
    if lots < route.left:
        # Nothing more fits here: what is left is less than a lot of this venue.
        route.key = NO_KEY
        return left
    route.key = _next_key(book, k, route.key)
    if route.key != NO_KEY:
        route.left = _lots_at(book, k, route.key, market)
    return left
