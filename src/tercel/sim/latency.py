"""How long messages travel: one model for each leg (new, amend, cancel to the venue; answers and fills back).

Models: constant; recorded (times and values, interpolated in between, as measured on a real session); lognormal
(median and spread, seeded). Messages one way never overtake each other, whatever their legs, as on one TCP stream.
Kernels called by the simulated venue and the driver.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from tercel.errors import ConfigError
from tercel.jit import kernel, records

__all__ = ["LEG", "LEGS", "Constant", "Latency", "Lognormal", "Recorded", "leg_latency"]

#: One leg. model: 0 constant, 1 lognormal, 2 recorded. base_ns: the constant, or the lognormal's floor. mu, sigma:
#: of the logarithm of what comes on top, ns. state: of the leg's random stream. n, at: recorded points, at byte offset
#: `at` from the venue's head as (times, values) int64 ns. least_ns: no message is faster.
LEG = np.dtype(
    [
        ("model", "i8"),
        ("base_ns", "i8"),
        ("mu", "f8"),
        ("sigma", "f8"),
        ("state", "i8"),
        ("n", "i8"),
        ("at", "i8"),
        ("cursor", "i8"),
        ("least_ns", "i8"),
    ],
    align=True,
)

#: The legs, in the order of their LEG records.
LEGS = ("new", "amend", "cancel", "response", "fill")
I64 = np.dtype("i8")
_NS_PER_MS = 1_000_000


class Constant(msgspec.Struct, frozen=True):
    """Every message takes `ms` milliseconds."""

    ms: float

    def __post_init__(self) -> None:
        """Refuse a negative time."""
        if not 0 <= self.ms < math.inf:
            raise ConfigError(f"latency must be 0 ms or more, found {self.ms}")


class Lognormal(msgspec.Struct, frozen=True):
    """floor_ms plus a lognormal time: `median_ms` in the middle, `sigma` the deviation of its logarithm; seeded."""

    median_ms: float
    sigma: float = 0.5
    floor_ms: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no distribution of times."""
        if not (0 < self.median_ms < math.inf and 0 <= self.sigma < 10 and 0 <= self.floor_ms < math.inf):
            raise ConfigError(
                f"a lognormal latency needs median_ms > 0, sigma from 0 to 10, floor_ms >= 0, found {self.median_ms}, "
                f"{self.sigma}, {self.floor_ms}"
            )


class Recorded(msgspec.Struct, frozen=True):
    """Measured latencies: `values_ns` at `times_ns`, both (n,) int64, times rising; linear in between, flat outside."""

    times_ns: np.ndarray
    values_ns: np.ndarray

    def __post_init__(self) -> None:
        """Refuse series that do not fit together."""
        times, values = np.asarray(self.times_ns), np.asarray(self.values_ns)
        if len(times) == 0 or len(times) != len(values):
            raise ConfigError(f"a recorded latency needs as many values as times, found {len(values)} and {len(times)}")
        if (np.diff(times) < 0).any() or (values < 0).any():
            raise ConfigError("a recorded latency needs times that do not fall and values of 0 ns or more")


Model = Constant | Lognormal | Recorded


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Latency of each leg. `Latency.both(ms)` sets all to one constant."""

    new: Model = Constant(0.0)
    amend: Model = Constant(0.0)
    cancel: Model = Constant(0.0)
    response: Model = Constant(0.0)
    fill: Model = Constant(0.0)

    @staticmethod
    def both(ms: float) -> Latency:
        """The same constant to the venue and back."""
        leg = Constant(ms)
        return Latency(new=leg, amend=leg, cancel=leg, response=leg, fill=leg)

    def points(self) -> list[np.ndarray]:
        """Per leg the recorded (times, values) laid end to end, empty for other models."""
        found = []
        for name in LEGS:
            model = getattr(self, name)
            if isinstance(model, Recorded):
                found.append(np.concatenate([np.asarray(model.times_ns), np.asarray(model.values_ns)]).astype(np.int64))
            else:
                found.append(np.zeros(0, np.int64))
        return found

    def write(self, legs: Any, offsets: list[int]) -> None:
        """Fill the five LEG records; `offsets`: where each leg's recorded points lie."""
        for i, name in enumerate(LEGS):
            model = getattr(self, name)
            leg = legs[i]
            if isinstance(model, Constant):
                leg["base_ns"] = leg["least_ns"] = round(model.ms * _NS_PER_MS)
            elif isinstance(model, Lognormal):
                leg["model"] = 1
                leg["base_ns"] = leg["least_ns"] = round(model.floor_ms * _NS_PER_MS)
                leg["mu"], leg["sigma"] = math.log(model.median_ms * _NS_PER_MS), model.sigma
                leg["state"] = (model.seed * 2654435761 + i) % ((1 << 31) - 2) + 1
            else:
                leg["model"], leg["n"], leg["at"] = 2, len(model.times_ns), offsets[i]
                leg["least_ns"] = int(np.min(model.values_ns))

    def describe(self) -> dict[str, str]:
        """Leg -> words, for reports."""
        words = {}
        for name in LEGS:
            model = getattr(self, name)
            if isinstance(model, Constant):
                words[name] = f"{model.ms:g} ms"
            elif isinstance(model, Lognormal):
                words[name] = f"{model.floor_ms:g} ms + lognormal(median {model.median_ms:g} ms, sigma {model.sigma:g})"
            else:
                words[name] = f"recorded, {len(model.times_ns)} points"
        return words


@kernel
def _uniform(leg: Any) -> float:
    """The next number in (0, 1) of the leg's stream: Park and Miller's minimal standard generator (1988)."""
    leg.state = (leg.state * 48271) % 2147483647
    return leg.state / 2147483647.0


@kernel
def leg_latency(venue: int, off_legs: int, i_leg: int, now_ns: int) -> int:
    """How long a message sent at `now_ns` takes on a leg, int64 ns."""
    leg = records(venue + off_legs, 5, LEG)[i_leg]
    if leg.model == 0:
        return leg.base_ns
    if leg.model == 1:
        # Box and Muller's transform; one of its two normals is used, so that a message costs a fixed two numbers.
        radius = math.sqrt(-2.0 * math.log(_uniform(leg)))
        normal = radius * math.cos(6.283185307179586 * _uniform(leg))
        return leg.base_ns + int(math.exp(leg.mu + leg.sigma * normal))
    times = records(venue + leg.at, leg.n, I64)
    values = records(venue + leg.at + 8 * leg.n, leg.n, I64)
    i = leg.cursor
    while i + 1 < leg.n and times[i + 1] <= now_ns:
        i += 1
    leg.cursor = i
    if now_ns <= times[i] or i + 1 >= leg.n:
        return values[i]
    width = times[i + 1] - times[i]
    return values[i] + int((values[i + 1] - values[i]) * ((now_ns - times[i]) / width))
