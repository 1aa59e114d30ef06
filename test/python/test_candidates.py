"""Candidates at every position: transformers' own numbers, with the prompt read once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thurstone_runtime.candidates import candidate_logprobs
from thurstone_runtime.engine import Engine
from thurstone_runtime.vision import VisionTower
from training_task import Part, Worker, groups_of, make_part, pictures_of, plain_logprobs, refused

KEYS = ["a", "", "bc"]
CANDIDATES = [0, 17, 399]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("keys", KEYS)
def test_equal_to_the_models_own_forward(lively, keys, temperature):
    part = make_part(lively.family.image_token_id, keys=(keys,), samples=4)
    (group,) = groups_of(part)
    found_NC = candidate_logprobs(
        lively, VisionTower(lively), group, pictures_of(group), torch.tensor(CANDIDATES), temperature=temperature
    )
    expected = []
    for completion in part.completions[0]:
        for position in range(len(completion)):
            rows = [
                plain_logprobs(
                    lively.model, lively, keys, part.prompts[0], [*completion[:position], candidate], temperature
                )[-1]
                for candidate in CANDIDATES
            ]
            expected.append(torch.stack(rows))
    assert found_NC.max() - found_NC.min() > 1  # far from uniform, so that a difference would show
    assert torch.allclose(found_NC, torch.stack(expected), rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def still(tiny_checkpoint) -> Worker:
    """A model whose weights no test changes."""
    return Worker(tiny_checkpoint, train=False)


def ask(worker: Worker, part: Part, candidates: list[int], **changes: object) -> np.ndarray:
    params = {"images": [list(keys) for keys in part.keys], "policy_version": 0, "temperature": 1.0, **changes}
    tensors = {**part.tensors(), "candidate_ids": np.array(candidates, np.int32)}
    return worker.engine.candidates(params, tensors, worker.context)[1]["logprobs"]


def test_the_verb_agrees_with_logprobs(still):
    part = still.part()
    tokens = part.tensors()["completion_ids"]
    found_NC = ask(still, part, sorted(set(tokens.tolist())))
    own = found_NC[np.arange(len(tokens)), np.searchsorted(np.unique(tokens), tokens)]
    assert found_NC.dtype == np.float32
    assert np.abs(own - still.logprobs(part)["logprobs"]).max() < 1e-5


def test_a_groups_bits_do_not_depend_on_the_others(still):
    part = still.part()
    alone = [ask(still, one, CANDIDATES) for one in part.split()]
    assert np.array_equal(ask(still, part, CANDIDATES), np.concatenate(alone))


def test_an_empty_completion_has_no_positions(still):
    assert ask(still, Part(["a"], still.part().prompts[:1], [[[]]]), CANDIDATES).shape == (0, 3)


def test_what_cannot_be_scored_is_refused(still, context):
    part = still.part()
    refused("not_loaded", Engine().candidates, {}, {}, context)
    assert "at least one id" in refused("bad_argument", ask, still, part, [])
    assert "at least one id" in refused("bad_argument", ask, still, part, [-1])
    refused("bad_argument", ask, still, part, [10**6])
    refused("bad_argument", ask, still, part, [1], temperature=0)
    refused("policy_version_mismatch", ask, still, part, [1], policy_version=3)


def test_diverged_weights_are_named(tiny_checkpoint):
    worker = Worker(tiny_checkpoint)
    with torch.no_grad():
        next(iter(worker.model.model.language_model.parameters())).fill_(float("nan"))
    refused("non_finite_logits", ask, worker, worker.part(), CANDIDATES)
