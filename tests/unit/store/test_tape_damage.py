"""What a tape says when its bytes are not what was written: the Parquet file, and the mapped rows beside it."""

from __future__ import annotations

import os
import random
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from reference.damaged_bytes import mutate, n_inputs, quick_directory
from tercel.errors import TercelError
from tercel.model.events import EXCH, LEVEL, LOCAL, event_rows
from tercel.model.instrument import Instrument
from tercel.store import mapped
from tercel.store.tape import Tape
from tercel.store.tape_sums import BLOCK_BYTES, add_sums
from tercel.store.writing import write_tape

MUTATIONS = n_inputs(600)
#: Tapes forged in this process in every run; on demand more, in processes of their own.
HERE = 600
#: A process that reads no tape in this time hangs.
PATIENCE_S = 60.0
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


@pytest.mark.fuzz
def test_whatever_the_bytes_of_a_tape_are_its_rows_are_given_or_it_is_refused(written):
    path, original, expected = written
    rng = random.Random(11)
    footer = len(original) - int.from_bytes(original[-8:-4], "little") - 8
    n_refused = n_nameless = 0
    for k in range(MUTATIONS):
        raw = bytearray(original)
        mutate(raw, rng, footer if k % 2 else 0)
        path.write_bytes(raw)
        try:
            rows = Tape.open(path).received()
        except TercelError as error:
            n_refused += 1
            n_nameless += str(path) not in str(error)
            continue
        assert raw == original or np.array_equal(rows, expected), f"input {k} gives other rows"
    assert n_refused > MUTATIONS * 0.9
    assert n_nameless == 0


# --- tapes with false checksums -------------------------------------------------------------------------------------


def forge(original: bytes, k: int) -> bytes:
    """Tape `k` of those whose bytes are damaged and whose checksums agree with them: no accident, but malice."""
    rng = random.Random(k)
    n_footer = int.from_bytes(original[-8:-4], "little")
    footer = bytearray(original[-8 - n_footer : -8])
    data = bytearray(original[: -8 - n_footer - BLOCK_BYTES])
    # The footer says what everything else is; half of the damage is done there.
    mutate(footer if k % 2 else data, rng)
    return bytes(data) + bytes(footer) + len(footer).to_bytes(4, "little") + b"PAR1"


def read_forged(path: Path, original: bytes, numbers: range) -> Iterator[tuple[int, bool]]:
    """Read forged tapes one by one; each one's number before it is read, then whether it was read."""
    for k in numbers:
        yield k, False
        path.write_bytes(forge(original, k))
        try:
            add_sums(path)
            tape = Tape.open(path)
            rows = tape.received()
        except TercelError:
            continue
        except AssertionError:
            # No footer is left to add checksums to.
            continue
        assert len(rows) == tape.meta.n_rows
        yield k, True


@pytest.mark.fuzz
def test_a_forged_tape_is_read_or_refused(written):
    path, original, _ = written
    n_read = sum(was_read for _, was_read in read_forged(path, original, range(HERE)))
    assert HERE // 50 < n_read < HERE * 0.9


class Reader:
    """A process that reads forged tapes from number `first` on, and leaves the number it is at where we see it."""

    def __init__(self, first: int, end: int, at: Path) -> None:
        self.at = at
        at.write_bytes(struct.pack("<qq", first, 0))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with at.with_suffix(".errors").open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(first), str(end), str(at)], env=environment, stderr=errors
            )

    def look(self) -> tuple[int, int]:
        """The number it is at, and how many it has read."""
        found: tuple[int, int] = struct.unpack("<qq", self.at.read_bytes())
        return found

    def wait(self) -> int | None:
        """How it ended; None for a process that hangs, and is ended here."""
        seen = self.look()
        while True:
            try:
                return self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                if self.look() == seen:
                    self.process.kill()
                    self.process.wait()
                    return None
                seen = self.look()

    def last_words(self) -> str:
        """The end of what it wrote about errors; the Parquet reader says much there."""
        return self.at.with_suffix(".errors").read_bytes()[-2_000:].decode(errors="replace")


@pytest.mark.fuzz
@pytest.mark.skipif(MUTATIONS <= HERE, reason="more forged tapes on demand: make fuzz MUTATIONS=1000000")
def test_many_forged_tapes_are_read_or_refused_or_end_their_process(tmp_path):
    """Some make the Parquet reader ask for more memory than there is, which no error of ours can stand for."""
    first, n_read, ended = HERE, 0, []
    while first < MUTATIONS:
        reader = Reader(first, MUTATIONS, tmp_path / "at")
        code = reader.wait()
        at, n = reader.look()
        n_read += n
        assert code in (0, -signal.SIGABRT), f"tape {at}: {'hangs' if code is None else code}: {reader.last_words()}"
        if code:
            ended.append(at)
        first = at + 1
    print(f"{MUTATIONS} forged tapes, {n_read} read, {len(ended)} ended their process: {ended[:100]}")
    assert len(ended) <= max(1, MUTATIONS // 1000)


def test_a_tape_that_claims_more_rows_than_memory_holds_is_refused(written):
    path, original, _ = written
    claim = b'"n_rows":40'
    assert original.count(claim) == 1
    n_footer = int.from_bytes(original[-8:-4], "little")
    bare = original[: -8 - n_footer - BLOCK_BYTES] + original[-8 - n_footer :]
    for digits in (b"99", b"-1", b"4e"):
        path.write_bytes(bare.replace(claim, b'"n_rows":' + digits))
        add_sums(path)
        with pytest.raises(TercelError):
            Tape.open(path).received()


@pytest.mark.fuzz
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


def main() -> None:
    """The process of a `Reader`."""
    first, end, at = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    n_read = 0
    with tape_in_memory() as (path, original, _), at.open("r+b", buffering=0) as place:
        for k, was_read in read_forged(path, original, range(first, end)):
            n_read += was_read
            place.seek(0)
            place.write(struct.pack("<qq", k, n_read))


if __name__ == "__main__":
    main()
