"""Recovery: an engine made as a run's was, its last snapshot, and the rows after it, stepped again.

What the engine then commands is compared with what the journal says it commanded, byte for byte; a difference means
that the code or a setting is not the same as it was, and nothing is recovered. Without input or output but for reading
the mapped journal, and independent of any driver: called by `live`, by the command line and by tests.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from tercel.engine.engine import Engine
from tercel.engine.feed import EngineFeed
from tercel.engine.layout import BLOCK_VERSION
from tercel.engine.replay import DEAF
from tercel.engine.step import FORGET, START, STOP, TIMERS
from tercel.errors import JournalError, TercelError
from tercel.jit import address_of
from tercel.model.commands import COMMAND, COMMAND_NAMES
from tercel.model.events import EVENT, LOCAL, TIMER
from tercel.model.rowcopy import copied, joined
from tercel.store.journal_check import Damage
from tercel.store.journal_format import BLOCK, JournalHeader, StrategyRecord, commands_of, is_command, is_note
from tercel.store.journal_read import JournalReader
from tercel.strategy.compiler import text_digest

__all__ = ["Recovered", "begin_run", "check_header", "header_of", "recover", "run_of"]

_RUN_BITS = 32


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery did.

    run: which run was recovered. from_position: the row it began at, 0 without a snapshot. n_rows: rows read from
    there on. n_commands: commands compared and found equal. unsent: (n,) COMMAND that the engine made again and the
    journal does not have: the process died before they could leave. in_doubt: the same, where the machine went down
    or the tail is damaged since: they may have left. damage: what the journal lost.
    """

    run: int
    from_position: int
    n_rows: int
    n_commands: int
    unsent: np.ndarray
    in_doubt: np.ndarray
    damage: tuple[Damage, ...]


def run_of(engine: Engine) -> int:
    """The run whose order ids an engine gives out."""
    return int(engine.head["next_id"]) >> _RUN_BITS


def begin_run(engine: Engine, run: int) -> None:
    """Let a recovered engine give out the order ids of a new run. Its journal then begins with a snapshot.

    JournalError when `run` is not above the engine's own: an order id would be given out twice.
    """
    if run <= run_of(engine):
        raise JournalError(f"a new run must be above {run_of(engine)}, the engine's own, found {run}; take next_run()")
    engine.head["next_id"] = (run << _RUN_BITS) + 1


def header_of(engine: Engine, *, created_ns: int, meta: dict[str, str] | None = None) -> JournalHeader:
    """The header of a run that begins with `engine` as it is now. created_ns: wall clock. meta: never secrets."""
    return JournalHeader(
        run=run_of(engine),
        created_ns=created_ns,
        instruments=tuple(engine.instruments),
        strategies=tuple(
            StrategyRecord(c.name, text_digest(type(s), c.dtype), s.parameters())
            for s, c in zip(engine.strategies, engine.compiled)
        ),
        limits=tuple(_plain(limit) for limit in engine.limits),
        capacity=engine.capacity,
        layout=engine.layout.digest,
        block_version=BLOCK_VERSION,
        state=engine.state_hash(),
        meta=meta or {},
    )


def _plain(limit: Any) -> dict[str, Any]:
    """Limits as plain values, decimals as text; what is off is left out."""
    values = {name: getattr(limit, name) for name in limit.__struct_fields__}
    return {name: value if isinstance(value, bool | str) else str(value) for name, value in values.items() if value}


def check_header(engine: Engine, header: JournalHeader) -> None:
    """Refuse, by name, to recover a run with an engine that is not made as the run's was. Raises JournalError."""
    ours = header_of(engine, created_ns=0)
    for what, theirs, mine in (
        ("instruments", [i.symbol for i in header.instruments], [i.symbol for i in ours.instruments]),
        ("strategies", [s.name for s in header.strategies], [s.name for s in ours.strategies]),
    ):
        if theirs != mine:
            raise _another(
                header, f"it had the {what} {', '.join(theirs) or 'none'}, this engine has {', '.join(mine)}"
            )
    for before, now in zip(header.instruments, ours.instruments):
        _compare(header, f"instrument {now.symbol}", msgspec.structs.asdict(before), msgspec.structs.asdict(now))
    for i, (limits, limits_now) in enumerate(zip(header.limits, ours.limits)):
        _compare(header, f"limits of {ours.instruments[i].symbol}", limits, limits_now)
    for then, strategy in zip(header.strategies, ours.strategies):
        _compare(header, f"parameters of {strategy.name}", then.parameters, strategy.parameters)
        if then.digest != strategy.digest:
            raise _another(
                header, f"the code of {strategy.name} has changed since ({then.digest}, now {strategy.digest})"
            )
    _compare(header, "capacity", msgspec.structs.asdict(header.capacity), msgspec.structs.asdict(ours.capacity))
    if (header.block_version, header.layout) != (ours.block_version, ours.layout):
        raise _another(header, "its state has another layout, so it was written by another version of tercel")


def _compare(header: JournalHeader, what: str, before: dict[str, Any], now: dict[str, Any]) -> None:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise _another(header, f"{what}: {name} was {before.get(name)}, now it is {now.get(name)}")


def _another(header: JournalHeader, difference: str) -> JournalError:
    return JournalError(
        f"run {header.run} cannot be recovered with this engine: {difference}. Make it as it was then, or begin anew "
        f"and take orders and positions from the venue"
    )


def recover(engine: Engine, reader: JournalReader) -> Recovered:
    """Bring `engine`, fresh and made as the run's was, to where the journal ends.

    Raises JournalError when the engine differs from the header, where it commands anything else than was commanded
    then, and where the run ended because something stopped the engine, such as what a handler raised: that happens
    again with the same rows. About 50 ns a row.
    """
    header = reader.header
    check_header(engine, header)
    if reader.snapshot is not None:
        engine.restore(reader.snapshot.state)
        if engine.seq != reader.snapshot.seq:
            raise JournalError(
                f"the snapshot at row {reader.start} of run {header.run} says it follows {reader.snapshot.seq} engine "
                f"rows, its state says {engine.seq}"
            )
        if reader.start and not engine.head["started_ns"] and _was_deaf(reader):
            engine.deafen()
    elif engine.state_hash() != header.state:
        raise _another(header, "the state it began with is another, and there is no snapshot of it")
    made: list[np.ndarray] = [np.zeros(0, COMMAND)]
    sent: list[np.ndarray] = [np.zeros(0, COMMAND)]
    feed = EngineFeed(engine)
    try:
        for piece in reader.pieces(reader.start):
            sent.append(_replay_piece(engine, feed, piece, made))
    except JournalError:
        raise
    except TercelError as error:
        raise _stopped(header.run, error) from error
    n_sent, left = _compare_commands(reader, joined(sent), joined(made))
    nothing = np.zeros(0, COMMAND)
    surely = reader.is_same_boot and not reader.damage
    return Recovered(
        run=header.run,
        from_position=reader.start,
        n_rows=reader.n_rows - reader.start,
        n_commands=n_sent,
        unsent=left if surely else nothing,
        in_doubt=nothing if surely else left,
        damage=reader.damage,
    )


def _stopped(run: int, error: TercelError) -> JournalError:
    """The error for a run that replays to what stopped it. No restart gets past that: the way out is said."""
    return JournalError(
        f"run {run} cannot be gone on with: it ended because the engine was stopped, and its rows stop it again: "
        f"{error}. Correct what that names, then begin with an empty engine (--fresh, or is_anew=True): open orders of "
        f"ours are canceled at the venue, and a position is taken over at the price that adopt_at states"
    )


def _was_deaf(reader: JournalReader) -> bool:
    """Whether the strategies were kept from rows when the snapshot was taken: the last note of the two before it."""
    is_deaf = False
    for piece in reader.pieces(0, reader.start):
        for what in piece["arg0"][is_note(piece)].tolist():
            is_deaf = what == DEAF or (is_deaf and what != START)
    return is_deaf


def _replay_piece(engine: Engine, feed: EngineFeed, piece: np.ndarray, made: list[np.ndarray]) -> np.ndarray:
    """Step one mapped array and do what its notes say; what is commanded goes to `made`. The commands it holds."""
    others = np.flatnonzero(piece["flags"] & LOCAL == 0)
    notes = others[piece["kind"][others] == TIMER]
    address = address_of(piece)
    begin = 0
    for i in (*notes.tolist(), len(piece)):
        while begin < i:
            begin = feed.step(address, begin, i)
            _take(engine, feed, made)
        if i < len(piece):
            _repeat_note(engine, feed, piece[i], made)
            begin = i + 1
    return commands_of(piece[others])


def _take(engine: Engine, feed: EngineFeed, made: list[np.ndarray]) -> bool:
    """Take what the engine emitted, as the driver did; whether there was anything."""
    if not feed.has_emitted:
        return False
    if feed.has_failed:
        engine.check()
    made.append(copied(feed.commands()))
    feed.release()
    return True


def _repeat_note(engine: Engine, feed: EngineFeed, row: Any, made: list[np.ndarray]) -> None:
    what, ts_ns = int(row["arg0"]), int(row["ts_recv"])
    if what == START:
        engine.start(ts_ns)
    elif what == STOP:
        engine.stop(ts_ns)
    elif what == TIMERS:
        engine.fire_timers(ts_ns)
    elif what == FORGET:
        engine.forget_timers()
    elif what == DEAF:
        engine.deafen()
    else:
        raise JournalError(f"the journal has a note {what} at {ts_ns} ns, which means nothing to this tercel")
    while _take(engine, feed, made) and what == TIMERS:
        engine.fire_timers(ts_ns)


def _compare_commands(reader: JournalReader, sent: np.ndarray, made: np.ndarray) -> tuple[int, np.ndarray]:
    """How many commands the run sent, and those made again beyond them; JournalError where the two differ."""
    n = min(len(sent), len(made))
    ours, theirs = made[:n].view(EVENT).view("V64"), sent[:n].view(EVENT).view("V64")
    if ours.tobytes() != theirs.tobytes():
        k = next(i for i in range(n) if ours[i] != theirs[i])
        raise _differs(reader, k, f"the run sent {_words(sent[k])}, the engine now makes {_words(made[k])}")
    if len(sent) > n:
        raise _differs(reader, n, f"the run sent {_words(sent[n])}, the engine now makes nothing more")
    return n, made[n:]


def _differs(reader: JournalReader, k: int, what: str) -> JournalError:
    """The error for the `k`-th command after the snapshot, with the row of the journal it stands in."""
    position = reader.start
    for piece in reader.pieces(reader.start):
        rows = piece[piece["kind"] != BLOCK]
        commands = np.flatnonzero(is_command(rows))
        if k < len(commands):
            position += int(commands[k])
            break
        k -= len(commands)
        position += len(rows)
    return JournalError(
        f"run {reader.run} does not replay: at row {position} of its journal {what}. Engine, strategy or a setting is "
        f"not what it was; nothing was recovered"
    )


def _words(command: Any) -> str:
    kind = COMMAND_NAMES.get(int(command["kind"]), f"kind {int(command['kind'])}")
    return (
        f"{kind} of order {int(command['id'])} (cause {int(command['cause'])}, side {int(command['side'])}, price "
        f"{int(command['px'])} ticks, size {int(command['qty'])} lots)"
    )
