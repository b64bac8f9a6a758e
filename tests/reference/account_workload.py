"""A seeded day of orders, fills, funding and gate answers, whose state bytes make one digest.

Run in one process it is compiled, in another under NUMBA_DISABLE_JIT=1 interpreted. The digests must agree.
"""

from __future__ import annotations

import hashlib
import random
from decimal import Decimal

import numpy as np

from tercel.jit import address_of, entry, record, records
from tercel.model.commands import AMEND, CANCEL
from tercel.model.events import EVENT, FILL
from tercel.model.instrument import INSTRUMENT, Instrument
from tercel.orders.lifecycle import ORDER
from tercel.orders.positions import POSITION, position_apply_fill, position_apply_funding, position_equity
from tercel.orders.table import order_apply, order_find, order_free, order_is_terminal, order_lost, order_slot_insert
from tercel.risk.gate import RISK, gate, gate_amend, gate_mark, gate_message, gate_resume
from tercel.risk.limits import Limits

CAPACITY = 16
LIMITS = Limits(
    order_qty_max=40, order_notional_max=7, position_max=100, gross_notional_max=9,
    price_collar=0.1, order_rate=20.5, message_rate=33, open_orders_max=14, daily_loss_max=Decimal("0.0005"),
    drawdown_max=Decimal("0.0004"),
)  # fmt: skip
INVERSE = Instrument(symbol="I", kind="inverse", tick_size=Decimal("0.5"), lot_size=Decimal(1), base="B")
LINEAR = Instrument(symbol="L", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"), money_decimals=8)


@entry
def account_day(orders: int, position: int, instrument: int, risk: int, rows: int, n: int, answers: int) -> int:
    """Each EVENT row is an order to judge, a message to apply and a mark; every answer is written down."""
    table = records(orders, CAPACITY, ORDER)
    account = record(position, POSITION)
    inst = record(instrument, INSTRUMENT)
    limits = record(risk, RISK)
    events = records(rows, n, EVENT)
    out = records(answers, n, ANSWER)
    n_open = 0
    for i in range(n):
        event = events[i]
        id = int(event.id)
        side = int(event.side)
        px = int(event.px)
        qty = int(event.qty)
        now_ns = int(event.ts_recv)
        gross = int(event.arg1) * 15_000_000
        slot = order_find(table, CAPACITY, id)
        if slot < 0:
            out[i].gate = gate(
                limits, account, inst, now_ns, side, px, qty, px - 1, px + 1, int(event.flags), n_open, 0, gross
            )
            if out[i].gate == 0:
                slot = order_slot_insert(table, CAPACITY, id)
                if slot >= 0:
                    table[slot].side, table[slot].px, table[slot].qty = side, px, qty
                    n_open += 1
        elif id % 7 == 0:
            out[i].gate = gate_message(limits, now_ns)
            table[slot].pending = CANCEL
        elif id % 5 == 0:
            out[i].gate = gate_amend(limits, account, inst, now_ns, side, px, qty, 1, px, px, 0, 0, 0)
            table[slot].pending = AMEND
        if slot >= 0:
            out[i].order = order_lost(table[slot]) if event.arg1 == 1 else order_apply(table[slot], event)
            if event.kind == FILL:
                out[i].position = position_apply_fill(account, inst, side, px, qty, int(event.arg0))
            if order_is_terminal(table[slot]) and (id % 3 != 0 or event.arg1 > 15):
                order_free(table, slot)
                n_open -= 1
        if i % 50 == 0:
            out[i].position |= position_apply_funding(account, inst, px, int(event.arg0))
        out[i].equity = position_equity(account, inst, 2 * px + 1)
        out[i].mark = gate_mark(limits, out[i].equity, now_ns)
        if i % 10 == 9:
            gate_resume(limits, out[i].equity)
    return n_open


ANSWER = np.dtype(
    [("gate", "i8"), ("order", "i8"), ("position", "i8"), ("equity", "i8"), ("mark", "i8")], align=True
)  # fmt: skip


def rows_of(seed: int, n: int) -> np.ndarray:
    """`n` seeded rows: account kinds over a moving window of ids, prices around 20,000 ticks."""
    dice = random.Random(seed)
    rows = np.zeros(n, EVENT)
    now_ns = 1_700_000_000_000_000_000
    for i in range(n):
        now_ns += dice.randrange(60_000_000_000 if i % 100 == 0 else 20_000_000)
        row = rows[i]
        row["kind"] = dice.choice((20, 20, 21, 22, 22, 22, 23, 24, 25, 26, 27, 28))
        row["id"] = i // 6 + dice.randrange(12)
        row["side"] = dice.choice((1, -1))
        row["px"] = 20_000 + dice.randrange(-900, 900)
        row["qty"] = dice.randrange(0, 45)
        row["ts_recv"] = now_ns
        row["arg0"] = dice.randrange(-500, 2_000)
        row["arg1"] = dice.randrange(30)
        row["flags"] = dice.random() < 0.1
    return rows


def digest_of(seed: int, n: int) -> tuple[str, np.ndarray]:
    """The digest of every byte of state after both instruments' days, and the answers of the last."""
    digest = hashlib.sha256()
    answers = np.zeros(n, ANSWER)
    for instrument in (LINEAR, INVERSE):
        orders, position = np.zeros(CAPACITY, ORDER), np.zeros(1, POSITION)
        row, risk = np.zeros(1, INSTRUMENT), np.zeros(1, RISK)
        row[0], risk[0] = instrument.row(), LIMITS.row(instrument)
        rows = rows_of(seed, n)
        answers[:] = np.zeros((), ANSWER)
        account_day(*(address_of(a) for a in (orders, position, row, risk, rows)), n, address_of(answers))
        for memory in (orders, position, risk, answers):
            digest.update(memory.tobytes())
    return digest.hexdigest(), answers
