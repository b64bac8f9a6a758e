"""The live part of `tercel demo`: the same strategy trades for a minute on the built-in venue, over real sockets.

The venue, the engine, the driver, the journal and the view are those of a session elsewhere; only the venue's place and
its money are made up. At the end the journal is told again and compared, and the venue is asked what it thinks we own.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercel.cli.terminal import Terminal
    from tercel.live.plan import SessionPlan, SessionReport
    from tercel.live.settings import Settings
    from tercel.localvenue.venue import LocalVenue

__all__ = ["SYMBOL", "trade_live"]

SYMBOL = "BTCUSDT"
_BASE = "BTC"
#: Rates of the venue are counted in 1e-8.
_RATES_PER_BP = 10_000
_MONEY_UNITS = 100_000_000


def trade_live(
    terminal: Terminal,
    directory: Path,
    *,
    seed: int,
    duration_s: float,
    strategy: str,
    settings: list[str],
    tick: str,
    lot: str,
    maker_bp: float,
    taker_bp: float,
) -> dict[str, Any]:
    """Trade live for `duration_s` seconds; returns what came of it, for --json. The session's directory lies
    in `directory`.
    """
    from tercel.cli.live_view import LiveView
    from tercel.cli.trading import strategies_and_meta, trade
    from tercel.cli.warm import LIVE_ENTRIES, VENUE_ENTRIES, warm
    from tercel.live.secrets import Secret
    from tercel.live.session import failure_of
    from tercel.localvenue.server import VenueServer
    from tercel.runtime.loop import run as run_loop

    warm(terminal, LIVE_ENTRIES | VENUE_ENTRIES, [strategy])
    place = directory / "session"
    shutil.rmtree(place, ignore_errors=True)
    venue = _venue(seed, tick, lot, maker_bp, taker_bp)
    key = next(one for one in venue.keys if one.can_trade and one.secret)
    held_before = sum(venue.bank.accounts[key.account].balance(_BASE))
    view = LiveView(f"live trading on the built-in venue: {strategy}")
    keys = {"local": (Secret(key.key, "the built-in venue"), Secret(key.secret.decode(), "the built-in venue"))}
    made = strategies_and_meta([(strategy, settings)])

    async def live() -> tuple[SessionPlan, SessionReport]:
        async with VenueServer(venue) as server:
            return await trade(
                _settings(server.port, server.rest_port, place, strategy), view, on_paper=False, keys=keys,
                duration_s=duration_s, is_anew=True, **made,
            )  # fmt: skip

    with view:
        plan, report = run_loop(live())
    failure = failure_of(report)
    if failure is not None:
        raise failure
    held = sum(venue.bank.accounts[key.account].balance(_BASE)) - held_before
    # A spot venue takes the fee of a purchase out of what was bought; a position is counted before fees.
    held += sum(trade.commission for trade in venue.desk.trades if trade.asset == _BASE)
    return _tell(terminal, plan, report, held / _MONEY_UNITS, money_is_whole=not venue.bank.imbalance())


def _venue(seed: int, tick: str, lot: str, maker_bp: float, taker_bp: float) -> LocalVenue:
    """A venue with the market that the backtest had, and its fees."""
    from tercel.localvenue.symbols import SymbolRules
    from tercel.localvenue.venue import LocalVenue, VenueSetup
    from tercel.model.instrument import Instrument
    from tercel.model.units import to_decimal

    instrument = Instrument(
        symbol=SYMBOL, tick_size=to_decimal(tick, "tick"), lot_size=to_decimal(lot, "lot"), venue="local", kind="spot",
        base=_BASE, quote="USDT",
    )  # fmt: skip
    venue = LocalVenue(VenueSetup(seed=seed, symbols=[SymbolRules(instrument=instrument)]))
    for account in venue.bank.accounts.values():
        account.maker, account.taker = round(maker_bp * _RATES_PER_BP), round(taker_bp * _RATES_PER_BP)
    return venue


def _settings(port: int, rest_port: int, directory: Path, strategy: str) -> Settings:
    from tercel.live.settings import InstrumentSettings, SessionSettings, Settings, StrategySettings, VenueSettings
    from tercel.risk.limits import Limits

    return Settings(
        venues={"local": VenueSettings(market="spot", network="local", port=port, rest_port=rest_port)},
        instruments=[InstrumentSettings(symbol=SYMBOL, venue="local")],
        strategies=[StrategySettings(spec=strategy)],
        session=SessionSettings(name="demo", directory=str(directory.resolve())),
        limits=Limits(position_max=0.2, order_qty_max=0.05, price_collar=0.01, message_rate=200, daily_loss_max=2000),
        path=Path("the demo"),
    )


def _tell(
    terminal: Terminal, plan: SessionPlan, report: SessionReport, held: float, *, money_is_whole: bool
) -> dict[str, Any]:
    """Prove what can be proved about the session, and show it."""
    from tercel.cli.replay_journal import retell
    from tercel.observe.results import Result

    with terminal.bar("replaying the session from its journal"):
        told = retell(plan.journal)
    seen = report.last
    position = seen.instruments[0].position
    same_position = abs(position - held) < 1e-9
    latency = seen.tick_to_order_us
    stats = Result(told.log).stats
    maker = stats["maker_share"]
    rows = [
        ("profit", f"{seen.equity:+,.2f} {seen.instruments[0].currency} with fees, the open position at the mid"),
        ("orders", f"{stats['n_orders']:,} orders, {seen.n_commands:,} commands, {seen.n_refused:,} refused"),
        ("fills", f"{seen.n_fills:,}, {maker:.0%} of the volume as maker" if maker is not None else "none"),
        ("market rows", f"{seen.n_rows:,}"),
    ]
    if latency is not None:
        rows.append(("tick to order", f"p50 {latency[0]:,.0f} us, p99 {latency[1]:,.0f} us"))
    same = "the same, fees aside" if same_position else f"NOT THE SAME: {held:g}"
    rows += [
        ("position", f"{position:g} {_BASE}; the venue's books say {same}"),
        ("money at the venue", "accounted for to the last unit" if money_is_whole else "DOES NOT ADD UP"),
        (
            "replay",
            f"{told.n_commands:,} commands from {told.reader.n_rows:,} journal rows: "
            + ("the same, byte for byte" if told.same else "NOT THE SAME"),
        ),
        ("kept in", f"{plan.directory} (tercel replay {plan.directory})"),
    ]
    terminal.panel("live trading", rows)
    return {
        "equity": seen.equity, "commands": seen.n_commands, "fills": seen.n_fills, "refused": seen.n_refused,
        "rows": seen.n_rows, "position": position, "venue_position": held, "same_position": same_position,
        "money_is_whole": money_is_whole, "same_commands": told.same, "tick_to_order_us": latency,
        "directory": str(plan.directory),
    }  # fmt: skip
