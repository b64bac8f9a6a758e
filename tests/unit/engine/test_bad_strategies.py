"""What goes wrong in a strategy: one clear message, and an engine that stays stopped."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.busy_strategies import SIM
from reference.event_makers import joined, quote, trade
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.errors import StrategyCompileError, StrategyError, StrategyRuntimeError
from tercel.jit import COMPILED
from tercel.model.events import REFUSED
from tercel.model.reasons import TOO_MANY_OPEN_ORDERS
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=16, orders=8, timers=4, far_levels=64)
START_NS = 1_000_000_000


class Failing(Strategy):
    what: int = 0
    n: int = 0
    zero: float = 0.0
    ring: np.ndarray = np.zeros(4)

    def halved(self, x):
        return x // self.n

    def on_quote(self, ctx, quote):
        if self.what == 0:
            self.zero = quote.mid / self.zero
        elif self.what == 1:
            self.ring[self.n + 4] = quote.mid
        elif self.what == 2:
            raise ValueError("not today")
        elif self.what == 3:
            for i in range(20):
                ctx.order_lots(0, 1, 10, 9_000 + i)
        elif self.what == 4:
            for _ in range(5):
                ctx.set_timer(1_000)
        elif self.what == 5:
            ctx.buy(0, 0.0005)
        elif self.what == 6:
            ctx.mid(1)
        elif self.what == 7:
            self.n = self.halved(7)
        elif self.what == 8:
            self.zero = 1.0 / (ctx.spread(0) - 0.02)
        elif self.what == 9:
            self.zero = 1.0 / self.ring[2]

    def on_order(self, ctx, order):
        if order.kind == REFUSED:
            ctx.buy(0, 0.0005)


CASES = {
    0: ("ZeroDivisionError", "division by zero", "self.zero = quote.mid / self.zero"),
    1: ("IndexError", "out of bounds", "self.ring[self.n + 4] = quote.mid"),
    2: ("ValueError", "not today", ""),
    3: ("OverflowError", "more orders for one event than the capacity 'commands'", "ctx.order_lots(0, 1, 10, 9_000"),
    4: ("OverflowError", "more timers than the capacity 'timers'", "ctx.set_timer(1_000)"),
    5: ("OverflowError", "more orders for one event than the capacity 'commands'", "ctx.buy(0, 0.0005)"),
    6: ("IndexError", "the run has no instrument of that number", "ctx.mid(1)"),
    7: ("ZeroDivisionError", "by zero", "return x // self.n"),
    8: ("ZeroDivisionError", "division by zero", "self.zero = 1.0 / (ctx.spread(0) - 0.02)"),
    9: ("ZeroDivisionError", "division by zero", "self.zero = 1.0 / self.ring[2]"),
}


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize("what", CASES)
def test_a_handler_that_raises_stops_the_engine(what: int, jit: bool) -> None:
    kind, message, line = CASES[what]
    engine = Engine([SIM], [Failing(what=what)], capacity=SMALL, jit=jit)
    engine.start(START_NS)
    rows = joined(trade(START_NS + 1), quote(START_NS + 2), quote(START_NS + 3))
    with pytest.raises(StrategyRuntimeError) as first:
        engine.step(rows)
    text = str(first.value)
    handler = "on_order" if what == 5 else "on_quote"
    assert text.startswith(f"Failing.{handler} raised {kind}: ")
    assert message in text
    assert line in text
    assert "test_bad_strategies.py:" in text
    assert f"row 2, time {START_NS + 2} ns" in text
    # The row that failed was the last, whatever is asked.
    state = engine.state_hash()
    assert engine.seq == 2
    assert engine.head["n_proposals"] == 0
    for ask in (lambda: engine.step(rows, 2), lambda: engine.fire_timers(1 << 60), lambda: engine.stop(1 << 60)):
        with pytest.raises(StrategyRuntimeError) as again:
            ask()
        assert str(again.value) == text
    assert engine.state_hash() == state
    if what not in (5,):
        assert engine.head["n_commands"] == 0


class Innocent(Strategy):
    n: int = 0

    def on_quote(self, ctx, quote):
        self.n += 1
        ctx.order_lots(0, 1, 10, quote.bid_px)


def test_strategies_after_the_one_that_raised_do_not_run() -> None:
    engine = Engine([SIM], [Innocent(), Failing(what=2), Innocent()], capacity=SMALL)
    engine.start(START_NS)
    with pytest.raises(StrategyRuntimeError, match="not today"):
        engine.step(quote(START_NS))
    assert [int(engine.state(i)["n"]) for i in (0, 1, 2)] == [1, 0, 0]
    assert engine.head["n_commands"] == 1


def test_a_snapshot_from_before_brings_a_stopped_engine_back() -> None:
    engine = Engine([SIM], [Failing(what=2)], capacity=SMALL)
    engine.start(START_NS)
    saved = engine.snapshot()
    with pytest.raises(StrategyRuntimeError):
        engine.step(quote(START_NS))
    engine.restore(saved)
    engine.set_parameter(0, "what", 99)
    assert engine.step(quote(START_NS)) == 1


class Refused(Strategy):
    """Quotes once for every quote, and shows what it saw to the next."""

    seen: int = 0
    reason: int = 0

    def on_quote(self, ctx, quote):
        ctx.order_lots(0, 1, 10, quote.bid_px)

    def on_order(self, ctx, order):
        self.seen += 1
        self.reason = order.reason


class Mid(Strategy):
    mid: float = 0.0

    def on_quote(self, ctx, quote):
        self.mid = quote.mid


@pytest.mark.parametrize("jit", [True, False])
def test_orders_beyond_the_table_are_refused_rows(jit: bool) -> None:
    engine = Engine([SIM], [Refused(), Mid()], capacity=SMALL, jit=jit)
    engine.start(START_NS)
    commands, refused = engine.run(np.concatenate([quote(START_NS + i) for i in range(10)]))
    assert len(commands) == 8
    assert refused["kind"].tolist() == [REFUSED] * 2
    assert refused["reason"].tolist() == [TOO_MANY_OPEN_ORDERS] * 2
    assert int(engine.state(0)["seen"]) == 2
    assert int(engine.state(0)["reason"]) == TOO_MANY_OPEN_ORDERS
    assert engine.view("risk")[0]["refusals"][TOO_MANY_OPEN_ORDERS] == 2
    assert engine.view("risk")[0]["n_passed"] == 8
    # A refusal shown to one strategy leaves the row as it is for the next.
    assert float(engine.state(1)["mid"]) == 100.01


# --- before anything runs --------------------------------------------------------------------------------------------


class Silent(Strategy):
    n: int = 0


class Short(Strategy):
    n: int = 0

    def on_quote(self, ctx):
        self.n += 1


class Undeclared(Strategy):
    n: int = 0

    def on_quote(self, ctx, quote):
        self.m = 1


class InMethod(Strategy):
    n: int = 0

    def count(self):
        self.total = 1

    def on_quote(self, ctx, quote):
        self.count()


class Foreign(Strategy):
    n: int = 0

    def on_quote(self, ctx, quote):
        with open("x"):
            self.n = 1


@pytest.mark.parametrize("jit", [True, False])
@pytest.mark.parametrize(
    ("cls", "error", "words"),
    [
        (Silent, StrategyError, "Silent has no handler: write at least one of on_start"),
        (Short, StrategyError, "takes 2 arguments; it must take 3: self, ctx, event"),
        (Undeclared, StrategyCompileError, "`self.m`: Undeclared has no field `m`"),
        (InMethod, StrategyCompileError, "`self.total`: InMethod has no field `total`"),
    ],
)
def test_a_class_that_cannot_work_is_refused(cls: Any, error: type[Exception], words: str, jit: bool) -> None:
    with pytest.raises(error) as found:
        Engine([SIM], [cls()], capacity=SMALL, jit=jit)
    assert words in str(found.value)


@pytest.mark.skipif(not COMPILED, reason="the interpreter runs any Python")
def test_what_does_not_compile_is_named_with_its_line() -> None:
    with pytest.raises(StrategyCompileError) as found:
        Engine([SIM], [Foreign()], capacity=SMALL)
    assert "Foreign.on_quote does not compile" in str(found.value)
    assert 'with open("x")' in str(found.value)


def test_misspelled_handlers_and_parameters() -> None:
    with pytest.raises(StrategyError, match=r"Ticking\.on_tick is no handler; handlers are: on_start, on_book"):

        class Ticking(Strategy):
            def on_tick(self, ctx, tick):
                pass

    with pytest.raises(StrategyError, match="Innocent has no parameter 'm'; it has: n"):
        Innocent(m=3)
    with pytest.raises(StrategyError, match=r"Innocent\.n must be int, found 1\.5"):
        Engine([SIM], [Innocent(n=1.5)], capacity=SMALL)
