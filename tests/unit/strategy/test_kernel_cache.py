"""Compiled strategies are loaded by processes that know nothing of the module they were written in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tercel.jit import COMPILED

# A document or a notebook runs its code under a name that nobody can import.
PROGRAM = """\
import pathlib
text = '''
import tercel as tc

class Counter(tc.Strategy):
    seen: int = 0
    def on_quote(self, ctx, quote):
        self.seen += 1
        if self.seen > 1_000_000:
            raise ValueError("too many")
'''
file = pathlib.Path("cell.py")
file.write_text(text)
scope = {"__name__": "no_module_of_this_name"}
exec(compile(text, str(file.resolve()), "exec"), scope)
from tercel.strategy.compiler import compile_strategy
made = compile_strategy(scope["Counter"]())
(kept,) = made.keep
print(dict(kept.stats.cache_hits) != {}, len(made.addresses))
"""


@pytest.mark.skipif(not COMPILED, reason="the interpreter keeps no kernels")
def test_a_class_of_no_module_is_loaded_from_the_cache(tmp_path):
    environment = {**os.environ, "TERCEL_CACHE_DIR": str(tmp_path / "cache")}
    said = [
        subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, env=environment, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [s.stdout.split() for s in said] == [["False", "1"], ["True", "1"]], [s.stderr for s in said]
