"""The compiled scanner: one market message as bytes to EVENT rows, in one pass, prices and sizes exact.

It knows the three messages that make rows (depthUpdate, trade and aggTrade, bookTicker), bare or in a combined stream's
envelope, in any order of keys as long as those that rows need come before the levels. Whatever else it meets (an
escape, a nested value, an exponent, a key twice, a number off its grid, a symbol it does not know) it does not judge:
it answers UNKNOWN, writes nothing that counts, and `msgspec` decodes the message instead (`decode`), which is also the
oracle of the tests. Kernels; called by `market`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import brief_entry, kernel, record, records
from tercel.model.events import BUY, EVENT, LAST, LEVEL, LOCAL, QUOTE, SELL, TRADE
from tercel.venues.binance.lexing import GRID, LOST, MASK, SCAN, UNKNOWN, is_name, read_decimal, read_text, read_whole

__all__ = ["scan", "scan_message"]

_U1 = np.dtype("u1")
_MS = 1_000_000
#: A venue time further than this from the receipt is damage, not a slow clock.
_SKEW_MAX_NS = 86_400 * 1_000_000_000
_ID_MAX = 1 << 62
_MS_MAX = 9_000_000_000_000
#: Where each name begins in NAMES.
_DEPTH_UPDATE, _TRADE_NAME, _AGG_TRADE, _BOOK_TICKER, _STREAM_KEY, _DATA_KEY, _MARKET = 0, 11, 16, 24, 34, 43, 53
# Bytes by name.
_QUOTE, _COMMA, _COLON, _OPEN, _CLOSE, _LIST, _END, _AT = 34, 44, 58, 123, 125, 91, 93, 64
# Bits of `seen`, one a key.
_E, _EVENT_MS, _EXCH_MS, _S, _FIRST, _LAST, _PREVIOUS = 1, 2, 4, 8, 16, 32, 64
_B, _A, _BIG_B, _BIG_A, _P, _Q, _M, _T, _X, _BIG_M = 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536
#: Keys of two letters: the one that rows need, and any other, whose value is read past.
_PU, _OTHER = 500, 501
_DEPTH_NEEDS = _E | _EVENT_MS | _S | _FIRST | _LAST
_TRADE_NEEDS = _E | _S | _EXCH_MS | _P | _Q | _M
_TICKER_NEEDS = _S | _LAST | _B | _BIG_B | _A | _BIG_A


@kernel
def _levels(scan: Any, b: Any, grid: Any, rows: Any, side: int) -> int:
    """The levels after `[` as LEVEL rows of one side. 0 or UNKNOWN."""
    i = int(scan.at)
    n = int(scan.n)
    i_row = int(scan.n_rows)
    px_digits, px_num = int(grid.px_digits), int(grid.px_num)
    qty_digits, qty_num = int(grid.qty_digits), int(grid.qty_num)
    if i < n and int(b[i]) == _END:
        scan.at = i + 1
        return 0
    while True:
        if i + 2 >= n or int(b[i]) != _LIST or int(b[i + 1]) != _QUOTE:
            return UNKNOWN
        i, px = read_decimal(b, i + 2, n, px_digits, px_num)
        if i < 0 or px == 0 or i + 2 >= n or int(b[i]) != _COMMA or int(b[i + 1]) != _QUOTE:
            return UNKNOWN
        i, qty = read_decimal(b, i + 2, n, qty_digits, qty_num)
        if i < 0 or i + 1 >= n or int(b[i]) != _END:
            return UNKNOWN
        row = rows[i_row]
        row.px = px
        row.qty = qty
        row.side = side
        i_row += 1
        c = int(b[i + 1])
        i += 2
        if c == _END:
            break
        if c != _COMMA:
            return UNKNOWN
    scan.at = i
    scan.n_rows = i_row
    return 0


@kernel
def _price(scan: Any, b: Any, grid: Any) -> int:
    """A quoted price at `at`, past its quote, in ticks and above zero. 0 or UNKNOWN."""
    i, px = read_decimal(b, int(scan.at), int(scan.n), int(grid.px_digits), int(grid.px_num))
    if i < 0 or px == 0:
        return UNKNOWN
    scan.value = px
    scan.at = i
    return 0


@kernel
def _size(scan: Any, b: Any, grid: Any) -> int:
    """A quoted size at `at`, past its quote, in lots. 0 or UNKNOWN."""
    i, qty = read_decimal(b, int(scan.at), int(scan.n), int(grid.qty_digits), int(grid.qty_num))
    if i < 0:
        return UNKNOWN
    scan.value = qty
    scan.at = i
    return 0


@kernel
def _symbol(scan: Any, b: Any, grids: Any, n_grids: int) -> int:
    """Find the instrument of the string just read. 0 or UNKNOWN."""
    number = 0
    start, length = int(scan.start), int(scan.length)
    for i in range(start, start + length):
        number = ((number << 5) ^ (number >> 20) ^ int(b[i])) & MASK
    for i_grid in range(n_grids):
        grid = grids[i_grid]
        if grid.key == number and grid.n_name == length:
            same = True
            for i in range(length):
                same = same and int(grid.name[i]) == int(b[start + i])
            if same:
                scan.i_grid = i_grid
                return 0
    return UNKNOWN


@kernel
def _event_name(scan: Any, b: Any) -> int:
    """The event type just read into `kind`. 0 or UNKNOWN. Only the names that make rows are told apart."""
    start, length = int(scan.start), int(scan.length)
    if length == 11 and is_name(scan, b, start, 11, _DEPTH_UPDATE):
        scan.kind = LEVEL
    elif length == 5 and is_name(scan, b, start, 5, _TRADE_NAME):
        scan.kind = TRADE
    elif length == 8 and is_name(scan, b, start, 8, _AGG_TRADE):
        scan.kind = TRADE
        scan.is_agg = 1
    elif length == 10 and is_name(scan, b, start, 10, _BOOK_TICKER):
        scan.kind = QUOTE
    else:
        return UNKNOWN
    return 0


@kernel
def _mark(scan: Any, bit: int) -> int:
    """Note a key; UNKNOWN where it comes a second time."""
    if scan.seen & bit != 0:
        return UNKNOWN
    scan.seen |= bit
    return 0


@kernel
def _quoted_value(scan: Any, b: Any, key: int, grids: Any, n_grids: int) -> int:
    """The value of `key`, a string, `at` past its quote. 0 or UNKNOWN."""
    if key == _OTHER:
        return read_text(scan, b)
    if key == 101 or key == 115 or key == 88:  # e, s, X
        if read_text(scan, b) != 0:
            return UNKNOWN
        if key == 101:
            return UNKNOWN if _mark(scan, _E) != 0 else _event_name(scan, b)
        if key == 115:
            return UNKNOWN if _mark(scan, _S) != 0 else _symbol(scan, b, grids, n_grids)
        # Trades of the insurance fund and of forced deleveraging are no market trades: left to the oracle.
        is_market = scan.length == 6 and is_name(scan, b, int(scan.start), 6, _MARKET)
        return _mark(scan, _X) if is_market else UNKNOWN
    if scan.seen & _S == 0:
        return UNKNOWN
    grid = grids[scan.i_grid]
    if key == 112 or key == 98 or key == 97:  # p, b, a
        if _price(scan, b, grid) != 0:
            return UNKNOWN
        if key == 97:
            scan.px2 = scan.value
            return _mark(scan, _A)
        scan.px = scan.value
        return _mark(scan, _P if key == 112 else _B)
    if key == 113 or key == 66 or key == 65:  # q, B, A
        if _size(scan, b, grid) != 0:
            return UNKNOWN
        if key == 65:
            scan.qty2 = scan.value
            return _mark(scan, _BIG_A)
        scan.qty = scan.value
        return _mark(scan, _Q if key == 113 else _BIG_B)
    return UNKNOWN


@kernel
def _number_value(scan: Any, b: Any, key: int, is_agg: bool) -> int:
    """The value of `key`, a whole number. 0 or UNKNOWN. Keys 102 (f) and 108 (l) of aggTrade are read past."""
    if read_whole(scan, b) != 0:
        return UNKNOWN
    if key == _OTHER:
        return 0
    value = int(scan.value)
    if key == 69 or key == 84:  # E, T
        if value > _MS_MAX:
            return UNKNOWN
        if key == 69:
            scan.event_ms = value
            return _mark(scan, _EVENT_MS)
        scan.exch_ms = value
        return _mark(scan, _EXCH_MS)
    if value > _ID_MAX:
        return UNKNOWN
    if key == 85:  # U
        scan.first = value
        return _mark(scan, _FIRST)
    if key == 117:  # u
        scan.last = value
        return _mark(scan, _LAST)
    if key == _PU:
        scan.previous = value
        return _mark(scan, _PREVIOUS)
    if key == 116 or (key == 97 and is_agg):  # t, a
        scan.id = value
        return _mark(scan, _T)
    return 0 if is_agg and (key == 102 or key == 108) else UNKNOWN


@kernel
def _flag_value(scan: Any, b: Any, key: int) -> int:
    """The value of `m` or `M`, true or false. 0 or UNKNOWN."""
    i = int(scan.at)
    if i + 4 >= scan.n:
        return UNKNOWN
    is_true = int(b[i]) == 116 and int(b[i + 1]) == 114 and int(b[i + 2]) == 117 and int(b[i + 3]) == 101
    is_false = int(b[i]) == 102 and int(b[i + 1]) == 97 and int(b[i + 2]) == 108 and int(b[i + 3]) == 115
    is_false = is_false and int(b[i + 4]) == 101
    if is_true:
        scan.at = i + 4
    elif is_false:
        scan.at = i + 5
    else:
        return UNKNOWN
    if key == 109:  # m: the buyer rested, so the seller took
        scan.side = SELL if is_true else BUY
        return _mark(scan, _M)
    return _mark(scan, _BIG_M) if key == 77 else UNKNOWN


@kernel
def _level_list(scan: Any, b: Any, key: int, grids: Any, rows: Any) -> int:
    """The levels of `b` or `a`; everything their rows need must have come before, and b before a. 0 or UNKNOWN."""
    if scan.kind != LEVEL or scan.seen & _DEPTH_NEEDS != _DEPTH_NEEDS:
        return UNKNOWN
    if key == 98:
        return UNKNOWN if _mark(scan, _B) != 0 else _levels(scan, b, grids[scan.i_grid], rows, BUY)
    if key == 97 and scan.seen & _B != 0:
        return UNKNOWN if _mark(scan, _A) != 0 else _levels(scan, b, grids[scan.i_grid], rows, SELL)
    return UNKNOWN


@kernel
def _message(scan: Any, b: Any, grids: Any, n_grids: int, rows: Any) -> int:
    """The message's own object, `at` past its brace, to past its closing brace. 0 or UNKNOWN."""
    n = int(scan.n)
    while True:
        i = int(scan.at)
        if i + 4 >= n or int(b[i]) != _QUOTE:
            return UNKNOWN
        key = int(b[i + 1])
        i += 2
        c = int(b[i])
        if c != _QUOTE:
            # The venue adds such keys now and then (ps, st, nq); what rows need has names of one letter, and pu.
            if c < 97 or c > 122:
                return UNKNOWN
            key = _PU if key == 112 and c == 117 else _OTHER
            i += 1
        if i + 2 >= n or int(b[i]) != _QUOTE or int(b[i + 1]) != _COLON:
            return UNKNOWN
        i += 2
        c = int(b[i])
        if c == _QUOTE:
            scan.at = i + 1
            status = _quoted_value(scan, b, key, grids, n_grids)
        elif c == _LIST:
            scan.at = i + 1
            status = _level_list(scan, b, key, grids, rows)
        elif c == 116 or c == 102:
            scan.at = i
            status = _flag_value(scan, b, key)
        else:
            scan.at = i
            status = _number_value(scan, b, key, scan.is_agg == 1)
        i = int(scan.at)
        if status != 0 or i >= n:
            return UNKNOWN
        c = int(b[i])
        scan.at = i + 1
        if c == _CLOSE:
            return 0
        if c != _COMMA:
            return UNKNOWN


@kernel
def _envelope(scan: Any, b: Any) -> int:
    """Past `{"stream":"...","data":{`, or past `{` of a bare message. 1 with an envelope, 0 without, UNKNOWN."""
    n = int(scan.n)
    if n < 16 or int(b[0]) != _OPEN:
        return UNKNOWN
    # A bare message begins with a key of one letter; an envelope with "stream".
    if int(b[3]) == _QUOTE:
        scan.at = 1
        return 0
    if not is_name(scan, b, 1, 9, _STREAM_KEY) or int(b[10]) != _QUOTE:
        return UNKNOWN
    scan.at = 11
    if read_text(scan, b) != 0:
        return UNKNOWN
    # _DATA_KEY begins with the closing quote that was read.
    i = int(scan.at) - 1
    if i + 10 >= n or not is_name(scan, b, i, 10, _DATA_KEY):
        return UNKNOWN
    # Spot's bookTicker names its event in the stream alone.
    if scan.length > 11 and int(b[i - 11]) == _AT and is_name(scan, b, i - 10, 10, _BOOK_TICKER):
        scan.kind = QUOTE
        for j in range(int(scan.start), i - 11):
            if int(b[j]) == _AT:
                return UNKNOWN
    scan.at = i + 10
    return 1


@kernel
def _finish_depth(scan: Any, grid: Any, rows: Any, now_ns: int, is_spot: bool) -> int:
    """Fill what every row of a depth event shares; decide whether it follows the one before."""
    if scan.seen & (_DEPTH_NEEDS | _B | _A) != (_DEPTH_NEEDS | _B | _A) or scan.last < scan.first:
        return UNKNOWN
    if (scan.seen & _PREVIOUS == 0) != is_spot:
        return UNKNOWN
    if scan.seen & ~(_DEPTH_NEEDS | _B | _A | _PREVIOUS | _EXCH_MS) != 0:
        return UNKNOWN
    ts = (scan.exch_ms if scan.exch_ms > 0 else scan.event_ms) * _MS
    if ts > now_ns + _SKEW_MAX_NS or ts < now_ns - _SKEW_MAX_NS:
        return UNKNOWN
    n_rows = int(scan.n_rows)
    for i in range(n_rows):
        row = rows[i]
        row.ts_exch = ts
        row.ts_recv = now_ns
        row.id = scan.last
        row.arg0 = 0
        row.arg1 = 0
        row.kind = LEVEL
        row.reason = 0
        row.flags = LOCAL
        row.instrument = grid.instrument
    if n_rows > 0:
        rows[n_rows - 1].flags = LOCAL | LAST
    follows = scan.first == grid.last + 1 if is_spot else scan.previous == grid.last
    if grid.in_step == 0 or not follows or scan.last <= grid.last:
        return LOST
    grid.last = scan.last
    return n_rows


@kernel
def _finish_one(scan: Any, grid: Any, rows: Any, now_ns: int) -> int:
    """The one row of a trade or a bookTicker. 1 or UNKNOWN."""
    ts = scan.exch_ms * _MS if scan.exch_ms > 0 or scan.kind == TRADE else now_ns
    if ts > now_ns + _SKEW_MAX_NS or ts < now_ns - _SKEW_MAX_NS:
        return UNKNOWN
    row = rows[0]
    row.ts_exch = ts
    row.ts_recv = now_ns
    row.px = scan.px
    row.qty = scan.qty
    row.kind = scan.kind
    row.reason = 0
    row.flags = LOCAL | LAST
    row.instrument = grid.instrument
    if scan.kind == TRADE:
        allowed = _TRADE_NEEDS | _T | _EVENT_MS | _BIG_M | _X
        if scan.seen & (_TRADE_NEEDS | _T) != (_TRADE_NEEDS | _T) or scan.seen & ~allowed != 0 or scan.qty == 0:
            return UNKNOWN
        row.id = scan.id
        row.arg0 = 0
        row.arg1 = 0
        row.side = scan.side
        return 1
    allowed = _TICKER_NEEDS | _E | _EVENT_MS | _EXCH_MS
    if scan.seen & _TICKER_NEEDS != _TICKER_NEEDS or scan.seen & ~allowed != 0 or scan.px >= scan.px2:
        return UNKNOWN
    row.id = scan.last
    row.arg0 = scan.px2
    row.arg1 = scan.qty2
    row.side = 0
    return 1


@kernel
def scan(scan_at: int, n: int, out: int, now_ns: int) -> int:
    """Scan one message.

    scan_at: one SCAN record, mutated, whose text, grids, n_grids and is_spot are set. n: bytes of the message at its
    text. The GRID records at its grids are mutated: `last` of a depth event that follows. out: address of EVENT rows,
    room for n // 8 + 2. Returns how many rows were written and count, LOST (a depth event's rows are written,
    SCAN.n_rows of them, but it does not follow or the instrument is not in step), or UNKNOWN (nothing counts). One pass
    over the bytes.
    """
    scan = record(scan_at, SCAN)
    n_grids = int(scan.n_grids)
    b = records(scan.text, n, _U1)
    table = records(scan.grids, n_grids, GRID)
    rows = records(out, n // 8 + 2, EVENT)
    scan.n = n
    scan.n_rows = 0
    scan.seen = 0
    scan.kind = 0
    scan.is_agg = 0
    scan.side = 0
    scan.exch_ms = 0
    scan.event_ms = 0
    scan.previous = -1
    wrapped = _envelope(scan, b)
    if wrapped < 0 or _message(scan, b, table, n_grids, rows) != 0:
        return UNKNOWN
    i = int(scan.at)
    if wrapped == 1:
        if i >= n or int(b[i]) != _CLOSE:
            return UNKNOWN
        i += 1
    # A spot bookTicker in an envelope has no key e: its kind stands in the stream's name.
    if i != n or scan.seen & _S == 0 or (scan.seen & _E == 0 and scan.kind != QUOTE):
        return UNKNOWN
    grid = table[scan.i_grid]
    if scan.kind == LEVEL:
        return _finish_depth(scan, grid, rows, now_ns, scan.is_spot != 0)
    return _finish_one(scan, grid, rows, now_ns)


@brief_entry
def scan_message(scan_at: int, n: int, out: int, now_ns: int) -> int:
    """`scan`, called from Python."""
    return scan(scan_at, n, out, now_ns)
