"""What the simulated venue of a paper session would tell us about our account: orders by id, executions, positions.

Filled by `live.paper` from commands sent and answers given, at the time they are given; asked for reports. Orders that
ended long ago and old executions are forgotten, as a real venue forgets them; how many are kept is stated here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

import msgspec

from tercel.model.account import AccountReport, VenueExecution, VenueOrder
from tercel.model.events import ACK, AMENDED, CANCELED, EXPIRED, FILL, MAKER, REJECT
from tercel.venues.contract import client_id

__all__ = ["ENDED_MAX", "EXECUTIONS_MAX", "PaperAccount"]

#: Ended orders and executions that reports can still name.
ENDED_MAX = 1 << 16
EXECUTIONS_MAX = 1 << 16


class _Order(msgspec.Struct):
    instrument: int
    side: int
    px: int
    qty: int
    filled: int = 0
    status: int = 0
    ts_ns: int = 0

    @property
    def has_ended(self) -> bool:
        return self.status in (FILL, CANCELED, EXPIRED, REJECT)


class PaperAccount:
    """The books of one simulated account."""

    def __init__(self) -> None:
        self._orders: dict[int, _Order] = {}
        self._ended: OrderedDict[int, _Order] = OrderedDict()
        self._executions: deque[VenueExecution] = deque(maxlen=EXECUTIONS_MAX)

    def sent(self, command: Any) -> None:
        """A NEW command (one COMMAND row, the engine's instrument) is on its way."""
        self._orders[int(command["id"])] = _Order(
            int(command["instrument"]), int(command["side"]), int(command["px"]), int(command["qty"])
        )

    def forget(self, id: int) -> None:
        """A NEW command did not leave after all."""
        self._orders.pop(id, None)

    def answered(self, row: Any, instrument: int) -> None:
        """The venue gave an answer, one EVENT row. instrument: the engine's index."""
        id, kind = int(row["id"]), int(row["kind"])
        order = self._orders.get(id)
        if order is None:
            return
        order.ts_ns = int(row["ts_exch"])
        if kind == FILL:
            order.filled += int(row["qty"])
            order.status = FILL if order.filled >= order.qty else ACK
            self._executions.append(_execution(row, instrument))
        elif kind == AMENDED:
            order.px, order.qty = int(row["px"]), order.filled + int(row["qty"])
        elif kind in (ACK, CANCELED, EXPIRED, REJECT):
            order.status = kind
        if order.has_ended:
            self._ended[id] = self._orders.pop(id)
            if len(self._ended) > ENDED_MAX:
                self._ended.popitem(last=False)

    def open_ids(self, instrument: int) -> list[int]:
        """Ids of orders that have not ended, of one instrument; of all with -1."""
        return [id for id, order in self._orders.items() if instrument < 0 or order.instrument == instrument]

    def report(
        self,
        instruments: tuple[int, ...],
        order_ids: tuple[int, ...],
        since_ns: int,
        now_ns: int,
        positions: dict[int, int],
    ) -> AccountReport:
        """What the venue knows at `now_ns`: see `AccountReport`."""
        resting = [_stated(id, o) for id, o in self._orders.items() if o.status == ACK and o.instrument in instruments]
        return AccountReport(
            instruments=instruments,
            ts_ns=now_ns,
            open_orders=tuple(resting),
            orders=tuple(self._find(id) for id in order_ids),
            executions=tuple(e for e in self._executions if e.ts_ns >= since_ns and e.instrument in instruments),
            positions=positions,
        )

    def _find(self, id: int) -> VenueOrder:
        order = self._orders.get(id) or self._ended.get(id)
        if order is None:
            # It rested at the simulated venue of a process that is gone, and went with it.
            return VenueOrder(id=id, client_id=client_id(id), status=CANCELED)
        return _stated(id, order)


def _stated(id: int, order: _Order) -> VenueOrder:
    return VenueOrder(
        id=id,
        client_id=client_id(id),
        venue_id=id,
        instrument=order.instrument,
        side=order.side,
        px=order.px,
        qty=order.qty,
        filled=order.filled,
        status=order.status,
        ts_ns=order.ts_ns,
    )


def _execution(row: Any, instrument: int) -> VenueExecution:
    return VenueExecution(
        id=int(row["id"]),
        venue_id=int(row["id"]),
        execution_id=int(row["arg1"]),
        instrument=instrument,
        side=int(row["side"]),
        px=int(row["px"]),
        qty=int(row["qty"]),
        fee=int(row["arg0"]),
        is_maker=bool(row["flags"] & MAKER),
        ts_ns=int(row["ts_exch"]),
    )
