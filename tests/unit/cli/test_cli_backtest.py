"""backtest, demo, warmup, doctor, bench: what they print and write, and what each mistake of a user ends in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MINE = """
import tercel as tc


class Mine(tc.Strategy):
    qty: float = 0.01
    n: int = 0
    calm: bool = True
    fast: tc.Ema = tc.Ema(span=5)

    def on_trade(self, ctx, trade):
        self.n += 1
        {line}
"""


def strategy(directory: Path, line: str = "self.fast.update(trade.price)", name: str = "mine.py") -> Path:
    path = directory / name
    path.write_text(MINE.format(line=line))
    return path


def test_backtest_of_the_library(tercel: Callable, market_tape: Path, tmp_path: Path) -> None:
    report, saved = tmp_path / "out.html", tmp_path / "saved"
    ran = tercel(
        "backtest", "quoter", market_tape, "--set", "qty=0.02", "--latency-ms", 5, "--maker-bp", 1, "--taker-bp", 4,
        "--report", report, "--save", saved, "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = ran.json
    assert found["strategies"] == ["Quoter"]
    assert found["stats"]["n_orders"] > 20
    assert found["meta"]["parameters"]["Quoter"]["qty"] == 0.02
    assert found["meta"]["fees"] == "maker 1 bp, taker 4 bp"
    assert report.read_text().lstrip().lower().startswith("<!doctype html>")
    assert {path.name for path in saved.iterdir()} >= {"fills.parquet", "orders.parquet", "summary.json"}
    words = tercel("backtest", "quoter", market_tape)
    assert "Net profit" in words.out


def test_several_strategies_and_options_between_them(tercel: Callable, market_tape: Path) -> None:
    ran = tercel(
        "backtest", "quoter", "--set", "Quoter.qty=0.03", "ema-cross", market_tape, "--set", "fast.span=10", "--json"
    )
    assert ran.code == 0, ran.err
    assert ran.json["strategies"] == ["Quoter", "EmaCross"]
    parameters = ran.json["meta"]["parameters"]
    assert (parameters["Quoter"]["qty"], parameters["EmaCross"]["qty"]) == (0.03, 0.01)


def test_limits_reach_the_gate(tercel: Callable, market_tape: Path) -> None:
    ran = tercel("backtest", "quoter", market_tape, "--order-qty-max", "0.005", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["stats"]["n_orders"] == 0
    assert {row["reason"] for row in ran.json["refusals"]} == {"qty_cap"}
    assert tercel("backtest", "quoter", market_tape, "--position-max", "-1").code == 2


def test_a_file_runs_compiled_and_interpreted_alike(tercel: Callable, market_tape: Path, tmp_path: Path) -> None:
    path = strategy(tmp_path, "ctx.buy(trade.instrument, self.qty) if self.n % 50 == 1 else 0")
    compiled = tercel("backtest", f"{path}:Mine", market_tape, "--json").json
    interpreted = tercel("backtest", path, market_tape, "--no-jit", "--json").json
    assert compiled["stats"]["n_fills"] > 2
    assert compiled["stats"] == interpreted["stats"]


def test_a_file_s_code_is_found_in_the_cache_by_the_next_process(market_tape: Path, tmp_path: Path) -> None:
    path = strategy(tmp_path)
    command = [sys.executable, "-m", "tercel.cli.main", "backtest", str(path), str(market_tape), "--json"]
    environment = {**os.environ, "NUMBA_DEBUG_CACHE": "1"}
    first, second = (
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert "data saved" in first
    assert "Mine_on_trade" in first
    assert "data saved" not in second


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("self.missing += 1", 6, "missing"),
        ("self.n = 1 // (self.n - self.n)", 6, "ZeroDivisionError"),
        ("ctx.buy(7, self.qty)", 6, "IndexError"),
        ("self.n = len(open('x').read())", 6, "open"),
        ("for _ in range(5000): ctx.buy(trade.instrument, self.qty)", 6, "capacity 'commands'"),
    ],
)
def test_a_strategy_s_mistakes_end_with_6(
    tercel: Callable, market_tape: Path, tmp_path: Path, line: str, code: int, words: str
) -> None:
    path = strategy(tmp_path, line)
    ran = tercel("backtest", path, market_tape, "--report", tmp_path / "never.html")
    assert ran.code == code, ran.err
    assert words in ran.err
    assert "Mine.on_trade" in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "never.html").exists()


def test_strategies_that_cannot_be_loaded(tercel: Callable, market_tape: Path, tmp_path: Path) -> None:
    path = strategy(tmp_path)
    broken = tmp_path / "broken.py"
    broken.write_text("import tercel\nx = (\n")
    raising = tmp_path / "raising.py"
    raising.write_text("import tercel\n\nx = 1 / 0\n")
    cases = {
        "none": (2, "one of the library: ema-cross, quoter, imbalance-scalper, mean-reversion"),
        f"{tmp_path / 'gone.py'}:X": (2, "no strategy file at"),
        f"{path}:Other": (2, "it has: Mine"),
        "no_such_module:X": (2, "no module 'no_such_module'"),
        "tercel.bench.strategies": (2, "expected path/to/file.py:Class"),
        str(broken): (6, "line 2: SyntaxError"),
        str(raising): (6, "line 3: ZeroDivisionError"),
    }
    for spec, (code, words) in cases.items():
        ran = tercel("backtest", spec, market_tape)
        assert (ran.code, words in ran.message) == (code, True), (spec, ran.err)


def test_parameters_that_cannot_be_set(tercel: Callable, market_tape: Path, tmp_path: Path) -> None:
    path = strategy(tmp_path)
    cases = {
        "size=1": "Mine has qty, n, calm, fast.span",
        "qty=much": "expected float, found 'much'",
        "qty=nan": "expected a finite number",
        "n=1.5": "expected int, found '1.5'",
        "calm=maybe": "expected true or false",
        "fast.window=3": "Mine takes qty, n, calm, fast.span",
        "qty": "--set takes name=value",
    }
    for setting, words in cases.items():
        ran = tercel("backtest", path, market_tape, "--set", setting)
        assert (ran.code, words in ran.message) == (2, True), (setting, ran.err)
    assert tercel("backtest", path, market_tape, "--set", "calm=no", "--set", "fast.span=9", "--json").code == 0


def test_runs_that_cannot_be(tercel: Callable, market_tape: Path, tmp_path: Path) -> None:
    cases: list[tuple[tuple[object, ...], int, str]] = [
        (("quoter", tmp_path / "none.tape"), 3, "no tape at"),
        (("quoter", market_tape, "--queue", "magic"), 2, "queue must be one of risk_averse, power"),
        (("quoter", market_tape, "--latency-ms", "-1"), 2, "latency must be 0 ms or more"),
        (("quoter", market_tape, "--sample-s", "0"), 2, "sample_s must be above 0"),
        (("quoter", market_tape, "--channels", "bars"), 2, "the tape has no channel 'bars'"),
        (("quoter", market_tape, "--report", "/dev/full/x.html"), 4, "/dev/full"),
    ]
    for arguments, code, words in cases:
        ran = tercel("backtest", *arguments)
        assert (ran.code, words in ran.message) == (code, True), (arguments, ran.err)


def test_demo(tercel: Callable, tmp_path: Path) -> None:
    report = tmp_path / "demo.html"
    ran = tercel("demo", "--duration", "20s", "--dir", tmp_path, "--report", report, "--live", "3s", "--json")
    assert ran.code == 0, ran.err
    live = ran.json["live"]
    assert live["commands"] > 0
    assert live["same_commands"] is live["same_position"] is live["money_is_whole"] is True
    assert ran.json["stats"]["n_fills"] > 0
    assert report.stat().st_size > 10_000
    words = tercel("demo", "--duration", "20s", "--dir", tmp_path, "--report", report, "--live", "0")
    assert "write your own" in words.out
    assert str(report) in words.out


def test_warmup_and_doctor(tercel: Callable, tmp_path: Path) -> None:
    warm = tercel("warmup", strategy(tmp_path), "--json")
    assert warm.code == 0, warm.err
    assert warm.json["entries"] > 10
    assert warm.json["strategies"] == ["EmaCross", "Quoter", "ImbalanceScalper", "MeanReversion", "Mine"]
    doctor = tercel("doctor", "--json")
    assert doctor.code == 0, doctor.out
    assert doctor.json["ok"] is True
    verdicts = {row["what"]: row["verdict"] for row in doctor.json["findings"]}
    assert verdicts["self-test"] == verdicts["kernels"] == verdicts["cache directory"] == "ok"


def test_doctor_finds_a_cache_that_cannot_be_written(
    tercel: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("TERCEL_CACHE_DIR", str(blocked / "cache"))
    ran = tercel("doctor", "--json")
    assert ran.code == 1
    assert ran.json["ok"] is False
    (broken,) = [row for row in ran.json["findings"] if row["verdict"] == "broken"]
    assert broken["what"] == "cache directory"
    assert "TERCEL_CACHE_DIR" in broken["advice"]


def test_doctor_prunes_old_kernels_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tercel.cli import doctor

    current = [tmp_path / "kernels" / "current", tmp_path / "kernels" / "of_a_room"]
    for name in ("current", "of_a_room", "old1", "old2"):
        (tmp_path / "kernels" / name).mkdir(parents=True)
        (tmp_path / "kernels" / name / "x.nbc").write_bytes(b"12345")
    monkeypatch.setattr("tercel.jit.kernel_cache_dir", lambda *_: current[0])
    monkeypatch.setattr("tercel.jit.kernel_cache_dirs", lambda: set(current))
    findings = doctor.Findings()
    doctor._check_kernels(findings, prune=True)
    assert {path.name for path in (tmp_path / "kernels").iterdir()} == {"current", "of_a_room"}
    assert "2 directories deleted" in findings.rows[-1]["found"]


def test_bench_lists_asks_and_refuses(tercel: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from tercel.bench import run as room
    from tercel.bench.table import Reach, make_row

    def asked(inputs: room.Inputs) -> list:
        inputs.said("measuring")
        return [make_row("a question", unit="ns", ours=2.0, theirs=8.0, peer="peer", reach=Reach(ratio_min=3))]

    monkeypatch.setitem(room.QUESTIONS, "probe", (asked, False))
    assert "probe" in [row["question"] for row in tercel("bench", "--list", "--json").json]
    ran = tercel("bench", "probe", "--json")
    assert ran.code == 0, ran.err
    (row,) = ran.json
    assert (row["question"], row["ratio"], row["reached"], row["unit"]) == ("a question", 4.0, True, "ns")
    assert "4.0x" in tercel("bench", "probe").out
    assert "there are: decision, quoter" in tercel("bench", "nonsense").message
    assert tercel("bench", "quoter").code == 2
    assert tercel("bench", "--tape", "/no/such.tape").code == 3
