"""The second tier of strategies: ordinary async Python that receives market data and emits signals.

For work that cannot or should not compile: a model in pandas, a web lookup, a language model. An actor sends no orders.
Its signal enters the engine as an EVENT row of kind SIGNAL, so it is journaled, meets the compiled strategies'
`on_signal`, is risk checked and replayed like everything else. Users write `Actor`; `actors_pipeline` connects it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import msgspec

from tercel.errors import ConfigError, UnknownInstrumentError
from tercel.model.events import BAR, FUNDING, QUOTE, TRADE
from tercel.model.signals import Signal
from tercel.runtime.actor import Actor as RuntimeActor

if TYPE_CHECKING:
    from tercel.engine.engine import Engine

__all__ = ["DEFAULT_KINDS", "Actor", "Grid", "MarketEvent", "Portfolio", "SignalPort", "UpdateConfig", "portfolio_of"]

P = ParamSpec("P")
T = TypeVar("T")

#: The kinds of rows an actor receives unless it says otherwise; depth (LEVEL) is left out because it comes in floods.
DEFAULT_KINDS = (TRADE, QUOTE, BAR, FUNDING)


class Grid(msgspec.Struct, frozen=True):
    """What turns an instrument's integers into numbers: one tick is tick_num / tick_den, one lot lot_num / lot_den."""

    symbol: str
    tick_num: int
    tick_den: int
    lot_num: int
    lot_den: int


class MarketEvent(msgspec.Struct, frozen=True, gc=False):
    """One market row as an object. kind: TRADE, QUOTE, ... of `model.events`, which says what each field holds.

    Prices in ticks and sizes in lots are the row's own integers; the properties give the nearest floats.
    """

    kind: int
    instrument: int
    ts_exch_ns: int
    ts_recv_ns: int
    px: int
    qty: int
    id: int
    arg0: int
    arg1: int
    side: int
    flags: int
    grid: Grid

    @property
    def symbol(self) -> str:
        """The venue's name of the instrument."""
        return self.grid.symbol

    @property
    def price(self) -> float:
        """The row's price: of the trade or level, the bid of a quote, the close of a bar, the mark of a funding."""
        return self.px * self.grid.tick_num / self.grid.tick_den

    @property
    def size(self) -> float:
        """The row's size: of the trade or level, at the bid of a quote, the volume of a bar."""
        return self.qty * self.grid.lot_num / self.grid.lot_den

    @property
    def bid(self) -> float:
        """A quote's bid price."""
        return self.price

    @property
    def ask(self) -> float:
        """A quote's ask price."""
        return self.arg0 * self.grid.tick_num / self.grid.tick_den

    @property
    def ask_size(self) -> float:
        """A quote's size at the ask."""
        return self.arg1 * self.grid.lot_num / self.grid.lot_den

    @property
    def mid(self) -> float:
        """The middle of a quote."""
        return (self.px + self.arg0) * self.grid.tick_num / (2 * self.grid.tick_den)


class UpdateConfig(msgspec.Struct, frozen=True):
    """The control message behind `on_config`."""

    config: Any


class Portfolio(msgspec.Struct, frozen=True):
    """How the session stands, as of `ts_ns`. positions, open_buy, open_sell: lots by instrument, without those that are
    0. n_fills: fills so far. is_halted: whether new orders are refused.
    """

    ts_ns: int = 0
    positions: Mapping[int, int] = {}
    open_buy: Mapping[int, int] = {}
    open_sell: Mapping[int, int] = {}
    n_fills: int = 0
    is_halted: bool = False


def portfolio_of(engine: Engine) -> Portfolio:
    """How an engine stands now. In the thread that steps it."""
    rows = engine.view("positions")

    def by_instrument(field: str) -> dict[int, int]:
        return {i: lots for i, lots in enumerate(rows[field].tolist()) if lots}

    return Portfolio(
        ts_ns=engine.now_ns,
        positions=by_instrument("position"),
        open_buy=by_instrument("open_buy"),
        open_sell=by_instrument("open_sell"),
        n_fills=int(rows["n_fills"].sum()),
        is_halted=bool(engine.head["halted"]),
    )


class SignalPort:
    """What connects one life of an actor with the session. Made by the pipeline; a closed port sends nothing."""

    def __init__(self, send: Callable[[Signal], bool], names: Mapping[str, int], session: Any) -> None:
        self._send = send
        self._names = names
        self.session = session
        self.is_open = True

    def index_of(self, instrument: int | str) -> int:
        """The engine's index of an instrument given by index, symbol or "venue:symbol". Raises
        UnknownInstrumentError, also for a symbol that several venues have.
        """
        index = self._names.get(instrument, -1) if isinstance(instrument, str) else int(instrument)
        if index not in self._names.values():
            known = ", ".join(f"{i} {name}" for name, i in self._names.items() if ":" in name)
            raise UnknownInstrumentError(f"a signal names instrument {instrument!r}; this session has {known}")
        return index

    def emit(self, signal: Signal) -> bool:
        """Send a signal; see `Actor.emit`."""
        self.index_of(signal.instrument)
        if not math.isfinite(signal.value) or not 0.0 <= signal.confidence <= 1.0:
            raise ValueError(
                f"a signal needs a finite value and a confidence in [0, 1], found value {signal.value} and "
                f"confidence {signal.confidence}"
            )
        return self.is_open and self._send(signal)


class Actor(RuntimeActor):
    """A strategy in async Python. Handlers run one at a time; while one waits, everything else goes on.

    kinds, instruments: the rows it receives; instruments by the engine's index, None for all. A handler that computes
    long without awaiting holds up the whole loop: give such work to `self.offload`, or the actors a thread of their
    own (`actors_in = "thread"`).
    """

    kinds: tuple[int, ...] = DEFAULT_KINDS
    instruments: tuple[int, ...] | None = None

    _port: SignalPort | None = None

    async def on_market(self, event: MarketEvent) -> Iterable[Signal] | None:
        """Called for each market event it asked for. Signals may be returned instead of emitted."""
        return None

    async def on_config(self, config: Any) -> None:
        """Called when the operator changes its configuration."""

    def emit(
        self, instrument: int | str, value: float, confidence: float, *, deadline_ms: float | None = 0.0, id: int = 0
    ) -> bool:
        """Send a signal to the engine: `value` in the sender's own unit, `confidence` in [0, 1].

        deadline_ms: how long from now its orders may leave; 0 is the engine's own 25 ms, None is for ever. id: the
        sender's own number, 0 to have one given. Returns False when the signal was not taken: this actor sends too
        many, or has been stopped. Raises ValueError or UnknownInstrumentError.
        """
        port = self._connected()
        if deadline_ms is not None and deadline_ms < 0:
            raise ValueError(f"a deadline lies ahead, found {deadline_ms} ms")
        deadline_ns = -1 if deadline_ms is None else round(deadline_ms * 1e6)
        return port.emit(
            Signal(
                instrument=port.index_of(instrument),
                value=float(value),
                confidence=float(confidence),
                ts_ns=self.now_ns,
                id=id,
                deadline_ns=deadline_ns,
            )
        )

    @property
    def now_ns(self) -> int:
        """The session's clock: nanoseconds since the epoch, UTC."""
        now_ns: int = self._connected().session.clock.wall_ns()
        return now_ns

    @property
    def portfolio(self) -> Portfolio:
        """How the session stands."""
        portfolio: Portfolio = self._connected().session.portfolio.value
        return portfolio

    async def offload(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a blocking function in a thread and wait for its result; see `tercel.runtime.offload`."""
        result: T = await self._connected().session.offload.run(function, *args, **kwargs)
        return result

    async def on_message(self, message: Any) -> None:
        """Hand a message to its handler; the runtime calls this."""
        if isinstance(message, MarketEvent):
            signals = await self.on_market(message)
            for signal in signals or ():
                # A signal that is not taken is counted by the pipeline and forgotten here.
                self._connected().emit(signal)
        elif isinstance(message, UpdateConfig):
            await self.on_config(message.config)
        else:
            raise TypeError(f"an actor of the market tier got a {type(message).__name__}")

    def _connected(self) -> SignalPort:
        if self._port is None:
            raise ConfigError(
                f"{type(self).__name__} is not part of a session yet: use it from on_start on, not in __init__"
            )
        return self._port
