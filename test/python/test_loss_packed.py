"""Surrogates and the entropy bonus in a whole forward and backward pass: packed, padded, in parts, in plain torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from conftest import OpenContext
from thurstone_runtime.batches import GroupBatch
from thurstone_runtime.logprob_store import LogprobStore
from thurstone_runtime.losses import read_spec, weighted_loss
from thurstone_runtime.optim import AdamWSettings
from thurstone_runtime.ranks import ALONE
from thurstone_runtime.reference import Reference, freeze
from thurstone_runtime.scorer import Scorer
from thurstone_runtime.strategies import SingleStrategy
from thurstone_runtime.trainer import Objective, Trainer
from thurstone_runtime.vision import VisionTower
from training_task import Part, groups_of, make_part, pictures_of, plain_distribution, scores_of, trainable

SPECS = [
    {"surrogate": "sequence_clip", "epsilon": 0.02, "epsilon_high": 0.03, "beta": 0.04},
    {"surrogate": "sequence_clip", "epsilon": 0.02, "delta": 1.05, "entropy_coefficient": 0.1},
    {"surrogate": "cispo", "epsilon_high": 1.1, "entropy_coefficient": 0.02, "beta": 0.04, "kl": "k2"},
    {"surrogate": "sapo", "entropy_coefficient": -0.05},
    {"surrogate": "clip", "epsilon": 0.1, "delta": 1.2, "entropy_coefficient": 1.0},
]
TEMPERATURE = 0.8


def part_of(image_token: int) -> Part:
    """Advantages of both signs; a completion, and some tokens within others, have no weight."""
    part = make_part(image_token, samples=4, seed=3)
    part.advantages = [np.full(len(own), (-1) ** row * (1 + row / 10)) for row, own in enumerate(part.weights)]
    random = np.random.default_rng(3)
    for weights in part.weights:
        weights[random.random(len(weights)) < 0.2] = 0
    part.weights[1][:] = 0
    return part


def drift_of(tokens: slice) -> torch.Tensor:
    """How far the kept log-probabilities of these tokens of the part are from the new ones."""
    return torch.randn(1000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)[tokens] * 0.2


class Run:
    """A trainer on a copy of the model, with old log-probabilities kept for the whole part."""

    def __init__(self, lively, part: Part, *, packed: bool) -> None:
        loaded = trainable(lively)
        tower = VisionTower(loaded)
        reference = Reference.beside(tower, freeze(loaded, share_tower=False))
        self.scorer = Scorer(loaded, tower, reference, LogprobStore(), packed=packed)
        self.trainer = Trainer(self.scorer, SingleStrategy(ALONE))
        self.trainer.strategy.prepare(loaded, AdamWSettings(0.9, 0.999, 1e-8, 0.0))
        for group in groups_of(part):
            with torch.no_grad():
                new = scores_of(lively, group, temperature=TEMPERATURE).logprobs
            self.scorer.stored.put("old", "batch", TEMPERATURE, group, new + drift_of(group.tokens))

    def forward_backward(self, spec: dict, part: Part, number: int = 0) -> dict[str, float]:
        groups = groups_of(part)
        sums, _ = self.trainer.forward_backward(
            1,
            number,
            GroupBatch(tuple(groups), groups[-1].tokens.stop),
            [pictures_of(group) for group in groups],
            torch.from_numpy(np.concatenate(part.advantages)),
            torch.from_numpy(np.concatenate(part.weights)),
            Objective(read_spec(spec), True, TEMPERATURE, "batch"),
            OpenContext(),
        )
        return sums

    def gradients(self) -> dict[str, torch.Tensor]:
        named = self.scorer.loaded.model.named_parameters()
        return {name: parameter.grad.clone() for name, parameter in named if parameter.grad is not None}


def assert_same(found: Run, expected: dict[str, torch.Tensor], tolerance: float) -> None:
    gradients = found.gradients()
    assert gradients.keys() == expected.keys()
    for name, value in expected.items():
        assert (gradients[name] - value).abs().max() <= tolerance * value.abs().max(), name


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["surrogate"])
def test_packed_rows_padded_rows_parts_and_plain_torch_agree(lively, spec):
    part = part_of(lively.family.image_token_id)
    packed, padded, parts = (
        Run(lively, part, packed=True),
        Run(lively, part, packed=False),
        Run(lively, part, packed=True),
    )
    sums, expected = packed.forward_backward(spec, part), padded.forward_backward(spec, part)
    for name, value in expected.items():
        assert sums[name] == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert (sums["clipped_low"] > 0) == ("clip" in spec["surrogate"])
    assert (sums["clipped_high"] > 0) == (spec["surrogate"] != "sapo")
    assert sums["sequences"] == 11
    # Gradients pass through the float32 that transformers keeps in the rotations of the vision tower.
    assert_same(packed, padded.gradients(), 2e-6)

    cut = [parts.forward_backward(spec, one, number) for number, one in enumerate(halves(part))]
    for name, value in expected.items():
        assert sum(one[name] for one in cut) == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert_same(parts, packed.gradients(), 2e-6)

    loss, gradients = written_out(lively, spec, part)
    assert sums["loss"] == pytest.approx(loss, rel=1e-9)
    assert_same(packed, gradients, 2e-6)


def halves(part: Part) -> list[Part]:
    """Every group cut in two, between completions: the first halves in one part, the second ones in the other."""
    cut = []
    for rows in (slice(0, 1), slice(1, None)):
        for one in part.split():
            cut.append(
                Part(
                    one.keys,
                    one.prompts,
                    [one.completions[0][rows]],
                    one.first_index + (rows.start or 0),
                    one.advantages[rows],
                    one.weights[rows],
                )
            )
    return cut


def written_out(lively, spec: dict, part: Part) -> tuple[float, dict[str, torch.Tensor]]:
    """The same loss from whole logits and autograd, one completion at a time."""
    model = trainable(lively).model
    total = torch.zeros((), dtype=torch.float64)
    row, token = 0, 0
    for keys, prompt, completions in zip(part.keys, part.prompts, part.completions, strict=True):
        for completion in completions:
            whole = plain_distribution(model, lively, keys, prompt, completion, TEMPERATURE)
            new = whole[torch.arange(len(completion)), torch.tensor(completion)]
            loss, _ = weighted_loss(
                spec,
                new,
                new.detach() + drift_of(slice(token, token + len(completion))),
                new.detach(),
                torch.from_numpy(part.advantages[row]),
                torch.from_numpy(part.weights[row]),
                segments=torch.zeros(len(completion), dtype=torch.int64),
                entropy=-(whole.exp() * whole).sum(-1),
            )
            total = total + loss
            row, token = row + 1, token + len(completion)
    total.backward()
    named = model.named_parameters()
    return total.item(), {name: parameter.grad for name, parameter in named if parameter.grad is not None}
