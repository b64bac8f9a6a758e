"""The compiled path of a market message against the long way: the same histories, byte for byte."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from reference.damaged_bytes import mutate, n_inputs
from simulation import ledger
from simulation.wires import Wire
from simulation.world import Plan, World
from tercel.live.fast import FastChannel

SEEDS = range(3000, 3012)
#: Histories with garbled messages.
N_GARBLED = n_inputs(6_000) // 1_000


class Garbler:
    """Damages one in some messages of the market on their way; counts them."""

    def __init__(self, seed: int, share: float) -> None:
        self._rng, self._share, self.n = random.Random(seed), share, 0

    def __call__(self, data: bytes) -> bytes:
        if self._rng.random() >= self._share:
            return data
        self.n += 1
        raw = bytearray(data)
        mutate(raw, self._rng)
        return bytes(raw)


def history(
    seed: int, has_fast_path: bool, monkeypatch: pytest.MonkeyPatch, garble: Garbler | None = None
) -> tuple[bytes, bytes, list[bytes]]:
    """Rows and commands of the journal, and every frame that left. What is garbled may be other prices: our book is not
    compared with the venue's then.
    """
    frames: list[bytes] = []
    plain, deliver = Wire.send, Wire.deliver

    def damaged(wire: Wire, data: bytes) -> None:
        deliver(wire, garble(data) if garble is not None and wire.channel in ("market", "trades") else data)

    def send(wire: Wire, data: bytes) -> None:
        frames.append(data)
        plain(wire, data)

    plan = Plan(seed)
    # A key that logs on; nothing dies, for a process that does so between two effects does it elsewhere on each way.
    plan.has_logon, plan.n_kills = True, 0
    with monkeypatch.context() as patch:
        patch.setattr(Wire, "send", send)
        patch.setattr(Wire, "deliver", damaged)
        world = World(seed, plan, has_fast_path=has_fast_path)
        world.run()
        if garble is None:
            world.check()
    kept = world.host.ledger
    return kept.all_rows().tobytes(), kept.all_commands().tobytes(), frames


@pytest.mark.parametrize("seed", SEEDS)
def test_both_ways_give_the_same_rows_commands_and_frames(seed, monkeypatch):
    slow, fast = history(seed, False, monkeypatch), history(seed, True, monkeypatch)
    assert fast[0] == slow[0]
    assert fast[1] == slow[1]
    assert fast[2] == slow[2]


@pytest.mark.fuzz
def test_garbled_messages_are_taken_alike(monkeypatch):
    """A garbled message may be refused, or be taken for another book: by both ways in the same manner."""
    n = 0
    for seed in range(SEEDS[0], SEEDS[0] + N_GARBLED):
        garblers = Garbler(seed, 0.05), Garbler(seed, 0.05)
        slow, fast = (history(seed, is_fast, monkeypatch, g) for is_fast, g in zip((False, True), garblers))
        assert fast == slow, f"seed {seed}"
        assert garblers[0].n == garblers[1].n
        n += garblers[0].n
    assert n > 5 * N_GARBLED


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
