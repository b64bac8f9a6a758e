"""`tercel replay` over tapes and captures."""

from __future__ import annotations

import gzip

QUOTER = ["--latency-ms", "60", "--set", "qty=0.02"]


def test_a_tape_replays_as_it_backtests(tercel, market_tape, tmp_path):
    report = tmp_path / "r.html"
    ran = tercel("replay", "quoter", market_tape, *QUOTER, "--json", "--report", report)
    assert ran.code == 0, ran.err
    assert ran.json["replay"]["same_commands"] is ran.json["replay"]["same_state"] is True
    backtest = tercel("backtest", "quoter", market_tape, *QUOTER, "--json").json
    assert ran.json["replay"]["commands"] > 20
    assert abs(ran.json["stats"]["n_fills"] - backtest["stats"]["n_fills"]) <= 2
    assert report.is_file()
    assert "are the same" in ran.err


def test_a_paced_replay_prints_lines_where_nobody_looks(tercel, market_tape):
    ran = tercel("replay", "quoter", market_tape, *QUOTER, "--speed", "40")
    assert ran.code == 0, ran.err
    lines = [line for line in ran.err.splitlines() if "equity" in line and "position" in line]
    assert len(lines) >= 2
    assert all("SIM" in line for line in lines)


def test_a_capture_is_imported_and_replayed(tercel, data_dir, tmp_path):
    lines = gzip.decompress((data_dir / "binance" / "usdm_btcusdt_20240808.gz").read_bytes()).splitlines()[:6000]
    capture = tmp_path / "some.gz"
    capture.write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    ran = tercel("replay", "quoter", capture, "--latency-ms", "300", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["replay"]["same_commands"] is True


def test_mistakes(tercel, market_tape, tmp_path):
    assert tercel("replay", market_tape).message.startswith("a tape needs a strategy")
    assert "nothing to replay" in tercel("replay", "quoter", tmp_path / "none").message
    ran = tercel("replay", "quoter", tmp_path)
    assert ran.code != 0
    assert "journal" in ran.message
    assert "--speed takes" in tercel("replay", "quoter", market_tape, "--speed", "-1").message
