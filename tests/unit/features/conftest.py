"""Drives an indicator three ways over the same columns: compiled, over the bytes, and on the plain instance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercel.features.state import State, view_class
from tercel.jit import COMPILED, address_of, call_handler, compile_handler, records

ROW = np.dtype([("a", "f8"), ("b", "f8"), ("c", "f8"), ("d", "f8"), ("out", "f8"), ("ready", "i8")])
BATCH = np.dtype([("address", "i8"), ("n", "i8")])
CTX = np.dtype([("spare", "i8")])


class OneColumn(State):
    ind: State

    def __init__(self, ind: State) -> None:
        self.ind = ind

    def run(self, ctx, batch):
        rows = records(batch.address, batch.n, ROW)
        for i in range(batch.n):
            rows[i].out = self.ind.update(rows[i].a)
            rows[i].ready = int(self.ind.ready())


class TwoColumns(OneColumn):
    def run(self, ctx, batch):
        rows = records(batch.address, batch.n, ROW)
        for i in range(batch.n):
            rows[i].out = self.ind.update(rows[i].a, rows[i].b)
            rows[i].ready = int(self.ind.ready())


class ThreeColumns(OneColumn):
    def run(self, ctx, batch):
        rows = records(batch.address, batch.n, ROW)
        for i in range(batch.n):
            rows[i].out = self.ind.update(rows[i].a, rows[i].b, rows[i].c)
            rows[i].ready = int(self.ind.ready())


class FourColumns(OneColumn):
    def run(self, ctx, batch):
        rows = records(batch.address, batch.n, ROW)
        for i in range(batch.n):
            rows[i].out = self.ind.update(rows[i].a, rows[i].b, rows[i].c, rows[i].d)
            rows[i].ready = int(self.ind.ready())


RUNNERS: dict[int, type[OneColumn]] = {1: OneColumn, 2: TwoColumns, 3: ThreeColumns, 4: FourColumns}


def columns_to_rows(columns: tuple[np.ndarray, ...]) -> np.ndarray:
    rows = np.zeros(len(columns[0]), ROW)
    for name, column in zip("abcd", columns):
        rows[name] = column
    return rows


def fresh(runner: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A written record, a context and an empty batch, in memory the caller keeps."""
    row = np.zeros(1, runner.record_dtype())
    runner.write(row[0])
    return row, np.zeros(1, CTX), np.zeros(1, BATCH)


def run_interpreted(ind: State, *columns: np.ndarray) -> tuple[np.ndarray, bytes]:
    """The output rows and the record's bytes after a run in the interpreter."""
    runner = RUNNERS[len(columns)](ind)
    row, ctx, batch = fresh(runner)
    rows = columns_to_rows(columns)
    batch["address"], batch["n"] = address_of(rows), len(rows)
    view_class(runner)(row[0]).run(ctx.view(np.recarray)[0], batch.view(np.recarray)[0])
    return rows, row.tobytes()


@pytest.fixture
def run_compiled(tmp_path: Path) -> Callable[..., tuple[np.ndarray, bytes]]:
    """As `run_interpreted`, compiled."""
    if not COMPILED:
        pytest.skip("nothing is compiled under NUMBA_DISABLE_JIT=1")
    compiled: dict[tuple[str, np.dtype], tuple[int, object]] = {}

    def run(ind: State, *columns: np.ndarray) -> tuple[np.ndarray, bytes]:
        runner = RUNNERS[len(columns)](ind)
        row, ctx, batch = fresh(runner)
        rows = columns_to_rows(columns)
        batch["address"], batch["n"] = address_of(rows), len(rows)
        key = (type(ind).__name__, row.dtype)
        if key not in compiled:
            name = f"run_{type(ind).__name__}_{len(compiled)}"
            compiled[key] = compile_handler(type(runner).run, (row.dtype, CTX, BATCH), tmp_path, name)
        raised = np.zeros(1, np.int64)
        status = call_handler(compiled[key][0], address_of(row), address_of(ctx), address_of(batch), address_of(raised))
        assert status == 0
        return rows, row.tobytes()

    return run


@pytest.fixture
def run_both(request: pytest.FixtureRequest) -> Callable[..., np.ndarray]:
    """Run over the bytes, on the instance and, unless NUMBA_DISABLE_JIT=1, compiled; all bits must agree.

    Takes a function that makes a new indicator, because the run on the instance changes it. Returns the output rows.
    """
    run_compiled = request.getfixturevalue("run_compiled") if COMPILED else None

    def run(make: Callable[[], State], *columns: np.ndarray) -> np.ndarray:
        rows, state = run_interpreted(make(), *columns)
        if run_compiled is not None:
            compiled_rows, compiled_state = run_compiled(make(), *columns)
            assert compiled_rows.tobytes() == rows.tobytes()
            assert compiled_state == state
        ind = make()
        out = np.array([ind.update(*(float(c[i]) for c in columns)) for i in range(len(rows))])  # type: ignore[attr-defined]
        assert out.tobytes() == np.ascontiguousarray(rows["out"]).tobytes()
        return rows

    return run
