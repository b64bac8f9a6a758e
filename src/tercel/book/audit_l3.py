"""The truth check of the L3 book: replay a venue's order log and compare with the venue's own periodic snapshots.

Reads logs of lines `ms event json` with the events order_created, order_changed, order_deleted, trade and order_book
(price levels best first). Every level that differs is counted and explained from the log itself, by rules that are
tested one by one; what no rule explains is counted as unexplained. Called by the command line and the tests; it never
mends a book.

The rules. Two books are kept: one as told, fed strictly what the log says, and one completed, which differs in two
ways: orders whose first mention is a change or a deletion rest from the start (`named_later`), and a creation that
arrives after its own deletion is passed over (`deleted_first`). On top of the completed book:

- `never_named`: the venue shows more, by the same size, from the first snapshot whose range covers that level to the
  last one that shows it: size that was there before the log began and that no line names. Where the log does name
  it, after that last snapshot, as an order found smaller or empty by a trade, the cause is called `filled_later`: how
  much the trade took is the part that no line states.
- `log_behind` / `log_ahead`: the snapshot equals the book a little later / earlier in the log, at most `window_ms`
  away: log and snapshot travelled separately and arrived in another order than they happened.

A level may need several rules; its cause is then their names joined with a plus sign.
"""

from __future__ import annotations

import bisect
import lzma
from collections import Counter, defaultdict
from pathlib import Path
from typing import IO

import msgspec

from tercel.book.l3_book import L3Book
from tercel.errors import DataError

__all__ = [
    "Difference", "L3Audit", "LevelKey", "LogEvent", "LogSnapshot", "OrderLog", "OrderLogReplay", "audit_order_log",
    "explain_level", "read_order_log", "unstated_size",
]  # fmt: skip

LevelKey = tuple[int, int]  #: side, px


class LogEvent(msgspec.Struct, frozen=True):
    """One line about an order or a trade: kind is created, changed, deleted or trade; px in ticks, qty in lots.

    `i` is the line's number in the log from 0. A trade has side 0 and its trade id as order_id.
    """

    i: int
    ts_ms: int
    kind: str
    order_id: int
    side: int
    px: int
    qty: int


class LogSnapshot(msgspec.Struct, frozen=True):
    """One order_book line: price to size per side, `i` as in LogEvent."""

    i: int
    ts_ms: int
    bids: dict[int, int]
    asks: dict[int, int]

    def side(self, side: int) -> dict[int, int]:
        """The levels of one side (1 bids, -1 asks)."""
        return self.bids if side > 0 else self.asks

    def covers(self, side: int, px: int) -> bool:
        """Whether this price would be listed if anything rested there: not worse than the worst listed price."""
        levels = self.side(side)
        return bool(levels) and (px >= min(levels) if side > 0 else px <= max(levels))


class OrderLog(msgspec.Struct, frozen=True):
    """A whole order log in ticks and lots."""

    events: list[LogEvent]
    snapshots: list[LogSnapshot]
    n_lines: int


class Difference(msgspec.Struct, frozen=True):
    """One price level of one snapshot where the book as told and the venue disagree, and why.

    `lag_lines` and `lag_ms` place the line that came on the other side of the snapshot than it should have: positive
    when it came after.
    """

    i_snapshot: int
    ts_ms: int
    side: int
    px: int
    qty_book: int
    qty_venue: int
    cause: str
    lag_lines: int = 0
    lag_ms: int = 0


class L3Audit(msgspec.Struct, frozen=True):
    """The outcome: what was compared, and each difference with its cause."""

    n_lines: int
    n_events: int
    n_snapshots: int
    n_snapshots_equal: int
    n_levels: int
    n_unknown_id: int
    n_duplicate_id: int
    n_named_later: int
    n_deleted_first: int
    n_filled_later: int
    unstated: dict[LevelKey, tuple[int, str]]
    differences: list[Difference]

    def causes(self) -> dict[str, int]:
        """How many differing levels each cause explains, most frequent first."""
        return dict(Counter(d.cause for d in self.differences).most_common())

    @property
    def n_unexplained(self) -> int:
        """Differing levels that no rule explains."""
        return sum(d.cause == "unexplained" for d in self.differences)


# --- reading ------------------------------------------------------------------------------------------------------


def _scaled(value: str | float, scale: int) -> int:
    # The log prints sizes with 8 decimals as text, but trades as floats with noise in the 16th digit.
    return round(float(value) * scale)


def read_order_log(path: Path, tick: float = 0.01, lot: float = 1e-8) -> OrderLog:
    """Read an order log, plain or `.xz`. DataError names the line that cannot be read."""
    ticks, lots = round(1 / tick), round(1 / lot)
    events: list[LogEvent] = []
    snapshots: list[LogSnapshot] = []
    n_lines = 0
    with _open_text(path) as file:
        for i, line in enumerate(file):
            n_lines += 1
            try:
                ts, kind, text = line.split(" ", 2)
                data = msgspec.json.decode(text)
                if kind == "order_book":
                    sides = [
                        {_scaled(px, ticks): _scaled(qty, lots) for px, qty in data[name]} for name in ("bids", "asks")
                    ]
                    snapshots.append(LogSnapshot(i, int(ts), sides[0], sides[1]))
                    continue
                side = 0 if kind == "trade" else (1, -1)[data["order_type"]]
                px, qty = _scaled(data["price"], ticks), _scaled(data["amount"], lots)
                events.append(LogEvent(i, int(ts), kind.removeprefix("order_"), data["id"], side, px, qty))
            except (ValueError, KeyError, IndexError, TypeError, msgspec.DecodeError) as error:
                raise DataError(
                    f"{path.name} line {i + 1}: expected `ms event json`, found {line[:80]!r} ({error})"
                ) from None
    return OrderLog(events, snapshots, n_lines)


def _open_text(path: Path) -> IO[str]:
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


# --- replay -------------------------------------------------------------------------------------------------------


class OrderLogReplay:
    """An L3 book fed with the log, and the size of every level after every line that touched it.

    completed: with the two corrections of `named_later` and `deleted_first`, else strictly as told.
    """

    def __init__(self, log: OrderLog, completed: bool) -> None:
        self.book = L3Book(order_max=len(log.events) + 1, level_max=len(log.events) + 1)
        self.n_unknown_id = self.n_duplicate_id = 0
        self._lines: dict[LevelKey, list[int]] = defaultdict(lambda: [-1])
        self._sizes: dict[LevelKey, list[int]] = defaultdict(lambda: [0])
        self._where: dict[int, LevelKey] = {}
        self._best: dict[tuple[int, int], int | None] = {}
        self.times = _line_times(log)
        #: Per line that left an order smaller at its price, or empty: exact size that stood in front of it.
        self.ahead_at_loss: dict[int, int] = {}
        self.named_later, self.filled_later, self.deleted_first = _first_mentions(log)
        if completed:
            for event in self.named_later:
                self._add(event, -1)
        for event in log.events:
            if event.kind != "trade" and not (completed and event.order_id in self.deleted_first):
                self._apply(event)
        self.book.check()

    def _add(self, event: LogEvent, i: int) -> None:
        self._best[event.side, i] = self.book.best_bid if event.side < 0 else self.book.best_ask
        self.book.add(event.order_id, event.side, event.px, event.qty)
        self._where[event.order_id] = (event.side, event.px)
        self._note(i, (event.side, event.px))

    def _apply(self, event: LogEvent) -> None:
        before = self._where.get(event.order_id)
        if event.kind == "created":
            if before is not None:
                self.n_duplicate_id += 1
            else:
                self._add(event, event.i)
            return
        if before is None:
            self.n_unknown_id += 1
            return
        if event.kind == "changed" or event.qty == 0:
            self.ahead_at_loss[event.i] = self.book.qty_ahead(event.order_id)
        if event.kind == "deleted":
            self.book.delete(event.order_id)
            del self._where[event.order_id]
        else:
            self.book.change(event.order_id, event.px, event.qty)
            self._where[event.order_id] = (event.side, event.px)
            self._note(event.i, (event.side, event.px))
        self._note(event.i, before)

    def _note(self, i: int, key: LevelKey) -> None:
        lines, sizes = self._lines[key], self._sizes[key]
        if lines[-1] != i:
            lines.append(i)
            sizes.append(0)
        sizes[-1] = self.book.depth_at(*key)

    def best(self, side: int, i: int) -> int | None:
        """Best price of a side as the order created at line `i`, on the other side, found it; None when empty."""
        return self._best.get((-side, i))

    def keys(self) -> set[LevelKey]:
        """Every level that ever held an order."""
        return set(self._lines)

    def size(self, key: LevelKey, i: int) -> int:
        """Size of a level after line `i`."""
        if key not in self._lines:
            return 0
        return self._sizes[key][bisect.bisect_right(self._lines[key], i) - 1]

    def history(self, key: LevelKey) -> tuple[list[int], list[int]]:
        """Lines that touched a level and its size after each; the first entry is the start."""
        return self._lines.get(key, [-1]), self._sizes.get(key, [0])


def _first_mentions(log: OrderLog) -> tuple[list[LogEvent], list[LogEvent], set[int]]:
    """First mentions that are no creation, by id: with size, without any; and ids that are created after deletion."""
    first: dict[int, LogEvent] = {}
    deleted_first: set[int] = set()
    for event in log.events:
        if event.kind == "trade":
            continue
        known = first.setdefault(event.order_id, event)
        if event.kind == "created" and known.kind != "created":
            deleted_first.add(event.order_id)
    earlier = [e for e in first.values() if e.kind != "created" and e.order_id not in deleted_first]
    earlier.sort(key=lambda e: e.order_id)
    return [e for e in earlier if e.qty > 0], [e for e in earlier if e.qty == 0], deleted_first


# --- explaining ---------------------------------------------------------------------------------------------------


def unstated_size(missing: list[tuple[int, int]]) -> tuple[int, int]:
    """Size that no line names at one level: (size, last snapshot that shows it), (0, -1) when there is none.

    missing: (snapshot number, venue size minus completed book's) for each snapshot that covers the level, in order.
    There is such size when the very first is positive; it holds until the last snapshot with exactly that size.
    """
    if not missing or missing[0][1] <= 0:
        return 0, -1
    size = missing[0][1]
    return size, max(n for n, value in missing if value == size)


def explain_level(
    told: int,
    completed: int,
    unstated: tuple[int, str],
    venue: int,
    history: tuple[list[int], list[int]],
    i: int,
    reach: range,
) -> tuple[str, int]:
    """Why a level of a snapshot at line `i` differs: (cause, line that came on the other side of the snapshot).

    told, completed: sizes in the two books at line `i`. unstated: size that no line states, and its cause. history: the
    completed level's lines and sizes. reach: lines that are near enough in time.
    """
    (extra, extra_cause), (lines, sizes) = unstated, history
    parts = []
    if completed > told:
        parts.append("named_later")
    elif completed < told:
        parts.append("deleted_first")
    if extra > 0:
        parts.append(extra_cause)
    if completed + extra == venue:
        return "+".join(parts), i
    at = bisect.bisect_right(lines, i) - 1
    candidates = []
    for k in range(len(lines)):
        # State k holds from lines[k] until the line before lines[k + 1].
        since, until = lines[k], lines[k + 1] - 1 if k + 1 < len(lines) else reach.stop
        if k == at or sizes[k] + extra != venue or until < reach.start or since >= reach.stop:
            continue
        candidates.append(since if k > at else until + 1)
    if not candidates:
        return "unexplained", i
    found = min(candidates, key=lambda line: abs(line - i))
    parts.append("log_behind" if found > i else "log_ahead")
    return "+".join(parts), found


def _unstated_by_level(
    log: OrderLog, completed: OrderLogReplay, keys: dict[int, list[int]]
) -> dict[LevelKey, tuple[int, int, str]]:
    """Per level: size that no line states, the last snapshot that shows it, and its cause."""
    missing: dict[LevelKey, list[tuple[int, int]]] = defaultdict(list)
    for n, snapshot in enumerate(log.snapshots):
        for side in (1, -1):
            levels = snapshot.side(side)
            for px in _covered(snapshot, side, keys[side]):
                missing[side, px].append((n, levels.get(px, 0) - completed.size((side, px), snapshot.i)))
    gone: dict[LevelKey, int] = {}
    for event in (*completed.filled_later, *(e for e in completed.named_later if e.kind == "changed")):
        gone[event.side, event.px] = event.i
    found: dict[LevelKey, tuple[int, int, str]] = {}
    for key, rows in missing.items():
        size, last = unstated_size(rows)
        if size > 0:
            named = gone.get(key, -1) > log.snapshots[last].i
            found[key] = (size, last, "filled_later" if named else "never_named")
    return found


def _covered(snapshot: LogSnapshot, side: int, prices: list[int]) -> list[int]:
    """The prices, sorted upwards, that lie in the snapshot's range."""
    levels = snapshot.side(side)
    if not levels:
        return []
    if side > 0:
        return prices[bisect.bisect_left(prices, min(levels)) :]
    return prices[: bisect.bisect_right(prices, max(levels))]


def audit_order_log(log: OrderLog, window_ms: int = 3_000) -> L3Audit:
    """Replay the log through the L3 book, compare with each snapshot, explain each difference."""
    told, completed = OrderLogReplay(log, completed=False), OrderLogReplay(log, completed=True)
    every = told.keys() | completed.keys()
    every |= {(side, px) for s in log.snapshots for side in (1, -1) for px in s.side(side)}
    keys = {side: sorted(px for each, px in every if each == side) for side in (1, -1)}
    unstated = _unstated_by_level(log, completed, keys)
    times = told.times
    differences: list[Difference] = []
    n_levels = n_equal = 0
    for n, snapshot in enumerate(log.snapshots):
        reach = range(
            bisect.bisect_left(times, snapshot.ts_ms - window_ms),
            bisect.bisect_right(times, snapshot.ts_ms + window_ms),
        )
        found: list[Difference] = []
        for side in (1, -1):
            for px in _covered(snapshot, side, keys[side]):
                key, venue, i = (side, px), snapshot.side(side).get(px, 0), snapshot.i
                ours = told.size(key, i)
                n_levels += ours > 0 or venue > 0
                if ours == venue:
                    continue
                size, last, why = unstated.get(key, (0, -1, ""))
                extra = (size, why) if n <= last else (0, "")
                cause, line = explain_level(
                    ours, completed.size(key, i), extra, venue, completed.history(key), i, reach
                )
                lag_ms = times[line] - snapshot.ts_ms
                found.append(Difference(i, snapshot.ts_ms, side, px, ours, venue, cause, line - i, lag_ms))
        n_equal += not found
        differences.extend(found)
    return L3Audit(
        n_lines=log.n_lines,
        n_events=len(log.events),
        n_snapshots=len(log.snapshots),
        n_snapshots_equal=n_equal,
        n_levels=n_levels,
        n_unknown_id=told.n_unknown_id,
        n_duplicate_id=told.n_duplicate_id,
        n_named_later=len(told.named_later),
        n_deleted_first=len(told.deleted_first),
        n_filled_later=len(told.filled_later),
        unstated={key: (size, cause) for key, (size, _, cause) in sorted(unstated.items())},
        differences=differences,
    )


def _line_times(log: OrderLog) -> list[int]:
    times = [0] * log.n_lines
    for event in log.events:
        times[event.i] = event.ts_ms
    for snapshot in log.snapshots:
        times[snapshot.i] = snapshot.ts_ms
    return times
