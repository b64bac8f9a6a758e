"""The commands and programs of the README and of the first pages of the docs, run as they stand.

A fenced block is run when the line before it says `<!-- run: NAME -->`. The blocks of a page run in order in one empty
directory: Python blocks share their names, as in a notebook, and are also written to the file the page calls them;
shell blocks run line by line.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

_BLOCK = re.compile(r"<!-- run: ([\w-]+) -->\n```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: Block -> the file that the page tells its reader to save it as.
SAVED_AS = {"strategy": "ema_cross.py"}


def _blocks(path: Path) -> list[tuple[str, str, str]]:
    return [(m[1], m[2], m[3]) for m in _BLOCK.finditer(path.read_text(encoding="utf-8"))]


def _run_command(line: str, directory: Path) -> None:
    words = shlex.split(line, comments=True)
    if not words:
        return
    assert words[0] == "tercel", f"only tercel's commands are run from the documents, found {line!r}"
    done = subprocess.run(
        [sys.executable, "-m", "tercel.cli.main", *words[1:]],
        cwd=directory,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert done.stdout.strip(), f"{line} says nothing"


def _run_page(path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.chdir(directory)
    scope: dict[str, object] = {"__name__": "page"}
    for name, language, text in _blocks(path):
        if language == "sh":
            for line in text.splitlines():
                _run_command(line, directory)
            continue
        assert language == "python", f"{path.name}: a block in {language} cannot be run"
        # From a file, because a handler's source is read back.
        file = directory / SAVED_AS.get(name, f"{name}.py")
        file.write_text(text, encoding="utf-8")
        exec(compile(text, str(file), "exec"), scope)
    return scope


def test_the_readme(repo, tmp_path, monkeypatch, capsys):
    scope = _run_page(repo / "README.md", tmp_path, monkeypatch)
    result = scope["result"]
    assert (tmp_path / "out.html").stat().st_size > 50_000
    assert len(result.orders) > 0  # type: ignore[attr-defined]
    assert "EmaCross" in capsys.readouterr().out


def test_live_trading_from_python(repo, tmp_path, monkeypatch):
    scope = _run_page(repo / "docs/live-trading.md", tmp_path, monkeypatch)
    report = scope["report"]
    assert report.error is None  # type: ignore[attr-defined]
    assert report.last.n_rows > 0  # type: ignore[attr-defined]


def test_getting_started(repo, tmp_path, monkeypatch):
    scope = _run_page(repo / "docs/getting-started.md", tmp_path, monkeypatch)
    assert len(scope["result"].fills) >= 1  # type: ignore[attr-defined]


def test_the_strategy_of_the_strategies_page(repo, tmp_path, monkeypatch):
    import tercel as tc

    scope = _run_page(repo / "docs/strategies.md", tmp_path, monkeypatch)
    rows = tc.simulate_market(tc.MarketModel(), seed=1, n_rows=20_000)
    instrument = tc.Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
    run = tc.Backtest(scope["Skewed"](qty=0.02), rows, instruments=[instrument])  # type: ignore[operator]
    result = run.run()
    assert result is not None
    state = run.engine.state(0)
    span_s = (int(rows["ts_recv"][-1]) - run.start_ns) / 1e9
    assert abs(int(state["quotes"]) - span_s * 10) <= 2
    assert float(state["qty"]) == 0.02


def test_the_actor_of_the_runtime_page(repo, tmp_path, monkeypatch):
    scope = _run_page(repo / "docs/runtime.md", tmp_path, monkeypatch)
    report = scope["report"]
    (slope,) = report.actors  # type: ignore[attr-defined]
    assert (slope.state, slope.n_errors, slope.n_dropped) == ("stopped", 0, 0)
    n_signals = report.signals["slope"].n_sent  # type: ignore[attr-defined]
    assert n_signals > 10
    assert int(scope["engine"].state(0)["heard"]) == n_signals  # type: ignore[attr-defined]
    assert len(scope["commands"]) > 0  # type: ignore[arg-type]


def test_the_edge_of_the_network_page(repo, tmp_path, monkeypatch):
    scope = _run_page(repo / "docs/network.md", tmp_path, monkeypatch)
    assert scope["n_bids"] == 5
    assert len(scope["prices"]) >= 3  # type: ignore[arg-type]
    assert all(price > 0 for price in scope["prices"])  # type: ignore[attr-defined]


def test_the_execution_page(repo, tmp_path, monkeypatch):
    from tercel.model.reasons import SCHEDULE_DONE

    scope = _run_page(repo / "docs/execution.md", tmp_path, monkeypatch)
    patient = scope["run"].engine.state(0)  # type: ignore[attr-defined]
    assert (int(patient["reason"]), float(patient["average"]) > 0) == (SCHEDULE_DONE, True)
    assert len(scope["result"].orders) == 20  # type: ignore[attr-defined]
    assert int(scope["learned"].engine.view("parents")[0]["filled"]) == 200  # type: ignore[attr-defined]
    result = scope["routed"].run()  # type: ignore[attr-defined]
    assert {int(i) for i in result.log.commands["instrument"]} <= {0, 1}
    assert int(result.log.commands["qty"].sum()) == 300


def test_the_strategy_is_short(repo):
    (text,) = [text for name, _, text in _blocks(repo / "README.md") if name == "strategy"]
    assert len([line for line in text.splitlines() if line.strip()]) <= 15


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
@pytest.mark.parametrize("target", ["demo", "test"])
def test_both_commands_of_the_readme_are_targets(repo, target):
    text = (repo / "README.md").read_text(encoding="utf-8")
    assert f"make {target} " in text
    done = subprocess.run(["make", "--dry-run", target], cwd=repo, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
