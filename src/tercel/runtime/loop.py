"""The event loop of a session: uvloop where it is installed, asyncio's own elsewhere. Called by `live` and `cli`."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["loop_name", "new_loop", "run"]

T = TypeVar("T")


def new_loop() -> asyncio.AbstractEventLoop:
    """A new event loop, not running: uvloop's, or asyncio's where there is none."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def loop_name(loop: asyncio.AbstractEventLoop) -> str:
    """Which implementation a loop is, for logs and reports."""
    return type(loop).__module__.partition(".")[0]


def run(main: Coroutine[Any, Any, T], *, debug: bool = False) -> T:
    """Run `main` in a new loop to its end; what it left running is cancelled, then the loop is closed.

    SIGINT cancels `main` unless a `Shutdown` has taken the signals.
    """
    with asyncio.Runner(loop_factory=new_loop, debug=debug) as runner:
        return runner.run(main)
