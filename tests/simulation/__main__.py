"""Many seeds of the simulated session: `python tests/simulation/__main__.py FIRST END [PROCESSES]`.

Prints each seed that fails with what it broke, and ends with 1 where there was one.
"""

from __future__ import annotations

import sys
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def failure(seed: int) -> str:
    """What went wrong, empty where nothing did."""
    from simulation.world import run_seed

    try:
        run_seed(seed)
    except Exception as error:
        return f"seed {seed}: {type(error).__name__}: {error}"
    return ""


def main() -> int:
    first, end = int(sys.argv[1]), int(sys.argv[2])
    n_processes = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    n_bad = 0
    with Pool(n_processes) as pool:
        for i, text in enumerate(pool.imap_unordered(failure, range(first, end), chunksize=8), 1):
            if text:
                n_bad += 1
                print(text, flush=True)
            if i % 500 == 0:
                print(f"{i} seeds, {n_bad} failed", flush=True)
    print(f"{end - first} seeds, {n_bad} failed")
    return 1 if n_bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
