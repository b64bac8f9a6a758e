"""What a venue's report changes in our books: the rules of `orders.reconcile`, told to the driver as a verdict.

Called by the driver through `live.standing`. Reads the engine, changes nothing.
"""

from __future__ import annotations

import numpy as np

from tercel.engine.engine import Engine
from tercel.live.link import Link
from tercel.live.standing import Verdict
from tercel.model.account import AccountReport
from tercel.orders.executions import executions_in_order
from tercel.orders.reconcile import Books, Reconciliation, cancel_commands, reconcile

__all__ = ["AccountStanding", "books_of"]

#: How far back from the last row of a recovered engine its first report looks.
_MARGIN_NS = 60_000_000_000


def books_of(engine: Engine) -> Books:
    """Our side of a comparison, copied."""
    executions, n = engine.view("executions"), int(engine.head["n_executions"])
    return Books(
        orders=engine.view("orders")[engine.view("open")[: engine.head["n_open"]]],
        positions=engine.view("positions")["position"].copy(),
        executions=executions_in_order(executions, n),
        is_full=n > len(executions),
        symbols=[instrument.symbol for instrument in engine.instruments],
    )


class AccountStanding:
    """Judges reports about one engine's account.

    grace_ns: how long after it was sent a request may still arrive at the venue: its own window and the largest
    difference of the clocks. last: the last comparison, for a look at what it left to people.
    """

    def __init__(self, engine: Engine, grace_ns: int = 6_000_000_000) -> None:
        self.since_ns = max(engine.now_ns - _MARGIN_NS, 0)
        self.grace_ns = grace_ns
        self.last: Reconciliation | None = None

    def judge(self, engine: Engine, link: Link, report: AccountReport, now_ns: int) -> Verdict:
        """Compare a report with the engine's books."""
        found = self.last = reconcile(
            books_of(engine), report, asked_ns=link.asked_ns, now_ns=now_ns, grace_ns=self.grace_ns
        )
        notes = list(found.notes)
        notes += [f"order {order.id} is open at the venue and not here: it is canceled" for order in found.lost]
        notes += [
            f"{order.client_id}: an open order of the account that is not ours; it stays" for order in found.foreign
        ]
        return Verdict(
            rows=np.ascontiguousarray(found.rows),
            commands=cancel_commands(found.lost, now_ns),
            unexplained="; ".join(found.unexplained),
            reason=found.reason,
            is_settled=not found.unanswered,
            since_ns=found.since_ns,
            notes=tuple(notes),
        )
