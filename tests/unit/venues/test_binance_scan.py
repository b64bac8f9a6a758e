"""The compiled scanner against msgspec: the captured markets, hand-made text, and mutations of both."""

from __future__ import annotations

import gzip
import random

import numpy as np
import pytest
from venue_cases import T0_NS, VENUES, BinanceCase

from reference.damaged_bytes import n_inputs
from tercel.errors import DataError, UnitError
from tercel.model.events import EXCH, LEVEL, QUOTE, TRADE
from tercel.model.instrument import Instrument
from tercel.model.rowbuffer import RowBuffer
from tercel.venues.binance.lexing import symbol_number
from tercel.venues.binance.market import MarketFeed

GRIDS = {"spot": ("0.01", "0.000001"), "usdm": ("0.1", "0.001")}
N_FUZZ = n_inputs(6_000)


def instrument(market: str, symbol: str = "BTCUSDT", grid: tuple[str, str] | None = None) -> Instrument:
    tick, lot = grid or GRIDS[market]
    kind = "spot" if market == "spot" else "linear"
    return Instrument(symbol=symbol, tick_size=tick, lot_size=lot, kind=kind, base="BTC", quote="USDT")


def feed(market: str, scans: bool, instruments: dict[int, Instrument] | None = None) -> MarketFeed:
    made = MarketFeed(instruments or {0: instrument(market)}, RowBuffer(), market == "spot")
    made.uses_scanner = scans
    return made


def capture(data_dir, market: str):
    lines = gzip.decompress((data_dir / "binance" / f"{market}_btcusdt_20240808.gz").read_bytes()).splitlines()
    parts = [line.partition(b" ") for line in lines]
    return [(int(stamp), body) for stamp, _, body in parts]


def is_snapshot(body: bytes) -> bool:
    return body.startswith(b'{"lastUpdateId"')


def play(messages, made: MarketFeed) -> np.ndarray:
    for now_ns, body in messages:
        if is_snapshot(body):
            assert made.snapshot(0, body, now_ns)
        else:
            made.message(body, now_ns)
    return made.rows.filled()


@pytest.mark.data
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_a_capture_gives_the_rows_that_import_makes(data_dir, tmp_path, monkeypatch, market):
    from tercel.store import binance

    made = []
    rows_of = binance.Block.rows

    def watched(self):
        found = rows_of(self)
        made.append(found[0].copy())
        return found

    monkeypatch.setattr(binance.Block, "rows", watched)
    tick, lot = GRIDS[market]
    path = data_dir / "binance" / f"{market}_btcusdt_20240808.gz"
    binance.import_binance(path, tmp_path / "x.tape", tick=tick, lot=lot, reapply=True)
    imported = np.concatenate(made)
    imported["flags"] &= ~EXCH

    scanning = feed(market, scans=True)
    live = play(capture(data_dir, market), scanning)
    assert live.tobytes() == imported.tobytes()
    assert len(live) == {"spot": 163_894, "usdm": 532_959}[market]
    assert (scanning.n_decoded, scanning.n_gaps, scanning.is_in_step) == (0, 0, True)


@pytest.mark.data
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_scanner_and_oracle_agree_on_the_capture(data_dir, market):
    messages = capture(data_dir, market)[:12_000]
    assert play(messages, feed(market, True)).tobytes() == play(messages, feed(market, False)).tobytes()


def answer(made: MarketFeed, data: bytes, now_ns: int = T0_NS):
    """What a message comes to: its rows, or the kind of error. The state of books counts too."""
    made.rows.clear()
    try:
        made.message(data, now_ns)
    except (DataError, UnitError):
        return "error", made.rows.n
    state = [(s.is_in_step, made._caught_up(i).last, s.n_gaps) for i, s in made.syncs.items()]
    return made.rows.filled().tobytes(), state


def pair(market: str, instruments: dict[int, Instrument] | None = None):
    """A scanning feed and one without, with books in step at id 101."""
    both = feed(market, True, instruments), feed(market, False, instruments)
    case = BinanceCase(market)
    for made in both:
        made.message(case.depth(99, 101, 98, [["60000.0", "1.000"]], []), T0_NS)
        assert made.snapshot(0, case.snapshot(101, [["60000.0", "1.000"]], [["60000.1", "1.000"]]), T0_NS)
        assert made.is_in_step or len(made.syncs) > 1
    return both


def texts(market: str) -> list[bytes]:
    case = BinanceCase(market)
    bids, asks = [["60000.0", "1.000"], ["59999.9", "0"]], [["60000.1", "12.5"], ["61000", "0.000"]]
    return [
        case.depth(102, 102, 101, bids, asks), case.depth(102, 105, 101, [], []), case.depth(102, 102, 101, bids, []),
        case.trade(77, "60000.1", "0.015", True), case.trade(78, "60000.10000000", "0.01500000", False),
        case.quote(103, "60000.0", "1.000", "60000.1", "0.000"), case.depth(104, 104, 103, bids, asks),
        b'{"e":"aggTrade","E":1723161256002,"s":"BTCUSDT","a":5933014,"p":"60000.1","q":"100.000","f":100,"l":105,'
        b'"T":1723161256001,"m":true,"M":true}',
        b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1723161256002,"a":26129,"s":"BTCUSDT","p":"60000.1",'
        b'"q":"0.003","nq":"0.003","f":27781,"l":27781,"T":1723161256001,"m":false}}',
    ]  # fmt: skip


TWISTS = {
    "exponent": (b'"60000.0"', b'"6e4"'),
    "exponent beyond decimals": (b'"60000.0"', b'"1e999999"'),
    "size beyond decimals": (b'"1.000"', b'"1e999999"'),
    "ids going back": (b'"u":102', b'"u":100'),
    "two streams in one name": (b"btcusdt@", b"btcusdt@t@"),
    "plus": (b'"60000.0"', b'"+60000.0"'),
    "minus": (b'"60000.0"', b'"-60000.0"'),
    "no digits before the point": (b'"60000.0"', b'".5"'),
    "no digits after the point": (b'"60000.0"', b'"60000."'),
    "leading zeros": (b'"60000.0"', b'"00060000.0"'),
    "off the tick": (b'"60000.0"', b'"60000.04"'),
    "off the lot": (b'"1.000"', b'"1.0004"'),
    "more zeros": (b'"60000.0"', b'"60000.000000000000000000000"'),
    "beyond 64 bits": (b'"1.000"', b'"9223372036854775807000"'),
    "zero price": (b'"60000.0"', b'"0.0"'),
    "a number unquoted": (b'"60000.0"', b"60000.0"),
    "escaped": (b'"BTCUSDT"', b'"BTC\\u0055SDT"'),
    "other symbol": (b'"BTCUSDT"', b'"BTCUSDC"'),
    "longer symbol": (b'"BTCUSDT"', b'"BTCUSDTX"'),
    "blank": (b'"s":', b'"s" : '),
    "key twice": (b'"s":"BTCUSDT"', b'"s":"BTCUSDT","s":"BTCUSDT"'),
    "negative id": (b":102", b":-102"),
    "id with a leading zero": (b":102", b":0102"),
    "id too large": (b":102", b":9223372036854775808"),
    "fraction in an id": (b":102", b":102.0"),
    "null": (b'"b":[', b'"x":null,"b":['),
    "nested": (b'"b":[', b'"x":{"b":[[1]]},"b":['),
    "trailing text": (b"}}", b"}} x"),
    "far in the past": (b"172316125", b"072316125"),
    "new keys": (b'"s":"BTCUSDT"', b'"ps":"BTCUSDT","st":1,"nq":"1.5","s":"BTCUSDT"'),
    "a new key twice": (b'"s":"BTCUSDT"', b'"st":1,"s":"BTCUSDT","st":2'),
    "a new key with an escape in its text": (b'"s":"BTCUSDT"', b'"ps":"A\\"B","s":"BTCUSDT"'),
    "a new key that is a fraction": (b'"s":"BTCUSDT"', b'"st":1.5,"s":"BTCUSDT"'),
    "a new key that is true": (b'"s":"BTCUSDT"', b'"st":true,"s":"BTCUSDT"'),
    "a new key that is a list": (b'"s":"BTCUSDT"', b'"st":[["1","2"]],"s":"BTCUSDT"'),
    "a new key without a value": (b'"s":"BTCUSDT"', b'"st":,"s":"BTCUSDT"'),
    "a new key of three letters": (b'"s":"BTCUSDT"', b'"sty":1,"s":"BTCUSDT"'),
    "an escape in a key": (b'"s":"BTCUSDT"', b'"s\\":1,"x":2,"s":"BTCUSDT"'),
    "a level of three": (b'"1.000"]', b'"1.000","0"]'),
    "a level of one": (b',"1.000"]', b"]"),
}


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("twist", TWISTS)
def test_scanner_and_oracle_agree_on_twists(market, twist):
    old, new = TWISTS[twist]
    n_changed = 0
    for text in texts(market):
        changed = text.replace(old, new)
        n_changed += changed != text
        scanning, plain = pair(market)
        assert answer(scanning, changed) == answer(plain, changed), changed
    assert n_changed > 0


def test_messages_as_the_futures_venue_sends_them_today_are_scanned():
    """Keys that came after the captures: `ps` and `st` of depth, `nq` and `st` of trades, `st` of quotes."""
    head = b'{"stream":"btcusdt@x","data":{'
    made, _ = pair("usdm")
    made.rows.clear()
    n_before = made.n_decoded
    for body in (
        b'"e":"depthUpdate","E":1723161256002,"T":1723161256001,"s":"BTCUSDT","ps":"BTCUSDT","U":102,"u":103,"pu":101,'
        b'"b":[["59999.9","2.000"]],"a":[["60000.2","3.000"]],"st":1}}',
        b'"e":"aggTrade","E":1723161256002,"a":26129,"s":"BTCUSDT","p":"60000.1","q":"0.003","nq":"0.003","f":27781,'
        b'"l":27781,"T":1723161256001,"m":false,"st":1}}',
        b'"e":"bookTicker","u":103,"s":"BTCUSDT","ps":"BTCUSDT","b":"60000.0","B":"1.000","a":"60000.1","A":"1.000",'
        b'"T":1723161256001,"E":1723161256002,"st":1}}',
    ):
        made.message(head + body, T0_NS)
    assert made.rows.filled()["kind"].tolist() == [LEVEL, LEVEL, TRADE, QUOTE]
    assert made.n_decoded == n_before


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_scanner_and_oracle_agree_whole_and_cut(market):
    for text in texts(market):
        for n in range(0, len(text) + 1, 3 if len(text) > 200 else 1):
            scanning, plain = pair(market)
            assert answer(scanning, text[:n]) == answer(plain, text[:n])


@pytest.mark.fuzz
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_fuzz_gives_rows_or_data_errors(market):
    """Mutated messages: both ways agree, and nothing but DataError or UnitError leaves."""
    generator = random.Random(f"binance-{market}-1")
    corpus = texts(market)
    spare = b'{}[]",:.0123456789eE+-\\abdmpqstuTUX \x00\xff'
    scanning, plain = pair(market)
    seen = {"rows": 0, "error": 0}
    for _ in range(N_FUZZ):
        text = bytearray(generator.choice(corpus))
        for _ in range(generator.randint(1, 4)):
            at = generator.randrange(len(text))
            how = generator.random()
            if how < 0.5:
                text[at] = generator.choice(spare)
            elif how < 0.7:
                del text[at : at + generator.randint(1, 6)]
            elif how < 0.9:
                text[at:at] = bytes(generator.choice(spare) for _ in range(generator.randint(1, 4)))
            else:
                other = generator.choice(corpus)
                cut = generator.randrange(len(other))
                text[at:] = other[cut:]
            if not text:
                break
        a, b = answer(scanning, bytes(text)), answer(plain, bytes(text))
        assert a == b, bytes(text)
        seen["error" if a[0] == "error" else "rows"] += 1
        if not all(s.is_in_step for s in scanning.syncs.values()):
            scanning, plain = pair(market)
    assert min(seen.values()) > N_FUZZ // 50


def test_several_instruments_and_odd_grids():
    many = {
        3: instrument("usdm"), 5: instrument("usdm", "1000SHIBUSDT", ("0.000001", "1")),
        9: instrument("usdm", "BTCUSDC", ("0.5", "0.025")),
    }  # fmt: skip
    scanning, plain = pair_of(many)
    text = b'{"e":"trade","E":1723161256002,"T":1723161256001,"s":"%s","t":1,"p":"%s","q":"%s","X":"MARKET","m":true}'
    for symbol, px, qty, expected in (
        (b"1000SHIBUSDT", b"0.012345", b"250", (5, 12345, 250)),
        (b"BTCUSDC", b"60000.50", b"0.075", (9, 120_001, 3)),
        (b"BTCUSDT", b"60000.5", b"0.075", (3, 600_005, 75)),
    ):
        data = text % (symbol, px, qty)
        assert answer(scanning, data)[0] == answer(plain, data)[0]
        (row,) = scanning.rows.filled()
        assert (row["instrument"], row["px"], row["qty"], row["kind"]) == (*expected, TRADE)
    assert scanning.n_scanned == 3
    assert answer(scanning, text % (b"BTCUSDC", b"60000.25", b"0.075"))[0] == "error"


def pair_of(instruments):
    return feed("usdm", True, instruments), feed("usdm", False, instruments)


def test_an_event_that_follows_but_ends_before_it_changes_nothing():
    case = VENUES["binance-usdm"]
    scanning, plain = pair("usdm")
    for made in (scanning, plain):
        made.rows.clear()
        made.message(case.depth(90, 95, 101, [["60000.0", "9.000"]], []), T0_NS)
        assert made.rows.n == 0
        assert made.syncs[0].is_in_step


def test_sizes_off_the_lot_are_cut_down_and_counted():
    case = VENUES["binance-spot"]
    made = feed("spot", True, {0: case.instrument()})
    made.message(case.depth(102, 102, 101, [["60000.0", "1.0019"], ["59999.0", "0.0009"]], []), T0_NS)
    made.message(case.trade(1, "60000.0", "0.0004", True), T0_NS)
    assert [(r["kind"], r["qty"]) for r in made.rows.filled()] == [(LEVEL, 1001), (LEVEL, 0)]
    assert made.decoder.n_off_lot == 3


def test_symbol_numbers_tell_symbols_apart():
    names = [
        f"{base}{quote}" for base in ("BTC", "ETH", "SOL", "1INCH", "A", "AB") for quote in ("USDT", "USDC", "BTC")
    ]
    assert len({symbol_number(name.encode()) for name in names}) == len(names)


def test_a_message_of_any_length_finds_room():
    case = VENUES["binance-usdm"]
    scanning, plain = (feed("usdm", scans, {0: case.instrument()}) for scans in (True, False))
    levels = [[f"{60000 - k * 0.1:.1f}", f"{k}.000"] for k in range(20_000)]
    data = case.depth(102, 102, 101, levels, [])
    for made in (scanning, plain):
        made.message(data, T0_NS)
    assert scanning.rows.filled().tobytes() == plain.rows.filled().tobytes()
    assert scanning.rows.n == 20_000
    assert scanning.n_scanned == 1
