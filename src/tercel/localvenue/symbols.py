"""What the local venue lists: symbols with their grids, limits and the filters that state them.

The checks of an order against its symbol live here; `lie` in `faults` changes only what is said, never what is
checked. Called by the venue, the order desk and exchangeInfo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tercel.errors import ConfigError
from tercel.localvenue.numbers import E8, parse_e8, text_e8
from tercel.localvenue.refusals import RefusedError, filter_failure
from tercel.model.instrument import Instrument
from tercel.sim.market import MarketModel

__all__ = ["Listed", "SymbolRules", "default_symbols", "tape_symbols"]


_TEXTS_KEPT = 1 << 16
_QUOTES = ("USDT", "USDC", "BTC", "EUR", "USD")


class SymbolRules(msgspec.Struct, frozen=True, kw_only=True):
    """What a symbol is and how its simulated market behaves.

    instrument: grids; tick times lot must be a whole number of 1e-8 of the quote currency. market: of the simulated
    participants. qty_max_lots, market_qty_max_lots: largest order. notional_min: smallest price times quantity.
    price_up, price_down: how far from the mean price an order may be, as a multiple and a share. orders_max,
    stops_max: open orders and waiting stops an account may have here.
    """

    instrument: Instrument
    market: MarketModel = MarketModel()
    qty_max_lots: int = 10_000_000
    market_qty_max_lots: int = 1_000_000
    notional_min: str = "5"
    price_up: int = 5
    price_down: float = 0.2
    orders_max: int = 200
    stops_max: int = 5


def default_symbols(names: list[str] | None = None) -> list[SymbolRules]:
    """The symbols of a venue that was told nothing: BTCUSDT and ETHUSDT, or the named ones with grids of their kind."""
    known = {"BTCUSDT": ("1.00", "0.0001", 60_000, 3.0), "ETHUSDT": ("0.10", "0.001", 30_000, 2.0)}
    rules = []
    for name in names or list(known):
        tick, lot, mid_px, vol = known.get(name, ("0.01", "0.01", 10_000, 1.0))
        quote = next((q for q in _QUOTES if name.endswith(q) and name != q), "")
        if not quote or not name.isalnum() or not name.isascii() or name != name.upper():
            raise ConfigError(f"symbol {name!r}: expected capitals ending in USDT, USDC, BTC, EUR or USD, as BTCUSDT")
        instrument = Instrument(
            symbol=name, tick_size=tick, lot_size=lot, venue="local", kind="spot",  # type: ignore[arg-type]
            base=name.removesuffix(quote), quote=quote,
        )  # fmt: skip
        rules.append(SymbolRules(instrument=instrument, market=MarketModel(mid_px=mid_px, value_vol=vol)))
    return rules


def tape_symbols(instruments: list[Instrument], names: list[str] | None = None) -> list[SymbolRules]:
    """The symbols of a tape, or those named of them. What a tape does not say of currencies is read from the name.

    A tape whose lot times tick is finer than 1e-8 of the quote currency gets a lot ten, a hundred, ... times as large.
    """
    rules = []
    for instrument in instruments:
        if names is not None and instrument.symbol not in names:
            continue
        symbol = "".join(c for c in instrument.symbol.upper() if c.isascii() and c.isalnum())
        quote = next((q for q in _QUOTES if symbol.endswith(q) and symbol != q), "")
        base = instrument.base or symbol.removesuffix(quote)
        lot = instrument.lot_size
        while (instrument.tick_size * lot * E8) % 1:
            lot *= 10
        # A venue of this kind pays in the quote currency and counts sizes in the base currency.
        spot = msgspec.structs.replace(
            instrument, kind="spot", base=base, quote=instrument.quote or quote or "USD", lot_size=lot
        )
        rules.append(SymbolRules(instrument=spot))
    if names is not None and len(rules) != len(names):
        held = ", ".join(instrument.symbol for instrument in instruments)
        raise ConfigError(f"the tape does not hold all of {', '.join(names)}; it has {held}")
    return rules


class Listed:
    """A listed symbol in integers: tick, lot and value (of one tick times one lot) in 1e-8 units."""

    def __init__(
        self, index: int, rules: SymbolRules, refuse: Callable[[str, str], RefusedError] = filter_failure
    ) -> None:
        #: Says no in the product's own words: the filter's name, and "step", "low" or "high".
        self.refuse = refuse
        instrument = rules.instrument
        self.index = index
        self.rules = rules
        self.name = instrument.symbol
        self.base, self.quote = instrument.base, instrument.quote
        self.tick_e8, self.lot_e8 = _whole(instrument.tick_size, self.name), _whole(instrument.lot_size, self.name)
        product = self.tick_e8 * self.lot_e8
        if product % E8 or not self.base or not self.quote:
            raise ConfigError(
                f"symbol {self.name}: needs base and quote currency, and one tick times one lot must be a whole "
                f"number of 1e-8 {self.quote or 'of the quote currency'}"
            )
        self.value_e8 = product // E8
        self.notional_min_e8 = _whole(rules.notional_min, self.name)
        self.px_max = 10**9
        #: Texts of numbers that were asked for before: most of what is said repeats.
        self._prices: dict[int, str] = {}
        self._qtys: dict[int, str] = {}
        #: And numbers of texts that were good before.
        self._ticks: dict[str, int] = {}
        self._lots: dict[str, int] = {}

    def price(self, ticks: int) -> str:
        """Ticks as text."""
        text = self._prices.get(ticks)
        if text is None:
            if len(self._prices) >= _TEXTS_KEPT:
                self._prices.clear()
            text = self._prices[ticks] = text_e8(ticks * self.tick_e8)
        return text

    def qty(self, lots: int) -> str:
        """Lots as text."""
        text = self._qtys.get(lots)
        if text is None:
            if len(self._qtys) >= _TEXTS_KEPT:
                self._qtys.clear()
            text = self._qtys[lots] = text_e8(lots * self.lot_e8)
        return text

    def ticks(self, price_e8: int) -> int:
        """A price on the grid, else RefusedError."""
        ticks, off = divmod(price_e8, self.tick_e8)
        if off or not 0 < ticks <= self.px_max:
            raise self.refuse("PRICE_FILTER", "step" if off else "low" if ticks <= 0 else "high")
        return ticks

    def lots(self, qty_e8: int) -> int:
        """A quantity on the grid and within its limits, else RefusedError."""
        lots, off = divmod(qty_e8, self.lot_e8)
        if off or not 1 <= lots <= self.rules.qty_max_lots:
            raise self.refuse("LOT_SIZE", "step" if off else "low" if lots < 1 else "high")
        return lots

    def read_price(self, text: str, name: str = "price") -> int:
        """`ticks` of a parameter's text."""
        ticks = self._ticks.get(text)
        if ticks is None:
            ticks = self.ticks(parse_e8(text, name))
            if len(self._ticks) >= _TEXTS_KEPT:
                self._ticks.clear()
            self._ticks[text] = ticks
        return ticks

    def read_qty(self, text: str, name: str = "quantity", *, is_market: bool = False) -> int:
        """`lots` of a parameter's text."""
        lots = self._lots.get(text)
        if lots is None:
            lots = self.lots(parse_e8(text, name))
            if len(self._lots) >= _TEXTS_KEPT:
                self._lots.clear()
            self._lots[text] = lots
        if is_market:
            self.check_market_lots(lots)
        return lots

    def check_market_lots(self, lots: int) -> None:
        """Refuse a market order that is too large."""
        if lots > self.rules.market_qty_max_lots:
            raise self.refuse("MARKET_LOT_SIZE", "high")

    def check_price_band(self, side: int, ticks: int, mean_ticks: int) -> None:
        """Refuse a price too far from the mean price."""
        rules = self.rules
        if mean_ticks and (ticks > mean_ticks * rules.price_up or ticks < mean_ticks * rules.price_down):
            raise self.refuse("PERCENT_PRICE_BY_SIDE", "high" if ticks > mean_ticks else "low")

    def check_notional(self, ticks: int, lots: int) -> None:
        """Refuse an order that is worth too little."""
        if ticks * lots * self.value_e8 < self.notional_min_e8:
            raise self.refuse("NOTIONAL", "low")

    def filters(self, lie: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
        """The filters as exchangeInfo states them. lie: filter type -> fields to state otherwise."""
        rules = self.rules
        up, down = str(rules.price_up), str(rules.price_down)
        stated: list[dict[str, Any]] = [
            {"filterType": "PRICE_FILTER", "minPrice": self.price(1), "maxPrice": self.price(self.px_max),
             "tickSize": self.price(1)},
            {"filterType": "LOT_SIZE", "minQty": self.qty(1), "maxQty": self.qty(rules.qty_max_lots),
             "stepSize": self.qty(1)},
            {"filterType": "MARKET_LOT_SIZE", "minQty": self.qty(1), "maxQty": self.qty(rules.market_qty_max_lots),
             "stepSize": self.qty(1)},
            {"filterType": "PERCENT_PRICE_BY_SIDE", "bidMultiplierUp": up, "bidMultiplierDown": down,
             "askMultiplierUp": up, "askMultiplierDown": down, "avgPriceMins": 5},
            {"filterType": "NOTIONAL", "minNotional": text_e8(self.notional_min_e8), "applyMinToMarket": True,
             "maxNotional": "90000000000.00000000", "applyMaxToMarket": False, "avgPriceMins": 5},
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.orders_max},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": rules.stops_max},
        ]  # fmt: skip
        for each in stated:
            each.update(lie.get(each["filterType"], {}))
        return stated


def _whole(amount: Any, name: str) -> int:
    from decimal import Decimal

    exact = Decimal(amount) * E8
    if exact != exact.to_integral_value():
        raise ConfigError(f"symbol {name}: {amount} is finer than 1e-8, which is what the venue counts in")
    return int(exact)
