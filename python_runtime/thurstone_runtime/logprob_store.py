"""Old and reference log-probabilities of the last rollout batches, kept on the worker between calls."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .batches import Group
from .errors import EngineError

Kind = Literal["old", "ref"]

KEPT_BATCHES = 2
"""One in training, and the next one, whose rollouts may already have been scored."""


@dataclass
class _Batch:
    temperature: float
    values: dict[tuple[Kind, int], tuple[NDArray[np.int32], Tensor]] = field(default_factory=dict)
    """The ids of the completion, and the log-probability of each."""


class LogprobStore:
    """By batch id and position in the rollout batch; the oldest batch leaves when a new one comes."""

    def __init__(self) -> None:
        self._batches: OrderedDict[str, _Batch] = OrderedDict()

    def put(self, kind: Kind, batch_id: str, temperature: float, group: Group, logprobs: Tensor) -> None:
        """Keeps a group's log-probabilities, one completion after the other, on the CPU."""
        if batch_id not in self._batches:
            self._batches[batch_id] = _Batch(temperature)
            while len(self._batches) > KEPT_BATCHES:
                self._batches.popitem(last=False)
        batch = self._at(batch_id, temperature)
        pieces = logprobs.detach().cpu().split([len(completion) for completion in group.completions])
        for index, completion, piece in zip(group.indices, group.completions, pieces, strict=True):
            batch.values[kind, index] = completion.copy(), piece.clone()

    def get(self, kind: Kind, batch_id: str, temperature: float, group: Group) -> Tensor | None:
        """What was kept for the group, in the order of its completions; None unless all of it is there."""
        if batch_id not in self._batches:
            return None
        values = self._at(batch_id, temperature).values
        kept = [values.get((kind, index)) for index in group.indices]
        found = [entry for entry in kept if entry is not None]
        if len(found) < len(kept):
            return None
        for index, completion, (ids, _) in zip(group.indices, group.completions, found, strict=True):
            if not np.array_equal(ids, completion):
                raise EngineError(
                    "bad_argument",
                    f'completion {index} of batch "{batch_id}" is not the one that log-probabilities were kept for; '
                    "a batch id must name one rollout batch only.",
                )
        return torch.cat([logprobs for _, logprobs in found])

    def clear(self) -> None:
        """Forgets everything."""
        self._batches.clear()

    def _at(self, batch_id: str, temperature: float) -> _Batch:
        batch = self._batches[batch_id]
        if batch.temperature != temperature:
            raise EngineError(
                "bad_argument",
                f'batch "{batch_id}" has log-probabilities at temperature {batch.temperature}; this call has '
                f"temperature {temperature}. Use one temperature for a batch, or another batch id.",
            )
        return batch
