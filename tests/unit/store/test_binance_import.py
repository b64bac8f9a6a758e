"""Import of small captures made here: what rows come out, and every kind of bad input."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercel.errors import ConfigError, DataError, GapError, TercelError, UnitError
from tercel.model.events import BUY, CLEAR, EXCH, LAST, LEVEL, LOCAL, QUOTE, SELL, SNAPSHOT, TRADE
from tercel.store.imports import import_capture
from tercel.store.tape import Gap, Tape

Capture = Callable[..., Path]
BOTH = EXCH | LOCAL


def run(path: Path, **options: Any) -> Tape:
    options = {"tick": "0.1", "lot": "0.001"} | options
    return import_capture(path, path.parent / "out.tape", **options)


def refused(error: type[TercelError], path: Path, *words: str, **options: Any) -> None:
    """The import fails with one clear message and leaves nothing behind."""
    before = sorted(entry.name for entry in path.parent.iterdir())
    with pytest.raises(error) as caught:
        run(path, **options)
    assert type(caught.value) is error
    for word in (path.name, *words):
        assert word in str(caught.value)
    assert sorted(entry.name for entry in path.parent.iterdir()) == before


def test_rows_of_every_message(capture: Capture, stream: Any) -> None:
    tape = run(capture(stream.lines))
    rows = tape.received()
    assert rows["kind"].tolist() == [LEVEL] * 4 + [CLEAR, LEVEL, LEVEL] * 2 + [LEVEL, TRADE, QUOTE]
    assert rows["px"].tolist() == [990, 1010, 995, 900, 990, 995, 990, 1010, 1005, 1010, 1005, 1010, 995]
    assert rows["qty"].tolist() == [1000, 1500, 2000, 500, 0, 2000, 1000, 0, 3000, 1500, 0, 250, 1000]
    assert rows["side"].tolist() == [BUY, SELL, BUY, BUY, BUY, BUY, BUY, SELL, SELL, SELL, SELL, BUY, 0]
    assert rows["id"].tolist() == [110, 110, 120, 120] + [115] * 6 + [130, 40, 130]
    assert [int(flags & LAST) // LAST for flags in rows["flags"]] == [0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert [int(flags & SNAPSHOT) // SNAPSHOT for flags in rows["flags"]] == [0] * 4 + [1] * 6 + [0] * 3
    assert (rows["arg0"][-1], rows["arg1"][-1]) == (1010, 2000)
    assert np.all(rows["flags"] & BOTH == BOTH)
    assert tape.meta.messages == {"depth": 3, "snapshot": 1, "trade": 1, "bookTicker": 1}
    assert tape.meta.channels == {"depth": 11, "trades": 1, "quotes": 1}
    assert (tape.meta.clock_correction_ns, tape.meta.n_gaps, tape.meta.skipped) == (0, 0, {})
    assert tape.instruments[0].symbol == "BTCUSDT"
    assert (tape.instruments[0].venue, tape.instruments[0].base, tape.instruments[0].quote) == (
        "binance-usdm",
        "BTC",
        "USDT",
    )
    assert tape.rows()["kind"].tolist().count(QUOTE) == 0
    assert tape.rows(channels=["quotes", "trades"])["kind"].tolist() == [TRADE, QUOTE]


def test_clock_behind_the_venue_is_corrected_and_stated(capture: Capture, stream: Any) -> None:
    lines = [f"{int(line[:19]) - 7_000_000}{line[19:]}" for line in stream.lines]
    tape = run(capture(lines))
    assert tape.meta.clock_correction_ns == 2_000_000
    rows = tape.received()
    assert int((rows["ts_recv"] - rows["ts_exch"])[rows["kind"] != QUOTE].min()) == 0


def test_grid_is_inferred_from_the_decimals(capture: Capture, stream: Any) -> None:
    tape = run(capture(stream.lines), tick=None, lot=None)
    assert (tape.instruments[0].tick_size, tape.instruments[0].lot_size) == (Decimal("0.5"), Decimal("0.25"))
    assert tape.meta.grid == "inferred"
    rows = tape.received()
    assert rows["px"][:4].tolist() == [198, 202, 199, 180]
    assert (rows["px"][-1], rows["qty"][-1], rows["arg0"][-1], rows["arg1"][-1]) == (199, 4, 202, 8)


def test_trades_that_are_no_market_trades_are_left_out(capture: Capture, stream: Any) -> None:
    stream.trade("0", "0", X="NA")
    tape = run(capture(stream.lines))
    assert tape.meta.channels["trades"] == 1
    assert (tape.meta.messages["trade"], tape.meta.messages["trade:not_market"]) == (2, 1)


def test_late_snapshot_restates_what_it_set_back_when_told(capture: Capture, stream: Any) -> None:
    late = type(stream)()
    late.depth([["99.0", "1.000"]], [["101.0", "1.000"]])
    late.depth([["99.0", "0.000"], ["98.5", "4.000"]], [["101.5", "9.000"]])
    late.snapshot(110, [["99.0", "1.000"], ["98.0", "1.000"]], [["101.0", "1.000"]])
    path = capture(late.lines)
    assert run(path).meta.n_rows == 5 + 5
    tape = run(path, reapply=True)
    rows = tape.received()[10:]
    assert rows["px"].tolist() == [990, 985]
    assert rows["qty"].tolist() == [0, 4000]
    assert (rows["flags"] & (BOTH | SNAPSHOT)).tolist() == [LOCAL | SNAPSHOT] * 2
    assert tape.meta.notes[-1].startswith("2 levels set back")


def test_bare_messages_and_replies(capture: Capture, stream: Any) -> None:
    bare = [line if "lastUpdateId" in line else f"{line[:19]} " + json.dumps(json.loads(line[20:])["data"])
            for line in stream.lines]  # fmt: skip
    bare.append(f"{bare[-1][:19]} " + '{"result":null,"id":1}')
    tape = run(capture(bare))
    assert tape.meta.n_rows == 13
    assert tape.meta.messages["ignored:reply"] == 1


def spot_lines(stream: Any) -> list[str]:
    """The same stream as spot writes it: no T on depth, no pu, no X; snapshot and bookTicker without times."""
    lines = []
    for line in stream.lines:
        body = json.loads(line[20:])
        data = body.get("data", body)
        for name in ("pu", "X") + (("T",) if "t" not in data else ()):
            data.pop(name, None)
        if "A" in data or "lastUpdateId" in data:
            data.pop("E"), data.pop("e", None)
        lines.append(f"{line[:19]} " + json.dumps(body))
    return lines


def test_spot(capture: Capture, stream: Any) -> None:
    tape = run(capture(spot_lines(stream)))
    rows = tape.received()
    assert tape.meta.format == "binance-spot"
    assert tape.instruments[0].kind == "spot"
    # The snapshot holds the first depth event and not the second: it happened at the first one's time.
    assert set(rows["ts_exch"][rows["flags"] & SNAPSHOT != 0].tolist()) == {1_700_000_000_000_000_000}
    assert rows["ts_exch"][-1] == rows["ts_recv"][-1]


def test_spot_ids_must_be_consecutive(capture: Capture, stream: Any) -> None:
    stream.u += 1
    stream.depth([["99.0", "1.000"]], [], pu=0)
    refused(GapError, capture(spot_lines(stream)), "line 7", "131", "132")


def test_truncated_gzip(capture: Capture, stream: Any) -> None:
    for _ in range(3000):
        stream.trade("101.0", f"0.{stream.ms % 997:03d}" if stream.ms % 997 else "1.000")
    path = capture(stream.lines)
    path.write_bytes(path.read_bytes()[:-2000])
    refused(DataError, path, "truncated", "line ")
    tape = run(path, on_bad_line="skip")
    assert tape.meta.skipped == {"broken_compression": 1}
    assert 0 < tape.meta.n_rows < 3013


def test_corrupt_gzip(capture: Capture, stream: Any) -> None:
    for _ in range(3000):
        stream.trade("101.0", f"0.{stream.ms % 997 + 1:03d}")
    path = capture(stream.lines)
    packed = bytearray(path.read_bytes())
    packed[len(packed) // 2 : len(packed) // 2 + 40] = bytes(40)
    path.write_bytes(bytes(packed))
    with pytest.raises(DataError, match=r"capture\.gz, line \d+") as caught:
        run(path)
    assert "corrupt" in str(caught.value) or "not what the venue sends" in str(caught.value)
    assert not (path.parent / "out.tape").exists()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"stream":"btcusdt@trade","data":{"e":"trade",', "not what the venue sends"),
        ('{"stream":"btcusdt@trade","data":{"e":"trade","s":"BTCUSDT"}}', "not what the venue sends"),
        ("nonsense", "not what the venue sends"),
    ],
)
def test_malformed_message(capture: Capture, stream: Any, body: str, words: str) -> None:
    stream.lines.insert(3, f"{stream.lines[2][:19]} {body}")
    path = capture(stream.lines)
    refused(DataError, path, "line 4", words)
    tape = run(path, on_bad_line="skip")
    assert (tape.meta.skipped, tape.meta.n_rows) == ({"malformed_message": 1}, 13)


def test_line_without_receive_time(capture: Capture, stream: Any) -> None:
    stream.lines.insert(1, stream.lines[1][20:])
    path = capture(stream.lines)
    refused(DataError, path, "line 2", "receive time", format="binance")
    assert run(path, on_bad_line="skip").meta.skipped == {"no_receive_time": 1}


def test_gap_in_update_ids(capture: Capture, stream: Any) -> None:
    stream.u += 5
    stream.depth([["99.0", "1.000"]], [])
    path = capture(stream.lines)
    refused(GapError, path, "line 7", "130", "135", "on_gap=continue")
    tape = run(path, on_gap="continue")
    assert tape.meta.n_gaps == 1
    assert tape.meta.gaps == [Gap(7, 130, 135, "depth events do not join")]
    assert tape.meta.n_rows == 14


def test_skipping_a_bad_depth_line_goes_over_its_gap(capture: Capture, stream: Any) -> None:
    stream.lines[3] = stream.lines[3][:-9]
    stream.depth([["99.0", "1.000"]], [])
    tape = run(capture(stream.lines), on_bad_line="skip")
    assert (tape.meta.skipped, tape.meta.n_gaps) == ({"malformed_message": 1}, 1)


def test_snapshot_older_than_the_stream(capture: Capture, stream: Any) -> None:
    stream.lines[2] = stream.lines[2].replace('"lastUpdateId": 115', '"lastUpdateId": 50')
    refused(GapError, capture(stream.lines), "line 3", "snapshot is older")


def test_stream_that_begins_after_the_snapshot(capture: Capture, stream: Any) -> None:
    made = type(stream)()
    made.snapshot(90, [["99.0", "1.000"]], [["101.0", "1.000"]])
    made.depth([["99.0", "2.000"]], [])
    refused(GapError, capture(made.lines), "line 2", "begins too late")


def test_events_older_than_the_snapshot_before_them_are_left_out(capture: Capture, stream: Any) -> None:
    made = type(stream)()
    made.snapshot(115, [["99.0", "1.000"]], [["101.0", "1.000"]])
    made.depth([["99.0", "7.000"]], [])
    made.depth([["99.0", "2.000"]], [])
    tape = run(capture(made.lines))
    assert tape.received()["qty"].tolist() == [0, 1000, 0, 1000, 2000]
    assert "1 depth events older than the snapshot before them left out" in tape.meta.notes


def test_after_a_gap_a_snapshot_clears_everything(capture: Capture, stream: Any) -> None:
    stream.u += 5
    stream.depth([["98.0", "1.000"]], [])
    stream.snapshot(stream.u, [["99.0", "1.000"]], [["101.0", "1.000"]])
    rows = run(capture(stream.lines), on_gap="continue").received()
    assert rows["px"][rows["kind"] == CLEAR].tolist() == [990, 1010, 0, 0]


def test_crossed_snapshot(capture: Capture, stream: Any) -> None:
    stream.snapshot(stream.u, [["101.0", "1.000"]], [["100.0", "1.000"]])
    refused(DataError, capture(stream.lines), "line 7", "crossed", "101", "100")


def test_a_depth_event_that_crosses_the_book(capture: Capture, stream: Any) -> None:
    stream.depth([["101.0", "1.000"]], [["101.0", "0.000"], ["100.9", "1.000"]])
    stream.depth([["100.0", "1.000"]], [["102.0", "1.000"]])
    path = capture(stream.lines)
    refused(DataError, path, "line 7", "the book is crossed after this message: bid 101.0, ask 100.9")
    tape = run(path, on_bad_line="skip")
    assert (tape.meta.skipped, tape.meta.n_rows) == ({"crossed_book": 1}, 15)


def test_a_book_with_a_gap_in_it_is_not_blamed_for_being_crossed(capture: Capture, stream: Any) -> None:
    stream.u += 5
    stream.depth([["101.5", "1.000"]], [])
    assert run(capture(stream.lines), on_gap="continue").meta.skipped == {}


def test_crossed_quote(capture: Capture, stream: Any) -> None:
    stream.ticker("101.5", "101.0")
    refused(DataError, capture(stream.lines), "line 7", "crossed")


def test_time_running_backwards(capture: Capture, stream: Any) -> None:
    stream.ms -= 1000
    stream.trade("101.0", "1.000")
    stream.ms += 2000
    stream.trade("101.0", "1.000")
    path = capture(stream.lines)
    refused(DataError, path, "line 7", "time runs backwards")
    tape = run(path, on_bad_line="skip")
    assert (tape.meta.skipped, tape.meta.channels["trades"]) == ({"time_backwards": 1}, 2)


@pytest.mark.parametrize(
    ("px", "qty", "words"),
    [
        ("NaN", "1.000", "finite"),
        ("inf", "1.000", "finite"),
        ("-5.0", "1.000", "negative"),
        ("0.0", "1.000", "price is 0"),
        ("101.0", "0.000", "size is 0"),
        ("101.05", "1.000", "price 101.05 does not lie on its grid of 0.1"),
        ("101.0", "0.0005", "size 0.0005 does not lie on its grid of 0.001"),
        ("101.0", "1.00000000000000000001", "more digits"),
    ],
)
def test_bad_numbers(capture: Capture, stream: Any, px: str, qty: str, words: str) -> None:
    stream.trade(px, qty)
    path = capture(stream.lines)
    refused(UnitError, path, "line 7", words)
    tape = run(path, on_bad_line="skip")
    assert sum(tape.meta.skipped.values()) == 1
    assert tape.meta.n_rows == 13


def test_a_depth_event_with_one_bad_level_is_left_out_whole(capture: Capture, stream: Any) -> None:
    stream.depth([["99.0", "5.000"], ["98.0", "-1.000"]], [["102.0", "1.000"]])
    path = capture(stream.lines)
    refused(UnitError, path, "line 7", "negative")
    assert run(path, on_bad_line="skip").meta.n_rows == 13


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"T": 17}, "more than a day from receive time"),
        ({"T": 10**15}, "not what the venue sends"),
        ({"t": 1 << 70}, "not what the venue sends"),
        ({"t": -1}, "not what the venue sends"),
    ],
)
def test_times_and_ids_that_cannot_be(capture: Capture, stream: Any, changes: dict[str, int], words: str) -> None:
    stream.trade("101.0", "1.000", **changes)
    path = capture(stream.lines)
    refused(DataError, path, "line 7", words)
    assert run(path, on_bad_line="skip").meta.clock_correction_ns == 0


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_never_give_anything_but_a_named_error(tmp_path: Path, stream: Any, seed: int) -> None:
    """Bytes changed, cut out and put in at random, packed and plain: a tape or one of our errors, nothing else."""
    rng = random.Random(seed)
    for _ in range(5):
        stream.depth([["99.0", "1.000"]], [["101.0", "1.500"]])
        stream.ticker("99.0", "101.0")
    whole = "".join(line + "\n" for line in stream.lines).encode()
    path = tmp_path / "damaged.gz"
    messages: list[str] = []
    for i_round in range(100):
        damaged = bytearray(whole if i_round % 2 else gzip.compress(whole, mtime=0))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(damaged))
            how = rng.randrange(3)
            if how == 0:
                damaged[at] = rng.randrange(256)
            elif how == 1:
                del damaged[at : at + rng.randint(1, 50)]
            else:
                damaged[at:at] = bytes(rng.choices(b'0123456789.-[]{},:"ENa', k=rng.randint(1, 4)))
        path.write_bytes(bytes(damaged))
        for on_bad_line in ("stop", "skip"):
            try:
                run(path, format="binance", on_bad_line=on_bad_line)
            except TercelError as error:
                messages.append(str(error))
    assert len(messages) > 50
    assert [message for message in messages if "damaged.gz" not in message] == []
    assert {entry.name for entry in tmp_path.iterdir()} <= {"damaged.gz", "out.tape", "cache"}


def test_two_symbols(capture: Capture, stream: Any) -> None:
    stream.trade("101.0", "1.000", s="ETHUSDT")
    refused(DataError, capture(stream.lines), "line 7", "ETHUSDT", "BTCUSDT")


def test_files_without_anything(capture: Capture, tmp_path: Path) -> None:
    refused(DataError, capture(["", ""]), "empty")
    refused(DataError, capture([f"{10**18} " + '{"result":null}']), "holds no Binance")
    with pytest.raises(DataError, match=r"no file at .*missing\.gz"):
        run(tmp_path / "missing.gz")


def test_a_failed_import_keeps_the_tape_that_was_there(capture: Capture, stream: Any) -> None:
    good = run(capture(stream.lines))
    content = good.path.read_bytes()
    stream.trade("NaN", "1.000")
    with pytest.raises(UnitError):
        run(capture(stream.lines))
    assert good.path.read_bytes() == content


def test_options_are_checked(capture: Capture, stream: Any) -> None:
    path = capture(stream.lines)
    for options in ({"on_bad_line": "ignore"}, {"on_gap": "ignore"}, {"format": "kraken"}, {"tick": "-1"}):
        with pytest.raises(ConfigError):
            run(path, **options)


def test_progress_reaches_the_end(capture: Capture, stream: Any) -> None:
    seen: list[tuple[int, int]] = []
    path = capture(stream.lines)
    run(path, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)


def test_plain_and_multi_member_files(stream: Any, tmp_path: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("\n".join(stream.lines))
    parts = tmp_path / "parts.gz"
    half = "".join(line + "\n" for line in stream.lines[:3]).encode()
    rest = "".join(line + "\n" for line in stream.lines[3:]).encode()
    parts.write_bytes(gzip.compress(half) + gzip.compress(rest))
    assert run(plain).meta.rows_sha256 == run(parts).meta.rows_sha256
