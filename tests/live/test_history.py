"""An account with a past: what was traded before our books began is no fill of ours, what it holds is told or taken."""

from __future__ import annotations

import asyncio
import hmac
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from live.session_parts import MODEL, SMALL, coin_plan, coin_venue
from live.test_session import Crosser, journal_fills, until, venue_fills
from tercel.clock import wall_ns
from tercel.jit import ENTRIES
from tercel.live.lifecycle import RECONCILE, TRADING
from tercel.live.session import LiveSession, SessionPlan
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.server import VenueServer
from tercel.localvenue.symbols import SymbolRules
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.events import FILL
from tercel.model.instrument import Instrument
from tercel.model.reasons import POSITION_ADOPTED
from tercel.net.rest import RestClient
from tercel.risk.limits import Limits
from tercel.runtime.loop import run
from tercel.store.journal_read import open_journal
from tercel.strategy.contract import Strategy
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials

PERPETUAL = Instrument(
    symbol="COINUSDT", tick_size="0.01", lot_size="0.001", venue="local", kind="linear", base="COIN", quote="USDT"
)  # type: ignore[arg-type]


class Watcher(Strategy):
    """Only looks, and counts the fills it hears of."""

    n_fills: int = 0

    def on_fill(self, ctx: Any, fill: Any) -> None:
        self.n_fills += 1


async def trade_by_hand(server: VenueServer, side: str, quantity: str) -> None:
    """A market order of somebody with the same account, as a person at the venue's own page makes it."""
    key = server.venue.keys[0]
    params = {"symbol": "COINUSDT", "side": side, "type": "MARKET", "quantity": quantity}
    query = urlencode({**params, "timestamp": wall_ns() // 1_000_000})
    query += "&signature=" + hmac.digest(key.secret, query.encode(), "sha256").hex()
    path = "/api/v3/order" if "v3" in server.venue.ws_api_path else "/fapi/v1/order"
    async with RestClient() as rest:
        answer = await rest.request("POST", f"{server.rest_url}{path}?{query}", {"X-MBX-APIKEY": key.key})
    assert answer.status == 200, answer.body


def futures_venue() -> LocalVenue:
    for entry in ENTRIES:
        _ = entry.call
    listed = SymbolRules(instrument=PERPETUAL, market=MODEL, notional_min="0.1")
    return LocalVenue(VenueSetup(product="usdm", symbols=[listed], n_accounts=1, limits=LimitRules.none()))


def futures_plan(server: VenueServer, directory: Any, strategy: Strategy, **more: Any) -> SessionPlan:
    key = server.venue.keys[0]
    settings = BinanceSettings(
        market="usdm", rest=server.rest_url, streams=server.stream_url, user_streams=server.stream_url,
        ws_api=server.ws_api_url, backoff_max_ns=500_000_000,
    )  # fmt: skip
    connection = BinanceConnection(settings, {0: PERPETUAL}, Credentials(key.key, key.secret.decode()))
    return SessionPlan(
        strategies=[strategy], instruments=[PERPETUAL], connections=[connection], directory=directory,
        limits=Limits(position_max="1"), capacity=SMALL, takes_signals=False, **more,
    )  # type: ignore[arg-type]  # fmt: skip


def test_trades_from_before_the_first_start_are_no_fills_of_ours(tmp_path):
    """Also after a restart, whose report reaches back beyond the first start."""

    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            for _ in range(3):
                await trade_by_hand(server, "BUY", "0.05")
            history = set(venue_fills(server))
            assert len(history) >= 3
            await asyncio.sleep(0.05)
            for n in (3, 5):
                session = LiveSession(coin_plan(server, tmp_path, Crosser()))
                living = asyncio.create_task(session.run())
                await until(lambda s=session, n=n: s.state == TRADING and s.look().n_fills >= n, "fills", living)
                assert session.look().halted == ""
                session.stop("enough")
                report = await living
                assert report.error is None
                ours = {id: fill for id, fill in venue_fills(server).items() if id not in history}
                assert journal_fills(tmp_path) == ours
                position = sum(side * lots for side, _, lots in ours.values())
                assert round(report.last.instruments[0].position * 1000) == position
                assert report.last.n_fills == len(ours)

    run(main())


def test_a_session_that_begins_anew_counts_nothing_of_the_one_before(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            before: set[int] = set()
            for is_anew in (False, True):
                session = LiveSession(coin_plan(server, tmp_path, Crosser(), is_anew=is_anew))
                living = asyncio.create_task(session.run())
                await until(lambda s=session: s.state == TRADING and s.look().n_fills >= 3, "fills", living)
                session.stop("enough")
                report = await living
                ours = {id: fill for id, fill in venue_fills(server).items() if id not in before}
                assert report.last.n_fills == len(ours)
                before |= set(ours)
                await asyncio.sleep(0.05)

    run(main())


def test_a_stranger_who_trades_while_we_do_is_counted(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            session = LiveSession(coin_plan(server, tmp_path, Watcher()))
            living = asyncio.create_task(session.run())
            await until(lambda: session.state == TRADING, "trading", living)
            await trade_by_hand(server, "BUY", "0.05")
            await until(lambda: round(session.look().instruments[0].position * 1000) == 50, "the fill", living)
            session.stop("enough")
            await living

    run(main())


@pytest.mark.parametrize("adopts", [False, True])
def test_a_futures_position_from_before_halts_or_is_taken_over_at_the_price_given(tmp_path, adopts):
    async def main() -> None:
        async with VenueServer(futures_venue()) as server:
            await trade_by_hand(server, "SELL", "0.070")
            await asyncio.sleep(0.05)
            adopt_at = {0: "101.50"} if adopts else {}
            plan = futures_plan(server, tmp_path, Watcher(), adopt_at=adopt_at)
            session = LiveSession(plan)
            living = asyncio.create_task(session.run())
            await until(lambda: session.core is not None and session.state in (RECONCILE, TRADING), "an answer", living)
            if adopts:
                await until(lambda: session.state == TRADING, "trading", living)
                assert session.look().halted == ""
                assert session.look().instruments[0].position == pytest.approx(-0.070)
            else:
                await until(lambda: session.look().halted != "", "the halt", living)
                assert session.look().halted == "position_unexplained"
                assert session.look().n_fills == 0
            session.stop("enough")
            report = await living
            assert report.error is None
            rows = [
                row for piece in open_journal(tmp_path / "journal").pieces(0) for row in piece[piece["kind"] == FILL]
            ]
            told = [(int(r["side"]), int(r["qty"]), int(r["px"]), int(r["reason"])) for r in rows]
            assert told == ([(-1, 70, 10_150, POSITION_ADOPTED)] if adopts else [])
            if not adopts:
                return
            # The price may stay where it is: a second start does not take the position over again.
            again = LiveSession(msgspec.structs.replace(futures_plan(server, tmp_path, Watcher()), adopt_at=adopt_at))
            living = asyncio.create_task(again.run())
            await until(lambda: again.state == TRADING, "trading", living)
            assert again.look().instruments[0].position == pytest.approx(-0.070)
            again.stop("enough")
            await living

    run(main())
