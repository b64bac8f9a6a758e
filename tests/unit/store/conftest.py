"""Small captures and a cache of their own for the tests of the store."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

T0_NS = 1_700_000_000_000_000_000
T0_MS = 1_700_000_000_000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("TERCEL_CACHE_DIR", str(path))
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Callable[..., Path]:
    """Writes lines as a gzip file and returns its path."""

    def write(lines: list[str], name: str = "capture.gz") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode()))
        return path

    return write


class Stream:
    """Makes the messages of a small futures capture; times advance by themselves."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.u = 100
        self.ms = 0

    def message(self, stream: str, data: dict[str, Any], late_ms: int = 5) -> None:
        recv = T0_NS + (self.ms + late_ms) * 1_000_000
        self.lines.append(f"{recv} " + json.dumps({"stream": f"btcusdt@{stream}", "data": data}))
        self.ms += 10

    def depth(self, bids: list, asks: list, **changes: Any) -> None:
        first, previous, self.u = self.u + 1, self.u, self.u + 10
        data = {"e": "depthUpdate", "E": T0_MS + self.ms, "T": T0_MS + self.ms, "s": "BTCUSDT", "U": first,
                "u": self.u, "pu": previous, "b": bids, "a": asks}  # fmt: skip
        self.message("depth@0ms", data | changes)

    def trade(self, px: str, qty: str, sell: bool = False, **changes: Any) -> None:
        data = {"e": "trade", "E": T0_MS + self.ms, "T": T0_MS + self.ms, "s": "BTCUSDT", "t": self.ms, "p": px,
                "q": qty, "X": "MARKET", "m": sell}  # fmt: skip
        self.message("trade", data | changes)

    def ticker(self, bid: str, ask: str, **changes: Any) -> None:
        data = {"e": "bookTicker", "u": self.u, "s": "BTCUSDT", "b": bid, "B": "1.000", "a": ask, "A": "2.000",
                "T": T0_MS + self.ms, "E": T0_MS + self.ms}  # fmt: skip
        self.message("bookTicker", data | changes)

    def snapshot(self, last_update: int, bids: list, asks: list, late_ms: int = 5) -> None:
        recv = T0_NS + (self.ms + late_ms) * 1_000_000
        body = {"lastUpdateId": last_update, "E": T0_MS + self.ms, "T": T0_MS + self.ms - 3, "bids": bids, "asks": asks}
        self.lines.append(f"{recv} " + json.dumps(body))
        self.ms += 10


@pytest.fixture
def stream() -> Stream:
    """A capture of two depth events, a snapshot that the second one spans, a trade and a quote: 4 + 6 + 2 rows."""
    made = Stream()
    made.depth([["99.0", "1.000"]], [["101.0", "1.500"]])
    made.depth([["99.5", "2.000"], ["90.0", "0.500"]], [])
    made.snapshot(115, [["99.5", "2.000"], ["99.0", "1.000"]], [["100.5", "3.000"], ["101.0", "1.500"]])
    made.depth([], [["100.5", "0.000"]])
    made.trade("101.0", "0.250")
    made.ticker("99.5", "101.0")
    return made
