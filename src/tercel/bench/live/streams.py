"""Market streams over loopback into the engine: a recorded stream at a hundred times its speed, and twenty at once.

The source is a process of its own (`stream_source`). Lag is from the time a message was due to the time the engine had
processed it; receipt to engine is from the socket's read. Every message is counted. Called by `questions`.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys

import msgspec
import numpy as np

from tercel.bench.live.decode import TopWatcher, feed_in_step
from tercel.bench.live.messages import Recorded
from tercel.bench.live.stream_source import Source, offsets_ns, recorded_of
from tercel.bench.table import Reach, Row, make_row
from tercel.clock import monotonic_ns
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.errors import DataError
from tercel.net.connection import Data, Handlers, SocketLimits
from tercel.net.websocket import connect
from tercel.runtime.loop import run

__all__ = ["hundredfold", "many_connections"]


class _Receiver:
    """One connection's end: decodes into the shared engine, notes when each message was through."""

    def __init__(self, recorded: Recorded, n: int, door: EngineFeed) -> None:
        # A capture begins before its snapshot, with messages of other streams: the book begins at the first depth.
        self.feed, self.rows = feed_in_step(recorded, recorded.depth())
        self.begin_ns = 0
        self.n_done = -1
        self.n_read = 0
        self.read_ns = np.zeros(n, np.int64)
        self.through_ns = np.zeros(n, np.int64)
        self.over = asyncio.Event()
        self._door = door
        self._time_ns = recorded.times_ns

    def on_message(self, data: Data, now_ns: int) -> None:
        k = self.n_read
        if self.begin_ns == 0:
            self.begin_ns = int(msgspec.json.decode(data)["t0"])
            return
        if k == len(self.read_ns) or data[:7] == b'{"done"':
            self.n_done = int(msgspec.json.decode(data)["done"])
            self.over.set()
            return
        rows = self.rows
        self.feed.message(data, self._time_ns[k])
        if rows.n:
            self._door.step(rows.address, 0, rows.n)
            rows.n = 0
        self.read_ns[k] = now_ns
        self.through_ns[k] = monotonic_ns()
        self.n_read = k + 1


async def _run(source: Source, recorded: Recorded) -> tuple[list[_Receiver], Engine]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tercel.bench.live.stream_source", msgspec.json.encode(source).decode(),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        if not url:
            raise DataError("the stream's process of the benchmark ended before it listened")
        engine = Engine([recorded.instrument], [TopWatcher()], capacity=Capacity())
        engine.start(0)
        door = EngineFeed(engine)
        n = len(recorded.messages)
        receivers = [_Receiver(recorded, n, door) for _ in range(source.n_connections)]
        limits = SocketLimits()
        gc.collect()
        gc.freeze()
        try:
            sockets = [
                await connect(url, Handlers(receiver.on_message), limits=limits, now=monotonic_ns)
                for receiver in receivers
            ]
            await asyncio.gather(*(receiver.over.wait() for receiver in receivers))
        finally:
            gc.unfreeze()
        for socket in sockets:
            socket.close("measured")
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    engine.check()
    return receivers, engine


def hundredfold(capture: str, *, quick: bool = False) -> list[Row]:
    """The recorded stream at a hundred times its speed: nothing lost, how far behind it ever was."""
    source = Source(capture=capture, speed=100.0 if capture else 0.0, rate=0.0 if capture else 27_000.0,
                    n_max=20_000 if quick else 1 << 62)  # fmt: skip
    recorded = recorded_of(source)
    (receiver,), engine = run(_run(source, recorded))
    n = len(recorded.messages)
    due_ns = np.array(offsets_ns(source, recorded), np.int64) + receiver.begin_ns
    lag_us = (receiver.through_ns - due_ns)[: receiver.n_read] / 1e3
    took_s = (receiver.through_ns[receiver.n_read - 1] - receiver.begin_ns) / 1e9
    lost = receiver.n_done - receiver.n_read
    words = "the recorded stream at 100 times its speed" if capture else "a stream of 27,000 messages a second"
    note = f"{n:,} messages in {took_s:.2f} s, {lost} lost, {engine.seq:,} rows; p50 {np.median(lag_us):,.0f} us, "
    note += f"greatest {lag_us.max():,.0f} us"
    return [
        make_row(f"{words}, lag p99", unit="us", ours=float(np.percentile(lag_us, 99)), note=note,
                 difference="" if lost == 0 and receiver.n_done == n else f"{lost} messages lost"),
    ]  # fmt: skip


def many_connections(*, quick: bool = False) -> list[Row]:
    """Twenty connections, 5,000 messages a second in all: receipt to engine."""
    source = Source(rate=250.0, n_connections=20, n_max=250 if quick else 2_500)
    recorded = recorded_of(source)
    receivers, _ = run(_run(source, recorded))
    times_us = np.concatenate([(r.through_ns - r.read_ns)[: r.n_read] for r in receivers]) / 1e3
    lost = sum(r.n_done - r.n_read for r in receivers)
    n = sum(r.n_read for r in receivers)
    return [
        make_row("20 connections, 5,000 messages a second, receipt to engine, p99", unit="us",
                 ours=float(np.percentile(times_us, 99)), reach=Reach(ours_max=1_000),
                 difference="" if lost == 0 else f"{lost} messages lost",
                 note=f"{n:,} messages, p50 {np.median(times_us):.1f} us, greatest {times_us.max():,.0f} us"),
    ]  # fmt: skip
