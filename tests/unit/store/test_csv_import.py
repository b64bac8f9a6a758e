"""CSV files: what is found out, what must be said, and which lines are refused."""

from __future__ import annotations

import lzma
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tercel.errors import ConfigError, DataError, UnitError
from tercel.model.events import BAR, BUY, QUOTE, SELL, TRADE
from tercel.store.imports import import_capture
from tercel.store.tape import Tape

BARS = "0,10.0,12.5,9.5,11.0,3\n60000,11.0,11.5,10.5,11.0,4\n120000,11.0,11.0,11.0,11.0,0\n"
DAY_NS = 1_522_800_000_000_000_000  # 2018-04-04


def run(tmp_path: Path, text: str, name: str = "20180404_x.csv", **options: Any) -> Tape:
    path = tmp_path / name
    path.write_text(text)
    return import_capture(path, tmp_path / "out.tape", **options)


def test_bars_close_one_period_later(tmp_path: Path) -> None:
    tape = run(tmp_path, BARS)
    rows = tape.rows()
    assert rows["kind"].tolist() == [BAR] * 3
    assert rows["ts_recv"].tolist() == [DAY_NS + n * 60_000_000_000 for n in (1, 2, 3)]
    assert (tape.instruments[0].tick_size, tape.instruments[0].lot_size) == (Decimal("0.5"), Decimal(1))
    assert rows[["px", "id", "arg0", "arg1", "qty"]].tolist()[:2] == [(22, 20, 25, 19, 3), (22, 22, 23, 21, 4)]
    assert tape.meta.notes == ["bar length inferred: 60000000000 ns"]
    assert tape.meta.format == "csv-bars"


def test_header_in_another_order_and_a_pattern_for_times(tmp_path: Path) -> None:
    text = "Date,Open,Close,High,Low,Volume\n11/5/2019 9:30,1,3,4,1,0\n11/5/2019 9:31,3,2,3,2,0\n"
    with pytest.raises(DataError, match=r"x\.csv, line 2: cannot tell the format of time '11/5/2019 9:30'"):
        run(tmp_path, text, "x.csv")
    layout = {"time_format": "%m/%d/%Y %H:%M", "timezone": "America/New_York"}
    rows = run(tmp_path, text, "x.csv", layout=layout).rows()
    assert rows["ts_recv"].tolist() == [1_572_964_260_000_000_000, 1_572_964_320_000_000_000]
    assert rows[["px", "id", "arg0", "arg1"]].tolist() == [(3, 1, 4, 1), (2, 3, 3, 2)]


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [
        ("1522800000", "1522800060", "x.csv"),
        ("1522800000.000", "1522800060.000", "x.csv"),
        ("1522800000000", "1522800060000", "x.csv"),
        ("1522800000000000", "1522800060000000", "x.csv"),
        ("1522800000000000000", "1522800060000000000", "x.csv"),
        ("2018-04-04T00:00:00Z", "2018-04-04T00:01:00Z", "x.csv"),
        ("2018-04-04 02:00:00+02:00", "2018-04-04 02:01:00.000+02:00", "x.csv"),
        ("20180404 00:00", "20180404 00:01", "x.csv"),
        ("0", "60000", "20180404.csv"),
    ],
)
def test_time_formats(tmp_path: Path, first: str, second: str, name: str) -> None:
    tape = run(tmp_path, f"{first},1,1,1,1,1\n{second},1,1,1,1,1\n", name)
    assert tape.rows()["ts_recv"].tolist() == [DAY_NS + 60_000_000_000, DAY_NS + 120_000_000_000]


def test_nanoseconds_of_an_iso_time_are_kept(tmp_path: Path) -> None:
    text = "time,price,size\n2018-04-04T00:00:00.123456789Z,10,1\n"
    assert run(tmp_path, text, "x.csv").rows()["ts_exch"].tolist() == [DAY_NS + 123_456_789]


def test_trades(tmp_path: Path) -> None:
    text = "id,price,qty,time,is_buyer_maker\n7,10.5,0.25,1522800000000,True\n8,10.0,1,1522800000001,false\n"
    tape = run(tmp_path, text, "x.csv", symbol="ABC")
    rows = tape.rows()
    assert rows[["kind", "px", "qty", "id", "side"]].tolist() == [(TRADE, 21, 1, 7, SELL), (TRADE, 20, 4, 8, BUY)]
    assert tape.instruments[0].symbol == "ABC"


def test_trades_with_two_clocks(tmp_path: Path) -> None:
    text = "time,price,size,local_timestamp\n1522800000000,10,1,1522799999000\n1522800001000,10,1,1522800000500\n"
    tape = run(tmp_path, text, "x.csv")
    assert tape.meta.clock_correction_ns == 1_000_000_000
    rows = tape.rows()
    assert (rows["ts_recv"] - rows["ts_exch"]).tolist() == [0, 500_000_000]


def test_quotes(tmp_path: Path) -> None:
    tape = run(tmp_path, "8715,1.39101,1.39114\n15681,1.39102,1.39116\n")
    rows = tape.rows()
    assert rows[["kind", "px", "arg0", "qty", "arg1"]].tolist() == [
        (QUOTE, 139101, 139114, 0, 0),
        (QUOTE, 139102, 139116, 0, 0),
    ]
    assert rows["ts_exch"].tolist() == [DAY_NS + 8_715_000_000, DAY_NS + 15_681_000_000]
    sized = run(tmp_path, "8715,1.39101,1.39114\n", layout={"default_size": "100"}, lot="1")
    assert sized.rows()[["qty", "arg1"]].tolist() == [(100, 100)]


def test_quoted_fields(tmp_path: Path) -> None:
    text = 'time,"price",size\n"1522800000","10","1"\n1522800001,11,1\n'
    assert run(tmp_path, text, "x.csv").rows()["px"].tolist() == [10, 11]


def test_quote_bars(tmp_path: Path) -> None:
    text = "0,1.0,1.2,0.9,1.1,500,1.1,1.3,1.0,1.2,600\n60000,1.1,1.1,1.1,1.1,10,1.2,1.2,1.2,1.2,20\n"
    rows = run(tmp_path, text).rows()
    assert rows[["px", "qty", "arg0", "arg1"]].tolist() == [(11, 50, 12, 60), (11, 1, 12, 2)]
    assert rows["ts_exch"].tolist() == [DAY_NS + 60_000_000_000, DAY_NS + 120_000_000_000]


def test_columns_by_name_and_position(tmp_path: Path) -> None:
    text = "when,last,n\n1522800000,10,1\n"
    layout = {"kind": "trades", "columns": {"time": "when", "price": 1, "size": "n"}}
    assert run(tmp_path, text, "x.csv", layout=layout).rows()["px"].tolist() == [1]
    with pytest.raises(DataError, match=r"line 1: no column for time, price, size among 3 columns"):
        run(tmp_path, text, "x.csv", layout={"kind": "trades"})
    with pytest.raises(DataError, match="no column 'lst'"):
        run(tmp_path, text, "x.csv", layout={"kind": "trades", "columns": {"price": "lst"}})
    with pytest.raises(ConfigError, match="unknown column 'weight'"):
        run(tmp_path, text, "x.csv", layout={"kind": "trades", "columns": {"weight": 1}})


def test_packed_files(tmp_path: Path) -> None:
    plain = run(tmp_path, BARS).meta.rows_sha256
    with zipfile.ZipFile(tmp_path / "bars.zip", "w") as archive:
        archive.writestr("20180404_x.csv", BARS.replace("\n", "\r\n"))
    (tmp_path / "20180404.csv.xz").write_bytes(lzma.compress(BARS.encode()))
    for name in ("bars.zip", "20180404.csv.xz"):
        assert import_capture(tmp_path / name, tmp_path / "out.tape").meta.rows_sha256 == plain
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", BARS)
        archive.writestr("b.csv", BARS)
    with pytest.raises(DataError, match=r"two\.zip holds 2 files"):
        import_capture(tmp_path / "two.zip", tmp_path / "out.tape")
    (tmp_path / "cut.zip").write_bytes((tmp_path / "bars.zip").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.zip, line 1: the compressed data is corrupt"):
        import_capture(tmp_path / "cut.zip", tmp_path / "out.tape")


@pytest.mark.parametrize(
    ("line", "error", "words", "reason"),
    [
        ("180000,10.0,9.0,8.0,8.5,1", DataError, "high must be the highest", "impossible_bar"),
        ("180000,10.0,12.0,11.0,11.5,1", DataError, "low the lowest", "impossible_bar"),
        ("180000,nan,12.0,9.0,11.5,1", UnitError, "open nan: price is nan", "off_grid"),
        ("180000,10.0,inf,9.0,11.5,1", UnitError, "high inf", "off_grid"),
        ("180000,-10.0,12.0,9.0,11.5,1", UnitError, "negative", "off_grid"),
        ("180000,0,12.0,0,11.5,1", UnitError, "open 0: a price of 0", "off_grid"),
        ("180000,10.0,12.0,9.0,11.25,1", UnitError, "price 11.25 does not lie on its grid of 0.5", "off_grid"),
        ("180000,10.0,12.0,9.0,11.5,0.5", UnitError, "size 0.5 does not lie on its grid of 1", "off_grid"),
        ("180000,10.0,12.0,9.0,ten,1", DataError, "close 'ten' is no number", "bad_number"),
        ("180000,10.0,12.0,9.0,10.0", DataError, "expected 6 columns, found 5", "wrong_width"),
        ("120000,10.0,12.0,9.0,11.5,1", DataError, "time runs backwards or stands still", "time_backwards"),
        ("60000,10.0,12.0,9.0,11.5,1", DataError, "time runs backwards", "time_backwards"),
        ('"180000,10.0,12.0,9.0,11.5,1', DataError, "cannot be taken apart", "bad_quoting"),
        ("noon,10.0,12.0,9.0,11.5,1", DataError, "cannot read time 'noon'", "bad_time"),
    ],
)
def test_bad_lines(tmp_path: Path, line: str, error: type[Exception], words: str, reason: str) -> None:
    with pytest.raises(error, match=r"20180404_x\.csv, line 4: ") as caught:
        run(tmp_path, BARS + line + "\n", tick="0.5", lot="1")
    assert words in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["20180404_x.csv"]
    tape = run(tmp_path, BARS + line + "\n", tick="0.5", lot="1", on_bad_line="skip")
    assert (tape.meta.skipped, tape.meta.n_rows) == ({reason: 1}, 3)


def test_bad_quotes_and_sides(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: the quote is crossed"):
        run(tmp_path, "1,1.0,1.1\n2,1.2,1.1\n")
    with pytest.raises(DataError, match=r"line 2: side 'up': expected one of"):
        run(tmp_path, "time,price,size,side\n1522800000,1,1,up\n", "x.csv")


def test_what_cannot_be_told_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few rows to see how long a bar is"):
        run(tmp_path, "0,1,1,1,1,1\n")
    assert len(run(tmp_path, "0,1,1,1,1,1\n", layout={"period": "1m"})) == 1
    with pytest.raises(DataError, match="cannot tell the format of time '0'"):
        run(tmp_path, BARS, "x.csv")
    assert len(run(tmp_path, BARS, "x.csv", layout={"date": "20180404", "time_format": "ms_of_day"})) == 3
    with pytest.raises(DataError, match="cannot tell bars, trades and quotes apart by 4 columns"):
        run(tmp_path, "1522800000,1,1,1\n", "x.csv")
    for layout in (
        {"period": "soon"}, {"period": "0m"}, {"timezone": "Nowhere/Town"}, {"time_format": "later"}, {"date": "2018"},
        {"kind": "candles"}, {"colums": {}},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            run(tmp_path, BARS, layout=layout)
    with pytest.raises(ConfigError, match="state the day with date"):
        run(tmp_path, BARS, "x.csv", layout={"time_format": "ms_of_day"})
