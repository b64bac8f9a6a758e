"""Help, versions and the way into a command: no heavy import before it is needed, nothing raised."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest

from tercel.cli.main import COMMANDS, EXIT_CODES

HEAVY = ("numba", "numpy", "polars", "rich", "msgspec", "llvmlite")


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom tercel.cli.main import run\n"
        f"code = run({arguments!r})\n"
        f"found = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'imported {found}' if found or code else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: tercel")
    assert done.stderr == ""


def test_top_help_names_every_command_and_exit_code(tercel: Callable) -> None:
    ran = tercel("--help")
    assert ran.code == 0
    for name, (_, summary) in COMMANDS.items():
        assert f"{name} " in ran.out
        assert summary in ran.out
    for number in EXIT_CODES:
        assert f"\n  {number} " in ran.out
    assert tercel().out == ran.out


def test_exit_codes_are_those_of_the_exceptions() -> None:
    from tercel import errors

    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    assert codes == set(EXIT_CODES) - {0, 130}


def test_version(tercel: Callable) -> None:
    import tercel as package

    assert tercel("--version").out == f"tercel {package.__version__}\n"


def test_a_wrong_command_is_named_and_a_near_one_offered(tercel: Callable) -> None:
    ran = tercel("backtets")
    assert ran.code == 2
    assert ran.message == "no command 'backtets': did you mean 'backtest'? (see tercel --help)"
    assert "commands are demo, import," in tercel("zzz").message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("info",), "the following arguments are required: TAPE (see tercel info --help)"),
        (("import", "x", "--bogus"), "unrecognized arguments: --bogus (see tercel import --help)"),
        (("backtest", "quoter", "x.tape", "--latency-ms", "fast"), "invalid float value: 'fast'"),
        (("simulate", "x.tape", "--rows", "5", "--duration", "1m"), "not allowed with argument"),
    ],
)
def test_wrong_arguments_end_with_2_and_one_line(tercel: Callable, arguments: tuple[str, ...], words: str) -> None:
    ran = tercel(*arguments)
    assert ran.code == 2
    assert words in ran.message


def test_an_interrupt_ends_with_130(tercel: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("tercel.cli.info.run", interrupted)
    ran = tercel("info", "x.tape", "--json")
    assert ran.code == 130
    assert ran.message == "interrupted; nothing half-written was left"
    assert ran.json == {"error": ran.message, "kind": "KeyboardInterrupt", "exit_code": 130}


def test_a_bug_says_so_and_shows_its_traceback_on_demand(tercel: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        return 1 // 0

    monkeypatch.setattr("tercel.cli.info.run", broken)
    ran = tercel("info", "x.tape")
    assert ran.code == 1
    assert ran.message.startswith("ZeroDivisionError: ")
    assert "bug in tercel: run again with --debug" in ran.message
    assert "Traceback" in tercel("info", "x.tape", "--debug").err


def test_a_reader_that_goes_away_is_no_error(market_tape: object) -> None:
    command = (
        f"{shlex.quote(sys.executable)} -m tercel.cli.main info {shlex.quote(str(market_tape))} --json | head -c 10"
    )
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stdout)) == (0, 10)
    assert "rror" not in done.stderr
