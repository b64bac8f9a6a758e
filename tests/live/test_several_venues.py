"""One session at three venues: one strategy on all, orders routed between two of them, one that dies and comes back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import tercel as tc
from live.session_parts import COIN, MODEL, SMALL, coin_venue
from live.test_session import until
from tercel.cli.live_view import glance_line
from tercel.errors import NetworkError
from tercel.jit import ENTRIES
from tercel.live.control import ask_session
from tercel.live.driver import LiveOptions
from tercel.live.lifecycle import TRADING
from tercel.live.session import LiveSession, SessionPlan, SessionReport, failure_of
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.server import VenueServer
from tercel.localvenue.symbols import SymbolRules
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.commands import IOC, NEW
from tercel.model.events import CANCELED, CONNECT, DISCONNECT, FILL
from tercel.runtime.loop import run
from tercel.store.journal_format import commands_of
from tercel.store.journal_read import open_journal
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials

NAMES = ("one", "two", "three")
INSTRUMENTS = [
    msgspec.structs.replace(COIN, venue=name, kind="linear" if name == "three" else "spot") for name in NAMES
]


class Routed(tc.Strategy):
    """Buys and sells in turn where the router says, trades the perpetual besides, keeps a far bid wherever it can."""

    turn: int = 0
    rest_0: int = 0
    rest_1: int = 0
    rest_2: int = 0

    def on_start(self, ctx):
        ctx.set_timer(20_000_000, 0, 20_000_000)

    def on_timer(self, ctx, timer):
        self.turn += 1
        side = 1 - 2 * (self.turn % 2)
        ctx.route(0, side, 0.002, 105.0 if side > 0 else 95.0)
        ctx.order_lots(2, side, 10, ctx.best_ask_ticks(2) + 2 if side > 0 else ctx.best_bid_ticks(2) - 2, tc.IOC)
        self.rest_0 = self.rest(ctx, 0, self.rest_0)
        self.rest_1 = self.rest(ctx, 1, self.rest_1)
        self.rest_2 = self.rest(ctx, 2, self.rest_2)

    def rest(self, ctx, i, order):
        if ctx.best_bid_ticks(i) == 0 or ctx.is_open(order):
            return order
        return ctx.order_lots(i, 1, 5, ctx.best_bid_ticks(i) - 1_000, tc.GTC)


def venue(name: str) -> LocalVenue:
    if name != "three":
        return coin_venue(seed=1 + NAMES.index(name))
    for entry in ENTRIES:
        _ = entry.call
    listed = SymbolRules(instrument=INSTRUMENTS[2], market=MODEL, notional_min="0.1")
    return LocalVenue(VenueSetup(product="usdm", seed=3, symbols=[listed], n_accounts=1, limits=LimitRules.none()))


def connection(i: int, server: VenueServer) -> BinanceConnection:
    key = server.venue.keys[0]
    settings = BinanceSettings(
        market="usdm" if i == 2 else "spot", rest=server.rest_url, streams=server.stream_url,
        user_streams=server.stream_url, ws_api=server.ws_api_url, backoff_max_ns=300_000_000,
    )  # fmt: skip
    return BinanceConnection(settings, {i: INSTRUMENTS[i]}, Credentials(key.key, key.secret.decode()), NAMES[i])


def fills_at(servers: list[VenueServer]) -> dict[tuple[int, int], tuple[int, int, int]]:
    return {
        (i, trade.id): (trade.order.side, trade.px, trade.lots)
        for i, server in enumerate(servers)
        for trade in server.venue.desk.trades
        if trade.order.account.number == 1
    }


def journaled(directory: Path) -> tuple[np.ndarray, list[Any]]:
    """Events of the run, and everything in its order: an event, or a command."""
    reader = open_journal(directory / "journal")
    mixed: list[Any] = []
    for piece in reader.pieces(0):
        for i in range(len(piece)):
            command = commands_of(piece[i : i + 1])
            mixed.append(command[0] if len(command) else piece[i])
    return reader.rows(0), mixed


def test_three_venues_one_of_which_dies_and_comes_back(tmp_path):
    async def main() -> tuple[SessionReport, list[VenueServer]]:
        servers = [VenueServer(venue(name)) for name in NAMES]
        for server in servers:
            await server.start()
        plan = SessionPlan(
            strategies=[Routed()], instruments=INSTRUMENTS, directory=tmp_path, takes_signals=False,
            connections=[connection(i, server) for i, server in enumerate(servers)], capacity=SMALL,
            limits=tc.Limits(position_max="5"), options=LiveOptions(answer_ns=2_000_000_000),
        )  # fmt: skip
        session = LiveSession(plan)
        living = asyncio.create_task(session.run())

        def n_fills(i: int) -> int:
            return sum(1 for at, _ in fills_at(servers) if at == i)

        def resting_at(server: VenueServer) -> list[Any]:
            return server.venue.desk.open_orders(server.venue.bank.accounts[1], None)

        await until(lambda: session.state == TRADING and min(map(n_fills, (0, 1, 2))) >= 5, "fills everywhere", living)
        await until(lambda: len(resting_at(servers[0])) == 1, "a resting order", living)
        first = servers[0]
        ports = first.port, first.rest_port
        await first.close()
        await until(lambda: session.look().links[0].n_lost >= 1, "the loss to be noticed", living)
        before = [n_fills(i) for i in range(3)]
        await until(lambda: all(n_fills(i) >= before[i] + 20 for i in (1, 2)), "the others to trade on", living)
        assert n_fills(0) == before[0]
        assert [link.is_open for link in session.look().links] == [False, True, True]
        # What rested there is in doubt, and meanwhile the venue ends it.
        assert [one.state for one in session.look().orders].count("unknown") == 1
        (resting,) = resting_at(first)
        first.venue.desk.cancel(resting, first.venue.markets["COINUSDT"], first.venue.now_ns)
        servers[0] = VenueServer(first.venue, port=ports[0], rest_port=ports[1])
        await servers[0].start()
        await until(lambda: session.look().links[0].is_open, "the venue to be reconciled", living)
        await until(lambda: n_fills(0) >= before[0] + 5, "trading at the venue that is back", living)
        assert session.look().halted == ""
        session.stop("the test has seen enough")
        report = await living
        for server in servers:
            assert resting_at(server) == []
            await server.close()
        return report, servers

    report, servers = run(main())
    assert (report.error, report.n_compiled_armed) == (None, 0)
    events, mixed = journaled(tmp_path)
    fills = events[events["kind"] == FILL]
    ours = {(int(r["instrument"]), int(r["arg1"])): (int(r["side"]), int(r["px"]), int(r["qty"])) for r in fills}
    assert ours == fills_at(servers)
    # While the first venue was lost, nothing was routed there; the order that it ended meanwhile was told.
    begun = next(k for k, row in enumerate(mixed) if "tif" not in row.dtype.names and row["kind"] == DISCONNECT)
    assert int(mixed[begun]["instrument"]) == 0
    back = next(
        k for k, row in enumerate(mixed) if k > begun and "tif" not in row.dtype.names and row["kind"] == CONNECT
    )
    routed = [row for row in mixed[begun:back] if "tif" in row.dtype.names and row["kind"] == NEW and row["tif"] == IOC]
    assert len(routed) >= 20
    assert {int(row["instrument"]) for row in routed} == {1, 2}
    later = [row for row in mixed[back:] if "tif" not in row.dtype.names]
    assert any(row["kind"] == CANCELED and row["instrument"] == 0 for row in later)


def test_a_venue_that_is_not_there_ends_the_start_and_is_named(tmp_path):
    async def main() -> SessionReport:
        servers = [VenueServer(venue(name)) for name in NAMES[:2]]
        for server in servers:
            await server.start()
        gone = servers[1]
        plan = SessionPlan(
            strategies=[Routed()], instruments=INSTRUMENTS[:2], directory=tmp_path, takes_signals=False,
            connections=[connection(i, server) for i, server in enumerate(servers)], capacity=SMALL,
            limits=tc.Limits(position_max="5"), start_s=4.0,
        )  # fmt: skip
        await gone.close()
        session = LiveSession(plan)
        living = asyncio.create_task(session.run())
        await until(lambda: session.shell is not None and session.look().links[0].is_live, "the one", living)
        await until(lambda: session.look().links[1].said != "", "word of the other", living)
        status = await asyncio.to_thread(ask_session, tmp_path, "status")
        assert status["state"] == "connect"
        one, two = status["links"]
        assert one["name"] == "one"
        assert one["waits_for"] in ("", "its report of our orders and positions")
        assert (two["name"], two["waits_for"]) == ("two", "its channels and market data to be in step")
        shown = glance_line(session.look())
        assert "two waits for its channels and market data to be in step: " in shown
        report = await living
        assert [t for t in servers[0].venue.desk.trades if t.order.account.number == 1] == []
        await servers[0].close()
        return report

    report = run(main())
    assert isinstance(report.error, NetworkError)
    assert report.error.exit_code == 7
    text = str(report.error)
    assert text.startswith("not every venue is in step after 4 s (start_s): ")
    assert "two waits for its channels and market data to be in step (" in text
    assert failure_of(report) is report.error
    assert report.last.n_commands == 0
