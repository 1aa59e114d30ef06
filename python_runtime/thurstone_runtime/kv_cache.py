"""A key-value cache for a decode loop: room is made ahead, prompts are copied in once per completion, rows can go.

transformers' DynamicCache copies everything at every token; this one copies only when its room runs out.

Suffixes: R rows, K cached positions, D values of a head; heads come second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

GROWTH = 1.5


class GrowingLayer(DynamicLayer):
    """`keys` and `values` are views of the filled part [R, heads, K, D] of larger buffers."""

    def __init__(self, keys: Tensor, values: Tensor, length: int) -> None:
        super().__init__()
        self.is_initialized = True
        self.dtype, self.device = keys.dtype, keys.device
        self._buffers = (keys, values)
        self._length = length
        self._show()

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Appends [R, heads, new, D] and returns everything up to there."""
        start = self._length
        end = start + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._buffers = (_grown(self._buffers[0], start, end), _grown(self._buffers[1], start, end))
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._length = end
        return self._show()

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps only these rows."""
        self._buffers = (self._buffers[0][indices], self._buffers[1][indices])
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        self.keys = keys = self._buffers[0][:, :, : self._length]
        self.values = values = self._buffers[1][:, :, : self._length]
        return keys, values


def repeated_cache(
    prefilled: Sequence[tuple[DynamicCache, Sequence[int]]], lengths: Sequence[int], samples: int, room: int
) -> Cache:
    """One cache for all completions, each prompt `samples` times, aligned to the right as if padded on the left.

    `prefilled`: caches of prompts padded on the right, each with the numbers of the prompts in its rows; `lengths` the
    true length of every prompt. `room`: how many more positions to make room for at once.
    """
    longest = max(lengths)
    rows = len(lengths) * samples
    layers = []
    for layer in range(len(prefilled[0][0].layers)):
        buffers = []
        for part in ("keys", "values"):
            like = getattr(prefilled[0][0].layers[layer], part)
            buffer = like.new_zeros(rows, like.shape[1], longest + room, like.shape[3])
            for cache, prompts in prefilled:
                states = getattr(cache.layers[layer], part)
                for row, prompt in enumerate(prompts):
                    length = lengths[prompt]
                    own_rows = slice(prompt * samples, (prompt + 1) * samples)
                    buffer[own_rows, :, longest - length : longest] = states[row, :, :length]
            buffers.append(buffer)
        layers.append(GrowingLayer(buffers[0], buffers[1], longest))
    return Cache(layers=layers)


def select_rows(cache: Cache, rows: Tensor) -> None:
    """Keeps only these rows of every layer."""
    for layer in cache.layers:
        layer.batch_select_indices(rows)  # pyright: ignore[reportAttributeAccessIssue]


def _grown(buffer: Tensor, filled: int, needed: int) -> Tensor:
    rows, heads, _, size = buffer.shape
    larger = buffer.new_zeros(rows, heads, max(needed, int(buffer.shape[-2] * GROWTH)), size)
    larger[:, :, :filled] = buffer[:, :, :filled]
    return larger
