"""A tape as the venue's market: its depth and trades are published, clients' orders fill by the simulated rules."""

from __future__ import annotations

from decimal import Decimal

import pytest

from reference.venue_client import START_NS, Client, pass_time
from tercel.errors import ConfigError
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.symbols import tape_symbols
from tercel.localvenue.venue import LocalVenue, VenueSetup
from tercel.model.instrument import Instrument
from tercel.sim.market import MarketModel, market_chunks
from tercel.store.tape import Tape
from tercel.store.writing import write_tape


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    path = tmp_path_factory.mktemp("tape") / "btc.tape"
    instrument = Instrument(symbol="BTCUSDT", tick_size=Decimal("0.01"), lot_size=Decimal("0.001"))
    write_tape(
        path, market_chunks(MarketModel(), 4, duration_s=30.0), [instrument], source="a test", format="simulated"
    )
    return Tape.open(path)


@pytest.fixture
def venue(tape):
    found = LocalVenue(VenueSetup(limits=LimitRules.none(), speed=10.0), tape)
    found.start(START_NS)
    return found


def best(client):
    book = client.rest("GET", "/api/v3/depth", False, symbol="BTCUSDT", limit=5)[2]
    return book["bids"][0], book["asks"][0]


def test_the_tape_s_market_is_the_venue_s(venue, tape):
    client = Client(venue)
    bid, ask = best(client)
    assert float(bid[0]) < float(ask[0])
    pass_time(venue, 4.0)
    rows = tape.rows()
    trades = rows[rows["kind"] == 3]
    place = venue.markets["BTCUSDT"].place
    assert place.is_over
    told = client.rest("GET", "/api/v3/trades", False, symbol="BTCUSDT", limit=1000)[2]
    expected = [str(Decimal(int(px)) / 100) for px in trades["px"][-len(told) :]]
    assert [Decimal(t["price"]) for t in told] == [Decimal(px) for px in expected]
    minutes = client.rest("GET", "/api/v3/klines", False, symbol="BTCUSDT", interval="1m")[2]
    assert sum(Decimal(candle[5]) for candle in minutes) == Decimal(int(trades["qty"].sum())) / 1000


def test_orders_take_rest_and_fill(venue):
    client = Client(venue)
    bid, ask = best(client)
    done = client.order("BUY", ask[1], ask[0], timeInForce="IOC")
    assert done["status"] == "FILLED"
    assert float(best(client)[1][0]) > float(ask[0]), "what was taken is gone from the book"
    resting = client.order("SELL", "0.1", ask[0])
    assert resting["status"] == "NEW"
    far = client.order("BUY", "1", "90.00")
    assert client.rest("PUT", "/api/v3/order/amend/keepPriority", symbol="BTCUSDT", orderId=far["orderId"],
                       newQty="0.5")[0] == 200  # fmt: skip
    maker = client.order("BUY", "1", ask[0], type="LIMIT_MAKER")
    assert "orderId" in maker or maker["code"] == -2010
    pass_time(venue, 3.5)
    found = client.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=resting["orderId"])[2]
    assert found["status"] in ("NEW", "FILLED", "PARTIALLY_FILLED")
    client.rest("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    assert not venue.desk.open
    assert venue.bank.imbalance() == {}
    assert float(bid[0]) > 0


def test_passive_orders_on_both_sides_fill_on_the_way(venue):
    client = Client(venue)
    bid, ask = best(client)
    placed = [client.order("BUY", "0.1", bid[0]), client.order("SELL", "0.1", ask[0])]
    pass_time(venue, 4.0)
    status = [client.rest("GET", "/api/v3/order", symbol="BTCUSDT", orderId=o["orderId"])[2]["status"] for o in placed]
    assert "FILLED" in status, "thirty seconds of tape reached neither best price"
    mine = client.rest("GET", "/api/v3/myTrades", symbol="BTCUSDT")[2]
    assert all(t["isMaker"] for t in mine)
    assert venue.bank.imbalance() == {}


def test_what_a_tape_does_not_have(tape):
    with pytest.raises(ConfigError, match="it has BTCUSDT"):
        tape_symbols(tape.instruments, ["ETHUSDT"])
    fine = Instrument(symbol="BTCUSD", tick_size=Decimal("0.01"), lot_size=Decimal("0.00000001"))
    (rules,) = tape_symbols([fine])
    assert rules.instrument.lot_size == Decimal("0.000001")
