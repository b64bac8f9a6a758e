"""Limit orders whose frame stands ready but for its numbers: what most orders are, and what must leave soonest.

Everything that does not change from order to order is worked out when the venue's rules are known: the rules as ranges
of ticks and lots, the text of the frame for each side and time in force. What is not plain, or breaks a rule, goes the
long way through `sending`, which knows the reason. Made and called by `sending`.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR
from types import SimpleNamespace

import msgspec

from tercel.model.commands import FOK, GTC, GTX, IOC, LIMIT
from tercel.model.events import BUY, SELL
from tercel.model.instrument import Instrument
from tercel.venues.binance.encoding import Grid, new_order, scale
from tercel.venues.binance.exchange_info import SymbolRules
from tercel.venues.contract import client_id

__all__ = ["PreparedOrders"]

_TIFS = (GTC, IOC, FOK, GTX)
_NO_LIMIT = (1 << 63) - 1


class PreparedOrders:
    """Frames of plain limit orders of one instrument on the WebSocket API, for a session that is logged on."""

    __slots__ = (
        "_frames", "_notional_max", "_notional_min", "_px_den", "_px_max", "_px_min", "_px_num", "_qty_den", "_qty_max",
        "_qty_min", "_qty_num", "orders_max",
    )  # fmt: skip

    def __init__(self, instrument: Instrument, rules: SymbolRules, is_spot: bool, recv_window_ms: int) -> None:
        self._px_num, px_places = scale(instrument.tick_size)
        self._qty_num, qty_places = scale(instrument.lot_size)
        self._px_den, self._qty_den = 10**px_places, 10**qty_places
        self._px_min, self._px_max = max(1, rules.px_min), rules.px_max or _NO_LIMIT
        self._qty_min, self._qty_max = max(1, rules.qty_min), rules.qty_max or _NO_LIMIT
        unit = instrument.tick_size * instrument.lot_size * instrument.contract_value
        self._notional_min = int((rules.notional_min / unit).to_integral_value(ROUND_CEILING))
        most = rules.notional_max
        self._notional_max = int((most / unit).to_integral_value(ROUND_FLOOR)) if most else _NO_LIMIT
        self.orders_max = rules.orders_max or _NO_LIMIT
        self._frames: dict[tuple[int, int], bytes] = {}
        if rules.is_trading:
            for side in (BUY, SELL):
                for tif in _TIFS:
                    self._frames[side, tif] = _frame(
                        instrument, side, tif, px_places, qty_places, is_spot, recv_window_ms
                    )

    def frame(self, number: int, id: int, side: int, px: int, qty: int, tif: int, venue_ms: int) -> bytes | None:
        """The frame of request `number` for order `id`; None for what is not plain or what a rule speaks against."""
        if (
            not self._px_min <= px <= self._px_max
            or not self._qty_min <= qty <= self._qty_max
            or not self._notional_min <= px * qty <= self._notional_max
        ):
            return None
        text = self._frames.get((side, tif))
        if text is None:
            return None
        px_den, qty_den = self._px_den, self._qty_den
        px, px_part = divmod(px * self._px_num, px_den)
        qty, qty_part = divmod(qty * self._qty_num, qty_den)
        # Of a whole number the part is written as nothing.
        return text % (
            number, qty, qty_part if qty_den > 1 else b"", px, px_part if px_den > 1 else b"", id, venue_ms
        )  # fmt: skip


def _frame(
    instrument: Instrument, side: int, tif: int, px_places: int, qty_places: int, is_spot: bool, window_ms: int
) -> bytes:
    """The request as msgspec would write it, with places for: number, size, price (whole, part), id, time.

    In bytes, not text: formatting those takes half the time.
    """
    plain = SimpleNamespace(
        type=LIMIT, tif=tif, side=side, px=1, qty=1, flags=0, id=0, arg=0, expire_ns=0
    )  # fmt: skip
    params = new_order(plain, instrument.symbol, Grid(instrument), is_spot, 0)
    assert isinstance(params, dict)
    # The long way's own request, its numbers replaced by marks.
    params |= {"quantity": "<qty>", "price": "<px>", "newClientOrderId": f"{client_id(0)[:-16]}<id>"}
    params |= {"recvWindow": window_ms, "timestamp": -7}
    text = msgspec.json.encode({"id": -9, "method": "order.place", "params": params}).decode().replace("%", "%%")
    for mark, place in (
        ('"id":-9', '"id":%d'),
        ("<qty>", _places(qty_places)),
        ("<px>", _places(px_places)),
        ("<id>", "%016x"),
        ("-7", "%d"),
    ):
        text = text.replace(mark, place, 1)
    return text.encode()


def _places(places: int) -> str:
    """Whole and part of a decimal."""
    return f"%d.%0{places}d" if places else "%d%b"
