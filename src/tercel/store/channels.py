"""Channels: the kinds of rows of a tape, grouped as users think of them.

Names only, and the choice of what a run replays when nobody says. Called by the tape and by reports on it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tercel.errors import ConfigError
from tercel.model.events import ADD, BAR, CHANGE, CLEAR, DELETE, FUNDING, LEVEL, QUOTE, TRADE

__all__ = ["CHANNELS", "channel_counts", "channel_mask", "select_channels"]

#: Channel name to the EVENT kinds it holds.
CHANNELS: dict[str, tuple[int, ...]] = {
    "depth": (LEVEL, CLEAR),
    "trades": (TRADE,),
    "quotes": (QUOTE,),
    "bars": (BAR,),
    "orders": (ADD, CHANGE, DELETE),
    "funding": (FUNDING,),
}


def channel_counts(kinds: np.ndarray) -> dict[str, int]:
    """Rows per channel, channels without rows left out; rows of no channel count as "other". kinds: (n,) int8."""
    per_kind = np.bincount(kinds, minlength=128)
    counts = {name: int(sum(per_kind[kind] for kind in members)) for name, members in CHANNELS.items()}
    counts["other"] = len(kinds) - sum(counts.values())
    return {name: n_rows for name, n_rows in counts.items() if n_rows}


def select_channels(present: Iterable[str], wanted: Iterable[str] | None) -> tuple[str, ...]:
    """The channels to replay, sorted.

    None means every channel of the tape, without quotes where depth is present: best prices then follow from the
    book, and replaying both would tell a strategy everything twice. ConfigError names a channel the tape lacks.
    """
    there = set(present)
    if wanted is None:
        return tuple(sorted(there - {"quotes"} if "depth" in there else there))
    chosen = {wanted} if isinstance(wanted, str) else set(wanted)
    missing = sorted(chosen - there)
    if missing:
        raise ConfigError(f"the tape has no channel {missing[0]!r}; it has {', '.join(sorted(there)) or 'none'}")
    return tuple(sorted(chosen))


def channel_mask(kinds: np.ndarray, chosen: Iterable[str]) -> np.ndarray:
    """(n,) bool: which rows belong to the chosen channels. kinds: (n,) int8."""
    wanted = np.zeros(128, bool)
    grouped = [kind for members in CHANNELS.values() for kind in members]
    for name in chosen:
        if name == "other":
            others = np.ones(128, bool)
            others[grouped] = False
            wanted |= others
        else:
            wanted[list(CHANNELS[name])] = True
    mask: np.ndarray = wanted[kinds]
    return mask
