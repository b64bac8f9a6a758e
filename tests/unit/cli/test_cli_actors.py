"""From what a user types to actors."""

from __future__ import annotations

from pathlib import Path

import pytest

from tercel.cli.actor_spec import actor_plans, load_actor
from tercel.errors import ConfigError
from tercel.live.settings import ActorSettings, Settings

SOURCE = """
import tercel as tc


class Two(tc.Actor):
    kinds = (1, 2)

    def __init__(self, size, name="x"):
        self.size, self.name = size, name


class NotOne:
    pass
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "mine.py").write_text(SOURCE)
    return Settings(venues={}, instruments=[], strategies=[], path=tmp_path / "session.toml")


def with_actors(settings: Settings, *actors: ActorSettings) -> Settings:
    from msgspec.structs import replace

    return replace(settings, actors=list(actors))


def test_a_file_beside_the_configuration(settings):
    plans = actor_plans(with_actors(settings, ActorSettings(spec="mine.py:Two", set={"size": 3}, name="first")))
    (plan,) = plans
    made = plan.factory()
    assert (plan.name, made.size, made.name) == ("first", 3, "x")
    assert plan.factory.kinds == (1, 2)
    assert plan.factory() is not made


def test_what_cannot_be_meant(settings, tmp_path):
    spec = f"{tmp_path}/mine.py"
    for text, said in [
        (f"{spec}:NotOne", "has no actor 'NotOne'; it has: Two"),
        ("mine", "expected path/to/file.py:Class"),
        (f"{tmp_path}/none.py:Two", "no strategy file|no .*file"),
    ]:
        with pytest.raises(ConfigError, match=said):
            load_actor(text)
    with pytest.raises(ConfigError, match=r"actors\[0\]: Two cannot be made with {}: missing .*'size'"):
        actor_plans(with_actors(settings, ActorSettings(spec="mine.py:Two")))
    one = ActorSettings(spec="mine.py:Two", set={"size": 1})
    with pytest.raises(ConfigError, match="two actors are named 'Two'"):
        actor_plans(with_actors(settings, one, one))
