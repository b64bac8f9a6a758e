"""What a session does when the venue, the keys, the clock or the wire are not as they should be: docs/failures.md.

Each is a real session at a real local venue over loopback sockets.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509

import tercel as tc
from live.session_parts import coin_plan, coin_venue
from live.test_history import futures_plan, futures_venue
from live.test_net_tls import make
from live.test_session import until, venue_fills
from tercel.errors import CredentialsError, NetworkError
from tercel.live.assembly import ask_instruments
from tercel.live.lifecycle import CONNECT, TRADING
from tercel.live.session import LiveSession, SessionReport
from tercel.live.settings import parse_settings
from tercel.localvenue.server import VenueServer
from tercel.model.events import REJECT
from tercel.model.reasons import (
    VENUE_BANNED,
    VENUE_NOTIONAL,
    VENUE_RATE_LIMIT,
    VENUE_RULES_DIFFER,
    VENUE_TIMESTAMP,
    VENUE_UNAUTHORIZED,
)
from tercel.net.tls import client_tls, server_tls
from tercel.runtime.loop import run
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials

S = 1_000_000_000


class Taker(tc.Strategy):
    """Buys and sells a lot in turn, nothing rests; remembers the last reject."""

    lots: int = 10
    turn: int = 0
    n_rejects: int = 0
    reason: int = 0

    def on_start(self, ctx):
        ctx.set_timer(50_000_000, 0, 50_000_000)

    def on_timer(self, ctx, timer):
        bid, ask = ctx.best_bid_ticks(0), ctx.best_ask_ticks(0)
        if bid > 0 and ask > 0:
            self.turn += 1
            side = 1 if self.turn % 2 == 0 else -1
            ctx.order_lots(0, side, self.lots, ask + 2 if side > 0 else bid - 2, tc.IOC)

    def on_order(self, ctx, order):
        if order.kind == REJECT:
            self.n_rejects += 1
            self.reason = order.reason


class At:
    """A session at a venue, living."""

    def __init__(self, session: LiveSession) -> None:
        self.session = session
        self.living = asyncio.create_task(session.run())

    async def until(self, condition: Any, what: str) -> None:
        await until(condition, what, self.living)

    async def trading(self, n_more: int = 2) -> None:
        """Until it trades, with so many more fills."""
        await self.until(lambda: self.session.state == TRADING, "trading")
        n = self.session.look().n_fills
        await self.until(lambda: self.session.look().n_fills >= n + n_more, "fills")

    def state(self, name: str) -> int:
        assert self.session.core is not None
        return int(self.session.core.engine.state(0)[name])

    async def end(self) -> SessionReport:
        self.session.stop("the test has seen enough")
        report = await self.living
        assert report.error is None
        return report


def with_key(plan: Any, server: VenueServer, key: str, secret: str) -> Any:
    """The plan with other credentials."""
    (old,) = plan.connections
    connection = BinanceConnection(old.settings, old.instruments, Credentials(key, secret), old.name)
    return msgspec.structs.replace(plan, connections=[connection])


def said(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(caplog.messages)


@pytest.fixture(autouse=True)
def listening(caplog):
    caplog.set_level(logging.INFO)


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_a_session_with_wrong_keys_ends_at_its_start(tmp_path, caplog, market, wrong):
    """One clear line, an exit code of its own, neither key nor secret in anything that is said."""

    async def main() -> SessionReport:
        async with VenueServer(coin_venue() if market == "spot" else futures_venue()) as server:
            true = server.venue.keys[0]
            key = "K" * 64 if wrong == "key" else true.key
            secret = "S" * 64 if wrong == "secret" else true.secret.decode()
            plan = coin_plan(server, tmp_path, Taker()) if market == "spot" else futures_plan(server, tmp_path, Taker())
            report = await LiveSession(with_key(plan, server, key, secret)).run()
            assert not server.venue.desk.trades
            for hidden in (key, secret):
                assert hidden not in str(report.error)
                assert hidden not in said(caplog)
            return report

    report = run(main())
    assert isinstance(report.error, CredentialsError)
    assert report.error.exit_code == 8
    assert f"binance-{market} refuses the API key, its secret or its permissions: " in str(report.error)
    assert ("code -2015" if wrong == "key" else "code -1022") in str(report.error)
    assert report.last.n_commands == 0


def test_a_key_that_may_only_look_has_its_orders_refused(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            key = server.venue.keys[0]
            server.venue.bank.keys[key.key] = msgspec.structs.replace(key, can_trade=False)
            at = At(LiveSession(coin_plan(server, tmp_path, Taker())))
            await at.until(lambda: at.session.state == TRADING and at.state("n_rejects") > 2, "rejects")
            assert at.state("reason") == VENUE_UNAUTHORIZED
            await at.end()
            assert venue_fills(server) == {}

    run(main())


def test_a_key_that_is_revoked_while_trading_is_tried_again_and_nothing_leaves(tmp_path, caplog):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            at = At(LiveSession(coin_plan(server, tmp_path, Taker())))
            await at.trading()
            key = server.venue.keys[0]
            del server.venue.bank.keys[key.key]
            server.venue.restart(server.venue.now_ns)
            await at.until(lambda: "userDataStream.subscribe.signature refused" in said(caplog), "the refusal")
            assert "code -2015: the venue refused key, signature or permission" in said(caplog)
            assert at.session.state == TRADING
            assert not at.session.look().links[0].is_open
            n_fills = len(venue_fills(server))
            server.venue.bank.keys[key.key] = key
            await at.until(lambda: len(venue_fills(server)) > n_fills, "trading to go on")
            report = await at.end()
            assert report.last.n_fills == len(venue_fills(server))
            assert key.key not in said(caplog)

    run(main())


def test_a_listen_key_that_expires_is_replaced(tmp_path, caplog):
    async def main() -> None:
        async with VenueServer(futures_venue()) as server:
            at = At(LiveSession(futures_plan(server, tmp_path, Taker())))
            await at.trading()
            for token in server.venue.users._keys.values():
                token.expires_ms = 0
            await at.until(lambda: "listen key expired" in said(caplog), "the word of it")
            await at.until(lambda: at.session.look().links[0].is_open, "reconciliation")
            await at.trading()
            assert at.session.look().links[0].n_lost == 1
            report = await at.end()
            assert report.last.n_fills == len(venue_fills(server))

    run(main())


# --- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off_s", [-60, 60])
def test_a_clock_that_is_off_by_a_minute_trades(tmp_path, off_s):
    """Signatures carry the venue's time, as it was measured."""

    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            server.venue.faults.clock_offset_ns = off_s * S
            at = At(LiveSession(coin_plan(server, tmp_path, Taker())))
            await at.trading()
            report = await at.end()
            assert report.last.n_fills == len(venue_fills(server))
            assert at.state("n_rejects") == 0

    run(main())


def test_a_clock_that_jumps_a_minute_is_measured_again(tmp_path):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            at = At(LiveSession(coin_plan(server, tmp_path, Taker())))
            await at.trading()
            server.venue.faults.clock_offset_ns = 60 * S
            await at.until(lambda: at.state("n_rejects") > 0, "a refusal")
            assert at.state("reason") == VENUE_TIMESTAMP
            n_fills = len(venue_fills(server))
            await at.until(lambda: len(venue_fills(server)) > n_fills + 2, "trading to go on")
            report = await at.end()
            assert report.last.n_fills == len(venue_fills(server))

    run(main())


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 418])
def test_nothing_leaves_while_the_venue_asks_to_wait(tmp_path, caplog, status):
    async def main() -> None:
        venue = coin_venue()
        async with VenueServer(venue) as server:
            at = At(LiveSession(coin_plan(server, tmp_path, Taker())))
            await at.trading()
            caller = venue.limits._caller("127.0.0.1", venue.now_ns // 1_000_000)
            n_asked = 0
            use_weight = venue.limits.use_weight

            def counted(who: str, weight: int, now_ms: int) -> None:
                nonlocal n_asked
                n_asked += 1
                use_weight(who, weight, now_ms)

            venue.limits.use_weight = counted  # type: ignore[method-assign]
            if status == 418:
                caller.banned_until_ms = venue.now_ns // 1_000_000 + 3_000
            else:
                caller.weight = venue.limits.rules.weight_1m
            await at.until(lambda: at.state("n_rejects") > 0, "a refusal")
            n_before = n_asked
            n_rejects = at.state("n_rejects")
            await at.until(lambda: at.state("n_rejects") >= n_rejects + 20, "orders refused here")
            assert n_asked == n_before
            assert at.state("reason") == (VENUE_BANNED if status == 418 else VENUE_RATE_LIMIT)
            assert ("banned for" if status == 418 else "asked to wait for") in said(caplog)
            if status == 418:
                n_fills = len(venue_fills(server))
                await at.until(lambda: len(venue_fills(server)) > n_fills, "trading to go on")
            report = await at.end()
            assert report.last.n_fills == len(venue_fills(server))

    run(main())


CONFIGURATION = """
[venues.here]
market = "spot"
network = "local"
port = {port}
rest_port = {rest_port}

[[instruments]]
symbol = "COINUSDT"
venue = "here"

[[strategies]]
spec = "quoter"
"""


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        ("maintenance", "it is in maintenance or cannot keep up (503): try later"),
        ("429", "it asks to slow down (429): wait "),
        ("418", "it has banned this address for asking too much (418): wait "),
    ],
)
def test_a_start_at_a_venue_that_does_not_answer_says_why(tmp_path, trouble, words):
    """`tercel live` and `paper` ask for the instruments first, so they end here, with exit code 7."""

    async def main() -> None:
        venue = coin_venue()
        async with VenueServer(venue) as server:
            caller = venue.limits._caller("127.0.0.1", venue.now_ns // 1_000_000)
            venue.faults.maintenance = trouble == "maintenance"
            caller.weight = venue.limits.rules.weight_1m if trouble == "429" else 0
            caller.banned_until_ms = venue.now_ns // 1_000_000 + 60_000 if trouble == "418" else 0
            text = CONFIGURATION.format(port=server.port, rest_port=server.rest_port)
            with pytest.raises(NetworkError) as found:
                await ask_instruments(parse_settings(text, tmp_path / "session.toml"))
            assert str(found.value).startswith(f"venue here does not tell its instruments: {words}")
            assert found.value.exit_code == 7

    run(main())


def test_maintenance_while_trading_is_waited_for(tmp_path, caplog):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            at = At(LiveSession(coin_plan(server, tmp_path, Taker())))
            await at.trading()
            server.venue.faults.maintenance = True
            server.venue.restart(server.venue.now_ns)
            await at.until(lambda: "503" in said(caplog), "the word of it")
            assert not at.session.look().links[0].is_open
            n_fills = len(venue_fills(server))
            server.venue.faults.maintenance = False
            await at.until(lambda: len(venue_fills(server)) > n_fills, "trading to go on")
            report = await at.end()
            assert report.last.n_fills == len(venue_fills(server))

    run(main())


# --- certificates ---------------------------------------------------------------------------------------------------


class TlsFront:
    """Ends TLS in front of a port of the venue. n_bytes: what came through it, in the clear."""

    def __init__(self, port: int, folder: Path, certificate: str) -> None:
        self._port = port
        self._tls = server_tls(folder / f"{certificate}.pem", folder / f"{certificate}.key")
        self._tasks: set[asyncio.Task[Any]] = set()
        self.port = 0
        self.n_bytes = 0

    async def __aenter__(self) -> TlsFront:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        back, forth = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, forth, True))
                group.create_task(self._pump(back, writer, False))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for one in (writer, forth):
                one.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, counts: bool) -> None:
        while data := await source.read(1 << 16):
            self.n_bytes += len(data) * counts
            sink.write(data)
            await sink.drain()
        sink.close()


@pytest.mark.parametrize(
    ("certificate", "why"), [("good", ""), ("other-name", "mismatch"), ("expired", "expired"), ("foreign", "issuer")]
)
def test_a_venue_with_a_certificate_that_does_not_match_is_told_nothing(tmp_path, caplog, certificate, why):
    loopback = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    authority = make(tmp_path, "authority", [])
    make(tmp_path, "good", loopback, authority)
    make(tmp_path, "other-name", [x509.DNSName("elsewhere.example")], authority)
    make(tmp_path, "expired", loopback, authority, days=(-10, -1))
    make(tmp_path, "foreign", loopback, make(tmp_path, "stranger", []))

    async def main() -> None:
        async with (
            VenueServer(coin_venue()) as server,
            TlsFront(server.port, tmp_path, certificate) as sockets,
            TlsFront(server.rest_port, tmp_path, certificate) as rest,
        ):
            plan = coin_plan(server, tmp_path / "session", Taker(), ssl=client_tls(tmp_path / "authority.pem"))
            (old,) = plan.connections
            settings = BinanceSettings(
                market="spot", rest=f"https://127.0.0.1:{rest.port}", streams=f"wss://127.0.0.1:{sockets.port}",
                ws_api=f"wss://127.0.0.1:{sockets.port}{server.venue.ws_api_path}", backoff_max_ns=500_000_000,
            )  # fmt: skip
            key = server.venue.keys[0]
            connection = BinanceConnection(settings, old.instruments, Credentials(key.key, key.secret.decode()))
            at = At(LiveSession(msgspec.structs.replace(plan, connections=[connection])))
            if not why:
                await at.trading()
            else:
                for front in (sockets, rest):
                    line = f"the TLS certificate of 127.0.0.1:{front.port} is not accepted: "
                    await at.until(lambda line=line: line in said(caplog), "the word of it")
                assert why in said(caplog)
                assert (sockets.n_bytes, rest.n_bytes) == (0, 0)
                assert at.session.state == CONNECT
            report = await at.end()
            assert report.last.n_fills == len(venue_fills(server))
            assert key.key not in said(caplog)

    run(main())


# --- filters --------------------------------------------------------------------------------------------------------


def test_a_tick_that_is_not_the_run_s_trades_nothing(tmp_path, caplog):
    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            server.venue.faults.lie_filters = {"PRICE_FILTER": {"tickSize": "0.1"}}
            at = At(LiveSession(coin_plan(server, tmp_path, Taker())))
            await at.until(lambda: at.session.state == TRADING and at.state("n_rejects") > 2, "rejects")
            assert at.state("reason") == VENUE_RULES_DIFFER
            assert "binance-spot: COINUSDT: the venue's tick and lot are not the run's" in said(caplog)
            await at.end()
            assert venue_fills(server) == {}

    run(main())


def test_a_filter_that_is_stricter_than_stated_refuses_order_by_order(tmp_path):
    """Each refusal is a row with its reason; nothing is sent twice, and what is allowed goes on."""

    async def main() -> None:
        async with VenueServer(coin_venue()) as server:
            server.venue.faults.lie_filters = {"NOTIONAL": {"minNotional": "0.00000001"}}
            at = At(LiveSession(coin_plan(server, tmp_path, Taker(lots=1))))
            await at.until(lambda: at.session.state == TRADING and at.state("n_rejects") > 2, "rejects")
            assert at.state("reason") == VENUE_NOTIONAL
            report = await at.end()
            assert report.last.orders == ()
            # Some of the prices make it more than the least: those trade.
            assert report.last.n_fills == len(venue_fills(server))

    run(main())
