"""A process that compiles what it is told and fills the kernel cache: `python -m tercel.cli.compile_worker`.

Reads one JSON task a line from stdin, answers each with a line on stdout once it is done. Errors are not reported:
whoever needs the code compiles it itself then and gets the whole explanation. Started by `warm` only.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

__all__ = ["main"]


def _compile(task: dict[str, Any]) -> None:
    from tercel.jit import ENTRIES

    if "entry" in task:
        importlib.import_module(task["module"])
        next(e for e in ENTRIES if e.name == task["entry"]).compile()
        return
    from tercel.cli.strategy_spec import make_strategies
    from tercel.strategy.compiler import compile_strategy

    for strategy in make_strategies([task["strategy"]]):
        compile_strategy(strategy)


def main() -> None:
    """Work until stdin ends."""
    for line in sys.stdin:
        try:
            _compile(json.loads(line))
        except Exception as error:
            print(f"failed {type(error).__name__}", flush=True)
        else:
            print("done", flush=True)


if __name__ == "__main__":
    main()
