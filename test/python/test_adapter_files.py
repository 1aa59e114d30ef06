"""Adapter folders and merged models: what peft and transformers read, what comes back, and what is refused by name."""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from training_task import Part, Worker, configure_adapter, plain_logprobs, refused

LORA: dict[str, Any] = {"seed": 7, "r": 4, "alpha": 8}
Q = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight"


class Trained:
    """A worker whose adapter has been trained for two steps, and what it wrote."""

    def __init__(self, checkpoint: Path, folder: Path, **lora: Any) -> None:
        self.checkpoint, self.folder = checkpoint, folder
        self.worker = Worker(checkpoint, reference=True, lora={**LORA, **lora}, allowed_roots=[str(folder)])
        for seed in (1, 2):
            self.worker.forward_backward(self.worker.part(seed=seed), loss={"beta": 0.04}, batch_id=str(seed))
            self.worker.optim_step(learning_rate=2e-2)
        self.part: Part = self.worker.part()
        self.logprobs = self.worker.logprobs(self.part)["logprobs"]
        self.adapter, self.merged = folder / "adapter", folder / "merged"
        for path, merge in ((self.adapter, False), (self.merged, True)):
            self.worker.engine.export({"path": str(path), "dtype": "source", "merge": merge}, {}, self.worker.context)


@pytest.fixture(scope="module")
def trained(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Not to be changed."""
    return Trained(tiny_checkpoint, tmp_path_factory.mktemp("trained"))


def test_an_adapter_folder_is_one_that_peft_reads(trained):
    assert sorted(file.name for file in trained.adapter.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((trained.adapter / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(trained.checkpoint)
    assert (config["peft_type"], config["task_type"], config["r"], config["lora_alpha"]) == ("LORA", "CAUSAL_LM", 4, 8)
    assert Q in load_file(trained.adapter / "adapter_model.safetensors")

    loaded = trained.worker.engine._session.loaded
    plain = AutoModelForImageTextToText.from_pretrained(trained.checkpoint, dtype="auto")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*missing.*")  # peft warns of keys, and goes on
        model = PeftModel.from_pretrained(plain, trained.adapter).eval()
    wrapped = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert not any("visual" in name for name in wrapped)
    prompt, completion = trained.part.prompts[0], trained.part.completions[0][0]
    with torch.no_grad():
        found, expected = (
            plain_logprobs(one, loaded, trained.part.keys[0], prompt, completion, 1.0) for one in (model, loaded.model)
        )
    assert torch.equal(found, expected)


def test_an_adapter_comes_back_to_the_bit(trained):
    again = Worker(trained.adapter, train=False)
    assert again.logprobs(trained.part)["logprobs"].tobytes() == trained.logprobs.tobytes()
    assert not any(parameter.requires_grad for parameter in again.model.parameters())


@pytest.mark.parametrize(
    "variant", [{}, {"use_rslora": True, "target_modules": ["q_proj", "down_proj"]}, {"use_dora": True}]
)
def test_a_merged_model_is_a_checkpoint_like_any_other(trained, tiny_checkpoint, tmp_path, variant):
    one = Trained(tiny_checkpoint, tmp_path, **variant) if variant else trained
    assert {file.name for file in one.merged.iterdir()} == {file.name for file in tiny_checkpoint.iterdir()}
    again = Worker(one.merged, train=False)
    assert np.abs(again.logprobs(one.part)["logprobs"] - one.logprobs).max() < 1e-5
    untrained = Worker(tiny_checkpoint, train=False).logprobs(one.part)["logprobs"]
    assert np.abs(one.logprobs - untrained).max() > 1e-2
    # Merging did not change the model that was merged.
    assert one.worker.logprobs(one.part)["logprobs"].tobytes() == one.logprobs.tobytes()
    back = Worker(one.adapter, train=False)
    assert back.logprobs(one.part)["logprobs"].tobytes() == one.logprobs.tobytes()


def test_training_goes_on_with_an_adapter_and_its_start_is_the_reference(trained, tmp_path):
    worker = Worker(trained.adapter, reference=True, lora={"seed": 7}, allowed_roots=[str(tmp_path)])
    first, _ = worker.forward_backward(trained.part, loss={"beta": 0.5})
    assert first["kl"] == 0
    worker.optim_step()
    worker.step(worker.part(seed=3), batch_id="3", beta=0.04)
    assert worker.logprobs(trained.part)["logprobs"].tobytes() != trained.logprobs.tobytes()
    reference = worker.logprobs(trained.part, of="reference", batch_id="r")["logprobs"]
    assert reference.tobytes() == trained.logprobs.tobytes()
    assert {name for name, one in worker.model.named_parameters() if one.requires_grad} == {
        name for name, _ in trained.worker.model.named_parameters() if ".lora_" in name
    }
    worker.engine.export({"path": str(tmp_path / "again"), "dtype": "source"}, {}, worker.context)
    names = load_file(tmp_path / "again" / "adapter_model.safetensors").keys()
    assert names == load_file(trained.adapter / "adapter_model.safetensors").keys()
    config = json.loads((tmp_path / "again" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(trained.checkpoint)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora": None}, "set use_peft to go on training the adapter"),
        ({"lora": {"seed": 7, "r": 8}}, "r is 4 there and 8 here"),
        ({"lora": {"seed": 7, "target_modules": ["q_proj"]}}, "its layers are chosen already"),
    ],
)
def test_settings_that_contradict_the_adapter_are_refused(trained, changes, message):
    assert message in refused("bad_argument", Worker, trained.adapter, **changes)


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """An adapter folder to be damaged."""
    return Path(shutil.copytree(trained.adapter, tmp_path / "copied"))


def rewrite(folder: Path, change: Any) -> None:
    tensors = change(load_file(folder / "adapter_model.safetensors"))
    save_file(tensors, folder / "adapter_model.safetensors")


def test_a_missing_key_is_named(copied):
    rewrite(copied, lambda tensors: {name: tensor for name, tensor in tensors.items() if name != Q})
    message = refused("checkpoint_invalid", Worker, copied, train=False)
    assert f"1 weights are missing ({Q})" in message


def test_an_unknown_key_is_named(copied):
    rewrite(copied, lambda tensors: {**tensors, "base_model.model.lm_head.lora_A.weight": torch.zeros(4, 8)})
    message = refused("checkpoint_invalid", Worker, copied, train=False)
    assert "1 have no place in the model (base_model.model.lm_head.lora_A.weight)" in message


def test_a_shape_that_does_not_fit_is_named(copied):
    rewrite(copied, lambda tensors: {**tensors, Q: tensors[Q][:2].clone()})
    assert f"{Q} has shape [2, " in refused("checkpoint_invalid", Worker, copied, train=False)


def test_names_of_transformers_4_are_recognised(copied):
    rewrite(
        copied,
        lambda tensors: {
            name.replace("model.language_model.layers.", "model.layers."): tensor for name, tensor in tensors.items()
        },
    )
    message = refused("checkpoint_invalid", Worker, copied, train=False)
    assert "weights are missing" in message
    assert "Its names are those of transformers 4" in message


def test_pickles_are_not_read(copied):
    (copied / "adapter_model.safetensors").rename(copied / "adapter_model.bin")
    assert "which can run code and is not read" in refused("checkpoint_invalid", Worker, copied, train=False)


@pytest.mark.parametrize(
    ("code", "changes", "message"),
    [
        ("unsupported_model", {"megatron_config": {"a": 1}}, "sets megatron_config, which the worker does not know"),
        ("unsupported_model", {"bias": "all"}, "bias is 'all'"),
        ("unsupported_model", {"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ("checkpoint_invalid", {"base_model_name_or_path": None}, "does not name the model that is adapted"),
        ("checkpoint_invalid", {"base_model_name_or_path": "/absent"}, "cannot read the config"),
    ],
)
def test_configurations_that_are_not_understood_are_refused(copied, code, changes, message):
    configure_adapter(copied, **changes)
    assert message in refused(code, Worker, copied, train=False)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("r", 0, "a whole number from 1; it is 0"),
        ("lora_alpha", "q", 'a finite number; it is "q"'),
        ("lora_alpha", math.inf, "a finite number; it is Infinity"),
        ("lora_dropout", 3, "a number from 0 to 1; it is 3"),
        ("use_dora", "yes", 'true or false; it is "yes"'),
        ("target_modules", 7, "a string that is not empty; it is 7"),
        ("target_modules", "(((", "a regular expression (missing ), unterminated subpattern"),
        ("target_modules", ["q_proj", 7], "such that [1] is a string that is not empty"),
        ("exclude_modules", {"q_proj": 1}, "a string that is not empty"),
        ("rank_pattern", {"q_proj": "a"}, "such that [0] is a whole number from 1"),
        ("rank_pattern", {"(q_proj": 2}, "a regular expression (missing )"),
        ("alpha_pattern", ["q_proj"], "a map from names of layers"),
        ("layers_to_transform", [0, "1"], "such that [1] is a whole number from 0"),
        ("layers_pattern", "[", "a regular expression (unterminated character set"),
        ("revision", 3, "a string that is not empty; it is 3"),
    ],
)
def test_a_value_that_is_none_is_named_with_what_was_expected(copied, field, value, expected):
    configure_adapter(copied, **{field: value})
    message = refused("checkpoint_invalid", Worker, copied, train=False)
    assert f"{copied / 'adapter_config.json'} is damaged: {field} must be {expected}" in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layers_to_transform": [0]}, "`layers_to_transform` cannot be used when `target_modules` is a str"),
        ({"target_modules": ["nothing"]}, "not found in the base model"),
        ({"target_modules": ["norm"]}, "is not supported"),
    ],
)
def test_what_peft_does_not_take_for_this_model_is_said_in_its_words(copied, changes, words):
    configure_adapter(copied, **changes)
    message = refused("checkpoint_invalid", Worker, copied, train=False)
    assert f"{copied / 'adapter_config.json'} does not fit its model: " in message
    assert words in message


def test_a_folder_that_is_both_model_and_adapter_is_refused(copied, tiny_checkpoint):
    shutil.copy(tiny_checkpoint / "config.json", copied)
    assert "may be a model or an adapter of one" in refused("checkpoint_invalid", Worker, copied, train=False)


def test_only_an_adapter_can_be_merged(tiny_checkpoint, tmp_path):
    worker = Worker(tiny_checkpoint, train=False, allowed_roots=[str(tmp_path)])
    asked = {"path": str(tmp_path / "model"), "dtype": "source", "merge": True}
    assert "the model has no adapter" in refused("bad_argument", worker.engine.export, asked, {}, worker.context)
