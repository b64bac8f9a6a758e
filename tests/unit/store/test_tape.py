"""Tapes on disk: what goes in comes out, the mapped cache heals itself, and a refusing disk leaves nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from tercel.errors import ConfigError, DataError, StorageError, TapeVersionError
from tercel.model.events import EXCH, LEVEL, LOCAL, QUOTE, TIMER, TRADE, event_rows
from tercel.model.instrument import Instrument
from tercel.store.schedule import schedule
from tercel.store.tape import EVENT_VERSION_KEY, META_KEY, VERSION_KEY, Tape
from tercel.store.tape_sums import BLOCK_BYTES, add_sums
from tercel.store.writing import GROUP_ROWS, write_tape

INSTRUMENTS = [
    Instrument(symbol="AAA", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), venue="x", base="A", quote="Q"),
    Instrument(
        symbol="BBB", tick_size=Decimal("0.01"), lot_size=Decimal(1), kind="inverse", contract_value=Decimal(100)
    ),
]


def make_rows(n: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = event_rows(n)
    rows["ts_recv"] = np.sort(rng.integers(10**9, 10**12, n))
    rows["ts_exch"] = rows["ts_recv"] - rng.integers(0, 10**7, n)
    rows["px"] = rng.integers(1, 1000, n)
    rows["qty"] = rng.integers(0, 1 << 62, n)
    rows["arg0"] = rng.integers(-(1 << 62), 1 << 62, n)
    rows["kind"] = rng.choice([LEVEL, LEVEL, TRADE, QUOTE], n)
    rows["side"] = rng.choice([1, -1], n)
    rows["instrument"] = rng.integers(0, 2, n)
    rows["flags"] = EXCH | LOCAL
    return rows


def test_rows_and_metadata_survive(tmp_path: Path) -> None:
    rows = make_rows(1000)
    written = write_tape(tmp_path / "a.tape", rows, INSTRUMENTS, source="me", notes=["made up"])
    tape = Tape.open(tmp_path / "a.tape")
    assert tape.meta == written.meta
    assert np.array_equal(tape.received(), rows)
    assert np.array_equal(tape.received(10, 5), rows[10:15])
    assert tape.instruments == INSTRUMENTS
    assert (len(tape), tape.meta.source, tape.meta.format, tape.meta.notes) == (1000, "me", "rows", ["made up"])
    assert (tape.meta.start_ns, tape.meta.end_ns) == (int(rows["ts_recv"][0]), int(rows["ts_recv"][-1]))
    n_quotes = int(np.count_nonzero(rows["kind"] == QUOTE))
    n_trades = int(np.count_nonzero(rows["kind"] == TRADE))
    assert tape.meta.channels == {"depth": 1000 - n_quotes - n_trades, "trades": n_trades, "quotes": n_quotes}
    assert repr(tape) == "<Tape a.tape: AAA, BBB, 1,000 rows>"
    assert tape.summary()["instruments"][1]["symbol"] == "BBB"


def test_scheduled_rows_without_quotes_by_default(tmp_path: Path) -> None:
    rows = make_rows(1000)
    tape = write_tape(tmp_path / "a.tape", rows, INSTRUMENTS)
    expected = schedule(rows[rows["kind"] != QUOTE])
    assert np.array_equal(tape.rows(), expected)
    assert np.array_equal(
        tape.rows(channels=["quotes", "trades"]), schedule(rows[np.isin(rows["kind"], [QUOTE, TRADE])])
    )
    assert np.array_equal(tape.rows(channels=["depth", "trades", "quotes"]), schedule(rows))
    assert np.array_equal(np.concatenate(list(tape.batches(7))), expected)
    assert max(len(batch) for batch in tape.batches(7)) == 7
    assert sum(tape.counts()) == len(expected)
    with pytest.raises(ConfigError, match=r"no channel 'bars'; it has depth, quotes, trades"):
        tape.rows(channels=["bars"])


def test_quotes_alone_are_replayed(tmp_path: Path) -> None:
    rows = make_rows(100)
    rows["kind"] = QUOTE
    assert len(write_tape(tmp_path / "a.tape", rows, INSTRUMENTS).rows(["quotes"])) >= 100
    rows["kind"] = TIMER
    tape = write_tape(tmp_path / "b.tape", rows, INSTRUMENTS)
    assert tape.meta.channels == {"other": 100}
    assert len(tape.rows()) >= 100


def test_many_row_groups_schedule_like_one(tmp_path: Path) -> None:
    rows = make_rows(2 * GROUP_ROWS + 100)
    tape = write_tape(tmp_path / "a.tape", (rows[i : i + 50_001] for i in range(0, len(rows), 50_001)), INSTRUMENTS)
    assert len(tape.meta.group_exch_min) == 3
    seen: list[tuple[int, int]] = []
    found = tape.rows(channels=["depth", "quotes", "trades"], progress=lambda done, total: seen.append((done, total)))
    assert np.array_equal(found, schedule(rows))
    assert seen == [(GROUP_ROWS, len(rows)), (2 * GROUP_ROWS, len(rows)), (len(rows), len(rows))]


def test_empty_tape(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "a.tape", event_rows(0), INSTRUMENTS)
    assert len(Tape.open(tape.path)) == 0
    assert len(tape.rows()) == 0
    assert list(tape.batches()) == []


def test_the_cache_is_used_and_rebuilt_when_damaged(tmp_path: Path, own_cache: Path) -> None:
    tape = write_tape(tmp_path / "a.tape", make_rows(1000), INSTRUMENTS)
    expected = np.array(tape.rows())
    (file,) = (own_cache / "tapes").iterdir()
    first = file.stat().st_mtime_ns
    assert np.array_equal(tape.rows(), expected)
    assert file.stat().st_mtime_ns == first
    whole = file.read_bytes()
    for damaged in (
        whole[:-64],
        whole[:100],
        b"",
        whole[:-64] + bytes(64),
        bytes(4096) + whole[4096:],
        whole + bytes(64),
    ):
        file.write_bytes(damaged)
        assert np.array_equal(tape.rows(), expected)
        assert file.read_bytes() == whole
    assert len(list((own_cache / "tapes").iterdir())) == 1


def test_the_mapped_rows_cannot_be_written(tmp_path: Path) -> None:
    rows = write_tape(tmp_path / "a.tape", make_rows(100), INSTRUMENTS).rows()
    with pytest.raises(ValueError, match="read-only"):
        rows["px"][0] = 1


@pytest.mark.parametrize("key", [VERSION_KEY, EVENT_VERSION_KEY])
def test_another_version_is_refused_by_name(tmp_path: Path, key: str) -> None:
    keys = {VERSION_KEY: "2", EVENT_VERSION_KEY: "1", META_KEY: "{}"} | {key: "99"}
    pl.DataFrame({"px": [1]}).write_parquet(tmp_path / "a.tape", metadata=keys)
    add_sums(tmp_path / "a.tape")
    with pytest.raises(TapeVersionError, match=r"a\.tape has .* version 99, this tercel reads version [12]: import"):
        Tape.open(tmp_path / "a.tape")


@pytest.mark.parametrize("version", ["1", "99"])
def test_a_version_without_checksums_is_refused_by_name(tmp_path: Path, version: str) -> None:
    keys = {VERSION_KEY: version, EVENT_VERSION_KEY: "1", META_KEY: "{}"}
    pl.DataFrame({"px": [1]}).write_parquet(tmp_path / "a.tape", metadata=keys)
    with pytest.raises(TapeVersionError, match=f"a.tape has tape version {version}, this tercel reads version 2"):
        Tape.open(tmp_path / "a.tape")


def test_a_tape_that_another_program_wrote_anew_is_refused(tmp_path: Path) -> None:
    path = write_tape(tmp_path / "a.tape", make_rows(100), INSTRUMENTS).path
    found = {key: text for key, text in pl.read_parquet_metadata(path).items() if key.startswith("tercel")}
    pl.read_parquet(path).write_parquet(path, metadata=found)
    with pytest.raises(DataError, match="its checksums are gone"):
        Tape.open(path)


def test_files_that_are_no_tape(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    with pytest.raises(DataError, match=r"no tape at .*a\.tape"):
        Tape.open(path)
    path.write_bytes(b"hello")
    with pytest.raises(DataError, match=r"a\.tape is no tape"):
        Tape.open(path)
    pl.DataFrame({"px": [1]}).write_parquet(path)
    with pytest.raises(DataError, match=r"is a Parquet file but no tape"):
        Tape.open(path)
    pl.DataFrame({"px": [1]}).write_parquet(path, metadata={VERSION_KEY: "2", EVENT_VERSION_KEY: "1", META_KEY: "{"})
    add_sums(path)
    with pytest.raises(DataError, match="metadata is damaged"):
        Tape.open(path)


def test_a_damaged_tape_is_named(tmp_path: Path, own_cache: Path) -> None:
    tape = write_tape(tmp_path / "a.tape", make_rows(5000), INSTRUMENTS)
    whole = tape.path.read_bytes()
    tape.path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a\.tape is no tape"):
        Tape.open(tape.path)
    tape.path.write_bytes(bytes(len(whole) // 2) + whole[len(whole) // 2 :])
    with pytest.raises(DataError, match=r"a\.tape is damaged: its rows do not agree with their checksum"):
        Tape.open(tape.path).rows()
    assert list((own_cache / "tapes").iterdir()) == []


def test_what_the_parquet_reader_refuses_is_a_data_error_too(tmp_path: Path, own_cache: Path) -> None:
    """Bytes that agree with their checksums and are no rows all the same."""
    path = tmp_path / "a.tape"
    whole = write_tape(path, make_rows(5000), INSTRUMENTS).path.read_bytes()
    n_footer = int.from_bytes(whole[-8:-4], "little")
    data = whole[: -8 - n_footer - BLOCK_BYTES]
    path.write_bytes(bytes(len(data)) + whole[-8 - n_footer :])
    add_sums(path)
    with pytest.raises(DataError, match=r"a\.tape is damaged near row 0"):
        Tape.open(path).rows()
    assert list((own_cache / "tapes").iterdir()) == []


def test_a_tape_is_a_file_that_any_parquet_reader_reads(tmp_path: Path) -> None:
    rows = make_rows(5000)
    path = write_tape(tmp_path / "a.tape", rows, INSTRUMENTS).path
    frame = pl.read_parquet(path)
    assert frame["px"].to_list() == rows["px"].tolist()


def test_rows_out_of_order_or_of_no_instrument(tmp_path: Path) -> None:
    rows = make_rows(10)
    with pytest.raises(DataError, match="not in order of ts_recv"):
        write_tape(tmp_path / "a.tape", rows[::-1], INSTRUMENTS)
    with pytest.raises(DataError, match="not in order of ts_recv"):
        write_tape(tmp_path / "a.tape", [rows[5:], rows[:5]], INSTRUMENTS)
    rows["instrument"][3] = 2
    with pytest.raises(DataError, match="outside the 2 given"):
        write_tape(tmp_path / "a.tape", rows, INSTRUMENTS)
    assert list(tmp_path.iterdir()) == []


def test_same_rows_make_the_same_file(tmp_path: Path) -> None:
    first = write_tape(tmp_path / "a.tape", make_rows(1000), INSTRUMENTS)
    second = write_tape(tmp_path / "b.tape", make_rows(1000), INSTRUMENTS)
    assert first.meta.rows_sha256 == second.meta.rows_sha256
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="make the directory of"):
        write_tape(tmp_path / "file" / "a.tape", make_rows(10), INSTRUMENTS)


FULL_DISK = """
    import resource, sys
    from decimal import Decimal
    from pathlib import Path
    import numpy as np
    from tercel.errors import StorageError
    from tercel.model.events import TRADE, event_rows
    from tercel.model.instrument import Instrument
    from tercel.store.tape import TapeMeta
    from tercel.store.writing import finish_tape, spooling, write_tape

    where, directory = sys.argv[1], Path(sys.argv[2])
    rows = event_rows(20_000)
    for name in ("ts_exch", "px", "qty", "id", "arg0", "arg1"):
        rows[name] = np.random.default_rng(1).integers(1, 1 << 60, 20_000)
    rows["kind"] = TRADE
    instruments = [Instrument(symbol="A", tick_size=Decimal(1), lot_size=Decimal(1))]
    full = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    if where == "cache":
        tape = write_tape(directory / "a.tape", rows, instruments)
    try:
        if where == "spool":
            full()
            write_tape(directory / "a.tape", rows, instruments)
        elif where == "parquet":
            with spooling(directory / "a.tape") as spool:
                spool.append(rows)
                list(spool.blocks())
                full()
                finish_tape(spool, TapeMeta(instruments=instruments))
        else:
            full()
            tape.rows()
    except StorageError as error:
        print(error)
    else:
        print("no error")
"""


@pytest.mark.parametrize("where", ["spool", "parquet", "cache"])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, own_cache: Path, where: str) -> None:
    """The operating system itself refuses writes past a size, as a full disk does."""
    target = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL_DISK), where, str(target)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot" in done.stdout
    assert "nothing half-written" in done.stdout
    left = [entry.name for entry in target.iterdir()]
    assert left == (["a.tape"] if where == "cache" else [])
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


def test_metadata_is_plain_json(tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "a.tape", make_rows(10), INSTRUMENTS)
    again = msgspec.json.decode(msgspec.json.encode(tape.summary()))
    assert again["instruments"][0]["tick_size"] == "0.1"
    assert again["n_rows"] == 10
