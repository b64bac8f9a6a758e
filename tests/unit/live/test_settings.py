"""The configuration: what is accepted, and what every mistake is told as."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import msgspec
import pytest

from tercel.errors import ConfigError
from tercel.live.assembly import binance_settings
from tercel.live.secrets import Secret, SecretRef
from tercel.live.settings import load_settings, parse_settings, settings_for

WHOLE = """
[session]
name = "night"
directory = "j"
sync_ms = 5
stop_s = 10
core = 1
busy_poll = true
actors_in = "thread"

[venues.binance]
market = "usdm"
network = "test"
api_key = { env = "KEY" }
api_secret = { file = "secret" }

[[instruments]]
symbol = "BTCUSDT"
venue = "binance"

[[instruments]]
symbol = "ETHUSDT"
venue = "binance"
limits = { position_max = 2 }

[[strategies]]
spec = "quoter"
set = { qty = 0.02, every_ms = 50, "fast.span" = 20 }

[limits]
position_max = 0.1
price_collar = 0.05

[paper]
latency_ms = 3
maker_bp = -0.5
"""


def test_a_whole_configuration(tmp_path):
    path = tmp_path / "night.toml"
    path.write_text(WHOLE)
    settings = load_settings(path)
    assert settings.session.name == "night"
    assert (settings.session.core, settings.session.busy_poll, settings.session.actors_in) == (1, True, "thread")
    assert settings.place(settings.session.directory) == tmp_path / "j"
    assert [settings.limits_of(i).position_max for i in (0, 1)] == [0.1, 2]
    assert settings.strategies[0].assignments() == ["qty=0.02", "every_ms=50", "fast.span=20"]
    assert settings.paper.maker_bp == -0.5
    assert settings.venues["binance"].api_key == SecretRef(env="KEY")


MISTAKES = {
    "not TOML": ("[session", "not TOML"),
    "an unknown table": (WHOLE + "\n[papers]\n", "papers: unknown key; did you mean 'paper'?"),
    "an unknown key": (
        WHOLE.replace("latency_ms = 3", "latency = 3"), "paper.latency: unknown key; did you mean 'latency_ms'?"
    ),
    "a key nothing like any": (WHOLE.replace("sync_ms = 5", "zzz = 5"), "session.zzz: unknown key; expected one of"),
    "a wrong type": (
        WHOLE.replace("sync_ms = 5", 'sync_ms = "5"'), "session.sync_ms: expected a number, found '5'"
    ),
    "a wrong word": (
        WHOLE.replace('network = "test"', 'network = "moon"'), "venues.binance.network: expected another word, found"
    ),
    "a type inside a list": (
        WHOLE.replace('symbol = "ETHUSDT"', "symbol = 3"), "instruments[1].symbol: expected text, found 3"
    ),
    "a key that is needed": (
        WHOLE.replace('symbol = "ETHUSDT"\n', ""), "instruments[1]: expected the key `symbol`, found none"
    ),
    "an unknown key in limits": (
        WHOLE.replace("price_collar", "price_colar"), "limits.price_colar: unknown key; did you mean 'price_collar'?"
    ),
    "an unknown key in nested limits": (
        WHOLE.replace("{ position_max = 2 }", "{ pos = 2 }"), "instruments[1].limits: unknown key `pos`"
    ),
    "a venue that is not there": (
        WHOLE.replace('symbol = "ETHUSDT"\nvenue = "binance"', 'symbol = "ETHUSDT"\nvenue = "x"'),
        "instruments[1].venue: expected one of binance, found 'x'",
    ),
    "an instrument twice": (WHOLE.replace("ETHUSDT", "BTCUSDT"), "instruments[1].symbol: 'BTCUSDT' of binance stands"),
    "no strategies": (WHOLE.replace("[[strategies]]", "[session2]").split("[session2]")[0], "strategies: expected"),
    "half a key pair": (
        WHOLE.replace('api_secret = { file = "secret" }', ""), "venues.binance.api_secret: expected beside"
    ),
    "a local venue without a port": (
        WHOLE.replace('network = "test"', 'network = "local"'), "venues.binance.port: expected 1 to 65535"
    ),
    "a port of a venue that is not local": (
        WHOLE.replace('network = "test"', 'network = "test"\nport = 19443'),
        "venues.binance: port and rest_port are of a local venue",
    ),
    "a rest_port that is none": (
        WHOLE.replace('network = "test"', 'network = "local"\nport = 5\nrest_port = 70000'),
        "venues.binance.rest_port: expected 0 to 65535, found 70000",
    ),
    "a list in place of a table": (WHOLE.replace("[paper]", "[[paper]]"), "paper: expected a table, found a list of 1"),
    "a table in place of a list": (
        WHOLE.replace("[[strategies]]", "[strategies]"), "strategies: expected tables [[strategies]], found a table"
    ),
    "two places of one secret": (
        WHOLE.replace('{ env = "KEY" }', '{ env = "KEY", file = "x" }'), "venues.binance.api_key: a secret is"
    ),
    "a start of less than nothing": (
        WHOLE.replace("core = 1", "start_s = -1"), "session.start_s: expected 0 to 86400, found -1"
    ),
    "a core below 0": (
        WHOLE.replace("core = 1", "core = -1"), "session.core: expected the number of a core, 0 or more, found -1"
    ),
    "a core by name": (
        WHOLE.replace("core = 1", 'core = "first"'), "session.core: expected a whole number, found 'first'"
    ),
    "a deadline of nothing": (
        WHOLE.replace("stop_s = 10", "stop_s = 0"), "session.stop_s: expected a number"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_every_mistake_names_file_key_expected_and_found(name):
    text, message = MISTAKES[name]
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, Path("night.toml"))
    assert str(caught.value).startswith(f"night.toml: {message}"), str(caught.value)


SECRET = "s3cr3t-Zr9Qk2Lp0Vx7"


@pytest.mark.parametrize(
    "text",
    [
        WHOLE.replace('{ env = "KEY" }', f'"{SECRET}"'),
        WHOLE.replace('{ file = "secret" }', f'["{SECRET}"]'),
        WHOLE.replace("api_secret =", f'apisecret = "{SECRET}"\napi_secret ='),
        WHOLE.replace('{ env = "KEY" }', f'{{ value = "{SECRET}" }}'),
        WHOLE.replace('{ env = "KEY" }', f"{{ env = [ '{SECRET}' ] }}"),
        WHOLE.replace("api_secret =", f"api_secret = {SECRET}\nx ="),
        WHOLE + f'\n[session2]\napi_key = "{SECRET}"\n',
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_shown(text):
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, Path("night.toml"))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_secrets_come_from_the_environment_or_a_private_file(tmp_path):
    path, file = tmp_path / "night.toml", tmp_path / "secret"
    path.write_text(WHOLE)
    settings = load_settings(path)
    with pytest.raises(ConfigError, match=r"venues.binance.api_key: the environment variable KEY is not set"):
        settings.credentials("binance", {})
    with pytest.raises(ConfigError, match=r"venues.binance.api_secret: the secret file .* cannot be read"):
        settings.credentials("binance", {"KEY": "k"})
    file.write_text(SECRET + "\n")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"mode 0640\); expected 0600: run chmod 600") as caught:
        settings.credentials("binance", {"KEY": "k"})
    assert SECRET not in str(caught.value)
    file.chmod(0o600)
    key, secret = settings.credentials("binance", {"KEY": "k"})
    assert (key.reveal(), secret.reveal()) == ("k", SECRET)
    file.write_text("")
    with pytest.raises(ConfigError, match="is empty"):
        settings.credentials("binance", {"KEY": "k"})


def test_a_secret_shows_nothing():
    secret = Secret(SECRET, "env KEY")
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", f"{[secret]}", "%s" % secret]  # noqa: UP031
    assert not any(SECRET in text for text in shown)
    assert repr(secret) == "Secret(env KEY)"
    for copied in (copy.copy, copy.deepcopy, pickle.dumps, msgspec.json.encode):
        with pytest.raises(TypeError):
            copied(secret)
    assert secret == Secret(SECRET)
    assert secret != Secret("other")


def test_a_configuration_without_a_file():
    settings = settings_for("local", ["BTCUSDT", "ETHUSDT"], port=5, directory="here")
    assert [(one.symbol, one.venue) for one in settings.instruments] == [("BTCUSDT", "local"), ("ETHUSDT", "local")]
    assert settings.place(settings.session.directory) == Path.cwd() / "here"
    assert settings.credentials("local") is None
    other = settings_for("local-usdm", ["BTCUSDT"], host="10.0.0.7", port=5, rest_port=6).venues["local-usdm"]
    place = binance_settings(other)
    assert (place.rest, place.streams, place.ws_api) == (
        "http://10.0.0.7:6", "ws://10.0.0.7:5", "ws://10.0.0.7:5/ws-fapi/v1"
    )  # fmt: skip
    for place, symbols, port, said in [
        ("nowhere", ["X"], 0, "no venue 'nowhere'; expected one of binance-usdm"),
        ("local", ["X"], 0, "needs a port"),
        ("binance-spot", [], 0, "at least one symbol"),
    ]:
        with pytest.raises(ConfigError, match=said):
            settings_for(place, symbols, port=port)
