"""The memory of the simulated venue: one relocatable stretch, apart from the engine's, and what lies in it."""

from __future__ import annotations

import numpy as np

from tercel.book.l2 import book_bytes
from tercel.book.l3_layout import l3_size
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT
from tercel.model.instrument import INSTRUMENT
from tercel.model.runlog import SAMPLE
from tercel.sim.latency import LEG
from tercel.sim.queue import QUEUE_VIEW

__all__ = [
    "L3_LEVEL_MAX",
    "L3_ORDER_MAX",
    "LOG_MAX",
    "REST_MAX",
    "RING_MAX",
    "SIM_ORDER",
    "VENUE",
    "VENUE_INSTRUMENT",
    "lay_out",
]

#: Messages in flight each way; orders resting at the venue; rows of each log between two visits of the driver.
RING_MAX = 1 << 14
REST_MAX = 1 << 12
LOG_MAX = 1 << 14
#: Orders and price levels of one instrument's L3 book, which only the FIFO queue model keeps.
L3_ORDER_MAX = 1 << 17
L3_LEVEL_MAX = 1 << 15

#: The head. i_exch, i_local: cursors into the rows. request_*, response_*: heads and tails of the two rings, counting
#: up. next_expiry: earliest end of a GTD order. next_sample, sample_ns: when equity is looked at. partial: 1 when
#: orders fill in parts. consume: 1 when our takes remove displayed size. error: first status that was not fine.
#: instant_ns, n_at_instant: messages sent at one time. pass_number: passes over our orders so far. end_ns: time of
#: the last row, once it is known. serial: tag of the next order of an L3 book; lost_*: where one lost size last.
VENUE = np.dtype(
    [
        (name, "i8")
        for name in (
            "size n_instruments i_exch i_local now next_expiry next_sample sample_ns partial consume queue_model "
            "self_trade n_orders n_woken n_executions pass_number end_ns instant_ns n_at_instant "
            "error error_arg "
            "request_head request_tail request_last_due response_head response_tail response_last_due "
            "entry_least_ns answer_least_ns feed_handlers "
            "n_log_events n_log_commands n_log_refused n_samples "
            "rate_tokens rate_max rate_window_ns rate_start_ns "
            "queue_new_fn queue_trade_fn queue_depth_fn queue_state queue_error step_fn "
            "off_instruments off_states off_own off_books book_stride off_orders off_requests off_request_due "
            "off_request_parent off_responses off_l3 l3_stride serial lost_px lost_side lost_tag "
            "off_legs off_points off_log_events off_log_strategies off_log_commands off_log_command_strategies "
            "off_log_refused off_samples off_queue_view off_tiers n_tiers"
        ).split()
    ]
    + [("queue_n", "f8")],
    align=True,
)

#: One instrument at the venue. n_buy, n_sell: our resting orders; buy_best .. sell_worst bound their prices, in ticks,
#: so that most rows need one compare (none: best beyond reach). n_waiting: stops and held orders. bid_px .. ask_lots:
#: the last quote or bar, where there is no book. position: int64 lots. turnover: int64 money quanta. maker, taker:
#: rates in force, 1e-8.
VENUE_INSTRUMENT = np.dtype(
    [
        (name, "i8")
        for name in (
            "n_buy buy_best buy_worst n_sell sell_best sell_worst n_waiting last_px bid_px bid_lots ask_px ask_lots "
            "position turnover tier maker"
        ).split()
    ]
    + [("taker", "i8"), ("has_bars", "i8")],
    align=True,
)

#: What rows of one book side are compared with, bids before asks: the keys (see book.l2) between which our orders of
#: that side rest. None rest: best far below and worst far above every key.
OWN_SIDE = np.dtype([("best", "i8"), ("worst", "i8")], align=True)

#: An order at the venue. qty: lots left on display; hidden: lots an iceberg holds back, shown `show` at a time. arg:
#: trigger or trailing offset. peak: best trade price since a trailing stop arrived. parent: the order it hangs on.
#: sibling: the other of an OCO pair. seen: the pass over the orders that looked at it last. ahead, traded: see
#: sim.queue; serial: orders of the L3 book that joined before it have smaller tags; stamp: see sim.fifo.
SIM_ORDER = np.dtype(
    [
        (name, "i8")
        for name in (
            "id instrument side type tif flags px qty hidden show arg peak expire_ns state parent sibling seen serial "
            "stamp"
        ).split()
    ]
    + [("ahead", "f8"), ("traded", "f8")],
    align=True,
)

#: A fee tier: from `volume` money quanta of turnover on.
TIER = np.dtype([("volume", "i8"), ("maker", "i8"), ("taker", "i8")], align=True)

_LINE = 64


def lay_out(
    n_instruments: int, depth_ticks: int, far_levels: int, n_points: int, n_tiers: int, *, with_l3: bool = False
) -> tuple[dict[str, int], int, int, int]:
    """Byte offsets by name, the strides of an L2 and of an L3 book, and the size of it all."""
    stride = -(-book_bytes(depth_ticks, far_levels) // _LINE) * _LINE
    l3_stride = -(-l3_size(L3_ORDER_MAX, L3_LEVEL_MAX) // _LINE) * _LINE if with_l3 else 0
    sizes = {
        "head": VENUE.itemsize,
        "instruments": n_instruments * INSTRUMENT.itemsize,
        "states": n_instruments * VENUE_INSTRUMENT.itemsize,
        "own": n_instruments * 2 * OWN_SIDE.itemsize,
        "orders": REST_MAX * SIM_ORDER.itemsize,
        "requests": RING_MAX * COMMAND.itemsize,
        "request_due": RING_MAX * 8,
        "request_parent": RING_MAX * 8,
        "responses": RING_MAX * EVENT.itemsize,
        "legs": 5 * LEG.itemsize,
        "points": n_points * 8,
        "tiers": n_instruments * n_tiers * TIER.itemsize,
        "queue_view": QUEUE_VIEW.itemsize,
        "log_events": LOG_MAX * EVENT.itemsize,
        "log_strategies": LOG_MAX * 8,
        "log_commands": LOG_MAX * COMMAND.itemsize,
        "log_command_strategies": LOG_MAX * 8,
        "log_refused": LOG_MAX * COMMAND.itemsize,
        "samples": LOG_MAX * SAMPLE.itemsize,
        "books": n_instruments * stride,
        "l3": n_instruments * l3_stride,
    }
    offsets: dict[str, int] = {}
    at = 0
    for name, size in sizes.items():
        offsets[name] = at
        at += -(-size // _LINE) * _LINE
    return offsets, stride, l3_stride, at
