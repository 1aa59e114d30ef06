"""Random draws equal an independent big-integer version of docs/protocol.md, section 5."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thurstone_runtime.random_draws import fold, mix, row_seeds, token_uniforms

MASK = 2**64 - 1
signed = st.integers(-(2**63), 2**63 - 1)
unsigned = st.integers(0, MASK)


def plain_mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def plain_fold(start: int, *parts: int) -> int:
    for part in parts:
        start = plain_mix(start ^ part)
    return start


def plain_draw(key: int, sample: int, attempt: int, token: int) -> float:
    return (plain_fold(key & MASK, sample, attempt, token) >> 11) * 2.0**-53


def test_mix_is_splitmix64_on_its_published_sequence() -> None:
    # The first outputs of SplitMix64 seeded with 1234567, as its reference implementation prints them.
    states = np.array([1234567 + index * 0x9E3779B97F4A7C15 & MASK for index in range(3)], dtype=np.uint64)
    assert mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@given(unsigned, st.lists(unsigned, max_size=4))
def test_fold_equals_the_big_integer_version(start: int, parts: list[int]) -> None:
    assert int(fold(np.array([start], dtype=np.uint64), *parts)[0]) == plain_fold(start, *parts)


@given(st.lists(signed, min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 5000))
def test_draws_equal_the_big_integer_version(keys: list[int], samples: int, attempt: int, token: int) -> None:
    seeds = row_seeds(np.array(keys, dtype=np.int64), samples, attempt)
    expected = [plain_draw(key, sample, attempt, token) for key in keys for sample in range(samples)]
    assert token_uniforms(seeds, token).tolist() == expected


def test_a_fixed_key_gives_fixed_draws() -> None:
    seeds = row_seeds(np.array([-1], dtype=np.int64), 2)
    drawn = [token_uniforms(seeds, token).tolist() for token in range(2)]
    assert drawn == [
        [plain_draw(MASK, 0, 0, 0), plain_draw(MASK, 1, 0, 0)],
        [plain_draw(MASK, 0, 0, 1), plain_draw(MASK, 1, 0, 1)],
    ]


def test_draws_fill_the_unit_interval_evenly() -> None:
    # Keys as the control plane makes them; raw small numbers would meet the sample numbers in the first exclusive or.
    keys = fold(np.full(1000, 42, dtype=np.uint64), 1, 3, 0, np.arange(1000, dtype=np.uint64)).view(np.int64)
    draws = token_uniforms(row_seeds(keys, 50), 7)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    chi_squared = float(((counts - 2500) ** 2 / 2500).sum())
    assert chi_squared < 43.8  # 99.9 % of 19 degrees of freedom; the draws are fixed, so this cannot flicker
