"""The market simulator's one block of memory: parameters, generator, running values, tables, book.

Only layout lives here. Made by `market`, changed by the kernels of `market_flow`. All places are offsets, so a copy of
the bytes continues exactly as the original would.
"""

from __future__ import annotations

import numpy as np

from tercel.book.l3_layout import L3_FILL, l3_size
from tercel.sim.market_random import N_CELLS, RNG_FIELDS

__all__ = [
    "FILL_MAX", "FLOAT", "FOREIGN_ID", "MARKET_STATE", "MESSAGE_ROWS", "N_TABLES", "T_EXPONENTIAL", "T_LATENCY",
    "T_LIMIT_QTY", "T_MARKET_QTY", "T_NORMAL", "T_PLACE", "book_place", "decay_place", "fills_place",
    "market_state_size",
    "table_place",
]  # fmt: skip

#: Most makers one order trades with; what is left of it then is dropped.
FILL_MAX = 64
#: Most rows one message can have: per maker a trade, a fill row for a foreign one, an order row and a level row.
MESSAGE_ROWS = 4 * FILL_MAX
#: Order ids from here on are foreign: of somebody outside the simulation, who joins the same book (`market_foreign`).
FOREIGN_ID = 1 << 40
FLOAT = np.dtype("f8")

#: Quantile tables in the order they lie in memory; the decay table, of another length, comes last.
T_EXPONENTIAL, T_NORMAL, T_LIMIT_QTY, T_MARKET_QTY, T_PLACE, T_LATENCY = range(6)
N_TABLES = 6

MARKET_STATE = np.dtype(
    [
        # Parameters, as MarketModel has them, per second.
        ("limit_rate", "f8"),
        ("cancel_rate", "f8"),
        ("market_rate", "f8"),
        ("burst_jump", "f8"),
        ("burst_decay", "f8"),
        ("burst_echo", "f8"),
        ("informed", "f8"),
        ("side_memory", "f8"),
        ("quote_watch", "f8"),
        ("maker_tilt", "f8"),
        ("value_vol", "f8"),
        ("value_drift", "f8"),
        ("value_jump_rate", "f8"),
        ("value_jump", "f8"),
        ("sweep_max", "i8"),
        ("levels_min", "i8"),
        ("emit_l2", "i8"),
        ("emit_l3", "i8"),
        ("instrument", "i8"),
        # Running values.
        *RNG_FIELDS,
        ("excited", "f8"),
        ("value", "f8"),
        ("ts", "i8"),
        ("ts_recv", "i8"),
        ("last_side", "i8"),
        ("order_id", "i8"),
        ("trade_id", "i8"),
        ("update_id", "i8"),
        ("n_limit", "i8"),
        ("n_cancel", "i8"),
        ("n_market", "i8"),
        ("ended", "i8"),
        # Foreign orders that rest; what the last one left untraded, and what became of it.
        ("n_foreign", "i8"),
        ("left", "i8"),
        ("outcome", "i8"),
        # hold: whether an event drawn beyond `ts_end` is kept for the next run, so that where a run ended changes
        # nothing. held: whether one is kept; when it is due, how long after the event before it, under which rate.
        ("hold", "i8"),
        ("held", "i8"),
        ("held_ts", "i8"),
        ("held_dt", "f8"),
        ("held_bound", "f8"),
        # Places.
        ("tables_at", "i8"),
        ("decay_at", "i8"),
        ("fills_at", "i8"),
        ("book_at", "i8"),
    ]
)

_TABLE_BYTES = 8 * (N_CELLS + 8)
_DECAY_BYTES = 8 * 328


def market_state_size(order_max: int, level_max: int) -> int:
    """Bytes of the whole block."""
    return book_place() + l3_size(order_max, level_max)


def table_place(i_table: int) -> int:
    """Offset of a quantile table."""
    return 512 + i_table * _TABLE_BYTES


def decay_place() -> int:
    """Offset of the decay table."""
    return table_place(N_TABLES)


def fills_place() -> int:
    """Offset of the buffer of fills."""
    return decay_place() + _DECAY_BYTES


def book_place() -> int:
    """Offset of the L3 book."""
    return fills_place() + FILL_MAX * L3_FILL.itemsize


assert MARKET_STATE.itemsize <= 512
