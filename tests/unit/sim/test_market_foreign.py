"""Orders from outside in the simulated market: nothing changes without them, and they are one among the rest."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tercel.book.l3_book import _CHECK, l3_read
from tercel.model.events import CANCELED, FILL, LEVEL, TRADE
from tercel.sim.market import MarketModel, simulate_market
from tercel.sim.market_foreign import (
    OUTCOME_DONE,
    OUTCOME_SELF_TRADE,
    OUTCOME_UNFILLABLE,
    OUTCOME_WOULD_TAKE,
    RULE_FOK,
    RULE_IOC,
    RULE_POST,
    RULE_REST,
    STP_BOTH,
    STP_MAKER,
    STP_NONE,
    STP_TAKER,
)
from tercel.sim.market_open import FOREIGN_ID, OpenMarket

START = 1_700_000_000_000_000_000
S = 1_000_000_000
MODEL = MarketModel(start_ns=START)
PX, QTY, ID, LEFT, TRADE_ID, KIND, SIDE = 2, 3, 4, 5, 6, 7, 8


@pytest.fixture
def market():
    found = OpenMarket(MODEL, 1)
    found.run(START + S)
    return found


def best(market):
    levels = {1: {}, -1: {}}
    for row in market.snapshot().tolist():
        if row[KIND] == LEVEL:
            levels[row[SIDE]][row[PX]] = row[QTY]
    return max(levels[1]), min(levels[-1]), levels


def submit(market, i, side, px, qty, rule=RULE_REST, stp=STP_NONE, owner=1):
    return market.submit(FOREIGN_ID + i, owner, side, px, qty, rule, stp, START + S)


def is_sound(market):
    return l3_read.call(market.book_address, _CHECK, 0, 0, 0, 0) == 0


def test_the_tape_without_foreign_orders_is_what_it_always_was():
    rows = simulate_market(MarketModel(), 5, n_rows=300_000)
    assert hashlib.blake2b(rows.tobytes(), digest_size=16).hexdigest() == "4ae82c5144203238dfe2b94085a1b32a"


def test_where_runs_end_changes_nothing():
    whole = OpenMarket(MODEL, 3).run(START + 10 * S)
    parts, market = [], OpenMarket(MODEL, 3)
    for k in range(1, 2001):
        parts += market.run(START + k * 5_000_000)
    assert parts == whole
    assert len(whole) > 5000


def test_a_foreign_order_waits_its_turn_and_fills(market):
    bid, _, levels = best(market)
    done = submit(market, 1, 1, bid, 50)
    assert (done.outcome, done.left) == (OUTCOME_DONE, 50)
    assert [(r[KIND], r[PX], r[QTY]) for r in done.rows] == [(LEVEL, bid, levels[1][bid] + 50)]
    seller = submit(market, 2, -1, bid, levels[1][bid] + 20, owner=2)
    fills = [row for row in seller.rows if row[KIND] == FILL]
    assert [(f[ID], f[QTY], f[LEFT], f[SIDE]) for f in fills] == [(FOREIGN_ID + 1, 20, 30, 1)]
    trades = [row for row in seller.rows if row[KIND] == TRADE]
    assert sum(t[QTY] for t in trades) == levels[1][bid] + 20
    assert fills[0][TRADE_ID] == trades[-1][ID]
    assert (seller.rows[-1][KIND], seller.rows[-1][PX], seller.rows[-1][QTY]) == (LEVEL, bid, 30)
    assert is_sound(market)


def test_the_flow_trades_with_foreign_orders_and_never_cancels_them(market):
    bid, ask, _ = best(market)
    placed = {}
    for i in range(1, 401):
        side = 1 if i % 2 else -1
        px = bid - i % 60 if side > 0 else ask + i % 60
        submit(market, i, side, px, 40)
        placed[FOREIGN_ID + i] = 40
    for row in market.run(START + 120 * S):
        if row[KIND] == FILL:
            placed[row[ID]] -= row[QTY]
            assert placed[row[ID]] == row[LEFT]
    n_full = sum(1 for left in placed.values() if left == 0)
    assert 20 < n_full < 400
    for order_id, left in placed.items():
        gone = market.cancel(order_id, START + 120 * S)
        assert (gone is not None) == (left > 0)
    assert market._state["n_foreign"] == 0
    assert is_sound(market)


def test_rules(market):
    _, ask, levels = best(market)
    assert submit(market, 1, 1, ask, 10, RULE_POST) == ([], OUTCOME_WOULD_TAKE, 10)
    too_much = levels[-1][ask] + 1
    assert submit(market, 1, 1, ask, too_much, RULE_FOK) == ([], OUTCOME_UNFILLABLE, too_much)
    done = submit(market, 1, 1, ask, too_much, RULE_IOC)
    assert (done.outcome, done.left) == (OUTCOME_DONE, 1)
    assert market.cancel(FOREIGN_ID + 1, START + S) is None
    assert submit(market, 2, 1, ask - 5, 10, RULE_POST).outcome == OUTCOME_DONE
    less = market.reduce(FOREIGN_ID + 2, 4, START + S)
    assert less is not None
    assert less[0][QTY] == levels[1].get(ask - 5, 0) + 4
    assert market.reduce(FOREIGN_ID + 2, 4, START + S) is None


@pytest.mark.parametrize(
    ("stp", "outcome", "left", "ended"),
    [(STP_NONE, OUTCOME_DONE, 0, 0), (STP_TAKER, OUTCOME_SELF_TRADE, 10, 0), (STP_MAKER, OUTCOME_DONE, 10, 1),
     (STP_BOTH, OUTCOME_SELF_TRADE, 10, 1)],
)  # fmt: skip
def test_self_trades(market, stp, outcome, left, ended):
    _, ask, levels = best(market)
    submit(market, 1, 1, ask, levels[-1][ask], RULE_IOC)
    submit(market, 2, -1, ask, 10)
    done = submit(market, 3, 1, ask, 10, RULE_IOC, stp)
    assert (done.outcome, done.left) == (outcome, left)
    assert sum(1 for row in done.rows if row[KIND] == CANCELED) == ended
    assert submit(market, 4, 1, ask, 10, RULE_IOC, STP_BOTH, owner=2).left == (10 if ended or stp == STP_NONE else 0)
    assert is_sound(market)


def test_a_book_swept_empty_fills_again(market):
    done = submit(market, 1, 1, 1 << 45, 1 << 40, RULE_IOC)
    assert done.left > 0
    assert submit(market, 2, -1, 0, 1 << 40, RULE_IOC).left > 0
    market.run(START + 60 * S)
    bid, ask, levels = best(market)
    assert 9_000 < bid < ask < 11_000
    assert min(len(levels[1]), len(levels[-1])) >= MODEL.levels_min
    assert is_sound(market)


def test_fork_and_continue(market):
    submit(market, 1, 1, best(market)[0], 30)
    twin = OpenMarket(MODEL, 1)
    twin.memory[:] = market.memory
    assert twin.run(START + 5 * S) == market.run(START + 5 * S)
    assert np.array_equal(twin.memory, market.memory)


def foreign_digest() -> str:
    """What two hundred foreign orders of every rule and mode leave behind: rows, outcomes and memory."""
    market = OpenMarket(MarketModel(start_ns=START, warmup_s=0.05), 1)
    digest = hashlib.blake2b(repr(market.run(START + S // 10)).encode(), digest_size=8)
    rules = [RULE_REST, RULE_REST, RULE_IOC, RULE_POST, RULE_FOK]
    for i in range(1, 200):
        side = 1 if i % 2 else -1
        px = 10_000 + i * 7 % 13 - 6
        done = market.submit(FOREIGN_ID + i, 1 + i % 3, side, px, 20 + i, rules[i % 5], i % 4, START + S // 10)
        digest.update(repr(done).encode())
        if i % 3 == 0:
            digest.update(repr(market.cancel(FOREIGN_ID + i // 2, START + S // 10)).encode())
        if i % 5 == 0:
            digest.update(repr(market.reduce(FOREIGN_ID + i // 3, 3, START + S // 10)).encode())
    digest.update(repr(market.run(START + 4 * S // 10)).encode())
    digest.update(market.memory.tobytes())
    return digest.hexdigest()


def test_interpreted_gives_the_same_bytes():
    code = "import test_market_foreign as t; print(t.foreign_digest())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=Path(__file__).parent, capture_output=True, text=True
    )
    assert result.stdout.strip() == foreign_digest(), result.stderr
