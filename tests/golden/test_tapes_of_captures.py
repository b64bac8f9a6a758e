"""The public captures: counts, clock, order of rows, books and best prices, all as known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.naive_schedule import naive_book
from tercel.model.events import CLEAR, EXCH, LAST, LEVEL, LOCAL, QUOTE
from tercel.store.imports import import_capture
from tercel.store.tape import Tape

pytestmark = pytest.mark.data


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERCEL_CACHE_DIR", str(tmp_path / "cache"))


def take(data_dir: Path, name: str, tmp_path: Path, **options: Any) -> Tape:
    path = data_dir / name
    if not path.is_file():
        pytest.skip(f"{name} is not here")
    return Tape.open(import_capture(path, tmp_path / "out.tape", **options).path)


def book_rows(rows: np.ndarray, side: int) -> list[tuple[int, int, int, int]]:
    """(1 level or 2 clear, side, px, qty) of the rows one side sees."""
    chosen = rows[(rows["flags"] & side != 0) & np.isin(rows["kind"], [LEVEL, CLEAR])]
    kinds = np.where(chosen["kind"] == CLEAR, 2, 1)
    return list(zip(kinds.tolist(), chosen["side"].tolist(), chosen["px"].tolist(), chosen["qty"].tolist()))


def best_at_quotes(tape: Tape, side: int) -> tuple[int, int]:
    """How many quotes have the id of a depth event, and how many of those equal the book right after it."""
    quotes = tape.received()
    quotes = quotes[quotes["kind"] == QUOTE]
    wanted = {int(row["id"]): (row["px"], row["qty"], row["arg0"], row["arg1"]) for row in quotes}
    rows = tape.rows()
    rows = rows[(rows["flags"] & side != 0) & np.isin(rows["kind"], [LEVEL, CLEAR])]
    n_shared = n_equal = 0
    books: dict[int, dict[int, int]] = {1: {}, -1: {}}
    for kind, flags, book_side, px, qty, update in zip(
        *(rows[name].tolist() for name in ("kind", "flags", "side", "px", "qty", "id"))
    ):
        book = books[book_side]
        if kind == CLEAR:
            for price in [p for p in book if px == 0 or (p - px) * book_side >= 0]:
                del book[price]
        elif qty:
            book[px] = qty
        else:
            book.pop(px, None)
        if flags & LAST and update in wanted and books[1] and books[-1]:
            bid, ask = max(books[1]), min(books[-1])
            n_shared += 1
            n_equal += (bid, books[1][bid], ask, books[-1][ask]) == wanted[update]
    return n_shared, n_equal


def test_usdm(data_dir: Path, tmp_path: Path) -> None:
    tape = take(data_dir, "binance/usdm_btcusdt_20240808.gz", tmp_path, tick="0.1", lot="0.001")
    meta = tape.meta
    assert meta.messages == {"depth": 6551, "trade": 21313, "bookTicker": 66089, "snapshot": 1}
    assert meta.channels["depth"] + meta.channels["trades"] == 466_836
    assert meta.channels["quotes"] == 66_089
    assert (meta.clock_correction_ns, meta.n_gaps, meta.skipped) == (1_272_156_851, 0, {})
    assert tuple(tape.counts()) == (441_699, 25_137, 25_137)
    rows = tape.rows()
    assert len(rows) == 491_973
    venue, seen = rows[rows["flags"] & EXCH != 0], rows[rows["flags"] & LOCAL != 0]
    assert np.all(np.diff(venue["ts_exch"]) >= 0)
    assert np.all(np.diff(seen["ts_recv"]) >= 0)
    assert int((seen["ts_recv"] - seen["ts_exch"]).min()) == 0
    for side in (EXCH, LOCAL):
        bids, asks = naive_book(book_rows(rows, side))
        assert (len(bids), len(asks)) == (5019, 4578)
        assert sorted(bids.items())[:-4:-1] == [(616597, 1486), (616590, 2), (616581, 33)]
        assert sorted(asks.items())[:3] == [(616598, 981), (616599, 188), (616600, 7977)]
        assert max(asks.items()) == (6170500, 3)
        # 503 of these quotes arrived before the depth event of the same id, 126 after it.
        assert best_at_quotes(tape, side) == (629, 629)


def test_usdm_grid_is_inferred_and_late_snapshot_restated(data_dir: Path, tmp_path: Path) -> None:
    tape = take(data_dir, "binance/usdm_btcusdt_20240808.gz", tmp_path, reapply=True)
    assert (str(tape.instruments[0].tick_size), str(tape.instruments[0].lot_size)) == ("0.1", "0.001")
    assert tape.meta.grid == "inferred"
    assert tuple(tape.counts()) == (441_699, 25_137, 25_137 + 34)


def test_spot(data_dir: Path, tmp_path: Path) -> None:
    tape = take(data_dir, "binance/spot_btcusdt_20240808.gz", tmp_path, tick="0.01")
    assert tape.meta.messages == {"depth": 3451, "trade": 9757, "bookTicker": 28040, "snapshot": 1}
    assert (tape.meta.clock_correction_ns, tape.meta.n_gaps) == (1_274_761_454, 0)
    assert tape.meta.channels["depth"] + tape.meta.channels["trades"] == 135_849 + 5
    for side in (EXCH, LOCAL):
        bids, asks = naive_book(book_rows(tape.rows(), side))
        assert (len(bids), len(asks), max(bids), min(asks)) == (1209, 2196, 6168599, 6168600)
        assert best_at_quotes(tape, side) == (564, 564)


def test_bitstamp(data_dir: Path, tmp_path: Path) -> None:
    from tercel.store.bitstamp import bitstamp_books

    name = "l3/bitstamp_btcusd_20150501_first_half.log.xz"
    tape = take(data_dir, name, tmp_path)
    assert tape.meta.messages == {
        "order_created": 12429, "order_changed": 334, "order_deleted": 12440, "trade": 306, "order_book": 2491,
    }  # fmt: skip
    assert tape.meta.channels == {"orders": 25203, "trades": 306, "depth": 24638}
    assert tuple(tape.counts()) == (50147, 0, 0)
    assert tuple(tape.counts(["orders", "trades"])) == (25509, 0, 0)
    books = list(bitstamp_books(data_dir / name))
    assert (len(books), books[0][0], books[-1][0]) == (2491, 6, 25499)
    assert (books[0][1][0].tolist(), books[0][2][0].tolist()) == ([23647, 178855669], [23664, 379520000])


@pytest.mark.parametrize(
    ("name", "kind", "n_rows", "tick", "first", "last_ns"),
    [
        ("bars/crypto_coinbase_daily_btcusd_trade.zip", "bars", 1318, "0.01", (37000, 30000, 37000, 30000),
         1_534_204_800_000_000_000),
        ("bars/crypto_coinbase_minute_btcusd_20180404_trade.zip", "bars", 1007, "0.01",
         (742200, 742491, 742491, 742200), 1_522_860_480_000_000_000),
        ("bars/crypto_coinbase_minute_btcusd_20180405_trade.zip", "bars", 1440, "0.01",
         (677801, 679168, 679168, 677801), 1_522_972_800_000_000_000),
        ("bars/cryptofuture_binance_minute_adausdt_20221213_trade.zip", "bars", 1440, "0.0001",
         (3068, 3067, 3068, 3066), 1_670_976_000_000_000_000),
        ("bars/cryptofuture_binance_minute_btcusd_20221213_trade.zip", "bars", 1439, "0.1",
         (172076, 172040, 172076, 172039), 1_670_976_000_000_000_000),
        ("bars/cryptofuture_binance_minute_adausdt_20221213_quote.zip", "quotes", 1100, "0.0001",
         (3067, 0, 3068, 236586), 1_670_976_000_000_000_000),
        ("bars/cryptofuture_binance_minute_btcusd_20221213_quote.zip", "quotes", 1104, "0.1",
         (172075, 0, 172076, 221), 1_670_976_000_000_000_000),
        ("bars/SP500_NOV2019_IDay.csv.xz", "bars", 1563, "0.01", (308049, 308080, 308147, 308030),
         1_573_246_800_000_000_000),
        ("ticks/forex_oanda_tick_eurusd_20140508_quote.zip", "quotes", 87833, "0.00001", (139101, 0, 139114, 0),
         1_399_593_589_008_000_000),
    ],
)  # fmt: skip
def test_csv_files(
    data_dir: Path, tmp_path: Path, name: str, kind: str, n_rows: int, tick: str, first: tuple[int, ...], last_ns: int
) -> None:
    layout = {"time_format": "%m/%d/%Y %H:%M", "timezone": "America/New_York"} if "SP500" in name else None
    tape = take(data_dir, name, tmp_path, layout=layout)
    assert tape.meta.channels == {kind: n_rows}
    assert f"{tape.instruments[0].tick_size:f}" == tick
    rows = tape.rows()
    assert tuple(rows[["px", "id", "arg0", "arg1"]].tolist()[0]) == first
    assert int(rows["ts_recv"][-1]) == last_ns
