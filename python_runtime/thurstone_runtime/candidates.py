"""Log-probabilities of the same few tokens at every position of given completions.

The prompt is read once and its completions share it (`packing`), so that many short continuations of a long
prompt cost little more than the prompt. No gradient.

Suffixes: N scored tokens of all completions, M some of them, C candidates, H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batches import Group, GroupBatch
from .errors import EngineError
from .families import LoadedModel
from .images import Picture
from .layers import Watcher
from .logprobs import LOGITS_BYTES
from .packing import packed_hidden
from .vision import VisionTower


def score_candidates(
    loaded: LoadedModel,
    tower: VisionTower,
    batch: GroupBatch,
    pictures: Sequence[Sequence[Picture]],
    candidate_C: Tensor,
    *,
    temperature: float,
    watcher: Watcher,
) -> NDArray[np.float32]:
    """`candidate_logprobs` of every group [tokens, C]. Where passes are made by all ranks, all call it together, and
    one with fewer groups passes idly."""
    found = np.zeros((batch.token_count, len(candidate_C)), np.float32)
    scored = [
        (group, own)
        for group, own in zip(batch.groups, pictures, strict=True)
        if group.tokens.stop > group.tokens.start
    ]
    idle = (Group.idle(loaded.pad_token_id), ())
    for number in range(loaded.ranks.highest(len(scored))):
        with loaded.ranks.together():
            watcher.check_cancelled()
        group, own = scored[number] if number < len(scored) else idle
        with loaded.ranks.together():
            logprobs_NC = candidate_logprobs(loaded, tower, group, own, candidate_C, temperature=temperature)
        if number < len(scored):
            found[group.tokens] = logprobs_NC
        watcher.tick()
    return found


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

    def scores() -> Tensor:
        encoded = tower.encode(pictures).pictures
        hidden_NH = packed_hidden(loaded, [group], [[encoded[picture.key] for picture in pictures]])
        ids_C = candidate_C.to(loaded.device)
        chunk = max(1, LOGITS_BYTES // (4 * loaded.vocab_size))
        pieces = hidden_NH.split(chunk)
        missing = loaded.ranks.highest(len(pieces)) - len(pieces)
        found = [_scores(loaded, hidden_MH, ids_C, temperature) for hidden_MH in pieces]
        for _ in range(missing):
            loaded.family.head(loaded.model, hidden_NH[:1])
        return torch.cat(found)

    logprobs_NC = loaded.run(scores).cpu()
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


def check_candidates(candidates: NDArray[np.int32], vocab_size: int) -> None:
    """Raises `bad_argument` unless there are any, and all are ids of the vocabulary."""
    if not len(candidates) or candidates.min() < 0 or candidates.max() >= vocab_size:
        raise EngineError(
            "bad_argument", f"candidate_ids must hold at least one id, all within 0 .. {vocab_size - 1}; they do not."
        )
