"""From a CSV of bars to a backtest: what `tercel import` and `tercel backtest` do, from Python."""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import tercel as tc
from tercel.strategy.library.mean_reversion import MeanReversion


def write_csv(path: Path, n_bars: int = 3_000) -> Path:
    """Hourly bars of a made-up price that swings around a slow wave."""
    draw = random.Random(5)
    lines = ["time,open,high,low,close,volume"]
    close = 100.0
    for i in range(n_bars):
        opened, close = close, 100 + 5 * math.sin(i / 40) + draw.gauss(0, 0.6)
        high, low = max(opened, close) + 0.1, min(opened, close) - 0.1
        time_s = 1_700_000_000 + 3_600 * i
        lines.append(f"{time_s},{opened:.2f},{high:.2f},{low:.2f},{close:.2f},{draw.randint(10, 99)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def main(directory: Path) -> tc.Result:
    source = write_csv(directory / "bars.csv")
    tape = tc.import_capture(source, directory / "bars.tape", symbol="WAVE", lot="0.01")
    print(tape)
    result = tc.backtest(MeanReversion(qty=1.0, entry=1.5), tape, fees=tc.Fees(taker=2))
    print(result)
    print("frames:", result.save(directory / "bars-result"))
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
