"""The market's chance: the published generator, and laws within sampling error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tercel.jit import address_of, entry, record, records
from tercel.sim import market_random as chance

STATE = np.dtype(chance.RNG_FIELDS)
WORD, FLOAT = np.dtype("i8"), np.dtype("f8")


@entry
def fill_bits(state: int, out: int, n: int) -> int:
    words = records(out, n, WORD)
    for i in range(n):
        words[i] = chance.draw_u32(record(state, STATE))
    return 0


@entry
def fill_laws(state: int, out: int, n: int, table: int, exponential: int) -> int:
    values = records(out, n, FLOAT)
    quantiles = records(table, chance.N_CELLS + 1, FLOAT)
    for i in range(n):
        if exponential == 1:
            values[i] = chance.draw_exponential(record(state, STATE), quantiles)
        else:
            values[i] = chance.draw_cell(record(state, STATE), quantiles)
    return 0


@entry
def fill_decay(xs: int, out: int, n: int, table: int) -> int:
    values, at = records(out, n, FLOAT), records(xs, n, FLOAT)
    for i in range(n):
        values[i] = chance.decay(at[i], records(table, 321, FLOAT))
    return 0


def seeded(seed: int) -> np.ndarray:
    return np.array(chance.seed_words(seed), np.int64)


def published_xoshiro128(state: list[int], n: int) -> list[int]:
    """xoshiro128** as its authors print it, in uint32 arithmetic."""
    mask = 0xFFFFFFFF

    def rotl(x: int, k: int) -> int:
        return ((x << k) & mask) | (x >> (32 - k))

    s, out = list(state), []
    for _ in range(n):
        out.append((rotl((s[1] * 5) & mask, 7) * 9) & mask)
        t = (s[1] << 9) & mask
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 11)
    return out


def test_the_generator_is_the_published_one() -> None:
    state, out = seeded(42), np.zeros(1000, np.int64)
    expected = published_xoshiro128(state.tolist(), 1000)
    fill_bits(address_of(state), address_of(out), 1000)
    assert out.tolist() == expected


def test_seeding_is_splitmix64() -> None:
    # The first two outputs of splitmix64 from state 0, low word first.
    assert chance.seed_words(0) == [0x7B1DCDAF, 0xE220A839, 0xA1B965F4, 0x6E789E6A]
    assert chance.seed_words(-1) != chance.seed_words(1)


def sample(table: np.ndarray, exponential: bool = False, n: int = 200_000) -> np.ndarray:
    state, out = seeded(7), np.zeros(n)
    fill_laws(address_of(state), address_of(out), n, address_of(table), int(exponential))
    return out


def test_exponential_law() -> None:
    values = sample(chance.exponential_table(), exponential=True)
    assert values.mean() == pytest.approx(1.0, abs=0.01)
    assert values.var() == pytest.approx(1.0, abs=0.03)
    assert (values > 9.0).sum() > 5, "the tail beyond the table is there"


def test_normal_law() -> None:
    values = sample(chance.normal_table())
    assert values.mean() == pytest.approx(0.0, abs=0.01)
    assert values.std() == pytest.approx(1.0, abs=0.01)


def test_lognormal_law() -> None:
    values = sample(chance.lognormal_table(50.0, 1.2))
    assert np.median(values) == pytest.approx(50.0, rel=0.02)
    assert np.log(values).std() == pytest.approx(1.2, rel=0.01)


def test_placement_law() -> None:
    distances = np.floor(sample(chance.placement_table(0.6, 4.0, 100))).astype(int)
    assert distances.min() == 1
    assert distances.max() == 100
    edges = np.arange(1, 102)
    mass = (4.0 + edges[:-1]) ** -0.6 - (4.0 + edges[1:]) ** -0.6
    expected = mass / mass.sum()
    seen = np.bincount(distances, minlength=101)[1:] / len(distances)
    assert np.abs(seen - expected).max() < 0.003


def test_decay_is_the_exponential() -> None:
    xs = np.concatenate([np.linspace(0.0, 39.9, 5000), [40.0, 1e9]])
    out, table = np.zeros(len(xs)), chance.decay_table()
    fill_decay(address_of(xs), address_of(out), len(xs), address_of(table))
    expected = np.array([math.exp(-x) for x in xs[:-2]])
    assert np.abs(out[:-2] / expected - 1.0).max() < 2e-10
    assert out[-2:].tolist() == [0.0, 0.0]
