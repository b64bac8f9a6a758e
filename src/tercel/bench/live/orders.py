"""Orders to the local venue: as many signed ones as one WebSocket carries, and an account of every one.

The venue runs in a process of its own, as `tercel venue` starts it. Called by `questions`; tests call `load`.
"""

from __future__ import annotations

import asyncio
import hmac
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tercel.bench.table import Reach, Row, make_row
from tercel.clock import monotonic_ns, wall_ns
from tercel.errors import DataError
from tercel.net.connection import Handlers
from tercel.net.websocket import connect
from tercel.runtime.loop import run

__all__ = ["Load", "Submitted", "load", "submissions", "submit"]

#: Orders on their way at once.
WINDOW = 256


class Load:
    """n orders, `window` of them on their way at a time: most rest far away, one in ten takes, all are canceled."""

    def __init__(self, key: str, secret: str, n: int, window: int = WINDOW) -> None:
        self.key, self.secret, self.n, self.window = key, secret.encode(), n, window
        self.n_sent = 0
        self.answers: Counter[str] = Counter()
        self.reports: Counter[str] = Counter()
        self.ids: set[int] = set()
        self.done = asyncio.Event()
        self.latencies_ns: list[int] = []
        self._sent_ns: dict[int, int] = {}
        self._in_flight = 0
        # Signed ahead, so that the client's work is not what is measured.
        self._orders = [self.order(i) for i in range(n)]
        self.cancel = self.request(-1, "openOrders.cancelAll", {"symbol": "BTCUSDT"})

    def request(self, number: int, method: str, params: dict[str, Any]) -> bytes:
        params = {**params, "apiKey": self.key, "timestamp": wall_ns() // 1_000_000, "recvWindow": 60000}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = hmac.digest(self.secret, payload.encode(), "sha256").hex()
        return msgspec.json.encode({"id": number, "method": method, "params": params})

    def order(self, i: int) -> bytes:
        order = {"symbol": "BTCUSDT", "side": "BUY" if i % 2 else "SELL", "type": "LIMIT", "timeInForce": "GTC",
                 "quantity": "0.0010", "newOrderRespType": "RESULT",
                 "price": f"{55000 + i % 500 if i % 2 else 65000 + i % 500}"}  # fmt: skip
        if i % 10 == 0:
            order.update(timeInForce="IOC", price="70000" if i % 4 else "50000", side="BUY" if i % 4 else "SELL")
        return self.request(i, "order.place", order)

    def fill_window(self, connection: Any) -> None:
        while self._in_flight < self.window and self.n_sent < self.n:
            self._sent_ns[self.n_sent] = monotonic_ns()
            connection.send(self._orders[self.n_sent])
            self.n_sent += 1
            self._in_flight += 1
            if self.n_sent % 150 == 0:
                connection.send(self.cancel)

    def on_message(self, connection: Any, data: Any) -> None:
        message = msgspec.json.decode(data)
        if "event" in message:
            event = message["event"]
            if event["e"] == "executionReport":
                self.reports[event["x"]] += 1
            return
        number = message["id"]
        if not isinstance(number, int) or number < 0:
            return
        self.latencies_ns.append(monotonic_ns() - self._sent_ns.pop(number))
        result = message.get("result")
        self.answers[result["status"] if result else f"refused {message['error']['code']}"] += 1
        if result:
            self.ids.add(result["orderId"])
        self._in_flight -= 1
        if sum(self.answers.values()) == self.n:
            self.done.set()
        self.fill_window(connection)


async def load(
    ws_api_url: str, key: str, secret: str, n: int, *, window: int = WINDOW, with_reports: bool = False
) -> tuple[Load, float]:
    """Send n orders; the finished account and the seconds it took."""
    work = Load(key, secret, n, window)
    cell: list[Any] = []
    connection = await connect(ws_api_url, Handlers(lambda data, now_ns: work.on_message(cell[0], data)))
    cell.append(connection)
    if with_reports:
        connection.send(work.request(-2, "userDataStream.subscribe.signature", {}))
    # What an earlier load left in the book would count against the orders an account may have.
    connection.send(work.cancel)
    begun_ns = monotonic_ns()
    work.fill_window(connection)
    await work.done.wait()
    took_s = (monotonic_ns() - begun_ns) / 1e9
    connection.close()
    await connection.wait_closed()
    return work, took_s


class Submitted(msgspec.Struct, frozen=True):
    """n orders: answers and reports by kind, different ids, seconds in all, median and 99th percentile of one.

    venue_us: processor time of the venue's process for each order and its cancel, 0 where the system does not tell.
    """

    n: int
    answers: dict[str, int]
    reports: dict[str, int]
    n_ids: int
    took_s: float
    p50_ms: float
    p99_ms: float
    venue_us: float

    @property
    def unaccounted(self) -> str:
        """What is missing of the account, "" when nothing is."""
        answered = sum(self.answers.values())
        refused = {what: n for what, n in self.answers.items() if what.startswith("refused")}
        if answered != self.n or self.n_ids != self.n or refused:
            return f"{answered:,} of {self.n:,} answered, {self.n_ids:,} ids, {refused or 'none'} refused"
        return ""


def submit(sizes: Sequence[tuple[int, int]]) -> list[Submitted]:
    """Start a venue and send it, for each (n, window), `n` orders, `window` of them on their way at a time."""
    command = [sys.executable, "-m", "tercel.cli.main", "venue", "--json", "--port", "0", "--rest-port", "0",
               "--no-limits"]  # fmt: skip
    venue = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found = []
    try:
        assert venue.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            line = venue.stdout.readline()
            if not line:
                raise DataError("the venue's process of the benchmark ended before it listened")
            text += line
        facts = msgspec.json.decode(text)
        key = facts["test_keys"][0]
        for n, window in sizes:
            before_ns = _processor_ns(venue.pid)
            work, took_s = run(load(facts["ws_api"], key["key"], key["secret"], n, window=window))
            venue_us = (_processor_ns(venue.pid) - before_ns) / n / 1e3
            late = sorted(work.latencies_ns)
            p50_ms, p99_ms = late[len(late) // 2] / 1e6, late[-len(late) // 100] / 1e6
            answers, reports = dict(work.answers), dict(work.reports)
            found.append(Submitted(n, answers, reports, len(work.ids), took_s, p50_ms, p99_ms, venue_us))
    finally:
        venue.terminate()
        venue.wait()
    return found


def _processor_ns(pid: int) -> int:
    """Processor time that a process has used, in ns; 0 where there is no such file to read it from."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
    except OSError:
        return 0


def submissions(*, quick: bool = False) -> list[Row]:
    """What the local venue sustains, and the requirements' targets for one order and for orders a second."""
    # The first orders find cold code on both sides and are not counted.
    _, single, many = submit([(300, 1), (500 if quick else 3_000, 1), (3_000 if quick else 100_000, WINDOW)])
    each_us = many.took_s / many.n * 1e6
    rate = f"{many.n / many.took_s:,.0f} a second"
    spent = f", {many.venue_us:.0f} us of the venue's processor time each" if many.venue_us else ""
    return [
        make_row("orders to the local venue, each signed and accounted for", unit="us each", ours=each_us,
                 reach=Reach(ours_max=100), difference=many.unaccounted,
                 note=f"{many.n:,} orders, {rate}, {WINDOW} on their way: p50 {many.p50_ms:.1f} ms{spent}"),
        make_row("S3-06 order submission, p99", unit="us", ours=single.p99_ms * 1e3, reach=Reach(ours_max=100_000),
                 difference=single.unaccounted, note=f"{single.n:,} orders, one after the other: to its answer"),
        make_row("S3-09 order execution, p50", unit="us", ours=single.p50_ms * 1e3, reach=Reach(ours_max=50_000),
                 difference=single.unaccounted, note=f"{single.n:,} orders, one after the other: to its answer"),
        make_row("S3-14 order submissions", unit="us each", ours=each_us, reach=Reach(ours_max=1_000),
                 note=f"{rate}, to reach 1,000"),
    ]  # fmt: skip
