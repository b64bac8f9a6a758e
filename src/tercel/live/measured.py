"""The shell that measures itself: from the receipt of a message to the orders it led to, written.

Called by whoever shows a session. A measurement costs two readings of integers for a message without orders.
"""

from __future__ import annotations

from collections.abc import Callable

from tercel.live.driver import LiveCore
from tercel.live.glance import Recent
from tercel.live.shell import LiveShell

__all__ = ["MeasuredShell"]


class MeasuredShell(LiveShell):
    """A `LiveShell` that tells `recent` how long each message took that led to orders."""

    def __init__(self, core: LiveCore, recent: Recent, *, care: Callable[[], None] | None = None) -> None:
        super().__init__(core, care=care)
        self._recent = recent
        self._n_commands = 0

    def _carry(self) -> None:
        super()._carry()
        n = self.core.flow.n_commands
        if n != self._n_commands:
            self._n_commands = n
            self._recent.took(self.clock.wall_ns() - self.core.now_ns)
