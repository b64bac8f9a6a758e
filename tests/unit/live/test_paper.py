"""Paper trading against the backtest: the same rows, orders and latencies give the same fills."""

from __future__ import annotations

import numpy as np
import pytest

import tercel as tc
from tercel.engine.engine import Engine
from tercel.live.paper import PaperConnection
from tercel.live.tape_source import TapeSource
from tercel.model.commands import CANCEL_ALL, COMMAND, IOC, LIMIT, NEW
from tercel.model.events import (
    ACK,
    BUY,
    CANCELED,
    FILL,
    LAST,
    LEVEL,
    LOCAL,
    QUOTE,
    REJECT,
    SELL,
    TRADE,
    event_rows,
)  # fmt: skip
from tercel.model.instrument import Instrument
from tercel.model.reasons import VENUE_DOWN
from tercel.sim.fees import Fees
from tercel.sim.latency import Constant, Latency, Lognormal
from tercel.sim.venue import VenueRules
from tercel.strategy.library.imbalance_scalper import ImbalanceScalper
from tercel.strategy.library.quoter import Quoter
from tercel.venues.contract import NEVER

MS = 1_000_000
BTC = Instrument(symbol="BTC", tick_size="0.1", lot_size="0.001", base="BTC", quote="USDT")


def play(engine: Engine, conn, start_ns: int, end_ns: int) -> np.ndarray:
    """The live path in its smallest form: rows, then answers, then timers, each at its own time. Account rows."""
    account = []
    conn.open(start_ns)
    engine.start(start_ns)
    while True:
        now_ns = min(conn.next_wake_ns, int(engine.head["next_timer"]))
        if now_ns > end_ns:
            return np.concatenate(account) if account else event_rows(0)
        if conn.next_wake_ns <= now_ns:
            conn.on_wake(now_ns)
            rows = conn.rows.filled().copy()
            conn.rows.clear()
            account.append(rows[(rows["kind"] >= ACK) & (rows["kind"] < 40)])
            i = 0
            while i < len(rows):
                i = engine.step(rows, i)
                commands, _ = engine.take()
                if len(commands):
                    conn.send_commands(commands, now_ns)
        if engine.head["next_timer"] <= now_ns:
            engine.fire_timers(now_ns + 1)
            commands, _ = engine.take()
            if len(commands):
                conn.send_commands(commands, now_ns)


def fills_of(rows: np.ndarray, end_ns: int) -> list[tuple[int, ...]]:
    kept = rows[(rows["kind"] == FILL) & (rows["ts_recv"] <= end_ns)]
    return [
        tuple(int(row[f]) for f in ("ts_exch", "ts_recv", "id", "side", "px", "qty", "arg0", "reason")) for row in kept
    ]


RULES = {
    "constant": VenueRules(latency=Latency.both(60.0), fees=Fees(maker=1, taker=4)),
    "lognormal": VenueRules(
        latency=Latency(
            **{
                leg: Lognormal(median_ms=20.0, sigma=0.4, floor_ms=40.0, seed=i)
                for i, leg in enumerate(("new", "amend", "cancel", "response", "fill"), 5)
            }
        ),
        fees=Fees(maker=-0.5, taker=3),
        consume=True,
        queue="log",
    ),
    "slow orders, fast answers": VenueRules(
        latency=Latency(
            new=Constant(5.0), amend=Constant(2.0), cancel=Constant(1.0), response=Constant(50.0), fill=Constant(45.0)
        )
    ),
}


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    from tercel.cli.main import run

    path = tmp_path_factory.mktemp("paper") / "market.tape"
    assert run(["simulate", str(path), "--duration", "30s", "--seed", "11"]) == 0
    return tc.Tape.open(path)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("make", [lambda: Quoter(qty=0.02, position_max=0.1), lambda: ImbalanceScalper(qty=0.02)])
def test_a_tape_through_the_live_path_fills_as_in_a_backtest(tape, name, make):
    rules = RULES[name]
    expected = tc.Backtest(make(), tape, rules=rules)
    log = expected.run().log
    engine = Engine(tape.instruments, [make()])
    rows = play(engine, PaperConnection(TapeSource.of(tape), rules), expected.start_ns, tape.meta.end_ns)
    ours, theirs = fills_of(rows, tape.meta.end_ns), fills_of(log.events, tape.meta.end_ns)
    assert len(theirs) > 10
    assert ours == theirs


def test_the_public_capture_fills_as_in_a_backtest(data_dir, tmp_path):
    tape = tc.import_capture(
        data_dir / "binance" / "usdm_btcusdt_20240808.gz", tmp_path / "b.tape", tick=0.1, lot=0.001
    )
    rules = VenueRules(latency=Latency.both(400.0), fees=Fees(maker=1, taker=4))
    made = {"qty": 0.02, "position_max": 0.1}
    expected = tc.Backtest(Quoter(**made), tape, rules=rules)
    log = expected.run().log
    engine = Engine(tape.instruments, [Quoter(**made)])
    rows = play(engine, PaperConnection(TapeSource.of(tape), rules), expected.start_ns, tape.meta.end_ns)
    theirs = fills_of(log.events, tape.meta.end_ns)
    assert len(theirs) > 5
    assert fills_of(rows, tape.meta.end_ns) == theirs


class Source(TapeSource):
    """Rows put in by hand."""

    def __init__(self, numbers=(0,)):
        super().__init__("by hand", dict.fromkeys(numbers, BTC), [])
        self.live = True

    def open(self, now_ns: int) -> None:
        self.is_live = self.live

    def put(self, *rows: tuple[int, int, int, int], at_ns: int, ts_ns: int | None = None, instrument: int = 0) -> None:
        """(kind, side, px, qty) each, stamped `ts_ns` by the venue."""
        for kind, side, px, qty in rows:
            ts = at_ns if ts_ns is None else ts_ns
            self.rows.add(kind, instrument, ts, at_ns, side=side, px=px, qty=qty, flags=LOCAL | LAST)


def command(
    kind: int, id: int, side: int = BUY, px: int = 0, qty: int = 0, tif: int = 0, instrument: int = 0, ts: int = 0
):
    made = np.zeros(1, COMMAND)
    for name, value in (("kind", kind), ("id", id), ("side", side), ("px", px), ("qty", qty), ("tif", tif)):
        made[name] = value
    made["type"], made["instrument"] = LIMIT, instrument
    return made


def send(conn, commands: np.ndarray, now_ns: int) -> None:
    commands["ts"] = now_ns
    conn.send_commands(commands, now_ns)


def taken(conn) -> list[tuple[int, ...]]:
    rows = conn.rows.filled()
    got = [tuple(int(row[f]) for f in ("kind", "id", "px", "qty", "ts_recv")) for row in rows if row["kind"] >= ACK]
    conn.rows.clear()
    return got


def run_to(conn, now_ns: int) -> list[tuple[int, ...]]:
    got = []
    while conn.next_wake_ns <= now_ns:
        conn.on_wake(conn.next_wake_ns)
        got += taken(conn)
    conn.on_wake(now_ns)
    return got + taken(conn)


def on_paper(latency_ms: float = 10.0, numbers=(0,), **kwargs) -> tuple[Source, PaperConnection]:
    source = Source(numbers)
    conn = PaperConnection(source, VenueRules(latency=Latency.both(latency_ms), fees=Fees(taker=4)), **kwargs)
    conn.open(1)
    return source, conn


def market(source: Source, conn, at_ns: int, *rows, **where) -> None:
    source.put(*rows, at_ns=at_ns, **where)
    conn.on_message("market", b"", at_ns)


def test_an_order_takes_what_the_book_shows_when_it_arrives():
    source, conn = on_paper()
    market(source, conn, 1 * MS, (LEVEL, BUY, 99, 5), (LEVEL, SELL, 101, 5))
    conn.rows.clear()
    send(conn, command(NEW, 7, BUY, 101, 3, IOC), 2 * MS)
    market(source, conn, 5 * MS, (LEVEL, SELL, 100, 1))  # while the order travels
    conn.rows.clear()
    assert run_to(conn, 21 * MS) == []
    assert run_to(conn, 22 * MS) == [(ACK, 7, 101, 3, 22 * MS), (FILL, 7, 100, 1, 22 * MS), (FILL, 7, 101, 2, 22 * MS)]
    assert conn.next_wake_ns == NEVER


@pytest.mark.parametrize("skew_ms", [-3_600_000, -500, -5, 0, 500, 3_600_000])
def test_a_wrong_clock_of_the_venue_delays_nothing(skew_ms):
    source, conn = on_paper()
    market(source, conn, 100 * MS, (LEVEL, SELL, 101, 5), ts_ns=(100 + skew_ms) * MS)
    conn.rows.clear()
    send(conn, command(NEW, 7, BUY, 101, 3, IOC), 101 * MS)
    market(source, conn, 115 * MS, (LEVEL, SELL, 101, 0), ts_ns=(115 + skew_ms) * MS)
    conn.rows.clear()
    kinds = [(kind, at) for kind, _, _, _, at in run_to(conn, 200 * MS)]
    assert kinds[0] == (ACK, 121 * MS)
    assert kinds[1][1] == 121 * MS


def test_without_latency_answers_come_at_once():
    source, conn = on_paper(0.0)
    market(source, conn, 5, (LEVEL, SELL, 101, 5))
    conn.rows.clear()
    send(conn, command(NEW, 7, BUY, 101, 3, IOC), 5)
    assert run_to(conn, 6) == [(ACK, 7, 101, 3, 6), (FILL, 7, 101, 3, 6)]


def test_orders_are_refused_while_the_market_is_out_of_step():
    source, conn = on_paper()
    source.live = False
    source.open(1)
    market(source, conn, 1 * MS, (LEVEL, SELL, 101, 5))
    conn.rows.clear()
    send(conn, command(NEW, 7, BUY, 101, 3), 2 * MS)
    assert conn.rows.filled()["reason"].tolist() == [VENUE_DOWN]
    assert taken(conn) == [(REJECT, 7, 101, 3, 2 * MS)]


def test_cancel_all_ends_every_order_also_those_on_their_way():
    source, conn = on_paper()
    market(source, conn, 1 * MS, (LEVEL, BUY, 99, 5), (LEVEL, SELL, 101, 5))
    conn.rows.clear()
    send(conn, command(NEW, 7, BUY, 98, 3), 2 * MS)
    assert run_to(conn, 40 * MS) == [(ACK, 7, 98, 3, 22 * MS)]
    send(conn, np.concatenate([command(NEW, 8, SELL, 102, 2), command(CANCEL_ALL, 0)]), 50 * MS)
    ended = run_to(conn, 90 * MS)
    assert [(kind, id) for kind, id, *_ in ended] == [(ACK, 8), (CANCELED, 7), (CANCELED, 8)]
    assert {at for *_, at in ended} == {70 * MS}


def test_a_report_tells_what_the_venue_knows_after_everything_sent_before():
    source, conn = on_paper(run=3)
    market(source, conn, 1 * MS, (LEVEL, BUY, 99, 5), (LEVEL, SELL, 101, 5))
    conn.rows.clear()
    send(conn, np.concatenate([command(NEW, 7, BUY, 101, 3, IOC), command(NEW, 8, BUY, 98, 4)]), 2 * MS)
    conn.ask_report([0], [7, 8, 9], 0, 3 * MS)
    got = run_to(conn, 100 * MS)
    assert [(kind, id) for kind, id, *_ in got] == [(ACK, 7), (FILL, 7), (ACK, 8)]
    (report,) = conn.reports
    assert [(o.id, o.status, o.filled) for o in report.orders] == [(7, FILL, 3), (8, ACK, 0), (9, CANCELED, 0)]
    assert [(o.id, o.px, o.qty) for o in report.open_orders] == [(8, 98, 4)]
    (execution,) = report.executions
    assert (execution.id, execution.qty, execution.px, execution.execution_id >> 32) == (7, 3, 101, 3)
    assert report.positions == {0: 3}


def test_instruments_keep_the_numbers_of_the_engine():
    source, conn = on_paper(numbers=(2, 5), positions={5: -4})
    market(source, conn, 1 * MS, (LEVEL, SELL, 101, 5), instrument=5)
    market(source, conn, 1 * MS, (LEVEL, SELL, 201, 5), instrument=2)
    assert conn.rows.filled()["instrument"].tolist() == [5, 2]
    conn.rows.clear()
    send(conn, command(NEW, 7, BUY, 101, 3, IOC, instrument=5), 2 * MS)
    conn.on_wake(22 * MS)
    assert conn.rows.filled()["instrument"].tolist() == [5, 5]
    assert taken(conn)[1] == (FILL, 7, 101, 3, 22 * MS)
    conn.ask_report([2, 5], [], 0, 30 * MS)
    run_to(conn, 90 * MS)
    assert conn.reports[0].positions == {2: 0, 5: -1}


def test_quotes_and_trades_fill_where_there_is_no_book():
    source, conn = on_paper()
    source.rows.add(QUOTE, 0, 1 * MS, 1 * MS, px=99, qty=2, arg0=101, arg1=2, flags=LOCAL | LAST)
    conn.on_message("market", b"", 1 * MS)
    conn.rows.clear()
    send(conn, command(NEW, 7, BUY, 99, 3), 2 * MS)
    run_to(conn, 40 * MS)
    market(source, conn, 50 * MS, (TRADE, SELL, 98, 1))
    conn.rows.clear()
    assert run_to(conn, 60 * MS) == [(FILL, 7, 99, 3, 60 * MS)]


def test_fifo_is_refused():
    with pytest.raises(tc.TercelError, match="fifo"):
        PaperConnection(Source(), VenueRules(queue="fifo"))
