"""Actors in a whole session over loopback sockets: what goes wrong with them, and what the session makes of it."""

from __future__ import annotations

import asyncio
import threading
from typing import ClassVar

import pytest

import tercel as tc
from live.session_parts import coin_plan, coin_venue
from live.test_session import Crosser, until
from tercel.errors import ConfigError
from tercel.live.actors_pipeline import Pipeline
from tercel.live.control import ask_session
from tercel.live.lifecycle import TRADING
from tercel.live.plan import ActorPlan, SessionReport
from tercel.live.session import LiveSession
from tercel.localvenue.server import VenueServer
from tercel.model.events import SIGNAL, TRADE
from tercel.runtime.actor import RestartPolicy
from tercel.runtime.loop import run
from tercel.store.journal_read import open_journal


class Caller(tc.Actor):
    """A signal for every trade; says what it knows of the portfolio."""

    kinds = (TRADE,)
    configs: list[object]

    def __init__(self) -> None:
        self.factor = 1.0

    async def on_config(self, config) -> None:
        self.factor = config

    async def on_market(self, event) -> None:
        self.emit(event.symbol, self.factor * self.portfolio.n_fills, 1.0, deadline_ms=None)


class Breaking(tc.Actor):
    """Never hears a trade without raising."""

    async def on_market(self, event) -> None:
        raise ValueError("no model today")


class Stubborn(tc.Actor):
    """Does not end when it is asked to."""

    async def on_market(self, event) -> None:
        await asyncio.sleep(3600)


class Hearing(Crosser):
    """Trades, and keeps the last signal."""

    last: float = 0.0
    n_heard: int = 0

    def on_signal(self, ctx, signal):
        self.last = signal.value
        self.n_heard += 1


class Blocking(tc.Actor):
    """Keeps the thread it runs in until the test lets it go; tells which one that was."""

    blocked, release = threading.Event(), threading.Event()
    threads: ClassVar[set[str]] = set()

    async def on_market(self, event) -> None:
        self.threads.add(threading.current_thread().name)
        self.blocked.set()
        self.release.wait()


in_both = pytest.mark.parametrize("actors_in", ["loop", "thread"])


@in_both
def test_signals_and_crashes_beside_a_session_that_trades(tmp_path, actors_in):
    async def main() -> SessionReport:
        actors = [
            ActorPlan(name="caller", factory=Caller, config=2.0),
            ActorPlan(
                name="breaking", factory=Breaking, policy=RestartPolicy(errors_in_a_row_max=2, first_delay_s=0.01)
            ),
            ActorPlan(name="stubborn", factory=Stubborn),
        ]
        async with VenueServer(coin_venue()) as server:
            plan = coin_plan(server, tmp_path, Hearing(), actors=actors, actors_in=actors_in, stop_s=6.0)
            session = LiveSession(plan)
            living = asyncio.create_task(session.run())

            def heard() -> bool:
                return session.state == TRADING and session.core.engine.state(0)["last"] >= 4.0

            await until(heard, "signals that know of two fills", living)
            status = await asyncio.to_thread(ask_session, tmp_path, "status")
            assert {one["name"]: one["last_error"] for one in status["actors"]["actors"]}["breaking"] != ""
            n_fills = session.look().n_fills
            await until(lambda: session.look().n_fills >= n_fills + 3, "trading to go on", living)
            session.stop("enough")
            report = await living
            assert server.venue.desk.open_orders(server.venue.bank.accounts[1], None) == []
            return report

    report = run(main())
    assert report.error is None
    assert report.actors is not None
    actors = {one.name: one for one in report.actors.actors}
    assert "no model today" in actors["breaking"].last_error
    assert actors["breaking"].n_restarts >= 1
    assert actors["caller"].n_errors == 0
    journaled = open_journal(tmp_path / "journal").rows(0)
    assert int((journaled["kind"] == SIGNAL).sum()) == report.actors.signals["caller"].n_sent > 0


@in_both
def test_a_pipeline_that_breaks_ends_the_session_in_order(tmp_path, monkeypatch, actors_in):
    def broken(self, rows):
        raise RuntimeError("the pipeline is broken")

    async def main() -> SessionReport:
        async with VenueServer(coin_venue()) as server:
            actors = [ActorPlan(name="caller", factory=Caller)]
            session = LiveSession(coin_plan(server, tmp_path, Crosser(), actors=actors, actors_in=actors_in))
            living = asyncio.create_task(session.run())
            account = server.venue.bank.accounts[1]
            await until(lambda: server.venue.desk.open_orders(account, None) != [], "an open order", living)
            monkeypatch.setattr(Pipeline, "_events", broken)
            report = await living
            assert server.venue.desk.open_orders(account, None) == []
            return report

    report = run(main())
    assert str(report.error) == "the pipeline is broken"
    assert "the pipeline is broken" in report.why


@in_both
def test_actors_that_cannot_be_keep_the_session_from_starting(tmp_path, actors_in):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            twice = [ActorPlan(name="a", factory=Caller), ActorPlan(name="a", factory=Caller)]
            with pytest.raises(ConfigError, match="named 'a' is running already"):
                await LiveSession(coin_plan(server, tmp_path, Crosser(), actors=twice, actors_in=actors_in)).run()
            assert "tercel-actors" not in {thread.name for thread in threading.enumerate()}

    run(main())


def test_an_actor_that_blocks_its_thread_holds_up_no_session(tmp_path):
    async def main() -> SessionReport:
        async with VenueServer(coin_venue()) as server:
            actors = [ActorPlan(name="blocking", factory=Blocking)]
            plan = coin_plan(server, tmp_path, Crosser(), actors=actors, actors_in="thread", stop_s=6.0)
            session = LiveSession(plan)
            living = asyncio.create_task(session.run())
            await until(Blocking.blocked.is_set, "the actor to block", living)
            n_fills = session.look().n_fills
            await until(lambda: session.look().n_fills >= n_fills + 3, "trading to go on", living)
            status = await asyncio.to_thread(ask_session, tmp_path, "status")
            (one,) = status["actors"]["actors"]
            assert one["busy_ns"] > 0
            session.stop("enough")
            report = await living
            assert server.venue.desk.open_orders(server.venue.bank.accounts[1], None) == []
            return report

    try:
        report = run(main())
    finally:
        Blocking.release.set()
    assert report.error is None
    assert report.why == "enough"
    assert report.actors is not None
    assert Blocking.threads == {"tercel-actors"}
