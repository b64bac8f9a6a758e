"""`tercel info` of a journal: what it counts, what it says of damage, and how it ends."""

from __future__ import annotations

from pathlib import Path

from reference.journal_makers import header, orders, trades
from tercel.store.journal import Journal, Sync


def journal(path: Path) -> Path:
    with Journal(path, header=header(3), sync=Sync(every_ms=0), segment_bytes=1 << 13) as made:
        made.note(-1, 5)
        made.append(trades(0, 300))
        made.append_commands(orders(0, 4))
        made.snapshot(b"state", seq=300)
        made.append(trades(300, 50))
    return path


def test_a_journal_is_told_by_kind(tercel, tmp_path):
    found = tercel("info", journal(tmp_path / "j"), "--json").json
    assert (found["runs"], found["run"], found["next_run"], found["is_closed"]) == ([3], 3, 4, True)
    assert found["rows"] == {"all": 355, "stepped": 350, "commands": 4, "notes": 1}
    assert found["events"] == {"trade": 350, "timer": 1}
    assert found["commands"] == {"new": 4}
    assert found["snapshot"] == {"position": 305, "seq": 300, "bytes": 5, "rows_after": 50}
    assert (found["first_ns"], found["last_ns"], found["damage"]) == (1, 350, [])
    ran = tercel("info", tmp_path / "j")
    assert ran.code == 0
    assert "BTCUSDT" in ran.out + ran.err


def test_damage_is_told_and_ends_with_3(tercel, tmp_path):
    path = journal(tmp_path / "j")
    for snapshot in path.glob("run-*/snapshot-*"):
        snapshot.unlink()
    file = path / "run-0000000003" / "segment-00000001.rows"
    raw = bytearray(file.read_bytes())
    raw[200] ^= 1
    file.write_bytes(raw)
    ran = tercel("info", path, "--json")
    assert ran.code == 3
    (damage,) = ran.json["damage"]
    assert (damage["torn"], damage["segment"], damage["position"]) == (False, "segment-00000001.rows", 126)
    assert ran.json["rows"]["all"] == 126
    assert tercel("info", path, "--run", 9).message.startswith("journal ")
    assert tercel("info", tmp_path).message.endswith("it has none yet")
