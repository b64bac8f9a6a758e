"""A simulated network in one thread: WebSockets and HTTP between our connections and a local venue, with seeded faults.

TCP is modelled as such: what a connection carries arrives in order or, once the connection has died, not at all. Across
connections nothing is in order. Nobody is told of a death at once; a half-open connection tells nobody until somebody's
patience ends.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import Any

MS = 1_000_000
S = 1_000_000_000


class Faults:
    """How bad the network is. All chances are drawn from the world's seed.

    delay_ms: mean of a message's way. cut: deaths of a WebSocket per second. half_open: share of deaths that nobody is
    told of. refused: chance that a connection cannot be opened. http_lost: chance that a request gets no answer, half
    of them after the venue has done what they ask. stall: chance per message that a connection stands still a while.
    """

    def __init__(
        self,
        delay_ms: float = 5.0,
        cut: float = 0.0,
        half_open: float = 0.3,
        refused: float = 0.0,
        http_lost: float = 0.0,
        stall: float = 0.0,
    ) -> None:
        self.delay_ms, self.cut, self.half_open = delay_ms, cut, half_open
        self.refused, self.http_lost, self.stall = refused, http_lost, stall

    def heal(self) -> None:
        """From now on nothing goes wrong any more."""
        self.cut = self.refused = self.http_lost = self.stall = 0.0


class Timeline:
    """Things to do, in order of time; at equal times in the order they were planned."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._n = 0

    def at(self, due_ns: int, action: Callable[[], None]) -> None:
        self._n += 1
        heapq.heappush(self._heap, (max(due_ns, self.now_ns), self._n, action))

    def after(self, ns: float, action: Callable[[], None]) -> None:
        self.at(self.now_ns + int(ns), action)

    def run(self, until_ns: int, is_over: Callable[[], bool] = lambda: False) -> None:
        heap = self._heap
        while heap and heap[0][0] <= until_ns and not is_over():
            self.now_ns, _, action = heapq.heappop(heap)
            action()
        if not is_over():
            self.now_ns = max(self.now_ns, until_ns)


class Wire:
    """One WebSocket: a pipe each way. client: hears what arrives; may be None once its process is dead."""

    def __init__(self, network: Network, name: int, client: Any, channel: str) -> None:
        self._network = network
        self.name = name
        self.client = client
        self.channel = channel
        self.is_open = False
        #: From this time on nothing gets through.
        self.dead_ns: int | None = None
        self._up_ns = self._down_ns = 0

    def _is_through(self, due_ns: int) -> bool:
        return self.dead_ns is None or due_ns < self.dead_ns

    def send(self, data: bytes) -> None:
        """Client to venue."""
        line, network = self._network.line, self._network
        self._up_ns = due_ns = max(self._up_ns, line.now_ns + network.delay())

        def arrive() -> None:
            if self._is_through(due_ns):
                network.venue_hears(self, data)

        line.at(due_ns, arrive)

    def deliver(self, data: bytes) -> None:
        """Venue to client."""
        line, network = self._network.line, self._network
        if network.rng.random() < network.faults.stall:
            self._down_ns = max(self._down_ns, line.now_ns) + int(network.rng.expovariate(1 / (2 * S)))
        self._down_ns = due_ns = max(self._down_ns, line.now_ns + network.delay())

        def arrive() -> None:
            if self._is_through(due_ns) and self.client is not None:
                self.client.hears(self, data)

        line.at(due_ns, arrive)

    def die(self, *, is_silent: bool) -> None:
        """The connection dies on its way. is_silent: both ends find out only when their patience ends."""
        if self.dead_ns is not None:
            return
        line, rng = self._network.line, self._network.rng
        self.dead_ns = line.now_ns
        longest_ns = 20 * S if is_silent else S // 2
        line.after(rng.randrange(longest_ns), lambda: self.ended("connection reset"))
        line.after(rng.randrange(longest_ns), lambda: self._network.venue_loses(self))

    def close(self, why: str) -> None:
        """The client closes: it hears of it at once, the venue a little later."""
        if self.dead_ns is None:
            self.dead_ns = self._network.line.now_ns + self._network.delay()
            self._network.line.at(self.dead_ns, lambda: self._network.venue_loses(self))
        self._network.line.after(0, lambda: self.ended(why))

    def ended(self, why: str) -> None:
        """Tell the client that its connection is gone, once."""
        client, self.client = self.client, None
        self.is_open = False
        self._network.wires.pop(self.name, None)
        if client is not None:
            client.loses(self, why)


class Network:
    """Wires and requests between clients and one venue."""

    def __init__(self, line: Timeline, rng: random.Random, venue: Any, faults: Faults) -> None:
        self.line = line
        self.rng = rng
        self.venue = venue
        self.faults = faults
        self.wires: dict[int, Wire] = {}
        #: Called whenever the venue may have done something.
        self.watch: Callable[[], None] = lambda: None
        self._n_wires = 0
        self._at_venue: set[int] = set()
        self.line.after(0, self._venue_tick)
        self.line.after(0, self._misfortune)

    def delay(self) -> int:
        """The time that something takes on its way: mostly short, sometimes long."""
        mean_ns = self.faults.delay_ms * MS
        scale = 20 if self.rng.random() < 0.01 else 1
        return int(self.rng.expovariate(1 / mean_ns) * scale) + 50_000

    # --- the venue's side -------------------------------------------------------------------------------------------

    def _venue_tick(self) -> None:
        self.venue.advance(self.line.now_ns)
        self.pump()
        self.line.after(50 * MS, self._venue_tick)

    def _misfortune(self) -> None:
        """Ten times a second each wire may die."""
        for wire in list(self.wires.values()):
            if wire.is_open and self.rng.random() < self.faults.cut / 10:
                wire.die(is_silent=self.rng.random() < self.faults.half_open)
        self.line.after(100 * MS, self._misfortune)

    def pump(self) -> None:
        """What the venue has to say leaves."""
        self.watch()
        for name, data in self.venue.take():
            wire = self.wires.get(name)
            if data is None:
                self._at_venue.discard(name)
                if wire is not None and wire.dead_ns is None:
                    wire.dead_ns = self.line.now_ns
                    self.line.after(self.delay(), lambda wire=wire: wire.ended("closed by the venue"))
            elif wire is not None:
                wire.deliver(data)

    def venue_hears(self, wire: Wire, data: bytes) -> None:
        if wire.name in self._at_venue:
            self.venue.receive(wire.name, data, self.line.now_ns)
            self.pump()

    def venue_loses(self, wire: Wire) -> None:
        if wire.name in self._at_venue:
            self._at_venue.discard(wire.name)
            self.venue.disconnect(wire.name)

    def has_dead(self) -> bool:
        """Whether a connection is dead and its client does not know."""
        return any(wire.dead_ns is not None for wire in self.wires.values())

    def last_arrival_ns(self) -> int:
        """When everything that is on its way now has arrived."""
        return max((wire._down_ns for wire in self.wires.values()), default=0)

    def restart_venue(self) -> None:
        """Every connection is dropped by the venue."""
        self.venue.restart(self.line.now_ns)
        self.pump()

    # --- the client's side ------------------------------------------------------------------------------------------

    def connect(self, client: Any, channel: str, url: str) -> Wire:
        """Begin to open a WebSocket; the client hears `opens` or `loses`."""
        self._n_wires += 1
        wire = self.wires[self._n_wires] = Wire(self, self._n_wires, client, channel)
        target = "/" + url.split("://", 1)[1].partition("/")[2]

        def arrive() -> None:
            if wire.dead_ns is not None:
                return
            if self.rng.random() < self.faults.refused:
                self.line.after(self.delay(), lambda: wire.ended("connection refused"))
                return
            status = self.venue.connect(wire.name, target, self.line.now_ns)
            if status != 101:
                self.line.after(self.delay(), lambda: wire.ended(f"refused with status {status}"))
                return
            self._at_venue.add(wire.name)
            opened_ns = self.line.now_ns + self.delay()
            wire._down_ns = opened_ns
            self.line.at(opened_ns, opened)
            self.pump()

        def opened() -> None:
            if wire.dead_ns is None and wire.client is not None:
                wire.is_open = True
                wire.client.opens(wire)

        self.line.after(self.delay(), arrive)
        return wire

    def request(self, client: Any, request: Any) -> None:
        """One HTTP request; the client hears `answered` or `failed`, once."""
        is_lost = self.rng.random() < self.faults.http_lost
        is_done = not is_lost or self.rng.random() < 0.5
        target = request.url.split("://", 1)[1].partition("/")[2]
        path, _, query = target.partition("?")

        def arrive() -> None:
            headers = {name.lower(): value for name, value in request.headers.items()}
            answer = self.venue.http(request.method, "/" + path, query, headers, request.body, self.line.now_ns)
            self.pump()
            if not is_lost:
                status, out, body = answer
                low = {str(name).lower(): str(value) for name, value in out.items()}
                self.line.after(self.delay(), lambda: client.answered(request.id, status, low, body))

        if is_done:
            self.line.after(self.delay(), arrive)
        if is_lost:
            was_sent = is_done or self.rng.random() < 0.5
            wait_ns = self.rng.randrange(5 * S) if was_sent else self.delay()
            self.line.after(wait_ns, lambda: client.failed(request.id, "no answer", was_sent))
