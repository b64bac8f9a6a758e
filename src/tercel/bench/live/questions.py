"""The live questions by name: what `tercel bench live` asks. Called by `bench.run`."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from tercel.bench.live import decode, pipeline
from tercel.bench.live.messages import Recorded, capture_messages, market_messages
from tercel.bench.table import Reach, Row, make_row

if TYPE_CHECKING:
    from tercel.bench.run import Inputs

__all__ = ["LIVE_QUESTIONS"]


def _capture(inputs: Inputs) -> Path | None:
    """The raw capture given as tape, None for a tape or nothing."""
    return inputs.tape if inputs.tape is not None and inputs.tape.suffix != ".tape" else None


def _recorded(inputs: Inputs) -> Recorded:
    """The messages of the raw capture, else messages made from the simulated market."""
    path = _capture(inputs)
    if path is not None:
        inputs.said(f"reading {path.name}")
        return capture_messages(path, 20_000 if inputs.quick else 1 << 62)
    return market_messages(500 if inputs.quick else 5_000)


def live_decode(inputs: Inputs) -> list[Row]:
    """Messages to rows, and rows into the engine, without a socket. A raw capture is taken where --tape gives one."""
    recorded = _recorded(inputs)
    rows = []
    for words, question in (
        ("depth messages to rows", decode.depth_to_rows),
        ("JSON into the engine", decode.json_to_engine),
        ("binary rows into the engine", decode.binary_rows),
    ):
        inputs.said(words)
        rows += question(recorded, quick=inputs.quick)
    return rows


def live_wire(inputs: Inputs) -> list[Row]:
    """Tick to order over loopback against a bare echo, without a journal and with one; our sockets against picows."""
    from tercel.bench.live.echo import time_echo
    from tercel.bench.live.wire import tick_to_order
    from tercel.runtime.loop import run

    inputs.said("tick to order against a bare echo")
    rows = tick_to_order(quick=inputs.quick)
    inputs.said("echo over our sockets and over bare ones")
    timing = run(time_echo(4 if inputs.quick else 40))
    for name, ours, bare in (
        ("p50", timing.ours_p50_ns, timing.bare_p50_ns),
        ("p99", timing.ours_p99_ns, timing.bare_p99_ns),
    ):
        words = f"echo over tercel.net, {name}"
        rows.append(make_row(words, unit="us", ours=ours / 1e3, theirs=bare / 1e3, peer="bare picows"))
    return rows


def live_streams(inputs: Inputs) -> list[Row]:
    """Streams over loopback into the engine: a hundred times real speed, and twenty connections at once."""
    from tercel.bench.live.streams import hundredfold, many_connections

    path = _capture(inputs)
    inputs.said("a stream at a hundred times its speed")
    rows = hundredfold(str(path) if path else "", quick=inputs.quick)
    inputs.said("twenty connections")
    return rows + many_connections(quick=inputs.quick)


def live_orders(inputs: Inputs) -> list[Row]:
    """Orders to the local venue, each signed, answered and accounted for."""
    from tercel.bench.live.orders import submissions

    inputs.said("orders to the local venue")
    return submissions(quick=inputs.quick)


def live_recovery(inputs: Inputs) -> list[Row]:
    """What the journal costs, and recovering ten million rows."""
    from tercel.bench.live.durability import recovery
    from tercel.model.instrument import Instrument
    from tercel.sim.market import MarketModel, simulate_market

    inputs.said("a journal of ten million rows")
    instrument = Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
    market = simulate_market(MarketModel(), 1, duration_s=60)
    with tempfile.TemporaryDirectory(prefix="tercel-bench-") as scratch:
        n = 300_000 if inputs.quick else 10_000_000
        found = recovery(Path(scratch), instrument, market, n)
    return [
        make_row(f"recovery of a journal of {n:,} rows", unit="s", ours=found.took_s, reach=Reach(ours_max=3.0),
                 difference="" if found.is_same else "the recovered state is not what it was",
                 note=f"{found.n_commands:,} commands compared"),
        make_row("journaling a row in the engine's way", unit="ns per row", ours=found.append_ns),
    ]  # fmt: skip


def live_stages(inputs: Inputs) -> list[Row]:
    """Each stage from message to order against its target: ingestion, frames, features, signals, risk, batches."""
    from tercel.bench.live.batching import time_single_and_batch
    from tercel.bench.live.signals import generation
    from tercel.runtime.loop import run

    recorded = _recorded(inputs)
    inputs.said("stages from message to order")
    rows = [*pipeline.stages(recorded, quick=inputs.quick), *pipeline.frames(recorded, quick=inputs.quick)]
    inputs.said("signals of an actor")
    rows += generation(quick=inputs.quick)
    inputs.said("single requests and one batch")
    timing = run(time_single_and_batch(100))
    rows.append(
        make_row("S1-52 100 balances in one batch, against one by one", unit="ms", ours=timing.batch_ns / 1e6,
                 theirs=timing.single_ns / 1e6, peer="100 requests", reach=Reach(ratio_min=5))
    )  # fmt: skip
    return rows


#: Name -> question, in the order of the table.
LIVE_QUESTIONS = {
    # First: the wire is timed in a young process.
    "live_wire": live_wire,
    "live_decode": live_decode,
    "live_streams": live_streams,
    "live_orders": live_orders,
    "live_recovery": live_recovery,
    "live_stages": live_stages,
}
