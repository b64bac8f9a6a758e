"""Fixtures every test may use, and how hard Hypothesis tries.

Kernels are cached on disk under a digest of the source (see tercel.jit), so all tests and all test processes share one
cache; nothing here makes a new one for a session, because compiling anew would cost a minute.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPO = Path(__file__).resolve().parent.parent

# A test that states its own settings keeps them; these are for those that do not. Time limits would fail on a slow
# machine while kernels compile, so there are none.
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("interpreted", parent=settings.get_profile("ci"), max_examples=20)

_INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
_DEFAULT = "interpreted" if _INTERPRETED else "ci" if os.environ.get("CI") else "dev"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", _DEFAULT))


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The captured market data that lives beside the checkout; tests that need it skip where it is absent."""
    path = REPO.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the market captures of ../shared/data are not here")
    return path
