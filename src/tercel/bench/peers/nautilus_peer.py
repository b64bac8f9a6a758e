"""nautilus-trader's side of the EMA cross: its low-level BacktestEngine, its indicators, its market orders.

The strategy is written as its own examples are: subscribe to quotes, register the indicators, ask the portfolio before
sending. Logging and the analysis after the run are switched off. nautilus_trader is imported inside functions; only the
benchmark calls this module.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from tercel.bench.peers import load
from tercel.bench.questions import EMA_FAST, EMA_LOTS, EMA_SLOW, EURUSD
from tercel.bench.results import FILL, SENT, Outcome
from tercel.clock import monotonic_ns

__all__ = ["EmaPeer", "ema_quotes"]

_DEPTH_UNITS = 10_000_000


def _strategy(instrument: Any, units: int) -> Any:
    """The EMA cross as a nautilus strategy; made here because its base class comes with the peer."""
    trading = load("nautilus_trader.trading.strategy")
    indicators = load("nautilus_trader.indicators")
    enums = load("nautilus_trader.model.enums")
    base: Any = trading.Strategy
    buy, sell = enums.OrderSide.BUY, enums.OrderSide.SELL

    class EmaCross(base):  # type: ignore[misc]
        """Long one size while the fast average is above the slow one, flat otherwise."""

        def __init__(self) -> None:
            super().__init__()
            self.fast = indicators.ExponentialMovingAverage(EMA_FAST, enums.PriceType.MID)
            self.slow = indicators.ExponentialMovingAverage(EMA_SLOW, enums.PriceType.MID)
            self.quantity = instrument.make_qty(units)

        def on_start(self) -> None:
            self.register_indicator_for_quote_ticks(instrument.id, self.fast)
            self.register_indicator_for_quote_ticks(instrument.id, self.slow)
            self.subscribe_quote_ticks(instrument.id)

        def on_quote_tick(self, tick: Any) -> None:
            if not self.slow.initialized:
                return
            if self.fast.value > self.slow.value:
                if self.portfolio.is_flat(instrument.id):
                    self.submit_order(self.order_factory.market(instrument.id, buy, self.quantity))
            elif self.fast.value < self.slow.value:
                if self.portfolio.is_net_long(instrument.id):
                    self.submit_order(self.order_factory.market(instrument.id, sell, self.quantity))

        def on_reset(self) -> None:
            self.fast.reset()
            self.slow.reset()

    return EmaCross()


class EmaPeer:
    """nautilus-trader made ready for the EMA cross; the engine is made once and reset before each run."""

    def __init__(self, ts_ns: np.ndarray, bids: np.ndarray, asks: np.ndarray) -> None:
        """Times in int64 ns, prices in int64 ticks of EURUSD, (n,) each."""
        version = load("nautilus_trader").__version__
        self.name = f"nautilus-trader {version}"
        self.n_events = len(ts_ns)
        self._units = int(EURUSD.lot_size) * EMA_LOTS
        self._engine = self._make(ts_ns, bids, asks)
        self._used = False

    def _make(self, ts_ns: np.ndarray, bids: np.ndarray, asks: np.ndarray) -> Any:
        engine_module = load("nautilus_trader.backtest.engine")
        config = load("nautilus_trader.config")
        model = load("nautilus_trader.model")
        enums = load("nautilus_trader.model.enums")
        objects = load("nautilus_trader.model.objects")
        instruments = load("nautilus_trader.model.instruments")
        data = load("nautilus_trader.model.data")
        identifiers = load("nautilus_trader.model.identifiers")
        usd = load("nautilus_trader.model.currencies").USD
        eur = load("nautilus_trader.model.currencies").EUR

        engine = engine_module.BacktestEngine(
            engine_module.BacktestEngineConfig(logging=config.LoggingConfig(bypass_logging=True), run_analysis=False)
        )
        venue = model.Venue("SIM")
        engine.add_venue(
            venue=venue,
            oms_type=enums.OmsType.NETTING,
            account_type=enums.AccountType.MARGIN,
            base_currency=usd,
            starting_balances=[objects.Money(10_000_000, usd)],
        )
        pair = instruments.CurrencyPair(
            instrument_id=identifiers.InstrumentId(identifiers.Symbol("EURUSD"), venue),
            raw_symbol=identifiers.Symbol("EURUSD"),
            base_currency=eur,
            quote_currency=usd,
            price_precision=5,
            size_precision=0,
            price_increment=objects.Price.from_str("0.00001"),
            size_increment=objects.Quantity.from_str("1"),
            lot_size=objects.Quantity.from_str("1000"),
            margin_init=Decimal("0.03"),
            margin_maint=Decimal("0.03"),
            maker_fee=Decimal(0),
            taker_fee=Decimal(0),
            ts_event=0,
            ts_init=0,
        )
        engine.add_instrument(pair)
        depth = objects.Quantity.from_int(_DEPTH_UNITS)
        tick = float(EURUSD.tick_size)
        engine.add_data(
            [
                data.QuoteTick(
                    pair.id, objects.Price(bid * tick, 5), objects.Price(ask * tick, 5), depth, depth, ts, ts
                )
                for ts, bid, ask in zip(ts_ns.tolist(), bids.tolist(), asks.tolist(), strict=True)
            ]
        )
        engine.add_strategy(_strategy(pair, self._units))
        return engine

    def once(self) -> float:
        """One timed run."""
        if self._used:
            self._engine.reset()
        self._used = True
        start_ns = monotonic_ns()
        self._engine.run()
        return (monotonic_ns() - start_ns) / 1e9

    def outcome(self) -> Outcome:
        """One run, its orders read back from the engine's cache."""
        self.once()
        orders = sorted(self._engine.cache.orders(), key=lambda order: (order.ts_init, order.client_order_id.value))
        filled = [order for order in orders if order.filled_qty > 0]
        fills, sent = np.zeros(len(filled), FILL), np.zeros(len(orders), SENT)
        numbers = {order.client_order_id: number for number, order in enumerate(orders, 1)}
        tick, lot = float(EURUSD.tick_size), int(EURUSD.lot_size)
        position, balance = 0, 0.0
        for row, order in enumerate(orders):
            side = 1 if order.side_string() == "BUY" else -1
            sent[row] = (row + 1, order.ts_init, 0, int(order.quantity) // lot, side)
        for row, order in enumerate(filled):
            side = 1 if order.side_string() == "BUY" else -1
            qty = int(order.filled_qty) // lot
            px = round(float(order.avg_px) / tick)
            ts_ns = order.last_event.ts_event
            fills[row] = (numbers[order.client_order_id], ts_ns, ts_ns, px, qty, side)
            position += side * qty
            balance -= side * float(order.avg_px) * float(order.filled_qty)
        return Outcome(fills=fills, position=position, balance=balance, fee=0.0, sent=sent)

    def close(self) -> None:
        """Dispose of the engine."""
        self._engine.dispose()


def ema_quotes(ts_ns: np.ndarray, bids: np.ndarray, asks: np.ndarray) -> EmaPeer:
    """nautilus-trader on the question `ema_quotes`."""
    return EmaPeer(ts_ns, bids, asks)
