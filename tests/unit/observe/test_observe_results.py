"""The result object: summary text, JSON, saved frames, and the documentation page of its statistics."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from random_runlog import BTC, COIN, ETH, random_runlog
from rich.console import Console

from tercel.errors import StorageError
from tercel.model.runlog import RunLog
from tercel.observe.definitions import DEFINITIONS, definitions_markdown
from tercel.observe.results import FRAMES, Result
from tercel.observe.text import duration_text, money_text, number_text, time_text, value_text

REPO = Path(__file__).resolve().parents[3]


def test_statistics_page_is_the_code():
    assert (REPO / "docs" / "statistics.md").read_text("utf-8") == definitions_markdown()


def test_definitions_are_distinct_and_known_to_the_formatter():
    assert len({d.key for d in DEFINITIONS}) == len({d.name for d in DEFINITIONS}) == len(DEFINITIONS)
    assert {d.unit for d in DEFINITIONS} <= {"share", "ratio", "count", "money", "ticks", "ns"}


@pytest.mark.parametrize("instruments", [(BTC,), (BTC, ETH), (BTC, COIN)])
def test_summary_fits_and_names_every_statistic(instruments):
    result = Result(random_runlog(4, instruments=instruments, strategies=("Quoter", "S" * 200)))
    lines = str(result).splitlines()
    assert max(len(line) for line in lines) <= 100
    text = "\n".join(lines)
    assert all(d.name in text for d in DEFINITIONS)
    assert "Refused and rejected" in text
    assert not any(line != line.rstrip() for line in lines)
    assert "nan" not in text.lower().split()
    assert "inf" not in text.lower().split()


def test_summary_of_nothing_reads_well():
    text = str(Result(RunLog(instruments=[BTC], strategies=["Idle"])))
    assert "Sharpe ratio" in text
    assert "–" in text
    assert "None" not in text


def test_rich_summary_shows_user_text_as_it_is():
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(Result(random_runlog(4, strategies=("[bold]Quoter[/bold]", "Other"))))
    text = console.file.getvalue()
    assert "[bold]Quoter[/bold]" in text
    assert all(d.name in text for d in DEFINITIONS)


def test_to_dict_is_strict_json():
    result = Result(random_runlog(6, instruments=(BTC, ETH), strategies=("A", "B")))
    back = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert back["stats"] == result.stats
    assert back["units"]["sharpe"] == "ratio"
    assert [s["strategy"] for s in back["by_strategy"]] == ["A", "B"]
    assert sum(r["count"] for r in back["refusals"]) == result.refusals.height
    assert back["meta"]["fees"] == {"maker": 2, "taker": 5}


def test_saved_frames_read_back_equal(tmp_path):
    result = Result(random_runlog(6))
    result.save(tmp_path / "run")
    for name in FRAMES:
        assert pl.read_parquet(tmp_path / "run" / f"{name}.parquet").equals(getattr(result, name)), name
    assert json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))["stats"] == result.stats
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(
        [*(f"{n}.parquet" for n in FRAMES), "summary.json"]
    )


def test_a_disk_that_refuses_is_named_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot make the directory"):
        Result(random_runlog(6)).save(tmp_path / "file")
    with pytest.raises(StorageError, match=r"cannot write .*out\.html"):
        Result(random_runlog(6)).report(tmp_path / "absent" / "out.html")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_importing_results_is_light():
    code = "import sys, tercel.observe.results; print([m for m in ('polars', 'rich', 'numba') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"), (412, "412 ns"), (1_500, "1.5 µs"), (10_000_000, "10 ms"), (2_345_000_000, "2.35 s"),
        (999_900_000, "1 s"), (192e9, "3 min 12 s"), (18_180e9, "5 h 03 min"), (356_400e9, "4 d 03 h"),
        (-5_000, "-5 µs"),
    ],
)  # fmt: skip
def test_durations(ns, text):
    assert duration_text(ns) == text


def test_numbers():
    assert [number_text(v) for v in (0.0, 1_234.5, 12.3456, 1.23456, 0.00123456)] == [
        "0.00", "1,234.50", "12.346", "1.2346", "0.001235",
    ]  # fmt: skip
    assert [money_text(v) for v in (-0.004, 1_000_000.126, -2.5)] == ["-0.004000", "1,000,000.13", "-2.50"]
    assert number_text(-0.0001, 2) == "0.00"
    assert time_text(1_723_075_200_000_000_000) == "2024-08-08 00:00:00"


def test_values_carry_their_unit():
    unit = {d.unit: d for d in DEFINITIONS}
    assert value_text(unit["share"], 0.1234) == "12.34%"
    assert value_text(unit["share"], 0.000012) == "0.0012%"
    assert value_text(unit["money"], 5.5, "USDT") == "5.50 USDT"
    assert value_text(unit["count"], 12_345) == "12,345"
    assert value_text(unit["ticks"], 1.5) == "1.50 ticks"
    assert value_text(unit["ratio"], None) == "–"
