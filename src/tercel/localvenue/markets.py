"""What the order desk works on and whom it tells: a symbol's market, one side of a trade, the listener.

Called by the desk, streams, reports and the operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tercel.localvenue.accounts import Account
from tercel.localvenue.depth import DepthBook, PublicTrade, Tape24h
from tercel.localvenue.matching import Marketplace
from tercel.localvenue.orders import Order
from tercel.localvenue.symbols import Listed

__all__ = ["AccountTrade", "Listener", "Market"]


class AccountTrade:
    """One side of a trade, of one account."""

    __slots__ = ("asset", "commission", "id", "is_maker", "lots", "order", "px", "realized", "time_ms")

    def __init__(
        self, order: Order, id: int, px: int, lots: int, commission: int, asset: str, is_maker: bool, time_ms: int
    ) -> None:
        self.order, self.id, self.px, self.lots = order, id, px, lots
        self.commission, self.asset, self.is_maker, self.time_ms = commission, asset, is_maker, time_ms
        #: Profit that a futures position realised, 1e-8.
        self.realized = 0


class Market:
    """A listed symbol with its market, its depth and its trades."""

    def __init__(self, listed: Listed, place: Marketplace, book: DepthBook) -> None:
        self.listed = listed
        self.place = place
        self.book = book
        self.tape = Tape24h()
        #: Waiting stops in the order they came.
        self.stops: dict[int, Order] = {}


class Listener(Protocol):
    """Who hears of what the desk does."""

    def report(self, order: Order, what: str, now_ms: int, trade: AccountTrade | None = None) -> None:
        """An order changed. what: NEW, TRADE, CANCELED, EXPIRED, TRADE_PREVENTION, REPLACED, as reports call it."""
        ...

    def balances(self, account: Account, assets: Sequence[str], now_ms: int) -> None:
        """Balances moved."""
        ...

    def traded(self, market: Market, trade: PublicTrade) -> None:
        """A public trade."""
        ...

    def moved(self, market: Market, is_last: bool) -> None:
        """A level of the book changed; is_last: the message that changed it is over."""
        ...
