"""Journals for tests: a header, rows that name themselves, and a busy writer to be killed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from tercel.config import Capacity
from tercel.model.commands import COMMAND, NEW
from tercel.model.events import LOCAL, TRADE, event_rows
from tercel.model.instrument import Instrument
from tercel.store.journal import Journal, JournalHeader, Sync

BTC = Instrument(symbol="BTCUSDT", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), base="BTC", quote="USDT")


def header(run: int = 1, **changes: Any) -> JournalHeader:
    fields: dict[str, Any] = {
        "run": run, "created_ns": 1_000, "instruments": (BTC,), "strategies": (), "limits": ({},),
        "capacity": Capacity(), "layout": 77, "block_version": 1, "state": "ab",
    }  # fmt: skip
    return JournalHeader(**{**fields, **changes})


def trades(first: int, n: int) -> np.ndarray:
    """`n` rows whose number is in each of their fields, so that a wrong one is seen."""
    rows = event_rows(n)
    numbers = np.arange(first, first + n)
    for name in ("ts_exch", "ts_recv", "px", "qty", "id", "arg0", "arg1"):
        rows[name] = numbers + 1
    rows["kind"], rows["side"], rows["flags"] = TRADE, 1, LOCAL
    return rows


def orders(first: int, n: int) -> np.ndarray:
    """`n` commands numbered likewise."""
    rows = np.zeros(n, COMMAND)
    rows["id"] = rows["cause"] = np.arange(first, first + n) + 1
    rows["kind"], rows["flags"], rows["qty"] = NEW, 1 + np.arange(first, first + n) % 7, 5
    return rows


def write_for_ever(path: Path, run: int, told: str) -> None:
    """Append rows and commands, and say on the file `told` how many there were, until killed."""
    with (
        Journal(path, header=header(run), sync=Sync(every_ms=2), segment_bytes=1 << 16) as journal,
        open(told, "wb") as out,
    ):
        n, step = 0, 0
        while True:
            step += 1
            k = 1 + step * 7919 % 150
            journal.append(trades(n, k), k)
            n += k
            if step % 5 == 0:
                journal.append_commands(orders(step, 1))
            if step % 50 == 0:
                journal.snapshot(b"state" * 1000, seq=n)
            out.seek(0)
            out.write(b"%20d %20d" % (n, journal.position))
            out.flush()


if __name__ == "__main__":
    import sys

    write_for_ever(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
