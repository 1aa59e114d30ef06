"""Hidden states that predict completion tokens, each prompt computed once: what its completions share is not repeated.

Two passes: the prompts fill a cache, then every completion continues from the cache of its prompt. Keys and values are
handed on with their gradients, so both passes together are the padded one (`logprobs`), for less arithmetic: of G
completions of T tokens behind a prompt of P, P + G T tokens are fed instead of G (P + T).

Suffixes: P prompts, one per group; R rows of completions that feed a token; L positions of a prompt; F fed completion
tokens; K cached positions; N scored tokens of all completions; H hidden size; h heads; D values of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from .batches import Group
from .families import LoadedModel
from .vision import EncodedPicture


def shared_hidden(loaded: LoadedModel, groups: Sequence[Group], encoded: Sequence[Sequence[EncodedPicture]]) -> Tensor:
    """[N, H], completion after completion; `encoded[group]` are the pictures of its prompt.

    Not for layers that recompute their activations: transformers leaves the cache away there.
    """
    cache = DynamicCache()
    prompt_hidden_PLH, next_P = _prompt_pass(loaded, groups, encoded, cache)
    length_P = torch.tensor([len(group.prompt) for group in groups])
    last_PH = prompt_hidden_PLH[torch.arange(len(groups)), (length_P - 1).to(loaded.device)]

    group_of = [number for number, group in enumerate(groups) for _ in group.completions]
    completions = [completion for group in groups for completion in group.completions]
    feeding = [number for number, completion in enumerate(completions) if len(completion) > 1]
    flat_H = [last_PH]
    width = 0
    if feeding:
        width = max(len(completions[number]) for number in feeding) - 1
        rows = torch.tensor([group_of[number] for number in feeding])
        fed = [completions[number][:-1] for number in feeding]
        flat_H.append(_completion_pass(loaded, fed, width, rows, cache, length_P, next_P).flatten(0, 1))

    row_of = {number: row for row, number in enumerate(feeding)}
    index_N = [
        index
        for number, completion in enumerate(completions)
        if len(completion)
        for index in (
            group_of[number],
            *(len(groups) + row_of.get(number, 0) * width + place for place in range(len(completion) - 1)),
        )
    ]
    return torch.cat(flat_H)[torch.tensor(index_N, device=loaded.device)]


def _prompt_pass(
    loaded: LoadedModel,
    groups: Sequence[Group],
    encoded: Sequence[Sequence[EncodedPicture]],
    cache: DynamicCache,
) -> tuple[Tensor, Tensor]:
    """Fills `cache`; padding is on the right, where no prompt sees it. Also the first position behind each prompt."""
    width = max(len(group.prompt) for group in groups)
    ids_PL = torch.full((len(groups), width), loaded.pad_token_id)
    is_prompt_PL = torch.zeros_like(ids_PL)
    for row, group in enumerate(groups):
        ids_PL[row, : len(group.prompt)] = torch.from_numpy(group.prompt.astype(np.int64))
        is_prompt_PL[row, : len(group.prompt)] = 1
    grids = [[picture.grid for picture in own] for own in encoded]
    position_3PL, next_P = loaded.family.positions(ids_PL, grids, is_prompt_PL)
    is_image_PL = is_prompt_PL.bool() & (ids_PL == loaded.family.image_token_id)
    hidden_PLH = loaded.family.forward_hidden(
        loaded.model,
        ids_PL.to(loaded.device),
        position_3PL.to(loaded.device),
        image_features=[picture.features for own in encoded for picture in own],
        image_mask_BL=is_image_PL.to(loaded.device),
        past_key_values=cache,
    )
    return hidden_PLH, next_P


def _completion_pass(
    loaded: LoadedModel,
    fed: Sequence[np.ndarray],
    width: int,
    rows: Tensor,
    prompts: DynamicCache,
    length_P: Tensor,
    next_P: Tensor,
) -> Tensor:
    """[R, F, H]: `fed[row]` behind prompt `rows[row]`, whose keys and values end where the completion begins."""
    longest = int(length_P.max())
    ids_RF = torch.full((len(fed), width), loaded.pad_token_id)
    for row, tokens in enumerate(fed):
        ids_RF[row, : len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
    position_RF = next_P[rows].unsqueeze(1) + torch.arange(width)
    is_prompt_RK = torch.arange(longest) >= (longest - length_P[rows]).unsqueeze(1)
    mask_RK = torch.cat([is_prompt_RK.long(), torch.ones_like(ids_RF)], dim=1)
    cache = DynamicCache()
    for number, layer in enumerate(prompts.layers):
        keys_PhKD, values_PhKD = (_ending_together(getattr(layer, part), length_P) for part in ("keys", "values"))
        own = rows.to(loaded.device)
        cache.update(keys_PhKD.index_select(0, own), values_PhKD.index_select(0, own), number)
    return loaded.family.forward_hidden(
        loaded.model,
        ids_RF.to(loaded.device),
        position_RF.expand(3, -1, -1).to(loaded.device),
        attention_mask=mask_RK.to(loaded.device),
        past_key_values=cache,
    )


def _ending_together(states_PhKD: Tensor, length_P: Tensor) -> Tensor:
    """Moves the padding of shorter prompts from behind them to the front."""
    longest = states_PhKD.shape[2]
    if bool((length_P == longest).all()):
        return states_PhKD
    source_PK = (torch.arange(longest) - (longest - length_P).unsqueeze(1)).clamp_min(0)
    index_PhKD = source_PK.to(states_PhKD.device)[:, None, :, None].expand_as(states_PhKD)
    return states_PhKD.gather(2, index_PhKD)
