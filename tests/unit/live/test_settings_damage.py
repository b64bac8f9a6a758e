"""Any text as a configuration: it is read, or refused with a ConfigError that names the file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from test_settings import WHOLE

from reference.damaged_bytes import mutate, n_inputs
from tercel.errors import ConfigError
from tercel.live.settings import Settings, load_settings, parse_settings

MUTATIONS = n_inputs(3_000)
#: What somebody may write where something else belongs.
VALUES = [
    "0", "-1", "1e400", "nan", "inf", "-inf", "1" * 400, "9223372036854775808", "true", '""', '"x"', '"\\u0000"', "[]",
    "[[]]", "{}", "{ a = 1 }", "1979-05-27", "07:32:00", "0x7f", '{ env = "" }', '{ env = 3 }', '{ file = "/" }',
    '"' + "a" * 500 + '"', "[" * 2000 + "]" * 2000,
]  # fmt: skip
PATH = Path("night.toml")


def otherwise(text: str, rng: random.Random) -> str:
    """A line with another value, twice, in another place, or without its key."""
    lines = text.splitlines()
    at = rng.randrange(len(lines))
    how = rng.randrange(5)
    key, equals, _ = lines[at].partition("=")
    if how == 0 and equals:
        lines[at] = f"{key}= {rng.choice(VALUES)}"
    elif how == 1:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif how == 2:
        del lines[at]
    elif how == 3:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = lines[at].replace("[", "", 1) if "[" in lines[at] else f"{lines[at]}{rng.choice(VALUES)}"
    return "\n".join(lines)


@pytest.mark.fuzz
def test_whatever_a_configuration_says_it_is_read_or_refused(tmp_path):
    rng = random.Random(21)
    file = tmp_path / "night.toml"
    n_read = n_refused = 0
    unclear: list[str] = []
    for k in range(MUTATIONS):
        try:
            if k % 2:
                text = WHOLE
                for _ in range(rng.choice((1, 1, 2, 4))):
                    text = otherwise(text, rng)
                settings = parse_settings(text, PATH)
            elif k % 64:
                raw = bytearray(WHOLE.encode())
                mutate(raw, rng)
                settings = parse_settings(raw.decode(), PATH)
            else:
                raw = bytearray(WHOLE.encode())
                mutate(raw, rng)
                file.write_bytes(raw)
                settings = load_settings(file)
        except UnicodeDecodeError:
            # Of `decode` here; `load_settings` refuses such a file itself.
            continue
        except ConfigError as error:
            unclear += [] if "night.toml" in str(error) and len(str(error)) < 2_000 else [str(error)]
            n_refused += 1
            continue
        assert isinstance(settings, Settings)
        for i in range(len(settings.instruments)):
            settings.limits_of(i)
        for one in settings.strategies:
            one.assignments()
        n_read += 1
    assert unclear == []
    assert n_refused > MUTATIONS // 4
    assert n_read > MUTATIONS // 20
