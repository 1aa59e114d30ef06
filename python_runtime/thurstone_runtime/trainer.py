"""One model in training: gradients of a step accumulated part by part, the update, and what must never go wrong.

A step is `forward_backward` for part 0, 1, ... and then `update`. Whatever fails in between, the gradients of the step
are dropped, and weights and optimizer keep every bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from .batches import Group, GroupBatch
from .errors import EngineError
from .families import LoadedModel
from .logprob_store import LogprobStore
from .logprobs import Scores, group_scores
from .losses import weighted_loss
from .optim import StepResult
from .reference import Reference
from .strategies import Strategy

SUMS = ("loss", "policy_loss", "kl", "weighted_kl", "entropy", "clipped_low", "clipped_high", "tokens", "sequences")
COUNTS = ("clipped_low", "clipped_high", "tokens", "sequences")


class Context(Protocol):
    """The part of `context.CallContext` that is used here."""

    def check_cancelled(self) -> None: ...
    def tick(self) -> None: ...
    def set_phase(self, name: str) -> None: ...


@dataclass(frozen=True)
class Objective:
    """What a part is trained for. `spec` is that of `losses.weighted_loss`; `stored_old` takes the ratio against the
    log-probabilities kept for the batch instead of the forward's own."""

    spec: dict[str, Any]
    stored_old: bool
    temperature: float
    batch_id: str


class Scorer:
    """Log-probabilities of groups under the policy or its reference, and the ones kept."""

    def __init__(self, loaded: LoadedModel, reference: Reference | None, stored: LogprobStore) -> None:
        self.loaded = loaded
        self.reference = reference
        self.stored = stored

    @torch.no_grad()
    def policy(self, group: Group, images: Sequence[Tensor], temperature: float, *, entropy: bool = False) -> Scores:
        """Under the weights as they are now; no gradient."""
        with self.loaded.autocast():
            return _finite(group_scores(self.loaded, group, images, temperature=temperature, entropy=entropy))

    @torch.no_grad()
    def frozen(self, group: Group, images: Sequence[Tensor], temperature: float, *, entropy: bool = False) -> Scores:
        """Under the weights as they were loaded. Raises `no_reference` when no copy was asked for."""
        if self.reference is None:
            raise EngineError(
                "no_reference",
                "reference log-probabilities are needed, but the model was loaded without a frozen copy; "
                "load it with reference true, or set beta to 0.",
            )
        with self.reference.autocast():
            return _finite(group_scores(self.reference.loaded, group, images, temperature=temperature, entropy=entropy))


class Trainer:
    """Gradients, updates and the count of both."""

    def __init__(self, scorer: Scorer, strategy: Strategy, *, train_vision: bool) -> None:
        self._scorer = scorer
        self._strategy = strategy
        self._train_vision = train_vision
        self._parts = 0
        self.applied = 0
        """Number of the last step, and the version of the weights. A step that was skipped counts as well."""

    @property
    def strategy(self) -> Strategy:
        """Where weights and optimizer are."""
        return self._strategy

    def forward_backward(
        self,
        step: int,
        part: int,
        batch: GroupBatch,
        images: Sequence[Sequence[Tensor]],
        advantages: Tensor,
        weights: Tensor,
        objective: Objective,
        context: Context,
    ) -> tuple[dict[str, float], Tensor]:
        """Adds the gradient of one part; `images[group]` are its pictures, `advantages` and `weights` float32 [tokens].

        Returns the sums of `SUMS` and the log-probabilities [tokens]. When anything is raised, the gradients of the
        whole step are gone.
        """
        try:
            self._begin(step, part)
            sums: dict[str, float] = dict.fromkeys(SUMS, 0.0)
            logprobs = torch.zeros(batch.token_count)
            for group, pictures in zip(batch.groups, images, strict=True):
                context.check_cancelled()
                own = (advantages[group.tokens], weights[group.tokens])
                logprobs[group.tokens] = self._accumulate(group, pictures, *own, objective, sums, context)
                context.tick()
        except BaseException:
            self.discard()
            raise
        self._parts += 1
        return {name: int(value) if name in COUNTS else value for name, value in sums.items()}, logprobs

    def discard(self) -> None:
        """Drops what is accumulated; the next part must be part 0."""
        self._strategy.clear()
        self._parts = 0

    def update(self, step: int, parts: int, learning_rate: float, max_grad_norm: float | None) -> StepResult:
        """Applies the accumulated gradients. Raises `step_mismatch`, `part_mismatch` and then changes nothing."""
        self._check_step(step)
        if parts != self._parts:
            raise EngineError(
                "part_mismatch",
                f"step {step} should consist of {parts} parts, but {self._parts} are accumulated; "
                "send the parts again from part 0.",
            )
        result = self._strategy.step(learning_rate, max_grad_norm)
        self._parts = 0
        self.applied = step
        return result

    def resume_at(self, step: int) -> None:
        """After a restore: nothing accumulated, this step was the last."""
        self.discard()
        self.applied = step

    def _check_step(self, step: int) -> None:
        if step != self.applied + 1:
            raise EngineError(
                "step_mismatch",
                f"step {step} was sent, but the last applied is {self.applied}; the next must follow it.",
            )

    def _begin(self, step: int, part: int) -> None:
        self._check_step(step)
        if part == 0:
            self.discard()
        if part != self._parts:
            raise EngineError(
                "part_mismatch",
                f"part {part} of step {step} was sent, but {self._parts} parts are accumulated; parts must come in "
                "order, and after a failure from part 0.",
            )

    def _accumulate(
        self,
        group: Group,
        images: Sequence[Tensor],
        advantages_N: Tensor,
        weights_N: Tensor,
        objective: Objective,
        sums: dict[str, float],
        context: Context,
    ) -> Tensor:
        device = self._scorer.loaded.device
        context.set_phase("reference")
        old_N, ref_N = self._old(group, objective), self._ref(group, images, objective)

        context.set_phase("forward")
        loaded = self._scorer.loaded
        with checkpointed_layers(loaded.model), loaded.autocast():
            scores = _finite(
                group_scores(
                    loaded,
                    group,
                    images,
                    temperature=objective.temperature,
                    entropy=True,
                    train_vision=self._train_vision,
                )
            )
        if not len(scores.logprobs):
            return torch.zeros(0)
        new_N = scores.logprobs
        loss, parts = weighted_loss(
            objective.spec,
            new_N,
            None if old_N is None else old_N.to(new_N),
            None if ref_N is None else ref_N.to(new_N),
            advantages_N.to(new_N),
            weights_N.to(new_N),
            entropy=scores.entropy,
        )
        context.set_phase("backward")
        self._strategy.backward(loss)

        sums["loss"] += loss.item()
        for name, value in parts.items():
            sums[name] += value.item()
        rows = weights_N.to(device).split([len(completion) for completion in group.completions])
        sums["sequences"] += sum(bool((row != 0).any()) for row in rows)
        return new_N.detach().float().cpu()

    def _old(self, group: Group, objective: Objective) -> Tensor | None:
        if not objective.stored_old:
            return None
        old_N = self._scorer.stored.get("old", objective.batch_id, objective.temperature, group)
        if old_N is None:
            raise EngineError(
                "old_logprobs_missing",
                f'the loss takes its ratio against stored log-probabilities, but batch "{objective.batch_id}" has none '
                f"for completions {group.indices[0]} to {group.indices[-1]}; call logprobs with store true before the "
                "batch's first update.",
            )
        return old_N

    def _ref(self, group: Group, images: Sequence[Tensor], objective: Objective) -> Tensor | None:
        """Computed when first needed, and kept for the other updates of the batch."""
        if not objective.spec["beta"]:
            return None
        stored, key = self._scorer.stored, (objective.batch_id, objective.temperature, group)
        ref_N = stored.get("ref", *key)
        if ref_N is None:
            ref_N = self._scorer.frozen(group, images, objective.temperature).logprobs
            stored.put("ref", *key, ref_N)
        return ref_N


def enable_checkpointing(model: PreTrainedModel) -> None:
    """Layers keep only their inputs and compute the rest again in the backward pass, inside `checkpointed_layers`."""
    model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})


@contextmanager
def checkpointed_layers(model: nn.Module) -> Iterator[None]:
    """transformers checkpoints a layer when it is in training mode. Only the layers themselves are put into it, so that
    no dropout inside wakes up, and only here, because in that mode a layer refuses a cache when sampling."""
    layers = [
        module
        for module in model.modules()
        if isinstance(module, GradientCheckpointingLayer) and module.gradient_checkpointing
    ]
    for layer in layers:
        layer.training = True
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def _finite(scores: Scores) -> Scores:
    if not torch.isfinite(scores.logprobs).all():
        raise EngineError(
            "non_finite_logits",
            "the model's logits hold NaN or infinity; the weights have diverged or the compute type overflows. Resume "
            "from an earlier checkpoint, lower the learning rate, or use float32.",
        )
    return scores
