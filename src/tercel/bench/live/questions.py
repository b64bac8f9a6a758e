"""The live questions by name: what `tercel bench live` asks. Called by `bench.run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tercel.bench.live import decode, pipeline
from tercel.bench.live.messages import Recorded, capture_messages, market_messages
from tercel.bench.table import Row

if TYPE_CHECKING:
    from tercel.bench.run import Inputs

__all__ = ["live_decode", "live_stages"]


def _recorded(inputs: Inputs) -> Recorded:
    """The raw capture given as tape, else messages made from the simulated market."""
    if inputs.tape is not None and inputs.tape.suffix != ".tape":
        inputs.said(f"reading {inputs.tape.name}")
        return capture_messages(inputs.tape, 20_000 if inputs.quick else 1 << 62)
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


def live_stages(inputs: Inputs) -> list[Row]:
    """Each stage from message to order against its target: ingestion, frames, features, risk."""
    recorded = _recorded(inputs)
    inputs.said("stages from message to order")
    return [*pipeline.stages(recorded, quick=inputs.quick), *pipeline.frames(recorded, quick=inputs.quick)]
