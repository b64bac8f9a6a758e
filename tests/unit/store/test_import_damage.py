"""Any bytes as a file to import: a tape comes of it, or an error that names the file, and nothing is left behind."""

from __future__ import annotations

import gzip
import io
import lzma
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from conftest import Stream
from reference.damaged_bytes import mutate, n_inputs, quick_directory
from tercel.errors import TercelError
from tercel.store.imports import import_capture

MUTATIONS = n_inputs(800)
ORDERS = "\n".join(
    f'14304384{k:05d} order_{what} {{"price": "{px}", "amount": "{qty}", "datetime": "1430438404", "id": {number}, '
    f'"order_type": {side}}}'
    for k, (what, number, px, qty, side) in enumerate(
        [
            ("created", 1, "236.47", "2.00000000", 0), ("created", 2, "236.60", "1.00000000", 1),
            ("created", 3, "236.40", "0.50000000", 1), ("changed", 1, "236.47", "1.50000000", 0),
            ("deleted", 3, "236.40", "0.00000000", 1), ("deleted", 2, "236.60", "1.00000000", 1),
        ]
    )
)  # fmt: skip
BOOK = '\n1430438400010 order_book {"bids": [["236.47", "1.50000000"]], "asks": []}\n'
TRADE = '1430438400011 trade {"price": 236.47, "amount": 0.5, "id": 77}\n'
CSV = {
    "bars": "0,10.0,12.5,9.5,11.0,3\n60000,11.0,11.5,10.5,11.0,4\n120000,11.0,11.0,11.0,11.0,0\n",
    "trades": "time,price,size,side,id\n1522800000000,10.5,1,buy,1\n1522800000001,10.6,2,sell,2\n",
    "quotes": "time,bid,ask,bid_size,ask_size\n2018-04-04T00:00:00Z,10,11,1,2\n2018-04-04T00:00:01Z,10,12,1,2\n",
}
#: What somebody may write where a number or a text belongs.
SPARE = [
    b"NaN", b"-1", b"1e400", b"1e-400", b"Infinity", b"9" * 400, b"9223372036854775808", b"null", b"[]", b"{}", b'""',
    b"\x00", b"true", b"-0", b"0.0000000000000000000001", b"[[[[[[[[", b'"\\ud800"',
    b"[" * 20_000,
]  # fmt: skip


def packed(text: bytes, how: int) -> bytes:
    """The file as it may come."""
    if how == 1:
        return gzip.compress(text, mtime=0)
    if how == 2:
        return lzma.compress(text)
    if how == 3:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", text)
        return made.getvalue()
    return text


def corpora() -> list[bytes]:
    stream = Stream()
    stream.depth([["99.0", "1.000"]], [["101.0", "1.500"]])
    stream.depth([["99.5", "2.000"], ["90.0", "0.500"]], [])
    stream.snapshot(115, [["99.5", "2.000"], ["99.0", "1.000"]], [["100.5", "3.000"], ["101.0", "1.500"]])
    stream.depth([], [["100.5", "0.000"]])
    stream.trade("101.0", "0.250")
    stream.ticker("99.5", "101.0")
    log = ORDERS + BOOK + TRADE
    return [text.encode() for text in ("\n".join(stream.lines) + "\n", log, *CSV.values())]


def damaged(rng: random.Random, texts: list[bytes]) -> bytes:
    """Damaged bytes, or a file in order that says something else."""
    text = bytearray(rng.choice(texts))
    how = rng.randrange(8)
    if how < 4:
        for _ in range(rng.choice((1, 1, 2))):
            mutate(text, rng)
    elif how < 6:
        # A value for a value.
        digits = [i for i, byte in enumerate(text) if 48 <= byte <= 57]
        at = rng.choice(digits)
        end = at
        while end < len(text) and text[end] in b"0123456789.":
            end += 1
        text[at:end] = rng.choice(SPARE)
    else:
        lines = bytes(text).split(b"\n")
        rng.shuffle(lines)
        text = bytearray(b"\n".join(lines[: rng.randrange(1, len(lines) + 1)]))
    made = bytearray(packed(bytes(text), rng.choice((0, 0, 0, 1, 2, 3))))
    if how == 0:
        mutate(made, rng)
    return bytes(made)


@pytest.mark.fuzz
def test_whatever_is_imported_a_tape_comes_of_it_or_a_named_error():
    rng = random.Random(31)
    texts = corpora()
    n_read = n_refused = 0
    unclear: list[str] = []
    with quick_directory() as folder:
        source = folder / "20180404_x.csv"
        for k in range(MUTATIONS):
            source.write_bytes(damaged(rng, texts))
            grid = {"tick": "0.01", "lot": "0.00000001"} if rng.random() < 0.5 else {}
            bad, gap = rng.choice(("stop", "skip")), rng.choice(("stop", "continue"))
            try:
                tape = import_capture(source, folder / "out.tape", on_bad_line=bad, on_gap=gap, **grid)
                rows = tape.received()
            except TercelError as error:
                n_refused += 1
                unclear += [] if "20180404_x.csv" in str(error) and len(str(error)) < 2_000 else [f"{k}: {error}"]
                assert left(folder) == {source.name}
                continue
            n_read += 1
            assert np.all(np.diff(rows["ts_recv"]) >= 0)
            assert rows["qty"].min(initial=0) >= 0
            tape.path.unlink()
    assert unclear == []
    assert min(n_read, n_refused) > MUTATIONS // 10


def left(folder: Path) -> set[str]:
    """What stands in the folder."""
    return {path.name for path in folder.iterdir()}
