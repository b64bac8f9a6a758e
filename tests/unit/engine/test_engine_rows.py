"""Rows that cannot be are refused by number and name, before anything of their batch is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.busy_strategies import SIM
from reference.event_makers import fill, joined, level, quote, row, timer, trade
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.engine.replay import note, replay
from tercel.engine.step import engine_step
from tercel.errors import CapacityError, DataError, TercelError, UnknownInstrumentError
from tercel.jit import address_of
from tercel.model.events import FUNDING
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=16, orders=8, timers=4, far_levels=64, depth_ticks=64)
INT64_MAX = (1 << 63) - 1


class Counting(Strategy):
    n: int = 0

    def on_trade(self, ctx, trade):
        self.n += 1
        ctx.order_lots(0, 1, 1, trade.px)


def started() -> Engine:
    engine = Engine([SIM], [Counting()], capacity=SMALL)
    engine.start(100)
    return engine


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (trade(101), "row 2: time runs backwards, ts_recv is 101 ns after 102 ns"),
        (row(33, 110), "row 2: has a kind that does not exist, kind is 33"),
        (level(110, 0, 5, 5), "row 2: is a book level of neither side, 1 bid or -1 ask, side is 0"),
        (trade(110, 0), "row 2: has no positive price, px is 0"),
        (trade(110, -4), "row 2: has no positive price, px is -4"),
        (level(110, 1, 5, -5), "row 2: has a negative size, qty is -5"),
    ],
)
def test_a_bad_row_stops_its_batch_before_it_begins(bad: np.ndarray, words: str) -> None:
    engine = started()
    state = engine.state_hash()
    with pytest.raises(DataError) as found:
        engine.step(joined(trade(101), trade(102), bad))
    assert str(found.value).startswith(words)
    assert engine.state_hash() == state
    assert len(engine.run(joined(trade(101), trade(102)))[0]) == 2


def test_a_batch_may_not_begin_before_the_last() -> None:
    engine = started()
    engine.run(trade(200))
    with pytest.raises(DataError, match="row 0: time runs backwards, ts_recv is 199 ns after 200 ns"):
        engine.step(trade(199))


def unchecked(engine: Engine, rows: np.ndarray) -> int:
    """As a driver that does not look at rows: the kernel itself."""
    return engine_step(engine.base, engine.wiring, address_of(rows), 0, len(rows), INT64_MAX)


@pytest.mark.parametrize(
    ("bad", "error", "words"),
    [
        (trade(110, instrument=1), UnknownInstrumentError, "row 1: names instrument number 1, but the run has 1: SIM"),
        (level(110, 1, 5, 5, instrument=-3), UnknownInstrumentError, "row 1: names instrument number -3"),
        (row(33, 110), DataError, "row 1: no row has the kind 33"),
        (row(FUNDING, 110, instrument=7), UnknownInstrumentError, "row 1: names instrument number 7"),
        (fill(110, 5, 1, 100, 0), DataError, "row 1: a fill on SIM has no positive price and size"),
        (fill(110, 5, 1, 1 << 40, 1 << 40), DataError, "row 1: a fill or funding on SIM moves more money"),
    ],
)
def test_the_kernel_stops_at_what_it_cannot_process(bad: np.ndarray, error: type[TercelError], words: str) -> None:
    engine = started()
    rows = joined(bad, trade(120))
    assert unchecked(engine, rows) == 1
    with pytest.raises(error) as found:
        engine.check()
    assert str(found.value).startswith(words)
    # Stopped: nothing more is processed, and the same is said again.
    assert unchecked(engine, rows) == 0
    assert engine.seq == 1
    with pytest.raises(error) as again:
        engine.run(trade(130))
    assert str(again.value) == str(found.value)


def test_a_full_book_names_instrument_and_capacity() -> None:
    engine = started()
    rows = joined(*[level(200 + i, 1, 1_000_000 - 100 * i, 5) for i in range(80)])
    with pytest.raises(CapacityError) as found:
        engine.run(rows)
    assert "the book of SIM has more than 48 levels a side outside its window of 64 ticks" in str(found.value)
    assert "raise the capacity far_levels or depth_ticks" in str(found.value)


def test_commands_that_are_not_taken_stop_the_stream() -> None:
    engine = started()
    rows = joined(trade(101), trade(102))
    assert engine.step(rows) == 1
    assert engine.step(rows, 1) == 1
    assert len(engine.take()[0]) == 1
    assert engine.step(rows, 1) == 2


class AtTimes(Strategy):
    times: np.ndarray = np.zeros(8, np.int64)
    n: int = 0

    def on_start(self, ctx):
        ctx.set_timer(10, 1, 10)
        ctx.set_timer(25, 2)

    def on_timer(self, ctx, timer):
        self.times[self.n % 8] = timer.due * 10 + timer.id
        self.n += 1


def test_timers_fire_in_order_after_rows_of_their_time() -> None:
    engine = Engine([SIM], [AtTimes()], capacity=SMALL)
    engine.start(0)
    engine.run(joined(quote(20), quote(26)))
    assert engine.state(0)["times"].tolist() == [101, 201, 252, 0, 0, 0, 0, 0]
    engine.run(timer(40))
    assert engine.state(0)["times"][3:5].tolist() == [301, 401]
    assert engine.now_ns == 40


@pytest.mark.parametrize(("fields", "dtype"), [({"arg0": 9}, None), ({}, "i8")])
def test_a_journal_that_is_none_is_refused(fields: dict[str, Any], dtype: str | None) -> None:
    journal = note(-1, 5)
    for name, value in fields.items():
        journal[name] = value
    with pytest.raises(DataError, match="journal"):
        replay(started(), journal if dtype is None else np.zeros(3, dtype))


def test_rows_the_strategy_does_not_see_are_stepped_over() -> None:
    engine = started()
    hidden = trade(50)
    hidden["flags"] = 0
    assert engine.step(joined(hidden, trade(101))) == 2
    assert engine.seq == 1
