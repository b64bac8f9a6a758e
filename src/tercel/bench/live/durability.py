"""What durability costs: appending to the journal, forcing it to the disk, snapshots, recovery.

Run by hand, `python -m tercel.bench.live.durability DIRECTORY [TAPE]`, because what it measures is the disk it is
pointed at; docs/recovery.md holds such a table. With a tape its rows are repeated to ten million, else those of a
simulated market.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np

from tercel.clock import monotonic_ns
from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.engine.recovery import header_of, recover
from tercel.engine.step import START
from tercel.jit import address_of
from tercel.model.commands import COMMAND, NEW
from tercel.model.events import LOCAL
from tercel.model.instrument import Instrument
from tercel.model.rowbuffer import RowBuffer
from tercel.sim.market import MarketModel, simulate_market
from tercel.store.journal import Journal, Sync
from tercel.store.journal_format import next_run
from tercel.store.journal_read import open_journal
from tercel.store.tape import Tape
from tercel.strategy.library.ema_cross import EmaCross

__all__ = ["Recovery", "measure", "recovery"]

_N_ROWS = 10_000_000
_BATCH = 200


def measure(
    directory: Path, instrument: Instrument, market: np.ndarray, n_rows: int = _N_ROWS
) -> list[tuple[str, str]]:
    """Measure everything on the disk of `directory`, where a journal is written and left. (what, figure) lines."""
    lines = []
    engine = Engine([instrument], [EmaCross()], run=next_run(directory))
    with Journal(directory, header=header_of(engine, created_ns=0), sync=Sync(every_ms=0)) as journal:
        lines += _appends(journal, market)
        lines += _syncs(journal, market)
        state = engine.snapshot()
        lines.append((f"snapshot of {len(state) / 1e6:.1f} MB", _ms(lambda: journal.snapshot(state, seq=0), 9)))
    found = recovery(directory, instrument, market, n_rows)
    lines.append(("journal and step beside a sync every 100 ms", f"{found.append_ns:.0f} ns a row"))
    assert found.is_same, "what was recovered is not what was"
    what = f"recovery of {n_rows:,} rows, {found.n_commands:,} commands compared"
    lines.append((what, f"{found.took_s:.2f} s"))
    return lines


class Recovery(msgspec.Struct, frozen=True):
    """took_s: to open the journal and come to the state at its end. append_ns: to journal and step one row before."""

    took_s: float
    append_ns: float
    n_commands: int
    is_same: bool


def recovery(directory: Path, instrument: Instrument, market: np.ndarray, n_rows: int) -> Recovery:
    """Journal `n_rows` rows of `market`, repeated, without a snapshot; then recover a fresh engine from them."""
    engine = Engine([instrument], [EmaCross()], run=next_run(directory))
    n_commands, seconds = _record(directory, engine, market, n_rows)
    fresh = Engine([instrument], [EmaCross()], run=int(engine.head["next_id"]) >> 32)
    begin = monotonic_ns()
    found = recover(fresh, open_journal(directory))
    took_s = (monotonic_ns() - begin) / 1e9
    is_same = fresh.state_hash() == engine.state_hash() and found.n_commands == n_commands
    return Recovery(took_s, seconds / n_rows * 1e9, n_commands, is_same)


def _ns(work: Callable[[], object], n: int, before: Callable[[], object]) -> str:
    """Median of 31 loops of `n`, the best beside it."""
    found = []
    for _ in range(31):
        before()
        begin = monotonic_ns()
        for _ in range(n):
            work()
        found.append((monotonic_ns() - begin) / n)
    return f"{statistics.median(found):,.0f} ns (best {min(found):,.0f})"


def _ms(work: Callable[[], object], n: int) -> str:
    found = []
    for _ in range(n):
        begin = monotonic_ns()
        work()
        found.append((monotonic_ns() - begin) / 1e6)
    return f"{statistics.median(found):.2f} ms (worst {max(found):.2f})"


def _appends(journal: Journal, market: np.ndarray) -> list[tuple[str, str]]:
    buffer = RowBuffer(1000)
    buffer.rows[:] = market[:1000]
    lines = []
    for n in (1, 10, 63, 1000):
        append, address = journal.append, buffer.address
        lines.append((f"append of {n} rows", _ns(lambda: append(address, n), max(1, 4000 // n), journal.prepare)))  # noqa: B023
    command = np.zeros(1, COMMAND)
    command["kind"] = NEW
    lines.append(("append of a command", _ns(lambda: journal.append_commands(command), 500, journal.prepare)))
    return lines


def _syncs(journal: Journal, market: np.ndarray) -> list[tuple[str, str]]:
    lines = []
    for n, what in ((1, "sync of one row, as on every order"), (10_000, "sync of 10,000 rows, as for a group")):
        rows = np.ascontiguousarray(np.resize(market, n))

        def once(rows: np.ndarray = rows) -> None:
            journal.append(rows)
            journal.sync()

        lines.append((what, _ms(once, 101)))
    return lines


def _record(directory: Path, engine: Engine, market: np.ndarray, n_rows: int) -> tuple[int, float]:
    """Journal and step rows of `market`, repeated with time going on. Commands made, seconds taken."""
    feed, n_commands, n = EngineFeed(engine), 0, 0
    rows = market[market["flags"] & LOCAL != 0].copy()
    span = int(rows["ts_recv"][-1] - rows["ts_recv"][0]) + 1
    with Journal(directory, header=header_of(engine, created_ns=0), sync=Sync(every_ms=100)) as journal:
        begin = monotonic_ns()
        first_ns = int(rows["ts_recv"][0]) - 1
        journal.note(START, first_ns)
        engine.start(first_ns)
        while n < n_rows:
            address = address_of(rows)
            for start in range(0, min(len(rows), n_rows - n), _BATCH):
                end = min(start + _BATCH, len(rows), n_rows - n + start)
                journal.append(rows[start:end])
                i = start
                while i < end:
                    i = feed.step(address, i, end)
                    if feed.has_emitted:
                        journal.append_commands(feed.commands())
                        n_commands += len(feed.commands())
                        feed.release()
            n += min(len(rows), n_rows - n)
            rows["ts_exch"] += span
            rows["ts_recv"] += span
        return n_commands, (monotonic_ns() - begin) / 1e9


def _main() -> None:
    if len(sys.argv) not in (2, 3):
        print("usage: python -m tercel.bench.live.durability DIRECTORY [TAPE]")
        return
    instrument = Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
    market = simulate_market(MarketModel(), 1, duration_s=60)
    if len(sys.argv) == 3:
        tape = Tape.open(Path(sys.argv[2]))
        instrument, market = tape.instruments[0], np.array(tape.rows())
    for what, figure in measure(Path(sys.argv[1]), instrument, market):
        print(f"| {what} | {figure} |")


if __name__ == "__main__":
    _main()
