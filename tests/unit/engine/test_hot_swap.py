"""Parameters and code changed between rows, without compiling anew and without losing state."""

from __future__ import annotations

import numpy as np
import pytest

from reference.busy_strategies import SIM
from reference.event_makers import quote
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.errors import DataError, StrategyError
from tercel.features import Ema
from tercel.jit import COMPILED
from tercel.strategy import compiler
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=16, orders=8, timers=4, far_levels=64, depth_ticks=256)


def counting(step: int) -> type[Strategy]:
    """A class made anew each time, as in a notebook, whose text is the same and whose constant is not."""

    class Counting(Strategy):
        n: int = 0
        lots: int = 10
        average: Ema = Ema(5)

        def on_quote(self, ctx, quote):
            self.n += step
            self.average.update(quote.mid)
            ctx.order_lots(0, 1, self.lots, quote.bid_px)

    return Counting


class Wider(Strategy):
    n: int = 0
    extra: float = 0.0
    lots: int = 10
    average: Ema = Ema(5)

    def on_quote(self, ctx, quote):
        self.n += 1


class Timed(Strategy):
    n: int = 0
    lots: int = 10
    average: Ema = Ema(5)

    def on_trade(self, ctx, trade):
        self.n = 1

    def on_quote(self, ctx, quote):
        self.n -= 1


@pytest.mark.parametrize("jit", [True, False])
def test_swap_keeps_state_and_changes_behaviour_at_the_row(jit: bool) -> None:
    engine = Engine([SIM], [counting(1)()], capacity=SMALL, jit=jit)
    engine.start(0)
    engine.run(np.concatenate([quote(1), quote(2)]))
    before = engine.snapshot()
    engine.swap(0, counting(100)(lots=77))
    assert engine.snapshot() == before
    commands, _ = engine.run(quote(3))
    assert int(engine.state(0)["n"]) == 102
    assert commands["qty"].tolist() == [10]
    engine.swap(0, Timed())
    commands, _ = engine.run(quote(4))
    assert int(engine.state(0)["n"]) == 101
    assert len(commands) == 0


def test_a_snapshot_outlives_a_swap() -> None:
    engine = Engine([SIM], [counting(1)()], capacity=SMALL)
    engine.start(0)
    saved = engine.snapshot()
    engine.swap(0, counting(100)())
    engine.restore(saved)
    engine.run(quote(1))
    assert int(engine.state(0)["n"]) == 100


def test_swap_refuses_another_record_by_name() -> None:
    engine = Engine([SIM], [counting(1)()], capacity=SMALL)
    engine.start(0)
    engine.run(quote(1))
    state = engine.state_hash()
    with pytest.raises(StrategyError) as found:
        engine.swap(0, Wider())
    assert "cannot swap Counting for Wider while it runs: the record differs in extra;" in str(found.value)
    assert engine.state_hash() == state
    engine.run(quote(2))
    assert int(engine.state(0)["n"]) == 2


def test_parameters_are_set_without_compiling() -> None:
    cls = counting(1)
    engine = Engine([SIM], [cls(), cls(lots=3)], capacity=SMALL)
    known = len(compiler._COMPILED)
    engine.start(0)
    engine.set_parameter(1, "lots", 4)
    commands, _ = engine.run(quote(1))
    assert commands["qty"].tolist() == [10, 4]
    assert len(compiler._COMPILED) == known
    with pytest.raises(StrategyError, match="has no parameter 'lot'; it has: n, lots"):
        engine.set_parameter(0, "lot", 4)
    with pytest.raises(StrategyError, match=r"Counting\.lots must be int, found 4\.5"):
        engine.set_parameter(0, "lots", 4.5)


def test_a_thousand_parameter_sets_share_one_code() -> None:
    cls = counting(1)
    first = Engine([SIM], [cls()], capacity=SMALL)
    many = Engine([SIM], [cls(lots=1 + i) for i in range(1000)], capacity=Capacity(commands=1024, orders=1024))
    if COMPILED:
        assert {c.addresses["on_quote"] for c in many.compiled} == {first.compiled[0].addresses["on_quote"]}
    many.start(0)
    commands, _ = many.run(quote(1))
    assert commands["qty"].tolist() == list(range(1, 1001))


def test_restore_refuses_what_is_not_its_own() -> None:
    one, other = Engine([SIM], [Innocent()], capacity=SMALL), Engine([SIM], [Other()], capacity=SMALL)
    assert one.layout.size == other.layout.size
    with pytest.raises(DataError, match="another layout than this engine"):
        other.restore(one.snapshot())
    with pytest.raises(DataError, match="a snapshot of 10 bytes does not fit an engine of"):
        one.restore(bytes(10))


class Innocent(Strategy):
    n: int = 0

    def on_quote(self, ctx, quote):
        self.n += 1


class Other(Strategy):
    x: float = 0.0

    def on_quote(self, ctx, quote):
        self.x += 1.0
