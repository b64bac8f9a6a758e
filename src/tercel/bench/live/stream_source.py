"""A venue's market streams at any pace, a process of its own: recorded messages over one or many connections.

Each connection is sent `{"t0": NS}` when its first message is due (the machine's monotonic clock, the same in every
process), then its messages at t0 plus their offsets, never early; a source that falls behind sends at once what is due.
`{"done": N}` ends it. Started by `streams` as `python -m tercel.bench.live.stream_source SETUP`; prints its address.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec

from tercel.bench.live.messages import Recorded, capture_messages, market_messages
from tercel.clock import monotonic_ns
from tercel.net.connection import Connection, Handlers, SocketLimits
from tercel.net.websocket import Upgrade, serve
from tercel.runtime.loop import run

__all__ = ["Source", "recorded_of"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What is streamed. capture: a raw capture, "" for messages of the simulated market. n_max: of its messages.

    speed: how many times faster than recorded; 0 for `rate` messages a second on each connection, evenly.
    """

    capture: str = ""
    n_max: int = 1 << 62
    speed: float = 0.0
    rate: float = 0.0
    n_connections: int = 1


def recorded_of(source: Source) -> Recorded:
    """The messages of a source; the same in both processes."""
    if source.capture:
        return capture_messages(Path(source.capture), source.n_max)
    return market_messages(min(source.n_max, 20_000))


def offsets_ns(source: Source, recorded: Recorded) -> list[int]:
    """When each message is due after the first, in ns."""
    if source.speed > 0:
        return [int((ts - recorded.times_ns[0]) / source.speed) for ts in recorded.times_ns]
    return [int(k * 1e9 / source.rate) for k in range(len(recorded.messages))]


async def _stream(to: Connection, recorded: Recorded, offsets: list[int], begin_ns: int) -> None:
    while monotonic_ns() < begin_ns:
        await asyncio.sleep(0.001)
    to.send(msgspec.json.encode({"t0": begin_ns}))
    n_sent, n = 0, len(offsets)
    while n_sent < n and to.is_open:
        due = monotonic_ns() - begin_ns
        while n_sent < n and offsets[n_sent] <= due:
            to.send(recorded.messages[n_sent])
            n_sent += 1
        if n_sent < n:
            await asyncio.sleep(max(0.0, (offsets[n_sent] - (monotonic_ns() - begin_ns)) / 1e9))
    to.send(msgspec.json.encode({"done": n_sent}))


async def _main(source: Source) -> None:
    recorded = recorded_of(source)
    offsets = offsets_ns(source, recorded)
    opened: list[Connection] = []
    everybody, closed = asyncio.Event(), asyncio.Event()

    def accept(asked: Upgrade) -> Handlers:
        def on_open(connection: Connection, now_ns: int) -> None:
            opened.append(connection)
            if len(opened) == source.n_connections:
                everybody.set()

        def on_close(why: str, now_ns: int) -> None:
            if not any(connection.is_open for connection in opened):
                closed.set()

        return Handlers(lambda data, now_ns: None, on_open, on_close)

    # A receiver that cannot keep pace is to lag, not to be cut off: its lag is the question.
    limits = SocketLimits(write_max_bytes=1 << 30)
    server = await serve("127.0.0.1", 0, accept, limits=limits)
    print(f"ws://127.0.0.1:{server.port}/stream", flush=True)
    await everybody.wait()
    begin_ns = monotonic_ns() + 300_000_000
    # Connections of one venue do not speak in step.
    spread_ns = int(1e9 / source.rate / source.n_connections) if source.rate else 0
    await asyncio.gather(*(_stream(to, recorded, offsets, begin_ns + k * spread_ns) for k, to in enumerate(opened)))
    await closed.wait()
    await server.close("done")


if __name__ == "__main__":
    run(_main(msgspec.json.decode(sys.argv[1], type=Source)))
