"""How fast messages become rows, and rows reach the engine: no socket, one core.

Three questions: a depth message to rows against msgspec decoding the same bytes into objects; the bytes of depth
messages all the way into the engine's book; binary rows into the engine. Results are compared first: the scanner's
rows with those of the msgspec path, the book with a naive one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from tercel.bench.live.messages import Recorded
from tercel.bench.table import Reach, Row, make_row
from tercel.clock import monotonic_ns
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.errors import DataError
from tercel.model.events import EVENT, LEVEL
from tercel.model.rowbuffer import RowBuffer
from tercel.strategy.contract import Strategy
from tercel.venues.binance.market import MarketFeed
from tercel.venues.binance.messages import Depth

__all__ = ["binary_rows", "decoded_rows", "depth_to_rows", "feed_in_step", "json_to_engine"]

_ROUNDS = 15


class TopWatcher(Strategy):
    """The least a strategy can do on a book: look at both best prices after every message."""

    n_messages: int = 0
    spread_ticks: int = 0

    def on_book(self, ctx: Any, book: Any) -> None:
        self.n_messages += 1
        self.spread_ticks += book.ask_px - book.bid_px


class _Envelope(msgspec.Struct):
    """A combined stream's message that is known to hold a depth update: one decoding, nothing left raw."""

    stream: str
    data: Depth


def feed_in_step(
    recorded: Recorded, messages: list[bytes], *, uses_scanner: bool = True
) -> tuple[MarketFeed, RowBuffer]:
    """A feed whose book is in step just before the first of `messages`."""
    rows = RowBuffer(1 << 16)
    feed = MarketFeed({0: recorded.instrument}, rows, is_spot=False)
    feed.uses_scanner = uses_scanner
    first = msgspec.json.decode(messages[0], type=_Envelope).data
    snapshot: dict[str, Any] = {"lastUpdateId": first.pu, "E": first.E, "T": first.T, "bids": [], "asks": []}
    if not feed.snapshot(0, msgspec.json.encode(snapshot), first.T * 1_000_000):
        raise DataError("the snapshot before the first depth message was not taken")
    rows.clear()
    return feed, rows


def decoded_rows(recorded: Recorded, messages: list[bytes], *, uses_scanner: bool) -> np.ndarray:
    """The rows of depth messages, by the scanner or by msgspec; DataError where the scanner did not take them all."""
    feed, rows = feed_in_step(recorded, messages, uses_scanner=uses_scanner)
    parts = []
    for message in messages:
        feed.message(message, recorded.times_ns[0])
        parts.append(rows.filled().copy())
        rows.clear()
    if uses_scanner and feed.n_decoded > 1:
        raise DataError(f"the scanner handed {feed.n_decoded} of {len(messages)} messages to msgspec")
    return np.concatenate(parts)


def _medians(sides: list[Callable[[], None]], rounds: int) -> list[float]:
    """Median nanoseconds of each side's run, in turn."""
    times: list[list[int]] = [[] for _ in sides]
    for turn in range(rounds + 2):
        for side, kept in zip(sides, times, strict=True):
            begin_ns = monotonic_ns()
            side()
            if turn >= 2:
                kept.append(monotonic_ns() - begin_ns)
    return [statistics.median(kept) for kept in times]


def depth_to_rows(recorded: Recorded, *, quick: bool = False) -> list[Row]:
    """One depth message to rows, against msgspec decoding it into typed objects."""
    messages = recorded.depth()
    ours_rows, oracle = (decoded_rows(recorded, messages, uses_scanner=scan) for scan in (True, False))
    same = "" if np.array_equal(ours_rows, oracle) else "the scanner's rows are not those of msgspec"
    feed, rows = feed_in_step(recorded, messages)
    decode = msgspec.json.Decoder(_Envelope).decode
    now_ns = recorded.times_ns[0]
    last = len(messages)

    def ours() -> None:
        # The ids begin again, so each round starts with one message on the slow path.
        feed.begin_again(0, now_ns)
        first = msgspec.json.decode(messages[0], type=_Envelope).data
        snapshot: dict[str, Any] = {"lastUpdateId": first.pu, "E": first.E, "T": first.T, "bids": [], "asks": []}
        feed.snapshot(0, msgspec.json.encode(snapshot), now_ns)
        take = feed.message
        for message in messages:
            take(message, now_ns)
            rows.n = 0

    def theirs() -> None:
        for message in messages:
            decode(message)

    mine, other = _medians([ours, theirs], 5 if quick else _ROUNDS)
    n_levels, n_bytes = int((oracle["kind"] == LEVEL).sum()), sum(map(len, messages))
    note = f"{last:,} messages of {recorded.source}, {n_levels / last:.1f} levels and {n_bytes / last:.0f} bytes each; "
    note += f"{n_bytes / mine * 1e3:.0f} MB/s"
    return [
        make_row(
            "depth message to rows, against msgspec into objects",
            unit="ns per message",
            ours=mine / last,
            theirs=other / last,
            peer=f"msgspec {msgspec.__version__}",
            reach=Reach(ratio_min=1.0),
            difference=same,
            note=note,
        )
    ]


def _engine(recorded: Recorded) -> tuple[Engine, EngineFeed]:
    engine = Engine([recorded.instrument], [TopWatcher()], capacity=Capacity())
    engine.start(0)
    return engine, EngineFeed(engine)


def json_to_engine(recorded: Recorded, *, quick: bool = False) -> list[Row]:
    """JSON bytes of depth messages into the engine's book and a strategy that looks at it; a message at a time."""
    messages = recorded.depth()
    oracle = decoded_rows(recorded, messages, uses_scanner=False)
    n_levels = int((oracle["kind"] == LEVEL).sum())
    wanted: dict[tuple[int, int], int] = {}
    for side, px, qty in zip(oracle["side"].tolist(), oracle["px"].tolist(), oracle["qty"].tolist()):
        wanted[side, px] = qty
    times: list[int] = []
    same = ""
    for turn in range((3 if quick else 9) + 1):
        engine, door = _engine(recorded)
        feed, rows = feed_in_step(recorded, messages)
        take, step, now_ns = feed.message, door.step, recorded.times_ns[0]
        begin_ns = monotonic_ns()
        for message in messages:
            take(message, now_ns)
            step(rows.address, 0, rows.n)
            rows.n = 0
        if turn:
            times.append(monotonic_ns() - begin_ns)
        engine.check()
        same = same or _book_difference(engine, wanted)
    return [
        make_row(
            "JSON depth messages into the engine, one core",
            unit="ns per level change",
            ours=statistics.median(times) / n_levels,
            reach=Reach(ours_max=200),
            difference=same,
            note=f"{n_levels / statistics.median(times) * 1e3:.1f} M level changes/s",
        )
    ]


def _book_difference(engine: Engine, wanted: dict[tuple[int, int], int]) -> str:
    """The engine's book against the last size seen at each price: "" when each level is as it should be."""
    from tercel.book.views import BookView

    book = BookView(engine.book_address(0))
    for (side, px), qty in wanted.items():
        if book.size(side, px) != qty:
            return f"side {side}, {px} ticks: {book.size(side, px)} lots, should be {qty}"
    return ""


def binary_rows(recorded: Recorded, *, quick: bool = False) -> list[Row]:
    """Binary rows into the engine, a thousand at a time."""
    messages = recorded.depth()
    rows = np.ascontiguousarray(decoded_rows(recorded, messages, uses_scanner=False))
    n, size = len(rows), EVENT.itemsize
    address = int(rows.__array_interface__["data"][0])
    times: list[int] = []
    n_seen = 0
    for turn in range((5 if quick else _ROUNDS) + 1):
        engine, door = _engine(recorded)
        begin_ns = monotonic_ns()
        for start in range(0, n, 1000):
            door.step(address + start * size, 0, min(1000, n - start))
        if turn:
            times.append(monotonic_ns() - begin_ns)
        engine.check()
        n_seen = engine.seq
    return [
        make_row(
            "binary rows into the engine, one core",
            unit="ns per row",
            ours=statistics.median(times) / n,
            reach=Reach(ours_max=100),
            difference="" if n_seen == n else f"{n_seen:,} rows processed of {n:,}",
            note=f"{n / statistics.median(times) * 1e3:.1f} M rows/s",
        )
    ]
