"""Packed rows give what padded rows give, log-probabilities and gradients alike, with every kernel."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from thurstone_runtime import attention, packing
from thurstone_runtime.layers import checkpointed_layers, enable_checkpointing
from thurstone_runtime.logprobs import group_scores
from thurstone_runtime.vision import VisionTower
from training_task import groups_of, make_part, pictures_of, random_groups, trainable


def scores(loaded, groups, packed):
    pictures = [pictures_of(group) for group in groups]
    return group_scores(loaded, VisionTower(loaded), groups, pictures, temperature=0.8, entropy=True, packed=packed)


def assert_same_gradients(model, other_model, tolerance):
    for (name, one), other in zip(model.named_parameters(), other_model.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            assert (one.grad - other.grad).abs().max() <= tolerance * other.grad.abs().max(), name


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("seed", range(12))
def test_equal_to_padded_rows(lively, seed, kernel):
    groups = random_groups(lively.family.image_token_id, seed)
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(2, groups[-1].tokens.stop, generator=generator, dtype=torch.float64)
    packed, padded = dataclasses.replace(trainable(lively), attention=kernel), trainable(lively)
    found, expected = scores(packed, groups, True), scores(padded, groups, False)
    assert torch.allclose(found.logprobs, expected.logprobs, rtol=0, atol=1e-10)
    assert torch.allclose(found.entropy, expected.entropy, rtol=0, atol=1e-10)
    (found.logprobs * factors[0] + found.entropy * factors[1]).sum().backward()
    (expected.logprobs * factors[0] + expected.entropy * factors[1]).sum().backward()
    assert_same_gradients(packed.model, padded.model, 1e-6)


@pytest.mark.parametrize("seed", range(12, 16))
def test_equal_to_padded_rows_in_float32(loaded, seed):
    groups = random_groups(loaded.family.image_token_id, seed)
    packed, padded = trainable(loaded), trainable(loaded)
    found, expected = scores(packed, groups, True), scores(padded, groups, False)
    assert torch.allclose(found.logprobs, expected.logprobs, rtol=0, atol=1e-5)
    found.logprobs.sum().backward()
    expected.logprobs.sum().backward()
    assert_same_gradients(packed.model, padded.model, 1e-5)


def test_layers_that_compute_again_give_the_same_gradients(lively):
    groups = random_groups(lively.family.image_token_id, 5)
    plain, saving = trainable(lively), trainable(lively)
    scores(plain, groups, True).logprobs.sum().backward()
    enable_checkpointing(saving.model)
    with checkpointed_layers(saving.model):
        scores(saving, groups, True).logprobs.sum().backward()
    assert_same_gradients(saving.model, plain.model, 1e-12)


def test_completions_of_one_token_and_of_none(lively):
    part = make_part(lively.family.image_token_id, keys=("a", ""))
    part.completions = [[[17], [], [18]], [[], [19]]]
    groups = groups_of(part)
    found, expected = scores(lively, groups, True), scores(lively, groups, False)
    assert len(found.logprobs) == 3
    assert torch.allclose(found.logprobs, expected.logprobs, rtol=0, atol=1e-10)


def test_no_token_is_computed_twice(lively):
    """Two prompts of one length, one of another: three prompts and what their completions feed, nothing padded."""
    part = make_part(lively.family.image_token_id, keys=("a", "a", "b"))
    groups = groups_of(part)
    row = packing.pack(lively, groups, [VisionTowerOf(lively)(group) for group in groups])
    fed = sum(len(completion) - 1 for group in groups for completion in group.completions)
    assert len(row.ids) == sum(len(group.prompt) for group in groups) + fed
    assert len(row.sections) == 2


class VisionTowerOf:
    """Encoded pictures of a group."""

    def __init__(self, loaded):
        self._tower = VisionTower(loaded)

    def __call__(self, group):
        encoded = self._tower.encode(pictures_of(group)).pictures
        return [encoded[key] for key in group.images]


@pytest.mark.parametrize("seed", range(3))
def test_completions_that_saw_each_other_would_be_caught(lively, seed, monkeypatch):
    groups = random_groups(lively.family.image_token_id, seed)
    expected = scores(lively, groups, False)
    pack = packing.pack

    def leaking(*arguments):
        row = pack(*arguments)
        blocks = [
            dataclasses.replace(block, queries=wide, keys=wide)
            if block.more and (wide := attention.Rows(block.queries.tokens, 1, tokens_in(block)))
            else block
            for block in row.blocks
        ]
        return dataclasses.replace(row, blocks=tuple(blocks))

    monkeypatch.setattr(packing, "pack", leaking)
    found = scores(lively, groups, True)
    assert (found.logprobs - expected.logprobs).abs().max() > 1e-3


def tokens_in(block):
    return block.queries.tokens.stop - block.queries.tokens.start
