"""Messages of a Binance capture, gathered and turned into EVENT rows many at a time.

Prices and sizes stay floats until a block is full and are then held against their grids in whole columns. A message
with one bad number is left out whole and named. Called by `binance` only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tercel.model.events import BUY, CLEAR, EXCH, LAST, LEVEL, LOCAL, QUOTE, SELL, SNAPSHOT, TRADE, event_rows
from tercel.store.grid import Grid

__all__ = ["Block"]

_Levels = list[tuple[float, float]]


class Block:
    """A run of messages. Each method adds one; `rows` turns all into rows and starts over."""

    def __init__(self, px_grid: Grid, qty_grid: Grid) -> None:
        self._px_grid, self._qty_grid = px_grid, qty_grid
        self._start()

    def _start(self) -> None:
        self.n_messages = 0
        self._n_rows = 0
        self._books: list[tuple[int, int, int, int, int, int, int, int]] = []
        self._levels: _Levels = []
        self._trades: list[tuple[int, int, int, int, int, int]] = []
        self._trade_numbers: _Levels = []
        self._quotes: list[tuple[int, int, int, int, int]] = []
        self._quote_numbers: list[tuple[float, float, float, float]] = []
        self._clears: list[tuple[int, int, bool]] = []

    def depth(
        self, line: int, exch: int, recv: int, u: int, bids: _Levels, asks: _Levels, flags: int = EXCH | LOCAL
    ) -> None:
        """Add a depth event: one LEVEL row per level, bids first."""
        self.n_messages += 1
        self._books.append((line, exch, recv, u, self._n_rows, len(bids), len(asks), flags))
        self._levels += bids
        self._levels += asks
        self._n_rows += len(bids) + len(asks)

    def snapshot(self, line: int, exch: int, recv: int, u: int, bids: _Levels, asks: _Levels, keep_far: bool) -> None:
        """Add a snapshot: for each side a CLEAR row up to its farthest level (0, all, unless keep_far), then levels."""
        self._clears.append((self._n_rows, len(bids) + 1 if bids else 0, keep_far))
        # The CLEAR row is written as a level at the farthest price, and becomes a CLEAR when rows are made.
        bids = [(min(level[0] for level in bids), 0.0), *bids] if bids else []
        asks = [(max(level[0] for level in asks), 0.0), *asks] if asks else []
        self.depth(line, exch, recv, u, bids, asks, EXCH | LOCAL | SNAPSHOT)

    def trade(self, line: int, exch: int, recv: int, t: int, px: float, qty: float, side: int) -> None:
        """Add a trade."""
        self.n_messages += 1
        self._trades.append((line, exch, recv, t, self._n_rows, side))
        self._trade_numbers.append((px, qty))
        self._n_rows += 1

    def quote(self, line: int, exch: int, recv: int, u: int, numbers: tuple[float, float, float, float]) -> None:
        """Add a best bid and ask; numbers: bid price, bid size, ask price, ask size."""
        self.n_messages += 1
        self._quotes.append((line, exch, recv, u, self._n_rows))
        self._quote_numbers.append(numbers)
        self._n_rows += 1

    def rows(self) -> tuple[np.ndarray, list[tuple[int, str, str]]]:
        """All messages as (n,) EVENT rows in their order, and for each line left out (line, reason, in words)."""
        rows = event_rows(self._n_rows)
        lines = np.zeros(self._n_rows, np.int64)
        bad = np.zeros(self._n_rows, bool)
        refused: dict[int, tuple[str, str]] = {}
        rows["flags"] = EXCH | LOCAL
        self._fill_books(rows, lines, bad, refused)
        self._fill_trades(rows, lines, bad, refused)
        self._fill_quotes(rows, lines, bad, refused)
        self._start()
        if bad.any():
            rows = rows[~np.isin(lines, np.array(list(refused), np.int64))]
        return rows, [(line, *why) for line, why in sorted(refused.items())]

    def _fill_books(
        self, rows: np.ndarray, lines: np.ndarray, bad: np.ndarray, refused: dict[int, tuple[str, str]]
    ) -> None:
        if not self._books:
            return
        books = np.array(self._books, np.int64)
        n_bids, n_asks = books[:, 5], books[:, 6]
        n_levels = n_bids + n_asks
        start = np.cumsum(n_levels) - n_levels
        within = np.arange(int(n_levels.sum())) - np.repeat(start, n_levels)
        at = np.repeat(books[:, 4], n_levels) + within
        numbers = np.array(self._levels, np.float64).reshape(-1, 2)
        lines[at] = np.repeat(books[:, 0], n_levels)
        part = event_rows(len(at))
        part["ts_exch"] = np.repeat(books[:, 1], n_levels)
        part["ts_recv"] = np.repeat(books[:, 2], n_levels)
        part["id"] = np.repeat(books[:, 3], n_levels)
        part["kind"] = LEVEL
        part["side"] = np.where(within < np.repeat(n_bids, n_levels), BUY, SELL)
        part["flags"] = np.repeat(books[:, 7], n_levels)
        part["px"] = self._numbers(self._px_grid, numbers[:, 0], at, lines, bad, refused, positive=True)
        part["qty"] = self._numbers(self._qty_grid, numbers[:, 1], at, lines, bad, refused, positive=False)
        rows[at] = part
        rows["flags"][(books[:, 4] + n_levels - 1)[n_levels > 0]] |= LAST
        self._mark_snapshots(rows, books)

    def _mark_snapshots(self, rows: np.ndarray, books: np.ndarray) -> None:
        for i_row, n_first, keep_far in self._clears:
            book = books[np.flatnonzero((books[:, 4] == i_row) & (books[:, 5] + books[:, 6] > 0))]
            if len(book) == 0:
                continue
            n_rows = int(book[0, 5] + book[0, 6])
            for i_clear in {i_row, i_row + n_first} & set(range(i_row, i_row + n_rows)):
                rows["kind"][i_clear] = CLEAR
                if not keep_far:
                    rows["px"][i_clear] = 0

    def _fill_trades(
        self, rows: np.ndarray, lines: np.ndarray, bad: np.ndarray, refused: dict[int, tuple[str, str]]
    ) -> None:
        if not self._trades:
            return
        trades = np.array(self._trades, np.int64)
        numbers = np.array(self._trade_numbers, np.float64)
        at = trades[:, 4]
        lines[at] = trades[:, 0]
        for name, i_column in (("ts_exch", 1), ("ts_recv", 2), ("id", 3), ("side", 5)):
            rows[name][at] = trades[:, i_column]
        rows["kind"][at] = TRADE
        rows["flags"][at] |= LAST
        rows["px"][at] = self._numbers(self._px_grid, numbers[:, 0], at, lines, bad, refused, positive=True)
        rows["qty"][at] = self._numbers(self._qty_grid, numbers[:, 1], at, lines, bad, refused, positive=True)

    def _fill_quotes(
        self, rows: np.ndarray, lines: np.ndarray, bad: np.ndarray, refused: dict[int, tuple[str, str]]
    ) -> None:
        if not self._quotes:
            return
        quotes = np.array(self._quotes, np.int64)
        numbers = np.array(self._quote_numbers, np.float64)
        at = quotes[:, 4]
        lines[at] = quotes[:, 0]
        for name, i_column in (("ts_exch", 1), ("ts_recv", 2), ("id", 3)):
            rows[name][at] = quotes[:, i_column]
        rows["kind"][at] = QUOTE
        rows["flags"][at] |= LAST
        columns: Sequence[tuple[str, Grid, bool]] = (
            ("px", self._px_grid, True), ("qty", self._qty_grid, False),
            ("arg0", self._px_grid, True), ("arg1", self._qty_grid, False),
        )  # fmt: skip
        for i_column, (name, grid, positive) in enumerate(columns):
            rows[name][at] = self._numbers(grid, numbers[:, i_column], at, lines, bad, refused, positive)
        for i_quote in np.flatnonzero(numbers[:, 0] >= numbers[:, 2]):
            bad[at[i_quote]] = True
            bid, ask = numbers[i_quote, 0], numbers[i_quote, 2]
            refused.setdefault(
                int(quotes[i_quote, 0]), ("crossed_quote", f"the quote is crossed: bid {bid}, ask {ask}")
            )

    def _numbers(
        self,
        grid: Grid,
        values: np.ndarray,
        at: np.ndarray,
        lines: np.ndarray,
        bad: np.ndarray,
        refused: dict[int, tuple[str, str]],
        positive: bool,
    ) -> np.ndarray:
        """A column as steps of its grid; rows with a bad number are marked and their lines named."""
        steps, off = grid.steps(values)
        if positive:
            zero = values == 0
            off |= zero
        for i_value in np.flatnonzero(off):
            bad[at[i_value]] = True
            value = float(values[i_value])
            what = f"{grid.what} is 0, expected more" if value == 0 else grid.complaint(value)
            refused.setdefault(int(lines[at[i_value]]), ("off_grid", what))
        return steps
