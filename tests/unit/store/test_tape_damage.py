"""What a tape says when its bytes are not what was written: the Parquet file, and the mapped rows beside it."""

from __future__ import annotations

import os
import random
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from reference.damaged_bytes import mutate, quick_directory
from tercel.errors import TercelError
from tercel.model.events import EXCH, LEVEL, LOCAL, event_rows
from tercel.model.instrument import Instrument
from tercel.store import mapped
from tercel.store.tape import Tape
from tercel.store.writing import write_tape

#: More on demand: TERCEL_FUZZ=1000000.
MUTATIONS = int(os.environ.get("TERCEL_FUZZ", "600"))
N_ROWS = 40
GRID = Instrument(symbol="AAA", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), venue="x", base="A", quote="Q")


@pytest.fixture
def written(monkeypatch):
    """A small tape in memory, its bytes, its rows and where its cache is."""
    with quick_directory() as folder:
        monkeypatch.setenv("TERCEL_CACHE_DIR", str(folder / "cache"))
        rows = event_rows(N_ROWS)
        rows["ts_recv"] = 10**9 + np.arange(N_ROWS) * 1000
        rows["ts_exch"] = rows["ts_recv"] - 10
        rows["kind"], rows["side"], rows["flags"] = LEVEL, 1, EXCH | LOCAL
        rows["px"], rows["qty"] = 100 + np.arange(N_ROWS) % 7, 5
        path = folder / "a.tape"
        write_tape(path, rows, [GRID], source="me", notes=["made up"])
        yield path, path.read_bytes(), rows


def test_whatever_the_bytes_of_a_tape_are_only_documented_errors_are_raised(written):
    path, original, _ = written
    rng = random.Random(11)
    n_refused = n_read = 0
    footer = len(original) - int.from_bytes(original[-8:-4], "little") - 8
    for k in range(MUTATIONS):
        raw = bytearray(original)
        # The footer says what everything else is; half of the damage is done there.
        mutate(raw, rng, footer if k % 2 else 0)
        path.write_bytes(raw)
        try:
            tape = Tape.open(path)
            rows = tape.received()
        except TercelError:
            n_refused += 1
            continue
        n_read += 1
        assert len(rows) == tape.meta.n_rows
    assert n_refused > MUTATIONS // 10
    assert n_read > MUTATIONS // 50


def test_a_tape_that_claims_more_rows_than_memory_holds_is_refused(written):
    path, original, _ = written
    claim = b'"n_rows":40'
    assert original.count(claim) == 1
    for digits in (b"99", b"-1", b"4e"):
        path.write_bytes(original.replace(claim, b'"n_rows":' + digits))
        with pytest.raises(TercelError):
            Tape.open(path).received()


def test_a_damaged_cache_of_a_tape_is_built_again(written):
    """Whatever stands in the cache file: the rows are the tape's, or sampled blocks are whole and the size is."""
    path, _, expected = written
    tape = Tape.open(path)
    assert np.array_equal(tape.rows(), expected)
    cache: Path = mapped.cache_path(tape.meta.rows_sha256, ["depth"])
    whole = cache.read_bytes()
    rng = random.Random(12)
    n_rebuilt = 0
    for _ in range(MUTATIONS):
        raw = bytearray(whole)
        mutate(raw, rng)
        cache.write_bytes(raw)
        n_rebuilt += not mapped.is_whole(cache)
        assert np.array_equal(tape.rows(), expected)
    assert n_rebuilt > MUTATIONS // 2
