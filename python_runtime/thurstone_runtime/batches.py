"""Ragged tensors of the wire, checked and cut into groups: one prompt with its completions each.

Suffixes: P prompts, N completions in all, T tokens of one completion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Group:
    """One prompt and its completions."""

    prompt: NDArray[np.int32]
    images: tuple[str, ...]
    """Keys of the prompt's pictures, in order."""
    completions: tuple[NDArray[np.int32], ...]
    indices: tuple[int, ...]
    """Position of each completion in the rollout batch."""
    tokens: slice
    """Where the completions' tokens lie among all completion tokens of the batch."""

    @staticmethod
    def without_completions(prompt: Sequence[int]) -> Group:
        """A prompt alone."""
        return Group(np.array(prompt, np.int32), (), (), (), slice(0, 0))

    @staticmethod
    def idle(token: int) -> Group:
        """The least that a pass can be made of."""
        return Group(np.array([token], np.int32), (), (np.array([token], np.int32),), (0,), slice(0, 1))


@dataclass(frozen=True)
class GroupBatch:
    """What `logprobs` and `forwardBackward` work on."""

    groups: tuple[Group, ...]
    token_count: int
    """Completion tokens in all groups."""


def read_ids(tensors: Arrays, name: str, lengths_name: str, vocab_size: int) -> list[NDArray[np.int32]]:
    """Ragged token ids: one array per length. Raises `bad_argument` for lengths that do not add up or an id outside
    the vocabulary."""
    lengths = read_vector(tensors, lengths_name, np.int32)
    ids = read_vector(tensors, name, np.int32)
    if (lengths < 0).any() or int(lengths.sum(dtype=np.int64)) != len(ids):
        raise EngineError(
            "bad_argument",
            f"{lengths_name} must be from 0 and add up to the {len(ids)} ids of {name}; found another sum.",
        )
    if len(ids) and (ids.min() < 0 or ids.max() >= vocab_size):
        wrong = int(ids.min()) if ids.min() < 0 else int(ids.max())
        raise EngineError("bad_argument", f"{name} holds id {wrong}; this model's vocabulary is 0 .. {vocab_size - 1}.")
    return np.split(ids, np.cumsum(lengths)[:-1]) if len(lengths) else []


def read_vector(tensors: Arrays, name: str, dtype: type[np.generic], length: int | None = None) -> np.ndarray:
    """A tensor of one dimension, of this type and, if given, length. Floats must be finite."""
    array = tensors.get(name)
    expected = f"{np.dtype(dtype).name} [{'any' if length is None else length}]"
    if array is None:
        raise EngineError("bad_argument", f'tensor "{name}" ({expected}) is missing.')
    if array.dtype != dtype or array.ndim != 1 or (length is not None and len(array) != length):
        raise EngineError(
            "bad_argument", f'tensor "{name}" is {array.dtype.name} {list(array.shape)}; expected {expected}.'
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise EngineError("bad_argument", f'tensor "{name}" holds NaN or infinity; every value must be finite.')
    return array


def read_group_batch(
    images: Sequence[Sequence[str]], tensors: Arrays, *, vocab_size: int, max_positions: int
) -> GroupBatch:
    """The group batch of docs/protocol.md section 3, checked. A completion may be empty; a prompt may not."""
    prompts = read_ids(tensors, "prompt_ids", "prompt_lengths", vocab_size)
    completions = read_ids(tensors, "completion_ids", "completion_lengths", vocab_size)
    sizes = read_vector(tensors, "group_sizes", np.int32, len(prompts))
    indices = read_vector(tensors, "completion_index", np.int32, len(completions))
    if (sizes < 1).any() or int(sizes.sum(dtype=np.int64)) != len(completions):
        raise EngineError(
            "bad_argument", f"group_sizes must be from 1 and add up to the {len(completions)} completions; they do not."
        )
    if len(images) != len(prompts):
        raise EngineError("bad_argument", f"images lists pictures of {len(images)} prompts; there are {len(prompts)}.")
    if len(np.unique(indices)) != len(indices) or (indices < 0).any():
        raise EngineError("bad_argument", "completion_index must be from 0 and name each completion once.")

    groups, first, token = [], 0, 0
    for number, (prompt, size) in enumerate(zip(prompts, sizes.tolist(), strict=True)):
        own = tuple(completions[first : first + size])
        count = sum(len(completion) for completion in own)
        _check_length(number, len(prompt), max(len(completion) for completion in own), max_positions)
        groups.append(
            Group(
                prompt=prompt,
                images=tuple(images[number]),
                completions=own,
                indices=tuple(indices[first : first + size].tolist()),
                tokens=slice(token, token + count),
            )
        )
        first, token = first + size, token + count
    return GroupBatch(tuple(groups), token)


def _check_length(number: int, prompt: int, longest: int, max_positions: int) -> None:
    if prompt == 0:
        raise EngineError("bad_argument", f"prompt {number} has no tokens.")
    if prompt + longest > max_positions:
        raise EngineError(
            "prompt_too_long",
            f"prompt {number} has {prompt} tokens and its longest completion {longest}; together they exceed the "
            f"{max_positions} positions of the model. Lower max_pixels, the number of images or the completion length.",
        )
