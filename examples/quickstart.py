"""The smallest whole thing: make a market, write a strategy, run it, look at the report."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import tercel as tc


class EmaCross(tc.Strategy):
    """Long while the fast average is above the slow one, flat otherwise."""

    qty: float = 0.01  # parameters: set per run, nothing is recompiled
    fast: tc.Ema = tc.Ema(span=50)  # indicators live inside the strategy's record
    slow: tc.Ema = tc.Ema(span=200)

    def on_trade(self, ctx, trade):
        fast, slow = self.fast.update(trade.price), self.slow.update(trade.price)
        if fast > slow and ctx.position(trade.instrument) == 0:
            ctx.buy(trade.instrument, self.qty, limit=ctx.best_ask(trade.instrument), tif=tc.IOC)
        elif fast < slow and ctx.position(trade.instrument) > 0:
            ctx.close(trade.instrument)


def main(directory: Path) -> tc.Result:
    rows = tc.simulate_market(tc.MarketModel(), seed=1, duration_s=120)
    instrument = tc.Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), quote="USD")
    result = tc.backtest(
        EmaCross(qty=0.02), rows, instruments=[instrument], latency_ms=10, fees=tc.Fees(maker=1, taker=4)
    )
    print(result)
    print("report:", result.report(directory / "quickstart.html"))
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
