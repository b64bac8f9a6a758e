"""exchangeInfo: symbols and filters as Instruments and as the rules that refuse an order before it leaves.

Filters as on the pages "Filters" (spot) and "Exchange Information" (USD-M futures) of developers.binance.com, November
2026. `read_exchange_info` is what a driver calls before it makes a connection; the connection reads it again when it
opens and trades nothing whose grids have changed. Called by `connection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import msgspec

from tercel.errors import ConfigError, DataError, UnitError
from tercel.model import reasons
from tercel.model.commands import MARKET
from tercel.model.instrument import Instrument
from tercel.model.units import INT64_MAX, to_decimal
from tercel.venues.binance.messages import RateLimit
from tercel.venues.binance.settings import BinanceSettings

__all__ = ["ExchangeInfo", "SymbolRules", "exchange_info_url", "read_exchange_info"]


class _Filter(msgspec.Struct):
    filterType: str  # noqa: N815
    minPrice: str = "0"  # noqa: N815
    maxPrice: str = "0"  # noqa: N815
    tickSize: str = "0"  # noqa: N815
    minQty: str = "0"  # noqa: N815
    maxQty: str = "0"  # noqa: N815
    stepSize: str = "0"  # noqa: N815
    notional: str = "0"
    minNotional: str = "0"  # noqa: N815
    maxNotional: str = "0"  # noqa: N815
    applyToMarket: bool = True  # noqa: N815
    applyMinToMarket: bool = True  # noqa: N815
    limit: int = 0
    maxNumOrders: int = 0  # noqa: N815


class _Symbol(msgspec.Struct):
    symbol: str
    baseAsset: str  # noqa: N815
    quoteAsset: str  # noqa: N815
    filters: list[_Filter]
    status: str = "TRADING"
    cancelReplaceAllowed: bool = True  # noqa: N815
    amendAllowed: bool = False  # noqa: N815
    icebergAllowed: bool = True  # noqa: N815
    orderTypes: list[str] = []  # noqa: N815


class _Info(msgspec.Struct):
    symbols: list[_Symbol]
    rateLimits: list[RateLimit] = []  # noqa: N815


class SymbolRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue lets be sent for one instrument, in ticks, lots and quote currency; 0 is no limit.

    market_*: of market orders. can_amend: orders can be made smaller in place. can_replace: cancelReplace is allowed.
    """

    instrument: Instrument
    is_trading: bool = True
    px_min: int = 0
    px_max: int = 0
    qty_min: int = 0
    qty_max: int = 0
    market_qty_min: int = 0
    market_qty_max: int = 0
    market_step: int = 1
    notional_min: Decimal = Decimal(0)
    notional_max: Decimal = Decimal(0)
    notional_for_market: bool = True
    orders_max: int = 0
    can_amend: bool = False
    can_replace: bool = True

    def refusal(self, order_type: int, px: int, qty: int, n_open: int) -> int:
        """The reason why the venue would refuse a new order or amend, 0 when no rule here speaks against it."""
        is_market = order_type == MARKET
        if not self.is_trading:
            return reasons.VENUE_CLOSED
        if qty < self.qty_min or (self.qty_max and qty > self.qty_max):
            return reasons.VENUE_SIZE
        if is_market:
            if qty < self.market_qty_min or (self.market_qty_max and qty > self.market_qty_max):
                return reasons.VENUE_SIZE
            if qty % self.market_step:
                return reasons.VENUE_SIZE
        elif px > 0:
            if px < self.px_min or (self.px_max and px > self.px_max):
                return reasons.VENUE_PRICE
            notional = self.instrument.price(px) * self.instrument.qty(qty) * self.instrument.contract_value
            if notional < self.notional_min or (self.notional_max and notional > self.notional_max):
                return reasons.VENUE_NOTIONAL
        if self.orders_max and n_open >= self.orders_max:
            return reasons.VENUE_TOO_MANY_ORDERS
        return 0


class ExchangeInfo(msgspec.Struct, frozen=True):
    """rules: symbol -> its rules, with the Instrument they were read into. rate_limits: the venue's, without counts."""

    rules: dict[str, SymbolRules]
    rate_limits: list[RateLimit]

    def differing(self, instruments: Mapping[int, Instrument]) -> set[int]:
        """Which of these the venue does not list, or lists with another tick or lot."""
        found = set()
        for i, ours in instruments.items():
            theirs = self.rules[ours.symbol].instrument if ours.symbol in self.rules else None
            if theirs is None or (theirs.tick_size, theirs.lot_size) != (ours.tick_size, ours.lot_size):
                found.add(i)
        return found


def exchange_info_url(settings: BinanceSettings) -> str:
    """Where exchangeInfo is asked for. Weight 20 (spot), 1 (futures)."""
    return f"{settings.rest}{settings.api}/exchangeInfo"


def read_exchange_info(
    settings: BinanceSettings, data: bytes, symbols: list[str], venue: str = "binance"
) -> ExchangeInfo:
    """Read exchangeInfo for `symbols`; a symbol the venue does not have is absent. DataError for what it cannot be."""
    try:
        info = msgspec.json.decode(data, type=_Info)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"exchangeInfo is not what the venue sends: {error}") from None
    wanted = set(symbols)
    rules = {x.symbol: _rules(settings, x, venue) for x in info.symbols if x.symbol in wanted}
    return ExchangeInfo(rules, info.rateLimits)


def _rules(settings: BinanceSettings, symbol: _Symbol, venue: str) -> SymbolRules:
    filters = {x.filterType: x for x in symbol.filters}
    try:
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
        notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or _Filter("")
        least = max(to_decimal(notional.minNotional, "minNotional"), to_decimal(notional.notional, "notional"))
        step = to_decimal(lot.stepSize, "stepSize")
        lot_min = max(1, _count(lot.minQty, step))
        instrument = Instrument(
            symbol=symbol.symbol, tick_size=Decimal(price.tickSize).normalize(), lot_size=step.normalize(), venue=venue,
            kind="spot" if settings.is_spot else "linear", base=symbol.baseAsset, quote=symbol.quoteAsset,
            lot_min=lot_min, notional_min=least.normalize(), amends="replace" if settings.is_spot else "in_place",
        )  # fmt: skip
        market = filters.get("MARKET_LOT_SIZE") or _Filter("")
        count = filters.get("MAX_NUM_ORDERS") or _Filter("")
        return SymbolRules(
            instrument=instrument,
            is_trading=symbol.status == "TRADING",
            px_min=_count(price.minPrice, instrument.tick_size),
            px_max=_count(price.maxPrice, instrument.tick_size),
            qty_min=_count(lot.minQty, step),
            qty_max=_count(lot.maxQty, step),
            market_qty_min=_count(market.minQty, step),
            market_qty_max=_count(market.maxQty, step),
            market_step=max(1, _count(market.stepSize, step)),
            notional_min=least,
            notional_max=to_decimal(notional.maxNotional, "maxNotional"),
            notional_for_market=notional.applyToMarket and notional.applyMinToMarket,
            orders_max=count.maxNumOrders or count.limit,
            can_amend=symbol.amendAllowed,
            can_replace=symbol.cancelReplaceAllowed,
        )
    except (KeyError, ConfigError, UnitError, ArithmeticError) as error:
        raise DataError(f"exchangeInfo: filters of {symbol.symbol} cannot be read: {error}") from None


def _count(text: str, step: Decimal) -> int:
    """Whole steps in a bound; a bound between two steps is moved inside by what it bounds, at most one step."""
    steps = to_decimal(text, "bound") / step
    if steps > INT64_MAX:
        raise UnitError(f"bound {text} is more steps of {step} than 64 bits hold")
    return int(steps)
