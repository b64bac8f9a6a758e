"""`tercel simulate`: a tape from the seeded market model, written piece by piece."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal
    from tercel.sim.market import MarketModel
    from tercel.store.tape import Tape

__all__ = ["DESCRIPTION", "add_arguments", "market_model", "run", "seconds_of", "write_market"]

DESCRIPTION = """Make a tape from a seeded market: limit orders, cancels and bursts of market orders through an order
book. The same seed gives the same bytes. docs/simulated-market.md describes the model and its parameters."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("out", type=Path, metavar="OUT.tape", help="where the tape goes")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--duration", metavar="TIME", help="market time, such as 90s, 10m or 2h (default: 5m)")
    length.add_argument("--rows", type=int, metavar="N", help="stop after about this many rows instead")
    parser.add_argument("--seed", type=int, default=1, help="which market (default: 1)")
    parser.add_argument("--l3", action="store_true", help="write every order's life instead of levels")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings",
                        help="a parameter of the model, such as market_rate=12; repeatable")  # fmt: skip
    parser.add_argument("--symbol", default="SIM", help="the instrument's name (default: SIM)")
    parser.add_argument("--tick", default="0.01", help="price step (default: 0.01)")
    parser.add_argument("--lot", default="0.001", help="size step (default: 0.001)")


_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def seconds_of(text: str) -> float:
    """A duration such as 90, 90s, 10m, 2h or 1d in seconds; ConfigError for anything else."""
    from tercel.errors import ConfigError

    number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
    try:
        seconds = float(number) * _SECONDS[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise ConfigError(f"--duration takes a time such as 90s, 10m or 2h, found {text!r}")
    return seconds


def market_model(settings: list[str]) -> MarketModel:
    """The model with the parameters that `settings` state as name=value; ConfigError lists the names."""
    from tercel.errors import ConfigError
    from tercel.sim.market import MarketModel

    given: dict[str, Any] = {}
    names = MarketModel.__struct_fields__
    plain = MarketModel()
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in names:
            raise ConfigError(f"--set {setting}: expected name=value; the market model has {', '.join(names)}")
        kind = type(getattr(plain, name))
        try:
            given[name] = kind(text)
        except ValueError:
            raise ConfigError(f"--set {setting}: expected {kind.__name__}, found {text!r}") from None
    return MarketModel(**given)


def write_market(
    terminal: Terminal,
    out: Path,
    model: MarketModel,
    *,
    seed: int,
    duration_s: float | None = None,
    n_rows: int | None = None,
    rows: str = "l2",
    symbol: str = "SIM",
    tick: str = "0.01",
    lot: str = "0.001",
) -> Tape:
    """Simulate a market into a tape, with progress; memory does not grow with its length."""
    from tercel.cli.warm import MARKET_ENTRIES, warm
    from tercel.model.instrument import Instrument
    from tercel.model.units import to_decimal
    from tercel.sim.market import market_chunks
    from tercel.store.writing import write_tape

    instrument = Instrument(
        symbol=symbol,
        tick_size=to_decimal(tick, "--tick"),
        lot_size=to_decimal(lot, "--lot"),
        venue="sim",
        base=symbol,
        quote="USD",
    )
    warm(terminal, MARKET_ENTRIES)
    with terminal.bar("simulating a market") as tell:

        def told() -> Iterator[Any]:
            n_done = 0
            for part in market_chunks(model, seed, duration_s=duration_s, n_rows=n_rows, rows=rows):
                yield part
                n_done += len(part)
                if n_rows is not None:
                    tell(min(n_done, n_rows), n_rows)
                elif duration_s is not None:
                    passed_s = (int(part["ts_exch"][-1]) - model.start_ns) / 1e9
                    tell(round(1000 * passed_s), round(1000 * duration_s))

        return write_tape(
            out,
            told(),
            [instrument],
            source=f"tercel simulate, seed {seed}",
            format="simulated-l3" if rows == "l3" else "simulated",
            notes=["a simulated market: its model and parameters are in docs/simulated-market.md"],
        )


def run(options: argparse.Namespace) -> int:
    """Simulate, then say what is on the tape."""
    from tercel.cli.tape_facts import quick_facts
    from tercel.cli.terminal import Terminal

    terminal = Terminal(json=options.json)
    duration_s = None
    if options.rows is None:
        duration_s = seconds_of(options.duration or "5m")
    tape = write_market(
        terminal,
        options.out,
        market_model(options.settings),
        seed=options.seed,
        duration_s=duration_s,
        n_rows=options.rows,
        rows="l3" if options.l3 else "l2",
        symbol=options.symbol,
        tick=options.tick,
        lot=options.lot,
    )
    terminal.emit({**tape.summary(), "seed": options.seed})
    terminal.panel(f"wrote {tape.path}", quick_facts(tape))
    return 0
