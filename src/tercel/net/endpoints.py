"""Which of several hosts to use: at random, by measured latency, and away from those that failed.

The choice is pure; `measure_latency` asks GET /health. Called by `net.reconnect` and users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from tercel import clock
from tercel.errors import ConfigError
from tercel.net.batch import process_batch_concurrent
from tercel.net.rest import RequestError, RestClient, Trouble

__all__ = ["AXIOM_SOCKETS", "Endpoints", "Region", "measure_all", "measure_latency"]


class Region(StrEnum):
    """Where a venue's hosts stand (S1-72)."""

    US_WEST = "us-west"
    US_CENTRAL = "us-central"
    US_EAST = "us-east"
    EU_WEST = "eu-west"
    EU_CENTRAL = "eu-central"
    EU_EAST = "eu-east"
    ASIA = "asia"
    AUSTRALIA = "australia"
    GLOBAL = "global"


def _axiom(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}.axiom.trade" for name in names)


AXIOM_SOCKETS: Mapping[Region, tuple[str, ...]] = {
    Region.US_WEST: _axiom("socket8", "cluster-usw2"),
    Region.US_CENTRAL: _axiom("cluster3", "cluster-usc2"),
    Region.US_EAST: _axiom("cluster5", "cluster-use2"),
    Region.EU_WEST: _axiom("cluster6", "cluster-euw2"),
    Region.EU_CENTRAL: _axiom("cluster2", "cluster-euc2"),
    Region.EU_EAST: _axiom("cluster8"),
    Region.ASIA: _axiom("cluster4"),
    Region.AUSTRALIA: _axiom("cluster7"),
    Region.GLOBAL: _axiom("cluster9"),
}
"""The table of S1-12 and S1-72, primary first. Other venues bring theirs."""


class Endpoints:
    """The hosts of one region, primary first; a host is "name" or "name:port".

    A host that failed is set aside for `aside_s`; when all are, the one that failed longest ago is used.
    """

    def __init__(self, hosts: Sequence[str], *, aside_s: float = 30.0) -> None:
        if not hosts or len(set(hosts)) != len(hosts):
            raise ConfigError(f"a region needs one host or more, each once, not {list(hosts)}")
        self.hosts = tuple(hosts)
        self._aside_ns = int(aside_s * 1e9)
        self._failed_ns: dict[str, int] = {}
        self._latency_ns: dict[str, int] = {}

    def usable(self, now_ns: int) -> list[str]:
        """Hosts not set aside, in listed order; never empty."""
        good = [h for h in self.hosts if h not in self._failed_ns or now_ns - self._failed_ns[h] >= self._aside_ns]
        return good or [min(self.hosts, key=lambda host: self._failed_ns[host])]

    def choose_random(self, random: float, now_ns: int) -> str:
        """One usable host, each as likely as the other (S1-12); `random` in [0, 1)."""
        usable = self.usable(now_ns)
        return usable[min(int(random * len(usable)), len(usable) - 1)]

    def choose_fastest(self, now_ns: int) -> str:
        """The usable host with the lowest measured latency; unmeasured ones come after, in listed order."""
        return min(self.usable(now_ns), key=lambda host: self._latency_ns.get(host, 1 << 62))

    def on_failure(self, host: str, now_ns: int) -> None:
        """The host refused, did not answer or dropped us: set it aside."""
        self._failed_ns[host] = now_ns

    def on_success(self, host: str) -> None:
        """The host works: a failure before is forgotten."""
        self._failed_ns.pop(host, None)

    def set_latency(self, host: str, latency_ns: int) -> None:
        """As measured now; replaces what was measured before."""
        self._latency_ns[host] = latency_ns

    def latencies_ns(self) -> dict[str, int]:
        """What was measured, by host."""
        return dict(self._latency_ns)


async def measure_latency(
    client: RestClient, host: str, *, scheme: str = "https", now: Callable[[], int] = clock.monotonic_ns
) -> int:
    """Time of GET {scheme}://{host}/health in ns (S1-73). Raises RequestError, for a status other than 2xx too."""
    start_ns = now()
    answer = await client.request("GET", f"{scheme}://{host}/health")
    if not 200 <= answer.status < 300:
        raise RequestError(
            f"{host} answers its health check with {answer.status}", trouble=Trouble.BAD_ANSWER, was_sent=True
        )
    return now() - start_ns


async def measure_all(
    client: RestClient,
    endpoints: Endpoints,
    *,
    scheme: str = "https",
    n_rounds: int = 2,
    now: Callable[[], int] = clock.monotonic_ns,
) -> None:
    """Measure every host, all at once, and keep the best of `n_rounds`: the first round pays for the connection.

    A host that fails is set aside, and regained by succeeding here.
    """

    async def measure(host: str) -> int:
        return min([await measure_latency(client, host, scheme=scheme, now=now) for _ in range(n_rounds)])

    outcomes = await process_batch_concurrent(endpoints.hosts, len(endpoints.hosts), measure)
    for host, outcome in zip(endpoints.hosts, outcomes, strict=True):
        if outcome.is_ok:
            endpoints.set_latency(host, outcome.value)
            endpoints.on_success(host)
        elif isinstance(outcome.error, RequestError):
            endpoints.on_failure(host, now())
        else:
            raise outcome.error  # type: ignore[misc]
