"""What the tests of the command line share: running a command in this process, and a small simulated tape."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercel.cli.main import run


class Ran:
    """What a command left: its exit code and what it wrote."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        """stdout as the one JSON value it must be."""
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """The one line of error on stderr."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("error: ")


@pytest.fixture
def tercel(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs `tercel ARGUMENTS` in this process."""

    def call(*arguments: object) -> Ran:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call


@pytest.fixture(scope="session")
def market_tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of a simulated market."""
    path = tmp_path_factory.mktemp("market") / "market.tape"
    assert run(["simulate", str(path), "--duration", "20s", "--seed", "3"]) == 0
    return path
