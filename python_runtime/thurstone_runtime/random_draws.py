"""Uniform draws that are a pure function of what they are for (docs/protocol.md, section 5).

A draw depends on (key, sample, attempt, token) and on nothing else: not on the batch, the order of rows, or a shared
generator. SplitMix64's finaliser (Steele, Lea, Flood 2014) on unsigned 64-bit integers does the mixing.

Suffix: R rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Uint64 = NDArray[np.uint64]

DROPOUT, ADAPTER = 4, 7
"""Streams of draws that the worker makes by itself: what adapters drop, and their first weights."""

_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_FIRST_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_SECOND_FACTOR = np.uint64(0x94D049BB133111EB)


def mix(values: Uint64) -> Uint64:
    """The finaliser, element by element; arrays of at least one dimension, so that overflow wraps silently."""
    values = values + _INCREMENT
    values = (values ^ (values >> np.uint64(30))) * _FIRST_FACTOR
    values = (values ^ (values >> np.uint64(27))) * _SECOND_FACTOR
    return values ^ (values >> np.uint64(31))


def fold(start: Uint64, *parts: Uint64 | int) -> Uint64:
    """mix(... mix(mix(start ^ first) ^ second) ...), element by element; a part is an array or one number for all."""
    for part in parts:
        start = mix(start ^ np.asarray(part, dtype=np.uint64))
    return start


def draw_seed(seed: int, stream: int, *parts: int) -> int:
    """For one of torch's generators, from 0 to 2^63 - 1; `seed` is the run's."""
    return int(fold(mix(np.array([seed], np.uint64)), stream, *parts)[0] >> np.uint64(1))


def row_seeds(keys: NDArray[np.int64], samples: int, attempt: int = 0) -> Uint64:
    """Seeds of all completions, uint64 [P * samples], prompt-major; `keys` int64 [P] as they travel (two's complement),
    P prompts."""
    keys_R = np.repeat(keys.astype(np.int64).view(np.uint64), samples)
    samples_R = np.tile(np.arange(samples, dtype=np.uint64), len(keys))
    return fold(keys_R, samples_R, attempt)


def token_uniforms(seeds_R: Uint64, token: int) -> NDArray[np.float64]:
    """One draw in [0, 1) per row, for the token of this number (0 for a completion's first); the top 53 bits."""
    return (fold(seeds_R, token) >> np.uint64(11)).astype(np.float64) * 2.0**-53
