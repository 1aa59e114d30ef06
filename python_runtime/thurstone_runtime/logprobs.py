"""Log-probabilities of completion tokens, of all groups together.

All groups stand in one packed row (`packing`). The plain way, one padded row [prompt | completion] per completion, is
what tests and `self_check` hold it against.

The vision tower runs once per picture, its features serve every row, and gradients flow back through them once. The
head is applied only where a completion token is predicted, so the [R, L, V] tensor never exists.

Padding of plain rows is on the right, where no token that is read sees it, so no mask is needed.
How many rows go together is the caller's decision (docs/protocol.md, `forwardBackward`); it changes nothing but the
rounding.

Suffixes: P prompts, one per group; R rows of all groups; L positions; F fed completion tokens of all rows; I image
tokens of all rows; N scored tokens of all rows; H hidden size; V vocabulary; 3 axes of a position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from .batches import Group
from .families import LoadedModel
from .images import Picture
from .packing import packed_hidden
from .ragged import cells
from .token_logprobs import TokenLogprobs
from .vision import EncodedPicture, VisionTower

LOGITS_BYTES = 512 * 2**20
"""Float32 logits held at once. More tokens are worked off in chunks, whose logits the backward pass makes again."""


class Scores(NamedTuple):
    """Of the tokens of all completions of all groups, one after the other; float32 [N]."""

    logprobs: Tensor
    """log p(token) under softmax(logits / temperature), over the whole vocabulary. Differentiable."""
    entropy: Tensor | None
    """Of that distribution, in nats. Differentiable; only a loss that holds it pays for its gradient."""


def group_scores(
    loaded: LoadedModel,
    tower: VisionTower,
    groups: Sequence[Group],
    pictures: Sequence[Sequence[Picture]],
    *,
    temperature: float,
    entropy: bool = False,
    logits_bytes: int = LOGITS_BYTES,
    packed: bool,
) -> Scores:
    """Scores of the groups' completions under `loaded.model`.

    `pictures[group]` are those of its prompt, encoded by `tower`. Gradients are recorded where they are enabled
    outside. To be called inside `LoadedModel.run`. `packed` changes nothing but the rounding.

    Raises `image_token_mismatch` when a prompt's placeholders do not fit its pictures.
    """
    scored = [number for number, group in enumerate(groups) if any(map(len, group.completions))]
    if not scored:
        empty = torch.zeros(0, device=loaded.device)
        return Scores(empty, empty if entropy else None)

    groups, pictures = [groups[number] for number in scored], [pictures[number] for number in scored]
    encoded = tower.encode(picture for own in pictures for picture in own)
    own = [[encoded.pictures[picture.key] for picture in own] for own in pictures]
    target_N = np.concatenate([completion for group in groups for completion in group.completions]).astype(np.int64)
    hidden_NH = packed_hidden(loaded, groups, own) if packed else padded_hidden(loaded, groups, own)
    return token_scores(
        loaded,
        hidden_NH if encoded.idle is None else hidden_NH + encoded.idle.to(hidden_NH.dtype),
        torch.from_numpy(target_N).to(loaded.device),
        temperature=temperature,
        entropy=entropy,
        logits_bytes=logits_bytes,
    )


def padded_hidden(loaded: LoadedModel, groups: Sequence[Group], encoded: Sequence[Sequence[EncodedPicture]]) -> Tensor:
    """[N, H]: the hidden states that predict the completions' tokens, one row [prompt | completion] per completion."""
    rows = _rows(loaded, groups, encoded)
    hidden_RLH = loaded.family.forward_hidden(
        loaded.model,
        rows.ids.to(loaded.device),
        rows.position.to(loaded.device),
        image_features=rows.image_features,
        image_mask_BL=rows.image_mask.to(loaded.device),
    )
    return hidden_RLH.flatten(0, 1)[rows.predicting.to(loaded.device)]


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
        logits_CV = logits_CV.to(torch.promote_types(logits_CV.dtype, torch.float32))
        if temperature != 1:
            logits_CV = logits_CV / temperature
        scored: Any = TokenLogprobs.apply(logits_CV, target_C, entropy)
        return scored

    chunk = max(1, logits_bytes // (4 * loaded.vocab_size))
    chunks = loaded.ranks.highest(max(1, -(-len(target_N) // chunk)))
    if chunks == 1:
        return Scores(*of_chunk(hidden_NH, target_N))
    pieces = [
        checkpoint(of_chunk, hidden_CH, target_C, use_reentrant=False)
        for hidden_CH, target_C in zip(hidden_NH.tensor_split(chunks), target_N.tensor_split(chunks), strict=True)
    ]
    return Scores(
        torch.cat([piece[0] for piece in pieces]), torch.cat([piece[1] for piece in pieces]) if entropy else None
    )


class _Rows(NamedTuple):
    """What is fed, on the CPU, but for the features."""

    ids: Tensor
    """int64 [R, L]"""
    position: Tensor
    """int64 [3, R, L]"""
    image_mask: Tensor
    """bool [R, L]: where image features go."""
    image_features: list[Tensor]
    """[I, H] in one piece; none without pictures."""
    predicting: Tensor
    """int64 [N]: index, into the flattened rows, of the token in front of each scored one."""


def _rows(loaded: LoadedModel, groups: Sequence[Group], encoded: Sequence[Sequence[EncodedPicture]]) -> _Rows:
    """The last token of a completion predicts nothing that is scored, so it is not fed. A completion counts on in text
    positions, whatever its ids are.
    """
    group_R = np.repeat(np.arange(len(groups)), [len(group.completions) for group in groups])
    completions = [completion for group in groups for completion in group.completions]
    scored_R = np.array([len(completion) for completion in completions])
    fed_R = np.maximum(scored_R - 1, 0)
    prompt_P = np.array([len(group.prompt) for group in groups])
    width = int((prompt_P[group_R] + fed_R).max())
    column_L = np.arange(width)
    is_prompt_PL = column_L < prompt_P[:, None]

    ids_PL = np.full((len(groups), width), loaded.pad_token_id, dtype=np.int64)
    ids_PL[is_prompt_PL] = np.concatenate([group.prompt for group in groups])
    position_3PL, next_P = loaded.family.positions(
        torch.from_numpy(ids_PL),
        [[picture.grid for picture in own] for own in encoded],
        torch.from_numpy(is_prompt_PL.astype(np.int64)),
    )
    following_PL = next_P[:, None] + torch.from_numpy(column_L - prompt_P[:, None])
    position_3PL = torch.where(torch.from_numpy(is_prompt_PL), position_3PL, following_PL)
    is_image_PL = is_prompt_PL & (ids_PL == loaded.family.image_token_id)

    ids_RL = ids_PL[group_R]
    flat_F = cells(prompt_P[group_R], fed_R, width)
    ids_RL.reshape(-1)[flat_F] = np.concatenate([completion[:-1] for completion in completions])
    rows = torch.from_numpy(group_R)
    return _Rows(
        ids=torch.from_numpy(ids_RL),
        position=position_3PL[:, rows],
        image_mask=torch.from_numpy(is_image_PL)[rows],
        image_features=_features_of_rows(group_R, encoded),
        predicting=torch.from_numpy(cells(prompt_P[group_R] - 1, scored_R, width)),
    )


def _features_of_rows(group_R: NDArray[np.int64], encoded: Sequence[Sequence[EncodedPicture]]) -> list[Tensor]:
    """Every row's features in the order of its placeholders; in one gather, which adds up their gradients at once."""
    pieces = [picture.features for own in encoded for picture in own]
    if not pieces:
        return []
    count_P = np.array([sum(len(picture.features) for picture in own) for own in encoded])
    first_P = np.cumsum(count_P) - count_P
    features = torch.cat(pieces)
    # Each group's features lie side by side, as one row of cells.
    index_I = cells(first_P[group_R], count_P[group_R], 0)
    return [features[torch.from_numpy(index_I).to(features.device)]]
