"""A simulated market: seeded order flow through the L3 book, written as a tape of EVENT rows.

The model, its parameters and its sources live here; the kernels are in `market_flow`. Called by the command line, the
demo, the local venue and tests. The same model and seed give the same bytes on every run, compiled or interpreted, in
chunks of any size.

The model is a zero-intelligence book with memory:

- **Orders rest by a power law.** Limit orders arrive as a Poisson process, at a distance d >= 1 from the other side's
  best price with density proportional to (placement_flat + d)^-(1 + placement_tail), which is what was measured on
  Paris and the London exchange (Bouchaud, Mezard and Potters, "Statistical properties of stock order books", 2002).
- **Orders leave at random**, each at the same rate (Smith, Farmer, Gillemot and Krishnamurthy, "Statistical theory of
  the continuous double auction", 2003; Cont, Stoikov and Talreja, "A stochastic model for order book dynamics", 2010).
- **Trades excite trades.** Market orders are a Hawkes process with an exponential kernel (Hawkes 1971; Bacry,
  Mastromatteo and Muzy, "Hawkes processes in finance", 2015), simulated by thinning (Ogata 1981); limit orders and
  cancels quicken with it by `burst_echo`.
- **Some know more.** A value wanders beside the market (diffusion, drift, jumps). Informed takers trade towards it
  (Glosten and Milgrom 1985), some makers quote by it and pull before they are hit, and the others' order signs are
  persistent (Lillo and Farmer, "The long memory of the efficient market", 2004). So the mid follows the value.
- **Sizes are lognormal**; sizes and times of receipt have long tails.

The book never crosses, because no order is placed through the other side, and never empties: a cancel or a taker that
would leave fewer than `levels_min` levels on a side becomes a resting order there.

One message (rows up to one with LAST) is one exchange event. A taker's message holds its trades, then the levels it
left. Receipt is exchange time plus a random latency, never before the previous receipt, as on one TCP connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from tercel.errors import CapacityError, ConfigError
from tercel.jit import address_of
from tercel.model.events import event_rows
from tercel.sim import market_random as chance
from tercel.sim import market_state as layout
from tercel.sim.market_flow import market_open, market_run, market_snapshot

__all__ = ["Market", "MarketModel", "market_chunks", "simulate_market"]

_END_OF_TIME = 1 << 62


class MarketModel(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of the simulated market. The defaults make a liquid market whose tick is about a basis point.

    Prices in ticks, sizes in lots, times in seconds, rates per second.

    mid_px: price the book opens around. start_ns: exchange time of the first row. warmup_s: time simulated unseen
    before it, so that the book has its natural shape.

    limit_rate: limit orders, both sides, in quiet times. cancel_rate: chance per order to leave. placement_tail,
    placement_flat, placement_max: exponent, flat part (ticks) and end (ticks) of the distance law. limit_qty,
    limit_qty_sigma: median lots and log deviation.

    market_rate: market orders without excitement. burst_ratio: mean number of further orders each one sets off, below
    1; the mean rate would be market_rate / (1 - burst_ratio) if all of them traded. burst_decay: how fast excitement
    fades. burst_echo: how much limit orders and cancels quicken, as a share of the excitement over market_rate.
    market_qty, market_qty_sigma: as above. sweep_max: levels one order walks at most.

    informed: share of takers that know the value. side_memory: chance of the others to repeat the last side.
    quote_watch: share of those with quotes who watch the value: they pull a best quote that it has passed, and do not
    bid above it or ask below it. maker_tilt: how far limit orders lean to the
    value's side, 0 to 1. value_vol: ticks per square root of a second. value_drift: ticks per second. value_jump_rate,
    value_jump: jumps and their deviation in ticks.

    latency_ms, latency_sigma: median and log deviation of the feed's delay. levels_min: price levels a side always
    keeps. order_max, level_max: capacity of the book. instrument: number written on the rows.
    """

    mid_px: int = 10_000
    start_ns: int = 1_700_000_000_000_000_000
    warmup_s: float = 20.0

    limit_rate: float = 250.0
    cancel_rate: float = 0.6
    placement_tail: float = 0.6
    placement_flat: float = 8.0
    placement_max: int = 300
    limit_qty: float = 120.0
    limit_qty_sigma: float = 1.1

    market_rate: float = 6.0
    burst_ratio: float = 0.9
    burst_decay: float = 10.0
    burst_echo: float = 0.15
    market_qty: float = 150.0
    market_qty_sigma: float = 1.4
    sweep_max: int = 12

    informed: float = 0.35
    side_memory: float = 0.4
    quote_watch: float = 0.3
    maker_tilt: float = 0.3
    value_vol: float = 1.0
    value_drift: float = 0.0
    value_jump_rate: float = 0.01
    value_jump: float = 5.0

    latency_ms: float = 5.0
    latency_sigma: float = 0.5
    levels_min: int = 10
    order_max: int = 32_768
    level_max: int = 8_192
    instrument: int = 0

    def __post_init__(self) -> None:
        """Refuse by name what the model cannot run with."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not np.isfinite(value):
                raise ConfigError(f"market model: {name} must be finite, found {value}")
            if name not in ("value_drift", "start_ns") and value < 0:
                raise ConfigError(f"market model: {name} must not be negative, found {value}")
        for name in ("limit_rate", "cancel_rate", "market_rate", "burst_decay", "placement_tail", "limit_qty",
                     "market_qty", "sweep_max", "levels_min", "placement_max", "latency_ms"):  # fmt: skip
            if getattr(self, name) <= 0:
                raise ConfigError(f"market model: {name} must be positive, found {getattr(self, name)}")
        for name in ("informed", "side_memory", "quote_watch", "maker_tilt"):
            if getattr(self, name) > 1:
                raise ConfigError(f"market model: {name} is a share from 0 to 1, found {getattr(self, name)}")
        if self.burst_ratio >= 1:
            raise ConfigError(
                f"market model: burst_ratio must be below 1, found {self.burst_ratio}: rates would explode"
            )
        if self.placement_max <= 2 * self.levels_min:
            raise ConfigError("market model: placement_max must be more than twice levels_min")
        if self.mid_px <= self.placement_max:
            raise ConfigError(f"market model: mid_px {self.mid_px} must be above placement_max {self.placement_max}")
        if self.orders_expected() * 2 > self.order_max:
            raise CapacityError(
                f"market model: about {self.orders_expected()} resting orders expected, order_max is {self.order_max}; "
                "raise it to at least twice that, or raise cancel_rate"
            )

    def orders_expected(self) -> int:
        """Resting orders at which as many leave as come, before trades."""
        return int(self.limit_rate / self.cancel_rate)


class Market:
    """A running simulated market: one block of memory and what it makes next.

    rows: "l2" (levels and trades), "l3" (orders and trades) or "both". `memory` is the whole state: copy it to fork.
    """

    def __init__(self, model: MarketModel, seed: int, rows: str = "l2") -> None:
        if rows not in ("l2", "l3", "both"):
            raise ConfigError(f'rows must be "l2", "l3" or "both", found {rows!r}')
        self.model = model
        size = layout.market_state_size(model.order_max, model.level_max)
        self.memory: np.ndarray = np.zeros(size // 8, np.int64)
        self.address: int = address_of(self.memory)
        self._state: Any = self.memory[: layout.MARKET_STATE.itemsize // 8].view(layout.MARKET_STATE)[0]
        self._fill_state(seed, rows)
        warmup_ns = int(model.warmup_s * 1e9)
        self._state["ts"] = model.start_ns - warmup_ns
        market_open.call(self.address, model.order_max, model.level_max, model.mid_px, model.orders_expected())
        self._warm_up()

    def _fill_state(self, seed: int, rows: str) -> None:
        model, state = self.model, self._state
        for name in layout.MARKET_STATE.names or ():
            if name in model.__struct_fields__:
                state[name] = getattr(model, name)
        state["burst_jump"] = model.burst_ratio * model.burst_decay
        state["value"] = float(model.mid_px)
        state["last_side"] = 1
        state["emit_l2"] = int(rows in ("l2", "both"))
        state["emit_l3"] = int(rows in ("l3", "both"))
        for i, word in enumerate(chance.seed_words(seed)):
            state[f"rng{i}"] = word
        state["tables_at"] = layout.table_place(0)
        state["decay_at"] = layout.decay_place()
        state["fills_at"] = layout.fills_place()
        state["book_at"] = layout.book_place()
        tables = {
            layout.T_EXPONENTIAL: chance.exponential_table(),
            layout.T_NORMAL: chance.normal_table(),
            layout.T_LIMIT_QTY: chance.lognormal_table(model.limit_qty, model.limit_qty_sigma),
            layout.T_MARKET_QTY: chance.lognormal_table(model.market_qty, model.market_qty_sigma),
            layout.T_PLACE: chance.placement_table(model.placement_tail, model.placement_flat, model.placement_max),
            layout.T_LATENCY: chance.lognormal_table(model.latency_ms * 1e6, model.latency_sigma),
        }
        floats = self.memory.view(np.float64)
        for i_table, values in tables.items():
            at = layout.table_place(i_table) // 8
            floats[at : at + len(values)] = values
        at = layout.decay_place() // 8
        values = chance.decay_table()
        floats[at : at + len(values)] = values

    def _warm_up(self) -> None:
        scratch = event_rows(4096 + layout.MESSAGE_ROWS)
        self._run(scratch, 4096, self.model.start_ns)
        while not self._state["ended"]:
            self._run(scratch, 4096, self.model.start_ns)
        for name in ("ended", "n_limit", "n_cancel", "n_market", "trade_id", "update_id", "ts_recv"):
            self._state[name] = 0

    def _run(self, out: np.ndarray, n_want: int, ts_end: int) -> int:
        return market_run.call(self.address, address_of(out), len(out), n_want, ts_end)

    @property
    def book_address(self) -> int:
        """Address of the L3 book inside this market."""
        return self.address + layout.book_place()

    @property
    def value(self) -> float:
        """The value that informed traders know, in ticks."""
        return float(self._state["value"])

    def counts(self) -> dict[str, int]:
        """Limit orders, cancels, market orders and trades since the start."""
        names = {"limit": "n_limit", "cancel": "n_cancel", "market": "n_market", "trade": "trade_id"}
        return {word: int(self._state[field]) for word, field in names.items()}

    def snapshot(self) -> np.ndarray:
        """The book now as one SNAPSHOT message: CLEAR and the rows that rebuild it."""
        out = event_rows(1 + self.model.level_max + self.model.order_max)
        return out[: market_snapshot.call(self.address, address_of(out), len(out))].copy()

    def next_rows(self, n_rows: int, ts_end_ns: int = _END_OF_TIME) -> np.ndarray:
        """Whole messages until `n_rows` rows are there or exchange time reaches `ts_end_ns`; empty at the end."""
        out = event_rows(n_rows + layout.MESSAGE_ROWS)
        self._state["ended"] = 0
        return out[: self._run(out, n_rows, ts_end_ns)]


def market_chunks(
    model: MarketModel,
    seed: int,
    *,
    duration_s: float | None = None,
    n_rows: int | None = None,
    rows: str = "l2",
    chunk_rows: int = 65_536,
) -> Iterator[np.ndarray]:
    """The tape piece by piece, for flat memory and progress: arrays of EVENT rows, each of whole messages.

    First the snapshot message, then chunks of at least `chunk_rows` rows (the last is shorter). Ends after `duration_s`
    of exchange time or with the message that brings the total to `n_rows`; exactly one of the two is given.
    """
    if (duration_s is None) == (n_rows is None):
        raise ConfigError("a simulated market needs either a duration or a number of rows")
    if (duration_s is not None and duration_s <= 0) or (n_rows is not None and n_rows <= 0) or chunk_rows <= 0:
        raise ConfigError("duration, number of rows and chunk size of a simulated market must be positive")
    ts_end = _END_OF_TIME if duration_s is None else model.start_ns + round(duration_s * 1e9)
    market = Market(model, seed, rows)
    part = market.snapshot()
    n_total = 0
    while len(part) > 0:
        yield part
        n_total += len(part)
        n_next = chunk_rows if n_rows is None else min(chunk_rows, n_rows - n_total)
        if n_next <= 0:
            return
        part = market.next_rows(n_next, ts_end)


def simulate_market(
    model: MarketModel, seed: int, *, duration_s: float | None = None, n_rows: int | None = None, rows: str = "l2"
) -> np.ndarray:
    """The whole tape as one array of EVENT rows; see `market_chunks`."""
    return np.concatenate(list(market_chunks(model, seed, duration_s=duration_s, n_rows=n_rows, rows=rows)))
