"""Small containers with a stated maximum and a stated answer at it: order queue, event log, position cache, pool.

One writer for each datum stands in place of locks. What is said to be safe between threads rests on single operations
of `deque` and `dict`, which CPython carries out whole. Called by `live` and the actor tier; the engine has its own
tables.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, TypeVar

from tercel.errors import ConfigError
from tercel.runtime.capacities import ORDERS_MAX

__all__ = ["EventLog", "ObjectPool", "OrderPool", "OrderQueue", "PoolOrder", "Pooled", "PositionCache", "Released"]

T = TypeVar("T")
K = TypeVar("K")


class OrderQueue(Generic[T]):
    """A bounded queue. Safe between one pushing and one popping thread."""

    def __init__(self, capacity: int = ORDERS_MAX) -> None:
        if capacity < 1:
            raise ConfigError(f"an order queue holds at least 1 order, found capacity {capacity}")
        self.capacity = capacity
        self._items: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def try_push(self, order: T) -> T | None:
        """Add an order. Returns None, or the order itself when the queue is full."""
        if len(self._items) >= self.capacity:
            return order
        self._items.append(order)
        return None

    def try_pop(self) -> T | None:
        """The oldest order, None when there is none."""
        try:
            return self._items.popleft()
        except IndexError:
            return None


class EventLog(Generic[T]):
    """An unbounded list of events in order. Safe between any number of threads."""

    def __init__(self) -> None:
        self._events: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: T) -> None:
        """Add an event."""
        self._events.append(event)

    def drain(self) -> list[T]:
        """Take out every event there is, oldest first; each event goes to one drainer."""
        drained: list[T] = []
        for _ in range(len(self._events)):
            try:
                drained.append(self._events.popleft())
            except IndexError:
                break
        return drained


class PositionCache(Generic[K, T]):
    """The newest position of each instrument. Any thread may read; updates of one key come from one thread."""

    def __init__(self) -> None:
        self._positions: dict[K, T] = {}

    def __len__(self) -> int:
        return len(self._positions)

    def update(self, key: K, position: T) -> None:
        """Set the position of `key`."""
        self._positions[key] = position

    def get(self, key: K) -> T | None:
        """A copy of the position of `key`, None when there is none."""
        position = self._positions.get(key)
        return None if position is None else copy.copy(position)

    def remove(self, key: K) -> T | None:
        """Forget the position of `key`; returns what it was."""
        return self._positions.pop(key, None)


class Released(Enum):
    """What became of an object given back to a pool."""

    BACK = "back"
    TWICE = "twice"  #: it was back already; nothing changes
    FOREIGN = "foreign"  #: it belongs to another pool or to none; nothing changes


class Pooled:
    """Base of objects that live in a pool: it knows its pool and its place, so giving it back costs no search."""

    _pool: Any = None
    _i_pool = -1
    _is_out = False

    def reset(self) -> None:
        """Make it as new; called when it is given back."""


P = TypeVar("P", bound=Pooled)


class ObjectPool(Generic[P]):
    """`capacity` objects, made once, handed out and taken back. One thread.

    n_twice, n_foreign: how often something was given back that could not be.
    """

    def __init__(self, capacity: int, make: Callable[[], P]) -> None:
        if capacity < 1:
            raise ConfigError(f"a pool holds at least 1 object, found capacity {capacity}")
        self._objects = [make() for _ in range(capacity)]
        for i, member in enumerate(self._objects):
            member._pool = self
            member._i_pool = i
        self._free = list(range(capacity - 1, -1, -1))
        self.n_twice = 0
        self.n_foreign = 0

    @property
    def capacity(self) -> int:
        """How many objects there are."""
        return len(self._objects)

    @property
    def n_free(self) -> int:
        """How many can be acquired."""
        return len(self._free)

    def acquire(self) -> P | None:
        """An object that is nobody's, None when all are out."""
        if not self._free:
            return None
        member = self._objects[self._free.pop()]
        member._is_out = True
        return member

    def release(self, member: Pooled) -> Released:
        """Give an object back; it is reset. The place is on the object, so this takes constant time."""
        if member._pool is not self:
            self.n_foreign += 1
            return Released.FOREIGN
        if not member._is_out:
            self.n_twice += 1
            return Released.TWICE
        member.reset()
        member._is_out = False
        self._free.append(member._i_pool)
        return Released.BACK


class PoolOrder(Pooled):
    """An order being put together: int64 ticks, lots and nanoseconds; side 1 buys, -1 sells."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """All fields 0."""
        self.id = 0
        self.instrument = 0
        self.side = 0
        self.price_ticks = 0
        self.qty_lots = 0
        self.ts_ns = 0


class OrderPool(ObjectPool[PoolOrder]):
    """A pool of orders."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity, PoolOrder)
