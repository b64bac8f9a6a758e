"""Tick to order over loopback: a session of tercel against a bare echo, in one process, tick by tick in turn.

The other end, with the stopwatch, is `wire_venue` in a process of its own. Here live both clients, in one event loop:
the whole live stack (decoder, journal, engine, strategy, risk, encoder, order channel), and a bare picows listener that
answers the same ticks with bytes of the size of an order. Called by `questions`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tercel.bench.live.wire_venue import Addresses, Setup, Times
from tercel.bench.table import Reach, Row, make_row
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.errors import DataError
from tercel.live.driver import LiveCore
from tercel.live.reconciling import AccountStanding
from tercel.live.session import LiveSession, SessionPlan
from tercel.live.shell import LiveShell
from tercel.model.commands import IOC
from tercel.model.instrument import Instrument
from tercel.risk.limits import Limits
from tercel.runtime.affinity import n_cores, permitted_cores, pinned
from tercel.runtime.loop import run
from tercel.store.journal_format import Sync
from tercel.strategy.contract import Strategy
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials
from tercel.venues.contract import VenueConnection

__all__ = ["tick_to_order"]

_BTC = Instrument(
    symbol="BTCUSDT", tick_size=Decimal("1.00"), lot_size=Decimal("0.0001"), venue="local", kind="spot",
    base="BTC", quote="USDT",
)  # fmt: skip


class EachTick(Strategy):
    """One immediate-or-cancel order below the market for each quote: nothing rests, nothing trades."""

    n_orders: int = 0

    def on_quote(self, ctx: Any, quote: Any) -> None:
        self.n_orders += 1
        ctx.order_lots(0, 1, 10, quote.bid_px - 10, IOC)


class _NoJournal:
    """Keeps nothing: what the journal costs is the difference."""

    cursor_at = 0

    def append(self, rows: int | np.ndarray, n: int) -> None:
        pass

    def append_commands(self, commands: np.ndarray) -> None:
        pass

    def note(self, what: int, ts_ns: int) -> None:
        pass


def tick_to_order(*, quick: bool = False) -> list[Row]:
    """Without a journal, with one synced by a thread, and with one synced before each order: p50 and p99 of each.

    The first two, which have something to reach, are run five times, each with processes of its own at the other end;
    the run whose ratio of that percentile is the median counts.
    """
    cores = sorted(permitted_cores()) if n_cores() > 1 else [-1]
    setup = Setup(
        n_blocks=3 if quick else 5, n_ticks=200 if quick else 1_000, venue_core=cores[0], client_core=cores[-1]
    )
    rows: list[Row] = []
    for words, sync, p50, p99 in (
        ("S3-07 tick to order", None, 1.15, 1.3),
        ("tick to order, journal synced every 5 ms", Sync(every_ms=5.0), 1.25, 1.25),
        ("tick to order, journal synced before each order", Sync(every_ms=0, on_order=True), None, None),
    ):
        runs = [run(_contest(setup, sync)) for _ in range(1 if quick or p50 is None else 5)]
        size = f"{runs[0].tick_bytes} bytes in, {runs[0].order_bytes} out, {len(runs[0].ours):,} ticks"
        for name, percentile, within in (("p50", 50, p50), ("p99", 99, p99)):
            found = sorted((_percentiles(times, percentile) for times in runs), key=lambda x: x[0] / x[1])
            ours, echo = found[len(found) // 2]
            reach = Reach() if within is None else Reach(ratio_min=round(1 / within, 4))
            each = ", ".join(f"{one / other:.3f}" for one, other in found)
            note = f"{each} times the echo" + (f", to reach {within}" if within else "") + f"; {size}"
            rows.append(
                make_row(f"{words}, {name}", unit="us", ours=ours, theirs=echo, peer="bare picows echo", reach=reach,
                         note=note)
            )  # fmt: skip
    return rows


def _percentiles(times: Times, percentile: int) -> tuple[float, float]:
    """Of the session and of the echo, in us."""
    ours, echo = (float(np.percentile(side, percentile)) / 1e3 for side in (times.ours, times.echo))
    return ours, echo


async def _contest(setup: Setup, sync: Sync | None) -> Times:
    venue = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tercel.bench.live.wire_venue", msgspec.json.encode(setup).decode(),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert venue.stdout is not None
    assert venue.stdin is not None
    try:
        found = msgspec.json.decode(await _line(venue.stdout), type=Addresses)
        async with _echo(found.echo), _session(found, sync, setup.client_core):
            times = msgspec.json.decode(await _line(venue.stdout), type=Times)
        venue.stdin.close()
        await venue.wait()
    finally:
        if venue.returncode is None:
            venue.kill()
            await venue.wait()
    return times


async def _line(stream: asyncio.StreamReader) -> bytes:
    # The times of all ticks stand in one line.
    parts = []
    while True:
        part = await stream.read(1 << 16)
        if not part:
            raise DataError("the venue's process of the benchmark ended before it had measured")
        parts.append(part)
        if part.endswith(b"\n"):
            return b"".join(parts)


@asynccontextmanager
async def _echo(url: str) -> AsyncIterator[None]:
    """The bare partner: one socket for ticks, one for answers."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    answer = b""
    answers: Any = None

    class Ticks(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if answer:
                answers.send(WSMsgType.TEXT, answer)

    class Answers(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            nonlocal answer
            answer = b"x" * int(frame.get_payload_as_bytes())

    ticks, _ = await ws_connect(Ticks, f"{url}/ticks")
    answers, _ = await ws_connect(Answers, f"{url}/answers")
    try:
        yield
    finally:
        ticks.disconnect()
        answers.disconnect()


def _connection(found: Addresses) -> VenueConnection:
    settings = BinanceSettings(market="spot", rest=found.rest, streams=found.streams, ws_api=found.ws_api)
    return BinanceConnection(settings, {0: _BTC}, Credentials(found.key, found.secret))


@asynccontextmanager
async def _session(found: Addresses, sync: Sync | None, core: int) -> AsyncIterator[None]:
    """A session that trades, with its journal or, for `sync` None, without one."""
    # Far above what the ticks ask for: the gate checks all the same.
    limits = Limits(order_qty_max=1.0, order_notional_max=1e9, position_max=10.0, price_collar=0.5)
    capacity = Capacity(orders=1 << 12)
    if sync is None:
        engine = Engine([_BTC], [EachTick()], limits=limits, capacity=capacity)
        live = LiveCore(engine, [_connection(found)], _NoJournal(), AccountStanding(engine))
        shell = LiveShell(live)
        task = asyncio.create_task(shell.run())
        try:
            with pinned(core) if core >= 0 else nullcontext():
                yield
        finally:
            shell.stop("measured")
            await task
            live.closed()
        if live.error is not None:
            raise live.error
        return
    with tempfile.TemporaryDirectory(prefix="tercel-bench-") as scratch:
        plan = SessionPlan(
            strategies=[EachTick()], instruments=[_BTC], connections=[_connection(found)], directory=Path(scratch),
            limits=limits, capacity=capacity, sync=sync, takes_signals=False, core=core if core >= 0 else None,
        )  # fmt: skip
        session = LiveSession(plan)
        task2 = asyncio.create_task(session.run())
        try:
            yield
        finally:
            session.stop("measured")
            report = await task2
        if report.error is not None:
            raise report.error
