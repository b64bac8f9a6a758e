"""The journal: what goes in comes out, in whatever steps; who may write; what a killed writer leaves."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from reference.journal_makers import header, orders, trades
from tercel.errors import ConfigError, InUseError, JournalError, StorageError, TapeVersionError
from tercel.model.events import TIMER
from tercel.model.rowbuffer import RowBuffer
from tercel.store.journal import Journal, Sync
from tercel.store.journal_format import is_note, next_run
from tercel.store.journal_read import open_journal, runs_of

NO_THREAD = Sync(every_ms=0)


@pytest.mark.parametrize("segment_bytes", [4096, 8192, 1 << 20])
@pytest.mark.parametrize("step", [1, 7, 62, 63, 64, 200])
def test_rows_come_back_as_they_went_in(tmp_path, step, segment_bytes):
    rows = trades(0, 1000)
    with Journal(tmp_path, header=header(), sync=NO_THREAD, segment_bytes=segment_bytes) as journal:
        for first in range(0, len(rows), step):
            part = rows[first : first + step]
            journal.append(part, len(part))
        assert journal.position == 1000
        assert open_journal(tmp_path).n_rows == 1000
    reader = open_journal(tmp_path)
    assert reader.rows().tobytes() == rows.tobytes()
    assert reader.rows(100, 321).tobytes() == rows[100:321].tobytes()
    assert (reader.n_rows, reader.is_closed, reader.damage) == (1000, True, ())


def test_an_address_is_read_anew_each_time(tmp_path):
    buffer = RowBuffer(100)
    written = []
    with Journal(tmp_path, header=header(), sync=NO_THREAD, segment_bytes=8192) as journal:
        for first in range(0, 3000, 100):
            n = 1 + first * 31 % 100
            buffer.rows[:] = trades(first, 100)
            journal.append(buffer.address, n)
            written.append(buffer.rows[:n].copy())
    assert open_journal(tmp_path).rows().tobytes() == np.concatenate(written).tobytes()


def test_commands_and_notes_stand_between_rows_in_order(tmp_path):
    with Journal(tmp_path, header=header(), sync=Sync(every_ms=0, on_order=True)) as journal:
        journal.note(-1, 5)
        journal.append(trades(0, 10), 10)
        journal.append_commands(orders(0, 3))
        assert journal.synced == 14
        journal.append(trades(10, 1), 1)
        journal.append_commands(orders(3, 6))
        journal.append_commands(orders(0, 0))
    reader = open_journal(tmp_path)
    assert reader.commands().tobytes() == orders(0, 9).tobytes()
    assert reader.commands(14).tobytes() == orders(3, 6).tobytes()
    rows = reader.rows()
    assert rows[1:].tobytes() == trades(0, 11).tobytes()
    assert (is_note(rows).sum(), int(rows[0]["arg0"]), int(rows[0]["ts_recv"]), int(rows[0]["kind"])) == (
        1,
        -1,
        5,
        TIMER,
    )


def test_an_empty_run_is_read(tmp_path):
    Journal(tmp_path, header=header(), sync=NO_THREAD).close()
    reader = open_journal(tmp_path)
    assert (reader.n_rows, len(reader.rows()), len(reader.commands()), reader.damage) == (0, 0, 0, ())
    assert msgspec.structs.replace(reader.header, boot="") == header()
    assert reader.is_same_boot == bool(reader.header.boot)


def test_the_last_two_snapshots_are_kept_and_the_newest_counts(tmp_path):
    with Journal(tmp_path, header=header(), sync=NO_THREAD, segment_bytes=4096) as journal:
        for k in range(5):
            journal.append(trades(100 * k, 100), 100)
            journal.snapshot(bytes([k]) * 5000, seq=100 * k + 100)
        journal.append(trades(500, 7), 7)
        with pytest.raises(JournalError, match="snapshot at row 600 of a journal with 507"):
            journal.snapshot(b"", seq=1, position=600)
    reader = open_journal(tmp_path)
    assert reader.snapshot is not None
    assert (reader.snapshot.position, reader.snapshot.seq, reader.snapshot.state) == (500, 500, b"\4" * 5000)
    assert reader.rows(reader.start).tobytes() == trades(500, 7).tobytes()
    assert len(list(tmp_path.glob("run-*/snapshot-*"))) == 2


def test_a_run_can_be_told_again_from_its_beginning(tmp_path):
    with Journal(tmp_path, header=header(), sync=NO_THREAD) as journal:
        journal.snapshot(b"began with this", seq=40)
        for k in range(4):
            journal.append(trades(100 * k, 100), 100)
            journal.snapshot(bytes([k]) * 50, seq=100 * k + 140)
    last, whole = open_journal(tmp_path), open_journal(tmp_path, is_whole=True)
    assert (last.start, whole.start) == (400, 0)
    assert whole.snapshot is not None
    assert (whole.snapshot.seq, whole.snapshot.state) == (40, b"began with this")
    assert whole.rows(0).tobytes() == trades(0, 400).tobytes()
    assert len(list(tmp_path.glob("run-*/snapshot-*"))) == 3


def test_a_run_that_began_with_nothing_is_told_from_nothing(tmp_path):
    with Journal(tmp_path, header=header(), sync=NO_THREAD) as journal:
        journal.append(trades(0, 100), 100)
        journal.snapshot(b"on the way", seq=100)
        journal.append(trades(100, 5), 5)
    whole = open_journal(tmp_path, is_whole=True)
    assert (whole.snapshot, whole.start, whole.n_rows) == (None, 0, 105)


def test_a_damaged_snapshot_gives_way_to_the_one_before(tmp_path):
    with Journal(tmp_path, header=header(), sync=NO_THREAD) as journal:
        for k in range(2):
            journal.append(trades(100 * k, 100), 100)
            journal.snapshot(bytes([k]) * 5000, seq=100 * k + 100)
    newest = max(tmp_path.glob("run-*/snapshot-*"))
    raw = bytearray(newest.read_bytes())
    raw[3000] ^= 4
    newest.write_bytes(raw)
    reader = open_journal(tmp_path)
    assert reader.snapshot is not None
    assert reader.snapshot.position == 100
    assert [d.segment for d in reader.damage] == [newest.name]
    assert "do not agree with its checksum" in reader.damage[0].lost


def test_one_writer_and_it_is_named(tmp_path):
    first = Journal(tmp_path, header=header(), sync=NO_THREAD)
    with pytest.raises(InUseError, match=f"process {os.getpid()}"):
        Journal(tmp_path, header=header(2), sync=NO_THREAD)
    first.close()
    Journal(tmp_path, header=header(2), sync=NO_THREAD).close()
    assert runs_of(tmp_path) == [1, 2]


def test_a_run_number_is_used_once(tmp_path):
    assert next_run(tmp_path) == 1
    Journal(tmp_path, header=header(41), sync=NO_THREAD).close()
    with pytest.raises(JournalError, match=r"run 41 .* was already written"):
        Journal(tmp_path, header=header(41), sync=NO_THREAD)
    assert next_run(tmp_path) == 42
    assert open_journal(tmp_path).next_run == 42
    # A directory without a header is a run that died as it began: its number is spent, its rows never were.
    (tmp_path / "run-0000000050").mkdir()
    assert next_run(tmp_path) == 51
    assert open_journal(tmp_path).run == 41
    assert next_run(tmp_path, 1_800_000_000_000_000_000) == 1_800_000_000 - 1_704_067_200


def test_wrong_requests_are_refused_by_name(tmp_path):
    with pytest.raises(JournalError, match="there is no journal"):
        open_journal(tmp_path / "none")
    with pytest.raises(JournalError, match="has no run to read: it has none yet"):
        open_journal(tmp_path)
    with pytest.raises(ConfigError, match="multiple of 4096"):
        Journal(tmp_path, header=header(), segment_bytes=5000)
    with pytest.raises(ConfigError, match="every_ms must be"):
        Sync(every_ms=-1)
    with Journal(tmp_path, header=header(), sync=NO_THREAD) as journal:
        with pytest.raises(JournalError, match="4 or more EVENT rows, found 3"):
            journal.append(trades(0, 3), 4)
        with pytest.raises(JournalError, match="EVENT rows, found 3 of"):
            journal.append(orders(0, 3))
        with pytest.raises(JournalError, match="by address takes a number"):
            journal.append(RowBuffer().address)
        with pytest.raises(JournalError, match="array of COMMAND rows"):
            journal.append_commands(trades(0, 3))
        assert journal.position == 0
    with pytest.raises(JournalError, match="is closed"):
        journal.append(trades(0, 3), 3)
    with pytest.raises(JournalError, match="has no run 7 to read: it has 1"):
        open_journal(tmp_path, 7)


def test_another_version_is_named(tmp_path):
    Journal(tmp_path, header=header(), sync=NO_THREAD).close()
    file = tmp_path / "run-0000000001" / "header.json"
    text = file.read_text()
    file.write_text(text.replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(TapeVersionError, match="format_version is 9, this tercel reads 1"):
        open_journal(tmp_path)
    file.write_text(text.replace('"run": 1', '"run": 2'))
    with pytest.raises(JournalError, match="is of run 2"):
        open_journal(tmp_path)
    file.write_text(text[:-20])
    with pytest.raises(JournalError, match=r"header\.json is damaged"):
        open_journal(tmp_path)


def test_a_disk_that_refuses_stops_commands_from_leaving(tmp_path, monkeypatch):
    with Journal(tmp_path, header=header(), sync=NO_THREAD, segment_bytes=4096) as journal:
        journal.append(trades(0, 60), 60)

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(StorageError, match="No space left"):
            journal.append(trades(60, 10), 10)
        with pytest.raises(StorageError, match="No space left"):
            journal.append_commands(orders(0, 1))
    monkeypatch.undo()
    reader = open_journal(tmp_path)
    assert reader.rows().tobytes() == trades(0, 63).tobytes()


def test_the_thread_syncs_by_itself(tmp_path):
    with Journal(tmp_path, header=header(), sync=Sync(every_ms=1), segment_bytes=1 << 14) as journal:
        n = 0
        while journal.synced < 2000:
            journal.append(trades(n, 10), 10)
            n += 10
    assert open_journal(tmp_path).rows().tobytes() == trades(0, n).tobytes()


KILLS = int(os.environ.get("TERCEL_JOURNAL_KILLS", "6"))


def test_a_killed_writer_loses_nothing_that_was_appended(tmp_path):
    """SIGKILL at random moments; each restart is a new run of the same journal."""
    rng = random.Random(20)
    maker = Path(__file__).parents[2] / "reference" / "journal_makers.py"
    for run in range(1, KILLS + 1):
        told = tmp_path / f"told-{run}"
        command = [sys.executable, str(maker), str(tmp_path / "journal"), str(run), str(told)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(maker.parents[1]), *sys.path])}
        writer = subprocess.Popen(command, env=environment)
        enough = rng.randrange(1, 60_000)
        try:
            while not told.exists() or int((told.read_bytes().split() or [b"0"])[0]) < enough:
                assert writer.poll() is None
        finally:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
        n, position = map(int, told.read_bytes().split())
        reader = open_journal(tmp_path / "journal", run)
        assert (reader.damage, reader.is_closed) == ((), False)
        assert reader.n_rows >= position
        rows = reader.rows()
        assert len(rows) >= n
        assert rows.tobytes() == trades(0, len(rows)).tobytes()
        assert (reader.commands()["id"] == 5 * np.arange(1, 1 + len(reader.commands())) + 1).all()
        if reader.snapshot is not None:
            assert reader.snapshot.position <= reader.n_rows
