"""What a session looks like at one moment: prices, positions, money, orders, fills, refusals, latency, connections.

`Recent` listens to a session's rows and keeps the little that cannot be read off the engine; `glance` reads the rest.
Both only look: nothing here changes a row, and no address or view leaves. Called by the terminal view, by `status` and
by the demo, some times a second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec
import numpy as np

from tercel.book.views import BookView
from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.live.driver import LiveCore
from tercel.live.link import Link
from tercel.model.events import FILL, MAKER
from tercel.model.instrument import Instrument
from tercel.model.reasons import reason_name
from tercel.orders.lifecycle import STATE_NAMES

__all__ = ["FillGlance", "Glance", "InstrumentGlance", "LinkGlance", "OrderGlance", "Recent", "glance"]

_LATENCIES_MAX = 1 << 14
_FILLS_MAX = 32


class InstrumentGlance(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument, in human units. equity: of this session's fills, with fees and funding, marked at the mid."""

    symbol: str
    bid: float
    bid_qty: float
    ask: float
    ask_qty: float
    last: float
    position: float
    equity: float
    fee: float
    volume: float
    n_fills: int
    currency: str
    decimals: int


class OrderGlance(msgspec.Struct, frozen=True, kw_only=True):
    """One order that lives, as far as we know."""

    id: int
    symbol: str
    side: str
    price: float
    qty: float
    filled: float
    state: str
    age_s: float


class FillGlance(msgspec.Struct, frozen=True, kw_only=True):
    """One of the last fills. ts_ns: the venue's time."""

    ts_ns: int
    symbol: str
    side: str
    price: float
    qty: float
    fee: float
    is_maker: bool


class LinkGlance(msgspec.Struct, frozen=True, kw_only=True):
    """One connection: is its market in step, do its orders leave, how often was it lost, what is waited for.

    waits_for: empty when nothing is. said: the last that was noted of it while it is waited for.
    """

    name: str
    is_live: bool
    is_open: bool
    n_lost: int
    waits_for: str = ""
    said: str = ""


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one moment. tick_to_order_us: p50 and p99 of the last orders, none before the first."""

    state: str
    why: str
    halted: str
    now_ns: int
    run: int
    n_rows: int
    n_commands: int
    n_refused: int
    n_fills: int
    equity: float
    refusals: dict[str, int]
    tick_to_order_us: tuple[float, float] | None
    instruments: tuple[InstrumentGlance, ...]
    orders: tuple[OrderGlance, ...]
    fills: tuple[FillGlance, ...]
    links: tuple[LinkGlance, ...]


class Recent:
    """The last fills and latencies of a session. Attach with `core.flow.taps.append(recent.on_rows)`."""

    def __init__(self, engine: Engine) -> None:
        self.n_rows = 0
        self.fills: deque[FillGlance] = deque(maxlen=_FILLS_MAX)
        self._instruments = engine.instruments
        self._feed = EngineFeed(engine)
        self._n_fills = self._feed.n_fills
        self._latencies_ns = np.zeros(_LATENCIES_MAX, np.int64)
        self._n_latencies = 0

    def on_rows(self, rows: np.ndarray, now_ns: int) -> None:
        """Rows that the engine has seen. On the way of every order: it looks at rows only where there was a fill."""
        self.n_rows += len(rows)
        n_fills = self._feed.n_fills
        if n_fills == self._n_fills:
            return
        self._n_fills = n_fills
        for row in rows[rows["kind"] == FILL]:
            instrument = self._instruments[int(row["instrument"])]
            self.fills.append(
                FillGlance(
                    ts_ns=int(row["ts_exch"]),
                    symbol=instrument.symbol,
                    side="buy" if row["side"] > 0 else "sell",
                    price=float(instrument.tick_size * int(row["px"])),
                    qty=float(instrument.lot_size * int(row["qty"])),
                    fee=float(instrument.quantum * int(row["arg0"])),
                    is_maker=bool(row["flags"] & MAKER),
                )
            )

    def took(self, elapsed_ns: int) -> None:
        """One message led to orders, and they were written `elapsed_ns` after it was received."""
        self._latencies_ns[self._n_latencies % _LATENCIES_MAX] = elapsed_ns
        self._n_latencies += 1

    def tick_to_order_us(self) -> tuple[float, float] | None:
        """p50 and p99 of the last orders in microseconds; None before the first."""
        known = self._latencies_ns[: min(self._n_latencies, _LATENCIES_MAX)]
        if len(known) == 0:
            return None
        p50, p99 = np.percentile(known, (50, 99)) / 1000.0
        return float(p50), float(p99)


def glance(core: LiveCore, recent: Recent, said: Mapping[str, str] = {}) -> Glance:
    """Look at a session. said: the last note of each connection.

    Costs some tens of microseconds an instrument and a few an order.
    """
    engine, flow = core.engine, core.flow
    instruments = tuple(_instrument(engine, i) for i in range(len(engine.instruments)))
    counts = engine.view("risk")["refusals"].sum(axis=0)
    halted = flow.feed.halted
    return Glance(
        state=core.state,
        why=core.why,
        halted=reason_name(halted) if halted else "",
        now_ns=core.now_ns,
        run=int(engine.head["next_id"]) >> 32,
        n_rows=recent.n_rows,
        n_commands=flow.n_commands,
        n_refused=flow.n_refused,
        n_fills=flow.feed.n_fills,
        equity=sum(one.equity for one in instruments),
        refusals={reason_name(int(code)): int(counts[code]) for code in np.flatnonzero(counts)},
        tick_to_order_us=recent.tick_to_order_us(),
        instruments=instruments,
        orders=_orders(core),
        fills=tuple(reversed(recent.fills)),
        links=tuple(_link(one, said) for one in core.links),
    )


def _link(link: Link, said: Mapping[str, str]) -> LinkGlance:
    waits_for = link.waits_for
    return LinkGlance(
        name=link.name, is_live=link.connection.is_live, is_open=link.is_open, n_lost=link.n_lost, waits_for=waits_for,
        said=said.get(link.name, "") if waits_for else "",
    )  # fmt: skip


def _instrument(engine: Engine, i: int) -> InstrumentGlance:
    instrument = engine.instruments[i]
    position = engine.view("positions")[i]
    market = engine.view("markets")[i]
    book = BookView(engine.book_address(i))
    tick, lot = float(instrument.tick_size), float(instrument.lot_size)
    best_bid, best_ask = book.best(1), book.best(-1)
    bid, ask = (int(market["bid_px"]), int(market["bid_lots"])), (int(market["ask_px"]), int(market["ask_lots"]))
    if best_bid is not None:
        bid = best_bid, book.size(1, best_bid)
    if best_ask is not None:
        ask = best_ask, book.size(-1, best_ask)
    last = int(market["last_px"])
    mark_x2 = bid[0] + ask[0] if bid[0] > 0 and ask[0] > 0 else 2 * last
    return InstrumentGlance(
        symbol=instrument.symbol,
        bid=bid[0] * tick,
        bid_qty=bid[1] * lot,
        ask=ask[0] * tick,
        ask_qty=ask[1] * lot,
        last=last * tick,
        position=float(instrument.lot_size * int(position["position"])),
        equity=_equity(position, instrument, mark_x2),
        fee=float(instrument.quantum * int(position["fee"])),
        volume=float(instrument.lot_size * int(position["volume"])),
        n_fills=int(position["n_fills"]),
        currency=instrument.settlement,
        decimals=max(0, -int(instrument.tick_size.normalize().as_tuple().exponent)),  # type: ignore[operator]
    )


def _equity(position: np.void, instrument: Instrument, mark_x2: int) -> float:
    """As `orders.positions.position_equity`, in Python's numbers: a look must not make a kernel compile."""
    lots = int(position["position"])
    money = int(position["cash"]) - int(position["fee"]) + int(position["funding"])
    worth: float = int(position["cost"]) if lots else 0
    if lots and mark_x2 > 0:
        is_inverse = instrument.kind == "inverse"
        worth = -2 * lots * instrument.value / mark_x2 if is_inverse else lots * mark_x2 * instrument.value / 2
    return float(instrument.quantum) * (money + worth)


def _orders(core: LiveCore) -> tuple[OrderGlance, ...]:
    engine = core.engine
    living = engine.view("orders")[engine.view("open")[: core.flow.feed.n_open]]
    found = []
    for order in living:
        instrument = engine.instruments[int(order["instrument"])]
        found.append(
            OrderGlance(
                id=int(order["id"]),
                symbol=instrument.symbol,
                side="buy" if order["side"] > 0 else "sell",
                price=float(instrument.tick_size * int(order["px"])),
                qty=float(instrument.lot_size * int(order["qty"])),
                filled=float(instrument.lot_size * int(order["filled"])),
                state=STATE_NAMES[int(order["state"])],
                age_s=(core.now_ns - int(order["ts_sent"])) / 1e9,
            )
        )
    return tuple(found)
