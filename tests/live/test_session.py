"""A whole session over loopback sockets: from a fresh directory to an end in order, and what an operator does to it."""

from __future__ import annotations

import asyncio

import pytest

import tercel as tc
from live.session_parts import coin_plan, coin_venue
from tercel.errors import ConfigError, NetworkError
from tercel.live.control import ask_session, halt_file
from tercel.live.lifecycle import STOPPED, TRADING
from tercel.live.session import LiveSession, SessionReport
from tercel.localvenue.server import VenueServer
from tercel.model.events import FILL
from tercel.runtime.loop import run
from tercel.store.journal_read import open_journal


class Crosser(tc.Strategy):
    """Buys and sells a little in turn, and keeps a bid far below the market."""

    turn: int = 0
    resting: int = 0

    def on_start(self, ctx):
        ctx.set_timer(50_000_000, 0, 50_000_000)

    def on_timer(self, ctx, timer):
        bid, ask = ctx.best_bid_ticks(0), ctx.best_ask_ticks(0)
        if bid == 0 or ask == 0:
            return
        if not ctx.is_open(self.resting):
            self.resting = ctx.order_lots(0, 1, 5, bid - 50)
        self.turn += 1
        if self.turn % 2 == 0:
            ctx.order_lots(0, 1, 10, ask + 2, tc.IOC)
        else:
            ctx.order_lots(0, -1, 10, bid - 2, tc.IOC)


async def until(condition, what: str, living=None) -> None:
    """Wait for something that will come, unless the session `living` ends before."""
    for _ in range(3000):
        if condition():
            return
        if living is not None and living.done():
            living.result()
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what} did not come")


def venue_fills(server: VenueServer) -> dict[int, tuple[int, int, int]]:
    return {t.id: (t.order.side, t.px, t.lots) for t in server.venue.desk.trades if t.order.account.number == 1}


def journal_fills(directory) -> dict[int, tuple[int, int, int]]:
    found = {}
    path = directory / "journal"
    for run_dir in sorted(path.glob("run-*")):
        reader = open_journal(path, int(run_dir.name.removeprefix("run-")))
        for piece in reader.pieces(0):
            for row in piece[piece["kind"] == FILL]:
                found[int(row["arg1"])] = (int(row["side"]), int(row["px"]), int(row["qty"]))
    return found


def test_a_session_trades_and_ends_with_nothing_open(tmp_path):
    async def main() -> tuple[SessionReport, VenueServer]:
        async with VenueServer(coin_venue()) as server:
            session = LiveSession(coin_plan(server, tmp_path, Crosser()))
            living = asyncio.create_task(session.run())
            await until(lambda: session.state == TRADING and session.look().n_fills >= 6, "six fills", living)
            status = await asyncio.to_thread(ask_session, tmp_path, "status")
            assert status["state"] == TRADING
            assert status["n_compiled_armed"] == 0
            assert [o["symbol"] for o in status["orders"]] == ["COINUSDT"]
            session.stop("the test has seen enough")
            report = await living
            assert session.state == STOPPED
            assert server.venue.desk.open_orders(server.venue.bank.accounts[1], None) == []
            return report, server

    report, server = run(main())
    assert (report.why, report.error, report.n_compiled_armed) == ("the test has seen enough", None, 0)
    assert venue_fills(server) == journal_fills(tmp_path)
    assert len(venue_fills(server)) == report.last.n_fills
    with pytest.raises(NetworkError, match="no session runs"):
        ask_session(tmp_path, "status")


def test_the_kill_switch_from_another_terminal(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            session = LiveSession(coin_plan(server, tmp_path, Crosser()))
            living = asyncio.create_task(session.run())
            await until(lambda: session.state == TRADING and session.look().n_fills >= 2, "two fills", living)
            await asyncio.to_thread(ask_session, tmp_path, "halt")
            account = server.venue.bank.accounts[1]
            await until(lambda: not server.venue.desk.open_orders(account, None), "an empty book")
            n_fills = len(venue_fills(server))
            await asyncio.sleep(0.3)
            assert len(venue_fills(server)) == n_fills
            assert session.look().halted == "kill_switch"
            await asyncio.to_thread(ask_session, tmp_path, "resume")
            await until(lambda: len(venue_fills(server)) > n_fills, "trading to go on", living)
            halt_file(tmp_path).touch()
            await until(lambda: session.look().halted != "", "the halt file to be seen")
            with pytest.raises(NetworkError, match="expected status"):
                await asyncio.to_thread(ask_session, tmp_path, "dance")
            await asyncio.to_thread(ask_session, tmp_path, "stop")
            report = await living
            assert report.error is None

    run(main())


def test_the_next_session_goes_on_where_the_last_one_ended(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            positions, runs = [], []
            for _ in range(2):
                session = LiveSession(coin_plan(server, tmp_path, Crosser()))
                living = asyncio.create_task(session.run())
                seen = 0 if not positions else positions[-1][1]
                await until(
                    lambda s=session, n=seen: s.state == TRADING and s.look().n_fills >= n + 3, "three fills", living
                )
                session.stop("enough")
                report = await living
                assert report.error is None
                positions.append((report.last.instruments[0].position, report.last.n_fills))
                runs.append(report.run)
                lots = sum(side * lots for side, _, lots in venue_fills(server).values())
                assert round(report.last.instruments[0].position * 1000) == lots
            assert runs[1] > runs[0]
            assert venue_fills(server) == journal_fills(tmp_path)

    run(main())


def test_a_venue_that_restarts_and_one_that_is_gone(tmp_path):
    async def main() -> None:
        venue = coin_venue()
        async with VenueServer(venue) as server:
            session = LiveSession(coin_plan(server, tmp_path, Crosser()))
            living = asyncio.create_task(session.run())
            await until(lambda: session.state == TRADING and session.look().n_fills >= 2, "two fills", living)
            venue.restart(venue.now_ns)
            await until(lambda: session.look().links[0].n_lost >= 1, "the loss to be noticed")
            n_fills = len(venue_fills(server))
            await until(lambda: len(venue_fills(server)) > n_fills, "trading to go on", living)
            assert session.core is not None
            await until(lambda: session.core.links[0].is_open, "the venue to be reconciled")
        # The venue is gone for good: the end does not wait for it beyond its time.
        session.stop("the venue is gone")
        report = await asyncio.wait_for(living, 30)
        assert report.why == "the venue is gone"

    run(main())


def test_a_strategy_that_raises_leaves_nothing_open(tmp_path):
    class Faulty(Crosser):
        left: int = 6

        def on_fill(self, ctx, fill):
            self.left -= 1
            print(1 // self.left)

    async def main() -> SessionReport:
        async with VenueServer(coin_venue()) as server:
            session = LiveSession(coin_plan(server, tmp_path, Faulty(), jit=False))
            report = await session.run()
            account = server.venue.bank.accounts[1]
            await until(lambda: not server.venue.desk.open_orders(account, None), "an empty book")
            return report

    report = run(main())
    assert "ZeroDivisionError" in str(report.error)


def test_a_halt_holds_for_the_next_start_until_it_is_lifted(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            first = LiveSession(coin_plan(server, tmp_path, Crosser()))
            living = asyncio.create_task(first.run())
            await until(lambda: first.state == TRADING and first.look().n_fills >= 1, "a fill", living)
            await asyncio.to_thread(ask_session, tmp_path, "halt")
            first.stop("enough")
            assert (await living).last.halted == "kill_switch"
            n_fills = len(venue_fills(server))

            still = LiveSession(coin_plan(server, tmp_path, Crosser(), duration_s=0.5))
            assert (await still.run()).why == "its time is over"
            assert still.look().halted == "kill_switch"
            assert len(venue_fills(server)) == n_fills

            halt_file(tmp_path).touch()
            with pytest.raises(ConfigError, match="halted here"):
                await LiveSession(coin_plan(server, tmp_path, Crosser(), is_resuming=True)).run()
            halt_file(tmp_path).unlink()

            again = LiveSession(coin_plan(server, tmp_path, Crosser(), is_resuming=True))
            living = asyncio.create_task(again.run())
            await until(lambda: len(venue_fills(server)) > n_fills, "trading to go on", living)
            assert again.look().halted == ""
            again.stop("enough")
            await living

    run(main())
