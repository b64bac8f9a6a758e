"""Finds the user's line at which a compiled handler raised, by running its plain function once more on a copy.

Compiled code keeps no lines. The handler has already changed its state when it raises, so a second run on a copy of
the block need not go the same way: a line is named only where it raises the same exception. Nothing of the engine
changes. Called by `engine.errors`, once, when a run has ended.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

import tercel
from tercel.features.state import StateView, view_class
from tercel.jit import address_of, interpreted, record
from tercel.strategy.context import CONTEXT, ContextView
from tercel.strategy.contract import HANDLERS
from tercel.strategy.views import VIEW_STRIDE

if TYPE_CHECKING:
    from tercel.engine.engine import Engine

__all__ = ["line_of", "user_line"]

#: Lines of the user a second run may take before it is given up.
_LINES_MAX = 200_000
_PACKAGE = str(Path(tercel.__file__).parent)


class _GivenUp(BaseException):
    """The second run took too long."""


def line_of(error: BaseException) -> str:
    """Where an exception came from, as `file:line (text)`: the innermost frame outside this package."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_PACKAGE)]
    if not frames:
        return ""
    frame = (own or list(frames))[-1]
    return f"{frame.filename}:{frame.lineno} ({frame.line})"


def user_line(engine: Engine, handler: str, strategy: int, kind: str) -> str:
    """The line at or near which the handler raised an exception of class name `kind`, or an empty string.

    Tried with no order asked for, then with as many as there is room for: which it was is not known any more.
    """
    for is_full in (False, True):
        line = _line_of_copy(engine, handler, strategy, kind, is_full)
        if line:
            return line
    return ""


def _line_of_copy(engine: Engine, handler: str, strategy: int, kind: str, is_full: bool) -> str:
    block = np.zeros(len(engine.block) + 64, np.uint8)
    start = -address_of(block) % 64
    copy = block[start : start + len(engine.block)]
    copy[:] = engine.block
    base = address_of(copy)
    head: Any = record(base, CONTEXT)
    head["strategy"] = strategy
    head["n_proposals"] = head["proposals_max"] if is_full else 0
    event = HANDLERS[handler]
    compiled = engine.compiled[strategy]
    state = record(base + engine.layout.state_offsets[strategy], compiled.dtype)
    arguments = [view_class(engine.strategies[strategy])(state), ContextView(head)]
    if event is not None:
        view = base + int(head["off_view"]) + list(HANDLERS).index(handler) * VIEW_STRIDE
        arguments.append(StateView(record(view, event)))
    try:
        _run(interpreted(compiled.source.handlers()[handler]), arguments)
    except (Exception, _GivenUp) as error:
        return line_of(error) if type(error).__name__ == kind else ""
    return ""


def _run(function: Any, arguments: list[Any]) -> None:
    left = _LINES_MAX

    def trace(frame: FrameType, what: str, _arg: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename.startswith(_PACKAGE):
            return None
        if what == "line":
            left -= 1
            if left < 0:
                raise _GivenUp
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
