"""What a venue says about our account when it is asked: orders, executions, positions. Plain values, no rules.

Made by `venues`, compared with our own books by `orders.reconcile`, which turns differences into EVENT rows.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

__all__ = ["AccountReport", "VenueExecution", "VenueOrder"]


class VenueOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order as the venue knows it.

    id: our order id, 0 when its client id is not one of ours. client_id: as the venue has it. venue_id: the venue's
    own number. instrument: our index. side: BUY or SELL. px: ticks, 0 for market orders. qty, filled: lots. status:
    the EVENT kind that says the same: ACK (resting, also partly filled), FILL (filled whole), CANCELED, EXPIRED,
    REJECT; 0 when the venue knows no such order. ts_ns: the venue's time of its last change.
    """

    id: int
    client_id: str = ""
    venue_id: int = 0
    instrument: int = 0
    side: int = 0
    px: int = 0
    qty: int = 0
    filled: int = 0
    status: int = 0
    ts_ns: int = 0


class VenueExecution(msgspec.Struct, frozen=True, kw_only=True):
    """One fill as the venue knows it.

    id, instrument, side, px, qty: as in `VenueOrder`, px and qty of this fill. venue_id: of the order. execution_id:
    the venue's number of the trade, the same in every message about it, unique per instrument. fee: money quanta of
    the instrument, rebates negative. is_maker: it rested. ts_ns: the venue's time.
    """

    id: int
    venue_id: int
    execution_id: int
    instrument: int
    side: int
    px: int
    qty: int
    fee: int
    is_maker: bool
    ts_ns: int


class AccountReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the venue answered to one question about our account.

    instruments: which ones the answer covers. ts_ns: the venue's time at which it was true. open_orders: every resting
    order on them, also ones that are not ours. orders: one for each order that was asked about by id, status 0 where
    the venue knows none. executions: every fill since the time asked, oldest first. positions: instrument -> signed
    lots; where the venue has balances instead of positions (spot), only what it can say, else absent. balances: asset
    -> total owned, free and locked.
    """

    instruments: tuple[int, ...]
    ts_ns: int
    open_orders: tuple[VenueOrder, ...] = ()
    orders: tuple[VenueOrder, ...] = ()
    executions: tuple[VenueExecution, ...] = ()
    positions: dict[int, int] = {}
    balances: dict[str, Decimal] = {}
