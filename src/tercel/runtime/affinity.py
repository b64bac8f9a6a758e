"""Pinning threads to cores, on Linux. Called by `live` at start; nothing else moves threads.

A pinned loop is not moved in the middle of a message, and its caches stay warm. Whether the core is otherwise empty is
the operator's business.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tercel.errors import AffinityError

__all__ = ["MARKET_DATA_CORE", "ORDER_EXECUTION_CORE", "permitted_cores", "pin", "pinned"]

#: Where the market data thread goes when it has a thread of its own.
MARKET_DATA_CORE = 0
#: Where the order execution thread goes when it has a thread of its own.
ORDER_EXECUTION_CORE = 1


def permitted_cores() -> frozenset[int]:
    """The cores the calling thread may run on. Raises AffinityError where the system cannot say."""
    if not hasattr(os, "sched_getaffinity"):
        raise AffinityError("pinning to a core needs Linux; run without it here")
    return frozenset(os.sched_getaffinity(0))


def pin(cores: int | Iterable[int]) -> frozenset[int]:
    """Pin the calling thread to `cores`, one or several. Returns where it was allowed before.

    Raises AffinityError naming the cores asked for and those permitted.
    """
    wanted = frozenset({cores} if isinstance(cores, int) else cores)
    before = permitted_cores()
    try:
        os.sched_setaffinity(0, wanted)
    except (OSError, ValueError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AffinityError(
            f"cannot pin to core {_names(wanted)}: {reason}; this thread may use {_names(before)}"
        ) from error
    return before


@contextmanager
def pinned(cores: int | Iterable[int]) -> Iterator[None]:
    """The calling thread on `cores` inside the block, and where it was before afterwards."""
    before = pin(cores)
    try:
        yield
    finally:
        pin(before)


def _names(cores: frozenset[int]) -> str:
    return ", ".join(str(core) for core in sorted(cores)) or "none"
