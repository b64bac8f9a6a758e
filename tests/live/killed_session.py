"""The process that `test_kill` kills: one session at a venue, run until somebody ends it.

python killed_session.py DIRECTORY REST STREAM WS_API KEY SECRET

Imports and compiles once, then makes a process of its own for every line it reads, whose number it writes; when that
process has ended it writes its exit code. What is killed is a whole process; only its start is short.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import msgspec

from live.session_parts import COIN, SMALL
from simulation.trader import Trader
from tercel.engine.engine import Engine
from tercel.jit import ENTRIES
from tercel.live.driver import LiveOptions
from tercel.live.session import LiveSession, SessionPlan
from tercel.risk.limits import Limits
from tercel.runtime.loop import run
from tercel.store.journal import Sync
from tercel.venues.binance.connection import BinanceConnection
from tercel.venues.binance.settings import BinanceSettings, Credentials

STRATEGY = Trader(every_ns=4_000_000, lots=20)


def session() -> int:
    """One session to its end; the exit code."""
    directory, rest, stream, ws_api, key, secret = sys.argv[1:]
    settings = BinanceSettings(
        market="spot", rest=rest, streams=stream, ws_api=ws_api, backoff_min_ns=10_000_000, backoff_max_ns=200_000_000
    )
    plan = SessionPlan(
        strategies=[STRATEGY],
        instruments=[COIN],
        connections=[BinanceConnection(settings, {0: COIN}, Credentials(key, secret))],
        directory=Path(directory),
        limits=Limits(position_max="1"),  # type: ignore[arg-type]
        capacity=msgspec.structs.replace(SMALL, executions=1 << 14),
        options=LiveOptions(answer_ns=1_000_000_000),
        sync=Sync(every_ms=20.0),
    )
    report = run(LiveSession(plan).run())
    if report.error is not None:
        print(f"{type(report.error).__name__}: {report.error}", file=sys.stderr)
    return 0 if report.error is None else 1


def child() -> None:
    """Never returns."""
    code = 1
    try:
        code = session()
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def main() -> None:
    for entry in ENTRIES:
        if entry.name.startswith(("engine.", "venues.")):
            _ = entry.call
    Engine([COIN], [STRATEGY], capacity=SMALL)
    print("ready", flush=True)
    for _ in sys.stdin:
        number = os.fork()
        if number == 0:
            child()
        print(number, flush=True)
        _, status = os.waitpid(number, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
