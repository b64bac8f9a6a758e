"""A queue model of your own, in plain Python, beside the built-in ones.

A model guesses how much stands in front of our order at its price. This one believes that half of what a level loses
without a trade was canceled in front of us.
"""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import tercel as tc
from tercel.strategy.library.quoter import Quoter


class HalfAhead(tc.QueueModel):
    """`share` of every cancel stood in front of us."""

    share: float = 0.5

    def on_new(self, queue):
        queue.ahead = queue.new
        queue.traded = 0.0

    def on_trade(self, queue):
        queue.ahead -= queue.qty
        queue.traded += queue.qty

    def on_depth(self, queue):
        canceled = queue.old - queue.new - queue.traded  # trades were counted when they happened
        queue.traded = 0.0
        if canceled > 0.0:
            queue.ahead -= self.share * canceled
        if queue.ahead > queue.new:
            queue.ahead = queue.new


def main(directory: Path) -> dict[str, int]:
    rows = tc.simulate_market(tc.MarketModel(), seed=2, duration_s=120)
    instrument = tc.Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), quote="USD")
    fills = {}
    for name, queue in (("risk_averse", "risk_averse"), ("power", "power"), ("half ahead", HalfAhead(share=0.5))):
        result = tc.backtest(Quoter(), rows, instruments=[instrument], latency_ms=5, queue=queue)
        fills[name] = len(result.fills)
        print(f"{name:12} {len(result.fills):5} fills, profit {result.stats['profit']:8.4f}")
    return fills


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
