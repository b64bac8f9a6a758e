"""`tercel info`: what is in a tape, the book it ends with, whether its quotes agree with it; what a journal holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tercel.book.audit import BookEnd, QuoteCheck
    from tercel.cli.terminal import Terminal
    from tercel.store.tape import Tape

__all__ = ["DESCRIPTION", "add_arguments", "examine", "run"]

DESCRIPTION = """Tell what is in a tape or in a journal.

Replays the tape's depth through the book, prints the book it ends with, and compares the book with the venue's own best
prices wherever both carry the same update id. Of a journal: its runs, what the last one holds, and what of it cannot be
read; ends with 3 where rows are damaged that had been safe on the disk."""

#: Room of the book that single orders are replayed through; rows beyond are counted as refused.
_L3_ORDERS, _L3_LEVELS = 1 << 18, 1 << 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("tape", type=Path, metavar="TAPE", help="a tape made by import or simulate, or a session")
    parser.add_argument("--levels", type=int, default=3, help="levels a side to print (default: 3)")
    parser.add_argument("--run", type=int, default=None, help="run of a journal (default: the last)")
    parser.add_argument("--quick", action="store_true", help="metadata only: no row is read")


def _level(tape: Tape, i: int, level: tuple[int, int]) -> dict[str, str]:
    it = tape.instruments[i]
    return {"price": f"{it.price(level[0]):f}", "size": f"{it.qty(level[1]):f}"}


def _book_object(tape: Tape, end: BookEnd, n_levels: int) -> dict[str, Any]:
    i = end.instrument
    sides = {"bids": end.bids, "asks": end.asks}
    found: dict[str, Any] = {
        "instrument": i,
        "symbol": tape.instruments[i].symbol,
        "kind": "l2",
        "n_messages": end.n_messages,
        "n_levels": end.n_bids + end.n_asks,
        "n_bids": end.n_bids,
        "n_asks": end.n_asks,
        "n_crossings": end.n_crossings,
        "sound": end.fault == 0,
    }
    for name, levels in sides.items():
        found[f"best_{name}"] = [_level(tape, i, level) for level in levels[:n_levels]]
        found[f"farthest_{name[:-1]}"] = _level(tape, i, levels[-1]) if levels else None
    return found


def _quote_object(tape: Tape, check: QuoteCheck) -> dict[str, Any]:
    n_late = check.n_shared - check.n_shared_quote_first
    return {
        "instrument": check.instrument,
        "symbol": tape.instruments[check.instrument].symbol,
        "n_quotes": check.n_quotes,
        "all": {"compared": check.n_shared, "equal": check.n_equal},
        "quote_received_before_depth": {"compared": check.n_shared_quote_first, "equal": check.n_equal_quote_first},
        "quote_received_after_depth": {"compared": n_late, "equal": check.n_equal - check.n_equal_quote_first},
        "messages_with_crossed_book": check.n_crossed,
        "first_different_row": None if check.first_difference < 0 else check.first_difference,
    }


def examine(tape: Tape, terminal: Terminal, n_levels: int = 3) -> dict[str, Any]:
    """Everything `info` knows of a tape as plain values; reads every row once."""
    from tercel.book.audit import audit_books

    found: dict[str, Any] = tape.summary()
    n_quotes = tape.meta.channels.get("quotes", 0)
    found["n_rows_without_quotes"] = tape.meta.n_rows - n_quotes
    found["books"], found["quotes_at_shared_update_ids"] = [], []
    with terminal.bar("scheduling rows") as tell:
        rows = tape.rows(progress=tell)
    both, exch_only, local_only = tape.counts()
    found["scheduled"] = {"rows": len(rows), "both": both, "exch_only": exch_only, "local_only": local_only}
    if tape.meta.channels.get("depth"):
        size = tape.meta.group_rows or max(1, len(tape))
        with terminal.bar("replaying the book") as tell:

            def pieces() -> Any:
                for start in range(0, len(tape), size):
                    yield tape.received(start, size)
                    tell(min(start + size, len(tape)), len(tape))

            ends, checks = audit_books(pieces, len(tape.instruments))
        # A tape of single orders has one CLEAR of this kind and no level: its book is the other one.
        found["books"] = [_book_object(tape, end, n_levels) for end in ends if end.n_bids + end.n_asks > 0]
        found["quotes_at_shared_update_ids"] = [_quote_object(tape, check) for check in checks]
    if tape.meta.channels.get("orders"):
        found["books"] += _order_books(tape, terminal, n_levels)
    return found


def _order_books(tape: Tape, terminal: Terminal, n_levels: int) -> list[dict[str, Any]]:
    """Replay single orders through an L3 book for each instrument."""
    from tercel.book.l3_book import L3Book
    from tercel.errors import TercelError
    from tercel.model.events import BUY, SELL

    books = [L3Book(_L3_ORDERS, _L3_LEVELS) for _ in tape.instruments]
    n_refused = [0] * len(books)
    size = tape.meta.group_rows or max(1, len(tape))
    with terminal.bar("replaying the orders") as tell:
        for start in range(0, len(tape), size):
            rows = tape.received(start, size)
            for i, book in enumerate(books):
                n_refused[i] += int((book.apply(rows[rows["instrument"] == i]) != 0).sum())
            tell(min(start + size, len(tape)), len(tape))
    found = []
    for i, book in enumerate(books):
        try:
            book.check()
        except TercelError:
            is_sound = False
        else:
            is_sound = True
        sides = {"bids": book.levels(BUY), "asks": book.levels(SELL)}
        made: dict[str, Any] = {
            "instrument": i,
            "symbol": tape.instruments[i].symbol,
            "kind": "l3",
            "n_orders": book.n_orders,
            "n_levels": len(sides["bids"]) + len(sides["asks"]),
            "n_bids": len(sides["bids"]),
            "n_asks": len(sides["asks"]),
            "n_refused_rows": n_refused[i],
            "sound": is_sound,
        }
        for name, levels in sides.items():
            pairs = [(int(level["px"]), int(level["qty"])) for level in levels]
            made[f"best_{name}"] = [_level(tape, i, pair) for pair in pairs[:n_levels]]
            made[f"farthest_{name[:-1]}"] = _level(tape, i, pairs[-1]) if pairs else None
        found.append(made)
    return found


def _side(levels: list[dict[str, str]]) -> str:
    return ", ".join(f"{level['price']} x {level['size']}" for level in levels) or "none"


def _extra_facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    s = found["scheduled"]
    words = f"{s['both']:,} both sides, {s['exch_only']:,} venue only, {s['local_only']:,} strategy only"
    facts = [("scheduled rows", f"{s['rows']:,} (quotes left out where there is depth): {words}")]
    for book in found["books"]:
        name = f"book {book['symbol']}"
        orders = f"{book['n_orders']:,} orders on " if book["kind"] == "l3" else ""
        counts = f"{book['n_levels']:,} levels at the end: {book['n_bids']:,} bids, {book['n_asks']:,} asks"
        facts += [(name, orders + counts + ("" if book["sound"] else "; NOT SOUND"))]
        facts += [("  best bids", _side(book["best_bids"])), ("  best asks", _side(book["best_asks"]))]
        if book["farthest_bid"] and book["farthest_ask"]:
            facts += [("  farthest", _side([book["farthest_bid"], book["farthest_ask"]]))]
    for check in found["quotes_at_shared_update_ids"]:
        both, first = check["all"], check["quote_received_before_depth"]
        words = f"{both['equal']:,} of {both['compared']:,} equal at shared update ids"
        words += f" ({first['equal']:,} of {first['compared']:,} where the quote was received first)"
        facts += [("quotes against book", words)]
    return facts


def run(options: argparse.Namespace) -> int:
    """Print what is in the tape."""
    from tercel.cli.tape_facts import quick_facts
    from tercel.cli.terminal import Terminal
    from tercel.errors import ConfigError
    from tercel.store.tape import Tape

    if options.levels < 1:
        raise ConfigError(f"--levels must be 1 or more, found {options.levels}")
    terminal = Terminal(json=options.json)
    if options.tape.is_dir():
        from tercel.cli.info_journal import show

        return show(options.tape, options.run, terminal)
    tape = Tape.open(options.tape)
    if options.quick:
        terminal.emit(tape.summary())
        terminal.panel(str(tape.path), quick_facts(tape))
        return 0
    found = examine(tape, terminal, options.levels)
    terminal.emit(found)
    terminal.panel(str(tape.path), quick_facts(tape) + _extra_facts(found))
    return 0
