"""What commands write: results to stdout, everything else to stderr, drawn with rich where somebody looks.

With `--json` stdout carries one JSON value and nothing else. Progress goes to stderr: a moving bar on a terminal, one
line a step anywhere else. Called by every command; rich is imported when the first thing is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tercel.clock import monotonic_ns

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Terminal"]

_REDRAW_NS = 50_000_000
_QUICK_NS = 300_000_000


class Terminal:
    """Where one command writes. json: whether stdout is for machines."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self._stdout: Console | None = None
        self._stderr: Console | None = None

    @property
    def stderr(self) -> Console:
        """The console for everything that is not the result."""
        if self._stderr is None:
            from rich.console import Console

            self._stderr = Console(stderr=True, highlight=False, soft_wrap=True)
        return self._stderr

    def show(self, *drawn: Any) -> None:
        """Draw the result; nothing with --json."""
        if self.json:
            return
        if self._stdout is None:
            from rich.console import Console

            # A table folded to 80 columns is unreadable in a file or a pipe; there is room there.
            self._stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
        for part in drawn:
            self._stdout.print(part)

    def emit(self, value: Any) -> None:
        """Write the result as one JSON value; nothing without --json."""
        if self.json:
            import msgspec

            encoded = msgspec.json.encode(value, enc_hook=str)
            sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")

    def say(self, words: str) -> None:
        """A line to stderr."""
        self.stderr.print(words, markup=False)

    @contextmanager
    def bar(self, label: str, *, at_once: bool = False) -> Iterator[Callable[[int, int], None]]:
        """A step with progress: the body calls what it is given with (done, in all).

        Nothing is drawn for a step that is over within a third of a second, unless `at_once`.
        """
        step = _Step(self.stderr, label)
        if at_once:
            step.draw()
        try:
            yield step.tell
        finally:
            step.end()

    def panel(self, title: str, rows: list[tuple[str, str]]) -> None:
        """Draw a two-column table of facts."""
        if self.json:
            return
        from rich import box
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(title), title_justify="left", show_header=False, box=box.SIMPLE, pad_edge=False)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in rows:
            table.add_row(escape(name), escape(value))
        self.show(table)


class _Step:
    """One step's progress: a bar on a terminal, a line elsewhere."""

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._label = label
        self._begun_ns = self._last_ns = monotonic_ns()
        self._progress: Any = None
        self._task: Any = None
        self._is_drawn = False

    def draw(self) -> None:
        self._is_drawn = True
        if not self._console.is_terminal:
            self._console.print(self._label, markup=False)
            return
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task(self._label, total=None)
        self._progress.start()

    def tell(self, done: int, total: int) -> None:
        now_ns = monotonic_ns()
        if not self._is_drawn and now_ns - self._begun_ns > _QUICK_NS:
            self.draw()
        if self._progress is not None and (now_ns - self._last_ns > _REDRAW_NS or done >= total):
            self._last_ns = now_ns
            self._progress.update(self._task, completed=done, total=total)

    def end(self) -> None:
        if self._progress is not None:
            self._progress.stop()
