"""When a running session keeps its engine's state: at quiet moments, one at a time, never at the cost of the run."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from reference.busy_strategies import SIM, Listening
from tercel.clock import HandClock
from tercel.engine.engine import Engine
from tercel.engine.recovery import header_of
from tercel.live.lifecycle import RECONCILE, TRADING
from tercel.live.snapshots import Snapshots
from tercel.store.journal import Journal, Sync
from tercel.store.journal_snapshot import snapshot_paths

S = 1_000_000_000


class Room:
    """A journal, an engine, and what a driver shows of itself."""

    def __init__(self, path, every_s: float = 60.0) -> None:
        self.clock = HandClock(1_000 * S)
        engine = Engine([SIM], [Listening()], run=3)
        self.journal = Journal(path, header=header_of(engine, created_ns=1), sync=Sync(every_ms=0))
        self.core = SimpleNamespace(engine=engine, state=TRADING, error=None, now_ns=self.clock.wall_ns())
        self.snapshots = Snapshots(self.core, self.journal, self.clock, every_s)

    async def look(self, after_s: float, is_busy: bool = False) -> int:
        """Time passes, the session looks; how many snapshots were taken so far."""
        self.clock.advance(int(after_s * S))
        if is_busy:
            self.core.now_ns = self.clock.wall_ns()
        self.snapshots.look()
        if self.snapshots._task is not None:
            await self.snapshots._task
        return self.snapshots.report.n_taken

    def run(self, scene) -> None:
        async def main() -> None:
            try:
                await scene(self)
            finally:
                await self.snapshots.end()

        asyncio.run(main())
        self.journal._lock.release()


def test_one_a_period_at_a_quiet_moment(tmp_path):
    async def scene(room: Room) -> None:
        assert await room.look(59.0) == 0
        # A busy second is left out; a quiet one is taken.
        assert await room.look(1.0, is_busy=True) == 0
        assert await room.look(1.0) == 1
        assert await room.look(59.0) == 1
        # Where no moment is quiet, after ten looks all the same.
        assert [await room.look(1.0, is_busy=True) for _ in range(10)] == [1] * 9 + [2]
        assert len(snapshot_paths(room.journal.directory)) == 1, "the same row: the same file"

    Room(tmp_path).run(scene)


def test_none_before_trading_and_none_where_it_is_turned_off(tmp_path):
    async def scene(room: Room) -> None:
        room.core.state = RECONCILE
        assert await room.look(500.0) == 0

    Room(tmp_path / "a").run(scene)

    async def off(room: Room) -> None:
        assert await room.look(5_000.0) == 0

    Room(tmp_path / "b", every_s=0.0).run(off)


def test_a_disk_that_refuses_is_noted_and_tried_again(tmp_path, caplog):
    async def scene(room: Room) -> None:
        directory = room.journal.directory
        moved = directory.with_name("elsewhere")
        directory.rename(moved)
        directory.write_bytes(b"in the way")
        assert await room.look(61.0) == 0
        assert room.snapshots.report.n_failed == 1
        assert "no snapshot at row 0" in caplog.text
        directory.unlink()
        moved.rename(directory)
        assert await room.look(1.0) == 0
        assert await room.look(60.0) == 1

    Room(tmp_path).run(scene)
