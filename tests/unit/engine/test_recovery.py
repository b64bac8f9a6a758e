"""Recovery: from whatever a run left, the same state and the same commands; anything else is refused by name."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from reference.busy_strategies import SIM, Busy, Leaning, Listening, everyone, market_rows
from reference.journal_sessions import ProcessGoneError, Session
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.engine.recovery import Recovered, begin_run, header_of, recover, run_of
from tercel.engine.replay import DEAF, note
from tercel.engine.step import START
from tercel.errors import JournalError
from tercel.jit import COMPILED
from tercel.risk.limits import Limits
from tercel.sim.backtest import Backtest
from tercel.sim.latency import Latency
from tercel.sim.venue import VenueRules
from tercel.store.journal import Journal, Sync
from tercel.store.journal_read import open_journal

LIMITS = Limits(order_qty_max=100, position_max=3, gross_notional_max=20_000, open_orders_max=40)
SYNC = Sync(every_ms=0)
SEGMENT = 1 << 17


def fresh(**changes: Any) -> Engine:
    fields: dict[str, Any] = {"strategies": everyone(), "limits": LIMITS, "run": 7, **changes}
    return Engine([changes.pop("instrument", SIM)], **{k: v for k, v in fields.items() if k != "instrument"})


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """What an engine consumed in a backtest, with the notes of its driver."""
    rules = VenueRules(latency=Latency.both(3), message_rate=10_000)
    market = market_rows(8.0 if COMPILED else 0.6)
    run = Backtest(everyone(), market, instruments=[SIM], rules=rules, limits=LIMITS)
    run.run()
    journal = run.journal()
    # Order ids are those of run 1 there, of run 7 here.
    ours = (journal["kind"] >= 20) & (journal["kind"] <= 28)
    journal["id"][ours] += 6 << 32
    return journal


def record(path: Path, rows: np.ndarray, engine: Engine | None = None, **how: Any) -> Session:
    """Keep a journal of a session; `die_at` leaves it as a killed process does."""
    engine = engine or fresh()
    journal = Journal(path, header=header_of(engine, created_ns=1), sync=SYNC, segment_bytes=SEGMENT)
    session = Session(engine, journal, **how)
    try:
        session.run(rows)
    except ProcessGoneError:
        journal._lock.release()
    else:
        journal.close()
    return session


def recovered(path: Path, **changes: Any) -> tuple[Engine, Recovered]:
    engine = fresh(**changes)
    return engine, recover(engine, open_journal(path))


@pytest.mark.parametrize("snapshots", [False, True])
def test_a_whole_session_comes_back_to_the_byte(tmp_path, rows, snapshots):
    session = record(tmp_path, rows, snapshots=snapshots)
    engine, found = recovered(tmp_path)
    assert engine.state_hash() == session.engine.state_hash()
    assert len(found.unsent) == len(found.in_doubt) == 0
    assert (found.from_position > 0) == snapshots
    sent = np.concatenate(session.sent)
    if COMPILED:
        assert len(sent) > 100
    assert open_journal(tmp_path).commands().tobytes() == sent.tobytes()
    if not snapshots:
        assert (found.n_commands, found.n_rows) == (len(sent), len(rows) + len(sent))
        assert open_journal(tmp_path).rows().tobytes() == rows.tobytes()


def test_a_process_that_dies_anywhere_goes_on_as_if_it_had_not(tmp_path, rows):
    whole = record(tmp_path / "whole", rows)
    sent = np.concatenate(whole.sent)
    rng = np.random.default_rng(5)
    n_unsent = 0
    for k, die_at in enumerate(sorted(rng.integers(1, whole.n_appends, 16 if COMPILED else 3).tolist())):
        path = tmp_path / str(k)
        died = record(path, rows, die_at=die_at)
        engine, found = recovered(path)
        left = np.concatenate([*died.sent, found.unsent])
        n_unsent += len(found.unsent)
        reader = open_journal(path)
        # The last append was before its rows were stepped or its commands left.
        journaled = reader.commands()
        assert journaled.tobytes() == sent[: len(journaled)].tobytes()
        n_rows = len(reader.rows())
        assert (
            np.concatenate([journaled, found.unsent]).tobytes() == sent[: len(journaled) + len(found.unsent)].tobytes()
        )
        assert len(left) <= len(journaled) + len(found.unsent)
        with Journal(
            tmp_path / f"{k}-on", header=header_of(engine, created_ns=2), sync=SYNC, segment_bytes=SEGMENT
        ) as journal:
            rest = Session(engine, journal, seed=99).run(rows[n_rows:])
        together = np.concatenate([journaled, found.unsent, rest])
        assert together.tobytes() == sent.tobytes()
        assert engine.state_hash() == whole.engine.state_hash()
    if COMPILED:
        assert n_unsent > 0, "no kill fell between a step and its commands"


def test_the_next_run_begins_with_a_snapshot_and_its_own_order_ids(tmp_path, rows):
    n = len(rows) // 2
    record(tmp_path, rows[:n])
    engine, _ = recovered(tmp_path)
    begin_run(engine, 9)
    assert run_of(engine) == 9
    with Journal(tmp_path, header=header_of(engine, created_ns=3), sync=SYNC, segment_bytes=SEGMENT) as journal:
        journal.snapshot(engine.snapshot(), seq=engine.seq)
        session = Session(engine, journal, snapshots=False)
        sent = session.run(rows[n:])
    again, found = recovered(tmp_path)
    assert found.run == 9
    assert again.state_hash() == engine.state_hash()
    new = sent["id"][sent["kind"] == 1] >> 32
    if COMPILED:
        assert set(new.tolist()) == {9}
    with pytest.raises(JournalError, match="must be above 9"):
        begin_run(engine, 9)


def test_a_machine_that_went_down_leaves_doubt(tmp_path, rows):
    engine = fresh()
    sent = np.zeros(0)
    for die_at in range(20, 4000):
        path = tmp_path / str(die_at)
        record(path, rows, fresh() if die_at > 20 else engine, die_at=die_at, snapshots=False)
        engine, found = recovered(path)
        sent = found.unsent
        if len(sent):
            break
    file = next(path.glob("run-*/header.json"))
    text = file.read_text()
    boot = msgspec.json.decode(text)["boot"]
    file.write_text(text.replace(boot, "another"))
    _, found = recovered(path)
    assert len(found.unsent) == 0
    assert found.in_doubt.tobytes() == sent.tobytes()


def test_strategies_that_were_kept_from_rows_stay_so(tmp_path, rows):
    market = rows[(rows["flags"] & 2 != 0) & (rows["kind"] < 20)][:400]
    deaf, late = note(DEAF, 0), note(START, int(market["ts_recv"][299]))
    engine = fresh()
    with Journal(tmp_path, header=header_of(engine, created_ns=1), sync=SYNC) as journal:
        session = Session(engine, journal, snapshots=False)
        session.run(np.concatenate([deaf, market[:200]]))
        journal.snapshot(engine.snapshot(), seq=engine.seq)
        session.run(np.concatenate([market[200:300], late, market[300:]]))
    again, found = recovered(tmp_path)
    assert found.from_position == 201
    assert again.state_hash() == engine.state_hash()
    assert int(again.state(2)["n_levels"]) <= 100


class Other(Listening):
    n_bars: int = 0

    def on_bar(self, ctx, bar):
        self.n_bars += 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"instrument": msgspec.structs.replace(SIM, symbol="ELSE")},
            "it had the instruments SIM, this engine has ELSE",
        ),
        ({"instrument": msgspec.structs.replace(SIM, lot_size=Decimal("0.01"))}, "lot_size was 0.001, now it is 0.01"),
        ({"strategies": [Busy()]}, "the strategies Busy, Leaning, Listening, this engine has Busy"),
        (
            {"strategies": [Busy(), Leaning(lean=0.5), Listening()]},
            "parameters of Leaning: lean was 0.85, now it is 0.5",
        ),
        ({"limits": Limits(order_qty_max=50)}, "limits of SIM: gross_notional_max was 20000, now it is None"),
        ({"capacity": Capacity(orders=64)}, "capacity: orders was 1024, now it is 64"),
        ({"run": 8}, "the state it began with is another"),
    ],
)
def test_another_engine_is_refused_by_name(tmp_path, rows, changes, words):
    record(tmp_path, rows[:50], snapshots=False)
    engine = fresh(**changes)
    with pytest.raises(JournalError) as found:
        recover(engine, open_journal(tmp_path))
    assert words in str(found.value)
    assert "run 7 cannot be recovered with this engine" in str(found.value)


def test_changed_code_is_refused(tmp_path, rows):
    record(tmp_path, rows[:50])
    file = next(tmp_path.glob("run-*/header.json"))
    header = msgspec.json.decode(file.read_bytes())
    header["strategies"][1]["digest"] = "0123456789ab"
    file.write_bytes(msgspec.json.encode(header))
    with pytest.raises(JournalError, match="the code of Leaning has changed since"):
        recovered(tmp_path)


@pytest.mark.skipif(not COMPILED, reason="too few commands in the interpreter")
@pytest.mark.parametrize("what", ["changed", "added", "left out"])
def test_a_journal_that_replays_to_other_commands_is_one_clear_error(tmp_path, rows, what, monkeypatch):
    honest = Journal.append_commands
    n = 0

    def lie(self, commands):
        nonlocal n
        n += 1
        if n == 30:
            commands = commands.copy()
            if what == "changed":
                commands["px"][0] += 1
            elif what == "added":
                commands = np.concatenate([commands, commands])
            else:
                commands = commands[:0]
        honest(self, commands)

    monkeypatch.setattr(Journal, "append_commands", lie)
    record(tmp_path, rows, snapshots=False)
    with pytest.raises(JournalError, match=r"run 7 does not replay: at row \d+ of its journal the run sent") as found:
        recovered(tmp_path)
    row = int(str(found.value).split("at row ")[1].split()[0])
    assert len(open_journal(tmp_path).commands(row, row + 1)) == 1
