"""One whole update on the padded path against the same update written out plainly, and in any split into parts."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd.graph import save_on_cpu

from conftest import OpenContext
from thurstone_runtime import layers
from thurstone_runtime.batches import GroupBatch
from thurstone_runtime.families import load_model
from thurstone_runtime.logprob_store import LogprobStore
from thurstone_runtime.optim import AdamWSettings
from thurstone_runtime.ranks import ALONE
from thurstone_runtime.reference import Reference, freeze
from thurstone_runtime.scorer import Scorer
from thurstone_runtime.strategies import SingleStrategy
from thurstone_runtime.trainer import Objective, Trainer
from thurstone_runtime.vision import VisionTower
from training_task import Part, Worker, groups_of, make_part, pictures_of, plain_logprobs

EPSILON, EPSILON_HIGH, BETA, TEMPERATURE, LEARNING_RATE, MAX_NORM = 0.02, 0.028, 0.04, 0.9, 1e-3, 0.5
SETTINGS = AdamWSettings(beta1=0.9, beta2=0.99, epsilon=1e-5, weight_decay=0.1)


def plain_step(
    loaded: Any, model: Any, part: Part, reference: Any, old: list[torch.Tensor] | None, optimizer: Any
) -> tuple[float, float, dict[str, torch.Tensor]]:
    """Loss, gradient norm and gradients of one GRPO update: one forward per completion, the formula token by token."""
    loss = torch.zeros((), dtype=next(model.parameters()).dtype)
    row = 0
    for keys, prompt, completions in zip(part.keys, part.prompts, part.completions, strict=True):
        for completion in completions:
            new = plain_logprobs(model, loaded, keys, prompt, completion, TEMPERATURE)
            with torch.no_grad():
                ref = plain_logprobs(reference, loaded, keys, prompt, completion, TEMPERATURE)
            before = new.detach() if old is None else old[row]
            for token in range(len(completion)):
                ratio = torch.exp(new[token] - before[token])
                # As float32 carries them over the wire.
                advantage = float(np.float32(part.advantages[row][token]))
                weight = float(np.float32(part.weights[row][token]))
                clipped = torch.clamp(ratio, 1 - EPSILON, 1 + EPSILON_HIGH)
                surrogate = -torch.min(ratio * advantage, clipped * advantage)
                kl = torch.exp(ref[token] - new[token]) - (ref[token] - new[token]) - 1
                loss = loss + weight * (surrogate + BETA * kl)
            row += 1
    optimizer.zero_grad()
    loss.backward()
    norm = math.sqrt(sum(parameter.grad.double().square().sum().item() for parameter in model.parameters()))
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
    optimizer.step()
    return loss.item(), norm, gradients


def plain_optimizer(model: Any) -> torch.optim.AdamW:
    named = list(model.named_parameters())
    return torch.optim.AdamW(
        [
            {"params": [parameter for _, parameter in named if parameter.ndim > 1], "weight_decay": 0.1},
            {"params": [parameter for _, parameter in named if parameter.ndim == 1], "weight_decay": 0.0},
        ],
        lr=LEARNING_RATE,
        betas=(0.9, 0.99),
        eps=1e-5,
        foreach=False,
    )


def assert_close(
    found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float, absolute: float = 0.0
) -> None:
    """Equal within `tolerance` times each tensor's largest value, plus `absolute`."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert (found[name] - value).abs().max() <= tolerance * value.abs().max() + absolute, name


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_two_updates_equal_plain_pytorch(tiny_checkpoint, dtype):
    loaded = load_model(str(tiny_checkpoint), device="cpu", torch_dtype="float32", attention="sdpa", train=True)
    loaded.model.to(dtype)
    loaded = dataclasses.replace(loaded, compute_dtype=dtype)
    plain, frozen = copy.deepcopy(loaded.model), copy.deepcopy(loaded.model)
    optimizer = plain_optimizer(plain)
    tower = VisionTower(loaded)
    reference = Reference.beside(tower, freeze(loaded, share_tower=False))
    scorer = Scorer(loaded, tower, reference, LogprobStore())
    trainer = Trainer(scorer, SingleStrategy(ALONE))
    trainer.strategy.prepare(loaded, SETTINGS)

    part = make_part(loaded.family.image_token_id)
    groups = groups_of(part)
    batch = GroupBatch(tuple(groups), groups[-1].tokens.stop)
    pictures = [pictures_of(group) for group in groups]
    spec = {"surrogate": "clip", "epsilon": EPSILON, "epsilon_high": EPSILON_HIGH, "beta": BETA, "kl": "k3"}
    for group, own in zip(groups, pictures, strict=True):
        scorer.stored.put(
            "old", "batch", TEMPERATURE, group, scorer.policy([group], [own], TEMPERATURE, OpenContext()).logprobs
        )
    with torch.no_grad():
        old = [
            plain_logprobs(plain, loaded, keys, prompt, completion, TEMPERATURE)
            for keys, prompt, completions in zip(part.keys, part.prompts, part.completions, strict=True)
            for completion in completions
        ]

    # In float64 too, gradients pass through the float32 that transformers keeps in the rotations of the vision tower.
    tolerance = 1e-5 if dtype == torch.float32 else 2e-6
    for step, stored in ((1, False), (2, True)):
        loss, norm, gradients = plain_step(loaded, plain, part, frozen, old if stored else None, optimizer)
        sums, logprobs = trainer.forward_backward(
            step,
            0,
            batch,
            pictures,
            torch.from_numpy(np.concatenate(part.advantages).astype(np.float32)),
            torch.from_numpy(np.concatenate(part.weights).astype(np.float32)),
            Objective(spec, stored, TEMPERATURE, "batch"),
            OpenContext(),
        )
        assert sums["loss"] == pytest.approx(loss, rel=tolerance, abs=1e-7)
        assert sums["tokens"] == len(logprobs) == batch.token_count
        assert sums["sequences"] == 9
        found = {name: parameter.grad for name, parameter in loaded.model.named_parameters()}
        assert_close(found, gradients, tolerance)
        result = trainer.update(step, 1, LEARNING_RATE, MAX_NORM)
        assert result.grad_norm == pytest.approx(norm, rel=1e-5)
        weights, expected = dict(loaded.model.named_parameters()), dict(plain.named_parameters())
        # Biases start at 0, so they are nothing but updates, in which Adam divides small gradients by themselves.
        assert_close(weights, expected, tolerance, absolute=1e-4 * LEARNING_RATE)
    assert sums["kl"] > 1e-4  # the second step saw weights that had left the reference
    assert sums["clipped_low"] > 0
    assert sums["clipped_high"] > 0


def test_parts_split_differently_give_the_same_gradients(tiny_checkpoint):
    worker = Worker(tiny_checkpoint, reference=True)
    part = worker.part(keys=("a", "", "bc", "b"))
    loss = {"beta": 0.04}
    whole, _ = worker.forward_backward(part, loss=loss)
    expected = worker.gradients()

    answers = [worker.forward_backward(one, loss=loss, number=number)[0] for number, one in enumerate(part.split())]
    assert_close(worker.gradients(), expected, 1e-6)
    for name in ("loss", "policy_loss", "kl", "weighted_kl", "entropy"):
        assert sum(answer[name] for answer in answers) == pytest.approx(whole[name], rel=1e-6, abs=1e-9)
    for name in ("clipped_low", "clipped_high", "tokens", "sequences"):
        assert sum(answer[name] for answer in answers) == whole[name]


def test_a_group_split_in_two_gives_the_same_gradients(tiny_checkpoint):
    worker = Worker(tiny_checkpoint)
    part = worker.part(keys=("a",), samples=4)
    worker.forward_backward(part)
    expected = worker.gradients()
    halves = [
        Part(part.keys, part.prompts, [part.completions[0][rows]], start, part.advantages[rows], part.weights[rows])
        for rows, start in ((slice(0, 2), 0), (slice(2, 4), 2))
    ]
    for number, half in enumerate(halves):
        worker.forward_backward(half, number=number)
    assert_close(worker.gradients(), expected, 1e-6)


@pytest.mark.parametrize("freeze_vision", [False, True])
def test_checkpointed_layers_give_the_same_gradients(tiny_checkpoint, freeze_vision, monkeypatch):
    plain = Worker(tiny_checkpoint, freeze_vision=freeze_vision)
    saving, moving = (
        Worker(tiny_checkpoint, freeze_vision=freeze_vision, gradient_checkpointing=True, activation_offloading=moved)
        for moved in (False, True)
    )
    forwards = {plain: 0, saving: 0, moving: 0}
    saved = []

    class Recorded(save_on_cpu):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            pack = self.pack_hook

            def record(tensor: torch.Tensor) -> Any:
                saved.append(tuple(tensor.shape))
                return pack(tensor)

            self.pack_hook = record

    monkeypatch.setattr(layers, "save_on_cpu", Recorded)
    for worker in forwards:
        layer = worker.model.model.language_model.layers[0].self_attn

        def count(*_: Any, worker: Worker = worker) -> None:
            forwards[worker] += 1

        layer.register_forward_pre_hook(count)
        worker.forward_backward(worker.part(keys=("a",)))
    assert forwards == {plain: 1, saving: 2, moving: 2}
    assert_close(saving.gradients(), plain.gradients(), 1e-6)
    config = moving.model.config
    inputs = [shape for shape in saved if shape[-1] == config.text_config.hidden_size]
    assert len(inputs) >= config.text_config.num_hidden_layers, saved
    # Nothing of what a layer computes is among them.
    assert not any(shape[-1] == config.text_config.intermediate_size for shape in saved), saved
    moved = moving.gradients()
    assert all(torch.equal(moved[name], gradient) for name, gradient in saving.gradients().items())
    assert not any(module.training for module in saving.model.modules())
