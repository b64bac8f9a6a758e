"""One request on its way to an operation: its parameters, who asks, when, and how parameters are read.

Called by `rest` and `wsapi`, which make calls, and by the operations, which read them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tercel.localvenue.accounts import Account, ApiKey
from tercel.localvenue.markets import Market
from tercel.localvenue.refusals import BAD_PARAM, BAD_SYMBOL, RefusedError, missing

if TYPE_CHECKING:
    from tercel.localvenue.venue import LocalVenue

__all__ = ["Call", "LostAnswerError"]

T = TypeVar("T")


class LostAnswerError(RefusedError):
    """The request was carried out, and its answer is to be lost on the way (a fault)."""


class Call:
    """One request: its parameters, who asks (None for public ones), when, and on which connection (None for REST)."""

    __slots__ = ("conn", "key", "now_ms", "now_ns", "params", "venue")

    def __init__(
        self, venue: LocalVenue, params: Mapping[str, Any], key: ApiKey | None, now_ns: int, conn: Hashable | None
    ) -> None:
        self.venue, self.params, self.key, self.now_ns, self.conn = venue, params, key, now_ns, conn
        self.now_ms = now_ns // 1_000_000

    @property
    def account(self) -> Account:
        """The account that asks."""
        assert self.key is not None
        return self.venue.bank.accounts[self.key.account]

    def text(self, name: str) -> str:
        """A mandatory parameter."""
        value = self.params.get(name)
        if value is None or value == "":
            raise missing(name)
        return str(value)

    def number(self, name: str, default: int | None = None, *, least: int = 0, most: int = 1 << 62) -> int | None:
        """An optional whole number; RefusedError when it is none or out of bounds."""
        value = self.params.get(name)
        if value is None or value == "":
            return default
        try:
            found = int(str(value))
        except ValueError:
            raise RefusedError(BAD_PARAM, f"Data sent for parameter '{name}' is not valid.") from None
        if not least <= found <= most:
            raise RefusedError(BAD_PARAM, f"Data sent for parameter '{name}' is not valid.")
        return found

    def limit(self, default: int, most: int) -> int:
        """The parameter limit, cut to the most there is."""
        found = self.number("limit", default, least=1)
        return min(found if found is not None else default, most)

    def between(self) -> tuple[int, int]:
        """The times startTime and endTime, ms; from the beginning to the end of time where they are not there."""
        start, end = self.number("startTime", 0), self.number("endTime", 1 << 61)
        return start or 0, end or 0

    def page(self, found: list[T], default: int, most: int, *, is_from: bool = False) -> list[T]:
        """So many of what was found as `limit` says: the first of them from an id or a time on, else the last."""
        n = self.limit(default, most)
        return found[:n] if is_from or self.params.get("startTime") is not None else found[-n:]

    def market(self) -> Market:
        """The market of the parameter symbol."""
        return self.listed_market(self.text("symbol"))

    def listed_market(self, symbol: str) -> Market:
        """The market of a symbol, else RefusedError."""
        market = self.venue.markets.get(symbol)
        if market is None:
            raise RefusedError(BAD_SYMBOL, "Invalid symbol.")
        return market

    def markets(self) -> list[Market]:
        """The markets of symbol or symbols, all when neither is there."""
        if self.params.get("symbol") is not None:
            return [self.market()]
        names = self.params.get("symbols")
        if names is None:
            return list(self.venue.markets.values())
        if isinstance(names, str):
            names = [name.strip().strip('"') for name in names.strip("[]").split(",")]
        if not isinstance(names, list):
            raise RefusedError(BAD_PARAM, "Data sent for parameter 'symbols' is not valid.")
        return [self.listed_market(str(name)) for name in names]
