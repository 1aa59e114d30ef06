"""Log-probabilities of the same few tokens at every position of given completions.

The prompt is read once and its completions share what it left in the cache, so that many short continuations of a long
prompt cost little more than the prompt. No gradient.

Suffixes: G rows of a group, P prompt tokens, W completion tokens that are fed, N scored tokens of all rows, C
candidates, H hidden size, V vocabulary, 3 axes of a position.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from .batches import Group
from .errors import EngineError
from .families import LoadedModel
from .images import Picture
from .kv_cache import repeated_cache
from .logprobs import LOGITS_BYTES
from .vision import VisionTower


@torch.no_grad()
def candidate_logprobs(
    loaded: LoadedModel,
    tower: VisionTower,
    group: Group,
    pictures: Sequence[Picture],
    candidate_C: Tensor,
    *,
    temperature: float,
) -> Tensor:
    """log p(candidate) under softmax(logits / temperature) wherever a completion token is predicted [N, C], in float32
    or better.

    `pictures` are those of the prompt, encoded by `tower`. Raises `non_finite_logits`.
    """
    with loaded.autocast():
        hidden_NH = _predicting_states(loaded, tower, group, pictures)
        ids_C = candidate_C.to(loaded.device)
        chunk = max(1, LOGITS_BYTES // (4 * loaded.vocab_size))
        pieces = [_scores(loaded, hidden_MH, ids_C, temperature) for hidden_MH in hidden_NH.split(chunk)]
    logprobs_NC = torch.cat(pieces).cpu()
    if not torch.isfinite(logprobs_NC).all():
        raise EngineError(
            "non_finite_logits",
            "the model's logits hold NaN or infinity where candidates are scored; use another checkpoint, or float32.",
        )
    return logprobs_NC


def _scores(loaded: LoadedModel, hidden_MH: Tensor, ids_C: Tensor, temperature: float) -> Tensor:
    logits_MV = loaded.family.head(loaded.model, hidden_MH)
    logits_MV = logits_MV.to(torch.promote_types(logits_MV.dtype, torch.float32)) / temperature
    return logits_MV[:, ids_C] - logits_MV.logsumexp(dim=-1, keepdim=True)


def _predicting_states(loaded: LoadedModel, tower: VisionTower, group: Group, pictures: Sequence[Picture]) -> Tensor:
    """Hidden states [N, H], each that of the token in front of a completion token."""
    found = tower.encode(pictures)
    encoded = [found[picture.key] for picture in pictures]
    prompt_1P = torch.from_numpy(group.prompt.copy()).long().unsqueeze(0)
    position_31P, next_1 = loaded.family.positions(prompt_1P, [[picture.grid for picture in encoded]])
    cache = DynamicCache()
    hidden_1PH = loaded.family.forward_hidden(
        loaded.model,
        prompt_1P.to(loaded.device),
        position_31P.to(loaded.device),
        image_features=[picture.features for picture in encoded],
        past_key_values=cache,
    )
    lengths = [len(completion) for completion in group.completions]
    width = max(lengths) - 1
    states = [hidden_1PH[:, -1:].expand(len(lengths), -1, -1)]
    if width > 0:
        ids_GW = torch.full((len(lengths), width), loaded.pad_token_id)
        for row, completion in enumerate(group.completions):
            fed = completion[:-1]
            ids_GW[row, : len(fed)] = torch.from_numpy(fed.copy())
        position_3GW = (next_1 + torch.arange(width)).expand(3, len(lengths), width)
        states.append(
            # Padding is on the right, behind everything that is read.
            loaded.family.forward_hidden(
                loaded.model,
                ids_GW.to(loaded.device),
                position_3GW.to(loaded.device),
                past_key_values=repeated_cache([(cache, [0])], [len(group.prompt)], len(lengths), width),
            )
        )
    hidden_GLH = torch.cat(states, dim=1)
    return torch.cat([hidden_GLH[row, :length] for row, length in enumerate(lengths)])
