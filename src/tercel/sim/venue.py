"""The simulated venue as a Python object: its memory set up from what a run asks for.

Holds no rule of trading: those are the kernels of `sim.exchange` and `sim.resting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from tercel.book.l2 import book_init
from tercel.book.l3_layout import l3_init
from tercel.config import Capacity
from tercel.engine.step import engine_step
from tercel.errors import ConfigError
from tercel.jit import COMPILED, address_of, compile_handler, entry, kernel_cache_dir, record, wrap_callback
from tercel.model.commands import COMMAND
from tercel.model.events import EVENT
from tercel.model.instrument import INSTRUMENT, Instrument
from tercel.model.rowcopy import copied
from tercel.model.runlog import SAMPLE
from tercel.sim.fees import Fees
from tercel.sim.latency import LEG, LEGS, Latency
from tercel.sim.layout import (
    L3_LEVEL_MAX,
    L3_ORDER_MAX,
    LOG_MAX,
    OWN_SIDE,
    SIM_ORDER,
    TIER,
    VENUE,
    VENUE_INSTRUMENT,
    lay_out,
)
from tercel.sim.queue import QUEUE_MODELS, QUEUE_VIEW, USER, QueueModel
from tercel.strategy.compiler import code_digest

__all__ = ["SimulatedVenue", "VenueRules"]

INT64_MAX = (1 << 63) - 1
_FAR = 1 << 60
_STP = {"off": 0, "newest": 1, "oldest": 2}


class VenueRules(msgspec.Struct, frozen=True, kw_only=True):
    """How the simulated venue behaves.

    latency: of each leg. fees: maker and taker, with tiers. queue: "risk_averse", "power", "power2", "power3", "log",
    "log2", "fifo" (exact, on tapes with order rows) or a QueueModel of your own. queue_n: exponent of the power family.
    partial_fills: fill in parts and walk the book; off, an order fills whole or not at all, takers at the best price.
    consume: own takes remove displayed size until the feed next states the level. self_trade: "off", or whether the
    "newest" or the "oldest" ends when an own order's price meets a resting own order's. message_rate: messages the
    venue takes in each `message_window_s`, 0 without limit.
    """

    latency: Latency = Latency()
    fees: Fees = Fees()
    queue: str | QueueModel = "power"
    queue_n: float = 3.0
    partial_fills: bool = True
    consume: bool = False
    self_trade: str = "off"
    message_rate: int = 0
    message_window_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse unknown names and values out of range."""
        if not isinstance(self.queue, QueueModel) and self.queue not in QUEUE_MODELS:
            raise ConfigError(f"queue must be one of {', '.join(QUEUE_MODELS)} or a QueueModel, found {self.queue!r}")
        if self.self_trade not in _STP:
            raise ConfigError(f"self_trade must be one of {', '.join(_STP)}, found {self.self_trade!r}")
        if not self.queue_n > 0:
            raise ConfigError(f"queue_n must be above 0, found {self.queue_n}")
        if self.message_rate < 0 or self.message_window_s <= 0:
            raise ConfigError("message_rate must be 0 or more and message_window_s above 0")


@entry
def _venue_book_init(address: int, depth_ticks: int, far_levels: int) -> int:
    return book_init(address, depth_ticks, far_levels)


@entry
def _venue_l3_init(address: int, order_max: int, level_max: int) -> int:
    return l3_init(address, order_max, level_max)


class SimulatedVenue:
    """One venue's memory: books, our orders there, messages in flight, logs."""

    def __init__(self, instruments: Sequence[Instrument], rules: VenueRules, capacity: Capacity) -> None:
        self.instruments = list(instruments)
        self.rules = rules
        # One phase between two looks at the logs may fill half of them.
        for what, n in (("capacity commands", capacity.commands), ("number of instruments", len(self.instruments))):
            if n > LOG_MAX // 2:
                raise ConfigError(f"the simulated venue takes a {what} of at most {LOG_MAX // 2}, found {n}")
        points = rules.latency.points()
        tiers = [_tiers(rules.fees, instrument) for instrument in instruments]
        offsets, stride, l3_stride, size = lay_out(
            len(self.instruments),
            capacity.depth_ticks,
            capacity.far_levels,
            sum(len(p) for p in points),
            len(tiers[0]),
            with_l3=rules.queue == "fifo",
        )
        self._memory = np.zeros(size + 4096, np.uint8)
        start = -address_of(self._memory) % 4096
        self.block = self._memory[start : start + size]
        self.base = address_of(self.block)
        self._offsets = offsets
        self._keep: list[Any] = []
        self._set_head(offsets, size, len(tiers[0]))
        self.head["book_stride"], self.head["l3_stride"] = stride, l3_stride
        self._set_latency(points, offsets["points"])
        for i, instrument in enumerate(self.instruments):
            self.part("instruments", INSTRUMENT, i + 1)[i] = instrument.row()
            self._set_instrument(i, tiers[i])
            _venue_book_init(self.book_address(i), capacity.depth_ticks, capacity.far_levels)
            if l3_stride:
                _venue_l3_init(self.base + offsets["l3"] + i * l3_stride, L3_ORDER_MAX, L3_LEVEL_MAX)
        self.queue_raised: BaseException | None = None
        self._error = np.zeros(2, np.int64)
        self._set_queue()

    def part(self, name: str, dtype: np.dtype, n: int) -> Any:
        """`n` records at a named part; a view."""
        at = self._offsets[name]
        return self.block[at : at + n * dtype.itemsize].view(dtype)

    @property
    def head(self) -> Any:
        """The VENUE record; a view."""
        return self.part("head", VENUE, 1)[0]

    def book_address(self, instrument: int) -> int:
        """Where the venue's book of an instrument lies."""
        return int(self.base + self._offsets["books"] + instrument * self.head["book_stride"])

    def orders(self) -> Any:
        """Our orders at the venue now; a view."""
        return self.part("orders", SIM_ORDER, int(self.head["n_orders"]))

    def _set_head(self, offsets: dict[str, int], size: int, n_tiers: int) -> None:
        head, rules = self.head, self.rules
        head["size"] = size
        head["n_instruments"] = len(self.instruments)
        for name, offset in offsets.items():
            if f"off_{name}" in VENUE.names:  # type: ignore[operator]
                head[f"off_{name}"] = offset
        head["n_tiers"] = n_tiers
        head["next_expiry"] = head["next_sample"] = INT64_MAX
        head["partial"] = int(rules.partial_fills)
        head["consume"] = int(rules.consume)
        head["self_trade"] = _STP[rules.self_trade]
        head["rate_max"] = rules.message_rate
        head["rate_window_ns"] = round(rules.message_window_s * 1e9)
        head["queue_n"] = rules.queue_n
        head["step_fn"] = engine_step.address

    def _set_latency(self, points: list[np.ndarray], at: int) -> None:
        starts = []
        for series in points:
            starts.append(at)
            self.block[at : at + series.nbytes] = series.view(np.uint8)
            at += series.nbytes
        legs = self.part("legs", LEG, len(LEGS))
        self.rules.latency.write(legs, starts)
        self.head["entry_least_ns"] = legs["least_ns"][:3].min()
        self.head["answer_least_ns"] = legs["least_ns"][3:].min()

    def _set_instrument(self, i: int, tiers: list[tuple[int, int, int]]) -> None:
        state = self.part("states", VENUE_INSTRUMENT, i + 1)[i]
        state["buy_best"] = state["sell_worst"] = -_FAR
        state["buy_worst"] = state["sell_best"] = _FAR
        state["maker"], state["taker"] = tiers[0][1], tiers[0][2]
        own = self.part("own", OWN_SIDE, 2 * i + 2)
        for k in (2 * i, 2 * i + 1):
            own[k]["best"], own[k]["worst"] = -_FAR, _FAR
        table = self.part("tiers", TIER, (i + 1) * len(tiers))
        for k, tier in enumerate(tiers):
            table[i * len(tiers) + k] = tier

    def _set_queue(self) -> None:
        model = self.rules.queue
        head = self.head
        head["queue_error"] = address_of(self._error)
        if isinstance(model, str):
            head["queue_model"] = QUEUE_MODELS[model]
            return
        head["queue_model"] = USER
        dtype = model.record_dtype()
        state = np.zeros(1, dtype)
        model.write(state[0])
        head["queue_state"] = address_of(state)
        self._keep.append(state)
        methods = type(model).record_methods()
        found = False
        for name in ("new", "trade", "depth"):
            function = methods.get(f"on_{name}")
            if function is not None:
                found = True
                head[f"queue_{name}_fn"] = self._queue_handler(model, dtype, f"on_{name}", function)
        if not found:
            raise ConfigError(f"{type(model).__name__} has none of on_new, on_trade, on_depth")

    def _queue_handler(self, model: QueueModel, dtype: np.dtype, name: str, function: Any) -> int:
        cls = type(model)
        if COMPILED:
            digest = code_digest(cls, dtype)
            path = kernel_cache_dir() / "strategies" / digest
            address, kept = compile_handler(function, (dtype, QUEUE_VIEW), path, f"{cls.__name__}_{name}_{digest}")
        else:
            from tercel.features.state import StateView, view_class

            view = view_class(model)

            def call(state: int, queue: int, _unused: int) -> int:
                try:
                    function(view(record(state, dtype)), StateView(record(queue, QUEUE_VIEW)))
                except Exception as error:
                    self.queue_raised = error
                    return 1
                return 0

            address, kept = wrap_callback(call)
            self._keep.append(dtype)
        self._keep.append(kept)
        return address

    # --- logs ----------------------------------------------------------------------------------------------------

    def take_logs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Copies of events, their strategies, commands, their strategies, refused commands, samples; logs emptied."""
        head = self.head
        i64 = np.dtype("i8")
        taken = (
            copied(self.part("log_events", EVENT, int(head["n_log_events"]))),
            self.part("log_strategies", i64, int(head["n_log_events"])).astype(np.int16),
            copied(self.part("log_commands", COMMAND, int(head["n_log_commands"]))),
            self.part("log_command_strategies", i64, int(head["n_log_commands"])).astype(np.int16),
            copied(self.part("log_refused", COMMAND, int(head["n_log_refused"]))),
            copied(self.part("samples", SAMPLE, int(head["n_samples"]))),
        )
        head["n_log_events"] = head["n_log_commands"] = head["n_log_refused"] = head["n_samples"] = 0
        return taken


def _tiers(fees: Fees, instrument: Instrument) -> list[tuple[int, int, int]]:
    return [(int(volume / instrument.quantum), maker, taker) for volume, maker, taker in fees.rates()]
