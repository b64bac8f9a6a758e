"""Many calls at once, a bounded number under way, results in input order.

Called by `net.endpoints`, `live` and `bench`; knows nothing of what is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tercel.errors import ConfigError

__all__ = ["Outcome", "process_batch_concurrent"]

Item = TypeVar("Item")
Value = TypeVar("Value")


class Outcome(Generic[Value]):
    """What became of one item: `value`, or `error` when the processor raised."""

    __slots__ = ("_value", "error")

    def __init__(self, value: Value | None = None, error: BaseException | None = None) -> None:
        self._value = value
        self.error = error

    @property
    def is_ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None

    @property
    def value(self) -> Value:
        """The result; raises the item's own error when there is none."""
        if self.error is not None:
            raise self.error
        return self._value  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"Outcome({'ok' if self.error is None else type(self.error).__name__})"


async def process_batch_concurrent(
    items: Sequence[Item], concurrency_limit: int, processor: Callable[[Item], Awaitable[Value]]
) -> list[Outcome[Value]]:
    """Run `processor` over `items`, at most `concurrency_limit` at once (S1-21).

    Gives one Outcome for each item, in input order; one item's error touches no other. Cancelled, it cancels what is
    under way. The number of tasks is that of the limit, not of the items.
    """
    if concurrency_limit < 1:
        raise ConfigError(f"concurrency_limit must be at least 1, not {concurrency_limit}")
    outcomes: list[Outcome[Value]] = [Outcome() for _ in items]
    waiting = iter(range(len(items)))

    async def work() -> None:
        task = asyncio.current_task()
        for i in waiting:
            try:
                outcomes[i] = Outcome(await processor(items[i]))
            except asyncio.CancelledError as error:
                if task is None or task.cancelling():
                    raise
                outcomes[i] = Outcome(error=error)  # the processor's own cancellation, not ours
            except Exception as error:
                outcomes[i] = Outcome(error=error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency_limit, len(items))):
            group.create_task(work())
    return outcomes
