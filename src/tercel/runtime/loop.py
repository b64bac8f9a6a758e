"""The event loop of a session: uvloop where it is installed, asyncio's own elsewhere. Called by `live` and `cli`."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["busy_polling", "loop_name", "new_loop", "run"]

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


@contextmanager
def busy_polling(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Inside the block `loop` never sleeps: it looks for input again and again, and keeps its core fully busy.

    What a sleeping thread pays for being woken, some tens of microseconds a message, is not paid. On a core that others
    use too it costs more than it gives: they take turns with it, milliseconds at a time.
    """
    context = contextvars.Context()
    call_soon = loop.call_soon
    handle: asyncio.Handle

    def again() -> None:
        nonlocal handle
        # A loop with something to call looks for input without waiting for it.
        handle = call_soon(again, context=context)

    again()
    try:
        yield
    finally:
        handle.cancel()
