"""A slow actor in ordinary Python and a fast compiled strategy that trades its signals, live on the built-in venue.

The actor watches trades and emits a signal when the market has moved; the signal enters the engine, is journaled, meets
the strategy and its risk limits there, and is replayed like everything else. The same two with the command line:

    tercel paper examples/live_signals.py:Follower --actor examples/live_signals.py:Momentum --symbol BTCUSDT
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from pathlib import Path

import tercel as tc
from tercel.model.events import TRADE


class Momentum(tc.Actor):
    """Compares the last trade with one some trades ago; the signal's value is the move in basis points."""

    kinds = (TRADE,)

    def __init__(self, n_trades: int = 5) -> None:
        self.prices: deque[float] = deque(maxlen=n_trades)

    async def on_market(self, event) -> None:
        self.prices.append(event.price)
        move_bp = (self.prices[-1] / self.prices[0] - 1.0) * 10_000
        if abs(move_bp) > 0.1:
            self.emit(event.instrument, move_bp, confidence=min(abs(move_bp), 1.0))


class Follower(tc.Strategy):
    """Holds `qty` in the direction of the last confident signal."""

    qty: float = 0.01
    order: int = 0

    def on_signal(self, ctx, signal):
        i = signal.instrument
        if signal.confidence < 0.1 or ctx.is_open(self.order):
            return
        missing = (self.qty if signal.value > 0 else -self.qty) - ctx.position(i)
        if missing > 0:
            self.order = ctx.buy(i, missing, limit=ctx.best_ask(i), tif=tc.IOC)
        elif missing < 0:
            self.order = ctx.sell(i, -missing, limit=ctx.best_bid(i), tif=tc.IOC)


async def live(directory: Path, seconds: float) -> tc.SessionReport:
    from tercel.localvenue.server import VenueServer
    from tercel.localvenue.venue import LocalVenue, VenueSetup

    async with VenueServer(LocalVenue(VenueSetup(seed=3))) as venue:
        settings = tc.settings_for(
            "local", ["BTCUSDT"], port=venue.port, rest_port=venue.rest_port, directory=directory / "session",
            limits=tc.Limits(position_max=0.05, daily_loss_max=100),
        )  # fmt: skip
        actors = [tc.ActorPlan(name="momentum", factory=Momentum)]
        plan = await tc.plan_session(settings, [Follower()], actors=actors, duration_s=seconds)
        return await tc.LiveSession(plan).run()


def main(directory: Path, seconds: float = 5.0) -> tc.SessionReport:
    report = asyncio.run(live(directory, seconds))
    print(f"{report.why}: {report.last.n_fills} fills, position {report.last.instruments[0].position:g}")
    for actor in report.actors.actors:
        signals = report.actors.signals[actor.name]
        print(f"{actor.name}: {actor.n_handled} events, {signals.n_sent} signals")
    return report


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
