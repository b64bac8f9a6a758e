"""The way into a session from outside, the steady clock, and warm-up."""

from __future__ import annotations

import asyncio
import os
import stat

import numpy as np
import pytest

import tercel as tc
from reference.driver_bench import MS, SMALL, T0, unit
from tercel.clock import SteadyClock
from tercel.engine.engine import Engine
from tercel.errors import ConfigError, NetworkError
from tercel.live.control import ControlServer, ask_session, halt_file
from tercel.live.warming import warm_up
from tercel.model.events import EXCH, LAST, LOCAL, TRADE, event_rows
from tercel.model.reasons import NOT_ARMED


def serve(directory, answer, ask):
    async def main():
        async with ControlServer(directory, answer) as server:
            mode = stat.S_IMODE(os.stat(server.path).st_mode)
            return mode, await asyncio.to_thread(ask)

    return asyncio.run(main())


def test_a_question_gets_its_answer_by_a_socket_of_its_owner(tmp_path):
    mode, answer = serve(tmp_path, lambda what, more: {what: more["n"]}, lambda: ask_session(tmp_path, "status", n=3))
    assert (mode, answer) == (0o600, {"status": 3})
    assert halt_file(tmp_path) == tmp_path / "HALT"


def test_a_long_path_is_served_from_elsewhere(tmp_path):
    deep = tmp_path / ("d" * 120)
    _, answer = serve(deep, lambda what, more: what, lambda: ask_session(deep, "halt"))
    assert answer == "halt"


def test_what_goes_wrong_is_told(tmp_path):
    def refuse(what, more):
        raise ConfigError("expected status")

    with pytest.raises(NetworkError, match="refused 'dance': ConfigError: expected status"):
        serve(tmp_path, refuse, lambda: ask_session(tmp_path, "dance"))
    with pytest.raises(NetworkError, match="no session runs"):
        ask_session(tmp_path, "status")


class TwoClocks:
    def __init__(self):
        self.wall = T0
        self.steady = 5

    def wall_ns(self):
        return self.wall

    def monotonic_ns(self):
        return self.steady


def test_the_steady_clock_follows_slowly_and_never_goes_back():
    machine = TwoClocks()
    clock = SteadyClock(machine)
    assert clock.wall_ns() == T0
    machine.wall += 3_600_000 * MS
    machine.steady += MS
    assert clock.wall_ns() == T0 + MS
    assert clock.adjust() == 3_600_000 * MS - MS
    assert clock.n_jumps == 1
    assert clock.wall_ns() == T0 + MS + MS // 2
    machine.wall = T0 - 10_000 * MS
    clock.adjust()
    assert clock.wall_ns() == T0 + MS + MS // 2
    assert clock.n_jumps == 1
    machine.steady += 2 * MS
    assert clock.wall_ns() == T0 + 3 * MS


class Learner(tc.Strategy):
    seen: int = 0
    rejected: int = 0
    reason: int = 0
    is_stubborn: int = 0

    def on_trade(self, ctx, trade):
        self.seen += 1
        ctx.buy(0, 1.0, limit=trade.price)

    def on_order(self, ctx, order):
        self.rejected += 1
        self.reason = order.reason
        if self.is_stubborn:
            ctx.buy(0, 1.0, limit=10.0)


def trades(n: int) -> np.ndarray:
    rows = event_rows(n)
    rows["ts_exch"] = rows["ts_recv"] = T0 + np.arange(n) * MS
    rows["kind"], rows["side"], rows["px"], rows["qty"] = TRADE, 1, 10, 1
    rows["flags"] = LOCAL | EXCH | LAST
    return rows


def test_a_warm_up_is_heard_and_sends_nothing():
    engine = Engine([unit()], [Learner()], capacity=SMALL, jit=False)
    warm_up(engine, trades(5), T0 + 1_000 * MS)
    state = engine.state(0)
    assert (state["seen"], state["rejected"], state["reason"]) == (5, 5, NOT_ARMED)
    assert (engine.head["n_open"], engine.head["n_emitted"]) == (0, 0)


def test_a_warm_up_that_cannot_be_meant():
    engine = Engine([unit()], [Learner(is_stubborn=1)], capacity=SMALL, jit=False)
    with pytest.raises(ConfigError, match="never end"):
        warm_up(engine, trades(1), T0 + MS)
    with pytest.raises(ConfigError, match="future"):
        warm_up(engine, trades(5), T0 + MS)
    with pytest.raises(ConfigError, match="no rows"):
        warm_up(engine, event_rows(3), T0)
