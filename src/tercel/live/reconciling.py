"""What a venue's report changes in our books: corrective rows, cancels of what should not be open, what stays unsaid.

Fills come first, each counted once by the engine; then what became of orders. An order that the report does not speak
of was sent after the question, and is left alone. Called by the driver through `live.standing`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.engine.engine import Engine
from tercel.live.link import Link
from tercel.live.standing import Verdict
from tercel.model.account import AccountReport, VenueOrder
from tercel.model.commands import AMEND, CANCEL, COMMAND
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    EXPIRED,
    FILL,
    LAST,
    LOCAL,
    MAKER,
    REJECT,
    TAKER,
)
from tercel.model.reasons import VENUE_ENDED, VENUE_UNKNOWN_ORDER
from tercel.model.rowbuffer import RowBuffer
from tercel.orders.executions import executions_in_order
from tercel.orders.lifecycle import ST_PENDING_NEW, ST_UNKNOWN

__all__ = ["AccountStanding"]

#: How far before a report the next one looks again.
_MARGIN_NS = 60_000_000_000


class AccountStanding:
    """Judges reports about one engine's account."""

    def __init__(self, engine: Engine) -> None:
        self.since_ns = engine.now_ns - _MARGIN_NS if engine.now_ns else 0

    def judge(self, engine: Engine, link: Link, report: AccountReport, now_ns: int) -> Verdict:
        """Compare a report with the engine's books."""
        rows = RowBuffer(64)
        notes: list[str] = []
        living = {
            int(o["id"]): o for o in engine.view("orders")[engine.view("open")[: engine.head["n_open"]]]
        }  # fmt: skip
        filled = self._fills(engine, report, rows, now_ns)
        told = {o.id: o for o in report.open_orders if o.id}
        asked = {o.id: o for o in report.orders}
        for id, order in living.items():
            said = asked.get(id) or told.get(id)
            if said is not None:
                ours = int(order["filled"]) + filled.get(id, 0)
                self._order(order, said, id in asked, ours, rows, now_ns, notes)
        strays = [o for id, o in told.items() if id not in living]
        commands = np.zeros(len(strays), COMMAND)
        for command, stray in zip(commands, strays):
            command["kind"], command["id"], command["cause"], command["ts"] = CANCEL, stray.id, -1, now_ns
            command["side"], command["instrument"] = stray.side, stray.instrument
            notes.append(f"order {stray.id} is open at the venue but ended here: it is canceled")
        return Verdict(
            rows=rows.filled().copy(), commands=commands, since_ns=report.ts_ns - _MARGIN_NS, notes=tuple(notes)
        )  # fmt: skip

    def _fills(self, engine: Engine, report: AccountReport, rows: RowBuffer, now_ns: int) -> dict[int, int]:
        """FILL rows for executions that the engine has not counted; lots by order."""
        counted = executions_in_order(engine.view("executions"), int(engine.head["n_executions"]))
        known = set(zip(counted["instrument"].tolist(), counted["id"].tolist()))
        filled: dict[int, int] = {}
        for x in report.executions:
            if (x.instrument, x.execution_id) not in known:
                filled[x.id] = filled.get(x.id, 0) + x.qty
                rows.add(
                    FILL, x.instrument, x.ts_ns, now_ns, side=x.side, px=x.px, qty=x.qty, id=x.id, arg0=x.fee,
                    arg1=x.execution_id, flags=LOCAL | LAST | (MAKER if x.is_maker else TAKER),
                )  # fmt: skip
        return filled

    def _order(
        self, order: Any, said: VenueOrder, is_asked: bool, filled: int, rows: RowBuffer, now_ns: int, notes: list[str]
    ) -> None:
        """What became of one order that lives as far as we know."""
        id, side, instrument = int(order["id"]), int(order["side"]), int(order["instrument"])

        def add(kind: int, px: int, qty: int, reason: int = 0, arg0: int = 0) -> None:
            rows.add(
                kind, instrument, said.ts_ns or now_ns, now_ns, side=side, px=px, qty=qty, id=id, reason=reason,
                arg0=arg0, flags=LOCAL | LAST,
            )  # fmt: skip

        state, pending = int(order["state"]), int(order["pending"])
        if said.status == 0:
            if is_asked:
                never = state in (ST_PENDING_NEW, ST_UNKNOWN) and filled == 0 and order["ts_ack"] == 0
                add(REJECT if never else CANCELED, said.px, int(order["qty"]) - filled, VENUE_UNKNOWN_ORDER)
            return
        if said.filled != filled:
            notes.append(f"order {id}: the venue has {said.filled} lots filled, we have {filled}")
        if said.status in (CANCELED, EXPIRED, REJECT):
            add(said.status, said.px, said.qty - said.filled, VENUE_ENDED)
        elif said.status == FILL and filled >= said.qty and int(order["qty"]) > filled:
            # It filled whole after an amend that nobody told us of.
            add(CANCELED, said.px, 0, VENUE_ENDED)
        elif said.status == ACK:
            if state in (ST_PENDING_NEW, ST_UNKNOWN):
                add(ACK, said.px, said.qty, 0, said.venue_id)
            if (said.px, said.qty) != (int(order["px"]), int(order["qty"])) and said.qty > said.filled:
                add(AMENDED, said.px, said.qty - said.filled)
            elif pending == AMEND and is_asked:
                add(AMEND_REJECT, said.px, said.qty - said.filled, VENUE_UNKNOWN_ORDER)
            if pending == CANCEL and is_asked:
                add(CANCEL_REJECT, said.px, said.qty - said.filled, VENUE_UNKNOWN_ORDER)
