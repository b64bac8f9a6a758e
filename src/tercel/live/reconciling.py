"""What a venue's report changes in our books: the rules of `orders.reconcile`, told to the driver as a verdict.

Also where our books of an account begin: what was traded on it before is history and no fill of ours. Called by the
driver through `live.standing`. Reads the engine, changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from tercel.engine.engine import Engine
from tercel.live.link import Link
from tercel.live.standing import Verdict
from tercel.model.account import AccountReport
from tercel.model.events import FILL
from tercel.orders.executions import executions_in_order
from tercel.orders.reconcile import Books, Reconciliation, adopt_positions, cancel_commands, reconcile

__all__ = ["AccountStanding", "Origin", "books_of"]

#: How far back from the last row of a recovered engine its first report looks.
_MARGIN_NS = 60_000_000_000
_RUN_BITS = 32
_RUN, _SINCE = "books_begin_with_run", "books_begin_ns"


class Origin(msgspec.Struct, frozen=True):
    """Where our books of an account begin. It is kept in the header of every run that goes on from them.

    run: the first one; its orders and those of later runs are ours. since_ns: our clock when it began. 0, 0: not known.
    """

    run: int = 0
    since_ns: int = 0

    def meta(self) -> dict[str, str]:
        """For a run's header."""
        return {_RUN: str(self.run), _SINCE: str(self.since_ns)}

    @classmethod
    def of(cls, meta: Mapping[str, str]) -> Origin:
        """From the header of the run that is gone on from."""
        run, since_ns = meta.get(_RUN, ""), meta.get(_SINCE, "")
        return cls(int(run), int(since_ns)) if run.isdigit() and since_ns.isdigit() else cls()


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
    difference of the clocks. origin: where our books begin; executions before it are left out, unless they are of our
    orders. adopt_at: instrument -> price in ticks at which a position that the account holds already is taken over, if
    the engine has never counted a fill of it; where none is given such a position stays unexplained. last: the last
    comparison, for a look at what it left to people.
    """

    def __init__(
        self,
        engine: Engine,
        grace_ns: int = 6_000_000_000,
        *,
        origin: Origin | None = None,
        adopt_at: Mapping[int, int] | None = None,
    ) -> None:
        self.since_ns = max(engine.now_ns - _MARGIN_NS, 0)
        self.grace_ns = grace_ns
        self.origin = origin or Origin()
        self.last: Reconciliation | None = None
        # Later a price that still stands in a configuration must not silence what fills do not explain.
        n_fills = engine.view("positions")["n_fills"]
        self._adopt_at = {i: px for i, px in (adopt_at or {}).items() if not n_fills[i]}

    def judge(self, engine: Engine, link: Link, report: AccountReport, now_ns: int) -> Verdict:
        """Compare a report with the engine's books."""
        report, n_old = self._without_history(link, report)
        books = books_of(engine)
        adopted = self._adopted(books, link, report, now_ns)
        if len(adopted):
            positions = books.positions.copy()
            np.add.at(positions, adopted["instrument"], adopted["side"] * adopted["qty"])
            books = msgspec.structs.replace(books, positions=positions)
        found = self.last = self._compared(books, link, report, now_ns)
        notes = list(found.notes)
        if n_old:
            notes.append(f"{n_old} executions from before our books began are not counted")
        notes += [
            f"{books.symbols[row['instrument']]}: a position of {row['side'] * row['qty']} lots from before is taken "
            f"over at {row['px']} ticks"
            for row in adopted
        ]
        notes += [f"order {order.id} is open at the venue and not here: it is canceled" for order in found.lost]
        notes += [
            f"{order.client_id}: an open order of the account that is not ours; it stays" for order in found.foreign
        ]
        return Verdict(
            rows=np.ascontiguousarray(np.concatenate([adopted, found.rows])),
            commands=cancel_commands(found.lost, now_ns),
            unexplained="; ".join(found.unexplained),
            reason=found.reason,
            is_settled=not found.unanswered,
            since_ns=found.since_ns,
            notes=tuple(notes),
        )

    def _compared(self, books: Books, link: Link, report: AccountReport, now_ns: int) -> Reconciliation:
        return reconcile(books, report, asked_ns=link.asked_ns, now_ns=now_ns, grace_ns=self.grace_ns)

    def _without_history(self, link: Link, report: AccountReport) -> tuple[AccountReport, int]:
        """The report without executions from before our books began, and how many those are.

        What was traded by hand a minute before the first start, or by a journal that is gone, is part of what the
        account held then. It is told apart by the venue's time, and by the run in an order's id where that is ours.
        """
        origin = self.origin
        if not origin.run:
            return report, 0
        until_ns = origin.since_ns + report.ts_ns - link.asked_ns
        kept = tuple(x for x in report.executions if x.ts_ns > until_ns or x.id >> _RUN_BITS >= origin.run)
        return msgspec.structs.replace(report, executions=kept), len(report.executions) - len(kept)

    def _adopted(self, books: Books, link: Link, report: AccountReport, now_ns: int) -> np.ndarray:
        """(n,) FILL rows for positions that the account held before; each instrument once, by its first report."""
        prices = {i: px for i, px in self._adopt_at.items() if i in report.positions}
        # A fill heard after the report was true: wait for one that knows of it.
        newer = books.executions["instrument"][books.executions["ts"] > report.ts_ns].tolist()
        prices = {i: px for i, px in prices.items() if i not in newer}
        for i in prices:
            del self._adopt_at[i]
        if not prices:
            return adopt_positions(books, {}, {}, now_ns)
        held = {i: report.positions[i] for i in prices}
        rows = self._compared(books, link, report, now_ns).rows
        for row in rows[rows["kind"] == FILL]:
            if int(row["instrument"]) in held:
                # This fill is about to be counted by itself.
                held[int(row["instrument"])] -= int(row["side"]) * int(row["qty"])
        return adopt_positions(books, held, prices, now_ns)
