"""A venue that keeps one plain account, and a line to it that loses, doubles, delays and reorders.

Written without looking at how reconciliation works: orders in a dictionary, fills in a list, messages as rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.model.account import AccountReport, VenueExecution, VenueOrder
from tercel.model.commands import AMEND, CANCEL, NEW
from tercel.model.events import (
    ACK,
    AMEND_REJECT,
    AMENDED,
    CANCEL_REJECT,
    CANCELED,
    EXPIRED,
    FILL,
    LOCAL,
    MAKER,
    REJECT,
    event_rows,
)


class Truth:
    """The account at the venue. orders: id -> fields; executions: every fill; told: messages not yet on the line."""

    def __init__(self, keeps_ended: bool) -> None:
        self.orders: dict[int, dict[str, int]] = {}
        self.executions: list[VenueExecution] = []
        self.told: list[np.ndarray] = []
        self.keeps_ended = keeps_ended

    @property
    def position(self) -> int:
        return sum(e.side * e.qty for e in self.executions)

    def open(self) -> list[dict[str, int]]:
        return [order for order in self.orders.values() if order["status"] == ACK]

    def _say(self, kind: int, now_ns: int, order: dict[str, int], **fields: int) -> None:
        row = event_rows(1)
        row["kind"], row["ts_exch"], row["id"], row["side"], row["flags"] = (
            kind,
            now_ns,
            order["id"],
            order["side"],
            LOCAL,
        )
        for name, value in fields.items():
            row[name] = value
        self.told.append(row)

    def receive(self, command: Any, now_ns: int) -> None:
        id, kind = int(command["id"]), int(command["kind"])
        order = self.orders.get(id)
        if kind == NEW:
            assert order is None, "an order was sent twice"
            fields = {name: int(command[name]) for name in ("id", "side", "px", "qty")}
            order = self.orders[id] = {**fields, "filled": 0, "venue_id": 1000 + len(self.orders), "status": ACK}
            order["ts"] = now_ns
            if order["px"] % 13 == 0:
                order["status"] = REJECT
                self._say(REJECT, now_ns, order)
            else:
                self._say(ACK, now_ns, order, px=order["px"], qty=order["qty"], arg0=order["venue_id"])
            return
        answer = CANCEL_REJECT if kind == CANCEL else AMEND_REJECT
        if order is None or order["status"] != ACK:
            self._say(answer, now_ns, order or {"id": id, "side": int(command["side"])})
        elif kind == CANCEL:
            self.end(id, CANCELED, now_ns)
        elif kind == AMEND:
            order["px"], order["qty"], order["ts"] = int(command["px"]), order["filled"] + int(command["qty"]), now_ns
            self._say(AMENDED, now_ns, order, px=order["px"], qty=int(command["qty"]))

    def end(self, id: int, kind: int, now_ns: int) -> None:
        order = self.orders[id]
        order["status"], order["ts"] = kind, now_ns
        self._say(kind, now_ns, order, qty=order["qty"] - order["filled"])

    def trade(self, id: int, qty: int, now_ns: int) -> None:
        order = self.orders[id]
        qty = min(qty, order["qty"] - order["filled"])
        order["filled"] += qty
        order["ts"] = now_ns
        if order["filled"] == order["qty"]:
            order["status"] = FILL
        number = 500 + len(self.executions)
        fee = qty * 3 - 1
        self.executions.append(
            VenueExecution(
                id=id,
                venue_id=order["venue_id"],
                execution_id=number,
                instrument=0,
                side=order["side"],
                px=order["px"],
                qty=qty,
                fee=fee,
                is_maker=True,
                ts_ns=now_ns,
            )
        )
        self._say(FILL, now_ns, order, px=order["px"], qty=qty, arg0=fee, arg1=number, flags=LOCAL | MAKER)

    def _view(self, id: int) -> VenueOrder:
        order = self.orders.get(id)
        forgotten = order is not None and not self.keeps_ended and order["status"] in (CANCELED, EXPIRED)
        if order is None or forgotten:
            return VenueOrder(id=id)
        return VenueOrder(
            id=id, client_id=f"tc{id:016x}", venue_id=order["venue_id"], instrument=0, side=order["side"],
            px=order["px"], qty=order["qty"], filled=order["filled"], status=order["status"], ts_ns=order["ts"],
        )  # fmt: skip

    def report(self, ids: list[int], since_ns: int, now_ns: int) -> AccountReport:
        return AccountReport(
            instruments=(0,),
            ts_ns=now_ns,
            open_orders=tuple(self._view(order["id"]) for order in self.open()),
            orders=tuple(self._view(id) for id in ids),
            executions=tuple(e for e in self.executions if e.ts_ns >= since_ns),
            positions={0: self.position},
        )
