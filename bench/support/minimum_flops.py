"""Floating point operations that a GRPO step of a Qwen2.5-VL cannot do without when no prompt is computed twice.

What is counted: every matrix product of the model, a multiplication and an addition being two operations. What is done:

    prefill    the vision tower on each picture, the text model on each prompt, the head behind its last token
    decode     the text model on each completion token but the last, and the head behind it
    reference  the vision tower, the prompts, the completion tokens and the head, once more with other weights
    loss       the same, and backward

A tower in training is passed in prefill, reference and loss; a frozen one once per picture. The first tokens of all
completions of a prompt are predicted behind the same token, so the head is applied there once. Attention is counted as
torch's counter does: every query with every key that its kernel is given (the completion's own part is not halved for
causality), backward two and a half times forward, because fused kernels compute the scores again. Backward of every
other product is twice forward, once for the weights and once for the input; pictures need no gradient.

An adapter of rank r on all linear layers of the text model takes part in sampling and in the loss and not in the
reference; its products are counted beside those of the layers, because adding it to them would round otherwise. Of the
layers themselves backward then needs the gradients of their inputs alone, and in front of the first layer none.

Not subtracted, though an exact program may leave it out: in the last layer, all but keys and values of those prompt
tokens that predict nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ATTENTION_BACKWARD = 2.5
BACKWARD = 2


@dataclass(frozen=True)
class GroupShape:
    """One prompt with its completions."""

    prompt: int
    """Tokens, pictures included."""
    pictures: tuple[tuple[int, int], ...]
    """Rows and columns of patches of each."""
    completions: tuple[int, ...]
    """Tokens of each, at least one."""


@dataclass(frozen=True)
class MinimumFlops:
    """Operations of the stations of a step."""

    prefill: float
    decode: float
    reference: float
    loss: float

    @property
    def total(self) -> float:
        """Of the step."""
        return self.prefill + self.decode + self.reference + self.loss


def minimum_flops(
    config: Any, groups: Sequence[GroupShape], *, frozen_tower: bool, lora_rank: int | None = None
) -> MinimumFlops:
    """`config`: the model's, as transformers reads it. With an adapter the tower is frozen."""
    text, vision = config.text_config, config.vision_config
    pictures = [grid for group in groups for grid in group.pictures]
    tower, tower_backward = (sum(values) for values in zip(*(_tower(vision, grid) for grid in pictures), strict=True))
    fed = sum(length - 1 for group in groups for length in group.completions)
    scored = len(groups) + fed
    prompt_tokens = sum(group.prompt for group in groups)
    prompt = _text(text, prompt_tokens, sum(group.prompt**2 for group in groups))
    read = sum((length - 1) * (group.prompt + length - 1) for group in groups for length in group.completions)
    completions = _text(text, fed, read)
    head = 2 * scored * text.hidden_size * text.vocab_size

    # Token by token: the n-th fed one sees the prompt, those before it, and itself.
    seen = sum((n - 1) * group.prompt + n * (n - 1) // 2 for group in groups for n in group.completions)
    forward = prompt.products + completions.products + head
    attention = prompt.attention + completions.attention
    decoded = _text(text, fed, seen)
    head_prefill = 2 * len(groups) * text.hidden_size * text.vocab_size
    scoring = forward + attention + (0 if frozen_tower else tower)
    if lora_rank is None:
        added = _Adapter(0, 0)
        products_backward = BACKWARD * forward
    else:
        added = _adapter(text, lora_rank)
        products_backward = forward + (prompt_tokens + fed) * (BACKWARD * added.per_token - added.spared)
    backward = products_backward + ATTENTION_BACKWARD * attention + (0 if frozen_tower else tower_backward)
    return MinimumFlops(
        prefill=tower + prompt.products + prompt.attention + head_prefill + prompt_tokens * added.per_token,
        decode=decoded.products + decoded.attention + head - head_prefill + fed * added.per_token,
        reference=scoring,
        loss=scoring + (prompt_tokens + fed) * added.per_token + backward,
    )


@dataclass(frozen=True)
class _Forward:
    products: int
    attention: int


@dataclass(frozen=True)
class _Adapter:
    """Of one token."""

    per_token: int
    """Forward, all layers."""
    spared: int
    """Backward of the first layer's queries, keys and values by their inputs, base and adapter: nothing in front of it
    is trained."""


def _adapter(text: Any, rank: int) -> _Adapter:
    queries, keys = _widths(text)
    hidden, inner = text.hidden_size, text.intermediate_size
    ends = [queries, keys, keys, queries, inner, inner, inner]
    return _Adapter(
        per_token=2 * text.num_hidden_layers * rank * sum(hidden + end for end in ends),
        spared=2 * hidden * (queries + 2 * keys + 3 * rank),
    )


def _widths(text: Any) -> tuple[int, int]:
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    return text.num_attention_heads * head_size, text.num_key_value_heads * head_size


def _text(text: Any, tokens: int, pairs: int) -> _Forward:
    """The layers on so many tokens, with so many pairs of query and key in each."""
    queries, keys = _widths(text)
    weights = text.hidden_size * (2 * queries + 2 * keys + 3 * text.intermediate_size)
    layers = text.num_hidden_layers
    return _Forward(2 * layers * tokens * weights, 4 * layers * pairs * queries)


def _tower(vision: Any, grid: tuple[int, int]) -> tuple[float, float]:
    """Forward and backward of the vision tower on one picture."""
    patches = grid[0] * grid[1]
    unit = vision.spatial_merge_size**2
    size, merged = vision.hidden_size, unit * vision.hidden_size
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    embed = 2 * patches * values * size
    blocks = 2 * patches * vision.depth * size * (4 * size + 3 * vision.intermediate_size)
    merger = 2 * (patches // unit) * merged * (merged + vision.out_hidden_size)
    full = len(vision.fullatt_block_indexes)
    pairs = full * patches**2 + (vision.depth - full) * sum(own**2 for own in windows(vision, grid))
    attention = 4 * pairs * size
    forward = embed + blocks + merger + attention
    return forward, embed + BACKWARD * (blocks + merger) + ATTENTION_BACKWARD * attention


def windows(vision: Any, grid: tuple[int, int]) -> list[int]:
    """Patches of each attention window: squares of `window_size` pixels, cut off at the lower and right edge."""
    merge = vision.spatial_merge_size
    side = vision.window_size // merge // vision.patch_size
    rows, columns = (_pieces(length // merge, side) for length in grid)
    return [row * column * merge**2 for row in rows for column in columns]


def _pieces(length: int, piece: int) -> list[int]:
    return [piece] * (length // piece) + ([length % piece] if length % piece else [])
