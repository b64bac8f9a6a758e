"""`tercel warmup`: everything compiled now."""

from __future__ import annotations

import argparse

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Compile every kernel and the strategies named, so that later runs start at once.

Compiled code is kept in the cache directory until tercel, Numba or NumPy changes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("strategies", nargs="*", metavar="STRATEGY", help="strategies to compile as well; those that\n"
                        "ship with tercel always are")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Compile what is cold and say how long it took."""
    from tercel.cli.strategy_spec import make_strategies
    from tercel.cli.terminal import Terminal
    from tercel.cli.warm import all_entries, cold_entries, warm
    from tercel.clock import monotonic_ns
    from tercel.errors import StorageError
    from tercel.jit import COMPILED, kernel_cache_dir
    from tercel.strategy.compiler import compile_strategy
    from tercel.strategy.library import LIBRARY

    terminal = Terminal(json=options.json)
    if not COMPILED:
        terminal.say(
            "note: NUMBA_DISABLE_JIT is set, so kernels run in the interpreter and there is nothing to compile"
        )
    begun_ns = monotonic_ns()
    strategies = make_strategies(options.strategies)  # what cannot be found is said before anything is compiled
    entries = all_entries()
    n_entries = sum(len(names) for names in entries.values())
    n_cold = len(cold_entries(entries))
    warm(terminal, entries, list(LIBRARY) if n_cold else [], always=n_cold > 0)
    with terminal.bar("compiling strategies") as tell:
        every = [*make_strategies(list(LIBRARY)), *strategies]
        for i, strategy in enumerate(every):
            tell(i, len(every))
            compile_strategy(strategy)
    left = cold_entries(entries)
    if left:
        raise StorageError(
            f"{len(left)} kernels could not be compiled into {kernel_cache_dir()} ({', '.join(left[:3])} ...): is the "
            f"directory writable, and its disk not full? `tercel doctor` tells more"
        )
    seconds = (monotonic_ns() - begun_ns) / 1e9
    found = {
        "entries": n_entries,
        "compiled_now": n_cold,
        "strategies": [type(strategy).__name__ for strategy in every],
        "seconds": round(seconds, 3),
        "cache": str(kernel_cache_dir()),
    }
    terminal.emit(found)
    rows = [
        ("kernels", f"{n_entries} warm, {n_cold} of them compiled now"),
        ("strategies", ", ".join(type(strategy).__name__ for strategy in every)),
        ("took", f"{seconds:.1f} s"),
        ("cache", str(kernel_cache_dir())),
    ]
    terminal.panel("warmup", rows)
    return 0
