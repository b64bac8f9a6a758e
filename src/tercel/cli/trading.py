"""A session of the command line: `live.session` from a configuration to its end, with a view and exit codes.

Used by `paper`, `live`, `record` and `demo`. No rule of a session lives here: what is wrong with a configuration is
found by `live.assembly`, what happens in between is `live.session`'s.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercel.cli.live_view import LiveView
    from tercel.cli.terminal import Terminal
    from tercel.live.actors_pipeline import PipelineReport
    from tercel.live.plan import SessionPlan, SessionReport
    from tercel.live.session import LiveSession
    from tercel.live.settings import Settings

__all__ = ["actor_rows", "show_session", "shown_path", "strategies_and_meta", "tell_end", "trade"]

#: How often a panel is drawn, and how often a line may be due.
_PANEL_LOOK_S, _LINE_LOOK_S = 0.25, 1.0


def strategies_and_meta(specs: Sequence[tuple[str, list[str]]]) -> dict[str, Any]:
    """Strategies of (spec, settings) pairs and where a replay finds them again, as arguments of `plan_session`."""
    from tercel.cli.replay_journal import SPECS_KEY
    from tercel.cli.strategy_spec import make_strategies

    made = [one for spec, set_ in specs for one in make_strategies([spec], set_)]
    return {"strategies": made, "meta": {SPECS_KEY: json.dumps([[spec, set_] for spec, set_ in specs])}}


async def trade(settings: Settings, view: LiveView, **wishes: Any) -> tuple[SessionPlan, SessionReport]:
    """Live through one session of a configuration. wishes: of `live.assembly.plan_session`.

    Raises what keeps it from starting; what breaks it later stands in the report.
    """
    from tercel.live.assembly import plan_session
    from tercel.live.session import LiveSession

    plan = await plan_session(settings, is_forced=True, **wishes)
    return plan, await show_session(LiveSession(plan), view)


async def show_session(session: LiveSession, view: LiveView) -> SessionReport:
    """Run a session and show it while it lives."""
    session.tell = view.note
    living = asyncio.create_task(session.run())
    watching = asyncio.create_task(_watch(session, view))
    try:
        report = await living
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    view.show(report.last, last=True)
    return report


async def _watch(session: LiveSession, view: LiveView) -> None:
    from tercel.live.lifecycle import RECOVER

    while True:
        if session.shell is not None and session.state != RECOVER:
            left_s = session.left_s
            view.show(session.look(), left="" if left_s is None else f"{left_s:.0f} s")
        await asyncio.sleep(_PANEL_LOOK_S if view.is_moving else _LINE_LOOK_S)


def tell_end(terminal: Terminal, plan: SessionPlan, report: SessionReport) -> int:
    """How a session ended, as a table or as JSON; the exit code. Raises what broke it."""
    from msgspec import to_builtins

    from tercel.live.session import failure_of

    seen = report.last
    recovered = report.recovered.run if report.recovered is not None else 0
    terminal.emit(
        {
            "run": report.run, "directory": str(plan.directory), "recovered_run": recovered, "why": report.why,
            "failure": str(report.error) if report.error else "", "end": to_builtins(seen),
            "actors": to_builtins(report.actors),
        }
    )  # fmt: skip
    rows = [
        ("ended", report.why),
        ("equity", f"{seen.equity:+,.2f}, with fees, open positions at the mid"),
        ("orders, fills", f"{seen.n_commands:,} commands, {seen.n_fills:,} fills, {seen.n_refused:,} refused"),
    ]
    if seen.halted:
        rows.append(("halted", f"{seen.halted}; the next start is, too, unless it is told to --resume"))
    rows += [("position", f"{one.position:g} {one.symbol}") for one in seen.instruments if one.position]
    if seen.orders:
        rows.append(("still open", f"{len(seen.orders)} orders: the next start asks about them"))
    if seen.tick_to_order_us is not None:
        rows.append(("tick to order", "p50 {:,.0f} us, p99 {:,.0f} us".format(*seen.tick_to_order_us)))
    rows += actor_rows(report.actors)
    if recovered:
        rows.append(("went on from", f"run {recovered}"))
    shown = shown_path(plan.directory)
    rows.append(("kept in", f"{shown}, run {report.run} (tercel replay {shown})"))
    terminal.panel("the session", rows)
    failure = failure_of(report)
    if failure is not None:
        raise failure
    return 0


def actor_rows(report: PipelineReport | None) -> list[tuple[str, str]]:
    """How actors and their signals fare, one line each."""
    rows = []
    for one in report.actors if report is not None else ():
        assert report is not None
        signals = report.signals[one.name]
        text = f"{one.n_handled:,} events, {signals.n_sent:,} signals"
        lost = one.n_dropped + signals.n_crowded + signals.n_hasty
        if lost:
            text += f", {one.n_dropped:,} events and {signals.n_crowded + signals.n_hasty:,} signals dropped"
        if one.n_restarts:
            text += f", started again {one.n_restarts} times"
        if one.last_error:
            text += f"; last error: {one.last_error}"
        rows.append((f"actor {one.name}", text))
    return rows


def shown_path(path: Path) -> Path:
    """A path as a user would type it: from here where it lies below, else whole."""
    relative = Path(os.path.relpath(path))
    return path if relative.parts[:1] == ("..",) else relative
