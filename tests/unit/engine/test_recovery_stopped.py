"""A run that ended because a handler raised: its rows raise again, so the next start says the way out instead."""

from __future__ import annotations

import pytest

from reference.busy_strategies import SIM
from tercel.engine.engine import Engine
from tercel.engine.recovery import header_of, recover
from tercel.errors import JournalError, StrategyRuntimeError
from tercel.model.events import event_rows
from tercel.model.signals import Signal
from tercel.store.journal import Journal, Sync
from tercel.store.journal_read import open_journal
from tercel.strategy.contract import Strategy


class Dividing(Strategy):
    """Divides by what a signal says."""

    last: int = 0

    def on_signal(self, ctx, signal):
        self.last = 100 // signal.id


def run_of_signals(path, *ids: int) -> Engine:
    engine = Engine([SIM], [Dividing()], run=3)
    journal = Journal(path, header=header_of(engine, created_ns=1), sync=Sync(every_ms=0))
    rows = event_rows(len(ids))
    for i, id in enumerate(ids):
        rows[i] = Signal(instrument=0, value=1.0, confidence=1.0, ts_ns=i + 1, id=id).row()
        rows[i]["ts_recv"] = i + 1
    journal.append(rows, len(rows))
    try:
        engine.run(rows)
    finally:
        journal.close()
    return engine


def test_a_run_whose_handler_raised_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(StrategyRuntimeError, match=r"Dividing\.on_signal raised ZeroDivisionError"):
        run_of_signals(tmp_path, 5, 0)
    with pytest.raises(JournalError) as found:
        recover(Engine([SIM], [Dividing()], run=3), open_journal(tmp_path))
    said = str(found.value)
    assert said.startswith("run 3 cannot be gone on with: it ended because the engine was stopped")
    assert "Dividing.on_signal raised ZeroDivisionError" in said
    assert "is_anew" in said
    assert "--fresh" in said
    assert isinstance(found.value.__cause__, StrategyRuntimeError)


def test_one_whose_handlers_did_not_is_gone_on_with(tmp_path):
    was = run_of_signals(tmp_path, 5, 2)
    engine = Engine([SIM], [Dividing()], run=3)
    assert recover(engine, open_journal(tmp_path)).n_rows == 2
    assert engine.state_hash() == was.state_hash()
