"""Market messages to put to decoders: those of a raw capture, or Binance-shaped ones made from the simulated market.

Called by the other questions of this folder. Nothing here is timed.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import numpy as np

from tercel.bench.questions import PERP
from tercel.errors import DataError
from tercel.model.events import LAST, LEVEL
from tercel.model.instrument import Instrument

__all__ = ["Recorded", "capture_messages", "market_messages"]

_MS = 1_000_000


class Recorded(msgspec.Struct, frozen=True):
    """Messages in order of receipt. times_ns: of receipt, one each. instrument: the one they are about."""

    messages: list[bytes]
    times_ns: list[int]
    instrument: Instrument
    source: str

    def depth(self) -> list[bytes]:
        """The depth updates alone."""
        return [m for m in self.messages if b'"depthUpdate"' in m]


def capture_messages(path: Path, n_max: int = 1 << 62) -> Recorded:
    """The stream messages of a raw capture of the BTCUSDT perpetual; snapshots of the order book are left out."""
    messages: list[bytes] = []
    times: list[int] = []
    with gzip.open(path, "rb") as lines:
        for line in lines:
            stamp, _, text = line.rstrip().partition(b" ")
            if b'"stream"' not in text[:16]:
                continue
            if not stamp.isdigit():
                raise DataError(f"{path}: line {len(messages) + 1} does not begin with a time of receipt in ns")
            messages.append(text)
            times.append(int(stamp))
            if len(messages) >= n_max:
                break
    if not messages:
        raise DataError(f"{path} holds no stream message: give a raw capture")
    return Recorded(messages, times, PERP, path.name)


def market_messages(n: int, seed: int = 7) -> Recorded:
    """`n` depth updates of the simulated market in the layout of the USD-M depth stream, joined by pu, no gap."""
    from tercel.sim.market import MarketModel, simulate_market

    rows = simulate_market(MarketModel(mid_px=600_000), seed, n_rows=200 * n)
    ends = np.flatnonzero((rows["kind"] == LEVEL) & (rows["flags"] & LAST != 0))
    messages: list[bytes] = []
    times: list[int] = []
    begin, update = 0, 1_000
    # A venue gathers what happened in 100 ms: so many events stand in one message.
    for end in ends[11::12][:n]:
        part = rows[begin : end + 1]
        part = part[part["kind"] == LEVEL]
        begin = end + 1
        sides = [
            [[str(PERP.price(int(r["px"]))), str(PERP.qty(int(r["qty"])))] for r in part[part["side"] == side]]
            for side in (1, -1)
        ]
        ms = int(part["ts_exch"][-1]) // _MS
        first, last = update + 1, update + len(part)
        data = {
            "e": "depthUpdate", "E": ms, "T": ms, "s": PERP.symbol,
            "U": first, "u": last, "pu": update, "b": sides[0], "a": sides[1],
        }  # fmt: skip
        update = last
        messages.append(msgspec.json.encode({"stream": f"{PERP.symbol.lower()}@depth@0ms", "data": data}))
        times.append(int(part["ts_recv"][-1]))
    return Recorded(messages, times, PERP, "simulated market")
