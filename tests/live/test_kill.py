"""kill -9 in the middle of a busy session, again and again: after the next start orders, fills and position are the
venue's.

The venue stays up; the session's process is killed at a random moment and started again. After the last kill one more
start is ended in order, and everything the journal of all runs says is compared with the venue. More kills on demand:
`make kills KILLS=200`.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

import pytest

from live.session_parts import coin_venue
from tercel.errors import NetworkError
from tercel.live.control import ask_session
from tercel.localvenue.accounts import demo_key, ed25519_private_pem
from tercel.localvenue.server import VenueServer
from tercel.model.commands import NEW
from tercel.model.events import FILL
from tercel.runtime.loop import run
from tercel.store.journal_format import commands_of
from tercel.store.journal_read import open_journal, runs_of
from tercel.venues.binance.encoding import own_id

N_KILLS = int(os.environ.get("TERCEL_KILLS", "20"))
#: Kills of one session and one venue; each such series has a seed of its own and may run beside others.
_SERIES = 20
_NAME = "test_a_killed_session_loses_and_doubles_nothing"
_PROGRAM = Path(__file__).parent / "killed_session.py"


class Process:
    """A session's process, made anew for each start by one that has everything loaded."""

    def __init__(self, nursery: asyncio.subprocess.Process) -> None:
        self._nursery = nursery
        self._number = 0
        self._ended: asyncio.Task[int] | None = None

    async def _line(self) -> str:
        assert self._nursery.stdout is not None
        line = await self._nursery.stdout.readline()
        assert line, "the process that makes sessions is gone"
        return line.decode().strip()

    async def ready(self) -> None:
        assert await self._line() == "ready"

    async def start(self) -> None:
        assert self._nursery.stdin is not None
        self._nursery.stdin.write(b"go\n")
        self._number = int(await self._line())
        self._ended = asyncio.create_task(self._code())

    async def _code(self) -> int:
        return int(await self._line())

    @property
    def is_over(self) -> bool:
        return self._ended is not None and self._ended.done()

    async def end(self, signal_number: int) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self._ended is not None
        if not self.is_over:
            os.kill(self._number, signal_number)
        return await self._ended


async def _nursery(server: VenueServer, directory: Path, has_logon: bool) -> asyncio.subprocess.Process:
    """has_logon: its key logs the session on, so that market messages are answered by the compiled path to its end."""
    key, secret = server.venue.keys[0], server.venue.keys[0].secret.decode()
    if has_logon:
        seed = server.venue.rules.seed
        key, secret = demo_key(seed, 1, "ed25519"), ed25519_private_pem(seed, 1)
    return await asyncio.create_subprocess_exec(
        sys.executable, str(_PROGRAM), str(directory), server.rest_url, server.stream_url, server.ws_api_url, key.key,
        secret, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def _ask(directory: Path, what: str) -> dict:
    try:
        return await asyncio.to_thread(ask_session, directory, what)
    except NetworkError:
        return {}


async def _until_trading(process: Process, directory: Path) -> dict:
    """Until the session trades; what it says of itself."""
    for _ in range(2400):
        assert not process.is_over, "the session ended by itself"
        status = await _ask(directory, "status")
        if status.get("state") == "trading" and status["links"][0]["is_open"]:
            return status
        await asyncio.sleep(0.025)
    raise AssertionError("the session did not come to trade")


def _venue_side(server: VenueServer):
    desk = server.venue.desk
    orders = [order for order in desk.orders.values() if order.account.number == 1]
    fills = {t.id: (own_id(t.order.client_id), t.order.side, t.px, t.lots) for t in desk.trades if t.order in orders}
    return orders, fills


def _journal_side(directory: Path):
    commanded: set[int] = set()
    fills: dict[int, tuple[int, int, int, int]] = {}
    path = directory / "journal"
    for number in runs_of(path):
        if not (path / f"run-{number:010d}" / "header.json").is_file():
            continue
        for piece in open_journal(path, number).pieces(0):
            commands = commands_of(piece)
            commanded |= set(commands["id"][commands["kind"] == NEW].tolist())
            for row in piece[piece["kind"] == FILL]:
                fills[int(row["arg1"])] = (int(row["id"]), int(row["side"]), int(row["px"]), int(row["qty"]))
    return commanded, fills


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("first", range(0, N_KILLS, _SERIES))
def test_a_killed_session_loses_and_doubles_nothing(tmp_path, first):
    n_kills = min(_SERIES, N_KILLS - first)
    # Shown where it fails.
    print(f"kills from {first} on; again: TERCEL_KILLS={N_KILLS} pytest 'tests/live/test_kill.py::{_NAME}[{first}]'")
    rng = random.Random(7 + first)

    async def main() -> None:
        has_logon = first // _SERIES % 2 == 0
        async with VenueServer(coin_venue(with_ed25519=has_logon)) as server:
            nursery = await _nursery(server, tmp_path, has_logon)
            process = Process(nursery)
            try:
                await process.ready()
                for i in range(n_kills):
                    await process.start()
                    # Most are killed while they trade, some while they start.
                    if i % 4 != 3:
                        await _until_trading(process, tmp_path)
                    await asyncio.sleep(rng.random() * 0.4)
                    assert await process.end(signal.SIGKILL) == -signal.SIGKILL
                await process.start()
                await _until_trading(process, tmp_path)
                await asyncio.sleep(0.3)
                assert await asyncio.wait_for(process.end(signal.SIGTERM), 30) == 0
            finally:
                nursery.kill()
                await nursery.wait()
            _compare(server, tmp_path, n_kills)

    run(main())


def _compare(server: VenueServer, directory: Path, n_kills: int) -> None:
    orders, theirs = _venue_side(server)
    commanded, ours = _journal_side(directory)
    assert len(theirs) >= n_kills, "the session was not busy"
    assert ours == theirs
    ids = [own_id(order.client_id) for order in orders]
    assert set(ids) <= commanded
    assert [order.client_id for order in orders if order.is_open] == []
    for name in set(ids):
        # An order that was canceled and made again is several at the venue; they never trade more than was asked.
        assert sum(1 for order in orders if own_id(order.client_id) == name and order.status == "FILLED") <= 1
    assert server.venue.bank.imbalance() == {}
