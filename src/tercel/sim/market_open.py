"""A simulated market that others may join: the market of `market` and the orders of `market_foreign`, from Python.

Holds no rule of its own. Called by the local venue, tick by tick: where a run ended changes nothing, and without
foreign orders the rows are those of any other division of the same time.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np

from tercel.jit import address_of
from tercel.model.events import EVENT, event_rows
from tercel.sim.market import Market, MarketModel
from tercel.sim.market_flow import market_run
from tercel.sim.market_foreign import market_cancel, market_reduce, market_submit
from tercel.sim.market_state import FOREIGN_ID, MARKET_STATE

__all__ = ["FOREIGN_ID", "OpenMarket", "Row", "Submitted"]

#: One EVENT row as a tuple, fields in the order of `model.events.EVENT`.
Row = tuple[int, int, int, int, int, int, int, int, int, int, int, int]

_ROOM = 1 << 14
#: EVENT as `struct` writes it: the same fields in the same places.
_CODES = {"i1": "b", "i2": "h", "i8": "q"}
_UNPACK = struct.Struct("=" + "".join(_CODES[EVENT[name].str[1:]] for name in EVENT.names or ())).iter_unpack

#: Places of whole numbers of MARKET_STATE, as words of the block.
_HELD, _HELD_TS, _ENDED, _OUTCOME, _LEFT = (
    int(MARKET_STATE.fields[name][1]) // 8  # type: ignore[index]
    for name in ("held", "held_ts", "ended", "outcome", "left")
)


class Submitted(NamedTuple):
    """What a submitted order did: rows, `market_foreign.OUTCOME_*`, lots left untraded."""

    rows: list[Row]
    outcome: int
    left: int


class OpenMarket(Market):
    """A running market that takes foreign orders. Prices in ticks, sizes in lots, times in ns of the market."""

    def __init__(self, model: MarketModel, seed: int) -> None:
        super().__init__(model, seed, "l2")
        self._state["hold"] = 1
        self._out = event_rows(_ROOM)
        self._out_at = address_of(self._out)
        # Reading rows and fields as plain memory takes a third of what numpy's records take.
        self._out_bytes = self._out.view(np.uint8).data

    def _rows(self, n: int) -> list[Row]:
        if n == 0:
            return []
        return list(_UNPACK(self._out_bytes[: n * EVENT.itemsize]))  # type: ignore[arg-type]

    def run(self, ts_end_ns: int) -> list[Row]:
        """Everything the simulated participants do before `ts_end_ns`, and the fills of foreign orders it brings."""
        memory = self.memory
        found: list[Row] = []
        if memory.item(_HELD) and memory.item(_HELD_TS) >= ts_end_ns:
            return found
        memory[_ENDED] = 0
        while not memory.item(_ENDED):
            n = market_run.call(self.address, self._out_at, _ROOM, _ROOM, ts_end_ns)
            found += self._rows(n)
        return found

    def submit(
        self, order_id: int, owner: int, side: int, limit_px: int, qty: int, rule: int, stp: int, ts_ns: int
    ) -> Submitted:
        """A foreign order; see `market_foreign.market_submit`."""
        n = market_submit.call(
            self.address, self._out_at, _ROOM, order_id, owner, side, limit_px, qty, rule, stp, ts_ns
        )
        return Submitted(self._rows(n), int(self.memory.item(_OUTCOME)), int(self.memory.item(_LEFT)))

    def cancel(self, order_id: int, ts_ns: int) -> list[Row] | None:
        """Take a foreign order out; None when it does not rest."""
        n = market_cancel.call(self.address, self._out_at, _ROOM, order_id, ts_ns)
        return None if n < 0 else self._rows(n)

    def reduce(self, order_id: int, qty: int, ts_ns: int) -> list[Row] | None:
        """Make a foreign order smaller, to `qty` lots left; None when it does not rest or is not larger."""
        n = market_reduce.call(self.address, self._out_at, _ROOM, order_id, qty, ts_ns)
        return None if n < 0 else self._rows(n)
