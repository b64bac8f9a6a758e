"""Compiling ahead: what is not in the kernel cache is compiled by one process a core, side by side, with progress.

Numba compiles one function at a time in a process; the two large kernels of a backtest side by side take half as long.
Compiling elsewhere also keeps the compiler's memory out of the run. Called before a run, and by `tercel warmup`.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from tercel.cli.terminal import Terminal
from tercel.clock import monotonic_ns

__all__ = [
    "BACKTEST_ENTRIES", "INFO_ENTRIES", "LIVE_ENTRIES", "MARKET_ENTRIES", "PAPER_ENTRIES", "TAPE_VENUE_ENTRIES",
    "VENUE_ENTRIES", "all_entries", "cold_entries", "warm",
]  # fmt: skip

#: Entries by module: what each kind of run needs.
BACKTEST_ENTRIES: dict[str, tuple[str, ...]] = {
    "tercel.engine.step": ("engine_step",),
    "tercel.sim.driver": ("simulate",),
    "tercel.engine.engine": ("_book_init",),
    "tercel.sim.venue": ("_venue_book_init",),
}
PAPER_ENTRIES: dict[str, tuple[str, ...]] = {
    "tercel.engine.step": ("engine_step",),
    "tercel.engine.engine": ("_book_init",),
    "tercel.sim.venue": ("_venue_book_init",),
    "tercel.sim.venue_steps": ("venue_advance", "venue_send"),
    "tercel.book.views": ("view_level",),
}
#: What decodes a venue's messages.
LIVE_ENTRIES: dict[str, tuple[str, ...]] = {
    "tercel.engine.step": ("engine_step",),
    "tercel.engine.engine": ("_book_init",),
    "tercel.book.views": ("view_level",),
    "tercel.venues.binance.scan": ("scan_message",),
}
MARKET_ENTRIES: dict[str, tuple[str, ...]] = {
    "tercel.sim.market_flow": ("market_run", "market_open", "market_snapshot")
}
VENUE_ENTRIES: dict[str, tuple[str, ...]] = {
    **MARKET_ENTRIES,
    "tercel.sim.market_foreign": ("market_submit", "market_cancel", "market_reduce"),
}
TAPE_VENUE_ENTRIES: dict[str, tuple[str, ...]] = {
    "tercel.sim.serving": ("serve_rows", "serve_command"),
    "tercel.engine.step": ("engine_step",),
    "tercel.sim.venue": ("_venue_book_init",),
}
INFO_ENTRIES: dict[str, tuple[str, ...]] = {
    "tercel.book.audit": ("audit_rows", "audit_init", "audit_check"),
    "tercel.book.views": ("view_depth",),
}

#: About how long the slow ones take, seconds: the order they are handed out in and how far the bar moves.
_EXPECTED_S = {
    "engine_step": 7.0,
    "simulate": 6.0,
    "venue_advance": 3.0,
    "serve_command": 3.0,
    "serve_rows": 3.0,
    "market_run": 2.0,
    "l3_write": 1.5,
    "l3_read": 1.0,
}
_SMALL_S, _STRATEGY_S = 0.3, 1.0
#: Below this much work, starting processes does not pay.
_ALONE_S = 1.5


class _Task:
    """One thing to compile."""

    def __init__(self, message: dict[str, Any], expected_s: float) -> None:
        self.message = message
        self.expected_s = expected_s
        self.begun_ns = 0
        self.is_done = False

    def share(self, now_ns: int) -> float:
        """Seconds of the expected time that are over; never whole before it is done."""
        if self.is_done:
            return self.expected_s
        if not self.begun_ns:
            return 0.0
        return min((now_ns - self.begun_ns) / 1e9, 0.95 * self.expected_s)


def all_entries() -> dict[str, tuple[str, ...]]:
    """Every entry of the package by module; imports all rooms that have kernels, the benchmark's left out."""
    import pkgutil

    import tercel
    from tercel.jit import ENTRIES

    for room in ("book", "engine", "execution", "features", "orders", "risk", "sim", "strategy", "venues"):
        package = importlib.import_module(f"{tercel.__name__}.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
    modules: dict[str, tuple[str, ...]] = {}
    for entry in ENTRIES:
        name = entry.function.__module__
        # A program of the user's may have entries of its own; no worker could import those.
        if not name.startswith(f"{tercel.__name__}."):
            continue
        modules[name] = (*modules.get(name, ()), entry.function.__name__)
    return modules


def cold_entries(modules: dict[str, tuple[str, ...]]) -> list[str]:
    """Names of the entries that the cache does not hold."""
    return [task.message["entry"] for task in _cold_tasks(modules)]


def _cold_tasks(modules: dict[str, tuple[str, ...]]) -> list[_Task]:
    from tercel.jit import ENTRIES

    for name in modules:
        importlib.import_module(name)
    tasks = []
    for entry in ENTRIES:
        module, name = entry.function.__module__, entry.function.__name__
        if name in modules.get(module, ()) and not entry.is_cached():
            tasks.append(_Task({"entry": entry.name, "module": module}, _EXPECTED_S.get(name, _SMALL_S)))
    return tasks


def warm(
    terminal: Terminal,
    modules: dict[str, tuple[str, ...]],
    strategies: Sequence[str] = (),
    *,
    always: bool = False,
) -> int:
    """Compile the entries that are not cached, and with them the strategies named; returns how many tasks there were.

    modules: entries by module. strategies: specifications, see `strategy_spec`; handed to the workers only when
    something else is cold, or `always`. Nothing happens where the kernels are interpreted.
    """
    from tercel.jit import COMPILED

    if not COMPILED:
        return 0
    tasks = _cold_tasks(modules)
    if tasks or always:
        tasks += [_Task({"strategy": spec}, _STRATEGY_S) for spec in strategies]
    expected_s = sum(task.expected_s for task in tasks)
    if not tasks or (expected_s < _ALONE_S and not always):
        return 0
    tasks.sort(key=lambda task: -task.expected_s)
    with terminal.bar("compiling kernels (first run only)", at_once=True) as tell:
        _work(tasks, lambda done_s: tell(round(100 * done_s), round(100 * expected_s)))
    return len(tasks)


def _work(tasks: list[_Task], told: Any) -> None:
    """Hand the tasks to workers, one at a time each, until all are done or no worker is left."""
    waiting = list(reversed(tasks))
    answers: queue.Queue[tuple[int, str]] = queue.Queue()
    n_workers = max(1, min(len(tasks), os.cpu_count() or 1))
    workers = [_start(i, answers) for i in range(n_workers)]
    current: dict[int, _Task] = {}
    try:
        for i in range(n_workers):
            _hand(workers[i], current, i, waiting)
        while current:
            try:
                i, answer = answers.get(timeout=0.1)
            except queue.Empty:
                pass
            else:
                current.pop(i).is_done = True
                if answer:
                    _hand(workers[i], current, i, waiting)
            now_ns = monotonic_ns()
            told(sum(task.share(now_ns) for task in tasks))
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def _start(i: int, answers: queue.Queue[tuple[int, str]]) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-m", "tercel.cli.compile_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def listen() -> None:
        assert worker.stdout is not None
        for line in worker.stdout:
            answers.put((i, line))
        answers.put((i, ""))  # it has ended: what it was at is not compiled, and will be by whoever needs it

    threading.Thread(target=listen, daemon=True).start()
    return worker


def _hand(worker: subprocess.Popen[str], current: dict[int, _Task], i: int, waiting: list[_Task]) -> None:
    if not waiting:
        return
    assert worker.stdin is not None
    task = waiting.pop()
    try:
        worker.stdin.write(json.dumps(task.message) + "\n")
        worker.stdin.flush()
    except BrokenPipeError:
        return
    task.begun_ns = monotonic_ns()
    current[i] = task
