"""Merging two orders of rows one row at a time, as plain as it can be said."""

from __future__ import annotations

import numpy as np

from tercel.model.events import EXCH, LOCAL


def naive_schedule(rows: np.ndarray) -> list[tuple[int, int]]:
    """(index of the input row, EXCH, LOCAL or both) in the order the engine should get them."""
    sides = [int(flags) & (EXCH | LOCAL) or (EXCH | LOCAL) for flags in rows["flags"]]
    venue = sorted((i for i in range(len(rows)) if sides[i] & EXCH), key=lambda i: int(rows["ts_exch"][i]))
    seen = sorted((i for i in range(len(rows)) if sides[i] & LOCAL), key=lambda i: int(rows["ts_recv"][i]))
    handled: set[int] = set()
    out = []
    for i in seen:
        if sides[i] == LOCAL or i in handled:
            out.append((i, LOCAL))
            continue
        while venue[0] != i:
            handled.add(venue[0])
            out.append((venue.pop(0), EXCH))
        handled.add(venue.pop(0))
        out.append((i, EXCH | LOCAL))
    return out + [(i, EXCH) for i in venue]


def naive_book(rows: list[tuple[int, int, int, int]]) -> tuple[dict[int, int], dict[int, int]]:
    """Bids and asks, price to size, after (kind name "level" 1 or clear 2, side, px, qty) rows."""
    books: dict[int, dict[int, int]] = {1: {}, -1: {}}
    for kind, side, px, qty in rows:
        book = books[side]
        if kind == 2:
            for price in [p for p in book if px == 0 or (p - px) * side >= 0]:
                del book[price]
        elif qty:
            book[px] = qty
        else:
            book.pop(px, None)
    return books[1], books[-1]
