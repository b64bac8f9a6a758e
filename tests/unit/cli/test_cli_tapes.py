"""simulate, import, info: what they write and say, and what each kind of bad input ends in."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

BARS = "time,open,high,low,close,volume\n1700000000,10,11,9,10.5,3\n1700000060,10.5,12,10,11,4\n"

DEPTH = (
    '{{"stream":"btcusdt@depth@0ms","data":{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"BTCUSDT","U":{first},"u":{last},'
    '"pu":{before},"b":[["{bid}","1.000"]],"a":[["{ask}","2.000"]]}}}}'
)
SNAPSHOT = (
    '{"lastUpdateId":100,"E":1700000000000,"T":1700000000000,"bids":[["99.0","5.000"]],"asks":[["101.0","5.000"]]}'
)


def capture(*lines: str) -> bytes:
    return b"".join(f"{1_700_000_000_500_000_000 + i * 1_000_000} {line}\n".encode() for i, line in enumerate(lines))


def depth(first: int, last: int, before: int, bid: str = "99.5", ask: str = "100.5") -> str:
    return DEPTH.format(ms=1_700_000_000_000 + last, first=first, last=last, before=before, bid=bid, ask=ask)


def test_simulate_and_info(tercel: Callable, tmp_path: Path) -> None:
    out = tmp_path / "a.tape"
    made = tercel("simulate", out, "--rows", 5000, "--seed", 9, "--json")
    assert made.code == 0
    assert made.json["n_rows"] >= 5000
    assert made.json["seed"] == 9
    again = tercel("simulate", tmp_path / "b.tape", "--rows", 5000, "--seed", 9, "--json")
    assert again.json["rows_sha256"] == made.json["rows_sha256"]
    other = tercel("simulate", tmp_path / "c.tape", "--rows", 5000, "--seed", 10, "--json")
    assert other.json["rows_sha256"] != made.json["rows_sha256"]
    found = tercel("info", out, "--json").json
    assert found["scheduled"]["rows"] >= found["n_rows"]
    (book,) = found["books"]
    assert book["sound"] is True
    assert book["n_levels"] == book["n_bids"] + book["n_asks"] > 20
    assert float(book["best_bids"][0]["price"]) < float(book["best_asks"][0]["price"])
    words = tercel("info", out)
    assert words.code == 0
    assert "best bids" in words.out
    assert tercel("info", out, "--quick").code == 0


def test_simulate_l3_and_the_model_s_parameters(tercel: Callable, tmp_path: Path) -> None:
    made = tercel("simulate", tmp_path / "l3.tape", "--duration", "5s", "--l3", "--set", "mid_px=20000", "--json")
    assert made.code == 0
    assert set(made.json["channels"]) == {"depth", "orders", "trades"}  # depth: the one CLEAR before the snapshot
    (book,) = tercel("info", tmp_path / "l3.tape", "--json").json["books"]
    assert (book["kind"], book["sound"], book["n_refused_rows"]) == ("l3", True, 0)
    assert book["n_orders"] >= book["n_levels"] == book["n_bids"] + book["n_asks"] > 20
    assert 190 < float(book["best_bids"][0]["price"]) < float(book["best_asks"][0]["price"]) < 210
    wrong = tercel("simulate", tmp_path / "x.tape", "--set", "speed=2")
    assert wrong.code == 2
    assert "the market model has mid_px, start_ns" in wrong.message
    assert tercel("simulate", tmp_path / "x.tape", "--duration", "soon").code == 2
    assert tercel("simulate", tmp_path / "x.tape", "--set", "burst_ratio=2").code == 2
    assert not (tmp_path / "x.tape").exists()


def test_import_csv(tercel: Callable, tmp_path: Path) -> None:
    source = tmp_path / "bars.csv"
    source.write_text(BARS)
    ran = tercel("import", source, "--symbol", "XYZ", "--json")
    assert ran.code == 0
    assert ran.json["channels"] == {"bars": 2}
    assert ran.json["instruments"][0]["symbol"] == "XYZ"
    assert ran.json["path"] == str(tmp_path / "bars.tape")
    assert "bars 2" in tercel("import", source, "-o", tmp_path / "other.tape").out


def test_import_binance_and_its_quotes_against_its_book(tercel: Callable, tmp_path: Path) -> None:
    quote = (
        '{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":110,"s":"BTCUSDT","b":"99.5","B":"%s","a":"100.5",'
        '"A":"2.000","T":1700000000110,"E":1700000000110}}'
    )
    source = tmp_path / "c.gz"
    lines = [depth(95, 101, 94), SNAPSHOT, quote % "1.000", depth(102, 110, 101), depth(111, 120, 110, "99.6")]
    source.write_bytes(gzip.compress(capture(*lines)))
    ran = tercel("import", source, "--tick", "0.1", "--lot", "0.001", "--format", "binance-usdm", "--json")
    assert ran.code == 0, ran.err
    found = tercel("info", ran.json["path"], "--json").json
    (check,) = found["quotes_at_shared_update_ids"]
    assert check["all"] == {"compared": 1, "equal": 1}
    assert check["quote_received_before_depth"] == {"compared": 1, "equal": 1}
    assert found["books"][0]["best_bids"][0] == {"price": "99.6", "size": "1.000"}
    lines[2] = quote % "1.001"
    source.write_bytes(gzip.compress(capture(*lines)))
    tape = tercel("import", source, "--tick", "0.1", "--lot", "0.001", "--format", "binance-usdm", "--json").json[
        "path"
    ]
    (check,) = tercel("info", tape, "--json").json["quotes_at_shared_update_ids"]
    assert check["all"] == {"compared": 1, "equal": 0}
    assert check["first_different_row"] is not None


def test_bad_captures_are_named_by_line_and_leave_nothing(tercel: Callable, tmp_path: Path) -> None:
    good = [depth(95, 101, 94), SNAPSHOT, depth(102, 110, 101)]
    whole = gzip.compress(capture(*good, depth(111, 120, 110)))
    cases = {
        "truncated.gz": (whole[:-20], "line", 3),
        "json.gz": (gzip.compress(capture(*good, '{"stream":')), "line 4", 3),
        "gap.gz": (gzip.compress(capture(*good, depth(150, 160, 149))), "line 4", 3),
        "nan.gz": (gzip.compress(capture(*good, depth(111, 120, 110, bid="NaN"))), "line 4", 3),
        "negative.gz": (gzip.compress(capture(*good, depth(111, 120, 110, bid="-1.0"))), "line 4", 3),
        "off-grid.gz": (gzip.compress(capture(*good, depth(111, 120, 110, bid="99.55"))), "line 4", 3),
        "crossed.gz": (gzip.compress(capture(*good, depth(111, 120, 110, bid="102.0"))), "line 4", 3),
    }
    for name, (data, where, code) in cases.items():
        (tmp_path / name).write_bytes(data)
        arguments = (tmp_path / name, "--tick", "0.1", "--lot", "0.001", "--format", "binance-usdm")
        ran = tercel("import", *arguments, "--json")
        assert ran.code == code, (name, ran.err)
        assert where in ran.message, name
        assert name in ran.message
        assert ran.json["exit_code"] == code
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(cases)
    skipped = tercel(
        "import", tmp_path / "json.gz", "--tick", "0.1", "--lot", "0.001", "--on-bad-line", "skip", "--json"
    )
    assert skipped.code == 0
    assert sum(skipped.json["skipped"].values()) == 1
    gap = tercel("import", tmp_path / "gap.gz", "--tick", "0.1", "--lot", "0.001", "--on-gap", "continue", "--json")
    assert gap.json["n_gaps"] == 1


def test_files_that_are_no_tapes(tercel: Callable, tmp_path: Path) -> None:
    text = tmp_path / "text.tape"
    text.write_text("hello")
    for path, words in ((tmp_path / "none.tape", "no tape at"), (text, "is no tape")):
        ran = tercel("info", path)
        assert ran.code == 3
        assert words in ran.message
    assert tercel("import", tmp_path / "none.csv").code == 3
    assert tercel("import", text).code == 3
    assert tercel("import", text, "--format", "psv").code == 2
    assert tercel("import", text, "--csv", "broken").code == 2


def test_a_tape_of_another_version_is_refused(tercel: Callable, market_tape: Path, tmp_path: Path) -> None:
    import polars as pl

    old = tmp_path / "old.tape"
    metadata = pl.read_parquet_metadata(market_tape) | {"tercel.tape_version": "0"}
    pl.read_parquet(market_tape).write_parquet(old, metadata={k: v for k, v in metadata.items() if "tercel" in k})
    ran = tercel("info", old)
    assert ran.code == 3
    assert "has tape version 0, this tercel reads version 2" in ran.message


def test_a_disk_that_refuses_ends_with_4(tercel: Callable) -> None:
    ran = tercel("simulate", "/dev/full/x.tape", "--rows", 100, "--json")
    assert ran.code == 4
    assert ran.json["kind"] == "StorageError"
    assert "/dev/full" in ran.message


@pytest.mark.data
def test_info_of_the_public_capture(tercel: Callable, data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "binance" / "usdm_btcusdt_20240808.gz"
    if not source.is_file():
        pytest.skip("the BTCUSDT capture is not here")
    tape = tmp_path / "btcusdt.tape"
    assert tercel("import", source, "-o", tape).code == 0
    found = tercel("info", tape, "--json").json
    assert found["messages"] == {"depth": 6551, "trade": 21313, "bookTicker": 66089, "snapshot": 1}
    assert found["n_rows_without_quotes"] == 466_836
    assert found["clock_correction_ns"] == 1_272_156_851
    assert found["scheduled"] == {"rows": 491_973, "both": 441_699, "exch_only": 25_137, "local_only": 25_137}
    (book,) = found["books"]
    assert (book["n_levels"], book["n_bids"], book["n_asks"]) == (9597, 5019, 4578)
    levels = {side: [(level["price"], level["size"]) for level in book[f"best_{side}"]] for side in ("bids", "asks")}
    assert levels["bids"] == [("61659.7", "1.486"), ("61659.0", "0.002"), ("61658.1", "0.033")]
    assert levels["asks"] == [("61659.8", "0.981"), ("61659.9", "0.188"), ("61660.0", "7.977")]
    assert book["farthest_ask"] == {"price": "617050.0", "size": "0.003"}
    (check,) = found["quotes_at_shared_update_ids"]
    assert check["quote_received_before_depth"] == {"compared": 503, "equal": 503}
    assert check["quote_received_after_depth"] == {"compared": 126, "equal": 126}
    assert check["all"] == {"compared": 629, "equal": 629}
    assert check["messages_with_crossed_book"] == 0
    assert json.dumps(found)
