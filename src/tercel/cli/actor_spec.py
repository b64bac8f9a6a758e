"""From what a user types to actors: a file or a module and a class, with arguments. Called by `paper` and `live`.

Only classes are looked up and arguments checked here; the session makes the actors, and makes them again after a crash.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tercel.cli.strategy_spec import load_module
from tercel.errors import ConfigError

if TYPE_CHECKING:
    from tercel.live.actors import Actor
    from tercel.live.plan import ActorPlan
    from tercel.live.settings import Settings

__all__ = ["actor_plans", "load_actor"]


def load_actor(spec: str) -> type[Actor]:
    """The actor class that a specification names; ConfigError or StrategyError as for strategies."""
    from tercel.live.actors import Actor

    place, _, name = spec.rpartition(":")
    if not place:
        raise ConfigError(f"no actor {spec!r}: expected path/to/file.py:Class or package.module:Class")
    module = load_module(place)
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Actor)):
        known = [
            key
            for key, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, Actor) and value.__module__ == module.__name__
        ]
        raise ConfigError(f"{place} has no actor {name!r}; it has: {', '.join(known) or 'none'}")
    return found


def _plan(where: str, spec: str, name: str, given: Mapping[str, Any]) -> ActorPlan:
    from tercel.live.plan import ActorPlan

    cls = load_actor(spec)
    try:
        inspect.signature(cls).bind(**given)
    except TypeError as error:
        raise ConfigError(f"{where}: {cls.__name__} cannot be made with {dict(given)}: {error}") from None
    factory: Any = cls
    if given:
        # The pipeline asks the factory which rows its actors want, as it asks a class.
        factory = partial(cls, **given)
        factory.kinds, factory.instruments = cls.kinds, cls.instruments
    return ActorPlan(name=name or cls.__name__, factory=factory)


def actor_plans(settings: Settings, specs: Sequence[str] = ()) -> list[ActorPlan]:
    """The actors of a configuration, a file's spec beside it, and those of `specs` from the command line."""
    found = []
    for i, one in enumerate(settings.actors):
        place, colon, name = one.spec.rpartition(":")
        spec = f"{settings.place(place)}{colon}{name}" if place.endswith(".py") else one.spec
        found.append(_plan(f"{settings.path}: actors[{i}]", spec, one.name, one.set))
    found += [_plan(f"--actor {spec}", spec, "", {}) for spec in specs]
    names = [plan.name for plan in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"two actors are named {name!r}; give each a name of its own")
    return found
