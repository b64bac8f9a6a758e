"""From a market message to the bytes that answer it, in one compiled call: scan, journal, step, write.

The usual case and nothing else: a message that the scanner knows, rows that fit into the journal's block in work,
commands that are plain limit orders or cancels and that nothing stands in the way of. Whatever is different leaves the
way at the point it has come to, says so, and goes on in Python, where the same is done at length. Kernels and their
record; `sending` keeps the record, drivers call by way of `venues.contract.FastPath`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tercel.jit import brief_entry, call_entry, kernel, record, records
from tercel.model.commands import COMMAND, LEAVE_BY, NEW
from tercel.model.cursor import CURSOR, cursor_append, has_room
from tercel.venues.binance.limits import ALLOWANCE
from tercel.venues.binance.scan import scan
from tercel.venues.binance.writing import FORM, TEXT, write_command
from tercel.venues.contract import FastPath

__all__ = ["COMMANDS_MAX", "FAST", "OUT_BYTES", "fast_commands", "fast_message"]

_SCANNED, _STEPPED = FastPath.SCANNED, FastPath.STEPPED

#: Commands of one take that may go this way.
COMMANDS_MAX = 8
#: Room for their requests: 2 KB each, and no text is longer.
OUT_BYTES = COMMANDS_MAX * 2048
_U1, _I64 = np.dtype("u1"), np.dtype("i8")
_FOREVER = (1 << 63) - 1
_MS = 1_000_000

#: All that the call needs. scan, rows: addresses of the SCAN record and of the rows to fill. step, base, wiring: the
#: engine's entry, block and wiring; n_emitted, n_commands, n_refused, error, commands: addresses in its block. cursor:
#: address of the journal's CURSOR, 0 where nothing is kept. forms, n_forms, texts, n_texts: see `writing`. n_open:
#: address of the open orders of each instrument. allowance: address. batch: address of COMMAND rows for
#: `fast_commands`. out: address of the requests. is_ready: requests may leave. offset_ns: the venue's clock minus ours.
#: number: the next request's. top_id: the highest order id known here. n_rows: rows of the message; i_row: the first
#: that was not stepped. ends: where each request ends in `out`.
FAST = np.dtype(
    [
        (name, "i8")
        for name in (
            "scan rows step base wiring n_emitted n_commands n_refused error commands cursor forms n_forms texts "
            "n_texts n_open allowance batch out is_ready offset_ns number top_id n_rows i_row"
        ).split()
    ]
    + [("ends", "i8", (COMMANDS_MAX,))],
    align=True,
)


@kernel
def _word(address: int) -> int:
    return int(records(address, 1, _I64)[0])


@kernel
def _write_all(fast: Any, commands_at: int, n: int, allowed_flags: int, now_ns: int) -> int:
    """Write the requests of `n` commands into `out` and count them against the limits. How many, or 0: none of them."""
    allowance = record(fast.allowance, ALLOWANCE)
    if n > COMMANDS_MAX or fast.is_ready == 0 or now_ns < allowance.blocked_until_ns:
        return 0
    commands = records(commands_at, n, COMMAND)
    forms = records(fast.forms, fast.n_forms, FORM)
    texts = records(fast.texts, fast.n_texts, TEXT)
    n_open = records(fast.n_open, fast.n_forms, _I64)
    out = records(fast.out, OUT_BYTES, _U1)
    venue_ns = now_ns + fast.offset_ns
    at, n_new, top_id = 0, 0, int(fast.top_id)
    for k in range(n):
        command = commands[k]
        i = int(command.instrument)
        if i < 0 or i >= fast.n_forms:
            return 0
        form = forms[i]
        if command.kind == NEW:
            n_new += 1
            # Of one instrument or not: the safe side. An id that is not above all others may be one that lives.
            if n_open[i] + n_new > form.orders_max or command.id <= top_id:
                return 0
            top_id = int(command.id)
        at = write_command(form, texts, command, allowed_flags, fast.number + k, venue_ns // _MS, out, at)
        if at < 0:
            return 0
        fast.ends[k] = at
    if n_new > 0:
        if allowance.n_taken + allowance.n_canceled + n_new > allowance.n_room or venue_ns >= allowance.until_ns:
            return 0
        allowance.n_taken += n_new
    allowance.n_canceled += n - n_new
    fast.number += n
    fast.top_id = top_id
    return n


@brief_entry
def fast_commands(fast_at: int, n: int, now_ns: int) -> int:
    """Write the requests of the `n` COMMAND rows at `batch`, of which each may have a time to leave by that has been
    looked at. How many (all of them), or 0 where one is not plain or something stands in the way: nothing is changed.
    """
    fast = record(fast_at, FAST)
    return _write_all(fast, fast.batch, n, LEAVE_BY, now_ns)


@brief_entry
def fast_message(fast_at: int, n: int, now_ns: int) -> int:
    """Scan a message, journal its rows, step the engine through them, write the requests that answer them.

    fast_at: a FAST record, mutated. n: bytes of the message at the scanner's text. Returns the number of requests in
    `out` (their commands are journaled and still wait in the engine); 0 where every row was stepped and none is wanted;
    UNKNOWN or LOST of the scanner, nothing having happened; SCANNED: `n_rows` rows are there and neither journaled nor
    stepped; STEPPED: they are journaled and stepped up to `i_row`, and the engine has commands, refusals or an error
    that are the caller's to deal with.
    """
    fast = record(fast_at, FAST)
    found = scan(fast.scan, n, fast.rows, now_ns)
    if found < 0:
        return found
    fast.n_rows = found
    if fast.cursor != 0:
        cursor = record(fast.cursor, CURSOR)
        if not has_room(cursor, found):
            return _SCANNED
        cursor_append(cursor, fast.rows, found, False)
    fast.i_row = call_entry(fast.step, fast.base, fast.wiring, fast.rows, 0, found, _FOREVER)
    if _word(fast.n_emitted) == 0 and _word(fast.error) == 0:
        return 0
    n_commands = _word(fast.n_commands)
    if n_commands == 0 or _word(fast.error) != 0 or _word(fast.n_refused) != 0:
        return _STEPPED
    if fast.cursor != 0 and not has_room(record(fast.cursor, CURSOR), n_commands):
        return _STEPPED
    # Commands with a time to leave by go the long way, which looks at the clock once more.
    if _write_all(fast, fast.commands, n_commands, 0, now_ns) == 0:
        return _STEPPED
    if fast.cursor != 0:
        cursor_append(record(fast.cursor, CURSOR), fast.commands, n_commands, True)
    return n_commands
