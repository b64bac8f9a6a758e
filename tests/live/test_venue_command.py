"""`tercel venue` as a process: it says where it listens, serves, and ends cleanly on a signal."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest


@pytest.mark.parametrize(("more", "path"), [([], "/api/v3/exchangeInfo"), (["--futures"], "/fapi/v1/exchangeInfo")])
def test_it_serves_until_it_is_told_to_end(more, path):
    command = [sys.executable, "-m", "tercel.cli.main", "venue", "--json", "--port", "0", "--rest-port", "0"]
    venue = subprocess.Popen([*command, "--symbols", "BTCUSDT", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)  # fmt: skip
    assert venue.stdout is not None
    text = ""
    while not text.endswith("\n}\n"):
        line = venue.stdout.readline()
        assert line, venue.communicate()[1]
        text += line
    facts = json.loads(text)
    assert facts["symbols"] == ["BTCUSDT"]
    assert facts["ws_api"].startswith("ws://127.0.0.1:")
    assert [key["account"] for key in facts["test_keys"]] == [1, 2, 3, 1]
    with urllib.request.urlopen(facts["rest"] + path) as answer:
        assert [symbol["symbol"] for symbol in json.load(answer)["symbols"]] == ["BTCUSDT"]
    venue.send_signal(signal.SIGTERM)
    told = venue.communicate()[1]
    assert venue.returncode == 0
    assert "ended by SIGTERM: 0 orders, 0 fills; every unit of money accounted for" in told
    secrets = [key["secret"] for key in facts["test_keys"]]
    assert not any(secret in told for secret in secrets)


def test_wrong_arguments_are_one_message():
    command = [sys.executable, "-m", "tercel.cli.main", "venue", "--symbols", "btc"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "symbol 'btc'" in done.stderr
