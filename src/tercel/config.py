"""Where tercel keeps its files and the stated maxima of an engine.

Everything that has a limit is limited here, and the relations between limits are checked when a `Capacity` is made.
Nothing here touches the disk; `store` and `jit` create what they need.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from tercel.errors import ConfigError

__all__ = ["Capacity", "cache_dir"]


def cache_dir() -> Path:
    """Where kernels and mapped tapes go: `TERCEL_CACHE_DIR`, else `XDG_CACHE_HOME/tercel`, else ~/.cache/tercel."""
    explicit = os.environ.get("TERCEL_CACHE_DIR")
    if explicit:
        return Path(explicit).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tercel"


def _is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """The maxima of one engine. All memory is allocated once, at start, from these.

    depth_ticks: width of a book's dense window in ticks, each side, a power of two. Levels outside are kept in the
        far table, so the window bounds speed, not truth.
    far_levels: levels a side that may lie outside the window, a power of two. At the maximum the run stops with a
        `CapacityError` that names the instrument and the row.
    orders: orders that may be open or in flight at once, a power of two. At the maximum new orders are refused with
        reason `TOO_MANY_OPEN_ORDERS`.
    commands: commands one step may emit, a power of two. At the maximum further orders of the step are refused with
        reason `COMMAND_RING_FULL`.
    timers: pending timers over all strategies.
    executions: fills whose execution ids are remembered, a power of two: one of them that is told again does not count
        again. Beyond, the oldest is forgotten.
    parents: execution algorithms at work at once. At the maximum a new one is refused with reason `TOO_MANY_PARENTS`;
        what is known of one that has ended is kept until its place is needed.
    """

    depth_ticks: int = 1 << 14
    far_levels: int = 1 << 13
    orders: int = 1 << 10
    commands: int = 1 << 10
    timers: int = 1 << 8
    executions: int = 1 << 12
    parents: int = 1 << 6

    def __post_init__(self) -> None:
        """Check every relation between the maxima."""
        for name in ("depth_ticks", "far_levels", "orders", "commands", "executions"):
            value = getattr(self, name)
            if not _is_power_of_two(value):
                raise ConfigError(f"capacity {name} must be a power of two, found {value}")
        if self.depth_ticks < 64:
            raise ConfigError(f"capacity depth_ticks must be at least 64, found {self.depth_ticks}")
        if self.parents < 1:
            raise ConfigError(f"capacity parents must be at least 1, found {self.parents}")
        if self.timers < 1:
            raise ConfigError(f"capacity timers must be at least 1, found {self.timers}")
