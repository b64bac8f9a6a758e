"""`tercel backtest`: strategies over a tape against the simulated venue."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tercel.cli.terminal import Terminal
    from tercel.observe.results import Result
    from tercel.risk.limits import Limits
    from tercel.sim.venue import VenueRules
    from tercel.strategy.contract import Strategy

__all__ = ["DESCRIPTION", "add_arguments", "add_venue_arguments", "limits_of", "run", "run_backtest", "venue_rules"]

DESCRIPTION = """Run strategies over a tape against a simulated venue, and print what came of it.

STRATEGY is path/to/file.py:Class, package.module:Class, or one that ships with tercel: ema-cross, quoter,
imbalance-scalper, mean-reversion. Several run on one stream, in the order given."""

#: Option -> (field of Limits, type, help).
LIMITS: dict[str, tuple[str, type, str]] = {
    "--position-max": ("position_max", float, "largest position if every open order filled, in quantity"),
    "--order-qty-max": ("order_qty_max", float, "largest order, in quantity"),
    "--order-notional-max": ("order_notional_max", float, "largest order, in settlement currency"),
    "--gross-notional-max": ("gross_notional_max", float, "positions and open orders over all instruments"),
    "--price-collar": ("price_collar", float, "how far a limit price may lie from the mid: 0.05 is 5 %%"),
    "--order-rate": ("order_rate", float, "new orders per second"),
    "--message-rate": ("message_rate", float, "messages to the venue per second"),
    "--open-orders-max": ("open_orders_max", int, "orders open or in flight"),
    "--daily-loss-max": ("daily_loss_max", float, "fall of equity within a UTC day that halts trading"),
    "--drawdown-max": ("drawdown_max", float, "fall from the highest equity that halts trading"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("strategies", nargs="+", metavar="STRATEGY", help="what to run")
    parser.add_argument("tape", type=Path, metavar="TAPE", help="a tape made by import or simulate")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="a parameter: qty=0.02, Quoter.qty=0.02 for one strategy of several,\n"
                        "fast.span=20 for an indicator; repeatable")  # fmt: skip
    add_venue_arguments(parser)
    run = parser.add_argument_group("the run")
    run.add_argument("--capital", type=float, default=10_000.0, help="equity to start with (default: 10000)")
    run.add_argument("--sample-s", type=float, help="how often equity is looked at, seconds")
    run.add_argument("--channels", help="channels of the tape to use, such as depth,trades")
    run.add_argument("--no-jit", action="store_true", help="run the strategy in the interpreter, for breakpoints")
    out = parser.add_argument_group("the result")
    out.add_argument("--report", type=Path, metavar="FILE.html", help="write the one-page report")
    out.add_argument("--save", type=Path, metavar="DIR", help="write orders, fills, equity ... as Parquet files")
    limits = parser.add_argument_group("limits of the risk gate (default: none)")
    for option, (field, kind, text) in LIMITS.items():
        limits.add_argument(option, type=kind, dest=field, metavar="N", help=text)


def add_venue_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments that say how the simulated venue behaves."""
    venue = parser.add_argument_group("the simulated venue")
    venue.add_argument("--latency-ms", type=float, default=0.0, help="each way, milliseconds (default: 0)")
    venue.add_argument("--latency-sigma", type=float, metavar="S", help="make it lognormal: --latency-ms is\n"
                       "the median, S the deviation of its logarithm")  # fmt: skip
    venue.add_argument("--maker-bp", type=float, default=0.0, help="maker fee, basis points (default: 0)")
    venue.add_argument("--taker-bp", type=float, default=0.0, help="taker fee, basis points (default: 0)")
    venue.add_argument("--queue", default="power", help="queue model: risk_averse, power, power2, power3, log, log2\n"
                       "(default: power)")  # fmt: skip
    venue.add_argument("--queue-n", type=float, default=3.0, help="exponent of the power family (default: 3)")
    venue.add_argument("--no-partial-fills", action="store_true", help="an order fills whole or not at all")
    venue.add_argument("--consume", action="store_true", help="own takes remove displayed size")


def venue_rules(options: argparse.Namespace) -> VenueRules:
    """The rules that the options state."""
    from tercel.sim.fees import Fees
    from tercel.sim.latency import Latency, Lognormal
    from tercel.sim.venue import VenueRules

    latency = Latency.both(options.latency_ms)
    if options.latency_sigma is not None:
        legs = {
            leg: Lognormal(median_ms=options.latency_ms, sigma=options.latency_sigma, seed=seed)
            for seed, leg in enumerate(("new", "amend", "cancel", "response", "fill"), start=1)
        }
        latency = Latency(**legs)
    return VenueRules(
        latency=latency,
        fees=Fees(maker=options.maker_bp, taker=options.taker_bp),
        queue=options.queue,
        queue_n=options.queue_n,
        partial_fills=not options.no_partial_fills,
        consume=options.consume,
    )


def limits_of(options: argparse.Namespace) -> Limits | None:
    """The limits that the options state; None where they state none."""
    from tercel.risk.limits import Limits

    given = {field: getattr(options, field) for field, _, _ in LIMITS.values()}
    return Limits(**given) if any(value is not None for value in given.values()) else None


def run_backtest(
    terminal: Terminal,
    specs: Sequence[str],
    strategies: Sequence[Strategy],
    tape_path: Path,
    *,
    rules: VenueRules,
    channels: Sequence[str] | None = None,
    **arguments: Any,
) -> Result:
    """Warm up, schedule the tape, run; each with progress. arguments: as of `Backtest`."""
    from tercel.cli.warm import BACKTEST_ENTRIES, warm
    from tercel.sim.backtest import Backtest
    from tercel.store.tape import Tape

    tape = Tape.open(tape_path)
    warm(terminal, BACKTEST_ENTRIES, specs)
    with terminal.bar("scheduling rows") as tell:
        tape.rows(channels, tell)
    made = Backtest(strategies, tape, rules=rules, channels=channels, **arguments)
    with terminal.bar(f"running {len(made.rows):,} rows") as tell:
        return made.run(tell)


def run(options: argparse.Namespace) -> int:
    """Run the backtest and print its summary."""
    from tercel.cli.strategy_spec import make_strategies
    from tercel.cli.terminal import Terminal

    terminal = Terminal(json=options.json)
    strategies = make_strategies(options.strategies, options.settings)
    result = run_backtest(
        terminal,
        options.strategies,
        strategies,
        options.tape,
        rules=venue_rules(options),
        channels=options.channels.split(",") if options.channels else None,
        limits=limits_of(options),
        sample_s=options.sample_s,
        initial_equity=options.capital,
        jit=not options.no_jit,
    )
    written = {}
    if options.report:
        written["report"] = str(result.report(options.report))
    if options.save:
        written["saved"] = str(result.save(options.save))
    if options.json:
        terminal.emit({**result.to_dict(), **written})
    else:
        terminal.show(result)
        for what, path in written.items():
            terminal.say(f"{what}: {path}")
    return 0
