"""Adapters in training: what is trained, what the reference is, what dropout does, and what training state holds."""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from thurstone_runtime.families.quantization import four_bit_config
from thurstone_runtime.make_checkpoint import make_checkpoint
from training_task import Worker, refused

LORA: dict[str, Any] = {"seed": 7, "r": 4, "alpha": 8}
NAMES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def adapted(checkpoint: Path, folder: Path | None = None, *, lora: dict[str, Any] | None = None, **changes: Any):
    roots = [] if folder is None else [str(folder)]
    return Worker(checkpoint, reference=True, lora={**LORA, **(lora or {})}, allowed_roots=roots, **changes)


def step(worker: Worker, seed: int) -> dict[str, Any]:
    return worker.step(worker.part(seed=seed), batch_id=str(seed), beta=0.04)


@pytest.fixture
def worker(tiny_checkpoint: Path, tmp_path: Path) -> Worker:
    """A fresh adapter in training, with a reference; may write under `tmp_path`."""
    return adapted(tiny_checkpoint, tmp_path)


@pytest.fixture(scope="module")
def base(tiny_checkpoint: Path) -> Worker:
    """The same model without an adapter. Not to be changed."""
    return Worker(tiny_checkpoint, train=False, freeze_vision=True)


def test_an_adapter_is_all_that_is_trained_and_all_linear_layers_of_the_language_model_have_one(worker, base):
    layers = base.model.config.text_config.num_hidden_layers
    trained = [name for name, parameter in worker.model.named_parameters() if parameter.requires_grad]
    wrapped = {name.split(".lora_")[0] for name in trained}
    assert len(wrapped) == 7 * layers
    assert {name.rsplit(".", 1)[1] for name in wrapped} == set(NAMES)
    assert all(name.startswith("model.language_model.layers.") for name in wrapped)
    linears = {name: module for name, module in base.model.named_modules() if name in wrapped}
    size = sum(4 * (linear.in_features + linear.out_features) for linear in linears.values())
    assert worker.description["parameters"]["trainable"] == size
    assert worker.description["versions"]["peft"].startswith("0.21.")

    before = {name: parameter.clone() for name, parameter in worker.model.named_parameters()}
    step(worker, 1)
    changed = {name for name, parameter in worker.model.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == set(trained)


def test_a_fresh_adapter_computes_what_the_model_does_and_the_kl_starts_at_zero(worker, base):
    part = worker.part()
    expected = base.logprobs(part)["logprobs"]
    assert worker.logprobs(part)["logprobs"].tobytes() == expected.tobytes()
    assert worker.logprobs(part, of="reference")["logprobs"].tobytes() == expected.tobytes()
    answer, _ = worker.forward_backward(part, loss={"beta": 0.5})
    assert answer["kl"] == 0
    worker.optim_step()

    step(worker, 2)
    assert np.abs(worker.logprobs(part)["logprobs"] - expected).max() > 1e-4
    assert worker.logprobs(part, of="reference", batch_id="2")["logprobs"].tobytes() == expected.tobytes()
    answer, _ = worker.forward_backward(part, loss={"beta": 0.5}, batch_id="3")
    assert answer["kl"] > 0
    assert all(".lora_" in name for name in worker.gradients())


def test_pictures_are_encoded_once_for_sampling_policy_and_reference(worker, monkeypatch):
    family = worker.engine._session.loaded.family
    passes = []
    encode = family.encode_images
    monkeypatch.setattr(
        family, "encode_images", lambda model, images: passes.append(len(images)) or encode(model, images)
    )
    part = worker.part(keys=("a", "b"))
    worker.logprobs(part, store=True)
    worker.step(part, beta=0.04, old="stored")
    worker.step(part, batch_id="2", beta=0.04)
    assert passes == [1, 1]


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["q_proj", "nothing"], 'names "nothing", but no layer of this model is called so'),
        (["qkv"], 'names "qkv", but that is model.visual.blocks.0.attn.qkv'),
        (["lm_head"], 'names "lm_head", but that is lm_head'),
        (["embed_tokens"], "but that is model.language_model.embed_tokens"),
    ],
)
def test_targets_that_are_no_linear_layers_of_the_language_model_are_refused(tiny_checkpoint, targets, message):
    found = refused("bad_argument", adapted, tiny_checkpoint, lora={"target_modules": targets})
    assert message in found
    assert "Choose among down_proj, gate_proj, k_proj" in found


def test_named_targets_never_reach_the_vision_tower(tiny_checkpoint):
    worker = adapted(tiny_checkpoint, lora={"target_modules": ["gate_proj", "layers.0.self_attn.q_proj"]})
    trained = {name.split(".lora_")[0] for name, one in worker.model.named_parameters() if one.requires_grad}
    layers = range(worker.model.config.text_config.num_hidden_layers)
    expected = {f"model.language_model.layers.{layer}.mlp.gate_proj" for layer in layers}
    assert trained == {*expected, "model.language_model.layers.0.self_attn.q_proj"}


def test_first_weights_follow_from_the_seed_alone(tiny_checkpoint, worker):
    torch.manual_seed(3)
    first = worker.bits()
    assert adapted(tiny_checkpoint).bits() == first
    other = adapted(tiny_checkpoint, lora={"seed": 8}).bits()
    assert {name for name in first if other[name] != first[name]} == {name for name in first if ".lora_A." in name}


def test_training_state_holds_what_is_trained_and_resumes_to_the_bit(tiny_checkpoint, tmp_path):
    options: dict[str, Any] = {"lora": {"dropout": 0.2, "use_rslora": True}, "gradient_checkpointing": True}
    worker = adapted(tiny_checkpoint, tmp_path, **options)
    step(worker, 1)
    (tmp_path / "state").mkdir()
    worker.engine.save({"path": str(tmp_path / "state")}, {}, worker.context)
    weights = load_file(tmp_path / "state" / "weights.safetensors")
    assert all(".lora_" in name for name in weights)
    assert len(weights) == 2 * 7 * worker.model.config.text_config.num_hidden_layers
    state = json.loads((tmp_path / "state" / "state.json").read_text())
    assert state["adapter"] == {"r": 4, "lora_alpha": 8, "use_rslora": True, "use_dora": False}
    frozen = {name for name, parameter in worker.model.named_parameters() if not parameter.requires_grad}
    assert state["frozen"].keys() == frozen

    resumed = adapted(tiny_checkpoint, tmp_path, **options)
    resumed.engine.restore({"path": str(tmp_path / "state")}, {}, resumed.context)
    assert resumed.bits() == worker.bits()
    for seed in (2, 3):
        assert step(resumed, seed) == step(worker, seed)
    assert resumed.bits() == worker.bits()

    make_checkpoint(tmp_path / "other", preset="micro", seed=1)
    elsewhere = adapted(tmp_path / "other", tmp_path, **options)
    asked = {"path": str(tmp_path / "state")}
    message = refused("checkpoint_invalid", elsewhere.engine.restore, asked, {}, worker.context)
    assert "load the model that the run began with" in message
    scaled = adapted(tiny_checkpoint, tmp_path, lora={"alpha": 16})
    message = refused("checkpoint_invalid", scaled.engine.restore, asked, {}, worker.context)
    assert "'lora_alpha': 8" in message
    whole = Worker(tiny_checkpoint, allowed_roots=[str(tmp_path)])
    refused("checkpoint_invalid", whole.engine.restore, asked, {}, worker.context)


class TestDropout:
    """It acts in the pass that computes gradients, and nowhere else."""

    @staticmethod
    def trained(checkpoint: Path, dropout: float, **changes: Any) -> Worker:
        worker = adapted(checkpoint, lora={"dropout": dropout, **changes.pop("lora", {})}, **changes)
        with torch.no_grad():
            generator = torch.Generator().manual_seed(0)
            for name, parameter in worker.model.named_parameters():
                if ".lora_B." in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        return worker

    def test_is_said_and_leaves_scoring_alone(self, tiny_checkpoint):
        worker, plain = (self.trained(tiny_checkpoint, dropout) for dropout in (0.5, 0.0))
        assert (worker.description["dropout"], plain.description["dropout"]) == (0.5, 0)
        part = worker.part()
        assert worker.logprobs(part)["logprobs"].tobytes() == plain.logprobs(part)["logprobs"].tobytes()
        torch.manual_seed(0)
        expected = torch.rand(3)
        torch.manual_seed(0)
        _, dropped = worker.forward_backward(part)
        assert torch.equal(torch.rand(3), expected)  # the process's own generator is not touched
        assert np.abs(dropped["logprobs"].numpy() - plain.logprobs(part)["logprobs"]).max() > 1e-4
        assert not any(module.training for module in worker.model.modules())

    def test_draws_are_those_of_seed_step_and_part(self, tiny_checkpoint):
        one, same = (self.trained(tiny_checkpoint, 0.5) for _ in range(2))
        other = self.trained(tiny_checkpoint, 0.5, lora={"seed": 8})
        with torch.no_grad():
            for name, parameter in other.model.named_parameters():
                parameter.copy_(dict(one.model.named_parameters())[name])
        part = one.part()
        first, again, differing = (worker.forward_backward(part)[1]["logprobs"] for worker in (one, same, other))
        assert torch.equal(first, again)
        assert not torch.equal(first, differing)
        second = one.forward_backward(part, number=1)[1]["logprobs"]
        assert not torch.equal(second, first)
        assert torch.equal(one.forward_backward(part)[1]["logprobs"], first)

    def test_layers_that_are_computed_again_drop_the_same(self, tiny_checkpoint):
        found = []
        for saving in (False, True):
            worker = self.trained(tiny_checkpoint, 0.5, gradient_checkpointing=saving)
            worker.forward_backward(worker.part())
            found.append(worker.gradients())
        assert found[0].keys() == found[1].keys()
        for name, gradient in found[0].items():
            assert torch.equal(gradient, found[1][name]), name

    def test_stored_log_probabilities_are_refused(self, tiny_checkpoint):
        worker = self.trained(tiny_checkpoint, 0.5)
        part = worker.part()
        worker.logprobs(part, store=True)
        message = refused("bad_argument", worker.forward_backward, part, loss={"old": "stored"})
        assert "Set lora_dropout to 0" in message
        assert worker.gradients() == {}


@pytest.mark.parametrize("source", ["float32", "bfloat16"])
def test_a_base_in_bfloat16_computes_what_rounding_on_the_way_does(tiny_checkpoint, tmp_path, source):
    source_worker = Worker(tiny_checkpoint, train=False, allowed_roots=[str(tmp_path)])
    source_worker.engine.export({"path": str(tmp_path / "model"), "dtype": source}, {}, source_worker.context)
    whole = Worker(tmp_path / "model", torch_dtype="bfloat16", reference=True)
    worker = adapted(tmp_path / "model", torch_dtype="bfloat16")
    part = worker.part()
    expected = whole.logprobs(part)["logprobs"].tobytes()
    assert worker.logprobs(part)["logprobs"].tobytes() == expected
    step(worker, 1)
    assert worker.logprobs(part, of="reference", batch_id="r")["logprobs"].tobytes() == expected
    types = {name: parameter.dtype for name, parameter in worker.model.named_parameters()}
    assert types["model.language_model.layers.0.self_attn.q_proj.base_layer.weight"] == torch.bfloat16
    assert types["model.language_model.layers.0.self_attn.q_proj.lora_A.default.weight"] == torch.float32
    assert types["model.language_model.norm.weight"] == torch.float32


def test_the_vision_tower_learns_at_its_own_rate(tiny_checkpoint):
    changes = []
    for rate in (1.0, 0.25):
        optimizer = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weight_decay": 0.01, "vision_rate": rate}
        worker = Worker(tiny_checkpoint, optimizer=optimizer)
        before = {name: parameter.detach().clone() for name, parameter in worker.model.named_parameters()}
        worker.step(worker.part())
        changes.append({name: parameter - before[name] for name, parameter in worker.model.named_parameters()})
    for name, change in changes[0].items():
        share = 0.25 if ".visual." in name else 1.0
        # A weight is stored rounded, so is its change.
        assert torch.allclose(changes[1][name], share * change, atol=2e-7, rtol=1e-4), name


def test_four_bits_are_for_adapters_on_cuda(tiny_checkpoint):
    assert "only an adapter can train" in refused("bad_argument", Worker, tiny_checkpoint, four_bit=True)
    assert "needs a CUDA device" in refused("device_unavailable", adapted, tiny_checkpoint, four_bit=True)
    message = refused("package_missing", four_bit_config, "cuda", torch.bfloat16, installed=False)
    assert "pip install bitsandbytes" in message
    config = four_bit_config("cuda", torch.bfloat16, installed=True)
    assert (config.load_in_4bit, config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == (
        True,
        "nf4",
        torch.bfloat16,
    )
    assert config.llm_int8_skip_modules == ["visual", "lm_head"]


def test_an_adapter_is_something_to_train(tiny_checkpoint):
    assert "train is false" in refused("bad_argument", Worker, tiny_checkpoint, train=False, lora=LORA)
