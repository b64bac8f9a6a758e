"""Seeds of the simulated session. More of them: `make simulation SEEDS=20000`; others: `... FIRST=20000`."""

from __future__ import annotations

import os

import pytest

from simulation.world import run_seed

#: Seeds in one run of the tests; `make simulation` asks for more.
N_SEEDS = int(os.environ.get("TERCEL_SIMULATION_SEEDS", "60"))
#: The first of them; others than were run before are new histories.
FIRST = int(os.environ.get("TERCEL_SIMULATION_FIRST", "0"))
_CHUNK = 20


@pytest.mark.parametrize("first", range(FIRST, FIRST + N_SEEDS, _CHUNK))
def test_nothing_is_lost_or_doubled_whatever_happens(first):
    for seed in range(first, min(first + _CHUNK, FIRST + N_SEEDS)):
        try:
            run_seed(seed)
        except Exception as error:
            again = f"python tests/simulation/__main__.py {seed} {seed + 1}"
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}; again: {again}") from error


#: Seeds that once broke something, with what it was.
BROKE = {20350: "an order's own NEW, late, was taken for the end of its amend: the limit counted too little"}


@pytest.mark.parametrize("seed", BROKE)
def test_a_seed_that_once_failed(seed):
    run_seed(seed)
