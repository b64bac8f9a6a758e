"""The peers' sides of the questions, each written as its own documentation advises, compiled, warm, data preloaded.

Every module imports its engine inside functions: the table and our own side work without the `bench` extra.
`PeerMissingError` says which package is not there.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from tercel.errors import ConfigError

__all__ = ["PeerMissingError", "load"]


class PeerMissingError(ConfigError):
    """The peer's package is not installed."""


def load(name: str) -> ModuleType:
    """Import a peer's module, or raise PeerMissingError that says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise PeerMissingError(
            f"{name.split('.')[0]} is not installed (pip install 'tercel[bench]'): {error}"
        ) from error
