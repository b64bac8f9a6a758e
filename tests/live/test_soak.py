"""A short soak of a whole session; `python tests/live/soak.py` makes it an hour."""

from __future__ import annotations

import os

from live.soak import soak
from tercel.runtime.loop import run

SECONDS = float(os.environ.get("TERCEL_SOAK_S", "16"))
#: After the warm-up, of memory that is no file's: a leak of one small object a message would be 16 s * 5,000 * 64 bytes
#: = 5 MB in this time.
GROWTH_MAX_MB = 3.0
LAG_GROWTH_MAX_MS = 50.0


def test_a_session_at_5000_messages_a_second_stays_as_it_is(tmp_path, record_property):
    found = run(soak(SECONDS, 5_000, tmp_path, say=lambda text: None))
    for name in ("n_pauses", "pause_max_ms", "pause_mean_ms"):
        record_property(name, getattr(found, name))
    assert found.error == ""
    assert found.n_sent == int(SECONDS * 5_000)
    assert (found.n_heard, found.n_gaps, found.n_lost) == (found.n_sent, 0, 0)
    assert found.growth_mb() < GROWTH_MAX_MB + found.stalled_mb()
    assert found.lag_growth_ms() < LAG_GROWTH_MAX_MS
    assert found.n_pauses > 0
