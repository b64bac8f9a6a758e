"""The registry of questions and the run through them: inputs in, rows of the table out.

Each question is a function of the inputs; it makes both sides, compares their results, races them and returns rows.
A peer that is not installed leaves a row with our figure; an input that is not there leaves the question out of
the run. Called by the command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from tercel.bench import latency, ours
from tercel.bench.live.questions import LIVE_QUESTIONS
from tercel.bench.peers import PeerMissingError
from tercel.bench.questions import (
    PERP,
    bar_rows,
    quote_rows,
    synthetic_closes,
    synthetic_quotes,
    tick_file_quotes,
)
from tercel.bench.results import Contestant, difference
from tercel.bench.table import Reach, Row, make_row, not_installed
from tercel.bench.timing import race
from tercel.clock import monotonic_ns
from tercel.errors import ConfigError, DataError

__all__ = ["GROUPS", "QUESTIONS", "Inputs", "expanded", "run"]


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has to work with.

    tape: a tape, or a raw capture, of the BTCUSDT perpetual with L2 levels and trades; None leaves its questions out.
    ticks: a zip of EURUSD quotes (`ms,bid,ask`); None takes synthetic quotes. quick: fewer repetitions and no fresh
    processes. said: called with a few words before each step that takes time.
    """

    tape: Path | None = None
    ticks: Path | None = None
    quick: bool = False
    said: Callable[[str], None] = lambda words: None


Question = Callable[[Inputs], list[Row]]


def _tape_rows(inputs: Inputs) -> np.ndarray:
    """Scheduled rows of the tape, without quotes, in memory of this process."""
    from tercel.store.imports import import_capture
    from tercel.store.tape import Tape

    if inputs.tape is None:
        raise ConfigError("this question needs a tape: give one of the BTCUSDT perpetual with --tape")
    if inputs.tape.suffix == ".tape":
        tape = Tape.open(inputs.tape)
        rows = np.array(tape.rows())
    else:
        inputs.said(f"importing {inputs.tape.name}")
        with tempfile.TemporaryDirectory(prefix="tercel-bench-") as scratch:
            tape = import_capture(inputs.tape, Path(scratch) / "bench.tape")
            rows = np.array(tape.rows())
    instrument = tape.instruments[0]
    if (instrument.tick_size, instrument.lot_size) != (PERP.tick_size, PERP.lot_size):
        raise DataError(
            f"{inputs.tape} has tick {instrument.tick_size} and lot {instrument.lot_size}; the question is put for "
            f"tick {PERP.tick_size} and lot {PERP.lot_size}"
        )
    return rows


def _contest(
    question: str,
    inputs: Inputs,
    our_side: Contestant,
    peers: Sequence[tuple[str, Callable[[], Contestant], Reach]],
    *,
    unit: str,
    n: int = 7,
) -> list[Row]:
    """Compare results, then race our side against all its peers at once: a row for each peer.

    peers: name to show when it is missing, how to make it, what to reach against it.
    """
    repetitions = 3 if inputs.quick else n
    inputs.said(f"{question}: results")
    mine = our_side.outcome()
    present: list[tuple[Contestant, Reach, str]] = []
    missing: list[tuple[str, Reach]] = []
    for name, make, reach in peers:
        try:
            peer = make()
        except PeerMissingError:
            missing.append((name, reach))
            continue
        inputs.said(f"{question}: {peer.name}")
        present.append((peer, reach, difference(mine, peer.outcome())))
    inputs.said(f"{question}: race")
    timings = race([our_side, *(peer for peer, _, _ in present)], n=repetitions, n_warm=1 if inputs.quick else 2)
    our_ns = timings[0].ns_per_event
    rows = [
        make_row(
            question,
            unit=unit,
            ours=our_ns,
            theirs=timing.ns_per_event,
            peer=peer.name,
            reach=reach,
            difference=unlike,
            note=f"{len(mine.fills)} fills{timings[0].aside}",
        )
        for timing, (peer, reach, unlike) in zip(timings[1:], present, strict=True)
    ]
    rows += [not_installed(question, unit=unit, ours=our_ns, peer=name, reach=reach) for name, reach in missing]
    return rows


def _hftbacktest(rows: np.ndarray, feed: bool, book: str, queue: str) -> Contestant:
    from tercel.bench.peers import hftbacktest_peer

    make = hftbacktest_peer.quoter_feed if feed else hftbacktest_peer.quoter
    made: Contestant = make(hftbacktest_peer.hftbacktest_events(rows), book=book, queue=queue)  # type: ignore[arg-type]
    return made


def quoter(inputs: Inputs) -> list[Row]:
    """The quoter on a grid of 100 ms: power queue for speed against both books, risk-averse queue for truth."""
    rows = _tape_rows(inputs)
    found = _contest(
        "L2 backtest, quotes every 100 ms, power queue",
        inputs,
        ours.quoter(rows, queue="power", feed=False),
        [
            ("hftbacktest (dense book)", partial(_hftbacktest, rows, False, "dense", "power"),
             Reach(ours_max=25, ratio_min=3)),
            ("hftbacktest (hash book)", partial(_hftbacktest, rows, False, "hash", "power"), Reach(ours_max=25)),
        ],
        unit="ns per row",
    )  # fmt: skip
    found += _contest(
        "L2 backtest, quotes every 100 ms, risk-averse queue",
        inputs,
        ours.quoter(rows, queue="risk_averse", feed=False),
        [("hftbacktest (dense book)", partial(_hftbacktest, rows, False, "dense", "risk_averse"), Reach(ratio_min=3))],
        unit="ns per row",
    )
    return found


def quoter_feed(inputs: Inputs) -> list[Row]:
    """The quoter woken by every message of the feed."""
    rows = _tape_rows(inputs)
    return _contest(
        "L2 backtest, woken by every feed event",
        inputs,
        ours.quoter(rows, queue="power", feed=True),
        [("hftbacktest (dense book)", partial(_hftbacktest, rows, True, "dense", "power"), Reach(ratio_min=2))],
        unit="ns per row",
    )


def ema_quotes(inputs: Inputs) -> list[Row]:
    """The EMA cross on quotes."""
    if inputs.ticks is not None:
        quotes = tick_file_quotes(inputs.ticks)
    else:
        quotes = synthetic_quotes(20_000 if inputs.quick else 100_000)

    def nautilus() -> Contestant:
        from tercel.bench.peers import nautilus_peer

        return nautilus_peer.ema_quotes(*quotes)

    return _contest(
        "EMA cross on quotes",
        inputs,
        ours.ema_quotes(quote_rows(*quotes)),
        [("nautilus-trader", nautilus, Reach(ratio_min=100))],
        unit="ns per event",
        n=5,
    )


def sma_bars(inputs: Inputs) -> list[Row]:
    """The SMA cross on a million bars, and the first run in a fresh process."""
    closes = synthetic_closes(100_000 if inputs.quick else 1_000_000)

    def vectorbt() -> Contestant:
        from tercel.bench.peers import vectorbt_peer

        return vectorbt_peer.sma_bars(closes)

    rows = _contest(
        f"SMA cross on {len(closes):,} bars",
        inputs,
        ours.sma_bars(bar_rows(closes)),
        [("vectorbt", vectorbt, Reach(ours_max=10))],
        unit="ns per bar",
    )
    if not inputs.quick:
        rows += _first_run(inputs, len(closes))
    return rows


def sma_bars_50k(inputs: Inputs) -> list[Row]:
    """The SMA cross on 50,000 bars."""
    closes = synthetic_closes(50_000)

    def backtesting() -> Contestant:
        from tercel.bench.peers import backtesting_peer

        return backtesting_peer.sma_bars(closes)

    return _contest(
        "SMA cross on 50,000 bars",
        inputs,
        ours.sma_bars(bar_rows(closes)),
        [("backtesting.py", backtesting, Reach(ratio_min=200))],
        unit="ns per bar",
        n=5,
    )


_OUR_FIRST_RUN = """
from tercel.bench.ours import sma_bars
from tercel.bench.questions import bar_rows, synthetic_closes
sma_bars(bar_rows(synthetic_closes({n}))).once()
"""


def _fresh_process_s(code: str, **environment: str) -> float:
    """Seconds from starting a fresh Python to its end; DataError with its last words when it fails."""
    start_ns = monotonic_ns()
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise DataError(f"the first run in a fresh process failed: {last[0]}")
    return (monotonic_ns() - start_ns) / 1e9


def _first_run(inputs: Inputs, n: int) -> list[Row]:
    """First run in a fresh process, import and compilation included: with the caches there, and with empty ones."""
    code = _OUR_FIRST_RUN.format(n=n)
    rows = []
    for cold, words, reach in ((False, "kernels cached", Reach(ours_max=5)), (True, "nothing cached", Reach())):
        question = f"SMA cross, first run in a fresh process, {words}"
        inputs.said(question)
        with tempfile.TemporaryDirectory(prefix="tercel-bench-") as empty:
            mine = _fresh_process_s(code, TERCEL_CACHE_DIR=empty) if cold else _fresh_process_s(code)
        try:
            from tercel.bench.peers import vectorbt_peer

            theirs = vectorbt_peer.first_run_s(n, cold=cold)
            rows.append(make_row(question, unit="s", ours=mine, theirs=theirs, peer="vectorbt", reach=reach))
        except PeerMissingError:
            rows.append(not_installed(question, unit="s", ours=mine, peer="vectorbt", reach=reach))
    return rows


def decision(inputs: Inputs) -> list[Row]:
    """What deciding costs: one event by the cycle counter, a hundred strategies, one call from Python."""
    rows = []
    if inputs.tape is not None:
        tape = _tape_rows(inputs)
        inputs.said("event cost by the cycle counter")
        cost = latency.event_cost(tape)
        words = "one event: book, two indicators, imbalance, signal, risk, order"
        note = f"timer included, which steps by {cost.quantum:.1f} ns; {cost.n:,} events, {cost.n_orders} orders"
        rows.append(make_row(f"{words}, p50", unit="ns", ours=cost.p50, reach=Reach(ours_max=20), note=note))
        rows.append(make_row(f"{words}, p99", unit="ns", ours=cost.p99, reach=Reach(ours_max=50), note=note))
    inputs.said("100 strategies on one stream")
    each = latency.strategies_ns(100, 20_000 if inputs.quick else 100_000)
    rows.append(
        make_row("100 strategies on one stream", unit="ns per event and strategy", ours=each, reach=Reach(ours_max=6))
    )
    inputs.said("one call from Python")
    rows.append(
        make_row("one call from Python to the engine", unit="ns", ours=latency.call_ns(), reach=Reach(ours_max=400))
    )
    return rows


#: Every question by name, in the order of the table, and whether it needs a tape.
QUESTIONS: dict[str, tuple[Question, bool]] = {
    # First, in a young process: single events are timed, and the peers leave large and scattered memory behind.
    "decision": (decision, False),
    "quoter": (quoter, True),
    "quoter_feed": (quoter_feed, True),
    "ema_quotes": (ema_quotes, False),
    "sma_bars": (sma_bars, False),
    "sma_bars_50k": (sma_bars_50k, False),
    **{name: (question, False) for name, question in LIVE_QUESTIONS.items()},
}
#: Names that stand for several questions.
GROUPS: dict[str, tuple[str, ...]] = {
    "live": tuple(name for name in QUESTIONS if name.startswith("live_")),
    "core": tuple(name for name in QUESTIONS if not name.startswith("live_")),
}


def expanded(names: Sequence[str]) -> list[str]:
    """The questions that names and groups stand for, each once; ConfigError for a name that is neither."""
    unknown = [name for name in names if name not in QUESTIONS and name not in GROUPS]
    if unknown:
        raise ConfigError(f"no question called {unknown[0]!r}; there are: {', '.join((*QUESTIONS, *GROUPS))}")
    return list(dict.fromkeys(each for name in names for each in GROUPS.get(name, (name,))))


def run(inputs: Inputs, names: Sequence[str] = ()) -> list[Row]:
    """Put the questions named, by default every question the inputs allow; the rows of the table.

    ConfigError for a name that is no question, or a question asked for by name without the tape it needs.
    """
    rows: list[Row] = []
    names = expanded(names)
    for name in names or QUESTIONS:
        question, needs_tape = QUESTIONS[name]
        if needs_tape and inputs.tape is None:
            if names:
                raise ConfigError(f"question {name} needs a tape: give one of the BTCUSDT perpetual with --tape")
            continue
        rows.extend(question(inputs))
    return rows
