"""A soak: a whole session hears a stream of trades for as long as it is told to, and is watched meanwhile.

    python tests/live/soak.py [SECONDS] [RATE]

by default an hour at 5,000 messages a second. The venue and its stream are a process of their own; the receiver is a
`LiveSession` with its decoder, journal on the disk, engine and frozen garbage. A trade carries the millisecond it was
due, so the lag covers the sender's own stalls too. What has to be compiled is compiled by another process before: the
compiler would leave some 260 MB behind, and take a minute. Used by `test_soak`, shorter.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec
import numpy as np

import tercel as tc
from live.session_parts import COIN, SMALL
from tercel.clock import monotonic_ns, wall_ns
from tercel.engine.engine import Engine
from tercel.jit import ENTRIES
from tercel.live.lifecycle import TRADING
from tercel.live.session import LiveSession, SessionPlan
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.server import VenueServer
from tercel.localvenue.symbols import SymbolRules
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.events import TRADE
from tercel.net.connection import Connection, Handlers
from tercel.net.websocket import Refusal, Upgrade
from tercel.runtime.loop import run
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20


#: Number of the stream's first trade. The venue's own market all but stands still, but in an hour it has a trade
#: or two, with numbers from 1 on.
FIRST = 1_000_000


class Count(tc.Strategy):
    """Counts the stream's trades, and those that do not follow the one before."""

    n: int = 0
    last: int = 0
    n_gaps: int = 0

    def on_trade(self, ctx, trade):
        if trade.id < FIRST:
            return
        self.n += 1
        if self.last != 0 and trade.id != self.last + 1:
            self.n_gaps += 1
        self.last = trade.id


class Soaked(msgspec.Struct, frozen=True, kw_only=True):
    """What a soak found, once a second after the warm-up. private_mb: memory that is no file's; resident_mb: with the
    mapped journal; venue_mb: the private memory of the other process. lag_ms: median lag of each second;
    lag_max_ms: the greatest. n_gaps: trades that did not follow the one before. starting_s, ending_s: until the session
    traded, and from its stop to its end.
    """

    rate: int
    n_sent: int
    n_heard: int
    n_gaps: int
    n_lost: int
    n_pauses: int
    pause_max_ms: float
    pause_mean_ms: float
    starting_s: float
    ending_s: float
    lag_ms: list[float]
    lag_max_ms: list[float]
    private_mb: list[float]
    resident_mb: list[float]
    venue_mb: list[float]
    error: str

    def growth_mb(self) -> float:
        """How much the last quarter's private memory is above the first's, by medians."""
        quarter = max(1, len(self.private_mb) // 4)
        return float(np.median(self.private_mb[-quarter:]) - np.median(self.private_mb[:quarter]))

    def stalled_mb(self) -> float:
        """What a read buffer may have grown by: it doubles until it holds what came during the longest stall."""
        return 2 * max(self.lag_max_ms) / 1e3 * self.rate * len(_trade(FIRST, 0)) / _MB

    def lag_growth_ms(self) -> float:
        """The same of the lag."""
        quarter = max(1, len(self.lag_ms) // 4)
        return float(np.median(self.lag_ms[-quarter:]) - np.median(self.lag_ms[:quarter]))

    def table(self, n_parts: int = 4) -> list[str]:
        """Lines with what was seen in each of so many equal parts of the time."""
        lines = []
        parts = [np.array_split(x, n_parts) for x in (self.private_mb, self.venue_mb, self.lag_ms, self.lag_max_ms)]
        for i, (own, venue, lag, worst) in enumerate(zip(*parts, strict=True)):
            if len(own) and len(lag):
                lines.append(
                    f"part {i + 1}, {len(own)} s: session {np.median(own):.1f} MB, venue {np.median(venue):.1f} MB, "
                    f"lag {np.median(lag):.2f} ms, worst second {lag.max():.2f} ms, worst message {worst.max():.1f} ms"
                )
        return lines


# --- the other process ----------------------------------------------------------------------------------------------


class _Streaming(VenueServer):
    """A local venue whose market stands still, and whose market stream can be written to."""

    market: Connection | None = None

    def _accept(self, asked: Upgrade) -> Handlers | Refusal:
        found = super()._accept(asked)
        if isinstance(found, Refusal) or asked.path.startswith("/ws-api"):
            return found
        plain = found.on_open

        def on_open(connection: Connection, now_ns: int) -> None:
            self.market = connection
            if plain is not None:
                plain(connection, now_ns)

        return Handlers(found.on_message, on_open, found.on_close)


def _trade(number: int, due_ms: int) -> bytes:
    return (
        b'{"stream":"coinusdt@trade","data":{"e":"trade","E":%d,"s":"COINUSDT","t":%d,"p":"%d.%02d","q":"0.0%d",'
        b'"T":%d,"m":%s,"M":true}}'
        % (due_ms, number, 99 + number % 3, number % 100, 10 + number % 80, due_ms, b"true" if number & 1 else b"false")
    )


async def _venue(seconds: float, rate: int) -> None:
    listed = SymbolRules(instrument=COIN, notional_min="0.1")
    setup = VenueSetup(symbols=[listed], n_accounts=1, limits=LimitRules.none(), speed=1e-4)
    async with _Streaming(LocalVenue(setup)) as server:
        key = server.venue.keys[0]
        facts = [server.rest_url, server.stream_url, server.ws_api_url, key.key, key.secret.decode()]
        print(msgspec.json.encode(facts).decode(), flush=True)
        # A line says that the session trades.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        begin_ns = wall_ns()
        n, n_sent = int(seconds * rate), 0
        while n_sent < n and server.market is not None and server.market.is_open:
            n_due = min(n, (wall_ns() - begin_ns) * rate // 1_000_000_000)
            while n_sent < n_due:
                due_ms = (begin_ns + n_sent * 1_000_000_000 // rate) // 1_000_000
                server.market.send(_trade(FIRST + n_sent, due_ms))
                n_sent += 1
            await asyncio.sleep(0.001)
        print(n_sent, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


# --- the session ----------------------------------------------------------------------------------------------------


class _Watch:
    """Lag of each second, from the rows as the engine has seen them: its median and the greatest."""

    def __init__(self) -> None:
        self.lags_ms: list[float] = []
        self.worst_ms: list[float] = []
        self._some = np.zeros(1 << 14)
        self._n = 0

    def on_rows(self, rows: np.ndarray, now_ns: int) -> None:
        if rows["kind"][0] == TRADE and self._n < len(self._some):
            self._some[self._n] = (int(rows["ts_recv"][0]) - int(rows["ts_exch"][0])) / 1e6
            self._n += 1

    def next_second(self) -> None:
        if self._n:
            self.lags_ms.append(float(np.median(self._some[: self._n])))
            self.worst_ms.append(float(self._some[: self._n].max()))
            self._n = 0


def _memory_mb(process: str = "self") -> tuple[float, float]:
    """Resident memory, and what of it is no file's."""
    _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
    return int(resident) * _PAGE / _MB, (int(resident) - int(shared)) * _PAGE / _MB


async def _session(process: Any, facts: list[str], directory: Path, rate: int, warm_up_s: int, say: Any) -> Soaked:
    rest, streams, ws_api, key, secret = facts
    settings = BinanceSettings(market="spot", rest=rest, streams=streams, ws_api=ws_api)
    connection = BinanceConnection(settings, {0: COIN}, Credentials(key, secret))
    plan = SessionPlan(
        strategies=[Count()], instruments=[COIN], connections=[connection], directory=directory, capacity=SMALL,
        takes_signals=False,
    )  # fmt: skip
    session = LiveSession(plan)
    begun_ns = monotonic_ns()
    living = asyncio.create_task(session.run())
    while session.state != TRADING and not living.done():
        await asyncio.sleep(0.05)
    core, shell, watch = session.core, session.shell, _Watch()
    assert core is not None
    assert shell is not None
    core.flow.taps.append(watch.on_rows)
    starting_s = (monotonic_ns() - begun_ns) / 1e9
    process.stdin.write(b"\n")
    await process.stdin.drain()
    told = asyncio.create_task(process.stdout.readline())
    private: list[float] = []
    resident: list[float] = []
    venue: list[float] = []
    n_seconds = 0
    while not told.done() and not living.done():
        await asyncio.wait({told, living}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        watch.next_second()
        n_seconds += 1
        if n_seconds > warm_up_s:
            whole, own = _memory_mb()
            resident.append(whole)
            private.append(own)
            venue.append(_memory_mb(process.pid)[1])
        if n_seconds % 60 == 0 and private and watch.lags_ms:
            say(
                f"{n_seconds} s: {private[-1]:.1f} MB, venue {venue[-1]:.1f} MB, lag {watch.lags_ms[-1]:.2f} ms, "
                f"worst of the minute {max(watch.worst_ms[-60:]):.1f} ms"
            )
    n_sent = int(await told or b"0")
    for _ in range(200):
        if int(core.engine.state(0)["n"]) >= n_sent or living.done():
            break
        await asyncio.sleep(0.05)
    state, pauses = core.engine.state(0), shell.pauses.report().armed
    n_lost = session.look().links[0].n_lost
    stopped_ns = monotonic_ns()
    session.stop("soaked")
    report = await living
    return Soaked(
        rate=rate, n_sent=n_sent, n_heard=int(state["n"]), n_gaps=int(state["n_gaps"]), n_lost=n_lost,
        n_pauses=pauses.n, pause_max_ms=pauses.max_ns / 1e6, pause_mean_ms=pauses.mean_ns / 1e6, starting_s=starting_s,
        ending_s=(monotonic_ns() - stopped_ns) / 1e9, lag_ms=watch.lags_ms[warm_up_s:],
        lag_max_ms=watch.worst_ms[warm_up_s:], private_mb=private, resident_mb=resident, venue_mb=venue,
        error=str(report.error or ""),
    )  # fmt: skip


def compile_all() -> None:
    """Compile what the venue and the session need, into the cache."""
    for entry in ENTRIES:
        _ = entry.call
    Engine([COIN], [Count()], capacity=SMALL)


async def soak(seconds: float, rate: int, directory: Path, warm_up_s: int = 5, say: Any = print) -> Soaked:
    """Let a session hear `rate` trades a second for `seconds`; memory and lag are watched after `warm_up_s`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    compiling = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from live.soak import compile_all; compile_all()", env=environment
    )
    assert await compiling.wait() == 0
    for entry in ENTRIES:
        _ = entry.call
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "venue", str(seconds), str(rate),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        facts = msgspec.json.decode(await process.stdout.readline(), type=list[str])
        return await _session(process, facts, directory, rate, warm_up_s, say)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main() -> None:
    """The command line."""
    if sys.argv[1:2] == ["venue"]:
        run(_venue(float(sys.argv[2]), int(sys.argv[3])))
        return
    seconds, rate = float((sys.argv[1:2] or ["3600"])[0]), int((sys.argv[2:3] or ["5000"])[0])
    with tempfile.TemporaryDirectory(prefix="tercel-soak-") as directory:
        found = run(soak(seconds, rate, Path(directory), warm_up_s=int(min(60, seconds // 4))))
    print(f"{found.n_sent:,} sent, {found.n_heard:,} heard, {found.n_gaps} gaps, {found.n_lost} losses {found.error}")
    print(f"began to trade after {found.starting_s:.1f} s, ended in {found.ending_s:.1f} s")
    print(
        f"private memory {found.private_mb[0]:.1f} to {found.private_mb[-1]:.1f} MB, growth {found.growth_mb():.2f}, "
        f"of it read buffers {found.stalled_mb():.1f} at most"
    )
    print(f"lag {np.median(found.lag_ms):.2f} ms, growth {found.lag_growth_ms():+.2f}")
    print("\n".join(found.table()))
    print(f"{found.n_pauses} pauses, mean {found.pause_mean_ms:.2f} ms, greatest {found.pause_max_ms:.2f} ms")


if __name__ == "__main__":
    # The strategy's compiled code is kept under the name of its module, which must be one name in every process.
    from live.soak import main as run_main

    run_main()
