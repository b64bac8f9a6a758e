"""Our orders at the venue: what was sent, what the user stream says of it, and the rows that follow.

Rules: an order ends and fills only by what the user stream (or a report) says, never by an answer to a request; an
answer acknowledges or refuses. A fill is told once, by its trade id. A fill of somebody else's order on our account (by
hand, by liquidation) moves the position all the same: it is a FILL row with id 0. Called by `connection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

import msgspec
import numpy as np

from tercel.errors import DataError, UnitError
from tercel.jit import address_of
from tercel.model import reasons
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    BUY,
    CANCEL_REJECT,
    CANCELED,
    EXPIRED,
    FILL,
    LAST,
    LOCAL,
    MAKER,
    REJECT,
    SELL,
    TAKER,
)
from tercel.model.instrument import Instrument
from tercel.model.rowbuffer import RowBuffer
from tercel.model.units import INT64_MAX, to_decimal
from tercel.venues.binance.encoding import own_id
from tercel.venues.binance.messages import OrderEvent, OrderUpdate, UserEnvelope

__all__ = ["Desk", "LiveOrder", "UserDecoder", "fee_quanta"]

_MS = 1_000_000
_SEEN_MAX = 1 << 17
#: Orders that have ended and are remembered, so that a message that comes late does not bring one back.
_OVER_MAX = 1 << 13
_FLAGS = LOCAL | LAST
#: Prefixes of client ids that the venue gives orders of its own, futures: liquidation, deleveraging, settlement.
_FORCED = ("autoclose-", "adl_autoclose", "settlement_autoclose-")


class LiveOrder:
    """One order of ours that has not ended.

    px: ticks. qty, filled: lots of the order as the venue counts it now. told_*: lots of fills that were told, in rows
    and in reports, which may be ahead of what the stream says: `told_now` of the number `told_id`, `told_before` of the
    numbers that it replaced. venue_id: the venue's number, 0 before it told. is_acked: an ACK row was written.
    replacing: (px, lots left) of a cancelReplace on its way; is_half_done: its cancel has happened. sent_ns: when its
    last request left. is_plain: a limit order without trigger or hidden size, which alone cancelReplace can make again.
    """

    __slots__ = (
        "filled", "i", "id", "is_acked", "is_half_done", "is_maker", "is_plain", "px", "qty", "replacing", "sent_ns",
        "side", "told_before", "told_id", "told_now", "venue_id",
    )  # fmt: skip

    def __init__(self, id: int, i: int, side: int, px: int, qty: int, is_maker: bool = False) -> None:
        self.id, self.i, self.side, self.px, self.qty, self.is_maker = id, i, side, px, qty, is_maker
        self.filled = self.venue_id = self.sent_ns = 0
        self.told_before = self.told_now = self.told_id = 0
        self.is_acked = self.is_half_done = False
        self.is_plain = True
        self.replacing: tuple[int, int] | None = None

    @property
    def left(self) -> int:
        """Lots that may still trade."""
        return self.qty - self.filled

    def tell(self, venue_id: int, lots: int) -> None:
        """Count a fill of the number `venue_id` as told. Numbers only grow."""
        if venue_id > self.told_id:
            self.told_before, self.told_now, self.told_id = self.told_before + self.told_now, 0, venue_id
        if venue_id == self.told_id:
            self.told_now += lots
        else:
            self.told_before += lots

    def carried(self, venue_id: int) -> int:
        """Lots told of the numbers that `venue_id` replaced, which the venue no longer counts."""
        return self.told_before + (self.told_now if self.told_id < venue_id else 0)

    def untold(self, qty: int, filled: int, venue_id: int) -> int:
        """Lots left of an order that is `qty` now, by the stream's `filled` or by what was told, if that is more."""
        return qty - max(filled, self.told_now if venue_id == self.told_id else 0)


class UserDecoder:
    """Decodes the messages of user streams."""

    def __init__(self) -> None:
        self._head = msgspec.json.Decoder(UserEnvelope)
        self._execution = msgspec.json.Decoder(OrderEvent)
        self._update = msgspec.json.Decoder(OrderUpdate)

    def listen_key(self, body: bytes) -> str:
        """The key in an answer to POST listenKey. It becomes part of an address: letters and digits."""
        key = self._head.decode(body).listenKey
        if not key.isalnum() or not key.isascii():
            raise DataError("a listen key that is not letters and digits")
        return key

    def message(self, data: bytes | bytearray | memoryview | msgspec.Raw) -> tuple[str, OrderEvent | None]:
        """The name of an event, and what it says of an order where it does."""
        head = self._head.decode(data)
        if len(memoryview(head.data)):
            data = head.data
            head = self._head.decode(data)
        if head.e == "executionReport":
            return head.e, self._execution.decode(data)
        return head.e, self._update.decode(data).o if head.e == "ORDER_TRADE_UPDATE" else None


class Desk:
    """Orders and fills of one account. open: order id -> order. n_open: how many, by instrument; int64 words of a
    record (`n_open_at`) that the compiled way of an order reads. top_id: the highest order id ever seen here. in_doubt,
    notes: the connection's.
    """

    def __init__(
        self,
        instruments: Mapping[int, Instrument],
        rows: RowBuffer,
        is_spot: bool,
        fee_prices: Mapping[str, Decimal],
        in_doubt: set[int],
        notes: list[str],
    ) -> None:
        self.open: dict[int, LiveOrder] = {}
        self._counts = np.zeros(max(instruments, default=0) + 1, np.int64)
        self.n_open_at = address_of(self._counts)
        self.n_open = memoryview(self._counts.data).cast("B").cast("q")
        self.top_id = 0
        self.venue_ids: dict[int, int] = {}  #: the venue's order number -> our id, the newest ones
        self._by_symbol = {x.symbol: (i, x) for i, x in instruments.items()}
        self._rows = rows
        self._is_spot = is_spot
        self._fee_prices = fee_prices
        self.in_doubt = in_doubt
        self._notes = notes
        self._seen: dict[tuple[int, int], None] = {}
        self._over: dict[int, None] = {}
        self._unpriced: set[str] = set()

    def add(self, order: LiveOrder) -> LiveOrder:
        """Take up an order that was sent, or that the venue knows."""
        if order.id not in self.open:
            self.n_open[order.i] += 1
            if order.id > self.top_id:
                self.top_id = order.id
        self.open[order.id] = order
        return order

    def end(self, number: int) -> None:
        """The order is over."""
        order = self.open.pop(number, None)
        if order is not None:
            self.n_open[order.i] -= 1
        self.in_doubt.discard(number)
        self._over[number] = None
        if len(self._over) > _OVER_MAX:
            del self._over[next(iter(self._over))]

    def saw(self, i: int, execution_id: int) -> bool:
        """Note a fill by its trade id; True where it was told before."""
        key = (i, execution_id)
        if key in self._seen:
            return True
        self._seen[key] = None
        if len(self._seen) > _SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return False

    def name(self, venue_id: int, number: int) -> None:
        """Remember whose a venue order number is."""
        if number and venue_id and self.venue_ids.get(venue_id) != number:
            self.venue_ids[venue_id] = number
            if len(self.venue_ids) > _SEEN_MAX:
                del self.venue_ids[next(iter(self.venue_ids))]

    def _row(
        self, kind: int, order: LiveOrder, ts_ns: int, now_ns: int, reason: int, px: int = 0, qty: int = 0
    ) -> None:
        self._rows.add(
            kind, order.i, ts_ns, now_ns, side=order.side, px=px, qty=qty, id=order.id, reason=reason, flags=_FLAGS,
            arg0=order.venue_id if kind == ACK else 0,
        )  # fmt: skip

    # --- answers -----------------------------------------------------------------------------------------------------

    def acked(self, number: int, venue_id: int, ts_ns: int, now_ns: int) -> None:
        """The venue has taken a new order."""
        order = self.open.get(number)
        self.name(venue_id, number)
        if order is not None and not order.is_acked:
            order.is_acked, order.venue_id = True, venue_id
            self.in_doubt.discard(number)
            self._row(ACK, order, ts_ns or now_ns, now_ns, 0, order.px, order.qty)

    def rejected(self, number: int, i: int, side: int, px: int, qty: int, reason: int, now_ns: int) -> None:
        """A new order was refused, by the venue or before it left. Nothing where it has ended meanwhile."""
        if number in self.open:
            self.end(number)
        self._row(REJECT, LiveOrder(number, i, side, px, qty), now_ns, now_ns, reason, px, qty)

    def cancel_rejected(self, number: int, i: int, reason: int, now_ns: int) -> None:
        """A cancel was refused."""
        order = self.open.get(number) or LiveOrder(number, i, 0, 0, 0)
        self._row(CANCEL_REJECT, order, now_ns, now_ns, reason, order.px, order.left)

    def amend_rejected(self, number: int, i: int, reason: int, now_ns: int, is_gone: bool = False) -> None:
        """An amend was refused. is_gone: after its order had been canceled to be replaced, so the order is over."""
        order = self.open.get(number) or LiveOrder(number, i, 0, 0, 0)
        order.replacing = None
        self._row(AMEND_REJECT, order, now_ns, now_ns, reason, order.px, order.left)
        if is_gone and number in self.open:
            self._row(CANCELED, order, now_ns, now_ns, reason, order.px, order.left)
            self.end(number)

    # --- the user stream ---------------------------------------------------------------------------------------------

    def event(self, e: OrderEvent, now_ns: int) -> None:
        """One executionReport or ORDER_TRADE_UPDATE. DataError or UnitError, with nothing changed, for nonsense."""
        found = self._by_symbol.get(e.s)
        if found is None:
            return
        i, instrument = found
        if e.S not in ("BUY", "SELL"):
            raise DataError(f"{e.s}: the side of an order is {e.S!r}, expected BUY or SELL")
        number = own_id(e.C) or own_id(e.c)
        ts_ns = (e.T or e.E) * _MS
        px, qty, filled = instrument.ticks(e.p), instrument.lots(e.q), instrument.lots(e.z)
        if e.x in ("TRADE", "CALCULATED"):
            self._amended_unheard(e, number, px, qty, filled - instrument.lots(e.l), ts_ns, now_ns)
            self._fill(e, i, instrument, number, ts_ns, now_ns)
        if number == 0:
            return
        order = self.open.get(number)
        if order is None:
            if number in self._over:
                return
            if e.X in ("NEW", "PARTIALLY_FILLED", "PENDING_NEW") and e.x != "CANCELED":
                order = self.add(LiveOrder(number, i, BUY if e.S == "BUY" else SELL, px, qty))
            else:
                order = LiveOrder(number, i, BUY if e.S == "BUY" else SELL, px, qty)
        if e.i < order.venue_id:
            # A report knew already that the order was canceled and made again: numbers only grow.
            return
        is_anew = e.x == "NEW" and _is_made_again(order, e.i, px, qty)
        order.venue_id = e.i
        self.name(e.i, number)
        if is_anew:
            order.px, order.qty, order.filled = px, qty, filled
            order.replacing, order.is_half_done = None, False
            self.in_doubt.discard(order.id)
            self._amended(order, px, order.untold(qty, filled, e.i), ts_ns, now_ns)
            return
        order.filled = max(order.filled, filled)
        self._change(e, order, px, qty, filled, ts_ns, now_ns)

    def _amended_unheard(
        self, e: OrderEvent, number: int, px: int, qty: int, filled: int, ts_ns: int, now_ns: int
    ) -> None:
        """A fill of an order whose price or size is not what we heard last: the word of its amend was lost."""
        order = self.open.get(number)
        if order is None or order.replacing is not None or order.is_half_done or e.i < order.venue_id:
            return
        left = order.untold(qty, filled, e.i)
        if left <= 0:
            return
        if order.qty != qty or (order.px != px and order.px > 0 and px > 0):
            order.px, order.qty = px, qty
            self._row(AMENDED, order, ts_ns, now_ns, reasons.BY_REQUEST, px, left)

    def _change(self, e: OrderEvent, order: LiveOrder, px: int, qty: int, filled: int, ts_ns: int, now_ns: int) -> None:
        kind = e.x
        if kind == "NEW":
            if not order.is_acked:
                order.is_acked = True
                self.in_doubt.discard(order.id)
                self._row(ACK, order, ts_ns, now_ns, 0, px, qty)
        elif kind in ("REPLACED", "AMENDMENT"):
            order.px, order.qty = px, qty
            self.in_doubt.discard(order.id)
            self._amended(order, px, order.untold(qty, filled, e.i), ts_ns, now_ns)
        elif kind == "CANCELED":
            if self._is_spot and e.c.startswith("ta"):
                # The first half of a cancelReplace: the second tells how it ends.
                order.is_half_done = True
                if order.replacing is None:
                    self.in_doubt.add(order.id)
                return
            reason = reasons.LIQUIDATED if e.c.startswith(_FORCED) else reasons.BY_REQUEST
            self._row(CANCELED, order, ts_ns, now_ns, reason, px, qty - filled)
            self.end(order.id)
        elif kind == "REJECTED":
            self._on_rejected(e, order, ts_ns, now_ns)
        elif kind == "EXPIRED" or (kind == "TRADE_PREVENTION" and e.X in ("EXPIRED", "EXPIRED_IN_MATCH")):
            self._row(EXPIRED, order, ts_ns, now_ns, _why_expired(e), px, qty - filled)
            self.end(order.id)
        elif kind == "TRADE_PREVENTION":
            self.in_doubt.add(order.id)
            self._notes.append(f"{e.s}: self-trade prevention made order {order.id} smaller; a report will tell")
        elif e.X == "FILLED":
            self.end(order.id)

    def _amended(self, order: LiveOrder, px: int, left: int, ts_ns: int, now_ns: int) -> None:
        """An amend took effect. Where every lot that is left then was told as a fill already, the order is over."""
        if left > 0:
            self._row(AMENDED, order, ts_ns, now_ns, reasons.BY_REQUEST, px, left)
        else:
            self._row(CANCELED, order, ts_ns, now_ns, reasons.BY_REQUEST, px, 0)
            self.end(order.id)

    def _on_rejected(self, e: OrderEvent, order: LiveOrder, ts_ns: int, now_ns: int) -> None:
        # With an amend on its way the answer to the request tells the same, with its reason.
        if order.replacing is None and order.id in self.open:
            self._row(REJECT, order, ts_ns, now_ns, reasons.VENUE_REJECTED, order.px, order.left)
            self.end(order.id)

    def _fill(self, e: OrderEvent, i: int, instrument: Instrument, number: int, ts_ns: int, now_ns: int) -> None:
        px, qty = instrument.ticks(e.L), instrument.lots(e.l)
        if px <= 0 or qty <= 0 or e.t < 0:
            raise DataError(f"{e.s}: a fill of {e.l} at {e.L} with trade id {e.t}, expected more than 0")
        fee = self.fee(instrument, e.n or "0", e.N or "", px)
        if self.saw(i, e.t):
            return
        if number in self.open:
            self.open[number].tell(e.i, qty)
        reason = 0 if e.m else reasons.TOOK
        if e.x == "CALCULATED" or e.c.startswith(_FORCED):
            reason = reasons.LIQUIDATED
        self._rows.add(
            FILL, i, ts_ns, now_ns, side=BUY if e.S == "BUY" else SELL, px=px, qty=qty, id=number, arg0=fee, arg1=e.t,
            reason=reason, flags=_FLAGS | (MAKER if e.m else TAKER),
        )  # fmt: skip

    def fee(self, instrument: Instrument, amount: str, asset: str, px: int) -> int:
        """A commission in money quanta of the instrument; an asset nobody has priced counts as 0, once with a note."""
        price = self._fee_prices.get(asset)
        if price is None and asset not in ("", instrument.settlement, instrument.base):
            if asset not in self._unpriced and to_decimal(amount, "commission") != 0:
                self._unpriced.add(asset)
                self._notes.append(f"{instrument.symbol}: fees in {asset} count as 0: state fee_prices[{asset!r}]")
            return 0
        return fee_quanta(instrument, amount, asset, px, price)


def _is_made_again(order: LiveOrder, venue_id: int, px: int, qty: int) -> bool:
    """Whether a NEW tells the second half of a cancelReplace, and not, late, that the order itself was taken.

    The stream tells the cancel before it. Where that was lost, the second half has a greater number than the order, or
    where the order's is not known yet, another price or size.
    """
    if order.replacing is None or order.is_half_done:
        return order.is_half_done
    return venue_id > order.venue_id if order.venue_id else (px, qty) != (order.px, order.qty)


def fee_quanta(instrument: Instrument, amount: str, asset: str, px: int, price: Decimal | None) -> int:
    """A commission as whole money quanta, rounded half up. price: of the asset in settlement currency, where it is
    neither settlement nor base currency; a fee in base currency counts at the fill's own price `px`, in ticks."""
    exact = to_decimal(amount, f"{instrument.symbol} commission")
    try:
        if price is not None:
            exact *= price
        elif asset == instrument.base and asset != instrument.settlement:
            exact *= instrument.price(px)
        quanta = (exact / instrument.quantum).to_integral_value(ROUND_HALF_UP)
        is_too_much = abs(quanta) > INT64_MAX
    except ArithmeticError:
        is_too_much = True
    if is_too_much:
        raise UnitError(f"{instrument.symbol}: a commission of {amount} {asset} is more quanta than 64 bits hold")
    return int(quanta)


def _why_expired(e: OrderEvent) -> int:
    """The reason of an EXPIRED order, from its type and time in force."""
    if e.X == "EXPIRED_IN_MATCH" or e.x == "TRADE_PREVENTION":
        return reasons.VENUE_SELF_TRADE
    if e.c.startswith(_FORCED):
        return reasons.LIQUIDATED
    if e.f == "GTX" or e.o == "LIMIT_MAKER":
        return reasons.WOULD_TAKE
    if e.f == "FOK":
        return reasons.FOK_UNFILLABLE
    if e.o == "MARKET":
        return reasons.NO_LIQUIDITY
    return {"IOC": reasons.IOC_REMAINDER, "GTD": reasons.GTD_EXPIRED}.get(e.f, reasons.VENUE_ENDED)
