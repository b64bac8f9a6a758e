"""Whole sessions of the command line against the local venue, each in processes of its own: paper, live, record, kill.

One of them goes through everything a session writes and looks for its keys.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tercel.cli.replay_journal import retell
from tercel.model.events import LOCAL, TRADE
from tercel.store.tape import Tape

LIVE = """
[session]
name = "secretive"
directory = "session"

[venues.here]
market = "spot"
network = "local"
port = {port}
rest_port = {rest_port}
api_key = {{ env = "TC_TEST_KEY" }}
api_secret = {{ file = "secret" }}

[[instruments]]
symbol = "BTCUSDT"
venue = "here"

[[strategies]]
spec = "quoter"
set = {{ qty = 0.01, every_ms = 20 }}

[limits]
position_max = 0.1
order_qty_max = 0.02
daily_loss_max = 1000
"""


TWO = """
[venues.spot]
market = "spot"
network = "local"
port = {port}
rest_port = {rest_port}

[venues.perpetual]
market = "usdm"
network = "local"
port = {other_port}
rest_port = {other_rest_port}

[[instruments]]
symbol = "BTCUSDT"
venue = "spot"

[[instruments]]
symbol = "BTCUSDT"
venue = "perpetual"

[[strategies]]
spec = "crossing.py:Crossing"
"""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tercel.cli.main", *(str(a) for a in arguments)]


class Venue:
    """`tercel venue` in a process of its own."""

    def __init__(self, *more: str) -> None:
        self.process = subprocess.Popen(
            command("venue", "--port", 0, "--rest-port", 0, "--seed", 5, "--json", *more),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        # The addresses come first, one JSON value; "serving" on stderr says that it is whole.
        lines: list[str] = []
        reader = threading.Thread(target=self._collect, args=(lines,), daemon=True)
        reader.start()
        for line in self.process.stderr:
            if "serving" in line:
                break
        else:
            raise RuntimeError("the venue did not start")
        reader.join()
        facts = json.loads("".join(lines))
        self.port = int(facts["streams"].rpartition(":")[2])
        self.rest_port = int(facts["rest"].rpartition(":")[2])
        self.key = next(k for k in facts["test_keys"] if k["may_trade"] and k["kind"] == "hmac")

    def _collect(self, lines: list[str]) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.append(line)
            if line == "}\n":
                return

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def venue():
    made = Venue()
    yield made
    made.close()


def place(venue: Venue) -> list[object]:
    return ["--venue", "local", "--symbol", "BTCUSDT", "--port", venue.port, "--rest-port", venue.rest_port]


def ran(directory: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=directory, capture_output=True, text=True, check=False, timeout=600)


def test_a_paper_session_trades_and_goes_on_after_a_restart(venue, tmp_path):
    arguments = ["paper", "quoter", *place(venue), "--set", "qty=0.01", "--latency-ms", 2, "--duration", "3s", "--json"]
    first = ran(tmp_path, *arguments)
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["end"]["n_commands"] > 0
    assert told["end"]["state"] == "stopped"
    assert told["end"]["orders"] == []
    lines = [line for line in first.stderr.splitlines() if "equity" in line]
    assert any("BTCUSDT" in line for line in lines)
    assert retell(tmp_path / "session").same

    second = ran(tmp_path, *arguments)
    assert second.returncode == 0, second.stderr
    again = json.loads(second.stdout)
    assert again["recovered_run"] == told["run"]
    assert again["run"] > told["run"]
    # What was held stays held: fills of both runs are one account.
    assert again["end"]["n_fills"] >= told["end"]["n_fills"]
    assert retell(tmp_path / "session").same
    assert ran(tmp_path, "replay", "session").returncode == 0

    other = ran(tmp_path, *arguments, "--set", "every_ms=21")
    assert other.returncode == 3
    assert "every_ms was 100, now it is 21" in other.stderr
    assert "or begin anew and take orders and positions from the venue (--fresh does; the journal is in" in other.stderr


def test_recording_makes_a_capture_that_imports_and_a_tape(venue, tmp_path):
    recorded = ran(tmp_path, "record", *place(venue), "--duration", "3s", "--tape", "t.tape", "--json")
    assert recorded.returncode == 0, recorded.stderr
    told = json.loads(recorded.stdout)
    (capture,) = told["files"]["BTCUSDT"]
    assert told["messages"]["BTCUSDT"] > 20
    imported = ran(tmp_path, "import", capture, "-o", "again.tape", "--json")
    assert imported.returncode == 0, imported.stderr
    assert json.loads(imported.stdout)["n_gaps"] == 0
    assert ran(tmp_path, "backtest", "quoter", "t.tape").returncode == 0


def test_no_key_is_found_in_anything_a_live_session_writes(venue, tmp_path):
    key, secret = venue.key["key"], venue.key["secret"]
    config = tmp_path / "session.toml"
    config.write_text(LIVE.format(port=venue.port, rest_port=venue.rest_port))
    file = tmp_path / "secret"
    file.write_text(secret)
    file.chmod(0o600)
    environment = {**os.environ, "TC_TEST_KEY": key, "TERCEL_LOG": "debug"}

    refused = subprocess.run(
        command("live", config), env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "--real-orders" in refused.stderr

    session = subprocess.Popen(
        command("live", config, "--real-orders", "--debug"),
        env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert session.stderr is not None
    seen = ""
    for line in session.stderr:
        seen += line
        if "trading" in line and " 0 fills" not in line:
            break
    cmdline = Path(f"/proc/{session.pid}/cmdline").read_bytes()
    status = ran(tmp_path, "status", config, "--json")
    assert json.loads(status.stdout)["state"] == "trading", status.stderr
    killed = ran(tmp_path, "kill", config, "--json")
    assert json.loads(killed.stdout)["session"]["halted"] == "kill_switch", killed.stderr
    lifted = ran(tmp_path, "kill", "--lift", config, "--json")
    assert json.loads(lifted.stdout)["session"]["halted"] == "", lifted.stderr
    assert not (tmp_path / "session" / "HALT").exists()
    assert ran(tmp_path, "kill", config).returncode == 0
    session.send_signal(signal.SIGINT)
    out, err = session.communicate(timeout=60)
    assert session.returncode == 0, err
    again = subprocess.run(
        command("live", config, "--real-orders"), env=environment, cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert again.returncode == 2
    assert "halted here" in again.stderr
    assert ran(tmp_path, "kill", "--lift", config).returncode == 0

    texts = [seen, out, err, status.stdout, killed.stdout, again.stderr, refused.stderr]
    places = [text.encode() for text in texts] + [cmdline]
    places += [path.read_bytes() for path in (tmp_path / "session").rglob("*") if path.is_file()]
    assert sum(map(len, places)) > 100_000
    for found in places:
        assert key.encode() not in found
        assert secret.encode() not in found
        assert b"signature=" not in found
    assert retell(tmp_path / "session").same


def test_a_live_session_with_a_wrong_secret_ends_at_once_and_says_so(venue, tmp_path):
    config = tmp_path / "session.toml"
    config.write_text(LIVE.format(port=venue.port, rest_port=venue.rest_port))
    file = tmp_path / "secret"
    file.write_text("S" * 64)
    file.chmod(0o600)
    done = subprocess.run(
        command("live", config, "--real-orders"), env={**os.environ, "TC_TEST_KEY": venue.key["key"]}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 8
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: here refuses the API key, its secret or its permissions: ")
    assert "code -1022" in line
    assert venue.key["key"] not in done.stdout + done.stderr
    assert "S" * 64 not in done.stdout + done.stderr


def test_a_live_session_needs_limits(venue, tmp_path):
    config = tmp_path / "session.toml"
    text = LIVE.format(port=venue.port, rest_port=venue.rest_port).replace("daily_loss_max = 1000\n", "")
    config.write_text(text)
    refused = ran(tmp_path, "live", config, "--real-orders")
    assert refused.returncode == 2
    assert "missing: daily_loss_max" in refused.stderr


def test_nobody_there(tmp_path):
    assert ran(tmp_path, "status").returncode == 7
    dead = ["--venue", "local", "--symbol", "BTCUSDT", "--port", 1, "--rest-port", 1]
    refused = ran(tmp_path, "paper", "quoter", *dead, "--duration", "1s")
    assert refused.returncode == 7
    assert "does not tell its instruments" in refused.stderr
    assert "its HTTP is looked for at port 1 (rest_port), its WebSockets at 1 (port)" in refused.stderr
    elsewhere = ran(tmp_path, "paper", "quoter", "--symbol", "BTCUSDT", "--port", 19443, "--duration", "1s")
    assert elsewhere.returncode == 2
    assert "--port is of a local venue, and binance-usdm is none: say --venue local" in elsewhere.stderr


def test_two_venues_of_one_configuration(venue, tmp_path):
    other = Venue("--futures")
    try:
        config = tmp_path / "two.toml"
        (tmp_path / "crossing.py").write_text(SCRIPT.replace("(0", "(trade.instrument"))
        config.write_text(TWO.format(
            port=venue.port, rest_port=venue.rest_port, other_port=other.port, other_rest_port=other.rest_port
        ))  # fmt: skip
        done = ran(tmp_path, "paper", config, "--duration", "3s", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert [one["name"] for one in told["end"]["links"]] == ["spot", "perpetual"]
        assert all(one["n_fills"] > 0 for one in told["end"]["instruments"]), told["end"]["instruments"]
    finally:
        other.close()


def test_a_killed_paper_session_goes_on_without_the_orders_that_rested(venue, tmp_path):
    arguments = ["paper", "quoter", *place(venue), "--set", "qty=0.01", "--set", "every_ms=20", "--latency-ms", 20]
    with subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE, text=True) as session:
        assert session.stderr is not None
        for line in session.stderr:
            if "trading" in line and " 0 fills" not in line:
                break
        session.kill()
    second = ran(tmp_path, *arguments, "--duration", "2s", "--json")
    assert second.returncode == 0, second.stderr
    told = json.loads(second.stdout)
    assert told["recovered_run"] > 0
    assert told["end"]["orders"] == []
    assert retell(tmp_path / "session", told["recovered_run"]).same
    assert retell(tmp_path / "session").same


SCRIPT = """
import asyncio, sys
import tercel as tc


class Crossing(tc.Strategy):
    qty: float = 0.01

    def on_trade(self, ctx, trade):
        if ctx.position(0) == 0:
            ctx.buy(0, self.qty, limit=ctx.best_ask(0), tif=tc.IOC)
        else:
            ctx.close(0)


if __name__ == "__main__":
    port, rest_port, qty = int(sys.argv[1]), int(sys.argv[2]), 7
    settings = tc.settings_for("local", ["BTCUSDT"], port=port, rest_port=rest_port)
    report = tc.run_session(settings, [Crossing()], duration_s=2)
    print(report.last.n_commands)
"""


def test_a_session_of_a_script_is_told_again_from_the_file(venue, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py", str(venue.port), str(venue.rest_port)], cwd=tmp_path, capture_output=True,
        text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
    told = ran(tmp_path, "replay", "script.py:Crossing", "session")
    assert told.returncode == 0, told.stderr
    assert f"{int(done.stdout)} commands are the same" in told.stderr
    script.write_text(SCRIPT.replace("== 0:", "<= 0:"))
    other = ran(tmp_path, "replay", "script.py:Crossing", "session")
    assert other.returncode == 3
    assert "the code of Crossing has changed since" in other.stderr


def cores_of_threads(pid: int) -> dict[int, set[int]]:
    return {int(task.name): os.sched_getaffinity(int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir()}


@pytest.mark.skipif(sys.platform != "linux", reason="pinning needs Linux")
def test_the_trading_thread_has_the_core_it_is_given(venue, tmp_path):
    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("needs two cores")
    core, rest = max(cores), cores - {max(cores)}
    arguments = ["paper", "quoter", *place(venue), "--set", "qty=0.01", "--latency-ms", 2]
    with subprocess.Popen(
        command(*arguments, "--core", core, "--busy-poll", "--duration", "10m"), cwd=tmp_path, stderr=subprocess.PIPE,
        text=True,
    ) as session:  # fmt: skip
        assert session.stderr is not None
        seen = ""
        for line in session.stderr:
            seen += line
            if "trading" in line and " 0 fills" not in line:
                break
        found = cores_of_threads(session.pid)
        assert found.pop(session.pid) == {core}, seen
        assert found, "the journal has a thread of its own"
        assert all(allowed == rest for allowed in found.values()), found
        session.send_signal(signal.SIGINT)
        session.communicate(timeout=60)
    assert session.returncode == 0
    assert retell(tmp_path / "session").same

    refused = ran(tmp_path, *arguments, "--core", 4095)
    assert refused.returncode == 4
    assert f"cannot pin to core 4095: Invalid argument; this thread may use {min(cores)}" in refused.stderr
    assert ran(tmp_path, *arguments, "--core", -1).returncode == 2
    alone = subprocess.run(
        command(*arguments, "--core", core, "--busy-poll"), cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=600, preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    assert alone.returncode == 2
    assert "busy polling takes a whole core, and there is only one here" in alone.stderr


ACTING = """
[session]
warm_up = "seen.tape"

[venues.here]
market = "spot"
network = "local"
port = {port}
rest_port = {rest_port}

[[instruments]]
symbol = "BTCUSDT"
venue = "here"

[[strategies]]
spec = "acting.py:Follower"

[[actors]]
spec = "acting.py:Momentum"
set = {{ n_trades = 3 }}

[limits]
position_max = 0.05
"""

#: Beside the example's two: an actor that breaks, and a strategy that counts what it saw.
ACTORS = """

class Faulty(tc.Actor):
    async def on_market(self, event):
        raise ValueError("the actor is broken")


class Counter(tc.Strategy):
    seen: int = 0

    def on_trade(self, ctx, trade):
        self.seen += 1
"""


def test_a_warm_up_and_actors_from_the_configuration(venue, tmp_path):
    example = Path(__file__).resolve().parents[2] / "examples" / "live_signals.py"
    (tmp_path / "acting.py").write_text(example.read_text() + ACTORS)
    recorded = ran(tmp_path, "record", *place(venue), "--duration", "3s", "--tape", "seen.tape", "--json")
    assert recorded.returncode == 0, recorded.stderr
    config = tmp_path / "session.toml"
    config.write_text(ACTING.format(port=venue.port, rest_port=venue.rest_port))
    config.write_text(config.read_text() + '\n[[strategies]]\nspec = "acting.py:Counter"\n')
    done = ran(tmp_path, "paper", config, "--actor", "acting.py:Faulty", "--duration", "4s", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["actors"]["signals"]["Momentum"]["n_sent"] > 0
    assert told["end"]["n_fills"] > 0
    actors = {one["name"]: one for one in told["actors"]["actors"]}
    assert "the actor is broken" in actors["Faulty"]["last_error"]
    assert (actors["Momentum"]["n_errors"], actors["Momentum"]["last_error"]) == (0, "")
    retold = retell(tmp_path / "session")
    assert retold.same
    # The strategies saw the trades of the tape, then the session's own.
    taped, own = Tape.open(tmp_path / "seen.tape").rows(), retold.reader.rows(0)
    n_taped, n_own = (int(((r["kind"] == TRADE) & (r["flags"] & LOCAL != 0)).sum()) for r in (taped, own))
    assert n_taped > 0
    assert int(retold.engine.state(1)["seen"]) == n_taped + n_own

    apart = ran(tmp_path, "paper", config, "--fresh", "--actors-in", "thread", "--duration", "4s", "--json")
    assert apart.returncode == 0, apart.stderr
    told = json.loads(apart.stdout)
    assert told["actors"]["signals"]["Momentum"]["n_sent"] > 0
    assert told["end"]["n_fills"] > 0
    assert retell(tmp_path / "session").same

    again = ran(tmp_path, "paper", config, "--warm-up", "none.tape", "--duration", "1s")
    assert again.returncode != 0
    assert "none.tape" in again.stderr
    wrong = ran(tmp_path, "paper", config, "--actor", "acting.py:Nobody")
    assert wrong.returncode == 2
    assert "has no actor 'Nobody'; it has: Momentum, Faulty" in wrong.stderr
