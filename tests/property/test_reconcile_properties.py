"""Random histories over a line that loses, doubles, delays and reorders: reconciled, our books are the venue's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reference.busy_strategies import SIM
from reference.venue_truth import Truth
from tercel.config import Capacity
from tercel.engine.engine import Engine
from tercel.model.account import AccountReport
from tercel.model.events import ACK, CANCELED, DISCONNECT, EXPIRED, FILL, LOCAL, REJECT, SIGNAL, event_rows
from tercel.model.reasons import NEVER_ARRIVED
from tercel.model.signals import Signal
from tercel.orders.executions import executions_in_order
from tercel.orders.reconcile import Books, Reconciliation, reconcile
from tercel.strategy.contract import Strategy

SMALL = Capacity(commands=64, orders=64, timers=4, far_levels=64, depth_ticks=64, executions=256)
GRACE_NS = 1_000


class Puppet(Strategy):
    """Does what signals say: value 1 buys, -1 sells `id` lots; 2 cancels order `id`, 3 amends it; the rest is price."""

    def on_signal(self, ctx, signal):
        px = int(signal.confidence)
        if signal.value == 2.0:
            ctx.cancel(signal.id)
        elif signal.value == 3.0:
            ctx.amend_lots(signal.id, 1 + px % 7, px)
        elif signal.value > 0.0:
            ctx.order_lots(0, 1, signal.id, px)
        else:
            ctx.order_lots(0, -1, signal.id, px)


class World:
    """Our engine, the venue, and the line between them."""

    def __init__(self, keeps_ended: bool) -> None:
        self.engine = Engine([SIM], [Puppet()], capacity=SMALL)
        self.venue = Truth(keeps_ended)
        self.now_ns = 1_000_000
        self.to_venue: list[tuple[int, np.ndarray]] = []
        self.to_us: list[np.ndarray] = []
        self.report: tuple[int, AccountReport] | None = None
        self.since_ns = 0
        self.rejected: set[int] = set()

    def feed(self, rows: np.ndarray) -> None:
        self.now_ns += 1
        rows = rows.copy()
        rows["ts_recv"] = self.now_ns
        gone = (rows["kind"] == REJECT) & (rows["reason"] == NEVER_ARRIVED)
        self.rejected.update(rows["id"][gone].tolist())
        commands, _ = self.engine.run(rows)
        self.to_venue += [(self.now_ns, command) for command in commands]

    def signal(self, value: float, id: int, px: int) -> None:
        row = event_rows(1)
        row[0] = Signal(instrument=0, value=value, confidence=float(px), ts_ns=self.now_ns, id=id).row()
        assert row["kind"] == SIGNAL
        self.feed(row)

    def living(self) -> np.ndarray:
        slots = self.engine.view("open")[: self.engine.head["n_open"]]
        found: np.ndarray = self.engine.view("orders")[slots]
        return found

    def deliver(self, k: int) -> None:
        """One request reaches the venue: the oldest, or it is lost."""
        if self.to_venue:
            _, command = self.to_venue.pop(0)
            if k % 5:
                self.now_ns += 1
                self.venue.receive(command, self.now_ns)
                self.spread()

    def spread(self) -> None:
        self.to_us += self.venue.told
        self.venue.told = []

    def trade(self, k: int) -> None:
        orders = self.venue.open()
        if orders:
            self.now_ns += 1
            self.venue.trade(orders[k % len(orders)]["id"], 1 + k % 4, self.now_ns)
            self.spread()

    def expire(self, k: int) -> None:
        orders = self.venue.open()
        if orders:
            self.now_ns += 1
            self.venue.end(orders[k % len(orders)]["id"], EXPIRED if k % 2 else CANCELED, self.now_ns)
            self.spread()

    def hear(self, k: int) -> None:
        """One message comes: the oldest, lost, twice, or a fill before what was said of its order."""
        if not self.to_us:
            return
        i = 0
        if k % 7 == 1:
            i = next((i for i, m in enumerate(self.to_us) if m["kind"] == FILL), 0)
            if any(m["id"] == self.to_us[i]["id"] and m["kind"] != ACK for m in self.to_us[:i]):
                i = 0
        message = self.to_us.pop(i)
        if k % 7 == 2:
            return
        self.feed(message)
        if k % 7 == 3 and message["kind"] == FILL:
            self.feed(message)

    def disconnect(self, k: int) -> None:
        """The line breaks: what is on it is lost or comes late; our orders are unknown."""
        self.to_us = [m for i, m in enumerate(self.to_us) if (k >> i % 8) & 1 and m["kind"] == FILL]
        self.to_venue = [c for i, c in enumerate(self.to_venue) if (k >> i % 8) & 2]
        row = event_rows(1)
        row["kind"], row["flags"] = DISCONNECT, LOCAL
        self.feed(row)

    def ask(self) -> None:
        ids = self.living()["id"].tolist()
        self.now_ns += 1
        self.report = self.now_ns, self.venue.report(ids, self.since_ns, self.now_ns)

    def settle(self) -> Reconciliation | None:
        if self.report is None:
            return None
        (asked_ns, report), self.report = self.report, None
        head = self.engine.head
        books = Books(
            orders=self.living().copy(),
            positions=self.engine.view("positions")["position"].copy(),
            executions=executions_in_order(self.engine.view("executions"), int(head["n_executions"])),
            is_full=bool(head["n_executions"] >= head["executions_max"]),
            symbols=["SIM"],
        )
        self.now_ns += 1
        found = reconcile(
            books, report, now_ns=self.now_ns, asked_ns=asked_ns, grace_ns=GRACE_NS, since_ns=self.since_ns
        )
        late = int(head["n_late"])
        if len(found.rows):
            self.feed(found.rows)
        mine = set(books.orders["id"].tolist())
        if set(found.rows["id"].tolist()) <= mine:
            assert int(self.engine.head["n_late"]) == late, "the lifecycle did not take a row"
        return found

    def late_requests(self) -> None:
        """What was sent and not lost arrives within its time."""
        while self.to_venue:
            sent_ns, command = self.to_venue.pop(0)
            self.now_ns = max(self.now_ns + 1, min(sent_ns + GRACE_NS // 2, self.now_ns + GRACE_NS // 4))
            if self.now_ns <= sent_ns + GRACE_NS:
                self.venue.receive(command, self.now_ns)
        self.venue.told = []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["place", "cancel", "amend", "expire", "disconnect", "ask", "settle"] + 2 * ["trade", "place"] +
                        3 * ["deliver", "hear"]),
        st.integers(0, 1 << 16),
    ),
    max_size=60,
)  # fmt: skip


def act(world: World, what: str, k: int) -> None:
    living = world.living()["id"].tolist()
    if what == "place":
        world.signal(1.0 if k % 2 else -1.0, 1 + k % 9, 100 + k % 40)
    elif what == "cancel" and living:
        world.signal(2.0, living[k % len(living)], 0)
    elif what == "amend" and living:
        world.signal(3.0, living[k % len(living)], 100 + k % 40)
    elif what in ("deliver", "trade", "expire", "hear", "disconnect"):
        getattr(world, what)(k)
    elif what == "ask":
        world.ask()
    elif what == "settle":
        world.settle()


def check_books(world: World) -> None:
    """Our books against the venue's, field by field."""
    ours = {int(o["id"]): o for o in world.living()}
    theirs = {order["id"]: order for order in world.venue.open()}
    assert sorted(ours) == sorted(theirs)
    for id, order in theirs.items():
        for name in ("side", "px", "qty", "filled"):
            assert int(ours[id][name]) == order[name], name
        assert int(ours[id]["state"]) in (2, 3)
        assert int(ours[id]["pending"]) == 0
    position = world.engine.view("positions")[0]
    assert int(position["position"]) == world.venue.position
    assert int(position["fee"]) == sum(e.fee for e in world.venue.executions)
    assert int(position["n_fills"]) == len(world.venue.executions)
    left = {side: sum(o["qty"] - o["filled"] for o in theirs.values() if o["side"] == side) for side in (1, -1)}
    assert (int(position["open_buy"]), int(position["open_sell"])) == (left[1], left[-1])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(steps=STEPS, keeps_ended=st.booleans())
def test_books_become_the_venues_whatever_was_lost(steps, keeps_ended):
    world = World(keeps_ended)
    for what, k in steps:
        act(world, what, k)
    # The line is broken a last time; what was under way arrives or not; then the venue is asked until all is said.
    world.report = None
    world.disconnect(0xB6)
    world.late_requests()
    rounds = 0
    while True:
        world.now_ns += GRACE_NS // 3
        world.ask()
        found = world.settle()
        assert found is not None
        assert found.unexplained == ()
        assert found.lost == found.foreign == ()
        rounds += 1
        if found.is_settled:
            break
        assert rounds < 10, found.unanswered
    # One that came and went without a fill, and was forgotten, is like one that never came.
    traceless = {o["id"] for o in world.venue.orders.values() if o["status"] in (CANCELED, EXPIRED) and not o["filled"]}
    assert world.rejected <= traceless | (world.rejected - set(world.venue.orders))
    check_books(world)
    # Everything told once more changes nothing.
    world.ask()
    again = world.settle()
    assert again is not None
    assert len(again.rows) == 0
    for execution in world.venue.executions:
        row = event_rows(1)
        row["kind"], row["flags"], row["arg1"], row["id"] = FILL, LOCAL, execution.execution_id, execution.id
        row["side"], row["px"], row["qty"], row["arg0"] = execution.side, execution.px, execution.qty, execution.fee
        world.feed(row)
    check_books(world)
