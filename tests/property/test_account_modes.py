"""Orders, accounts and gate leave the same bytes compiled and interpreted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from reference import account_workload
from tercel.jit import COMPILED


def test_compiled_and_interpreted_state_is_equal_byte_for_byte():
    ours, answers = account_workload.digest_of(20_240_808, 1_500)
    # The day must be worth comparing: orders pass and are refused for many reasons, and trading halts.
    assert len(set(answers["gate"].tolist())) >= 6
    assert len(set(answers["order"].tolist())) >= 4
    assert answers["mark"].any()
    assert answers["equity"][-1] != 0
    tests = Path(account_workload.__file__).parents[1]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1" if COMPILED else "0", "PYTHONPATH": str(tests)}
    script = "from reference.account_workload import digest_of; print(digest_of(20_240_808, 1_500)[0])"
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == ours
    assert run.stderr == ""
