"""What a journal says when its bytes are not what was written: loss of power, torn pages, flipped bits, lost files."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from reference.damaged_bytes import n_inputs, quick_directory
from reference.journal_makers import header, orders, trades
from tercel.errors import JournalError, TercelError
from tercel.store import journal_segment
from tercel.store.journal import Journal, Sync
from tercel.store.journal_read import open_journal

NO_THREAD = Sync(every_ms=0)
ROW, BLOCK, PER_BLOCK = 64, 4096, 63


def written(path: Path, n: int, segment_bytes: int = 1 << 14, synced: int = 0) -> Path:
    """A run of `n` rows that its process left without closing; synced up to row `synced`. Its directory."""
    journal = Journal(path, header=header(), sync=NO_THREAD, segment_bytes=segment_bytes)
    if synced:
        journal.append(trades(0, synced))
        journal.sync()
    journal.append(trades(synced, n - synced))
    journal._lock.release()
    return path / "run-0000000001"


def flip(file: Path, at: int, bit: int = 3) -> None:
    with file.open("r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))


def test_a_flipped_bit_in_the_last_block_is_a_torn_tail(tmp_path):
    run = written(tmp_path, 100)
    flip(run / "segment-00000000.rows", BLOCK + 5 * ROW + 3)
    reader = open_journal(tmp_path)
    assert reader.n_rows == 63
    (damage,) = reader.damage
    assert (damage.torn, damage.segment, damage.offset, damage.position) == (True, "segment-00000000.rows", BLOCK, 63)
    assert damage.lost == "a block's rows do not agree with its checksum: rows of its last block, not yet synced"
    assert reader.rows().tobytes() == trades(0, 63).tobytes()


def test_a_torn_block_keeps_what_was_synced_of_it(tmp_path):
    run = written(tmp_path, 100, synced=80)
    flip(run / "segment-00000000.rows", BLOCK + 30 * ROW)
    reader = open_journal(tmp_path)
    assert reader.n_rows == 80
    assert reader.damage[0].torn
    assert reader.rows().tobytes() == trades(0, 80).tobytes()


def test_a_process_that_died_as_it_began_a_block_lost_nothing(tmp_path):
    run = written(tmp_path, 64)
    with (run / "segment-00000000.rows").open("r+b") as file:
        file.seek(BLOCK)
        file.write(bytes(16))
        file.seek(BLOCK + ROW)
        file.write(bytes(ROW))
    reader = open_journal(tmp_path)
    assert (reader.n_rows, reader.damage) == (63, ())


def test_corruption_of_what_was_safe_is_refused_by_segment_and_byte(tmp_path):
    run = written(tmp_path, 1000, synced=900)
    flip(run / "segment-00000001.rows", 2 * BLOCK + 700)
    with pytest.raises(JournalError) as found:
        open_journal(tmp_path)
    assert "run 1 of journal" in str(found.value)
    assert "is damaged in segment-00000001.rows at byte 8192, row 378" in str(found.value)
    reader = open_journal(tmp_path, allow_damage=True)
    assert reader.n_rows == 6 * PER_BLOCK == 378
    assert not reader.damage[0].torn
    assert reader.rows().tobytes() == trades(0, 378).tobytes()


def test_rows_not_yet_synced_may_be_lost_out_of_order(tmp_path):
    """The system writes pages in any order: a hole among rows that no sync vouched for is a torn tail, and is told."""
    run = written(tmp_path, 1000, synced=300)
    file = run / "segment-00000001.rows"
    with file.open("r+b") as f:
        f.seek(3 * BLOCK)
        f.write(bytes(BLOCK))
    reader = open_journal(tmp_path)
    assert reader.n_rows == 7 * PER_BLOCK
    assert reader.damage[0].torn
    assert "not yet synced, 8 blocks after them among them" in reader.damage[0].lost


@pytest.mark.parametrize("cut", [0, 100, BLOCK, BLOCK + 700])
def test_a_file_cut_short_after_a_clean_end_is_refused(tmp_path, cut):
    with Journal(tmp_path, header=header(), sync=NO_THREAD) as journal:
        journal.append(trades(0, 200))
    file = tmp_path / "run-0000000001" / "segment-00000000.rows"
    os.truncate(file, cut)
    with pytest.raises(JournalError, match=r"rows are missing: .* rows or more that were on the disk"):
        open_journal(tmp_path)
    reader = open_journal(tmp_path, allow_damage=True)
    assert reader.rows().tobytes() == trades(0, cut // BLOCK * PER_BLOCK).tobytes()


def test_a_segment_that_is_gone_is_refused(tmp_path):
    run = written(tmp_path, 1000)
    (run / "segment-00000001.rows").unlink()
    with pytest.raises(JournalError, match=r"segment 1 \(missing\) at byte 0, row 252: a segment is missing before 2"):
        open_journal(tmp_path)


def test_damage_before_the_last_snapshot_does_no_harm(tmp_path):
    journal = Journal(tmp_path, header=header(), sync=NO_THREAD, segment_bytes=1 << 14)
    journal.append(trades(0, 700))
    journal.snapshot(b"state", seq=700)
    journal.append(trades(700, 50))
    journal._lock.release()
    flip(tmp_path / "run-0000000001" / "segment-00000000.rows", 3 * BLOCK + 99)
    reader = open_journal(tmp_path)
    assert (reader.start, reader.n_rows, reader.damage) == (700, 750, ())
    assert reader.rows(700).tobytes() == trades(700, 50).tobytes()


def test_rows_of_another_run_are_not_taken_for_its_own(tmp_path):
    run = written(tmp_path, 500)
    other = Journal(tmp_path, header=header(2), sync=NO_THREAD, segment_bytes=1 << 14)
    other.append(trades(5000, 500))
    other._lock.release()
    shutil.copy(other.directory / "segment-00000001.rows", run / "segment-00000001.rows")
    reader = open_journal(tmp_path, 1)
    assert reader.rows().tobytes() == trades(0, 4 * PER_BLOCK).tobytes()
    assert "a block's head is damaged" in reader.damage[0].lost


# --- loss of power --------------------------------------------------------------------------------------------------


class Disk:
    """Stands in for msync: what it was asked to sync is copied, so that the rest can be thrown away in pieces."""

    def __init__(self, real: object) -> None:
        self.real = real
        self.synced: dict[tuple[Path, int], bytes] = {}
        self.segment: journal_segment.Segment | None = None

    def msync(self, address: int, n_bytes: int, how: int) -> int:
        for at in range(address, address + n_bytes, BLOCK):
            assert self.segment is not None
            self.synced[self.segment.path, at - self.segment.address] = ctypes.string_at(at, BLOCK)
        return int(self.real.msync(address, n_bytes, how))  # type: ignore[attr-defined]

    def madvise(self, *arguments: int) -> int:
        return int(self.real.madvise(*arguments))  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(40))
def test_a_loss_of_power_loses_nothing_that_was_synced(tmp_path, monkeypatch, seed):
    """Of what was written since the last sync any 512-byte sectors reach the disk, in any order, and others do not."""
    rng = random.Random(seed)
    disk = Disk(journal_segment._libc)
    monkeypatch.setattr(journal_segment, "_libc", disk)
    sync = journal_segment.Segment.sync

    def remember_which(segment: journal_segment.Segment, end: int) -> None:
        disk.segment = segment
        sync(segment, end)

    monkeypatch.setattr(journal_segment.Segment, "sync", remember_which)
    journal = Journal(tmp_path, header=header(), sync=Sync(every_ms=0, on_order=seed % 2 == 0), segment_bytes=1 << 14)
    n = n_commands = 0
    for _ in range(rng.randrange(5, 60)):
        k = rng.choice((1, 2, 30, 63, 64, 200))
        journal.append(trades(n, k))
        n += k
        if rng.random() < 0.3:
            journal.append_commands(orders(n_commands, 1))
            n_commands += 1
        if rng.random() < 0.2:
            journal.sync()
    synced = journal.synced
    assert synced > 0 or n_commands == 0 or not journal._sync.on_order
    journal._lock.release()
    for path in sorted(tmp_path.glob("run-*/segment-*")):
        raw = bytearray(path.read_bytes())
        for at in range(0, len(raw), 512):
            page = disk.synced.get((path, at // BLOCK * BLOCK), bytes(BLOCK))
            if rng.random() < 0.5:
                raw[at : at + 512] = page[at % BLOCK : at % BLOCK + 512]
        path.write_bytes(raw)
    reader = open_journal(tmp_path)
    assert reader.n_rows >= synced
    assert all(damage.torn for damage in reader.damage)
    rows, commands = reader.rows(), reader.commands()
    assert rows.tobytes() == trades(0, len(rows)).tobytes()
    assert commands.tobytes() == orders(0, len(commands)).tobytes()
    if journal._sync.on_order:
        assert len(commands) == n_commands


# --- anything at all ------------------------------------------------------------------------------------------------

MUTATIONS = n_inputs(300)


def mutate(raw: bytearray, rng: random.Random) -> None:
    """Change bytes, move a stretch, cut or grow."""
    for _ in range(rng.choice((1, 1, 2, 8))):
        what = rng.randrange(6)
        at = rng.randrange(len(raw)) if raw else 0
        if what == 0 and raw:
            raw[at] ^= 1 << rng.randrange(8)
        elif what == 1 and raw:
            raw[at : at + 8] = rng.choice((bytes(8), b"\xff" * 8, rng.randbytes(8)))[: len(raw) - at]
        elif what == 2:
            del raw[at : at + rng.choice((1, 64, 4096, len(raw)))]
        elif what == 3:
            raw[at:at] = rng.randbytes(rng.choice((1, 64)))
        elif what == 4 and raw:
            start = rng.randrange(len(raw))
            raw[at : at + 4096] = raw[start : start + 4096]
        elif raw:
            # A head, where numbers matter most.
            at = at // BLOCK * BLOCK + rng.randrange(64)
            if at < len(raw):
                raw[at] = rng.randrange(256)


@pytest.mark.fuzz
def test_whatever_the_bytes_are_only_documented_errors_are_raised():
    """The rows that are given are always a prefix of what was written."""
    with quick_directory() as folder:
        check_damage(folder / "journal")


def check_damage(path: Path) -> None:
    journal = Journal(path, header=header(), sync=NO_THREAD, segment_bytes=1 << 13)
    for k in range(3):
        journal.append(trades(100 * k, 100))
        journal.append_commands(orders(2 * k, 2))
        journal.sync()
        if k < 2:
            journal.snapshot(b"some state" * 20, seq=100 * k)
    journal.close()
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != "lock")
    originals = {file: file.read_bytes() for file in files}
    expected, sent = trades(0, 300), orders(0, 6)
    rng = random.Random(7)
    n_refused = n_read = 0
    for _ in range(MUTATIONS):
        file = rng.choice(files)
        raw = bytearray(originals[file])
        mutate(raw, rng)
        file.write_bytes(raw)
        for allow in (False, True):
            try:
                reader = open_journal(path, allow_damage=allow)
                rows, commands = reader.rows(reader.start), reader.commands(reader.start)
            except TercelError:
                n_refused += 1
                continue
            n_read += 1
            before = reader.start - 2 * (reader.start // 100)
            assert rows.tobytes() == expected[before : before + len(rows)].tobytes()
            skipped = reader.start // 100 * 2
            assert commands.tobytes() == sent[skipped : skipped + len(commands)].tobytes()
            break
        file.write_bytes(originals[file])
    assert n_refused > MUTATIONS // 20
    assert n_read > MUTATIONS // 20
    assert np.array_equal(open_journal(path).rows(), expected)
