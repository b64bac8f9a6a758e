"""One large order, worked four ways: at once, in equal slices, as a share of the volume, and resting slice by slice.

Prints what each paid against the mid when it began (implementation shortfall, in basis points).
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import tercel as tc


class Worked(tc.Strategy):
    """Buys `qty` in the way that `how` says, beginning with the first book."""

    how: int = 0
    qty: float = 3.0
    seconds: int = 60
    arrival: float = 0.0
    id: int = 0

    def on_book(self, ctx, book):
        if self.id != 0 or book.bid_px == 0 or book.ask_px == 0:
            return
        self.arrival = book.mid
        span = self.seconds * 1_000_000_000
        if self.how == 0:
            self.id = ctx.buy(0, self.qty)
        elif self.how == 1:
            self.id = ctx.twap(0, tc.BUY, self.qty, span, 30)
        elif self.how == 2:
            self.id = ctx.pov(0, tc.BUY, self.qty, 0.15)
        else:
            self.id = ctx.twap(0, tc.BUY, self.qty, span, 30, ctx.best_ask(0) + 1.0, tc.POST)


def main(directory: Path) -> dict[str, tuple[float, float]]:
    rows = tc.simulate_market(tc.MarketModel(), seed=6, duration_s=120)
    instrument = tc.Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), quote="USD")
    found = {}
    for how, name in enumerate(("at once", "twap", "pov", "twap, resting")):
        run = tc.Backtest(
            Worked(how=how), rows, instruments=[instrument], rules=tc.VenueRules(latency=tc.Latency.both(5.0))
        )
        fills = run.run().fills
        bought = float(fills["quantity"].sum())
        paid = float((fills["price"] * fills["quantity"]).sum()) / bought if bought else 0.0
        arrival = float(run.engine.state(0)["arrival"])
        found[name] = (bought, (paid / arrival - 1.0) * 10_000)
        print(f"{name:15} bought {bought:6.3f}, {found[name][1]:+7.2f} bp against the mid at the start")
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
