"""The digest that names a strategy's compiled code: the same in every process, another after an edit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tercel.features.state import code_text

TEXT = """
import tercel as tc

class Inner(tc.Strategy):
    n: int = 0

    def on_trade(self, ctx, trade):
        if trade.side in {1, 7, -1, 300, 5000}:
            self.n += 1
"""

ASK = """
from solid import Inner
from tercel.strategy.compiler import code_digest
print(code_digest(Inner, Inner().record_dtype()))
"""


def digest_in_a_process(tmp_path: Path, seed: str, module: str = "solid") -> str:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ASK.replace("solid", module)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_digest_is_the_same_in_every_process(tmp_path: Path) -> None:
    (tmp_path / "solid.py").write_text(TEXT)
    first = digest_in_a_process(tmp_path, "1")
    assert len(first) == 12
    assert digest_in_a_process(tmp_path, "2") == first
    # A copy under another name has code of its own: what is cached refers to its module.
    (tmp_path / "copied.py").write_text(TEXT)
    assert digest_in_a_process(tmp_path, "1", "copied") != first
    (tmp_path / "solid.py").write_text(TEXT.replace("300", "301"))
    assert digest_in_a_process(tmp_path, "1") != first


SCRIPT = """
import tercel as tc
from tercel.strategy.compiler import code_digest, text_digest

LIMIT = 300


def large(size):
    return size > LIMIT


class Outer(tc.Strategy):
    mean: tc.Ema = tc.Ema(span=3)
    n: int = 0

    def on_trade(self, ctx, trade):
        if large(trade.size) and self.mean.update(trade.price) > 0.0:
            self.n += 1


if __name__ == "__main__":
    # Variables of the script, of names that the handler knows as attributes.
    price, size, n = 1, 2, 3
    print(text_digest(Outer, Outer().record_dtype()), code_digest(Outer, Outer().record_dtype()))
"""


def test_a_class_of_a_script_is_the_one_of_its_file(tmp_path: Path) -> None:
    from tercel.cli.strategy_spec import load_class
    from tercel.strategy.compiler import code_digest, text_digest

    script = tmp_path / "script.py"

    def of_both() -> tuple[list[str], list[str]]:
        done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        copy = tmp_path / f"copy_{len(list(tmp_path.iterdir()))}.py"
        copy.write_text(script.read_text())
        cls = load_class(f"{copy}:Outer")
        dtype = cls().record_dtype()
        return done.stdout.split(), [text_digest(cls, dtype), code_digest(cls, dtype)]

    script.write_text(SCRIPT)
    run, loaded = of_both()
    assert run[0] == loaded[0]
    assert run[1] != loaded[1], "what is compiled for one module cannot be loaded by another"
    script.write_text(SCRIPT.replace("LIMIT = 300", "LIMIT = 301"))
    edited, edited_loaded = of_both()
    assert edited[0] == edited_loaded[0] != run[0]


def test_inner_functions_and_sets_have_no_addresses_in_their_text() -> None:
    def outer(x: int) -> list[int]:
        return [i for i in range(x) if i in {3, 1, 2}]

    text = code_text(outer.__code__)
    assert " at 0x" not in text
    assert "['1', '2', '3']" in text.replace('"', "").replace("\\", "")
