"""`tercel demo`: from nothing to a traded market, a report and live trading, in one command without arguments."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["DESCRIPTION", "add_arguments", "run"]

DESCRIPTION = """Simulate a market, let the two-sided quoter trade it with realistic latency, fees and queue position,
print the summary and write a report; then let it trade live for a minute on a venue built in for it, over
real sockets, and replay that session from its journal. Needs no arguments, no data and no network."""

#: What the demo trades, and where: latency and fees of a colocated account of modest size.
STRATEGY = "quoter"
SETTINGS = ("qty=0.02", "position_max=0.1")
LATENCY_MS, LATENCY_SIGMA = 5.0, 0.4
MAKER_BP, TAKER_BP = 1.0, 4.0
SYMBOL, TICK, LOT = "BTC-SIM", "5", "0.001"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--seed", type=int, default=7, help="which market (default: 7)")
    parser.add_argument("--duration", default="30m", metavar="TIME", help="market time (default: 30m)")
    parser.add_argument("--dir", type=Path, help="where the tape goes (default: the cache directory)")
    parser.add_argument("--report", type=Path, default=Path("tercel-demo.html"), metavar="FILE.html",
                        help="where the report goes (default: tercel-demo.html)")  # fmt: skip
    parser.add_argument("--live", default="60s", metavar="TIME",
                        help="how long it trades live; 0 for not at all (default: 60s)")  # fmt: skip
    parser.add_argument("--open", action="store_true", help="open the report in a browser")


def run(options: argparse.Namespace) -> int:
    """Simulate, trade, report, and say what to do next."""
    from tercel.cli.backtest import run_backtest
    from tercel.cli.simulate import seconds_of, write_market
    from tercel.cli.strategy_spec import make_strategies
    from tercel.cli.terminal import Terminal
    from tercel.cli.warm import BACKTEST_ENTRIES, MARKET_ENTRIES, warm
    from tercel.config import cache_dir
    from tercel.sim.fees import Fees
    from tercel.sim.latency import Latency, Lognormal
    from tercel.sim.market import MarketModel
    from tercel.sim.venue import VenueRules

    terminal = Terminal(json=options.json)
    duration_s = seconds_of(options.duration)
    directory = options.dir or cache_dir() / "demo"
    path = directory / f"demo-{options.seed}-{options.duration}.tape"
    warm(terminal, MARKET_ENTRIES | BACKTEST_ENTRIES, [STRATEGY])
    write_market(
        terminal,
        path,
        MarketModel(),
        seed=options.seed,
        duration_s=duration_s,
        symbol=SYMBOL,
        tick=TICK,
        lot=LOT,
    )
    legs = {
        leg: Lognormal(median_ms=LATENCY_MS, sigma=LATENCY_SIGMA, seed=options.seed * 8 + i)
        for i, leg in enumerate(("new", "amend", "cancel", "response", "fill"))
    }
    rules = VenueRules(latency=Latency(**legs), fees=Fees(maker=MAKER_BP, taker=TAKER_BP), queue="power")
    strategies = make_strategies([STRATEGY], SETTINGS)
    result = run_backtest(terminal, [STRATEGY], strategies, path, rules=rules)
    report = result.report(options.report)
    terminal.show(result)
    terminal.say("A simulated market, and a short run: annualised figures mean little here.")
    live = None
    if options.live not in ("0", "0s"):
        from tercel.cli.demo_live import trade_live

        live = trade_live(
            terminal, directory, seed=options.seed, duration_s=seconds_of(options.live), strategy=STRATEGY,
            settings=list(SETTINGS), tick=TICK, lot=LOT, maker_bp=MAKER_BP, taker_bp=TAKER_BP,
        )  # fmt: skip
    terminal.emit({**result.to_dict(), "tape": str(path), "report": str(report), "live": live})
    terminal.panel("next", _next_steps(path, report))
    if options.open:
        import webbrowser

        webbrowser.open(report.resolve().as_uri())
    return 0


def _next_steps(tape: Path, report: Path) -> list[tuple[str, str]]:
    import tercel.strategy.library.quoter as quoter

    return [
        ("look at it", f"open {report} in a browser (or run: tercel demo --open)"),
        ("change it", f"tercel backtest quoter {tape} --set half_spread=2 --latency-ms 20 --maker-bp {MAKER_BP:g}"),
        ("write your own", f"copy {quoter.__file__} to mine.py, then: tercel backtest mine.py {tape}"),
    ]
