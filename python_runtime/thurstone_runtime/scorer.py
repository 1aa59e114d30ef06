"""Log-probabilities of groups under the policy or its reference, and the ones kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .batches import Group
from .errors import EngineError, non_finite_logits
from .families import LoadedModel
from .images import Picture
from .layers import Watcher, heeded, watched_layers
from .logprob_store import LogprobStore
from .logprobs import Scores, group_scores
from .reference import Reference
from .vision import VisionTower


class Scorer:
    """Both models with their vision towers. `pictures[group]` are those of its prompt."""

    def __init__(
        self,
        loaded: LoadedModel,
        tower: VisionTower,
        reference: Reference | None,
        stored: LogprobStore,
        *,
        packed: bool = True,
    ) -> None:
        self.loaded = loaded
        self.tower = tower
        self.reference = reference
        self.stored = stored
        self._packed = packed

    def policy(
        self,
        groups: Sequence[Group],
        pictures: Sequence[Sequence[Picture]],
        temperature: float,
        watcher: Watcher,
        *,
        entropy: bool = False,
    ) -> Scores:
        """Under the weights as they are now; with gradient where one is recorded."""
        loaded = self.loaded
        with watched_layers(loaded.model, heeded(watcher, loaded.ranks)):
            scores = loaded.run(lambda: self._scores(loaded, self.tower, groups, pictures, temperature, entropy))
        return self._finite(scores)

    @torch.no_grad()
    def frozen(
        self,
        groups: Sequence[Group],
        pictures: Sequence[Sequence[Picture]],
        temperature: float,
        watcher: Watcher,
        *,
        entropy: bool = False,
    ) -> Scores:
        """Under the weights as they were loaded. Raises `no_reference` when no reference was asked for."""
        reference = self.reference
        if reference is None:
            raise EngineError(
                "no_reference",
                "reference log-probabilities are needed, but the model was loaded without a reference; "
                "load it with reference true, or set beta to 0.",
            )
        loaded = reference.loaded
        with reference.entered(), watched_layers(loaded.model, heeded(watcher, loaded.ranks)):
            scores = loaded.run(lambda: self._scores(loaded, reference.tower, groups, pictures, temperature, entropy))
        return self._finite(scores)

    def _scores(
        self,
        loaded: LoadedModel,
        tower: VisionTower,
        groups: Sequence[Group],
        pictures: Sequence[Sequence[Picture]],
        temperature: float,
        entropy: bool,
    ) -> Scores:
        options = {"temperature": temperature, "entropy": entropy, "packed": self._packed}
        if not loaded.ranks.in_step or any(len(completion) for group in groups for completion in group.completions):
            return group_scores(loaded, tower, groups, pictures, **options)
        # The other ranks make this pass: so does this one, on next to nothing, and leaves a gradient of 0.
        idle = group_scores(loaded, tower, [Group.idle(loaded.pad_token_id)], [[]], **options)
        return Scores(idle.logprobs[:0], None if idle.entropy is None else idle.entropy[:0])

    def _finite(self, scores: Scores) -> Scores:
        if self.loaded.ranks.highest(int(not torch.isfinite(scores.logprobs).all())):
            raise non_finite_logits()
        return scores
