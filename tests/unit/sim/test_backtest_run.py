"""What a run keeps true whatever happens in it: money, orders, logs, and what it refuses before it starts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from reference.chaos import ChaosFeed
from reference.scripted import BOOK, UNIT, bid, fills, row, run, story, trade
from tercel.config import Capacity
from tercel.errors import CapacityError, ConfigError, DataError, StrategyRuntimeError
from tercel.model.commands import NEW
from tercel.model.events import CANCELED, EVENT, EXPIRED, FILL, LEVEL, QUOTE, REFUSED, REJECT, TRADE
from tercel.model.instrument import Instrument
from tercel.risk.limits import Limits
from tercel.sim.backtest import Backtest, backtest
from tercel.sim.fees import Fees
from tercel.sim.latency import Constant, Latency, Lognormal, Recorded
from tercel.sim.layout import VENUE_INSTRUMENT
from tercel.sim.market import MarketModel, simulate_market
from tercel.sim.queue import QueueModel
from tercel.sim.venue import VenueRules
from tercel.store.schedule import schedule
from tercel.store.writing import write_tape
from tercel.strategy.contract import Strategy

COIN = Instrument(symbol="COIN", tick_size=Decimal("0.1"), lot_size=Decimal("0.001"), quote="USD")
MODEL = MarketModel(market_rate=60.0, latency_ms=2.0, warmup_s=3.0, mid_px=2000)
LOOSE = Limits(self_trade="allow")


@pytest.fixture(scope="module")
def rows():
    return schedule(simulate_market(MODEL, 21, n_rows=6000))


@pytest.fixture(scope="module")
def busy(rows):
    rules = VenueRules(latency=Latency.both(2), fees=Fees(-1, 4))
    made = Backtest(ChaosFeed(seed=2), rows, instruments=[COIN], rules=rules, limits=LOOSE)
    made.run()
    return made


def test_money_is_the_sum_of_fills(busy):
    events = busy.result().log.events
    trades = events[events["kind"] == FILL]
    assert len(trades) > 200
    side, px, qty = (trades[name].astype(object) for name in ("side", "px", "qty"))
    account = busy.engine.view("positions")[0]
    assert int(account["position"]) == sum(side * qty)
    assert int(account["cash"]) == -sum(side * px * qty) * COIN.value
    assert int(account["fee"]) == sum(trades["arg0"].tolist())
    assert int(account["turnover"]) == sum(px * qty) * COIN.value
    assert trades["arg1"].tolist() == list(range(1, len(trades) + 1))


def test_the_venue_and_the_engine_agree_at_rest(busy):
    state = busy.venue.part("states", VENUE_INSTRUMENT, 1)[0]
    account = busy.engine.view("positions")[0]
    assert (state["position"], state["turnover"]) == (account["position"], account["turnover"])


def test_every_order_ends_once_or_is_open(busy):
    log = busy.result().log
    asked = {int(c["id"]): int(c["qty"]) for c in log.commands if c["kind"] == NEW}
    ends: dict[int, int] = {}
    left = dict(asked)
    for event in log.events[log.events["kind"] != REFUSED]:
        order = int(event["id"])
        if event["kind"] == FILL:
            left[order] -= int(event["qty"])
        elif event["kind"] == 25:  # AMENDED states what is left
            left[order] = int(event["qty"])
        elif event["kind"] in (CANCELED, EXPIRED, REJECT):
            ends[order] = ends.get(order, 0) + 1
    for order, lots in left.items():
        if lots == 0:
            ends[order] = ends.get(order, 0) + 1
    still_open = {int(o["id"]) for o in busy.venue.orders()}
    assert set(ends.values()) == {1}
    assert set(asked) == set(ends) | still_open
    assert not set(ends) & still_open
    engine_open = {int(o["id"]) for o in busy.engine.view("orders") if o["state"] != 0}
    late = int(log.end_ns)
    sent = {int(c["id"]) for c in log.commands if c["kind"] == NEW and c["ts"] <= late}
    assert engine_open & sent == still_open


class Chatty(Strategy):
    """Sends and cancels on every timer."""

    order: int = 0
    n: int = 0

    def on_start(self, ctx):
        ctx.set_timer(1_000_000, every_ns=20_000)

    def on_timer(self, ctx, timer):
        self.n += 1
        if self.order != 0:
            ctx.cancel(self.order)
        self.order = ctx.order_lots(0, 1, 1, 1)


def test_logs_that_fill_are_emptied_and_joined(rows):
    made = Backtest(Chatty(), rows[:2500], instruments=[COIN], sample_s=0.0001)
    log = made.run().log
    n = int(made.engine.state(0)["n"])
    assert n > 20_000
    assert len(log.commands) == 2 * n - 1
    assert len(log.events) == 2 * n - 1
    assert len(log.samples) > 9_000
    assert (np.diff(log.commands["ts"]) >= 0).all()
    assert (np.diff(log.events["ts_recv"]) >= 0).all()
    assert (np.diff(log.samples["ts"]) == 100_000).all()


def test_a_strategy_that_never_stops_sending_ends_with_the_tape(rows):
    made = Backtest(Chatty(), rows[:300], instruments=[COIN], rules=VenueRules(latency=Latency.both(50)))
    log = made.run().log
    last = int(max(rows[:300]["ts_exch"].max(), rows[:300]["ts_recv"].max()))
    assert log.commands["ts"].max() <= last
    # What was on its way at the end still arrived.
    assert log.events["ts_recv"].max() == log.commands["ts"].max() + 100_000_000


class Silent(Strategy):
    """Looks at trades and does nothing."""

    n: int = 0

    def on_trade(self, ctx, trade):
        self.n += 1


class Impatient(Strategy):
    """Asks again whenever it is told no."""

    def on_start(self, ctx):
        ctx.set_timer(1_000_000)

    def on_timer(self, ctx, timer):
        ctx.order_lots(0, 1, 1, 1, 1)

    def on_order(self, ctx, order):
        if order.kind == 24:
            ctx.order_lots(0, 1, 1, 1, 1)


def test_a_strategy_that_answers_every_end_ends_too(rows):
    made = Backtest(Impatient(), rows[:300], instruments=[COIN], rules=VenueRules(latency=Latency.both(5)))
    log = made.run().log
    assert 2 < np.count_nonzero(log.events["kind"] == EXPIRED) < 60


def test_a_strategy_that_answers_every_end_without_latency_is_stopped(rows):
    made = Backtest(Impatient(), rows[:300], instruments=[COIN])
    with pytest.raises(StrategyRuntimeError, match="more than 65536 messages at"):
        made.run()


def test_too_many_messages_in_flight_are_named(rows):
    rules = VenueRules(latency=Latency.both(3_600_000))
    made = Backtest(Chatty(), rows[:3000], instruments=[COIN], rules=rules, capacity=Capacity(orders=1 << 15))
    with pytest.raises(CapacityError, match="more than 16384 messages were in flight"):
        made.run()


def test_pages_behind_both_sides_are_given_back(tmp_path, monkeypatch):
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("only Linux tells what of a mapping is in memory")
    monkeypatch.setenv("TERCEL_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("tercel.sim.backtest._SLICE", 40_000)
    tape = write_tape(tmp_path / "long.tape", simulate_market(MODEL, 3, n_rows=200_000), [COIN])
    held = []

    def look(_done, _n):
        lines = smaps.read_text().splitlines()
        of_tape = [i for i, line in enumerate(lines) if str(tmp_path) in line and line.endswith(".rows")]
        held.extend(int(lines[i + k].split()[1]) for i in of_tape for k in range(1, 9) if lines[i + k][:4] == "Rss:")

    Backtest(Silent(), tape).run(look)
    # 12,800 KB of rows; a slice is 2,560 KB, and the kernel may read ahead of it.
    assert len(held) >= 5
    assert 0 < max(held) < 7_000


def test_samples_count_the_account(busy):
    samples = busy.result().log.samples
    assert (samples["equity"] != 0).any()
    last = samples[-1]
    assert last["ts"] <= busy.result().log.end_ns


# --- queue models of one's own --------------------------------------------------------------------------------------


class HalfWay(QueueModel):
    """Starts in the middle of the level and believes nobody cancels."""

    share: float = 0.5
    n_asked: int = 0

    def on_new(self, queue):
        self.n_asked += 1
        queue.ahead = queue.new * self.share

    def on_trade(self, queue):
        queue.ahead -= queue.qty


class Broken(QueueModel):
    zero: int = 0

    def on_trade(self, queue):
        queue.ahead = 1 // self.zero


def lots(side, qty, px):
    return lambda ctx: ctx.order_lots(0, side, qty, px)


def test_a_queue_model_of_ones_own():
    rows = [*BOOK, trade(20, -1, 99, 4), trade(30, -1, 99, 3)]
    made = run(rows, {10: lots(1, 8, 99)}, queue=HalfWay())
    assert fills(made) == [(1, "queue_reached", 99, 2)]
    assert fills(run(rows, {10: lots(1, 8, 99)}, queue=HalfWay(share=0.1))) == [
        (1, "queue_reached", 99, 3),
        (1, "queue_reached", 99, 3),
    ]


def test_a_queue_model_that_raises_is_named():
    rows = [*BOOK, trade(20, -1, 99, 4), trade(30, -1, 99, 3)]
    with pytest.raises(StrategyRuntimeError, match=r"queue model Broken raised ZeroDivisionError"):
        run(rows, {10: lots(1, 8, 99)}, queue=Broken())


def test_a_queue_model_needs_a_method():
    class Empty(QueueModel):
        x: int = 0

    with pytest.raises(ConfigError, match="none of on_new, on_trade, on_depth"):
        run(BOOK, {}, queue=Empty())


# --- what is refused --------------------------------------------------------------------------------------------------


def made_of(*rows):
    return np.array(list(rows), EVENT)


def refused(rows, **more):
    more.setdefault("instruments", [UNIT])
    Backtest(Chatty(), rows, **more)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (made_of(bid(2, 99, 1), bid(1, 98, 1)), r"row 1: time runs backwards, ts_exch is .*the venue sees"),
        (made_of(bid(1, 99, 1), bid(2, 98, 1), bid(3, 97, 1)), None),
        (made_of(row(1, LEVEL, 1, 99, 1, instrument=3)), r"row 0: is of no instrument, instrument is 3"),
        (made_of(bid(1, 99, 1), row(2, LEVEL, 0, 99, 1)), r"row 1: is a book level of neither side.*side is 0"),
        (made_of(row(1, TRADE, 1, -5, 1)), r"row 0: has no positive price, px is -5"),
        (made_of(row(1, LEVEL, 1, 99, -2)), r"row 0: has a negative size, qty is -2"),
        (made_of(row(1, QUOTE, 0, 99, 1, arg0=-1)), r"row 0: quotes an ask below 0, which is none, arg0 is -1"),
        (made_of(row(1, 33, 0, 99, 1)), r"row 0: has a kind that does not exist, kind is 33"),
        (np.zeros(0, EVENT), "none"),
        (np.zeros(3), "EVENT rows"),
    ],
)
def test_rows_are_looked_at(rows, match):
    if match is None:
        refused(rows)
        return
    with pytest.raises(DataError, match=match):
        refused(rows)


def test_rows_out_of_order_for_the_strategy_alone():
    rows = made_of(bid(1, 99, 1), bid(2, 98, 1))
    rows["ts_recv"] += np.array([5_000_000, 0])
    with pytest.raises(DataError, match=r"row 1: time runs backwards, ts_recv is .*the strategy sees"):
        refused(rows)
    refused(schedule(rows))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: VenueRules(queue="best"), "queue must be one of risk_averse"),
        (lambda: VenueRules(queue=5), "queue must be one of"),
        (lambda: VenueRules(queue_n=0.0), "queue_n must be above 0"),
        (lambda: VenueRules(self_trade="both"), "self_trade must be one of"),
        (lambda: VenueRules(message_rate=-1), "message_rate"),
        (lambda: Constant(-1.0), "latency must be 0 ms or more"),
        (lambda: Constant(float("nan")), "latency must be 0 ms or more"),
        (lambda: Constant(float("inf")), "latency must be 0 ms or more"),
        (lambda: Lognormal(0.0), "median_ms > 0"),
        (lambda: Lognormal(float("inf")), "median_ms > 0"),
        (lambda: Recorded(np.array([2, 1]), np.array([1, 1])), "times that do not fall"),
        (lambda: Recorded(np.array([1, 2]), np.array([1, -1])), "times that do not fall"),
        (lambda: Recorded(np.zeros(0), np.zeros(0)), "as many values as times"),
        (lambda: Fees(maker=0.00001).rates(), "steps of 0.0001"),
        (lambda: refused(made_of(*BOOK), sample_s=0.0), "sample_s must be above 0"),
        (lambda: refused(made_of(*BOOK), rules=VenueRules(queue="fifo")), "queue 'fifo' needs a tape with order rows"),
        (lambda: refused(made_of(*BOOK), capacity=Capacity(commands=1 << 14)), "commands of at most 8192"),
        (lambda: refused(made_of(*BOOK), instruments=None), "need `instruments`"),
        (lambda: Backtest([], made_of(*BOOK), instruments=[UNIT]), "at least one strategy"),
        (lambda: backtest(Chatty(), made_of(*BOOK), latency_ms=1, latency=Latency()), "not both"),
    ],
)
def test_settings_are_looked_at(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


def test_latency_is_said_in_words():
    told = Latency(new=Lognormal(2, 0.5, 1), fill=Recorded(np.array([1, 2]), np.array([3, 4]))).describe()
    assert told["new"] == "1 ms + lognormal(median 2 ms, sigma 0.5)"
    assert told["fill"] == "recorded, 2 points"
    assert told["cancel"] == "0 ms"


def test_progress_is_told(rows, monkeypatch):
    monkeypatch.setattr("tercel.sim.backtest._SLICE", 1000)
    seen: list[tuple[int, int]] = []
    Backtest(Chatty(), rows[:2500], instruments=[COIN]).run(lambda done, n: seen.append((done, n)))
    assert seen == [(1000, 2500), (2000, 2500), (2500, 2500)]


def test_story_of_a_run_without_orders():
    assert story(run(BOOK, {})) == []
