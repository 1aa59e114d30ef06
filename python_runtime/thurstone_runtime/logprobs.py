"""Log-probabilities of completion tokens, on padded rows: one row [prompt | completion] per completion of a group.

The vision tower runs once per group, its features serve every row, and gradients flow back through them once. The head
is applied only where a completion token is predicted, so the [B, L, V] tensor never exists.

Padding is on the right, behind everything that is read: with causal attention no token sees it, so no mask is needed.

Suffixes: G rows of a group, P prompt tokens, L positions, N scored tokens of all rows, H hidden size, V vocabulary,
3 axes of a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .batches import Group
from .families import ImagePatches, LoadedModel

LOGITS_BYTES = 512 * 2**20
"""Float32 logits held at once. More tokens are worked off in chunks, whose logits the backward pass makes again."""


class Scores(NamedTuple):
    """Of the tokens of all completions of a group, one after the other; float32 [N]."""

    logprobs: Tensor
    """log p(token) under softmax(logits / temperature), over the whole vocabulary. Differentiable."""
    entropy: Tensor | None
    """Of that distribution, in nats; no gradient."""


def group_scores(
    loaded: LoadedModel,
    group: Group,
    images: Sequence[Tensor],
    *,
    temperature: float,
    entropy: bool = False,
    train_vision: bool = False,
    logits_bytes: int = LOGITS_BYTES,
) -> Scores:
    """Scores of one group's completions under `loaded.model`.

    `images`: uint8 [height, width, 3], one per picture of the prompt, at its final size. `train_vision` False computes
    the vision tower without gradient. Gradients are recorded where they are enabled outside. Enter `autocast` outside.

    Raises `image_token_mismatch` when the prompt's placeholders do not fit the pictures.
    """
    lengths = [len(completion) for completion in group.completions]
    if not any(lengths):
        empty = torch.zeros(0, device=loaded.device)
        return Scores(empty, empty if entropy else None)

    patches = [loaded.family.patchify(image.to(loaded.device)) for image in images]
    ids_GL, position_3GL, image_mask_GL = _rows(loaded, group, patches)
    with torch.set_grad_enabled(torch.is_grad_enabled() and train_vision):
        features = loaded.family.encode_images(loaded.model, patches)
    hidden_GLH = loaded.family.forward_hidden(
        loaded.model,
        ids_GL.to(loaded.device),
        position_3GL.to(loaded.device),
        image_features=features * len(lengths),
        image_mask_BL=image_mask_GL.to(loaded.device),
    )
    row_N = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    column_N = torch.cat([torch.arange(length) for length in lengths]) + len(group.prompt) - 1
    hidden_NH = hidden_GLH[row_N.to(loaded.device), column_N.to(loaded.device)]
    target_N = torch.cat([torch.from_numpy(completion.copy()) for completion in group.completions]).long()
    return token_scores(
        loaded,
        hidden_NH,
        target_N.to(loaded.device),
        temperature=temperature,
        entropy=entropy,
        logits_bytes=logits_bytes,
    )


def token_scores(
    loaded: LoadedModel,
    hidden_NH: Tensor,
    target_N: Tensor,
    *,
    temperature: float,
    entropy: bool,
    logits_bytes: int = LOGITS_BYTES,
) -> Scores:
    """Scores of tokens given the hidden states that predict them."""

    def of_chunk(hidden_CH: Tensor, target_C: Tensor) -> tuple[Tensor, Tensor | None]:
        logits_CV = loaded.family.head(loaded.model, hidden_CH)
        logits_CV = logits_CV.to(torch.promote_types(logits_CV.dtype, torch.float32)) / temperature
        normaliser_C = logits_CV.logsumexp(dim=-1)
        logprob_C = logits_CV.gather(1, target_C.unsqueeze(1)).squeeze(1) - normaliser_C
        return logprob_C, _entropy(logits_CV.detach(), normaliser_C.detach()) if entropy else None

    chunk = max(1, logits_bytes // (4 * loaded.vocab_size))
    if len(target_N) <= chunk:
        return Scores(*of_chunk(hidden_NH, target_N))
    pieces = [
        checkpoint(of_chunk, hidden_CH, target_C, use_reentrant=False)
        for hidden_CH, target_C in zip(hidden_NH.split(chunk), target_N.split(chunk), strict=True)
    ]
    return Scores(
        torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces]) if entropy else None
    )


def _entropy(logits_NV: Tensor, normaliser_N: Tensor) -> Tensor:
    probability_NV = (logits_NV - normaliser_N.unsqueeze(1)).exp()
    return normaliser_N - (probability_NV * logits_NV).sum(dim=-1)


def _rows(loaded: LoadedModel, group: Group, patches: Sequence[ImagePatches]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids [G, L], positions [3, G, L] and where image features go [G, L], on the CPU.

    The last token of a completion predicts nothing that is scored, so it is not fed. A completion counts on in text
    positions, whatever its ids are.
    """
    prompt_P = torch.from_numpy(group.prompt.copy()).long()
    prompt_position_31P, next_1 = loaded.family.positions(prompt_P.unsqueeze(0), [[patch.grid for patch in patches]])
    count, width = len(prompt_P), max(len(completion) for completion in group.completions) - 1

    ids_GL = torch.full((len(group.completions), count + width), loaded.pad_token_id)
    ids_GL[:, :count] = prompt_P
    for row, completion in enumerate(group.completions):
        fed = completion[:-1]
        ids_GL[row, count : count + len(fed)] = torch.from_numpy(fed.copy())
    following_3W = (next_1 + torch.arange(width)).expand(3, width)
    position_3L = torch.cat([prompt_position_31P[:, 0], following_3W], dim=1)
    image_mask_GL = torch.zeros_like(ids_GL, dtype=torch.bool)
    image_mask_GL[:, :count] = prompt_P == loaded.family.image_token_id
    return ids_GL, position_3L.unsqueeze(1).expand(-1, len(group.completions), -1), image_mask_GL
