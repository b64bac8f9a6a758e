"""The compiled path of a market message against the long way: the same histories, byte for byte."""

from __future__ import annotations

from collections import Counter

import pytest

from simulation import ledger
from simulation.wires import Wire
from simulation.world import Plan, World
from tercel.live.fast import FastChannel

SEEDS = range(3000, 3012)


def history(seed: int, has_fast_path: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, bytes, list[bytes]]:
    """Rows and commands of the journal, and every frame that left."""
    frames: list[bytes] = []
    plain = Wire.send

    def send(wire: Wire, data: bytes) -> None:
        frames.append(data)
        plain(wire, data)

    plan = Plan(seed)
    # A key that logs on; nothing dies, for a process that does so between two effects does it elsewhere on each way.
    plan.has_logon, plan.n_kills = True, 0
    with monkeypatch.context() as patch:
        patch.setattr(Wire, "send", send)
        world = World(seed, plan, has_fast_path=has_fast_path)
        world.run()
        world.check()
    kept = world.host.ledger
    return kept.all_rows().tobytes(), kept.all_commands().tobytes(), frames


@pytest.mark.parametrize("seed", SEEDS)
def test_both_ways_give_the_same_rows_commands_and_frames(seed, monkeypatch):
    slow, fast = history(seed, False, monkeypatch), history(seed, True, monkeypatch)
    assert fast[0] == slow[0]
    assert fast[1] == slow[1]
    assert fast[2] == slow[2]


def test_the_compiled_path_is_taken_to_its_end_and_left_at_every_point(monkeypatch):
    results: Counter[int] = Counter()
    plain = FastChannel.__init__

    def counted(self, *args):
        plain(self, *args)
        call = self._call

        def counting(at: int, n: int, now_ns: int) -> int:
            found = call(at, n, now_ns)
            results[found] += 1
            return found

        self._call = counting

    monkeypatch.setattr(FastChannel, "__init__", counted)
    monkeypatch.setattr(ledger, "BLOCK_ROWS", 12)
    for seed in SEEDS:
        history(seed, True, monkeypatch)
    # Nothing wanted; one request, several; commands that are not plain; no room in the block; books out of step.
    assert all(results[found] > 0 for found in (0, 1, 2, -2, -3, -4)), results
