"""`tercel doctor`: is this installation sound, and what would make it faster."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal

__all__ = ["DESCRIPTION", "Findings", "add_arguments", "directory_bytes", "old_kernels", "run", "self_test"]

DESCRIPTION = """Check this installation: versions, processor, cache, kernels, clock, and a self-test that runs one
strategy compiled and interpreted and compares every byte of state. Exit code 1 when something is broken."""

OK, NOTE, BROKEN = "ok", "note", "broken"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--prune", action="store_true", help="delete kernels of other versions of the source")


class Findings:
    """What was looked at, what was found, and whether it is well."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def add(self, what: str, found: str, verdict: str = OK, advice: str = "") -> None:
        """Note one finding. advice: what to do about it."""
        self.rows.append({"what": what, "found": found, "verdict": verdict, "advice": advice})

    @property
    def is_broken(self) -> bool:
        """Whether anything is broken."""
        return any(row["verdict"] == BROKEN for row in self.rows)


def directory_bytes(path: Path) -> int:
    """Bytes of all files under a directory, 0 when there is none."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.1f} MB"


def _processor() -> str:
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _check_versions(findings: Findings) -> None:
    import os
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import tercel

    findings.add("tercel", tercel.__version__)
    findings.add("python", platform.python_version())
    for name in ("numba", "numpy", "llvmlite", "polars", "msgspec", "rich"):
        try:
            findings.add(name, version(name))
        except PackageNotFoundError:
            findings.add(name, "missing", BROKEN, "install tercel again: pip install --force-reinstall tercel")
    findings.add("processor", f"{_processor()}, {os.cpu_count()} cores")


def _check_cache(findings: Findings) -> None:
    import tempfile

    from tercel.config import cache_dir

    path = cache_dir()
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as file:
            file.write(b"tercel")
            file.flush()
    except OSError as error:
        advice = "point TERCEL_CACHE_DIR at a directory that can be written"
        findings.add("cache directory", f"{path}: {error.strerror}", BROKEN, advice)
        return
    findings.add("cache directory", f"{path}, {_size(directory_bytes(path))}")


def old_kernels() -> list[Path]:
    """Kernel caches of another source, version or flag than the running one."""
    from tercel.jit import kernel_cache_dir, kernel_cache_dirs

    current, every = kernel_cache_dirs(), kernel_cache_dir().parent
    if not every.is_dir():
        return []
    return sorted(path for path in every.iterdir() if path.is_dir() and path not in current)


def _check_kernels(findings: Findings, *, prune: bool) -> None:
    import shutil

    from tercel.cli.warm import all_entries, cold_entries
    from tercel.jit import COMPILED, kernel_cache_dir

    if not COMPILED:
        advice = "unset NUMBA_DISABLE_JIT for speed"
        findings.add("kernels", "interpreted: NUMBA_DISABLE_JIT is set", NOTE, advice)
    else:
        entries = all_entries()
        n, n_cold = sum(len(names) for names in entries.values()), len(cold_entries(entries))
        words = f"{n - n_cold} of {n} compiled, in {kernel_cache_dir().name}"
        if n_cold:
            findings.add("kernels", words, NOTE, "tercel warmup compiles the rest; otherwise first runs do")
        else:
            findings.add("kernels", words)
    old = old_kernels()
    if not old:
        return
    size = _size(sum(directory_bytes(path) for path in old))
    if not prune:
        findings.add("old kernels", f"{len(old)} directories, {size}", NOTE, "tercel doctor --prune deletes them")
        return
    for path in old:
        shutil.rmtree(path, ignore_errors=True)
    findings.add("old kernels", f"{len(old)} directories deleted, {size}")


def _check_clock(findings: Findings) -> None:
    from tercel.clock import monotonic_ns

    steps = []
    for _ in range(200):
        first = second = monotonic_ns()
        while second == first:
            second = monotonic_ns()
        steps.append(second - first)
    step = sorted(steps)[len(steps) // 2]
    if step <= 1_000:
        findings.add("clock", f"steps of {step} ns, as seen from Python")
    else:
        findings.add("clock", f"steps of {step:,} ns", NOTE, "latencies measured here are that coarse")


def self_test() -> tuple[str, str]:
    """State hashes of one strategy over a tiny synthetic tape, compiled and interpreted handlers."""
    import numpy as np

    from tercel.engine.engine import Engine
    from tercel.model.events import BUY, EXCH, LAST, LEVEL, LOCAL, SELL, TRADE, event_rows
    from tercel.model.instrument import Instrument
    from tercel.model.units import to_decimal
    from tercel.strategy.library.ema_cross import EmaCross

    n = 600
    rows = event_rows(n)
    i = np.arange(n)
    rows["ts_exch"] = rows["ts_recv"] = 1_700_000_000_000_000_000 + i * 1_000_000
    rows["flags"] = EXCH | LOCAL | LAST
    kinds = i % 3
    rows["kind"] = np.where(kinds == 2, TRADE, LEVEL)
    rows["side"] = np.where(kinds == 0, BUY, SELL)
    rows["px"] = np.where(kinds == 0, 9_990, np.where(kinds == 1, 10_010, 10_000 + (i * i) % 17))
    rows["qty"] = 5 + i % 7
    instrument = Instrument(symbol="TEST", tick_size=to_decimal("0.1", "tick"), lot_size=to_decimal("0.01", "lot"))
    hashes = []
    for jit in (True, False):
        engine = Engine([instrument], [EmaCross()], jit=jit)
        engine.start(int(rows["ts_recv"][0]))
        engine.run(rows)
        hashes.append(engine.state_hash())
    return hashes[0], hashes[1]


def _check_self_test(findings: Findings, terminal: Terminal) -> None:
    from tercel.cli.warm import warm
    from tercel.jit import COMPILED

    warm(terminal, {"tercel.engine.step": ("engine_step",), "tercel.engine.engine": ("_book_init",)}, ["ema-cross"])
    try:
        compiled, interpreted = self_test()
    except Exception as error:
        advice = "run again with --debug and report it"
        findings.add("self-test", f"failed: {type(error).__name__}: {error}", BROKEN, advice)
        return
    if not COMPILED:
        findings.add("self-test", f"interpreted only, state {interpreted}", NOTE)
    elif compiled == interpreted:
        findings.add("self-test", f"compiled and interpreted handlers agree, state {compiled}")
    else:
        words = f"compiled handlers end in {compiled}, interpreted in {interpreted}"
        findings.add("self-test", words, BROKEN, "delete the cache directory; report it if that does not help")


_COLOUR = {OK: "green", NOTE: "yellow", BROKEN: "bold red"}


def _draw(findings: Findings) -> Any:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="tercel doctor", title_justify="left", box=box.SIMPLE, pad_edge=False)
    for name in ("what", "found", "verdict", "advice"):
        table.add_column(name, overflow="fold")
    for row in findings.rows:
        colour = _COLOUR[row["verdict"]]
        table.add_row(row["what"], escape(row["found"]), f"[{colour}]{row['verdict']}[/]", escape(row["advice"]))
    return table


def run(options: argparse.Namespace) -> int:
    """Look at everything and say what was found; 1 when something is broken."""
    from tercel.cli.terminal import Terminal

    terminal = Terminal(json=options.json)
    findings = Findings()
    _check_versions(findings)
    _check_cache(findings)
    if not findings.is_broken:
        _check_clock(findings)
        _check_self_test(findings, terminal)
        _check_kernels(findings, prune=options.prune)
    terminal.emit({"ok": not findings.is_broken, "findings": findings.rows})
    terminal.show(_draw(findings))
    return 1 if findings.is_broken else 0
