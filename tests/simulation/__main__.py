"""Many seeds of the simulated session: `python tests/simulation/__main__.py FIRST END [PROCESSES]`.

Prints each seed that fails with what it broke, and ends with 1 where there was one, or where a process died.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

_CHUNK = 8


def failures(first: int, end: int) -> list[str]:
    """What went wrong in the seeds from `first` to `end`."""
    from simulation.world import run_seed

    found = []
    for seed in range(first, end):
        try:
            run_seed(seed)
        except Exception as error:
            found.append(f"seed {seed}: {type(error).__name__}: {error}")
    return found


def main() -> int:
    first, end = int(sys.argv[1]), int(sys.argv[2])
    n_processes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    n_bad = n_done = 0
    with ProcessPoolExecutor(n_processes) as pool:
        chunks = {
            pool.submit(failures, at, min(at + _CHUNK, end)): range(at, min(at + _CHUNK, end))
            for at in range(first, end, _CHUNK)
        }
        for chunk in as_completed(chunks):
            seeds = chunks[chunk]
            try:
                found = chunk.result()
            except BrokenProcessPool:
                print(f"a process died after {n_done} seeds, {n_bad} failed; unfinished: from about {seeds[0]} on")
                return 1
            n_bad += len(found)
            n_done += len(seeds)
            for text in found:
                print(text, flush=True)
            if n_done % 500 < len(seeds):
                print(f"{n_done} seeds, {n_bad} failed", flush=True)
    print(f"{n_done} seeds, {n_bad} failed")
    return 1 if n_bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
