"""One model in training: gradients of a step accumulated part by part, the update, and what must never go wrong.

A step is `forward_backward` for part 0, 1, ... and then `update`. Whatever fails in between, the gradients of the step
are dropped, and weights and optimizer keep every bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .batches import Group, GroupBatch
from .errors import EngineError
from .images import Picture
from .layers import active_dropout, checkpointed_layers, seeded_dropout
from .losses import weighted_loss
from .optim import StepResult
from .random_draws import DROPOUT, draw_seed
from .scorer import Scorer
from .state_files import digests
from .strategies import Held, Strategy

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


class Trainer:
    """Gradients, updates and the count of both."""

    def __init__(self, scorer: Scorer, strategy: Strategy, *, seed: int = 0, rank: int = 0) -> None:
        """`seed`: of the dropout of adapters, which differs from rank to rank."""
        self._scorer = scorer
        self._strategy = strategy
        self._seed, self._rank = seed, rank
        self._digests: dict[str, str] | None = None
        self._parts = 0
        self.applied = 0
        """Number of the last step, and the version of the weights. A step that was skipped counts as well."""

    @property
    def strategy(self) -> Strategy:
        """Where weights and optimizer are."""
        return self._strategy

    def trained(self) -> dict[str, Held]:
        """The weights that are trained, by name."""
        trainable = self._strategy.trainable()
        return {name: weight for name, weight in self._strategy.weights().items() if name in trainable}

    def frozen_digests(self, tick: Callable[[], None]) -> dict[str, str]:
        """Of all other weights; computed once, because they never change. All ranks call it together."""
        if self._digests is None:
            trainable = self._strategy.trainable()
            others = {name: weight for name, weight in self._strategy.weights().items() if name not in trainable}
            self._digests = digests(others, tick)
        return self._digests

    def forward_backward(
        self,
        step: int,
        part: int,
        batch: GroupBatch,
        pictures: Sequence[Sequence[Picture]],
        advantages: Tensor,
        weights: Tensor,
        objective: Objective,
        context: Context,
    ) -> tuple[dict[str, float], Tensor]:
        """Adds the gradient of one part, in one pass; `pictures[group]` are those of its prompt, `advantages` and
        `weights` float32 [tokens].

        Returns the sums of `SUMS` and the log-probabilities [tokens]. When anything is raised, the gradients of the
        whole step are gone.
        """
        try:
            with self._scorer.loaded.ranks.together():
                self._begin(step, part)
                context.check_cancelled()
                old = self._old(batch.groups, objective)
            sums, logprobs = self._accumulate(batch, pictures, advantages, weights, old, objective, context)
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
        batch: GroupBatch,
        pictures: Sequence[Sequence[Picture]],
        advantages_N: Tensor,
        weights_N: Tensor,
        old_N: Tensor | None,
        objective: Objective,
        context: Context,
    ) -> tuple[dict[str, float], Tensor]:
        loaded = self._scorer.loaded
        if not batch.token_count:
            if loaded.ranks.in_step:
                self._pass_idly(objective, context)
            return dict.fromkeys(SUMS, 0.0), torch.zeros(0)
        context.set_phase("reference")
        ref_N = self._ref(batch.groups, pictures, objective, context)
        lengths = np.array([len(completion) for group in batch.groups for completion in group.completions])
        completion_N = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths))
        context.set_phase("forward")
        with checkpointed_layers(loaded.model), self._dropout():
            scores = self._scorer.policy(batch.groups, pictures, objective.temperature, context, entropy=True)
            new_N = scores.logprobs
            loss, parts = weighted_loss(
                objective.spec,
                new_N,
                None if old_N is None else old_N.to(new_N),
                None if ref_N is None else ref_N.to(new_N),
                advantages_N.to(new_N),
                weights_N.to(new_N),
                segments=completion_N.to(new_N.device),
                entropy=scores.entropy,
            )
            context.set_phase("backward")
            # Times 1; times NaN where the loss is not finite, lest an update that overflowed pass for a sound one.
            self._strategy.backward(loss * (loss.detach() * 0 + 1))

        sums = {"loss": loss.item(), **{name: value.item() for name, value in parts.items()}}
        sums["sequences"] = len(completion_N[weights_N != 0].unique())
        return sums, new_N.detach().float().cpu()

    def _pass_idly(self, objective: Objective, context: Context) -> None:
        """The passes of the other ranks' part, on nothing."""
        if objective.spec["beta"]:
            self._frozen([], [], objective, context)
        with checkpointed_layers(self._scorer.loaded.model), self._dropout():
            scores = self._scorer.policy([], [], objective.temperature, context, entropy=True)
            self._strategy.backward(scores.logprobs.sum())

    def _dropout(self) -> AbstractContextManager[None]:
        place = (self.applied + 1, self._parts, self._rank)
        return seeded_dropout(self._scorer.loaded.model, lambda: draw_seed(self._seed, DROPOUT, *place))

    def _old(self, groups: Sequence[Group], objective: Objective) -> Tensor | None:
        if not objective.stored_old or not groups:
            return None
        if active_dropout(self._scorer.loaded.model):
            raise EngineError(
                "bad_argument",
                "the loss takes its ratio against stored log-probabilities, which are computed without dropout, and "
                "the adapter drops values: the ratio would be noise. Set lora_dropout to 0, or take one update per "
                "rollout batch.",
            )
        found = []
        for group in groups:
            old_N = self._scorer.stored.get("old", objective.batch_id, objective.temperature, group)
            if old_N is None:
                raise EngineError(
                    "old_logprobs_missing",
                    "the loss takes its ratio against stored log-probabilities, but batch "
                    f'"{objective.batch_id}" has none for completions {group.indices[0]} to {group.indices[-1]}; '
                    "call logprobs with store true before the batch's first update.",
                )
            found.append(old_N)
        return torch.cat(found)

    def _ref(
        self,
        groups: Sequence[Group],
        pictures: Sequence[Sequence[Picture]],
        objective: Objective,
        context: Context,
    ) -> Tensor | None:
        """Computed when first needed, and kept for the other updates of the batch."""
        if not objective.spec["beta"]:
            return None
        stored, key = self._scorer.stored, (objective.batch_id, objective.temperature)
        found = [stored.get("ref", *key, group) for group in groups]
        absent = [number for number, ref_N in enumerate(found) if ref_N is None]
        asked = [groups[number] for number in absent]
        logprobs_N = self._frozen(asked, [pictures[number] for number in absent], objective, context)
        lengths = [group.tokens.stop - group.tokens.start for group in asked]
        for number, group, ref_N in zip(absent, asked, logprobs_N.split(lengths), strict=True):
            stored.put("ref", *key, group, ref_N)
            found[number] = ref_N.cpu()
        return torch.cat([ref_N for ref_N in found if ref_N is not None])

    def _frozen(
        self, groups: Sequence[Group], pictures: Sequence[Sequence[Picture]], objective: Objective, context: Context
    ) -> Tensor:
        """Reference log-probabilities [tokens]; a rank that lacks none passes idly where another one lacks some."""
        if not self._scorer.loaded.ranks.highest(len(groups)):
            return torch.zeros(0)
        return self._scorer.frozen(groups, pictures, objective.temperature, context).logprobs
