"""What a tape says when its bytes are not what was written: the Parquet file, and the mapped rows beside it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
#: So many in this process, in every run; more in processes of their own. Some damage, one in some thousands, makes the
#: Parquet reader ask for more memory than there is, and that ends the process: no error of ours can be raised.
HERE, BATCH = 600, 1_000
N_ROWS = 40
GRID = Instrument(symbol="AAA", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), venue="x", base="A", quote="Q")


@contextmanager
def tape_in_memory() -> Iterator[tuple[Path, bytes, np.ndarray]]:
    """A small tape in memory, its bytes and its rows."""
    with quick_directory() as folder:
        rows = event_rows(N_ROWS)
        rows["ts_recv"] = 10**9 + np.arange(N_ROWS) * 1000
        rows["ts_exch"] = rows["ts_recv"] - 10
        rows["kind"], rows["side"], rows["flags"] = LEVEL, 1, EXCH | LOCAL
        rows["px"], rows["qty"] = 100 + np.arange(N_ROWS) % 7, 5
        path = folder / "a.tape"
        write_tape(path, rows, [GRID], source="me", notes=["made up"])
        yield path, path.read_bytes(), rows


@pytest.fixture
def written(monkeypatch):
    with tape_in_memory() as made:
        monkeypatch.setenv("TERCEL_CACHE_DIR", str(made[0].parent / "cache"))
        yield made


def damage(path: Path, original: bytes, n: int, seed: int) -> tuple[int, int]:
    """Read `n` damaged tapes; how many were refused, and how many were read."""
    rng = random.Random(seed)
    n_refused = n_read = 0
    footer = len(original) - int.from_bytes(original[-8:-4], "little") - 8
    for k in range(n):
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
    return n_refused, n_read


def test_whatever_the_bytes_of_a_tape_are_only_documented_errors_are_raised(written):
    path, original, _ = written
    n_refused, n_read = damage(path, original, HERE, 11)
    assert n_refused > HERE // 10
    assert n_read > HERE // 50


@pytest.mark.skipif(MUTATIONS <= HERE, reason="more damaged tapes on demand: TERCEL_FUZZ=100000")
def test_many_damaged_tapes_raise_documented_errors_or_end_their_process():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    n_ended = 0
    n_batches = -(-MUTATIONS // BATCH)
    for seed in range(n_batches):
        done = subprocess.run([sys.executable, __file__, str(seed)], env=environment, capture_output=True, check=False)
        n_ended += done.returncode == -signal.SIGABRT
        assert done.returncode in (0, -signal.SIGABRT), done.stderr.decode()[-2000:]
    print(f"{n_batches} processes of {BATCH} damaged tapes each, {n_ended} of them ended for want of memory")
    assert n_ended <= max(1, n_batches // 2)


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


if __name__ == "__main__":
    with tape_in_memory() as (a_path, an_original, _):
        damage(a_path, an_original, BATCH, 1_000 + int(sys.argv[1]))
