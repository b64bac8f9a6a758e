"""Where compiled kernels are kept, and what the directory is named after.

Numba's disk cache does not notice edits in imported functions and ignores the bounds-check flag, so the directory is
named after a digest of the package's source, the versions and the flags (ADR 13).
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config as numba_config
from numba.core import environment

from tercel.config import cache_dir

__all__ = [
    "BOUNDS_CHECK",
    "COMPILED",
    "PACKAGE",
    "kernel_cache_dir",
    "kernel_cache_dirs",
    "numba_cache_at",
    "package_digest",
]

COMPILED = not numba_config.DISABLE_JIT
BOUNDS_CHECK = os.environ.get("TERCEL_BOUNDSCHECK", "") == "1"

#: The package's own directory.
PACKAGE = Path(__file__).parent.parent


#: Rooms whose text no kernel is made from: edits there leave the kernels warm. Strategies have a digest of their own.
_NO_KERNELS = ("cli", "observe", "store", "net", "runtime", "live", "localvenue", "strategy/library")
#: Rooms with kernels that no other room's kernels call: edits there leave the other rooms' kernels warm.
_OWN_KERNELS = ("bench", "venues")


def package_digest(room: str = "") -> str:
    """Sixteen hex digits that change with a source file that has kernels, Numba, NumPy, llvmlite, a flag, the place.

    room: a room of `_OWN_KERNELS`, whose text then counts too; else the digest of all the others.
    """
    digest = hashlib.blake2b(digest_size=8)
    left_out = {*_NO_KERNELS, *_OWN_KERNELS} - {room}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.startswith(tuple(f"{other}/" for other in left_out)):
            continue
        digest.update(name.encode())
        digest.update(path.read_bytes())
    # Where the package lies is compiled in, as the place that an exception came from.
    versions = (numba.__version__, np.__version__, llvmlite.__version__, BOUNDS_CHECK, str(PACKAGE))
    digest.update(repr(versions).encode())
    return digest.hexdigest()


def kernel_cache_dir(module: str = "") -> Path:
    """Where compiled kernels of exactly this source are kept; of `module` where its room is one of its own."""
    room = module.removeprefix("tercel.").partition(".")[0]
    room = room if room in _OWN_KERNELS else ""
    if room not in _cache_paths:
        _cache_paths[room] = cache_dir() / "kernels" / package_digest(room)
    return _cache_paths[room]


def kernel_cache_dirs() -> set[Path]:
    """Every directory that kernels of this source are kept in."""
    return {kernel_cache_dir(), *(kernel_cache_dir(f"tercel.{room}") for room in _OWN_KERNELS)}


_cache_paths: dict[str, Path] = {}


@contextmanager
def numba_cache_at(path: Path) -> Iterator[None]:
    """Point Numba's cache at `path` while a dispatcher is made, and leave other packages' setting alone."""
    before = numba_config.CACHE_DIR, environment._rebuild_env
    numba_config.CACHE_DIR = str(path)
    environment._rebuild_env = _environment
    try:
        yield
    finally:
        numba_config.CACHE_DIR, environment._rebuild_env = before


def _environment(module: str, constants: list[Any], name: str) -> Any:
    """What the cache keeps of a function's module, made anew in the process that loads the function.

    Numba imports the module. That fails for a strategy that was defined in a notebook's cell, a document or a file
    that is no module here. Kernels never look a name up when they run, so an empty module does as well.
    """
    found = environment.lookup_environment(name)
    if found is None:
        try:
            scope = importlib.import_module(module).__dict__
        except ImportError:
            scope = {"__name__": module}
        found = environment.Environment(scope)
        found.consts[:] = constants
        found.env_name = name
        environment.Environment._memo[name] = found
    return found
