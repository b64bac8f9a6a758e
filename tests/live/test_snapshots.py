"""Snapshots while a session trades: the next start begins with the last of them, and loses nothing."""

from __future__ import annotations

import asyncio

from live.session_parts import coin_plan, coin_venue
from live.test_session import Crosser, until
from tercel.engine.engine import Engine
from tercel.engine.recovery import recover
from tercel.live.session import LiveSession
from tercel.localvenue.server import VenueServer
from tercel.runtime.loop import run
from tercel.store.journal_read import open_journal


def test_a_recovery_begins_with_the_last_snapshot(tmp_path):
    async def main() -> LiveSession:
        async with VenueServer(coin_venue()) as server:
            session = LiveSession(coin_plan(server, tmp_path, Crosser(), snapshot_every_s=0.5))
            living = asyncio.create_task(session.run())
            await until(lambda: session._snapshots and session._snapshots.report.n_taken >= 2, "two snapshots", living)
            session.stop("the test has seen enough")
            await living
            return session

    session = run(main())
    core, plan = session.core, session.plan
    assert core is not None
    assert session._snapshots.report.n_failed == 0
    reader = open_journal(plan.journal)
    again = Engine(plan.instruments, plan.strategies, limits=plan.limits, capacity=plan.capacity, run=reader.run)
    found = recover(again, reader)
    assert found.from_position > 0
    assert found.n_rows == reader.n_rows - found.from_position > 0
    assert again.state_hash() == core.engine.state_hash()
