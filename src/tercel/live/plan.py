"""What a session is made of, and what it was when it had ended: the two values around `live.session`.

Made by `live.assembly` from a configuration, or by hand. Nothing here does anything.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from tercel.config import Capacity
from tercel.engine.recovery import Recovered
from tercel.live.actors import Actor
from tercel.live.actors_pipeline import PipelineReport
from tercel.live.driver import LiveOptions
from tercel.live.glance import Glance
from tercel.model.instrument import Instrument
from tercel.net.heartbeat import Liveness
from tercel.risk.limits import Limits
from tercel.runtime.actor import RestartPolicy
from tercel.runtime.shutdown import DEADLINE_S
from tercel.store.journal import Sync
from tercel.strategy.contract import Strategy
from tercel.venues.contract import VenueConnection

__all__ = ["ActorPlan", "SessionPlan", "SessionReport"]


class ActorPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One actor of a session. name: of its own in the session. factory: makes it, also after a crash; a class will do.

    policy: when it is made again. config: what its `on_config` is called with before anything else, None for no call.
    """

    name: str
    factory: Callable[[], Actor]
    policy: RestartPolicy | None = None
    config: Any = None


class SessionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is made of.

    strategies, instruments, limits, capacity, jit: of the engine. connections: each names its instruments by their
    index in `instruments`; those on paper are given the positions that the engine has recovered. directory: where
    journal, control socket and halt file lie; made when it is not there. actors: the tier in async Python. actors_in:
    the session's own loop, where an actor that computes holds up the session, or a thread of theirs. taps: called with
    (rows, now_ns) after the engine has seen rows; quick, and keeping no view. sync: how durable the journal is.
    options: how patient the session is. warm_up: (n,) EVENT rows that the strategies see before the session begins,
    without an order leaving; their times must lie in the past. is_anew: begin with an empty engine although the journal
    holds a run that could be recovered. adopt_at: index of an instrument that no fill was ever counted of -> the price
    at which a position that the account holds already is taken over; where none is given such a position halts the
    session (`position_unexplained`). is_resuming: lift the halt that the run before ended with. ssl: for wss and https
    addresses; the system's authorities by default. takes_signals: SIGINT and SIGTERM end the session. is_forced: end
    the process when the session does not end by itself. start_s: how long every venue may take to be in step before
    the session ends with a NetworkError that names those that are not, 0 for ever. duration_s: end after this time of
    trading, 0 for never. stop_s: how long an end may take. snapshot_every_s: how often the engine's state is kept
    while it trades, which is
    what a later recovery begins with; 0 at the start only. core: where the trading thread runs, apart from the other
    threads of the process, None for wherever the system puts it. is_busy_polling: the loop looks for input all the time
    instead of sleeping until there is some. meta: kept in the journal's header, never secrets.
    """

    strategies: Sequence[Strategy]
    instruments: Sequence[Instrument]
    connections: Sequence[VenueConnection]
    directory: Path
    limits: Limits | Sequence[Limits] | None = None
    capacity: Capacity | None = None
    jit: bool = True
    actors: Sequence[ActorPlan] = ()
    actors_in: Literal["loop", "thread"] = "loop"
    taps: Sequence[Callable[[np.ndarray, int], None]] = ()
    sync: Sync | None = None
    options: LiveOptions | None = None
    liveness: Liveness | None = None
    ssl: tls.SSLContext | None = None
    warm_up: np.ndarray | None = None
    is_anew: bool = False
    is_resuming: bool = False
    adopt_at: Mapping[int, str] = {}
    takes_signals: bool = True
    is_forced: bool = False
    start_s: float = 60.0
    duration_s: float = 0.0
    stop_s: float = DEADLINE_S
    snapshot_every_s: float = 60.0
    core: int | None = None
    is_busy_polling: bool = False
    meta: dict[str, str] = {}

    @property
    def journal(self) -> Path:
        """Where the journal lies."""
        return self.directory / "journal"


class SessionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a session was when it had ended.

    why: what ended it. run: its number in the journal. recovered: what the start found of the run before, None for
    nothing. last: its last moment. actors: how they and their signals fared, None without any. n_compiled_armed:
    functions compiled after arming; 0 unless something is wrong. error: what it broke with, None after an end in order.
    """

    why: str
    run: int
    recovered: Recovered | None
    last: Glance
    n_compiled_armed: int
    actors: PipelineReport | None = None
    error: Exception | None = None
