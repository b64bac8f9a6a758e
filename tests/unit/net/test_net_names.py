"""The names that `tercel.net` gives: each is there, and where it says."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import tercel.net


def test_every_public_name_is_there_and_public_at_home():
    for name, home in tercel.net._HOMES.items():
        module = importlib.import_module(f"tercel.net.{home}")
        assert name in module.__all__
        assert getattr(tercel.net, name) is getattr(module, name)
    assert dir(tercel.net) == tercel.net.__all__
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = tercel.net.Nothing


def test_the_room_loads_nothing_before_it_is_asked():
    room = "('tercel.net.', 'aiohttp', 'picows')"
    code = f"import tercel.net, sys; print(sorted(m for m in sys.modules if m.startswith({room})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
