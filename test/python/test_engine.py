"""The verbs: versions, steps and parts in order, and failures that leave no trace."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wire_peer
from conftest import OpenContext
from thurstone_runtime import trainer
from thurstone_runtime.errors import CancelledError
from training_task import SIZES, Part, Worker, load_parameters, picture, prompt_ids, refused


class CancelAfter(OpenContext):
    """Cancelled at the n-th boundary."""

    def __init__(self, boundaries: int) -> None:
        super().__init__()
        self.left = boundaries

    def check_cancelled(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise CancelledError


@pytest.fixture
def worker(tiny_checkpoint: Path) -> Worker:
    """A fresh model in training, with a reference."""
    return Worker(tiny_checkpoint, reference=True)


@pytest.fixture(scope="module")
def still(tiny_checkpoint: Path) -> Worker:
    """A model whose weights no test changes."""
    return Worker(tiny_checkpoint, train=False)


def test_sampling_and_scoring_agree(still):
    keys = ["a", "", "bc"]
    prompts = [prompt_ids(still.description["image_token_id"], own) for own in keys]
    part = Part(keys, prompts, [[[0]]] * 3)
    sampled, tensors = still.engine.generate(
        {
            "policy_version": 0,
            "images": [list(own) for own in keys],
            "samples": 4,
            "temperature": 0.8,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "max_new_tokens": 10,
        },
        {name: part.tensors()[name] for name in ("prompt_ids", "prompt_lengths")} | {"keys": np.arange(3)},
        still.context,
    )
    rows = np.split(tensors["tokens"], np.cumsum(tensors["lengths"])[:-1])
    part.completions = [[row.tolist() for row in rows[4 * prompt : 4 * prompt + 4]] for prompt in range(3)]
    scored = still.logprobs(part, temperature=0.8)["logprobs"]
    assert np.abs(scored - tensors["logprobs"]).max() < 1e-5
    assert sampled["policy_version"] == 0
    assert len(tensors["text_lengths"]) == 12


def test_texts_go_there_and_back(still):
    message = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Rate the quality."}]}
    prompt = {"messages": [message], "images": [[56, 84]], "prefill": "<think>"}
    _, encoded = still.engine.encode({"prompts": [prompt, {**prompt, "prefill": None}]}, {}, still.context)
    image = still.description["image_token_id"]
    assert (encoded["ids"] == image).sum() == 2 * 6
    rendered = encoded["text"].tobytes().decode()
    assert rendered.count("<|image_pad|>") == 2
    assert rendered[: encoded["text_lengths"][0]].endswith("assistant\n<think>")
    assert encoded["lengths"].sum() == len(encoded["ids"])

    text = "Sharp, natural colours: 4.25"
    _, ids = still.engine.tokenize(
        {"append_eos": True},
        {"text": np.frombuffer(text.encode(), np.uint8), "text_lengths": np.array([len(text)], np.int32)},
        still.context,
    )
    assert ids["ids"][-1] in still.description["eos_token_ids"]
    _, decoded = still.engine.decode({}, ids, still.context)
    assert decoded["text"].tobytes().decode() == text


def test_logprobs_of_any_batching_are_the_same(still):
    part = still.part(keys=("a", "", "bc"))
    part.weights, part.advantages = [np.zeros(1)] * 9, [np.zeros(1)] * 9
    together = still.logprobs(part, entropy=True)
    for name in ("logprobs", "entropy"):
        alone = np.concatenate([still.logprobs(one, entropy=True)[name] for one in part.split()])
        assert together[name].dtype == np.float32
        assert together[name] == pytest.approx(alone, abs=1e-5)
    assert -together["logprobs"].mean() == pytest.approx(together["entropy"].mean(), rel=0.1)


def test_an_update_moves_the_weights_against_the_gradient(worker):
    part = worker.part()
    on_policy = worker.forward_backward(part)[0]["loss"]
    weighted = sum((own * weights).sum() for own, weights in zip(part.advantages, part.weights, strict=True))
    assert on_policy == pytest.approx(-weighted, rel=1e-5)

    before = worker.forward_backward(part, loss={"surrogate": "nll"})[0]["loss"]
    update = worker.optim_step(max_grad_norm=None)
    assert update["policy_version"] == worker.version == 1
    assert update["skipped"] is False
    assert worker.forward_backward(part, loss={"surrogate": "nll"})[0]["loss"] < before - 0.01


def test_calls_for_another_version_are_refused(worker):
    part = worker.part()
    worker.step(part)
    refused("policy_version_mismatch", worker.logprobs, part, policy_version=0)
    refused("policy_version_mismatch", worker.forward_backward, part, policy_version=2)
    refused("policy_version_mismatch", worker.optim_step, policy_version=0)
    refused(
        "policy_version_mismatch", worker.engine.generate, generate_parameters(policy_version=0), {}, worker.context
    )


def generate_parameters(**changes: Any) -> dict[str, Any]:
    return {
        "policy_version": 0,
        "images": [[]],
        "samples": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "max_new_tokens": 4,
        **changes,
    }


def test_steps_and_parts_come_in_order(worker):
    part = worker.part(keys=("a",))
    refused("step_mismatch", worker.forward_backward, part, step=2)
    refused("part_mismatch", worker.forward_backward, part, number=1)
    refused("part_mismatch", worker.optim_step)
    worker.forward_backward(part)
    worker.forward_backward(part, number=1)
    assert "2 are accumulated" in refused("part_mismatch", worker.optim_step, parts=1)
    refused("step_mismatch", worker.optim_step, step=2, parts=2)
    worker.optim_step(parts=2)
    refused("step_mismatch", worker.optim_step, step=1)
    refused("step_mismatch", worker.forward_backward, part, step=1)
    refused("part_mismatch", worker.forward_backward, part, number=1)


def test_part_zero_begins_anew(worker):
    part = worker.part(keys=("a", ""))
    worker.forward_backward(part)
    expected = worker.gradients()
    worker.forward_backward(worker.part(keys=("bc",), seed=5))
    worker.forward_backward(part)
    for name, gradient in worker.gradients().items():
        assert torch.equal(gradient, expected[name]), name


@pytest.mark.parametrize("failure", ["cancelled", "missing_images", "bad_argument", "part_mismatch", "discard"])
def test_a_step_that_fails_leaves_weights_and_optimizer_bit_identical(tiny_checkpoint, failure):
    part = Worker(tiny_checkpoint).part()
    disturbed, undisturbed = Worker(tiny_checkpoint), Worker(tiny_checkpoint)
    for worker in (disturbed, undisturbed):
        worker.step(part)
    before = disturbed.bits()

    disturbed.forward_backward(part)
    if failure == "cancelled":
        with pytest.raises(CancelledError):
            disturbed.forward_backward(part, number=1, context=CancelAfter(2))
    elif failure == "missing_images":
        message = refused(failure, disturbed.forward_backward, part, number=1, images=[["a"], [], ["b", "lost"]])
        assert "lost" in message
    elif failure == "bad_argument":
        broken = disturbed.part()
        broken.weights[0] = broken.weights[0] * math.nan
        assert "finite" in refused(failure, disturbed.forward_backward, broken, number=1)
    elif failure == "part_mismatch":
        refused(failure, disturbed.forward_backward, part, number=2)
    else:
        disturbed.engine.discard({"step": 2}, {}, disturbed.context)

    assert disturbed.gradients() == {}
    assert disturbed.bits() == before
    refused("part_mismatch", disturbed.optim_step)
    refused("part_mismatch", disturbed.forward_backward, part, number=1)
    for worker in (disturbed, undisturbed):
        worker.step(part)
    assert disturbed.bits() == undisturbed.bits()


def test_discarding_another_step_changes_nothing(worker):
    worker.forward_backward(worker.part())
    before = worker.gradients()
    worker.engine.discard({"step": 7}, {}, worker.context)
    assert worker.gradients().keys() == before.keys()
    worker.optim_step()


def test_a_gradient_that_is_not_finite_skips_the_update(worker):
    part = worker.part()
    worker.step(part)
    before = worker.bits()
    worker.forward_backward(part)
    next(worker.model.parameters()).grad[0] = math.inf
    update = worker.optim_step()
    assert update["skipped"] is True
    assert not math.isfinite(update["grad_norm"])
    assert update["policy_version"] == 2
    assert worker.bits() == before
    assert worker.step(part)["skipped"] is False


@pytest.mark.parametrize("overflow", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_told_and_skips_the_update(worker, monkeypatch, overflow):
    part = worker.part()
    worker.step(part)
    before = worker.bits()
    weighted_loss = trainer.weighted_loss

    def overflowed(*arguments, **named):
        loss, parts = weighted_loss(*arguments, **named)
        # Its derivative alone would not show it.
        return loss + overflow, parts

    monkeypatch.setattr(trainer, "weighted_loss", overflowed)
    sums, _ = worker.forward_backward(part)
    assert not math.isfinite(sums["loss"])
    monkeypatch.undo()
    worker.forward_backward(part, number=1)
    assert worker.optim_step(parts=2)["skipped"] is True
    assert worker.bits() == before
    assert worker.step(part)["skipped"] is False


def test_weights_that_diverged_are_reported(worker):
    with torch.no_grad():
        worker.model.model.language_model.norm.weight.fill_(math.nan)
    refused("non_finite_logits", worker.logprobs, worker.part())
    refused("non_finite_logits", worker.forward_backward, worker.part())


def test_a_frozen_vision_tower_keeps_its_bits(tiny_checkpoint):
    worker = Worker(tiny_checkpoint, freeze_vision=True)
    before = worker.bits()
    for _ in range(2):
        worker.step(worker.part())
    changed = {name for name, value in worker.bits().items() if value != before.get(name) and name in before}
    assert not any("visual" in name for name in changed)
    assert any("language_model" in name for name in changed)
    assert not any("visual" in name for name in worker.engine._session.trainer.strategy.optimizer_state())


def test_a_batch_without_pictures_leaves_the_vision_tower_alone(worker):
    before = worker.bits()
    worker.step(worker.part(keys=("", "")))
    after = worker.bits()
    assert all(after[name] == value for name, value in before.items() if "visual" in name)


def test_bfloat16_computes_while_master_weights_stay_float32(tiny_checkpoint):
    worker = Worker(tiny_checkpoint, torch_dtype="bfloat16", reference=True, gradient_checkpointing=True)
    exact = Worker(tiny_checkpoint)
    part = worker.part()
    assert worker.description["dtype"] == "bfloat16"
    expected, found = exact.logprobs(part)["logprobs"], worker.logprobs(part)["logprobs"]
    assert 0 < np.abs(expected - found).max() < 0.05
    assert np.array_equal(worker.logprobs(part, of="reference")["logprobs"], found)

    before = {name: parameter.detach().clone() for name, parameter in worker.model.named_parameters()}
    answer, _ = worker.forward_backward(part, loss={"beta": 0.1})
    assert answer["kl"] == 0.0
    worker.optim_step(learning_rate=1e-6)
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    weight = dict(worker.model.named_parameters())[name]
    assert weight.dtype == torch.float32
    moved = (weight != before[name]).float().mean()
    assert moved > 0.95
    assert (weight - before[name]).abs().max() < 2e-6
    assert all(held.dtype == torch.float32 for held in worker.engine._session.trainer.strategy.weights().values())


@pytest.mark.parametrize(
    ("code", "message", "change"),
    [
        ("bad_argument", "vocabulary", lambda t: t["completion_ids"].__setitem__(0, 512)),
        ("bad_argument", "vocabulary", lambda t: t["prompt_ids"].__setitem__(0, -1)),
        ("bad_argument", "add up", lambda t: t["completion_lengths"].__setitem__(0, 99)),
        ("bad_argument", "from 0", lambda t: t["completion_lengths"].__setitem__(0, -1)),
        ("bad_argument", "group_sizes", lambda t: t["group_sizes"].__setitem__(0, 9)),
        ("bad_argument", "each completion once", lambda t: t["completion_index"].__setitem__(1, 0)),
        ("bad_argument", "missing", lambda t: t.pop("group_sizes")),
        ("bad_argument", "int64", lambda t: t.__setitem__("prompt_ids", t["prompt_ids"].astype(np.int64))),
        ("bad_argument", "float32", lambda t: t.__setitem__("weights", t["weights"][:-1])),
        ("bad_argument", "finite", lambda t: t["advantages"].__setitem__(0, np.inf)),
        ("image_token_mismatch", "placeholder", lambda t: t["prompt_ids"].__setitem__(4, 5)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(worker, code, message, change):
    part = worker.part()
    tensors = {name: array.copy() for name, array in part.tensors().items()}
    change(tensors)
    part.tensors = lambda: tensors
    assert message in refused(code, worker.forward_backward, part)
    assert worker.gradients() == {}


def test_prompts_longer_than_the_model_are_refused(worker):
    part = worker.part(keys=("",))
    part.prompts = [[7] * worker.description["max_position_embeddings"]]
    refused("prompt_too_long", worker.logprobs, part)


def test_memory_that_runs_out_has_its_own_code(worker):
    part = worker.part()
    before = worker.bits()
    # A real allocation that no machine can serve, in the place where a large batch would make one.
    head = worker.model.lm_head
    head.register_forward_pre_hook(lambda *_: torch.empty(2**50, dtype=torch.uint8))
    assert "ran out of memory" in refused("out_of_memory", worker.forward_backward, part)
    assert worker.gradients() == {}
    assert worker.bits() == before


def test_inference_only_models_do_not_train(still):
    assert "train true" in refused("bad_argument", still.forward_backward, still.part())
    refused("bad_argument", still.engine.optim_step, optim_parameters(), {}, still.context)
    refused("bad_argument", still.engine.discard, {"step": 1}, {}, still.context)


def optim_parameters() -> dict[str, Any]:
    return {"policy_version": 0, "step": 1, "parts": 1, "learning_rate": 1e-3, "max_grad_norm": None}


def test_a_part_without_groups_adds_nothing(worker):
    worker.forward_backward(worker.part())
    before = worker.gradients()
    empty = Part([], [], [], weights=[np.zeros(0)], advantages=[np.zeros(0)])
    answer, _ = worker.forward_backward(empty, number=1)
    assert answer["tokens"] == answer["sequences"] == 0
    assert all(torch.equal(worker.gradients()[name], gradient) for name, gradient in before.items())
    worker.optim_step(parts=2)


def test_the_same_work_gives_the_same_bits(tiny_checkpoint):
    results = []
    for _ in range(2):
        worker = Worker(tiny_checkpoint, reference=True)
        for seed in range(2):
            worker.step(worker.part(seed=seed), batch_id=f"batch {seed}", beta=0.04)
        results.append(worker.bits())
    assert results[0] == results[1]


def test_a_worker_process_answers_as_the_engine_does(tiny_checkpoint, worker):
    part = worker.part()
    images = [list(keys) for keys in part.keys]
    announced = [
        {"key": key, "hash": key, "height": h, "width": w, "target_height": h, "target_width": w}
        for key, (h, w) in SIZES.items()
    ]
    pixels = {str(index): picture(key) for index, key in enumerate(SIZES)}
    training = {
        "images": images,
        "policy_version": 0,
        "step": 1,
        "part": 0,
        "batch_id": "batch",
        "temperature": 1.0,
        "loss": {"surrogate": "clip", "epsilon": 0.2, "epsilon_high": None, "beta": 0.04, "kl": "k3", "old": "detach"},
        "return_logprobs": True,
    }
    with wire_peer.Worker(command=("-m", "thurstone_runtime")) as process:
        early = process.call("0", "forwardBackward", training, tensors=part.tensors())
        assert (early.kind, early.error["code"]) == ("err", "NOT_LOADED")
        loaded = process.call("1", "load", load_parameters(tiny_checkpoint, reference=True))
        assert loaded.params == {**worker.description}
        missing = process.call("2", "images", {"images": announced, "step": 1, "release_before": None})
        assert missing.params == {"missing": ["a", "b", "c"]}
        process.call("3", "images", {"images": announced, "step": 1, "release_before": None}, tensors=pixels)
        found = process.call("4", "forwardBackward", training, tensors=part.tensors())
        update = process.call("5", "optimStep", optim_parameters())
        stale = process.call("6", "optimStep", optim_parameters())

    expected, tensors = worker.forward_backward(part, loss={"beta": 0.04})
    assert found.params["seconds"] > 0
    assert {**found.params, "seconds": 0} == {**expected, "seconds": 0}
    assert np.array_equal(found.tensors["logprobs"].to_numpy(), tensors["logprobs"].numpy())
    assert update.params == worker.optim_step(max_grad_norm=None)
    assert stale.error["code"] == "POLICY_VERSION_MISMATCH"
