"""The rules that explain differences between an order log and its snapshots, one by one, and a small log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tercel.book.audit_l3 import audit_order_log, explain_level, read_order_log, unstated_size
from tercel.errors import DataError

NONE = (0, "")
ALL = range(100)


def test_size_that_never_changes_until_it_goes_is_unstated() -> None:
    assert unstated_size([(3, 50), (4, 50), (9, 50), (10, 0)]) == (50, 9)


def test_a_momentary_disturbance_does_not_end_it() -> None:
    assert unstated_size([(3, 50), (4, 20), (5, 50)]) == (50, 5)


def test_size_that_appears_later_was_not_there_before_the_log() -> None:
    assert unstated_size([(3, 0), (4, 50), (5, 50)]) == (0, -1)
    assert unstated_size([(3, -7), (4, 50)]) == (0, -1)
    assert unstated_size([]) == (0, -1)


def test_an_order_named_later() -> None:
    assert explain_level(5, 12, NONE, 12, ([-1, 40], [12, 5]), 20, ALL) == ("named_later", 20)


def test_an_order_created_after_its_deletion() -> None:
    assert explain_level(5, 3, NONE, 3, ([-1], [3]), 20, ALL) == ("deleted_first", 20)


def test_unstated_size_on_top() -> None:
    history = ([-1, 40], [12, 5])
    assert explain_level(5, 12, (4, "never_named"), 16, history, 20, ALL) == ("named_later+never_named", 20)
    assert explain_level(12, 12, (4, "filled_later"), 16, history, 20, ALL) == ("filled_later", 20)


def test_a_line_that_came_after_the_snapshot_it_belongs_before() -> None:
    assert explain_level(7, 7, NONE, 0, ([-1, 10, 21], [0, 7, 0]), 20, ALL) == ("log_behind", 21)


def test_a_line_that_came_before_the_snapshot_it_belongs_after() -> None:
    assert explain_level(0, 0, NONE, 7, ([-1, 10, 19], [0, 7, 0]), 20, ALL) == ("log_ahead", 19)


def test_the_nearest_line_is_named_and_far_ones_explain_nothing() -> None:
    history = ([-1, 10, 19, 30], [0, 7, 0, 7])
    assert explain_level(0, 0, NONE, 7, history, 20, ALL) == ("log_ahead", 19)
    assert explain_level(0, 0, NONE, 7, history, 20, range(20, 40)) == ("log_behind", 30)
    assert explain_level(0, 0, NONE, 7, history, 20, range(20, 25)) == ("unexplained", 20)
    assert explain_level(0, 0, NONE, 8, history, 20, ALL) == ("unexplained", 20)


def line(ts: int, kind: str, order_id: int, side: int, px: str, qty: str) -> str:
    data = {"price": px, "amount": qty, "datetime": "1", "id": order_id, "order_type": side}
    return f"{ts} order_{kind} {json.dumps(data)}\n"


def book(ts: int, bids: list[list[str]], asks: list[list[str]]) -> str:
    return f"{ts} order_book {json.dumps({'bids': bids, 'asks': asks})}\n"


def test_a_small_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        line(1, "created", 10, 0, "9.00", "1.5")
        + line(2, "created", 11, 1, "11.00", "2")
        + book(3, [["9.00", "1.5"], ["8.00", "1"]], [["10.00", "3"], ["11.00", "2.5"]])
        + line(4, "deleted", 5, 1, "10.00", "3")
        + '5 trade {"price": 9.0, "amount": 0.30000000000000004, "id": 1}\n'
        + line(6, "changed", 10, 0, "9.00", "1.2")
        + book(7, [["9.00", "1.5"], ["8.00", "1"]], [["11.00", "2.5"]])
        + book(8, [["9.00", "1.2"], ["8.00", "7"]], [["11.00", "2.5"]])
    )
    audit = audit_order_log(read_order_log(path))
    assert (audit.n_lines, audit.n_events, audit.n_snapshots, audit.n_snapshots_equal) == (8, 5, 3, 0)
    assert audit.causes() == {"never_named": 5, "named_later": 1, "log_ahead": 1, "unexplained": 1}
    assert (audit.n_unknown_id, audit.n_named_later, audit.n_unexplained) == (1, 1, 1)
    assert audit.unstated == {(-1, 1100): (50_000_000, "never_named"), (1, 800): (100_000_000, "never_named")}
    ahead = next(d for d in audit.differences if d.cause == "log_ahead")
    assert (ahead.side, ahead.px, ahead.qty_book, ahead.qty_venue) == (1, 900, 120_000_000, 150_000_000)
    assert (ahead.lag_lines, ahead.lag_ms) == (-1, -1)


@pytest.mark.parametrize("text", ["", "1 order_created", "1 order_created {", "x trade {}", '1 trade {"price": 1}'])
def test_a_broken_line_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log"
    path.write_text(line(1, "created", 10, 0, "9.00", "1.5") + text + "\n")
    with pytest.raises(DataError, match="log line 2"):
        read_order_log(path)
