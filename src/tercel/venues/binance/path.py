"""The fast path of one connection: the record that `fast` works on, and what Python does around its calls.

The numbers that the long way and the compiled one share live in the record: requests are numbered here whichever way
they go. Made by `sending`, which books what has left; handed to drivers by `connection`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tercel.jit import address_of
from tercel.model.commands import COMMAND
from tercel.venues.binance.desk import Desk
from tercel.venues.binance.exchange_info import SymbolRules
from tercel.venues.binance.fast import COMMANDS_MAX, FAST, OUT_BYTES, fast_commands, fast_message
from tercel.venues.binance.limits import Limits
from tercel.venues.binance.market import MarketFeed
from tercel.venues.binance.prepared import PreparedRequests
from tercel.venues.contract import EngineWords, FastPath

__all__ = ["BinanceFastPath"]


def _word(name: str) -> int:
    assert FAST.fields is not None
    return int(FAST.fields[name][1]) // 8


_IS_READY, _OFFSET, _NUMBER, _TOP_ID = _word("is_ready"), _word("offset_ns"), _word("number"), _word("top_id")
_SCAN, _ROWS, _ANSWER = _word("scan"), _word("rows"), _word("n_rows")
assert (_word("i_row"), _word("ends")) == (_ANSWER + FastPath.I_ROW, _ANSWER + FastPath.ENDS)


class BinanceFastPath(FastPath):
    """See `venues.contract`. book: called with the commands whose requests were written, and the time."""

    channel = "orders"

    def __init__(self, feed: MarketFeed, desk: Desk, limits: Limits, book: Callable[[np.ndarray, int], None]) -> None:
        self._feed, self._desk, self._book = feed, desk, book
        self._prepared = PreparedRequests(feed.instruments)
        self._batch = np.zeros(COMMANDS_MAX, COMMAND)
        self._memory = np.zeros(OUT_BYTES, np.uint8)
        self.out: memoryview = self._memory.data
        self._record = np.zeros(1, FAST)
        self._words = memoryview(self._record.data).cast("B").cast("q")
        self.answer = self._words[_ANSWER:]
        self._engine: EngineWords | None = None
        self._call_commands = fast_commands.call
        self.call = fast_message.call
        self.at = address_of(self._record)
        fast, prepared = self._record[0], self._prepared
        fast["forms"], fast["n_forms"] = address_of(prepared.forms), len(prepared.forms)
        fast["texts"], fast["n_texts"] = address_of(prepared.texts), len(prepared.texts)
        fast["n_open"], fast["allowance"] = desk.n_open_at, limits.allowance_at
        fast["batch"], fast["out"] = address_of(self._batch), address_of(self._memory)
        fast["number"] = 1
        self._follow_feed()

    # --- for the connection ------------------------------------------------------------------------------------------

    def take_number(self) -> int:
        """A number for a request, used once."""
        number = self._words[_NUMBER]
        self._words[_NUMBER] = number + 1
        return number

    @property
    def next_number(self) -> int:
        """The number that the next request will have."""
        return self._words[_NUMBER]

    def learn(self, rules: Mapping[int, SymbolRules], is_spot: bool, recv_window_ms: int) -> None:
        """The venue's rules of the instruments that may be traded are known, or have changed."""
        self._prepared.learn(rules, is_spot, recv_window_ms)

    def refresh(self, is_ready: bool, offset_ns: int) -> None:
        """How things stand now. is_ready: requests may leave unsigned. offset_ns: the venue's clock minus ours."""
        words = self._words
        words[_IS_READY], words[_OFFSET] = is_ready, offset_ns
        words[_TOP_ID] = self._desk.top_id

    def keep_by(self, cursor_at: int) -> None:
        """Append rows and commands through the CURSOR at this address; 0 keeps nothing."""
        self._record["cursor"] = cursor_at

    def write(self, commands: np.ndarray, now_ns: int) -> int:
        """Write the requests of (n,) COMMAND, all or none. How many are ready, 0 where they must go the long way."""
        n = len(commands)
        if n > COMMANDS_MAX:
            return 0
        self._batch[:n] = commands
        return self._call_commands(self.at, n, now_ns)

    # --- for the driver ----------------------------------------------------------------------------------------------

    def sent(self, commands: np.ndarray, now_ns: int) -> None:
        self._book(commands, now_ns)

    def sync(self, engine: EngineWords) -> None:
        if engine is not self._engine:
            self._engine = engine
            fast = self._record[0]
            fast["step"], fast["base"], fast["wiring"] = engine.step, engine.base, engine.wiring
            fast["n_emitted"], fast["n_commands"] = engine.n_emitted, engine.n_commands
            fast["n_refused"], fast["error"] = engine.n_refused, engine.error
            fast["commands"] = engine.commands
        self._follow_feed()

    def _follow_feed(self) -> None:
        """The memory that messages and rows are written to moves when it has to grow."""
        feed, words = self._feed, self._words
        words[_SCAN], words[_ROWS] = feed.scan_at, feed.rows.address
        self.window = feed.window
        # A row takes at least eight bytes of text; the connection's rows are empty when a message comes this way.
        self.n_max = min(feed.n_window, 8 * (feed.rows.capacity - 2)) if feed.uses_scanner else 0
