"""The gate against a naive one in fractions: the same answer to every message of a random day."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.naive_gate import NaiveGate
from tercel.jit import address_of, records
from tercel.model.instrument import INSTRUMENT, Instrument
from tercel.model.reasons import DAILY_LOSS, KILL_SWITCH, reason_name
from tercel.orders.positions import POSITION
from tercel.risk.gate import RISK, gate, gate_amend, gate_halt, gate_message, gate_resume
from tercel.risk.limits import Limits

LINEAR = Instrument(symbol="L", tick_size=Decimal("0.5"), lot_size=Decimal("0.1"), notional_min=Decimal(20), lot_min=2)
INVERSE = Instrument(symbol="I", kind="inverse", tick_size=Decimal("0.5"), lot_size=Decimal(1), base="B")

LIMITS = st.builds(
    Limits,
    order_qty_max=st.sampled_from((None, 1, 2, Decimal(3))),
    order_notional_max=st.sampled_from((None, 150, Decimal("0.02"))),
    position_max=st.sampled_from((None, 2, 5)),
    gross_notional_max=st.sampled_from((None, 500, Decimal("0.05"))),
    price_collar=st.sampled_from((None, 0.05, 0.1)),
    order_rate=st.sampled_from((None, 3, 0.3)),
    order_burst=st.none(),
    message_rate=st.sampled_from((None, 7, 2.5)),
    message_burst=st.none(),
    open_orders_max=st.sampled_from((None, 2, 4)),
    self_trade=st.sampled_from(("refuse", "allow")),
)
PRICES = st.one_of(st.just(0), st.integers(150, 250), st.sampled_from((-1, 1 << 40, (1 << 40) + 1)))
SIZES = st.one_of(st.integers(0, 40), st.sampled_from((-3, (1 << 48) + 1)))
BOOK = st.one_of(st.just(0), st.integers(180, 220))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(("new", "new", "new", "amend", "message", "halt", "resume")),
        st.integers(-100_000_000, 700_000_000),
        st.sampled_from((1, -1)),
        PRICES,
        SIZES,
        st.tuples(st.integers(-40, 40), st.integers(0, 20), st.integers(0, 20)),
        BOOK,
        BOOK,
        st.booleans(),
        st.integers(0, 5),
        st.one_of(st.just(0), st.integers(190, 210)),
        st.integers(0, 500),
        st.integers(0, 20),
    ),
    max_size=15,
)


@settings(max_examples=250, deadline=None, derandomize=True)
@given(instrument=st.sampled_from((LINEAR, INVERSE)), limits=LIMITS, steps=STEPS)
def test_the_same_answer_to_every_message(instrument, limits, steps):
    risk, position, row = np.zeros(1, RISK), np.zeros(1, POSITION), np.zeros(1, INSTRUMENT)
    risk[0], row[0] = limits.row(instrument), instrument.row()
    r = records(address_of(risk), 1, RISK)[0]
    p = records(address_of(position), 1, POSITION)[0]
    i = records(address_of(row), 1, INSTRUMENT)[0]
    naive = NaiveGate(limits, instrument)
    now_ns = 1_700_000_000_000_000_000
    for what, wait, side, px, qty, account, bid, ask, reduce_only, n_open, own, gross_units, replaced in steps:
        now_ns += wait
        position[0]["position"], position[0]["open_buy"], position[0]["open_sell"] = account
        gross = gross_units * 10_000 if instrument is INVERSE else gross_units * 100_000_000
        reduce = int(reduce_only)
        if what == "halt":
            reason = KILL_SWITCH if reduce_only else DAILY_LOSS
            gate_halt(r, reason)
            naive.halted = reason_name(reason) if not naive.halted or reduce_only else naive.halted
        elif what == "resume":
            gate_resume(r, 0)
            naive.halted = ""
        elif what == "message":
            assert reason_name(gate_message(r, now_ns)) == naive.message(now_ns)
        elif what == "amend":
            found = gate_amend(r, p, i, now_ns, side, px, qty, replaced, bid, ask, reduce, own, gross)
            order = (*account, side, px, qty, bid, ask, reduce, None, own, gross)
            assert reason_name(found) == naive.amend(now_ns, replaced, *order)
        else:
            found = gate(r, p, i, now_ns, side, px, qty, bid, ask, reduce, n_open, own, gross)
            order = (*account, side, px, qty, bid, ask, reduce, n_open, own, gross)
            assert reason_name(found) == naive.new(now_ns, *order)
    counted = {reason_name(code): int(n) for code, n in enumerate(risk[0]["refusals"]) if n}
    assert counted == naive.refusals
    assert int(risk[0]["n_refused"]) == sum(naive.refusals.values())
