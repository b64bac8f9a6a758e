"""The order desk of a USD-M futures venue: positions and margin in place of balances that change hands.

One-way positions, cross margin, no liquidation and no funding (docs/local-venue.md). A position's entry cost is a whole
number of 1e-8 of the quote currency, so realised profit is exact, and what accounts win, participants lose. Called by
`venue` and the operations of USD-M.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tercel.localvenue.accounts import Account
from tercel.localvenue.desk import Desk
from tercel.localvenue.markets import Market
from tercel.localvenue.matching import Happening
from tercel.localvenue.numbers import E8
from tercel.localvenue.orders import NewOrder, Order, read_side, read_ways, required
from tercel.localvenue.refusals import (
    BAD_PARAM,
    BAD_TIF,
    BAD_TYPE,
    CANCEL_REJECTED,
    FUTURES_WOULD_TAKE,
    MARGIN_NOT_ENOUGH,
    NOT_REQUIRED,
    REDUCE_ONLY_REJECTED,
    RefusedError,
    order_rejected,
)
from tercel.localvenue.symbols import Listed

__all__ = ["Position", "UsdmDesk", "read_usdm_order"]

LEVERAGE = 20
_TIFS = ("GTC", "IOC", "FOK", "GTX")
_CONDITIONAL = ("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")


class Position:
    """lots: signed. cost: what the lots were bought for, or sold for where they are negative, in 1e-8, not negative."""

    __slots__ = ("cost", "leverage", "lots", "realized", "updated_ms")

    def __init__(self) -> None:
        self.lots = self.cost = self.realized = self.updated_ms = 0
        self.leverage = LEVERAGE

    def trade(self, side: int, lots: int, px: int, value_e8: int) -> int:
        """Buy or sell; returns the profit realised, 1e-8."""
        profit = 0
        if self.lots * side < 0:
            closed = min(lots, abs(self.lots))
            # The share of the cost is rounded down; the rest of it leaves with the last lot.
            share = self.cost * closed // abs(self.lots)
            profit = (closed * px * value_e8 - share) * -side
            self.cost -= share
            self.lots += side * closed
            lots -= closed
        self.lots += side * lots
        self.cost += lots * px * value_e8
        self.realized += profit
        return profit

    def profit_at(self, px: int, value_e8: int) -> int:
        """Unrealised profit at a price."""
        sign = 1 if self.lots > 0 else -1
        return abs(self.lots) * px * value_e8 * sign - self.cost * sign


class UsdmDesk(Desk):
    """Orders of a futures venue."""

    would_take = (
        "Due to the order could not be executed as maker, the Post Only order will be rejected. The order will not be "
        "recorded in the order history"
    )

    def rejected(self, text: str) -> RefusedError:
        """The refusal of a new order by the matching side."""
        return RefusedError(FUTURES_WOULD_TAKE, text) if text == self.would_take else order_rejected(text)

    def position(self, account: Account, symbol: str) -> Position:
        """The account's position in a symbol."""
        found: Position | None = account.positions.get(symbol)
        if found is None:
            found = account.positions[symbol] = Position()
        return found

    def mark(self, market: Market) -> int:
        """The price positions are valued at: the last trade, else the middle of the book; ticks, 0 for none."""
        book = market.book
        return market.tape.last_px or (book.bid + book.ask) // 2

    def margin_used(self, account: Account, markets: Mapping[str, Market]) -> tuple[int, int, int]:
        """Unrealised profit, margin of positions, margin of open orders; 1e-8."""
        profit = held = ordered = 0
        for symbol, position in account.positions.items():
            market = markets[symbol]
            profit += position.profit_at(self.mark(market), market.listed.value_e8)
            held += position.cost // position.leverage
        for order in self.open.values():
            if order.account is account and not order.is_reduce_only:
                leverage = self.position(account, order.listed.name).leverage
                ordered += order.left * order.px * order.listed.value_e8 // leverage
        return profit, held, ordered

    # --- what differs from spot -----------------------------------------------------------------------------------

    def reserve(self, order: Order, market: Market) -> bool:
        """Whether the account has margin for an order; nothing is moved. A reduce-only order is cut to the position."""
        position = self.position(order.account, order.listed.name)
        opposite = abs(position.lots) if position.lots * order.side < 0 else 0
        if order.is_reduce_only:
            if opposite == 0:
                raise RefusedError(REDUCE_ONLY_REJECTED, "ReduceOnly Order is rejected.")
            order.lots = min(order.lots, opposite)
            return True
        opened = max(0, order.lots - opposite)
        px = order.px or self.mark(market)
        profit, held, ordered = self.margin_used(order.account, {**self.markets, order.listed.name: market})
        free = order.account.balance(order.listed.quote)[0] + profit - held - ordered
        if opened * px * order.listed.value_e8 // position.leverage > free:
            raise RefusedError(MARGIN_NOT_ENOUGH, "Margin is insufficient.")
        return True

    @property
    def markets(self) -> dict[str, Market]:
        """Every market of the venue by symbol; set by the venue."""
        return self._markets

    @markets.setter
    def markets(self, markets: dict[str, Market]) -> None:
        self._markets = markets

    def settle(self, order: Order, what: Happening, is_maker: bool) -> tuple[int, str, int]:
        """One fill: the position changes, profit and commission go to the wallet."""
        listed, account = order.listed, order.account
        position = self.position(account, listed.name)
        profit = position.trade(order.side, what.lots, what.px, listed.value_e8)
        position.updated_ms = what.ns // 1_000_000
        rate = account.maker if is_maker else account.taker
        fee = what.px * what.lots * listed.value_e8 * rate // E8
        account.balance(listed.quote)[0] += profit - fee
        bank = self.bank
        bank.fees[listed.quote] = bank.fees.get(listed.quote, 0) + fee
        bank.outside[listed.quote] = bank.outside.get(listed.quote, 0) - profit
        self.touch(account, listed.quote)
        return fee, listed.quote, profit

    def happen(self, market: Market, happenings: list[Happening], *, is_own_act: bool = False) -> None:
        """As on spot; then reduce-only orders are held to the positions that are left."""
        before = self.n_executions
        super().happen(market, happenings, is_own_act=is_own_act)
        if self.n_executions != before:
            self._hold_to_positions(market, happenings[-1].ns)

    def _hold_to_positions(self, market: Market, now_ns: int) -> None:
        name = market.listed.name
        for order in [o for o in self.open.values() if o.is_reduce_only and o.listed.name == name]:
            if order is self._taker or not order.is_open:
                continue
            position = self.position(order.account, name)
            opposite = abs(position.lots) if position.lots * order.side < 0 else 0
            if opposite == 0:
                self.cancel(order, market, now_ns, why="EXPIRED")
            elif opposite < order.left:
                self.reduce(order, market, order.filled + opposite, now_ns, "")

    def modify(self, order: Order, market: Market, px: int, lots: int, now_ns: int) -> Order:
        """Another price and whole quantity for an open order. Only a smaller size at its price keeps the place."""
        if not order.is_open:
            raise RefusedError(CANCEL_REJECTED, "Unknown order sent.")
        if lots <= order.filled:
            raise RefusedError(BAD_PARAM, "The new quantity must be above what is filled.")
        if px == order.px and lots == order.lots:
            raise RefusedError(-5027, "No need to modify the order.")
        if px == order.px and lots < order.lots:
            return self.reduce(order, market, lots, now_ns, "")
        now_ms = now_ns // 1_000_000
        happenings = market.place.cancel(order.id, now_ns)
        if happenings is None:
            raise RefusedError(CANCEL_REJECTED, "Unknown order sent.")
        self.happen(market, happenings, is_own_act=True)
        order.px, order.lots, order.updated_ms = px, lots, now_ms
        self.listener.report(order, "REPLACED", now_ms)
        self.into_market(order, market, now_ns, is_new=False)
        self.tell_balances(now_ms)
        return order


def read_usdm_order(params: Mapping[str, Any], listed: Listed, default_stp: int) -> NewOrder:
    """The futures order that `params` ask for; else RefusedError with the documented code."""
    side = read_side(params)
    type = required(params, "type")
    if type in _CONDITIONAL:
        raise RefusedError(-4120, "Order type not supported for this endpoint. Please use the Algo Order API endpoints "
                           "instead.")  # fmt: skip
    if type not in ("LIMIT", "MARKET"):
        raise RefusedError(BAD_TYPE, "Invalid orderType.")
    if str(params.get("positionSide", "BOTH")) != "BOTH":
        raise RefusedError(-4061, "Order's position side does not match user's setting.")
    new = NewOrder(listed, side, type)
    new.lots = listed.read_qty(required(params, "quantity"), is_market=type == "MARKET")
    new.is_reduce_only = str(params.get("reduceOnly", "false")).lower() == "true"
    new.tif = "GTC"
    if type == "LIMIT":
        new.tif = required(params, "timeInForce")
        if new.tif not in _TIFS:
            raise RefusedError(BAD_TIF, "Invalid timeInForce.")
        new.px = listed.read_price(required(params, "price"))
        if not new.is_reduce_only:
            listed.check_notional(new.px, new.lots)
    elif params.get("price") is not None:
        raise RefusedError(NOT_REQUIRED, "Parameter 'price' sent when not required.")
    read_ways(params, new, default_stp, ("ACK", "RESULT"), "ACK")
    return new
