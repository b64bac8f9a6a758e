"""The L3 book against each of the 2,491 snapshots in a captured order log: every difference counted and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tercel.book.audit_l3 import audit_order_log, read_order_log


@pytest.mark.data
def test_every_difference_is_explained(data_dir: Path) -> None:
    path = data_dir / "l3" / "bitstamp_btcusd_20150501_first_half.log.xz"
    if not path.is_file():
        pytest.skip("the Bitstamp order log is not here")
    audit = audit_order_log(read_order_log(path))
    assert (audit.n_lines, audit.n_events, audit.n_snapshots) == (28_000, 25_509, 2_491)
    assert (audit.n_levels, audit.n_snapshots_equal, len(audit.differences)) == (99_650, 15, 19_133)
    assert audit.causes() == {
        "never_named": 9_735,
        "filled_later": 5_053,
        "named_later": 3_711,
        "named_later+filled_later": 418,
        "named_later+never_named": 193,
        "log_ahead": 18,
        "log_behind": 5,
    }
    assert audit.n_unexplained == 0
    assert (audit.n_named_later, audit.n_filled_later, audit.n_deleted_first) == (142, 22, 2)
    assert (audit.n_unknown_id, audit.n_duplicate_id) == (182, 0)
    assert sorted(cause for _, cause in audit.unstated.values()) == ["filled_later"] * 21 + ["never_named"] * 24
    moved = [d for d in audit.differences if "log_" in d.cause]
    assert len({d.i_snapshot for d in moved}) == 23
    assert {d.lag_lines for d in moved} == {-1, 1}
    assert max(abs(d.lag_ms) for d in moved) == 48
