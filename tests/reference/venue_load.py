"""Load on a local venue: as many signed orders as it takes through one WebSocket, and an account of every one.

Run as a script it starts a venue in a process of its own and prints what it sustained; `--cores A,B` pins venue and
client. As a module it gives `load` to tests.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import json
import os
import subprocess
import sys
from collections import Counter
from typing import Any

import msgspec

from tercel.clock import monotonic_ns, wall_ns
from tercel.net.connection import Handlers
from tercel.net.websocket import connect
from tercel.runtime.loop import run

WINDOW = 256


class Load:
    """n orders, `WINDOW` of them on their way at a time: most rest far away, one in ten takes, all are canceled."""

    def __init__(self, key: str, secret: str, n: int) -> None:
        self.key, self.secret, self.n = key, secret.encode(), n
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
        self._cancel = self.request(-1, "openOrders.cancelAll", {"symbol": "BTCUSDT"})

    def request(self, number: int, method: str, params: dict[str, Any]) -> bytes:
        params = {**params, "apiKey": self.key, "timestamp": wall_ns() // 1_000_000, "recvWindow": 60000}
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        params["signature"] = hmac.digest(self.secret, payload.encode(), "sha256").hex()
        return json.dumps({"id": number, "method": method, "params": params}).encode()

    def order(self, i: int) -> bytes:
        order = {"symbol": "BTCUSDT", "side": "BUY" if i % 2 else "SELL", "type": "LIMIT", "timeInForce": "GTC",
                 "quantity": "0.0010", "newOrderRespType": "RESULT",
                 "price": f"{55000 + i % 500 if i % 2 else 65000 + i % 500}"}  # fmt: skip
        if i % 10 == 0:
            order.update(timeInForce="IOC", price="70000" if i % 4 else "50000", side="BUY" if i % 4 else "SELL")
        return self.request(i, "order.place", order)

    def fill_window(self, connection: Any) -> None:
        while self._in_flight < WINDOW and self.n_sent < self.n:
            self._sent_ns[self.n_sent] = monotonic_ns()
            connection.send(self._orders[self.n_sent])
            self.n_sent += 1
            self._in_flight += 1
            if self.n_sent % 150 == 0:
                connection.send(self._cancel)

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


async def load(ws_api_url: str, key: str, secret: str, n: int, *, with_reports: bool = False) -> tuple[Load, float]:
    """Send n orders; the finished account and the seconds it took."""
    work = Load(key, secret, n)
    cell: list[Any] = []
    connection = await connect(ws_api_url, Handlers(lambda data, now_ns: work.on_message(cell[0], data)))
    cell.append(connection)
    if with_reports:
        connection.send(work.request(-2, "userDataStream.subscribe.signature", {}))
    begun_ns = monotonic_ns()
    work.fill_window(connection)
    await work.done.wait()
    took_s = (monotonic_ns() - begun_ns) / 1e9
    connection.close()
    await connection.wait_closed()
    return work, took_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--cores", default="")
    parser.add_argument("--reports", action="store_true")
    options = parser.parse_args()
    cores = options.cores.split(",") if options.cores else []
    command = [sys.executable, "-m", "tercel.cli.main", "venue", "--json", "--port", "0", "--rest-port", "0",
               "--no-limits"]  # fmt: skip
    pinned = ["taskset", "-c", cores[0], *command] if cores else command
    if cores:
        os.sched_setaffinity(0, {int(cores[1])})
    venue = subprocess.Popen(pinned, stdout=subprocess.PIPE, text=True)
    try:
        assert venue.stdout is not None
        text = ""
        while not text.endswith("\n}\n"):
            text += venue.stdout.readline()
        facts = json.loads(text)
        key = facts["test_keys"][0]
        n = options.orders
        work, took_s = run(load(facts["ws_api"], key["key"], key["secret"], n, with_reports=options.reports))
        late = sorted(work.latencies_ns)
        p50_ms, p99_ms = late[len(late) // 2] / 1e6, late[-len(late) // 100] / 1e6
        print(f"{n:,} orders in {took_s:.2f} s: {n / took_s:,.0f} a second, {WINDOW} on their way")
        print(f"p50 {p50_ms:.2f} ms, p99 {p99_ms:.2f} ms; {len(work.ids):,} different order ids")
        print(dict(work.answers), dict(work.reports))
    finally:
        venue.terminate()
        _, _, used = os.wait4(venue.pid, 0)
        venue.returncode = 0
    used_s = used.ru_utime + used.ru_stime
    print(f"the venue used {used_s:.2f} s of processor time in all")


if __name__ == "__main__":
    main()
