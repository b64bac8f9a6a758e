"""The scripts in examples/ do what they say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_quickstart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = load("quickstart").main(tmp_path)
    assert len(result.fills) > 10
    assert (tmp_path / "quickstart.html").stat().st_size > 10_000
    assert "Net profit" in capsys.readouterr().out


def test_own_queue_model(tmp_path: Path) -> None:
    fills = load("own_queue_model").main(tmp_path)
    assert list(fills) == ["risk_averse", "power", "half ahead"]
    # Believing that half of the cancels were in front of us moves us up further than believing that none were.
    assert 0 < fills["risk_averse"] <= fills["half ahead"]


def test_import_and_backtest(tmp_path: Path) -> None:
    result = load("import_and_backtest").main(tmp_path)
    assert len(result.fills) > 50
    assert (tmp_path / "bars.tape").is_file()
    assert (tmp_path / "bars-result" / "summary.json").is_file()


def test_compare_latency(tmp_path: Path) -> None:
    table = load("compare_latency").main(tmp_path)
    assert [ms for ms, _, _ in table] == [0.5, 2.0, 10.0, 50.0, 200.0]
    assert all(n_fills > 0 for _, n_fills, _ in table)


def test_work_an_order(tmp_path: Path) -> None:
    found = load("work_an_order").main(tmp_path)
    assert list(found) == ["at once", "twap", "pov", "twap, resting"]
    assert found["twap"][0] == pytest.approx(3.0)
    assert all(0 < bought < 3.0000001 for bought, _ in found.values())


def test_live_signals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = load("live_signals").main(tmp_path, seconds=3.0)
    assert report.error is None
    assert report.last.n_fills > 0
    assert report.actors.signals["momentum"].n_sent > 0
    assert "signals" in capsys.readouterr().out


def test_every_example_is_tested() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in EXAMPLES.glob("*.py")} <= tested
