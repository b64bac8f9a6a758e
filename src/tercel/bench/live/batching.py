"""A hundred balances asked one by one and in one batch, over a real loopback server (S1-52, S1-20).

The server answers what it is asked from a table, so that both ways can be held to the same truth. Called by
`tercel bench live` and the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tercel import clock
from tercel.errors import NetworkError
from tercel.net.rest import RestClient

__all__ = [
    "BalanceServer",
    "BatchBalanceResponse",
    "BatchTiming",
    "PortfolioError",
    "fetch_balance",
    "fetch_balances",
    "time_single_and_batch",
]


class PortfolioError(NetworkError):
    """The balance service did not give what was asked: names the status or what was missing."""


class BatchBalanceResponse(msgspec.Struct, frozen=True):
    """Balances in the smallest unit, by wallet."""

    balances: dict[str, int]


class BatchTiming(msgspec.Struct, frozen=True):
    """Wall time of both ways for `n_wallets`, and how often the server was asked."""

    n_wallets: int
    single_ns: int
    batch_ns: int
    n_single_requests: int
    n_batch_requests: int

    @property
    def speed_up(self) -> float:
        """How many times faster the batch is."""
        return self.single_ns / self.batch_ns

    def __str__(self) -> str:
        single_ms, batch_ms = self.single_ns / 1e6, self.batch_ns / 1e6
        return (
            f"{self.n_wallets} balances: one by one {single_ms:.2f} ms, batch {batch_ms:.2f} ms: {self.speed_up:.1f}x"
        )


def _decode(status: int, body: bytes) -> BatchBalanceResponse:
    if status != 200:
        raise PortfolioError(f"the balance service answered {status}")
    try:
        return msgspec.json.decode(body, type=BatchBalanceResponse)
    except msgspec.MsgspecError as error:
        raise PortfolioError(f"the balance service sent no balances: {error}") from None


async def fetch_balance(client: RestClient, base_url: str, wallet: str) -> int:
    """One wallet, one request. Raises PortfolioError, RequestError."""
    answer = await client.request("GET", f"{base_url}/portfolio/balance/{wallet}")
    balances = _decode(answer.status, answer.body).balances
    if wallet not in balances:
        raise PortfolioError("the balance service left out the wallet it was asked for")
    return balances[wallet]


async def fetch_balances(client: RestClient, base_url: str, wallets: Sequence[str]) -> dict[str, int]:
    """All wallets, one request. Raises PortfolioError, RequestError."""
    body = msgspec.json.encode({"wallets": wallets})
    headers = {"Content-Type": "application/json"}
    answer = await client.request("POST", f"{base_url}/portfolio/batch-balance", headers, body)
    balances = _decode(answer.status, answer.body).balances
    if missing := [wallet for wallet in wallets if wallet not in balances]:
        raise PortfolioError(f"the balance service left out {len(missing)} of {len(wallets)} wallets")
    return balances


class BalanceServer:
    """Serves both ways on a free loopback port. n_requests: answered so far."""

    def __init__(self, balances: Mapping[str, int]) -> None:
        self.balances = dict(balances)
        self.n_requests = 0
        self.url = ""
        self._runner: Any = None

    async def _single(self, request: Any) -> Any:
        return self._answer([request.match_info["wallet"]])

    async def _batch(self, request: Any) -> Any:
        return self._answer(msgspec.json.decode(await request.read())["wallets"])

    def _answer(self, wallets: Sequence[str]) -> Any:
        from aiohttp import web

        self.n_requests += 1
        known = {wallet: self.balances[wallet] for wallet in wallets if wallet in self.balances}
        return web.Response(body=msgspec.json.encode(BatchBalanceResponse(known)), content_type="application/json")

    async def __aenter__(self) -> BalanceServer:
        from aiohttp import web

        app = web.Application()
        app.router.add_get("/portfolio/balance/{wallet}", self._single)
        app.router.add_post("/portfolio/batch-balance", self._batch)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._runner.cleanup()


async def time_single_and_batch(n_wallets: int = 100) -> BatchTiming:
    """Ask for `n_wallets` balances both ways over one kept connection, and check that they agree."""
    wallets = [f"wallet{i:04d}" for i in range(n_wallets)]
    truth = {wallet: i * 1_000_003 for i, wallet in enumerate(wallets)}
    async with BalanceServer(truth) as server, RestClient() as client:
        await fetch_balance(client, server.url, wallets[0])  # the connection is open for both ways
        n_0, start_ns = server.n_requests, clock.monotonic_ns()
        single = {wallet: await fetch_balance(client, server.url, wallet) for wallet in wallets}
        n_1, middle_ns = server.n_requests, clock.monotonic_ns()
        batch = await fetch_balances(client, server.url, wallets)
        n_2, end_ns = server.n_requests, clock.monotonic_ns()
    if not single == batch == truth:
        raise PortfolioError("single and batch balances do not agree")
    return BatchTiming(n_wallets, middle_ns - start_ns, end_ns - middle_ns, n_1 - n_0, n_2 - n_1)
