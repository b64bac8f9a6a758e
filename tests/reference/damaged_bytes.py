"""Damage for fuzzing: how much of it, one way to change bytes, and a directory where a million files cost little.

Tests that read damage carry the mark `fuzz`; a decoder each. In every run they read a fixed few hundred or thousand
inputs; `make fuzz MUTATIONS=1000000`, which sets TERCEL_FUZZ, makes it so many for each.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")


def n_inputs(fixed: int) -> int:
    """How many damaged inputs a test reads: `fixed`, or as many as were asked for."""
    return int(os.environ.get("TERCEL_FUZZ", fixed))


@contextmanager
def quick_directory() -> Iterator[Path]:
    """A directory in memory where the system has one, else an ordinary one; gone afterwards."""
    place = str(_MEMORY) if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="tercel-fuzz-", dir=place) as name:
        yield Path(name)


def mutate(raw: bytearray, rng: random.Random, start: int = 0) -> None:
    """Change bytes from `start` on, move a stretch, cut or grow."""
    for _ in range(rng.choice((1, 1, 2, 8))):
        what = rng.randrange(6)
        at = rng.randrange(start, len(raw)) if len(raw) > start else 0
        if what == 0 and raw:
            raw[at] ^= 1 << rng.randrange(8)
        elif what == 1 and raw:
            raw[at : at + 8] = rng.choice((bytes(8), b"\xff" * 8, rng.randbytes(8)))[: len(raw) - at]
        elif what == 2:
            del raw[at : at + rng.choice((1, 8, 64, len(raw)))]
        elif what == 3:
            raw[at:at] = rng.randbytes(rng.choice((1, 64)))
        elif what == 4 and raw:
            begin = rng.randrange(len(raw))
            raw[at : at + 64] = raw[begin : begin + 64]
        elif raw:
            # A digit for a digit: text stays text, and says something else.
            raw[at] = rng.choice(b'0123456789-"{}[],:') if 48 <= raw[at] <= 57 else rng.randrange(256)
