"""A strategy that does what it is told at stated times, and a tape written by hand: for tests with literal answers.

Time is in ms from T0; prices in ticks of 1, sizes in lots of 1, one money quantum is 1e-8. Interpreted, so that the
script may be any Python.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from tercel.model.events import (
    ADD,
    BAR,
    CHANGE,
    DELETE,
    EXCH,
    KIND_NAMES,
    LAST,
    LEVEL,
    LOCAL,
    MAKER,
    QUOTE,
    TRADE,
    event_rows,
)
from tercel.model.instrument import Instrument
from tercel.model.reasons import reason_name
from tercel.risk.limits import Limits
from tercel.sim.backtest import Backtest
from tercel.sim.venue import VenueRules
from tercel.strategy.contract import Strategy

T0 = 1_000_000_000_000_000_000
MS = 1_000_000
UNIT = Instrument(symbol="UNIT", tick_size=Decimal(1), lot_size=Decimal(1), quote="USD")

Script = dict[int, Callable[[Any], Any]]


class Scripted(Strategy):
    """Calls script[ms](ctx) at T0 + ms."""

    def on_start(self, ctx):
        for ms in _SCRIPT:
            ctx.set_timer(T0 + ms * MS - ctx.now, ms)

    def on_timer(self, ctx, timer):
        _SCRIPT[int(timer.id)](ctx)


_SCRIPT: Script = {}


def row(ms: float, kind: int, side: int = 0, px: int = 0, qty: int = 0, **fields: int) -> Any:
    """One EVENT row seen by both sides at T0 + ms."""
    made = event_rows(1)[0]
    made["ts_exch"] = made["ts_recv"] = T0 + round(ms * MS)
    made["kind"], made["side"], made["px"], made["qty"] = kind, side, px, qty
    made["flags"] = EXCH | LOCAL | LAST
    for name, value in fields.items():
        made[name] = value
    return made


def bid(ms: float, px: int, qty: int) -> Any:
    return row(ms, LEVEL, 1, px, qty)


def ask(ms: float, px: int, qty: int) -> Any:
    return row(ms, LEVEL, -1, px, qty)


def trade(ms: float, side: int, px: int, qty: int) -> Any:
    return row(ms, TRADE, side, px, qty)


def quote(ms: float, bid_px: int, bid_qty: int, ask_px: int, ask_qty: int) -> Any:
    return row(ms, QUOTE, 0, bid_px, bid_qty, arg0=ask_px, arg1=ask_qty)


def bar(ms: float, first: int, high: int, low: int, close: int) -> Any:
    return row(ms, BAR, 0, close, 100, id=first, arg0=high, arg1=low)


def add(ms: float, id: int, side: int, px: int, qty: int) -> Any:
    return row(ms, ADD, side, px, qty, id=id)


def change(ms: float, id: int, side: int, px: int, qty: int) -> Any:
    return row(ms, CHANGE, side, px, qty, id=id)


def delete(ms: float, id: int, side: int, px: int, qty: int) -> Any:
    return row(ms, DELETE, side, px, qty, id=id)


#: Bids 99 x 10, 98 x 20, 97 x 30; asks 101 x 10, 102 x 20, 103 x 30.
BOOK = [bid(0, 99, 10), bid(0, 98, 20), bid(0, 97, 30), ask(0, 101, 10), ask(0, 102, 20), ask(0, 103, 30)]


def run(rows: list[Any], script: Script, **rules: Any) -> Backtest:
    """Run a script over rows (and a last row at 1000 ms, so that the tape does not end before)."""
    _SCRIPT.clear()
    _SCRIPT.update(script)
    instruments = rules.pop("instruments", (UNIT,))
    tape = np.array([*rows, row(1000, TRADE, 0, 1, 0)])
    made = Backtest(
        Scripted(),
        tape,
        instruments=instruments,
        rules=VenueRules(**rules),
        limits=Limits(self_trade="allow"),
        jit=False,
    )
    made.run()
    return made


def story(made: Backtest) -> list[tuple[Any, ...]]:
    """What was heard of orders, in order: (ms received, order counted from 1, kind, reason, px, qty).

    A fill has "maker" or "taker" as well. Refusals of the own gate are part of it.
    """
    told = []
    for event in made.result().log.events:
        kind = KIND_NAMES[int(event["kind"])]
        line: tuple[Any, ...] = (
            (int(event["ts_recv"]) - T0) / MS,
            int(event["id"]) - (1 << 32),
            kind,
            reason_name(int(event["reason"])),
            int(event["px"]),
            int(event["qty"]),
        )
        if kind == "fill":
            line = (*line, "maker" if event["flags"] & MAKER else "taker")
        told.append(line)
    return told


def fills(made: Backtest) -> list[tuple[Any, ...]]:
    """Of the story, the fills without their times: (order, reason, px, qty)."""
    return [(line[1], *line[3:6]) for line in story(made) if line[2] == "fill"]
