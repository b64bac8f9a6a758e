"""How much is a faster line worth? One strategy, one market, a range of latencies; nothing is compiled twice."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path

import tercel as tc
from tercel.strategy.library.quoter import Quoter

LATENCIES_MS = (0.5, 2.0, 10.0, 50.0, 200.0)


def main(directory: Path) -> list[tuple[float, int, float]]:
    rows = tc.simulate_market(tc.MarketModel(), seed=3, duration_s=300)
    instrument = tc.Instrument(symbol="SIM", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), quote="USD")
    table = []
    print(f"{'latency':>10} {'orders':>8} {'fills':>8} {'edge, ticks':>12} {'profit':>10}")
    for ms in LATENCIES_MS:
        result = tc.backtest(Quoter(), rows, instruments=[instrument], latency_ms=ms, fees=tc.Fees(maker=1))
        stats = result.stats
        edge = stats["edge_ticks"] or 0.0
        print(f"{ms:8} ms {stats['n_orders']:8} {stats['n_fills']:8} {edge:12.2f} {stats['profit']:10.4f}")
        table.append((ms, int(stats["n_fills"] or 0), float(stats["profit"] or 0.0)))
    return table


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
