"""Prompts that are computed once give what padded rows give, log-probabilities and gradients alike."""

from __future__ import annotations

import pytest
import torch

from thurstone_runtime.logprobs import group_scores
from thurstone_runtime.vision import VisionTower
from training_task import groups_of, make_part, pictures_of, random_groups, trainable


def scores(loaded, groups, share):
    pictures = [pictures_of(group) for group in groups]
    return group_scores(
        loaded, VisionTower(loaded), groups, pictures, temperature=0.8, entropy=True, share_prompts=share
    )


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_padded_rows(lively, seed):
    groups = random_groups(lively.family.image_token_id, seed)
    factors = torch.randn(groups[-1].tokens.stop, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    shared, padded = trainable(lively), trainable(lively)
    found, expected = scores(shared, groups, True), scores(padded, groups, False)
    assert torch.allclose(found.logprobs, expected.logprobs, rtol=0, atol=1e-10)
    assert torch.allclose(found.entropy, expected.entropy, rtol=0, atol=1e-10)
    (found.logprobs * factors).sum().backward()
    (expected.logprobs * factors).sum().backward()
    for (name, one), other in zip(shared.model.named_parameters(), padded.model.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            assert (one.grad - other.grad).abs().max() <= 1e-6 * other.grad.abs().max(), name


def test_completions_of_one_token_and_of_none(lively):
    part = make_part(lively.family.image_token_id, keys=("a", ""))
    part.completions = [[[17], [], [18]], [[], [19]]]
    groups = groups_of(part)
    found, expected = scores(lively, groups, True), scores(lively, groups, False)
    assert len(found.logprobs) == 3
    assert torch.allclose(found.logprobs, expected.logprobs, rtol=0, atol=1e-10)


def test_a_wrong_alignment_would_be_caught(lively, monkeypatch):
    """Prompts of different length whose caches are not moved together read each other's padding."""
    groups = random_groups(lively.family.image_token_id, 3)
    assert len({len(group.prompt) for group in groups}) > 1
    expected = scores(lively, groups, False)
    monkeypatch.setattr("thurstone_runtime.shared_prompts._ending_together", lambda states, lengths: states)
    found = scores(lively, groups, True)
    assert (found.logprobs - expected.logprobs).abs().max() > 1e-3
