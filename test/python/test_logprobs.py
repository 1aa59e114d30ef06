"""Log-probabilities on padded rows: transformers' own, for any batch, with the gradient of separate rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from thurstone_runtime import token_logprobs
from thurstone_runtime.errors import EngineError
from thurstone_runtime.families import LoadedModel
from thurstone_runtime.logprobs import group_scores, token_scores
from thurstone_runtime.vision import VisionTower
from training_task import groups_of, make_part, pictures_of, plain_logprobs, random_groups, scores_of, trainable

KEYS = ["a", "", "bc", "aa"]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("keys", KEYS)
def test_equal_to_the_models_own_forward(lively, keys, temperature):
    part = make_part(lively.family.image_token_id, keys=(keys,), samples=4)
    (group,) = groups_of(part)
    scores = scores_of(lively, group, temperature=temperature)
    expected = torch.cat(
        [
            plain_logprobs(lively.model, lively, keys, part.prompts[0], completion, temperature)
            for completion in part.completions[0]
        ]
    )
    assert expected.max() - expected.min() > 1  # far from uniform, so that a difference would show
    assert torch.allclose(scores.logprobs, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("keys", KEYS)
def test_a_padded_group_equals_its_rows_alone(loaded, keys):
    part = make_part(loaded.family.image_token_id, keys=(keys,), samples=5)
    (group,) = groups_of(part)
    together = scores_of(loaded, group, entropy=True)
    alone = [
        scores_of(loaded, dataclasses.replace(group, completions=(completion,)), entropy=True)
        for completion in group.completions
    ]
    assert together.logprobs.dtype == torch.float32
    assert torch.allclose(together.logprobs, torch.cat([row.logprobs for row in alone]), rtol=0, atol=1e-5)
    assert torch.allclose(together.entropy, torch.cat([row.entropy for row in alone]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kept_bytes", [None, 2**20])
def test_groups_together_equal_each_group_alone(loaded, seed, kept_bytes):
    groups = random_groups(loaded.family.image_token_id, seed)
    factors = torch.randn(groups[-1].tokens.stop, generator=torch.Generator().manual_seed(seed))
    together, separate = trainable(loaded), trainable(loaded)
    scores = scores_of(together, *groups, tower=VisionTower(together, kept_bytes), entropy=True)
    (scores.logprobs * factors).sum().backward()
    for group in groups:
        alone = scores_of(separate, group, tower=VisionTower(separate, kept_bytes), entropy=True)
        (alone.logprobs * factors[group.tokens]).sum().backward()
        assert (scores.logprobs[group.tokens] - alone.logprobs).abs().max() <= 1e-6
        assert (scores.entropy[group.tokens] - alone.entropy).abs().max() <= 2e-6
    for (name, one), other in zip(together.model.named_parameters(), separate.model.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None:
            assert (one.grad - other.grad).abs().max() <= 1e-5 * max(1.0, other.grad.abs().max()), name


def test_positions_without_image_grids_would_be_caught(lively):
    part = make_part(lively.family.image_token_id, keys=("a",), samples=1)
    (group,) = groups_of(part)
    right = scores_of(lively, group).logprobs
    ids = torch.tensor([part.prompts[0] + part.completions[0][0]])
    patch = lively.family.patchify(pictures_of(group)[0].pixels)
    logits = lively.model(  # no mm_token_type_ids: transformers falls back to plain 1-D positions
        input_ids=ids, pixel_values=patch.values, image_grid_thw=torch.tensor([[1, *patch.grid]])
    ).logits[0, len(part.prompts[0]) - 1 : -1]
    wrong = torch.log_softmax(logits, -1)[torch.arange(len(right)), ids[0, len(part.prompts[0]) :]]
    assert (right - wrong).abs().max() > 1e-2


def test_a_sampled_placeholder_is_text(lively):
    image = lively.family.image_token_id
    part = make_part(image, keys=("a",), samples=1)
    part.completions = [[[30, image, 31, image, image, 32]]]
    (group,) = groups_of(part)
    scores = scores_of(lively, group)

    prompt, completion = part.prompts[0], part.completions[0][0]
    patch = lively.family.patchify(pictures_of(group)[0].pixels)
    ids = torch.tensor([prompt])
    prefix = lively.model(
        input_ids=ids,
        pixel_values=patch.values,
        image_grid_thw=torch.tensor([[1, *patch.grid]]),
        mm_token_type_ids=(ids == image).int(),
        use_cache=True,
    )
    logits = [prefix.logits[0, -1]]
    _, following = lively.family.positions(ids, [[patch.grid]])
    for count, token in enumerate(completion[:-1]):
        position = (following + count).expand(3, 1, 1)
        output = lively.model(
            input_ids=torch.tensor([[token]]), position_ids=position, past_key_values=prefix.past_key_values
        )
        logits.append(output.logits[0, -1])
    expected = torch.log_softmax(torch.stack(logits), -1)[torch.arange(len(completion)), torch.tensor(completion)]
    assert torch.allclose(scores.logprobs, expected, rtol=0, atol=1e-9)


def test_gradients_of_a_group_are_those_of_its_rows_added(lively):
    part = make_part(lively.family.image_token_id, keys=("bc",), samples=3)
    (group,) = groups_of(part)
    factors = torch.randn(group.tokens.stop, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    together = trainable(lively)
    scores = scores_of(together, group, temperature=0.9)
    (scores.logprobs * factors).sum().backward()

    separate = trainable(lively)
    rows = [
        plain_logprobs(separate.model, separate, "bc", part.prompts[0], completion, 0.9)
        for completion in part.completions[0]
    ]
    (torch.cat(rows) * factors).sum().backward()
    for (name, one), other in zip(together.model.named_parameters(), separate.model.parameters(), strict=True):
        assert other.grad is not None, name
        # Not tighter: transformers rotates queries and keys of the vision tower in float32, whatever the weights are.
        assert (one.grad - other.grad).abs().max() <= 1e-6 * other.grad.abs().max(), name
    assert together.model.model.visual.patch_embed.proj.weight.grad.abs().max() > 0


def test_a_frozen_vision_tower_gets_no_gradient(lively):
    part = make_part(lively.family.image_token_id, keys=("a",))
    (group,) = groups_of(part)
    own = trainable(lively)
    scores_of(own, group, tower=VisionTower(own, kept_bytes=0)).logprobs.sum().backward()
    assert all(parameter.grad is None for parameter in own.family.vision_parameters(own.model))
    assert own.model.model.language_model.layers[0].mlp.up_proj.weight.grad.abs().max() > 0


@pytest.mark.parametrize("rows", [1, 5])
def test_chunks_of_the_head_change_nothing(lively, rows):
    part = make_part(lively.family.image_token_id, keys=("a",), samples=4)
    (group,) = groups_of(part)
    whole, chunked = trainable(lively), trainable(lively)
    results = [
        scores_of(own, group, entropy=True, logits_bytes=size)
        for own, size in ((whole, 2**30), (chunked, rows * 4 * lively.vocab_size))
    ]
    assert torch.allclose(results[0].logprobs, results[1].logprobs, rtol=0, atol=1e-12)
    assert torch.allclose(results[0].entropy, results[1].entropy, rtol=0, atol=1e-12)
    for scores in results:
        (scores.logprobs.square() + 0.3 * scores.entropy.square()).sum().backward()
    for one, other in zip(whole.model.parameters(), chunked.model.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, rtol=1e-9, atol=1e-10)


class WideTensors(TorchDispatchMode):
    """Bytes of all tensors [any, vocabulary] that are alive, but for the head and its gradient."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        config: Any = loaded.model.config
        self._width, self._rows_of_head = loaded.vocab_size, config.text_config.hidden_size
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.ndim == 2 and tensor.shape[1] == self._width:
                storage = tensor.untyped_storage()
                if tensor.shape[0] != self._rows_of_head:
                    self._alive[storage.data_ptr()] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, self.now())
        return result

    def now(self) -> int:
        """Bytes alive."""
        self._alive = {place: one for place, one in self._alive.items() if not one[0].expired()}
        return sum(size for _, size in self._alive.values())


@pytest.mark.parametrize("entropy", [False, True])
def test_logits_are_kept_once_and_in_chunks_their_memory_does_not_grow_with_the_tokens(lively, entropy, monkeypatch):
    monkeypatch.setattr(token_logprobs, "BYTES_AT_A_TIME", 1)  # exponentials of one token at a time
    own = trainable(lively)
    row = 8 * own.vocab_size

    def measured(count: int, chunk: int) -> tuple[int, int]:
        """Bytes between the passes, and at the peak of both."""
        hidden_NH = torch.randn(
            count, own.model.config.text_config.hidden_size, dtype=torch.float64, requires_grad=True
        )
        with WideTensors(own) as wide:
            sizes = {"logits_bytes": chunk * 4 * own.vocab_size}
            target_N = torch.arange(count)
            scores = token_scores(own, hidden_NH, target_N, temperature=1.0, entropy=entropy, **sizes)
            between = wide.now()
            (scores.logprobs.sum() if scores.entropy is None else (scores.logprobs + scores.entropy).sum()).backward()
        return between, wide.peak

    between, peak = measured(24, chunk=24)
    assert between == 24 * row
    assert 24 * row <= peak <= 27 * row
    assert {measured(count, chunk=6) for count in (12, 48, 192)} == {(0, measured(12, chunk=6)[1])}
    assert measured(192, chunk=6)[1] <= 9 * row


def test_entropy_is_that_of_the_tempered_distribution(lively):
    part = make_part(lively.family.image_token_id, keys=("",), samples=1)
    (group,) = groups_of(part)
    scores = scores_of(lively, group, temperature=2.0, entropy=True)
    ids = torch.tensor([part.prompts[0] + part.completions[0][0]])
    logits = lively.model(input_ids=ids).logits[0, len(part.prompts[0]) - 1 : -1] / 2.0
    expected = torch.distributions.Categorical(logits=logits).entropy()
    assert torch.allclose(scores.entropy, expected, rtol=0, atol=1e-9)


def test_empty_completions_have_no_tokens_and_disturb_no_other(lively):
    part = make_part(lively.family.image_token_id, keys=("a",), samples=1)
    (group,) = groups_of(part)
    nothing = np.zeros(0, np.int32)
    with_empty = dataclasses.replace(group, completions=(nothing, *group.completions, nothing))
    expected = scores_of(lively, group).logprobs
    found = scores_of(lively, with_empty).logprobs
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    only_empty = dataclasses.replace(group, completions=(nothing,))
    assert len(scores_of(lively, only_empty).logprobs) == 0


def test_pictures_that_do_not_fit_the_placeholders_are_refused(lively):
    (group,) = groups_of(make_part(lively.family.image_token_id, keys=("a",)))
    with pytest.raises(EngineError) as caught:
        group_scores(lively, VisionTower(lively), [group], [[]], temperature=1.0, packed=False)
    assert caught.value.code == "image_token_mismatch"
