"""Does the fast way compute what the plain one does, with this model, on this device, with these versions?

Asked once per model load, on two small groups: packed rows against padded ones, and sampling against padded rows. The
attention of both fast ways is our own (`attention`) and rests on how transformers calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import torch

from .batches import Group
from .errors import EngineError
from .families import LoadedModel
from .generation import Context, GenerateOptions, GenerationResult, PromptInput, generate
from .images import Picture
from .logprobs import group_scores
from .sampling import SamplingOptions
from .vision import VisionTower

TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.5}
"""Largest difference of a log-probability, by type of compute; an answer that sees the wrong tokens is further off."""

_COMPLETION_LENGTHS = ((5, 1, 7), (6, 3))


@torch.no_grad()
def packing_warning(
    loaded: LoadedModel, context: Context, sampling: Callable[[], AbstractContextManager[LoadedModel]] | None = None
) -> str | None:
    """None when packed rows agree with padded ones, else what is to be told. `sampling` is that of a strategy.

    Raises `attention_unavailable` when sampling does not agree: there is no other way to sample.
    """
    tower = VisionTower(loaded)
    groups, pictures = _groups(loaded)
    limit = TOLERANCE[loaded.compute_dtype]
    difference = _largest_difference(loaded, tower, groups, pictures)
    with nullcontext(loaded) if sampling is None else sampling() as sampler:
        result = _greedy(sampler, tower.within(sampler), groups, pictures, context)
    sampled = _sampling_difference(loaded, tower, groups, pictures, result)
    if not sampled <= limit:
        raise EngineError(
            "attention_unavailable",
            f"sampling disagrees with the model's own forward by {sampled:.2g} in a log-probability (at most "
            f"{limit:.2g} is rounding) on {loaded.device}, with torch {torch.__version__}; load the model with "
            'attention "eager", or with the versions of requirements.txt.',
        )
    if difference <= limit:
        return None
    return (
        f"packed rows disagree with padded ones by {difference:.2g} in a log-probability (at most {limit:.2g} is "
        f"rounding) on {loaded.device}, with torch {torch.__version__}; the loss is computed on padded rows, which is "
        "right and several times slower."
    )


def _largest_difference(
    loaded: LoadedModel, tower: VisionTower, groups: Sequence[Group], pictures: Sequence[Sequence[Picture]]
) -> float:
    packed, padded = (
        loaded.run(lambda way=way: group_scores(loaded, tower, groups, pictures, temperature=1.0, packed=way)).logprobs
        for way in (True, False)
    )
    return (packed - padded).abs().max().item()


def _greedy(
    loaded: LoadedModel,
    tower: VisionTower,
    groups: Sequence[Group],
    pictures: Sequence[Sequence[Picture]],
    context: Context,
) -> GenerationResult:
    prompts = [PromptInput(group.prompt.tolist(), 0, own) for group, own in zip(groups, pictures, strict=True)]
    options = GenerateOptions(samples=2, max_new_tokens=4, sampling=SamplingOptions(temperature=0.0))
    return generate(loaded, tower, prompts, options, context)


def _sampling_difference(
    loaded: LoadedModel,
    tower: VisionTower,
    groups: Sequence[Group],
    pictures: Sequence[Sequence[Picture]],
    result: GenerationResult,
) -> float:
    rows = np.split(result.tokens, np.cumsum(result.lengths)[:-1])
    answered = [
        replace(group, completions=tuple(rows[2 * number : 2 * number + 2])) for number, group in enumerate(groups)
    ]
    padded = loaded.run(lambda: group_scores(loaded, tower, answered, pictures, temperature=1.0, packed=False)).logprobs
    return (torch.from_numpy(result.logprobs) - padded.float().cpu()).abs().max().item()


def _groups(loaded: LoadedModel) -> tuple[list[Group], list[list[Picture]]]:
    """A prompt with a picture and a longer one of text alone, with completions of other lengths each."""
    random = np.random.default_rng(0)
    constants, marker = loaded.family.image_constants, loaded.family.image_token_id

    def text(count: int) -> list[int]:
        ids = random.integers(0, loaded.vocab_size - 1, count)
        return (ids + (ids >= marker)).tolist()

    side = 2 * constants.patch_size * constants.merge_size
    pixels = torch.from_numpy(random.integers(0, 256, (side, side, 3), dtype=np.uint8))
    grid = (side // constants.patch_size, side // constants.patch_size)
    with_picture = loaded.family.expand_placeholders([*text(3), marker, *text(2)], [grid])
    prompts = [with_picture, text(len(with_picture) + 3)]
    groups = [
        Group(
            prompt=np.array(prompt, np.int32),
            images=(),
            completions=tuple(np.array(text(length), np.int32) for length in lengths),
            indices=tuple(range(len(lengths))),
            tokens=slice(0, sum(lengths)),
        )
        for prompt, lengths in zip(prompts, _COMPLETION_LENGTHS, strict=True)
    ]
    return groups, [[Picture("self-check", pixels)], []]
